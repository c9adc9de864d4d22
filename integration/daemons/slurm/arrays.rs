//! `mlbuild submit --slurm --array`: a run for each point.

use std::process::Stdio;

use super::{CONTROLLER, Setting, exit_within};
use crate::support::mlbuild::Ran;
use crate::support::wait;

#[test]
fn an_array_is_a_run_for_each_point() {
    let _alive = CONTROLLER.read().unwrap();
    let setting = Setting::new();
    // One point fails, and one value is nothing that a shell could take for its own.
    let script =
        "echo \"lr=$lr note=$note run=$MLBUILD_RUN_ID word=$1\"; [ \"$lr\" != 2 ] || exit 9";
    let flags = [
        "--run-id=grid",
        "--array=lr=1..2",
        "--array=note=a b,$HOME'x",
        "--env=V=v",
    ];
    let mut words = setting.submit(&flags, script);
    words.extend(["sh", "<{lr}|{note}|{other}>"]);
    let ran = setting.run(&words);
    assert_eq!(ran.code, Some(9), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("2 of 4 points failed"),
        "{}",
        ran.stderr
    );
    for (at, (lr, note)) in [
        ("1", "a b"),
        ("1", "$HOME'x"),
        ("2", "a b"),
        ("2", "$HOME'x"),
    ]
    .into_iter()
    .enumerate()
    {
        let run = format!("grid-{at}");
        let record = setting.record(&run);
        let code = if lr == "2" { 9 } else { 0 };
        assert_eq!(record.outcome.unwrap().exit_code, Some(code), "{run}");
        let options = record.slurm.unwrap().options;
        for value in [format!("--array=lr={lr}"), format!("--array=note={note}")] {
            assert!(options.contains(&value), "{options:?}");
        }
        let wanted = format!("lr={lr} note={note} run={run} word=<{lr}|{note}|{{other}}>");
        let logs = setting.run(&["logs", &run]).stdout;
        assert!(logs.starts_with(&wanted), "{logs}");
        assert_eq!(setting.run(&["logs", "-f", &run]).code, Some(code));
    }
    let job = setting.record("grid-2").slurm.unwrap().job.unwrap();
    let point = setting.run(&[
        "jobs",
        "show",
        "--slurm",
        &format!("{job}_2"),
        "--format=json",
    ]);
    let point = point.json();
    assert_eq!(
        (point["run_id"].as_str(), point["exit_code"].as_i64()),
        (Some("grid-2"), Some(9)),
        "{point}"
    );
    let all = setting
        .run(&["jobs", "show", "grid", "--format=json"])
        .json();
    assert_eq!(all["jobs"].as_array().unwrap().len(), 4, "{all}");
    let listed = setting
        .run(&["jobs", "list", "--kind=slurm", "--format=json"])
        .json();
    let of_grid = listed["jobs"].as_array().unwrap().iter();
    let of_grid = of_grid.filter(|job| job["run_id"].as_str().unwrap().starts_with("grid-"));
    assert_eq!(of_grid.count(), 4, "{listed}");
    let diff = setting.run(&["runs", "diff", "grid-0", "grid-2"]);
    assert!(diff.stdout.contains("lr=2"), "{}", diff.stdout);
    // One point alone is made again.
    let line = setting.run(&["restore", "grid-3", "--no-code", "--no-shell"]);
    let line = line.answer();
    assert!(line.contains("--array=lr=2"), "{line}");
    assert!(!line.contains("--array=lr=1"), "{line}");
    let logs = setting.run(&["logs", "grid"]);
    assert!(
        logs.refusal(2).contains("array of 4 points"),
        "{}",
        logs.stderr
    );
    // The ids are taken, and nothing of the runs is touched.
    let again = setting.run(&setting.submit(&flags, script));
    assert_eq!(again.code, Some(2), "{}", again.stderr);
    assert!(setting.folder("grid-0").join("exit_code").exists());
}

#[test]
fn an_array_is_cancelled_as_a_whole_and_by_the_point() {
    let _alive = CONTROLLER.read().unwrap();
    let setting = Setting::new();
    let script = "trap 'exit 3' TERM; echo up; sleep 100 & wait";
    let flags = ["--run-id=many", "--array=n=0..1"];
    let mut child = setting
        .command(&setting.submit(&flags, script))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    setting.prints("many-0", "up");
    setting.prints("many-1", "up");
    let beside = setting.run(&[
        "bash",
        "many-1",
        "--",
        "sh",
        "-c",
        "echo $n $MLBUILD_RUN_ID",
    ]);
    assert_eq!(beside.stdout.trim(), "1 many-1", "{}", beside.stderr);
    setting.run(&["jobs", "cancel", "many-0"]).answer();
    let is_over = |run: &str| setting.folder(run).join("exit_code").exists();
    wait::until("the point is over", || is_over("many-0"));
    assert!(!is_over("many-1"));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(exit_within(&mut child, 20), Some(130));
    let job = setting
        .record("many-0")
        .slurm
        .unwrap()
        .job
        .unwrap()
        .to_string();
    wait::until("all points are over", || {
        let states = setting.slurm("squeue", &["-h", "-r", "-t", "all", "-j", &job, "-o", "%T"]);
        states.lines().all(|state| state == "CANCELLED")
    });
    let over = setting.run(&["jobs", "cancel", "many"]);
    assert_eq!(over.code, Some(2), "{}", over.stderr);
}

