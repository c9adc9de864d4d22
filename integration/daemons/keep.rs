//! Images of runs that are kept by a tag, and removed once nothing needs them, in a real registry.

use serde_json::Value;

use crate::image::unique;
use crate::support::engines::Engines;
use crate::support::mlbuild::{Project, Ran};
use crate::support::repository::Repository;

/// A repository of the registry, and a project that has runs of images in it.
struct Stage {
    engines: Engines,
    project: Project,
    repository: String,
}

impl Stage {
    fn new() -> Self {
        let engines = Engines::from_env();
        let repository = unique(&engines.registry, "keep");
        let repository = repository.rsplit_once(':').unwrap().0.to_owned();
        Self {
            engines,
            project: Project::new(&[]),
            repository,
        }
    }

    /// Builds an image that holds a word, pushes it under a tag, and binds a run to it.
    fn run(&self, id: &str, tag: &str, word: &str) -> String {
        let text = format!("FROM {}\nCOPY word /word\n", self.engines.base);
        self.project.write("Dockerfile", &text);
        self.project.write("word", word);
        let name = format!("{}:{tag}", self.repository);
        let words = [
            "image",
            "-f",
            "Dockerfile",
            "-t",
            &name,
            "--push",
            "--run-id",
            id,
        ];
        let mut command = self.project.command(words);
        let ran = Ran::of(command.args(["--builder", &self.engines.buildkitd]));
        ran.answer().rsplit_once('@').unwrap().1.to_owned()
    }

    fn runs(&self, words: &[&str]) -> Ran {
        self.project.run([&["runs"], words].concat())
    }

    /// The tags of runs that go, and why others stay.
    fn plan(&self, more: &[&str]) -> (Vec<String>, Vec<(String, String)>) {
        let words = [&["gc", &self.repository, "--format", "json"], more].concat();
        let plan = self.runs(&words).json();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let tags = plan["garbage"].as_array().unwrap().iter();
        let tags = tags
            .flat_map(|one| one["tags"].as_array().unwrap())
            .map(text);
        let kept = plan["kept"].as_array().unwrap().iter();
        let kept = kept.map(|one| {
            let image = text(&one["image"]);
            (
                image.rsplit_once(':').unwrap().1.to_owned(),
                text(&one["why"]),
            )
        });
        (tags.collect(), kept.collect())
    }

    /// Whether the registry has it, as skopeo says.
    fn is_there(&self, what: &str) -> bool {
        let mut command = std::process::Command::new(self.engines.bin.join("skopeo"));
        command.args(["inspect", "--raw", "--tls-verify=false"]);
        command.arg(format!("docker://{}{what}", self.repository));
        command.output().unwrap().status.success()
    }

    fn forget(&self, id: &str) {
        std::fs::remove_file(self.project.path(&format!("mlbuild.runs/{id}.toml"))).unwrap();
    }
}

#[test]
fn a_kept_image_outlives_its_tag_and_goes_when_nothing_needs_it() {
    let stage = Stage::new();
    let first = stage.run("first", "1", "one");
    let second = stage.run("second", "1", "two");
    let kept = stage.runs(&["keep", "--all"]);
    let mut lines: Vec<&str> = kept.answer().lines().collect();
    lines.sort_unstable();
    let repository = &stage.repository;
    let said = |id: &str, digest: &str| format!("{id} {repository}:run-{id}@{digest}");
    assert_eq!(lines, [said("first", &first), said("second", &second)]);
    // Again, and nothing else comes of it.
    stage.runs(&["keep", "first"]).answer();

    // Both have records.
    let (garbage, stays) = stage.plan(&["--yes"]);
    assert!(garbage.is_empty());
    let why = |id: &str| format!("run {id} has a record");
    assert_eq!(stays[0], ("run-first".into(), why("first")));
    // The second is what the tag `1` is, too.
    assert_eq!(
        stays[1],
        ("run-second".into(), "the tag 1 names it too".into())
    );
    assert!(stage.is_there(":run-first"));

    // The lock still names the second one, and a tag does.
    stage.forget("first");
    stage.forget("second");
    let (garbage, stays) = stage.plan(&[]);
    assert_eq!((garbage, stays.len()), (vec!["run-first".to_owned()], 1));
    assert!(stage.is_there(":run-first"), "it was only shown");
    let (garbage, _) = stage.plan(&["--yes"]);
    assert_eq!(garbage, ["run-first"]);
    for what in [":run-first".to_owned(), format!("@{first}")] {
        assert!(!stage.is_there(&what), "{what}");
    }
    assert!(stage.is_there(":1") && stage.is_there(":run-second"));
    assert!(stage.plan(&["--yes"]).0.is_empty());
}

