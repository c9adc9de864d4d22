//! mlbuild as a plugin of Docker's command line: a link of the name `docker-mlbuild` among its plugins makes
//! `docker mlbuild image` work.
//!
//! Docker asks a plugin for `docker-cli-plugin-metadata`, and starts it with all of its own words: its options, the
//! plugin's name, the plugin's words. The options that say which Docker is meant become the variables of the same
//! meaning. See <https://github.com/docker/cli/blob/master/docs/extend/cli_plugins.md>.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::support::output;
use crate::error::{CommandError, CommandResult};
use mlbuild::env_vars::{DOCKER_CONFIG, DOCKER_CONTEXT, DOCKER_HOST, DOCKER_TLS_VERIFY};
use mlbuild::error::ErrorKind;

/// The name that Docker looks for.
const PROGRAM: &str = "docker-mlbuild";
const METADATA: &str = "docker-cli-plugin-metadata";
const NAME: &str = "mlbuild";

/// Docker's own options: the long form, the short one, whether a value follows, and the variable of the same
/// meaning.
const OPTIONS: [(&str, &str, bool, Option<&str>); 10] = [
    ("--config", "", true, Some(DOCKER_CONFIG)),
    ("--context", "-c", true, Some(DOCKER_CONTEXT)),
    ("--debug", "-D", false, None),
    ("--host", "-H", true, Some(DOCKER_HOST)),
    ("--log-level", "-l", true, None),
    ("--tls", "", false, None),
    ("--tlscacert", "", true, None),
    ("--tlscert", "", true, None),
    ("--tlskey", "", true, None),
    ("--tlsverify", "", false, Some(DOCKER_TLS_VERIFY)),
];

/// The words for mlbuild, and the variables that Docker's options become.
#[derive(Debug, PartialEq, Eq)]
struct Called {
    words: Vec<OsString>,
    variables: Vec<(&'static str, OsString)>,
}

/// Where this program was started as Docker's plugin: answers Docker, or becomes mlbuild.
pub fn run(words: &[OsString]) -> Option<CommandResult<u8>> {
    let (program, rest) = words.split_first()?;
    if Path::new(program).file_name() != Some(OsStr::new(PROGRAM)) {
        return None;
    }
    if rest.first().is_some_and(|word| word == METADATA) {
        return Some(output::answer(&metadata()).map(|()| 0));
    }
    Some(called(rest).and_then(|called| become_mlbuild(&called)))
}

fn metadata() -> String {
    json!({
        "SchemaVersion": "0.1.0",
        "Vendor": "mlbuild",
        "Version": env!("CARGO_PKG_VERSION"),
        "ShortDescription": "Make, run and restore ML container images, pinned by digest",
    })
    .to_string()
}

/// Starts the program again under its own name, in place of this process.
fn become_mlbuild(called: &Called) -> CommandResult<u8> {
    let fail = |error| {
        let why = format!("cannot start mlbuild again: {error}");
        CommandError::new(ErrorKind::Environment, why)
    };
    let own = std::env::current_exe().map_err(fail)?;
    let mut command = Command::new(own);
    command.arg0(NAME).args(&called.words);
    command.envs(called.variables.iter().map(|(name, value)| (*name, value)));
    Err(fail(command.exec()))
}

/// What is meant by Docker's words.
fn called(words: &[OsString]) -> CommandResult<Called> {
    let mut called = Called {
        words: Vec::new(),
        variables: Vec::new(),
    };
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        let text = word.to_string_lossy();
        if !text.starts_with('-') || text == "--help" || text == "--version" {
            let is_name = word == NAME;
            called.words.extend((!is_name).then(|| word.clone()));
            called.words.extend(rest.cloned());
            break;
        }
        let (name, value) = split(&text);
        let (option, takes_value, variable) = known(name)?;
        let value = match value {
            Some(value) => value.into(),
            None if !takes_value => "1".into(),
            None => rest.next().cloned().ok_or_else(|| {
                CommandError::new(ErrorKind::User, format!("docker's {option} has no value"))
            })?,
        };
        if !takes_value && matches!(value.to_str(), Some("false" | "0")) {
            continue;
        }
        called.variables.push((variable, value));
    }
    let has = |name: &str| {
        called
            .variables
            .iter()
            .any(|(variable, _)| *variable == name)
    };
    if has(DOCKER_HOST) && has(DOCKER_CONTEXT) {
        let why = "docker's --host and --context name two Dockers";
        return Err(CommandError::new(ErrorKind::User, why).hint("give one of them"));
    }
    Ok(called)
}

