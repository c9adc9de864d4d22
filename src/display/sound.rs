//! The sockets of the session's sound server: PipeWire's own, and PulseAudio's, which PipeWire has too.

use std::path::PathBuf;

use super::Surroundings;

/// What there is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sound {
    /// Programs that speak PulseAudio.
    pub pulse: Option<PathBuf>,
    /// Programs that speak PipeWire.
    pub pipewire: Option<PathBuf>,
}

/// Why there is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no sound server found; looked at: {0}")]
pub struct NoSound(String);

/// Finds the sockets, at `PULSE_SERVER` or in the session's folder.
///
/// # Errors
/// Where neither is there.
pub fn sockets(host: &Surroundings) -> Result<Sound, NoSound> {
    let mut looked_at = Vec::new();
    let mut first = |candidates: Vec<PathBuf>| {
        for path in candidates {
            if host.path(&path).exists() {
                return Some(path);
            }
            looked_at.push(path.display().to_string());
        }
        None
    };
    let folder = host.var("XDG_RUNTIME_DIR").map(PathBuf::from);
    let of_folder = |name: &str| folder.as_ref().map(|folder| folder.join(name));
    let told = host
        .var("PULSE_SERVER")
        .map(|server| server.strip_prefix("unix:").unwrap_or(server));
    let told = told.filter(|path| path.starts_with('/')).map(PathBuf::from);
    let sound = Sound {
        pulse: first(told.into_iter().chain(of_folder("pulse/native")).collect()),
        pipewire: first(of_folder("pipewire-0").into_iter().collect()),
    };
    match sound == Sound::default() {
        true if looked_at.is_empty() => {
            Err(NoSound("XDG_RUNTIME_DIR, which is not set".to_owned()))
        }
        true => Err(NoSound(looked_at.join(", "))),
        false => Ok(sound),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_found_where_they_are() {
        let root = tempfile::tempdir().unwrap();
        let find = |env: &[(&str, &str)]| {
            let env = env
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect();
            sockets(&Surroundings {
                root: root.path().to_owned(),
                env,
            })
        };
        let folder = ("XDG_RUNTIME_DIR", "/run");
        insta::assert_snapshot!(find(&[]).unwrap_err(), @"no sound server found; looked at: XDG_RUNTIME_DIR, which is not set");
        insta::assert_snapshot!(find(&[folder]).unwrap_err(), @"no sound server found; looked at: /run/pulse/native, /run/pipewire-0");
        std::fs::create_dir_all(root.path().join("run/pulse")).unwrap();
        std::fs::write(root.path().join("run/pulse/native"), "").unwrap();
        std::fs::write(root.path().join("own"), "").unwrap();
        assert_eq!(
            find(&[folder]).unwrap().pulse,
            Some("/run/pulse/native".into())
        );
        assert_eq!(
            find(&[folder, ("PULSE_SERVER", "unix:/own")])
                .unwrap()
                .pulse,
            Some("/own".into())
        );
    }
}
