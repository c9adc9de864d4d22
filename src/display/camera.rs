//! Cameras. One camera has several nodes, of which the first gives the picture; where there are two
//! cameras, a person chooses.

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use super::Surroundings;

/// A node that gives pictures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Camera {
    /// `/dev/video0`.
    pub node: String,
    /// As it names itself.
    pub name: String,
    /// The group that may use it.
    pub group: u32,
}

/// Why there is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoCamera {
    /// The machine has none.
    #[error("no camera found: there is no /dev/video*")]
    None,
    /// Several, and none is named.
    #[error("there are several cameras:\n{}", .0.iter().map(|c| format!("  {}  {}", c.node, c.name)).collect::<Vec<_>>().join("\n"))]
    Several(Vec<Camera>),
    /// It isn't there.
    #[error("{node}: {why}")]
    NotThere {
        /// What was asked for.
        node: String,
        /// Why it can't be had.
        why: String,
    },
    /// It is something else.
    #[error("{node}: not a device")]
    NotADevice {
        /// What was asked for.
        node: String,
    },
}

/// The camera that was asked for: `auto`, or a node.
///
/// # Errors
/// [`NoCamera`].
pub fn choose(host: &Surroundings, asked: &str) -> Result<Camera, NoCamera> {
    if asked != "auto" {
        let file = host.path(asked).metadata();
        let file = file.map_err(|error| NoCamera::NotThere {
            node: asked.to_owned(),
            why: error.to_string(),
        })?;
        if !asked.starts_with("/dev/") || !file.file_type().is_char_device() {
            let node = asked.to_owned();
            return Err(NoCamera::NotADevice { node });
        }
        return Ok(Camera {
            node: asked.to_owned(),
            name: String::new(),
            group: file.gid(),
        });
    }
    let mut cameras = all(host);
    match cameras.len() {
        0 => Err(NoCamera::None),
        1 => Ok(cameras.remove(0)),
        _ => Err(NoCamera::Several(cameras)),
    }
}

/// All nodes that give pictures.
fn all(host: &Surroundings) -> Vec<Camera> {
    let class = host.path("/sys/class/video4linux");
    let text = |folder: &Path, name: &str| {
        let text = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        text.trim().replace(char::is_control, " ")
    };
    let mut cameras: Vec<Camera> = Vec::new();
    for entry in std::fs::read_dir(class).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let node = format!("/dev/{name}");
        let file = host.path(&node).metadata();
        // The others of a camera give what belongs to its pictures.
        if !name.starts_with("video") || !matches!(text(&entry.path(), "index").as_str(), "0" | "")
        {
            continue;
        }
        if let Ok(file) = file {
            cameras.push(Camera {
                node,
                name: text(&entry.path(), "name"),
                group: file.gid(),
            });
        }
    }
    cameras.sort_by_key(|camera| (camera.node.len(), camera.node.clone()));
    cameras
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_taken_and_of_several_one_is_chosen() {
        let root = tempfile::tempdir().unwrap();
        let host = Surroundings {
            root: root.path().to_owned(),
            env: [].into(),
        };
        let add = |node: &str, name: &str, index: &str| {
            let class = host.path(format!("/sys/class/video4linux/{node}"));
            std::fs::create_dir_all(&class).unwrap();
            std::fs::write(class.join("name"), format!("{name}\n")).unwrap();
            std::fs::write(class.join("index"), format!("{index}\n")).unwrap();
            std::fs::create_dir_all(host.path("/dev")).unwrap();
            std::fs::write(host.path(format!("/dev/{node}")), "").unwrap();
        };
        let said = |asked: &str| choose(&host, asked).unwrap_err().to_string();
        insta::assert_snapshot!(said("auto"), @"no camera found: there is no /dev/video*");
        add("video0", "Integrated Camera", "0");
        add("video1", "Integrated Camera", "1");
        assert_eq!(choose(&host, "auto").unwrap().node, "/dev/video0");
        add("video10", "Microscope", "0");
        add("video2", "USB Camera", "0");
        insta::assert_snapshot!(said("auto"), @r"
        there are several cameras:
          /dev/video0  Integrated Camera
          /dev/video2  USB Camera
          /dev/video10  Microscope
        ");
        insta::assert_snapshot!(said("/dev/video7"), @"/dev/video7: No such file or directory (os error 2)");
        insta::assert_snapshot!(said("/dev/video2"), @"/dev/video2: not a device");
    }
}