#[test]
fn the_lines_of_one_task_are_printed_by_its_rank() {
    let _alive = CONTROLLER.read().unwrap();
    let setting = Setting::new();
    let script = "for i in 1 2 3; do echo rank $RANK line $i; done";
    let flags = ["--run-id=two", "--ntasks-per-node=2", "--cpus=1"];
    let ran = setting.run(&setting.submit(&flags, script));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    for line in ["0: rank 0 line 3", "1: rank 1 line 3"] {
        assert!(ran.stdout.contains(line), "{}", ran.stdout);
    }
    for words in [
        &["logs", "two", "--rank=1"][..],
        &["logs", "-f", "two", "--rank=1"],
    ] {
        let ran = setting.run(words);
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (Some(0), "rank 1 line 1\nrank 1 line 2\nrank 1 line 3\n"),
            "{words:?}: {}",
            ran.stderr
        );
    }
    let last = setting.run(&["logs", "two", "--rank=0", "--tail=1"]);
    assert_eq!(last.stdout, "rank 0 line 3\n");
    let none = setting.run(&["logs", "two", "--rank=2"]);
    assert!(none.refusal(2).contains("2 task"), "{}", none.stderr);
    setting.run(&setting.submit(&["--run-id=one"], "true"));
    let none = setting.run(&["logs", "one", "--rank=0"]);
    assert!(none.refusal(2).contains("1 task"), "{}", none.stderr);
}

/// Waits until Slurm says that no task of a job waits or runs.
fn wait_for_end(setting: &Setting, job: &str) {
    wait::until("all points are over", || {
        let states = setting.slurm("squeue", &["-h", "-r", "-t", "all", "-j", job, "-o", "%T"]);
        let is_over = |state: &str| matches!(state, "COMPLETED" | "FAILED" | "CANCELLED");
        states.lines().all(is_over)
    });
}

