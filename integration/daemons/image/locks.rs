//! The lock: what it pins stays, and a lock that can't be used is never overwritten.

use std::fs;

use super::{buildkitd, image, name_and_tag, small, tiny, unique};
use crate::support::engines::Engines;
use crate::support::http;
use crate::support::mlbuild::{Project, Ran};

/// A base image of the test's own, whose tag can be moved.
struct Base {
    engines: Engines,
    project: Project,
    tag: String,
}

impl Base {
    fn new(text: &str) -> Self {
        let engines = Engines::from_env();
        let project = Project::new(&[("Dockerfile", "FROM scratch\nCOPY base.txt /\n")]);
        let tag = unique(&engines.registry, "base");
        let base = Base {
            engines,
            project,
            tag,
        };
        base.push(text);
        base
    }

    /// Points the tag at an image with this text; returns its digest.
    fn push(&self, text: &str) -> String {
        self.project.write("base.txt", text);
        let args = ["-f", "Dockerfile", "--no-lock", "--push", "-t", &self.tag];
        let ran = self.project.run(image(&buildkitd(&self.engines), &args));
        ran.answer().split_once('@').unwrap().1.to_owned()
    }

    fn digest(&self) -> String {
        let (name, label) = name_and_tag(&self.tag);
        http::manifest(&self.engines.registry, name, label).0
    }
}

/// Builds a project on a base into `../out`.
fn build(project: &Project, base: &Base, more: &[&str]) -> Ran {
    let args = [
        "-f",
        "Dockerfile",
        "-t",
        "app:v1",
        "-o",
        "../out",
        "--quiet",
    ];
    project.run(image(
        &buildkitd(&base.engines),
        &[&args[..], more].concat(),
    ))
}

fn base_text(project: &Project) -> String {
    fs::read_to_string(project.outside().join("out/base.txt")).unwrap()
}

#[test]
fn the_pin_holds_when_the_tag_moves_until_it_is_upgraded() {
    let base = Base::new("first");
    let project = Project::new(&[("a.txt", "a")]);
    project.write("Dockerfile", &format!("FROM {}\nCOPY a.txt /\n", base.tag));
    let first = base.digest();
    build(&project, &base, &[]).answer();
    assert_eq!(base_text(&project), "first");
    let lock = project.read("mlbuild.lock");
    assert!(lock.contains(&first), "{lock}");

    let second = base.push("second");
    assert_ne!(first, second);
    for more in [
        &[][..],
        &["--no-skip"],
        &["--no-cache"],
        &["--locked"],
        &["--frozen"],
    ] {
        build(&project, &base, more).answer();
        assert_eq!(base_text(&project), "first", "{more:?}");
    }
    assert_eq!(project.read("mlbuild.lock"), lock);

    let moved = build(&project, &base, &["--upgrade=base"]);
    moved.answer();
    assert_eq!(base_text(&project), "second");
    assert_eq!(
        moved.stderr,
        format!("{} moved: {first} -> {second}\n", base.tag)
    );
    assert!(project.read("mlbuild.lock").contains(&second));
    // Nothing moved: nothing is said.
    assert_eq!(build(&project, &base, &["--upgrade"]).stderr, "");

    let third = base.push("third");
    let pulled = build(&project, &base, &["--pull"]);
    pulled.answer();
    assert_eq!(base_text(&project), "third");
    assert!(pulled.stderr.contains(&third), "{}", pulled.stderr);
}

