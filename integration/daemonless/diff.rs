//! `mlbuild diff` on layouts and archives: a planted difference of each kind is found and
//! named, and nothing else is.

use std::collections::BTreeMap;
use std::path::Path;

use mlbuild::image::layer::{EntryKind, EntryPath, LayerEntry, Mtime, Packing, write_tar};
use serde_json::{Value, json};

use crate::support::layouts::{self, Made};
use crate::support::mlbuild::{Project, Ran};

type Entries = Vec<(LayerEntry, Vec<u8>)>;

const STATUS: &str = "Package: curl\nStatus: install ok installed\nArchitecture: amd64\n\
    Version: 7.88.1-10\n";
const METADATA: &str = "Metadata-Version: 2.1\nName: Idna\nVersion: 3.9\n\nText\n";
/// A compiled file: magic, flags, time and size of the source, code.
const PYC: &[u8] = b"\xcb\x0d\x0d\x0a\0\0\0\0\x10\x20\x30\x40\x05\0\0\0code";
const SHADOW: &str = "root:*:19000:0:99999:7:::\nml:*:19000:0:99999:7:::\n";
const SITE: &str = "opt/venv/lib/python3.11/site-packages";

pub fn entry(path: &str, kind: EntryKind) -> LayerEntry {
    LayerEntry {
        path: EntryPath::from(path),
        kind,
        mode: if kind == EntryKind::Folder {
            0o755
        } else {
            0o644
        },
        uid: 0,
        gid: 0,
        uname: Vec::new(),
        gname: Vec::new(),
        mtime: Mtime {
            seconds: 1_700_000_000,
            nanos: 0,
        },
        size: 0,
        link: None,
        device: None,
        xattrs: BTreeMap::new(),
    }
}

pub fn file(path: &str, content: impl AsRef<[u8]>) -> (LayerEntry, Vec<u8>) {
    let content = content.as_ref().to_vec();
    let mut entry = entry(path, EntryKind::File);
    entry.size = content.len() as u64;
    (entry, content)
}

/// What the layer of the test holds before anything is planted.
fn entries() -> Entries {
    let mut link = entry("app/latest", EntryKind::Symlink);
    link.link = Some(b"model.bin".to_vec());
    vec![
        (entry("app", EntryKind::Folder), Vec::new()),
        (link, Vec::new()),
        file("app/model.bin", layouts::noise(1, 200_000)),
        file("app/train.py", "import sys\nprint('a')\n"),
        file("etc/shadow", SHADOW),
        file(&format!("{SITE}/idna-3.9.dist-info/METADATA"), METADATA),
        file(
            &format!("{SITE}/idna/__pycache__/core.cpython-311.pyc"),
            PYC,
        ),
        file("usr/lib/locale/locale-archive", layouts::noise(2, 99)),
        file("var/cache/ldconfig/aux-cache", layouts::noise(3, 99)),
        file("var/lib/dpkg/status", STATUS),
        file("var/log/dpkg.log", "2026-03-01 installed\n"),
    ]
}

fn settings() -> Value {
    json!({ "Env": ["PATH=/bin", "A=1"], "Labels": { "who": "me" }, "Cmd": ["python", "train.py"] })
}

fn made(entries: &Entries, settings: Value) -> Made {
    let base = write_tar(&[file("etc/os-release", "ID=debian\n")]);
    let layers = [("FROM debian", base), ("RUN make  all", write_tar(entries))];
    layouts::built(&layers, Packing::Gzip, settings)
}

fn diff(first: &Path, second: &Path, more: &[&str]) -> Ran {
    let (first, second) = (first.to_str().unwrap(), second.to_str().unwrap());
    Project::new(&[]).run([&["diff", first, second], more].concat())
}

/// The report, without the folders' names and digests.
fn report(first: &Path, second: &Path) -> String {
    let ran = diff(first, second, &[]);
    assert_eq!(ran.code, Some(4), "{}{}", ran.stdout, ran.stderr);
    let filtered = Project::new(&[]).filtered(&ran.stdout);
    let text = filtered
        .replace(first.to_str().unwrap(), "A")
        .replace(second.to_str().unwrap(), "B");
    // The first two lines are the same for all.
    let rest: Vec<_> = text
        .lines()
        .skip(2)
        .filter(|l| !l.starts_with("  size:"))
        .collect();
    rest.join("\n")
}

