//! Instructions to text. Every value passes through [`word`], the one escaping function, except
//! the words of ENTRYPOINT, CMD and their like, which are JSON, and RUN, which is shell.

use super::Dockerfile;
use super::instruction::{
    CacheMount, Copy, Healthcheck, Instruction, Mount, Network, Run, Sharing,
};
use super::script::is_comment;
use super::word::{Part, Word};

const CONTINUE: &str = " \\\n    ";

/// A value that no Dockerfile can hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{instruction} can't hold {value:?}: a Dockerfile has no way to write {what}")]
pub struct RenderError {
    /// The instruction's keyword.
    pub instruction: &'static str,
    /// The value.
    pub value: String,
    /// What can't be written.
    pub what: &'static str,
}

type Rendered = Result<String, RenderError>;

pub(super) fn dockerfile(dockerfile: &Dockerfile) -> Rendered {
    let mut text = String::new();
    for instruction in &dockerfile.instructions {
        text.push_str(&render(instruction)?);
        text.push('\n');
    }
    Ok(text)
}

fn render(instruction: &Instruction) -> Rendered {
    Ok(match instruction {
        Instruction::Blank => String::new(),
        Instruction::Comment(text) => comment(text),
        Instruction::From { image, alias } => {
            let alias = alias
                .as_ref()
                .map(|a| format!(" AS {a}"))
                .unwrap_or_default();
            format!("FROM {}{alias}", word("FROM", image)?)
        }
        Instruction::Arg { name, default } => match default {
            None => format!("ARG {name}"),
            Some(default) => format!("ARG {name}={}", word("ARG", default)?),
        },
        Instruction::Env(pairs) => pairs_of("ENV", pairs.iter().map(|(k, v)| (k.as_str(), v)))?,
        Instruction::Label(pairs) => pairs_of("LABEL", pairs.iter().map(|(k, v)| (k.as_str(), v)))?,
        Instruction::Run(run) => render_run(run)?,
        Instruction::Copy(copy) => render_copy(copy)?,
        Instruction::Workdir(path) => format!("WORKDIR {}", word("WORKDIR", path)?),
        Instruction::User(user) => format!("USER {}", word("USER", user)?),
        Instruction::Expose(ports) => {
            let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
            format!("EXPOSE {}", ports.join(" "))
        }
        Instruction::Entrypoint(words) => format!("ENTRYPOINT {}", json(words)),
        Instruction::Cmd(words) => format!("CMD {}", json(words)),
        Instruction::Shell(words) => format!("SHELL {}", json(words)),
        Instruction::Volume(paths) => format!("VOLUME {}", json(paths)),
        Instruction::Stopsignal(signal) => {
            format!(
                "STOPSIGNAL {}",
                word("STOPSIGNAL", &Word::from(signal.as_str()))?
            )
        }
        Instruction::Healthcheck(check) => healthcheck(check),
    })
}

fn comment(text: &str) -> String {
    let line = |l: &str| format!("# {l}").trim_end().to_owned();
    if text.is_empty() {
        return "#".into();
    }
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

fn pairs_of<'a>(
    keyword: &'static str,
    pairs: impl Iterator<Item = (&'a str, &'a Word)>,
) -> Rendered {
    let pairs: Result<Vec<_>, _> = pairs
        .map(|(key, value)| Ok(format!("{key}={}", word(keyword, value)?)))
        .collect();
    Ok(format!("{keyword} {}", pairs?.join(CONTINUE)))
}

fn render_run(run: &Run) -> Rendered {
    let network = match run.network {
        Network::Default => None,
        Network::None => Some("--network=none".to_owned()),
        Network::Host => Some("--network=host".to_owned()),
    };
    let mounts: Result<Vec<String>, RenderError> = run.mounts.iter().map(checked_mount).collect();
    let flags = network.into_iter().chain(mounts?);
    let lines: Vec<String> = flags.chain(run.script.0.iter().cloned()).collect();
    if let Some(broken) = lines.iter().find(|line| line.contains(['\n', '\r'])) {
        return Err(RenderError {
            instruction: "RUN",
            value: broken.clone(),
            what: "a line break inside a shell word",
        });
    }
    // Comment lines aren't part of the command: a continuation goes over them.
    let last = lines
        .iter()
        .rposition(|line| !is_comment(line))
        .unwrap_or(0);
    let mut text = String::from("RUN ");
    for (at, line) in lines.iter().enumerate() {
        let indent = if at == 0 { "" } else { "    " };
        let end = if at == last || is_comment(line) {
            ""
        } else {
            " \\"
        };
        let newline = if at + 1 == lines.len() { "" } else { "\n" };
        text.push_str(&format!("{indent}{line}{end}{newline}"));
    }
    Ok(text)
}

