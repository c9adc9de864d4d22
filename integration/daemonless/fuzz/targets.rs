//! What is fuzzed: each reader of bytes that others made, on anything. It may refuse; it must neither
//! panic nor break the promise that its target holds it to.

use std::cell::RefCell;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;

use mlbuild::display::authority::{Authority, Family};
use mlbuild::image::PlatformImage;
use mlbuild::image::layer::{LayerLimits, Packing, read_layer};
use mlbuild::package_store::{Store, read_answer};
use mlbuild::pin;
use mlbuild::queue::{LaunchConfig, QueueConfig};
use mlbuild_buildkit::fsutil::{dockerignore, patterns::PatternMatcher};
use mlbuild_manifests::{LockFile, RunRecord};
use mlbuild_templates::project::{ImagePython, read_requirements};
use oci_spec::image::{Descriptor, ImageIndex, MediaType};

/// A reader, and what it said of the input: inputs of which something new is said are kept.
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// Reads an input.
    pub run: fn(&[u8]) -> String,
    /// Inputs to begin with.
    pub seeds: &'static [&'static [u8]],
}

/// All of them.
pub const TARGETS: [Target; 10] = [
    Target {
        name: "layer",
        run: layer,
        seeds: &[],
    },
    Target {
        name: "lock",
        run: lock,
        seeds: &[
            include_bytes!("../../../manifests/tests/samples/v1.lock"),
            include_bytes!("../../../manifests/tests/samples/v2.lock"),
            include_bytes!("../../../manifests/tests/samples/v3.lock"),
        ],
    },
    Target {
        name: "run-record",
        run: run_record,
        seeds: &[
            include_bytes!("../../../manifests/tests/samples/v1.run.toml"),
            include_bytes!("../../../manifests/tests/samples/v2.run.toml"),
            include_bytes!("../../../manifests/tests/samples/v3.run.toml"),
            include_bytes!("../../../manifests/tests/samples/v5.run.toml"),
        ],
    },
    Target {
        name: "ignore-file",
        run: ignore_file,
        seeds: &[b"# a\n**/*.py[co]\n!keep/*\n/data/**\n\0src/a.pyc", b"[a-z]?\\*\n\0b"],
    },
    Target {
        name: "xauthority",
        run: xauthority,
        seeds: &[b"\x01\x00\x00\x04host\x00\x010\x00\x12MIT-MAGIC-COOKIE-1\x00\x040123"],
    },
    Target {
        name: "resolver-answer",
        run: resolver_answer,
        seeds: &[
            b"python\t3.12.3\npip\t24.0\n\0six numpy\n\0a.deb\ta\t1.0\tamd64\tSHA\t3\tbookworm\tmain\tpool/a.deb\n\0wheel\tsix-1.17.0-py2.py3-none-any.whl\tsix\t1.17.0\tSHA\t3\thttps://index.example/six\n\0DEB",
        ],
    },
    Target {
        name: "launch-config",
        run: launch_config,
        seeds: &[
            b"max_jobs: 2\nqueues: [gpu]\nbuilder:\n  type: docker\n  accelerator:\n    base_image: a:1\nregistry:\n  uri: r.example/x\npolicy:\n  mounts: [/mnt]\n  memory: 64g\n",
            b"env: [A=1, B]\nvolume: /mnt:/mnt\ngpus: all\noverrides: [shm-size]\n",
            b"kind: Job\nmetadata: {name: 'a-${run_id}'}\nspec:\n  template:\n    spec:\n      containers:\n      - image: ${image_uri}\n        resources: {limits: {cpu: '{{n}}'}}\ntemplate_variables:\n  n: {schema: {type: integer, default: 1, maximum: 8}}\n",
            b"{\"env\": [\"A=1\"], \"rm\": true, \"builder\": {\"accelerator\": {\"base_image\": \"x\"}}}",
        ],
    },
    Target {
        name: "requirements",
        run: requirements,
        seeds: &[
            b"# c\nnumpy==1.26.4 --hash=sha256:00\ntorch[x]>=2,<3 ; python_version < '3.12' \\\n  and os_name == 'posix'\n-r other.txt\n-e .\n--index-url https://h.example/simple\ngit+https://h.example/r@v1#egg=r\n./lib\n",
        ],
    },
    Target {
        name: "dockerfile",
        run: dockerfile,
        seeds: &[
            b"# syntax=docker/dockerfile:1\n# escape=`\nARG V=3\nFROM --platform=$BUILDPLATFORM a:${V:-1} AS b\nRUN --mount=type=bind,from=c,target=/x <<EOF\nx\nEOF\nCOPY --from=b /a /b\nONBUILD COPY --from=d / /\n",
            b"FROM ${A%x*}:${B/a/b}\nADD --link [\"a\", \"b\"]\n",
        ],
    },
    Target {
        name: "registry-json",
        run: registry_json,
        seeds: &[
            br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:0101010101010101010101010101010101010101010101010101010101010101","size":2},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"sha256:0101010101010101010101010101010101010101010101010101010101010101","size":2}]}"#,
            br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:0101010101010101010101010101010101010101010101010101010101010101"]},"config":{"User":"1","Env":["A=1"]}}"#,
        ],
    },
];

