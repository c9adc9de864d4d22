//! What makes an image that builds and doesn't run: versions of a lock, releases that break each other, devices that
//! aren't NVIDIA's, and what code does when it runs. Each table has one kind, with neighbours that stay as they are.

use mlbuild_templates::compose::fitting;
use mlbuild_templates::{ComposeContext, ComposeError, Composition, ImageSpec, compose};

fn composed(files: &[(&str, &str)], spec: &str) -> Result<Composition, ComposeError> {
    let project = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = project.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let mut spec: ImageSpec = toml::from_str(spec).unwrap();
    let fits = fitting(&spec, project.path())?;
    (spec.template, spec.gui) = (fits.template, fits.gui);
    let context = ComposeContext {
        project: Some(project.path()),
        ..ComposeContext::default()
    };
    compose(&spec, &context)
}

fn listed(text: &str, spec: &str) -> Composition {
    let spec = format!("{spec}\npython.requirements = ['requirements.txt']");
    composed(&[("requirements.txt", text)], &spec).unwrap()
}

fn said(done: &Composition) -> String {
    let warnings = done.warnings.iter();
    let lines = warnings.map(|w| format!("{}; {}", w.message, w.hint.as_deref().unwrap_or("")));
    lines.collect::<Vec<_>>().join("\n")
}

/// A project of Poetry, and its lock.
fn of_poetry(dependencies: &str, packages: &str, python: &str) -> [(String, String); 2] {
    let project = format!(
        "[tool.poetry]\nname = 'p'\nversion = '0'\npackage-mode = false\n[tool.poetry.dependencies]\npython = '>=3.8'\n{dependencies}"
    );
    let lock =
        format!("{packages}[metadata]\nlock-version = '2.0'\npython-versions = '{python}'\n");
    [
        ("pyproject.toml".to_owned(), project),
        ("poetry.lock".to_owned(), lock),
    ]
}

fn package(name: &str, version: &str, rest: &str) -> String {
    format!("[[package]]\nname = '{name}'\nversion = '{version}'\n{rest}")
}

#[test]
fn versions_of_a_lock_decide_and_not_the_ranges_beside_it() {
    let torch = package("torch", "1.13.1", "");
    let numpy = package("numpy", "1.21.6", "");
    let brings = package(
        "ultralytics",
        "8.0.0",
        "[package.dependencies]\ntorch = '>=1.7'\n",
    );
    let of_extra = package(
        "ultralytics",
        "8.0.0",
        "[package.dependencies]\ntorch = {version = '>=1.7', optional = true}\n",
    );
    let twice = format!(
        "{}{}",
        package("numpy", "1.21.6", ""),
        package("numpy", "2.2.0", "")
    );
    for (dependencies, packages, python) in [
        ("torch = '>=1.8'\n", torch.clone(), "3.11"),
        ("numpy = '*'\n", numpy.clone(), "3.10"),
        // What comes along counts, too.
        ("ultralytics = '*'\n", format!("{brings}{torch}"), "3.11"),
        ("ultralytics = '*'\n", format!("{of_extra}{numpy}"), "3.12"),
        // What only a group asks for doesn't, nor does what stands there in two versions.
        (
            "six = '*'\n",
            format!("{numpy}{}", package("six", "1.16.0", "")),
            "3.12",
        ),
        ("numpy = '*'\n", twice, "3.12"),
        ("torch = '>=1.8'\n", String::new(), "3.12"),
    ] {
        let files = of_poetry(dependencies, &packages, ">=3.8");
        let files = files
            .each_ref()
            .map(|(name, text)| (name.as_str(), text.as_str()));
        let done = composed(&files, "python.requirements = ['pyproject.toml']").unwrap();
        assert_eq!(
            done.python.as_deref(),
            Some(python),
            "{dependencies}{packages}"
        );
        assert_eq!(said(&done), "", "{dependencies}{packages}");
    }
    // Pipenv's and PDM's.
    let pipfile = ("Pipfile", "[packages]\nscipy = '*'\n");
    let of_pipenv = r#"{"default": {"scipy": {"version": "==1.8.1"}}, "develop": {}}"#;
    let done = composed(
        &[pipfile, ("Pipfile.lock", of_pipenv)],
        "python.requirements = ['Pipfile']",
    );
    assert_eq!(done.unwrap().python.as_deref(), Some("3.10"));
    let project = "[project]\nname = 'p'\nversion = '0'\nrequires-python = '>=3.8'\ndependencies = ['torchvision']\n[tool.pdm]\n";
    let lock = format!(
        "{}{}",
        package(
            "torchvision",
            "0.14.1",
            "dependencies = ['torch==1.13.1']\n"
        ),
        torch
    );
    let files = [("pyproject.toml", project), ("pdm.lock", lock.as_str())];
    let done = composed(&files, "python.requirements = ['pyproject.toml']").unwrap();
    assert_eq!(done.python.as_deref(), Some("3.10"));
    assert_eq!(done.cuda.as_deref(), Some("11.7"));
}

