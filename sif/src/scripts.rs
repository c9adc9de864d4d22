//! The files of `/.singularity.d`: how Apptainer starts a program with the image's environment.
//!
//! They do what those do that `apptainer build` writes for an OCI image: `run` starts ENTRYPOINT with the
//! arguments, else with CMD; without `--no-eval` the arguments are evaluated by a shell first. The
//! environment gives way to what is set already, except for PATH. USER and WORKDIR have no meaning there.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::squashfs::{FileId, Kind, Node, Tree, TreeError};

/// What the scripts hang on, of an OCI configuration's `config`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct OciConfig {
    /// `NAME=VALUE`.
    pub env: Option<Vec<String>>,
    /// What is started.
    pub entrypoint: Option<Vec<String>>,
    /// Arguments of it where there are no others; without an entrypoint, the command.
    pub cmd: Option<Vec<String>>,
    /// Labels.
    pub labels: Option<BTreeMap<String, String>>,
    /// WORKDIR.
    pub working_dir: Option<String>,
    /// USER.
    pub user: Option<String>,
    /// EXPOSE.
    pub exposed_ports: Option<Value>,
    /// VOLUME.
    pub volumes: Option<Value>,
    /// STOPSIGNAL.
    pub stop_signal: Option<Value>,
    /// HEALTHCHECK.
    pub healthcheck: Option<Value>,
}

const SHELL: &str = "#!/bin/sh\n";
/// Read by every action.
const ENVIRONMENT: &str = "for script in /.singularity.d/env/*.sh; do\n    if [ -f \"$script\" ]; then . \"$script\"; fi\ndone\n";
/// Apptainer binds the libraries of the host's GPU there.
const LIBRARIES: &str = "LD_LIBRARY_PATH=\"${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}/.singularity.d/libs\"\n: \"${PS1:=Apptainer> }\"\nexport LD_LIBRARY_PATH PS1\n";
/// What a user asked for of PATH.
const PATHS: &str = "PATH=\"${SING_USER_DEFINED_PREPEND_PATH:+$SING_USER_DEFINED_PREPEND_PATH:}$PATH${SING_USER_DEFINED_APPEND_PATH:+:$SING_USER_DEFINED_APPEND_PATH}\"\nPATH=\"${SING_USER_DEFINED_PATH:-$PATH}\"\nunset SING_USER_DEFINED_PREPEND_PATH SING_USER_DEFINED_APPEND_PATH SING_USER_DEFINED_PATH\nexport PATH\n";

impl OciConfig {
    /// `/.singularity.d/runscript`.
    pub fn runscript(&self) -> String {
        let words = |list: &Option<Vec<String>>| {
            let words = list.iter().flatten().map(|word| quoted(word));
            words.collect::<Vec<_>>().join(" ")
        };
        let (entrypoint, cmd) = (words(&self.entrypoint), words(&self.cmd));
        let default = if cmd.is_empty() {
            String::new()
        } else {
            format!("if [ $# -eq 0 ]; then\n    set -- {cmd}\n    evaluated=yes\nfi\n")
        };
        let nothing = if cmd.is_empty() && entrypoint.is_empty() {
            "if [ $# -eq 0 ]; then\n    echo 'The image has neither ENTRYPOINT nor CMD: name a command.' >&2\n    exit 1\nfi\n"
        } else {
            ""
        };
        format!(
            "{SHELL}# ENTRYPOINT and CMD of the image.\nevaluated=\"$SINGULARITY_NO_EVAL\"\n{default}{nothing}\
             if [ -z \"$evaluated\" ]; then\n    words=''\n    for word in \"$@\"; do words=\"$words \\\"$word\\\"\"; done\n    \
             eval \"set -- $words\"\nfi\nexec {entrypoint} \"$@\"\n"
        )
    }

    /// `/.singularity.d/env/10-docker2singularity.sh`.
    pub fn environment(&self) -> String {
        let mut text = SHELL.to_owned();
        for variable in self.env.iter().flatten() {
            let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
            // A shell can't set others.
            if !is_name(name) {
                continue;
            }
            let value = quoted(value);
            let line = if name == "PATH" {
                format!("export PATH={value}\n")
            } else {
                format!("if [ -z \"${{{name}-}}\" ]; then {name}={value}; fi\nexport {name}\n")
            };
            text.push_str(&line);
        }
        text
    }

