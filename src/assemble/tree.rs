//! The part of a base's files that facts are read from: folders, links, what stands at the top and
//! in `/opt`, and the contents of a few small files.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::ops::ControlFlow;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::image::PlatformImage;
use crate::image::compare::LayerStore;
use crate::image::layer::{
    EntryKind, LayerEntry, LayerError, LayerLimits, LayerProblem, read_layer,
};

/// Bytes of one file that are kept: pip's wheel has two million.
const MOST: u64 = 16 << 20;
/// Bytes that all that is kept of a base may take: of a large one, thirty million.
const MOST_KEPT: u64 = 256 << 20;
/// What an entry takes beside its path and its content.
const OF_AN_ENTRY: u64 = 160;
/// Debian's list of packages.
const DPKG_STATUS: &str = "var/lib/dpkg/status";
/// What a new home folder gets, which is copied as it is.
const SKELETON: &str = "etc/skel/";
/// Links that are followed to one file.
const MOST_LINKS: usize = 40;

/// What is known at a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Node {
    Folder,
    Link(String),
    /// A file; its content where that is of use.
    File(#[serde(with = "content")] Option<Vec<u8>>),
    /// A wheel whose content is elsewhere: its hash (hex) and bytes.
    Wheel(String, u64),
}

impl Node {
    /// A file's hash (hex) and bytes, where they are known.
    pub(super) fn hash_and_size(&self) -> Option<(String, u64)> {
        match self {
            Self::Wheel(sha256, size) => Some((sha256.clone(), *size)),
            Self::File(Some(bytes)) => {
                Some((hex::encode(Sha256::digest(bytes)), bytes.len() as u64))
            }
            _ => None,
        }
    }
}

/// An entry of the base.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    pub(super) node: Node,
    pub(super) mode: u32,
    pub(super) uid: u64,
    pub(super) gid: u64,
}

/// Paths without leading slash.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Tree(BTreeMap<String, Known>);

/// A tree while its layers are read. What a layer hides is below it only, and so what the layer itself has
/// is kept apart until its end: each entry is looked at once to be hidden, however often a layer says so.
#[derive(Debug, Default)]
struct Growing {
    below: BTreeMap<String, Known>,
    own: BTreeMap<String, Known>,
}

/// Contents in base64.
mod content {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(
        bytes: &Option<Vec<u8>>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let text = bytes.as_ref().map(|bytes| STANDARD.encode(bytes));
        text.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Vec<u8>>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| STANDARD.decode(text).map_err(D::Error::custom))
            .transpose()
    }
}

impl Tree {
    /// Reads all layers of an image, lowest first.
    pub(super) fn read(image: &PlatformImage, store: &dyn LayerStore) -> Result<Self, LayerError> {
        let mut tree = Growing::default();
        let mut kept_bytes = 0;
        for layer in &image.layers {
            let blob = store.open(layer).map_err(|error| LayerError {
                layer: layer.blob.digest().clone(),
                problem: Box::new(LayerProblem::Read(error)),
            })?;
            let limits = LayerLimits::for_blob(layer.blob.size());
            let mut refused = None;
            read_layer(blob, layer, &limits, &mut |entry, content| {
                let path = String::from_utf8_lossy(entry.path.as_bytes()).into_owned();
                let mut bytes = None;
                if entry.kind == EntryKind::File && keeps(&path) {
                    let mut kept = Vec::new();
                    content.take(MOST + 1).read_to_end(&mut kept)?;
                    if kept.len() as u64 > MOST {
                        let most = MOST >> 20;
                        refused = Some(format!("/{path} is larger than {most} MiB"));
                        return Ok(ControlFlow::Break(()));
                    }
                    bytes = Some(kept);
                }
                let content = bytes.as_ref().map_or(0, Vec::len) as u64;
                let link = entry.link.as_ref().map_or(0, Vec::len) as u64;
                let size = path.len() as u64 + link + content + OF_AN_ENTRY;
                if tree.add(entry, path, bytes) {
                    kept_bytes += size;
                }
                if kept_bytes > MOST_KEPT {
                    let most = MOST_KEPT >> 20;
                    refused = Some(format!("what is known of it is over {most} MiB"));
                    return Ok(ControlFlow::Break(()));
                }
                Ok(ControlFlow::Continue(()))
            })?;
            if let Some(why) = refused {
                let error = std::io::Error::new(std::io::ErrorKind::FileTooLarge, why);
                return Err(LayerError {
                    layer: layer.blob.digest().clone(),
                    problem: Box::new(LayerProblem::Read(error)),
                });
            }
            tree.end_layer();
        }
        Ok(Self(tree.below))
    }
}