#[test]
fn a_lock_that_is_older_than_its_project_is_said() {
    let torch = package("torch", "2.1.0", "");
    for (dependencies, python, wanted) in [
        (
            "torch = '>=2.2'\n",
            ">=3.8",
            "poetry.lock has torch 2.1.0, and pyproject.toml:7 asks for torch>=2.2",
        ),
        (
            "torch = '>=2.1'\n",
            ">=3.10",
            "poetry.lock was made for Python >=3.10, and pyproject.toml:6 says >=3.8",
        ),
        ("torch = '>=2.1'\n", ">=3.8", ""),
        // As Poetry writes it itself.
        ("torch = '>=2.1'\n", "^3.8", ""),
        (
            "torch = '>=2.1'\n",
            "~3.9",
            "poetry.lock was made for Python >=3.9",
        ),
        ("torch = '>=2.1'\n", ">=3.8,<3.99", ""),
    ] {
        let files = of_poetry(dependencies, &torch, python);
        let files = files
            .each_ref()
            .map(|(name, text)| (name.as_str(), text.as_str()));
        let done = composed(&files, "python.requirements = ['pyproject.toml']").unwrap();
        let said = said(&done);
        assert!(said.contains(wanted), "{dependencies}{python}: {said}");
        assert_eq!(
            said.is_empty(),
            wanted.is_empty(),
            "{dependencies}{python}: {said}"
        );
        assert_eq!(said.contains("poetry lock"), !wanted.is_empty(), "{said}");
    }
    let project = |python: &str| {
        format!(
            "[project]\nname = 'p'\nversion = '0'\nrequires-python = '{python}'\ndependencies = []\n"
        )
    };
    let lock = "version = 1\nrequires-python = '>=3.10'\n[[package]]\nname = 'p'\nversion = '0'\nsource = { virtual = '.' }\n";
    for (python, is_stale) in [(">=3.12", true), (">=3.10", false), (">= 3.10.0", false)] {
        let project = project(python);
        let files = [("pyproject.toml", project.as_str()), ("uv.lock", lock)];
        let done = composed(&files, "python.project = '.'").unwrap();
        let is_said = said(&done).contains("uv.lock was made for Python >=3.10");
        assert_eq!(is_said, is_stale, "{python}: {}", said(&done));
    }
    // A workspace's lock is for the Python of all its members.
    let lock = format!("{lock}[manifest]\nmembers = ['p', 'q']\n");
    let project = project(">=3.8");
    let files = [("pyproject.toml", project.as_str()), ("uv.lock", &lock)];
    let done = composed(&files, "python.project = '.'").unwrap();
    assert!(!said(&done).contains("was made for"), "{}", said(&done));
}

