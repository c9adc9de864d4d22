//! The folder that a locked build mounts: the pinned files under the names that installers know.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use mlbuild_manifests::atomic::workshop;
use mlbuild_manifests::lock::{PinnedConda, PinnedFile, Pins};
use sha2::{Digest as _, Sha256};

use super::store::{Store, StoreError};

/// What the files looked like when they were last compared with their hashes.
const CHECKED: &str = "checked";

/// A folder of pinned files: made, or to be made.
#[derive(Debug, Clone)]
pub struct View {
    store: Store,
    /// By path: content, or the hash of a file of the store.
    files: BTreeMap<String, Entry>,
    id: String,
}

#[derive(Debug, Clone)]
enum Entry {
    Text(String),
    File { sha256: String, size: u64 },
}

impl View {
    /// The view of these pins. Nothing is made yet.
    pub fn of(store: &Store, pins: &Pins) -> Self {
        let mut files = BTreeMap::new();
        let mut add = |path: String, sha256: &str, size| {
            let sha256 = sha256.to_owned();
            files.insert(path, Entry::File { sha256, size });
        };
        let compiles = !pins.build_requested.is_empty();
        for deb in &pins.apt {
            if !deb.build_only {
                add(format!("apt/debs/{}", deb.file()), &deb.sha256, deb.size);
            }
            if compiles {
                add(format!("build/debs/{}", deb.file()), &deb.sha256, deb.size);
            }
        }
        if let Some(file) = &pins.uv {
            add(format!("python/uv/{}", file.file), &file.sha256, file.size);
        }
        for file in &pins.python_packages {
            add(
                format!("python/wheels/{}", file.file),
                &file.sha256,
                file.size,
            );
        }
        if let Some(file) = &pins.rattler {
            add(
                format!("conda/rattler/{}", file.file),
                &file.sha256,
                file.size,
            );
        }
        for package in &pins.conda {
            add(
                format!("conda/pkgs/{}", package.file),
                &package.sha256,
                package.size,
            );
        }
        let requested = pins.requested.join(" ");
        let list = |is_of: &dyn Fn(&PinnedFile) -> bool| {
            let files = pins.python_packages.iter().filter(|file| is_of(file));
            let line =
                |f: &PinnedFile| format!("{}=={} --hash=sha256:{}\n", f.name, f.version, f.sha256);
            Entry::Text(files.map(line).collect())
        };
        files.insert("apt/requested".into(), Entry::Text(requested));
        let installed = list(&|file| !(file.build_only || compiles && file.source));
        files.insert("python/requirements.txt".into(), installed);
        if compiles {
            let for_builds = pins.build_requested.join(" ");
            files.insert("build/requested".into(), Entry::Text(for_builds));
            files.insert("python/sources.txt".into(), list(&|file| file.source));
            files.insert("python/builders.txt".into(), list(&|file| file.build_only));
        }
        if !pins.conda.is_empty() {
            let line = |p: &PinnedConda| {
                let (size, url) = (p.size, &p.url);
                format!(
                    "{}\t{}\t{}\t{}\t{}\t{size}\t{url}\n",
                    p.name, p.version, p.build, p.file, p.sha256
                )
            };
            let lines = pins.conda.iter().map(line).collect();
            files.insert("conda/conda.tsv".into(), Entry::Text(lines));
        }
        let mut hash = Sha256::new();
        for (path, entry) in &files {
            let what = match entry {
                Entry::Text(text) => text,
                Entry::File { sha256, .. } => sha256,
            };
            hash.update(format!("{path}\0{what}\0"));
        }
        View {
            store: store.clone(),
            files,
            id: hex::encode(hash.finalize()),
        }
    }

    /// The store that it is of.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Names the set of files, the same on every machine.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where it is, or will be.
    pub fn folder(&self) -> PathBuf {
        self.store.views().join(&self.id[..32]).join("files")
    }

    /// The files that the store lacks: path and hash.
    pub fn missing(&self) -> Vec<(&str, &str)> {
        let files = self.files.iter().filter_map(|(path, entry)| match entry {
            Entry::File { sha256, size } if !self.store.has(sha256, *size) => {
                Some((path.as_str(), sha256.as_str()))
            }
            _ => None,
        });
        files.collect()
    }

