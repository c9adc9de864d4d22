//! Images of two made-up builders, which agree on what is in a layer and on nothing else.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::sync::Arc;

use oci_spec::image::MediaType;
use serde_json::{Value, json};

use super::*;
use crate::image::compare::{LayerStore, Pair, compare};
use crate::image::layer::{
    EntryKind, EntryPath, LayerEntry, LayerLimits, Mtime, Packing, read_layer, write_tar,
};
use crate::plan::Compression;

const EPOCH: i64 = 1_700_000_000;

/// Blobs by digest.
#[derive(Default)]
struct Blobs(BTreeMap<String, Arc<Vec<u8>>>);

impl LayerStore for Blobs {
    fn open(&self, layer: &ImageLayer) -> io::Result<Box<dyn Read + Send + '_>> {
        let blob = self.0.get(layer.blob.digest().as_ref());
        let blob = blob.ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(blob.as_slice()))
    }
}

fn entry(path: &str, kind: EntryKind, mtime: i64) -> (LayerEntry, Vec<u8>) {
    let entry = LayerEntry {
        path: EntryPath::from(path),
        kind,
        mode: 0o755,
        uid: 1000,
        gid: 1000,
        uname: Vec::new(),
        gname: Vec::new(),
        mtime: Mtime {
            seconds: mtime,
            nanos: 0,
        },
        size: 0,
        link: None,
        device: None,
        xattrs: BTreeMap::from([(b"user.note".to_vec(), b"kept".to_vec())]),
    };
    (entry, Vec::new())
}

fn file(path: &str, mtime: i64, content: Vec<u8>) -> (LayerEntry, Vec<u8>) {
    let (mut entry, _) = entry(path, EntryKind::File, mtime);
    entry.size = content.len() as u64;
    (entry, content)
}

type Entries = Vec<(LayerEntry, Vec<u8>)>;

fn own() -> Entries {
    let mut hard = entry("app/again", EntryKind::HardLink, EPOCH + 50);
    hard.0.link = Some(b"app/train.py".to_vec());
    let noise: Vec<u8> = (0..100_000u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 23) as u8)
        .collect();
    vec![
        entry("app", EntryKind::Folder, EPOCH + 50),
        entry("app/.gone", EntryKind::Whiteout, EPOCH + 50),
        entry("app/new", EntryKind::Opaque, EPOCH + 50),
        file(
            "app/old.txt",
            EPOCH - 9_000,
            b"older than the epoch".to_vec(),
        ),
        file("app/train.py", EPOCH + 50, b"print('hello')\n".to_vec()),
        hard,
        file("app/weights.bin", EPOCH + 50, noise),
    ]
}

/// How a builder writes things.
struct Habits {
    packing: Packing,
    /// How much later than the other one it ran, in seconds.
    later: i64,
    names: bool,
    nanos: u32,
    ports: &'static str,
    mark: &'static str,
}

const ONE: Habits = Habits {
    packing: Packing::Gzip,
    later: 0,
    names: true,
    nanos: 123_000_000,
    ports: "map[5000/tcp:{} 8001/tcp:{}]",
    mark: " # buildkit",
};
const OTHER: Habits = Habits {
    packing: Packing::Zstd,
    later: 40_000,
    names: false,
    nanos: 0,
    ports: "[5000/tcp 8001/tcp]",
    mark: "",
};

struct Made {
    image: PlatformImage,
    config: Value,
    blobs: Blobs,
}

impl Made {
    fn side(&self) -> Side<'_> {
        Side {
            image: self.image.clone(),
            config: self.config.clone(),
            manifest: Some(json!({})),
            store: &self.blobs,
        }
    }
}

