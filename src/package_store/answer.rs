//! What the resolver left in its folder: pins, and files that go into the store.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use mlbuild_manifests::lock::{PinnedConda, PinnedDeb, PinnedFile, Pins};

use super::deb;
use super::folder::AnswerFolder;
use super::store::{Refused, Store, StoreError};

/// An answer of the resolver.
#[derive(Debug, Default)]
pub struct Answer {
    /// What is pinned.
    pub pins: Pins,
    /// When the newest package was made, in seconds since 1970-01-01.
    pub newest: i64,
    /// Whether the base has every library that the packages look for.
    pub has_libraries: bool,
}

/// Reads an answer, and takes its files into the store. `known`: hashes (hex) of files of the store that
/// needn't be in it.
///
/// # Errors
/// Where a file isn't what the verified package lists or the index say, or the answer can't be one.
pub fn read_answer(
    folder: &Path,
    known: &BTreeSet<String>,
    store: &Store,
) -> Result<Answer, StoreError> {
    let reader = Reader {
        place: folder,
        folder: AnswerFolder::open(folder)?,
        known,
        store,
    };
    let mut answer = Answer::default();
    let facts: BTreeMap<String, String> = reader
        .folder
        .text("facts")?
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let pins = &mut answer.pins;
    pins.python = facts.get("python").cloned();
    pins.pip = facts.get("pip").cloned();
    answer.has_libraries = facts.get("libraries").is_some_and(|which| which == "all");
    let requested = reader.folder.text("requested")?;
    pins.requested = requested.split_whitespace().map(str::to_owned).collect();
    for row in reader.table("apt.tsv")? {
        let (deb, made) = reader.deb(&row)?;
        answer.newest = answer.newest.max(made);
        answer.pins.apt.push(deb);
    }
    let for_builds = reader.folder.text("build_requested")?;
    answer.pins.build_requested = for_builds.split_whitespace().map(str::to_owned).collect();
    for row in reader.table("build.tsv")? {
        let (deb, _) = reader.deb(&row)?;
        let build_only = true;
        answer.pins.apt.push(PinnedDeb { build_only, ..deb });
    }
    for row in reader.table("python.tsv")? {
        let (kind, pinned) = reader.python(&row)?;
        match kind.as_str() {
            "uv" => answer.pins.uv = Some(pinned),
            _ => answer.pins.python_packages.push(pinned),
        }
    }
    for row in reader.table("conda.tsv")? {
        match row.columns.first().map(String::as_str) {
            Some("py-rattler") => answer.pins.rattler = Some(reader.rattler(&row)?),
            _ => answer.pins.conda.push(reader.conda(&row)?),
        }
    }
    answer.pins.check().map_err(|why| StoreError::Pins {
        path: folder.to_owned(),
        why,
    })?;
    Ok(answer)
}

/// A line of a table.
struct Row {
    table: &'static str,
    /// From 1.
    line: usize,
    columns: Vec<String>,
}

/// Reads the tables of an answer, and takes the files that they name into the store.
struct Reader<'a> {
    place: &'a Path,
    folder: AnswerFolder,
    known: &'a BTreeSet<String>,
    store: &'a Store,
}

impl Reader<'_> {
    fn table(&self, table: &'static str) -> Result<Vec<Row>, StoreError> {
        let text = self.folder.text(table)?;
        let row = |(at, line): (usize, &str)| Row {
            table,
            line: at + 1,
            columns: line.split('\t').map(str::to_owned).collect(),
        };
        Ok(text.lines().enumerate().map(row).collect())
    }

    fn damaged(&self, row: &Row, why: &str) -> StoreError {
        StoreError::Answer {
            path: self.place.join(row.table),
            line: row.line,
            why: why.to_owned(),
        }
    }

    /// A package of the distribution, and when it was made, in seconds since 1970-01-01.
    fn deb(&self, row: &Row) -> Result<(PinnedDeb, i64), StoreError> {
        let [
            file,
            name,
            version,
            arch,
            sha256,
            size,
            suite,
            component,
            path,
        ] = &row.columns[..]
        else {
            return Err(self.damaged(row, "it hasn't nine columns"));
        };
        if !is_file_name(file, &[".deb"]) {
            return Err(self.damaged(row, "its file is no Debian package"));
        }
        let place = format!("debs/{file}");
        let mut content = self.folder.file(&place)?;
        let made = deb::made(&mut content).map_err(StoreError::io(&self.place.join(&place)))?;
        let (_, found) = self.store.take(file, content, Some(sha256))?;
        if size.parse() != Ok(found) {
            return Err(self.damaged(row, "its file has another size"));
        }
        let deb = PinnedDeb {
            name: name.clone(),
            version: version.clone(),
            arch: arch.clone(),
            sha256: sha256.clone(),
            size: found,
            suite: suite.clone(),
            component: component.clone(),
            path: path.clone(),
            build_only: false,
        };
        Ok((deb, made))
    }

    /// A package of Python, and which kind it is: `uv`, `source`, `build` or `wheel`.
    fn python(&self, row: &Row) -> Result<(String, PinnedFile), StoreError> {
        let [kind, name, version, file, sha256] = &row.columns[..] else {
            return Err(self.damaged(row, "it hasn't five columns"));
        };
        if !is_file_name(file, &PYTHON_FILES) {
            return Err(self.damaged(row, "its file is no Python package"));
        }
        let part = if kind == "uv" { "uv" } else { "wheels" };
        let place = format!("{part}/{file}");
        let (sha256, size) = if self.known.contains(sha256) {
            (sha256.clone(), self.store.size(sha256)?)
        } else {
            let content = self.folder.file(&place)?;
            let pinned = Some(sha256.as_str()).filter(|hash| !hash.is_empty());
            self.store.take(file, content, pinned)?
        };
        let pinned = PinnedFile {
            name: name.clone(),
            version: version.clone(),
            file: file.clone(),
            sha256,
            size,
            source: kind == "source",
            build_only: kind == "build",
        };
        Ok((kind.clone(), pinned))
    }
}

