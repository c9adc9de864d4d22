//! Which entries of a tree are taken, in what order, and how they look.

use std::collections::BTreeMap;
use std::path::Path;

use mlbuild_buildkit::fsutil::{Normalise, Selection, follow_links, walk};

use crate::generate::{self, Random, TreeOptions};
use crate::oracle::{Oracle, Question, unbase64};

/// Paths with everything that is sent about them.
type Listing = Vec<(
    String,
    u32,
    i64,
    i64,
    String,
    i64,
    i64,
    BTreeMap<String, Vec<u8>>,
)>;

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

fn upstream(oracle: &mut Oracle, root: &Path, selection: &Selection) -> Result<Listing, String> {
    let list = |l: &Vec<String>| (!l.is_empty()).then(|| l.clone());
    let answer = oracle.ask(&Question {
        op: "walk",
        root: root.to_str().unwrap().to_owned(),
        include: list(&selection.include),
        exclude: list(&selection.exclude),
        follow: list(&selection.follow),
        ..Question::default()
    });
    if answer.failed() {
        return Err(answer.error);
    }
    let bytes = |t: Option<String>| unbase64(&t.unwrap_or_default());
    let entries = answer.entries.unwrap_or_default().into_iter().map(|e| {
        let xattrs = e.xattrs.unwrap_or_default();
        let xattrs = xattrs.into_iter().map(|(k, v)| (k, unbase64(&v)));
        (
            text(&bytes(e.path)),
            e.mode,
            e.size,
            e.mtime,
            text(&bytes(e.linkname)),
            e.major,
            e.minor,
            xattrs.collect(),
        )
    });
    Ok(entries.collect())
}

fn ours(root: &Path, selection: &Selection) -> Result<Listing, String> {
    let entries =
        walk::entries(root, selection, Normalise::default()).map_err(|e| e.to_string())?;
    let entries = entries.into_iter().map(|s| {
        let xattrs = s.xattrs.into_iter().map(|(k, v)| (k, v.to_vec()));
        (
            text(&s.path),
            s.mode,
            s.size,
            s.mod_time,
            text(&s.linkname),
            s.devmajor,
            s.devminor,
            xattrs.collect(),
        )
    });
    Ok(entries.collect())
}

fn utf8(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

fn random_selection(random: &mut Random) -> Selection {
    let patterns = |random: &mut Random, odd: usize, max: usize| -> Vec<String> {
        let n = random.below(max + 1);
        (0..n)
            .map(|_| match random.one_in(odd) {
                true => utf8(generate::odd_pattern(random)),
                false => utf8(generate::pattern(random)),
            })
            .collect()
    };
    let mut selection = Selection::default();
    if random.one_in(3) {
        selection.include = patterns(random, 30, 3);
    }
    if !random.one_in(3) {
        selection.exclude = patterns(random, 30, 5);
    }
    if random.one_in(3) {
        let n = 1 + random.below(3);
        selection.follow = (0..n)
            .map(|_| match random.one_in(3) {
                true => utf8(generate::pattern(random)),
                false => utf8(generate::path(random)),
            })
            // Only ours stays inside the tree with these.
            .filter(|p| !p.starts_with(".."))
            .collect();
    }
    selection
}

#[test]
fn selections_are_as_upstream() {
    let mut random = Random::seeded(4);
    let mut oracle = Oracle::start();
    let options = TreeOptions {
        specials: true,
        odd_names: true,
    };
    let (mut entries, mut failed) = (0, 0);
    for _ in 0..250 {
        let dir = tempfile::tempdir().unwrap();
        generate::tree(&mut random, dir.path(), options);
        for _ in 0..12 {
            let selection = random_selection(&mut random);
            let theirs = upstream(&mut oracle, dir.path(), &selection);
            let ours = ours(dir.path(), &selection);
            match (&ours, &theirs) {
                (Err(_), Err(_)) => failed += 1,
                (Ok(a), Ok(b)) if a == b => entries += a.len(),
                _ => panic!("{selection:#?}\nours {ours:#?}\ntheirs {theirs:#?}"),
            }
        }
    }
    assert!(
        entries > 3000 && failed < 300,
        "{entries} entries, {failed} failed"
    );
}

#[test]
fn followed_links_are_as_upstream() {
    let mut random = Random::seeded(5);
    let mut oracle = Oracle::start();
    let options = TreeOptions {
        specials: false,
        odd_names: false,
    };
    for _ in 0..400 {
        let dir = tempfile::tempdir().unwrap();
        generate::tree(&mut random, dir.path(), options);
        let follow = random_selection(&mut random).follow;
        let theirs = oracle.ask(&Question {
            op: "follow",
            root: dir.path().to_str().unwrap().to_owned(),
            follow: Some(follow.clone()),
            ..Question::default()
        });
        assert!(!theirs.failed(), "{}", theirs.error);
        let ours = follow_links(dir.path(), &follow)
            .unwrap()
            .unwrap_or_default();
        assert_eq!(
            ours.into_iter().map(utf8).collect::<Vec<_>>(),
            theirs.lines.unwrap_or_default(),
            "{follow:?}"
        );
    }
}
