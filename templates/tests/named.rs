//! What bears on an environment is used or named, whatever it is called, and what doesn't isn't.

use std::path::Path;

use mlbuild_templates::project::manifests::Choice;
use mlbuild_templates::project::{Finding, NextStep, detect, detect_chosen};
use mlbuild_templates::{ComposeContext, compose};

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
        (".condarc", "channels: [defaults]\n", "settings of conda"),
        (".env.example", "API_KEY=\n", "aren't set in the image"),
        (".env", "API_KEY=x\n", "stays out of it"),
    ] {
        let found = said(file, text).unwrap_or_else(|| panic!("nothing is said of {file}"));
        assert!(!found.used && found.next.is_some(), "{found:?}");
        assert!(found.why.contains(why), "{found:?}");
    }
}

#[test]
fn an_environment_of_mlflow_is_none_of_conda() {
    let text = "python: '3.10'\nbuild_dependencies: [pip]\ndependencies: [-r requirements.txt]\n";
    let found = said("python_env.yaml", text).unwrap();
    assert!(!found.used && found.why.contains("MLflow"), "{found:?}");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("conda.yaml"), CONDA).unwrap();
    std::fs::write(folder.path().join("python_env.yaml"), text).unwrap();
    let facts = detect(folder.path());
    assert_eq!(facts.alternatives.len(), 0);
    assert!(
        facts
            .findings
            .iter()
            .any(|f| f.file == "conda.yaml" && f.used)
    );
}

#[test]
fn constraints_are_named_with_their_own_file() {
    let found = said("constraints-gpu.txt", "torch<2.5\n").unwrap();
    let next = format!("{:?}", found.next);
    assert!(next.contains("-c constraints-gpu.txt"), "{next}");
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

/// What is said of a folder, each finding as it is written in words of mlbuild.toml.
fn all_said(files: &[(&str, &str)]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), files);
    let facts = detect(folder.path());
    assert_eq!(facts.problems, [""; 0], "{files:?}");
    facts.findings.iter().map(ToString::to_string).collect()
}

/// Writes files; a path that ends in `/` is a folder.
fn write(folder: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = folder.join(name);
        if name.ends_with('/') {
            std::fs::create_dir_all(path).unwrap();
            continue;
        }
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

const BARE_SETUP: &str =
    "from setuptools import setup, find_packages\nsetup(name=\"x\", packages=find_packages())\n";
const BARE_PROJECT: &str =
    "[project]\nname = \"x\"\nversion = \"0\"\n[build-system]\nrequires = [\"setuptools\"]\n";

#[test]
fn a_project_that_names_no_package_hides_nothing_that_does() {
    for project in [("setup.py", BARE_SETUP), ("pyproject.toml", BARE_PROJECT)] {
        for file in [
            "conda_environment.yaml",
            "environment_gpu.yml",
            "env.yml",
            "binder/environment.yml",
        ] {
            let said = all_said(&[project, (file, CONDA)]);
            assert!(said[0].starts_with(&format!("{file}: used: ")), "{said:?}");
            let of_project = said
                .iter()
                .find(|line| line.starts_with(project.0))
                .unwrap();
            let both = format!(
                "not used: {file} says which packages there are, and the project itself isn't installed; to use it: requirements = [\"{file}\", \"{}\"] under [image]",
                project.0
            );
            assert!(of_project.ends_with(&both), "{of_project}");
        }
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &[project, ("Dockerfile", "FROM x:1\n")]);
        assert_eq!(
            detect(folder.path()).lone_dockerfile(),
            Some("Dockerfile"),
            "{project:?}"
        );
        let folder = tempfile::tempdir().unwrap();
        write(
            folder.path(),
            &[project, ("env_a.yml", CONDA), ("env_b.yml", CONDA)],
        );
        assert_eq!(
            detect(folder.path()).alternatives,
            ["env_a.yml", "env_b.yml"]
        );
    }
    // The plain one of several, and none that is for another system.
    for (files, used) in [
        (
            [
                "conda_env.yaml",
                "conda_env_macos.yaml",
                "conda_env_real.yaml",
            ],
            "conda_env.yaml",
        ),
        (
            [
                "environment_linux.yml",
                "environment_osx.yml",
                "environment-win.yml",
            ],
            "environment_linux.yml",
        ),
    ] {
        let mut files: Vec<(&str, &str)> = files.map(|file| (file, CONDA)).to_vec();
        files.push(("setup.py", BARE_SETUP));
        let said = all_said(&files);
        let is_used = said.iter().filter(|line| line.contains(": used: ")).count();
        assert!(
            is_used == 1 && said[0].starts_with(&format!("{used}: used")),
            "{said:?}"
        );
        assert_eq!(said.len(), 4, "{said:?}");
    }
    // One that names some, or leaves it to be chosen, or that can't be told, says which packages there are.
    for text in [
        "setup(name='x', install_requires=['numpy'])\n",
        "setup(name='x', extras_require={'gpu': ['torch']})\n",
        "setup(**options)\n",
    ] {
        let said = all_said(&[("setup.py", text), ("conda_environment.yaml", CONDA)]);
        assert!(
            said.iter().any(|line| line.starts_with("setup.py: used")),
            "{text}: {said:?}"
        );
    }
    // Alone, it is the project all the same.
    let said = all_said(&[("setup.py", BARE_SETUP)]);
    assert!(said[0].starts_with("setup.py: used"), "{said:?}");
    // Settings of tools, and a project that nothing can install, are no list of packages.
    for text in [
        "[project]\nname = \"x\"\nversion = \"1\"\n[tool.comfy]\na = 1\n",
        "[tool.ruff]\n",
    ] {
        let said = all_said(&[("requirements.txt", "numpy\n"), ("pyproject.toml", text)]);
        assert_eq!(said, ["requirements.txt: used: 1 package"], "{text}");
    }
}