impl Reader<'_> {
    /// A package of a channel of conda's.
    fn conda(&self, row: &Row) -> Result<PinnedConda, StoreError> {
        let [name, version, build, file, sha256, size, url] = &row.columns[..] else {
            return Err(self.damaged(row, "it hasn't seven columns"));
        };
        if !is_file_name(file, &[".conda", ".tar.bz2"]) {
            return Err(self.damaged(row, "its file is no package of conda"));
        }
        let content = self.folder.file(&format!("conda/pkgs/{file}"))?;
        let (_, found) = self.store.take(file, content, Some(sha256))?;
        if size.parse() != Ok(found) {
            return Err(self.damaged(row, "its file has another size"));
        }
        Ok(PinnedConda {
            name: name.clone(),
            version: version.clone(),
            build: build.clone(),
            file: file.clone(),
            sha256: sha256.clone(),
            size: found,
            url: url.clone(),
        })
    }

    /// The wheel that lays them out.
    fn rattler(&self, row: &Row) -> Result<PinnedFile, StoreError> {
        let [name, version, file] = &row.columns[..] else {
            return Err(self.damaged(row, "it hasn't three columns"));
        };
        if !is_file_name(file, &[".whl"]) {
            return Err(self.damaged(row, "its file is no wheel"));
        }
        let content = self.folder.file(&format!("conda/rattler/{file}"))?;
        let (sha256, size) = self.store.take(file, content, None)?;
        Ok(PinnedFile {
            name: name.clone(),
            version: version.clone(),
            file: file.clone(),
            sha256,
            size,
            source: false,
            build_only: false,
        })
    }
}

/// Endings of what Python installs: wheels, and source packages as PEP 527 and older ones have them.
const PYTHON_FILES: [&str; 5] = [".whl", ".tar.gz", ".zip", ".tar.bz2", ".tar.xz"];

/// True for one component of a path with one of these endings.
fn is_file_name(name: &str, endings: &[&str]) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._+-~%!".contains(&byte);
    name.len() <= 255
        && name.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_')
        && name.bytes().all(is_plain)
        && endings.iter().any(|ending| name.ends_with(ending))
}

