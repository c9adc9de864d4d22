//! `environment.yml` of conda: its Python packages are taken from the package index under the names
//! that they have there, its programs and libraries from the distribution, and its pip section as
//! it is. Where neither has one of them, or where that is asked for, all come from conda's channels.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::Value;

use super::channels::{self, Conda};
use super::{Asked, Choice, Manifest, Unused, UnusedKind, beside, text_of, unreadable, version};
use crate::project::ProjectError;

/// Names of conda's packages elsewhere.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Names {
    /// Python packages with the same name on the package index.
    same: Vec<String>,
    /// Python packages with another name there.
    index: BTreeMap<String, String>,
    /// Programs and libraries of the distribution.
    debian: BTreeMap<String, Vec<String>>,
    /// What wheels or the base bring by themselves.
    inside: Vec<String>,
    /// CUDA, by conda's names.
    cuda: Vec<String>,
}

static NAMES: LazyLock<Names> = LazyLock::new(|| {
    toml::from_str(include_str!("../../../data/conda.toml")).expect("the table is checked")
});

/// Whether the tables know a name as one of the package index.
pub(crate) fn is_python_package(name: &str) -> bool {
    let is_index_s = NAMES.same.iter().any(|known| known == name);
    is_index_s || NAMES.index.values().any(|known| known == name)
}

/// Packages that ask for builds for CPUs.
pub(crate) const OF_CPUS: [&str; 3] = ["cpuonly", "pytorch-cpu", "tensorflow-cpu"];

pub(super) fn read(project: &Path, file: &str, choice: Choice) -> Result<Manifest, ProjectError> {
    let text = text_of(project, file)?;
    let document: Value = serde_saphyr::from_str(&text)
        .map_err(|error| unreadable(file, error.to_string(), "correct the YAML"))?;
    let dependencies = document.get("dependencies").and_then(Value::as_array);
    let Some(dependencies) = dependencies else {
        return Err(unreadable(
            file,
            "it has no list of dependencies, so it isn't an environment of conda",
            "name another file, or leave it out",
        ));
    };
    let of_channels = |why: String| from_channels(project, file, (&text, &document), why);
    if choice.conda == Some(true) {
        return of_channels("conda = true".to_owned());
    }
    let mut reader = Reader::new(file, &text);
    let specs = reader.dependencies(dependencies);
    // What pip installs comes after it.
    let by_pip = std::mem::take(&mut reader.manifest.requirements);
    for spec in specs {
        let origin = reader.origin(&spec);
        reader.package(&spec, origin);
    }
    reader.manifest.requirements.extend(by_pip);
    reader.build_of_torch();
    reader.channels(&document);
    reader.manifest.unused.extend(variables(file, &document));
    reader.other_keys(&document);
    match refusal(&reader.refused) {
        Some(error) if choice.conda == Some(false) => Err(error),
        Some(_) => of_channels(nowhere_else(&reader.refused)),
        None => Ok(reader.manifest),
    }
}

/// Variables that conda sets where an environment is activated.
fn variables(file: &str, document: &Value) -> Option<Unused> {
    let variables = document.get("variables")?.as_object()?;
    let names: Vec<&str> = variables.keys().map(String::as_str).collect();
    (!names.is_empty()).then(|| Unused {
        kind: UnusedKind::default(),
        what: format!("{file}: variables {}", names.join(", ")),
        why: "conda sets them where it activates an environment, which a container doesn't".into(),
        next: "set those that the image needs under env of [image]".into(),
    })
}

/// That a package is in conda's channels alone, as the reason why everything comes from there.
pub(super) fn nowhere_else(refused: &[(String, String)]) -> String {
    let more = match refused.len() {
        0 | 1 => String::new(),
        count => format!(" and {} more", count - 1),
    };
    let first = refused
        .first()
        .map(|(place, name)| format!("{name} ({place})"));
    format!(
        "nothing else is known to have {}{more}",
        first.unwrap_or_default()
    )
}

