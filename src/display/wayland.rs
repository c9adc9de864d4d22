//! The Wayland socket of this session.

use std::path::{Path, PathBuf};

use super::Surroundings;

/// Why there is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoWayland {
    /// `WAYLAND_DISPLAY` isn't set.
    #[error("WAYLAND_DISPLAY is not set: this session has no Wayland")]
    Unset,
    /// It is a name, and `XDG_RUNTIME_DIR` isn't set.
    #[error("WAYLAND_DISPLAY={0}, and XDG_RUNTIME_DIR, which it is in, is not set")]
    NoFolder(String),
    /// There is no such socket.
    #[error("WAYLAND_DISPLAY names {}, and there is no such socket", .0.display())]
    NoSocket(PathBuf),
    /// Nobody listens.
    #[error("nothing answers at {}, which WAYLAND_DISPLAY names: {why}", path.display())]
    Silent {
        /// The socket.
        path: PathBuf,
        /// What happened.
        why: String,
    },
}

/// Finds it.
///
/// # Errors
/// [`NoWayland`].
pub fn socket(host: &Surroundings) -> Result<PathBuf, NoWayland> {
    let name = host.var("WAYLAND_DISPLAY").ok_or(NoWayland::Unset)?;
    let path = match (name.starts_with('/'), host.var("XDG_RUNTIME_DIR")) {
        (true, _) => PathBuf::from(name),
        (false, Some(folder)) => Path::new(folder).join(name),
        (false, None) => return Err(NoWayland::NoFolder(name.to_owned())),
    };
    if !host.path(&path).exists() {
        return Err(NoWayland::NoSocket(path));
    }
    match std::os::unix::net::UnixStream::connect(host.path(&path)) {
        Ok(_) => Ok(path),
        Err(error) => Err(NoWayland::Silent {
            path,
            why: error.to_string(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn it_is_found_by_name_and_by_path() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("run")).unwrap();
        let find = |env: &[(&str, &str)]| {
            let env = env
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect();
            let host = Surroundings {
                root: root.path().to_owned(),
                env,
            };
            socket(&host).map_err(|error| error.to_string())
        };
        let named = [
            ("WAYLAND_DISPLAY", "wayland-0"),
            ("XDG_RUNTIME_DIR", "/run"),
        ];
        insta::assert_snapshot!(find(&[]).unwrap_err(), @"WAYLAND_DISPLAY is not set: this session has no Wayland");
        insta::assert_snapshot!(find(&named[..1]).unwrap_err(), @"WAYLAND_DISPLAY=wayland-0, and XDG_RUNTIME_DIR, which it is in, is not set");
        insta::assert_snapshot!(find(&named).unwrap_err(), @"WAYLAND_DISPLAY names /run/wayland-0, and there is no such socket");
        let listener = UnixListener::bind(root.path().join("run/wayland-0")).unwrap();
        assert_eq!(find(&named).unwrap(), PathBuf::from("/run/wayland-0"));
        assert_eq!(
            find(&[("WAYLAND_DISPLAY", "/run/wayland-0")]).unwrap(),
            PathBuf::from("/run/wayland-0")
        );
        drop(listener);
        assert!(
            find(&named)
                .unwrap_err()
                .starts_with("nothing answers at /run/wayland-0")
        );
    }
}
