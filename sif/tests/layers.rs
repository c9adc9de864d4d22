//! Layers, one over the other.

use mlbuild_sif::scripts;
use mlbuild_sif::squashfs::{FileId, Kind, Limits, Node, Tree, TreeError};

fn file(id: u64) -> Node {
    Node::new(Kind::File(FileId(id)), 0o644)
}

fn link(to: &str) -> Node {
    Node::new(Kind::Symlink(to.as_bytes().to_vec()), 0o777)
}

fn folder() -> Node {
    Node::new(Kind::folder(), 0o700)
}

fn has(tree: &mut Tree, path: &str) -> bool {
    tree.at(path.as_bytes()).unwrap().is_some()
}

#[test]
fn layers_hide_replace_and_follow_links_without_leaving_the_image() {
    let mut tree = Tree::default();
    tree.put(b"usr/lib/a", file(1)).unwrap();
    tree.put(b"lib", link("usr/lib")).unwrap();
    tree.put(b"up", link("../../../../usr")).unwrap();
    tree.put(b"round", link("round")).unwrap();
    tree.put(b"old/gone", file(2)).unwrap();
    tree.put(b"old/kept", file(3)).unwrap();
    tree.put(b"tmp/x", file(4)).unwrap();
    tree.begin_layer();
    // In any order: what this layer has isn't hidden by it.
    tree.put(b"tmp/new", file(5)).unwrap();
    tree.hide_contents(b"tmp").unwrap();
    tree.hide(b"old/gone").unwrap();
    tree.put(b"lib/b", file(6)).unwrap();
    tree.put(b"up/c", file(7)).unwrap();
    tree.put(b"old", folder()).unwrap();
    tree.link(b"usr/lib/hard", b"lib/a").unwrap();
    assert_eq!(tree.put(b"round/x", file(8)), Err(TreeError::Loop));
    assert!(matches!(
        tree.link(b"y", b"nowhere"),
        Err(TreeError::NoTarget(_))
    ));
    assert_eq!(tree.put(&[b'n'; 300], file(9)), Err(TreeError::Name));
    let deep = ["d"; 2500].join("/");
    assert_eq!(tree.put(deep.as_bytes(), file(9)), Err(TreeError::Depth));
    for there in ["usr/lib/b", "usr/c", "tmp/new", "old/kept", "usr/lib/hard"] {
        assert!(has(&mut tree, there), "{there}");
    }
    for gone in ["tmp/x", "old/gone"] {
        assert!(!has(&mut tree, gone), "{gone}");
    }
    let files: Vec<u64> = {
        let mut ids: Vec<_> = tree.files().into_iter().map(|id| id.0).collect();
        ids.sort_unstable();
        ids
    };
    assert_eq!(files, [1, 3, 5, 6, 7]);
}