    /// What the image says and Apptainer doesn't do, a sentence for each.
    pub fn left_out(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let names = self.env.iter().flatten();
        let names = names.map(|variable| variable.split('=').next().unwrap_or_default());
        for name in names.filter(|name| !is_name(name)) {
            lines.push(format!(
                "the variable {name} isn't carried over: no shell can set it"
            ));
        }
        let said = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        if let Some(folder) = said(&self.working_dir).filter(|folder| folder != "/") {
            lines.push(format!(
                "WORKDIR isn't carried over: Apptainer starts in the folder that you are in; for the image's own, \
                 `apptainer run --cwd {}`",
                quoted(&folder)
            ));
        }
        if let Some(user) = said(&self.user) {
            lines.push(format!(
                "USER {user} isn't carried over: Apptainer runs programs as whoever starts it"
            ));
        }
        let others = [
            ("EXPOSE", &self.exposed_ports),
            ("VOLUME", &self.volumes),
            ("STOPSIGNAL", &self.stop_signal),
            ("HEALTHCHECK", &self.healthcheck),
        ];
        for (name, value) in others {
            if value.as_ref().is_some_and(says_something) {
                lines.push(format!(
                    "{name} isn't carried over: Apptainer has nothing like it"
                ));
            }
        }
        lines
    }

    /// What `apptainer inspect` shows.
    pub fn metadata(&self, labels: &Value, definition: &str) -> Value {
        json!({ "data": { "attributes": {
            "environment": { "/.singularity.d/env/10-docker2singularity.sh": self.environment() },
            "labels": labels,
            "runscript": self.runscript(),
            "deffile": definition,
            "startscript": SHELL,
        } }, "type": "container" })
    }
}

fn says_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Object(map) => !map.is_empty(),
        Value::String(text) => !text.is_empty(),
        _ => true,
    }
}

fn is_name(text: &str) -> bool {
    let is_plain = text
        .bytes()
        .all(|byte| byte == b'_' || byte.is_ascii_alphanumeric());
    is_plain
        && text
            .bytes()
            .next()
            .is_some_and(|byte| !byte.is_ascii_digit())
}

/// A word that a shell takes as it is.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// The definition file of an image of a registry.
pub fn definition(pinned: &str) -> String {
    format!("bootstrap: docker\nfrom: {pinned}\n\n")
}

/// The labels that an image has there: its own, and what every image of Apptainer's says of its origin.
pub fn labels(config: &OciConfig, architecture: &str, pinned: &str) -> Value {
    let mut labels = config.labels.clone().unwrap_or_default();
    for (name, value) in [
        ("org.label-schema.build-arch", architecture),
        ("org.label-schema.schema-version", "1.0"),
        (
            "org.label-schema.usage.singularity.deffile.bootstrap",
            "docker",
        ),
        ("org.label-schema.usage.singularity.deffile.from", pinned),
    ] {
        labels.insert(name.to_owned(), value.to_owned());
    }
    json!(labels)
}

/// A text file of the scripts.
pub struct Script {
    /// Its path in the image.
    pub path: &'static str,
    /// Its content.
    pub text: String,
    /// Whether it is run.
    pub is_program: bool,
}