#[test]
fn files_that_git_lfs_has_not_fetched_are_named_once() {
    const POINTER: &str = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n";
    const ATTRIBUTES: &str = "*.bin filter=lfs diff=lfs merge=lfs -text\n";
    let found = |attributes: &str, files: &[(&str, &str)]| {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("requirements.txt"), "numpy\n").unwrap();
        std::fs::write(folder.path().join(".gitattributes"), attributes).unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        std::os::unix::fs::symlink(".", folder.path().join("round")).unwrap();
        let facts = detect(folder.path()).findings;
        let mut facts = facts.into_iter().filter(|found| found.why.contains("LFS"));
        let first = facts.next().map(|found| {
            assert!(!found.used && found.next.unwrap().to_string().contains("git lfs pull"));
            format!("{}: {}", found.file, found.why)
        });
        assert!(facts.next().is_none());
        first.unwrap_or_default()
    };
    let one = found(ATTRIBUTES, &[("weights/a.bin", POINTER)]);
    assert_eq!(
        one,
        "weights/a.bin: it is a pointer of git LFS, its content isn't fetched"
    );
    let two = found(
        ATTRIBUTES,
        &[("weights/b.bin", POINTER), ("a.bin", POINTER)],
    );
    assert!(
        two.starts_with("a.bin: ") && two.ends_with(", and so are 1 more files"),
        "{two}"
    );
    for (attributes, text) in [(ATTRIBUTES, "the file itself"), ("*.py text\n", POINTER)] {
        assert_eq!(found(attributes, &[("a.bin", text)]), "");
    }
}

#[test]
fn a_list_that_a_setup_script_takes_packages_from_is_used() {
    let script = "R = [l.strip() for l in open('deps.txt') if l[0] != '-']\nsetup(name='x', install_requires=R)\n";
    let said = all_said(&[("setup.py", script), ("deps.txt", "six\n-e .\n")]).join("\n");
    assert!(said.contains("setup.py: used: 1 package"), "{said}");
    assert!(
        said.contains("deps.txt: used: setup.py takes packages from it"),
        "{said}"
    );
}

#[test]
fn scripts_that_pdm_runs_where_it_installs_are_named() {
    let text = "[project]\nname = 'x'\nversion = '1'\ndependencies = ['six']\n[tool.pdm.scripts]\npost_install = 'fetch.sh'\ntest = 'pytest'\n";
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("pyproject.toml"), text).unwrap();
    let context = ComposeContext {
        project: Some(folder.path()),
        ..ComposeContext::default()
    };
    let spec = "python.requirements = ['pyproject.toml']";
    let done = compose(&toml::from_str(spec).unwrap(), &context).unwrap();
    let said: Vec<String> = done.warnings.iter().map(|w| w.message.clone()).collect();
    let said = said.join("\n");
    assert!(
        said.contains("pyproject.toml:6: post_install") && !said.contains("test"),
        "{said}"
    );
}

const MODULES: &str = "[submodule \"v\"]\n\tpath = deps/v\n\turl = https://h.example/x/v.git\n";

