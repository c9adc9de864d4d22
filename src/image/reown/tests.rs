//! Images that are given away, made by hand as the templates' last step makes them.

use std::collections::BTreeMap;

use oci_spec::image::MediaType;
use serde_json::{Value, json};

use super::*;
use crate::image::layer::{EntryKind, EntryPath, LayerEntry, Mtime, descriptor, write_tar};

const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nml:x:1000:1000::/home/ml:/bin/bash\n";

/// What belongs to `ml`, 1000:100, is given to another.
pub(super) fn change(name: &str, uid: u64, gid: u64) -> Change {
    let account = |name: &str, uid, gid| Account {
        name: name.to_owned(),
        uid,
        gid,
        home: Some(format!("/home/{name}")),
    };
    Change {
        was: account("ml", 1000, 100),
        now: account(name, uid, gid),
        has_own_group: true,
    }
}

/// An image, as a registry would have it.
struct Made {
    image: PlatformImage,
    manifest: Vec<u8>,
    config: Vec<u8>,
    layer: Vec<u8>,
}

type Entries = Vec<(LayerEntry, Vec<u8>)>;

fn entry(path: &str, kind: EntryKind, uid: u64) -> (LayerEntry, Vec<u8>) {
    let entry = LayerEntry {
        path: EntryPath::from(path),
        kind,
        mode: 0o755,
        uid,
        gid: uid,
        uname: b"builder".to_vec(),
        gname: b"builder".to_vec(),
        mtime: Mtime {
            seconds: 1_700_000_000,
            nanos: 7,
        },
        size: 0,
        link: None,
        device: None,
        xattrs: BTreeMap::new(),
    };
    (entry, Vec::new())
}

fn file(path: &str, uid: u64, content: &str) -> (LayerEntry, Vec<u8>) {
    let (mut entry, _) = entry(path, EntryKind::File, uid);
    entry.size = content.len() as u64;
    (entry, content.into())
}

fn link(path: &str, kind: EntryKind, to: &str) -> (LayerEntry, Vec<u8>) {
    let (mut entry, content) = entry(path, kind, 1000);
    entry.link = Some(to.into());
    (entry, content)
}

fn entries() -> Entries {
    vec![
        entry("app", EntryKind::Folder, 1000),
        file("etc/group", 0, "root:x:0:\nml:x:1000:\n"),
        file("etc/passwd", 0, PASSWD),
        entry("etc/gone", EntryKind::Whiteout, 0),
        entry("home/ml", EntryKind::Folder, 1000),
        file("home/ml/.profile", 1000, "cd\n"),
        link("home/ml/again", EntryKind::HardLink, "home/ml/.profile"),
        link("home/ml/near", EntryKind::Symlink, ".profile"),
        link("latest", EntryKind::Symlink, "/home/ml/.profile"),
        file("srv/daemon", 77, ""),
    ]
}

fn made(entries: &Entries, user: &str) -> Made {
    let (layer, packed) = Packing::Gzip.pack(write_tar(entries), MediaType::ImageLayerGzip);
    let below = descriptor(b"below", MediaType::ImageLayerGzip);
    let step = "RUN |3 USERNAME=ml USER_UID=1000 USER_GID=1000 /bin/sh -c \
        echo \"mlbuild: USERNAME='$USERNAME' isn't a user name\"";
    let config = json!({ "architecture": "amd64", "os": "linux",
        "created": "2026-01-01T00:00:00Z",
        "config": { "User": user, "Env": ["PATH=/bin:/home/ml/.local/bin"] },
        "rootfs": { "type": "layers", "diff_ids": [below.digest(), packed.diff_id] },
        "history": [{ "created_by": "FROM" }, { "created_by": step }] });
    let config = serde_json::to_vec(&config).unwrap();
    let mut last = serde_json::to_value(&packed.blob).unwrap();
    last["annotations"] = json!({ "containerd.io/uncompressed": packed.diff_id,
        "buildkit/rewritten-timestamp": "1700000000" });
    let manifest = json!({ "schemaVersion": 2, "mediaType": MediaType::ImageManifest,
        "config": descriptor(&config, MediaType::ImageConfig), "layers": [below, last] });
    let manifest = serde_json::to_vec(&manifest).unwrap();
    let named = descriptor(&manifest, MediaType::ImageManifest);
    Made {
        image: PlatformImage::join(named, &manifest, &config).unwrap(),
        manifest,
        config,
        layer,
    }
}

fn to(uid: u32, name: Option<&str>) -> NewOwner {
    NewOwner {
        uid,
        gid: uid + 1,
        name: name.map(str::to_owned),
    }
}

fn give(made: &Made, to: &NewOwner) -> Result<Option<Reowned>, ReownError> {
    let documents = Documents {
        manifest: &made.manifest,
        config: &made.config,
        last_layer: &made.layer,
    };
    reown(&made.image, documents, to)
}

fn refusal(entries: &Entries, name: Option<&str>) -> String {
    give(&made(entries, "ml"), &to(2000, name))
        .unwrap_err()
        .to_string()
}