#[test]
fn releases_that_break_with_what_nothing_holds_back_are_said() {
    for (text, line) in [
        ("scikit-learn==1.2.2\n", "numpy<2"),
        ("pandas==1.5.3\nnumpy\n", "numpy<2"),
        ("pandas~=1.5.0\n", "numpy<2"),
        ("numpy>=1.20\nopencv-python-headless==4.8.1.78\n", "numpy<2"),
        ("torch==2.1.0\nnumpy\n", "numpy<2"),
        (
            "torch==2.1.0+cu118\ntorchvision\n--extra-index-url https://x.example/whl/cu118\n",
            "numpy<2",
        ),
        (
            "Flask==1.1.2\n",
            "itsdangerous<2.1 and jinja2<3.1 and werkzeug<2.1",
        ),
        (
            "flask==1.1.2\njinja2==3.0.3\nwerkzeug<2.1\n",
            "the line itsdangerous<2.1",
        ),
        ("flask==2.0.3\n", "werkzeug<3"),
        ("flask==1.1.4\n", "markupsafe<2.1"),
        // Releases that fit, that another bound holds, or that may be new.
        ("scikit-learn==1.4.2\n", ""),
        ("scikit-learn>=1.2\n", ""),
        ("scikit-learn\npandas\n", ""),
        ("scikit-learn==1.2.2\nnumpy<2\n", ""),
        ("scikit-learn==1.2.2\nnumpy==1.26.4\n", ""),
        ("scikit-learn==1.2.2\nnumpy~=1.24\n", ""),
        ("scikit-learn==1.2.2\nscipy==1.10.1\n", ""),
        ("pandas==1.5.3\nnumba==0.57.0\n", ""),
        ("pandas==2.1.4\n", ""),
        ("pandas==1.5.3\ntensorflow==2.15.1\n", ""),
        ("torch==2.1.0\n", ""),
        ("torch==2.3.0\nnumpy\n", ""),
        ("opencv-python-headless==4.10.0.84\n", ""),
        // NumPy 2 isn't for this Python.
        ("pandas==1.5.3\nnumpy==1.21.6\n", ""),
        ("tensorflow==2.3.0\npandas==1.0.5\nprotobuf==3.20.3\n", ""),
        ("flask==2.0.3\nwerkzeug==2.0.3\n", ""),
        ("flask==2.3.3\n", ""),
        ("flask\n", ""),
    ] {
        let said = said(&listed(text, ""));
        match line {
            "" => assert!(!said.contains("hold"), "{text}: {said}"),
            line => assert!(said.contains(line), "{text}: {said}"),
        }
    }
    let done = listed("scikit-learn==1.2.2\npandas==1.5.3\n", "");
    insta::assert_snapshot!(said(&done), @"scikit-learn==1.2.2 (requirements.txt:1), pandas==1.5.3 (requirements.txt:2): built against NumPy 1, and nothing that is asked for is known to hold numpy back; add the line numpy<2 to the requirements");
    // A whole list or a constraint is what is installed.
    let hash = "--hash=sha256:0000000000000000000000000000000000000000000000000000000000000000";
    let hashed = format!("pandas==1.5.3 {hash}\nnumpy==1.26.4 {hash}\n");
    assert!(!said_of(&hashed).contains("hold"));
    let files = [
        ("requirements.txt", "-c held.txt\npandas==1.5.3\n"),
        ("held.txt", "numpy==1.26.4\n"),
    ];
    let done = composed(&files, "python.requirements = ['requirements.txt']").unwrap();
    assert!(!said(&done).contains("hold"), "{}", said(&done));
}

fn said_of(text: &str) -> String {
    said(&listed(text, ""))
}