#[test]
fn points_that_failed_are_tried_again_and_no_other() {
    let _alive = CONTROLLER.read().unwrap();
    let setting = Setting::new();
    let look = setting.project.outside().join("look");
    std::fs::create_dir(&look).unwrap();
    let volume = format!("--volume={}:/look:ro", look.display());
    let script = "if [ -e /look/well ]; then echo well $MLBUILD_ATTEMPT; exit 0; fi; \
                  case $how in stays) echo up; exec sleep 100;; fails) exit 7;; esac";
    let flags = [
        "--run-id=whys",
        "--array=how=stays,well,fails",
        &volume,
        "-d",
    ];
    let job = setting
        .run(&setting.submit(&flags, script))
        .answer()
        .to_owned();
    setting.prints("whys-0", "up");
    wait::until("the others are over", || {
        let mut others = ["whys-1", "whys-2"].iter();
        others.all(|run| setting.folder(run).join("exit_code").exists())
    });
    let point = format!("{job}_0");
    let raw = setting.slurm("squeue", &["-h", "-j", &point, "-o", "%A"]);
    // Its script is killed before it can say anything.
    setting.slurm("scancel", &["--signal=KILL", "--full", &point]);
    wait_for_end(&setting, &job);
    setting.podman(&["rm", "--force", &format!("mlbuild-{}-0", raw.trim())]);
    let codes = |shown: &serde_json::Value| -> Vec<Option<i64>> {
        let jobs = shown["jobs"].as_array().unwrap().iter();
        jobs.map(|job| job["exit_code"].as_i64()).collect()
    };
    let show = ["jobs", "show", "whys", "--format=json"];
    let shown = setting.run(&show).json();
    assert_eq!(codes(&shown), [Some(137), Some(0), Some(7)], "{shown:#}");

    std::fs::write(look.join("well"), "").unwrap();
    let again = setting.run(&["jobs", "retry", "whys"]);
    let second = again.answer().to_owned();
    assert!(
        second != job && again.stderr.contains("whys-0, whys-2"),
        "{}",
        again.stderr
    );
    for run in ["whys-0", "whys-2"] {
        let logs = setting.run(&["logs", "-f", run]);
        assert_eq!(logs.code, Some(0), "{run}: {}", logs.stderr);
        let said = "mlbuild: attempt 2\nwell 2\n";
        assert!(logs.stdout.ends_with(said), "{run}: {}", logs.stdout);
        let shown = setting.run(&["jobs", "show", run, "--format=json"]).json();
        assert_eq!(shown["attempt"], 2, "{shown:#}");
        let record = setting.record(run).slurm.unwrap();
        assert_eq!(record.job, second.parse().ok());
    }
    assert_eq!(
        setting.record("whys-1").slurm.unwrap().job,
        job.parse().ok()
    );
    let none = setting.run(&["jobs", "retry", "whys"]);
    let said = none.refusal(2);
    assert!(said.contains("nothing of whys has failed"), "{said}");
    // What the controller has forgotten, records and folders still have.
    let forgetful = setting.project.outside().join("bin");
    std::fs::create_dir(&forgetful).unwrap();
    let squeue = forgetful.join("squeue");
    std::fs::write(&squeue, "#!/bin/sh\n").unwrap();
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(&squeue, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = setting.path(&format!("{}:", forgetful.display()));
    let shown = Ran::of(setting.command(&show).env("PATH", path)).json();
    assert_eq!(codes(&shown), [Some(0); 3], "{shown:#}");
}

#[test]
fn a_point_that_slurm_ended_says_why() {
    let _alive = CONTROLLER.read().unwrap();
    let setting = Setting::new();
    let look = setting.project.outside().join("look");
    std::fs::create_dir(&look).unwrap();
    let volume = format!("--volume={}:/look:ro", look.display());
    let script = "echo up; while [ ! -e /look/go ]; do sleep 0.2; done";
    let flags = ["--run-id=one", "--array=n=0..1", "--parallelism=1", &volume];
    let child = setting
        .command(&setting.submit(&flags, script))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    setting.prints("one-0", "up");
    // It waits for its turn.
    setting.run(&["jobs", "cancel", "one-1"]).answer();
    std::fs::write(look.join("go"), "").unwrap();
    let ran: Ran = child.wait_with_output().unwrap().into();
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    let said = "one-1 ended without an exit code: CANCELLED";
    assert!(ran.stderr.contains(said), "{}", ran.stderr);
    assert_eq!(setting.record("one-0").outcome.unwrap().exit_code, Some(0));
}

#[test]
fn an_array_that_cannot_be_made_leaves_nothing() {
    let _alive = CONTROLLER.read().unwrap();
    let setting = Setting::new();
    let left = |what: &str| {
        let folder = setting.project.home().join(".mlbuild/slurm");
        let folders = std::fs::read_dir(folder).unwrap();
        let names = folders.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let names: Vec<String> = names.filter(|name| name.starts_with(what)).collect();
        names
    };
    // An id in the middle is taken: by another run's record, and by another job's folder.
    setting.run(&setting.submit(&["--run-id=half-2"], "true"));
    std::fs::remove_dir_all(setting.folder("half-2")).unwrap();
    let ran = setting.run(&setting.submit(&["--run-id=half", "--array=n=0..4"], "true"));
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert_eq!(left("half"), [""; 0]);
    let of_points = || {
        let runs = setting.project.runs().into_iter();
        let runs = runs.filter(|name| name.starts_with("half") || name.starts_with("full"));
        runs.collect::<Vec<_>>()
    };
    assert_eq!(of_points(), ["half-2.toml"]);
    std::fs::create_dir(setting.folder("full-3")).unwrap();
    let ran = setting.run(&setting.submit(&["--run-id=full", "--array=n=0..4"], "true"));
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert_eq!(left("full"), ["full-3"]);
    assert_eq!(of_points(), ["half-2.toml"]);
}

#[test]
fn an_array_goes_on_without_whoever_submitted_it() {
    let _alive = CONTROLLER.read().unwrap();
    let setting = Setting::new();
    let script = "echo up $n; sleep 3; echo down $n; exit $n";
    let mut child = setting
        .command(&setting.submit(&["--run-id=left", "--array=n=0..1"], script))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    setting.prints("left-0", "up 0");
    child.kill().unwrap();
    child.wait().unwrap();
    for (run, code) in [("left-0", 0), ("left-1", 1)] {
        let logs = setting.run(&["logs", "-f", run]);
        assert_eq!(logs.code, Some(code), "{run}: {}", logs.stderr);
        // Once, and whole.
        let wanted = format!("up {code}\ndown {code}\n");
        assert!(logs.stdout.starts_with(&wanted), "{run}: {}", logs.stdout);
        assert_eq!(logs.stdout.matches("up ").count(), 1, "{run}");
    }
    let shown = setting.run(&["jobs", "show", "left", "--format=json"]);
    let shown = shown.json();
    let codes = shown["jobs"].as_array().unwrap().iter();
    let codes: Vec<_> = codes.map(|job| job["exit_code"].as_i64()).collect();
    assert_eq!(codes, [Some(0), Some(1)], "{shown:#}");
    // Nobody waited for their ends, and none is taken for one.
    let record = setting.record("left-1");
    assert_eq!(record.outcome.unwrap().exit_code, None);
}
