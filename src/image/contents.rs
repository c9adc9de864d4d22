//! What is in an image, as its layers tell: packages and accounts.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::ops::ControlFlow;

use serde::Serialize;

use super::PlatformImage;
use super::compare::LayerStore;
use super::installed::{self, Versions};
use super::layer::{
    EntryKind, EntryPath, LayerEntry, LayerError, LayerLimits, LayerProblem, read_layer,
};

const PASSWD: &[u8] = b"etc/passwd";
/// Where a distribution says what it is; `/etc/os-release` is a link to it, as a rule.
const OS_RELEASE: [&[u8]; 2] = [b"usr/lib/os-release", b"etc/os-release"];
/// Largest such file that is read, in bytes.
const MAX_OS_RELEASE: usize = 16 << 10;
/// Largest list of accounts that is read, in bytes.
const MAX_PASSWD: usize = 1 << 20;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Version of each Debian package, by `name:architecture`.
    pub apt: BTreeMap<String, String>,
    /// Version of each Python distribution, by normalized name.
    pub python: BTreeMap<String, String>,
    /// Version of each package of conda, by name.
    pub conda: BTreeMap<String, String>,
    /// Its accounts, in the order of `/etc/passwd`.
    pub accounts: Vec<Account>,
    /// What the distribution calls itself: `debian`.
    pub distribution: Option<String>,
}

/// A line of `/etc/passwd`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Account {
    /// Login name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Home folder.
    pub home: String,
    /// Shell.
    pub shell: String,
}

/// What one file tells.
enum Told {
    Apt(Versions),
    Python(String, String),
    Conda(String, String),
    Accounts(Vec<Account>),
    Distribution(String),
}

/// The files that tell something, each with the layer that has it.
#[derive(Default)]
struct Files(BTreeMap<EntryPath, (usize, Told)>);

impl Contents {
    /// Reads all layers of an image, lowest first.
    ///
    /// # Errors
    /// A layer that can't be read.
    pub fn read(image: &PlatformImage, store: &dyn LayerStore) -> Result<Self, LayerError> {
        let mut files = Files::default();
        for (at, layer) in image.layers.iter().enumerate() {
            let blob = store.open(layer).map_err(|error| LayerError {
                layer: layer.blob.digest().clone(),
                problem: Box::new(LayerProblem::Read(error)),
            })?;
            let limits = LayerLimits::for_blob(layer.blob.size());
            read_layer(blob, layer, &limits, &mut |entry, content| {
                let mut text = Vec::new();
                let keep = keeps(&entry.path);
                if entry.kind == EntryKind::File && keep > 0 {
                    content.take(keep as u64).read_to_end(&mut text)?;
                }
                files.add(entry, &text, at);
                Ok(ControlFlow::Continue(()))
            })?;
        }
        Ok(files.into_contents())
    }
}

fn keeps(path: &EntryPath) -> usize {
    match path.as_bytes() {
        PASSWD => MAX_PASSWD,
        bytes if OS_RELEASE.contains(&bytes) => MAX_OS_RELEASE,
        _ => installed::keeps(path),
    }
}

impl Files {
    fn add(&mut self, entry: &LayerEntry, text: &[u8], layer: usize) {
        let path = &entry.path;
        if entry.kind != EntryKind::Folder {
            // What lower layers have there and below it is hidden.
            self.0.retain(|known, (of, _)| {
                *of >= layer || (known != path && !known.is_in(path.as_bytes()))
            });
        }
        if entry.kind != EntryKind::File || keeps(path) == 0 {
            return;
        }
        let text = String::from_utf8_lossy(text);
        let told = if path.as_bytes() == PASSWD {
            Told::Accounts(accounts(&text))
        } else if OS_RELEASE.contains(&path.as_bytes()) {
            match distribution(&text) {
                Some(name) => Told::Distribution(name),
                None => return,
            }
        } else if path.as_bytes().starts_with(b"var/lib/dpkg/") {
            Told::Apt(installed::status(&text))
        } else if let Some((name, version)) = installed::conda(path) {
            Told::Conda(name, version)
        } else if let Some((name, version)) = installed::metadata(&text) {
            Told::Python(name, version)
        } else {
            return;
        };
        self.0.insert(path.clone(), (layer, told));
    }

    fn into_contents(self) -> Contents {
        let mut contents = Contents::default();
        for (_, told) in self.0.into_values() {
            match told {
                Told::Apt(versions) => contents.apt.extend(versions),
                Told::Python(name, version) => {
                    contents.python.insert(name, version);
                }
                Told::Conda(name, version) => {
                    contents.conda.insert(name, version);
                }
                Told::Accounts(accounts) => contents.accounts = accounts,
                Told::Distribution(name) => contents.distribution = Some(name),
            }
        }
        contents
    }
}

/// The `ID` of an os-release file.
fn distribution(text: &str) -> Option<String> {
    let id = text.lines().find_map(|line| line.strip_prefix("ID="))?;
    Some(id.trim().trim_matches(['"', '\'']).to_owned())
}

/// The accounts of a `passwd` file; lines that make no sense are left out.
fn accounts(text: &str) -> Vec<Account> {
    let account = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, uid, gid, _, home, shell] = fields[..] else {
            return None;
        };
        Some(Account {
            name: name.to_owned(),
            uid: uid.parse().ok()?,
            gid: gid.parse().ok()?,
            home: home.to_owned(),
            shell: shell.to_owned(),
        })
    };
    text.lines().filter_map(account).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str, kind: EntryKind) -> LayerEntry {
        LayerEntry::plain(path, kind)
    }

    #[test]
    fn upper_layers_win() {
        let mut files = Files::default();
        let old = "lib/python3/numpy-1.dist-info/METADATA";
        files.add(
            &entry(old, EntryKind::File),
            b"Name: numpy\nVersion: 1\n",
            0,
        );
        let kept = "lib/python3/torch-2.dist-info/METADATA";
        files.add(
            &entry(kept, EntryKind::File),
            b"Name: torch\nVersion: 2\n",
            0,
        );
        let passwd = "root:x:0:0:root:/root:/bin/bash\nbroken\nana:x:1000:100::/home/ana:/bin/sh\n";
        files.add(&entry("etc/passwd", EntryKind::File), passwd.as_bytes(), 0);
        // The same layer may say a folder after what is in it.
        files.add(&entry("lib/python3", EntryKind::Folder), b"", 0);
        files.add(
            &entry("lib/python3/numpy-1.dist-info", EntryKind::Whiteout),
            b"",
            1,
        );
        let contents = files.into_contents();
        assert_eq!(
            contents.python.into_iter().collect::<Vec<_>>(),
            [("torch".to_owned(), "2".to_owned())]
        );
        let names: Vec<_> = contents
            .accounts
            .iter()
            .map(|a| (&*a.name, a.uid))
            .collect();
        assert_eq!(names, [("root", 0), ("ana", 1000)]);
    }
}
