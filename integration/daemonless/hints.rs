//! What mlbuild says to type next about a file of the project is taken by mlbuild.

use crate::support::mlbuild::Project;

const CONDA: &str = "name: x\nchannels: [conda-forge]\ndependencies:\n  - python=3.10\n  - numpy\n";
const SETUP: &str = "from setuptools import setup\nsetup(name=\"x\")\n";

/// The arguments of `mlbuild image` that a text names, each as its words.
fn named(said: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for line in said.lines() {
        for step in line.split("; ") {
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
            if let Some((_, image)) = step.split_once("mlbuild image ") {
                found.push(words(image));
            } else if let Some((_, flags)) = step.split_once(": -r ") {
                found.push(words(&format!("-r {flags}")));
            } else if let Some((_, flags)) = step.split_once(": --python ") {
                found.push(words(&format!("--python {flags}")));
            }
        }
    }
    found
}

#[test]
fn each_step_that_is_named_for_a_file_is_taken() {
    for (files, steps) in [
        (
            &[
                ("envs/gpu.yml", CONDA),
                ("py39.yml", CONDA),
                ("deploy/conda-env.yml", CONDA),
            ][..],
            3,
        ),
        (
            &[
                ("requirements.txt", "six\n"),
                ("setup.py", SETUP),
                ("env.txt", "numpy==1.26.4\n"),
            ],
            2,
        ),
        (&[("environment_gpu.yml", CONDA), ("setup.py", SETUP)], 1),
        (
            &[
                ("a/cog.yaml", "build:\n  python_version: \"3.10\"\n"),
                ("b/c/requirements.txt", "six\n"),
                ("b/c/Dockerfile", "FROM scratch\n"),
            ],
            3,
        ),
        (
            &[
                ("compose.yml", "services:\n  web:\n    build: ./web\n"),
                ("web/Dockerfile", "FROM scratch\nCOPY app.py /\n"),
                ("web/app.py", ""),
                ("requirements.txt", "six\n"),
            ],
            1,
        ),
        (
            &[
                ("requirements.txt", "six\n"),
                ("Dockerfile.gpu", "FROM scratch\n"),
                (".python-version", "system\n"),
            ],
            2,
        ),
    ] {
        let project = Project::new(files);
        let ran = project.run(["image", "--explain", "--no-lock"]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let commands = named(&ran.stderr);
        assert_eq!(commands.len(), steps, "{}", ran.stderr);
        for command in commands {
            let args = ["image", "--explain", "--no-lock"].map(str::to_owned);
            let ran = project.run(args.into_iter().chain(command.clone()));
            assert_eq!(ran.code, Some(0), "{command:?}: {}", ran.stderr);
        }
    }
}

#[test]
fn a_file_to_copy_that_isnt_there_is_said_before_the_build() {
    let project = Project::new(&[
        (
            "docker/Dockerfile",
            "FROM scratch\nCOPY uv.lock main.py /\nCOPY data* $X /\n",
        ),
        ("main.py", ""),
    ]);
    let said = "docker/Dockerfile:2: it takes uv.lock from the context";
    for what in ["plan", "context"] {
        let ran = project.run([
            "image",
            "-f",
            "docker/Dockerfile",
            "--no-lock",
            "--print",
            what,
        ]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        assert!(ran.stderr.contains(said), "{what}: {}", ran.stderr);
        assert!(!ran.stderr.contains("main.py"), "{what}: {}", ran.stderr);
    }
    let lint = |project: &Project| project.run(["templates", "lint", "docker/Dockerfile"]);
    let ran = lint(&project);
    assert!(
        ran.stdout.contains("docker/Dockerfile:2: it takes uv.lock"),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stdout.contains("copy-missing") && !ran.stdout.contains("main.py"),
        "{}",
        ran.stdout
    );
    // Beside the Dockerfile, or at the root: either folder may be the context.
    project.write("docker/uv.lock", "");
    assert_eq!(lint(&project).code, Some(0));
}
