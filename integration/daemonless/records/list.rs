//! `mlbuild runs` on records that are good, bad and many.

use mlbuild::records::RunExit;
use mlbuild_manifests::RunRecord;

use super::{digest, finished, published, start};
use crate::support::mlbuild::Project;
use crate::support::repository::Repository;

/// Times and commits are not the same twice.
fn filtered(project: &Project, text: &str) -> String {
    let mut text = project.filtered(text);
    for (pattern, with) in [
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "[WHEN]"),
        (r"\d{4}-\d\d-\d\d \d\d:\d\d", "[DAY AND TIME]  "),
        (r"\b[0-9a-f]{40}\b", "[COMMIT]"),
        (r"(?m)^host .*$", "host      [HOST]"),
    ] {
        let pattern = regex::Regex::new(pattern).unwrap();
        text = pattern.replace_all(&text, with).into_owned();
    }
    text
}

/// Moves a run's times, so that the order is the test's.
fn moved(project: &Project, id: &str, day: u32, seconds: i64) {
    let folder = project.path("mlbuild.runs");
    let mut record = RunRecord::find(&folder, &id.parse().unwrap())
        .unwrap()
        .unwrap();
    let time: jiff::Timestamp = format!("2026-03-{day:02}T12:00:00Z").parse().unwrap();
    record.created = time;
    let outcome = record.outcome.as_mut().unwrap();
    outcome.started = time;
    outcome.ended = outcome
        .ended
        .map(|_| jiff::Timestamp::from_second(time.as_second() + seconds).unwrap());
    record.replace(&folder).unwrap();
}

fn project() -> Project {
    let project = Project::new(&[]);
    let folder = project.path("");
    finished(&folder, "exp-1", published(1), &["python", "train.py"], 0);
    finished(
        &folder,
        "exp-2",
        published(3),
        &["python", "train.py", "--name=a b"],
        137,
    );
    let mut image = published(1);
    image.reference = "local/test:latest".to_owned();
    image.platforms.clear();
    image.image_id = Some(digest(9));
    drop(start(&folder, "01JRUN", image, &["sh"]));
    for (id, day, seconds) in [("exp-1", 1, 3700), ("exp-2", 2, 12), ("01JRUN", 3, 0)] {
        moved(&project, id, day, seconds);
    }
    project
}