#[test]
fn what_a_branch_an_attestation_or_somebody_elses_record_needs_stays() {
    let stage = Stage::new();
    let home = stage.project.home();
    let git = Repository::new(&stage.project.path(""), &home);
    let on_a_branch = stage.run("on-a-branch", "1", "one");
    stage.runs(&["keep", "on-a-branch"]).answer();
    git.commit("a run");
    git.git(&["checkout", "-q", "--orphan", "other"]);
    stage.run("attested", "1", "two");
    stage.runs(&["keep", "attested"]).answer();
    let attested = format!("{}:run-attested", stage.repository);
    let mut command = stage.project.command(["attest", &attested]);
    Ran::of(&mut command).answer();
    stage.run("mine", "1", "three");
    stage.runs(&["keep", "mine"]).answer();
    // One image of two runs, of which one is somebody else's by now.
    stage.run("theirs", "1", "three");
    stage.runs(&["push", "theirs"]).answer();
    stage.run("newest", "1", "four");
    for id in ["on-a-branch", "attested", "mine", "theirs"] {
        stage.forget(id);
    }
    let (garbage, stays) = stage.plan(&["--yes"]);
    assert!(garbage.is_empty(), "{garbage:?}");
    let why = |tag: &str| stays.iter().find(|one| one.0 == tag).unwrap().1.clone();
    assert_eq!(why("run-on-a-branch"), "run on-a-branch has a record");
    assert!(
        why("run-attested").ends_with(" is attached to it"),
        "{stays:?}"
    );
    assert_eq!(
        why("run-mine"),
        "the record of run theirs is attached to it"
    );

    // Without the branch it is needed no longer.
    git.git(&["branch", "-q", "-D", "main"]);
    assert_eq!(stage.plan(&["--yes"]).0, ["run-on-a-branch"]);
    assert!(!stage.is_there(&format!("@{on_a_branch}")));
}

#[test]
fn what_is_attached_to_a_platform_that_another_image_has_stays() {
    let stage = Stage::new();
    let manifest = stage.run("gone", "1", "one");
    // Two indexes around the one manifest: a tag names one of them, a run that is gone the other.
    for (tag, about) in [("kept", "index:a=kept"), ("run-gone", "index:a=gone")] {
        let mut command = std::process::Command::new(stage.engines.bin.join("docker-buildx"));
        command.args(["imagetools", "create", "--annotation", about, "-t"]);
        command.args([tag, "1"].map(|tag| format!("{}:{tag}", stage.repository)));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    stage.run("newest", "1", "two");
    stage.forget("gone");
    let attached = manifest.replace(':', "-");
    assert!(stage.is_there(&format!(":{attached}")));
    assert_eq!(stage.plan(&["--yes"]).0, ["run-gone"]);
    assert!(!stage.is_there(":run-gone"));
    assert!(stage.is_there(":kept") && stage.is_there(&format!("@{manifest}")));
    assert!(stage.is_there(&format!(":{attached}")), "its lock is gone");
}

#[test]
fn a_tag_of_another_image_is_not_taken_over() {
    let stage = Stage::new();
    stage.run("mine", "1", "one");
    stage.run("other", "run-mine", "two");
    let refusal = stage.runs(&["keep", "mine"]).refusal(2).to_owned();
    assert!(
        refusal.contains("is another image than that of run mine"),
        "{refusal}"
    );
}
