//! What public projects write, and what follows from it: each row a project made small.

use mlbuild_templates::{ComposeContext, Composition, compose};

fn composed(files: &[(&str, &str)], spec: &str) -> Composition {
    let project = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = project.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let context = ComposeContext {
        project: Some(project.path()),
        ..ComposeContext::default()
    };
    let spec = format!("{spec}\npython.requirements = [\"{}\"]", files[0].0);
    compose(&toml::from_str(&spec).unwrap(), &context).unwrap()
}

fn of(text: &str, spec: &str) -> Composition {
    composed(&[("requirements.txt", text)], spec)
}

#[test]
fn releases_that_are_pinned_decide_the_python_that_has_wheels_for_them() {
    for (text, python) in [
        ("numpy==1.23.5\nscipy==1.9.3\n", "3.11"),
        ("numpy==1.23.5\nnumba==0.56.4\n", "3.10"),
        ("opencv-python<=4.6.0\nnumpy<1.24\n", "3.11"),
        ("triton==2.0.0\ntokenizers==0.12.1\ntorch>=2.0.1\n", "3.10"),
        ("open3d==0.13.0\n", "3.8"),
        ("torch==1.9.1\n", "3.9"),
        ("torch==1.12.1\ntokenizers==0.12.1\n", "3.10"),
        ("numpy==2.2.0\n", "3.12"),
        ("numpy\npandas>=1.1.4\n", "3.12"),
        // Nothing is known of it.
        ("some-package==0.1\n", "3.12"),
        // Nothing has wheels for both: as many as can be.
        ("numpy==1.19.5\nscipy==1.5.4\npandas==2.2.3\n", "3.9"),
    ] {
        let found = of(text, "template = 'pytorch'").python;
        assert_eq!(found.as_deref(), Some(python), "{text}");
    }
    // TensorFlow of before the NVIDIA wheels stands on NVIDIA's base, and that has one Python.
    let old = of("tensorflow~=2.6.0\n", "template = 'tensorflow'");
    assert_eq!(
        old.base.as_str(),
        "nvidia/cuda:11.2.2-cudnn8-runtime-ubuntu20.04"
    );
    assert_eq!(old.python.as_deref(), Some("3.8"));
    let cpu = of(
        "tensorflow~=2.6.0\n",
        "template = 'tensorflow'\ngpu = 'off'",
    );
    assert_eq!(cpu.python.as_deref(), Some("3.9"));
}

#[test]
fn a_release_without_wheels_for_the_python_that_is_asked_for_is_said() {
    let done = of(
        "six\nnumpy==1.23.5\nscipy==1.9.3\n",
        "python.version = '3.12'",
    );
    let said: Vec<&str> = done.warnings.iter().map(|w| w.message.as_str()).collect();
    assert_eq!(
        said,
        [
            "numpy==1.23.5 (requirements.txt:2) has no wheels for Python 3.12, only for 3.8, 3.9, 3.10, 3.11 (and 1 more package)"
        ]
    );
    let hint = done.warnings[0].hint.as_deref().unwrap();
    assert!(hint.contains("python = \"3.11\""), "{hint}");
}

#[test]
fn the_base_with_cuda_is_the_one_that_the_packages_fit() {
    for (text, spec, base) in [
        (
            "onnxruntime-gpu==1.18.0\n",
            "",
            "nvidia/cuda:11.8.0-cudnn8-runtime-ubuntu22.04",
        ),
        (
            "onnxruntime-gpu\n",
            "",
            "nvidia/cuda:12.8.1-cudnn-runtime-ubuntu24.04",
        ),
        (
            "onnxruntime-gpu\nnumpy==1.23.5\n",
            "",
            "nvidia/cuda:12.4.1-cudnn-runtime-ubuntu22.04",
        ),
        (
            "cupy-cuda11x\n",
            "",
            "nvidia/cuda:11.8.0-cudnn8-runtime-ubuntu22.04",
        ),
        (
            "cupy-cuda13x\n",
            "",
            "nvidia/cuda:13.0.1-cudnn-runtime-ubuntu24.04",
        ),
        (
            "pycuda\n",
            "python.version = '3.10'",
            "nvidia/cuda:12.4.1-cudnn-runtime-ubuntu22.04",
        ),
        (
            "pycuda\n",
            "cuda = '12.6'",
            "nvidia/cuda:12.6.3-cudnn-runtime-ubuntu24.04",
        ),
        // Another index may have a build for another CUDA.
        (
            "--extra-index-url https://packages.example/ort-cuda-12/simple\nonnxruntime-gpu==1.18.0\n",
            "",
            "nvidia/cuda:12.8.1-cudnn-runtime-ubuntu24.04",
        ),
    ] {
        let done = of(text, &format!("gpu = 'cuda'\n{spec}"));
        assert_eq!(done.base.as_str(), base, "{text}{spec}");
        let why = done.origins.base.unwrap();
        assert!(why.ends_with("looks for CUDA there"), "{why}");
        assert!(
            !done
                .warnings
                .iter()
                .any(|w| w.message.contains("CUDA comes twice"))
        );
    }
}