#[test]
fn a_submodule_that_is_not_fetched_is_refused_with_gits_command() {
    let uv = "[project]\nname = \"p\"\nversion = \"0\"\ndependencies = [\"v\"]\n[tool.uv.sources]\nv = { path = \"deps/v\", editable = true }\n";
    let poetry = "[tool.poetry]\nname = \"p\"\nversion = \"0\"\n[tool.poetry.dependencies]\npython = \"^3.10\"\nv = { path = \"deps/v\", develop = true }\n";
    let inside = "[tool.poetry]\nname = \"p\"\nversion = \"0\"\n[tool.poetry.dependencies]\nv = { path = \"deps/v/python\" }\n";
    for (file, text) in [
        ("pyproject.toml", uv),
        ("pyproject.toml", poetry),
        ("pyproject.toml", inside),
        ("requirements.txt", "./deps/v\n"),
        ("requirements.txt", "-e deps/v/python\n"),
        ("requirements.txt", "-e ./deps/v[all]\n"),
        ("environment.yml", "dependencies:\n- pip:\n  - -e deps/v\n"),
    ] {
        for place in ["deps/v/", "deps/"] {
            let folder = tempfile::tempdir().unwrap();
            write(
                folder.path(),
                &[(file, text), (".gitmodules", MODULES), (place, "")],
            );
            let facts = detect(folder.path());
            let problems = facts.problems.join("\n");
            let command = "git submodule update --init deps/v";
            assert!(problems.contains(command), "{text} {place}: {problems}");
            let is_used = facts
                .findings
                .iter()
                .any(|found| found.used && found.file == "deps/v");
            assert!(!is_used, "{facts:?}");
        }
    }
    // A lock names it, too.
    let lock = "version = 1\n[[package]]\nname = \"p\"\nsource = { virtual = \".\" }\n[[package]]\nname = \"v\"\nsource = { editable = \"deps/v\" }\n";
    let folder = tempfile::tempdir().unwrap();
    let locked = [
        ("pyproject.toml", uv),
        ("uv.lock", lock),
        (".gitmodules", MODULES),
        ("deps/v/", ""),
    ];
    write(folder.path(), &locked);
    let problems = detect(folder.path()).problems.join("\n");
    assert!(
        problems.contains("uv.lock: it names deps/v") && problems.contains("--init deps/v"),
        "{problems}"
    );
    // One that is there, and a folder that is no submodule.
    let folder = tempfile::tempdir().unwrap();
    let there = [
        ("requirements.txt", "./deps/v\n"),
        (".gitmodules", MODULES),
        ("deps/v/setup.py", BARE_SETUP),
    ];
    write(folder.path(), &there);
    assert_eq!(detect(folder.path()).problems, [""; 0]);
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        &[
            ("requirements.txt", "./deps/vv\n"),
            (".gitmodules", MODULES),
            ("deps/vv/", ""),
        ],
    );
    let problems = detect(folder.path()).problems.join("\n");
    assert!(
        problems.contains("holds neither a pyproject.toml nor a setup.py"),
        "{problems}"
    );
}

#[test]
fn a_project_is_a_member_of_its_own_workspace() {
    let text = "[project]\nname = \"My.P\"\nversion = \"0\"\ndependencies = [\"numpy\"]\n[tool.uv.sources]\nmy-p = { workspace = true }\n[dependency-groups]\ndev = [\"my_p\", \"pytest\"]\n[build-system]\nrequires = [\"setuptools\"]\n";
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &[("pyproject.toml", text)]);
    let groups = ["dev".to_owned()];
    let choice = Choice {
        groups: &groups,
        ..Choice::default()
    };
    let facts = detect_chosen(folder.path(), choice);
    assert_eq!(facts.problems, [""; 0]);
    assert!(facts.packages.contains("pytest"), "{facts:?}");
    let other = text
        .replace("my-p = {", "q = {")
        .replace("\"my_p\"", "\"q\"");
    write(folder.path(), &[("pyproject.toml", &other)]);
    let problems = detect_chosen(folder.path(), choice).problems;
    assert!(problems[0].contains("q is to be a member"), "{problems:?}");
}

#[test]
fn an_index_that_nothing_is_taken_from_by_name_is_no_loss() {
    let project = |source: &str, explicit: &str| {
        format!(
            "[project]\nname = \"p\"\nversion = \"0\"\ndependencies = [\"numpy\"]\n[[tool.uv.index]]\nname = \"own\"\nurl = \"https://i.example/simple\"\n{explicit}\n[tool.uv.sources]\n{source}\n"
        )
    };
    for (text, is_named) in [
        (project("", "explicit = true"), false),
        (
            project("torch = { index = \"own\" }", "explicit = true"),
            false,
        ),
        (
            project("numpy = { index = \"own\" }", "explicit = true"),
            true,
        ),
        (project("", ""), true),
    ] {
        let said = all_said(&[("pyproject.toml", &text)]);
        let named = said
            .iter()
            .any(|line| line.contains("source own: not used"));
        assert_eq!(named, is_named, "{text}: {said:?}");
    }
}

#[test]
fn what_is_installed_is_used_whatever_is_known_of_it() {
    let said = all_said(&[(
        "requirements.txt",
        "git+https://h.example/a/b/#subdirectory=x\ntorch\n",
    )]);
    let line = said.iter().find(|line| line.contains("h.example")).unwrap();
    assert!(
        line.contains(": used: which package it holds isn't known"),
        "{line}"
    );
}

/// Whether a file is named as one that installs packages.
fn is_installer(file: &str, text: &str) -> bool {
    let found = said(file, text);
    found.is_some_and(|found| !found.used && found.why.contains("installs packages"))
}

