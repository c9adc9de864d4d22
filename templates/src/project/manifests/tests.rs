use super::*;

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    dir
}

fn manifest(files: &[(&str, &str)], choice: Choice) -> Manifest {
    let dir = folder(files);
    let file = files[0].0;
    read(dir.path(), file, Kind::of(file).unwrap(), choice).unwrap()
}

fn lines(manifest: &Manifest) -> Vec<(&str, &str)> {
    let lines = manifest.requirements.iter();
    lines
        .map(|a| (a.text.as_str(), a.origin.as_str()))
        .collect()
}

#[test]
fn a_project_of_pep_621_with_extras_and_groups() {
    let text = "[build-system]\nrequires = [\"hatchling\"]\n[project]\nname = \"x\"\nrequires-python = \">=3.10\"\ndependencies = [\n  \"numpy>=1\",\n]\n[project.optional-dependencies]\ngpu = [\"torch\"]\ndocs = [\"mkdocs\"]\n[dependency-groups]\ntest = [\"pytest\", {include-group = \"lint\"}]\nlint = [\"ruff\"]\n";
    let (extras, groups) = (["gpu".to_owned()], ["test".to_owned()]);
    let choice = Choice {
        extras: &extras,
        groups: &groups,
    };
    let found = manifest(&[("pyproject.toml", text)], choice);
    assert_eq!(
        lines(&found),
        [
            ("numpy>=1", "pyproject.toml:7"),
            ("torch", "pyproject.toml:10"),
            ("pytest", "pyproject.toml:13"),
            ("ruff", "pyproject.toml:14"),
        ]
    );
    assert_eq!(found.python.as_ref().unwrap().text, ">=3.10");
    assert_eq!(found.local[0].folder, ".");
    let unused: Vec<&str> = found.unused.iter().map(|u| u.what.as_str()).collect();
    assert_eq!(
        unused,
        // The group lint is in, by way of test.
        ["pyproject.toml: extras docs"]
    );
    let wrong = ["cuda".to_owned()];
    let dir = folder(&[("pyproject.toml", text)]);
    let choice = Choice {
        extras: &wrong,
        groups: &[],
    };
    let error = read(dir.path(), "pyproject.toml", Kind::Pyproject, choice).unwrap_err();
    assert!(
        error.to_string().contains("it has no extra cuda"),
        "{error}"
    );
}

#[test]
fn extras_take_in_those_of_their_own_project() {
    let text = "[project]\nname = \"My.Proj\"\n[project.optional-dependencies]\ngpu = [\"torch>=2\"]\nall = [\"my-proj[gpu,docs]; python_version >= '3'\", \"six\"]\ndocs = [\"mkdocs; sys_platform == 'linux'\", \"my_proj[all]\"]\n";
    let chosen = ["ALL".to_owned()];
    let choice = Choice {
        extras: &chosen,
        groups: &[],
    };
    let found = manifest(&[("pyproject.toml", text)], choice);
    let asked: Vec<&str> = found.requirements.iter().map(|a| a.text.as_str()).collect();
    assert_eq!(
        asked,
        [
            "torch>=2 ; python_version >= '3'",
            "mkdocs ; (python_version >= '3') and (sys_platform == 'linux')",
            "six",
        ]
    );
    assert_eq!(found.unused, []);
}

#[test]
fn what_is_chosen_and_not_there_is_refused_by_every_kind() {
    let names = ["nope".to_owned()];
    for (file, text) in [
        ("pyproject.toml", "[project]\nname = \"x\"\n"),
        (
            "pyproject.toml",
            "[tool.poetry.dependencies]\nsix = \"*\"\n",
        ),
        ("Pipfile", "[packages]\nsix = \"*\"\n"),
        ("setup.py", "setup(install_requires=['six'])\n"),
        (
            "setup.py",
            "setup(install_requires=['six'], extras_require={'a': ['b']})\n",
        ),
        ("setup.cfg", "[options]\ninstall_requires = six\n"),
    ] {
        let dir = folder(&[(file, text)]);
        let kind = Kind::of(file).unwrap();
        for (extras, groups) in [(&names[..], &[][..]), (&[], &names)] {
            let found = read(dir.path(), file, kind, Choice { extras, groups });
            let error = found.unwrap_err().to_string();
            assert!(error.contains("nope"), "{file}: {text}: {error}");
        }
    }
    let by_code = "setup(install_requires=['six'], extras_require=extras())\n";
    let dir = folder(&[("setup.py", by_code)]);
    let choice = Choice {
        extras: &names,
        groups: &[],
    };
    let error = read(dir.path(), "setup.py", Kind::Setup, choice).unwrap_err();
    assert!(error.to_string().contains("worked out by code"), "{error}");
}

