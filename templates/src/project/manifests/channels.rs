//! Packages that come from conda's channels themselves: what is asked of the channels, or what the locks of
//! conda-lock (`conda-lock.yml`, version 1) and Pixi (`pixi.lock`, versions 4 to 7) pin.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};

use super::{Asked, Manifest, Unused, UnusedKind, beside, conda, path_line, text_of, unreadable};
use crate::project::{ProjectError, has_credentials};
use crate::tables::Machine;

/// Where channels lie that are named by a word alone.
const CHANNELS: &str = "https://conda.anaconda.org";
/// The channels that `defaults` stands for.
const DEFAULTS: [&str; 2] = [
    "https://repo.anaconda.com/pkgs/main",
    "https://repo.anaconda.com/pkgs/r",
];

/// Packages of conda's channels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conda {
    /// The file that asks for them, or pins them.
    pub file: String,
    /// Why they come from there: `--conda`, or the package that nothing else has.
    pub why: String,
    /// Channels as addresses, the one that counts most first.
    pub channels: Vec<String>,
    /// What is asked of them as conda writes it, with the place of each.
    pub specs: Vec<Asked>,
    /// What a lock pins; then the channels aren't asked.
    pub pinned: Vec<CondaPin>,
}

/// A package that a lock pins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CondaPin {
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// The platform that it is pinned for, by conda's name: `linux-64`.
    pub subdir: String,
    /// Where it lies.
    pub url: String,
    /// `sha256:HEX`; `md5:HEX` where the lock has no other.
    pub hash: String,
}

impl Conda {
    /// The lines that `conda.py` reads, a JSON object each. `more`: packages that are asked for besides, where
    /// nothing is pinned; `cuda`: the release that machines have.
    pub fn lines(&self, more: &[&str], cuda: Option<&str>) -> Vec<String> {
        if !self.pinned.is_empty() {
            let line = |pin: &CondaPin| {
                json!({ "hash": pin.hash, "subdir": pin.subdir, "url": pin.url }).to_string()
            };
            return self.pinned.iter().map(line).collect();
        }
        let channels = self.channels.iter().map(|url| json!({ "channel": url }));
        let specs = self.specs.iter().map(|spec| json!({ "spec": spec.text }));
        let more = more.iter().map(|spec| json!({ "spec": spec }));
        let cuda = cuda.map(|release| json!({ "cuda": release }));
        let lines = channels.chain(specs).chain(more).chain(cuda);
        lines.map(|line| line.to_string()).collect()
    }

    /// Whether a package is among them, as far as is known before they are solved.
    pub fn has(&self, name: &str) -> bool {
        let asked = |spec: &Asked| conda::split(&spec.text).is_some_and(|(of, ..)| of == name);
        self.pinned.iter().any(|pin| pin.name == name) || self.specs.iter().any(asked)
    }

    /// Each package with its build, as far as one is named (`cpu_*`, `py310_cuda120hf8efa83_0`), and its place.
    pub fn builds(&self) -> Vec<(String, Option<String>, String)> {
        let asked = self.specs.iter().filter_map(|spec| {
            let (name, _, build) = conda::split(&spec.text)?;
            Some((name, build, spec.origin.clone()))
        });
        let pinned = self.pinned.iter().map(|pin| {
            // NAME-VERSION-BUILD.conda
            let file = pin.url.rsplit('/').next().unwrap_or_default();
            let build = file.rsplit('-').next().unwrap_or_default();
            let build = build
                .trim_end_matches(".conda")
                .trim_end_matches(".tar.bz2");
            (pin.name.clone(), Some(build.to_owned()), self.file.clone())
        });
        match self.pinned.is_empty() {
            true => asked.collect(),
            false => pinned.collect(),
        }
    }

    /// The version of its Python (`3.11`), as far as that is known.
    pub fn python(&self) -> Option<String> {
        let minor = |version: &str| {
            let mut parts = version.split('.');
            let (major, minor) = (parts.next()?, parts.next()?);
            let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
            (major == "3" && !minor.is_empty() && is_number(minor)).then(|| format!("3.{minor}"))
        };
        if let Some(pin) = self.pinned.iter().find(|pin| pin.name == "python") {
            return minor(&pin.version);
        }
        let (_, versions, _) = self.specs.iter().find_map(|spec| {
            let found = conda::split(&spec.text)?;
            (found.0 == "python").then_some(found)
        })?;
        minor(versions.trim_start_matches('=').trim_end_matches(".*"))
    }

