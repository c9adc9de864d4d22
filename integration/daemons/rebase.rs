//! `mlbuild rebase`: an assembled image on another base is the image that is assembled there; and what it refuses.

use std::path::Path;

use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::assemble::InRegistry;
use crate::assemble_command::SETTINGS;
use crate::image::{name_and_tag, unique};
use crate::lock::{builder, command, config};
use crate::support::engines::Engines;
use crate::support::http;
use crate::support::mlbuild::{Project, Ran};

const REQUIREMENTS: &str = "click==8.1.7\npyyaml==6.0.2\nsix==1.17.0\n";
/// Other accounts, files, variables, labels and ports than the base has.
const NEXT: &str = "RUN groupadd -g 4000 extra && useradd -u 4000 -g 4000 extra && echo 2 > /etc/skel/.second\n\
    ENV EXTRA=1 LANG=C PATH=/opt/extra:$PATH\nLABEL base=next\nEXPOSE 9999\nSTOPSIGNAL SIGINT\n";
/// No builder is there.
const NOWHERE: [&str; 2] = ["--builder", "tcp://127.0.0.1:9"];

struct Setting {
    engines: Engines,
    project: Project,
    runtime: Runtime,
}

fn project() -> Project {
    Project::new(&[
        ("mlbuild.toml", SETTINGS),
        ("requirements.txt", REQUIREMENTS),
        ("train.py", "import yaml\nprint(yaml.__version__)\n"),
        ("srv/data.txt", "data\n"),
    ])
}

/// Runs in a project, with one time in each image.
fn run(project: &Project, words: &[String]) -> Ran {
    Ran::of(command(project, words).env("SOURCE_DATE_EPOCH", "1700000000"))
}

impl Setting {
    fn new() -> Self {
        Self {
            engines: Engines::from_env(),
            project: project(),
            runtime: Runtime::new().unwrap(),
        }
    }

    fn words(&self, verb: &str, base: &str, tag: &str, more: &[&str]) -> Vec<String> {
        let image = [verb, "--base", base, "--uid", "1000", "-t", tag];
        let all = image.iter().chain(more);
        all.map(|&word| word.to_owned()).collect()
    }

    /// Locks a project on a base and pushes it, assembled, with bytecode.
    fn assembled(&self, project: &Project, base: &str, tag: &str) -> String {
        let buildkit = builder(&self.engines, "buildkitd").flags;
        let buildkit: Vec<&str> = buildkit.iter().map(String::as_str).collect();
        let flags = [&["--method=assemble"][..], &buildkit].concat();
        run(project, &self.words("lock", base, tag, &flags)).answer();
        let flags = [&flags[..], &["--locked", "--push"]].concat();
        run(project, &self.words("image", base, tag, &flags))
            .answer()
            .to_owned()
    }

    /// A base with more in it.
    fn base(&self, name: &str, from: &str, steps: &str, more: &[&str]) -> String {
        let project = Project::new(&[("Dockerfile", &format!("FROM {from}\n{steps}") as &str)]);
        let tag = unique(&self.engines.registry, name);
        let mut words = vec![
            "image",
            "-f",
            "Dockerfile",
            "-t",
            &tag,
            "--push",
            "--no-lock",
        ];
        let buildkit = builder(&self.engines, "buildkitd").flags;
        words.extend(
            buildkit
                .iter()
                .map(String::as_str)
                .chain(more.iter().copied()),
        );
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        run(&project, &words).answer();
        tag
    }

    /// A base of the few files that say what it is, changed by a command: none of its programs runs.
    fn small_base(&self, name: &str, change: &str) -> String {
        let parts = "usr/local/bin/python3 usr/bin/python3 usr/bin/python3.11 usr/lib/python3.11/venv \
                     usr/lib/python3.11/ensurepip usr/share/python-wheels var/lib/dpkg/status etc/passwd etc/group";
        let steps = format!(
            "RUN mkdir /out && cp -a --parents {parts} /out\nRUN cd /out && {change}\nFROM scratch\n\
             ENV PATH=/usr/local/bin:/usr/bin PYTHON_VERSION=3.12.1\nCOPY --from=full /out/ /\n"
        );
        let full = format!("{} AS full", self.engines.python_base);
        self.base(name, &full, &steps, &[])
    }