impl Growing {
    /// Takes an entry of the layer at hand in; true if it is kept.
    fn add(&mut self, entry: &LayerEntry, path: String, bytes: Option<Vec<u8>>) -> bool {
        if entry.kind != EntryKind::Folder {
            self.hide(&path, entry.kind);
        }
        let node = match entry.kind {
            EntryKind::Whiteout | EntryKind::Opaque => return false,
            EntryKind::Symlink => {
                let target = entry.link.as_deref().unwrap_or_default();
                Node::Link(String::from_utf8_lossy(target).into_owned())
            }
            EntryKind::Folder => Node::Folder,
            _ => Node::File(bytes),
        };
        let is_of_use = match &node {
            Node::Link(_) | Node::Folder | Node::File(Some(_)) | Node::Wheel(..) => true,
            Node::File(None) => {
                is_near_the_top(&path) || is_program(&path) || library_folder(&path).is_some()
            }
        };
        if is_of_use {
            let known = Known {
                node,
                mode: entry.mode,
                uid: entry.uid,
                gid: entry.gid,
            };
            self.own.insert(path, known);
        }
        is_of_use
    }

    /// What the layer has is from now on below the next one.
    fn end_layer(&mut self) {
        self.below.append(&mut self.own);
    }

    /// Forgets what lower layers have at a path and below it.
    fn hide(&mut self, path: &str, kind: EntryKind) {
        let inside = format!("{path}/");
        let all = self.below.range(inside.clone()..);
        let all = all.take_while(|(known, _)| known.starts_with(&inside));
        let hidden: Vec<String> = all.map(|(known, _)| known.clone()).collect();
        for known in hidden {
            self.below.remove(&known);
        }
        if kind != EntryKind::Opaque {
            self.below.remove(path);
        }
    }
}

impl Tree {
    /// What is known at a path, links not followed.
    pub(super) fn at(&self, path: &str) -> Option<&Known> {
        self.0.get(path)
    }