#[test]
fn locked_builds_need_every_pin() {
    let base = Base::new("locked");
    let project = Project::new(&[("a.txt", "a")]);
    project.write("Dockerfile", &format!("FROM {}\nCOPY a.txt /\n", base.tag));
    for flag in ["--locked", "--frozen"] {
        let ran = build(&project, &base, &[flag]);
        let told = ran.refusal(4).replace(&base.tag, "BASE");
        assert_eq!(
            told,
            format!(
                "error: {flag}: the lock has no entry for this name and tag, and so no pin for BASE\n  \
                 hint: run the same command without {flag} once, and commit mlbuild.lock\n"
            )
        );
        assert_eq!(project.names(), ["Dockerfile", "a.txt"]);
    }
    build(&project, &base, &[]).answer();
    build(&project, &base, &["--locked"]).answer();
    // A second base has no pin yet.
    let text = project.read("Dockerfile");
    let lock = project.read("mlbuild.lock");
    project.write(
        "Dockerfile",
        &format!(
            "FROM {} AS other\n{text}COPY --from=other /etc/debian_version /\n",
            base.engines.base
        ),
    );
    build(&project, &base, &["--locked"]).refusal(4);
    build(&project, &base, &["--frozen"]).refusal(4);
    assert_eq!(project.read("mlbuild.lock"), lock);
}