    fn rebase(&self, image: &str, base: &str, more: &[&str]) -> Ran {
        let words = [&["rebase", image, "--base", base], more].concat();
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        run(&self.project, &words)
    }

    fn layers(&self, image: &str) -> Vec<String> {
        let image = InRegistry::at(image, &self.runtime).image().0;
        let layers = image.layers.iter();
        layers.map(|l| l.blob.digest().to_string()).collect()
    }

    /// The digest that a name of the registry means.
    fn digest_of(&self, image: &str) -> String {
        let (name, tag) = name_and_tag(image);
        http::manifest(&self.engines.registry, name, tag).0
    }

    fn manifest(&self, image: &str) -> Value {
        let (name, tag) = name_and_tag(image.split('@').next().unwrap());
        let path = format!("/v2/{name}/manifests/{tag}");
        let answer = http::request("GET", &self.engines.registry, &path);
        serde_json::from_slice(&answer.body).unwrap()
    }
}

fn digest(pinned: &str) -> &str {
    pinned.rsplit_once('@').unwrap().1
}

#[test]
fn it_is_the_image_that_is_assembled_on_the_other_base() {
    let setting = Setting::new();
    let engines = &setting.engines;
    let tag = unique(&engines.registry, "on-old");
    let old = setting.assembled(&setting.project, &engines.python_base, &tag);
    let lock = setting.project.read("mlbuild.lock");
    let base = setting.base("next", &engines.python_base, NEXT, &[]);

    // No builder, no wheels and no project: only the reference.
    let empty = Project::new(&[]);
    let to = unique(&engines.registry, "on-next");
    let flags = ["--base", &base, "-t", &to, "--push", "--format", "json"];
    let ran = empty.run([&["rebase", tag.as_str()][..], &flags].concat());
    let answer: Value = serde_json::from_str(ran.answer()).unwrap();
    assert_eq!(answer["action"], "rebased");
    assert_eq!(answer["as_assembled"], true, "{answer}");
    let rebased = answer["pinned"][0].as_str().unwrap().to_owned();

    let other = project();
    let assembled = setting.assembled(&other, &base, &unique(&engines.registry, "made-on-next"));
    assert_eq!(digest(&rebased), digest(&assembled));
    assert_ne!(digest(&rebased), digest(&old));

    // Of the old image all stay but the environment without packages and the user's.
    let (before, after) = (setting.layers(&old), setting.layers(&rebased));
    let kept = before.iter().filter(|layer| after.contains(layer)).count();
    assert_eq!(after.len(), before.len() + 1);
    assert_eq!(
        kept,
        before.len() - 1,
        "the user's layer has other accounts"
    );
    let annotations = setting.manifest(&to)["annotations"].clone();
    assert_eq!(
        annotations["org.opencontainers.image.base.name"],
        json!(base)
    );
    let of_base = setting.digest_of(&base);
    assert_eq!(
        annotations["org.opencontainers.image.base.digest"],
        json!(of_base)
    );
    let inspected = empty.run(["inspect", &to, "--format", "json"]);
    let inspected: Value = serde_json::from_str(inspected.answer()).unwrap();
    let from = inspected["derived_from"]["from"]
        .as_str()
        .unwrap_or_default();
    assert!(from.ends_with(digest(&old)), "{inspected}");
    let verified = setting.project.run(["verify", &to]);
    let refused = verified.refusal(2);
    assert!(
        refused.contains("was put on another base without a build"),
        "{refused}"
    );
    // What the hint says is what proves it.
    let hint = refused.lines().find(|line| line.contains("mlbuild rebase"));
    let words = hint.and_then(|line| line.split("mlbuild ").nth(1)).unwrap();
    let said: Vec<&str> = words.split(' ').collect();
    assert_eq!(empty.run(said).answer(), digest(&rebased));

    // Docker 20.10 can't read zstd.
    let script = "import os, pwd, yaml; print(pwd.getpwuid(4000).pw_name, pwd.getpwuid(1000).pw_name, \
                  os.environ['EXTRA'], os.environ['PATH'], os.getuid(), os.listdir(os.path.expanduser('~')).count('.second'))";
    for (name, host) in engines.dockers() {
        if name != "Docker 20.10" {
            assert_eq!(
                engines.docker(host, &["run", "--rm", &rebased]),
                "6.0.2",
                "{name}"
            );
            let said = engines.docker(host, &["run", "--rm", &rebased, "python", "-c", script]);
            let path = "/opt/tools:/opt/venv/bin:/opt/extra:";
            assert!(
                said.starts_with("extra ml 1 ") && said.ends_with(" 1000 1"),
                "{name}: {said}"
            );
            assert!(said.contains(path), "{name}: {said}");
        }
    }

    it_goes_elsewhere(&setting, &tag, &base, digest(&rebased));
    // The project's lock is of the old base, which is said.
    let again = setting.rebase(&tag, &base, &["--dry-run"]);
    assert_eq!(again.answer(), digest(&rebased));
    assert!(
        again
            .stderr
            .contains("mlbuild.lock is as it was, and names"),
        "{}",
        again.stderr
    );
    assert_eq!(setting.project.read("mlbuild.lock"), lock);
    // And back: the very image that it was.
    let back = setting.rebase(&rebased, &engines.python_base, &["--dry-run"]);
    assert_eq!(back.answer(), digest(&old));
    let same = ["--dry-run", "--format", "json"];
    let same = setting.rebase(&tag, &engines.python_base, &same);
    let same: Value = serde_json::from_str(same.answer()).unwrap();
    assert_eq!(same["action"], "unchanged");
    what_was_changed_is_found_out(&setting, &tag, &base);
}