    /// All that is known in a folder, sorted.
    pub(super) fn inside<'a>(
        &'a self,
        folder: &str,
    ) -> impl Iterator<Item = (&'a str, &'a Known)> + use<'a> {
        let start = format!("{folder}/");
        let all = self.0.range(start.clone()..);
        let all = all.take_while(move |(path, _)| path.starts_with(&start));
        all.map(|(path, known)| (path.as_str(), known))
    }

    /// The wheels right in a folder, by the names of their files, sorted.
    pub(super) fn wheels<'a>(
        &'a self,
        folder: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a Node)> {
        let all = self.0.range(folder.to_owned()..);
        let all = all.take_while(move |(path, _)| path.starts_with(folder));
        all.filter_map(|(path, known)| {
            let file = path.rsplit('/').next().unwrap_or(path);
            is_bundled(path).then_some((file, &known.node))
        })
    }

    /// The content of every bundled wheel, with its hash.
    pub(super) fn bundled(&self) -> impl Iterator<Item = (String, &[u8])> {
        let wheels = self.0.iter().filter(|(path, _)| is_bundled(path));
        wheels.filter_map(|(_, known)| match &known.node {
            Node::File(Some(bytes)) => Some((known.node.hash_and_size()?.0, bytes.as_slice())),
            _ => None,
        })
    }

    /// True if every wheel that it has the hash of is in a folder.
    pub(super) fn has_wheels(&self, folder: &Path) -> bool {
        self.0.values().all(|known| match &known.node {
            Node::Wheel(sha256, size) => {
                let is_name = sha256.len() == 64 && sha256.bytes().all(|b| b.is_ascii_hexdigit());
                let file = std::fs::metadata(folder.join(sha256));
                is_name && file.is_ok_and(|meta| meta.is_file() && meta.len() == *size)
            }
            _ => true,
        })
    }

    /// The same with hashes in place of bundled wheels, and with the fields alone of the list of Debian
    /// packages that are looked at: a tenth of it, which is read for every image.
    pub(super) fn with_hashes(&self) -> Self {
        let mut tree = self.clone();
        for (path, known) in &mut tree.0 {
            if is_bundled(path) {
                if let Some((sha256, size)) = known.node.hash_and_size() {
                    known.node = Node::Wheel(sha256, size);
                }
            } else if let (Node::File(Some(bytes)), true) = (&mut known.node, path == DPKG_STATUS) {
                *bytes = fields_of_use(bytes);
            }
        }
        tree
    }

    /// The Debian packages that are installed: name, version, architecture.
    pub(super) fn packages(&self) -> Vec<(String, String, String)> {
        let status = self.text(DPKG_STATUS).unwrap_or_default();
        let field = |package: &str, name: &str| {
            let start = format!("{name}: ");
            let value = package.lines().find_map(|line| line.strip_prefix(&start));
            value.unwrap_or_default().to_owned()
        };
        let all = status.split("\n\n");
        let installed = all.filter(|p| field(p, "Status") == "install ok installed");
        let named = installed.map(|package| {
            let of = |name| field(package, name);
            (of("Package"), of("Version"), of("Architecture"))
        });
        named.collect()
    }

    /// Where the link at a path leads, as it is written.
    pub(super) fn link(&self, path: &str) -> Option<&str> {
        match self.0.get(path) {
            Some(Known {
                node: Node::Link(target),
                ..
            }) => Some(target),
            _ => None,
        }
    }

    /// True if there is something at a path near the top.
    pub(super) fn has(&self, path: &str) -> bool {
        self.0.contains_key(path)
    }

    /// The file that a path leads to, over links; `None` where it is none that is known.
    pub(super) fn resolve(&self, path: &str) -> Option<String> {
        let (mut done, mut links) = (Vec::<String>::new(), 0);
        let mut todo: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
        while let Some(name) = todo.pop() {
            match name.as_str() {
                "" | "." => continue,
                ".." => {
                    done.pop();
                    continue;
                }
                _ => {}
            }
            done.push(name);
            if let Some(target) = self.link(&done.join("/")) {
                links += 1;
                if links > MOST_LINKS {
                    return None;
                }
                done.pop();
                if target.starts_with('/') {
                    done.clear();
                }
                todo.extend(target.split('/').rev().map(str::to_owned));
            }
        }
        let path = done.join("/");
        let is_file = matches!(self.0.get(&path), Some(known) if matches!(known.node, Node::File(_) | Node::Wheel(..)));
        is_file.then_some(path)
    }

    /// True if the loader finds a shared library of this name in one of its own folders.
    pub(super) fn has_library(&self, name: &str, machine: &str) -> bool {
        if name.is_empty() || name.contains('/') {
            return false;
        }
        let of_machine = match machine {
            "i686" => "lib/i386-linux-gnu".to_owned(),
            "armv7l" => "lib/arm-linux-gnueabihf".to_owned(),
            "ppc64le" => "lib/powerpc64le-linux-gnu".to_owned(),
            other => format!("lib/{other}-linux-gnu"),
        };
        let folders = [of_machine.as_str(), "lib", "lib64"];
        let is_there = |folder: &str| self.resolve(&format!("{folder}/{name}")).is_some();
        let mut all = folders.iter();
        all.any(|folder| is_there(folder) || is_there(&format!("usr/{folder}")))
    }

    /// A file's content as text.
    pub(super) fn text(&self, path: &str) -> Option<String> {
        match &self.0.get(&self.resolve(path)?)?.node {
            Node::File(Some(bytes)) => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        }
    }

    /// The files whose contents are kept, of which the path begins so.
    pub(super) fn below<'a>(&'a self, start: &'a str) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        let all = self.0.range(start.to_owned()..);
        let all = all.take_while(move |(path, _)| path.starts_with(start));
        all.filter_map(|(path, known)| match &known.node {
            Node::File(Some(bytes)) => Some((path.as_str(), bytes.as_slice())),
            _ => None,
        })
    }

    /// The version of a Debian package that is installed.
    pub(super) fn package(&self, name: &str) -> Option<String> {
        let status = self.text(DPKG_STATUS)?;
        let line = format!("Package: {name}");
        let mut paragraphs = status.split("\n\n");
        let package = paragraphs.find(|package| {
            let is_it = package.lines().any(|l| l == line);
            is_it && package.lines().any(|l| l == "Status: install ok installed")
        })?;
        let version = package.lines().find_map(|l| l.strip_prefix("Version: "))?;
        Some(version.to_owned())
    }
}

