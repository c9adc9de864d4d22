//! Whose the files are that are made inside: this user's, also in an image made for another one.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use mlbuild_manifests::atomic;
use sha2::{Digest as _, Sha256};

use crate::display::accounts::{Accounts, Me};
use crate::env_vars;
use crate::reporter::Reporter;
use crate::runtime::{Mount, Options, RunSpec, RuntimeCli};
use crate::start::StartError;
use crate::start::image::PinnedImage;
use crate::start::look;
use crate::start::runtime_cli::ContainerRuntime;

/// This user; for root, whoever the project belongs to.
pub(super) fn owner(project: &Path) -> Me {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let me = Me::this(&passwd, std::env::var("USER").ok().as_deref());
    match std::fs::metadata(project) {
        Ok(of) if me.uid == 0 && of.uid() != 0 => Me {
            name: named(&passwd, of.uid()).unwrap_or_else(|| "user".to_owned()),
            uid: of.uid(),
            gid: of.gid(),
        },
        _ => me,
    }
}

fn named(passwd: &str, uid: u32) -> Option<String> {
    let uid = uid.to_string();
    let mut lines = passwd
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>());
    let line = lines.find(|fields| fields.get(2) == Some(&uid.as_str()))?;
    Some(line[0].to_owned())
}

/// The flags that make the container's programs this user. None where they are already, or a flag
/// says who they are.
///
/// # Errors
/// Where the files that name the user can't be written.
pub(super) fn options(
    runtime: &ContainerRuntime,
    image: &PinnedImage,
    spec: &RunSpec,
    project: &Path,
    reporter: &dyn Reporter,
) -> Result<Options, StartError> {
    let mut options = Options::default();
    // Apptainer's programs are this user.
    if spec.options.has("user") || runtime.cli == RuntimeCli::Apptainer {
        return Ok(options);
    }
    let owner = owner(project);
    let rootless = runtime.is_rootless();
    if rootless && runtime.cli != RuntimeCli::Podman {
        // There, root is this user.
        options.add("user", "0:0");
        return Ok(options);
    }
    let inside = look::inside(runtime, image, spec, None).unwrap_or_default();
    if inside.uid == Some(owner.uid) && !rootless {
        return Ok(options);
    }
    if !runtime.is_local() {
        reporter.warning(
            "the Docker daemon is on another machine: files made inside belong to the image's user",
        );
        return Ok(options);
    }
    options.add("user", &format!("{}:{}", owner.uid, owner.gid));
    if rootless {
        options.add("userns", "keep-id");
    }
    let accounts = owner.among(&inside.passwd, &inside.group);
    if owner.uid != 0 {
        let place = Place::make(&owner, project).map_err(StartError::Home)?;
        add(&mut options, &place, &accounts)?;
    }
    options.add("env", &format!("HOME={}", accounts.home));
    options.add("env", &format!("USER={}", accounts.name));
    Ok(options)
}

fn add(options: &mut Options, place: &Place, accounts: &Accounts) -> Result<(), StartError> {
    // A user that the image knows has a home there.
    if accounts.known {
        return Ok(());
    }
    for (name, text) in [("passwd", &accounts.passwd), ("group", &accounts.group)] {
        let file = place.write(name, text).map_err(|source| StartError::File {
            path: place.folder.clone(),
            source,
        })?;
        let mount = Mount::bind(&file, format!("/etc/{name}")).read_only();
        options.add("mount", &mount.to_string());
    }
    let home = Mount::bind(&place.home, &accounts.home);
    options.add("mount", &home.to_string());
    Ok(())
}

/// Where a project's home in containers is kept, from one time to the next.
struct Place {
    folder: PathBuf,
    home: PathBuf,
}

impl Place {
    fn make(owner: &Me, project: &Path) -> std::io::Result<Self> {
        let state = env_vars::state_dir().ok_or(std::io::ErrorKind::NotFound)?;
        let mut key = Sha256::new();
        key.update(project.as_os_str().as_encoded_bytes());
        let folder = state.join("dev").join(hex::encode(&key.finalize()[..8]));
        let home = folder.join(format!("home-{}", owner.uid));
        std::fs::create_dir_all(&home)?;
        let about = std::fs::metadata(&home)?;
        if about.uid() != owner.uid {
            chown(&home, Some(owner.uid), Some(owner.gid))?;
        }
        std::fs::set_permissions(&home, std::fs::Permissions::from_mode(0o700))?;
        Ok(Self { folder, home })
    }

    /// The text in a file that is named after it: one that a container has mounted stays as it is.
    fn write(&self, name: &str, text: &str) -> std::io::Result<PathBuf> {
        let hash = hex::encode(&Sha256::digest(text)[..8]);
        let file = self.folder.join(format!("{name}-{hash}"));
        if !file.exists() {
            atomic::replace(&file, text.as_bytes())?;
        }
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644))?;
        Ok(file)
    }
}