fn built(habits: &Habits, own: Entries) -> Made {
    let base = vec![
        entry("app", EntryKind::Folder, 5),
        entry("app/new", EntryKind::Folder, 5),
        entry("etc", EntryKind::Folder, 5),
        file("etc/os-release", 5, b"ID=debian\n".to_vec()),
    ];
    let own = own.into_iter().map(|(mut entry, content)| {
        if entry.mtime.seconds > EPOCH {
            entry.mtime.seconds += habits.later;
            entry.mtime.nanos = habits.nanos;
        }
        if habits.names {
            entry.uname = b"builder".to_vec();
        }
        (entry, content)
    });
    let steps = vec![(format!("COPY . /app{}", habits.mark), own.collect())];
    image_of(habits, base, steps)
}

fn with_steps(steps: Vec<(&str, Entries)>) -> Made {
    let steps = steps
        .into_iter()
        .map(|(text, entries)| (text.to_owned(), entries));
    image_of(
        &ONE,
        vec![entry("etc", EntryKind::Folder, 5)],
        steps.collect(),
    )
}

fn image_of(habits: &Habits, base: Entries, steps: Vec<(String, Entries)>) -> Made {
    let (mut blobs, mut layers) = (Blobs::default(), Vec::new());
    let mut history = vec![json!({"created": "2020-01-01T00:00:00Z", "created_by": "debian"})];
    let mut packings = vec![(base, Packing::Gzip)];
    for (text, entries) in steps {
        history.push(json!({"created_by": text, "comment": "buildkit.dockerfile.v0"}));
        packings.push((entries, habits.packing));
    }
    history.push(json!({"created_by": format!("EXPOSE {}", habits.ports), "empty_layer": true}));
    for (entries, packing) in packings {
        let kind = match packing {
            Packing::Zstd => MediaType::ImageLayerZstd,
            _ => MediaType::ImageLayerGzip,
        };
        let (bytes, layer) = packing.pack(write_tar(&entries), kind);
        blobs
            .0
            .insert(layer.blob.digest().to_string(), Arc::new(bytes));
        layers.push(layer);
    }
    let config = json!({
        "architecture": "amd64", "os": "linux", "moby.buildkit.buildinfo.v1": "e30=",
        "created": format!("2026-01-01T00:00:{:02}Z", habits.later % 60),
        "config": {"User": "ml", "Env": ["PATH=/bin"], "ArgsEscaped": habits.names, "Labels": null},
        "history": history,
    });
    Made {
        image: PlatformImage::made_up(&config, layers),
        config,
        blobs,
    }
}

fn base(made: &Made) -> PackBase {
    let mut image = made.image.clone();
    image.layers.truncate(1);
    let history = json!([{"created": "2020-01-01T00:00:00Z", "created_by": "debian"}]);
    PackBase {
        image,
        config: json!({"history": history}),
    }
}

fn options() -> PackOptions {
    PackOptions {
        repack: Repack {
            epoch: EPOCH,
            compression: Compression::Zstd(3),
        },
        drops_unchanged: false,
        annotations: BTreeMap::new(),
        known: BTreeMap::new(),
    }
}

fn packed(made: &Made, options: &PackOptions) -> (tempfile::TempDir, PackedImage) {
    let folder = tempfile::tempdir().unwrap();
    let into = PackedFolder::create(folder.path()).unwrap();
    let packed = pack(&made.side(), Some(&base(made)), options, &into).unwrap();
    (folder, packed)
}

#[test]
fn two_builders_give_one_digest() {
    let one = built(&ONE, own());
    let other = built(&OTHER, own());
    assert_ne!(one.image.layers[1].diff_id, other.image.layers[1].diff_id);
    for compression in [
        Compression::Zstd(3),
        Compression::Gzip(6),
        Compression::None,
        Compression::Estargz,
        Compression::ZstdChunked,
    ] {
        let mut options = options();
        options.repack.compression = compression;
        let (_a, first) = packed(&one, &options);
        let (_b, second) = packed(&other, &options);
        assert_eq!(
            first.image.manifest, second.image.manifest,
            "{compression:?}"
        );
        assert_eq!(first.base_layers, 1);
        assert_eq!(first.image.layers[0], one.image.layers[0]);
        assert_eq!(first.clamped, 4);
    }
}

