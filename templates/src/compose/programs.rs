//! Programs and libraries of the distribution that known packages start or load when they run: no file of theirs
//! names these, so nothing but a table can.

use std::sync::LazyLock;

use pep440_rs::{Operator, Version, VersionSpecifiers};
use serde::Deserialize;

use super::inputs::Inputs;
use crate::project::Wanted;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    package: Vec<Needs>,
}

/// What some packages need.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Needs {
    /// The packages, as PEP 503 normalizes their names.
    names: Vec<String>,
    /// The first release that needs nothing any more.
    before: Option<Version>,
    /// Packages of Debian's.
    apt: Vec<String>,
    /// What a package does with them, for people.
    why: String,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    toml::from_str(include_str!("../../data/programs.toml")).expect("the table is checked")
});

/// Adds what the packages that are asked for start or load to the distribution's packages.
pub(super) fn add(inputs: &mut Inputs) {
    of_commands(inputs);
    let Inputs {
        decided,
        apt,
        apt_origins,
        ..
    } = inputs;
    for one in decided.iter() {
        for needs in needs(one) {
            for package in &needs.apt {
                if apt.insert(package.clone()) {
                    let why = format!("{} ({}) {}", one.name, one.origin, needs.why);
                    apt_origins.entry(package.clone()).or_insert(why);
                }
            }
        }
    }
}

/// Programs that commands of manifests start, and the packages that have them. Slim bases lack all of these.
const STARTED: [(&str, &[&str]); 8] = [
    ("curl", &["ca-certificates", "curl"]),
    ("wget", &["ca-certificates", "wget"]),
    ("git", &["ca-certificates", "git"]),
    ("unzip", &["unzip"]),
    ("make", &["make"]),
    ("cmake", &["cmake"]),
    ("gcc", &["build-essential"]),
    ("g++", &["build-essential"]),
];

/// Adds what the commands of a manifest start, as the image of the tool that it is written for has it.
fn of_commands(inputs: &mut Inputs) {
    let Inputs {
        run_origins,
        apt,
        apt_origins,
        ..
    } = inputs;
    // What one of them installs by itself is there for those after it.
    let own = |text: &str| text.contains("apt-get install") || text.contains("apt install");
    let installed: String = run_origins
        .iter()
        .filter(|step| own(&step.text))
        .map(|step| format!("{} ", step.text))
        .collect();
    let is_installed = |name: &str| installed.split_whitespace().any(|word| word == name);
    for step in run_origins.iter() {
        for (program, packages) in STARTED.iter().filter(|(name, _)| starts(&step.text, name)) {
            for package in packages.iter().filter(|package| !is_installed(package)) {
                if apt.insert((*package).to_owned()) {
                    let why = format!("{} starts {program}", step.origin);
                    apt_origins.entry((*package).to_owned()).or_insert(why);
                }
            }
        }
    }
}

/// Whether a command starts a program, itself or through pip's `git+`.
fn starts(text: &str, program: &str) -> bool {
    if program == "git" && text.contains("git+") && text.contains("pip") {
        return true;
    }
    // Where a command may begin stands a word of its own.
    let text = text.replace(['(', '`'], " ( ").replace([';', '\n'], " ; ");
    let mut is_first = true;
    text.split_whitespace().any(|word| {
        let is_variable = |key: &str| key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let is_prefix = ["sudo", "exec", "then", "do", "else", "if", "time", "!"].contains(&word)
            || word
                .split_once('=')
                .is_some_and(|(key, _)| is_variable(key));
        let begins = is_first;
        is_first = is_first && is_prefix || ["&&", "||", "|", "&", "(", ";"].contains(&word);
        begins && word == program
    })
}

fn needs(wanted: &Wanted) -> impl Iterator<Item = &'static Needs> {
    let of_name = TABLE.package.iter();
    of_name.filter(|needs| {
        needs.names.contains(&wanted.name)
            && needs.before.as_ref().is_none_or(|before| {
                let versions = wanted.versions.as_ref();
                versions.is_some_and(|versions| is_before(versions, before))
            })
    })
}

