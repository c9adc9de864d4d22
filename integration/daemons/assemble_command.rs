//! `mlbuild image --method=assemble`: the same image as BuildKit's, pushed, loaded, written to a
//! folder, proved again; and what it refuses.

use std::collections::BTreeMap;

use mlbuild::registry::{Attachment, Registry, RegistryOptions};
use mlbuild_manifests::document::{Document as _, LOCK_ARTIFACT_TYPE};
use mlbuild_manifests::lock::LockedImage;
use oci_spec::distribution::Reference;
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::assemble::{InRegistry, is_known};
use crate::image::unique;
use crate::lock::{builder, command, config, run};
use crate::support::engines::Engines;
use crate::support::mlbuild::{Project, Ran};

const REQUIREMENTS: &str = "click==8.1.7\njinja2==3.1.6\npyyaml==6.0.2\nsix==1.17.0\n";
/// Something of each kind that is set over a base.
pub const SETTINGS: &str = r#"
[image]
command = ["python", "train.py"]
ports = [8080]
labels = { "org.example.team" = "cracks" }
env = { MODE = "train" }
path = ["/opt/tools"]
"#;
/// No builder is there.
const NOWHERE: [&str; 2] = ["--builder", "tcp://127.0.0.1:9"];

struct Setting {
    engines: Engines,
    project: Project,
    runtime: Runtime,
}

impl Setting {
    fn new(more: &[(&str, &str)]) -> Self {
        let files = [
            ("mlbuild.toml", SETTINGS),
            ("requirements.txt", REQUIREMENTS),
            ("train.py", "import yaml\nprint(yaml.__version__)\n"),
            ("tools/run.sh", "#!/bin/sh\necho ran\n"),
            (".dockerignore", "*.log\n"),
            ("big.log", "not in the image\n"),
        ];
        Self {
            engines: Engines::from_env(),
            project: Project::new(&[&files[..], more].concat()),
            runtime: Runtime::new().unwrap(),
        }
    }

    fn words(&self, verb: &str, tag: &str, more: &[&str]) -> Vec<String> {
        let image = [
            "--base",
            &self.engines.python_base,
            "--uid",
            "1000",
            "-t",
            tag,
        ];
        let all = [verb].into_iter().chain(image).chain(more.iter().copied());
        all.map(str::to_owned).collect()
    }

    fn with_builder(&self, verb: &str, tag: &str, more: &[&str]) -> Vec<String> {
        let mut words = self.words(verb, tag, more);
        words.extend(builder(&self.engines, "buildkitd").flags);
        words
    }

    fn config(&self, image: &str) -> Value {
        InRegistry::at(image, &self.runtime).image().1
    }

    /// Every path that either image has above its base, where they differ.
    fn differences(&self, built: &str, assembled: &str) -> Vec<String> {
        let tree = |image: &str| -> BTreeMap<String, String> {
            let tree = InRegistry::at(image, &self.runtime).tree("");
            let seen = tree.into_iter();
            seen.filter(|(_, what)| !what.starts_with("whiteout"))
                .collect()
        };
        let (built, assembled) = (tree(built), tree(assembled));
        assert!(assembled.len() > 500, "{}", assembled.len());
        let paths: std::collections::BTreeSet<_> = built.keys().chain(assembled.keys()).collect();
        let differ = paths
            .into_iter()
            .filter(|path| !is_known(path) && built.get(*path) != assembled.get(*path));
        differ
            .map(|path| format!("{path}: {:?}, {:?}", built.get(path), assembled.get(path)))
            .collect()
    }
}

