//! What is known of a base without running it: its Python, its C library, and what an environment
//! takes from them. Its layers are read once, and nothing of them is written to the disk.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mlbuild_wheels::{Libc, Platform, PythonVersion, Target, Venv, WheelName};
use serde_json::Value;

use super::error::AssembleError;
use super::tree::{Node, Tree};
use crate::image::compare::LayerStore;
use crate::image::layer::{EntryKind, EntryPath, LayerEntry, Mtime};
use crate::image::pack::PackBase;

/// Where programs are looked for in a base that doesn't say.
pub(super) const USUAL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A base, as far as an environment depends on it.
#[derive(Clone, Debug)]
pub struct BaseFacts {
    /// Its machine and its C library.
    pub platform: Platform,
    /// Its Python's minor version.
    pub python: PythonVersion,
    /// The environment that its `python3 -m venv` would make, without packages.
    pub venv: Venv,
    /// The wheels that it would install there (pip, and setuptools before 3.12).
    pub bundled: Vec<BundledWheel>,
    pub(super) tree: Tree,
}

/// A wheel that a base's Python brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundledWheel {
    /// The name of its file.
    pub file: String,
    /// Its hash, hex.
    pub sha256: String,
    /// Bytes of its file.
    pub size: u64,
    pub(super) content: WheelContent,
}

/// Where a wheel's bytes are. Whoever reads a file compares its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum WheelContent {
    File(PathBuf),
    Bytes(Vec<u8>),
}

/// The form of what is kept of a base.
const FORMAT: u32 = 4;
/// The folder of bundled wheels, by their hashes: many bases bring the same.
const WHEELS: &str = "wheels";
/// Bytes of a template of an activation script; the longest has nine thousand.
const MOST_TEMPLATE: usize = 256 << 10;
/// The newest C library that there may be one day, by its minor version. Each of those below it has
/// names of its own.
const NEWEST_LIBC: u32 = 999;

impl BaseFacts {
    /// Reads a base's layers. Call it outside of the runtime's own threads where they are in a
    /// registry. What was read is kept in a folder, for [`kept`](Self::kept); one that can't be used
    /// costs time alone.
    ///
    /// # Errors
    /// A layer that can't be read; a base without Python, or whose Python or C library isn't known.
    pub fn read(
        base: &PackBase,
        store: &dyn LayerStore,
        folder: Option<&Path>,
    ) -> Result<Self, AssembleError> {
        let tree = Tree::read(&base.image, store)?;
        if let Some(folder) = folder {
            // What can't be kept is read again the next time.
            let _ = keep(&tree, &file_of(base, folder, FORMAT), &folder.join(WHEELS));
            let _ = std::fs::remove_file(file_of(base, folder, FORMAT - 1));
        }
        Self::of_tree(base, tree, None)
    }

    /// What [`read`](Self::read) kept of a base, by its digest; `None` where that isn't all there.
    pub fn kept(base: &PackBase, folder: &Path) -> Option<Result<Self, AssembleError>> {
        let bytes = std::fs::read(file_of(base, folder, FORMAT)).ok()?;
        let tree: Tree = serde_json::from_slice(&bytes).ok()?;
        let wheels = folder.join(WHEELS);
        tree.has_wheels(&wheels)
            .then(|| Self::of_tree(base, tree, Some(&wheels)))
    }