#[test]
fn other_devices_are_named_and_never_taken_for_cuda() {
    for (text, accelerator, warning) in [
        ("optimum-habana\ntorch\n", "off", "Gaudi"),
        ("optimum[habana]\n", "off", "Gaudi"),
        ("torch==2.5.0\ntorch_xla[tpu]==2.5.0\n", "off", ""),
        ("jax[tpu]\nflax\n", "off", ""),
        (
            "torch==2.7.0\n--extra-index-url https://x.example/whl/xpu\n",
            "off",
            "PyTorch's build xpu",
        ),
        ("intel-extension-for-pytorch\ntorch\n", "off", "Intel"),
        ("torch==2.1.0\ntorch_npu==2.1.0.post3\n", "off", "Ascend"),
        ("torch-neuronx\noptimum-neuron\n", "off", "Trainium"),
        ("torch==2.0.1\npoptorch\n", "off", "Graphcore"),
        ("tensorflow-macos==2.12\n", "off", "darwin"),
        ("mlx-lm\ntorch\n", "cuda", "mlx[cpu]"),
        ("torch\ntorch-directml\n", "cuda", "win32"),
        // PyTorch's builds for ROCm bring its libraries.
        (
            "torch==2.5.1\n--index-url https://x.example/whl/rocm6.2\n",
            "rocm",
            "",
        ),
        (
            "torch==2.5.1+rocm6.2\n--extra-index-url https://x.example/whl/rocm6.2\n",
            "rocm",
            "",
        ),
        // Lines for other systems, and packages that only sound so.
        ("mlx; sys_platform == 'darwin'\ntorch\n", "cuda", ""),
        (
            "tensorflow-metal; sys_platform == 'darwin'\nnumpy\n",
            "off",
            "",
        ),
        ("optimum\ntorch\n", "cuda", ""),
        ("jax\n", "off", ""),
        ("mlxtend\n", "off", ""),
    ] {
        let done = listed(text, "");
        assert_eq!(done.accelerator.as_str(), accelerator, "{text}");
        let said = said(&done);
        match warning {
            "" => assert_eq!(said, "", "{text}"),
            warning => assert!(said.contains(warning), "{text}: {said}"),
        }
        if accelerator != "cuda" {
            assert!(!done.text.contains("NVIDIA"), "{text}: {}", done.text);
        }
    }
    let rocm = listed(
        "torch==2.5.1\n--index-url https://x.example/whl/rocm6.2\n",
        "",
    );
    assert_eq!(rocm.base.as_str(), "python:3.12-slim-bookworm");
    assert_eq!(
        rocm.origins.accelerator.as_deref(),
        Some("PyTorch's build rocm6.2 (requirements.txt:1)")
    );
    let tpu = listed("jax[tpu]\n", "");
    assert!(
        tpu.notes.iter().any(|note| note.contains("TPUs of Google")),
        "{:?}",
        tpu.notes
    );
    // Who says what it is for knows.
    for spec in ["gpu = 'cuda'", "base = 'x/y:1'"] {
        assert!(
            !said(&listed("optimum-habana\ntorch\n", spec)).contains("Gaudi"),
            "{spec}"
        );
    }
}