#[test]
fn the_image_is_the_one_that_a_builder_makes() {
    let setting = Setting::new(&[]);
    let (project, engines) = (&setting.project, &setting.engines);
    let by_builder = unique(&engines.registry, "by-builder");
    let tag = unique(&engines.registry, "by-hand");
    run(project, &setting.with_builder("lock", &by_builder, &[])).answer();
    let built = run(
        project,
        &setting.with_builder("image", &by_builder, &["--push"]),
    );
    let built = built.answer().to_owned();
    run(
        project,
        &setting.with_builder("lock", &tag, &["--method=assemble"]),
    )
    .answer();

    // The base's own Python makes bytecode, on the builder.
    let flags = ["--push", "--method=assemble"];
    let assembled = run(project, &setting.with_builder("image", &tag, &flags));
    assert!(
        assembled.stderr.contains("compiling the modules of"),
        "{}",
        assembled.stderr
    );
    let assembled = assembled.answer().to_owned();
    let differ = setting.differences(&built, &assembled);
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    let (by_builder, ours) = (setting.config(&built), setting.config(&assembled));
    assert_eq!(by_builder["config"], ours["config"]);
    assert_eq!(ours["config"]["User"], "ml");

    let lock = project.lock();
    let entry = lock
        .images()
        .find(|entry| tag.contains(&entry.name))
        .unwrap();
    let build = entry.build.as_ref().unwrap();
    assert!(build.is_assembled() && build.bytecode);
    let packages = entry.packages.as_ref().unwrap();
    assert!(
        packages
            .python
            .iter()
            .any(|p| p.name == "six" && p.version == "1.17.0")
    );
    assert!(packages.apt.iter().any(|p| p.name == "libc6"));

    // Everything is at hand: from here on there is no builder. Nothing changed: nothing is made. What is
    // made again is the same.
    let flags = [&["--push", "--method=assemble"], &NOWHERE[..]].concat();
    let again = run(project, &setting.words("image", &tag, &flags));
    assert_eq!(again.answer(), assembled);
    let verify = [&["--method=assemble"], &NOWHERE[..]].concat();
    run(project, &setting.words("verify", &tag, &verify)).answer();

    // An edit of the code changes the code's layer alone. The others are in the registry: neither their
    // blobs nor their wheels are needed here.
    let state = project.outside().join("state");
    for folder in [
        "layers/blobs",
        "layers/bytecode",
        "inputs/sha256",
        "inputs/views",
    ] {
        std::fs::remove_dir_all(state.join(folder)).unwrap();
    }
    project.write("train.py", "print(2)\n");
    let edited = run(project, &setting.words("image", &tag, &flags));
    let edited = edited.answer().to_owned();
    let layers = |image: &str| InRegistry::at(image, &setting.runtime).image().0.layers;
    let (before, after) = (layers(&assembled), layers(&edited));
    let kept = std::fs::read_dir(state.join("layers/blobs")).unwrap();
    assert_eq!(kept.count(), 1, "the environment without packages alone");
    let moved = before
        .iter()
        .zip(&after)
        .filter(|(a, b)| a.diff_id != b.diff_id);
    assert_eq!(moved.count(), 1);

    // Docker 20.10 can't read zstd.
    for (name, host) in engines.dockers() {
        if name != "Docker 20.10" {
            let said = engines.docker(host, &["run", "--rm", &assembled]);
            assert_eq!(said, "6.0.2", "{name}");
            let said = engines.docker(host, &["run", "--rm", &assembled, "id", "-un"]);
            assert_eq!(said, "ml", "{name}");
        }
    }
}

#[test]
fn it_goes_into_a_folder_and_into_docker() {
    let setting = Setting::new(&[]);
    let (project, engines) = (&setting.project, &setting.engines);
    let tag = unique(&engines.registry, "assembled-to");
    run(
        project,
        &setting.with_builder("lock", &tag, &["--method=assemble"]),
    )
    .answer();
    let folder = project.outside().join("layout");
    let output = format!("type=oci,tar=false,dest={}", folder.display());
    let flags = [&["--method=assemble", "-o", &output], &NOWHERE[..]].concat();
    let made = run(project, &setting.words("image", &tag, &flags));
    assert!(made.stderr.contains("without bytecode"), "{}", made.stderr);
    made.answer();
    let ours = config(&folder);
    assert_eq!(
        ours["config"]["Cmd"],
        serde_json::json!(["python", "train.py"])
    );
    assert_eq!(
        ours["config"]["ExposedPorts"],
        serde_json::json!({"8080/tcp": {}})
    );

    let dockers = engines.dockers();
    let (_, host) = dockers
        .iter()
        .find(|(name, _)| *name != "Docker 20.10")
        .unwrap();
    let builder = format!("docker://{}", host.trim_start_matches("unix://"));
    let flags = ["--method=assemble", "--load", "--builder", &builder];
    let loaded = run(project, &setting.words("image", &tag, &flags));
    assert!(!loaded.stderr.contains("without bytecode"));
    let id = loaded.answer().to_owned();
    assert_eq!(engines.docker(host, &["run", "--rm", &id]), "6.0.2");

    // The lock says that there is bytecode: who can't make it makes no other image in its place.
    std::fs::remove_dir_all(project.outside().join("state/layers")).unwrap();
    let flags = [&["--locked", "-o", &output], &NOWHERE[..]].concat();
    let refused = run(project, &setting.words("image", &tag, &flags));
    let refused = refused.refusal(3);
    assert!(
        refused.contains("come with bytecode, which isn't made"),
        "{refused}"
    );
}

