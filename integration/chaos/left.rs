//! What a killed command left.

use crate::support::mlbuild::Project;

/// What lies in a folder and was not finished, or has no business there.
pub fn left_in(project: &Project) -> Vec<String> {
    let mut found = Vec::new();
    let mut waiting = vec![project.outside().to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().flatten() {
            let (path, name) = (
                entry.path(),
                entry.file_name().to_string_lossy().into_owned(),
            );
            let is_own = folder.ends_with("state/tmp") || folder.ends_with("temporary");
            let is_half = [".mlbuild-", ".tmp", ".new-", ".hashes-"]
                .iter()
                .any(|p| name.starts_with(p));
            if is_own || is_half {
                found.push(path.display().to_string());
            } else if entry.file_type().unwrap().is_dir() {
                waiting.push(path);
            }
        }
    }
    found
}