/// What the report says when a layer was changed this way.
fn planted(plant: impl FnOnce(&mut Entries)) -> String {
    let mut other = entries();
    plant(&mut other);
    let (first, second) = (made(&entries(), settings()), made(&other, settings()));
    let text = report(first.folder.path(), second.folder.path());
    let text = text.replace("    step: RUN make all\n", "");
    text.lines().map(str::trim).collect::<Vec<_>>().join("\n")
}

fn at<'a>(entries: &'a mut Entries, path: &str) -> &'a mut (LayerEntry, Vec<u8>) {
    let path = EntryPath::from(path);
    entries
        .iter_mut()
        .find(|(entry, _)| entry.path == path)
        .unwrap()
}

fn write(entries: &mut Entries, path: &str, content: impl AsRef<[u8]>) {
    *at(entries, path) = file(path, content);
}

#[test]
fn a_planted_property_is_found_and_nothing_else() {
    let train = "app/train.py";
    insta::assert_snapshot!(planted(|e| at(e, train).0.mode = 0o755), @r"
    layer 2: 1 path (mode 1)
    /app/train.py: mode 0644 -> 0755
    ");
    insta::assert_snapshot!(planted(|e| at(e, train).0.mode = 0o600), @r"
    layer 2: 1 path (mode 1)
    /app/train.py: mode 0644 -> 0600
    cause: another umask where it was copied or made; COPY --chmod, or umask in the step
    ");
    insta::assert_snapshot!(planted(|e| at(e, train).0.uid = 1000), @r"
    layer 2: 1 path (owner 1)
    /app/train.py: owner 0:0 -> 1000:0
    ");
    insta::assert_snapshot!(planted(|e| at(e, train).0.gname = b"staff".to_vec()), @r"
    layer 2: 1 path (owner-name 1)
    /app/train.py: owner-name : -> :staff
    ");
    insta::assert_snapshot!(planted(|e| at(e, train).0.mtime.nanos = 5), @r"
    layer 2: 1 path (mtime 1)
    /app/train.py: mtime 2023-11-14T22:13:20Z -> 2023-11-14T22:13:20.000000005Z
    cause: made at another time; set SOURCE_DATE_EPOCH, and have timestamps rewritten
    ");
    insta::assert_snapshot!(planted(|e| {
        at(e, train).0.xattrs.insert(b"user.a".to_vec(), b"1".to_vec());
    }), @r"
    layer 2: 1 path (xattr user.a 1)
    /app/train.py: xattr user.a (not set) -> 1
    ");
    insta::assert_snapshot!(planted(|e| at(e, "app/latest").0.link = Some(b"other".to_vec())), @r"
    layer 2: 1 path (link 1)
    /app/latest: link model.bin -> other
    ");
    insta::assert_snapshot!(planted(|e| *at(e, "app/latest") = file("app/latest", "x")), @r"
    layer 2: 1 path (kind 1, link 1)
    /app/latest: kind symbolic link -> file; link model.bin -> (none)
    ");
    insta::assert_snapshot!(planted(|e| e.swap(2, 3)), @r"
    layer 2: the same files in another order
    order: /app/train.py stands in another place
    ");
}

#[test]
fn planted_content_is_shown_where_it_is_text() {
    insta::assert_snapshot!(planted(|e| write(e, "app/train.py", "import sys\nprint('b')\n")), @r"
    layer 2: 1 path (content 1)
    /app/train.py: content
    @@ -2 +2 @@
    -print('a')
    +print('b')
    ");
    insta::assert_snapshot!(planted(|e| write(e, "app/model.bin", layouts::noise(9, 200_000))), @r"
    layer 2: 1 path (content 1)
    /app/model.bin: content
    ");
    insta::assert_snapshot!(planted(|e| e.push(file("z", "new"))), @r"
    layer 2: 1 path (only in second 1)
    /z: only in the second
    ");
    insta::assert_snapshot!(planted(|e| drop(e.pop())), @r"
    layer 2: 1 path (only in first 1)
    /var/log/dpkg.log: only in the first
    cause: dpkg's log; remove it in the step that makes it, or mount a tmpfs there
    ");
    insta::assert_snapshot!(planted(|e| e.push((entry("opt/gone", EntryKind::Whiteout), Vec::new()))), @r"
    layer 2: 1 path (only in second 1)
    /opt/gone (removed): only in the second
    ");
}

#[test]
fn known_causes_are_named() {
    let pyc = format!("{SITE}/idna/__pycache__/core.cpython-311.pyc");
    let with = |at: usize, byte: u8| {
        let mut bytes = PYC.to_vec();
        bytes[at] = byte;
        bytes
    };
    insta::assert_snapshot!(planted(|e| write(e, &pyc, with(9, 9))), @r"
    layer 2: 1 path (content 1)
    /opt/venv/lib/python3.11/site-packages/idna/__pycache__/core.cpython-311.pyc: content
    cause: compiled Python that names its source's time; compile with --invalidation-mode unchecked-hash
    ");
    insta::assert_snapshot!(planted(|e| write(e, &pyc, with(17, 9))), @r"
    layer 2: 1 path (content 1)
    /opt/venv/lib/python3.11/site-packages/idna/__pycache__/core.cpython-311.pyc: content
    cause: compiled Python that hangs on the hash seed or on how many compiled at once; compile with PYTHONHASHSEED=0 and -j1
    ");
    insta::assert_snapshot!(planted(|e| write(e, "etc/shadow", SHADOW.replacen("19000", "19001", 1))), @r"
    layer 2: 1 path (content 1)
    /etc/shadow: content
    cause: the day on which a password was last changed; give useradd SOURCE_DATE_EPOCH
    @@ -1 +1 @@
    -root:*:19000:0:99999:7:::
    +root:*:19001:0:99999:7:::
    ");
    insta::assert_snapshot!(planted(|e| write(e, "etc/shadow", SHADOW.replacen("ml:*", "ml:$y$", 1))), @r"
    layer 2: 1 path (content 1, size 1)
    /etc/shadow: size 50 -> 52; content
    @@ -2 +2 @@
    -ml:*:19000:0:99999:7:::
    +ml:$y$:19000:0:99999:7:::
    ");
    insta::assert_snapshot!(planted(|e| write(e, "var/log/dpkg.log", "2026-03-02 installed\n")), @r"
    layer 2: 1 path (content 1)
    /var/log/dpkg.log: content
    cause: dpkg's log; remove it in the step that makes it, or mount a tmpfs there
    @@ -1 +1 @@
    -2026-03-01 installed
    +2026-03-02 installed
    ");
    insta::assert_snapshot!(planted(|e| write(e, "var/cache/ldconfig/aux-cache", layouts::noise(4, 99))), @r"
    layer 2: 1 path (content 1)
    /var/cache/ldconfig/aux-cache: content
    cause: ldconfig's cache, which holds inode numbers and times; remove it in the step that makes it, or mount a tmpfs there
    ");
    insta::assert_snapshot!(planted(|e| write(e, "usr/lib/locale/locale-archive", layouts::noise(4, 99))), @r"
    layer 2: 1 path (content 1)
    /usr/lib/locale/locale-archive: content
    cause: the locale archive, which grows in the order of generation; generate locales in one step
    ");
}

#[test]
fn packages_are_compared_by_version() {
    insta::assert_snapshot!(planted(|e| {
        write(e, "var/lib/dpkg/status", STATUS.replace("-10", "-11"));
    }), @r"
    packages:
    apt curl:amd64: 7.88.1-10 -> 7.88.1-11
    layer 2: 1 path (content 1)
    /var/lib/dpkg/status: content
    cause: other packages or other versions; pin them; see the packages
    @@ -4 +4 @@
    -Version: 7.88.1-10
    +Version: 7.88.1-11
    ");
    insta::assert_snapshot!(planted(|e| {
        e.retain(|(entry, _)| !entry.path.to_string().contains("idna-3.9"));
        let metadata = METADATA.replace("3.9", "3.10");
        e.push(file(&format!("{SITE}/idna-3.10.dist-info/METADATA"), metadata));
    }), @r"
    packages:
    python idna: 3.9 -> 3.10
    layer 2: 2 paths (only in first 1, only in second 1)
    /opt/venv/lib/python3.11/site-packages/idna-3.10.dist-info/METADATA: only in the second
    /opt/venv/lib/python3.11/site-packages/idna-3.9.dist-info/METADATA: only in the first
    ");
}

#[test]
fn a_package_list_below_is_read_where_only_one_image_replaces_it() {
    let base = write_tar(&[file("var/lib/dpkg/status", STATUS)]);
    let other = format!("{STATUS}\n{}", STATUS.replace("curl", "tree"));
    let more = write_tar(&[
        file("var/lib/dpkg/status", other),
        file("usr/bin/tree", "x"),
    ]);
    let built = |layers: &[(&str, Vec<u8>)]| layouts::built(layers, Packing::Zstd, settings());
    let first = built(&[("FROM debian", base.clone())]);
    let second = built(&[("FROM debian", base), ("RUN apt-get install tree", more)]);
    insta::assert_snapshot!(report(first.folder.path(), second.folder.path()), @r#"
    configuration:
      history[2].created_by: (not set) -> "RUN apt-get install tree"
    packages:
      apt tree:amd64: (none) -> 7.88.1-10
    layer 2 of the second, which the first doesn't have: 2 paths (only in second 2)
      step of the second: RUN apt-get install tree
      /usr/bin/tree: only in the second
      /var/lib/dpkg/status: only in the second
        cause: other packages or other versions; pin them; see the packages
    "#);
    insta::assert_snapshot!(report(second.folder.path(), first.folder.path()), @r#"
    configuration:
      history[2].created_by: "RUN apt-get install tree" -> (not set)
    packages:
      apt tree:amd64: 7.88.1-10 -> (none)
    layer 2 of the first, which the second doesn't have: 2 paths (only in first 2)
      step of the first: RUN apt-get install tree
      /usr/bin/tree: only in the first
      /var/lib/dpkg/status: only in the first
        cause: other packages or other versions; pin them; see the packages
    "#);
}

#[test]
fn layers_that_were_split_are_compared_as_they_lie() {
    let all = |layers: &[(&str, Vec<u8>)]| layouts::built(layers, Packing::Gzip, json!({}));
    let whiteout = (entry("tmp/x", EntryKind::Whiteout), Vec::new());
    let first = all(&[
        (
            "RUN one",
            write_tar(&[file("a", "1"), file("tmp/x", "2"), file("b", "3")]),
        ),
        ("RUN two", write_tar(&[file("b", "4"), whiteout])),
    ]);
    let second = all(&[("RUN both", write_tar(&[file("a", "1"), file("b", "5")]))]);
    insta::assert_snapshot!(report(first.folder.path(), second.folder.path()), @r#"
    configuration:
      history[1].created_by: "RUN one" -> "RUN both"
      history[2].created_by: "RUN two" -> (not set)
    layers 1 to 2 of the first and layer 1 of the second: 2 paths (content 1, only in first 1)
      step of the first: RUN one
      step of the first: RUN two
      step of the second: RUN both
      /b: content (layer 2 and 1)
        @@ -1 +1 @@
        -4
        \ No newline at end of file
        +5
        \ No newline at end of file
      /tmp/x (removed): only in the first (layer 2)
    "#);
}

#[test]
fn settings_and_packing_are_compared() {
    let other = json!({ "Env": ["PATH=/bin", "A=2", "B=3"], "Cmd": ["sh"] });
    let (first, second) = (made(&entries(), settings()), made(&entries(), other));
    insta::assert_snapshot!(report(first.folder.path(), second.folder.path()), @r#"
    configuration:
      config.Cmd: ["python","train.py"] -> ["sh"]
      config.Env.A: "1" -> "2"
      config.Env.B: (not set) -> "3"
      config.Labels.who: "me" -> (not set)
    "#);

    let layer = [("RUN make", write_tar(&entries()))];
    let first = layouts::built(&layer, Packing::Gzip, settings());
    let second = layouts::built(&layer, Packing::Zstd, settings());
    insta::assert_snapshot!(report(first.folder.path(), second.folder.path()), @r"
    layer 1: the same files, compressed differently
      step: RUN make
    ");
    let mut padded = layer.clone();
    padded[0].1.extend([0; 512]);
    let second = layouts::built(&padded, Packing::Gzip, settings());
    insta::assert_snapshot!(report(first.folder.path(), second.folder.path()), @r"
    layer 1: the same files; the tar's headers are written differently
      step: RUN make
    ");
}

#[test]
fn an_image_is_the_same_wherever_it_is_kept() {
    let image = made(&entries(), settings());
    let folder = image.folder.path();
    layouts::as_tar(&image);
    let ran = diff(folder, &folder.join("image.tar"), &[]);
    assert!(ran.answer().starts_with("same: "), "{}", ran.stdout);
    let json = diff(folder, &folder.join("image.tar"), &["--format", "json"]).json();
    assert_eq!(json["same"], true);
    assert_eq!(json["platforms"]["linux/amd64"]["layers"], json!([]));

    let tar = write_tar(&entries());
    let saved = layouts::as_docker_archive(std::slice::from_ref(&tar), settings());
    let saved = saved.path().join("saved.tar");
    assert!(diff(&saved, &saved, &[]).answer().starts_with("same: "));
    let layer = [("RUN make", tar)];
    let layout = layouts::built(&layer, Packing::Gzip, settings());
    let text = report(&saved, layout.folder.path());
    assert!(
        text.contains("history[1].created_by: (not set) -> \"RUN make\""),
        "{text}"
    );
    assert!(
        text.contains("layer 1: the same files, compressed differently"),
        "{text}"
    );
}

#[test]
fn the_json_report_has_every_value() {
    let mut other = entries();
    write(&mut other, "app/train.py", "import sys\nprint('b')\n");
    let (first, second) = (made(&entries(), settings()), made(&other, settings()));
    let ran = diff(
        first.folder.path(),
        second.folder.path(),
        &["--format", "json"],
    );
    assert_eq!(ran.code, Some(4), "{}", ran.stderr);
    let json: Value = serde_json::from_str(&ran.stdout).unwrap();
    let layer = &json["platforms"]["linux/amd64"]["layers"][0];
    assert_eq!(layer["first"][0]["number"], 2);
    assert_eq!(layer["first"][0]["step"], "RUN make  all");
    let file = &layer["files"][0];
    assert_eq!(file["path"], "/app/train.py");
    assert_eq!(file["change"], "changed");
    assert_eq!(file["fields"][0]["field"], "content");
    assert_eq!(file["lines"], "@@ -2 +2 @@\n-print('a')\n+print('b')");
    assert!(
        ran.stderr
            .contains("the images differ: 0 settings, 0 packages, 1 file and 1 layer")
    );
}

#[test]
fn what_can_not_be_compared_is_told() {
    let image = made(&entries(), settings());
    let folder = image.folder.path();
    let project = Project::new(&[("text.tar", "no tar")]);
    let refusal = |code, args: &[&str]| {
        let ran = project.run([&["diff"], args].concat());
        project.filtered(&ran.refusal(code).replace(folder.to_str().unwrap(), "A"))
    };
    let a = folder.to_str().unwrap();
    insta::assert_snapshot!(refusal(2, &[a, "/nowhere"]), @"error: /nowhere: can't be read: No such file or directory (os error 2)");
    insta::assert_snapshot!(refusal(2, &[a, "text.tar"]), @"error: text.tar: not an OCI image layout: neither a folder nor a tar: failed to read entire block");
    insta::assert_snapshot!(refusal(2, &[a, "UPPER"]), @"error: `UPPER` isn't an image reference: a repository name is lower-case");
    insta::assert_snapshot!(refusal(2, &[a, a, "--platform", "linux/arm64"]), @"error: A has no image for linux/arm64; it has linux/amd64");
    insta::assert_snapshot!(refusal(2, &[a, a, "--platform", "a b"]), @r"
    error: --platform a b: not a platform
      hint: write it as linux/amd64
    ");

    // One byte of one layer.
    let other = made(&entries()[..4].to_vec(), settings());
    let last = other.layout.images().unwrap()[0].layers[1].blob.clone();
    let path = other.layout.blob(last.digest()).unwrap().path;
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let ran = diff(folder, other.folder.path(), &[]);
    let text = ran.refusal(1);
    assert!(
        text.starts_with(&format!("error: layer {}: ", last.digest())),
        "{text}"
    );
}