    /// `wheels`: where the tree's wheels are that it has the hashes of.
    fn of_tree(base: &PackBase, tree: Tree, wheels: Option<&Path>) -> Result<Self, AssembleError> {
        let found = find_python(&tree, &base.config);
        let (executable, real, python) =
            found.ok_or_else(|| AssembleError::Unfit("has no python3 on its PATH".to_owned()))?;
        let version = full_version(&tree, &base.config, &real, python).ok_or_else(|| {
            AssembleError::Unfit(format!(
                "has a Python {python} that doesn't say which one it is"
            ))
        })?;
        let architecture = base.image.platform.architecture().to_string();
        let variant = base.image.platform.variant().as_deref();
        let machine = Platform::machine_of(&architecture, variant);
        let machine = machine.ok_or_else(|| {
            AssembleError::Unfit(format!("is for {architecture}, which no wheels are for"))
        })?;
        let libc = libc(&tree)
            .ok_or_else(|| AssembleError::Unfit("doesn't say which C library it has".to_owned()))?;
        let library = library_of(&real, python);
        Ok(Self {
            platform: Platform {
                machine: machine.to_owned(),
                libc,
            },
            python,
            venv: Venv {
                version,
                executable,
                real_executable: format!("/{real}"),
                templates: templates(&tree, &library)?,
            },
            bundled: bundled(&tree, &library, python, wheels),
            tree,
        })
    }

    /// The entry of a folder in a layer above the base: as the base has it, else root's. Under a
    /// link a layer's folder would take the link's place.
    ///
    /// # Errors
    /// [`AssembleError::Unfit`] where the base has something else there.
    pub fn folder(&self, path: &str, epoch: i64) -> Result<LayerEntry, AssembleError> {
        let known = self.tree.at(path);
        let (mode, uid, gid) = match known.map(|known| &known.node) {
            Some(Node::Folder) => known.map_or((0o755, 0, 0), |k| (k.mode, k.uid, k.gid)),
            None => (0o755, 0, 0),
            Some(Node::Link(_)) => {
                let why = format!("has a link at /{path}, where a folder would go");
                return Err(AssembleError::Unfit(why));
            }
            Some(Node::File(_) | Node::Wheel(..)) => {
                let why = format!("has a file at /{path}, where a folder would go");
                return Err(AssembleError::Unfit(why));
            }
        };
        let entry = entry(path, EntryKind::Folder, mode, epoch);
        Ok(LayerEntry { uid, gid, ..entry })
    }

    /// True if the base has a shared library where its loader looks without being told to. A library
    /// elsewhere may be found as well, which only the loader knows.
    pub fn has_library(&self, name: &str) -> bool {
        self.tree.has_library(name, &self.platform.machine)
    }

    /// True if its Python makes environments with pip by itself: Debian has that in another package.
    pub fn has_ensurepip(&self) -> bool {
        let real = self.venv.real_executable.trim_start_matches('/');
        self.tree
            .has(&format!("{}/ensurepip", library_of(real, self.python)))
    }

    /// The version of a wheel that it would install into an environment.
    pub fn bundled_version(&self, name: &str) -> Option<String> {
        let start = format!("{name}-");
        let mut names = self.bundled.iter().map(|wheel| wheel.file.as_str());
        let rest = names.find_map(|file| file.strip_prefix(&start))?;
        Some(rest.split('-').next()?.to_owned())
    }

    /// The wheels that its Python brings into an environment of these packages, which take the place of others
    /// of their names: hash (hex) by the file's name.
    pub fn bundled_beside(&self, packages: &[WheelName]) -> BTreeMap<String, String> {
        let is_replaced = |wheel: &BundledWheel| {
            let name = WheelName::parse(&wheel.file).map(|name| name.name);
            name.is_ok_and(|name| packages.iter().any(|package| package.name == name))
        };
        let kept = self.bundled.iter().filter(|wheel| !is_replaced(wheel));
        kept.map(|wheel| (wheel.file.clone(), wheel.sha256.clone()))
            .collect()
    }

    /// The Debian packages of the base: name, version, architecture.
    pub fn debian_packages(&self) -> Vec<(String, String, String)> {
        self.tree.packages()
    }

