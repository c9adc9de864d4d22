//! The files of a `pylock.toml` (PEP 751) that one Python takes: what `data/resolve/resolve.py` does inside
//! a base, for a base whose Python is known from its layers.

use std::collections::BTreeMap;
use std::str::FromStr as _;
use std::sync::LazyLock;

use mlbuild_wheels::{Tags, WheelName, normalize};
use pep440_rs::{Version, VersionSpecifiers};
use pep508_rs::{MarkerEnvironment, MarkerEnvironmentBuilder};
use percent_encoding::percent_decode_str;
use regex::{Captures, Regex};
use serde::Deserialize;

use super::requirements::pep508::requirement;

/// The Python that files are chosen for.
#[derive(Clone, Copy, Debug)]
pub struct PylockPython<'a> {
    /// Its version: `3.11.2`.
    pub version: &'a str,
    /// The machine as Linux names it: `x86_64`.
    pub machine: &'a str,
    /// The wheels that it takes.
    pub tags: &'a Tags,
}

/// A file that is to be installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PylockFile {
    /// The package, normalized.
    pub name: String,
    /// Its version; empty where the lock has none.
    pub version: String,
    /// The name of its file.
    pub file: String,
    /// Where it is.
    pub place: FilePlace,
    /// Its hash, hex.
    pub sha256: String,
    /// Bytes of it, where the lock says so.
    pub size: Option<u64>,
    /// False for a source archive, which has to be built.
    pub is_wheel: bool,
}

/// Where a file of a lock is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilePlace {
    /// At an address.
    Url(String),
    /// Below the lock's own folder: a wheel of the project. As the lock has it, checked by nobody.
    Path(String),
}