#[test]
fn a_lock_that_cant_be_used_stays_as_it_is() {
    let (engines, project) = tiny("lock");
    let build = || {
        let args = [
            "-f",
            "Dockerfile",
            "-t",
            "app:v1",
            "-o",
            "../out",
            "--quiet",
        ];
        project.run(image(&buildkitd(&engines), &args))
    };
    build().answer();
    let good = project.read("mlbuild.lock");
    let half = &good[..good.find("[image.inputs]").unwrap()];
    let versions = good.replace("version = 1\n", "version = 7\n");
    let edited = good.replace("tag = \"v1\"", "tag = \"v2\"");
    let conflict = good.replacen(
        "[[image]]\n",
        "[[image]]\n<<<<<<< ours\n=======\n>>>>>>> theirs\n",
        1,
    );
    let mut said = String::new();
    for (what, text) in [
        ("cut", half),
        ("newer", &versions),
        ("edited", &edited),
        ("conflict", &conflict),
        ("not toml", "}{"),
        ("empty file", ""),
    ] {
        assert_ne!(text, good, "{what}");
        project.write("mlbuild.lock", text);
        let ran = build();
        said += &format!("{what}: {}", project.filtered(ran.refusal(2)));
        assert_eq!(project.read("mlbuild.lock"), text, "{what}");
        assert_eq!(project.names(), ["Dockerfile", "data.txt", "mlbuild.lock"]);
    }
    insta::assert_snapshot!(said, @"
    cut: error: /project/mlbuild.lock:9: the file is cut off: its last line isn't `# end of lock`; take it back from version control, or delete it and build again
    newer: error: /project/mlbuild.lock:2: made by a newer mlbuild: format 7, and this version reads up to 5; update mlbuild
    edited: error: /project/mlbuild.lock:5: the entry of docker.io/library/app:v2 was edited: its checksum says sha256:[DIGEST], its text gives sha256:[DIGEST]; take it back from version control, or delete the entry and build again
    conflict: error: /project/mlbuild.lock:5: merge conflict (markers in lines 5, 6, 7); take either side (`git checkout --ours -- /project/mlbuild.lock` or `--theirs`), then build again
    not toml: error: /project/mlbuild.lock:1: the file is cut off: its last line isn't `# end of lock`; take it back from version control, or delete it and build again
    empty file: error: /project/mlbuild.lock:1: the file is cut off: its last line isn't `# end of lock`; take it back from version control, or delete it and build again
    ");
}

#[test]
fn two_at_once_on_one_lock_both_end_up_in_it() {
    let (engines, project) = small("two");
    let start = |tag: &str| {
        let args = ["-f", "Dockerfile", "-t", tag, "--push"];
        project
            .command(image(&buildkitd(&engines), &args))
            .spawn()
            .unwrap()
    };
    let tags: Vec<_> = (0..4).map(|_| unique(&engines.registry, "two")).collect();
    let children: Vec<_> = tags.iter().map(|tag| start(tag)).collect();
    for child in children {
        Ran::from(child.wait_with_output().unwrap()).answer();
    }
    let lock = project.lock();
    let found: Vec<_> = lock
        .images()
        .map(|image| image.published.as_ref().unwrap().reference.clone())
        .collect();
    let mut tags = tags;
    tags.sort();
    assert_eq!(found, tags);
    assert_eq!(project.runs().len(), 4);
    let left: Vec<_> = project
        .names()
        .into_iter()
        .filter(|name| name.contains("tmp"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_run_stays_with_the_image_it_used() {
    let (engines, project) = small("bound");
    let tag = unique(&engines.registry, "bound");
    let build = |env: Option<&str>, more: &[&str]| {
        let args = ["-f", "Dockerfile", "-t", &tag, "--push", "--quiet"];
        let mut command = project.command(image(&buildkitd(&engines), &[&args[..], more].concat()));
        Ran::of(command.envs(env.map(|id| ("WANDB_RUN_ID", id))))
    };
    build(None, &["--run-id", "first"]).answer();
    build(Some("second"), &[]).answer();
    assert_eq!(project.runs(), ["first.toml", "second.toml"]);
    build(Some("second"), &["--run-id", "third"]).answer();
    assert_eq!(project.runs(), ["first.toml", "second.toml", "third.toml"]);
    // The same image again is fine, built or not.
    build(None, &["--run-id", "first"]).answer();
    build(None, &["--run-id", "first", "--no-skip"]).answer();

    let lock = project.read("mlbuild.lock");
    let record = project.read("mlbuild.runs/first.toml");
    project.write("data.txt", "another image");
    for ran in [
        build(None, &["--run-id", "first"]),
        build(Some("first"), &[]),
    ] {
        let told = project
            .filtered(ran.refusal(2))
            .replace(name_and_tag(&tag).0, "NAME");
        insta::allow_duplicates! {
            insta::assert_snapshot!(told, @"
            error: run first is bound to [REGISTRY]/NAME:v1@sha256:[DIGEST] (/project/mlbuild.runs/first.toml), not to [REGISTRY]/NAME:v1@sha256:[DIGEST]; choose another --run-id
              hint: give another --run-id; a run stays with the image it used
            ");
        }
        assert_eq!(project.read("mlbuild.lock"), lock);
        assert_eq!(project.read("mlbuild.runs/first.toml"), record);
        assert_eq!(project.runs().len(), 3);
    }
    // A new id is made where none is given, later ones sort behind earlier ones.
    build(None, &[]).answer();
    std::thread::sleep(std::time::Duration::from_millis(5));
    build(None, &["--no-skip"]).answer();
    assert_eq!(project.runs().len(), 5);
}

#[test]
fn a_bad_run_id_is_refused_before_anything_happens() {
    let (_, project) = small("id");
    let mut said = String::new();
    for id in [
        "",
        "../../etc/cron",
        "a b",
        ".hidden",
        "a\nb",
        &"x".repeat(300),
    ] {
        let ran = project.run(["image", "-f", "Dockerfile", "-t", "a:1", "--run-id", id]);
        said += ran.refusal(2);
        assert_eq!(project.names(), ["Dockerfile", "data.txt"]);
    }
    insta::assert_snapshot!(said, @r#"
    error: the run id "" can't be used: it is empty
      hint: give --run-id with letters, digits, `-`, `_` and `.`
    error: the run id "../../etc/cron" can't be used: '/' isn't a letter, a digit, `.`, `_` or `-`
      hint: give --run-id with letters, digits, `-`, `_` and `.`
    error: the run id "a b" can't be used: ' ' isn't a letter, a digit, `.`, `_` or `-`
      hint: give --run-id with letters, digits, `-`, `_` and `.`
    error: the run id ".hidden" can't be used: it starts with `.` or `-`
      hint: give --run-id with letters, digits, `-`, `_` and `.`
    error: the run id "a\nb" can't be used: '\n' isn't a letter, a digit, `.`, `_` or `-`
      hint: give --run-id with letters, digits, `-`, `_` and `.`
    error: the run id "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" can't be used: it is 300 bytes long, more than 128
      hint: give --run-id with letters, digits, `-`, `_` and `.`
    "#);
}