#[test]
fn programs_and_scripts_that_install_are_named() {
    for (file, text) in [
        (
            "launch.py",
            "command = os.environ.get(\"X\", f\"pip install torch==2.3.1 -i {u}\")\nrun(f\"-m {command}\")\n",
        ),
        ("a.py", "import os\nos.system(f'pip install {name}')\n"),
        (
            "launch.py",
            "import os, sys\nos.system(f\"{sys.executable} -m pip install torch==2.1.0\")\n",
        ),
        (
            "setup_env.py",
            "import subprocess\nsubprocess.run([sys.executable, '-m', 'pip',\n    'install', 'torch'])\n",
        ),
        (
            "setup_env.py",
            "def run(c): os.system(c)\nrun(f\"{sudo}apt-get install -y ffmpeg\")\n",
        ),
        (
            "setup_env.py",
            "import os\ncmd = 'pip install torch'\nos.system(cmd)\n",
        ),
        ("prepare.py", "import pip\npip.main(['install', 'torch'])\n"),
        (
            "launch.py",
            "run_pip(f\"install {torch_command}\", \"torch\")\n",
        ),
        (
            "launch.py",
            "subprocess.check_call(\"conda install -y cudatoolkit\", shell=True)\n",
        ),
        (
            "install.bat",
            "@echo off\r\npython -m pip install torch\r\n",
        ),
        ("install.ps1", "Write-Host 'hello'\npip install torch\n"),
        (
            "train.slurm",
            "#!/bin/bash\n#SBATCH -N 1\nmodule load cuda\npip install --user flash-attn\n",
        ),
        ("job.sbatch", "#!/bin/bash\nconda create -n x python=3.9\n"),
        (
            "tasks.py",
            "@task\ndef deps(c):\n    c.run(\"pip install torch\")\n",
        ),
        ("run.sh", "#!/bin/bash\nsudo apt-get -y install ffmpeg\n"),
        ("run.sh", "set -e; FOO=1 pip install torch\n"),
        ("run.sh", "echo installing && pip install torch\n"),
        ("run.sh", "venv/bin/pip install torch\n"),
        ("run.sh", "yes | apt-get install ffmpeg\n"),
        ("Makefile", "deps:\n\t@pip install torch\n"),
        ("Makefile", "deps:\n\tpoetry run pip install torch\n"),
    ] {
        assert!(is_installer(file, text), "{file}: {text}");
    }
}

#[test]
fn what_only_speaks_of_an_installation_is_no_installer() {
    for (file, text) in [
        (
            "run.sh",
            "#!/bin/bash\n# pip install foo\necho \"please pip install foo\"\n",
        ),
        ("run.sh", "echo 'pip install foo'\n"),
        ("run.sh", "echo \"first; pip install foo\"\n"),
        (
            "run.sh",
            "if ! command -v x; then\n  printf 'run apt-get install x\\n'\nfi\n",
        ),
        ("run.sh", "python main.py # pip install foo\n"),
        ("run.sh", "log_error \"pip install foo\"\n"),
        (
            "run.sh",
            "cat <<EOF > README\npip install foo\nEOF\npython main.py\n",
        ),
        (
            "run.sh",
            "pip install -r requirements.txt && pip install -e .\n",
        ),
        ("Makefile", "help:\n\t@echo \"run pip install foo\"\n"),
        (
            "Makefile",
            "# sudo apt-get install libomp-dev\n$(info try install NCCL with `sudo apt install libnccl2`)\nall:\n\tcc a.c\n",
        ),
        (
            "install.bat",
            "REM pip install foo\r\necho pip install foo\r\n",
        ),
        (
            "a.py",
            "import subprocess\nraise ImportError('pip install foo')\n",
        ),
        (
            "a.py",
            "import subprocess\nprint(\n    'run it:',\n    'pip install foo')\n",
        ),
        (
            "a.py",
            "\"\"\"Usage:\n\n    pip install foo\n\"\"\"\nimport subprocess\nsubprocess.run(['ls'])\n",
        ),
        (
            "a.py",
            "import subprocess\nmessage = 'Please pip install foo'\n",
        ),
        ("a.py", "text = 'pip install foo'\n"),
        (
            "a.py",
            "import subprocess\ntext = 'It is absent (pip install foo)'\n",
        ),
        (
            "a.py",
            "import subprocess\nHINTS = {'foo': 'pip install foo'}\n",
        ),
        (
            "a.py",
            "import subprocess\nsubprocess.run(['git', 'clone', 'x'])\n",
        ),
    ] {
        assert!(!is_installer(file, text), "{file}: {text}");
    }
}

#[test]
fn a_line_as_long_as_a_file_is_read_in_bounded_time() {
    for piece in [
        "please pip install . ; ",
        "pip install -r a ",
        "poetry run pip install pip ",
        "((((",
        "\"'\"'",
        "echo x <<EOF ",
        "apt-get -y ",
    ] {
        let line = format!(
            "import subprocess\n{}\n",
            piece.repeat((1 << 19) / piece.len())
        );
        for file in ["a.py", "a.sh", "Makefile", "a.ipynb"] {
            let begun = std::time::Instant::now();
            said(file, &line);
            assert!(
                begun.elapsed().as_secs() < 20,
                "{file} {piece}: {:?}",
                begun.elapsed()
            );
        }
    }
}