/// Reads what was fetched for pins, and takes it into the store; gives the names of what is gone.
///
/// # Errors
/// [`StoreError::Refused`] where a file isn't the pinned one.
pub fn read_fetched(folder: &Path, pins: &Pins, store: &Store) -> Result<Vec<String>, StoreError> {
    let folder = AnswerFolder::open(folder)?;
    let take = |place: &str, name: &str, sha256: &str| match folder.file_if_any(place)? {
        Some(content) => store.take(name, content, Some(sha256)).map(drop),
        None => Ok(()),
    };
    for deb in &pins.apt {
        take(&format!("debs/{}", deb.file()), &deb.file(), &deb.sha256)?;
    }
    for file in pins.python_files() {
        for part in ["uv", "wheels"] {
            take(&format!("{part}/{}", file.file), &file.file, &file.sha256)?;
        }
    }
    for package in &pins.conda {
        let place = format!("conda/pkgs/{}", package.file);
        take(&place, &package.file, &package.sha256)?;
    }
    if let Some(file) = &pins.rattler {
        let place = format!("conda/rattler/{}", file.file);
        take(&place, &file.file, &file.sha256)?;
    }
    let text = folder.text("missing")?;
    let mut gone = Vec::new();
    for line in text.lines() {
        let Some((name, found)) = line.split_once('\t') else {
            gone.push(line.to_owned());
            continue;
        };
        let python = pins
            .python_files()
            .map(|f| (&f.name, &f.version, &f.file, &f.sha256));
        let conda = pins
            .conda
            .iter()
            .map(|f| (&f.name, &f.version, &f.file, &f.sha256));
        let mut files = python.chain(conda);
        let named = files.find(|(of, version, ..)| format!("{of} {version}") == name);
        if let Some((_, _, file, sha256)) = named {
            return Err(StoreError::Refused(Refused {
                name: file.clone(),
                pinned: sha256.clone(),
                found: found.to_owned(),
            }));
        }
    }
    Ok(gone)
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;

    /// An answer that a base's own shell wrote: tables, and files below it.
    fn answer(
        tables: &[(&str, &str)],
        files: &[&str],
    ) -> (tempfile::TempDir, Result<Answer, StoreError>) {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("answer");
        for part in ["wheels", "debs", "uv"] {
            std::fs::create_dir_all(folder.join(part)).unwrap();
        }
        for table in [
            "facts",
            "requested",
            "build_requested",
            "apt.tsv",
            "build.tsv",
            "python.tsv",
            "conda.tsv",
        ] {
            let text = tables.iter().find(|(name, _)| *name == table);
            std::fs::write(folder.join(table), text.map_or("", |(_, text)| text)).unwrap();
        }
        for file in files {
            std::fs::write(folder.join(file), "content").unwrap();
        }
        let store = Store::at(place.path().join("store")).unwrap();
        let known = BTreeSet::from([store.take("known", &b"known"[..], None).unwrap().0]);
        let read = read_answer(&folder, &known, &store);
        (place, read)
    }

    #[test]
    fn what_an_honest_resolver_leaves_is_taken() {
        let (_place, read) = answer(
            &[(
                "python.tsv",
                "wheel\tsix\t1.17.0\tsix-1.17.0-py3-none-any.whl\t\n",
            )],
            &["wheels/six-1.17.0-py3-none-any.whl"],
        );
        let pins = read.unwrap().pins;
        assert_eq!(pins.python_packages[0].name, "six");
    }

    #[test]
    fn a_file_that_is_known_is_not_given_back() {
        let known = hex::encode(Sha256::digest("known"));
        let row = format!("wheel\tx\t1\tx-1-py3-none-any.whl\t{known}\n");
        let facts = ("facts", "libraries\tall\n");
        let (_place, read) = answer(&[("python.tsv", &row), facts], &[]);
        let found = read.unwrap();
        let pinned = &found.pins.python_packages[0];
        assert_eq!((&pinned.sha256, pinned.size), (&known, 5));
        assert!(found.has_libraries);
        // Another one is.
        let row = row.replace(&known, &"0".repeat(64));
        let (_place, read) = answer(&[("python.tsv", &row)], &[]);
        assert!(read.is_err());
    }

    /// Each names a file that isn't one of the folder, is another than it says, or is a word that an
    /// installer would take for something else.
    #[test]
    fn no_line_of_an_answer_leads_elsewhere_or_becomes_a_flag() {
        let wheel = "x-1-py3-none-any.whl";
        let zeros = "0".repeat(64);
        let python = |line: &str| ("python.tsv", format!("{line}\n"));
        let deb = |file: &str| {
            (
                "apt.tsv",
                format!("{file}\tx\t1\tall\t{zeros}\t7\ts\tc\tp\n"),
            )
        };
        for (table, text) in [
            python(&format!("wheel\tx\t1\t../{wheel}\t")),
            python(&format!("wheel\tx\t1\t/etc/{wheel}\t")),
            python(&format!("wheel\tx\t1\ta/{wheel}\t")),
            python("wheel\tx\t1\tpasswd\t"),
            python("wheel\tx\t1\t--index-url=evil.whl\t"),
            python("wheel\tx\t1\t.whl\t"),
            python(&format!("wheel\tx\t1\t{}.whl\t", "x".repeat(300))),
            python("wheel\tx\t1\tx;id.whl\t"),
            python(&format!("wheel\tx\t1\t{wheel}\t{zeros}")),
            python(&format!("wheel\t--index-url\t1\t{wheel}\t")),
            python(&format!("wheel\tx\t1 --hash=y\t{wheel}\t")),
            python(&format!("wheel\tx\t1\t{wheel}")),
            deb("../x.deb"),
            deb("-x.deb"),
            deb("x.whl"),
            ("requested", "-oDPkg::Pre-Invoke::=id\n".to_owned()),
            (
                "conda.tsv",
                format!("x\t1\t0\t../x.conda\t{zeros}\t1\thttps://h/x-1-0.conda"),
            ),
            (
                "conda.tsv",
                format!("x\t1\t0\tx-1-0.conda\t{zeros}\t1\tfile:///x-1-0.conda"),
            ),
            (
                "conda.tsv",
                format!("x\t1\t0\tx-1-0.zip\t{zeros}\t1\thttps://h/x-1-0.zip"),
            ),
            ("conda.tsv", "py-rattler\t1\t../x.whl".to_owned()),
            ("conda.tsv", "x\t1".to_owned()),
            ("build_requested", "--purge\n".to_owned()),
        ] {
            let (place, read) = answer(
                &[(table, &text)],
                &[&format!("wheels/{wheel}"), "debs/x.deb"],
            );
            let refused = read.map(|answer| answer.pins).unwrap_err();
            assert!(!refused.to_string().is_empty(), "{text}");
            let kept = place.path().join("store/sha256");
            let names = kept.read_dir().unwrap().map(|e| e.unwrap().file_name());
            let names: Vec<_> = names.collect();
            assert!(names.len() <= 2, "{text}: {names:?}");
        }
    }
}