/// No path that it shows leads out of the image.
fn layer(data: &[u8]) -> String {
    let mut tar = data.to_vec();
    mend(&mut tar);
    let (blob, layer) = Packing::Plain.pack(tar, MediaType::ImageLayer);
    let limits = LayerLimits::in_memory(1 << 20);
    let mut kinds = String::new();
    let read = read_layer(blob.as_slice(), &layer, &limits, &mut |entry, content| {
        let names = entry.path.as_bytes().split(|&b| b == b'/');
        assert!(!entry.path.as_bytes().starts_with(b"/"));
        assert!(names.clone().all(|name| name != b".." && name != b"."));
        let size = io::copy(content, &mut io::sink())?;
        assert_eq!(size, entry.size);
        kinds += &entry.kind.to_string();
        Ok(ControlFlow::Continue(()))
    });
    kinds + &said(&read)
}

/// Gives blocks that look like headers the checksum of one, which nobody guesses.
fn mend(tar: &mut [u8]) {
    for block in tar.chunks_exact_mut(512) {
        if &block[257..262] == b"ustar" {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|&b| u32::from(b)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
}

/// What it takes it writes as something that it reads as the same.
fn lock(data: &[u8]) -> String {
    let (text, path) = (String::from_utf8_lossy(data), Path::new("mlbuild.lock"));
    let read = LockFile::parse(&text, path);
    if let Ok(lock) = &read {
        let written = lock.to_toml();
        let again = LockFile::parse(&written, path).expect("it reads what it wrote");
        assert_eq!(&again, lock);
        assert_eq!(again.to_toml(), written);
    }
    said(&read)
}

/// As for the lock, except for secrets, which are taken out when it is written; no folder that it takes
/// leads out of a repository, and no commit is an option.
fn run_record(data: &[u8]) -> String {
    let (text, path) = (String::from_utf8_lossy(data), Path::new("run.toml"));
    let read = RunRecord::parse(&text, path);
    if let Ok(record) = &read {
        if let Some(git) = &record.git {
            let folder = git.folder.as_deref().map(Path::new);
            let names = folder.into_iter().flat_map(Path::components);
            for name in names {
                assert!(
                    matches!(name, std::path::Component::Normal(_)),
                    "{folder:?}"
                );
            }
            assert!(!git.commit.as_deref().unwrap_or_default().starts_with('-'));
        }
        let written = record.to_toml();
        let again = RunRecord::parse(&written, path).expect("it reads what it wrote");
        assert_eq!(again.to_toml(), written);
    }
    said(&read)
}

/// A file and a path, with a zero between. Once more says the same, and `**` matches everything.
fn ignore_file(data: &[u8]) -> String {
    let end = data.iter().position(|&b| b == 0).unwrap_or(data.len());
    let (file, path) = data.split_at(end);
    let Ok(patterns) = dockerignore::parse(file) else {
        return "unreadable".to_owned();
    };
    assert!(patterns.iter().all(|p| !p.is_empty() && !p.contains('\n')));
    let Ok(matcher) = PatternMatcher::new(&patterns) else {
        return "no pattern".to_owned();
    };
    let path = path.get(1..).unwrap_or_default();
    let matches = matcher.matches_or_parent_matches(path);
    assert_eq!(matches, matcher.matches_or_parent_matches(path));
    let all = patterns.iter().map(String::as_str).chain(["**"]);
    let all = PatternMatcher::new(all).expect("`**` is a pattern");
    if let Ok(matches) = all.matches_or_parent_matches(path) {
        assert!(matches || path.is_empty() || path == b".", "{path:?}");
    }
    format!("{matches:?} {}", patterns.len().min(4))
}

/// What it reads is exactly what stands there up to the damage.
fn xauthority(data: &[u8]) -> String {
    let read = Authority::read(data);
    let written = Authority::write(&read.entries).expect("lengths of two bytes");
    assert_eq!(data.get(..written.len()), Some(written.as_slice()));
    assert_eq!(
        read.damaged_at,
        (written.len() < data.len()).then_some(written.len())
    );
    let cookie = read.cookie(&[(Family::LOCAL, b"host".to_vec())], 0);
    format!(
        "{} {} {}",
        read.entries.len().min(4),
        read.damaged_at.is_some(),
        cookie.is_some()
    )
}

/// The files of an answer, with zeros between. What is taken passes the check of pins.
fn resolver_answer(data: &[u8]) -> String {
    with_folder(|folder| {
        let files = ["facts", "requested", "apt.tsv", "python.tsv", "debs/a.deb"];
        std::fs::create_dir_all(folder.join("out/debs")).expect("a folder");
        let mut parts = data.splitn(files.len(), |&b| b == 0);
        for file in files {
            let content = parts.next().unwrap_or_default();
            std::fs::write(folder.join("out").join(file), content).expect("a file");
        }
        let store = Store::at(folder.join("store")).expect("a store");
        let read = read_answer(&folder.join("out"), &Default::default(), &store);
        if let Ok(answer) = &read {
            answer.pins.check().expect("pins that were checked");
        }
        said(&read)
    })
}

/// An agent's file, and a queue's; one that is taken is so for a job, whatever that sets.
fn launch_config(data: &[u8]) -> String {
    let text = String::from_utf8_lossy(data);
    let agent = LaunchConfig::parse(&text);
    let queue = QueueConfig::parse(&text, Path::new("q"));
    let set = text.lines().last().unwrap_or_default();
    let job = queue.as_ref().ok().map(|queue| {
        let with_defaults = queue.clone().of_job(&Default::default(), &[]);
        (
            with_defaults,
            queue.clone().of_job(&Default::default(), &[set]),
        )
    });
    said(&agent) + &said(&queue) + &format!("{:?}", job.map(|(a, b)| (a.is_ok(), b.is_ok())))
}

/// It stays in the folder.
fn requirements(data: &[u8]) -> String {
    with_folder(|folder| {
        std::fs::write(folder.join("requirements.txt"), data).expect("a file");
        let files = ["requirements.txt".to_owned()];
        let read = read_requirements(folder, &files, &ImagePython::default());
        said(&read)
    })
}

/// What uses an image gets its digest. The text may become shorter: quotes and defaults of variables go.
fn dockerfile(data: &[u8]) -> String {
    let text = String::from_utf8_lossy(data);
    let context = pin::PinContext::default();
    let _ = (
        pin::check(&text),
        pin::name_last_stage(&text),
        pin::runs_on_target(&text),
    );
    let read = pin::images(&text, &context);
    let Ok(uses) = &read else {
        return said(&read);
    };
    let digest = format!("@sha256:{}", "01".repeat(32));
    let pinned = pin::pin(&text, uses, |name| Some(format!("{name}{digest}")));
    assert!(uses.is_empty() || pinned.contains(&digest));
    format!("{} images", uses.len().min(6))
}

/// A manifest and a configuration, with a zero between; an index.
fn registry_json(data: &[u8]) -> String {
    let end = data.iter().position(|&b| b == 0).unwrap_or(data.len());
    let (manifest, config) = data.split_at(end);
    let digest = format!("sha256:{}", "01".repeat(32));
    let top = Descriptor::new(
        MediaType::ImageManifest,
        2,
        digest.parse::<oci_spec::image::Digest>().expect("a digest"),
    );
    let image = PlatformImage::join(top, manifest, config.get(1..).unwrap_or_default());
    let index = serde_json::from_slice::<ImageIndex>(manifest).map_err(|error| error.to_string());
    said(&image) + &said(&index)
}

/// Whether it was taken, or why not, in a word that tells apart what is worth keeping.
fn said<T, E: std::fmt::Display>(read: &Result<T, E>) -> String {
    match read {
        Ok(_) => "taken".to_owned(),
        Err(error) => {
            // Names, numbers and quotations are the input's own.
            let text = error.to_string();
            let words = text.split(|c: char| !c.is_ascii_alphabetic());
            words
                .filter(|word| word.len() > 3)
                .take(6)
                .collect::<Vec<_>>()
                .join(" ")
        }
    }
}

/// A folder that one thread uses again and again.
fn with_folder(work: impl FnOnce(&Path) -> String) -> String {
    thread_local! {
        static FOLDER: RefCell<Option<tempfile::TempDir>> = const { RefCell::new(None) };
    }
    FOLDER.with_borrow_mut(|folder| {
        let folder = folder.get_or_insert_with(|| tempfile::tempdir().expect("a folder"));
        work(folder.path())
    })
}
