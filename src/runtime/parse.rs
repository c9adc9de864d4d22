//! The command line of `docker run`, read by its own grammar: flags up to the first word that is
//! none, which is the image; everything after it is the command.
//!
//! The rules are those of POSIX and GNU long options as docker's library (pflag) has them:
//! `--flag=value`, `--flag value`, `-f value`, `-fvalue`, `-f=value`, letters in one word, and `--`
//! before an image that begins with a dash.

use super::error::RunSpecError;
use super::flag::Flag;
use super::options::{Options, Setting};
use super::spec::RunSpec;
use super::table::{find, find_short};

/// A command line, read.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// What is started.
    pub spec: RunSpec,
    /// mlbuild's own flags.
    pub own: Options,
}

/// Reads the words after `run`.
///
/// # Errors
/// [`RunSpecError`]: a flag that isn't known or has no good value, or no image. `--help` needs
/// none: then the image is empty.
pub fn parse<S: AsRef<str>>(words: &[S]) -> Result<Parsed, RunSpecError> {
    let mut reader = Reader {
        words: words.iter().map(AsRef::as_ref).collect(),
        next: 0,
        options: Options::default(),
        taken: None,
    };
    let image = reader.flags()?;
    let command = reader.words[reader.next..]
        .iter()
        .map(|&word| word.to_owned())
        .collect();
    let (options, own) = reader.options.by_owner();
    let image = match image {
        Some(image) => image,
        None if own.is_on("help") => String::new(),
        None => {
            return Err(RunSpecError::NoImage {
                taken: reader.taken,
            });
        }
    };
    Ok(Parsed {
        spec: RunSpec {
            image,
            command,
            options,
        },
        own,
    })
}

struct Reader<'a> {
    words: Vec<&'a str>,
    next: usize,
    options: Options,
    /// The last flag whose value was a word of its own.
    taken: Option<(&'static str, String)>,
}

impl<'a> Reader<'a> {
    /// Reads flags; returns the word that ends them.
    fn flags(&mut self) -> Result<Option<String>, RunSpecError> {
        while let Some(word) = self.word() {
            match word {
                "--" => return Ok(self.word().map(str::to_owned)),
                _ if word.starts_with("--") => self.long(word)?,
                _ if word.starts_with('-') && word.len() > 1 => self.letters(word)?,
                _ => return Ok(Some(word.to_owned())),
            }
        }
        Ok(None)
    }

    fn word(&mut self) -> Option<&'a str> {
        let word = self.words.get(self.next).copied();
        self.next += usize::from(word.is_some());
        word
    }

    fn long(&mut self, word: &'a str) -> Result<(), RunSpecError> {
        let (name, value) = match word[2..].split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (&word[2..], None),
        };
        if name.is_empty() || name.starts_with('-') {
            return Err(RunSpecError::Malformed {
                word: word.to_owned(),
            });
        }
        let flag = find(name).ok_or_else(|| RunSpecError::UnknownFlag {
            name: name.to_owned(),
        })?;
        match (value, flag.bare) {
            (Some(value), _) | (None, Some(value)) => self.set(flag, value),
            (None, None) => self.set_next(flag),
        }
    }

    /// `-itd`, `-p8000:80`, `-e=A=1`: switches, and then perhaps a flag with its value.
    fn letters(&mut self, word: &'a str) -> Result<(), RunSpecError> {
        let mut rest = &word[1..];
        while let Some(short) = rest.chars().next() {
            let flag = find_short(short).ok_or_else(|| RunSpecError::UnknownShort {
                short,
                word: word.to_owned(),
            })?;
            rest = &rest[short.len_utf8()..];
            match (rest.strip_prefix('='), flag.bare) {
                // An equals sign with nothing after it is itself the value.
                (Some(value), _) if !value.is_empty() => return self.set(flag, value),
                (_, Some(value)) => self.set(flag, value)?,
                (_, None) if rest.is_empty() => return self.set_next(flag),
                (_, None) => return self.set(flag, rest),
            }
        }
        Ok(())
    }

    fn set_next(&mut self, flag: &'static Flag) -> Result<(), RunSpecError> {
        let value = self
            .word()
            .ok_or(RunSpecError::MissingValue { flag: flag.name })?;
        self.taken = Some((flag.name, value.to_owned()));
        self.set(flag, value)
    }

    fn set(&mut self, flag: &'static Flag, value: &str) -> Result<(), RunSpecError> {
        let setting = Setting::parse(flag, value).map_err(|why| RunSpecError::Value {
            flag: flag.name,
            value: value.to_owned(),
            why,
        })?;
        self.options.push(setting);
        Ok(())
    }
}
