//! Room on the disks that builds fill.

use std::path::{Path, PathBuf};

use mlbuild_progress::human_bytes;
use serde_json::Value;

use super::Finding;
use crate::env_vars::state_dir;

const AREA: &str = "disk";
/// Below this many bytes hardly any ML image can be built.
const TOO_LITTLE: u64 = 2_000_000_000;
/// A CUDA base and a framework unpack to about this many bytes.
const LITTLE: u64 = 20_000_000_000;

/// Where the Docker daemon keeps its images, if that can be a folder of this machine.
pub(super) fn docker_root(info: Option<&Value>) -> Option<PathBuf> {
    info?.get("DockerRootDir")?.as_str().map(PathBuf::from)
}

/// Looks at mlbuild's own folder, the temporary folder and Docker's.
pub(super) fn check(docker_root: Option<&Path>) -> Vec<Finding> {
    let places = [
        ("mlbuild's state", state_dir()),
        ("temporary files", Some(std::env::temp_dir())),
        ("Docker's images", docker_root.map(Path::to_owned)),
    ];
    let mut findings = Vec::new();
    for (what, path) in places {
        let Some(path) = path else { continue };
        // The folder may not be made yet; a remote daemon's may never be here.
        let Some(there) = path.ancestors().find(|p| p.is_dir()) else {
            continue;
        };
        if what == "Docker's images" && there != path {
            continue;
        }
        findings.push(match rustix::fs::statvfs(there) {
            Ok(stat) => judge(what, &path, stat.f_bavail.saturating_mul(stat.f_frsize)),
            Err(error) => {
                let message = format!("{what}: {} can't be looked at: {error}", path.display());
                Finding::warn(AREA, message, format!("df -h {}", path.display()))
            }
        });
    }
    findings
}

fn judge(what: &str, path: &Path, free: u64) -> Finding {
    let free_text = human_bytes(i64::try_from(free).unwrap_or(i64::MAX));
    let message = format!("{what}: {free_text} free at {}", path.display());
    let fix = match what {
        "Docker's images" => "docker system df && docker builder prune".to_owned(),
        "temporary files" => "export TMPDIR=/a/larger/disk".to_owned(),
        _ => {
            "mlbuild prune --older-than 30d, or export MLBUILD_STATE_DIR=/a/larger/disk".to_owned()
        }
    };
    match free {
        0..TOO_LITTLE => Finding::fail(AREA, message, fix),
        TOO_LITTLE..LITTLE => Finding::warn(
            AREA,
            format!("{message}; a CUDA image needs up to 20 GB"),
            fix,
        ),
        _ => Finding::ok(AREA, message),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Level, *};

    #[test]
    fn little_room_is_a_warning_and_hardly_any_a_failure() {
        let level = |free| judge("mlbuild's state", Path::new("/s"), free).level;
        assert_eq!(level(1_000_000_000), Level::Fail);
        assert_eq!(level(19_000_000_000), Level::Warn);
        assert_eq!(level(30_000_000_000), Level::Ok);
    }

    #[test]
    fn this_machine_has_disks() {
        let found = check(Some(Path::new("/nowhere/docker")));
        assert!(
            found
                .iter()
                .any(|f| f.message.starts_with("temporary files: ")),
            "{found:?}"
        );
        assert!(
            !found.iter().any(|f| f.message.contains("/nowhere")),
            "{found:?}"
        );
    }
}