#[test]
fn what_has_to_be_run_is_said() {
    let setting = Setting::new(&[]);
    let (project, engines) = (&setting.project, &setting.engines);
    let tag = unique(&engines.registry, "not-assembled");
    let unpinned = [&["--push", "--method=assemble"], &NOWHERE[..]].concat();

    let flags = [&["--locked"], &unpinned[..]].concat();
    let refused = run(project, &setting.words("image", &tag, &flags));
    let refused = refused.refusal(4);
    assert!(
        refused.contains("--locked") && refused.contains("python:3.11-slim"),
        "{refused}"
    );
    for (more, why) in [
        (
            &["--provenance=mode=max"][..],
            "it is to have a builder's attestations",
        ),
        (
            &["--cache-to", "type=inline"],
            "a cache of build steps is to be exported",
        ),
    ] {
        let flags = [&unpinned[..], more].concat();
        let refused = run(project, &setting.words("image", &tag, &flags));
        let refused = refused.refusal(2);
        let said = format!("--method=assemble: it can't be assembled: {why}");
        assert!(refused.contains(&said), "{refused}");
    }

    let with_tree = ["--apt", "tree"];
    run(project, &setting.with_builder("lock", &tag, &with_tree)).answer();
    let flags = [&with_tree[..], &unpinned].concat();
    let refused = run(project, &setting.words("image", &tag, &flags));
    let refused = refused.refusal(2);
    assert!(refused.contains("the Debian package"), "{refused}");
    let flags = [&with_tree[..], &["--push", "--method=auto"]].concat();
    let built = run(project, &setting.with_builder("image", &tag, &flags));
    assert!(
        built
            .stderr
            .contains("built by BuildKit: the Debian package"),
        "{}",
        built.stderr
    );
    built.answer();
}