/// All of them.
pub fn files(config: &OciConfig, labels: &Value, definition: &str) -> Vec<Script> {
    let action = |rest: &str| format!("{SHELL}{ENVIRONMENT}{rest}");
    let of_file = |file: &str| {
        format!(
            "if [ -x /.singularity.d/{file} ]; then exec /.singularity.d/{file} \"$@\"; fi\nexec /bin/sh \"$@\"\n"
        )
    };
    let script = |path, text: String| Script {
        path,
        text,
        is_program: true,
    };
    let text = |path, text: String| Script {
        path,
        text,
        is_program: false,
    };
    let labels = serde_json::to_string_pretty(labels).unwrap_or_default();
    vec![
        text(".singularity.d/Singularity", definition.to_owned()),
        script(".singularity.d/actions/exec", action("exec \"$@\"\n")),
        script(".singularity.d/actions/run", action(&of_file("runscript"))),
        script(
            ".singularity.d/actions/shell",
            action(
                "for shell in \"$SINGULARITY_SHELL\" /bin/bash /bin/sh; do\n    if [ -x \"$shell\" ]; then exec \"$shell\" \"$@\"; fi\ndone\nexit 1\n",
            ),
        ),
        script(
            ".singularity.d/actions/start",
            format!(
                "{SHELL}kill -CONT 1\n{ENVIRONMENT}if [ -x /.singularity.d/startscript ]; then exec /.singularity.d/startscript; fi\n"
            ),
        ),
        script(
            ".singularity.d/actions/test",
            action("if [ -x /.singularity.d/test ]; then exec /.singularity.d/test \"$@\"; fi\n"),
        ),
        script(".singularity.d/env/01-base.sh", SHELL.to_owned()),
        script(
            ".singularity.d/env/10-docker2singularity.sh",
            config.environment(),
        ),
        script(".singularity.d/env/90-environment.sh", SHELL.to_owned()),
        script(".singularity.d/env/94-appsbase.sh", String::new()),
        script(".singularity.d/env/95-apps.sh", SHELL.to_owned()),
        script(
            ".singularity.d/env/99-base.sh",
            format!("{SHELL}{LIBRARIES}"),
        ),
        script(
            ".singularity.d/env/99-runtimevars.sh",
            format!("{SHELL}{PATHS}"),
        ),
        text(".singularity.d/labels.json", labels),
        script(".singularity.d/runscript", config.runscript()),
        script(".singularity.d/startscript", SHELL.to_owned()),
    ]
}

/// Links at the top, as older programs look for them.
const LINKS: [(&str, &str); 6] = [
    (".exec", ".singularity.d/actions/exec"),
    (".run", ".singularity.d/actions/run"),
    (".shell", ".singularity.d/actions/shell"),
    (".test", ".singularity.d/actions/test"),
    ("environment", ".singularity.d/env/90-environment.sh"),
    ("singularity", ".singularity.d/runscript"),
];
/// Places that a container needs.
const FOLDERS: [(&str, u32); 8] = [
    (".singularity.d/libs", 0o755),
    ("dev", 0o755),
    ("home", 0o755),
    ("proc", 0o755),
    ("root", 0o700),
    ("sys", 0o755),
    ("tmp", 0o1777),
    ("var/tmp", 0o1777),
];
/// Files that Apptainer mounts its own over.
const MOUNTED: [&str; 2] = ["etc/hosts", "etc/resolv.conf"];

/// Adds the scripts, whose contents are in the file system by these ids, and what a container needs, to an
/// image's tree. `/.singularity.d` of the image itself gives way; of the rest, what it has stays. Gives a
/// sentence for each of the image's own files that makes a difference so.
///
/// # Errors
/// Where the image's own links make that impossible.
pub fn add(
    tree: &mut Tree,
    scripts: &[(Script, FileId)],
    empty: FileId,
) -> Result<Vec<String>, TreeError> {
    let mut lines = Vec::new();
    if tree.remove(b".singularity.d")? {
        lines.push("the image's own /.singularity.d is replaced".to_owned());
    }
    for (script, file) in scripts {
        let mode = if script.is_program { 0o755 } else { 0o644 };
        let node = Node::new(Kind::File(*file), mode);
        tree.put(script.path.as_bytes(), node)?;
    }
    for (path, target) in LINKS {
        let link = Kind::Symlink(target.as_bytes().to_vec());
        match tree.at(path.as_bytes())? {
            None => tree.put(path.as_bytes(), Node::new(link, 0o777))?,
            Some(there) if *there == link => {}
            Some(_) => lines.push(format!(
                "the image's own /{path} stays: only programs older than Apptainer look for a link there"
            )),
        }
    }
    for (path, mode) in FOLDERS {
        put_missing(tree, path, Node::new(Kind::folder(), mode))?;
    }
    for path in MOUNTED {
        put_missing(tree, path, Node::new(Kind::File(empty), 0o644))?;
    }
    Ok(lines)
}

fn put_missing(tree: &mut Tree, path: &str, node: Node) -> Result<(), TreeError> {
    match tree.at(path.as_bytes())? {
        None => tree.put(path.as_bytes(), node),
        Some(_) => Ok(()),
    }
}
