//! `mlbuild dev` and `mlbuild devcontainer` as far as no daemon is asked.

use crate::support::mlbuild::{Project, Ran};

fn run(project: &Project, line: &str) -> Ran {
    project.run(shlex::split(line).unwrap())
}

const LOCK: &str = include_str!("../../manifests/tests/samples/v1.lock");

#[test]
fn the_image_is_the_projects() {
    let project = Project::new(&[("mlbuild.toml", "[image]\ntag = \"cracks:v1\"\n")]);
    let line = |line: &str| project.filtered(run(&project, line).answer());
    insta::assert_snapshot!(line("dev --dry-run --no-defaults"), @"docker run --entrypoint= --rm --interactive --mount=type=bind,source=/project,target=/app --workdir=/app cracks:v1 /bin/sh -c 'command -v bash > /dev/null && exec bash; exec sh'");
    insta::assert_snapshot!(line(
        "dev --dry-run --no-defaults --dir /code --cmd 'make all' -e A=1"
    ), @"docker run --entrypoint= --rm --interactive --mount=type=bind,source=/project,target=/code --workdir=/code --env=A=1 cracks:v1 /bin/sh -c 'make all'");
    insta::assert_snapshot!(line(
        "dev --dry-run --no-defaults --no-dir other python x.py"
    ), @"docker run --rm --interactive other python x.py");
    project.write("mlbuild.toml", "");
    project.write("mlbuild.lock", LOCK);
    let refused = run(&project, "dev --dry-run");
    insta::assert_snapshot!(refused.refusal(2), @r"
    error: mlbuild.lock has several images, and mlbuild.toml names none: 127.0.0.1:5000/app, ghcr.io/acme/cracks:v1 (target serve)
      hint: mlbuild dev 127.0.0.1:5000/app
    ");
    let mut lock = project.lock();
    let other = lock.images().next().unwrap().key();
    lock.remove(&other);
    project.write("mlbuild.lock", &lock.to_toml());
    insta::assert_snapshot!(line("dev --dry-run --no-defaults --no-dir --shell sh"), @"docker run --entrypoint= --rm --interactive ghcr.io/acme/cracks@sha256:[DIGEST] sh");
}

#[test]
fn what_is_wrong_is_said() {
    let project = Project::new(&[]);
    let mut said = String::new();
    for line in [
        "dev --dry-run",
        "dev --dir app img",
        "dev --jupyter --cmd ls img",
        "dev --port 80 img",
        "dev --jupiter img",
        "devcontainer",
        "devcontainer img bash",
        "devcontainer --dir app img",
        "devcontainer --gpu=0 img",
    ] {
        said += &format!("$ mlbuild {line}\n{}", run(&project, line).refusal(2));
    }
    insta::assert_snapshot!(said, @r#"
    $ mlbuild dev --dry-run
    error: no image is named: neither on the line, nor in mlbuild.toml, nor in mlbuild.lock
      hint: mlbuild dev IMAGE
      hint: or make one: mlbuild image -t NAME --load
    $ mlbuild dev --dir app img
    error: --dir app: the path in the container must begin with / and hold no colon
      hint: write --dir /app; the project's folder on this machine is mounted by itself
    $ mlbuild dev --jupyter --cmd ls img
    error: --cmd and --jupyter say both what is started
      hint: leave one of them out
    $ mlbuild dev --port 80 img
    error: --port 80 is for --jupyter
      hint: for a port of your own: -p 127.0.0.1:8000:8000
    $ mlbuild dev --jupiter img
    error: unknown flag --jupiter
      hint: did you mean `--jupyter`?
    $ mlbuild devcontainer
    error: no image is named: neither on the line, nor in mlbuild.toml, nor in mlbuild.lock
      hint: mlbuild devcontainer IMAGE
      hint: or make one: mlbuild image -t NAME --load
    $ mlbuild devcontainer img bash
    error: `bash` stands after the image, and a devcontainer.json holds no command
      hint: write flags before the image: mlbuild devcontainer [FLAGS] [IMAGE]
    $ mlbuild devcontainer --dir app img
    error: --dir app: the path in the container must begin with /
      hint: write --dir /app
    $ mlbuild devcontainer --gpu=0 img
    error: --gpu: a devcontainer.json asks for all GPUs or none; its tool finds them
      hint: --gpu=required; or docker's own flag: --gpus '"device=0"'
    "#);
    assert_eq!(project.names(), [""; 0]);
}

#[test]
fn a_devcontainer_that_somebody_wrote_stays() {
    let project = Project::new(&[]);
    let name = ".devcontainer/devcontainer.json";
    let ran = run(
        &project,
        "devcontainer -u ana --gpu -v /data:/data --rm img",
    );
    assert_eq!(project.filtered(ran.answer()), format!("/project/{name}"));
    insta::assert_snapshot!(ran.stderr, @"warning: left out: --rm: the tool that reads devcontainer.json decides it");
    insta::assert_snapshot!(project.read(name), @r#"
    // Written by mlbuild devcontainer: written anew by it, too.
    {
      "containerUser": "ana",
      "hostRequirements": {
        "gpu": true
      },
      "image": "img",
      "mounts": [
        "type=bind,source=/data,target=/data"
      ],
      "remoteUser": "ana",
      "runArgs": [
        "--shm-size=1g"
      ],
      "workspaceFolder": "/app",
      "workspaceMount": "type=bind,source=${localWorkspaceFolder},target=/app"
    }
    "#);
    // Its own it writes anew.
    run(&project, "devcontainer --gpu=off other").answer();
    assert!(project.read(name).contains("\"image\": \"other\""));
    let mine = "// mine\n{\"image\": \"x\"}\n";
    project.write(name, mine);
    insta::assert_snapshot!(project.filtered(run(&project, "devcontainer img").refusal(2)), @r"
    error: /project/.devcontainer/devcontainer.json: somebody else wrote it, and it stays as it is
      hint: look at the difference: mlbuild devcontainer --dry-run
      hint: replace it: mlbuild devcontainer --force
    ");
    assert_eq!(project.read(name), mine);
    run(&project, "devcontainer --force img").answer();
    assert!(project.read(name).contains("\"image\": \"img\""));
}

#[test]
fn without_a_verb_the_next_commands_are_said() {
    let project = Project::new(&[]);
    let alone = || project.run([""; 0]);
    assert!(alone().stderr.contains("Usage: mlbuild <COMMAND>"));
    project.write("requirements.txt", "six\n");
    project.write("train.py", "");
    project.write("environment.yml", "dependencies: [pip]\n");
    insta::assert_snapshot!(alone().answer(), @r"
    requirements.txt: used: 1 package
    environment.yml: not used: other files say which packages there are; to use it: -r environment.yml

    next:
      mlbuild up python train.py          # make the image if anything changed, and run this in it
      mlbuild image --print dockerfile    # see what the image is made of
      mlbuild help                        # all commands
    ");
    project.write("mlbuild.toml", "[image]\ncommand = \"make\"\n");
    insta::assert_snapshot!(alone().answer(), @r"
    mlbuild.toml: used
    requirements.txt: used: 1 package
    environment.yml: not used: other files say which packages there are; to use it: -r environment.yml

    next:
      mlbuild up                          # make the image if anything changed, and run this in it
      mlbuild image --print dockerfile    # see what the image is made of
      mlbuild help                        # all commands
    ");
    project.write("mlbuild.toml", "[image]\ncommnd = 1\n");
    alone().refusal(2);
}

#[test]
fn what_up_cannot_start_is_refused_before_anything_is_built() {
    let project = Project::new(&[("requirements.txt", "six\n")]);
    for (line, what) in [
        ("up --jupyter python x.py", "--jupyter and a command"),
        ("up --cmd make python x.py", "--cmd and a command"),
        ("up --dir app", "--dir app"),
        ("up --port 1 python x.py", "--port 1"),
        ("up --gpu=requried python x.py", "--gpu=requried"),
    ] {
        let ran = run(&project, line);
        let said = ran.refusal(2);
        assert!(said.contains(what), "{line}: {said}");
        assert!(!project.path("mlbuild.lock").exists(), "{line}");
    }
}