/// Into a file and into Docker.
fn it_goes_elsewhere(setting: &Setting, tag: &str, base: &str, expected: &str) {
    let folder = setting.project.outside().join("layout");
    let output = format!("type=oci,tar=false,dest={}", folder.display());
    setting.rebase(tag, base, &["-o", &output]).answer();
    let text = std::fs::read_to_string(folder.join("index.json")).unwrap();
    assert!(text.contains(expected), "{text}");
    assert_eq!(config(&folder)["config"]["User"], "ml");
    let blobs = std::fs::read_dir(folder.join("blobs/sha256"))
        .unwrap()
        .count();
    assert_eq!(
        blobs,
        setting.layers(tag).len() + 1 + 2,
        "every layer is there"
    );

    let dockers = setting.engines.dockers();
    let newest = dockers.iter().find(|(name, _)| *name != "Docker 20.10");
    let (_, host) = newest.unwrap();
    let name = "rebased-and-loaded:1";
    let words = ["rebase", tag, "--base", base, "-t", name, "--load"];
    let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
    let mut command = command(&setting.project, &words);
    Ran::of(command.env("DOCKER_HOST", host)).answer();
    assert_eq!(
        setting.engines.docker(host, &["run", "--rm", name]),
        "6.0.2"
    );
}

/// What an image says of itself is nobody's word: it has to come out once more.
fn what_was_changed_is_found_out(setting: &Setting, tag: &str, base: &str) {
    let (engines, host) = (&setting.engines, &setting.engines.registry);
    let (name, _) = name_and_tag(tag);
    let honest = setting.manifest(tag);
    let note = honest["annotations"]["org.mlbuild.assembled"]
        .as_str()
        .unwrap();
    let note: Value = serde_json::from_str(note).unwrap();
    let oci = "application/vnd.oci.image.manifest.v1+json";
    let push = |tag: &str, manifest: &Value| {
        http::put_manifest(host, name, tag, oci, manifest.to_string().as_bytes());
        format!("{host}/{name}:{tag}")
    };
    let with_note = |change: &dyn Fn(&mut Value)| {
        let (mut manifest, mut note) = (honest.clone(), note.clone());
        change(&mut note);
        manifest["annotations"]["org.mlbuild.assembled"] = json!(note.to_string());
        push("lies", &manifest)
    };
    let digest_of_nothing = format!("{}@sha256:{}", engines.python_base, "0".repeat(64));
    let (port, heads) = http::listener(|_| "HTTP/1.0 404 Not Found\r\n\r\n".to_owned());
    let strange = format!("127.0.0.1:{port}/python@{}", setting.digest_of(base));
    type Lie<'a> = &'a dyn Fn(&mut Value);
    let lies: [(Lie<'_>, i32, &str); 7] = [
        // Settings that nobody set.
        (
            &|note| note["settings"]["others"]["Entrypoint"] = json!(["/bin/evil"]),
            4,
            "isn't what it says",
        ),
        (
            &|note| note["settings"]["env"][0][1] = json!(["/evil"]),
            4,
            "isn't what it says",
        ),
        // Another base than it has.
        (
            &|note| note["base"] = json!(format!("{base}@{}", setting.digest_of(base))),
            2,
            "no environment of mlbuild's right above its base",
        ),
        (
            &|note| note["base"] = json!(digest_of_nothing),
            3,
            "which can't be read",
        ),
        (
            &|note| note["base"] = json!("no digest"),
            2,
            "no name with a digest",
        ),
        (&|note| *note = json!({"base": 1}), 2, "can't be read"),
        (
            &|note| note["base"] = json!(strange),
            2,
            "in a registry that nobody named",
        ),
    ];
    let mut wrong = Vec::new();
    for (lie, code, said) in lies {
        let refused = setting.rebase(&with_note(lie), base, &["--dry-run"]);
        if refused.code != Some(code) || !refused.stderr.contains(said) {
            wrong.push(format!("{said}: {:?} {}", refused.code, refused.stderr));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        heads.lock().unwrap().is_empty(),
        "an image's word led there"
    );
    // A copy of its base does as well.
    let copy = format!("{host}/{name}:copy");
    let flags = ["--dry-run", "--old-base", &copy];
    let refused = setting.rebase(tag, base, &flags);
    assert!(
        refused.refusal(3).contains("which can't be read"),
        "{}",
        refused.stderr
    );
    let copied = engines.python_base.rsplit_once(':').unwrap().0;
    setting
        .rebase(tag, base, &["--dry-run", "--old-base", copied])
        .answer();
    // An image that was given to another user isn't the one that was assembled.
    let adopted = format!("{tag}-uid2000");
    setting
        .project
        .run(["adopt", tag, "--uid", "2000"])
        .answer();
    let refused = setting.rebase(&adopted, base, &["--dry-run"]);
    let refused = refused.refusal(4);
    assert!(
        refused.contains("isn't what it says") && refused.contains("as by adopt"),
        "{refused}"
    );
}

#[test]
fn a_base_that_does_not_take_the_packages_is_refused() {
    let setting = Setting::new();
    let engines = &setting.engines;
    let tag = unique(&engines.registry, "stays");
    let flags = [&["--method=assemble"][..], &NOWHERE].concat();
    let words = setting.words("lock", &engines.python_base, &tag, &flags);
    run(&setting.project, &words).answer();
    let flags = [&flags[..], &["--push"]].concat();
    let words = setting.words("image", &engines.python_base, &tag, &flags);
    run(&setting.project, &words).answer();
    let base = |name: &str, change: &str| setting.small_base(name, change);
    let other_python = "mv usr/bin/python3.11 usr/bin/python3.12 && ln -sf python3.12 usr/bin/python3 \
        && mv usr/lib/python3.11 usr/lib/python3.12";
    let libc =
        "sed -i '/^Package: libc6$/,/^$/s/^Version: .*/Version: 2.16-1/' var/lib/dpkg/status";
    let bases = [
        (
            "python",
            other_python,
            "has Python 3.12.1, and the image's packages are installed for 3.11.2",
        ),
        (
            "libc",
            libc,
            "has glibc 2.16, and the image's packages need glibc 2.17",
        ),
        (
            "home",
            "mkdir -p home/ml",
            "has something at /home/ml already",
        ),
        (
            "venv",
            "mkdir -p opt/venv",
            "has something at /opt/venv already",
        ),
        (
            "app",
            "mkdir -m 0700 app",
            "has /app as 700 of 0:0, and the image's code was put there as 755 of 0:0",
        ),
        ("link", "ln -s /srv app", "has a link at /app"),
    ];
    let hint = "mlbuild image --base NEW";
    for (name, steps, said) in bases {
        let refused = setting.rebase(&tag, &base(name, steps), &["--dry-run"]);
        let refused = refused.refusal(2);
        assert!(
            refused.contains(said) && refused.contains(hint),
            "{said}: {refused}"
        );
    }
    for (base, code, said) in [
        (&engines.base, 2, "has no python3 on its PATH"),
        (&format!("{}/none:1", engines.registry), 2, "none:1"),
        (&"No Reference".to_owned(), 2, "lower-case"),
    ] {
        let refused = setting.rebase(&tag, base, &["--dry-run"]);
        assert!(
            refused.refusal(code).contains(said),
            "{said}: {}",
            refused.stderr
        );
    }

    // Another pip would come with it: the old one stays, which is said.
    let pip = "cd usr/share/python-wheels && mv pip-*.whl pip-99.0-py3-none-any.whl";
    let flags = ["--dry-run", "--format", "json"];
    let kept = setting.rebase(&tag, &base("pip", pip), &flags);
    assert!(
        kept.stderr
            .contains("stays, and this base brings pip-99.0-py3-none-any.whl"),
        "{}",
        kept.stderr
    );
    let kept: Value = serde_json::from_str(kept.answer()).unwrap();
    assert_eq!(kept["as_assembled"], false);

    // What BuildKit made has nothing to tell its base's from its own.
    let built = base("built", "true");
    let refused = setting.rebase(&built, &engines.python_base, &["--dry-run"]);
    let refused = refused.refusal(2);
    assert!(
        refused.contains("wasn't assembled by mlbuild") && refused.contains(hint),
        "{refused}"
    );
    let refused = setting.rebase(&tag, &engines.python_base, &[]);
    assert!(
        refused.refusal(2).contains("--push, --load or -o"),
        "{}",
        refused.stderr
    );
    for output in ["type=docker,dest=a.tar", "type=oci,dest=a.tar,x=y"] {
        let refused = setting.rebase(&tag, &engines.python_base, &["-o", output]);
        assert!(
            refused.refusal(2).contains("written as type=oci"),
            "{}",
            refused.stderr
        );
    }
    assert!(!Path::new(&setting.project.path("a.tar")).exists());
}

#[test]
fn all_platforms_of_an_index_go_on_the_other_base() {
    let setting = Setting::new();
    let engines = &setting.engines;
    let both = ["--platform", "linux/amd64,linux/arm64"];
    let make = |project: &Project, base: &str, tag: &str| {
        let flags = [&["--method=assemble"][..], &both, &NOWHERE].concat();
        run(project, &setting.words("lock", base, tag, &flags)).answer();
        let flags = [&flags[..], &["--push"]].concat();
        let made = run(project, &setting.words("image", base, tag, &flags));
        made.answer().to_owned()
    };
    let tag = unique(&engines.registry, "both");
    make(&setting.project, &engines.platforms_base, &tag);
    let base = setting.base(
        "both-next",
        &engines.platforms_base,
        "ENV EXTRA=1\nLABEL base=next\n",
        &both,
    );
    let rebased = setting.rebase(&tag, &base, &["--push"]);
    let rebased = rebased.answer().to_owned();
    assert!(
        rebased.starts_with(&format!("{tag}-rebased@sha256:")),
        "{rebased}"
    );
    let assembled = make(&project(), &base, &unique(&engines.registry, "made-both"));
    assert_eq!(digest(&rebased), digest(&assembled));

    let refused = setting.rebase(&tag, &engines.python_base, &["--dry-run"]);
    let refused = refused.refusal(2);
    assert!(
        refused.contains("is for linux/amd64, and the image for linux/arm64"),
        "{refused}"
    );
}
