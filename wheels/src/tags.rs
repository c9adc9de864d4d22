//! Which wheels fit a Python, best first: the order of `packaging.tags` (26.3 and later), which
//! `tests/peers/packaging.rs` holds against it.

use std::collections::HashMap;
use std::fmt;

use crate::error::{Fault, WheelError};
use crate::name::WheelName;
use crate::target::PythonVersion;

/// What a wheel fits: `cp311-cp311-manylinux_2_17_x86_64`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag {
    /// The interpreter: `cp311`, `py3`.
    pub python: String,
    /// Its binary interface: `cp311`, `abi3`, `none`.
    pub abi: String,
    /// The platform: `manylinux_2_17_x86_64`, `any`.
    pub platform: String,
}

impl Tag {
    pub(crate) fn new(python: &str, abi: &str, platform: &str) -> Self {
        Self {
            python: python.to_lowercase(),
            abi: abi.to_lowercase(),
            platform: platform.to_lowercase(),
        }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.python, self.abi, self.platform)
    }
}

/// The C library of a base, with its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Libc {
    /// The GNU one, as in Debian: `manylinux` wheels.
    Glibc(u32, u32),
    /// The one of Alpine: `musllinux` wheels.
    Musl(u32, u32),
}

impl fmt::Display for Libc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Libc::Glibc(major, minor) => write!(f, "glibc {major}.{minor}"),
            Libc::Musl(major, minor) => write!(f, "musl {major}.{minor}"),
        }
    }
}

/// What a base is, as far as programs depend on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    /// The machine as Linux names it: `x86_64`, `aarch64`.
    pub machine: String,
    /// Its C library.
    pub libc: Libc,
}

impl Platform {
    /// The machine of an image's architecture (`amd64`), with its variant (`v7`).
    pub fn machine_of(architecture: &str, variant: Option<&str>) -> Option<&'static str> {
        Some(match (architecture, variant) {
            ("amd64", _) => "x86_64",
            ("arm64", _) => "aarch64",
            ("386", _) => "i686",
            ("arm", None | Some("v7")) => "armv7l",
            ("ppc64le", _) => "ppc64le",
            ("s390x", _) => "s390x",
            ("riscv64", _) => "riscv64",
            _ => return None,
        })
    }

    /// Its names in tags, best first.
    fn names(&self) -> Vec<String> {
        let machine = &self.machine;
        let mut names = vec![format!("linux_{machine}")];
        match self.libc {
            Libc::Musl(major, minor) => {
                for minor in (0..=minor).rev() {
                    names.push(format!("musllinux_{major}_{minor}_{machine}"));
                }
            }
            Libc::Glibc(2, newest) => {
                let is_x86 = matches!(machine.as_str(), "x86_64" | "i686");
                let oldest = if is_x86 { 5 } else { 17 };
                for minor in (oldest..=newest).rev() {
                    names.push(format!("manylinux_2_{minor}_{machine}"));
                    let old_name = match minor {
                        17 => "manylinux2014",
                        12 => "manylinux2010",
                        5 => "manylinux1",
                        _ => continue,
                    };
                    names.push(format!("{old_name}_{machine}"));
                }
            }
            // None of another major version has been.
            Libc::Glibc(..) => {}
        }
        names
    }
}

/// One part of a tag.
type Part = fn(&Tag) -> &str;

/// The tags that a CPython on a platform takes, best first.
#[derive(Clone, Debug)]
pub struct Tags {
    python: PythonVersion,
    platform: Platform,
    ranks: HashMap<Tag, usize>,
}

impl Tags {
    /// The tags of a CPython with the usual, global interpreter lock.
    pub fn of(python: PythonVersion, platform: &Platform) -> Self {
        let all = ordered(python, &platform.names());
        let mut ranks = HashMap::new();
        for (rank, tag) in all.into_iter().enumerate() {
            ranks.entry(tag).or_insert(rank);
        }
        Self {
            python,
            platform: platform.clone(),
            ranks,
        }
    }

    /// All of them, best first.
    pub fn in_order(&self) -> Vec<&Tag> {
        let mut all: Vec<_> = self.ranks.iter().collect();
        all.sort_by_key(|(_, rank)| **rank);
        all.into_iter().map(|(tag, _)| tag).collect()
    }

    /// How well a wheel fits, 0 being best; `None` where it doesn't.
    pub fn rank(&self, wheel: &WheelName) -> Option<usize> {
        let ranks = wheel.tags.iter().filter_map(|tag| self.ranks.get(tag));
        ranks.copied().min()
    }

