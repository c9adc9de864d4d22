//! What a composed Dockerfile comes to where its packages are pinned: settings of containers,
//! what is copied, and the user. Each instruction is either understood or a reason to have a
//! builder run it; none is passed over.

use std::collections::BTreeMap;

use mlbuild_templates::dockerfile::{Copy, Dockerfile, Instruction, Purpose, Word};
use mlbuild_templates::value::EnvName;
use serde_json::{Map, Value, json};

use super::changes::{MARK, SettingsChanges};
use crate::assemble::Account;
use crate::plan::BuildPlan;

/// What programs are looked for in where a base doesn't say, as BuildKit has it.
const USUAL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A COPY from the context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyStep {
    /// Paths in the context; `.` is all of it.
    pub sources: Vec<String>,
    /// The folder that they go to, absolute, without a slash at its end.
    pub destination: String,
}

/// What the Dockerfile comes to.
#[derive(Debug)]
pub struct Recipe {
    /// Settings of containers that take the place of the base's.
    pub settings: Map<String, Value>,
    /// The same, over whatever base; `None` where that can't be said.
    pub changes: Option<SettingsChanges>,
    /// The working directory, absolute.
    pub workdir: String,
    /// What is copied, in order.
    pub copies: Vec<CopyStep>,
    /// The user.
    pub account: Option<Account>,
}

/// Reads a Dockerfile over a base's configuration.
///
/// # Errors
/// The first thing in it that has to be run.
pub fn read(dockerfile: &Dockerfile, base: &Value, plan: &BuildPlan) -> Result<Recipe, String> {
    read_with(dockerfile, base, &plan.build_args, &plan.labels)
}

fn read_with(
    dockerfile: &Dockerfile,
    base: &Value,
    given: &BTreeMap<String, String>,
    labels: &BTreeMap<String, String>,
) -> Result<Recipe, String> {
    let mut reader = Reader::of(Some(&base["config"]), given);
    reader.take_all(dockerfile, labels)?;
    let settings = reader.settings;
    let mut without_base = Reader::of(None, given);
    let read = without_base.take_all(dockerfile, labels).is_ok();
    let changes = SettingsChanges::of(&without_base.settings).filter(|_| read);
    Ok(Recipe {
        changes: changes.filter(|changes| changes.over(base) == settings),
        settings,
        workdir: reader.workdir,
        copies: reader.copies,
        account: reader.account,
    })
}

/// The base's variables in their order, with a PATH.
pub(super) fn environment(base: &Value) -> Vec<(String, String)> {
    let all = base["Env"].as_array().into_iter().flatten();
    let pairs = all.filter_map(|entry| entry.as_str()?.split_once('='));
    let mut env: Vec<(String, String)> = pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    if env.iter().all(|(name, _)| name != "PATH") {
        env.push(("PATH".to_owned(), USUAL_PATH.to_owned()));
    }
    env
}

/// Sets a variable, in its place where it has one.
pub(super) fn set(env: &mut Vec<(String, String)>, name: &str, value: String) {
    match env.iter_mut().find(|(known, _)| known == name) {
        Some((_, old)) => *old = value,
        None => env.push((name.to_owned(), value)),
    }
}

struct Reader<'a> {
    base: &'a Value,
    /// Whether the names of its variables stand for what it has.
    is_without_base: bool,
    given: &'a BTreeMap<String, String>,
    arguments: BTreeMap<String, String>,
    env: Vec<(String, String)>,
    settings: Map<String, Value>,
    workdir: String,
    copies: Vec<CopyStep>,
    account: Option<Account>,
    stages: usize,
    has_environment: bool,
}

impl<'a> Reader<'a> {
    /// Begins over a base's settings; without one, the names of its variables stand for them.
    fn of(base: Option<&'a Value>, given: &'a BTreeMap<String, String>) -> Self {
        Self {
            base: base.unwrap_or(&Value::Null),
            is_without_base: base.is_none(),
            given,
            arguments: BTreeMap::new(),
            env: base.map(environment).unwrap_or_default(),
            settings: Map::new(),
            workdir: "/".to_owned(),
            copies: Vec::new(),
            account: None,
            stages: 0,
            has_environment: false,
        }
    }

    fn take_all(
        &mut self,
        dockerfile: &Dockerfile,
        labels: &BTreeMap<String, String>,
    ) -> Result<(), String> {
        for instruction in &dockerfile.instructions {
            self.take(instruction)?;
        }
        // Labels that were given beside the Dockerfile take the place of its own.
        for (name, value) in labels {
            self.merge("Labels", name, json!(value));
        }
        if !self.has_environment {
            return Err("it has no environment of its own for packages".to_owned());
        }
        let env: Vec<String> = self.env.iter().map(|(k, v)| format!("{k}={v}")).collect();
        self.settings.insert("Env".to_owned(), json!(env));
        Ok(())
    }

