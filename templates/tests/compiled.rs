//! What is compiled in a stage of its own, by the files of a project: the note that says so, and the
//! Dockerfile that comes of it.

use mlbuild_templates::{Accelerator, ComposeContext, Composition, ImageSpec, compose};

fn composed(files: &[(&str, &str)], spec: &str) -> Composition {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let spec: ImageSpec = toml::from_str(spec).unwrap();
    let context = ComposeContext {
        project: Some(dir.path()),
        ..ComposeContext::default()
    };
    compose(&spec, &context).unwrap_or_else(|error| panic!("{error}"))
}

const LIST: &str = "[python]\nrequirements = [\"requirements.txt\"]\n";
const PROJECT: &str = "[python]\nproject = \".\"\n";

const UV_LOCK: &str = r#"
version = 1
[[package]]
name = "me"
version = "0"
source = { virtual = "." }
dependencies = [{ name = "webrtcvad" }, { name = "docopt" }]
[[package]]
name = "webrtcvad"
version = "2.0.10"
source = { registry = "https://x.org/simple" }
sdist = { url = "https://x.org/webrtcvad-2.0.10.tar.gz", hash = "sha256:aa" }
[[package]]
name = "docopt"
version = "0.6.2"
source = { registry = "https://x.org/simple" }
sdist = { url = "https://x.org/docopt-0.6.2.tar.gz", hash = "sha256:bb" }
"#;

#[test]
fn each_kind_of_source_is_compiled_in_a_stage_of_its_own_and_that_is_said() {
    let python = "[project]\nname = \"me\"\nversion = \"0\"\n";
    let poetry_lock = "[[package]]\nname = \"annoyed\"\nversion = \"1.2\"\nfiles = [{ file = \"annoyed-1.2.tar.gz\", hash = \"sha256:cc\" }]\n";
    for (files, spec, said, written) in [
        (
            vec![("requirements.txt", "six\nwebrtcvad==2.0.10\n")],
            LIST,
            "webrtcvad (requirements.txt:2: no wheels of it are published)",
            "sed -n '2,2p' requirements.txt >> these.txt",
        ),
        (
            vec![(
                "requirements.txt",
                "git+https://github.com/facebookresearch/detectron2.git@v0.6\n",
            )],
            LIST,
            "detectron2 (requirements.txt:1: its repository holds code to compile)",
            "sed -i '1d' /opt/mlbuild/requirements.txt",
        ),
        (
            vec![("requirements.txt", "own @ git+https://x.org/own.git\n")],
            "[python]\nrequirements = [\"requirements.txt\"]\ncompile = [\"own\"]\n",
            "own (requirements.txt:1: compile names it)",
            "-r /opt/mlbuild/requirements.txt /mlbuild-wheels/asked/*.whl",
        ),
        (
            vec![("requirements.txt", "needs-it\n")],
            "[python]\nrequirements = [\"requirements.txt\"]\ncompile = [\"Deep_One\"]\n",
            "deep-one (compile: compile names it)",
            "printf '%s\\n' deep-one >> these.txt",
        ),
        (
            vec![("requirements.txt", "pycocotools==2.0.4\n")],
            LIST,
            "pycocotools (requirements.txt:1: no wheels of it are published)",
            "pip wheel -q --no-deps",
        ),
        (
            vec![("pyproject.toml", python), ("uv.lock", UV_LOCK)],
            PROJECT,
            "webrtcvad (uv.lock: the lock names no wheel of it that fits)",
            "--no-install-package webrtcvad",
        ),
        (
            vec![
                (
                    "pyproject.toml",
                    "[tool.poetry]\nname = \"me\"\npackage-mode = false\n[tool.poetry.dependencies]\nannoyed = \"^1\"\n",
                ),
                ("poetry.lock", poetry_lock),
            ],
            PROJECT,
            "annoyed (poetry.lock: the lock names no wheel of it that fits)",
            "printf '%s\\n' 'annoyed==1.2 --hash=sha256:cc' >> these.txt",
        ),
        (
            vec![
                ("requirements.txt", "-e .\n"),
                (
                    "setup.py",
                    "setup(name='x', ext_modules=[Extension('x', ['x.c'])])\n",
                ),
            ],
            LIST,
            "the project itself (setup.py has ext_modules)",
            "/mlbuild-wheels/project/*.whl",
        ),
        (
            vec![(
                "pyproject.toml",
                "[project]\nname = \"me\"\nversion = \"0\"\ndependencies = [\"torch==2.8.0\", \"odd\"]\n[tool.uv]\nno-build-isolation-package = [\"odd\"]\n",
            )],
            PROJECT,
            "odd (pyproject.toml:4: the project's pyproject.toml says how it is built)",
            "ninja packaging setuptools torch==2.8.0 wheel",
        ),
    ] {
        let done = composed(&files, spec);
        let note = done
            .notes
            .iter()
            .find(|note| note.contains("builder stage"));
        assert!(
            note.is_some_and(|note| note.contains(said)),
            "{said}: {:?}",
            done.notes
        );
        assert!(done.text.contains(written), "{written}:\n{}", done.text);
        let (_, image) = done.text.rsplit_once("FROM ${BASE_IMAGE}\n").unwrap();
        for compiler in ["build-essential", "python3-dev"] {
            assert!(!image.contains(compiler), "{said}: {image}");
        }
        parse_dockerfile::parse(&done.text).unwrap();
    }
}