/// The new last layer, an entry a line.
fn lines(new: &Reowned) -> String {
    let config: Value = serde_json::from_slice(&new.config.bytes).unwrap();
    let image = PlatformImage::join(
        new.manifest.descriptor.clone(),
        &new.manifest.bytes,
        &new.config.bytes,
    );
    let layer = &image.unwrap().layers[1];
    assert_eq!(config["rootfs"]["diff_ids"][1], layer.diff_id.to_string());
    let mut text = String::new();
    let mut show = |entry: &LayerEntry| {
        let link = entry
            .link
            .as_ref()
            .map(|l| format!(" -> {}", String::from_utf8_lossy(l)));
        let name = String::from_utf8_lossy(&entry.uname);
        let name = if name.is_empty() {
            String::new()
        } else {
            format!(" by {name}")
        };
        let link = link.unwrap_or_default();
        let (kind, uid, gid) = (entry.kind, entry.uid, entry.gid);
        text += &format!("{} {kind} {uid}:{gid}{name}{link}\n", entry.path);
        assert_eq!(entry.mtime.seconds, 1_700_000_000);
    };
    let limits = crate::image::layer::LayerLimits::in_memory(1 << 20);
    crate::image::layer::read_layer(
        new.layer.bytes.as_slice(),
        layer,
        &limits,
        &mut |entry, _| {
            show(entry);
            Ok(std::ops::ControlFlow::Continue(()))
        },
    )
    .unwrap();
    text
}

#[test]
fn what_was_the_old_users_is_the_new_ones() {
    let old = made(&entries(), "ml");
    let new = give(&old, &to(2000, Some("me"))).unwrap().unwrap();
    insta::assert_snapshot!(lines(&new), @r"
    /app folder 2000:2001
    /etc/gone whiteout 0:0 by builder
    /etc/group file 0:0 by builder
    /etc/passwd file 0:0 by builder
    /home/me folder 2000:2001
    /home/me/.profile file 2000:2001
    /home/me/near symbolic link 2000:2001 -> .profile
    /latest symbolic link 2000:2001 -> /home/me/.profile
    /srv/daemon file 77:77 by builder
    /home/me/again hard link 2000:2001 -> home/me/.profile
    ");
    assert!(new.is_template);
    assert_eq!(new.kept, [old.image.layers[0].blob.clone()]);
    let manifest: Value = serde_json::from_slice(&new.manifest.bytes).unwrap();
    assert_eq!(
        manifest["layers"][1]["annotations"],
        json!({ "buildkit/rewritten-timestamp": "1700000000" })
    );
    let again = give(&old, &to(2000, Some("me"))).unwrap().unwrap();
    assert_eq!(again.manifest, new.manifest);
    let same = NewOwner {
        uid: 1000,
        gid: 1000,
        name: None,
    };
    assert!(give(&old, &same).unwrap().is_none());
}

#[test]
fn what_is_not_safe_is_refused() {
    let without = |path: &str| -> Entries {
        let all = entries().into_iter();
        all.filter(|(entry, _)| entry.path != EntryPath::from(path))
            .collect()
    };
    insta::assert_snapshot!(refusal(&without("etc/passwd"), None), @"its last layer has no /etc/passwd: the user was made in another layer");
    insta::assert_snapshot!(refusal(&without("home/ml"), None), @"the home folder /home/ml of its user isn't in the last layer: it would still belong to uid 1000");
    let mut other = entries();
    other.push(file("home/me/there", 5, ""));
    insta::assert_snapshot!(refusal(&other, Some("me")), @"it has /home/me/there already");
    let mut other = entries();
    other[0]
        .0
        .xattrs
        .insert(b"system.posix_acl_access".to_vec(), b"x".to_vec());
    insta::assert_snapshot!(refusal(&other, None), @"/app has an access list, which may name the old ids");
    let as_user = |user: &str| give(&made(&entries(), user), &to(2000, None)).unwrap_err();
    insta::assert_snapshot!(as_user(""), @"it runs as root: nothing in it belongs to another user");
    insta::assert_snapshot!(as_user("4711"), @"its user `4711` has no usable line in the last layer's /etc/passwd");
    insta::assert_snapshot!(as_user("root"), @"it runs as root: nothing in it belongs to another user");
    let mut damaged = made(&entries(), "ml");
    damaged.layer.pop();
    let error = give(&damaged, &to(2000, None)).unwrap_err();
    assert!(error.to_string().contains("is cut off"), "{error}");
}

#[test]
fn a_file_that_names_the_old_home_is_told() {
    let mut all = entries();
    all.push(file("home/ml/run.sh", 1000, "#!/home/ml/python\n"));
    let image = made(&all, "ml");
    let new = give(&image, &to(2000, Some("me"))).unwrap().unwrap();
    assert_eq!(new.mentions, ["/home/me/run.sh"]);
    let kept = give(&image, &to(2000, None)).unwrap().unwrap();
    assert_eq!(kept.mentions, [""; 0]);
}