fn notebook(source: &str) -> String {
    let lines: Vec<&str> = source.split_inclusive('\n').collect();
    serde_json::json!({ "cells": [{ "cell_type": "code", "source": lines }], "nbformat": 4 })
        .to_string()
}

#[test]
fn notebooks_whose_cells_install_are_named() {
    for source in [
        "!pip install torch",
        "%pip install -q torch\nimport torch",
        "%conda install faiss-gpu",
        "import os\nos.system(\"pip install torch\")",
        "import sys\n!{sys.executable} -m pip install torch",
        "import subprocess\nsubprocess.run([\"apt-get\", \"install\", \"-y\", \"ffmpeg\"])",
        "%%bash\nset -e\napt-get install -y ffmpeg\n",
        "%%capture\n!apt-get install -qq ffmpeg\n",
        "if True:\n    !pip install torch",
    ] {
        assert!(is_cell(&notebook(source)), "{source}");
    }
    for source in [
        "# !pip install torch",
        "print('pip install torch')",
        "!pip install -r requirements.txt",
        "%%bash\necho pip install torch\n",
        "%%writefile install.txt\npip install torch\n",
    ] {
        assert!(!is_cell(&notebook(source)), "{source}");
    }
    let prose =
        "{\"cells\": [{\"cell_type\": \"markdown\", \"source\": [\"!pip install torch\"]}]}";
    assert!(!is_cell(prose));
    // One that is cut off, as a large one is.
    assert!(is_cell(
        "{\"cells\": [{\"source\": [\"!pip install torch\\n\"]"
    ));
    let said = all_said(&[
        ("nb/a.ipynb", &notebook("!pip install torch")),
        ("nb/b.ipynb", &notebook("!pip install x")),
    ]);
    assert!(
        said[0]
            .starts_with("nb/a.ipynb: not used: its cells install packages, and 1 notebooks more"),
        "{said:?}"
    );
}

fn is_cell(text: &str) -> bool {
    said("a.ipynb", text).is_some_and(|found| found.is_aside && found.why.contains("cells install"))
}

#[test]
fn workflows_that_install_are_named_once() {
    let github = "jobs:\n  t:\n    steps:\n      - run: sudo apt-get update && sudo apt-get install -y libgl1 ffmpeg\n      - run: |\n          pip install torch\n";
    for (file, text) in [
        (".github/workflows/ci.yml", github),
        (
            ".gitlab-ci.yml",
            "test:\n  script:\n    - apt-get install -y ffmpeg libgl1\n",
        ),
        (
            ".circleci/config.yml",
            "jobs:\n  x:\n    steps:\n      - run: sudo apt-get install ffmpeg libgl1\n",
        ),
        (
            ".travis.yml",
            "install:\n  - sudo apt-get install -y libgl1 ffmpeg\n",
        ),
    ] {
        let said = all_said(&[(file, text)]);
        let line = format!(
            "{file}: not used: its steps install packages (ffmpeg libgl1 of the distribution), and no workflow is run; "
        );
        assert!(said.len() == 1 && said[0].starts_with(&line), "{said:?}");
    }
    let two = [
        (".github/workflows/a.yml", github),
        (".github/workflows/b.yml", github),
    ];
    let said = all_said(&two);
    assert!(
        said.len() == 1 && said[0].contains(", and 1 more, and no workflow is run"),
        "{said:?}"
    );
    for text in [
        "steps:\n - run: pip install -r requirements.txt pytest ruff\n",
        "steps:\n - run: echo apt-get install x\n",
        "steps:\n - name: apt-get install x\n   uses: a/b@v1\n",
        "steps:\n - uses: actions/checkout@v4\n",
        "steps:\n - run: pip install .[test] pytest-cov\n",
    ] {
        assert_eq!(
            all_said(&[(".github/workflows/a.yml", text)]),
            [""; 0],
            "{text}"
        );
    }
}