#[test]
fn what_publishes_wheels_has_no_such_stage() {
    for (files, spec) in [
        (
            vec![("requirements.txt", "torch\npycocotools\ndocopt\n")],
            LIST,
        ),
        (
            vec![
                ("requirements.txt", "-e .\n"),
                ("setup.py", "setup(name='x')\n"),
            ],
            LIST,
        ),
    ] {
        let done = composed(&files, spec);
        assert!(!done.text.contains("mlbuild-wheels"), "{}", done.text);
        assert!(done.notes.is_empty(), "{:?}", done.notes);
    }
    // Whether this is compiled, nobody knows before it is fetched.
    let done = composed(
        &[("requirements.txt", "git+https://x.org/me/thing.git@v1\n")],
        LIST,
    );
    assert!(!done.text.contains("mlbuild-wheels"), "{}", done.text);
    let note = "compile = [\"thing\"] under [image]";
    assert!(
        done.notes.iter().any(|one| one.contains(note)),
        "{:?}",
        done.notes
    );
}

#[test]
fn code_for_gpus_is_compiled_by_the_toolkit_of_the_cuda_that_torch_brings() {
    let files = [("requirements.txt", "torch==2.8.0\nflash-attn==2.8.3\n")];
    let spec = "template = \"pytorch\"\n[target]\ncompute_capability = \"8.6\"\n[python]\nrequirements = [\"requirements.txt\"]\n";
    let done = composed(&files, spec);
    assert_eq!(done.accelerator, Accelerator::Cuda);
    for part in [
        "ARG CUDA_IMAGE=nvidia/cuda:12.8.1-devel-ubuntu22.04",
        "FROM ${CUDA_IMAGE} AS mlbuild-cuda",
        "from=mlbuild-cuda,source=/usr/local/cuda-12.8,target=/opt/cuda",
        "ARG TORCH_CUDA_ARCH_LIST=8.6",
        "torch==2.8.0",
        "--no-build-isolation",
        "MAX_JOBS",
    ] {
        assert!(done.text.contains(part), "{part}:\n{}", done.text);
    }
    let (_, image) = done.text.rsplit_once("FROM ${BASE_IMAGE}\n").unwrap();
    assert!(
        !image.contains("cuda-12.8") && !image.contains("MAX_JOBS"),
        "{image}"
    );
    let off = composed(
        &files,
        "gpu = \"off\"\n[python]\nrequirements = [\"requirements.txt\"]\n",
    );
    assert!(!off.text.contains("CUDA_IMAGE"), "{}", off.text);
    let said = "flash-attn (requirements.txt:2) is compiled with nvcc";
    assert!(
        off.warnings.iter().any(|w| w.message.contains(said)),
        "{:?}",
        off.warnings
    );
    // A base that has nvcc is its own toolkit.
    let own = composed(
        &files,
        &format!("base = \"nvidia/cuda:12.4.1-devel-ubuntu22.04\"\n{spec}"),
    );
    assert!(!own.text.contains("CUDA_IMAGE"), "{}", own.text);
}