    /// What they are, in few words.
    pub fn summary(&self) -> String {
        let how = match self.pinned.is_empty() {
            true => "solved in the build",
            false => "each package by its hash",
        };
        format!("{}, {how}", self.file)
    }

    /// How many packages are pinned for a machine; 0 where they still have to be solved.
    pub fn count(&self, machine: Machine) -> usize {
        let pins = self.pinned.iter();
        pins.filter(|pin| pin.subdir == subdir_of(machine)).count()
    }
}

/// A machine by conda's name.
fn subdir_of(machine: Machine) -> &'static str {
    match machine {
        Machine::X86_64 => "linux-64",
        Machine::Aarch64 => "linux-aarch64",
    }
}

/// The addresses of a channel. An address with a log-in is refused and not shown: it would stand in the image.
pub(super) fn addresses(file: &str, channel: &str) -> Result<Vec<String>, ProjectError> {
    let channel = channel.trim().trim_end_matches('/');
    match channel {
        "defaults" => return Ok(DEFAULTS.map(str::to_owned).to_vec()),
        "nodefaults" => return Ok(Vec::new()),
        _ => {}
    }
    if channel.contains("://") {
        check_address(file, channel)?;
        return Ok(vec![channel.to_owned()]);
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    if !channel.starts_with(['.', '/']) && !channel.contains("..") && channel.chars().all(is_plain)
    {
        return Ok(vec![format!("{CHANNELS}/{channel}")]);
    }
    Err(unreadable(
        file,
        format!("the channel {channel:?} is neither a name nor an address that a build can reach"),
        "name it by its address, https://…",
    ))
}

fn check_address(file: &str, address: &str) -> Result<(), ProjectError> {
    // Tokens of conda's servers stand in the path: /t/TOKEN/.
    if has_credentials(address) || address.contains("/t/") {
        return Err(unreadable(
            file,
            "the address of a channel holds a log-in, which would stand in the image",
            "take it out, and have a mirror that asks for none",
        ));
    }
    let is_plain = |c: char| c.is_ascii_graphic() && !"\"'<>\\`{}|^".contains(c);
    let is_http = address.starts_with("https://") || address.starts_with("http://");
    if is_http && address.len() < 1000 && address.chars().all(is_plain) {
        return Ok(());
    }
    Err(unreadable(
        file,
        format!("{address:?} is no address that a build can fetch conda's packages from"),
        "name it by its address, https://…",
    ))
}

/// A pin, checked: its parts become lines of the build.
fn pin(file: &str, subdir: &str, url: &str, hashes: &Value) -> Result<CondaPin, ProjectError> {
    check_address(file, url)?;
    let damaged = |what: &str| unreadable(file, format!("{url}: {what}"), "write the lock again");
    let name = url.rsplit('/').next().unwrap_or(url);
    let name = name
        .split(['#', '?'])
        .next()
        .unwrap_or(name)
        .replace("%21", "!");
    let stem = [".conda", ".tar.bz2"]
        .iter()
        .find_map(|end| name.strip_suffix(end));
    let mut parts = stem.unwrap_or_default().rsplitn(3, '-');
    let (Some(_), Some(version), Some(package)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(damaged("it is no package of conda"));
    };
    let hash = |key: &str, length: usize| {
        let hash = hashes.get(key)?.as_str()?;
        let is_hex = hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        (is_hex && hash.len() == length).then(|| format!("{key}:{}", hash.to_lowercase()))
    };
    let hash = hash("sha256", 64).or_else(|| hash("md5", 32));
    Ok(CondaPin {
        name: package.to_lowercase(),
        version: version.to_owned(),
        subdir: subdir.to_owned(),
        url: url.to_owned(),
        hash: hash.ok_or_else(|| damaged("it is pinned by no hash"))?,
    })
}

/// Reads a lock by its name.
pub(super) fn read(project: &Path, file: &str) -> Result<Manifest, ProjectError> {
    let text = text_of(project, file)?;
    let document: Value = serde_saphyr::from_str(&text)
        .map_err(|error| unreadable(file, error.to_string(), "write the lock again"))?;
    let mut manifest = match file.ends_with("pixi.lock") {
        true => of_pixi(file, &document)?,
        false => of_conda_lock(file, &document)?,
    };
    if let Some(conda) = &mut manifest.conda {
        file.clone_into(&mut conda.file);
        conda.why = file.to_owned();
        conda.pinned.retain(|pin| SUBDIRS.contains(&&*pin.subdir));
        if conda.pinned.is_empty() {
            return Err(unreadable(
                file,
                "it pins no packages of conda for Linux",
                "lock again for linux-64, or linux-aarch64",
            ));
        }
        conda
            .pinned
            .sort_by(|a, b| (&a.subdir, &a.url).cmp(&(&b.subdir, &b.url)));
        conda.pinned.dedup();
    }
    Ok(manifest)
}

/// The platforms that images are made for.
const SUBDIRS: [&str; 2] = ["linux-64", "linux-aarch64"];

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value
        .get(key)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

/// What a lock pins, as it is read.
#[derive(Default)]
struct Found {
    manifest: Manifest,
    conda: Conda,
    /// Lines that are there.
    lines: BTreeSet<String>,
}

impl Found {
    /// Adds a package of the package index: by name and version, or by its own address.
    fn python(&mut self, file: &str, name: &str, version: Option<&str>, url: &str) {
        let version = version.filter(|_| !url.starts_with("git+"));
        let line = match version {
            Some(version) => format!("{name}=={version}"),
            None => format!("{name} @ {url}"),
        };
        if !self.lines.insert(line.clone()) {
            return;
        }
        if version.is_some() {
            self.manifest.constraints.push(line.clone());
        }
        self.manifest.requirements.push(Asked {
            text: line,
            origin: file.to_owned(),
        });
    }

    fn manifest(self) -> Manifest {
        Manifest {
            conda: Some(self.conda),
            ..self.manifest
        }
    }
}

/// `conda-lock.yml`: one list for all platforms. Groups besides the main one (`dev`) aren't taken.
fn of_conda_lock(file: &str, document: &Value) -> Result<Manifest, ProjectError> {
    let version = document.get("version").and_then(Value::as_u64);
    if version != Some(1) || !document.get("package").is_some_and(Value::is_array) {
        return Err(unreadable(
            file,
            "it isn't a lock of conda-lock in its version 1",
            "write it with conda-lock 1 or newer",
        ));
    }
    let mut found = Found::default();
    let mut others = Vec::new();
    for package in list(document, "package") {
        let category = text(package, "category").unwrap_or("main");
        if category != "main" {
            if !others.contains(&category) {
                others.push(category);
            }
            continue;
        }
        let platform = text(package, "platform").unwrap_or_default();
        let (Some(name), Some(url)) = (text(package, "name"), text(package, "url")) else {
            return Err(unreadable(
                file,
                "a package has no name or no url",
                "write the lock again",
            ));
        };
        match text(package, "manager") {
            Some("pip") => {
                if SUBDIRS.contains(&platform) {
                    found.python(file, name, text(package, "version"), url);
                }
            }
            _ => {
                let hashes = package.get("hash").unwrap_or(&Value::Null);
                found.conda.pinned.push(pin(file, platform, url, hashes)?);
            }
        }
    }
    for category in others {
        let what = format!("{file}: its packages of {category}");
        found.manifest.unused.push(not_chosen(what));
    }
    Ok(found.manifest())
}

fn not_chosen(what: String) -> Unused {
    Unused {
        kind: UnusedKind::NotChosen,
        what,
        why: "only the main environment is taken".into(),
        next: "put what the image needs into the main one, and lock again".into(),
    }
}

/// `pixi.lock`: the packages of an environment by address, and what is known of each in a second list.
fn of_pixi(file: &str, document: &Value) -> Result<Manifest, ProjectError> {
    let version = document.get("version").and_then(Value::as_u64);
    if !version.is_some_and(|version| (4..=7).contains(&version)) {
        return Err(unreadable(
            file,
            "its version isn't one of 4 to 7",
            "write it with a Pixi of 2024 or newer: pixi lock",
        ));
    }
    let address = |entry: &Value, kind: &str| {
        let old = text(entry, "kind") == Some(kind);
        let url = text(entry, kind).or_else(|| old.then(|| text(entry, "url"))?);
        url.map(str::to_owned)
    };
    let known = |kind: &'static str| -> BTreeMap<String, &Value> {
        let all = list(document, "packages");
        all.filter_map(|entry| Some((address(entry, kind)?, entry)))
            .collect()
    };
    let (of_conda, of_index) = (known("conda"), known("pypi"));
    let mut found = Found::default();
    let none = serde_json::Map::new();
    let environments = document.get("environments").and_then(Value::as_object);
    let environments = environments.unwrap_or(&none);
    for name in environments.keys().filter(|name| *name != "default") {
        let what = format!("{file}: the environment {name}");
        found.manifest.unused.push(not_chosen(what));
    }
    // From version 7 on a platform may have a name of its own.
    let named: BTreeMap<&str, &str> = list(document, "platforms")
        .filter_map(|platform| Some((text(platform, "name")?, text(platform, "subdir")?)))
        .collect();
    let default = environments.get("default").unwrap_or(&Value::Null);
    let platforms = default.get("packages").and_then(Value::as_object);
    for (platform, packages) in platforms.unwrap_or(&none) {
        let platform = named
            .get(platform.as_str())
            .unwrap_or(&platform.as_str())
            .to_owned();
        if !SUBDIRS.contains(&platform) {
            continue;
        }
        for entry in packages.as_array().into_iter().flatten() {
            if let Some(url) = address(entry, "conda") {
                if !url.contains("://") {
                    return Err(unreadable(
                        file,
                        format!("{url} is built from its sources by Pixi"),
                        "build it, put it into a channel, and lock again",
                    ));
                }
                let known = of_conda.get(&url).copied().unwrap_or(&Value::Null);
                found.conda.pinned.push(pin(file, platform, &url, known)?);
            } else if let Some(url) = address(entry, "pypi") {
                let known = of_index.get(&url).copied().unwrap_or(&Value::Null);
                python_of_pixi(file, &url, known, &mut found);
            }
        }
    }
    Ok(found.manifest())
}

