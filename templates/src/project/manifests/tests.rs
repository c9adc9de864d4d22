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
        conda: None,
        env: None,
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
        conda: None,
        env: None,
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
        conda: None,
        env: None,
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
            let found = read(
                dir.path(),
                file,
                kind,
                Choice {
                    extras,
                    groups,
                    conda: None,
                    env: None,
                },
            );
            let error = found.unwrap_err().to_string();
            assert!(error.contains("nope"), "{file}: {text}: {error}");
        }
    }
    let by_code = "setup(install_requires=['six'], extras_require=extras())\n";
    let dir = folder(&[("setup.py", by_code)]);
    let choice = Choice {
        extras: &names,
        groups: &[],
        conda: None,
        env: None,
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
        conda: None,
        env: None,
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
            conda: None,
            env: None,
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
fn extras_that_setuptools_reads_from_lists_are_chosen() {
    let text = "[project]\nname = \"x\"\ndynamic = [\"optional-dependencies\"]\n[tool.setuptools.dynamic.optional-dependencies]\ndev = { file = [\"reqs/dev.txt\"] }\ndocs = { file = \"reqs/docs.txt\" }\n";
    let extras = ["dev".to_owned()];
    let choice = Choice {
        extras: &extras,
        ..Choice::default()
    };
    let found = manifest(&[("pyproject.toml", text)], choice);
    assert_eq!(found.files, ["reqs/dev.txt"]);
    assert!(found.unused[0].what.contains("docs"), "{:?}", found.unused);
}

#[test]
fn specifications_of_conda_in_each_of_its_spellings() {
    for (spec, version, build) in [
        ("pytorch=*=cuda*", "", Some("cuda*")),
        (
            "pytorch==2.1.0=py3.10_cuda12.1_0",
            "==2.1.0=py3.10_cuda12.1_0",
            None,
        ),
        (
            "pytorch=2.1.0=py3.10_cuda12.1_0",
            "==2.1.0",
            Some("py3.10_cuda12.1_0"),
        ),
        (
            "pytorch[version='>=2.0,<3',build=*cuda*]",
            ">=2.0,<3",
            Some("*cuda*"),
        ),
        (
            "pytorch[version=\">=2.0\", build=\"*cpu*\"]",
            ">=2.0",
            Some("*cpu*"),
        ),
        ("conda-forge::pytorch[build=*cuda*]", "", Some("*cuda*")),
        ("pytorch[version=2.1.*;build=x]", "2.1.*", Some("x")),
        ("pytorch >=2.0,<3", ">=2.0,<3", None),
        ("pytorch 2.0 py310_0", "2.0", Some("py310_0")),
        ("pytorch", "", None),
    ] {
        let found = super::conda::split(spec).unwrap();
        assert_eq!(found.0, "pytorch", "{spec}");
        assert_eq!(
            (found.1.as_str(), found.2.as_deref()),
            (version, build),
            "{spec}"
        );
    }
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
        "setup(**arguments())\n",
        "REQ = ['a']\nmore(REQ)\nsetup(install_requires=REQ)\n",
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
    assert_eq!(found.torch_build.as_deref(), Some("cu118"));
    let dir = folder(&[(
        "environment.yml",
        "dependencies:\n  - star-fusion\n  - numpy\n",
    )]);
    let of_channels = |conda: Option<bool>| {
        let choice = Choice {
            conda,
            ..Choice::default()
        };
        read(dir.path(), "environment.yml", Kind::Conda, choice)
    };
    let error = of_channels(Some(false)).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("environment.yml:2: star-fusion is a package of conda"),
        "{error}"
    );
    let text = "dependencies: [numpy]\nvariables: {A: b, C: d}\n";
    for conda in [Some(true), None] {
        let choice = Choice {
            conda,
            ..Choice::default()
        };
        let found = manifest(&[("environment.yml", text)], choice);
        let said = found
            .unused
            .iter()
            .any(|unused| unused.what.ends_with("variables A, C"));
        assert!(said, "{:?}", found.unused);
    }
    let conda = of_channels(None).unwrap().conda.unwrap();
    assert_eq!(
        conda.why,
        "nothing else is known to have star-fusion (environment.yml:2)"
    );
    assert_eq!(conda.specs.len(), 2);
    assert_eq!(conda.channels[0], "https://repo.anaconda.com/pkgs/main");
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

/// What a `pyproject.toml` of a torch project comes to: its lines, PyTorch's build, folders and
/// what isn't used.
fn of_torch(text: &str, extras: &[String]) -> (Vec<String>, Option<String>, Vec<String>) {
    let choice = Choice {
        extras,
        groups: &[],
        conda: None,
        env: None,
    };
    let found = manifest(&[("pyproject.toml", text)], choice);
    let lines = found.requirements.into_iter().map(|a| a.text).collect();
    let unused = found.unused.into_iter().map(|u| u.what).collect();
    (lines, found.torch_build, unused)
}

const INDEXES: &str = "[[tool.uv.index]]\nname = \"cpu\"\nurl = \"https://x.org/whl/cpu\"\nexplicit = true\n[[tool.uv.index]]\nname = \"cu\"\nurl = \"https://x.org/whl/cu128\"\n";

#[test]
fn uv_takes_packages_from_where_its_sources_say() {
    let project = "[project]\nname = \"m\"\ndependencies = [\"torch>=2\", \"six[a]\"]\n[project.optional-dependencies]\ngpu = []\n";
    for (sources, extra, lines, build) in [
        (
            "torch = {index = \"cu\"}",
            "",
            ["torch>=2", "six[a]"],
            Some("cu128"),
        ),
        (
            "torch = [{index = \"cpu\", marker = \"sys_platform != 'linux'\"}, {index = \"cu\", marker = \"sys_platform == 'linux'\"}]",
            "",
            ["torch>=2", "six[a]"],
            Some("cu128"),
        ),
        (
            "torch = [{index = \"cu\", extra = \"gpu\"}, {index = \"cpu\"}]",
            "gpu",
            ["torch>=2", "six[a]"],
            Some("cu128"),
        ),
        (
            "torch = [{index = \"cu\", extra = \"gpu\"}, {index = \"cpu\"}]",
            "",
            ["torch>=2", "six[a]"],
            Some("cpu"),
        ),
        (
            "six = {git = \"https://x.org/six\", tag = \"v1\", subdirectory = \"py\"}",
            "",
            [
                "torch>=2",
                "six[a] @ git+https://x.org/six@v1#subdirectory=py",
            ],
            None,
        ),
        (
            "six = {git = \"git@x.org:me/six\", branch = \"main\"}",
            "",
            ["torch>=2", "six[a] @ git+ssh://git@x.org/me/six@main"],
            None,
        ),
        ("six = {path = \".\"}", "", ["torch>=2", "./.[a]"], None),
        (
            "six = {url = \"https://x.org/six.tar.gz\"}",
            "",
            ["torch>=2", "six[a] @ https://x.org/six.tar.gz"],
            None,
        ),
        (
            "six = {path = \"libs/six\", editable = true}",
            "",
            ["torch>=2", "-e ./libs/six[a]"],
            None,
        ),
    ] {
        let text = format!("{project}{INDEXES}[tool.uv.sources]\n{sources}\n");
        let extras: Vec<String> = [extra.to_owned()]
            .into_iter()
            .filter(|e| !e.is_empty())
            .collect();
        let found = of_torch(&text, &extras);
        assert_eq!(found.0, lines, "{sources}");
        assert_eq!(found.1.as_deref(), build, "{sources}");
        // An explicit index that nothing speaks of, or that a condition rules out, isn't lost.
        let is_named = found.2.iter().any(|what| what.contains("source cpu"));
        assert!(!is_named, "{sources}: {found:?}");
    }
}

#[test]
fn a_member_of_a_workspace_is_never_looked_for_on_an_index() {
    let root = "[project]\nname = \"root\"\ndependencies = [\"Lib_A\"]\n[tool.uv.workspace]\nmembers = [\"packages/*\"]\n[tool.uv.sources]\nlib-a = {workspace = true}\n";
    let member = "[project]\nname = \"lib-a\"\ndependencies = [\"lib-b\"]\n[tool.uv.sources]\nlib-b = {workspace = true}\n";
    let other = "[project]\nname = \"lib.b\"\n";
    let files = [
        ("pyproject.toml", root),
        ("packages/a/pyproject.toml", member),
        ("packages/b/pyproject.toml", other),
    ];
    let found = manifest(&files, Choice::default());
    assert_eq!(found.requirements[0].text, "-e ./packages/a");
    let dir = folder(&files);
    let file = "packages/a/pyproject.toml";
    let found = read(dir.path(), file, Kind::Pyproject, Choice::default()).unwrap();
    assert_eq!(found.requirements[0].text, "-e ./packages/b");
    let dir = folder(&files[..1]);
    let error = read(
        dir.path(),
        "pyproject.toml",
        Kind::Pyproject,
        Choice::default(),
    )
    .unwrap_err();
    assert!(
        error.to_string().contains("member of the workspace"),
        "{error}"
    );
}

#[test]
fn pytorchs_build_by_the_index_of_every_tool() {
    let poetry = "[tool.poetry.dependencies]\ntorch = {version = \"^2.2.0+cpu\", source = \"t\"}\n[[tool.poetry.source]]\nname = \"t\"\nurl = \"https://x.org/whl/cpu\"\n";
    let by_version = "[tool.poetry.dependencies]\ntorch = \"^2.2.0+cu121\"\n";
    let beside = "[project]\nname = \"m\"\ndependencies = [\"torch (>=2.5.0)\"]\n[tool.poetry.dependencies]\ntorch = [{source = \"t\", markers = \"sys_platform == 'linux'\"}]\n[[tool.poetry.source]]\nname = \"t\"\nurl = \"https://x.org/whl/cu124\"\n";
    let pdm = "[project]\nname = \"m\"\ndependencies = [\"torch\"]\n[[tool.pdm.source]]\nname = \"t\"\nurl = \"https://x.org/whl/cu121\"\ninclude_packages = [\"torch\"]\n";
    for (text, line, build) in [
        (poetry, "torch>=2.2.0,<3", "cpu"),
        (by_version, "torch>=2.2.0,<3", "cu121"),
        (beside, "torch (>=2.5.0)", "cu124"),
        (pdm, "torch", "cu121"),
    ] {
        let found = of_torch(text, &[]);
        assert_eq!(found.0, [line], "{text}");
        assert_eq!(found.1.as_deref(), Some(build), "{text}");
    }
    let pipfile = "[[source]]\nname = \"pypi\"\nurl = \"https://pypi.org/simple\"\n[[source]]\nname = \"t\"\nurl = \"https://x.org/whl/cu113\"\n[packages]\ntorch={version=\"==1.10.1+cu113\",index=\"t\"}\nx = {git = \"git@x.org:me/x.git\", ref = \"v1\"}\n";
    let found = manifest(&[("Pipfile", pipfile)], Choice::default());
    assert_eq!(found.torch_build.as_deref(), Some("cu113"));
    assert_eq!(found.unused, []);
    assert_eq!(
        lines(&found),
        [
            ("torch==1.10.1+cu113", "Pipfile:8"),
            ("x @ git+ssh://git@x.org/me/x.git@v1", "Pipfile:9"),
        ]
    );
}

#[test]
fn a_workspace_has_no_members_outside_the_project() {
    let root = "[project]\nname = \"m\"\ndependencies = [\"a\"]\n[tool.uv.workspace]\nmembers = [\"../*\", \"../lib\"]\n[tool.uv.sources]\na = {workspace = true}\n";
    let dir = folder(&[
        ("project/pyproject.toml", root),
        ("lib/pyproject.toml", "[project]\nname = \"a\"\n"),
    ]);
    let project = dir.path().join("project");
    let error = read(
        &project,
        "pyproject.toml",
        Kind::Pyproject,
        Choice::default(),
    )
    .unwrap_err();
    assert!(error.to_string().contains("no folder of it"), "{error}");
}

#[test]
fn a_pipe_is_not_waited_for() {
    let dir = folder(&[]);
    let made = std::process::Command::new("mkfifo")
        .arg(dir.path().join("pixi.toml"))
        .status();
    assert!(made.unwrap().success());
    let error = read(dir.path(), "pixi.toml", Kind::Pixi, Choice::default()).unwrap_err();
    assert!(error.to_string().contains("it isn't a file"), "{error}");
}

#[test]
fn paths_of_pixi_are_beside_its_file() {
    let text =
        "[pypi-dependencies]\na = {path = \"lib\"}\nb = {path = \"../b\", editable = true}\n";
    let dir = folder(&[("app/pixi.toml", text)]);
    let found = read(dir.path(), "app/pixi.toml", Kind::Pixi, Choice::default()).unwrap();
    let texts: Vec<&str> = found.requirements.iter().map(|a| a.text.as_str()).collect();
    assert_eq!(texts, ["./app/lib", "-e ./b"]);
}

#[test]
fn pixi_asks_for_packages_of_both_kinds() {
    let tables = "[dependencies]\npython = \"3.11.*\"\nnumpy = \">=1.26,<2\"\npandas = {version = \"2.2\", channel = \"c\"}\n[pypi-dependencies]\nmonai = {version = \"*\", extras = [\"nibabel\"]}\nme = {path = \".\", editable = true}\n[feature.cuda.dependencies]\npytorch = \"*\"\n";
    let wanted = [
        "numpy>=1.26,<2",
        "pandas==2.2.*",
        "monai[nibabel]",
        "-e ./.",
    ];
    let found = manifest(&[("pixi.toml", tables)], Choice::default());
    let texts: Vec<&str> = found.requirements.iter().map(|a| a.text.as_str()).collect();
    assert_eq!(texts.len(), wanted.len(), "{texts:?}");
    assert!(wanted.iter().all(|line| texts.contains(line)), "{texts:?}");
    assert_eq!(found.python.as_ref().unwrap().text, "==3.11.*");
    assert_eq!(found.unused[0].what, "pixi.toml: feature");
    let inside = format!(
        "[project]\nname = \"m\"\ndependencies = [\"six\"]\n{}",
        tables
            .replace('[', "[tool.pixi.")
            .replace("[tool.pixi.\"", "[\"")
    );
    let found = manifest(&[("pyproject.toml", &inside)], Choice::default());
    assert!(
        found
            .requirements
            .iter()
            .any(|a| a.text == "numpy>=1.26,<2")
    );
}

#[test]
fn cogs_of_every_age() {
    for (text, python, package) in [
        (
            "build:\n  python_version: 3.10\n  python_packages: [six]\n",
            "==3.10.*",
            "six",
        ),
        (
            "build:\n  python_version: \"3.9.16\"\n  python_packages: [six]\n",
            "==3.9.16.*",
            "six",
        ),
        (
            "environment:\n  python_version: '3.8' # old\n  python_packages: [six]\nmodel: m.py\n",
            "==3.8.*",
            "six",
        ),
    ] {
        let found = manifest(&[("cog.yaml", text)], Choice::default());
        assert_eq!(found.python.unwrap().text, python, "{text}");
        assert_eq!(found.requirements[0].text, package, "{text}");
        assert_eq!(
            found.unused.len(),
            usize::from(text.contains("model")),
            "{text}"
        );
    }
}

#[test]
fn the_cuda_of_an_environment_chooses_pytorchs_build() {
    for (dependencies, build, left) in [
        ("[pytorch=1.12.1, cudatoolkit=11.3]", Some("cu113"), 0),
        (
            "[pytorch=1.12.1, cudatoolkit=11.6, cudatoolkit-dev=11.6]",
            Some("cu116"),
            1,
        ),
        (
            "['pytorch::pytorch=2.0.0', 'pytorch::pytorch-cuda=11.7.0']",
            Some("cu117"),
            0,
        ),
        ("[pytorch=1.7.0, cudatoolkit=11.0]", Some("cu110"), 0),
        // Its own index has no such build.
        ("[pytorch=1.12.1, cudatoolkit=11.8]", None, 1),
        // Releases that have one are taken, as conda's solver would.
        ("[pytorch, cudatoolkit=11.3]", Some("cu113"), 0),
        ("['pytorch>=1.13', pytorch-cuda=11.7]", Some("cu117"), 0),
        ("['pytorch>=2.6', pytorch-cuda=12.1]", None, 1),
        // Any CUDA will do, and the wheels bring one.
        (
            "[pytorch=1.13.1, cudatoolkit, pytorch-mutex=1.0=cuda]",
            None,
            0,
        ),
        ("[numpy, cudatoolkit]", None, 1),
        ("[cudatoolkit=11.3]", None, 1),
        ("[pytorch=1.12.1, 'cudatoolkit>=11.3']", None, 1),
        ("[pytorch=1.12.1]", None, 0),
    ] {
        let text = format!("dependencies: {dependencies}\n");
        let found = manifest(&[("environment.yml", &text)], Choice::default());
        assert_eq!(found.torch_build.as_deref(), build, "{dependencies}");
        assert_eq!(
            found.unused.len(),
            left,
            "{dependencies}: {:?}",
            found.unused
        );
    }
}

#[test]
fn extras_that_code_puts_together_are_named() {
    for (script, named) in [
        (
            "setup(install_requires=['a'], extras_require={'dev': DEV, 'all': f(['x'])})\n",
            "setup.py:1: extras dev, all",
        ),
        (
            "extras = {\n 'test': ['pytest'],\n # 'old': [],\n 'mpi': ['mpi4py']\n}\nextras['all'] = every\nsetup(install_requires=['a'],\n extras_require=extras)\n",
            "setup.py: extras test, mpi; setup.py:8: extras all",
        ),
        (
            "setup(install_requires=['a'], extras_require=work_out())\n",
            "setup.py:1: extras",
        ),
    ] {
        let found = manifest(&[("setup.py", script)], Choice::default());
        let unused: Vec<&str> = found.unused.iter().map(|u| u.what.as_str()).collect();
        assert_eq!(unused.join("; "), named, "{script}");
        assert_eq!(found.unused[0].kind, UnusedKind::NotChosen);
    }
}

#[test]
fn what_a_setup_script_puts_together_has_the_place_that_it_comes_from() {
    let list = (
        "requirements.txt",
        "--extra-index-url https://i.example/simple\na\n# why\nb>=1\n",
    );
    let all = [
        // All of a file is that file, with its options.
        "setup(install_requires=[l.strip() for l in open('requirements.txt') if l[0] not in '#-'])",
        "from pip.req import parse_requirements\nsetup(install_requires=[str(r.req) for r in parse_requirements('requirements.txt')])",
    ];
    for script in all {
        let found = manifest(&[("setup.py", script), list], Choice::default());
        assert_eq!(
            (found.files, found.unused),
            (vec!["requirements.txt".to_owned()], vec![]),
            "{script}"
        );
    }
    let some = "V = '2'\nR = [l for l in open('requirements.txt').read().split('\\n') if l.startswith('b')]\nsetup(\n  install_requires=R + ['c', f'd=={V}'])\n";
    let found = manifest(&[("setup.py", some), list], Choice::default());
    assert_eq!(
        lines(&found),
        [
            ("b>=1", "requirements.txt:4"),
            ("c", "setup.py:4"),
            ("d==2", "setup.py:4")
        ]
    );
    assert!(found.inputs.contains("requirements.txt") && found.unused.is_empty());
    // Neither a list without a place to have it from, nor what `setup` would refuse.
    for script in [
        "setup(install_requires=['-e .', 'a'])",
        "setup(install_requires=['git+https://x.example/a'])",
        "setup(install_requires=open('none.txt').read().split())",
    ] {
        let found = manifest(&[("setup.py", script), list], Choice::default());
        assert!(
            found.requirements.is_empty() && !found.unused.is_empty(),
            "{script}: {found:?}"
        );
    }
}

#[test]
fn variables_of_cog_are_named_as_such() {
    let text =
        "build:\n  environment:\n    - DATA=/src/data\n    - DEBUG=\n  python_packages: [six]\n";
    let found = manifest(&[("cog.yaml", text)], Choice::default());
    assert_eq!(lines(&found), [("six", "cog.yaml:5")]);
    assert_eq!(found.unused.len(), 1);
    assert_eq!(found.unused[0].what, "cog.yaml:2: environment DATA, DEBUG");
    assert!(found.unused[0].next.to_string().contains("env of [image]"));
}

#[test]
fn specifications_of_conda_in_every_spelling() {
    for (spec, line) in [
        ("numpy >=1.2,<2", "numpy>=1.2,<2"),
        ("numpy>=1.2, <2", "numpy>=1.2,<2"),
        ("numpy >= 1.2", "numpy>=1.2"),
        ("numpy<=2", "numpy<=2"),
        ("numpy <= 2", "numpy<=2"),
        ("numpy=>1.2", "numpy>=1.2"),
        ("numpy=>=1.2", "numpy>=1.2"),
        ("numpy =< 2", "numpy<=2"),
        ("numpy=1.2.*", "numpy==1.2.*"),
        ("numpy 1.2.*", "numpy==1.2.*"),
        ("numpy=1.2=*", "numpy==1.2"),
        ("numpy[version='>=1']", "numpy>=1"),
        ("numpy[version='>=1,<2', build=py*]", "numpy>=1,<2"),
        ("conda-forge::numpy", "numpy"),
        ("conda-forge::numpy >=1", "numpy>=1"),
        ("conda-forge/linux-64::numpy=1.2", "numpy==1.2.*"),
        ("numpy!=1.5", "numpy!=1.5"),
    ] {
        let text = format!("dependencies:\n  - {spec:?}\n");
        let found = manifest(&[("environment.yml", &text)], Choice::default());
        let asked: Vec<&str> = found.requirements.iter().map(|a| a.text.as_str()).collect();
        assert_eq!(asked, [line], "{spec}: {found:?}");
    }
}

#[test]
fn nothing_of_an_environment_is_passed_over() {
    for (text, asked, unused) in [
        (
            "dependencies:\n  - numpy\n  - pywin32  # [win]\n  - scipy  # [linux]\n",
            "numpy scipy",
            "environment.yml:3: pywin32",
        ),
        (
            "dependencies:\n  - sel(linux): numpy\n  - sel(win): pywin32\n  - sel(unix): scipy\n",
            "numpy scipy",
            "environment.yml:3: pywin32",
        ),
        (
            "dependencies: [numpy]\npip:\n  - six\n",
            "numpy",
            "environment.yml:2: pip",
        ),
        (
            "dependencies:\n  - numpy\n  - pip: six\n",
            "numpy",
            "environment.yml:3: pip: \"six\"",
        ),
        (
            "dependencies:\n  - numpy\n  - 3.8\n",
            "numpy",
            "environment.yml:3: 3.8",
        ),
        (
            "dependencies:\n  - numpy\n  - extra: [six]\n",
            "numpy",
            "environment.yml:3: extra: [\"six\"]",
        ),
        (
            "dependencies: [numpy]\nvariables: {A: b}\n",
            "numpy",
            "environment.yml: variables A",
        ),
        // What says nothing of an image.
        (
            "name: x\nprefix: /home/x\nplatforms: [linux-64]\ndependencies:\n  - numpy\n  - pip:\n",
            "numpy",
            "",
        ),
        (
            "x: &a numpy\ndependencies: [*a]\n",
            "numpy",
            "environment.yml:1: x",
        ),
        (
            "dependencies:\n  - numpy  # [not win]\n  - scipy # [x86_64] as is\n  - six # why\n",
            "numpy scipy six",
            "",
        ),
        (
            "dependencies:\n  - pip:\n    - -e .\n    - six\n",
            "-e . six",
            "",
        ),
    ] {
        let found = manifest(&[("environment.yml", text)], Choice::default());
        let lines: Vec<&str> = found.requirements.iter().map(|a| a.text.as_str()).collect();
        let named: Vec<&str> = found.unused.iter().map(|u| u.what.as_str()).collect();
        assert_eq!(
            (lines.join(" ").as_str(), named.join("; ").as_str()),
            (asked, unused),
            "{text}"
        );
        let choice = Choice {
            conda: Some(true),
            ..Choice::default()
        };
        let by_channels = manifest(&[("environment.yml", text)], choice);
        let named: Vec<&str> = by_channels.unused.iter().map(|u| u.what.as_str()).collect();
        assert_eq!(named.join("; "), unused, "conda = true: {text}");
    }
}

#[test]
fn extras_that_can_be_told_are_chosen_beside_others() {
    let script = "E = {'a': ['x'], 'b': more(), ':python_version<\"3\"': ['y'], 'gpu:platform_machine==\"x86_64\"': ['z']}\nE['all'] = E['a'] + ['v']\nsetup(install_requires=['six'], extras_require=E)\n";
    for (extra, asked) in [
        ("a", "x six"),
        ("all", "x v six"),
        ("gpu", "z ; platform_machine==\"x86_64\" six"),
    ] {
        let extras = [extra.to_owned()];
        let choice = Choice {
            extras: &extras,
            groups: &[],
            conda: None,
            env: None,
        };
        let found = manifest(&[("setup.py", script)], choice);
        let found: Vec<&str> = found.requirements.iter().map(|a| a.text.as_str()).collect();
        assert_eq!(found.join(" "), asked);
    }
    let extras = ["b".to_owned()];
    let choice = Choice {
        extras: &extras,
        groups: &[],
        conda: None,
        env: None,
    };
    let dir = folder(&[("setup.py", script)]);
    let error = read(dir.path(), "setup.py", Kind::Setup, choice)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("setup.py:3: what the extra b needs is worked out by code"),
        "{error}"
    );
}

