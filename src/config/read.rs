//! Finding and reading `mlbuild.toml`, with errors that name the line.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, de};

use super::{Config, VariantName};

/// The file's name.
pub const FILE_NAME: &str = "mlbuild.toml";

/// Why `mlbuild.toml` could not be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read {path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The text is not what `mlbuild.toml` may hold.
    #[error("{path}:{line}:{column}: {message}", path = path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// What is wrong.
        message: String,
        /// What was probably meant.
        hint: Option<String>,
    },
}

/// `mlbuild.toml` in `folder`, if there is one.
pub fn find(folder: &Path) -> Option<PathBuf> {
    let path = folder.join(FILE_NAME);
    path.is_file().then_some(path)
}

/// Reads and checks a file.
///
/// # Errors
/// [`ConfigError::Io`] if it can't be read, [`ConfigError::Invalid`] with the
/// place if it isn't TOML, has an unknown key, or a value of the wrong type.
pub fn read(path: &Path) -> Result<Config, ConfigError> {
    let bytes = mlbuild_files::read(path).map_err(|source| ConfigError::Io {
        path: path.to_owned(),
        source,
    })?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let (line, column) = place(&String::from_utf8_lossy(valid), valid.len());
        ConfigError::Invalid {
            path: path.to_owned(),
            line,
            column,
            message: "the file is not UTF-8".into(),
            hint: None,
        }
    })?;
    parse(&text, path)
}

/// Checks `text`, which came from `path`.
///
/// # Errors
/// [`ConfigError::Invalid`].
pub fn parse(text: &str, path: &Path) -> Result<Config, ConfigError> {
    let invalid = |at: usize, (message, hint): (String, String)| {
        let (line, column) = place(text, at);
        ConfigError::Invalid {
            path: path.to_owned(),
            line,
            column,
            message,
            hint: Some(hint).filter(|hint| !hint.is_empty()),
        }
    };
    let config: Config = toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        invalid(at, explain(error.message().trim()))
    })?;
    if let Some(name) = &config.default_variant
        && !config.variants.contains_key(name.get_ref())
    {
        let known = config.variants.keys().map(VariantName::as_str);
        return Err(invalid(
            name.span().start,
            (
                format!("there is no variant `{}`", name.get_ref()),
                nearest_variant(name.get_ref().as_str(), known),
            ),
        ));
    }
    Ok(config)
}

/// What to write in place of a variant that isn't declared.
pub fn nearest_variant<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.collect();
    let all = known.join(", ");
    match crate::nearest::nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`? There are {all}"),
        None if known.is_empty() => "declare it with a table [variant.NAME]".to_owned(),
        None => format!("there are {all}"),
    }
}

/// Line and column, both from 1, of a byte offset.
fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = String::from_utf8_lossy(&text.as_bytes()[..offset.min(text.len())]);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    (line, column)
}

/// serde says ``unknown field `x`, expected one of `a`, `b` ``: becomes a short
/// message, and a hint with the name nearest to `x` or else all of them.
fn explain(message: &str) -> (String, String) {
    let unknown = [("unknown field ", "key"), ("unknown variant ", "value")]
        .iter()
        .find_map(|(prefix, noun)| Some((message.strip_prefix(prefix)?, noun)))
        .and_then(|(rest, noun)| Some((rest.split_once(", expected ")?, noun)));
    let Some(((unknown, expected), noun)) = unknown else {
        return (message.to_owned(), String::new());
    };
    let names = || expected.split('`').skip(1).step_by(2);
    let hint = match crate::nearest::nearest(unknown.trim_matches('`'), names()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!(
            "what can stand here: {}",
            names().collect::<Vec<_>>().join(", ")
        ),
    };
    (format!("unknown {noun} {unknown}"), hint)
}

/// Accepts `"a"` as well as `["a", "b"]`.
pub(super) fn one_or_many<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<String>, D::Error> {
    struct Visitor;
    impl<'de> de::Visitor<'de> for Visitor {
        type Value = Vec<String>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a string or a list of strings")
        }
        fn visit_str<E: de::Error>(self, value: &str) -> Result<Self::Value, E> {
            Ok(vec![value.to_owned()])
        }
        fn visit_seq<A: de::SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
            Vec::deserialize(de::value::SeqAccessDeserializer::new(list))
        }
    }
    input.deserialize_any(Visitor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        let error = parse(text, Path::new("mlbuild.toml")).unwrap_err();
        match &error {
            ConfigError::Invalid {
                hint: Some(hint), ..
            } => format!("{error}\n{hint}"),
            _ => error.to_string(),
        }
    }

    #[test]
    fn an_unknown_key_is_an_error_with_its_line_and_the_nearest_name() {
        insta::assert_snapshot!(error("[image]\ngpu = \"auto\"\nrequirement = [\"a\"]\n"), @r"
        mlbuild.toml:3:1: unknown key `requirement`
        did you mean `requirements`?
        ");
    }

    #[test]
    fn a_value_of_the_wrong_type_names_its_place() {
        insta::assert_snapshot!(error("[image]\nports = [5000, \"x\"]\n"), @r#"mlbuild.toml:2:9: port "x" isn't a number; give a number from 1 to 65535, optionally with /tcp or /udp"#);
    }

    #[test]
    fn a_tag_may_be_one_or_many() {
        let config = parse("image.tag = 'a'", Path::new("x")).unwrap();
        assert_eq!(config.image.tags, ["a"]);
        let config = parse("image.tag = ['a', 'b']", Path::new("x")).unwrap();
        assert_eq!(config.image.tags, ["a", "b"]);
    }

    #[test]
    fn an_accelerator_overrides_its_base() {
        let config = parse(
            "[accelerator.cuda]\nbase_image = 'tensorflow/tensorflow:latest-gpu'",
            Path::new("x"),
        )
        .unwrap();
        let cuda = &config.accelerator[&super::super::AcceleratorKey::Cuda];
        assert_eq!(
            cuda.base_image.as_ref().map(|base| base.as_str()),
            Some("tensorflow/tensorflow:latest-gpu")
        );
    }

    #[test]
    fn broken_toml_names_its_place() {
        assert!(error("[image\n").starts_with("mlbuild.toml:1:7: "));
    }
}
