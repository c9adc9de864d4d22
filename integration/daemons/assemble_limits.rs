//! What an assembled image is made of or goes to, at its limits: wheels that are wrong, bases that don't fit, stores
//! that are full, read-only or shared, registries that refuse a part or forget one, a Docker that lacks what it
//! seems to have. Each is refused with one error, or survived; nothing half-done is left.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::runtime::Runtime;

use crate::assemble::InRegistry;
use crate::image::{name_and_tag, unique};
use crate::left::left_in;
use crate::lock::{command, other_machine};
use crate::support::engines::Engines;
use crate::support::http;
use crate::support::mlbuild::{Project, Ran, as_nobody};
use crate::support::mounts::Small;
use crate::support::server::{Act, Request, Server};
use crate::support::stub_base::{self, Libc};
use crate::support::wheels::{self, Entry, file, wheel};

/// No builder is there.
const NOWHERE: [&str; 2] = ["--builder", "tcp://127.0.0.1:9"];
const SITE: &str = "/opt/venv/lib/python3.11/site-packages";

fn project(requirements: &str) -> Project {
    Project::new(&[
        ("requirements.txt", requirements),
        ("train.py", "print(1)\n"),
    ])
}

/// An assembled image of a project on a base, without a builder.
fn asked(project: &Project, verb: &str, base: &str, tag: &str, more: &[&str]) -> Command {
    let image = [verb, "--method=assemble", "--base", base, "--uid", "1000"];
    let tag = ["-t", tag];
    let words = image.iter().chain(&tag).chain(&NOWHERE).chain(more);
    let words: Vec<String> = words.map(|&word| word.to_owned()).collect();
    let mut command = command(project, &words);
    command.env("SOURCE_DATE_EPOCH", "1700000000");
    command
}

fn run(project: &Project, verb: &str, base: &str, tag: &str, more: &[&str]) -> Ran {
    Ran::of(&mut asked(project, verb, base, tag, more))
}

/// A base of its own in a registry, by the name of the test.
fn base(registry: &str, name: &str, libc: Libc) -> String {
    let tag = unique(registry, name);
    stub_base::push(registry, name_and_tag(&tag).0, libc)
}

fn digest(pinned: &str) -> &str {
    pinned.rsplit('@').next().unwrap()
}

fn is_there(registry: &str, tag: &str) -> bool {
    let (name, tag) = name_and_tag(tag);
    let answer = http::request("GET", registry, &format!("/v2/{name}/manifests/{tag}"));
    answer.status == 200
}

/// Every blob that an image names is in its repository: their digests.
fn check_whole(registry: &str, tag: &str) -> Vec<String> {
    let (name, tag) = name_and_tag(tag);
    let (_, manifest) = http::manifest(registry, name, tag);
    let layers = manifest["layers"].as_array().unwrap();
    let blobs = layers.iter().chain([&manifest["config"]]);
    let digests = blobs.map(|blob| blob["digest"].as_str().unwrap().to_owned());
    let digests: Vec<String> = digests.collect();
    for digest in &digests {
        let found = http::request("HEAD", registry, &format!("/v2/{name}/blobs/{digest}"));
        assert_eq!(found.status, 200, "{digest}");
    }
    digests
}

