//! What public projects taught, by kind: each table has small inputs, and neighbours that must stay as they were.

use mlbuild_templates::project::{condarc_of_machine, detect};
use mlbuild_templates::tables::Machine;
use mlbuild_templates::{ComposeContext, Composition, ImageSpec, compose};
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

fn composed_on(files: &[(&str, &str)], spec: &str, machine: Machine) -> Composition {
    let project = project(files);
    let context = ComposeContext {
        project: Some(project.path()),
        machine,
        ..ComposeContext::default()
    };
    compose(&toml::from_str::<ImageSpec>(spec).unwrap(), &context).unwrap()
}

fn composed(files: &[(&str, &str)], spec: &str) -> Composition {
    composed_on(files, spec, Machine::default())
}

fn listed(text: &str) -> Composition {
    composed(
        &[("requirements.txt", text)],
        "python.requirements = ['requirements.txt']",
    )
}

/// Warnings and notes.
fn said(done: &Composition) -> String {
    let warnings = done.warnings.iter();
    let mut lines: Vec<String> = warnings
        .map(|w| format!("{}; {}", w.message, w.hint.as_deref().unwrap_or("")))
        .collect();
    lines.extend(done.notes.clone());
    lines.join("\n")
}

#[test]
fn groups_that_uv_installs_by_default_are_installed() {
    let project = |tool: &str| {
        format!(
            "[project]\nname = 'p'\nversion = '0'\ndependencies = ['six']\n[dependency-groups]\ntrain = ['numpy']\ndocs = ['idna']\n{tool}"
        )
    };
    let lock = "version = 1\n[[package]]\nname = 'p'\nversion = '0'\nsource = { virtual = '.' }\n[[package]]\nname = 'six'\nversion = '1.17.0'\nsource = { registry = 'https://x.example/simple' }\n";
    for (tool, groups, of_lock, of_list) in [
        ("", "", "--no-default-groups --project", "'six'"),
        (
            "[tool.uv]\ndefault-groups = ['train']\n",
            "",
            "--no-default-groups --group train --project",
            "'six' 'numpy'",
        ),
        (
            "[tool.uv]\ndefault-groups = 'all'\n",
            "",
            "--group docs --group train",
            "'six' 'idna' 'numpy'",
        ),
        (
            "[tool.uv]\ndefault-groups = ['train']\n",
            "python.groups = ['docs']",
            "--group docs --group train",
            "idna",
        ),
        (
            "[tool.uv]\ndefault-groups = ['dev']\n",
            "",
            "--no-default-groups --project",
            "'six'",
        ),
    ] {
        let text = project(tool);
        let files = [("pyproject.toml", text.as_str()), ("uv.lock", lock)];
        let done = composed(&files, &format!("python.project = '.'\n{groups}"));
        let shown = done.text.replace('\'', "");
        assert!(shown.contains(of_lock), "{tool}: {shown}");
        let spec = format!("python.requirements = ['pyproject.toml']\n{groups}");
        let done = composed(&files[..1], &spec);
        for package in of_list.split(' ') {
            let package = package.trim_matches('\'');
            assert!(
                done.text.contains(package),
                "{tool}: {package}: {}",
                done.text
            );
        }
        let is_said = said(&done).contains("default-groups of [tool.uv] are installed");
        let is_meant = tool.contains("train") || tool.contains("all");
        assert_eq!(is_said, is_meant, "{tool}: {}", said(&done));
    }
}

#[test]
fn code_of_tensorflow_1_beside_a_list_that_takes_2_is_said() {
    const OLD: &str = "import tensorflow as tf\nflags = tf.flags\n";
    for (list, code, is_said) in [
        ("tensorflow>=1.11.0\n", OLD, true),
        (
            "tensorflow\n",
            "import tensorflow as tf\nwith tf.Session() as s:\n    pass\n",
            true,
        ),
        (
            "tensorflow\n",
            "from tensorflow.contrib import slim\n",
            true,
        ),
        ("tensorflow==1.15.5\n", OLD, false),
        ("tensorflow<2\n", OLD, false),
        (
            "tensorflow\n",
            "import tensorflow.compat.v1 as tf\ntf.flags\n",
            false,
        ),
        (
            "tensorflow\n",
            "import tensorflow as tf\ntf.compat.v1.Session()\n",
            false,
        ),
        (
            "tensorflow\n",
            "import tensorflow as tf\n# tf.flags\nx = tf.keras.layers\n",
            false,
        ),
        ("torch\n", OLD, false),
    ] {
        let files = [("requirements.txt", list), ("train.py", code)];
        let spec = "template = 'tensorflow'\npython.requirements = ['requirements.txt']";
        let found = said(&composed(&files, spec));
        assert_eq!(
            found.contains("is code for TensorFlow 1"),
            is_said,
            "{list}{code}: {found}"
        );
    }
}

