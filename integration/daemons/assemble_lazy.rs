//! Images for lazy pulls: their layers are opened by the readers of containerd's stargz snapshotter and of Podman's
//! storage, and run by Dockers, to which they are layers like any other.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;

use mlbuild::image::ImageLayer;
use mlbuild::image::compare::LayerStore as _;
use mlbuild::image::layer::{EntryKind, LayerLimits, read_layer};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::runtime::Runtime;

use crate::assemble::InRegistry;
use crate::image::{image, unique};
use crate::lock::{builder, command};
use crate::support::engines::Engines;
use crate::support::mlbuild::{Project, Ran};

const FORMATS: [&str; 2] = ["estargz", "zstd:chunked"];
/// The files that eStargz has for itself.
const OWN: [&str; 2] = ["/.no.prefetch.landmark", "/stargz.index.json"];

/// A layer's files as this program reads them: kind, mode, owner, and a file's hash.
fn ours(place: &InRegistry<'_>, layer: &ImageLayer) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let limits = LayerLimits::for_blob(layer.blob.size());
    let blob = place.open(layer).unwrap();
    read_layer(blob, layer, &limits, &mut |entry, content| {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes)?;
        let kind = match entry.kind {
            EntryKind::File => "reg",
            EntryKind::Folder => "dir",
            EntryKind::Symlink => "symlink",
            other => panic!("{other}"),
        };
        let hash = match entry.kind {
            EntryKind::File => hex::encode(Sha256::digest(&bytes)),
            _ => String::new(),
        };
        let link = entry.link.as_deref().map(String::from_utf8_lossy);
        let link = link.unwrap_or_default();
        let (mode, uid, gid, time) = (entry.mode, entry.uid, entry.gid, entry.mtime.seconds);
        let seen = format!("{kind} {mode:o} {uid}:{gid} {time} {link} {hash}");
        files.insert(entry.path.to_string(), seen);
        Ok(ControlFlow::Continue(()))
    })
    .unwrap();
    files
}

/// The same files as those read them who pull lazily; of zstd:chunked also the tar that their store has then.
fn theirs(
    engines: &Engines,
    format: &str,
    blob: &[u8],
    layer: &ImageLayer,
) -> BTreeMap<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("blob"), blob).unwrap();
    let said = layer.blob.annotations().as_ref().expect("annotations");
    std::fs::write(path("said"), serde_json::to_vec(said).unwrap()).unwrap();
    std::fs::create_dir(path("store")).unwrap();
    let mut judge = Command::new(engines.bin.join("lazy-judge"));
    judge.arg(format).args(["blob", "said", "store"].map(path));
    let judged = judge
        .output()
        .expect("lazy-judge: integration/engines/up builds it");
    let error = String::from_utf8_lossy(&judged.stderr);
    assert!(judged.status.success(), "{format}: {error}");
    let answer: Value = serde_json::from_slice(&judged.stdout).unwrap();
    if format == "zstd:chunked" {
        assert_eq!(answer["diffId"], layer.diff_id.to_string());
    }
    let files = answer["files"].as_object().unwrap().iter();
    let seen = files.map(|(name, file)| {
        let text = |key: &str| file[key].as_str().unwrap_or_default().to_owned();
        let number = |key: &str| file[key].as_i64().unwrap_or_default();
        let mode = number("mode");
        let (uid, gid, time) = (number("uid"), number("gid"), number("mtime"));
        let (kind, link, hash) = (text("type"), text("link"), text("sha256"));
        (
            format!("/{name}"),
            format!("{kind} {mode:o} {uid}:{gid} {time} {link} {hash}"),
        )
    });
    seen.collect()
}

/// Has every layer above the base judged; says how many there are.
fn judge(engines: &Engines, format: &str, image: &str, below: usize, runtime: &Runtime) -> usize {
    let place = InRegistry::at(image, runtime);
    let layers = place.image().0.layers;
    for layer in &layers[below..] {
        let mut blob = Vec::new();
        place.open(layer).unwrap().read_to_end(&mut blob).unwrap();
        let theirs = theirs(engines, format, &blob, layer);
        let mut ours = ours(&place, layer);
        if format == "estargz" {
            for name in OWN {
                assert!(ours.contains_key(name), "{name}");
            }
            // The table of contents doesn't name itself.
            ours.remove(OWN[1]);
        }
        for (path, seen) in &ours {
            assert_eq!(theirs.get(path), Some(seen), "{format}: {path}");
        }
        // Folders above a layer's first entry aren't in it.
        let more = theirs.iter().filter(|(path, _)| !ours.contains_key(*path));
        let more: Vec<_> = more.filter(|(_, seen)| !seen.starts_with("dir")).collect();
        assert!(more.is_empty(), "{format}: {more:?}");
    }
    layers.len() - below
}

/// What the Dockers that can read it say.
fn run_everywhere(engines: &Engines, format: &str, image: &str, said: &str) {
    for (name, host) in engines.dockers() {
        // Docker 20.10 can't read zstd.
        if name != "Docker 20.10" || format == "estargz" {
            let is = engines.docker(host, &["run", "--rm", image]);
            assert_eq!(is, said, "{format}: {name}");
        }
    }
}

fn below(engines: &Engines, runtime: &Runtime) -> usize {
    let base = InRegistry::at(&engines.python_base, runtime);
    base.image().0.layers.len()
}

fn with_time(project: &Project, words: &[String]) -> Ran {
    let mut command = command(project, words);
    Ran::of(command.env("SOURCE_DATE_EPOCH", "1700000000"))
}