#[test]
fn without_a_lock_packages_are_looked_for_once() {
    let setting = Setting::new(&[]);
    let (project, engines) = (&setting.project, &setting.engines);
    let tag = unique(&engines.registry, "unlocked");
    let push = ["--push", "--method=assemble"];
    let first = run(project, &setting.with_builder("image", &tag, &push));
    assert!(
        first.stderr.contains("assembled from its wheels"),
        "{}",
        first.stderr
    );
    let first = first.answer().to_owned();
    let lock = project.lock();
    let entry = lock.images().next().unwrap();
    assert!(entry.build.is_none(), "the lock pins no package");
    let packages = entry.packages.as_ref().unwrap();
    assert!(packages.python.iter().any(|p| p.name == "six"));

    // What nothing is pinned of can't be held or proved.
    let flags = ["--push", "--method=assemble", "--locked"];
    project.write("train.py", "print('held')\n");
    let refused = run(project, &setting.with_builder("image", &tag, &flags));
    let refused = refused.refusal(2).to_owned();
    let hint = "hint: pin its packages, with the image's flags: mlbuild lock --method=assemble";
    assert!(
        refused.contains("it can't be assembled: its packages aren't pinned")
            && refused.contains(hint),
        "{refused}"
    );
    project.write("train.py", "import yaml\nprint(yaml.__version__)\n");
    let refused = run(project, &setting.with_builder("verify", &tag, &[]));
    let refused = refused.refusal(2).to_owned();
    let image = first.replace(":v1@", "@");
    let said = [
        "packages that the lock doesn't pin: it names their versions and not their files",
        &format!(
            "hint: what is in it can be seen, and held against another image: mlbuild inspect {image}"
        ),
        "hint: from its next push on it can be proved: pin its packages",
    ];
    for said in said {
        assert!(refused.contains(said), "{refused}");
    }

    // Another builder, or none: it is the same question. Nothing changed.
    let anywhere = [&push[..], &NOWHERE[..]].concat();
    let again = run(project, &setting.words("image", &tag, &anywhere));
    assert!(again.stderr.contains("nothing changed"), "{}", again.stderr);
    assert_eq!(again.answer(), first);
    project.write("train.py", "print('edited')\n");
    let edited = run(project, &setting.words("image", &tag, &anywhere));
    assert!(
        edited
            .stderr
            .contains("the packages are those that were found at"),
        "{}",
        edited.stderr
    );
    let edited = edited.answer().to_owned();
    let auto = [&["--push", "--method=auto", "--no-skip"], &NOWHERE[..]].concat();
    let by_itself = run(project, &setting.words("image", &tag, &auto));
    assert_eq!(by_itself.answer(), edited);

    // A package more, without a builder, too: then without bytecode.
    let more = [&anywhere[..], &["--package", "idna==3.10"]].concat();
    let larger = unique(&engines.registry, "unlocked-larger");
    let made = run(project, &setting.words("image", &larger, &more));
    let installed = |image: &str| -> Vec<String> {
        let history = setting.config(image)["history"].to_string();
        let names = ["click", "idna", "jinja2", "pyyaml", "six"];
        let names = names
            .iter()
            .filter(|name| history.contains(&format!("{name} ")));
        names.map(|name| (*name).to_owned()).collect()
    };
    assert_eq!(
        installed(made.answer()),
        ["click", "idna", "jinja2", "pyyaml", "six"]
    );

    // What the question is about, and what was found: an index that answers nobody, everything anew; a
    // damaged answer and one whose packages are gone.
    let other = unique(&engines.registry, "unlocked-other");
    let asked = |flags: &[&str]| {
        let flags = [&anywhere[..], flags].concat();
        command(project, &setting.words("image", &other, &flags))
    };
    let refused = Ran::of(asked(&[]).env("PIP_INDEX_URL", "http://127.0.0.1:9/simple"));
    let refused = refused.refusal(3);
    assert!(
        refused.contains("packages are looked for in the base"),
        "{refused}"
    );
    let looks_anew = |what: &str, flags: &[&str]| {
        let made = Ran::of(&mut asked(flags));
        made.answer();
        assert!(
            made.stderr.contains("looking for packages"),
            "{what}: {}",
            made.stderr
        );
    };
    // The base's documents are damaged: they are fetched, and kept again.
    let bases = std::fs::read_dir(project.outside().join("state/bases")).unwrap();
    let mut bases = bases.map(|entry| entry.unwrap().path());
    let is_one = |path: &std::path::PathBuf| path.to_string_lossy().ends_with("-documents.json");
    let documents = bases.find(is_one).expect("documents are kept");
    let whole = std::fs::read_to_string(&documents).unwrap();
    std::fs::write(&documents, whole.replace("schemaVersion", "SchemaVersion")).unwrap();
    looks_anew("anew", &["--no-cache"]);
    assert_eq!(std::fs::read_to_string(&documents).unwrap(), whole);
    let folder = project.outside().join("state/resolved");
    let kept: Vec<_> = std::fs::read_dir(&folder).unwrap().flatten().collect();
    assert_eq!(kept.len(), 2);
    for kept in kept {
        let text = std::fs::read_to_string(kept.path()).unwrap();
        std::fs::write(kept.path(), &text[..text.len() / 2]).unwrap();
    }
    looks_anew("damaged", &[]);
    std::fs::remove_dir_all(project.outside().join("state/inputs")).unwrap();
    looks_anew("packages are gone", &[]);
}

