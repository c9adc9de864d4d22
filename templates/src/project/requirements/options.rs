//! Options of requirements files, read by the rules of Python's `optparse`: `-rFILE`, `-r FILE`,
//! `--requirement=FILE`, `--requirement FILE`, and long names cut short as far as they stay unique.

/// Whose option it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// Of the whole file: it stands on a line of its own.
    File,
    /// Of one requirement: it follows it.
    Requirement,
}

pub(super) struct Known {
    /// The long name that stands for all of its names.
    pub name: &'static str,
    short: Option<char>,
    aliases: &'static [&'static str],
    takes_value: bool,
    pub scope: Scope,
    /// Whether uv knows it in a requirements file.
    uv: bool,
}

const fn file(
    name: &'static str,
    short: Option<char>,
    aliases: &'static [&'static str],
    takes_value: bool,
) -> Known {
    Known {
        name,
        short,
        aliases,
        takes_value,
        scope: Scope::File,
        uv: true,
    }
}

const fn of_pip(name: &'static str, takes_value: bool) -> Known {
    let mut known = file(name, None, &[], takes_value);
    known.uv = false;
    known
}

const fn of_one(
    name: &'static str,
    short: Option<char>,
    aliases: &'static [&'static str],
) -> Known {
    Known {
        name,
        short,
        aliases,
        takes_value: true,
        scope: Scope::Requirement,
        uv: false,
    }
}

static KNOWN: [Known; 19] = [
    file("index-url", Some('i'), &["pypi-url"], true),
    file("extra-index-url", None, &[], true),
    file("no-index", None, &[], false),
    file("constraint", Some('c'), &[], true),
    file("requirement", Some('r'), &[], true),
    file("editable", Some('e'), &[], true),
    file("find-links", Some('f'), &[], true),
    file("no-binary", None, &[], true),
    file("only-binary", None, &[], true),
    file("prefer-binary", None, &[], false),
    file("require-hashes", None, &[], false),
    file("pre", None, &[], false),
    of_pip("all-releases", true),
    of_pip("only-final", true),
    file("trusted-host", None, &[], true),
    file("use-feature", None, &[], true),
    of_one("global-option", None, &[]),
    Known {
        uv: true,
        ..of_one("hash", None, &[])
    },
    of_one("config-settings", Some('C'), &["config-setting"]),
];

/// An option with its value (empty for a switch).
pub(super) struct Given {
    pub option: &'static Known,
    pub value: String,
    /// Why uv doesn't read it, where it doesn't.
    pub only_pip: Option<String>,
}

/// The options of a line, and the words among them that pip leaves unread.
pub(super) struct Options {
    pub given: Vec<Given>,
    pub unread: Vec<String>,
}

/// A line's requirement and its options: options begin at the first word with a dash.
pub(super) fn split(line: &str) -> (&str, &str) {
    if line.starts_with('-') {
        return ("", line);
    }
    match line.find(" -") {
        Some(at) => (line[..at].trim(), line[at + 1..].trim()),
        None => (line, ""),
    }
}

/// Reads the options of a line; the error says what is wrong.
pub(super) fn read(text: &str) -> Result<Options, String> {
    let words = shlex::split(text).ok_or("a quote isn't closed")?;
    let mut options = Options {
        given: Vec::new(),
        unread: Vec::new(),
    };
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        if word == "--" {
            options.unread.extend(words.by_ref());
        } else if let Some(long) = word.strip_prefix("--") {
            let (name, value) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (long, None),
            };
            let option = long_option(name)?;
            let value = taken(option, &format!("--{name}"), value, &mut words)?;
            let only_pip = if option.uv && name == option.name {
                None
            } else {
                Some(format!("--{name}"))
            };
            options.given.push(Given {
                option,
                value,
                only_pip,
            });
        } else if word.starts_with('-') && word.len() > 1 {
            let letter = word.chars().nth(1).unwrap_or('-');
            let option = KNOWN.iter().find(|known| known.short == Some(letter));
            let option =
                option.ok_or_else(|| format!("-{letter} isn't an option of requirements files"))?;
            let rest = &word[1 + letter.len_utf8()..];
            let value = (!rest.is_empty()).then(|| rest.to_owned());
            let only_pip = (!option.uv || value.is_some()).then(|| word.clone());
            let value = taken(option, &format!("-{letter}"), value, &mut words)?;
            options.given.push(Given {
                option,
                value,
                only_pip,
            });
        } else {
            options.unread.push(word);
        }
    }
    Ok(options)
}

fn taken(
    option: &Known,
    typed: &str,
    value: Option<String>,
    words: &mut impl Iterator<Item = String>,
) -> Result<String, String> {
    if !option.takes_value {
        return match value {
            Some(_) => Err(format!("{typed} takes no value")),
            None => Ok(String::new()),
        };
    }
    let value = value.or_else(|| words.next());
    value.ok_or_else(|| format!("{typed} needs a value"))
}

fn long_option(name: &str) -> Result<&'static Known, String> {
    fn names(known: &'static Known) -> impl Iterator<Item = &'static str> {
        known.aliases.iter().copied().chain([known.name])
    }
    if let Some(known) = KNOWN.iter().find(|known| names(known).any(|n| n == name)) {
        return Ok(known);
    }
    let known = KNOWN.iter();
    let meant: Vec<&'static Known> = known
        .filter(|known| names(known).any(|n| n.starts_with(name)))
        .collect();
    match meant[..] {
        [only] if !name.is_empty() => Ok(only),
        [] => Err(format!("--{name} isn't an option of requirements files")),
        _ => {
            let names: Vec<String> = meant.iter().map(|m| format!("--{}", m.name)).collect();
            Err(format!("--{name} may be {}", names.join(" or ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Result<Vec<(&'static str, String)>, String> {
        let given = read(text)?.given.into_iter();
        Ok(given.map(|g| (g.option.name, g.value)).collect())
    }

    #[test]
    fn every_way_to_write_an_option() {
        let one = |name, value: &str| Ok(vec![(name, value.to_owned())]);
        for text in [
            "-rx",
            "-r x",
            "-r\tx",
            "--requirement x",
            "--requirement=x",
            "--requirem x",
        ] {
            assert_eq!(shown(text), one("requirement", "x"), "{text}");
        }
        assert_eq!(shown("--index-url 'a b'"), one("index-url", "a b"));
        assert_eq!(shown("--pre"), one("pre", ""));
        for bad in ["--p", "--frob", "-x", "-r", "--pre=1", "-r 'x"] {
            assert!(shown(bad).is_err(), "{bad}");
        }
        assert_eq!(read("-r a b").unwrap().unread, ["b"]);
    }

    #[test]
    fn options_follow_their_requirement() {
        assert_eq!(split("a==1 --hash=x"), ("a==1", "--hash=x"));
        assert_eq!(split("-e ."), ("", "-e ."));
        assert_eq!(split("a-b"), ("a-b", ""));
    }
}