#[test]
fn what_the_code_does_when_it_runs_is_said() {
    let note = |code: &str, list: &str, spec: &str| {
        let files = [("requirements.txt", list), ("main.py", code)];
        let spec = format!("{spec}\npython.requirements = ['requirements.txt']");
        let done = composed(&files, &spec).unwrap();
        format!("{}\n{}", done.notes.join("\n"), said(&done))
    };
    let ffmpeg = "import subprocess\nsubprocess.run(['ffmpeg', '-i', x])\nos.system('git pull')\n";
    let found = note(ffmpeg, "numpy\n", "");
    assert!(
        found.contains("starts ffmpeg (main.py:2), git (main.py:3), which the image doesn't have; where it is needed: apt = [\"ffmpeg\", \"git\"]"),
        "{found}"
    );
    let jit = "from torch.utils.cpp_extension import load\nm = load(name='x', sources=['x.cu'])\n";
    for (code, list, spec, wanted) in [
        (ffmpeg, "pydub\n", "apt = ['git']", ""),
        (ffmpeg, "numpy\n", "base = 'x/y:1'", ""),
        (
            "subprocess.run(['ls', '-l'])\nos.system('my-own-tool x')\n",
            "numpy\n",
            "",
            "",
        ),
        (
            jit,
            "torch==2.5.0\n",
            "",
            "base = \"nvidia/cuda:12.4.1-devel-ubuntu22.04\", apt = [\"python3-dev\"] and packages = [\"ninja\"]",
        ),
        (
            jit,
            "torch==2.5.0\nninja\n",
            "gpu = 'off'",
            "apt = [\"g++\"] under",
        ),
        (
            jit,
            "torch==2.5.0\nninja\n",
            "gpu = 'off'\napt = ['g++']",
            "",
        ),
        (
            jit,
            "torch==2.5.0\n",
            "base = 'nvidia/cuda:12.4.1-cudnn-devel-ubuntu22.04'",
            "",
        ),
        (
            "model = torch.compile(model)\n",
            "torch==2.5.0\n",
            "",
            "main.py:1 compiles code when it runs",
        ),
        ("x = torch.load('a')\n", "torch==2.5.0\n", "", ""),
        (
            "print \"x\"\n",
            "numpy\n",
            "",
            "main.py:1 is Python 2, and the image has Python 3.12",
        ),
        ("print('x')\n", "numpy\n", "", ""),
    ] {
        let found = note(code, list, spec);
        let keys = ["starts", "compiles", "is Python 2"];
        match wanted {
            "" => assert!(
                !keys.iter().any(|key| found.contains(key)),
                "{code}{spec}: {found}"
            ),
            wanted => assert!(found.contains(wanted), "{code}{spec}: {found}"),
        }
    }
}

#[test]
fn the_cuda_of_an_environment_chooses_pytorch_and_python() {
    let of = |lines: &str| {
        let text = format!("dependencies:\n  - python>=3.8\n{lines}");
        let spec = "python.requirements = ['environment.yml']";
        composed(&[("environment.yml", &text)], spec).unwrap()
    };
    for (lines, python, cuda, line) in [
        (
            "  - pytorch>=1.13\n  - torchvision\n  - pytorch-cuda=11.7\n",
            "3.11",
            "11.7",
            "'torch>=1.13,<2.1'",
        ),
        (
            "  - pytorch\n  - cudatoolkit=11.3\n",
            "3.10",
            "11.3",
            "'torch<1.13'",
        ),
        (
            "  - pytorch\n  - pytorch-cuda=12.1\n",
            "3.12",
            "12.1",
            "'torch<2.6'",
        ),
    ] {
        let done = of(lines);
        assert_eq!(done.python.as_deref(), Some(python), "{lines}");
        assert_eq!(done.cuda.as_deref(), Some(cuda), "{lines}");
        assert!(done.text.contains(line), "{lines}: {}", done.text);
        let backend = format!("--torch-backend cu{}", cuda.replace('.', ""));
        assert!(done.text.contains(&backend), "{lines}: {}", done.text);
        // Other than conda's, these releases don't say which NumPy they were built against.
        let is_old = said(&done).contains("numpy<2");
        assert_eq!(
            is_old,
            lines.contains("torchvision"),
            "{lines}: {}",
            said(&done)
        );
    }
}

