//! mmdebstrap makes the files, mlbuild the image.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use mlbuild_manifests::UnfinishedFolder;
use oci_spec::image::{Descriptor, MediaType};
use serde_json::json;
use tempfile::TempDir;

use super::DebianRequest;
use super::error::{BaseError, ToolError};
use crate::env_vars;
use crate::image::LayoutWriter;
use crate::image::layer::Packing;
use crate::on_path;
use crate::reporter::Reporter;

const HELPER: &str = "/usr/lib/apt/apt-helper";
/// Removes what is this machine's: its name, its name servers, and apt's folders, which belong to
/// whoever apt downloaded as, and which it makes again.
const CLEAN: &str =
    r#"cd "$1" && rm -rf etc/hostname etc/resolv.conf var/lib/apt/lists/* var/cache/apt/*"#;

/// What is made.
pub struct Debian {
    suite: String,
    include: Vec<String>,
    archive: String,
    sources: Option<String>,
    is_snapshot: bool,
}

/// What was made.
pub struct Made {
    /// The image on disk.
    pub layout: LayoutWriter,
    /// Its manifest.
    pub top: Descriptor,
    /// The time that no time in it is past.
    pub epoch: i64,
}

impl Debian {
    /// Checks what is asked for.
    ///
    /// # Errors
    /// Where a value can't be used, or a tool is missing.
    pub fn plan(request: &DebianRequest) -> Result<Self, BaseError> {
        if !is_name(&request.suite) {
            return Err(BaseError::Suite(request.suite.clone()));
        }
        if let Some(name) = request.include.iter().find(|name| !is_name(name)) {
            return Err(BaseError::Package(name.clone()));
        }
        if let Some(time) = request.snapshot.as_ref().filter(|time| !is_time(time)) {
            return Err(BaseError::SnapshotTime(time.clone()));
        }
        if on_path::find("mmdebstrap").is_none() {
            return Err(BaseError::NotInstalled);
        }
        let archive = archive(request)?;
        match &request.sources {
            Some(url) if !is_address(url) => return Err(BaseError::Sources(url.clone())),
            None if has_login(&archive) => return Err(BaseError::LogInOfArchive),
            _ => {}
        }
        let mut include = request.include.clone();
        include.sort();
        include.dedup();
        Ok(Debian {
            suite: request.suite.clone(),
            include,
            archive,
            sources: request.sources.clone(),
            is_snapshot: request.snapshot.is_some(),
        })
    }

    /// Makes it.
    ///
    /// # Errors
    /// Where the archive can't be reached, or mmdebstrap fails.
    pub fn make(&self, reporter: &dyn Reporter) -> Result<Made, BaseError> {
        // apt downloads as a user of its own, where that one can get in.
        let folder = tempfile::Builder::new()
            .permissions(Permissions::from_mode(0o755))
            .tempdir_in(std::env::temp_dir())
            .map_err(BaseError::TemporaryFolder)?;
        let epoch = match std::env::var(env_vars::SOURCE_DATE_EPOCH).ok() {
            Some(text) if !text.is_empty() => crate::settings::epoch_seconds(&text)?,
            _ => self.archive_time(&folder)?,
        };
        reporter.note(format!(
            "making {} from Debian packages, as of {}",
            self.suite,
            Timestamp::from_second(epoch).unwrap_or_default()
        ));
        let tar = folder.path().join("root.tar");
        // Modes of folders that no package owns come from the umask.
        let mut command = Command::new("sh");
        command.args(["-c", "umask 022; exec mmdebstrap \"$@\"", "mmdebstrap"]);
        command.args(["--quiet", "--variant=minbase", "--format=tar"]);
        command.arg("--skip=cleanup/apt");
        command.arg(format!("--customize-hook={CLEAN}"));
        if let Some(url) = &self.sources {
            // The option for snapshots goes too: it would have apt take old lists for new ones.
            let line = format!("deb {url} {} main", self.suite);
            command.arg(format!(
                "--customize-hook=cd \"$1\" && echo '{line}' > etc/apt/sources.list && rm -f etc/apt/apt.conf.d/99mmdebstrap"
            ));
        }
        if !self.include.is_empty() {
            command.arg(format!("--include={}", self.include.join(",")));
        }
        if self.is_snapshot {
            command.arg("--aptopt=Acquire::Check-Valid-Until \"false\"");
        }
        command.arg(&self.suite).arg(&tar).arg(&self.archive);
        command
            .env(env_vars::SOURCE_DATE_EPOCH, epoch.to_string())
            .env("LC_ALL", "C.UTF-8")
            .env("TZ", "UTC")
            .env("TMPDIR", folder.path());
        run(command, "mmdebstrap")?;
        self.image(&tar, epoch)
    }

    /// When the archive was last written: the date in its signed list.
    fn archive_time(&self, folder: &TempDir) -> Result<i64, BaseError> {
        let url = format!("{}/dists/{}/InRelease", self.archive, self.suite);
        let file = folder.path().join("InRelease");
        let mut command = Command::new(HELPER);
        command.arg("download-file").arg(&url).arg(&file);
        run(command, "apt").map_err(|source| BaseError::NoList {
            suite: self.suite.clone(),
            source,
        })?;
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let date = text.lines().find_map(|line| line.strip_prefix("Date: "));
        let time = date.and_then(|date| {
            // RFC 2822 has no UTC, but for its old name.
            let date = date.trim().replace("UTC", "GMT");
            rfc2822::parse(&date).ok()
        });
        let now = Timestamp::now().as_second();
        match time {
            Some(time) => Ok(time.timestamp().as_second().min(now)),
            None => Err(BaseError::NoDate { url }),
        }
    }