/// The list of Debian packages with those of their fields that are looked at.
fn fields_of_use(status: &[u8]) -> Vec<u8> {
    const FIELDS: [&[u8]; 4] = [b"Package: ", b"Status: ", b"Version: ", b"Architecture: "];
    let lines = status.split_inclusive(|byte| *byte == b'\n');
    let of_use = |line: &&[u8]| *line == b"\n" || FIELDS.iter().any(|name| line.starts_with(name));
    lines.filter(of_use).flatten().copied().collect()
}

/// A wheel that a base's Python brings.
fn is_bundled(path: &str) -> bool {
    path.ends_with(".whl")
        && !path.starts_with(SKELETON)
        && (path.contains("/ensurepip/_bundled/") || path.contains("/python-wheels/"))
}

/// True for files that facts are read from.
fn keeps(path: &str) -> bool {
    matches!(path, DPKG_STATUS | "lib/apk/db/installed")
        || matches!(path, "etc/passwd" | "etc/group" | "etc/shadow")
        || path.starts_with(SKELETON)
        || path.contains("/venv/scripts/")
        || path.ends_with("/patchlevel.h")
        || is_bundled(path)
}

fn is_near_the_top(path: &str) -> bool {
    path.matches('/').count() <= 1
}

/// The folder of a shared library that the loader looks into without being told to.
fn library_folder(path: &str) -> Option<&str> {
    let (folder, name) = path.rsplit_once('/')?;
    let top = folder.strip_prefix("usr/").unwrap_or(folder);
    let of_machine = top.strip_prefix("lib/");
    let is_one = matches!(top, "lib" | "lib64")
        || of_machine.is_some_and(|name| name.contains("-linux-") && !name.contains('/'));
    (is_one && name.contains(".so")).then_some(folder)
}

