//! Whether a Python project of the folder holds code to compile, by what its own files say.

use std::path::{Component, Path};

/// That a project is compiled when it is installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Compiles {
    /// What says so, with the file: `ext_modules in setup.py`.
    pub why: String,
    /// Whether its build calls nvcc.
    pub nvcc: bool,
    /// What its build imports, where PyTorch is among it: an isolated build would take another release of it
    /// than the image has.
    pub needs: Vec<String>,
    /// Packages of the distribution that its build takes, besides a compiler.
    pub apt: Vec<&'static str>,
}

/// Words of `setup.py` and `setup.cfg` that declare something to compile.
const WORDS: [&str; 9] = [
    "CUDAExtension(",
    "CppExtension(",
    "ext_modules",
    "Extension(",
    "cythonize(",
    "cffi_modules",
    "rust_extensions",
    "libraries=[(",
    "from skbuild",
];

/// Packages that a project names for its build where it compiles something.
const BUILDERS: [(&str, &[&str]); 12] = [
    ("scikit-build-core", &[]),
    ("scikit-build", &[]),
    ("scikit_build_core", &[]),
    ("meson-python", &[]),
    ("mesonpy", &[]),
    ("maturin", &["cargo"]),
    ("setuptools-rust", &["cargo"]),
    ("setuptools_rust", &["cargo"]),
    ("cython", &[]),
    ("pybind11", &[]),
    ("nanobind", &[]),
    ("py-build-cmake", &[]),
];

/// What a project, by its folder, has to be compiled; `None` where nothing says that it has.
pub(crate) fn compiles(project: &Path, folder: &str) -> Option<Compiles> {
    let path = project.join(folder);
    let text = |name: &str| {
        let text = super::manifests::text_of(&path, name).unwrap_or_default();
        let lines = text
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'));
        lines.collect::<Vec<_>>().join("\n")
    };
    let (script, settings) = (text("setup.py"), text("setup.cfg"));
    let table: toml::Table = text("pyproject.toml").parse().unwrap_or_default();
    let requires = table
        .get("build-system")
        .and_then(|system| system.get("requires")?.as_array());
    let requires: Vec<&str> = requires
        .into_iter()
        .flatten()
        .filter_map(toml::Value::as_str)
        .collect();
    let names = |need: &str, known: &str| {
        let rest = need.to_ascii_lowercase();
        let rest = rest.trim().strip_prefix(known).map(str::to_owned);
        rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '-'))
    };
    let cmake = text("CMakeLists.txt");
    let found = Compiles {
        why: String::new(),
        nvcc: script.contains("CUDAExtension") || is_of_cuda(&cmake),
        needs: if script.contains("torch") || requires.iter().any(|need| names(need, "torch")) {
            let mut needs: Vec<String> = requires.iter().map(ToString::to_string).collect();
            needs.extend(["torch", "ninja", "setuptools", "wheel"].map(str::to_owned));
            needs
        } else {
            Vec::new()
        },
        apt: programs_of(
            &cmake,
            &script,
            requires.iter().any(|need| names(need, "cmake")),
        ),
    };
    let builder = BUILDERS
        .iter()
        .find(|(known, _)| requires.iter().any(|need| names(need, known)));
    if let Some((known, apt)) = builder {
        let why = format!("pyproject.toml builds it with {known}");
        let mut found = Compiles { why, ..found };
        found.apt.extend(apt.iter());
        return Some(found);
    }
    for (file, text) in [("setup.py", &script), ("setup.cfg", &settings)] {
        if let Some(word) = WORDS.iter().find(|word| text.contains(**word)) {
            let word = word.trim_end_matches(['(', '[', '=']);
            let why = format!("{file} has {word}");
            return Some(Compiles { why, ..found });
        }
    }
    let tool = |name: &str, key: &str| table.get("tool")?.get(name)?.get(key).cloned();
    if tool("setuptools", "ext-modules").is_some() {
        let why = "pyproject.toml has ext-modules".to_owned();
        return Some(Compiles { why, ..found });
    }
    let script = tool("poetry", "build").and_then(|build| match build {
        toml::Value::Table(build) => build.get("script").cloned(),
        text => Some(text),
    });
    let script = script?.as_str()?.to_owned();
    // A stranger's project may name any file of the machine.
    let mut parts = Path::new(&script).components();
    if !parts.all(|part| matches!(part, Component::Normal(_))) {
        return None;
    }
    let text = text(&script);
    let word = WORDS.iter().find(|word| text.contains(**word))?;
    let why = format!("{script} has {}", word.trim_end_matches(['(', '[', '=']));
    Some(Compiles { why, ..found })
}

/// Whether a `CMakeLists.txt` has CUDA among its languages: then CMake looks for nvcc.
fn is_of_cuda(cmake: &str) -> bool {
    let mut calls = cmake
        .split("project(")
        .skip(1)
        .chain(cmake.split("enable_language(").skip(1));
    let is_language = |call: &str| {
        let words = call.split(')').next().unwrap_or_default();
        words.split_whitespace().any(|word| word == "CUDA")
    };
    cmake.contains("find_package(CUDA") || calls.any(is_language)
}