fn ids(project: &Project, args: &[&str]) -> Vec<String> {
    let args = [&["runs", "list", "--format", "json"], args].concat();
    let answer = project.run(args).json();
    let runs = answer["runs"].as_array().unwrap();
    runs.iter()
        .map(|r| r["id"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn runs_are_listed_filtered_and_sorted() {
    let project = project();
    insta::assert_snapshot!(project.run(["runs", "list"]).answer(), @"
    RUN     STARTED           STATUS    TOOK   IMAGE                            CODE  COMMAND
    01JRUN  2026-03-03 12:00  started          local/test:latest                      sh
    exp-2   2026-03-02 12:00  exit 137  12s    registry.example/acme/cracks:v1        python train.py '--name=a b'
    exp-1   2026-03-01 12:00  ok        1h 1m  registry.example/acme/cracks:v1        python train.py
    ");
    for (args, expected) in [
        (&["--status", "started"][..], &["01JRUN"][..]),
        (&["--status", "failed"], &["exp-2"]),
        (&["--status", "finished", "--reverse"], &["exp-1", "exp-2"]),
        (&["--sort", "id"], &["01JRUN", "exp-1", "exp-2"]),
        (&["--sort", "duration"], &["exp-1", "exp-2", "01JRUN"]),
        (&["--since", "2026-03-02T00:00:00Z", "-n", "1"], &["01JRUN"]),
        (&["--image", "sha256:0303"], &["exp-2"]),
        (&["--command", "a b"], &["exp-2"]),
        (&["--commit", "abc"], &[]),
        (&["--host", "another"], &[]),
    ] {
        assert_eq!(ids(&project, args), expected, "{args:?}");
    }
    // From a folder inside the project, and from outside by name.
    std::fs::create_dir(project.path("deep")).unwrap();
    let mut inside = project.command(["runs", "list", "--format", "json"]);
    let inside = inside.current_dir(project.path("deep")).output().unwrap();
    assert!(String::from_utf8(inside.stdout).unwrap().contains("exp-1"));
    let missing = project.run(["runs", "list", "--project", "missing"]);
    assert_eq!(
        missing.refusal(2),
        "error: --project missing: there is no such folder\n"
    );
    let empty = Project::new(&[]).run(["runs", "list"]);
    assert_eq!((empty.answer(), empty.stderr.as_str()), ("", "no runs\n"));
}

#[test]
fn a_run_is_shown_by_the_beginning_of_its_id() {
    let project = project();
    let shown = project.run(["runs", "show", "01J"]);
    insta::assert_snapshot!(filtered(&project, shown.answer()), @"
    run       01JRUN
    status    started
    started   [WHEN]
    image     local/test:latest
    image ID  sha256:[DIGEST]
              never pushed: only the machine that ran it has this image
    command   sh
    options   --rm -e LR
    with      docker
    variables LR
    host      [HOST]
    ");
    let json = project
        .run(["runs", "show", "exp-2", "--format", "json"])
        .json();
    assert_eq!(json["status"], "finished");
    assert_eq!(json["outcome"]["exit_code"], 137);
    assert!(!json.to_string().contains("0.1"), "values aren't recorded");
    insta::assert_snapshot!(
        [&["exp"][..], &["exp-3"], &["nothing-like-it"], &[""]]
            .map(|id| {
                let ran = project.run([&["runs", "show"], id].concat());
                filtered(&project, ran.refusal(2))
            })
            .concat(),
        @"
    error: `exp` could be exp-1, exp-2
      hint: type more of the id
    error: no run `exp-3` is recorded in /project/mlbuild.runs
      hint: did you mean `exp-1`?
    error: no run `nothing-like-it` is recorded in /project/mlbuild.runs
      hint: mlbuild runs list
    error: no run `` is recorded in /project/mlbuild.runs
      hint: mlbuild runs list
    "
    );
}

#[test]
fn bad_records_are_named_and_hide_no_others() {
    let project = project();
    let text = project.read("mlbuild.runs/exp-2.toml");
    project.write("mlbuild.runs/cut.toml", &text[..text.len() / 2]);
    project.write("mlbuild.runs/empty.toml", "");
    project.write("mlbuild.runs/newer.toml", "version = 99\nnews = [1]\n");
    project.write("mlbuild.runs/other.toml", &text);
    project.write("mlbuild.runs/notes.txt", "not a record\n");
    let ran = project.run(["runs", "list", "--sort", "id"]);
    assert_eq!(ran.answer().lines().count(), 4);
    insta::assert_snapshot!(filtered(&project, &ran.stderr), @"
    warning: /project/mlbuild.runs/cut.toml:11: the record is cut off: its last line isn't `# end of record`; take it back from version control, or pull it from the registry
    warning: /project/mlbuild.runs/empty.toml:1: the record is cut off: its last line isn't `# end of record`; take it back from version control, or pull it from the registry
    warning: /project/mlbuild.runs/newer.toml:1: made by a newer mlbuild: format 99, and this version reads up to 5; update mlbuild
    warning: /project/mlbuild.runs/other.toml:3: it is the record of run exp-2; its file is exp-2.toml
    ");
    let json = project.run(["runs", "list", "--format", "json"]).json();
    assert_eq!(json["unreadable"].as_array().unwrap().len(), 4);
    let refused = project.run(["runs", "show", "newer"]);
    assert!(
        refused
            .refusal(2)
            .contains("newer.toml:1: made by a newer mlbuild")
    );
}

#[test]
fn what_changed_between_two_runs() {
    let project = Project::new(&[("train.py", "print(1)\n"), (".gitignore", "mlbuild.runs\n")]);
    let folder = project.path("");
    let repository = Repository::new(&folder, &project.home());
    let lock = |numpy: &str, base: u8| {
        let text = format!(
            include_str!("lock.toml"),
            numpy = numpy,
            base = digest(base),
        );
        let image: mlbuild_manifests::LockedImage = toml::from_str(&text).unwrap();
        let mut lock = mlbuild_manifests::LockFile::default();
        let key = image.key();
        lock.insert(image);
        project.write("mlbuild.lock", &lock.to_toml());
        lock.checksum(&key)
    };
    let run = |id: &str, byte, lock, argv: &[&str]| {
        let started = start(&folder, id, published(byte), argv);
        let mut record = started.record().clone();
        drop(started);
        record.lock = lock;
        record.host.as_mut().unwrap().devices = vec![format!("NVIDIA H{byte}00")];
        record.replace(&project.path("mlbuild.runs")).unwrap();
    };
    let first = lock("2.3.1", 5);
    repository.commit("first");
    run("one", 1, first, &["python", "train.py", "--lr", "0.1"]);
    project.write("train.py", "print(2)\nprint(3)\n");
    repository.commit("second");
    let second = lock("2.4.0", 6);
    project.write("train.py", "print(4)\n");
    run("two", 2, second, &["python", "train.py", "--lr", "0.2"]);

    let ran = project.run(["runs", "diff", "one", "two"]);
    let short = regex::Regex::new(r"\b[0-9a-f]{8}\b").unwrap();
    let text = short.replace_all(ran.answer(), "[COMMIT]").into_owned();
    insta::assert_snapshot!(text, @"
    one -> two
    image
      linux/amd64          sha256:010101010101 -> sha256:020202020202
    base
      docker.io/library/python:3.12-slim  sha256:050505050505 -> sha256:060606060606
    packages
      python numpy         2.3.1 -> 2.4.0
    code
      commit               [COMMIT] -> [COMMIT]
                           1 file changed, 2 insertions(+), 1 deletion(-)
      uncommitted changes  + sha256:25fc8f81ec0e
    command
      command              python train.py --lr 0.1 -> python train.py --lr 0.2
    gpu
      model                NVIDIA H100 -> NVIDIA H200
    ");
    let json = project
        .run(["runs", "diff", "two", "one", "--format", "json"])
        .json();
    let areas: Vec<_> = json["differences"].as_array().unwrap().iter().collect();
    assert!(
        areas
            .iter()
            .any(|d| d["what"] == "python numpy" && d["old"] == "2.4.0")
    );
    let same = project.run(["runs", "diff", "one", "one"]);
    assert_eq!(same.answer(), "one and one are the same");
}

#[test]
fn pruning_removes_what_is_asked_for_and_no_more() {
    let project = project();
    let folder = project.path("");
    let repository = Repository::new(&folder, &project.home());
    repository.write("new.py", "new\n");
    finished(&folder, "exp-3", published(1), &["true"], 0);
    moved(&project, "exp-3", 4, 1);
    assert!(project.path("mlbuild.runs/exp-3.patch").exists());
    let before = project.runs();
    insta::assert_snapshot!(project.run(["runs", "prune"]).refusal(2), @"
    error: nothing says which runs to remove
      hint: mlbuild runs prune --older-than 90d --dry-run
      hint: mlbuild runs prune --keep 100 --dry-run
    ");
    let dry = project.run(["runs", "prune", "--keep", "1", "--dry-run"]);
    assert_eq!(dry.answer(), "exp-2\nexp-1");
    assert_eq!(project.runs(), before);
    let old = project.run(["runs", "prune", "--older-than", "2026-03-01T12:00:01Z"]);
    assert_eq!(old.answer(), "exp-1");
    let ok = project.run(["runs", "prune", "--status", "ok"]);
    assert_eq!(ok.answer(), "exp-3");
    assert_eq!(project.runs(), ["01JRUN.toml", "exp-2.toml"]);
    let bad = project.run(["runs", "prune", "--older-than", "soon"]);
    assert!(bad.refusal(2).contains("write 30d, 12h"), "{}", bad.stderr);
}

#[test]
fn a_runs_patch_can_be_printed() {
    let project = Project::new(&[("train.py", "print(1)\n")]);
    let repository = Repository::new(&project.path(""), &project.home());
    repository.commit("first");
    project.write("train.py", "print(2)\n");
    let run = start(
        &project.path(""),
        "exp-1",
        published(1),
        &["python", "train.py"],
    );
    run.finish(RunExit::default()).unwrap();
    let patch = project.run(["runs", "show", "exp-1", "--patch"]);
    assert!(
        patch.answer().ends_with("-print(1)\n+print(2)"),
        "{}",
        patch.stdout
    );
    project.write("mlbuild.runs/exp-1.patch", "changed\n");
    let refused = project.run(["runs", "show", "exp-1", "--patch"]);
    assert!(
        refused
            .refusal(2)
            .contains("it isn't the patch that was recorded")
    );
}

/// Real processes: each takes the same id, and one gets it.
#[test]
fn an_id_that_is_taken_is_refused() {
    let project = Project::new(&[]);
    let folder = project.path("");
    finished(&folder, "exp-1", published(1), &["true"], 0);
    let again = mlbuild::records::RunStart {
        id: "exp-1".parse().unwrap(),
        lock: None,
        image: published(1),
        code: None,
        command: Default::default(),
        host: mlbuild::records::this_host(),
        cluster: None,
        slurm: None,
        data: Vec::new(),
    };
    let error = mlbuild::start::StartError::from(again.write(&folder).unwrap_err());
    let error = mlbuild_cli::error::CommandError::from(error);
    assert_eq!(
        project.filtered(error.message()),
        "run exp-1 was started before (/project/mlbuild.runs/exp-1.toml); choose another --run-id"
    );
}

#[test]
fn a_reader_that_has_enough_of_a_long_list_is_no_error() {
    let project = project();
    let record = project.read("mlbuild.runs/exp-1.toml");
    // More than a pipe holds.
    for n in 0..2000 {
        let name = format!("mlbuild.runs/more-{n}.toml");
        project.write(&name, &record.replace("exp-1", &format!("more-{n}")));
    }
    let mut child = project
        .command(["runs", "list"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    drop(out);
    let output = child.wait_with_output().unwrap();
    assert!(line.starts_with("RUN "), "{line}");
    let told = (
        output.status.code(),
        String::from_utf8(output.stderr).unwrap(),
    );
    assert_eq!(told, (Some(0), String::new()));
}