#[test]
fn spaces_robots_recipes_and_makefiles_of_cuda_are_named() {
    let space = |front: &str| format!("---\ntitle: X\n{front}---\n\n# X\n");
    for (file, text, line) in [
        (
            "README.md",
            &*space("sdk: gradio\nsdk_version: 4.44.0\npython_version: 3.10\napp_file: demo.py\n"),
            "README.md: not used: it describes a Space, which brings gradio==4.44.0 itself and starts demo.py with Python 3.10; to have the same: packages = [\"gradio==4.44.0\"], python = \"3.10\", command = [\"python\", \"demo.py\"] under [image]",
        ),
        (
            "README.md",
            &*space("sdk: streamlit\nsdk_version: \"1.36.0\"\n"),
            "packages = [\"streamlit==1.36.0\"], command = [\"streamlit\", \"run\", \"app.py\"] under [image]",
        ),
        (
            "package.xml",
            "<?xml version=\"1.0\"?>\n<package format=\"3\"><depend>rospy</depend></package>\n",
            "packages of ROS aren't installed",
        ),
        (
            "deps.repos",
            "repositories:\n  a:\n    type: git\n",
            "the repositories that it lists aren't fetched",
        ),
        (
            ".rosinstall",
            "- git: {local-name: a, uri: 'https://h/a'}\n",
            "the repositories that it lists aren't fetched",
        ),
        (
            "meta.yaml",
            "package:\n  name: x\nrequirements:\n  run:\n    - numpy\n",
            "it is a recipe of conda's",
        ),
        (
            "Makefile",
            "NVCC ?= nvcc\nall: a.cu\n\t$(NVCC) a.cu -o a\n",
            "it compiles with NVIDIA's nvcc",
        ),
        (
            "Makefile",
            "all:\n\t/usr/local/cuda/bin/nvcc a.cu\n",
            "it compiles with NVIDIA's nvcc",
        ),
        ("ansible.yml", "- hosts: all\n", "Ansible isn't run"),
        (".python-versions", "3.10\n3.11\n", "not used"),
        (
            "tox.ini",
            "[testenv]\ndeps = pytest\n",
            "environments of tox aren't made",
        ),
        (
            "noxfile.py",
            "def tests(session):\n    session.install(\"pytest\")\n",
            "environments of Nox aren't made",
        ),
        (
            "docker-compose.gpu.yml",
            "services: {}\n",
            "services of Compose aren't started",
        ),
    ] {
        let said = all_said(&[(file, text)]);
        assert!(
            said.len() == 1 && said[0].contains(line),
            "{file}: {said:?}"
        );
    }
    for (file, text) in [
        ("README.md", "# X\n\n---\nsdk: gradio\n---\n"),
        ("README.md", &*space("sdk: docker\n")),
        ("README.md", &*space("sdk: static\n")),
        ("README.md", &*space("license: mit\n")),
        ("package.xml", "<project/>\n"),
        ("meta.yaml", "name: labels\n"),
        ("Makefile", "# nvcc\nall:\n\tcc a.c\n"),
        ("Makefile", "all:\n\t@echo nvcc is not needed\n"),
        ("tox.ini", "[flake8]\nmax-line-length = 100\n"),
    ] {
        assert_eq!(all_said(&[(file, text)]), [""; 0], "{file}: {text}");
    }
    // What a list asks for needs no word.
    let said = all_said(&[
        ("requirements.txt", "gradio\n"),
        ("README.md", &space("sdk: gradio\nsdk_version: 4.0.0\n")),
    ]);
    assert!(!said[1].contains("packages ="), "{said:?}");
}

#[test]
fn manifests_below_the_root_are_named_whatever_they_are() {
    let cog = "build:\n  python_version: \"3.10\"\n";
    for (file, text, part) in [
        ("x/cog.yaml", cog, "requirements = [\"x/cog.yaml\"]"),
        (
            "x/pixi.toml",
            "[dependencies]\nnumpy = \"*\"\n",
            "requirements = [\"x/pixi.toml\"]",
        ),
        (
            "x/Pipfile",
            "[packages]\nnumpy = \"*\"\n",
            "requirements = [\"x/Pipfile\"]",
        ),
        ("x/bentofile.yaml", "service: x\n", "BentoML"),
        ("x/packages.txt", "ffmpeg\n", "apt of [image]"),
        ("x/apt.txt", "ffmpeg\n", "apt of [image]"),
        ("x/docker-compose.yml", "services: {}\n", "Compose"),
        ("x/a.def", APPTAINER, "Apptainer"),
        ("x/.python-version", "3.10.4\n", "python = \"3.10\""),
        ("x/package.xml", "<package/>\n", "ROS"),
        (
            "x/install_dependencies.py",
            "import os\nos.system('pip install torch')\n",
            "it installs packages",
        ),
        (
            "modules/launch_utils.py",
            "import subprocess\nrun_pip(f\"install {torch_command}\", \"torch\")\n",
            "it installs packages",
        ),
        (
            "x/train.sbatch",
            "pip install torch\n",
            "it installs packages",
        ),
        (
            "x/requirement.txt",
            "numpy\n",
            "requirements = [\"x/requirement.txt\"]",
        ),
        ("envs/gpu.yml", CONDA, "requirements = [\"envs/gpu.yml\"]"),
    ] {
        let said = all_said(&[(file, text)]);
        assert!(
            said.len() == 1
                && said[0].starts_with(&format!("{file}: not used"))
                && said[0].contains(part),
            "{file}: {said:?}"
        );
    }
    for (file, text) in [
        ("a/b/req.txt", "numpy\n"),
        ("a/b/environment_gpu.yml", CONDA),
        ("a/b/c/requirements.txt", "numpy\n"),
        ("a/b/c/d/requirements.txt", "numpy\n"),
        ("a/b/c/Dockerfile", "FROM x:1\n"),
        ("a/b/cog.yaml", cog),
        ("a/b/x.def", APPTAINER),
        ("a/b/c/setup.py", BARE_SETUP),
    ] {
        let said = all_said(&[(file, text)]);
        let line = format!("further folders: not used: 1 manifest lies there: {file}; ");
        assert!(
            said.len() == 1 && said[0].starts_with(&line),
            "{file}: {said:?}"
        );
    }
    // Data, and what lies too deep to belong to anything.
    for (file, text) in [
        ("x/packages.txt", "a pack of wolves\n"),
        ("x/run.sh", "python main.py\n"),
        ("x/data.def", "#define X\n"),
        ("x/meta.yaml", "name: labels\n"),
        ("a/b/c/d/e/requirements.txt", "numpy\n"),
        ("node_modules/a/b/requirements.txt", "numpy\n"),
        (".hidden/b/requirements.txt", "numpy\n"),
    ] {
        assert_eq!(all_said(&[(file, text)]), [""; 0], "{file}");
    }
}

