//! `mlbuild run` as far as no daemon is asked: the line, `[run]`, what would be started, and what
//! a person can get wrong.

use crate::support::mlbuild::Project;

/// Runs `mlbuild run` with the words of a line.
fn run(project: &Project, line: &str) -> crate::support::mlbuild::Ran {
    let words = shlex::split(line).unwrap();
    project.run(["run".to_owned()].into_iter().chain(words))
}

#[test]
fn the_image_and_the_command_are_told_apart() {
    let project = Project::new(&[]);
    let found = |line: &str| {
        let json = run(
            &project,
            &format!("--dry-run --format json --no-defaults {line}"),
        )
        .json();
        let keys: Vec<_> = json.as_object().unwrap().keys().cloned().collect();
        assert_eq!(keys, ["argv", "command", "image"]);
        format!("{} {} {}", json["image"], json["command"], json["argv"])
    };
    insta::assert_snapshot!(found("--shm-size=1g img python src/train.py"), @r#""img" ["python","src/train.py"] ["docker","run","--shm-size=1g","img","python","src/train.py"]"#);
    insta::assert_snapshot!(found("-tid img cmd"), @r#""img" ["cmd"] ["docker","run","--tty","--interactive","--detach","img","cmd"]"#);
    insta::assert_snapshot!(found("--read-only img bash"), @r#""img" ["bash"] ["docker","run","--read-only","img","bash"]"#);
    insta::assert_snapshot!(found("img --help -v"), @r#""img" ["--help","-v"] ["docker","run","img","--help","-v"]"#);
    insta::assert_snapshot!(found("-- img -- --x"), @r#""img" ["--","--x"] ["docker","run","img","--","--x"]"#);
}

#[test]
fn the_line_is_one_that_a_shell_takes() {
    let project = Project::new(&[]);
    let line = |line: &str| {
        run(&project, &format!("--dry-run {line}"))
            .answer()
            .to_owned()
    };
    insta::assert_snapshot!(line("-it --rm -p8000:80 -e 'A=b c' img sh -c 'echo $A'"), @"docker run --shm-size=1g --ulimit=memlock=-1 --ulimit=stack=67108864 --interactive --tty --rm --publish=8000:80 '--env=A=b c' img sh -c 'echo $A'");
    insta::assert_snapshot!(line("--runtime-cli podman --gpus all img"), @"podman run --shm-size=1g --ulimit=memlock=-1 --ulimit=stack=67108864 --device=nvidia.com/gpu=all img");
    insta::assert_snapshot!(line("--runtime-cli=nerdctl --no-defaults -m 2g img"), @"nerdctl run --memory=2g img");
}

#[test]
fn the_file_holds_defaults_and_flags_win() {
    let project = Project::new(&[(
        "mlbuild.toml",
        "[run]\nshm-size = \"8g\"\nrm = true\nenv = [\"A=file\", \"HF_TOKEN\"]\nvolume = \".:/app\"\nruntime-cli = \"podman\"\n",
    )]);
    let line = |line: &str| project.filtered(run(&project, &format!("--dry-run {line}")).answer());
    insta::assert_snapshot!(line("img"), @"podman run --ulimit=memlock=-1 --ulimit=stack=67108864 --env=A=file --env=HF_TOKEN --rm --shm-size=8g --volume=/project:/app img");
    insta::assert_snapshot!(line("--runtime-cli docker --rm=false -e A=flag --shm-size 2g img"), @"docker run --ulimit=memlock=-1 --ulimit=stack=67108864 --env=HF_TOKEN --volume=/project:/app --rm=false --env=A=flag --shm-size=2g img");
}

#[test]
fn a_devcontainer_is_written_and_what_it_lacks_is_said() {
    let project = Project::new(&[]);
    let ran = run(
        &project,
        "--dry-run --format devcontainer -it -v .:/app -e HF_TOKEN -u 1000:1000 img python train.py",
    );
    insta::assert_snapshot!(ran.answer(), @r#"
    {
      "containerEnv": {
        "HF_TOKEN": "${localEnv:HF_TOKEN}"
      },
      "containerUser": "1000:1000",
      "image": "img",
      "remoteUser": "1000",
      "runArgs": [
        "--shm-size=1g",
        "--ulimit=memlock=-1",
        "--ulimit=stack=67108864"
      ],
      "workspaceFolder": "/app",
      "workspaceMount": "type=bind,source=${localWorkspaceFolder},target=/app"
    }
    "#);
    insta::assert_snapshot!(ran.stderr, @r"
    warning: left out: --interactive: the tool that reads devcontainer.json decides it
    warning: left out: --tty: the tool that reads devcontainer.json decides it
    warning: left out: the command: the tool keeps the container alive with a program of its own
    ");
}

#[test]
fn mistyped_flags_are_named_with_what_to_type() {
    let project = Project::new(&[]);
    let mut said = String::new();
    for line in [
        "",
        "-it",
        "--name img",
        "--shmsize=1g img",
        "-rm img",
        "--gpu=requried img",
        "--format json img",
        "--format jsn --dry-run img",
        "--run-id 'a b' img",
        "--dry-run --runtime-cli podman --link db img",
        "--dry-run --runtime-cli dockr img",
    ] {
        let ran = run(&project, line);
        said += &format!("$ mlbuild run {line}\n{}", ran.refusal(2));
    }
    insta::assert_snapshot!(said, @r#"
    $ mlbuild run 
    error: no image is given
      hint: write mlbuild run [FLAGS] IMAGE [COMMAND]
    $ mlbuild run -it
    error: no image is given
      hint: write mlbuild run [FLAGS] IMAGE [COMMAND]
    $ mlbuild run --name img
    error: no image is given; `img` was read as the value of --name
      hint: write mlbuild run [FLAGS] IMAGE [COMMAND]
    $ mlbuild run --shmsize=1g img
    error: unknown flag --shmsize
      hint: did you mean `--shm-size`?
    $ mlbuild run -rm img
    error: unknown flag -r in -rm
      hint: did you mean `--rm`?
    $ mlbuild run --gpu=requried img
    error: --gpu=requried: not auto, required, off, or numbers and UUIDs of GPUs
      hint: did you mean `--gpu=required`?
    $ mlbuild run --format json img
    error: --format is for --dry-run: stdout is the container's
      hint: add --dry-run
    $ mlbuild run --format jsn --dry-run img
    error: --format jsn: did you mean `json`? There are text, json, devcontainer
      hint: write --format text|json|devcontainer
    $ mlbuild run --run-id 'a b' img
    error: the run id "a b" can't be used: ' ' isn't a letter, a digit, `.`, `_` or `-`
      hint: give --run-id with letters, digits, `-`, `_` and `.`
    $ mlbuild run --dry-run --runtime-cli podman --link db img
    error: --link: podman has no such flag
      hint: leave it out, or start it with --runtime-cli docker
    $ mlbuild run --dry-run --runtime-cli dockr img
    error: --runtime-cli dockr: did you mean `docker`? There are docker, podman, nerdctl, apptainer
      hint: write --runtime-cli docker|podman|nerdctl|apptainer
    "#);
    assert!(project.names().is_empty());
}

#[test]
fn a_mistake_in_the_file_is_named_with_its_line() {
    let project = Project::new(&[("mlbuild.toml", "[run]\nrm = true\nshmsize = \"1g\"\n")]);
    let ran = run(&project, "--dry-run img");
    insta::assert_snapshot!(project.filtered(ran.refusal(2)), @r"
    error: /project/mlbuild.toml:3:1: unknown key `shmsize`
      hint: did you mean `shm-size`?
    ");
}

#[test]
fn nothing_that_starts_containers_is_one_error_with_what_was_tried() {
    let project = Project::new(&[]);
    let empty = project.outside().join("state");
    let mut command = project.command(["run", "img"]);
    let ran = crate::support::mlbuild::Ran::of(command.env("PATH", &empty));
    insta::assert_snapshot!(ran.refusal(3), @r"
    error: nothing here starts containers; tried:
      docker: no such program on PATH
      podman: no such program on PATH
      nerdctl: no such program on PATH
      apptainer: no such program on PATH
      hint: install Docker or Podman, or start it: sudo systemctl start docker
      hint: or a private Docker, which changes nothing else here: mlbuild engine up --source packages
    ");
    let mut command = project.command(["run", "--runtime-cli=podman", "img"]);
    let ran = crate::support::mlbuild::Ran::of(command.env("PATH", &empty));
    insta::assert_snapshot!(ran.refusal(3), @r"
    error: nothing here starts containers; tried:
      podman: no such program on PATH
      hint: install Docker or Podman, or start it: sudo systemctl start docker
    ");
}

#[test]
fn help_lists_every_flag() {
    let project = Project::new(&[]);
    let help = run(&project, "--help");
    let asked = project.run(["help", "run"]);
    assert_eq!(help.answer(), asked.answer());
    for flag in mlbuild::runtime::FLAGS {
        assert!(
            help.answer().contains(&format!("--{}", flag.name)),
            "--{}",
            flag.name
        );
    }
}