#[test]
fn by_itself_it_is_assembled_where_nothing_has_to_be_run() {
    let setting = Setting::new(&[]);
    let (project, engines) = (&setting.project, &setting.engines);
    let tag = unique(&engines.registry, "by-itself");
    let first = run(project, &setting.words("image", &tag, &["--push"]));
    let said = [
        "assembled from its wheels: no step has to be run",
        "without bytecode (no builder to compile them on",
    ];
    for said in said {
        assert!(first.stderr.contains(said), "{}", first.stderr);
    }
    let first = first.answer().to_owned();
    let unchanged = run(
        project,
        &setting.words("image", &tag, &["--push", "--dry-run"]),
    );
    assert!(
        unchanged
            .answer()
            .starts_with("nothing changed since the lock: no build")
    );
    let again = run(project, &setting.words("image", &tag, &["--push"]));
    assert!(again.stderr.contains("nothing changed"), "{}", again.stderr);
    assert_eq!(again.answer(), first);

    // A lock that must not change lists what is in it: the same packages with other code, and others.
    project.write("train.py", "print('edited')\n");
    let locked = ["--push", "--locked"];
    let edited = run(project, &setting.words("image", &tag, &locked));
    assert!(edited.stderr.contains("assembled"), "{}", edited.stderr);
    edited.answer();
    let other = [&locked[..], &["--package", "idna==3.10"]].concat();
    let refused = run(project, &setting.words("image", &tag, &other));
    let refused = refused.refusal(4);
    assert!(refused.contains("python idna 3.10 is new"), "{refused}");

    // `mlbuild lock` decides it, and the lock keeps it, whatever builder is named.
    let pinned = unique(&engines.registry, "by-itself-pinned");
    run(project, &setting.words("lock", &pinned, &[])).answer();
    let method = |tag: &str| {
        let lock = project.lock();
        let mut images = lock.images();
        let entry = images.find(|entry| tag.contains(&entry.name)).unwrap();
        entry.build.as_ref().unwrap().method.clone()
    };
    assert_eq!(method(&pinned).as_deref(), Some("assemble"));
    let made = run(
        project,
        &setting.with_builder("image", &pinned, &["--push", "--locked"]),
    );
    assert!(made.stderr.contains("assembled"), "{}", made.stderr);
    let with_a_builder = made.answer().to_owned();
    // Nobody at hand could compile when it was locked, so that whoever makes it does without.
    let alone = setting.words("image", &pinned, &["--push", "--locked", "--no-skip"]);
    assert_eq!(run(project, &alone).answer(), with_a_builder);
}

#[test]
fn what_a_builder_made_stays_a_builders() {
    let setting = Setting::new(&[]);
    let (project, engines) = (&setting.project, &setting.engines);
    let open = unique(&engines.registry, "stays-open");
    let built = run(project, &setting.with_builder("image", &open, &["--push"]));
    assert!(!built.stderr.contains("assembled"), "{}", built.stderr);
    let built = built.answer().to_owned();
    // Nothing changed: that there is another way to make it is no change.
    let again = run(project, &setting.words("image", &open, &["--push"]));
    assert!(again.stderr.contains("nothing changed"), "{}", again.stderr);
    assert_eq!(again.answer(), built);

    let pinned = unique(&engines.registry, "stays-pinned");
    run(project, &setting.with_builder("lock", &pinned, &[])).answer();
    let lock = project.lock();
    let mut images = lock.images();
    let entry = images.find(|entry| pinned.contains(&entry.name)).unwrap();
    assert_eq!(entry.build.as_ref().unwrap().method, None);
    let refused = run(project, &setting.words("image", &pinned, &["--push"]));
    assert!(!refused.stderr.contains("assembled"), "{}", refused.stderr);
    refused.refusal(3);
}