/// All of an environment from its channels: solved, or as the lock beside it has it.
fn from_channels(
    project: &Path,
    file: &str,
    (text, document): (&str, &Value),
    why: String,
) -> Result<Manifest, ProjectError> {
    let mut reader = Reader::new(file, text);
    let mut conda = Conda {
        file: file.to_owned(),
        why,
        ..Conda::default()
    };
    let list = |key: &str| document.get(key).and_then(Value::as_array);
    for spec in reader.dependencies(list("dependencies").map_or(&[], Vec::as_slice)) {
        let origin = reader.origin(&spec);
        let text = spec.split(" #").next().unwrap_or(&spec).trim().to_owned();
        conda.specs.push(Asked { text, origin });
    }
    reader.other_keys(document);
    let mut manifest = reader.manifest;
    manifest.unused.extend(variables(file, document));
    let lock = channels::lock_beside(project, file, &["conda-lock.yml", "conda-lock.yaml"]);
    manifest.conda = Some(match lock {
        Some(lock) => channels::pinned_by(project, &lock, &conda, &mut manifest)?,
        None => {
            let named: Vec<&str> = list("channels")
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            // As conda does where none is named.
            let named = if named.is_empty() {
                vec!["defaults"]
            } else {
                named
            };
            for channel in named {
                conda.channels.extend(channels::addresses(file, channel)?);
            }
            conda
        }
    });
    Ok(manifest)
}

/// Adds packages of conda's channels that another manifest names: each as `NAME=1.2`, and its place. Gives those
/// that nothing but the channels has.
pub(super) fn add(
    file: &str,
    specs: &[(String, String)],
    manifest: &mut Manifest,
) -> Vec<(String, String)> {
    let mut reader = Reader::new(file, "");
    reader.manifest = std::mem::take(manifest);
    for (spec, place) in specs {
        reader.package(spec, place.clone());
    }
    reader.build_of_torch();
    *manifest = reader.manifest;
    reader.refused
}

/// That packages can't be had, by place and name.
pub(super) fn refusal(refused: &[(String, String)]) -> Option<ProjectError> {
    let ((place, name), others) = refused.split_first()?;
    let others = match others {
        [] => String::new(),
        more => {
            let names: Vec<&str> = more.iter().map(|(_, name)| name.as_str()).collect();
            format!(" (and {} more: {})", more.len(), names.join(", "))
        }
    };
    Some(ProjectError::Conda {
        origin: place.clone(),
        name: name.clone(),
        others,
    })
}

/// Keys of an environment that are read, or say nothing of an image.
const KEYS: [&str; 7] = [
    "name",
    "channels",
    "dependencies",
    "variables",
    "prefix",
    "platforms",
    "channel_priority",
];

/// Whether a line of YAML is this item of a list, in whatever quotes.
fn is_item(line: &str, spec: &str) -> bool {
    let item = line.trim_start().strip_prefix('-').map(str::trim_start);
    item.is_some_and(|item| {
        let item = item.trim_start_matches(['"', '\'']);
        let after = item.strip_prefix(spec);
        after.is_some_and(|after| {
            let after = after.trim_start_matches(['"', '\'']).trim_start();
            after.is_empty() || after.starts_with('#')
        })
    })
}

/// The selector in the comment of a line: `win` of `# [win]`.
fn selector(line: &str) -> Option<&str> {
    let (_, comment) = line.split_once('#')?;
    let (inside, _) = comment.trim_start().strip_prefix('[')?.split_once(']')?;
    Some(inside.trim())
}

/// Whether a selector holds on Linux; true where it isn't understood.
fn is_for_linux(selector: &str) -> bool {
    let one = |word: &str| match word.trim() {
        "win" | "win32" | "win64" | "osx" | "osx-64" | "osx-arm64" | "arm64" | "not linux"
        | "not unix" => false,
        word => !word.is_empty(),
    };
    selector
        .split(" or ")
        .any(|part| part.split(" and ").all(one))
}

struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    manifest: Manifest,
    /// Packages that can't be had: place and name.
    refused: Vec<(String, String)>,
    /// Packages of CUDA: place, as written, and name.
    cuda: Vec<(String, String, String)>,
}

impl<'a> Reader<'a> {
    fn new(file: &'a str, text: &'a str) -> Self {
        Self {
            file,
            text,
            manifest: Manifest::default(),
            refused: Vec::new(),
            cuda: Vec::new(),
        }
    }
}