#[test]
fn assembled_layers_are_read_file_by_file_and_run() {
    let engines = Engines::from_env();
    let runtime = Runtime::new().unwrap();
    let project = Project::new(&[
        (
            "mlbuild.toml",
            "[image]\ncommand = [\"python\", \"train.py\"]\n",
        ),
        ("requirements.txt", "pyyaml==6.0.2\nsix==1.17.0\n"),
        ("train.py", "import yaml\nprint(yaml.__version__)\n"),
        ("größe.txt", "a name beyond ASCII\n"),
    ]);
    let mut digests = Vec::new();
    for format in FORMATS {
        let tag = unique(&engines.registry, "lazy");
        let packed = format!("--repack={format}");
        let words = |verb: &str, more: &[&str]| {
            let base = engines.python_base.as_str();
            let what = ["--base", base, "--uid", "1000", "-t", &tag, &packed];
            let mut all = vec![verb.to_owned()];
            all.extend(builder(&engines, "buildkitd").flags);
            all.extend(what.iter().chain(more).map(|&word| word.to_owned()));
            all
        };
        let lock = words("lock", &["--method=assemble"]);
        with_time(&project, &lock).answer();
        let made = with_time(&project, &words("image", &["--push", "--locked"]));
        assert!(
            made.stderr.contains("assembled from its wheels"),
            "{}",
            made.stderr
        );
        let made = made.answer().to_owned();
        let own = judge(&engines, format, &made, below(&engines, &runtime), &runtime);
        assert!(own >= 4, "{own}");
        run_everywhere(&engines, format, &made, "6.0.2");

        // Given to another user, or put on its base again, it is pulled in the same way.
        for words in [
            ["adopt", &tag, "--uid", "2000", "--format=json"],
            ["rebase", &tag, "--base", &engines.python_base, "--push"],
        ] {
            let ran = Ran::of(&mut project.command(words));
            ran.answer();
            let name = if words[0] == "adopt" {
                format!("{tag}-uid2000")
            } else {
                format!("{tag}-rebased")
            };
            judge(&engines, format, &name, below(&engines, &runtime), &runtime);
        }

        // The same again from nothing, and by whoever proves it.
        std::fs::remove_dir_all(project.outside().join("state/layers")).unwrap();
        with_time(&project, &words("verify", &[])).answer();
        // Loaded, it is an image like any other.
        let (_, host) = engines.dockers()[0];
        let daemon = format!("docker://{}", host.trim_start_matches("unix://"));
        let mut load = words("image", &["--load", "--locked"]);
        load[2] = daemon;
        let loaded = with_time(&project, &load).answer().to_owned();
        assert_eq!(engines.docker(host, &["run", "--rm", &loaded]), "6.0.2");
        digests.push(made);
    }
    assert_ne!(digests[0], digests[1]);
}

#[test]
fn built_layers_are_packed_to_be_read_file_by_file() {
    let engines = Engines::from_env();
    let runtime = Runtime::new().unwrap();
    let base = &engines.python_base;
    let text = format!(
        "FROM {base}\nARG SOURCE_DATE_EPOCH\nCOPY train.py /app/\nRUN mkdir /data && \
         head -c 9000000 /dev/zero > /data/large && ln -s large /data/link\n\
         CMD [\"python3\", \"/app/train.py\"]\n"
    );
    let project = Project::new(&[("Dockerfile", &text), ("train.py", "print('ran')\n")]);
    for format in FORMATS {
        let tag = unique(&engines.registry, "lazy-built");
        let packed = format!("--repack={format}");
        let flags = builder(&engines, "buildkitd").flags;
        let words = image(&flags, &["-f", "Dockerfile", "-t", &tag, "--push", &packed]);
        let made = with_time(&project, &words).answer().to_owned();
        let own = judge(&engines, format, &made, below(&engines, &runtime), &runtime);
        assert_eq!(own, 2);
        run_everywhere(&engines, format, &made, "ran");
        // After an edit, what was packed before is taken from the registry with what is said of it.
        project.write("train.py", "print('ran again')\n");
        let again = with_time(&project, &words).answer().to_owned();
        judge(
            &engines,
            format,
            &again,
            below(&engines, &runtime),
            &runtime,
        );
        run_everywhere(&engines, format, &again, "ran again");
        project.write("train.py", "print('ran')\n");
    }
}

#[test]
fn what_lazy_layers_have_no_level_of_is_said() {
    let project = Project::new(&[("Dockerfile", "FROM scratch\n")]);
    for format in FORMATS {
        let packed = format!("--repack={format}:9");
        let words = image(&[], &["-f", "Dockerfile", "-t", "x:1", &packed]);
        let refused = with_time(&project, &words);
        let refused = refused.refusal(2);
        assert!(
            refused.contains(&format!("{format} has no level")),
            "{refused}"
        );
    }
}

/// A judge that reads nothing isn't one: what isn't lazy, or has been changed, is refused.
#[test]
fn the_judge_refuses_what_can_t_be_pulled_lazily() {
    let engines = Engines::from_env();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("blob"), [0; 4096]).unwrap();
    std::fs::write(path("said"), "{}").unwrap();
    for format in FORMATS {
        let judge = |said: &Path| {
            let mut judge = Command::new(engines.bin.join("lazy-judge"));
            judge.arg(format).arg(path("blob")).arg(said);
            judge.arg(path("store")).output().unwrap()
        };
        assert!(!judge(&path("said")).status.success(), "{format}");
    }
}
