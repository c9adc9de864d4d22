//! `mlbuild submit --slurm --array`: a run for each point.

use std::process::Stdio;

use super::{CONTROLLER, Setting, exit_within};
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