#[test]
fn no_more_than_a_thousand_folders_are_looked_into() {
    let folder = tempfile::tempdir().unwrap();
    for outer in 0..100 {
        for inner in 0..10 {
            std::fs::create_dir_all(folder.path().join(format!("d{outer}/e{inner}"))).unwrap();
        }
    }
    let lists = ["d0/e0/requirements.txt", "d99/e9/requirements.txt"];
    write(folder.path(), &lists.map(|file| (file, "numpy\n")));
    let findings = detect(folder.path()).findings;
    let why = "1 manifest lies there: d0/e0/requirements.txt";
    assert!(
        findings.len() == 1 && findings[0].why == why,
        "{findings:?}"
    );
}

#[test]
fn a_dockerfile_below_is_built_with_the_context_that_it_is_for() {
    let compose = "services:\n  web:\n    build: ./services/web\n";
    let long = "services:\n  web:\n    build:\n      context: services/web\n      dockerfile: gpu.Dockerfile\n";
    let copies = "FROM x:1\nCOPY app.py /\n";
    let said = |files: &[(&str, &str)], file: &str| {
        let said = all_said(files);
        said.iter()
            .find(|line| line.contains(file) && line.contains("dockerfile ="))
            .unwrap()
            .clone()
    };
    let below = said(
        &[
            ("compose.yml", compose),
            ("services/web/Dockerfile", "FROM x:1\n"),
        ],
        "services/web/Dockerfile",
    );
    assert!(
        below.ends_with("dockerfile = \"Dockerfile\" under [image] of services/web/mlbuild.toml"),
        "{below}"
    );
    let below = said(
        &[
            ("compose.yml", long),
            ("services/web/gpu.Dockerfile", "FROM x:1\n"),
        ],
        "services/web/gpu.Dockerfile",
    );
    assert!(
        below.ends_with(
            "dockerfile = \"gpu.Dockerfile\" under [image] of services/web/mlbuild.toml"
        ),
        "{below}"
    );
    // What it copies lies beside it.
    let below = said(
        &[("web/Dockerfile", copies), ("web/app.py", "")],
        "web/Dockerfile",
    );
    assert!(
        below.ends_with("dockerfile = \"Dockerfile\" under [image] of web/mlbuild.toml"),
        "{below}"
    );
    let below = said(
        &[("web/Dockerfile", copies), ("app.py", "")],
        "web/Dockerfile",
    );
    assert!(
        below.ends_with("dockerfile = \"web/Dockerfile\" under [image]"),
        "{below}"
    );
}