    /// Refuses a folder for the environment that the base has in another form: under a link, the
    /// environment's layer would take the link's place, and with it what is behind it.
    ///
    /// # Errors
    /// [`AssembleError::Unfit`].
    pub fn check_target(&self, target: &Target) -> Result<(), AssembleError> {
        let folder = target.folder();
        let parents = folder.match_indices('/').map(|(at, _)| &folder[..at]);
        for path in parents.chain([folder]) {
            if self.tree.link(path).is_some() {
                let why = format!("has a link at /{path}, where the environment would go");
                return Err(AssembleError::Unfit(why));
            }
        }
        if self.tree.has(folder) {
            let why = format!("has something at {} already", target.prefix());
            return Err(AssembleError::Unfit(why));
        }
        Ok(())
    }
}

/// A plain entry of root's.
pub(super) fn entry(path: &str, kind: EntryKind, mode: u32, epoch: i64) -> LayerEntry {
    LayerEntry {
        path: EntryPath::from(path),
        kind,
        mode,
        uid: 0,
        gid: 0,
        uname: Vec::new(),
        gname: Vec::new(),
        mtime: Mtime {
            seconds: epoch,
            nanos: 0,
        },
        size: 0,
        link: None,
        device: None,
        xattrs: BTreeMap::new(),
    }
}

/// The first `python3` of the PATH: as it is started, the file that it is (without the slash), and
/// its version.
fn find_python(tree: &Tree, config: &Value) -> Option<(String, String, PythonVersion)> {
    let path = variable(config, "PATH").unwrap_or(USUAL_PATH);
    path.split(':').find_map(|folder| {
        let executable = format!("{folder}/python3");
        let real = tree.resolve(executable.strip_prefix('/')?)?;
        let name = real.rsplit('/').next()?.strip_prefix("python")?;
        let python: PythonVersion = name.parse().ok()?;
        Some((executable, real, python))
    })
}

fn variable<'a>(config: &'a Value, name: &str) -> Option<&'a str> {
    let all = config["config"]["Env"].as_array().into_iter().flatten();
    let mut values = all.filter_map(|entry| entry.as_str()?.split_once('='));
    values.find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// `usr/lib/python3.11` of `usr/bin/python3.11`.
fn library_of(real: &str, python: PythonVersion) -> String {
    let top = real.rsplit_once("bin/").map_or("", |(top, _)| top);
    format!("{top}lib/python{python}")
}

/// The version with its third part: from Python's own header, the distribution's list of packages,
/// or the variable that images of Python have.
fn full_version(tree: &Tree, config: &Value, real: &str, python: PythonVersion) -> Option<String> {
    let top = real.rsplit_once("bin/").map_or("", |(top, _)| top);
    let header = tree.text(&format!("{top}include/python{python}/patchlevel.h"));
    let by_header = header.and_then(|text| {
        let line = text
            .lines()
            .find(|l| l.starts_with("#define PY_VERSION "))?;
        Some(line.split('"').nth(1)?.to_owned())
    });
    let by_package = || {
        let version = tree.package(&format!("python{python}-minimal"))?;
        Some(upstream(&version).to_owned())
    };
    let stated = || variable(config, "PYTHON_VERSION").map(str::to_owned);
    let all = [by_header, by_package(), stated()];
    let fits = |version: &String| version.starts_with(&format!("{python}."));
    all.into_iter().flatten().find(fits)
}

/// A Debian version without epoch and revision.
fn upstream(version: &str) -> &str {
    let version = version.split_once(':').map_or(version, |(_, rest)| rest);
    let end = version.find(['-', '+', '~']).unwrap_or(version.len());
    &version[..end]
}

fn libc(tree: &Tree) -> Option<Libc> {
    let numbers = |version: &str| -> Option<(u32, u32)> {
        let mut parts = version.split('.');
        let (major, minor) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        (minor <= NEWEST_LIBC).then_some((major, minor))
    };
    if let Some(version) = tree.package("libc6") {
        let (major, minor) = numbers(upstream(&version))?;
        return Some(Libc::Glibc(major, minor));
    }
    let list = tree.text("lib/apk/db/installed")?;
    let musl = list
        .split("\n\n")
        .find(|package| package.lines().any(|l| l == "P:musl"))?;
    let version = musl.lines().find_map(|line| line.strip_prefix("V:"))?;
    let (major, minor) = numbers(upstream(version))?;
    Some(Libc::Musl(major, minor))
}