/// What a layer has, and hides.
enum Does {
    File(&'static str),
    Link(&'static str, &'static str),
    Hard(&'static str, &'static str),
    Hides(&'static str),
    Empties(&'static str),
    Layer,
}
use Does::{Empties, File, Hard, Hides, Layer, Link};

#[test]
fn a_layer_hides_what_lower_ones_have_and_nothing_of_its_own() {
    #[rustfmt::skip]
    let rows: &[(&[Does], &[&str], &[&str])] = &[
        // A new name makes a file's other names no newer.
        (&[File("a/x"), Layer, Hard("b", "a/x"), Empties("a")], &["b", "a"], &["a/x"]),
        (&[File("a/x"), Layer, Empties("a"), File("a/x"), Hard("b", "a/x")], &["b", "a/x"], &[]),
        (&[File("a"), Hard("c", "a"), Layer, Hard("b", "a"), Hides("c")], &["a", "b"], &["c"]),
        (&[File("a"), Layer, Hard("b", "a"), Hides("b"), Hides("a")], &["b"], &["a"]),
        // A folder is this layer's where it has something in it.
        (&[File("d/e/x"), Layer, File("d/e/y"), Hides("d")], &["d/e/y"], &["d/e/x"]),
        (&[File("d/e/x"), Layer, File("d/e/y"), File("d/e/z"), Hides("d/e")], &["d/e/y", "d/e/z"], &["d/e/x"]),
        // What is passed through on the way up isn't.
        (&[File("d/x"), Link("l", "d/../e"), File("e/x"), Layer, File("l/y"), Hides("d")], &["e/x", "e/y"], &["d"]),
        // The folder that was found last is another one by now.
        (&[File("d/x"), Link("l", "d"), Layer, File("l/y"), Hides("l"), File("l/z")], &["d/y", "l/z"], &["d/z"]),
        (&[File("l/x"), File("l"), File("l/y")], &["l/y"], &["l/x"]),
        (&[Link("l", "d"), File("l/x"), Link("l", "e"), File("l/y")], &["d/x", "e/y"], &["d/y"]),
        (&[File("d/x"), Layer, File("d/y"), Layer, File("d/z"), Hides("d")], &["d/z"], &["d/x", "d/y"]),
    ];
    for (number, (does, there, gone)) in rows.iter().enumerate() {
        let mut tree = Tree::default();
        for one in *does {
            let done = match one {
                File(path) => tree.put(path.as_bytes(), file(1)),
                Link(path, to) => tree.put(path.as_bytes(), link(to)),
                Hard(path, to) => tree.link(path.as_bytes(), to.as_bytes()),
                Hides(path) => tree.hide(path.as_bytes()),
                Empties(path) => tree.hide_contents(path.as_bytes()),
                Layer => {
                    tree.begin_layer();
                    Ok(())
                }
            };
            done.unwrap();
        }
        for path in *there {
            assert!(has(&mut tree, path), "row {number}: {path} is gone");
        }
        for path in *gone {
            assert!(!has(&mut tree, path), "row {number}: {path} is back");
        }
    }
}

#[test]
fn an_image_of_many_layers_takes_no_more_than_one() {
    let limits = Limits {
        bytes: 1 << 20,
        steps: 100_000,
    };
    let noted = |size| {
        let mut node = file(1);
        node.xattrs.insert(b"user.a".to_vec(), vec![1; size]);
        node
    };
    type Entry = fn(&mut Tree, usize) -> Result<(), TreeError>;
    let rows: &[(&str, Entry)] = &[
        ("files", |tree, at| {
            tree.put(format!("f{at}").as_bytes(), file(1))
        }),
        ("one name again and again", |tree, _| {
            tree.put(b"f", link("to"))
        }),
        ("hard links", |tree, at| {
            tree.put(b"f", file(1))
                .and_then(|()| tree.link(format!("l{at}").as_bytes(), b"f"))
        }),
        ("links to far away", |tree, _| {
            tree.put(b"f", link(&"t".repeat(4000)))
        }),
        ("folders", |tree, at| {
            tree.put(format!("d{at}/d/d/d/d").as_bytes(), folder())
        }),
    ];
    for (what, entry) in rows {
        let mut tree = Tree::within(limits);
        let ended = (0..10_000).find_map(|at| {
            tree.begin_layer();
            entry(&mut tree, at).err()
        });
        assert_eq!(ended, Some(TreeError::TooMuch(1 << 20)), "{what}");
    }
    let mut tree = Tree::within(limits);
    let ended = (0..100).find_map(|_| tree.put(b"f", noted(60_000)).err());
    assert_eq!(ended, Some(TreeError::TooMuch(1 << 20)));
    let mut tree = Tree::within(limits);
    let ended = (0..100).find_map(|_| {
        let mut restated = folder();
        restated.xattrs = noted(60_000).xattrs;
        tree.put(b"d", restated).err()
    });
    assert_eq!(ended, Some(TreeError::TooMuch(1 << 20)));
}

#[test]
fn an_image_whose_paths_take_forever_is_refused() {
    let limits = Limits {
        bytes: 1 << 30,
        steps: 100_000,
    };
    let far = Some(TreeError::TooFar(100_000));
    // Every link leads to and fro, and then to the next.
    let chained = || {
        let mut tree = Tree::within(limits);
        tree.put(b"d/x", file(1)).unwrap();
        for at in 0..39 {
            let to = format!("{}c{}", "/d/..".repeat(700), at + 1);
            let to = to.replace("..c", "../c");
            tree.put(format!("c{at}").as_bytes(), link(&to)).unwrap();
        }
        tree.put(b"c39/x", file(1)).unwrap();
        tree.begin_layer();
        tree
    };
    let mut tree = chained();
    // Files of one folder: its path is walked once.
    for at in 0..1000 {
        tree.put(format!("c0/f{at}").as_bytes(), file(1)).unwrap();
    }
    type Entry = fn(&mut Tree, usize) -> Result<(), TreeError>;
    let rows: [Entry; 4] = [
        |tree, at| tree.put(format!("c0/d{at}/f").as_bytes(), file(1)),
        |tree, at| tree.hide(format!("c0/f{at}").as_bytes()),
        |tree, at| tree.link(format!("f{at}").as_bytes(), b"c0/x"),
        |tree, _| tree.hide_contents(b"c0"),
    ];
    for entry in rows {
        let mut tree = chained();
        assert_eq!((0..1000).find_map(|at| entry(&mut tree, at).err()), far);
    }
    // What a layer empties again and again.
    let mut tree = Tree::within(limits);
    for at in 0..1000 {
        tree.put(format!("f{at}").as_bytes(), file(1)).unwrap();
    }
    assert_eq!((0..1000).find_map(|_| tree.hide_contents(b"").err()), far);
}

#[test]
fn what_no_file_system_has_is_refused_and_not_changed() {
    let noted = |name: &str, size| {
        let mut node = file(1);
        node.xattrs.insert(name.as_bytes().to_vec(), vec![1; size]);
        node
    };
    let long = format!("user.{}", "n".repeat(256));
    let rows = [
        (noted("user.a", 65536), None),
        (noted("system.posix_acl_access", 70_000), None),
        (
            noted("user.a", 65537),
            Some(TreeError::Attribute(b"user.a".to_vec())),
        ),
        (
            noted(&long, 1),
            Some(TreeError::Attribute(long.clone().into_bytes())),
        ),
        (Node::new(Kind::CharDevice(4095, 0xf_ffff), 0o600), None),
        (
            Node::new(Kind::CharDevice(4096, 0), 0o600),
            Some(TreeError::Device(4096, 0)),
        ),
        (
            Node::new(Kind::BlockDevice(8, 1 << 20), 0o600),
            Some(TreeError::Device(8, 1 << 20)),
        ),
    ];
    for (node, wanted) in rows {
        let mut tree = Tree::default();
        assert_eq!(tree.put(b"f", node).err(), wanted);
    }
}

#[test]
fn the_images_own_files_stay_where_links_would_be_and_are_named() {
    let mut tree = Tree::default();
    tree.put(b"environment/notes", file(1)).unwrap();
    tree.put(b"singularity", file(2)).unwrap();
    tree.put(b".run", link(".singularity.d/actions/run"))
        .unwrap();
    tree.put(b".singularity.d/runscript", file(3)).unwrap();
    tree.put(b"tmp", link("/scratch")).unwrap();
    let lines = scripts::add(&mut tree, &[], FileId(9)).unwrap();
    for wanted in [
        "/.singularity.d is replaced",
        "/environment stays",
        "/singularity stays",
    ] {
        assert!(lines.iter().any(|line| line.contains(wanted)), "{lines:?}");
    }
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(has(&mut tree, "environment/notes"));
    assert_eq!(tree.at(b"singularity"), Ok(Some(&Kind::File(FileId(2)))));
    assert_eq!(tree.at(b"tmp"), Ok(Some(&link("/scratch").kind)));
    assert!(has(&mut tree, ".exec") && !has(&mut tree, ".singularity.d/runscript"));
    let mut plain = Tree::default();
    assert_eq!(scripts::add(&mut plain, &[], FileId(9)), Ok(Vec::new()));
}