#[test]
fn the_settings_of_nbdev_are_read_with_its_script() {
    let script =
        "config.read('settings.ini')\nsetup(name=cfg['lib_name'], install_requires=requirements)\n";
    let settings = "[DEFAULT]\nlib_name = x\nmin_python = 3.9\nrequirements = fastcore>=1.3.8,<1.4 torchvision>=0.8\npip_requirements = torch>=1.7\ndev_requirements = nbdev\n";
    let files = [("setup.py", script), ("settings.ini", settings)];
    let found = manifest(&files, Choice::default());
    assert_eq!(
        lines(&found),
        [
            ("fastcore>=1.3.8,<1.4", "settings.ini:4"),
            ("torchvision>=0.8", "settings.ini:4"),
            ("torch>=1.7", "settings.ini:5"),
        ]
    );
    assert_eq!(found.python.unwrap().text, ">=3.9");
    assert_eq!(found.unused[0].what, "settings.ini:6: dev_requirements");
    assert!(found.inputs.contains("settings.ini"));
    // Settings of something else.
    let other = manifest(
        &[("setup.py", script), ("settings.ini", "[a]\n")],
        Choice::default(),
    );
    assert!(other.unused[0].is_of_its_build());
}

#[test]
fn what_poetry_holds_in_tables_of_their_own_has_its_line() {
    let text = "[tool.poetry.dependencies]\npython = \"^3.9\"\n[[tool.poetry.dependencies.spacy]]\nversion = \"^3.4\"\nmarkers = \"sys_platform == 'darwin'\"\noptional = true\n[[tool.poetry.dependencies.spacy]]\nversion = \">=3.1\"\noptional = true\n[tool.poetry.dependencies.tensorflow]\nversion = \"~2.8.4\"\n[tool.poetry.extras]\nnlp = [\"spacy\"]\n";
    let found = manifest(&[("pyproject.toml", text)], Choice::default());
    assert_eq!(
        lines(&found),
        [("tensorflow>=2.8.4,<2.9", "pyproject.toml:10")]
    );
    let [unused] = &found.unused[..] else {
        panic!("{:?}", found.unused);
    };
    assert_eq!(unused.what, "pyproject.toml:3: spacy");
    assert_eq!(
        unused.next.to_string(),
        "to choose one: extras = [\"nlp\"] under [image]"
    );
}

