//! The name of a wheel's file: `NAME-VERSION[-BUILD]-PYTHON-ABI-PLATFORM.whl`
//! (<https://packaging.python.org/specifications/binary-distribution-format/>).

use std::str::FromStr as _;

use pep440_rs::Version;

use crate::error::{Fault, WheelError};
use crate::tags::Tag;

/// Combinations of tags that a name may stand for. Real ones have a dozen.
const MOST_TAGS: usize = 1024;

/// A wheel's name, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WheelName {
    /// The file's name.
    pub file: String,
    /// The package, normalized.
    pub name: String,
    /// Its version.
    pub version: Version,
    /// The build number and what follows it: of two wheels that fit alike, the higher one is taken.
    pub build: Option<(u64, String)>,
    /// What it fits. A compressed set of tags stands for all combinations.
    pub tags: Vec<Tag>,
}

impl WheelName {
    /// Reads a file's name.
    ///
    /// # Errors
    /// [`Fault::Name`].
    pub fn parse(file: &str) -> Result<Self, WheelError> {
        let bad = |why| WheelError {
            wheel: file.to_owned(),
            fault: Fault::Name(why),
        };
        if file.contains(['/', '\0']) || file.chars().any(char::is_control) {
            return Err(bad("it isn't a file's name"));
        }
        let stem = file.strip_suffix(".whl");
        let stem = stem.ok_or_else(|| bad("it doesn't end in .whl"))?;
        let parts: Vec<&str> = stem.split('-').collect();
        let (name, version, build, tags) = match parts[..] {
            [name, version, python, abi, platform] => {
                (name, version, None, [python, abi, platform])
            }
            [name, version, build, python, abi, platform] => {
                (name, version, Some(build), [python, abi, platform])
            }
            _ => return Err(bad("it has other than five or six parts")),
        };
        let is_name = |c: char| c.is_alphanumeric() || "._".contains(c);
        if name.is_empty() || !name.chars().all(is_name) {
            return Err(bad("its first part is no name of a package"));
        }
        let version = version.replace('_', "-");
        let version = Version::from_str(&version).map_err(|_| bad("its version is none"))?;
        let build = build.map(|build| {
            let digits = build.find(|c: char| !c.is_ascii_digit());
            let (number, rest) = build.split_at(digits.unwrap_or(build.len()));
            let number = number.parse().map_err(|_| bad("its build has no number"))?;
            Ok((number, rest.to_owned()))
        });
        Ok(Self {
            file: file.to_owned(),
            name: normalize(name),
            version,
            build: build.transpose()?,
            tags: expand(tags).ok_or_else(|| bad("its tags make no sense"))?,
        })
    }
}

/// The name of a package as indexes have it: lower case, runs of `-`, `_` and `.` one `-`.
pub fn normalize(name: &str) -> String {
    let mut normal = String::new();
    for c in name.chars() {
        if !"-_.".contains(c) {
            normal.extend(c.to_lowercase());
        } else if !normal.ends_with('-') {
            normal.push('-');
        }
    }
    normal
}

fn expand([pythons, abis, platforms]: [&str; 3]) -> Option<Vec<Tag>> {
    let parts = [pythons, abis, platforms].map(|set| set.split('.').collect::<Vec<_>>());
    if parts.iter().flatten().any(|part| part.is_empty()) {
        return None;
    }
    if parts.iter().map(Vec::len).product::<usize>() > MOST_TAGS {
        return None;
    }
    let mut tags = Vec::new();
    for python in &parts[0] {
        for abi in &parts[1] {
            for platform in &parts[2] {
                tags.push(Tag::new(python, abi, platform));
            }
        }
    }
    Some(tags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        let name = WheelName::parse("Foo.Bar_baz-1.0+cu12.1-2b-py2.py3-none-any.whl").unwrap();
        assert_eq!(name.name, "foo-bar-baz");
        assert_eq!(name.version.to_string(), "1.0+cu12.1");
        assert_eq!(name.build, Some((2, "b".to_owned())));
        let tags: Vec<String> = name.tags.iter().map(ToString::to_string).collect();
        assert_eq!(tags, ["py2-none-any", "py3-none-any"]);
    }

    #[test]
    fn other_names_are_refused() {
        for bad in [
            "foo-1.0.tar.gz",
            "foo-1.0.whl",
            "-1.0-py3-none-any.whl",
            "foo-x-py3-none-any.whl",
            "foo-1.0-b1-py3-none-any.whl",
            "foo-1.0-py3-none-.whl",
            "../foo-1.0-py3-none-any.whl",
            "f\noo-1.0-py3-none-any.whl",
        ] {
            let error = WheelName::parse(bad).expect_err(bad);
            assert!(matches!(error.fault, Fault::Name(_)), "{bad}");
        }
        let many = (0..2000).map(|n| format!("p{n}")).collect::<Vec<_>>();
        let bomb = format!("foo-1-{}-none-any.whl", many.join("."));
        assert!(WheelName::parse(&bomb).is_err());
    }
}