/// Programs that CMake's files and the script call, and no package of Python brings.
fn programs_of(cmake: &str, script: &str, has_cmake: bool) -> Vec<&'static str> {
    let mut found = Vec::new();
    let fetches = [
        "FetchContent_Declare",
        "ExternalProject_Add",
        "CPMAddPackage",
    ];
    if fetches.iter().any(|call| cmake.contains(call)) {
        found.push("git");
    }
    let calls = ["\"cmake\"", "'cmake'", "cmake .."];
    if !has_cmake && calls.iter().any(|call| script.contains(call)) {
        found.push("cmake");
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compiled_says_so_in_its_files() {
        let pure = "[build-system]\nrequires = [\"setuptools>=61\", \"numpy\", \"cython-lint\"]\n";
        let with =
            |need: &str| format!("[build-system]\nrequires = [\"setuptools\", \"{need}\"]\n");
        let poetry = "[tool.poetry]\nname = \"x\"\n[tool.poetry.build]\nscript = \"build.py\"\n";
        for (files, why) in [
            (vec![("pyproject.toml", pure.to_owned())], None),
            (
                vec![(
                    "setup.py",
                    "from setuptools import setup\nsetup()\n# ext_modules\n".into(),
                )],
                None,
            ),
            (
                vec![(
                    "setup.py",
                    "setup(ext_modules=[Extension('a', ['a.c'])])".into(),
                )],
                Some("setup.py has ext_modules"),
            ),
            (
                vec![("setup.py", "x = [CUDAExtension('a', ['a.cu'])]".into())],
                Some("setup.py has CUDAExtension"),
            ),
            (
                vec![("pyproject.toml", with("Cython>=3"))],
                Some("pyproject.toml builds it with cython"),
            ),
            (
                vec![("pyproject.toml", with("maturin>=1,<2"))],
                Some("pyproject.toml builds it with maturin"),
            ),
            (
                vec![("pyproject.toml", with("scikit-build-core"))],
                Some("pyproject.toml builds it with scikit-build-core"),
            ),
            (
                vec![("pyproject.toml", with("meson-python"))],
                Some("pyproject.toml builds it with meson-python"),
            ),
            (
                vec![(
                    "pyproject.toml",
                    "[tool.setuptools]\next-modules = [{name = \"a\", sources = [\"a.c\"]}]\n"
                        .into(),
                )],
                Some("pyproject.toml has ext-modules"),
            ),
            (
                vec![
                    ("pyproject.toml", poetry.into()),
                    ("build.py", "def build(k): cythonize('a.pyx')".into()),
                ],
                Some("build.py has cythonize"),
            ),
            (
                vec![
                    ("pyproject.toml", poetry.replace("build.py", "../beside.py")),
                    ("../beside.py", "cythonize('a.pyx')".into()),
                ],
                None,
            ),
        ] {
            let all = tempfile::tempdir().unwrap();
            let dir = all.path().join("project");
            std::fs::create_dir(&dir).unwrap();
            for (name, text) in &files {
                std::fs::write(dir.join(name), text).unwrap();
            }
            let found = compiles(&dir, ".").map(|found| found.why);
            assert_eq!(found.as_deref(), why, "{files:?}");
        }
    }

    #[test]
    fn what_cmake_calls_is_seen_in_its_file() {
        let script = "setup(ext_modules=[CMakeExtension('x')])\n";
        let call = "setup(ext_modules=[X])\nsubprocess.check_call(['cmake', '..'])\n";
        let own = "[build-system]\nrequires = [\"setuptools\", \"cmake>=3.26\"]\n";
        let of_core = "[build-system]\nrequires = [\"scikit-build-core\"]\n";
        let plain: &[&str] = &[];
        for (files, nvcc, apt) in [
            (
                [
                    ("setup.py", script),
                    ("CMakeLists.txt", "project(x LANGUAGES CXX CUDA)\n"),
                ],
                true,
                plain,
            ),
            (
                [
                    ("setup.py", script),
                    (
                        "CMakeLists.txt",
                        "project(x\n  LANGUAGES CXX)\nenable_language(CUDA)\n",
                    ),
                ],
                true,
                plain,
            ),
            (
                [
                    ("setup.py", script),
                    (
                        "CMakeLists.txt",
                        "project(x CXX)\n# enable_language(CUDA)\nset(WITH_CUDA OFF)\n",
                    ),
                ],
                false,
                plain,
            ),
            (
                [
                    ("setup.py", script),
                    ("CMakeLists.txt", "find_package(CUDAToolkit REQUIRED)\n"),
                ],
                true,
                plain,
            ),
            (
                [
                    ("pyproject.toml", of_core),
                    (
                        "CMakeLists.txt",
                        "FetchContent_Declare(a GIT_REPOSITORY https://x.example/a)\n",
                    ),
                ],
                false,
                &["git"],
            ),
            (
                [("setup.py", call), ("CMakeLists.txt", "project(x CXX)\n")],
                false,
                &["cmake"],
            ),
            ([("setup.py", call), ("pyproject.toml", own)], false, plain),
        ] {
            let folder = tempfile::tempdir().unwrap();
            for (name, text) in files {
                std::fs::write(folder.path().join(name), text).unwrap();
            }
            let found = compiles(folder.path(), ".").unwrap();
            assert_eq!((found.nvcc, found.apt.as_slice()), (nvcc, apt), "{files:?}");
        }
    }
}