fn is_program(path: &str) -> bool {
    path.rsplit_once("bin/")
        .is_some_and(|(_, name)| name.starts_with("python") || name == "bash")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn tree(entries: &[(usize, &str, EntryKind, &str)]) -> Tree {
        let mut tree = Growing::default();
        let mut at = 0;
        for (layer, path, kind, text) in entries {
            if *layer > at {
                tree.end_layer();
                at = *layer;
            }
            let mut entry = LayerEntry::plain(path, *kind);
            entry.link = (*kind == EntryKind::Symlink).then(|| text.as_bytes().to_vec());
            let bytes = keeps(path).then(|| text.as_bytes().to_vec());
            tree.add(&entry, (*path).to_owned(), bytes);
        }
        tree.end_layer();
        Tree(tree.below)
    }

    #[test]
    fn programs_are_found_over_links() {
        let tree = tree(&[
            (0, "bin", EntryKind::Symlink, "usr/bin"),
            (0, "usr/bin/python3.11", EntryKind::File, ""),
            (0, "usr/bin/python3", EntryKind::Symlink, "python3.11"),
            (
                1,
                "usr/local/bin/python3",
                EntryKind::Symlink,
                "/bin/../bin/./python3",
            ),
            (1, "usr/local/bin/round", EntryKind::Symlink, "round"),
            (1, "usr/local/bin/gone", EntryKind::Symlink, "../nothing"),
        ]);
        let real = Some("usr/bin/python3.11".to_owned());
        assert_eq!(tree.resolve("usr/local/bin/python3"), real);
        assert_eq!(tree.resolve("usr/local/bin/round"), None);
        assert_eq!(tree.resolve("usr/local/bin/gone"), None);
    }

    struct Blob(Vec<u8>);

    impl LayerStore for Blob {
        fn open(
            &self,
            _: &crate::image::ImageLayer,
        ) -> std::io::Result<Box<dyn std::io::Read + Send + '_>> {
            Ok(Box::new(self.0.as_slice()))
        }
    }

    /// A blob of some kilobytes that comes to hundreds of megabytes of what is kept.
    #[test]
    fn what_a_base_makes_us_keep_is_bounded() {
        use crate::image::layer::{Packing, write_tar};
        for (count, size, said) in [
            (1, MOST + 1, "/etc/skel/0 is larger than 16 MiB"),
            (17, MOST, "what is known of it is over 256 MiB"),
        ] {
            let files = (0..count).map(|n| {
                let mut file = LayerEntry::plain(&format!("etc/skel/{n}"), EntryKind::File);
                file.size = size;
                (file, vec![0; size as usize])
            });
            let tar = write_tar(&files.collect::<Vec<_>>());
            let media_type = oci_spec::image::MediaType::ImageLayerGzip;
            let (blob, layer) = Packing::Gzip.pack(tar, media_type);
            assert!(blob.len() < 1 << 20);
            let image = PlatformImage::made_up(&serde_json::json!({}), vec![layer]);
            let refused = Tree::read(&image, &Blob(blob)).unwrap_err().to_string();
            assert!(refused.contains(said), "{refused}");
        }
    }

    /// Time of the processor that is taken by whiteouts of one folder that the same layer fills.
    #[test]
    fn what_hides_a_folder_again_and_again_costs_no_more_than_its_entries() {
        let taken = |count: usize| {
            let before = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
            let mut tree = Growing::default();
            for n in 0..count {
                let folder = LayerEntry::plain(&format!("a/{n}"), EntryKind::Folder);
                tree.add(&folder, format!("a/{n}"), None);
                tree.add(
                    &LayerEntry::plain("a", EntryKind::Opaque),
                    "a".to_owned(),
                    None,
                );
            }
            let after = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
            assert_eq!(tree.own.len(), count);
            (after.tv_sec - before.tv_sec) * 1_000_000_000 + after.tv_nsec - before.tv_nsec
        };
        taken(4000);
        let (few, many) = (taken(4000), taken(32_000));
        // Eight times as much takes eight times as long, and not sixty-four times.
        assert!(many < few * 24, "{few} ns, then {many} ns");
    }

    /// A large base's list of packages has megabytes, and each of its wheels too.
    #[test]
    fn what_is_kept_of_a_base_answers_as_the_base_does() {
        let status = "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\n\
                      Version: 2.36-9\nDescription: the C library\n of everything\n\n\
                      Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n";
        let wheel = "usr/lib/python3.11/ensurepip/_bundled/pip-1-py3-none-any.whl";
        let whole = tree(&[
            (0, DPKG_STATUS, EntryKind::File, status),
            (0, wheel, EntryKind::File, "the wheel"),
            (0, "etc/skel/python-wheels/x.whl", EntryKind::File, "copied"),
            (0, "opt", EntryKind::Folder, ""),
        ]);
        let text = serde_json::to_string(&whole.with_hashes()).unwrap();
        let kept: Tree = serde_json::from_str(&text).unwrap();
        assert_eq!(kept.packages(), whole.packages());
        assert_eq!(kept.packages().len(), 1);
        assert_eq!(kept.package("libc6"), Some("2.36-9".to_owned()));
        assert!(!text.contains("everything"));
        assert_eq!(kept.at("opt"), whole.at("opt"));
        let copied = "etc/skel/python-wheels/x.whl";
        assert_eq!(kept.at(copied), whole.at(copied));
        assert_eq!(kept.resolve(wheel), whole.resolve(wheel));

        // The wheel is beside it, or the base is read again.
        let folder = tempfile::tempdir().unwrap();
        assert!(!kept.has_wheels(folder.path()));
        let [(sha256, bytes)] = &whole.bundled().collect::<Vec<_>>()[..] else {
            panic!("one wheel")
        };
        let file = folder.path().join(sha256);
        std::fs::write(&file, bytes).unwrap();
        assert!(kept.has_wheels(folder.path()));
        std::fs::write(&file, "half").unwrap();
        assert!(!kept.has_wheels(folder.path()));
        let elsewhere = text.replace(sha256, &format!("./{sha256}"));
        std::fs::write(&file, bytes).unwrap();
        let elsewhere: Tree = serde_json::from_str(&elsewhere).unwrap();
        assert!(!elsewhere.has_wheels(folder.path()));
    }

    #[test]
    fn upper_layers_hide_what_is_below_them() {
        let tree = tree(&[
            (0, "opt/venv", EntryKind::Folder, ""),
            (0, "usr/bin/python3", EntryKind::File, ""),
            (0, "srv/x", EntryKind::Folder, ""),
            (1, "opt/venv", EntryKind::Whiteout, ""),
            (1, "usr/bin", EntryKind::Opaque, ""),
            (1, "srv", EntryKind::Symlink, "elsewhere"),
        ]);
        assert!(!tree.has("opt/venv") && !tree.has("srv/x") && !tree.has("usr/bin/python3"));
        assert_eq!(tree.link("srv"), Some("elsewhere"));
    }
}
