//! `mlbuild launch --array`: a job for each point.

use std::collections::BTreeSet;

use super::Setting;

#[test]
fn an_array_is_a_job_for_each_point_in_every_store() {
    for (name, setting) in Setting::both() {
        setting.run(&["queue", "create", "q"]).answer();
        let script = "echo $lr/$note/$1; [ $lr != 2 ] || exit 9";
        let base = setting.engines.base.clone();
        let words = [
            &["launch", "-q", "q", "--image", &base, "--format=json"][..],
            &["--array=lr=1..2", "--array=note=a b,c", "--set=env=V=v"],
            &["--", "sh", "-c", script, "sh", "<{note}|{other}>"],
        ];
        let launched = setting.run(&words.concat()).json();
        let jobs = launched["jobs"].as_array().unwrap().clone();
        assert_eq!(jobs.len(), 4, "{name}: {launched:#}");
        setting.drain(&["--max-jobs", "4"]);
        let mut seen = BTreeSet::new();
        for job in &jobs {
            let (id, values) = (job["job"].as_str().unwrap(), &job["values"]);
            let (lr, note) = (
                values["lr"].as_str().unwrap(),
                values["note"].as_str().unwrap(),
            );
            seen.insert((lr.to_owned(), note.to_owned()));
            let code = if lr == "2" { 9 } else { 0 };
            assert_eq!(setting.job(id)["exit_code"], code, "{name}");
            let log = setting.run(&["jobs", "logs", id]).stdout;
            assert_eq!(
                log.trim(),
                format!("{lr}/{note}/<{note}|{{other}}>"),
                "{name}"
            );
        }
        assert_eq!(seen.len(), 4, "{name}");
    }
}

#[test]
fn an_array_that_is_none_launches_nothing() {
    let setting = Setting::sqlite();
    setting.run(&["queue", "create", "q"]).answer();
    let base = setting.engines.base.clone();
    for (flags, said) in [
        (&["--array=lr"][..], "NAME=VALUE"),
        (&["--array=n=0..10000"], "10000 points"),
        (
            &["--array=lr=1,2", "--set=env=lr=3"],
            "--set has a variable",
        ),
        (&["--array=mlbuild_x=1"], "taken"),
        (
            &["--array=TOKEN=ghp_012345678901234567890123456789012345"],
            "secret",
        ),
    ] {
        let words = [&["launch", "-q", "q", "--image", &base][..], flags].concat();
        let ran = setting.run(&words);
        assert!(ran.refusal(2).contains(said), "{flags:?}: {}", ran.stderr);
    }
    let jobs = setting
        .run(&["jobs", "list", "--kind=queue", "--format=json"])
        .json();
    assert_eq!(jobs["jobs"].as_array().unwrap().len(), 0, "{jobs}");
}