#[test]
fn what_tools_do_besides_installing_is_said() {
    let project = |tool: &str| {
        format!(
            "[project]\nname = 'p'\nversion = '0'\ndependencies = ['numpy']\n[dependency-groups]\ntrain = ['torch']\n{tool}"
        )
    };
    let lock = "version = 1\n[[package]]\nname = 'p'\nversion = '0'\nsource = { virtual = '.' }\n[[package]]\nname = 'numpy'\nversion = '2.0.0'\nsource = { registry = 'https://x.example/simple' }\n";
    let groups = project("");
    let files = [("pyproject.toml", groups.as_str()), ("uv.lock", lock)];
    for (chosen, is_noted) in [("", true), ("python.groups = ['train']", false)] {
        let done = composed(&files, &format!("python.project = '.'\n{chosen}")).unwrap();
        let is_said = done
            .notes
            .iter()
            .any(|note| note.contains("dependency groups train"));
        assert_eq!(is_said, is_noted, "{chosen}: {:?}", done.notes);
    }
    for (tool, is_named) in [
        ("[tool.pdm.scripts]\npost_install = 'python x.py'\n", true),
        ("[tool.pdm.scripts]\nstart = 'python x.py'\n", false),
    ] {
        let text = project(tool);
        let spec = "python.requirements = ['pyproject.toml']";
        let done = composed(&[("pyproject.toml", &text)], spec).unwrap();
        let is_said = said(&done).contains("PDM runs it where it installs");
        assert_eq!(is_said, is_named, "{tool}: {}", said(&done));
    }
    for (list, is_noted) in [("torch\ndeepspeed\n", true), ("torch\n", false)] {
        let notes = listed(list, "").notes.join("\n");
        assert_eq!(
            notes.contains("compiles operators"),
            is_noted,
            "{list}: {notes}"
        );
    }
}

#[test]
fn releases_that_a_newer_python_is_too_new_for_decide() {
    for (list, python) in [
        ("transformers==4.29.2\ntorch\n", "3.11"),
        ("transformers<4.30\n", "3.11"),
        ("transformers==4.20.1\n", "3.10"),
        ("transformers==4.5.0\n", "3.9"),
        ("transformers==3.5.1\n", "3.8"),
        ("transformers==4.15.0\n", "3.9"),
        ("transformers==4.17.0\n", "3.12"),
        ("hydra-core==1.1.1\n", "3.10"),
        ("hydra-core==1.3.2\n", "3.12"),
        ("hydra-core>=1.1\n", "3.12"),
        ("attrdict\n", "3.9"),
        ("vllm==0.4.2\n", "3.11"),
        ("setuptools==59.5.0\nnumpy\n", "3.11"),
        ("setuptools<70\n", "3.12"),
        ("transformers==4.34.0\n", "3.12"),
        ("transformers>=4.20\n", "3.12"),
        ("transformers\n", "3.12"),
        ("transformers==4.29.2\nnumba==0.56.4\n", "3.10"),
    ] {
        let done = listed(list, "");
        assert_eq!(done.python.as_deref(), Some(python), "{list}");
        assert!(
            !said(&done).contains("isn't for Python"),
            "{list}: {}",
            said(&done)
        );
    }
    let forced = listed("transformers==4.29.2\n", "python.version = '3.12'");
    assert!(
        said(&forced).contains("transformers==4.29.2 (requirements.txt:1) isn't for Python 3.12, only for 3.6, 3.7, 3.8, 3.9, 3.10, 3.11: it asks for tokenizers before 0.14, which have no wheels for it"),
        "{}",
        said(&forced)
    );
}

#[test]
fn python_2_is_refused_with_a_way() {
    for (file, text) in [
        (
            "setup.py",
            "from setuptools import setup\nsetup(name='p', python_requires='>=2.7,<3')\n",
        ),
        ("environment.yml", "dependencies:\n- python=2.7\n- numpy\n"),
    ] {
        let spec = format!("python.requirements = ['{file}']");
        let refused = composed(&[(file, text)], &spec).unwrap_err().to_string();
        assert!(refused.contains("is for Python 2 alone"), "{refused}");
        assert!(refused.contains("FROM python:2.7-slim"), "{refused}");
    }
    let script = "from setuptools import setup\nprint 'x'\nsetup(name='p')\n";
    let done = composed(
        &[("setup.py", script)],
        "python.requirements = ['setup.py']",
    )
    .unwrap();
    assert!(
        said(&done).contains("setup.py:2 is Python 2"),
        "{}",
        said(&done)
    );
    // Where Python 3 will do, too, it is taken.
    let both = "from setuptools import setup\nsetup(name='p', python_requires='>=2.7')\n";
    let done = composed(&[("setup.py", both)], "python.requirements = ['setup.py']").unwrap();
    assert_eq!(done.python.as_deref(), Some("3.12"));
}