#[test]
fn what_only_a_builder_does_leads_to_one() {
    let setting = Setting::new(&[("own/Dockerfile", "FROM scratch\nCOPY train.py /\n")]);
    let (project, engines) = (&setting.project, &setting.engines);
    let tag = unique(&engines.registry, "led");
    let context = format!("more={}", project.outside().display());
    let table: &[(&[&str], &str)] = &[
        (
            &["--apt", "tree"],
            "the Debian package tree may have to be installed",
        ),
        (&["--run", "echo 1"], "a command of yours has to be run"),
        (
            &["--sudo"],
            "the Debian package sudo may have to be installed",
        ),
        (&["--installer", "pip"], "pip is to resolve them"),
        (
            &["--secret", "id=token,env=HOME"],
            "its steps are given secrets",
        ),
        (
            &["--network", "none"],
            "its steps have settings of their own",
        ),
        (
            &["--add-host", "a.example:127.0.0.1"],
            "its steps have settings of their own",
        ),
        (
            &["--shm-size", "1g"],
            "its steps have settings of their own",
        ),
        (
            &["--ulimit", "nofile=99"],
            "its steps have settings of their own",
        ),
        (
            &["--allow", "network.host"],
            "its steps are allowed more than usual",
        ),
        (
            &["--cache-from", "type=local,src=cache"],
            "its steps may come from a cache",
        ),
        (
            &["--cache-to", "type=inline"],
            "a cache of build steps is to be exported",
        ),
        (
            &["--no-cache-filter", "base"],
            "stages of it are to be built anew",
        ),
        (
            &["--build-arg", "HTTP_PROXY=http://127.0.0.1:9"],
            "the build argument HTTP_PROXY is for its steps",
        ),
        (
            &["--build-context", &context],
            "it has further build contexts",
        ),
        (
            &["--provenance=mode=max"],
            "it is to have a builder's attestations",
        ),
        (
            &["-o", "type=image,compression=estargz"],
            "its output has attributes of a builder's exporter",
        ),
        (
            &["-o", "type=oci,dest=out.tar,compression=gzip"],
            "only a builder writes type=oci,compression=…",
        ),
        (
            &["-o", "type=local,dest=out"],
            "only a builder writes type=local",
        ),
        (
            &["--repack=zstd:19", "--build-arg", "SOURCE_DATE_EPOCH=1"],
            "its layers are to be packed with zstd:19",
        ),
    ];
    for (flags, why) in table {
        let flags = [&["--push"], *flags].concat();
        let refused = run(project, &setting.words("image", &tag, &flags));
        let said = format!("built by BuildKit: {why}");
        assert!(
            refused.stderr.contains(&said),
            "{flags:?}: {}",
            refused.stderr
        );
        refused.refusal(3);
    }
    // Where that is plain, nothing is said: a named builder, and a Dockerfile of one's own. So it is for what
    // stays in a builder.
    for flags in [
        &["--push", "-f", "own/Dockerfile"][..],
        &[&["--push"], &NOWHERE[..]].concat(),
    ] {
        let words = match flags.contains(&"-f") {
            true => [&["image", "-t", &tag], flags].concat(),
            false => [
                &["image", "-t", &tag, "--base", &engines.python_base],
                flags,
            ]
            .concat(),
        };
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let refused = run(project, &words);
        assert!(!refused.stderr.contains("ssembled"), "{}", refused.stderr);
        assert!(!refused.stderr.contains("built by"), "{}", refused.stderr);
        refused.refusal(3);
    }
    let kept = run(project, &setting.words("image", &tag, &[]));
    let said = "built by BuildKit: no Docker is here to take it";
    assert!(kept.stderr.contains(said), "{}", kept.stderr);
    kept.refusal(3);
}

#[test]
fn every_docker_takes_what_is_assembled_by_itself() {
    let setting = Setting::new(&[]);
    let (project, engines) = (&setting.project, &setting.engines);
    for (at, (name, host)) in engines.dockers().into_iter().enumerate() {
        let tag = format!("mlbuild-by-itself-{at}:1");
        let maker = match name {
            "Docker 20.10" => "built by BuildKit: Docker 20.10",
            _ => "assembled from its wheels",
        };
        for output in [&["--load"][..], &[]] {
            let words = setting.words("image", &tag, &[output, &["--no-skip"]].concat());
            let made = Ran::of(command(project, &words).env("DOCKER_HOST", host));
            assert!(made.stderr.contains(maker), "{name}: {}", made.stderr);
            let said = "without bytecode";
            assert!(!made.stderr.contains(said), "{name}: {}", made.stderr);
            made.answer();
            let said = engines.docker(host, &["run", "--rm", &tag]);
            assert_eq!(said, "6.0.2", "{name}");
        }
        // Layers that it has aren't sent again, be they its builder's or those of the load before; it has all of it.
        let by_builder = ["--load", "--no-skip", "--method=buildkit"];
        for (edit, more) in [
            ("a", &["--load"][..]),
            ("b", &by_builder),
            ("c", &["--load"]),
        ] {
            project.write("train.py", &format!("print('{edit}')\n"));
            let words = setting.words("image", &tag, more);
            Ran::of(command(project, &words).env("DOCKER_HOST", host)).answer();
            assert_eq!(engines.docker(host, &["run", "--rm", &tag]), edit, "{name}");
            let folder = tempfile::tempdir().unwrap();
            let saved = folder.path().join("saved.tar");
            let saved = saved.to_str().unwrap();
            engines.docker(host, &["save", "-o", saved, &tag]);
            let inspected = run(project, &["inspect".to_owned(), saved.to_owned()]);
            assert!(!inspected.answer().is_empty(), "{name}");
        }
        project.write("train.py", "import yaml\nprint(yaml.__version__)\n");
        engines.docker(host, &["rmi", "--force", &tag]);
    }
}