impl Reader<'_> {
    fn origin(&self, spec: &str) -> String {
        super::place(self.file, self.text, spec)
    }

    fn unused(&mut self, origin: &str, spec: &str, why: &str, next: &str) {
        self.manifest.unused.push(Unused {
            kind: UnusedKind::default(),
            what: format!("{origin}: {spec}"),
            why: why.to_owned(),
            next: next.into(),
        });
    }

    /// The packages of a list of dependencies. The lines of its pip section are taken in; what is for other
    /// platforms, or isn't understood, is named.
    fn dependencies(&mut self, list: &[Value]) -> Vec<String> {
        let has_selectors = self.text.len() <= super::MOST_BYTES_WITH_LINES
            && (self.text.contains("# [") || self.text.contains("#["));
        let text = if has_selectors { self.text } else { "" };
        let mut specs = Vec::new();
        // The same item may stand there for several platforms, a line each.
        let mut seen: HashMap<&str, usize> = HashMap::new();
        for dependency in list {
            match dependency {
                Value::String(spec) => {
                    let before = seen.entry(spec).or_default();
                    let line = text.lines().filter(|line| is_item(line, spec)).nth(*before);
                    *before += 1;
                    match line
                        .and_then(selector)
                        .filter(|selector| !is_for_linux(selector))
                    {
                        Some(selector) => {
                            let why = format!("it is for other platforms ({selector})");
                            let origin = self.origin(spec);
                            self.other_platform(&origin, spec, why);
                        }
                        None => specs.push(spec.clone()),
                    }
                }
                Value::Object(parts) => {
                    for (key, value) in parts {
                        self.part(key, value, &mut specs);
                    }
                }
                other => {
                    let origin = self.origin(&other.to_string());
                    let next = "write NAME, NAME=1.2 or NAME>=1.2";
                    self.unused(&origin, &other.to_string(), "it names no package", next);
                }
            }
        }
        specs
    }

    /// `pip: […]`, or `sel(linux): NAME` of micromamba.
    fn part(&mut self, key: &str, value: &Value, specs: &mut Vec<String>) {
        let condition = key
            .strip_prefix("sel(")
            .and_then(|rest| rest.strip_suffix(')'));
        match (key, value, condition) {
            ("pip", Value::Array(lines), _) => {
                for line in lines {
                    match line.as_str() {
                        Some(line) => self.pip(line),
                        None => self.not_understood("pip", line),
                    }
                }
            }
            (_, Value::String(spec), Some(condition)) if is_for_linux(condition) => {
                specs.push(spec.clone());
            }
            (_, Value::String(spec), Some(condition)) => {
                let why = format!("it is for other platforms ({condition})");
                let origin = self.origin(spec);
                self.other_platform(&origin, spec, why);
            }
            // `pip:` with nothing below it.
            ("pip", Value::Null, _) => {}
            _ => self.not_understood(key, value),
        }
    }

    fn not_understood(&mut self, key: &str, value: &Value) {
        let origin = self.origin(&format!("{key}:"));
        let shown: String = value.to_string().chars().take(60).collect();
        let next = "write packages as NAME=1.2, and what pip installs as a list under pip";
        self.unused(
            &origin,
            &format!("{key}: {shown}"),
            "no list of packages is written so",
            next,
        );
    }

    fn other_platform(&mut self, origin: &str, spec: &str, why: String) {
        self.manifest.unused.push(Unused {
            kind: UnusedKind::NotChosen,
            what: format!("{origin}: {spec}"),
            why,
            next: "leave the selector out where Linux needs it, too".into(),
        });
    }

    /// What stands beside the lists that conda knows: often a pip section that isn't indented.
    fn other_keys(&mut self, document: &Value) {
        let keys = document.as_object().into_iter().flatten();
        for (key, value) in keys.filter(|(key, _)| !KEYS.contains(&key.as_str())) {
            let origin = self.origin(&format!("{key}:"));
            let next = match key.as_str() {
                "pip" => "write it as an item of dependencies: `- pip:` and its lines below",
                _ => "move the packages that it names under dependencies, or leave it out",
            };
            let is_said = !value.is_null();
            if is_said {
                self.unused(
                    &origin,
                    key,
                    "conda reads no such key of an environment",
                    next,
                );
            }
        }
    }

    /// A line of the pip section.
    fn pip(&mut self, line: &str) {
        let line = line.trim();
        let included = ["-r ", "--requirement ", "-r"]
            .iter()
            .find_map(|o| line.strip_prefix(o));
        match included {
            Some(name) => {
                let file = beside(self.file, name.trim());
                let file = crate::project::requirements::normalize(&file);
                self.manifest.files.push(file);
            }
            None => {
                let origin = self.origin(line);
                self.manifest.requirements.push(Asked {
                    text: line.to_owned(),
                    origin,
                });
            }
        }
    }

    fn package(&mut self, spec: &str, origin: String) {
        let Some((name, versions, build)) = split(spec) else {
            self.unused(
                &origin,
                spec,
                "it isn't written as conda's packages are",
                "write NAME, NAME=1.2 or NAME>=1.2",
            );
            return;
        };
        let asked = |text: String| Asked {
            text,
            origin: origin.clone(),
        };
        let Some(versions) = version::from_conda(&versions) else {
            return self.refused.push((origin, spec.to_owned()));
        };
        // They decide what the image is made for, where nobody says it.
        let is_cpu = build.as_deref().is_some_and(|build| build.contains("cpu"));
        if is_cpu || OF_CPUS.contains(&name.as_str()) {
            let text = spec.split(['#', ';']).next().unwrap_or(spec).trim();
            self.manifest.for_cpus.get_or_insert(asked(text.to_owned()));
        }
        if name == "cpuonly" || (is_cpu && name == "pytorch-mutex") {
            return;
        }
        if name == "python" {
            if !versions.is_empty() {
                self.manifest.python = Some(asked(versions));
            }
            return;
        }
        let on_index = match NAMES.index.get(&name) {
            Some(other) => Some(other.clone()),
            None => NAMES.same.contains(&name).then(|| name.clone()),
        };
        if let Some(on_index) = on_index {
            if build.is_some_and(|build| build.contains("cu")) {
                self.unused(
                    &origin,
                    spec,
                    "builds are chosen by the image's accelerator",
                    "set gpu or torch_backend under [image]",
                );
            }
            return self
                .manifest
                .requirements
                .push(asked(format!("{on_index}{versions}")));
        }
        if let Some(packages) = NAMES.debian.get(&name) {
            self.manifest
                .apt
                .extend(packages.iter().map(|p| asked(p.clone())));
            if !versions.is_empty() {
                self.unused(
                    &origin,
                    spec,
                    "it comes from the distribution, in the version that this has",
                    "leave the version out, or build on a base that has it",
                );
            }
            return;
        }
        if NAMES.cuda.contains(&name) {
            self.manifest.for_cuda.get_or_insert(asked(spec.to_owned()));
            self.cuda.push((origin, spec.to_owned(), name));
        } else if NAMES.inside.contains(&name) || name.starts_with('_') {
            self.unused(
                &origin,
                spec,
                "the base or the wheels bring it",
                "leave it out",
            );
        } else {
            self.refused.push((origin, name));
        }
    }

    /// Takes the build of PyTorch for the CUDA that is asked for, where its own index has it. What else of CUDA
    /// is asked for comes with the wheels or with the base.
    fn build_of_torch(&mut self) {
        let numbers = |text: &str| -> Option<String> {
            let at = text.find(|c: char| c.is_ascii_digit())?;
            let number: String = text[at..]
                .chars()
                .take_while(|c| c.is_ascii_digit() || *c == '.')
                .collect();
            let mut parts = number.split('.');
            Some(format!("{}.{}", parts.next()?, parts.next().unwrap_or("0")))
        };
        let decides = ["pytorch-cuda", "cudatoolkit", "cuda-version"];
        let asked = self.cuda.iter().find_map(|(_, spec, name)| {
            let written = split(spec).map(|(_, versions, _)| versions)?;
            let is_exact = !written.contains(['>', '<', '!', ',']);
            (decides.contains(&name.as_str()) && is_exact).then(|| numbers(&written))?
        });
        let build = asked.filter(|release| self.hold_torch(release));
        if let Some(release) = &build {
            let digits = release.replace('.', "");
            self.manifest
                .torch_build
                .get_or_insert(format!("cu{digits}"));
        }
        let mut asked = self.manifest.requirements.iter();
        let has_torch = asked.any(|asked| {
            let rest = asked.text.strip_prefix("torch");
            rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '-'))
        });
        for (origin, spec, name) in std::mem::take(&mut self.cuda) {
            // Any CUDA: PyTorch's wheels bring one.
            let is_any = split(&spec).is_some_and(|(_, versions, _)| versions.is_empty());
            let is_brought = has_torch && (name == "pytorch-mutex" || is_any);
            let is_taken = is_brought || build.is_some() && decides.contains(&name.as_str());
            if is_taken {
                continue;
            }
            self.unused(
                &origin,
                &spec,
                "CUDA comes with the wheels or with the base",
                "set gpu = \"cuda\", and cuda = \"…\" where a certain one is needed",
            );
        }
    }

    /// Holds PyTorch to the releases that its own index has builds of for a release of CUDA, as conda's solver
    /// would; whether there is one among the versions that are asked for.
    fn hold_torch(&mut self, cuda: &str) -> bool {
        let mut asked = self.manifest.requirements.iter_mut();
        let found = asked.find_map(|asked| {
            let versions = asked.text.strip_prefix("torch")?.to_owned();
            let versions: pep440_rs::VersionSpecifiers = versions.parse().ok()?;
            let release = crate::tables::cuda().newest_torch_for(cuda, &versions)?;
            let is_exact = asked.text.starts_with("torch=");
            Some((asked, release, is_exact, versions.is_empty()))
        });
        let Some((asked, release, is_exact, is_open)) = found else {
            return false;
        };
        if let (false, Some((major, minor))) = (is_exact, release.split_once('.')) {
            let next = minor.parse::<u32>().unwrap_or_default() + 1;
            let comma = if is_open { "" } else { "," };
            asked.text.push_str(&format!("{comma}<{major}.{next}"));
        }
        true
    }

    fn channels(&mut self, document: &Value) {
        let channels = document.get("channels").and_then(Value::as_array);
        let names: Vec<&str> = channels
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        if !names.is_empty() {
            self.manifest.unused.push(Unused {
                kind: UnusedKind::default(),
                what: format!("{}: channels {}", self.file, names.join(", ")),
                why: "packages come from the package index and the distribution, not from conda's channels".into(),
                next: "to take them from these channels: conda = true under [image]".into(),
            });
        }
    }
}