    /// The best of some wheels of one version: by tags, then the highest build.
    pub fn best<'a>(&self, wheels: &'a [WheelName]) -> Option<&'a WheelName> {
        let ranked = wheels.iter().filter_map(|w| Some((self.rank(w)?, w)));
        let best = ranked.min_by(|(rank_a, a), (rank_b, b)| {
            rank_a.cmp(rank_b).then_with(|| b.build.cmp(&a.build))
        });
        best.map(|(_, wheel)| wheel)
    }

    /// Refuses a wheel that doesn't fit, and says which of its parts is the reason.
    ///
    /// # Errors
    /// [`Fault::Tags`].
    pub fn check(&self, wheel: &WheelName) -> Result<(), WheelError> {
        if self.rank(wheel).is_some() {
            return Ok(());
        }
        let fault = Fault::Tags {
            python: format!(
                "Python {} on {} with {}",
                self.python, self.platform.machine, self.platform.libc
            ),
            nearest: self.nearest(wheel),
        };
        Err(WheelError {
            wheel: wheel.file.clone(),
            fault,
        })
    }

    /// Of a wheel's tags the one that agrees in most parts with one that fits, and where it doesn't.
    fn nearest(&self, wheel: &WheelName) -> String {
        let fits = |part: Part, of: &Tag| {
            let mut all = self.ranks.keys();
            all.any(|tag| part(tag) == part(of))
        };
        let parts: [(&str, Part); 3] = [
            ("Python", |tag| &tag.python),
            ("ABI", |tag| &tag.abi),
            ("platform", |tag| &tag.platform),
        ];
        let wrong = |tag: &Tag| -> Vec<String> {
            let wrong = parts.iter().filter(|(_, part)| !fits(*part, tag));
            wrong
                .map(|(what, part)| format!("{what} {}", part(tag)))
                .collect()
        };
        let Some(best) = wheel.tags.iter().min_by_key(|tag| wrong(tag).len()) else {
            return "it has no tags".to_owned();
        };
        let wrong = wrong(best);
        if wrong.is_empty() {
            return format!("it is for {best}, a combination that this Python doesn't take");
        }
        format!(
            "it is for {best}; {} is not this one's",
            wrong.join(" and ")
        )
    }
}

fn ordered(python: PythonVersion, platforms: &[String]) -> Vec<Tag> {
    let nodot = |minor: u8| format!("{}{minor}", python.major);
    let current = format!("cp{}", nodot(python.minor));
    let mut tags = Vec::new();
    let mut on_each = |python: &str, abi: &str| {
        tags.extend(platforms.iter().map(|p| Tag::new(python, abi, p)));
    };
    on_each(&current, &current);
    on_each(&current, "abi3");
    on_each(&current, "none");
    for minor in (2..python.minor).rev() {
        on_each(&format!("cp{}", nodot(minor)), "abi3");
    }
    let mut pythons = vec![
        format!("py{}", nodot(python.minor)),
        format!("py{}", python.major),
    ];
    pythons.extend((0..python.minor).rev().map(|m| format!("py{}", nodot(m))));
    for python in &pythons {
        on_each(python, "none");
    }
    tags.push(Tag::new(&current, "none", "any"));
    tags.extend(pythons.iter().map(|p| Tag::new(p, "none", "any")));
    tags
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(machine: &str, libc: Libc) -> Tags {
        let platform = Platform {
            machine: machine.to_owned(),
            libc,
        };
        Tags::of("3.11".parse().unwrap(), &platform)
    }

    fn parse(file: &str) -> WheelName {
        WheelName::parse(file).unwrap()
    }

    #[test]
    fn the_newest_fitting_wheel_is_taken() {
        let tags = tags("x86_64", Libc::Glibc(2, 36));
        let wheels = [
            "a-1-py3-none-any.whl",
            "a-1-cp311-cp311-manylinux_2_39_x86_64.whl",
            "a-1-cp311-cp311-manylinux2014_x86_64.whl",
            "a-1-2-cp311-cp311-manylinux_2_28_x86_64.whl",
            "a-1-cp311-cp311-manylinux_2_28_x86_64.whl",
            "a-1-cp39-abi3-manylinux_2_28_x86_64.whl",
        ]
        .map(parse);
        let best = tags.best(&wheels).unwrap();
        assert_eq!(best.file, "a-1-2-cp311-cp311-manylinux_2_28_x86_64.whl");
        assert_eq!(
            tags.best(&[parse("a-1-cp312-cp312-linux_x86_64.whl")]),
            None
        );
    }

    #[test]
    fn a_wheel_that_does_not_fit_is_named_with_the_reason() {
        let debian = tags("x86_64", Libc::Glibc(2, 36));
        let why = |tags: &Tags, file| tags.check(&parse(file)).unwrap_err().to_string();
        insta::assert_snapshot!(
            why(&debian, "a-1-cp312-cp312-manylinux_2_28_x86_64.whl"),
            @"a-1-cp312-cp312-manylinux_2_28_x86_64.whl: doesn't fit Python 3.11 on x86_64 with glibc 2.36: it is for cp312-cp312-manylinux_2_28_x86_64; Python cp312 and ABI cp312 is not this one's"
        );
        insta::assert_snapshot!(
            why(&debian, "a-1-cp311-cp311-manylinux_2_39_x86_64.manylinux_2_40_aarch64.whl"),
            @"a-1-cp311-cp311-manylinux_2_39_x86_64.manylinux_2_40_aarch64.whl: doesn't fit Python 3.11 on x86_64 with glibc 2.36: it is for cp311-cp311-manylinux_2_39_x86_64; platform manylinux_2_39_x86_64 is not this one's"
        );
        let alpine = tags("x86_64", Libc::Musl(1, 2));
        insta::assert_snapshot!(
            why(&alpine, "a-1-cp311-cp311-manylinux2014_x86_64.whl"),
            @"a-1-cp311-cp311-manylinux2014_x86_64.whl: doesn't fit Python 3.11 on x86_64 with musl 1.2: it is for cp311-cp311-manylinux2014_x86_64; platform manylinux2014_x86_64 is not this one's"
        );
        insta::assert_snapshot!(
            why(&debian, "a-1-cp310-cp310-linux_x86_64.whl"),
            @"a-1-cp310-cp310-linux_x86_64.whl: doesn't fit Python 3.11 on x86_64 with glibc 2.36: it is for cp310-cp310-linux_x86_64; ABI cp310 is not this one's"
        );
    }
}