/// What becomes of a wheel.
enum End {
    /// A verb refuses it with this exit code.
    Refused(&'static str, i32),
    /// It is in the image, where a file of it looks like this.
    Installed(&'static str, String),
}

#[test]
fn wheels_that_are_wrong_are_refused_and_leave_nothing() {
    let engines = Engines::from_env();
    let base = base(&engines.registry, "limits-wheels", Libc::Glibc);
    let small =
        |name: &str, files: &[Entry], record: &str| wheel(name, "py3-none-any", files, record);
    let link = Entry {
        mode: 0o120_777,
        ..file("k.py", b"/etc/passwd")
    };
    let bomb = Entry {
        size: Some(3 << 30),
        ..file("b.py", b"")
    };
    let all = vec![
        small("good", &[file("w.py", b"x = 1\n")], ""),
        small("lies", &[file("l.py", b"x = 1\n")], "l.py,,5\n"),
        small(
            "climbs",
            &[file("../../../etc/cron.d/x", b"* * * * * root id\n")],
            "",
        ),
        small(
            "twice",
            &[file("t.py", b"first\n"), file("t.py", b"second\n")],
            "",
        ),
        small("links", &[link], ""),
        small("bomb", &[bomb], ""),
        wheel(
            "old",
            "cp27-cp27m-manylinux1_x86_64",
            &[file("o.py", b"")],
            "",
        ),
    ];
    let index = wheels::index(all);
    let plain = |mode: &str, content: &str| {
        let hash = hex::encode(&Sha256::digest(content)[..8]);
        format!("file {mode} 0:0 None {hash}")
    };
    let cases = [
        ("good", End::Installed("w.py", plain("644", "x = 1\n")), ""),
        (
            "lies",
            End::Refused("image", 1),
            "its RECORD lies about \"l.py\"",
        ),
        (
            "climbs",
            End::Refused("lock", 1),
            "\"../../../etc/cron.d/x\" climbs out of its folder",
        ),
        // As uv and pip do: of two files with one name the later one, and of a link the text.
        (
            "twice",
            End::Installed("t.py", plain("644", "second\n")),
            "",
        ),
        (
            "links",
            End::Installed("k.py", plain("755", "/etc/passwd")),
            "",
        ),
        (
            "bomb",
            End::Refused("lock", 1),
            "holds more than any wheel: 3221225",
        ),
        (
            "old",
            End::Refused("lock", 3),
            "no wheels with a matching Python implementation tag (e.g., `cp311`)",
        ),
    ];
    let runtime = Runtime::new().unwrap();
    let project = project("");
    for (name, end, said) in cases {
        let _ = std::fs::remove_file(project.path("mlbuild.lock"));
        project.write("requirements.txt", &format!("{name}==1.0\n"));
        let tag = unique(&engines.registry, name);
        let run = |verb: &str, more: &[&str]| {
            let mut command = asked(&project, verb, &base, &tag, more);
            let address = format!("http://{}/simple", index.address);
            command.env("PIP_EXTRA_INDEX_URL", address);
            Ran::of(command.env("PIP_TRUSTED_HOST", "127.0.0.1"))
        };
        let refusal = match end {
            End::Refused("lock", code) => {
                let refused = run("lock", &[]).refusal(code).to_owned();
                assert!(!project.path("mlbuild.lock").exists(), "{name}");
                refused
            }
            End::Refused(_, code) => {
                run("lock", &[]).answer();
                run("image", &["--push"]).refusal(code).to_owned()
            }
            End::Installed(path, seen) => {
                run("lock", &[]).answer();
                let made = run("image", &["--push"]).answer().to_owned();
                let tree = InRegistry::at(&made, &runtime).tree(&SITE[1..]);
                assert_eq!(tree.get(&format!("{SITE}/{path}")), Some(&seen), "{name}");
                continue;
            }
        };
        assert!(refusal.contains(said), "{name}: {refusal}");
        assert_eq!(refusal.matches("error:").count(), 1, "{name}: {refusal}");
        assert!(!is_there(&engines.registry, &tag), "{name}");
        assert_eq!(left_in(&project), [""; 0], "{name}");
    }
}

#[test]
fn bases_that_do_not_fit_say_why() {
    let engines = Engines::from_env();
    let registry = &engines.registry;
    let musl = base(registry, "limits-musl", Libc::Musl);
    let unsaid = base(registry, "limits-unsaid", Libc::Unsaid);
    let project = project("");
    for (base, requirements, code, said) in [
        (
            &engines.base,
            "six==1.17.0\n",
            2,
            "the base has no python3 on its PATH",
        ),
        (
            &unsaid,
            "six==1.17.0\n",
            2,
            "the base doesn't say which C library it has",
        ),
        // There are wheels of it for glibc alone, and no source archive.
        (
            &musl,
            "triton==3.0.0\n",
            3,
            "has no wheels with a matching platform tag (e.g., `musllinux_1_2_x86_64`)",
        ),
    ] {
        project.write("requirements.txt", requirements);
        let tag = unique(registry, "limits-base");
        let refused = run(&project, "lock", base, &tag, &[]);
        let refused = refused.refusal(code);
        assert!(refused.contains(said), "{refused}");
        assert!(!project.path("mlbuild.lock").exists());
    }
    // Where a package has wheels for it, they are taken.
    project.write("requirements.txt", "markupsafe==3.0.2\n");
    let tag = unique(registry, "limits-musl");
    run(&project, "lock", &musl, &tag, &[]).answer();
    assert!(
        project
            .read("mlbuild.lock")
            .contains("-musllinux_1_2_x86_64.whl")
    );
    run(&project, "image", &musl, &tag, &["--push"]).answer();
    check_whole(registry, &tag);
}

#[test]
fn a_store_that_is_full_or_read_only_or_shared() {
    let engines = Engines::from_env();
    let registry = &engines.registry;
    let base = base(registry, "limits-store", Libc::Glibc);
    let project = project("six==1.17.0\nidna==3.10\n");
    let tag = unique(registry, "limits-store");
    run(&project, "lock", &base, &tag, &[]).answer();
    let pinned = project.read("mlbuild.lock");
    let made = run(&project, "image", &base, &tag, &["--push"]);
    let made = digest(made.answer()).to_owned();
    // From here on it names no image whose layers could be taken.
    project.write("mlbuild.lock", &pinned);

    // Two at once, and nothing is made yet.
    std::fs::remove_dir_all(project.outside().join("state/layers")).unwrap();
    let locked = ["--push", "--locked", "--no-skip"];
    let two: Vec<_> = (0..2)
        .map(|_| {
            asked(&project, "image", &base, &tag, &locked)
                .spawn()
                .unwrap()
        })
        .collect();
    for one in two {
        let ran = Ran::from(one.wait_with_output().unwrap());
        assert_eq!(digest(ran.answer()), made);
    }
    assert_eq!(left_in(&project), [""; 0]);

    // Room for nothing, for some of it, for all, and nowhere else.
    let elsewhere = project.outside().join("small");
    let mut refused = 0;
    for size in ["48k", "112k", "176k", "64m"] {
        let small = Small::mount(&elsewhere, size);
        let mut command = asked(&project, "image", &base, &tag, &locked);
        command.env("MLBUILD_STATE_DIR", &elsewhere);
        let ran = Ran::of(command.env("TMPDIR", &elsewhere));
        if ran.code == Some(0) {
            assert_eq!(digest(ran.answer()), made, "{size}");
        } else {
            let said = ran.refusal(3);
            assert!(said.contains("hint: the disk is full"), "{size}: {said}");
            refused += 1;
        }
        drop(small);
    }
    assert!((1..=3).contains(&refused), "{refused}");

    // It can be read: what is there is used.
    let full = project.outside().join("state");
    let mount = |options: &[&str]| {
        let mounted = Command::new("mount").args(options).arg(&full).status();
        assert!(mounted.unwrap().success());
    };
    mount(&["--bind", full.to_str().unwrap()]);
    mount(&["-o", "remount,bind,ro"]);
    let ran = run(&project, "image", &base, &tag, &locked);
    let unmounted = Command::new("umount").arg("-l").arg(&full).status();
    assert!(unmounted.unwrap().success());
    assert_eq!(digest(ran.answer()), made);
    let note = "since the folder for caches can't be written to";
    assert_eq!(ran.stderr.matches(note).count(), 1, "{}", ran.stderr);
    check_whole(registry, &tag);
}

#[test]
fn the_image_is_the_same_whoever_makes_it_and_where() {
    let engines = Engines::from_env();
    let base = base(&engines.registry, "limits-same", Libc::Glibc);
    let project = project("six==1.17.0\nmarkupsafe==3.0.2\n");
    let tag = unique(&engines.registry, "limits-same");
    run(&project, "lock", &base, &tag, &[]).answer();
    let made = run(&project, "image", &base, &tag, &["--push"]);
    let made = digest(made.answer()).to_owned();
    let locked = ["--push", "--locked", "--no-skip"];

    // Another umask, time zone, locale, host name and day, and one processor.
    let other = other_machine::checked_out(&project);
    let mut there = other_machine::there(&asked(&other, "image", &base, &tag, &locked));
    there.stdin(std::process::Stdio::null());
    let ran = Ran::from(there.output().unwrap());
    assert_eq!(digest(ran.answer()), made);

    // Somebody else, with a store of their own.
    let nobodys = other_machine::checked_out(&project);
    let program = nobodys.outside().join("mlbuild");
    std::fs::copy(env!("CARGO_BIN_EXE_mlbuild"), &program).unwrap();
    let owned = Command::new("chown")
        .args(["-R", "65534:65534"])
        .arg(nobodys.outside())
        .status();
    assert!(owned.unwrap().success());
    let command = asked(&nobodys, "image", &base, &tag, &locked);
    let ran = Ran::of(&mut as_nobody(&command, &program, &nobodys));
    assert_eq!(digest(ran.answer()), made);
    assert!(nobodys.outside().join("state/layers/blobs").exists());
}

#[test]
fn what_an_index_answered_is_confirmed_and_not_sent_again() {
    let engines = Engines::from_env();
    let base = base(&engines.registry, "limits-index-kept", Libc::Glibc);
    let index = wheels::index(vec![wheel(
        "good",
        "py3-none-any",
        &[file("w.py", b"")],
        "",
    )]);
    let project = project("good==1.0\n");
    let tag = unique(&engines.registry, "limits-index-kept");
    let state = project.outside().join("state/index");
    let lock = |log_in: &str| {
        index.seen();
        let mut command = asked(&project, "lock", &base, &tag, &["--upgrade"]);
        let address = format!("http://{log_in}{}/simple", index.address);
        command.env("PIP_EXTRA_INDEX_URL", address);
        Ran::of(command.env("PIP_TRUSTED_HOST", "127.0.0.1")).answer();
        let seen = index.seen().into_iter();
        let pages = seen.filter(|line| line.starts_with("GET /simple/good/"));
        let kept = std::fs::read_dir(&state).map_or(0, Iterator::count);
        (pages.collect::<Vec<_>>(), kept)
    };
    let (whole, known) = ("GET /simple/good/ 200", "GET /simple/good/ 304");
    assert_eq!(lock(""), (vec![whole.to_owned()], 1));
    assert_eq!(lock(""), (vec![known.to_owned()], 1));
    // What takes a log-in is kept nowhere.
    assert_eq!(lock("me:hunter2@"), (vec![whole.to_owned()], 1));
    let found = Command::new("grep")
        .args(["-rl", "hunter2"])
        .arg(project.outside().join("state"))
        .output();
    assert_eq!(String::from_utf8(found.unwrap().stdout).unwrap(), "");

    let pruned = project.run(["prune", "--older-than", "1d", "--format", "json"]);
    assert_eq!(pruned.json()["tools"]["kept"], 2, "uv and the answers");
    let pruned = project.run(["prune", "--keep-size", "0MB", "--format", "json"]);
    assert_eq!(pruned.json()["tools"]["removed"], 1, "uv is the lock's");
    let pruned = project.run(["prune", "--all", "--format", "json"]);
    assert_eq!(pruned.json()["tools"]["kept"], 0);
}

fn is_blob_question(line: &str) -> bool {
    line.starts_with("HEAD ") && line.contains("/blobs/")
}

#[test]
fn registries_that_refuse_a_part_or_forget_one() {
    let engines = Engines::from_env();
    let peer = engines.registry.as_str();
    let project = project("six==1.17.0\n");
    // What the image is where nothing is refused.
    let behind = base(peer, "limits-refused", Libc::Glibc);
    let repository = behind.split_once('/').unwrap().1;
    let tag = unique(peer, "limits-refused");
    run(&project, "lock", &behind, &tag, &[]).answer();
    run(&project, "image", &behind, &tag, &["--push"]).answer();
    let whole = check_whole(peer, &tag);

    // It mounts nothing: by the specification it opens an upload; some say that there is no such call.
    let opens = |request: &Request| match request.path.split_once("?mount=") {
        Some((path, _)) => Act::PassTo(path.to_owned()),
        None => Act::Pass,
    };
    let refuses = |request: &Request| match request.path.contains("?mount=") {
        true => Act::Answer(405, String::new(), Vec::new()),
        false => Act::Pass,
    };
    // It has a blob where it is asked, and has lost it when the manifest names it: at first, or always.
    let lost = AtomicBool::new(false);
    let forgets = move |request: &Request| {
        if request.method == "PUT" && request.path.contains("/manifests/") {
            lost.store(true, Ordering::Relaxed);
        }
        let is_asked = request.method == "HEAD" && request.path.contains("/limits-lost");
        match is_asked && request.path.contains("/blobs/") && !lost.load(Ordering::Relaxed) {
            true => Act::Answer(200, String::new(), Vec::new()),
            false => Act::Pass,
        }
    };
    let lies = |request: &Request| {
        let is_asked = request.method == "HEAD" && request.path.contains("/limits-lost");
        match is_asked && request.path.contains("/blobs/") {
            true => Act::Answer(200, String::new(), Vec::new()),
            false => Act::Pass,
        }
    };
    for (what, server) in [
        ("opens", Server::before(peer, opens)),
        ("refuses", Server::before(peer, refuses)),
        ("forgets", Server::before(peer, forgets)),
        ("lies", Server::before(peer, lies)),
    ] {
        let base = format!("{}/{repository}", server.address);
        let tag = unique(&server.address, "limits-lost");
        let _ = std::fs::remove_file(project.path("mlbuild.lock"));
        run(&project, "lock", &base, &tag, &[]).answer();
        let made = run(&project, "image", &base, &tag, &["--push"]);
        assert_eq!(made.code, Some(0), "{what}: {}", made.stderr);
        // Its annotations name the base, and so the registry that it was fetched from.
        assert_eq!(check_whole(peer, &tag), whole, "{what}");
    }

    // It takes no layers that are packed with zstd.
    let no_zstd = Server::before(peer, |request| {
        let body = String::from_utf8_lossy(&request.body);
        let is_manifest = request.method == "PUT" && request.path.contains("/manifests/");
        match is_manifest && body.contains("tar+zstd") {
            true => Act::Answer(
                415,
                "Content-Type: application/json\r\n".to_owned(),
                br#"{"errors":[{"code":"MANIFEST_INVALID","message":"unknown media type"}]}"#
                    .to_vec(),
            ),
            false => Act::Pass,
        }
    });
    let base = format!("{}/{repository}", no_zstd.address);
    let tag = unique(&no_zstd.address, "limits-gzip");
    let _ = std::fs::remove_file(project.path("mlbuild.lock"));
    run(&project, "lock", &base, &tag, &[]).answer();
    let refused = run(&project, "image", &base, &tag, &["--push"]);
    let refused = refused.refusal(3);
    assert!(
        refused.contains("unknown media type") && refused.contains("--repack=gzip"),
        "{refused}"
    );
    assert!(!is_there(peer, &tag));
    // The lock's packages stay; it says from then on how layers are packed.
    let before = project.read("mlbuild.lock");
    let refused = run(
        &project,
        "image",
        &base,
        &tag,
        &["--push", "--locked", "--repack=gzip"],
    );
    let said = "--locked: the lock's layers are packed with zstd:3, and gzip:6 is asked for";
    assert!(refused.refusal(4).contains(said), "{}", refused.stderr);
    let refused = run(&project, "image", &base, &tag, &["--push", "--repack=none"]);
    let said = "--repack=none: a lock's layers are packed with zstd or gzip";
    assert!(refused.refusal(2).contains(said), "{}", refused.stderr);
    assert_eq!(project.read("mlbuild.lock"), before);
    let packed = run(&project, "image", &base, &tag, &["--push", "--repack=gzip"]);
    packed.answer();
    let said =
        "the lock's layers are packed with zstd:3, and gzip:6 is asked for: its packages stay";
    assert!(packed.stderr.contains(said), "{}", packed.stderr);
    check_whole(peer, &tag);
    let again = run(
        &project,
        "image",
        &base,
        &tag,
        &["--push", "--locked", "--no-skip"],
    );
    assert_eq!(digest(again.answer()), digest(packed.answer()));
}

#[test]
fn an_index_that_was_pushed_before_spares_questions() {
    let engines = Engines::from_env();
    let server = Server::before(&engines.registry, |_| Act::Pass);
    let tag = unique(&engines.registry, "limits-index");
    let behind = stub_base::push_both(&engines.registry, name_and_tag(&tag).0);
    let base = format!("{}/{}", server.address, behind.split_once('/').unwrap().1);
    let project = project("six==1.17.0\n");
    let tag = unique(&server.address, "limits-index");
    let both = ["--platform", "linux/amd64,linux/arm64"];
    let push = [&both[..], &["--push"]].concat();
    run(&project, "lock", &base, &tag, &both).answer();
    server.seen();
    run(&project, "image", &base, &tag, &push).answer();
    let empty = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
    let seen = server.seen();
    let of_empty = seen
        .iter()
        .filter(|line| is_blob_question(line) && line.contains(empty));
    assert_eq!(of_empty.count(), 1, "{seen:#?}");
    project.write("train.py", "print(2)\n");
    let edited = run(&project, "image", &base, &tag, &push)
        .answer()
        .to_owned();
    let seen = server.seen();
    let asked: BTreeSet<&String> = seen.iter().filter(|line| is_blob_question(line)).collect();
    let others = asked.iter().filter(|line| !line.contains(empty));
    assert_eq!(others.count(), 0, "{asked:#?}");

    // What reads an image reads the index: it is inspected, adopted, proved and brought back.
    let reference = edited.replace(":v1@", "@");
    let inspected = project
        .run(["inspect", &reference, "--format", "json"])
        .json();
    assert_eq!(inspected["platforms"].as_object().unwrap().len(), 2);
    let adopted = project.run(["adopt", &reference, "--uid", "2000", "--user", "vorph"]);
    assert!(
        !adopted.stderr.contains("wasn't made by"),
        "{}",
        adopted.stderr
    );
    adopted.answer();
    let verified = run(&project, "verify", &base, &tag, &[]);
    assert_eq!(verified.answer().matches("identical: ").count(), 2);
    let record = project.runs().pop().unwrap();
    let id = record.trim_end_matches(".toml").to_owned();
    let restored = project.run(["restore", &id, "--no-shell"]);
    assert_eq!(restored.code, Some(0), "{}", restored.stderr);
}

#[test]
fn a_docker_never_has_half_an_image() {
    let engines = Engines::from_env();
    let host = &engines.docker_containerd;
    let base = base(&engines.registry, "limits-load", Libc::Glibc);
    let project = project("six==1.17.0\n");
    let tag = unique("mlbuild-limits.example", "load").replace("mlbuild-limits.example/", "");
    let load = |more: &[&str]| {
        let words = [&["--load", "--no-skip"], more].concat();
        let mut command = asked(&project, "image", &base, &tag, &words);
        Ran::of(command.env("DOCKER_HOST", host))
            .answer()
            .to_owned()
    };
    // Whatever it seems to have: all that it says that it has can be saved.
    let check_saved = |what: &str| {
        let folder = tempfile::tempdir().unwrap();
        let saved = folder.path().join("saved.tar");
        engines.docker(host, &["save", "-o", saved.to_str().unwrap(), &tag]);
        let inspected = project.run(["inspect", saved.to_str().unwrap()]);
        assert_eq!(inspected.code, Some(0), "{what}: {}", inspected.stderr);
    };
    load(&[]);
    // The same files, and not the same blobs.
    load(&["--repack=gzip"]);
    check_saved("gzip");
    project.write("train.py", "print(2)\n");
    let zstd = load(&[]);
    check_saved("zstd");

    // What this machine remembers is wrong: Docker refuses the image, and has it in the end. Until then the name
    // is that of the image before.
    project.write("train.py", "print(3)\n");
    let layout = project.outside().join("layout");
    let output = format!("type=oci,tar=false,dest={}", layout.display());
    run(
        &project,
        "image",
        &base,
        &tag,
        &["-o", &output, "--no-skip"],
    )
    .answer();
    let read =
        |path: &Path| -> Value { serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap() };
    let manifest = read(&layout.join("index.json"));
    let manifest = manifest["manifests"][0]["digest"]
        .as_str()
        .unwrap()
        .to_owned();
    let manifest = read(&layout.join("blobs").join(manifest.replace(':', "/")));
    let layers = manifest["layers"].as_array().unwrap().iter();
    let lines: String = layers
        .map(|layer| format!("{}\n", layer["digest"].as_str().unwrap()))
        .collect();
    let notes = project.outside().join("state/loaded");
    std::fs::write(notes.join(zstd.trim_start_matches("sha256:")), lines).unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    let watching = {
        let (is_over, engines, tag) = (is_over.clone(), Engines::from_env(), tag.clone());
        std::thread::spawn(move || {
            let mut seen = BTreeSet::new();
            while !is_over.load(Ordering::Relaxed) {
                let host = &engines.docker_containerd;
                seen.insert(engines.docker(host, &["image", "inspect", "-f", "{{.Id}}", &tag]));
            }
            seen
        })
    };
    let loaded = load(&[]);
    is_over.store(true, Ordering::Relaxed);
    let seen = watching.join().unwrap();
    assert!(
        seen.iter().all(|id| *id == zstd || *id == loaded),
        "{seen:?}"
    );
    check_saved("what was remembered wrongly");
    engines.docker(host, &["rmi", "--force", &tag]);
}