#[test]
fn names_that_the_index_hasnt_are_said() {
    for (list, found) in [
        (
            "isaacgym\n",
            "isaacgym (requirements.txt:1): NVIDIA gives it out",
        ),
        (
            "six\nsklearn\n",
            "sklearn (requirements.txt:2): what the package index has",
        ),
        (
            "detectron2\n",
            "ask for its repository: detectron2 @ git+https://",
        ),
        ("clip\n", "another project of that name"),
    ] {
        assert!(
            said(&listed(list)).contains(found),
            "{list}: {}",
            said(&listed(list))
        );
    }
    for list in [
        "scikit-learn\n",
        "clip @ git+https://github.com/openai/CLIP\n",
        "--extra-index-url https://x.example/simple\nisaacgym\n",
    ] {
        let said = said(&listed(list));
        assert!(!said.contains("package index"), "{list}: {said}");
    }
    // The project's own.
    let setup = "from setuptools import setup\nsetup(name='rsl_rl')\n";
    let files = [
        ("requirements.txt", "-e ./rsl\nrsl-rl\n"),
        ("rsl/setup.py", setup),
    ];
    let done = composed(&files, "python.requirements = ['requirements.txt']");
    assert!(!said(&done).contains("rsl-rl-lib"), "{}", said(&done));
}

#[test]
fn packages_with_cuda_that_arm_has_no_wheels_of_are_said() {
    for (list, found) in [
        (
            "xformers\n",
            "xformers (requirements.txt:1) has no wheels for linux/arm64",
        ),
        (
            "faiss-gpu-cu12\n",
            "faiss-gpu-cu12 (requirements.txt:1) has no wheels",
        ),
        (
            "six\nspconv-cu118\n",
            "spconv-cu118 (requirements.txt:2) has no wheels",
        ),
        (
            "tensorflow[and-cuda]\n",
            "computes on the CPU alone on linux/arm64",
        ),
        ("cupy-cuda12x\n", ""),
        ("numpy\n", ""),
        ("xformers ; platform_machine == 'x86_64'\n", ""),
    ] {
        let files = [("requirements.txt", list)];
        let spec = "python.requirements = ['requirements.txt']";
        let there = said(&composed_on(&files, spec, Machine::Aarch64));
        match found {
            "" => assert!(!there.contains("linux/arm64"), "{list}: {there}"),
            found => assert!(there.contains(found), "{list}: {there}"),
        }
        assert!(
            !said(&composed(&files, spec)).contains("linux/arm64"),
            "{list}"
        );
    }
}

#[test]
fn what_is_to_be_built_from_source_is_said() {
    for (list, found) in [
        (
            "--no-binary=opencc\nopencc\n",
            "requirements.txt:1: --no-binary opencc: that package is built",
        ),
        ("--no-binary :all:\nsix\n", "every package is built"),
        ("--no-binary :none:\nsix\n", ""),
        ("--only-binary :all:\nsix\n", ""),
    ] {
        let said = said(&listed(list));
        match found {
            "" => assert!(
                !said.contains("is built where it is installed"),
                "{list}: {said}"
            ),
            found => assert!(said.contains(found), "{list}: {said}"),
        }
    }
}

#[test]
fn indexes_of_pixi_decide_the_build_of_torch() {
    for (tables, line) in [
        (
            "[pypi-dependencies]\ntorch = { version = '==2.7.1', index = 'https://download.pytorch.org/whl/cu128' }\n",
            "--torch-backend cu128",
        ),
        (
            "[pypi-options]\nextra-index-urls = ['https://download.pytorch.org/whl/cu126']\n[pypi-dependencies]\ntorch = '==2.7.1'\n",
            "--torch-backend cu126",
        ),
        (
            "[dependencies]\ncuda-version = '12.4.*'\n[pypi-dependencies]\ntorch = '==2.5.1'\n",
            "--torch-backend cu124",
        ),
    ] {
        let text = format!(
            "[workspace]\nname = 'x'\nchannels = ['conda-forge']\nplatforms = ['linux-64']\n{tables}"
        );
        let spec = "template = 'pytorch'\npython.requirements = ['pixi.toml']";
        let done = composed(&[("pixi.toml", &text)], spec);
        assert!(done.text.contains(line), "{tables}: {}", done.text);
    }
    for (tables, found) in [
        (
            "[pypi-dependencies]\nsix = { version = '*', index = 'https://x.example/simple' }\n",
            "source https://x.example/simple isn't used",
        ),
        (
            "[pypi-options]\nno-build-isolation = ['a']\n[pypi-dependencies]\nsix = '*'\n",
            "pixi.toml:5: no-build-isolation isn't used",
        ),
    ] {
        let text = format!(
            "[workspace]\nname = 'x'\nchannels = ['conda-forge']\nplatforms = ['linux-64']\n{tables}"
        );
        let done = composed(
            &[("pixi.toml", &text)],
            "python.requirements = ['pixi.toml']",
        );
        assert!(said(&done).contains(found), "{tables}: {}", said(&done));
    }
    let text = "[workspace]\nname = 'x'\nchannels = ['conda-forge']\nplatforms = ['linux-64']\n[system-requirements]\ncuda = '12'\n[pypi-dependencies]\nsix = '*'\n";
    let done = composed(
        &[("pixi.toml", text)],
        "python.requirements = ['pixi.toml']",
    );
    assert_eq!(done.accelerator.as_str(), "cuda");
}

