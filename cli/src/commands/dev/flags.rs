//! The flags of `mlbuild dev` beside those of `mlbuild run`.

use crate::error::{CommandError, CommandResult};
use mlbuild::runtime::{Flag, Kind, Options, RunSpec};

/// Where the project goes, for all verbs that mount it.
pub(crate) const DIR_FLAG: Flag = Flag::one(
    "dir",
    Kind::Text,
    "DIR",
    "Where the project is in the container (default: /app).",
)
.own()
.not_in_config();

/// Which of the project's images is meant, for all verbs that need none to be named.
pub(crate) const VARIANT_FLAG: Flag = Flag::one(
    "variant",
    Kind::Text,
    "NAME",
    "The image of this variant, [variant.NAME] of mlbuild.toml.",
)
.own()
.not_in_config();

/// They come first in the help.
pub(crate) static FLAGS: &[Flag] = &[
    DIR_FLAG,
    VARIANT_FLAG,
    Flag::switch("no-dir", "Don't mount the project.")
        .own()
        .not_in_config(),
    Flag::one(
        "shell",
        Kind::Text,
        "PROGRAM",
        "The shell (default: bash where the image has it, else sh).",
    )
    .own()
    .not_in_config(),
    Flag::one(
        "cmd",
        Kind::Text,
        "LINE",
        "Have the shell run this line, instead of you.",
    )
    .own()
    .not_in_config(),
    Flag::switch(
        "jupyter",
        "Start Jupyter on this machine's loopback, with a token, and print its address.",
    )
    .own()
    .not_in_config(),
    Flag::one(
        "port",
        Kind::Integer,
        "PORT",
        "Port of this machine for --jupyter (default: 8888 if it is free, else any).",
    )
    .own()
    .not_in_config(),
    Flag::switch(
        "new",
        "Start a container, also where one of the project runs.",
    )
    .own()
    .not_in_config(),
];

/// Where the project is, unless a flag says otherwise.
pub(crate) const DIR: &str = "/app";

/// The flags, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DevFlags {
    /// Where the project is in the container; `None`: nowhere.
    pub(super) dir: Option<String>,
    pub(super) shell: Option<String>,
    pub(super) line: Option<String>,
    pub(super) jupyter: bool,
    pub(super) port: Option<u16>,
    pub(super) new: bool,
}

impl DevFlags {
    /// Reads them.
    ///
    /// # Errors
    /// Where they contradict each other, or a value is none.
    pub(super) fn read(own: &Options, spec: &RunSpec) -> CommandResult<Self> {
        let text = |name: &str| own.text(name).map(str::to_owned);
        let wrong = |what: String, hint: &str| Err(CommandError::user(what).hint(hint));
        refuse_variant_of_image(own, spec)?;
        let given = text("dir");
        if let Some(dir) = given
            .as_deref()
            .filter(|dir| !dir.starts_with('/') || dir.contains(':'))
        {
            return wrong(
                format!(
                    "--dir {dir}: the path in the container must begin with / and hold no colon"
                ),
                "write --dir /app; the project's folder on this machine is mounted by itself",
            );
        }
        if own.is_on("no-dir") && given.is_some() {
            return wrong(
                "--dir and --no-dir contradict each other".to_owned(),
                "leave one of them out",
            );
        }
        let jupyter = own.is_on("jupyter");
        let port = match own.text("port") {
            Some(port) if !jupyter => {
                return wrong(
                    format!("--port {port} is for --jupyter"),
                    "for a port of your own: -p 127.0.0.1:8000:8000",
                );
            }
            Some(port) => match port.parse::<u16>() {
                Ok(port @ 1..) => Some(port),
                _ => return wrong(format!("--port {port}: not a port"), "write --port 8888"),
            },
            None => None,
        };
        let line = text("cmd");
        let ways = [
            (line.is_some(), "--cmd"),
            (jupyter, "--jupyter"),
            (!spec.command.is_empty(), "a command after the image"),
        ];
        let said: Vec<&str> = ways
            .iter()
            .filter(|(is, _)| *is)
            .map(|(_, what)| *what)
            .collect();
        if said.len() > 1 {
            return wrong(
                format!("{} say both what is started", said.join(" and ")),
                "leave one of them out",
            );
        }
        Ok(Self {
            dir: if own.is_on("no-dir") {
                None
            } else {
                Some(given.unwrap_or_else(|| DIR.to_owned()))
            },
            shell: text("shell"),
            line,
            jupyter,
            port,
            new: own.is_on("new"),
        })
    }
}

/// An image that is named is no variant of the project's.
///
/// # Errors
/// Where both are named.
pub(crate) fn refuse_variant_of_image(own: &Options, spec: &RunSpec) -> CommandResult {
    match own.text("variant") {
        Some(name) if !spec.image.is_empty() => Err(CommandError::user(format!(
            "--variant {name}: the image is named, {}",
            spec.image
        ))
        .hint("leave one of them out")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::GRAMMAR;
    use super::*;

    fn read(line: &str) -> CommandResult<DevFlags> {
        let parsed = GRAMMAR.parse(&shlex::split(line).unwrap())?;
        DevFlags::read(&parsed.own, &parsed.spec)
    }

    #[test]
    fn contradictions_are_named() {
        let said: Vec<String> = [
            "--dir app",
            "--dir /app --no-dir",
            "--port 80",
            "--jupyter --port 70000",
            "--jupyter --cmd ls",
            "--cmd ls img ls",
            "--variant cuda img",
            "--jupiter",
        ]
        .iter()
        .map(|line| format!("$ {line}\n{}", read(line).unwrap_err()))
        .collect();
        insta::assert_snapshot!(said.join("\n"), @r"
        $ --dir app
        --dir app: the path in the container must begin with / and hold no colon
          hint: write --dir /app; the project's folder on this machine is mounted by itself
        $ --dir /app --no-dir
        --dir and --no-dir contradict each other
          hint: leave one of them out
        $ --port 80
        --port 80 is for --jupyter
          hint: for a port of your own: -p 127.0.0.1:8000:8000
        $ --jupyter --port 70000
        --port 70000: not a port
          hint: write --port 8888
        $ --jupyter --cmd ls
        --cmd and --jupyter say both what is started
          hint: leave one of them out
        $ --cmd ls img ls
        --cmd and a command after the image say both what is started
          hint: leave one of them out
        $ --variant cuda img
        --variant cuda: the image is named, img
          hint: leave one of them out
        $ --jupiter
        unknown flag --jupiter
          hint: did you mean `--jupyter`?
        ");
    }

    #[test]
    fn the_project_is_mounted_unless_a_flag_says_otherwise() {
        assert_eq!(read("").unwrap().dir.as_deref(), Some("/app"));
        assert_eq!(read("--no-dir").unwrap().dir, None);
        let flags = read("--shell zsh --cmd 'ls -l'").unwrap();
        let (shell, line) = (flags.shell.as_deref(), flags.line.as_deref());
        assert_eq!((shell, line), (Some("zsh"), Some("ls -l")));
    }
}