/// A package of the package index in `pixi.lock`; one without `://` is a folder of the workspace.
fn python_of_pixi(file: &str, url: &str, known: &Value, found: &mut Found) {
    if url.contains("://") {
        let name = text(known, "name").unwrap_or_default();
        return found.python(file, name, text(known, "version"), url);
    }
    let is_editable = known.get("editable").and_then(Value::as_bool) == Some(true);
    let editable = if is_editable { "-e " } else { "" };
    let line = format!("{editable}{}", path_line(file, url));
    if found.lines.insert(line.clone()) {
        found.manifest.requirements.push(Asked {
            text: line,
            origin: file.to_owned(),
        });
    }
}

/// The lock beside a manifest, where there is one.
pub(super) fn lock_beside(project: &Path, file: &str, names: &[&str]) -> Option<String> {
    let mut names = names.iter().map(|name| beside(file, name));
    names.find(|name| project.join(name).is_file())
}

/// Takes the pins of a lock for what a manifest asks of conda's channels; packages of the package index are held
/// to the versions that it has.
///
/// # Errors
/// Where it lacks a package: then it is of another time than the manifest.
pub(super) fn pinned_by(
    project: &Path,
    lock: &str,
    wanted: &Conda,
    manifest: &mut Manifest,
) -> Result<Conda, ProjectError> {
    let read = read(project, lock)?;
    let pins = read.conda.unwrap_or_default();
    for spec in &wanted.specs {
        let name = conda::split(&spec.text).map(|(name, ..)| name);
        if let Some(name) = name.filter(|name| !pins.has(name)) {
            return Err(unreadable(
                lock,
                format!("it pins no {name}, which {} asks for", spec.origin),
                "lock again (conda-lock, pixi lock), or remove the lock",
            ));
        }
    }
    manifest.constraints.extend(read.constraints);
    manifest.unused.extend(read.unused);
    manifest.inputs.insert(lock.to_owned());
    Ok(Conda {
        why: wanted.why.clone(),
        ..pins
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::manifests::{Choice, Kind, read};

    const SHA: &str = "12740e4d06ff0758f86857d543ccb8995b138be1a3c5db19abe9c66bec3917f9";
    const MD5: &str = "1b34f6bdf13c15051f885794ebc9b581";

    fn read_in(
        files: &[(&str, &str)],
        file: &str,
        conda: Option<bool>,
    ) -> Result<Manifest, String> {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let choice = Choice {
            conda,
            ..Choice::default()
        };
        let kind = Kind::of(file).unwrap();
        read(dir.path(), file, kind, choice).map_err(|error| error.to_string())
    }

    /// As conda-lock writes one.
    fn conda_lock(url: &str, hash: &str) -> String {
        format!(
            "version: 1\npackage:\n- name: python\n  version: 3.11.2\n  manager: conda\n  platform: linux-64\n  dependencies: {{}}\n  url: {url}\n  hash: {hash}\n  category: main\n- name: six\n  version: 1.16.0\n  manager: pip\n  platform: linux-64\n  url: https://h/six-1.16.0-py2.py3-none-any.whl\n  hash: {{sha256: {SHA}}}\n  category: main\n- name: pytest\n  version: '8'\n  manager: conda\n  platform: linux-64\n  url: https://h/c/noarch/pytest-8-0.conda\n  hash: {{sha256: {SHA}}}\n  category: dev\n"
        )
    }

    const PYTHON: &str = "https://h/c/linux-64/python-3.11.2-0_cpython.conda";

    #[test]
    fn a_lock_of_conda_lock() {
        let text = conda_lock(PYTHON, &format!("{{md5: {MD5}, sha256: {SHA}}}"));
        let found = read_in(&[("conda-lock.yml", &text)], "conda-lock.yml", None).unwrap();
        let conda = found.conda.unwrap();
        assert_eq!(conda.python().as_deref(), Some("3.11"));
        assert_eq!(
            conda.lines(&[], None),
            [format!(
                r#"{{"hash":"sha256:{SHA}","subdir":"linux-64","url":"{PYTHON}"}}"#
            )]
        );
        assert_eq!(found.requirements[0].text, "six==1.16.0");
        assert_eq!(found.constraints, ["six==1.16.0"]);
        assert!(found.unused[0].what.ends_with("its packages of dev"));
        // Beside an environment it gives the versions, and has to be of that environment.
        let environment = "dependencies: [python=3.11, {pip: [six]}]\n";
        let files = [("conda-lock.yml", &*text), ("environment.yml", environment)];
        let found = read_in(&files, "environment.yml", Some(true)).unwrap();
        assert_eq!(found.conda.unwrap().pinned.len(), 1);
        assert_eq!(found.requirements[0].text, "six");
        assert_eq!(found.constraints, ["six==1.16.0"]);
        let other = [
            ("conda-lock.yml", &*text),
            ("environment.yml", "dependencies: [samtools]\n"),
        ];
        let error = read_in(&other, "environment.yml", Some(true)).unwrap_err();
        assert!(
            error.contains("it pins no samtools, which environment.yml:1 asks for"),
            "{error}"
        );
    }

    #[test]
    fn what_locks_say_that_no_package_has_is_refused() {
        let sha = format!("{{sha256: {SHA}}}");
        for (url, hash, why) in [
            (
                "https://u:p@h/c/linux-64/a-1-0.conda",
                &*sha,
                "holds a log-in",
            ),
            (
                "https://h/t/tk-123/c/linux-64/a-1-0.conda",
                &sha,
                "holds a log-in",
            ),
            ("file:///c/linux-64/a-1-0.conda", &sha, "no address"),
            (
                "\"https://h/c/linux-64/a-1-0.conda';id\"",
                &sha,
                "no address",
            ),
            (
                "\"https://h/c/linux-64/a-1\\n-0.conda\"",
                &sha,
                "no address",
            ),
            ("https://h/c/linux-64/a.conda", &sha, "no package of conda"),
            (
                "https://h/c/linux-64/a-1-0.zip",
                &sha,
                "no package of conda",
            ),
            (PYTHON, "{}", "pinned by no hash"),
            (PYTHON, "{sha256: zz}", "pinned by no hash"),
        ] {
            let text = conda_lock(url, hash);
            let error = read_in(&[("conda-lock.yml", &text)], "conda-lock.yml", None).unwrap_err();
            assert!(error.contains(why), "{url}: {error}");
            assert!(
                !error.contains("u:p") && !error.contains("tk-123"),
                "{error}"
            );
        }
        for text in [
            "version: 2\npackage: []\n",
            "version: 1\n",
            "[",
            "version: 1\npackage: []\n",
        ] {
            assert!(read_in(&[("conda-lock.yml", text)], "conda-lock.yml", None).is_err());
        }
    }

    /// As py-rattler writes them: version 7, with a platform of its own name, and version 6.
    #[test]
    fn a_lock_of_pixi() {
        let helper = "http://h/main/linux-64/helper-2.1-h1_0.conda";
        for (version, platforms, name) in [
            (
                7,
                "platforms:\n- name: cluster\n  subdir: linux-64\n",
                "cluster",
            ),
            (6, "", "linux-64"),
        ] {
            let text = format!(
                "version: {version}\n{platforms}environments:\n  default:\n    channels:\n    - url: http://h/main\n    packages:\n      {name}:\n      - conda: {helper}\n      - pypi: https://h/six-1.16.0-py2.py3-none-any.whl\n      - pypi: ./\n      osx-64:\n      - conda: http://h/main/osx-64/helper-2.1-h1_0.conda\n  gpu:\n    channels: []\n    packages: {{}}\npackages:\n- conda: {helper}\n  sha256: {SHA}\n  md5: {MD5}\n  size: 20929\n- pypi: https://h/six-1.16.0-py2.py3-none-any.whl\n  name: six\n  version: 1.16.0\n- pypi: ./\n  name: me\n  editable: true\n"
            );
            let found = read_in(&[("pixi.lock", &text)], "pixi.lock", None).unwrap();
            let pinned = found.conda.unwrap().pinned;
            assert_eq!(pinned.len(), 1);
            assert_eq!(pinned[0].hash, format!("sha256:{SHA}"));
            let lines: Vec<&str> = found.requirements.iter().map(|a| a.text.as_str()).collect();
            assert_eq!(lines, ["six==1.16.0", "-e ./."]);
            assert!(found.unused[0].what.ends_with("the environment gpu"));
        }
    }

    #[test]
    fn channels_are_names_or_addresses() {
        let of = |channel: &str| addresses("environment.yml", channel).map_err(|e| e.to_string());
        assert_eq!(
            of("conda-forge").unwrap(),
            ["https://conda.anaconda.org/conda-forge"]
        );
        assert_eq!(
            of("pytorch/label/dev/").unwrap(),
            ["https://conda.anaconda.org/pytorch/label/dev"]
        );
        assert_eq!(of("defaults").unwrap().len(), 2);
        assert!(of("nodefaults").unwrap().is_empty());
        assert_eq!(of("http://h:8/main/").unwrap(), ["http://h:8/main"]);
        for odd in [
            "./local",
            "/srv/c",
            "file:///srv/c",
            "https://u:p@h/c",
            "https://h/t/tk-1/c",
            "a b",
        ] {
            let error = of(odd).unwrap_err();
            assert!(!error.contains("u:p") && !error.contains("tk-1"), "{error}");
        }
    }

    /// The largest locks have thousands of packages for a platform, and YAML readers have bounds.
    #[test]
    fn a_large_lock_is_read() {
        let mut text = String::from("version: 1\npackage:\n");
        for at in 0..1500 {
            let depends: String = (0..15).map(|n| format!("    d{n}: '>=1'\n")).collect();
            text += &format!(
                "- name: p{at}\n  version: '1'\n  manager: conda\n  platform: linux-64\n  dependencies:\n{depends}  url: https://h/c/linux-64/p{at}-1-0.conda\n  hash: {{sha256: {SHA}}}\n  category: main\n"
            );
        }
        let found = read_in(&[("conda-lock.yml", &text)], "conda-lock.yml", None).unwrap();
        assert_eq!(found.conda.unwrap().pinned.len(), 1500);
    }
}
