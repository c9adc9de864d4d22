//! What the spec and the project's files ask for, read once and checked against each other.

use std::collections::BTreeSet;
use std::path::Path;

use super::{ComposeContext, ComposeError, Warning};
use crate::project::{
    Requirements, Wanted, locked_by_pylock, locked_by_uv, parse_one, read_requirements,
};
use crate::spec::ImageSpec;
use crate::value::ContextPattern;

/// The packages that are asked for, and the files that say so.
#[derive(Debug, Default)]
pub(super) struct Inputs {
    /// Packages by name, from requirements files, lock files and the spec.
    pub wanted: Vec<Wanted>,
    /// Requirements files (or patterns, where there is no project to look at) given to the
    /// installer.
    pub requirements: Vec<String>,
    /// All files that are copied for it: those and the ones they include.
    pub files: BTreeSet<String>,
    /// Programs that fetch sources (`git`).
    pub vcs: BTreeSet<String>,
    /// Whether a lock file decides the versions.
    pub locked: bool,
    /// The first requirements line that pins a hash; then nothing can be added without one.
    pub hashed: Option<String>,
}

impl Inputs {
    /// The first request for a package, by canonical name.
    pub fn find(&self, name: &str) -> Option<&Wanted> {
        self.wanted.iter().find(|wanted| wanted.name == name)
    }

    /// Whether anything is installed.
    pub fn is_empty(&self) -> bool {
        self.wanted.is_empty() && self.requirements.is_empty() && !self.locked
    }
}

pub(super) fn gather(
    spec: &ImageSpec,
    context: &ComposeContext,
    warnings: &mut Vec<Warning>,
) -> Result<Inputs, ComposeError> {
    let python = &spec.python;
    let mut inputs = Inputs {
        locked: python.pylock.is_some() || python.project.is_some(),
        ..Inputs::default()
    };
    if python.pylock.is_some() && python.project.is_some() {
        return Err(ComposeError::conflict(
            "both a pylock.toml and a project with a uv.lock are given",
            "keep one of `pylock` and `project`",
        ));
    }
    if inputs.locked && !(python.requirements.is_empty() && python.packages.is_empty()) {
        return Err(ComposeError::conflict(
            "a lock file pins every package, but requirements or packages are given besides it",
            "add them to the project and lock again (uv add NAME), or leave the lock file out",
        ));
    }
    for text in &python.packages {
        let wanted = parse_one(text, "packages").map_err(|reason| {
            ComposeError::conflict(
                format!("package {text:?}: {reason}"),
                "write it as NAME, NAME==VERSION or NAME[EXTRA]",
            )
        })?;
        inputs.wanted.push(wanted);
    }
    match context.project {
        Some(project) => read_files(spec, project, &mut inputs, warnings)?,
        None => {
            inputs.requirements = python
                .requirements
                .iter()
                .map(ToString::to_string)
                .collect();
            inputs.files = inputs.requirements.iter().cloned().collect();
        }
    }
    check_opencv(spec, &inputs, warnings)?;
    Ok(inputs)
}

fn read_files(
    spec: &ImageSpec,
    project: &Path,
    inputs: &mut Inputs,
    warnings: &mut Vec<Warning>,
) -> Result<(), ComposeError> {
    let python = &spec.python;
    if let Some(file) = &python.pylock {
        inputs
            .wanted
            .extend(locked_by_pylock(project, file.as_str())?);
    }
    if let Some(folder) = &python.project {
        for name in ["pyproject.toml", "uv.lock"] {
            let file = join(folder.as_str(), name);
            if !project.join(&file).is_file() {
                return Err(ComposeError::conflict(
                    format!("the project has no {file}"),
                    "run `uv lock` there, or name requirements files instead",
                ));
            }
        }
        inputs
            .wanted
            .extend(locked_by_uv(project, &join(folder.as_str(), "uv.lock"))?);
    }
    for pattern in &python.requirements {
        for file in expand(project, pattern) {
            if !inputs.requirements.contains(&file) {
                inputs.requirements.push(file);
            }
        }
    }
    let Requirements {
        wanted,
        files,
        vcs,
        hashed,
        credentials,
    } = read_requirements(project, &inputs.requirements)?;
    inputs.wanted.extend(wanted);
    inputs.files = files;
    inputs.vcs = vcs;
    if let (Some(origin), Some(package)) = (&hashed, python.packages.first()) {
        return Err(ComposeError::conflict(
            format!(
                "{origin} pins a hash, so every package has to, but {package} is asked for without one"
            ),
            "add it to the requirements files, with its hash",
        ));
    }
    inputs.hashed = hashed;
    for origin in credentials {
        warnings.push(Warning {
            message: format!(
                "{origin} holds a password in a URL, and the file is copied into the image"
            ),
            hint: Some(
                "move the index to pip's configuration: the build gets that as a secret".into(),
            ),
        });
    }
    Ok(())
}

/// A path inside the folder of a project (`.` for the context's root).
pub(super) fn join(folder: &str, name: &str) -> String {
    match folder.trim_start_matches("./").trim_end_matches('/') {
        "" | "." => name.to_owned(),
        folder => format!("{folder}/{name}"),
    }
}

/// The files that a pattern names, sorted; a plain name is itself, there or not.
fn expand(project: &Path, pattern: &ContextPattern) -> Vec<String> {
    let (folder, _) = pattern.split();
    if pattern.is_literal() {
        return vec![join(folder, pattern.split().1)];
    }
    let entries = std::fs::read_dir(project.join(folder))
        .into_iter()
        .flatten()
        .flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut files: Vec<String> = names
        .filter(|name| pattern.matches_name(name))
        .map(|name| join(folder, &name))
        .collect();
    files.sort();
    files
}

/// The four packages that all install a folder named `cv2`.
const OPENCV: [&str; 4] = [
    "opencv-python",
    "opencv-contrib-python",
    "opencv-python-headless",
    "opencv-contrib-python-headless",
];

/// OpenCV with windows: needs libraries of the distribution even to be imported.
pub(super) fn opencv_with_windows(inputs: &Inputs) -> bool {
    OPENCV[..2].iter().any(|name| inputs.find(name).is_some())
}

fn check_opencv(
    spec: &ImageSpec,
    inputs: &Inputs,
    warnings: &mut Vec<Warning>,
) -> Result<(), ComposeError> {
    let found: Vec<&Wanted> = OPENCV.iter().filter_map(|name| inputs.find(name)).collect();
    if let [first, second, ..] = found[..] {
        let keep = if spec.gui {
            "the one without -headless, which can show windows"
        } else {
            "one of them"
        };
        return Err(ComposeError::conflict(
            format!(
                "{} ({}) and {} ({}) both install the module cv2 and overwrite each other",
                first.name, first.origin, second.name, second.origin
            ),
            format!("keep {keep}"),
        ));
    }
    if let [only] = found[..]
        && spec.gui
        && only.name.ends_with("-headless")
    {
        warnings.push(Warning {
            message: format!("{} ({}) can't show windows", only.name, only.origin),
            hint: Some(format!(
                "ask for {} instead",
                only.name.trim_end_matches("-headless")
            )),
        });
    }
    Ok(())
}
