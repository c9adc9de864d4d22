//! The data of runs: fingerprints taken when a container starts, and looked at again.

use crate::restore::Stage;

#[test]
fn data_is_told_apart_when_it_is_shown_compared_and_restored() {
    let stage = Stage::new();
    let first = &stage.first;
    let data = first.folder.join("data");
    std::fs::create_dir_all(&data).unwrap();
    let write = |name: &str, text: &str| std::fs::write(data.join(name), text).unwrap();
    write("a.csv", "1,2\n");
    write("b.csv", "3,4\n");
    let run = |id: &str, flags: &[&str]| {
        let id = format!("--run-id={id}");
        let line = [&["run", "--rm", &id], flags, &[&stage.image, "true"]].concat();
        stage.mlbuild(first, &line)
    };
    let show = |id: &str| {
        stage
            .mlbuild(first, &["runs", "show", id])
            .answer()
            .to_owned()
    };
    let ran = run(
        "exp-1",
        &["--data", "data", "--data=s3://ann:s3cr3t@bucket/x"],
    );
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.contains("nobody looked at it"), "{ran:?}");
    let full = ["--data=data", "--data-hash=full"];
    assert_eq!(run("exp-2", &full).code, Some(0));
    let shown = show("exp-1");
    assert!(shown.contains("data: 2 files, 8 bytes"), "{shown}");
    assert!(shown.contains(" as it was"), "{shown}");
    assert!(shown.contains("@bucket/x: recorded by its name"), "{shown}");
    assert!(!shown.contains("s3cr3t"), "{shown}");
    let diff = |a: &str, b: &str| {
        let line = ["runs", "diff", a, b, "--format=json"];
        let compared = stage.mlbuild(first, &line).json();
        let all = compared["differences"].as_array().unwrap().clone();
        let of_data = all.into_iter().filter(|one| one["area"] == "data");
        of_data.collect::<Vec<_>>()
    };
    let between = diff("exp-1", "exp-2");
    assert_eq!(between.len(), 1, "{between:?}");
    assert!(between[0]["what"].as_str().unwrap().starts_with("s3://"));

    // One byte more, and a third run.
    write("b.csv", "3,45\n");
    assert_eq!(run("exp-3", &["--data=data"]).code, Some(0));
    for id in ["exp-1", "exp-2"] {
        let shown = show(id);
        assert!(shown.contains("changed: 2 files, 9 bytes now"), "{shown}");
    }
    let between = diff("exp-2", "exp-3");
    assert_eq!(between[0]["what"], "data");
    assert!(
        between[0]["old"]
            .as_str()
            .unwrap()
            .contains("(2 files, 8 bytes)")
    );
    let now = |id: &str| {
        let line = ["runs", "show", id, "--format=json"];
        let record = stage.mlbuild(first, &line).json();
        record["data"][0]["now"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        (now("exp-2"), now("exp-3")),
        ("changed".into(), "same".into())
    );

    // Restored elsewhere, where the data isn't or is the same.
    stage.mlbuild(first, &["runs", "push", "exp-3"]).answer();
    let exact = stage.mlbuild(first, &["restore", "exp-3", "--no-code", "--format=json"]);
    assert!(exact.stderr.contains("data data: as it was"), "{exact:?}");
    let image = exact.json()["image"].as_str().unwrap().to_owned();
    let restore = || {
        let line = ["restore", "exp-3", "--from", &image, "--no-code"];
        stage.mlbuild(&stage.second, &line)
    };
    assert!(
        restore()
            .stderr
            .contains("data data: it isn't on this machine")
    );
    let copied = std::process::Command::new("cp")
        .arg("-a")
        .args([&data, &stage.second.folder.join("data")])
        .status();
    assert!(copied.unwrap().success());
    assert!(restore().stderr.contains("data data: as it was"));
    std::fs::remove_dir_all(&data).unwrap();
    assert_eq!(now("exp-3"), "gone");
}

#[test]
fn data_that_cannot_be_read_keeps_the_container_from_starting() {
    let stage = Stage::new();
    let refused = |flags: &[&str], words: &str| {
        let line = [
            &["run", "--rm", "--run-id=exp-1"],
            flags,
            &[&stage.image, "true"],
        ]
        .concat();
        let ran = stage.mlbuild(&stage.first, &line);
        assert!(ran.refusal(2).contains(words), "{words}: {ran:?}");
    };
    refused(&["--data=nosuch"], "--data ");
    refused(&["--data=/dev/null"], "neither a file nor a folder");
    refused(&["--data="], "it names nothing");
    refused(&["--data-hash=full"], "there is no data to read");
    refused(&["--data=run.sh", "--no-record"], "leave out --no-record");
    refused(&["--data=run.sh", "--data-hash=some"], "--data-hash");
    assert!(!stage.first.folder.join("mlbuild.runs/exp-1.toml").exists());
}