#[test]
fn extras_of_a_setup_script_are_chosen() {
    let text = "EXTRAS = {\n  'gpu': ['torch'],  # big\n  \"docs\": [\"mkdocs\",],\n}\nsetup(install_requires=['six'], extras_require=EXTRAS)\n";
    let chosen = ["gpu".to_owned()];
    let choice = Choice {
        extras: &chosen,
        groups: &[],
    };
    let found = manifest(&[("setup.py", text)], choice);
    let asked: Vec<&str> = found.requirements.iter().map(|a| a.text.as_str()).collect();
    assert_eq!(asked, ["torch", "six"]);
    assert_eq!(found.unused[0].what, "setup.py: extras docs");
}

#[test]
fn a_setup_cfg_that_says_nothing_hides_nothing() {
    let script = "args = load()\nsetuptools.setup(**args)\n";
    let found = manifest(
        &[
            ("setup.py", script),
            ("setup.cfg", "[egg_info]\ntag_build =\n"),
        ],
        Choice::default(),
    );
    assert!(found.unused[0].is_of_its_build(), "{found:?}");
}

#[test]
fn groups_of_tools_are_chosen_beside_pep_621() {
    let project = "[project]\nname = \"x\"\ndependencies = []\n";
    for table in [
        "[tool.uv]\ndev-dependencies = [\"pytest\"]\n",
        "[tool.pdm.dev-dependencies]\ndev = [\"pytest\"]\n",
        "[tool.poetry.group.dev.dependencies]\npytest = \"*\"\n",
    ] {
        let text = format!("{project}{table}");
        let found = manifest(&[("pyproject.toml", &text)], Choice::default());
        let unused = &found.unused[0].what;
        assert_eq!(unused, "pyproject.toml: dependency groups dev", "{table}");
        let groups = ["dev".to_owned()];
        let choice = Choice {
            extras: &[],
            groups: &groups,
        };
        let found = manifest(&[("pyproject.toml", &text)], choice);
        assert_eq!(found.requirements[0].text, "pytest", "{table}");
    }
}

#[test]
fn dynamic_dependencies_stand_elsewhere() {
    let text = "[project]\nname = \"x\"\ndynamic = [\"dependencies\"]\n[tool.setuptools.dynamic]\ndependencies = { file = [\"requirements.txt\"] }\n";
    let found = manifest(&[("pkg/pyproject.toml", text)], Choice::default());
    assert_eq!(found.files, ["pkg/requirements.txt"]);
    let hidden = "[project]\nname = \"x\"\ndynamic = [\"dependencies\"]\n";
    let found = manifest(&[("pyproject.toml", hidden)], Choice::default());
    assert!(found.unused[0].why.contains("build backend"));
}

#[test]
fn a_poetry_project_is_held_to_its_lock() {
    let text = "[tool.poetry]\nname = \"x\"\n[tool.poetry.dependencies]\npython = \"^3.10\"\ntorch = \"^2.1\"\nold = { version = \"1.0\", python = \"<3.9\" }\ny = { git = \"https://example.com/y.git\", rev = \"abc\" }\nlib = { path = \"libs/lib\" }\nmaybe = { version = \"*\", optional = true }\n[tool.poetry.group.dev.dependencies]\npytest = \"*\"\n";
    let lock = "[[package]]\nname = \"torch\"\nversion = \"2.1.2\"\n[[package]]\nname = \"two\"\nversion = \"1\"\n[[package]]\nname = \"two\"\nversion = \"2\"\n[[package]]\nname = \"y\"\nversion = \"1\"\n[package.source]\ntype = \"git\"\n";
    let files = [("pyproject.toml", text), ("poetry.lock", lock)];
    let found = manifest(&files, Choice::default());
    assert_eq!(
        lines(&found),
        [
            ("old==1.0 ; python_version < \"3.9\"", "pyproject.toml:6"),
            ("torch>=2.1,<3", "pyproject.toml:5"),
            ("y @ git+https://example.com/y.git@abc", "pyproject.toml:7"),
        ]
    );
    assert_eq!(found.constraints, ["torch==2.1.2"]);
    assert_eq!(found.local[0].folder, "libs/lib");
    assert_eq!(found.python.unwrap().text, ">=3.10,<4");
}

#[test]
fn a_pipfile_and_its_lock() {
    let text = "[[source]]\nname = \"a\"\n[packages]\nnumpy = \"*\"\nopencv-python = {version = \">=4\", extras = [\"x\"]}\nme = {path = \".\", editable = true}\n[dev-packages]\npytest = \"*\"\n[requires]\npython_version = \"3.11\"\n";
    let lock = "{\"default\": {\"numpy\": {\"version\": \"==1.26.4\"}}, \"develop\": {}}";
    let found = manifest(
        &[("Pipfile", text), ("Pipfile.lock", lock)],
        Choice::default(),
    );
    assert_eq!(
        lines(&found),
        [("numpy", "Pipfile:4"), ("opencv-python[x]>=4", "Pipfile:5")]
    );
    assert_eq!(found.constraints, ["numpy==1.26.4"]);
    assert_eq!(found.python.unwrap().text, "==3.11.*");
    assert!(found.local[0].editable && found.local[0].folder == ".");
    assert_eq!(found.unused[0].what, "Pipfile: dependency groups dev");
}