    fn take(&mut self, instruction: &Instruction) -> Result<(), String> {
        match instruction {
            Instruction::Comment(_) | Instruction::Blank => {}
            Instruction::From { .. } => {
                self.stages += 1;
                if self.stages > 1 {
                    return Err("its Dockerfile has several stages".to_owned());
                }
            }
            Instruction::Arg { name, default } => self.argument(name, default.as_ref()),
            Instruction::Env(pairs) => {
                // All values of one ENV see the variables as they were before it.
                let values: Vec<String> = pairs.iter().map(|(_, word)| self.text(word)).collect();
                for ((name, _), value) in pairs.iter().zip(values) {
                    set(&mut self.env, name.as_str(), value);
                }
            }
            Instruction::Run(run) => return self.run(run.purpose),
            Instruction::Copy(copy) => self.copy(copy)?,
            Instruction::Workdir(word) => {
                self.workdir = self.text(word).trim_end_matches('/').to_owned();
                let shown = if self.workdir.is_empty() {
                    "/"
                } else {
                    &self.workdir
                };
                self.settings.insert("WorkingDir".to_owned(), json!(shown));
            }
            Instruction::User(word) => {
                let user = self.text(word);
                self.settings.insert("User".to_owned(), json!(user));
            }
            Instruction::Expose(ports) => {
                for port in ports {
                    let port = port.to_string();
                    let name = if port.contains('/') {
                        port
                    } else {
                        format!("{port}/tcp")
                    };
                    self.merge("ExposedPorts", &name, json!({}));
                }
            }
            Instruction::Label(labels) => {
                for (name, word) in labels {
                    let value = self.text(word);
                    self.merge("Labels", name.as_str(), json!(value));
                }
            }
            Instruction::Entrypoint(words) => {
                self.settings.insert("Entrypoint".to_owned(), json!(words));
                // The base's command was for the base's entry point.
                self.settings.entry("Cmd").or_insert(Value::Null);
            }
            Instruction::Cmd(words) => {
                self.settings.insert("Cmd".to_owned(), json!(words));
            }
            other => {
                let text = format!("{other:?}");
                let name = text.split(['(', ' ', '{']).next().unwrap_or_default();
                return Err(format!("its Dockerfile has {}", name.to_uppercase()));
            }
        }
        Ok(())
    }

    fn argument(&mut self, name: &EnvName, default: Option<&Word>) {
        let given = self.given.get(name.as_str()).cloned();
        let value = given.or_else(|| default.map(|word| self.text(word)));
        if let Some(value) = value {
            self.arguments.insert(name.as_str().to_owned(), value);
        }
    }

    fn run(&mut self, purpose: Purpose) -> Result<(), String> {
        match purpose {
            // Whoever reads this knows that no such package is pinned.
            Purpose::PinnedDistribution => Ok(()),
            Purpose::PinnedEnvironment => {
                self.has_environment = true;
                Ok(())
            }
            Purpose::Account => self.account(),
            Purpose::Other if self.has_environment => {
                Err("what comes after its packages (the project's own installation, a command) has to be run".to_owned())
            }
            Purpose::Other => {
                Err("a command, or the installation into the base's own Python, has to be run".to_owned())
            }
        }
    }

    fn account(&mut self) -> Result<(), String> {
        let value = |name: &str| self.arguments.get(name).cloned().unwrap_or_default();
        let name = value("USERNAME");
        let id = |name: &str| {
            let text = value(name);
            let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            let number = text.parse().ok().filter(|_| is_number);
            number.ok_or(format!("{name} is {text:?}, and no whole number"))
        };
        let is_first = |c: char| c.is_ascii_alphabetic() || c == '_';
        let is_next = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        if !name.starts_with(is_first) || !name.chars().all(is_next) {
            return Err(format!("USERNAME is {name:?}, and no user's name"));
        }
        self.account = Some(Account {
            uid: id("USER_UID")?,
            gid: id("USER_GID")?,
            folders: vec![self.workdir.clone()],
            name,
        });
        Ok(())
    }

    fn copy(&mut self, copy: &Copy) -> Result<(), String> {
        let is_plain = copy.from.is_none() && copy.chown.is_none() && copy.chmod.is_none();
        let destination = self.text(&copy.destination);
        let folder = destination.strip_suffix('/');
        let Some(folder) = folder.filter(|_| is_plain && !copy.link) else {
            return Err("its Dockerfile copies in a way that is run".to_owned());
        };
        if folder.is_empty() {
            return Err("its code goes over the base's own files, at /".to_owned());
        }
        let sources: Vec<String> = copy.sources.iter().map(|word| self.text(word)).collect();
        if sources
            .iter()
            .any(|source| source.contains(['*', '?', '[']))
        {
            return Err("its Dockerfile copies by patterns".to_owned());
        }
        self.copies.push(CopyStep {
            sources,
            destination: folder.to_owned(),
        });
        Ok(())
    }

