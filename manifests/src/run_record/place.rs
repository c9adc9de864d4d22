//! Where the records of a project are written: looked up before anybody is asked, and held to that.
//!
//! A container may have the project mounted. What was a folder when a person was asked, or a link whose
//! place was named to them, may be another link a moment later.

use std::io;
use std::path::{Path, PathBuf};

use super::FOLDER_NAME;
use crate::held::HeldFolder;
use crate::inside::real;

/// The folder of a project's records, as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordsPlace {
    project: PathBuf,
    /// Where a link in its place leads.
    link: Option<PathBuf>,
}

impl RecordsPlace {
    /// Looks where the records of a project go now.
    pub fn of(project: &Path) -> Self {
        let folder = project.join(FOLDER_NAME);
        let absolute = || std::path::absolute(&folder).unwrap_or_else(|_| folder.clone());
        Self {
            project: project.to_owned(),
            link: folder.is_symlink().then(|| real(&absolute())),
        }
    }

    /// The project.
    pub fn project(&self) -> &Path {
        &self.project
    }

    /// What the folder is called.
    pub fn folder(&self) -> PathBuf {
        self.project.join(FOLDER_NAME)
    }

    /// Opens the folder, made where it isn't there.
    ///
    /// # Errors
    /// Of the kind `PermissionDenied` where something else stands there than was found; and where it can't
    /// be made or opened.
    pub fn hold(&self) -> io::Result<HeldFolder> {
        match &self.link {
            None => HeldFolder::beneath(&self.project, FOLDER_NAME),
            Some(place) => {
                std::fs::create_dir_all(place)?;
                let held = HeldFolder::open(place)?;
                // Below its place by any other way: another one.
                held.keep_below(place)?;
                Ok(held)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_folder_or_link_that_was_swapped_since_is_refused() {
        let all = tempfile::tempdir().unwrap();
        let at = |name: &str| all.path().canonicalize().unwrap().join(name);
        for name in ["project", "home", "other"] {
            std::fs::create_dir(at(name)).unwrap();
        }
        let folder = at("project/mlbuild.runs");
        // Nothing, and then a link; a folder, and then a link.
        for is_there in [false, true] {
            if is_there {
                std::fs::create_dir(&folder).unwrap();
            }
            let place = RecordsPlace::of(&at("project"));
            if is_there {
                std::fs::remove_dir(&folder).unwrap();
            }
            symlink(at("home"), &folder).unwrap();
            let refused = place.hold().unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied, "{refused}");
            println!("{refused}");
            std::fs::remove_file(&folder).unwrap();
        }
        // A link that was found, and then leads elsewhere, leads where it did.
        symlink(at("home"), &folder).unwrap();
        let place = RecordsPlace::of(&at("project"));
        std::fs::remove_file(&folder).unwrap();
        symlink(at("other"), &folder).unwrap();
        std::fs::write(place.hold().unwrap().at().join("a"), "").unwrap();
        assert!(at("home/a").exists() && !at("other/a").exists());
        // And what it led to, swapped for a link.
        std::fs::rename(at("home"), at("aside")).unwrap();
        symlink(at("other"), at("home")).unwrap();
        let refused = place.hold().unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied, "{refused}");
    }
}
