//! Groups that uv installs with a project where nobody chooses any: `default-groups` under `[tool.uv]`.

use std::borrow::Cow;
use std::path::Path;

use super::inputs::join;
use crate::project::manifests::default_groups;
use crate::spec::ImageSpec;

/// The file of the project that a spec installs, if it has one.
fn file_of(spec: &ImageSpec) -> Option<String> {
    if let Some(folder) = &spec.python.project {
        return Some(join(folder.as_str(), "pyproject.toml"));
    }
    let mut files = spec.python.requirements.iter().map(|file| file.as_str());
    let found = files.find(|file| file.rsplit('/').next() == Some("pyproject.toml"));
    found.map(str::to_owned)
}

/// The spec with these groups among its own, and what is said of them.
pub(super) fn added<'a>(
    spec: &'a ImageSpec,
    project: Option<&Path>,
) -> (Cow<'a, ImageSpec>, Option<String>) {
    let found = project.zip(file_of(spec));
    let Some((project, file)) = found else {
        return (Cow::Borrowed(spec), None);
    };
    let mut groups = default_groups(project, &file);
    groups.retain(|group| !spec.python.groups.contains(group));
    if groups.is_empty() {
        return (Cow::Borrowed(spec), None);
    }
    let note = format!(
        "{file}: default-groups of [tool.uv] are installed, as uv does: {}; to leave them out, take them from that list",
        groups.join(", ")
    );
    let mut spec = spec.clone();
    spec.python.groups.extend(groups);
    (Cow::Owned(spec), Some(note))
}