    fn text(&self, word: &Word) -> String {
        word.expand(|name| {
            let set = self.env.iter().find(|(known, _)| known == name.as_str());
            let set = set.map(|(_, value)| value.clone());
            let known = set.or_else(|| self.arguments.get(name.as_str()).cloned());
            let of_base = || format!("{MARK}{}{MARK}", name.as_str());
            known.or_else(|| self.is_without_base.then(of_base))
        })
    }

    /// One more entry of a setting that the base may have.
    fn merge(&mut self, setting: &str, name: &str, value: Value) {
        let base = self.base[setting].as_object().cloned().unwrap_or_default();
        let all = self.settings.entry(setting).or_insert(base.into());
        all[name] = value;
    }
}

#[cfg(test)]
mod tests {
    use mlbuild_templates::{ComposeContext, ImageSpec, compose};

    use super::*;

    fn recipe(change: impl FnOnce(&mut ImageSpec), locked: bool) -> Result<Recipe, String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("requirements.txt"), "six==1.17.0\n").unwrap();
        let spec = serde_json::json!({
            "template": "python",
            "python": {"requirements": ["requirements.txt"]},
        });
        let mut spec: ImageSpec = serde_json::from_value(spec).unwrap();
        change(&mut spec);
        let context = ComposeContext {
            project: Some(folder.path()),
            locked,
            ..ComposeContext::default()
        };
        let composed = compose(&spec, &context).unwrap();
        let base = serde_json::json!({"config": {
            "Env": ["PATH=/usr/bin", "LANG=C.UTF-8"],
            "Cmd": ["python3"],
            "Labels": {"base": "1"},
        }});
        let given = BTreeMap::from([("USER_UID".to_owned(), "77".to_owned())]);
        let labels = BTreeMap::from([("given".to_owned(), "2".to_owned())]);
        read_with(&composed.dockerfile, &base, &given, &labels)
    }

    #[test]
    fn settings_are_those_that_a_builder_would_write() {
        let made = recipe(
            |spec| {
                spec.user = serde_json::from_value(serde_json::json!({"name": "ann", "uid": 1000}))
                    .unwrap();
                spec.entrypoint = serde_json::from_value(serde_json::json!(["run"])).unwrap();
            },
            true,
        )
        .unwrap();
        let changes = made.changes.unwrap();
        // What is read back from an annotation is the same.
        let text = serde_json::to_string(&changes).unwrap();
        let read: SettingsChanges = serde_json::from_str(&text).unwrap();
        assert_eq!(read, changes);
        let other = serde_json::json!({"config": {
            "Env": ["A=1", "PATH=/other", "LANG=C"],
            "Cmd": ["sh"],
            "Labels": {"base": "2", "new": "3"},
            "ExposedPorts": {"22/tcp": {}},
        }});
        let over = Value::from(changes.over(&other));
        let env = over["Env"].as_array().unwrap();
        assert_eq!(env[0], "A=1");
        assert_eq!(env[1], "PATH=/opt/venv/bin:/other:/home/ann/.local/bin");
        assert_eq!(env[2..4], ["LANG=C", "VIRTUAL_ENV=/opt/venv"]);
        assert_eq!(
            over["Labels"],
            json!({"base": "2", "given": "2", "new": "3"})
        );
        assert_eq!((&over["Cmd"], &over["User"]), (&Value::Null, &json!("ann")));
        assert_eq!(over.get("ExposedPorts"), None, "the base's stay");

        let settings = Value::from(made.settings);
        let env = settings["Env"].as_array().unwrap();
        assert_eq!(env[0], "PATH=/opt/venv/bin:/usr/bin:/home/ann/.local/bin");
        assert_eq!(env[1..3], ["LANG=C.UTF-8", "VIRTUAL_ENV=/opt/venv"]);
        assert_eq!(settings["Entrypoint"], json!(["run"]));
        assert_eq!(settings["Cmd"], Value::Null);
        assert_eq!(settings["Labels"], json!({"base": "1", "given": "2"}));
        assert_eq!(settings["User"], "ann");
        let account = made.account.unwrap();
        assert_eq!(
            (account.uid, account.folders),
            (77, vec!["/app".to_owned()])
        );
        let copied: Vec<&str> = made.copies.iter().map(|c| c.destination.as_str()).collect();
        assert_eq!(copied, ["/opt/mlbuild", "/app"]);
    }

    #[test]
    fn what_has_to_be_run_is_a_reason() {
        let open = recipe(|_| (), false).unwrap_err();
        assert!(open.contains("has to be run"), "{open}");
    }
}