/// A mount's flag. Its values are neither quoted nor escaped: a blank would begin another flag, a comma
/// another field, such as a secret of the build.
fn checked_mount(what: &Mount) -> Rendered {
    let values = match what {
        Mount::Cache(cache) => vec![cache.id.as_ref(), Some(&cache.target)],
        Mount::Secret { id, .. } => vec![Some(id)],
        Mount::Bind {
            from,
            source,
            target,
        } => vec![from.as_ref(), source.as_ref(), Some(target)],
        Mount::Tmpfs { target } => vec![Some(target)],
        Mount::Ssh => Vec::new(),
    };
    let is_plain =
        |value: &str| !value.contains(|c: char| c.is_whitespace() || ",\"'\\$`".contains(c));
    match values.into_iter().flatten().find(|value| !is_plain(value)) {
        None => Ok(mount(what)),
        Some(value) => Err(RenderError {
            instruction: "RUN --mount",
            value: value.clone(),
            what: "a blank, comma, quote, backslash or dollar sign in a mount",
        }),
    }
}

fn mount(mount: &Mount) -> String {
    match mount {
        Mount::Cache(CacheMount {
            id,
            target,
            sharing,
        }) => {
            let id = id
                .as_ref()
                .map(|id| format!("id={id},"))
                .unwrap_or_default();
            let sharing = match sharing {
                Sharing::Shared => "",
                Sharing::Locked => ",sharing=locked",
                Sharing::Private => ",sharing=private",
            };
            format!("--mount=type=cache,{id}target={target}{sharing}")
        }
        Mount::Secret { id, for_all } => {
            let mode = if *for_all { ",mode=0444" } else { "" };
            format!("--mount=type=secret,id={id}{mode}")
        }
        Mount::Bind {
            from,
            source,
            target,
        } => {
            let from = from
                .as_ref()
                .map(|f| format!("from={f},"))
                .unwrap_or_default();
            let source = source
                .as_ref()
                .map(|s| format!("source={s},"))
                .unwrap_or_default();
            format!("--mount=type=bind,{from}{source}target={target}")
        }
        Mount::Tmpfs { target } => format!("--mount=type=tmpfs,target={target}"),
        Mount::Ssh => "--mount=type=ssh".into(),
    }
}

fn render_copy(copy: &Copy) -> Rendered {
    let mut text = String::from("COPY");
    for (flag, value) in [
        ("from", &copy.from),
        ("chown", &copy.chown),
        ("chmod", &copy.chmod),
    ] {
        if let Some(value) = value {
            text.push_str(&format!(" --{flag}={}", word("COPY", value)?));
        }
    }
    if copy.link {
        text.push_str(" --link");
    }
    let sources: Vec<Word> = copy.sources.iter().map(Word::as_operand).collect();
    let paths: Vec<&Word> = sources.iter().chain([&copy.destination]).collect();
    let spaces = paths.iter().any(|path| path.has_space());
    let paths: Result<Vec<_>, _> = paths.iter().map(|path| word("COPY", path)).collect();
    // Only the JSON form can hold spaces; its strings are read as words once more.
    let paths = if spaces {
        json(&paths?)
    } else {
        paths?.join(" ")
    };
    Ok(format!("{text} {paths}"))
}

fn healthcheck(check: &Healthcheck) -> String {
    match check {
        Healthcheck::None => "HEALTHCHECK NONE".into(),
        Healthcheck::Command {
            interval,
            timeout,
            words,
        } => {
            let flag = |name: &str, value: &Option<std::time::Duration>| {
                value
                    .map(|v| format!(" --{name}={}ms", v.as_millis()))
                    .unwrap_or_default()
            };
            format!(
                "HEALTHCHECK{}{} CMD {}",
                flag("interval", interval),
                flag("timeout", timeout),
                json(words)
            )
        }
    }
}

fn json(words: &[String]) -> String {
    let words: Vec<String> = words
        .iter()
        .map(|w| serde_json::to_string(w).expect("a string is always JSON"))
        .collect();
    format!("[{}]", words.join(", "))
}

/// The one escaping function: a word as Docker's own shell-like lexer reads it back. Literal text
/// comes out as it went in, and only variables are expanded.
fn word(instruction: &'static str, word: &Word) -> Rendered {
    let plain = |c: char| c.is_alphanumeric() || "_-./:=@+,%*?~^!".contains(c);
    let mut text = String::new();
    let mut quotes = word.0.is_empty();
    for part in &word.0 {
        match part {
            Part::Variable(name) => text.push_str(&format!("${{{name}}}")),
            Part::Literal(literal) => {
                if literal.contains(['\n', '\r', '\0']) {
                    return Err(RenderError {
                        instruction,
                        value: literal.clone(),
                        what: "a line break inside a value",
                    });
                }
                quotes |= !literal.chars().all(plain);
                for c in literal.chars() {
                    if matches!(c, '\\' | '"' | '$') {
                        text.push('\\');
                    }
                    text.push(c);
                }
            }
        }
    }
    Ok(if quotes || text.is_empty() {
        format!("\"{text}\"")
    } else {
        text
    })
}