/// A field of a specification in brackets, `[version=">=2,<3", build=*cuda*]`; blanks and older `;` as well.
fn field(fields: &str, key: &str) -> Option<String> {
    let mut rest = fields;
    while let Some((name, value)) = rest.split_once('=') {
        let value = value.trim_start();
        let quote = value.chars().next().filter(|c| ['\'', '"'].contains(c));
        let (value, after) = match quote {
            Some(quote) => value[1..].split_once(quote).unwrap_or((&value[1..], "")),
            None => value.split_at(value.find([',', ';', ' ']).unwrap_or(value.len())),
        };
        if name.trim_matches([',', ';', ' ']) == key {
            return Some(value.to_owned());
        }
        rest = after;
    }
    None
}

/// `[CHANNEL::]NAME[VERSION[=BUILD]]` in conda's spellings: name, version, build.
pub(super) fn split(spec: &str) -> Option<(String, String, Option<String>)> {
    let spec = spec.split('#').next().unwrap_or(spec).trim();
    let spec = spec.rsplit_once("::").map_or(spec, |(_, spec)| spec);
    let end = spec
        .find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c)))
        .unwrap_or(spec.len());
    let (name, rest) = (spec[..end].to_lowercase(), spec[end..].trim());
    if name.is_empty() {
        return None;
    }
    // `=>1.2` and `=<2` mean what they look like.
    let turned = match rest.get(..2) {
        Some("=>") => format!(">={}", rest[2..].trim_start_matches('=')),
        Some("=<") => format!("<={}", rest[2..].trim_start_matches('=')),
        _ => rest.to_owned(),
    };
    let rest = turned.as_str();
    let bracket = rest.strip_prefix('[').and_then(|r| r.strip_suffix(']'));
    if let Some(fields) = bracket {
        let (version, build) = (field(fields, "version"), field(fields, "build"));
        return Some((name, version.unwrap_or_default(), build));
    }
    // `=1.2=py310_0`: the last part is a build.
    if let Some(inner) = rest.strip_prefix('=').filter(|r| !r.starts_with('=')) {
        return Some(match inner.split_once('=') {
            Some(("*" | "", build)) => (name, String::new(), Some(build.to_owned())),
            Some((version, build)) => (name, format!("=={version}"), Some(build.to_owned())),
            None => (name, format!("={inner}"), None),
        });
    }
    let words: Vec<&str> = rest.split_whitespace().collect();
    Some(match words[..] {
        [version, build]
            if !version.ends_with([',', '>', '<', '='])
                && !build.starts_with(['<', '>', '=', '!']) =>
        {
            (name, version.to_owned(), Some(build.to_owned()))
        }
        _ => (name, words.concat(), None),
    })
}