impl FilePlace {
    /// The file's name.
    fn file(&self) -> String {
        match self {
            Self::Url(url) => file_of(url),
            Self::Path(path) => path.rsplit('/').next().unwrap_or_default().to_owned(),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Pylock {
    #[serde(default = "first_version")]
    lock_version: String,
    #[serde(default)]
    requires_python: String,
    #[serde(default)]
    default_groups: Vec<String>,
    #[serde(default)]
    packages: Vec<Package>,
}

fn first_version() -> String {
    "1".to_owned()
}

#[derive(Deserialize)]
struct Package {
    name: String,
    #[serde(default)]
    version: String,
    marker: Option<String>,
    directory: Option<toml::Value>,
    vcs: Option<toml::Value>,
    #[serde(default)]
    wheels: Vec<File>,
    sdist: Option<File>,
    archive: Option<File>,
}

#[derive(Deserialize)]
struct File {
    name: Option<String>,
    url: Option<String>,
    path: Option<String>,
    size: Option<u64>,
    #[serde(default)]
    hashes: BTreeMap<String, String>,
}

/// Which files of a `pylock.toml` a Python takes, in the lock's order. With `leaves_folders_out` packages that
/// are folders are none of them: members of a workspace come with the code.
///
/// # Errors
/// Why the lock can't be used, in a sentence without its end.
pub fn files_of_pylock(
    text: &str,
    python: PylockPython<'_>,
    leaves_folders_out: bool,
) -> Result<Vec<PylockFile>, String> {
    let lock: Pylock = toml::from_str(text).map_err(|error| error.message().to_owned())?;
    if lock.lock_version.split('.').next() != Some("1") {
        let version = &lock.lock_version;
        return Err(format!(
            "this pylock.toml has lock-version {version}, and mlbuild reads 1"
        ));
    }
    check_python(&lock.requires_python, python.version)?;
    let environment = environment(python)?;
    let mut files = Vec::new();
    for package in &lock.packages {
        if let Some(marker) = &package.marker
            && !holds(marker, &lock.default_groups, &environment)?
        {
            continue;
        }
        if package.directory.is_some() && leaves_folders_out {
            continue;
        }
        files.push(package.chosen(python.tags)?);
    }
    Ok(files)
}

impl Package {
    fn chosen(&self, tags: &Tags) -> Result<PylockFile, String> {
        let (name, version) = (&self.name, &self.version);
        if self.vcs.is_some() || self.directory.is_some() {
            return Err(format!("{name} comes from a repository or a folder"));
        }
        let rank = |file: &File| tags.rank(&WheelName::parse(&file.file()?).ok()?);
        let ranked = self
            .wheels
            .iter()
            .filter_map(|file| Some((rank(file)?, file)));
        // Of two that fit alike, the first.
        let best = ranked.min_by_key(|(rank, _)| *rank).map(|(_, file)| file);
        let chosen = best.or(self.sdist.as_ref()).or(self.archive.as_ref());
        let chosen =
            chosen.ok_or_else(|| format!("{name} {version} has no file for this Python"))?;
        let place = chosen.place();
        let place = place.ok_or_else(|| format!("{name} {version} names no address"))?;
        let sha256 = chosen.hashes.get("sha256");
        let sha256 = sha256.ok_or_else(|| format!("{name} {version} has no sha256"))?;
        let file = chosen.file().unwrap_or_else(|| place.file());
        Ok(PylockFile {
            name: normalize(name),
            version: version.clone(),
            is_wheel: file.ends_with(".whl"),
            file,
            place,
            sha256: sha256.clone(),
            size: chosen.size,
        })
    }
}

impl File {
    fn file(&self) -> Option<String> {
        let named = self.name.clone().filter(|name| !name.contains('/'));
        named.or_else(|| Some(self.place()?.file()))
    }

    fn place(&self) -> Option<FilePlace> {
        let of_path = || Some(FilePlace::Path(self.path.clone()?));
        self.url.clone().map(FilePlace::Url).or_else(of_path)
    }
}

/// The last part of an address's path.
fn file_of(url: &str) -> String {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let name = path.rsplit('/').next().unwrap_or_default();
    percent_decode_str(name).decode_utf8_lossy().into_owned()
}

fn check_python(required: &str, version: &str) -> Result<(), String> {
    let specifiers = VersionSpecifiers::from_str(required).map_err(|error| error.to_string())?;
    let found = Version::from_str(version).map_err(|error| error.to_string())?;
    if specifiers.contains(&found) {
        return Ok(());
    }
    Err(format!(
        "the project's lock is for Python {required}, and this base has {version}"
    ))
}

fn environment(python: PylockPython<'_>) -> Result<MarkerEnvironment, String> {
    let minor: Vec<&str> = python.version.split('.').take(2).collect();
    MarkerEnvironment::try_from(MarkerEnvironmentBuilder {
        implementation_name: "cpython",
        implementation_version: python.version,
        os_name: "posix",
        platform_machine: python.machine,
        platform_python_implementation: "CPython",
        platform_release: "",
        platform_system: "Linux",
        platform_version: "",
        python_full_version: python.version,
        python_version: &minor.join("."),
        sys_platform: "linux",
    })
    .map_err(|error| error.to_string())
}

/// Whether a marker holds. Of PEP 751's own, there are no extras, and the lock's groups.
fn holds(marker: &str, groups: &[String], environment: &MarkerEnvironment) -> Result<bool, String> {
    static OWN: LazyLock<Regex> = LazyLock::new(|| {
        let pattern = r#"('[^']*'|"[^"]*")\s+(not\s+)?in\s+(extras|dependency_groups)\b"#;
        Regex::new(pattern).expect("a pattern")
    });
    let plain = OWN.replace_all(marker, |found: &Captures<'_>| {
        let name = found[1].trim_matches(['\'', '"']);
        let is_one = &found[3] == "dependency_groups" && groups.iter().any(|group| group == name);
        let is_negated = found.get(2).is_some();
        let sign = if is_one == is_negated { '<' } else { '>' };
        format!("python_version {sign} '0'")
    });
    let read = requirement(&format!("x ; {plain}"))?;
    Ok(read.marker.evaluate(environment, &[]))
}

#[cfg(test)]
mod tests {
    use mlbuild_wheels::{Libc, Platform};

    use super::*;

    fn files(text: &str) -> Result<Vec<PylockFile>, String> {
        let platform = Platform {
            machine: "x86_64".into(),
            libc: Libc::Glibc(2, 36),
        };
        let tags = Tags::of("3.11".parse().unwrap(), &platform);
        let python = PylockPython {
            version: "3.11.2",
            machine: "x86_64",
            tags: &tags,
        };
        files_of_pylock(text, python, true)
    }

    fn names(text: &str) -> Vec<String> {
        let files = files(&format!("lock-version = \"1.0\"\n{text}")).unwrap();
        files.into_iter().map(|file| file.file).collect()
    }

    fn package(name: &str, marker: &str, wheels: &[&str]) -> String {
        let wheels: String = wheels
            .iter()
            .map(|file| {
                format!("{{ url = \"https://x/{file}\", hashes = {{ sha256 = \"00\" }} }},")
            })
            .collect();
        let marker = match marker {
            "" => String::new(),
            marker => format!("marker = {}\n", toml::Value::from(marker)),
        };
        format!("[[packages]]\nname = \"{name}\"\nversion = \"1\"\n{marker}wheels = [{wheels}]\n")
    }

    #[test]
    fn the_wheel_that_fits_best_is_taken_and_of_two_that_fit_alike_the_first() {
        let lock = package(
            "x",
            "",
            &[
                "x-1-cp312-cp312-manylinux_2_17_x86_64.whl",
                "x-1-py3-none-any.whl",
                "x-1-cp311-cp311-manylinux_2_17_x86_64.whl",
                "x-1-cp311-cp311-manylinux_2_28_x86_64.whl",
                "x-1-1-cp311-cp311-manylinux_2_28_x86_64.whl",
                "x-1-cp311-cp311-manylinux_2_39_x86_64.whl",
            ],
        );
        assert_eq!(names(&lock), ["x-1-cp311-cp311-manylinux_2_28_x86_64.whl"]);
        let quoted = package("y", "", &["y-1%2Bcpu-py3-none-any.whl?x#sha256=1"]);
        assert_eq!(names(&quoted), ["y-1+cpu-py3-none-any.whl"]);
    }

    #[test]
    fn markers_are_judged_by_the_python_and_the_groups_of_the_lock() {
        let wheel: &[&str] = &["x-1-py3-none-any.whl"];
        for (marker, is_taken) in [
            ("sys_platform == 'linux'", true),
            ("python_full_version < '3.11.2'", false),
            (
                "python_full_version >= '3.11' and platform_machine == 'x86_64'",
                true,
            ),
            ("sys_platform == 'win32' or os_name == 'nt'", false),
            ("'dev' in dependency_groups", true),
            ("'docs' in dependency_groups", false),
            ("'dev' not in dependency_groups", false),
            ("'gpu' in extras", false),
            ("\"gpu\" not in extras and python_version < '4'", true),
        ] {
            let lock = format!(
                "default-groups = [\"dev\"]\n{}",
                package("x", marker, wheel)
            );
            assert_eq!(!names(&lock).is_empty(), is_taken, "{marker}");
        }
    }

    #[test]
    fn what_cannot_be_used_says_why() {
        let head = "lock-version = \"1.0\"\n";
        let named = "[[packages]]\nname = \"x\"\nversion = \"1\"\n";
        for (text, said) in [
            ("lock-version = \"2.0\"".to_owned(), "lock-version 2.0"),
            (
                format!("{head}requires-python = \">=3.12\""),
                "is for Python >=3.12",
            ),
            (
                format!("{head}{named}vcs = {{ type = \"git\" }}"),
                "comes from a repository",
            ),
            (format!("{head}{named}"), "has no file for this Python"),
            (
                format!("{head}{}", package("x", "", &["x-1-py2-none-any.whl"])),
                "has no file",
            ),
            (
                format!("{head}{named}sdist = {{ hashes = {{ sha256 = \"0\" }} }}"),
                "names no address",
            ),
            (
                format!("{head}{named}sdist = {{ url = \"https://x/x.tar.gz\" }}"),
                "has no sha256",
            ),
            (
                format!("{head}{}", package("x", "((((", &["x-1-py3-none-any.whl"])),
                "",
            ),
            ("[[[".to_owned(), ""),
        ] {
            let error = files(&text).unwrap_err();
            assert!(error.contains(said) && !error.is_empty(), "{text}: {error}");
        }
        // A wheel of the project has a path.
        let path = "files/x-1-py3-none-any.whl";
        let own = format!(
            "{head}{named}archive = {{ path = \"{path}\", hashes = {{ sha256 = \"0\" }} }}"
        );
        let own = files(&own).unwrap();
        assert_eq!(own[0].place, FilePlace::Path(path.to_owned()));
        assert_eq!(own[0].file, "x-1-py3-none-any.whl");
        assert!(own[0].is_wheel);
        let found = format!(
            "{head}{named}wheels = [{{ path = \"{path}\", hashes = {{ sha256 = \"0\" }} }}]"
        );
        assert_eq!(files(&found).unwrap(), own);
        // A member of the workspace comes with the code.
        let member = format!("{head}{named}directory = {{ path = \".\" }}");
        assert_eq!(files(&member), Ok(Vec::new()));
    }
}