/// An option's name and the value that stands in the same word, as Docker's command line reads them.
fn split(word: &str) -> (&str, Option<&str>) {
    if word.starts_with("--") {
        return match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word, None),
        };
    }
    let end = word.char_indices().nth(2).map_or(word.len(), |(at, _)| at);
    let (name, rest) = word.split_at(end);
    let value = (!rest.is_empty()).then(|| rest.strip_prefix('=').unwrap_or(rest));
    (name, value)
}

/// An option of Docker's by its long name, whether a value follows, and its variable.
fn known(name: &str) -> CommandResult<(&'static str, bool, &'static str)> {
    // A word here is never empty.
    let found = OPTIONS
        .iter()
        .find(|(long, short, ..)| [*long, *short].contains(&name));
    match found {
        Some((long, _, takes_value, Some(variable))) => Ok((long, *takes_value, variable)),
        Some((long, _, _, None)) => Err(CommandError::new(
            ErrorKind::User,
            format!("docker's {long} can't be handed on to mlbuild"),
        )
        .hint(if long.starts_with("--tls") {
            "put ca.pem, cert.pem and key.pem into a folder, and set DOCKER_CERT_PATH to it"
        } else {
            "leave it out: it says how much docker prints"
        })),
        None => Err(CommandError::new(
            ErrorKind::User,
            format!("no such option of docker: {name}"),
        )
        .hint("options of mlbuild stand after the verb: docker mlbuild VERB --help")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<(String, String), String> {
        let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        let called = called(&words).map_err(|error| error.to_string())?;
        let variables = called.variables.iter();
        let variables: Vec<_> = variables
            .map(|(name, value)| format!("{name}={}", value.display()))
            .collect();
        let words: Vec<_> = called
            .words
            .iter()
            .map(|word| word.to_string_lossy())
            .collect();
        Ok((variables.join(" "), words.join(" ")))
    }

    #[test]
    fn dockers_options_become_variables_and_the_rest_is_mlbuilds() {
        for (line, variables, words) in [
            ("mlbuild run -H x a", "", "run -H x a"),
            ("mlbuild mlbuild", "", "mlbuild"),
            ("image -t a", "", "image -t a"),
            ("mlbuild --help", "", "--help"),
            ("--version", "", "--version"),
            (
                "-H unix:///s mlbuild run a",
                "DOCKER_HOST=unix:///s",
                "run a",
            ),
            ("-Hunix:///s mlbuild up", "DOCKER_HOST=unix:///s", "up"),
            ("-H=unix:///s mlbuild up", "DOCKER_HOST=unix:///s", "up"),
            ("--host tcp://h:1 mlbuild up", "DOCKER_HOST=tcp://h:1", "up"),
            (
                "--config /c --context=far --tlsverify mlbuild up",
                "DOCKER_CONFIG=/c DOCKER_CONTEXT=far DOCKER_TLS_VERIFY=1",
                "up",
            ),
            (
                "--tlsverify=false -c far mlbuild up",
                "DOCKER_CONTEXT=far",
                "up",
            ),
        ] {
            let expected = Ok((variables.to_owned(), words.to_owned()));
            assert_eq!(read(line), expected, "{line}");
        }
        for (line, error) in [
            (
                "-D mlbuild up",
                "docker's --debug can't be handed on to mlbuild",
            ),
            (
                "--tlskey k mlbuild up",
                "docker's --tlskey can't be handed on to mlbuild",
            ),
            ("-H", "docker's --host has no value"),
            ("--frob mlbuild up", "no such option of docker: --frob"),
            (
                "-H x -c y mlbuild up",
                "docker's --host and --context name two Dockers",
            ),
        ] {
            let refused = read(line).unwrap_err();
            assert_eq!(refused.lines().next(), Some(error), "{line}");
        }
    }
}