/// Whether versions that will do are all before a release.
pub(super) fn is_before(versions: &VersionSpecifiers, release: &Version) -> bool {
    versions.iter().any(|one| match one.operator() {
        Operator::LessThan => one.version() <= release,
        Operator::TildeEqual if one.version().release().len() < 3 => false,
        // `2.*`: all that is below 3.
        Operator::EqualStar => {
            let mut after = one.version().release().to_vec();
            if let Some(last) = after.last_mut() {
                *last += 1;
            }
            Version::new(after) <= *release
        }
        Operator::Equal | Operator::ExactEqual | Operator::TildeEqual | Operator::LessThanEqual => {
            one.version() < release
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::manifests::Asked;

    fn found(name: &str, versions: &str) -> Vec<String> {
        let mut inputs = Inputs {
            decided: vec![Wanted {
                name: name.to_owned(),
                extras: Vec::new(),
                versions: versions.parse().ok(),
                is_wheel: false,
                origin: "requirements.txt:1".to_owned(),
            }],
            ..Inputs::default()
        };
        add(&mut inputs);
        inputs.apt.into_iter().collect()
    }

    #[test]
    fn known_packages_bring_what_they_start_or_load() {
        for (name, versions, apt) in [
            ("pytesseract", "", &["tesseract-ocr"][..]),
            ("openai-whisper", "==20231117", &["ffmpeg"]),
            ("soundfile", "==0.10.3.post1", &["libsndfile1"]),
            ("soundfile", "<0.11", &["libsndfile1"]),
            ("soundfile", ">=0.10,==0.10.*", &["libsndfile1"]),
            ("soundfile", "~=0.10.3", &["libsndfile1"]),
            // Its wheels have it from 0.11 on.
            ("soundfile", "", &[]),
            ("soundfile", "==0.12.1", &[]),
            ("soundfile", "<0.12", &[]),
            ("soundfile", "~=0.10", &[]),
            ("soundfile", ">=0.10", &[]),
            ("python-magic-bin", "", &[]),
            ("numpy", "", &[]),
        ] {
            assert_eq!(found(name, versions), apt, "{name}{versions}");
        }
    }

    #[test]
    fn commands_of_a_manifest_bring_what_they_start() {
        for (commands, apt) in [
            (&["curl -o /x https://h/x"][..], "ca-certificates curl"),
            (&["mkdir /x && wget -q https://h/x"], "ca-certificates wget"),
            (&["cd /x; git clone https://h/x.git"], "ca-certificates git"),
            (&["pip install git+https://h/x.git"], "ca-certificates git"),
            (&["X=$(curl https://h/x) true"], "ca-certificates curl"),
            (
                &["test \"$(curl -s https://h/x)\" || unzip x"],
                "ca-certificates curl unzip",
            ),
            (&["sudo make && A=1 cmake ."], "cmake make"),
            (
                &[
                    "apt-get update && apt-get install -y curl ca-certificates",
                    "curl https://h",
                ],
                "",
            ),
            (
                &["echo curl", "pip install wget gitpython", "python make.py"],
                "",
            ),
            (&["python -m x --git git"], ""),
        ] {
            let mut inputs = Inputs::default();
            for text in commands {
                inputs.run_origins.push(Asked {
                    text: (*text).to_owned(),
                    origin: "cog.yaml:3".to_owned(),
                });
            }
            add(&mut inputs);
            let found: Vec<String> = inputs.apt.into_iter().collect();
            assert_eq!(found.join(" "), apt, "{commands:?}");
            let told = inputs
                .apt_origins
                .values()
                .all(|why| why.starts_with("cog.yaml:3 starts"));
            assert!(told, "{:?}", inputs.apt_origins);
        }
    }

    #[test]
    fn what_each_is_for_is_said() {
        let mut inputs = Inputs::default();
        inputs.decided.push(Wanted {
            name: "gitpython".to_owned(),
            extras: Vec::new(),
            versions: None,
            is_wheel: false,
            origin: "pyproject.toml:4".to_owned(),
        });
        add(&mut inputs);
        assert_eq!(
            inputs.apt_origins["git"],
            "gitpython (pyproject.toml:4) starts git"
        );
        for needs in &TABLE.package {
            let parses = |name: &String| name.parse::<crate::value::AptPackage>().is_ok();
            assert!(needs.apt.iter().all(parses), "{needs:?}");
            let is_plain = |name: &String| mlbuild_wheels::normalize(name) == *name;
            assert!(needs.names.iter().all(is_plain), "{needs:?}");
        }
    }
}
