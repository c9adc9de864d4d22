//! Runs and jobs that others wrote: what they would start here.

use std::os::unix::fs::PermissionsExt as _;

use crate::support::mlbuild::{Project, Ran};

/// A record of a local image, with these options.
fn record(options: &[&str]) -> String {
    let options: String = options
        .iter()
        .map(|word| format!("  {word:?},\n"))
        .collect();
    format!(
        "version = 3\nid = \"run-1\"\ncreated = \"2026-03-01T12:00:00Z\"\n\n[image]\nreference = \"r.example/a:1\"\n\
         image_id = \"sha256:{}\"\n\n[command]\nprogram = \"docker\"\noptions = [\n{options}]\nargv = [\n  \"true\",\n]\n\n\
         [outcome]\nstatus = \"started\"\nstarted = \"2026-03-01T12:00:00Z\"\n\n# end of record\n",
        "01".repeat(32),
    )
}

/// A project with that record, and a `docker` that has every image and starts none: no daemon is behind it.
fn with_docker(options: &[&str]) -> Project {
    let project = Project::new(&[("mlbuild.runs/run-1.toml", &record(options))]);
    project.write(
        "../bin/docker",
        "#!/bin/sh\n[ \"$1\" = run ] && echo \"$@\" > \"$HOME/started\"\nexit 0\n",
    );
    let program = project.path("../bin/docker");
    std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755)).unwrap();
    project
}

fn exec(project: &Project, more: &[&str]) -> Ran {
    let words = [&["restore", "run-1", "--exec"], more].concat();
    let path = format!(
        "{}:{}",
        project.path("../bin").display(),
        std::env::var("PATH").unwrap()
    );
    Ran::of(project.command(words).env("PATH", path))
}

/// Whether the line was handed to `mlbuild run`, which looks for a daemon first or refuses a flag that nobody has.
fn is_taken(ran: &Ran) -> bool {
    let (is_flag, is_daemon) = (ran.code == Some(2), ran.code == Some(3));
    is_daemon && ran.stderr.contains("nothing here starts containers")
        || is_flag && ran.stderr.contains("--no-such-option")
}

#[test]
fn a_record_starts_nothing_that_reaches_out_unasked() {
    for (options, said) in [
        (&["--privileged"][..], "--privileged"),
        (&["-v", "/:/host"], "mounts /: /:/host"),
        (&["--volume=/:/host"], "mounts /: /:/host"),
        (&["--pid=host"], "--pid=host"),
        (
            &["--env=AWS_SECRET_ACCESS_KEY"],
            "hands the variable AWS_SECRET_ACCESS_KEY",
        ),
        (
            &["--mount", "type=bind,src=/var/run/docker.sock,dst=/s"],
            "docker.sock",
        ),
        (&["--no-such-option", "/:/host"], "--no-such-option /:/host"),
    ] {
        let project = with_docker(options);
        let ran = exec(&project, &[]);
        let text = ran.refusal(2);
        assert!(
            text.contains(said) && text.contains("--trust"),
            "{options:?}: {text}"
        );
        assert!(!project.home().join("started").exists(), "{options:?}");
        println!("{}", project.filtered(text));
        // With that word it is mlbuild's own affair: what it can't start, it says.
        let ran = exec(&project, &["--trust"]);
        assert!(is_taken(&ran), "{options:?}: {}", ran.stderr);
    }
}

#[test]
fn a_record_that_stays_inside_is_started_without_a_word() {
    let project = with_docker(&[
        "--rm",
        "--env=MLBUILD_RUN_ID",
        "--shm-size=8g",
        "--gpus=all",
    ]);
    let ran = exec(&project, &[]);
    assert!(is_taken(&ran), "{}", ran.stderr);
    let line = "mlbuild run --runtime-cli=docker --rm --shm-size=8g --gpus=all ";
    assert!(ran.stderr.contains(line), "{}", ran.stderr);
}

#[test]
fn the_code_of_a_job_is_a_project_that_nobody_trusts() {
    let machine = Project::new(&[]);
    machine.write("../home/.ssh/id_ed25519", "a key\n");
    machine.write(
        "../state/jobs/job-1/mlbuild.toml",
        "[build]\nsecrets = [\"id=k,src=../../../home/.ssh/id_ed25519\"]\n",
    );
    machine.write("../state/jobs/job-1/requirements.txt", "six\n");
    // Not by the person's own word either: whoever launches wrote that code.
    let trusted = format!("trusted = [{:?}]\n", machine.outside());
    machine.write("../home/.config/mlbuild/config.toml", &trusted);
    let folder = machine.outside().join("state/jobs/job-1");
    let words = ["image", "-t", "r.example/a:1"];
    let ran = Ran::of(machine.command(words).current_dir(folder));
    let text = ran.refusal(2);
    assert!(
        text.contains("hands the file") && text.contains("id_ed25519"),
        "{text}"
    );
    println!("{}", machine.filtered(text));
}

#[test]
fn a_launch_sets_only_what_the_queue_lets_it() {
    let machine = Project::new(&[("q.yaml", "shm-size: 1g\noverrides: [shm-size]\n")]);
    machine
        .run(["queue", "create", "q", "--config", "q.yaml"])
        .answer();
    let launch = |setting: &str| {
        machine.run([
            "launch",
            "-q",
            "q",
            "--image",
            "r.example/a:1",
            "--set",
            setting,
        ])
    };
    launch("shm-size=8g").answer();
    let ran = launch("privileged");
    let text = ran.refusal(2);
    assert!(
        text.contains("the queue doesn't let a launch set `privileged`")
            && text.contains("overrides: [privileged]"),
        "{text}"
    );
    println!("{text}");
}

/// What an agent holds the code of a job to: `policy.registries`.
#[test]
fn images_from_elsewhere_are_in_no_build_that_names_its_registries() {
    for (files, said) in [
        (
            &[("Dockerfile", "FROM evil.example/a:1\n")][..],
            "evil.example/a:1",
        ),
        (
            &[(
                "Dockerfile",
                "FROM good.example/me/a:1\nCOPY --from=evil.example/b /a /b\n",
            )],
            "evil.example/b",
        ),
        (
            &[(
                "Dockerfile",
                "FROM good.example/me/a:1\nRUN --mount=type=bind,from=good.example/mean true\n",
            )],
            "good.example/mean",
        ),
        (
            &[("Dockerfile", "ARG B=evil.example/c\nFROM ${B}\n")],
            "evil.example/c",
        ),
        (&[("Dockerfile", "FROM debian:13\n")], "debian:13"),
        (
            &[(
                "mlbuild.toml",
                "[image]\ntemplate = \"python\"\nbase = \"evil.example/p:1\"\n",
            )],
            "evil.example/p:1",
        ),
        (
            &[(
                "Dockerfile",
                "# syntax=evil.example/frontend\nFROM scratch\n",
            )],
            "evil.example/frontend",
        ),
    ] {
        let project = Project::new(files);
        // No registry is asked: nothing would answer there, and the refusal says so at once.
        let ran = project.run([
            "image",
            "--builder=tcp://127.0.0.1:1",
            "--base-registry=good.example/me",
        ]);
        let text = project.filtered(ran.refusal(2));
        assert!(
            text.contains(said) && text.contains("good.example/me only"),
            "{text}"
        );
        println!("{text}");
    }
}