    /// Makes the folder where it isn't there, and compares every file with its hash where it
    /// could have changed since that was last done.
    ///
    /// # Errors
    /// Where a file is missing, or isn't what its hash says.
    pub fn make(&self) -> Result<PathBuf, StoreError> {
        let folder = self.folder();
        let top = folder.parent().expect("it has a folder").to_owned();
        let fail = StoreError::io(&top);
        let checked = top.join(CHECKED);
        if let Ok(state) = self.state(&folder)
            && std::fs::read_to_string(&checked).is_ok_and(|old| old == state)
        {
            self.touch();
            return Ok(folder);
        }
        let new = tempfile::Builder::new()
            .prefix(".new-")
            .tempdir_in(workshop(&self.store.views()))
            .map_err(&fail)?;
        let inside = new.path().join("files");
        let folders = ["apt/debs", "build/debs", "python/uv", "python/wheels"];
        let of_conda = ["conda/pkgs", "conda/rattler"];
        let has_conda = self.files.contains_key("conda/conda.tsv");
        for empty in folders
            .into_iter()
            .chain(of_conda.into_iter().filter(|_| has_conda))
        {
            std::fs::create_dir_all(inside.join(empty)).map_err(&fail)?;
        }
        for (path, entry) in &self.files {
            let target = inside.join(path);
            match entry {
                _ if leads_out(path) => {
                    let why = io::Error::other("it isn't the name of a package");
                    return Err(StoreError::io(&target)(why));
                }
                Entry::Text(text) => File::create_new(&target)
                    .and_then(|mut file| file.write_all(text.as_bytes()))
                    .map_err(&fail)?,
                Entry::File { sha256, .. } => {
                    let name = path.rsplit('/').next().unwrap_or(path);
                    self.store.check(name, sha256)?;
                    link(&self.store.path(sha256), &target).map_err(StoreError::io(&target))?;
                }
            }
        }
        let state = self.state(&inside).map_err(&fail)?;
        std::fs::write(new.path().join(CHECKED), state).map_err(&fail)?;
        let _ = std::fs::remove_dir_all(&top);
        let path = new.keep();
        match std::fs::rename(&path, &top) {
            // Another mlbuild was quicker: its folder is the same.
            Err(_) if top.exists() => std::fs::remove_dir_all(&path).map_err(&fail)?,
            other => other.map_err(&fail)?,
        }
        self.touch();
        Ok(folder)
    }

    fn touch(&self) {
        for entry in self.files.values() {
            if let Entry::File { sha256, .. } = entry {
                self.store.touch(sha256);
            }
        }
    }

    /// Size, time and inode of each file.
    fn state(&self, folder: &Path) -> io::Result<String> {
        let mut state = String::new();
        for path in self.files.keys() {
            let meta = std::fs::symlink_metadata(folder.join(path))?;
            let (size, inode) = (meta.len(), meta.ino());
            let time = (meta.mtime(), meta.mtime_nsec());
            state.push_str(&format!("{path} {size} {inode} {}.{:09}\n", time.0, time.1));
        }
        Ok(state)
    }
}

/// A link to a file of the store, which then can be read by everybody, or a copy.
fn link(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::set_permissions(from, std::fs::Permissions::from_mode(0o644))?;
    std::fs::hard_link(from, to).or_else(|_| {
        let (mut from, mut to) = (File::open(from)?, File::create_new(to)?);
        io::copy(&mut from, &mut to).map(drop)
    })
}

/// True unless a path is `apt/FILE`, `apt/debs/FILE` or the same of builds, Python and conda. Pins that were checked
/// give no other.
fn leads_out(path: &str) -> bool {
    let mut parts = path.split('/');
    parts.clone().count() > 3 || parts.any(|part| part.is_empty() || part == "." || part == "..")
}

#[cfg(test)]
mod tests {
    use mlbuild_manifests::lock::{PinnedDeb, PinnedFile};

    use super::*;

    fn pins(store: &Store) -> Pins {
        let (deb, size) = store.take("deb", &b"deb"[..], None).unwrap();
        let (wheel, _) = store.take("wheel", &b"wheel"[..], None).unwrap();
        Pins {
            requested: vec!["tree".into()],
            apt: vec![PinnedDeb {
                name: "tree".into(),
                version: "1:2.1".into(),
                arch: "amd64".into(),
                sha256: deb,
                size,
                suite: "bookworm".into(),
                component: "main".into(),
                path: "pool/main/t/tree/tree_2.1_amd64.deb".into(),
                build_only: false,
            }],
            python_packages: vec![PinnedFile {
                name: "six".into(),
                version: "1.17".into(),
                file: "six-1.17-py3-none-any.whl".into(),
                sha256: wheel,
                size: 5,
                source: false,
                build_only: false,
            }],
            ..Pins::default()
        }
    }

    #[test]
    fn it_holds_the_pinned_files_under_the_names_that_installers_know() {
        let top = tempfile::tempdir().unwrap();
        let store = Store::at(top.path().join("inputs")).unwrap();
        let view = View::of(&store, &pins(&store));
        let folder = view.make().unwrap();
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
        assert_eq!(read("apt/debs/tree_1%3a2.1_amd64.deb"), "deb");
        assert_eq!(read("python/wheels/six-1.17-py3-none-any.whl"), "wheel");
        assert_eq!(read("apt/requested"), "tree");
        assert!(read("python/requirements.txt").starts_with("six==1.17 --hash=sha256:"));
        assert_eq!(view.make().unwrap(), folder);
    }

    #[test]
    fn a_file_that_was_edited_in_place_is_refused() {
        let top = tempfile::tempdir().unwrap();
        let store = Store::at(top.path().join("inputs")).unwrap();
        let view = View::of(&store, &pins(&store));
        let folder = view.make().unwrap();
        std::fs::write(folder.join("apt/debs/tree_1%3a2.1_amd64.deb"), "DEB").unwrap();
        assert!(matches!(view.make(), Err(StoreError::Refused(_))));
        assert_eq!(view.missing().len(), 1);
    }
}