#[test]
fn setup_scripts_are_read_and_never_run() {
    let literal = "from setuptools import setup\nREQUIRES = ['a>=1',  # why\n  \"b\"]\nsetup(name='x', install_requires=REQUIRES, python_requires='>=3.8')\n";
    let found = manifest(&[("setup.py", literal)], Choice::default());
    assert_eq!(lines(&found), [("a>=1", "setup.py:2"), ("b", "setup.py:3")]);
    assert_eq!(found.python.unwrap().text, ">=3.8");
    let reads = "setup(install_requires=open('requirements.txt').read().split())\n";
    let found = manifest(
        &[("setup.py", reads), ("requirements.txt", "a\n")],
        Choice::default(),
    );
    assert_eq!(found.files, ["requirements.txt"]);
    let code = "setup(install_requires=['a'] + more())\n";
    let found = manifest(&[("setup.py", code)], Choice::default());
    assert!(found.requirements.is_empty() && found.unused[0].what == "setup.py:1");
    for hidden in [
        "install_requires = ['a']\ninstall_requires = more(install_requires)\nsetup(install_requires=install_requires)\n",
        "setup(**{'install_requires': ['a']})\n",
        "setup(**arguments())\n",
        "REQ = ['a']\nREQ.append('b')\nsetup(install_requires=REQ)\n",
    ] {
        let found = manifest(&[("setup.py", hidden)], Choice::default());
        assert!(
            found.requirements.is_empty() && found.unused.len() == 1,
            "{hidden}"
        );
    }
    let dynamic = "[project]\nname = \"x\"\ndynamic = [\"dependencies\"]\n";
    let files = [
        ("pyproject.toml", dynamic),
        ("setup.cfg", "[egg_info]\n"),
        ("setup.py", "setup(install_requires=more())\n"),
    ];
    let found = manifest(&files, Choice::default());
    assert!(found.unused[0].why.contains("worked out by code"));
    let cfg = "[options]\ninstall_requires =\n  a\n  b>=2\npython_requires = >=3.9\n";
    let found = manifest(&[("setup.cfg", cfg)], Choice::default());
    assert_eq!(
        lines(&found),
        [("a", "setup.cfg:3"), ("b>=2", "setup.cfg:4")]
    );
}

#[test]
fn an_environment_of_conda() {
    let text = "name: x\nchannels:\n  - pytorch\n  - conda-forge\ndependencies:\n  - python=3.10\n  - pytorch::pytorch=2.1.2=py3.10_cuda12.1_0\n  - numpy>=1.22,<2\n  - ffmpeg=4.4\n  - cudatoolkit=11.8\n  - pip\n  - pip:\n      - -r requirements.txt\n      - einops\nprefix: /home/ana/x\n";
    let found = manifest(&[("environment.yml", text)], Choice::default());
    assert_eq!(
        lines(&found),
        [
            ("torch==2.1.2", "environment.yml:7"),
            ("numpy>=1.22,<2", "environment.yml:8"),
            ("einops", "environment.yml:14"),
        ]
    );
    assert_eq!(found.python.unwrap().text, "==3.10.*");
    assert_eq!(found.files, ["requirements.txt"]);
    assert_eq!(found.apt[0].text, "ffmpeg");
    assert!(found.unused.iter().any(|u| u.what.contains("cudatoolkit")));
    let dir = folder(&[(
        "environment.yml",
        "dependencies:\n  - samtools\n  - numpy\n",
    )]);
    let error = read(
        dir.path(),
        "environment.yml",
        Kind::Conda,
        Choice::default(),
    )
    .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("environment.yml:2: samtools is a package of conda"),
        "{error}"
    );
}

#[test]
fn the_build_section_of_cog() {
    let text = "build:\n  gpu: true\n  python_version: \"3.11\"\n  python_packages:\n    - torch==2.1.0\n  system_packages:\n    - ffmpeg\n  run:\n    - command: echo hi\n    - echo there\npredict: predict.py:Predictor\n";
    let found = manifest(&[("cog.yaml", text)], Choice::default());
    assert_eq!(lines(&found), [("torch==2.1.0", "cog.yaml:5")]);
    assert_eq!(
        (found.gpu, found.run.len(), found.apt.len()),
        (Some(true), 2, 1)
    );
    assert!(found.unused[0].what.contains("predict"));
}