    fn image(&self, tar: &Path, epoch: i64) -> Result<Made, BaseError> {
        let tar = std::fs::read(tar).map_err(BaseError::Tar)?;
        // Every builder can read gzip; Docker before 23 nothing else.
        let kind = MediaType::ImageLayerGzip;
        let (bytes, layer) = Packing::Gzip.pack(tar, kind.clone());
        let layout = LayoutWriter::new()?;
        let blob = layout.document(kind, &bytes)?;
        let created = Timestamp::from_second(epoch)
            .unwrap_or_default()
            .to_string();
        let include = if self.include.is_empty() {
            String::new()
        } else {
            format!(" --include {}", self.include.join(","))
        };
        let config = json!({
            "created": created,
            "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
            "os": "linux",
            "config": {
                "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"],
                "Cmd": ["bash"],
            },
            "rootfs": { "type": "layers", "diff_ids": [layer.diff_id] },
            "history": [{
                "created": created,
                "created_by": format!("mlbuild base debian --suite {}{include}", self.suite),
            }],
        });
        let config = layout.document(MediaType::ImageConfig, config.to_string().as_bytes())?;
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::ImageManifest,
            "config": config,
            "layers": [blob],
            "annotations": { "org.opencontainers.image.created": created },
        });
        let top = layout.document(MediaType::ImageManifest, manifest.to_string().as_bytes())?;
        Ok(Made { layout, top, epoch })
    }
}

impl Made {
    /// Moves the image into a folder of the user's.
    ///
    /// # Errors
    /// Where that can't be written.
    pub fn keep(&self, folder: &Path) -> Result<(), BaseError> {
        self.layout.finish(&self.top)?;
        let fail = |source| BaseError::Output {
            folder: folder.to_owned(),
            source,
        };
        let new = UnfinishedFolder::beside(folder).map_err(fail)?;
        copy_folder(self.layout.folder(), new.path()).map_err(fail)?;
        new.finish(folder).map_err(fail)
    }
}

fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            std::fs::create_dir_all(&target)?;
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

/// The archive that the packages come from.
fn archive(request: &DebianRequest) -> Result<String, BaseError> {
    match (&request.snapshot, &request.mirror) {
        (Some(time), Some(url)) => Ok(format!("{}/{time}", url.trim_end_matches('/'))),
        (Some(time), None) => Err(BaseError::SnapshotOfNone(time.clone())),
        (None, Some(url)) => Ok(url.trim_end_matches('/').to_owned()),
        (None, None) => own_archive(&request.suite).ok_or_else(|| BaseError::NoArchive {
            suite: request.suite.clone(),
        }),
    }
}

/// True for a name that a suite or a package may have.
fn is_name(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || "+-.:".contains(c);
    text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(is_word)
}

/// True for a time as `20260301T000000Z`.
fn is_time(text: &str) -> bool {
    let digits = |text: &str, n| text.len() == n && text.bytes().all(|b| b.is_ascii_digit());
    let parts = text.strip_suffix('Z').and_then(|text| text.split_once('T'));
    parts.is_some_and(|(day, hour)| digits(day, 8) && digits(hour, 6))
}

/// True for `scheme://rest` without a log-in, of characters that neither a shell nor apt take apart.
fn is_address(url: &str) -> bool {
    let known = |c: char| c.is_ascii_alphanumeric() || "+-._~:/%=,".contains(c);
    url.split_once("://")
        .is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty())
        && url.chars().all(known)
}

/// True for `scheme://login@host`.
fn has_login(url: &str) -> bool {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    host.split('/')
        .next()
        .is_some_and(|host| host.contains('@'))
}

/// The archive that this machine takes a suite from, else the one that it takes another from.
fn own_archive(suite: &str) -> Option<String> {
    let output = Command::new("apt-get")
        .args(["indextargets", "--no-release-info", "--format"])
        .args(["$(RELEASE) $(REPO_URI)", "Created-By: Packages"])
        .stderr(Stdio::null())
        .output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let text = text.unwrap_or_default();
    let pairs = || text.lines().filter_map(|line| line.split_once(' '));
    // `bookworm-security` and the like have archives of their own.
    let found = pairs()
        .find(|(name, _)| *name == suite)
        .or_else(|| pairs().find(|(name, _)| !name.contains('-')))?;
    Some(found.1.trim_end_matches('/').to_owned())
}

/// Runs a tool; its last words are the error's.
fn run(mut command: Command, name: &'static str) -> Result<(), ToolError> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| ToolError::Start { name, source })?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let last = lines[lines.len().saturating_sub(8)..].join("\n  ");
    Err(ToolError::Failed { name, last })
}

#[cfg(test)]
mod tests {
    use super::{has_login, is_address};

    #[test]
    fn addresses_for_the_image_are_plain() {
        for good in [
            "http://mirror.example/debian",
            "https://m.example:8443/20260301T000000Z",
        ] {
            assert!(is_address(good) && !has_login(good), "{good}");
        }
        for bad in [
            "mirror.example/debian",
            "://x",
            "http://",
            "http://m/a b",
            "http://m/'",
            "http://u:p@m/",
        ] {
            assert!(!is_address(bad), "{bad}");
        }
        assert!(has_login("http://me:word@mirror.example/debian"));
        assert!(!has_login("http://mirror.example/a@b"));
    }
}
