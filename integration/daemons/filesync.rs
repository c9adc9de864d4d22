//! What a build receives of its context, on every builder: generated trees and
//! ignore files, copied whole and exported again, beside our own selection.

#[path = "../../buildkit/tests/differential/generate.rs"]
#[allow(
    dead_code,
    reason = "the pattern oddities are compared without a daemon"
)]
mod generate;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use generate::{Random, TreeOptions};
use mlbuild_buildkit::fsutil::{
    ContextSelection, Counters, Normalise, Selection, SendOptions, Tree, dockerignore, fingerprint,
    walk,
};
use mlbuild_buildkit::{
    Client, ConnectOptions, Endpoint, Export, ExportTarget, LocalSource, Session, SolveOptions,
    context_key,
};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::support::engines::Engines;
use crate::support::wait::HANG;

/// Every builder, with a name for messages.
async fn builders() -> Vec<(&'static str, Client)> {
    let engines = Engines::from_env();
    let mut endpoints = vec![("buildkitd", engines.buildkitd.clone())];
    for (name, socket) in engines.dockers() {
        endpoints.push((name, socket.replace("unix://", "docker://")));
    }
    let mut all = Vec::new();
    for (name, endpoint) in endpoints {
        let endpoint: Endpoint = endpoint.parse().unwrap_or_else(|e| panic!("{e}"));
        let client = Client::connect(&endpoint, &ConnectOptions::default()).await;
        all.push((name, client.unwrap_or_else(|e| panic!("{name}: {e}"))));
    }
    all
}

/// Copies the whole context into an image and exports its files.
async fn copy_through(client: &Client, context: &Path, key: &str) -> Result<TempDir, String> {
    copy_counted(client, context, key, Default::default()).await
}

/// Same, and counts what is sent.
async fn copy_counted(
    client: &Client,
    context: &Path,
    key: &str,
    counters: Arc<Counters>,
) -> Result<TempDir, String> {
    let source = LocalSource::Dir {
        path: context.to_owned(),
        options: SendOptions {
            counters,
            ..SendOptions::default()
        },
    };
    let dockerfile = b"FROM scratch\nCOPY . /\n".to_vec();
    let files = BTreeMap::from([("Dockerfile".to_owned(), dockerfile)]);
    let session = Session::builder()
        .local("context", source)
        .local("dockerfile", LocalSource::Memory(files))
        .shared_key(key)
        .build()
        .map_err(|e| e.to_string())?;
    let out = tempfile::tempdir().unwrap();
    let export = Export {
        kind: "local".into(),
        attrs: BTreeMap::new(),
        output: Some(ExportTarget::Dir(out.path().to_owned())),
    };
    // A cached COPY of an earlier run has the same contents, and that run's times.
    let options = SolveOptions {
        frontend_attrs: [("no-cache".to_owned(), String::new())].into(),
        exports: vec![export],
        ..SolveOptions::default()
    };
    let (sender, mut receiver) = mpsc::channel(64);
    let reading = tokio::spawn(async move { while receiver.recv().await.is_some() {} });
    let result = client
        .solve(options, session, sender, CancellationToken::new())
        .await;
    reading.await.unwrap();
    result.map(|_| out).map_err(|e| e.to_string())
}

/// An entry as an image keeps it: mode, link target, time (of files), content.
type Kept = (u32, String, i64, Vec<u8>);

fn kept(root: &Path, selection: &Selection) -> BTreeMap<String, Kept> {
    let entries = walk::entries(root, selection, Normalise::default()).unwrap();
    let entries = entries.into_iter().map(|stat| {
        let full = root.join(OsStr::from_bytes(&stat.path));
        let is_symlink = stat.mode & walk::go_mode::SYMLINK != 0;
        let is_file = full.symlink_metadata().unwrap().is_file();
        let content = if is_file {
            fs::read(&full).unwrap()
        } else {
            Vec::new()
        };
        let is_dir = stat.mode & walk::go_mode::DIR != 0;
        let link = if is_symlink {
            stat.linkname.escape_ascii().to_string()
        } else {
            String::new()
        };
        // An image's layers hold whole nanoseconds; a folder's time is that
        // of its last entry.
        let time = if is_dir { 0 } else { stat.mod_time };
        (
            stat.path.escape_ascii().to_string(),
            (stat.mode, link, time, content),
        )
    });
    entries.collect()
}

fn random_context(random: &mut Random, options: TreeOptions) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    generate::tree(random, dir.path(), options);
    let patterns = random.list(0, 6, generate::pattern);
    let text: Vec<String> = patterns
        .iter()
        .map(|p| String::from_utf8_lossy(p).into_owned() + "\n")
        .collect();
    if !text.is_empty() {
        fs::write(dir.path().join(".dockerignore"), text.concat()).unwrap();
    }
    dir
}

#[tokio::test]
async fn every_builder_receives_our_selection() {
    let mut random = Random::seeded(11);
    let options = TreeOptions {
        specials: false,
        odd_names: false,
    };
    let builders = builders().await;
    let (mut compared, mut left_out) = (0, 0);
    for round in 0..14 {
        let context = random_context(&mut random, options);
        let tree = Tree::open(context.path()).unwrap();
        let exclude = dockerignore::of_context(&tree, None);
        for (name, client) in &builders {
            let out = copy_through(client, context.path(), &context_key(context.path())).await;
            let ignore = fs::read_to_string(context.path().join(".dockerignore"));
            let ignore = ignore.unwrap_or_default();
            let Ok(exclude) = &exclude else {
                assert!(
                    out.is_err(),
                    "{name}: a broken ignore file was accepted:\n{ignore}"
                );
                continue;
            };
            let selection = Selection {
                exclude: exclude.clone(),
                ..Default::default()
            };
            let ours = kept(context.path(), &selection);
            let out = out.unwrap_or_else(|e| panic!("{name}, round {round}: {e}\n{ignore}"));
            let theirs = kept(out.path(), &Selection::default());
            assert_eq!(
                ours, theirs,
                "{name}, round {round}, ignore file:\n{ignore}"
            );
            compared += ours.len();
            left_out += kept(context.path(), &Selection::default()).len() - ours.len();
        }
    }
    assert!(
        compared > 100 && left_out > 50,
        "{compared} compared, {left_out} left out"
    );
}