fn templates(tree: &Tree, library: &str) -> Result<Vec<(String, String)>, AssembleError> {
    let mut all = Vec::new();
    for part in ["common", "posix"] {
        for (path, text) in tree.below(&format!("{library}/venv/scripts/{part}/")) {
            let name = path.rsplit('/').next().unwrap_or(path);
            if text.len() > MOST_TEMPLATE {
                let why = format!("has an activation script of {} bytes", text.len());
                return Err(AssembleError::Unfit(why));
            }
            all.push((name.to_owned(), String::from_utf8_lossy(text).into_owned()));
        }
    }
    if all.is_empty() {
        let why = "has a Python without the module venv (Debian's python3-venv)";
        return Err(AssembleError::Unfit(why.to_owned()));
    }
    Ok(all)
}

fn bundled(
    tree: &Tree,
    library: &str,
    python: PythonVersion,
    kept: Option<&Path>,
) -> Vec<BundledWheel> {
    let names: &[&str] = if python.minor >= 12 {
        &["pip-"]
    } else {
        &["pip-", "setuptools-"]
    };
    let folders = [
        format!("{library}/ensurepip/_bundled/"),
        "usr/share/python-wheels/".to_owned(),
    ];
    let find = |name: &&str| {
        let mut files = folders.iter().flat_map(|folder| tree.wheels(folder));
        let (file, node) = files.find(|(file, _)| file.starts_with(name))?;
        let (sha256, size) = node.hash_and_size()?;
        let content = match (node, kept) {
            (Node::File(Some(bytes)), _) => WheelContent::Bytes(bytes.clone()),
            (_, kept) => WheelContent::File(kept?.join(&sha256)),
        };
        Some(BundledWheel {
            file: file.to_owned(),
            sha256,
            size,
            content,
        })
    };
    names.iter().filter_map(find).collect()
}

fn file_of(base: &PackBase, folder: &Path, format: u32) -> PathBuf {
    let digest = base.image.manifest.digest().digest();
    folder.join(format!("{digest}-{format}.json"))
}

/// Keeps a tree: its wheels beside it, and of the rest what is looked at.
fn keep(tree: &Tree, file: &Path, wheels: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(wheels)?;
    for (sha256, bytes) in tree.bundled() {
        let place = wheels.join(sha256);
        if !place.exists() {
            mlbuild_manifests::atomic::replace(&place, bytes)?;
        }
    }
    mlbuild_manifests::atomic::replace(file, &serde_json::to_vec(&tree.with_hashes())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each minor version has names of its own: four thousand million would take all memory.
    #[test]
    fn a_c_library_of_a_thousand_releases_is_none() {
        let of = |version: &str| {
            let status =
                format!("Package: libc6\nStatus: install ok installed\nVersion: {version}\n");
            let path = "var/lib/dpkg/status";
            libc(&super::super::tree::tests::tree(&[(
                0,
                path,
                EntryKind::File,
                &status,
            )]))
        };
        assert_eq!(of("2.36-9+deb12u9"), Some(Libc::Glibc(2, 36)));
        assert_eq!(of("2.4294967295-1"), None);
    }

    #[test]
    fn versions_of_packages() {
        assert_eq!(upstream("3.11.2-6+deb12u5"), "3.11.2");
        assert_eq!(upstream("1:2.36+x"), "2.36");
        assert_eq!(upstream("1.2.4-r2"), "1.2.4");
        assert_eq!(
            library_of("usr/bin/python3.11", "3.11".parse().unwrap()),
            "usr/lib/python3.11"
        );
        assert_eq!(
            library_of("bin/python3.11", "3.11".parse().unwrap()),
            "lib/python3.11"
        );
    }
}