/// What the words of a step say about `[image]`, as a table of its own.
fn settings_in(words: &str) -> Option<String> {
    let (before, _) = words.split_once(" under [image]")?;
    let mut at: Vec<usize> = before.match_indices(": ").map(|(at, _)| at + 2).collect();
    at.extend(before.match_indices("set ").map(|(at, _)| at + 4));
    at.sort_unstable();
    let mut tries = at.into_iter().map(|at| &before[at..]);
    let found = tries.find(|text| {
        text.split_once(" = ")
            .is_some_and(|(key, _)| key.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
    })?;
    // Several stand in one line, with commas between them.
    let keys = ["python", "command", "packages"];
    Some(keys.iter().fold(found.to_owned(), |text, key| {
        text.replace(&format!(", {key} = "), &format!("\n{key} = "))
    }))
}

/// Whether composing takes a spec whose packages come from these files.
fn composes(folder: &Path, files: &[String]) {
    let spec = toml::toml! { template = "python" };
    let mut spec: toml::Table = spec;
    let python =
        toml::Table::from_iter([("requirements".to_owned(), toml::Value::from(files.to_vec()))]);
    spec.insert("python".to_owned(), python.into());
    let context = ComposeContext {
        project: Some(folder),
        ..ComposeContext::default()
    };
    let spec = toml::Value::from(spec).try_into().unwrap();
    if let Err(error) = compose(&spec, &context) {
        panic!("{files:?}: {error}");
    }
}

fn is_taken(folder: &Path, step: &NextStep) {
    match step {
        NextStep::UseFile(file) | NextStep::UseOne(file) => {
            composes(folder, std::slice::from_ref(file))
        }
        NextStep::UseFiles(files) => composes(folder, files),
        NextStep::BuildFile(file) | NextStep::BuildOne(file) => {
            assert!(folder.join(file).is_file(), "{file}")
        }
        NextStep::BuildIn { context, file } => {
            assert!(
                folder.join(context).is_dir() && folder.join(file).is_file(),
                "{step:?}"
            );
        }
        NextStep::SetPython(version) => drop(
            version
                .parse::<mlbuild_templates::value::PythonVersion>()
                .unwrap(),
        ),
        NextStep::Each(steps) => steps.iter().for_each(|step| is_taken(folder, step)),
        NextStep::Do(words) => {
            if let Some((_, line)) = words.split_once("a line -e ") {
                let line = line.split(" in a requirements file").next().unwrap();
                write(folder, &[("hinted.txt", &format!("-e {line}\n"))]);
                composes(folder, &["hinted.txt".to_owned()]);
            }
            if let Some(settings) = settings_in(words) {
                let table: toml::Table = settings
                    .parse()
                    .unwrap_or_else(|error| panic!("{settings}: {error}"));
                assert!(!table.is_empty(), "{words}");
            }
        }
    }
}

#[test]
fn every_step_that_is_named_is_one_that_can_be_taken() {
    let setup = ("setup.py", "setup(name='x', install_requires=['numpy'])\n");
    let space = "---\nsdk: gradio\nsdk_version: 4.0.0\npython_version: '3.11'\n---\n";
    let deep = &[
        ("apps/web/requirements.txt", "flask\n"),
        ("apps/web/Dockerfile", "FROM x:1\n"),
        ("examples/one/pyproject.toml", BARE_PROJECT),
    ][..];
    for files in [
        &[
            ("envs/gpu.yml", CONDA),
            ("conda/train.yaml", CONDA),
            ("py39.yml", CONDA),
        ][..],
        &[("deploy/conda-env.yml", CONDA), ("env/se3.yaml", CONDA)],
        &[("requirements.txt", "numpy\n"), setup],
        &[
            ("requirements.txt", "numpy\n"),
            ("pyproject.toml", BARE_PROJECT),
            ("environment.yml", CONDA),
        ],
        &[("environment_gpu.yml", CONDA), ("setup.py", BARE_SETUP)],
        &[
            ("requirements-gpu.txt", "numpy\n"),
            ("requirements-cpu.txt", "six\n"),
            setup,
        ],
        &[
            ("requirements.txt", "numpy\n"),
            ("requirements-dev.txt", "six\n"),
            ("requirements-gpu.in", "torch\n"),
            ("env.txt", PINNED.split("-e").next().unwrap()),
        ],
        &[
            ("x/cog.yaml", "build:\n  python_version: \"3.10\"\n"),
            ("y/pixi.toml", "[dependencies]\nnumpy = \"*\"\n"),
            ("z/Pipfile", "[packages]\nnumpy = \"*\"\n"),
        ],
        &[
            ("lib/setup.py", BARE_SETUP),
            ("x/.python-version", "3.11\n"),
            ("install.sh", "#!/bin/sh\npip install torch\n"),
        ],
        &[
            ("compose.yml", "services:\n  w:\n    build: ./w\n"),
            ("w/Dockerfile", "FROM x:1\n"),
            ("Dockerfile.gpu", "FROM x:1\n"),
        ],
        &[("README.md", space)],
        &[(".python-version", "system\n"), ("start", "exec \"$@\"\n")],
        deep,
    ] {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), files);
        let findings = detect(folder.path()).findings;
        let steps: Vec<NextStep> = findings
            .into_iter()
            .filter_map(|found| found.next)
            .collect();
        assert!(!steps.is_empty(), "{files:?}");
        steps.iter().for_each(|step| is_taken(folder.path(), step));
    }
    // The steps for several kinds of files name one of each.
    let said = all_said(deep);
    assert_eq!(
        said,
        [
            "further folders: not used: 3 manifests lie there: apps/web/Dockerfile, apps/web/requirements.txt, examples/one/pyproject.toml; to use one: requirements = [\"apps/web/requirements.txt\"] under [image]; to build one as it is: dockerfile = \"apps/web/Dockerfile\" under [image]; to install it with the code: a line -e ./examples/one in a requirements file"
        ]
    );
}