#[test]
fn builds_for_cpus_make_an_image_for_cpus() {
    for (text, spec, accelerator) in [
        ("tensorflow-cpu==2.16.1\n", "template = 'tensorflow'", "off"),
        (
            "--extra-index-url https://download.pytorch.org/whl/cpu\ntorch~=2.2.1\n",
            "template = 'pytorch'",
            "off",
        ),
        ("torch==2.2.1+cpu\n", "template = 'pytorch'", "off"),
        (
            "torch==2.2.1+cpu\n",
            "template = 'pytorch'\ngpu = 'cuda'",
            "cuda",
        ),
        (
            "torch==2.2.1+cpu\ntensorflow\n",
            "template = 'pytorch'",
            "cuda",
        ),
        (
            "--extra-index-url https://x.example/llama-cpp-python/whl/cpu\ntorch==2.2.1\n",
            "template = 'pytorch'",
            "cuda",
        ),
        ("torch==2.2.1\n", "template = 'pytorch'", "cuda"),
    ] {
        let done = of(text, spec);
        assert_eq!(done.accelerator.as_str(), accelerator, "{text}{spec}");
        assert_eq!(
            done.text.contains("NVIDIA_VISIBLE_DEVICES"),
            accelerator == "cuda",
            "{text}"
        );
    }
}

#[test]
fn builds_for_cuda_in_an_image_for_cpus_are_said() {
    for (text, name) in [
        (
            "https://x.example/auto_gptq-0.4.2+cu117-cp310-cp310-linux_x86_64.whl\n",
            "auto-gptq",
        ),
        (
            "https://x.example/ctransformers-0.2.23%2Bcu117-py3-none-any.whl\n",
            "ctransformers",
        ),
        ("xformers==0.0.20+cu118\n", "xformers"),
        ("cupy-cuda12x\n", "cupy-cuda12x"),
    ] {
        let done = of(text, "gpu = 'off'");
        let said = format!(
            "{name} (requirements.txt:1) computes on a GPU, and this image is made for CPUs"
        );
        assert!(
            done.warnings.iter().any(|w| w.message == said),
            "{text}: {:?}",
            done.warnings
        );
    }
    assert!(of("numpy\n", "gpu = 'off'").warnings.is_empty());
}

#[test]
fn what_is_compiled_is_told_with_its_reasons() {
    let done = of(
        "torch==2.6.0\nflash-attn\npyaudio\n",
        "template = 'pytorch'\ngpu = 'cuda'",
    );
    let compiled: Vec<String> = done
        .origins
        .compiled
        .iter()
        .chain(&done.origins.builds)
        .map(|asked| format!("{}: {}", asked.text, asked.origin))
        .collect();
    insta::assert_snapshot!(compiled.join("\n"), @r"
    flash-attn: requirements.txt:2: no wheels of it are published
    pyaudio: requirements.txt:3: no wheels of it are published
    build-essential: what is compiled takes it
    nvidia/cuda:12.4.1-devel-ubuntu22.04: its nvcc is called
    portaudio19-dev: a build takes it
    ");
}

#[test]
fn old_releases_of_pytorch_are_held_to_their_cuda() {
    let refused = |spec: &str| {
        let project = tempfile::tempdir().unwrap();
        std::fs::write(project.path().join("requirements.txt"), "torch==1.12.1\n").unwrap();
        let context = ComposeContext {
            project: Some(project.path()),
            ..ComposeContext::default()
        };
        let spec =
            format!("template = 'pytorch'\n{spec}\npython.requirements = ['requirements.txt']");
        compose(&toml::from_str(&spec).unwrap(), &context)
            .map(|_| ())
            .unwrap_err()
            .to_string()
    };
    insta::assert_snapshot!(refused("cuda = '11.6'"), @r#"torch 1.12.1 (requirements.txt:1) is built for CUDA 10.2, not 11.6; take torch 1.12.1 from PyTorch's own index (torch_backend = "cu116"), or leave out cuda = "11.6""#);
    insta::assert_snapshot!(refused("target.compute_capability = '8.6'"), @"torch 1.12.1 (requirements.txt:1) with CUDA 10.2 has no code for GPUs of compute capability 8.6; ask for torch 1.13.0 or newer");
    insta::assert_snapshot!(refused("python.version = '3.12'"), @"torch==1.12.1 (requirements.txt:1) has no wheels for Python 3.12, only for 3.7, 3.8, 3.9, 3.10; ask for Python 3.10, or torch 2.2.0, the nearest with wheels for 3.12");
}