#[test]
fn tables_that_say_where_packages_come_from_or_how_are_named() {
    for (table, what) in [
        (
            "[tool.uv]\nindex-url = \"https://i.example/simple\"\n",
            "index-url",
        ),
        ("[tool.uv]\nprerelease = \"allow\"\n", "prerelease"),
        (
            "[tool.uv]\nindex-strategy = \"unsafe-best-match\"\n",
            "index-strategy",
        ),
        (
            "[tool.uv]\nexclude-newer = \"2024-01-01\"\n",
            "exclude-newer",
        ),
        (
            "[tool.uv]\nno-binary-package = [\"six\"]\n",
            "no-binary-package",
        ),
        (
            "[[tool.uv.dependency-metadata]]\nname = \"six\"\n",
            "dependency-metadata",
        ),
        (
            "[tool.uv.pip]\ntorch-backend = \"cu121\"\n",
            "torch-backend",
        ),
        (
            "[[tool.rye.sources]]\nname = \"ours\"\nurl = \"https://i.example/simple\"\n",
            "ours",
        ),
        (
            "[tool.rye]\ndev-dependencies = [\"pytest\"]\n",
            "dependency groups dev",
        ),
        (
            "[tool.hatch.envs.gpu]\ndependencies = [\"cupy\"]\n",
            "environments of Hatch: gpu",
        ),
    ] {
        let text = format!("[project]\nname = \"x\"\ndependencies = [\"six\"]\n{table}");
        let found = manifest(&[("pyproject.toml", &text)], Choice::default());
        let unused: Vec<&str> = found.unused.iter().map(|u| u.what.as_str()).collect();
        assert!(
            matches!(unused[..], [one] if one.contains(what)),
            "{table}: {unused:?}"
        );
    }
    for table in [
        "[tool.uv]\nindex-url = \"https://pypi.org/simple\"\n",
        "[tool.uv]\npackage = true\n",
        "[tool.rye]\nmanaged = true\n",
        "[tool.hatch.envs.default.scripts]\ntest = \"pytest\"\n",
    ] {
        let text = format!("[project]\nname = \"x\"\ndependencies = [\"six\"]\n{table}");
        let found = manifest(&[("pyproject.toml", &text)], Choice::default());
        assert_eq!(found.unused, [], "{table}");
    }
}