/// Edits between builds under one key: the builder updates what it has.
#[tokio::test]
async fn every_builder_follows_edits() {
    let builders = builders().await;
    for (name, client) in &builders {
        let context = tempfile::tempdir().unwrap();
        let state = tempfile::tempdir().unwrap();
        let at = |path: &str| context.path().join(path);
        fs::create_dir_all(at("d/e")).unwrap();
        fs::write(at("d/e/f"), "one").unwrap();
        fs::write(at("stays"), "here").unwrap();
        fs::hard_link(at("stays"), at("twin")).unwrap();
        let old = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let set_old = |path: PathBuf| {
            let file = fs::File::options().write(true).open(path).unwrap();
            file.set_modified(old).unwrap();
        };
        set_old(at("d/e/f"));
        let selection = ContextSelection {
            root: context.path().to_owned(),
            ..Default::default()
        };
        let steps: [(&str, &dyn Fn()); 6] = [
            ("nothing", &|| ()),
            ("same size, same time", &|| {
                fs::write(at("d/e/f"), "two").unwrap();
                set_old(at("d/e/f"));
            }),
            ("mode", &|| {
                use std::os::unix::fs::PermissionsExt;
                fs::set_permissions(at("stays"), fs::Permissions::from_mode(0o755)).unwrap();
            }),
            ("a folder for a file", &|| {
                fs::remove_file(at("twin")).unwrap();
                fs::create_dir(at("twin")).unwrap();
                fs::write(at("twin/inside"), "new").unwrap();
            }),
            ("a link for a folder", &|| {
                fs::remove_dir_all(at("d")).unwrap();
                std::os::unix::fs::symlink("twin", at("d")).unwrap();
            }),
            ("ignored", &|| {
                fs::write(at(".dockerignore"), "twin\n").unwrap()
            }),
        ];
        for (what, change) in steps {
            change();
            let found = fingerprint(&selection, Some(&state.path().join("hashes"))).unwrap();
            let key = context_key(context.path()) + &found.transfer_key;
            let out = copy_through(client, context.path(), &key).await;
            let out = out.unwrap_or_else(|e| panic!("{name}, {what}: {e}"));
            let tree = Tree::open(context.path()).unwrap();
            let ours = Selection {
                exclude: dockerignore::of_context(&tree, None).unwrap(),
                ..Default::default()
            };
            let (ours, theirs) = (
                kept(context.path(), &ours),
                kept(out.path(), &Selection::default()),
            );
            assert_eq!(ours, theirs, "{name}, {what}");
        }
    }
}

/// Names that aren't UTF-8, fifos, sockets and large files.
#[tokio::test]
async fn odd_entries_travel() {
    for (name, client) in builders().await {
        let context = tempfile::tempdir().unwrap();
        let at = |path: &[u8]| context.path().join(OsStr::from_bytes(path));
        fs::write(at(b"caf\xe9"), "latin").unwrap();
        std::os::unix::fs::symlink(OsStr::from_bytes(b"caf\xe9"), at(b"to-caf\xe9")).unwrap();
        std::os::unix::fs::symlink("loop", at(b"loop")).unwrap();
        fs::write(at("naïve".as_bytes()), "utf-8").unwrap();
        fs::write(at(b"line\nbreak"), "").unwrap();
        let sparse = fs::File::create(at(b"sparse")).unwrap();
        sparse.set_len(20 << 20).unwrap();
        let mut big = vec![0u8; 9_000_001];
        let mut random = Random::seeded(12);
        big.chunks_mut(8).for_each(|c| c.fill(random.next() as u8));
        fs::write(at(b"big"), &big).unwrap();
        let out = copy_through(&client, context.path(), &context_key(context.path())).await;
        let out = out.unwrap_or_else(|e| panic!("{name}: {e}"));
        let everything = Selection::default();
        assert_eq!(
            kept(context.path(), &everything),
            kept(out.path(), &everything),
            "{name}"
        );
    }
}

/// A file that goes away while the builder fetches the context is named.
#[tokio::test]
async fn a_vanishing_file_is_named() {
    let (name, client) = builders().await.into_iter().next().unwrap();
    let context = tempfile::tempdir().unwrap();
    // Large, and more than are read at once, so that some wait for their turn.
    for i in 0..12 {
        let file = fs::File::create(context.path().join(format!("gone-{i}"))).unwrap();
        file.set_len(48 << 20).unwrap();
    }
    let path = context.path().to_owned();
    let counters = Arc::new(Counters::default());
    let watched = counters.clone();
    let remover = std::thread::spawn(move || {
        let end = Instant::now() + HANG;
        while watched.entries() < 12 && Instant::now() < end {
            std::thread::yield_now();
        }
        for i in 0..12 {
            let _ = fs::remove_file(path.join(format!("gone-{i}")));
        }
    });
    let result = copy_counted(&client, context.path(), "", counters).await;
    remover.join().unwrap();
    let error = result
        .err()
        .unwrap_or_else(|| panic!("{name}: the build saw nothing"));
    assert!(
        error.contains("/gone-") && error.contains("disappeared while"),
        "{error}"
    );
}