#[test]
fn a_machine_that_never_met_the_wheels_takes_layers_that_the_lock_vouches_for() {
    let setting = Setting::new(&[]);
    let (project, engines) = (&setting.project, &setting.engines);
    let tag = unique(&engines.registry, "vouched");
    let push = ["--push", "--method=assemble"];
    let lock = setting.with_builder("lock", &tag, &["--method=assemble"]);
    run(project, &lock).answer();
    let first = run(project, &setting.with_builder("image", &tag, &push));
    let first = first.answer().to_owned();
    let lock = std::fs::read_to_string(project.path("mlbuild.lock")).unwrap();
    let layers = |image: &str| InRegistry::at(image, &setting.runtime).image().0.layers;

    // Neither an index nor a builder is there, and the code is another.
    let cold = Setting::new(&[("mlbuild.lock", &lock), ("train.py", "print('cold')\n")]);
    let words = |tag: &str| cold.words("image", tag, &[&push[..], &NOWHERE[..]].concat());
    let nowhere = ("PIP_INDEX_URL", "http://127.0.0.1:9/simple");
    let made = Ran::of(command(&cold.project, &words(&tag)).env(nowhere.0, nowhere.1));
    let made = made.answer().to_owned();
    let (before, after) = (layers(&first), layers(&made));
    let moved = before
        .iter()
        .zip(&after)
        .filter(|(a, b)| a.diff_id != b.diff_id);
    assert_eq!((moved.count(), before.len()), (1, after.len()));
    let state = cold.project.outside().join("state");
    let files = |folder: &str| std::fs::read_dir(state.join(folder)).map_or(0, Iterator::count);
    assert_eq!(files("inputs/sha256"), 0, "no wheel was fetched");
    assert_eq!(files("layers/blobs"), 1, "the environment without packages");
    // What one lock vouches for is nothing that this machine keeps in mind.
    assert_eq!(files("layers/index"), 0);
    for (name, host) in engines.dockers() {
        if name != "Docker 20.10" {
            assert_eq!(
                engines.docker(host, &["run", "--rm", &made]),
                "cold",
                "{name}"
            );
        }
    }

    // So it is where the image goes onto this machine: then they are fetched, and looked at.
    for (name, host) in engines.dockers() {
        if name != "Docker 20.10" {
            let flags = [&["--load", "--method=assemble", "--no-skip"], &NOWHERE[..]].concat();
            let mut load = command(&cold.project, &cold.words("image", &tag, &flags));
            load.env("DOCKER_HOST", host);
            Ran::of(load.env(nowhere.0, nowhere.1)).answer();
            let said = engines.docker(host, &["run", "--rm", &tag]);
            assert_eq!(said, "cold", "{name}");
        }
    }
    let folder = cold.project.outside().join("layout");
    let output = format!("type=oci,tar=false,dest={}", folder.display());
    let flags = ["--method=assemble", "--no-skip", "-o", &output];
    let flags = [&flags[..], &NOWHERE].concat();
    let mut write = command(&cold.project, &cold.words("image", &tag, &flags));
    Ran::of(write.env(nowhere.0, nowhere.1)).answer();
    let index = std::fs::read_to_string(folder.join("index.json")).unwrap();
    assert!(index.contains(made.rsplit('@').next().unwrap()), "{index}");
    let blobs = std::fs::read_dir(folder.join("blobs/sha256")).unwrap();
    assert_eq!(blobs.count(), after.len() + 2, "all layers");
    assert_eq!(files("inputs/sha256"), 0, "no wheel was fetched");

    // A registry's word alone is none: this lock pins the same packages, and names no image.
    let other = Setting::new(&[("train.py", "print('other')\n")]);
    let lock = other.with_builder("lock", &tag, &["--method=assemble"]);
    run(&other.project, &lock).answer();
    let asked = other.with_builder("image", &tag, &push);
    let state = other.project.outside().join("state");
    let _ = std::fs::remove_dir_all(state.join("inputs"));
    run(&other.project, &asked).answer();
    let fetched = std::fs::read_dir(state.join("inputs/sha256")).unwrap();
    assert!(fetched.count() >= 4, "the wheels were fetched");
}