#[test]
fn cuda_of_conda_beside_a_framework_that_brings_its_own_is_said() {
    let environment = |cuda: &str, pip: &str| {
        format!(
            "name: x\nchannels: [conda-forge]\ndependencies:\n- python=3.10\n- {cuda}\n- pip:\n  - {pip}\n"
        )
    };
    for (cuda, pip, found) in [
        (
            "cudatoolkit=11.6",
            "torch==2.6.0",
            "cudatoolkit=11.6 (environment.yml:5) stands beside torch (environment.yml:7), which takes CUDA 12.4",
        ),
        (
            "cudnn=8.2.0",
            "tensorflow==2.15.0",
            "cudnn=8.2.0 (environment.yml:5) stands beside tensorflow (environment.yml:7), which takes CUDA 12.2",
        ),
        ("cudatoolkit=11.8", "numpy", ""),
    ] {
        let text = environment(cuda, pip);
        let template = if pip.starts_with("torch") {
            "pytorch"
        } else {
            "tensorflow"
        };
        let template = if pip == "numpy" { "python" } else { template };
        let spec = format!("template = '{template}'\npython.requirements = ['environment.yml']");
        let done = composed(&[("environment.yml", &text)], &spec);
        match found {
            "" => assert!(!said(&done).contains("stands beside"), "{}", said(&done)),
            found => assert!(said(&done).contains(found), "{cuda}: {}", said(&done)),
        }
    }
}

#[test]
fn conda_packages_that_the_index_or_debian_have_ask_for_no_channel() {
    for line in [
        "suitesparse",
        "pyquaternion=0.9.9",
        "dm_control=1.0.9",
        "rospkg=1.5.0",
        "boost-cpp",
        "nomkl",
    ] {
        let text =
            format!("name: x\nchannels: [conda-forge]\ndependencies:\n- python=3.10\n- {line}\n");
        let files = [("environment.yml", text.as_str())];
        let project = project(&files);
        assert!(!detect(project.path()).conda, "{line}");
        let spec = "conda = false\npython.requirements = ['environment.yml']";
        composed(&files, spec);
    }
}

#[test]
fn settings_of_conda_are_named() {
    for (text, keys) in [
        (
            "channels: [my]\nchannel_alias: https://mirror.example\n",
            "channels, channel_alias",
        ),
        ("pinned_packages: [numpy=1.26]\n", "pinned_packages"),
        ("auto_activate_base: false\n", ""),
        ("", ""),
    ] {
        let project = project(&[(".condarc", text), ("requirements.txt", "six\n")]);
        let findings = detect(project.path()).findings;
        let found = findings.iter().find(|found| found.file == ".condarc");
        let of_machine = condarc_of_machine(project.path());
        assert_eq!(found.is_some(), !keys.is_empty(), "{text}");
        assert_eq!(of_machine.is_some(), !keys.is_empty(), "{text}");
        if let (Some(found), Some(of_machine)) = (found, of_machine) {
            assert!(found.why.ends_with(keys), "{}", found.why);
            assert_eq!(of_machine.file, "~/.condarc");
        }
    }
}

#[test]
fn lists_under_unusual_names_are_named() {
    for (file, text, is_named) in [
        ("extra-req.txt", "--no-deps\nfaster-whisper\n", true),
        ("torch-gpu.txt", "torch==2.1.0\n", true),
        ("dep.txt", "something-private\n", true),
        ("cuda.txt", "numpy\npandas\n", true),
        ("classes.txt", "cat\ndog\n", false),
        ("words.txt", "numpy is a package\n", false),
    ] {
        let project = project(&[("requirements.txt", "six\n"), (file, text)]);
        let findings = detect(project.path()).findings;
        let found = findings.iter().any(|found| found.file == file);
        assert_eq!(found, is_named, "{file}: {findings:?}");
    }
}

#[test]
fn names_that_mean_a_device_decide() {
    for (list, accelerator, found) in [
        ("isaacsim\n", "cuda", ""),
        ("flashinfer-python\n", "cuda", ""),
        ("sgl-kernel\n", "cuda", ""),
        (
            "jax\ncloud-tpu-diagnostics\n",
            "off",
            "computes on TPUs of Google",
        ),
        ("pathwaysutils\n", "off", "computes on TPUs of Google"),
        ("numpy\n", "off", ""),
    ] {
        let done = listed(list);
        assert_eq!(done.accelerator.as_str(), accelerator, "{list}");
        assert!(said(&done).contains(found), "{list}: {}", said(&done));
    }
}