#[test]
fn what_a_lock_pins_is_compiled_without_a_network_by_the_pinned_compiler() {
    let dir = tempfile::tempdir().unwrap();
    let list = "webrtcvad==2.0.10\n-e .\n";
    let setup = "setup(name='x', ext_modules=[Extension('x', ['x.c'])])\n";
    for (name, text) in [("requirements.txt", list), ("setup.py", setup)] {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    let locked = |locked_builds| {
        let context = ComposeContext {
            project: Some(dir.path()),
            locked: true,
            locked_builds,
            ..ComposeContext::default()
        };
        compose(&toml::from_str(LIST).unwrap(), &context)
            .unwrap()
            .text
    };
    let text = locked(true);
    let runs = text.matches("\nRUN ").count();
    assert_eq!(text.matches("\nRUN --network=none").count(), runs, "{text}");
    let (stages, image) = text.rsplit_once("FROM ${BASE_IMAGE}\n").unwrap();
    assert!(
        stages.contains("source=build,target=/mlbuild/apt"),
        "{stages}"
    );
    for wheels in [
        "/mlbuild-wheels/found/*.whl",
        "/mlbuild-wheels/project/*.whl",
    ] {
        assert!(image.contains(wheels), "{image}");
    }
    // Locks from before pin no compiler, and are built as they were.
    assert!(!locked(false).contains("mlbuild-wheels"));
}

#[test]
fn a_wheel_by_its_address_is_not_compiled() {
    const WHEEL: &str =
        "https://h.example/flash_attn-2.8.3+cu12torch2.8-cp312-cp312-linux_x86_64.whl";
    let named = format!("torch==2.8.0\nflash-attn @ {WHEEL}\n");
    let bare = format!("torch==2.8.0\n{WHEEL}\n");
    let project = format!(
        "[project]\nname = \"me\"\nversion = \"0\"\nrequires-python = \"==3.12.*\"\ndependencies = [\"torch==2.8.0\", \"flash-attn @ {WHEEL}\"]\n[tool.uv]\nno-build-isolation-package = [\"flash-attn\"]\n"
    );
    let by_settings = format!("{LIST}no_build_isolation = [\"flash-attn\"]\n");
    for (file, text, spec) in [
        ("requirements.txt", &named, LIST),
        ("requirements.txt", &bare, LIST),
        ("requirements.txt", &named, &by_settings),
        ("pyproject.toml", &project, PROJECT),
    ] {
        let done = composed(&[(file, text)], spec);
        assert!(!done.text.contains("mlbuild-wheels"), "{text}{spec}");
        let notes = done.notes.join("\n");
        assert!(!notes.contains("compiled"), "{notes}");
    }
}

#[test]
fn a_repository_that_is_known_to_be_compiled_is_not_called_unknown() {
    let line =
        "torch==2.3.0\ngit+https://github.com/NVlabs/tiny-cuda-nn/#subdirectory=bindings/torch\n";
    let done = composed(&[("requirements.txt", line)], LIST);
    let notes = done.notes.join("\n");
    assert!(notes.contains("tinycudann"), "{notes}");
    let warned = done.warnings.iter().map(|w| w.message.clone());
    let all = warned.chain([notes]).collect::<String>();
    assert!(!all.contains("isn't known before the build"), "{all}");
}
