//! The command line of `docker run`, read by its own grammar: flags up to the first word that is
//! none, which is the image; everything after it is the command.
//!
//! The rules are those of POSIX and GNU long options as docker's library (pflag) has them:
//! `--flag=value`, `--flag value`, `-f value`, `-fvalue`, `-f=value`, letters in one word, and `--`
//! before an image that begins with a dash.

use super::error::RunSpecError;
use super::flag::{Flag, Owner};
use super::options::{Options, Setting};
use super::spec::RunSpec;
use super::table::FLAGS;
use crate::nearest::nearest;

/// A command line, read.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// What is started.
    pub spec: RunSpec,
    /// mlbuild's own flags.
    pub own: Options,
}

/// The line of a verb that starts containers.
#[derive(Debug, Clone, Copy)]
pub struct Grammar {
    /// The verb.
    pub verb: &'static str,
    /// Its flags beside those of [`FLAGS`].
    pub more: &'static [Flag],
    /// Those that only one of the places has at which it starts them.
    pub also: &'static [Flag],
}

/// The grammar of `mlbuild run`.
pub const RUN: Grammar = Grammar {
    verb: "run",
    more: &[],
    also: &[],
};

/// Reads the words after `run`.
///
/// # Errors
/// [`RunSpecError`]: a flag that isn't known or has no good value, or no image. `--help` needs
/// none: then the image is empty.
pub fn parse<S: AsRef<str>>(words: &[S]) -> Result<Parsed, RunSpecError> {
    RUN.parse_with_image(words)
}

/// A flag that took a word of its own as its value.
type Taken = Option<(&'static str, String)>;

impl Grammar {
    /// Reads the words after the verb. A line without an image leaves it empty.
    ///
    /// # Errors
    /// [`RunSpecError`]: a flag that isn't known or has no good value.
    pub fn parse<S: AsRef<str>>(self, words: &[S]) -> Result<Parsed, RunSpecError> {
        self.read(words).map(|(parsed, _)| parsed)
    }

    /// The same, for a verb that can't do without an image. `--help` can.
    ///
    /// # Errors
    /// As [`Grammar::parse`], and where there is no image.
    pub fn parse_with_image<S: AsRef<str>>(self, words: &[S]) -> Result<Parsed, RunSpecError> {
        let (parsed, taken) = self.read(words)?;
        let verb = self.verb;
        if parsed.spec.image.is_empty() && !parsed.own.is_on("help") {
            Err(RunSpecError::NoImage { taken, verb })
        } else {
            Ok(parsed)
        }
    }

    /// All flags of the verb. One that has a `--help` of its own takes docker's flags alone from
    /// the table, and none of `mlbuild run`'s own.
    pub fn flags(self) -> impl Iterator<Item = &'static Flag> {
        let alone = self.more.iter().any(|flag| flag.name == "help");
        let is_taken = move |flag: &&Flag| !alone || flag.owner == Owner::Docker;
        let own = self.more.iter().chain(self.also);
        own.chain(FLAGS.iter().filter(is_taken))
    }

    fn read<S: AsRef<str>>(self, words: &[S]) -> Result<(Parsed, Taken), RunSpecError> {
        let mut reader = Reader {
            grammar: self,
            words: words.iter().map(AsRef::as_ref).collect(),
            next: 0,
            options: Options::default(),
            taken: None,
        };
        let image = reader.flags()?.unwrap_or_default();
        let command = reader.words[reader.next..]
            .iter()
            .map(|&word| word.to_owned())
            .collect();
        let (options, own) = reader.options.by_owner();
        let spec = RunSpec {
            image,
            command,
            options,
        };
        Ok((Parsed { spec, own }, reader.taken))
    }

    fn find(self, name: &str) -> Option<&'static Flag> {
        self.flags()
            .find(|flag| flag.name == name || flag.alias == Some(name))
    }
}

struct Reader<'a> {
    grammar: Grammar,
    words: Vec<&'a str>,
    next: usize,
    options: Options,
    /// The last flag whose value was a word of its own.
    taken: Taken,
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
                verb: self.grammar.verb,
            });
        }
        let flag = self
            .grammar
            .find(name)
            .ok_or_else(|| RunSpecError::UnknownFlag {
                name: name.to_owned(),
                near: nearest(name, self.grammar.flags().map(|flag| flag.name)),
                verb: self.grammar.verb,
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
            let flag = self.short(short, word)?;
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

    fn short(&self, short: char, word: &str) -> Result<&'static Flag, RunSpecError> {
        let mut flags = self.grammar.flags();
        let found = flags.find(|flag| flag.short == Some(short));
        found.ok_or_else(|| {
            // `-rm` for `--rm`: a long name after one dash.
            let name = word.trim_start_matches('-');
            let name = name.split('=').next().unwrap_or_default();
            RunSpecError::UnknownShort {
                short,
                word: word.to_owned(),
                meant: self.grammar.find(name).map(|flag| flag.name),
                verb: self.grammar.verb,
            }
        })
    }

    fn set_next(&mut self, flag: &'static Flag) -> Result<(), RunSpecError> {
        let value = self.word().ok_or(RunSpecError::MissingValue { flag })?;
        self.taken = Some((flag.name, value.to_owned()));
        self.set(flag, value)
    }

    fn set(&mut self, flag: &'static Flag, value: &str) -> Result<(), RunSpecError> {
        let setting = Setting::parse(flag, value).map_err(|why| RunSpecError::Value {
            flag,
            value: value.to_owned(),
            why,
        })?;
        self.options.push(setting);
        Ok(())
    }
}
