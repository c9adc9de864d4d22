//! What bears on an environment is used or named, whatever it is called, and what doesn't isn't.

use mlbuild_templates::project::{Finding, detect};

const CONDA: &str = "name: x\ndependencies:\n  - python=3.9\n  - pytorch\n";
const APPTAINER: &str = "Bootstrap: docker\nFrom: python:3.11\n%post\n  pip install torch\n";
const PINNED: &str = "torch==2.1.0\nnumpy==1.26.4 \\\n    --hash=sha256:00\n-e .\n";

/// What is said of a file that lies beside a requirements.txt.
fn said(file: &str, text: &str) -> Option<Finding> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("requirements.txt"), "numpy\n").unwrap();
    std::fs::write(folder.path().join(file), text).unwrap();
    let facts = detect(folder.path());
    assert_eq!(facts.problems, [""; 0], "{file}");
    facts.findings.into_iter().find(|found| found.file == file)
}

#[test]
fn lists_of_packages_are_known_by_what_is_in_them() {
    for (file, text, why) in [
        ("requirements.lock", PINNED, "reads as a list of packages"),
        (
            "requirements-dev.lock",
            PINNED,
            "reads as a list of packages",
        ),
        (
            "requirements-gpu.in",
            "torch\n",
            "reads as a list of packages",
        ),
        ("requirements.pip", "torch\n", "reads as a list of packages"),
        (
            "requirements.txt.gpu",
            "torch>=2\n",
            "reads as a list of packages",
        ),
        ("env.txt", PINNED, "reads as a list of packages"),
        (
            "dependencies.txt",
            "torch\nnumpy\n",
            "reads as a list of packages",
        ),
        ("to_install.txt", "torch\n", "reads as a list of packages"),
        (
            "conda-linux-64.lock",
            "# platform: linux-64\n@EXPLICIT\nhttps://c.example/x-1-0.conda\n",
            "conda's own list of archives",
        ),
        (
            "spec-file.txt",
            "@EXPLICIT\nhttps://c.example/x-1-0.tar.bz2\n",
            "conda's own list of archives",
        ),
        (
            "conda_packages.txt",
            "# This file may be used to create an environment\nnumpy=1.26.4=py311h64a7726_0\n",
            "a list that conda writes",
        ),
        ("mamba.yml", CONDA, "an environment of conda"),
        (
            "gpu.yaml",
            "channels: [nvidia]\ndependencies: [cudatoolkit]\n",
            "an environment of conda",
        ),
        (
            "config.yaml",
            "python_version: py311\nrequirements: [torch]\n",
            "its packages are read by another tool",
        ),
        ("apptainer.def", APPTAINER, "definitions of Apptainer"),
        ("train.def", APPTAINER, "definitions of Apptainer"),
        ("Singularity.gpu", APPTAINER, "definitions of Apptainer"),
        (
            "Cargo.toml",
            "[package]\nname = \"x\"\n",
            "programs aren't compiled",
        ),
        ("CMakeLists.txt", "project(x)\n", "programs aren't compiled"),
        (
            "sky.yaml",
            "setup: |\n  pip install torch\n",
            "SkyPilot's setup isn't run",
        ),
        (
            "Taskfile.yml",
            "tasks:\n  a:\n    cmds:\n      - pip install torch\n",
            "it installs packages when it is run",
        ),
        (
            "uv.toml",
            "index-url = \"https://i.example/simple\"\n",
            "read from pyproject.toml alone",
        ),
        (
            ".condarc",
            "channels: [defaults]\n",
            "environment.yml names",
        ),
        (".env.example", "API_KEY=\n", "aren't set in the image"),
        (".env", "API_KEY=x\n", "stays out of it"),
    ] {
        let found = said(file, text).unwrap_or_else(|| panic!("nothing is said of {file}"));
        assert!(!found.used && found.next.is_some(), "{found:?}");
        assert!(found.why.contains(why), "{found:?}");
    }
}

#[test]
fn data_and_settings_of_other_things_are_none() {
    for (file, text) in [
        ("labels.txt", "cat\ndog\nperson\n"),
        ("vocab.txt", "the\nof\n##ing\n"),
        ("results.txt", "accuracy = 0.91\nloss=0.2\n"),
        ("notes.txt", "Install numpy first, then run it.\n"),
        ("packages_of_wolves.txt", "A pack is a family.\n"),
        ("config.yml", "model: resnet\ndepth: 50\n"),
        ("dvc.yaml", "stages:\n  train:\n    cmd: python train.py\n"),
        ("data.yaml", "names: [cat, dog]\ntrain: images\n"),
        ("macros.def", "#define X 1\n"),
        (
            "yarn.lock",
            "# yarn lockfile v1\n\na@^1:\n  version \"1.0\"\n",
        ),
        ("MANIFEST.in", "include README.md\n"),
        ("robots.txt", "User-agent: *\nDisallow: /\n"),
        ("empty.txt", ""),
        // pip-compile reads it, and wrote requirements.txt.
        ("requirements.in", "numpy\n"),
    ] {
        assert_eq!(said(file, text), None, "{file}");
    }
}

#[test]
fn what_is_compiled_of_a_folder_of_lists_is_used_or_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("requirements")).unwrap();
    for file in ["base.in", "base.txt", "gpu.in"] {
        std::fs::write(folder.path().join("requirements").join(file), "numpy\n").unwrap();
    }
    let facts = detect(folder.path());
    let found = facts.findings.iter().map(|f| (f.file.as_str(), f.used));
    let found: Vec<_> = found.collect();
    assert_eq!(
        found,
        [
            ("requirements/base.txt", true),
            ("requirements/gpu.in", false)
        ]
    );
}

#[test]
fn what_rye_pinned_is_installed() {
    let folder = tempfile::tempdir().unwrap();
    let lock = "# generated by rye\n\n-e file:.\nnumpy==1.26.4\n    # via demo\n";
    for (file, text) in [
        (
            "pyproject.toml",
            "[project]\nname = \"demo\"\nversion = \"1\"\ndependencies = [\"numpy>=1\"]\n[tool.rye]\nmanaged = true\n",
        ),
        ("requirements.lock", lock),
        ("requirements-dev.lock", lock),
    ] {
        std::fs::write(folder.path().join(file), text).unwrap();
    }
    let facts = detect(folder.path());
    assert_eq!(facts.problems, [""; 0]);
    let used: Vec<&str> = facts
        .findings
        .iter()
        .filter(|f| f.used)
        .map(|f| f.file.as_str())
        .collect();
    assert_eq!(used, ["requirements.lock", "pyproject.toml"]);
    let dev = facts
        .findings
        .iter()
        .find(|f| f.file == "requirements-dev.lock")
        .unwrap();
    assert!(!dev.used, "{dev:?}");
}