#[test]
fn an_image_is_proved_by_nothing_but_its_reference() {
    let setting = Setting::new(&[]);
    let (project, engines) = (&setting.project, &setting.engines);
    let made = |requirements: &str| {
        project.write("requirements.txt", requirements);
        let tag = unique(&engines.registry, "by-reference");
        run(
            project,
            &setting.with_builder("lock", &tag, &["--method=assemble"]),
        )
        .answer();
        let image = run(project, &setting.with_builder("image", &tag, &["--push"]));
        (tag, image.answer().to_owned())
    };
    let (tag, image) = made(REQUIREMENTS);
    let digest = image.rsplit_once('@').unwrap().1;

    // Somebody who has nothing: no project, no lock, no wheels, no layers.
    let nobody = Project::new(&[("other.py", "print('not its project')\n")]);
    let flags = builder(engines, "buildkitd").flags;
    let verify = |image: &str, more: &[&str]| {
        let mut words = vec!["verify".to_owned(), image.to_owned()];
        words.extend(flags.clone());
        words.extend(more.iter().map(|&word| word.to_owned()));
        run(&nobody, &words)
    };
    let proved = verify(&tag, &[]);
    assert_eq!(
        proved.answer(),
        format!("identical: linux/amd64 {digest}"),
        "{proved:?}"
    );
    for said in ["not proved", "the code (", "what is set over the base ("] {
        assert!(proved.stderr.contains(said), "{said}: {}", proved.stderr);
    }
    let again = verify(&tag, &["--format", "json"]).json();
    assert_eq!(again["identical"], true);
    let taken = again["taken"].as_array().unwrap();
    let taken: Vec<&str> = taken.iter().map(|one| one.as_str().unwrap()).collect();
    let base = format!("({}@sha256:", engines.python_base);
    for (one, said) in taken.iter().zip([
        "bytes packed, in /app /opt/mlbuild)",
        "labels org.example.team, ports 8080/tcp, settings Cmd User WorkingDir, variables MODE ",
        "which packages there are, by their hashes in the lock beside it",
        &base,
        "who its user is (",
    ]) {
        assert!(one.contains(said), "{said}: {again}");
    }
    assert_eq!(taken.len(), 5, "{again}");
    // A lock that can't be read is of another image.
    nobody.write("mlbuild.lock", "not a lock");
    let again = verify(&tag, &[]);
    assert_eq!(again.answer(), proved.answer(), "{again:?}");
    // With its project nothing is taken.
    let whole = run(
        project,
        &setting.with_builder("verify", &tag, &["--format", "json"]),
    )
    .json();
    assert_eq!(whole["taken"], serde_json::json!([]));

    // In its folder, where the lock names a newer image by now, an older one is proved alone.
    project.write("train.py", "print('newer')\n");
    run(project, &setting.with_builder("image", &tag, &["--push"])).answer();
    let older = format!("{}@{digest}", tag.rsplit_once(':').unwrap().0);
    let mut words = vec!["verify".to_owned(), older];
    words.extend(flags.clone());
    let older = run(project, &words);
    assert_eq!(older.answer(), proved.answer(), "{older:?}");
    assert!(older.stderr.contains("not proved"), "{older:?}");

    // An image that isn't made of what the lock beside it pins.
    let entry = project.lock().images().next().unwrap().clone();
    let (other, _) = made(&REQUIREMENTS.replace("six==1.17.0", "six==1.16.0"));
    let lock = project.lock();
    let named = lock
        .images()
        .find(|entry| other.contains(&entry.name))
        .unwrap();
    let lying = LockedImage {
        published: named.published.clone(),
        platforms: named.platforms.clone(),
        created: jiff::Timestamp::now() + std::time::Duration::from_secs(60),
        ..entry
    };
    let published = named.published.as_ref().unwrap();
    setting.runtime.block_on(async {
        let registry = Registry::new(RegistryOptions::default());
        let to: Reference = other.parse().unwrap();
        let resolved = registry.resolve(&to, None).await.unwrap();
        assert_eq!(*resolved.descriptor.digest(), published.digest);
        let none = BTreeMap::new();
        let json = lying.to_json();
        let document = Attachment {
            artifact_type: LOCK_ARTIFACT_TYPE,
            blobs: &[(LOCK_ARTIFACT_TYPE, json.as_slice())],
            annotations: &none,
        };
        let documents = [document];
        let attached = registry.attach_all(&to, &resolved.descriptor, &documents);
        attached.await.unwrap();
    });
    let differs = verify(&other, &[]);
    assert_eq!(differs.code, Some(4), "{differs:?}");
    assert!(differs.stdout.contains("six-1.1"), "{differs:?}");
}
