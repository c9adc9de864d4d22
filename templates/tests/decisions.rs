//! What is decided from: the packages that are really asked for. Each table has one kind, with neighbours that it
//! must leave alone.

use mlbuild_templates::compose::fitting;
use mlbuild_templates::{ComposeContext, ComposeError, Composition, ImageSpec, compose};
use tempfile::TempDir;

fn project(files: &[(&str, &str)]) -> TempDir {
    let project = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = project.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    project
}

/// As the library does it where no template is named: the one that fits, and then the image.
fn composed(files: &[(&str, &str)], spec: &str) -> Result<Composition, ComposeError> {
    let project = project(files);
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

/// The same, or why there is none.
fn outcome(files: &[(&str, &str)], spec: &str) -> String {
    match composed(files, spec) {
        Ok(done) => format!("{} {}", done.base, done.accelerator),
        Err(error) => error.to_string(),
    }
}

fn said(done: &Composition) -> String {
    let warnings = done.warnings.iter();
    let lines = warnings.map(|w| format!("{}; {}", w.message, w.hint.as_deref().unwrap_or("")));
    lines.collect::<Vec<_>>().join("\n")
}

const SLIM: &str = "python:3.12-slim-bookworm";

#[test]
fn the_packages_that_are_asked_for_decide_and_no_others() {
    let files = &[
        ("requirements.txt", "numpy\n"),
        ("reqs/train.txt", "-r base.txt\n"),
        ("reqs/base.txt", "torch==2.6.0\n"),
        ("heavy.txt", "torchvision\nopencv-python\n"),
        ("tf.txt", "tensorflow==2.20.0\n"),
        (
            "pylock.toml",
            "lock-version = '1.0'\n[[packages]]\nname = 'torch'\nversion = '2.6.0'\n",
        ),
        (
            "environment_gpu.yml",
            "dependencies:\n- python=3.11\n- pytorch=2.6\n",
        ),
        (
            "pyproject.toml",
            "[project]\nname = 'p'\nversion = '0'\n[project.optional-dependencies]\ngpu = ['torch==2.6.0']\n",
        ),
    ];
    for (spec, template, accelerator) in [
        (
            "python.requirements = ['requirements.txt']",
            "python",
            "off",
        ),
        (
            "python.requirements = ['reqs/train.txt']",
            "pytorch",
            "cuda",
        ),
        ("python.requirements = ['heavy.txt']", "pytorch", "cuda"),
        ("python.requirements = ['tf.txt']", "tensorflow", "cuda"),
        (
            "python.requirements = ['environment_gpu.yml']",
            "pytorch",
            "cuda",
        ),
        ("python.packages = ['torch==2.3.0']", "pytorch", "cuda"),
        ("python.packages = ['tensorflow-cpu']", "tensorflow", "off"),
        (
            "python.requirements = ['requirements.txt']\npython.packages = ['ultralytics']",
            "pytorch",
            "cuda",
        ),
        ("python.pylock = 'pylock.toml'", "pytorch", "cuda"),
        ("python.project = '.'", "python", "off"),
        (
            "python.project = '.'\npython.extras = ['gpu']",
            "pytorch",
            "cuda",
        ),
        (
            "python.requirements = ['reqs/train.txt']\ngpu = 'off'",
            "pytorch",
            "off",
        ),
    ] {
        let folder = project(files);
        let fits = fitting(&toml::from_str(spec).unwrap(), folder.path()).unwrap();
        assert_eq!(fits.template.as_str(), template, "{spec}");
        assert_eq!(fits.gui, spec.contains("heavy"), "{spec}");
        let done = composed(files, spec).unwrap();
        assert_eq!(done.accelerator.as_str(), accelerator, "{spec}");
        let is_cpu = done.text.contains("--torch-backend cpu");
        assert_eq!(is_cpu, spec.contains("'off'"), "{spec}");
    }
}

#[test]
fn an_older_python_is_taken_where_only_that_will_do_and_an_image_of_it_is_known() {
    let poetry = "[tool.poetry]\nname = 'p'\nversion = '0'\n[tool.poetry.dependencies]\npython = '~3.7'\nnumpy = '*'\n";
    let project = |python: &str| {
        format!(
            "[project]\nname = 'p'\nversion = '0'\nrequires-python = '{python}'\ndependencies = ['numpy']\n"
        )
    };
    let environment =
        |lines: &str| format!("channels: [conda-forge]\ndependencies:\n  - python=3.7\n{lines}");
    let (exact, range) = (project("==3.7.*"), project(">=3.6,<3.7"));
    let (conda, torch, tensorflow) = (
        environment("  - numpy\n"),
        environment("  - pytorch=1.7.1\n  - cudatoolkit=11.0\n"),
        environment("  - tensorflow-gpu==1.15\n"),
    );
    let new = project(">=3.8");
    for (file, text, base) in [
        (
            "environment.yml",
            conda.as_str(),
            "python:3.7-slim-bookworm off",
        ),
        (
            "environment.yml",
            torch.as_str(),
            "python:3.7-slim-bookworm cuda",
        ),
        (
            "environment.yml",
            tensorflow.as_str(),
            "python:3.7-slim-bookworm cuda",
        ),
        (
            "pyproject.toml",
            exact.as_str(),
            "python:3.7-slim-bookworm off",
        ),
        (
            "pyproject.toml",
            range.as_str(),
            "python:3.6-slim-bullseye off",
        ),
        ("pyproject.toml", poetry, "python:3.7-slim-bookworm off"),
        (
            "pyproject.toml",
            new.as_str(),
            "python:3.12-slim-bookworm off",
        ),
        (
            "requirements.txt",
            "numpy<1.17\nscipy\n",
            "python:3.7-slim-bookworm off",
        ),
        (
            "requirements.txt",
            "tensorflow==1.5\nkeras==2.1.0\n",
            "python:3.6-slim-bullseye cuda",
        ),
        (
            "requirements.txt",
            "tensorflow==2.3.0\n",
            "python:3.8-slim-bookworm cuda",
        ),
        (
            "requirements.txt",
            "tensorflow>=1.8.0,<2.0\n",
            "python:3.7-slim-bookworm cuda",
        ),
        (
            "requirements.txt",
            "tensorflow>=1.8.0\n",
            "python:3.12-slim-bookworm cuda",
        ),
        (
            "requirements.txt",
            "tensorflow-gpu==2.4.1\n",
            "python:3.8-slim-bookworm cuda",
        ),
        (
            "requirements.txt",
            "torch==1.2.0\n",
            "python:3.7-slim-bookworm cuda",
        ),
        (
            "requirements.txt",
            "torch>=1.2.0\n",
            "python:3.12-slim-bookworm cuda",
        ),
        (
            "requirements.txt",
            "paddlepaddle-gpu==2.5.1\n",
            "python:3.11-slim-bookworm cuda",
        ),
        (
            "requirements.txt",
            "jaxlib==0.4.13\n",
            "python:3.11-slim-bookworm off",
        ),
    ] {
        let spec = match file {
            "pyproject.toml" => "python.project = '.'".to_owned(),
            _ => format!("python.requirements = ['{file}']"),
        };
        assert_eq!(outcome(&[(file, text)], &spec), base, "{text}");
    }
}

#[test]
fn a_python_without_an_image_is_refused_for_that_reason() {
    let wish = "[project]\nname = 'p'\nversion = '0'\nrequires-python = '<3.6'\ndependencies = ['numpy']\n";
    let refused = outcome(&[("pyproject.toml", wish)], "python.project = '.'");
    insta::assert_snapshot!(refused, @r#"no Python that a base has is Python <3.6 (pyproject.toml:4); the bases that are known have Python 3.6 to 3.14: widen what pyproject.toml:4 says, or name a base that has it: base = "…" under [image]"#);
    for (python, base) in [
        (
            "3.5",
            "no base is known that has Python 3.5, only Python 3.6 to 3.14; ask for one of these: python = \"3.6\" under [image], or name a base that has it: base = \"…\"",
        ),
        ("3.6", "python:3.6-slim-bullseye off"),
        ("3.7.12", "python:3.7-slim-bookworm off"),
        ("3.14", "python:3.14-slim-bookworm off"),
    ] {
        let spec = format!("python.version = '{python}'");
        assert_eq!(outcome(&[], &spec), base, "{python}");
    }
    // A base that is named has what it has.
    let own = "python.version = '3.5'\nbase = 'python:3.5-slim-buster'";
    assert_eq!(outcome(&[], own), "python:3.5-slim-buster off");
    let newer = composed(&[], "python.version = '3.16'").unwrap();
    insta::assert_snapshot!(said(&newer), @r#"whether there is an image python:3.16-slim-bookworm isn't known: mlbuild's tables have Python up to 3.14; where there is none, ask for python = "3.14" under [image]"#);
    assert_eq!(said(&composed(&[], "python.version = '3.13'").unwrap()), "");
}

#[test]
fn pip_installs_for_a_python_that_uv_is_not_made_for() {
    let old = listed("numpy<1.17\n", "");
    assert!(
        old.text.contains("pip install -q --no-compile"),
        "{}",
        old.text
    );
    assert!(!old.text.contains("uv=="), "{}", old.text);
    assert_eq!(
        old.origins.installer.as_deref(),
        Some("uv isn't made for Python 3.7")
    );
    let refused = outcome(
        &[("requirements.txt", "numpy<1.17\n")],
        "python.installer = 'uv'\npython.requirements = ['requirements.txt']",
    );
    assert!(refused.contains("isn't made for Python 3.7"), "{refused}");
    // No bytecode that Python 3.6 can't make.
    let oldest = listed("tensorflow==1.5\n", "");
    assert!(
        !oldest.text.contains("--invalidation-mode"),
        "{}",
        oldest.text
    );
    assert!(old.text.contains("--invalidation-mode"), "{}", old.text);
}

#[test]
fn packages_that_mean_a_gpu_decide_where_nobody_says_it() {
    let unknown = "brings CUDA's libraries with its wheels isn't known";
    for (text, accelerator, warning) in [
        ("jax[cuda12]==0.5.3\n", "cuda", ""),
        ("jax[cuda12_pip]\ntensorflow-cpu\n", "cuda", ""),
        (
            "jax[cuda]==0.4.30\n-f https://x.example/jax.html\n",
            "cuda",
            unknown,
        ),
        (
            "jaxlib==0.4.7+cuda11.cudnn86\njax==0.4.8\n",
            "cuda",
            unknown,
        ),
        ("jax-cuda12-plugin\n", "cuda", ""),
        ("sglang[all]\n", "cuda", ""),
        ("unsloth\n", "cuda", ""),
        ("vllm\n", "cuda", ""),
        ("tensorrt==10.0.1\n", "cuda", ""),
        ("nvidia-dali-cuda120\n", "cuda", ""),
        (
            "k2==1.24.4.dev20231220+cuda11.7.torch2.0.0\n-f https://x.example/k2.html\n",
            "cuda",
            "",
        ),
        ("mxnet-cu101==1.6.0\n", "cuda", unknown),
        ("onnxruntime-gpu\n", "cuda", ""),
        // PyTorch brings CUDA for itself, and for what stands beside it.
        ("torch==2.1.0+cu118\n", "cuda", ""),
        ("torch==2.6.0\ndgl-cu117\n", "cuda", ""),
        ("jax[rocm]\n", "off", "computes on GPUs of AMD"),
        ("jax\n", "off", ""),
        ("jax[cpu]\n", "off", ""),
        ("jax[tpu]\nflax\n", "off", ""),
        ("tensorflow-cpu\njax\n", "off", ""),
        ("onnxruntime\nnumpy\n", "off", ""),
        ("gputil\ngpustat\n", "off", ""),
        ("jax[cuda12]; sys_platform == 'win32'\njax\n", "off", ""),
    ] {
        let done = listed(text, "");
        assert_eq!(done.accelerator.as_str(), accelerator, "{text}");
        let said = said(&done);
        match warning {
            "" => assert_eq!(said, "", "{text}"),
            warning => assert!(said.contains(warning), "{text}: {said}"),
        }
    }
    let why = listed("numpy\njax[cuda12]==0.5.3\n", "")
        .origins
        .accelerator;
    assert_eq!(why.as_deref(), Some("jax[cuda12] (requirements.txt:2)"));
    // What is said counts more.
    let off = listed("jax[cuda12]\n", "gpu = 'off'");
    assert_eq!(off.accelerator.as_str(), "off");
    assert!(said(&off).contains("jax[cuda12] (requirements.txt:1) computes on a GPU"));
    let own = listed("jax[cuda12]\n", "base = 'x/y:1'");
    assert_eq!(own.accelerator.as_str(), "off");
    // Extras that are chosen, and those that aren't.
    let extras = "[project]\nname = 'p'\nversion = '0'\ndependencies = ['jax']\n[project.optional-dependencies]\ngpu = ['jax[cuda12]']\n";
    let lock = "version = 1\n[[package]]\nname = 'p'\nversion = '0'\nsource = { virtual = '.' }\n[[package]]\nname = 'jax'\nversion = '0.5.3'\nsource = { registry = 'https://x.example/simple' }\n[[package]]\nname = 'jax-cuda12-plugin'\nversion = '0.5.3'\nsource = { registry = 'https://x.example/simple' }\n";
    for files in [
        &[("pyproject.toml", extras)][..],
        &[("pyproject.toml", extras), ("uv.lock", lock)],
    ] {
        let chosen = "python.project = '.'\npython.extras = ['gpu']";
        assert!(outcome(files, chosen).ends_with(" cuda"), "{files:?}");
        let none = "python.project = '.'";
        assert!(outcome(files, none).ends_with(" off"), "{files:?}");
    }
}

#[test]
fn conda_s_packages_decide_too() {
    let of = |lines: &str, spec: &str| {
        let text = format!("channels: [conda-forge]\ndependencies:\n  - python=3.10\n{lines}");
        let spec = format!("{spec}\npython.requirements = ['environment.yml']");
        composed(&[("environment.yml", &text)], &spec).unwrap()
    };
    let only = "  - bioconductor-deseq2\n";
    for (lines, accelerator) in [
        ("  - pytorch=2.1.0\n  - pytorch-cuda=12.1\n", "cuda"),
        ("  - pytorch-gpu\n  - cuda-version=12\n", "cuda"),
        ("  - tensorflow-gpu=2.6\n  - cudatoolkit=11.3\n", "cuda"),
        ("  - jaxlib=0.4.23=*cuda*\n  - jax\n", "cuda"),
        ("  - cupy\n  - cudatoolkit=11.8\n", "cuda"),
        ("  - numpy\n", "off"),
        ("  - jaxlib=0.4.23=*cpu*\n  - jax\n", "off"),
        ("  - pytorch-cpu=2.5\n", "off"),
        ("  - pytorch=2.3\n  - cpuonly\n", "off"),
    ] {
        let done = of(&format!("{lines}{only}"), "");
        assert!(done.origins.conda.is_some());
        assert_eq!(done.accelerator.as_str(), accelerator, "{lines}");
        let has = done.text.contains("\"cuda\":");
        assert_eq!(has, accelerator == "cuda", "{lines}: {}", done.text);
    }
    // The same from the package index.
    for (lines, accelerator) in [
        ("  - pytorch-cpu=2.5\n", "off"),
        ("  - pytorch=2.3\n  - cpuonly\n", "off"),
        ("  - pytorch=2.3=cpu_*\n", "off"),
        ("  - pytorch=2.3\n  - pytorch-mutex=1.0=cpu\n", "off"),
        ("  - pytorch=2.3\n", "cuda"),
        ("  - pytorch=2.3=*cuda*\n", "cuda"),
        ("  - numpy\n", "off"),
    ] {
        let done = of(lines, "");
        assert_eq!(done.accelerator.as_str(), accelerator, "{lines}");
        let is_cpu = done.text.contains("--torch-backend cpu");
        assert_eq!(
            is_cpu,
            accelerator == "off" && lines.contains("torch"),
            "{lines}"
        );
        assert!(!said(&done).contains("cpuonly"), "{lines}: {}", said(&done));
    }
    let overruled = of("  - pytorch=2.3\n  - cpuonly\n", "gpu = 'cuda'");
    assert!(
        said(&overruled).contains("cpuonly (environment.yml:5) asks for builds for CPUs, and this image is made for gpu = \"cuda\"; leave gpu out, or that line"),
        "{}",
        said(&overruled)
    );
    let pixi = "[workspace]\nchannels = ['conda-forge']\nname = 'x'\nplatforms = ['linux-64']\n[dependencies]\npython = '3.10.*'\npytorch-cpu = '>=2.6,<3'\n";
    let of_pixi = outcome(
        &[("pixi.toml", pixi)],
        "python.requirements = ['pixi.toml']",
    );
    assert!(of_pixi.ends_with(" off"), "{of_pixi}");
}

#[test]
fn the_python_of_a_project_that_lies_beside_counts_as_far_as_it_can() {
    let toml = "[project]\nname = 'p'\nversion = '0'\nrequires-python = '>=3.8,<3.11'\ndependencies = ['numpy']\n";
    let setup = "from setuptools import setup\nsetup(name='p', python_requires='>=3.7,<3.10')\n";
    let environment = "name: e\ndependencies:\n  - python=3.8\n  - numpy\n";
    let wide = "[project]\nname = 'p'\nversion = '0'\nrequires-python = '>=3.8'\n";
    for (file, text, list, python, warns) in [
        ("pyproject.toml", toml, "numpy\n", "3.10", false),
        ("setup.py", setup, "numpy\n", "3.9", false),
        ("environment.yml", environment, "numpy\n", "3.8", false),
        ("pyproject.toml", wide, "numpy\n", "3.12", false),
        // Packages that have no wheels for it count more, and that is said.
        ("setup.py", setup, "numpy==2.2.0\n", "3.12", true),
        (
            "pyproject.toml",
            toml,
            "torch==2.11.0\nnumpy==1.26.0\n",
            "3.10",
            false,
        ),
        ("README.md", "x", "numpy\n", "3.12", false),
    ] {
        let files = &[("requirements.txt", list), (file, text)];
        let spec = "python.requirements = ['requirements.txt']";
        let done = composed(files, spec).unwrap();
        assert_eq!(done.python.as_deref(), Some(python), "{text}{list}");
        let is_said = said(&done).contains("is for Python");
        assert_eq!(is_said, warns, "{text}{list}: {}", said(&done));
        if python != "3.12" {
            let why = done.origins.python.unwrap();
            assert!(why.starts_with(file), "{why}");
        }
    }
    let named = composed(
        &[("requirements.txt", "numpy\n"), ("setup.py", setup)],
        "python.version = '3.13'\npython.requirements = ['requirements.txt']",
    );
    assert_eq!(said(&named.unwrap()), "");
    assert_eq!(outcome(&[], ""), format!("{SLIM} off"));
}

#[test]
fn nvcc_has_the_cuda_of_pytorch_or_that_is_said() {
    let stage = |text: &str, spec: &str| -> String {
        let spec = format!("{spec}\npython.requirements = ['requirements.txt']");
        match composed(&[("requirements.txt", text)], &spec) {
            Ok(done) => {
                let image = done
                    .text
                    .lines()
                    .find_map(|line| line.strip_prefix("ARG CUDA_IMAGE="));
                let backend = done.text.split("--torch-backend ").nth(1);
                let backend = backend.and_then(|rest| rest.split_whitespace().next());
                let (image, backend) = (image.unwrap_or("-"), backend.unwrap_or("-"));
                format!("{image} {backend} {}", done.cuda.unwrap_or_default())
            }
            Err(error) => error.to_string(),
        }
    };
    let old = "nvidia/cuda:11.8.0-devel-ubuntu22.04";
    for (text, spec, found) in [
        (
            "torch==1.12.0\ntorch-scatter==2.0.9\n",
            "",
            &*format!("{old} cu116 11.6"),
        ),
        (
            "torch==1.11.0\ndetectron2\n",
            "",
            &format!("{old} cu115 11.5"),
        ),
        (
            "torch==1.7.1\nmmcv-full==1.3.0\n",
            "",
            &format!("{old} cu110 11.0"),
        ),
        (
            "torch==1.12.0\ntorch-scatter==2.0.9\n",
            "python.torch_backend = 'cu113'",
            &format!("{old} cu113 11.3"),
        ),
        // Nothing is compiled, or the index' own build has an nvcc.
        ("torch==1.12.0\n", "", "- - 10.2"),
        (
            "torch==2.6.0\nflash-attn\n",
            "",
            "nvidia/cuda:12.4.1-devel-ubuntu22.04 - 12.4",
        ),
        (
            "torch==1.12.0\ntorch-scatter==2.0.9\n",
            "gpu = 'off'",
            "- cpu ",
        ),
    ] {
        assert_eq!(stage(text, spec), found, "{text}{spec}");
    }
    let old = "torch==1.12.0\ntorch-scatter==2.0.9\n";
    insta::assert_snapshot!(stage(old, "python.installer = 'pip'"), @r#"torch 1.12.0 (requirements.txt:1) has CUDA 10.2, packages are compiled against it, and no image with the nvcc of CUDA 10.2 is known; ask for torch==1.12.0+cu116 from PyTorch's own index, or name a base that has nvcc, or a newer torch"#);
    let asked = stage(&old.replace("1.12.0", "1.12.0+cu102"), "");
    assert!(
        asked.contains("no image with the nvcc of CUDA 10.2 is known"),
        "{asked}"
    );
}

#[test]
fn frameworks_that_only_the_code_imports_are_named() {
    let import = "import torch\n";
    for (files, list, warns) in [
        (
            vec![("train.py", import)],
            "numpy\n",
            "train.py:1 imports torch",
        ),
        (
            vec![("train.py", "import mxnet as mx\n")],
            "numpy\n",
            "train.py:1 imports mxnet",
        ),
        (
            vec![("train.py", "import os\nimport tensorflow as tf\n")],
            "numpy\n",
            "train.py:2 imports tensorflow",
        ),
        (
            vec![
                ("net/__init__.py", ""),
                ("net/model.py", "from torch import nn\n"),
            ],
            "numpy\n",
            "net/model.py:1 imports torch",
        ),
        (
            vec![("src/train.py", import)],
            "numpy\n",
            "src/train.py:1 imports torch",
        ),
        (
            vec![("src/net/__init__.py", ""), ("src/net/model.py", import)],
            "numpy\n",
            "src/net/model.py:1 imports torch",
        ),
        (
            vec![("src/tests/__init__.py", ""), ("src/tests/a.py", import)],
            "numpy\n",
            "",
        ),
        (vec![("train.py", "import jax\n")], "flax\n", ""),
        (vec![("train.py", import)], "torch\n", ""),
        (vec![("train.py", import)], "timm\n", ""),
        (vec![("train.py", import)], "transformers[torch]\n", ""),
        (vec![("train.py", import)], "torch-scatter\n", ""),
        (vec![("train.py", import)], "deepspeed\n", ""),
        (
            vec![("train.py", "import tensorflow\n")],
            "tensorflow-gpu\n",
            "",
        ),
        (
            vec![(
                "train.py",
                "try:\n    import torch\nexcept ImportError:\n    pass\n",
            )],
            "numpy\n",
            "",
        ),
        (vec![("train.py", import), ("torch.py", "")], "numpy\n", ""),
        (
            vec![("setup.py", import), ("tests/a.py", import)],
            "numpy\n",
            "",
        ),
        (vec![("scripts/train.py", import)], "numpy\n", ""),
        // What an address brings isn't known.
        (
            vec![("train.py", import)],
            "git+https://x.example/clip.git\n",
            "",
        ),
    ] {
        let files: Vec<(&str, &str)> = [("requirements.txt", list)]
            .into_iter()
            .chain(files)
            .collect();
        let done = composed(&files, "python.requirements = ['requirements.txt']").unwrap();
        let found = said(&done);
        assert_eq!(
            found.contains(" imports "),
            !warns.is_empty(),
            "{files:?}: {found}"
        );
        assert!(found.contains(warns), "{files:?}: {found}");
    }
    let own = composed(
        &[("requirements.txt", "numpy\n"), ("train.py", import)],
        "base = 'nvcr.io/nvidia/pytorch:24.01-py3'\npython.requirements = ['requirements.txt']",
    );
    assert!(!said(&own.unwrap()).contains(" imports "));
}

#[test]
fn plain_strings_of_a_setup_script_tell_its_framework() {
    let deps = "from setuptools import setup\n_deps = [\n    'accelerate>=1.2.1',\n    'torch==2.0.1',\n]\nsetup(name='p', install_requires=deps_list(_deps))\n";
    let merged = "from setuptools import setup\nbase=['numpy','torch==2.0.1']\nreqs={'install': base + more()}\ninfo=dict(name='p',install_requires=reqs['install'])\nsetup(**info)\n";
    let two = "from setuptools import setup\n_deps = [\n    'torch>=1',\n    'tensorflow>=2',\n]\nsetup(name='p', install_requires=deps_list(_deps))\n";
    let read = "from setuptools import setup\nsetup(name='p', install_requires=[l for l in open('x.list')])\n";
    for (text, template, python, part) in [
        (
            deps,
            "pytorch",
            "3.11",
            "are decided from what stands there as text: accelerate (setup.py:3), torch (setup.py:4)",
        ),
        (merged, "pytorch", "3.11", "torch (setup.py:2)"),
        (
            two,
            "python",
            "3.12",
            "what they mean for the GPU and Python isn't known",
        ),
        (
            read,
            "python",
            "3.12",
            "what they mean for the GPU and Python isn't known",
        ),
    ] {
        let files = &[("setup.py", text)];
        let spec = "python.requirements = ['setup.py']";
        let done = composed(files, spec).unwrap();
        let folder = project(files);
        let fits = fitting(&toml::from_str(spec).unwrap(), folder.path()).unwrap();
        assert_eq!(fits.template.as_str(), template, "{text}");
        assert_eq!(done.python.as_deref(), Some(python), "{text}");
        assert!(said(&done).contains(part), "{text}: {}", said(&done));
        // It is the project's own build that installs them.
        assert!(!done.text.contains("torch=="), "{}", done.text);
        let facts = mlbuild_templates::project::detect(folder.path());
        assert_eq!(facts.template.as_str(), template, "{text}");
    }
}

#[test]
fn cuda_for_a_framework_that_the_project_s_build_installs_is_of_that_release() {
    let text = "from setuptools import setup\nbase = []\ntf = ['tensorflow==2.15.0']\nsetup(name='p', install_requires=base+tf+more())\n";
    let done = composed(&[("setup.py", text)], "python.requirements = ['setup.py']").unwrap();
    assert!(
        done.text.contains("'tensorflow[and-cuda]==2.15.0'"),
        "{}",
        done.text
    );
    // Beside a list that names it, as before.
    let listed = listed("tensorflow==2.15.0\n", "");
    assert!(
        listed.text.contains("'tensorflow[and-cuda]'"),
        "{}",
        listed.text
    );
}

#[test]
fn a_project_and_the_list_beside_it_are_both_installed_where_both_are_named() {
    let built = "[project]\nname = 'p'\nversion = '0'\ndependencies = []\n[build-system]\nrequires = ['setuptools']\n";
    for (file, text, spec) in [
        (
            "pyproject.toml",
            built,
            "python.project = '.'\npython.requirements = ['requirements.txt']",
        ),
        (
            "setup.py",
            "setup(name='p')\n",
            "python.requirements = ['setup.py', 'requirements.txt']",
        ),
    ] {
        let files = &[("requirements.txt", "numpy\n"), (file, text)];
        let done = composed(files, spec).unwrap();
        assert!(done.text.contains("-e /app"), "{}", done.text);
        assert!(
            done.text.contains("-r /opt/mlbuild/requirements.txt"),
            "{}",
            done.text
        );
    }
}

#[test]
fn no_reason_names_what_is_not_there() {
    let lightning = listed("lightning\n", "");
    assert_eq!(
        lightning.origins.cuda.as_deref(),
        Some("lightning (requirements.txt:1) brings torch")
    );
    let based = listed("onnxruntime-gpu\n", "");
    assert_eq!(based.origins.cuda.as_deref(), Some("the base"));
    let game = listed("numpy\npygame\n", "");
    assert_eq!(
        game.origins.apt.get("libgl1").map(String::as_str),
        Some("gui: the windows of pygame (requirements.txt:2) need it")
    );
}

#[test]
fn a_base_with_another_python_than_the_project_asks_for_is_said() {
    let environment = "dependencies:\n  - python=3.9\n  - pip:\n    - tensorflow==2.11.0\n";
    let project = |python: &str| {
        format!(
            "[project]\nname = \"a\"\nversion = \"1\"\nrequires-python = \"{python}\"\ndependencies = [\"tensorflow==2.11.0\"]\n"
        )
    };
    let of_conda = "python.requirements = ['environment.yml']";
    let of_project = "python.requirements = ['pyproject.toml']";
    let (narrow, wide, older) = (project("==3.9.*"), project(">=3.9"), project("==3.8.*"));
    for (file, text, spec, message) in [
        (
            "environment.yml",
            environment,
            of_conda,
            "environment.yml:2 asks for Python ==3.9.*, and nvidia/cuda:",
        ),
        (
            "pyproject.toml",
            &narrow,
            of_project,
            "pyproject.toml:4 asks for Python ==3.9.*, and nvidia/cuda:",
        ),
        (
            "pyproject.toml",
            &older,
            of_project,
            "set cuda = \"11.2\" under [image], whose image has Python 3.8",
        ),
        ("pyproject.toml", &wide, of_project, ""),
    ] {
        let done = composed(&[(file, text)], spec).unwrap();
        let found = said(&done);
        assert!(found.contains(message), "{text}: {found}");
        assert_eq!(
            found.contains("that is installed for"),
            !message.is_empty(),
            "{text}: {found}"
        );
        let python = done.origins.python.unwrap_or_default();
        assert!(message.is_empty() || !python.contains(file), "{python}");
    }
}

#[test]
fn the_release_that_a_pinned_package_brings_is_not_taken_for_the_newest() {
    for (list, spec, warns) in [
        ("vllm==0.6.3\n", "cuda = '12.1'", true),
        (
            "torchvision==0.15.2\n",
            "target.nvidia_driver = '535'",
            true,
        ),
        ("xformers==0.0.22\n", "", false),
    ] {
        let done = listed(list, spec);
        assert_eq!(
            said(&done).contains("can't check which CUDA"),
            warns,
            "{list}: {}",
            said(&done)
        );
        assert!(done.origins.cuda.is_none() || !spec.is_empty(), "{list}");
    }
    // The newest of all is known.
    let error = composed(
        &[("requirements.txt", "vllm\n")],
        "cuda = '12.1'\npython.requirements = ['requirements.txt']",
    );
    assert!(error.is_err());
}