/// Locks are proved by these bytes: where a new version of a compressor writes others, images
/// that were pinned before have to be packed anew, people have to be told, and `BYTES` is another.
#[test]
fn the_bytes_are_those_of_earlier_versions() {
    let mut entries = own();
    let text = (0..500_000u32).flat_map(|n| format!("{}\n", n % 7919).into_bytes());
    entries.push(file("app/zzz.csv", EPOCH, text.collect()));
    let made = built(&ONE, entries);
    let digests = [
        "zstd:3",
        "zstd:19",
        "gzip:6",
        "none",
        "estargz",
        "zstd:chunked",
    ]
    .map(|text| {
        let mut options = options();
        options.repack.compression = text.parse().unwrap();
        let (_folder, packed) = packed(&made, &options);
        format!("{text} {}", packed.image.layers[1].blob.digest())
    });
    insta::assert_snapshot!(digests.join("\n"), @r"
    zstd:3 sha256:178c86e1eda3600dc18f7f5d37e9c8e1a8a3bd41ef6512bb06d147c069108560
    zstd:19 sha256:9e1b98aac8174f1d871f128be3fb52e35ddeb4a0f54829875ab565d4ea010678
    gzip:6 sha256:059a1a0cd917eba2c64e8651886cb5f408ddd965e71ee754b9da91ee6558a85e
    none sha256:030ddaa676dfbf9966ea518f733d2bd47b0584593f075b96153bfd1d770f5216
    estargz sha256:d4b0aa5bdd8e549518dc6226762c51495eff80808d6ba5017dfe1061928367f1
    zstd:chunked sha256:899f4296aacabbe91b1031b70cf5dc2f0d83493a8884f0126f977f58bb75ae10
    ");
}

#[test]
fn what_is_in_it_stays_as_it_was() {
    let made = built(&ONE, own());
    let (folder, packed) = packed(&made, &options());
    let read = |layer: &ImageLayer| {
        let path = folder
            .path()
            .join("blobs/sha256")
            .join(layer.blob.digest().digest());
        std::fs::read(path).unwrap()
    };
    let mut blobs = Blobs(made.blobs.0.clone());
    let own = &packed.image.layers[1];
    blobs
        .0
        .insert(own.blob.digest().to_string(), Arc::new(read(own)));
    let config: Value = serde_json::from_slice(
        &std::fs::read(
            folder
                .path()
                .join("blobs/sha256")
                .join(packed.image.config.digest().digest()),
        )
        .unwrap(),
    )
    .unwrap();
    assert_eq!(
        config,
        json!({
            "architecture": "amd64", "os": "linux", "created": "2023-11-14T22:13:20Z",
            "config": {"User": "ml", "Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": packed.image.layers.iter().map(|l| l.diff_id.to_string()).collect::<Vec<_>>()},
            "history": [
                {"created": "2020-01-01T00:00:00Z", "created_by": "debian"},
                {"created": "2023-11-14T22:13:20Z", "created_by": "COPY . /app"},
                {"created": "2023-11-14T22:13:20Z", "created_by": "EXPOSE 5000/tcp 8001/tcp", "empty_layer": true},
            ],
        })
    );
    let after = Side {
        image: packed.image.clone(),
        config,
        manifest: Some(json!({})),
        store: &blobs,
    };
    let compared = compare(&made.side(), &after).unwrap();
    let fields: std::collections::BTreeSet<_> = compared.layers[0]
        .files
        .iter()
        .flat_map(|file| &file.fields)
        .map(|field| field.field.as_str())
        .collect();
    assert_eq!(
        fields.into_iter().collect::<Vec<_>>(),
        ["mode", "mtime", "owner", "owner-name", "xattr user.note"]
    );
    assert_eq!(compared.layers.len(), 1);
    assert_ne!(compared.unpacked, Pair::default());
    // A second time, nothing is left to change.
    let again = Made {
        image: after.image.clone(),
        config: after.config.clone(),
        blobs: Blobs(blobs.0.clone()),
    };
    let into = tempfile::tempdir().unwrap();
    let into = PackedFolder::create(into.path()).unwrap();
    let twice = pack(&again.side(), Some(&base(&made)), &options(), &into).unwrap();
    assert_eq!(twice.image.manifest, packed.image.manifest);
    assert_eq!(twice.clamped, 0);
}

#[test]
fn another_content_is_another_digest() {
    let made = built(&ONE, own());
    let (_a, first) = packed(&made, &options());
    let mut changed = own();
    changed[4].1[0] ^= 1;
    let (_b, second) = packed(&built(&ONE, changed), &options());
    assert_ne!(first.image.manifest, second.image.manifest);
}

#[test]
fn a_damaged_layer_is_refused_and_leaves_no_image() {
    let mut made = built(&ONE, own());
    let digest = made.image.layers[1].blob.digest().to_string();
    let mut bytes = made.blobs.0[&digest].to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    made.blobs.0.insert(digest, Arc::new(bytes));
    let folder = tempfile::tempdir().unwrap();
    let into = PackedFolder::create(folder.path()).unwrap();
    let failed = pack(&made.side(), Some(&base(&made)), &options(), &into);
    assert!(matches!(failed, Err(PackError::Layer(_))), "{failed:?}");
    assert_eq!(std::fs::read_dir(into.blobs()).unwrap().count(), 0);
}

#[test]
fn another_base_is_no_base() {
    let made = built(&ONE, own());
    let mut other = base(&made);
    other.image.layers[0] = made.image.layers[1].clone();
    assert!(base_of(&made.side(), [other].iter()).is_none());
    assert!(base_of(&made.side(), [base(&made)].iter()).is_some());
    let folder = tempfile::tempdir().unwrap();
    let into = PackedFolder::create(folder.path()).unwrap();
    let packed = pack(&made.side(), None, &options(), &into).unwrap();
    assert_eq!(packed.base_layers, 0);
    assert_eq!(std::fs::read_dir(into.blobs()).unwrap().count(), 4);
}

#[test]
fn what_changes_nothing_is_left_out() {
    let mut opened = own();
    opened.push(entry("etc", EntryKind::Folder, EPOCH + 50));
    opened.push(file("etc/os-release", 5, b"ID=debian\n".to_vec()));
    opened.push(entry("new", EntryKind::Folder, 5));
    opened.push(entry("new", EntryKind::Opaque, 5));
    let mut plain = own();
    plain.push(entry("new", EntryKind::Folder, 5));
    let copied_up = built(&OTHER, opened);
    let options = PackOptions {
        drops_unchanged: true,
        ..options()
    };
    let (_a, first) = packed(&copied_up, &options);
    let (_b, second) = packed(&built(&OTHER, plain.clone()), &options);
    assert_eq!(first.image.manifest, second.image.manifest);
    let mut changed = plain;
    changed.push(entry("etc", EntryKind::Folder, 5));
    changed.push(file("etc/os-release", 5, b"ID=ubuntu\n".to_vec()));
    let (_c, third) = packed(&built(&OTHER, changed), &options);
    assert_ne!(third.image.manifest, second.image.manifest);
}

/// Times of what was copied are those of whoever copied first: in the COPY's layer, and where a later
/// step takes a file up as it is.
#[test]
fn the_times_of_copied_files_say_nothing() {
    let steps = |copied_at: i64, run_at: i64| {
        let copy = vec![
            entry("app", EntryKind::Folder, copied_at),
            file("app/data.csv", copied_at, b"1,2".to_vec()),
            file("app/train.py", copied_at, b"pass".to_vec()),
        ];
        let mut chown = vec![
            file("app/train.py", copied_at, b"pass".to_vec()),
            file("usr/lib/package.py", EPOCH - 70_000, b"older".to_vec()),
            file("usr/lib/made.txt", run_at, b"made".to_vec()),
        ];
        chown[0].0.uid = 7;
        with_steps(vec![
            ("COPY . /app", copy),
            ("RUN chown 7 /app/train.py", chown),
        ])
    };
    let (folder, first) = packed(&steps(EPOCH - 9_000, EPOCH + 50), &options());
    let (_b, second) = packed(&steps(EPOCH + 9_000, EPOCH + 90), &options());
    assert_eq!(first.image.manifest, second.image.manifest);
    let flags = first.own.iter().map(|(_, packed)| packed.copied);
    assert_eq!(flags.collect::<Vec<_>>(), [true, false]);

    let mut times = Vec::new();
    for layer in &first.image.layers[1..] {
        let blob = folder
            .path()
            .join("blobs/sha256")
            .join(layer.blob.digest().digest());
        let blob = std::fs::File::open(blob).unwrap();
        let limits = LayerLimits::for_blob(layer.blob.size());
        read_layer(blob, layer, &limits, &mut |entry, _| {
            times.push((entry.path.to_string(), entry.mtime.seconds - EPOCH));
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    }
    let times: Vec<_> = times
        .iter()
        .map(|(path, time)| (path.as_str(), *time))
        .collect();
    assert_eq!(
        times,
        [
            ("/app", 0),
            ("/app/data.csv", 0),
            ("/app/train.py", 0),
            ("/app/train.py", 0),
            // What a step made itself is held to the epoch from above alone.
            ("/usr/lib/package.py", -70_000),
            ("/usr/lib/made.txt", 0),
        ]
    );
}

/// A builder may have kept a step from before the epoch, and another one runs it after: where the step
/// isn't given the epoch, nothing tells the two apart.
#[test]
fn the_times_of_steps_that_know_no_epoch_say_nothing() {
    let base_made = EPOCH - 100_000;
    let run = |step: &str, made_at: i64| {
        let entries = vec![
            entry("etc", EntryKind::Folder, made_at),
            file("etc/passwd", made_at, b"ml".to_vec()),
            // As a package brings it.
            file("etc/old", base_made - 9, b"old".to_vec()),
        ];
        let made = with_steps(vec![(step, entries)]);
        let mut base = base(&made);
        let created = jiff::Timestamp::from_second(base_made).unwrap();
        base.config["created"] = json!(created.to_string());
        let folder = tempfile::tempdir().unwrap();
        let into = PackedFolder::create(folder.path()).unwrap();
        let options = options();
        let image = pack(&made.side(), Some(&base), &options, &into).unwrap();
        let layer = &image.image.layers[1];
        let blob = std::fs::File::open(into.blob(layer.blob.digest())).unwrap();
        let (mut times, limits) = (Vec::new(), LayerLimits::for_blob(layer.blob.size()));
        read_layer(blob, layer, &limits, &mut |entry, _| {
            times.push(entry.mtime.seconds - EPOCH);
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
        times
    };
    let is_kept = vec![0, 0, base_made - 9 - EPOCH];
    for (step, kept) in [
        ("RUN /bin/sh -c useradd ml # buildkit", 0),
        ("RUN |1 UID=7 /bin/sh -c useradd ml # buildkit", 0),
        (
            "RUN /bin/sh -c SOURCE_DATE_EPOCH=1 useradd ml # buildkit",
            0,
        ),
        ("WORKDIR /etc", 0),
        (
            "RUN |1 SOURCE_DATE_EPOCH=1700000000 /bin/sh -c useradd ml # buildkit",
            -500,
        ),
        (
            "RUN |2 UID=7 SOURCE_DATE_EPOCH=1700000000 /bin/sh -c x",
            -500,
        ),
    ] {
        assert_eq!(run(step, EPOCH + 50), is_kept, "{step}");
        let earlier = run(step, EPOCH - 500);
        assert_eq!(earlier[..2], [kept, kept], "{step}");
    }
}
