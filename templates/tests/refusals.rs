//! What can't work is refused with the nearest that can, and what is wasteful is said.

use mlbuild_templates::{ComposeContext, compose};

fn answer(files: &[(&str, &str)], spec: &str) -> String {
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
    match compose(&toml::from_str(spec).unwrap(), &context) {
        Err(error) => error.to_string(),
        Ok(composition) => {
            let warnings = composition.warnings.into_iter();
            let warnings =
                warnings.map(|w| format!("{}; {}", w.message, w.hint.unwrap_or_default()));
            format!(
                "{}\n{}",
                composition.base,
                warnings.collect::<Vec<_>>().join("\n")
            )
        }
    }
}

fn requirements(text: &str, spec: &str) -> String {
    let spec = format!("{spec}\npython.requirements = [\"requirements.txt\"]");
    answer(&[("requirements.txt", text)], &spec)
}

#[test]
fn python_and_frameworks() {
    insta::assert_snapshot!(requirements("numpy\ntensorflow==2.15.1\n", "python.version = '3.12'"), @r#"tensorflow==2.15.1 (requirements.txt:2) has no wheels for Python 3.12, only for 3.9, 3.10, 3.11; ask for Python 3.11, or tensorflow 2.16.1, the nearest with wheels for 3.12"#);
    insta::assert_snapshot!(requirements("tensorflow==2.15.1\n", ""), @r#"python:3.11-slim-bookworm"#);
    insta::assert_snapshot!(requirements("tensorflow<2.11\ntorch>=2.9\nnumpy<2\n", ""), @r#"python:3.10-slim-bookworm"#);
}

#[test]
fn cuda_drivers_and_gpus() {
    insta::assert_snapshot!(requirements("torch==2.8.0\n", "gpu = 'cuda'\ncuda = '12.6'"), @r#"torch 2.8.0 (requirements.txt:1) is built for CUDA 12.8, not 12.6; ask for torch 2.7.1, or take torch 2.8.0 from PyTorch's own index (torch_backend = "cu126"), or leave out cuda = "12.6""#);
    insta::assert_snapshot!(requirements("torch==2.11.0\n", "gpu = 'cuda'\ntarget.nvidia_driver = '535.104.05'"), @r#"torch 2.11.0 (requirements.txt:1) needs CUDA 13.0 and with it driver 580 or newer, not 535.104.05; ask for torch 2.10.0, the nearest that the driver runs, or update the driver"#);
    for begins in ["525", "525.60", "525.60.13"] {
        let settings = format!("gpu = 'cuda'\ntarget.nvidia_driver = '{begins}'");
        let base = requirements("torch==2.6.0\n", &settings);
        assert_eq!(base, "python:3.12-slim-bookworm\n", "{begins}");
    }
    insta::assert_snapshot!(requirements("torch==2.6.0\n", "gpu = 'cuda'\ntarget.compute_capability = '12.0'"), @r#"torch 2.6.0 (requirements.txt:1) with CUDA 12.4 has no code for GPUs of compute capability 12.0; ask for torch 2.8.0 or newer"#);
    insta::assert_snapshot!(answer(&[], "template = 'cuda'\ncuda = '12.7'"), @r#"no NVIDIA image is known for CUDA 12.7; the nearest is 12.8; or name one: base = "nvidia/cuda:...""#);
    insta::assert_snapshot!(answer(&[], "template = 'cuda'\ncuda = '13.0'\ntarget.nvidia_driver = '570'"), @r#"CUDA 13.0 needs driver 580 or newer, not 570; ask for cuda = "12.9", the nearest that it runs, or update the driver"#);
    insta::assert_snapshot!(answer(&[], "template = 'cuda'\npython.version = '3.10'"), @"nvidia/cuda:12.4.1-cudnn-runtime-ubuntu22.04");
    insta::assert_snapshot!(answer(&[], "template = 'cuda'\ncuda = '12.8'\npython.version = '3.10'"), @r#"NVIDIA's image for CUDA 12.8 has Python 3.12, not 3.10; ask for Python 3.12, or cuda = "12.4" for Python 3.10"#);
    insta::assert_snapshot!(answer(&[], "template = 'cuda'\ngpu = 'rocm'"), @r#"the cuda template has no base for gpu = "rocm", only for cuda; name a base yourself, or use the python template"#);
    insta::assert_snapshot!(requirements("torch==2.5.1\n", "gpu = 'rocm'"), @r#"no AMD image is known for torch==2.5.1 (requirements.txt:1); those known hold torch 2.10.0 (Python 3.12), 2.9.1 (Python 3.12), 2.8.0 (Python 3.12), 2.7.1 (Python 3.12), 2.6.0 (Python 3.12); or name one: base = "rocm/...""#);
}

#[test]
fn waste_is_said() {
    insta::assert_snapshot!(requirements("torch==2.8.0\n", "template = 'cuda'"), @r#"
    nvidia/cuda:12.8.1-cudnn-runtime-ubuntu24.04
    CUDA comes twice: nvidia/cuda:12.8.1-cudnn-runtime-ubuntu24.04 has it, and torch 2.8.0 brings 2862 MB of it in its wheels; use the pytorch template, whose base is slim, unless your own code links to CUDA
    "#);
    insta::assert_snapshot!(requirements("torch==2.8.0\n", "gpu = 'off'\npython.torch_backend = 'index'"), @r#"
    python:3.12-slim-bookworm
    torch 2.8.0 brings 2862 MB of CUDA that a CPU image doesn't use; torch_backend = "cpu" takes it from PyTorch's own index, with uv
    "#);
    insta::assert_snapshot!(requirements("torch==2.8.0\n", "base = 'nvcr.io/nvidia/pytorch:25.01-py3'\ngpu = 'cuda'"), @r#"
    nvcr.io/nvidia/pytorch:25.01-py3
    torch==2.8.0 (requirements.txt:1) may replace the base's own build of it; leave torch out: nvcr.io/nvidia/pytorch:25.01-py3 brings it
    "#);
    insta::assert_snapshot!(requirements("tensorflow==2.21.0 --hash=sha256:00\n", "gpu = 'cuda'"), @r#"
    python:3.12-slim-bookworm
    tensorflow[and-cuda] isn't added: requirements.txt:1 pins a hash, so every package has to; add it to the requirements files, with its hash
    "#);
    insta::assert_snapshot!(requirements("-i https://me:pw@example.com/simple\nsix\n", ""), @"requirements.txt:1 holds a password in a URL, which would stand in the image; take it out, and move the index to pip's or uv's configuration: the build gets that as a secret");
}

#[test]
fn inputs_that_contradict_each_other() {
    insta::assert_snapshot!(requirements("opencv-python\nopencv-contrib-python-headless==4.10.0.84\n", "gui = true"), @r#"opencv-python (requirements.txt:1) and opencv-contrib-python-headless (requirements.txt:2) both install the module cv2 and overwrite each other; keep the one without -headless, which can show windows"#);
    insta::assert_snapshot!(requirements("opencv-python-headless\n", "gui = true"), @r#"
    python:3.12-slim-bookworm
    opencv-python-headless (requirements.txt:1) can't show windows; ask for opencv-python instead
    "#);
    insta::assert_snapshot!(answer(&[], "python = { project = '.', installer = 'pip' }"), @r#"the project has no pyproject.toml; run `uv lock` there, or name requirements files instead"#);
    insta::assert_snapshot!(answer(&[("pylock.toml", "")], "python = { pylock = 'pylock.toml', packages = ['six'] }"), @r#"a lock file pins every package, but requirements or packages are given besides it; add them to the project and lock again (uv add NAME), or leave the lock file out"#);
    insta::assert_snapshot!(answer(&[], "python.requirements = ['requirements.txt']"), @r#"can't read requirements.txt: no such file; check the name; it is relative to the build context"#);
    insta::assert_snapshot!(answer(&[], "python.packages = ['numpy => 2']"), @r#"package "numpy => 2": no such comparison operator "=>", must be one of ~= == != <= >= < > ===; write it as NAME, NAME==VERSION or NAME[EXTRA]"#);
    insta::assert_snapshot!(answer(&[], "env = { PATH = '/x' }"), @r#"PATH can't be replaced: the image's own programs would no longer be found; list the folders to add under `path`"#);
    insta::assert_snapshot!(requirements("six --hash=sha256:00\n", "python.packages = ['idna']\n").lines().next().unwrap_or_default(), @r#"requirements.txt:1 pins a hash, so every package has to, but idna is asked for without one; add it to the requirements files, with its hash"#);
    insta::assert_snapshot!(answer(&[("m/readme", "")], "serving.model = 'm'"), @r#"m holds no saved model; name the folder that tf.saved_model.save (or model.export) wrote: it has a saved_model.pb, or numbered folders that do"#);
    insta::assert_snapshot!(answer(&[], "python.torch_backend = 'cpu'\npython.installer = 'pip'\npython.packages = ['torch']"), @r#"torch_backend = "cpu" needs uv and no lock file; use installer = "uv", or name PyTorch's index in the requirements file or when locking"#);
}

#[test]
fn names_of_the_past_are_mapped_aloud() {
    let apt = |package: &str| answer(&[], &format!("apt = [\"{package}\"]"));
    for (package, said) in [
        ("libgl1-mesa-glx", "libgl1-mesa-glx is called libgl1 by now"),
        ("python-dev", "python-dev is called python3-dev by now"),
        ("netcat", "netcat is called netcat-openbsd by now"),
        (
            "libjasper-dev",
            "today's Debian and Ubuntu have no libjasper-dev",
        ),
        (
            "libssl1.1",
            "bookworm, which python:3.12-slim-bookworm stands on, has no libssl1.1; write libssl3, which it has",
        ),
        (
            "python3.8-dev",
            "has no python3.8-dev; leave it out, and set python = \"3.8\" under [image]",
        ),
    ] {
        assert!(apt(package).contains(said), "{}", apt(package));
    }
    assert!(!apt("libgl1").contains("by now"));
    let cog = "build:\n  system_packages:\n    - libgl1-mesa-glx\n";
    let said = answer(&[("cog.yaml", cog)], "python.requirements = [\"cog.yaml\"]");
    assert!(
        said.contains("libgl1-mesa-glx (cog.yaml:3) is called libgl1"),
        "{said}"
    );
}

#[test]
fn packages_for_gpus_in_images_for_cpus_are_told() {
    for (text, said) in [
        (
            "onnxruntime-gpu==1.16\n",
            "onnxruntime-gpu (requirements.txt:1) computes on a GPU",
        ),
        (
            "cupy-cuda12x\n",
            "cupy-cuda12x (requirements.txt:1) computes on a GPU",
        ),
        (
            "spconv-cu118\n",
            "spconv-cu118 (requirements.txt:1) computes on a GPU",
        ),
        ("tensorflow-gpu==2.4.1\n", "an old name of tensorflow"),
    ] {
        let found = requirements(text, "gpu = 'off'");
        assert!(found.contains(said), "{text}: {found}");
    }
    for text in ["nvidia-ml-py\n", "focus\n", "customtkinter\n", "gpustat\n"] {
        assert!(!requirements(text, "gpu = 'off'").contains("GPU"), "{text}");
    }
    assert!(!requirements("cupy-cuda12x\n", "gpu = 'cuda'").contains("made for CPUs"));
}

#[test]
fn a_build_that_a_manifest_takes_decides_the_cuda() {
    let project = "[project]\nname = \"m\"\ndependencies = [\"torch==2.8.0\"]\n[tool.uv.sources]\ntorch = {index = \"t\"}\n[[tool.uv.index]]\nname = \"t\"\nurl = \"https://x.org/whl/cu126\"\n";
    let files = [("pyproject.toml", project)];
    let spec = "gpu = 'cuda'\npython.project = '.'\ncuda = '12.8'\n";
    let found = answer(&files, spec);
    assert!(
        found.contains("is built for CUDA 12.6, not 12.8"),
        "{found}"
    );
    let with_pip = "gpu = 'cuda'\npython.project = '.'\npython.installer = 'pip'\n";
    let found = answer(&files, with_pip);
    assert!(
        found.contains("the project takes PyTorch's build cu126"),
        "{found}"
    );
}
