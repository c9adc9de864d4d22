//! Where a builder's programs come from, in the order in which they are tried:
//! a `buildkitd` on PATH, the distribution's packages, BuildKit's release.

use std::path::PathBuf;

use super::archive::{self, shown};
use super::error::Error;
use super::folder::{Folder, Kind};
use super::packages;
use super::pins::{OsRelease, Pins, architecture};
use crate::on_path::find_system;
use crate::reporter::Reporter;

/// Which source to take.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Source {
    /// The first that has what is needed.
    #[default]
    Auto,
    /// A `buildkitd` on PATH.
    Path,
    /// Docker from the packages of Debian or Ubuntu, unpacked and not installed.
    Packages,
    /// A release archive of BuildKit's.
    Archive(Archive),
}

/// A release archive of BuildKit's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// `https://`, `http://` or `file://` URL, or a path.
    pub from: String,
    /// Its sha256 in hexadecimal.
    pub sha256: String,
}

/// A daemon and what it needs, ready to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Programs {
    /// Which daemon.
    pub kind: Kind,
    /// It.
    pub daemon: PathBuf,
    /// runc, or what stands for it.
    pub runtime: PathBuf,
    /// Folders that its PATH starts with.
    pub path: Vec<PathBuf>,
    /// Runs it without root, where there is one.
    pub rootlesskit: Option<PathBuf>,
    /// Docker's client, where there is one.
    pub client: Option<PathBuf>,
    /// For people.
    pub source: String,
}

/// Finds or fetches the programs.
pub(super) async fn programs(
    folder: &Folder,
    source: &Source,
    rootless: bool,
    reporter: &dyn Reporter,
) -> Result<Programs, Error> {
    let pins = Pins::shipped();
    match source {
        Source::Path => on_path().map_err(named("path")),
        Source::Packages => from_packages(folder, &pins, rootless, reporter)
            .await
            .map_err(named("packages")),
        Source::Archive(archive) => from_archive(folder, archive, reporter).await,
        Source::Auto => {
            let mut tried = Vec::new();
            match on_path() {
                Ok(programs) => return Ok(programs),
                Err(reason) => tried.push(("buildkitd on PATH", reason)),
            }
            match from_packages(folder, &pins, rootless, reporter).await {
                Ok(programs) => return Ok(programs),
                Err(reason) => tried.push(("packages", reason)),
            }
            let pinned = match pinned_archive(&pins) {
                Ok(archive) => from_archive(folder, &archive, reporter).await,
                Err(reason) => Err(named("archive")(reason)),
            };
            pinned.map_err(|error| {
                tried.push(("BuildKit's release", error.to_string()));
                Error::NoSource(tried)
            })
        }
    }
}

fn named(name: &'static str) -> impl FnOnce(String) -> Error {
    move |reason| Error::Source { name, reason }
}

/// The release that `pins.toml` names, for this machine.
fn pinned_archive(pins: &Pins) -> Result<Archive, String> {
    let arch = architecture();
    let sha256 = pins
        .archive
        .sha256
        .get(arch)
        .ok_or(format!("none is pinned for {arch}"))?;
    Ok(Archive {
        from: pins
            .archive
            .url
            .replace("{arch}", arch)
            .replace("{version}", &pins.archive.version),
        sha256: sha256.clone(),
    })
}

fn on_path() -> Result<Programs, String> {
    let daemon = find_system("buildkitd").ok_or("there is none")?;
    let runtime = ["buildkit-runc", "runc", "crun"]
        .iter()
        .find_map(|name| find_system(name))
        .ok_or_else(|| format!("{} is there, but no runc or crun", daemon.display()))?;
    Ok(Programs {
        kind: Kind::Buildkitd,
        source: daemon.display().to_string(),
        daemon,
        runtime,
        path: Vec::new(),
        rootlesskit: find_system("rootlesskit"),
        client: None,
    })
}

async fn from_packages(
    folder: &Folder,
    pins: &Pins,
    rootless: bool,
    reporter: &dyn Reporter,
) -> Result<Programs, String> {
    let text = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let os = OsRelease::parse(&text);
    let pin = pins
        .packages_for(&os)
        .ok_or("known for Debian and Ubuntu, and this machine is neither")?;
    let place = folder.programs().join("packages");
    packages::fetch(pin, &os, &place, rootless, reporter).await?;
    let daemon = place.join("usr/sbin/dockerd");
    let daemon = if daemon.exists() {
        daemon
    } else {
        place.join("usr/bin/dockerd")
    };
    let bins = [place.join("usr/bin"), place.join("usr/sbin")];
    let find = |name: &str| {
        bins.iter()
            .map(|bin| bin.join(name))
            .find(|program| program.exists())
    };
    let missing = |name: &str| format!("the packages held no {name}");
    Ok(Programs {
        kind: Kind::Dockerd,
        daemon: Some(daemon)
            .filter(|d| d.exists())
            .ok_or_else(|| missing("dockerd"))?,
        runtime: find("runc").ok_or_else(|| missing("runc"))?,
        rootlesskit: find("rootlesskit").or_else(|| find_system("rootlesskit")),
        client: find("docker"),
        path: bins.to_vec(),
        source: format!("packages of {} ({})", pin.label, suites(pin, &os)),
    })
}

fn suites(pin: &super::pins::PackagePin, os: &OsRelease) -> String {
    let suites: Vec<String> = pin
        .fetch
        .iter()
        .flat_map(|fetch| &fetch.suites)
        .map(|suite| suite.replace("{codename}", &os.codename))
        .collect();
    suites.join(", ")
}

async fn from_archive(
    folder: &Folder,
    archive: &Archive,
    reporter: &dyn Reporter,
) -> Result<Programs, Error> {
    let sha256 = archive.sha256.to_ascii_lowercase();
    if hex::decode(&sha256).map(|hash| hash.len()) != Ok(32) {
        let reason = format!(
            "`{}` is no sha256: 64 hexadecimal digits are",
            archive.sha256
        );
        return Err(Error::Source {
            name: "archive",
            reason,
        });
    }
    let place = folder.programs().join(format!("archive-{}", &sha256[..16]));
    if !place.exists() {
        reporter.note(format!("fetching BuildKit from {}", shown(&archive.from)));
        archive::fetch(&archive.from, &sha256, &place).await?;
    }
    let bin = place.join("bin");
    let find = |name: &str| Some(bin.join(name)).filter(|program| program.exists());
    let missing = |name: &str| Error::Source {
        name: "archive",
        reason: format!("{} holds no bin/{name}", shown(&archive.from)),
    };
    Ok(Programs {
        kind: Kind::Buildkitd,
        daemon: find("buildkitd").ok_or_else(|| missing("buildkitd"))?,
        runtime: find("buildkit-runc")
            .or_else(|| find_system("runc"))
            .ok_or_else(|| missing("buildkit-runc"))?,
        rootlesskit: find("rootlesskit").or_else(|| find_system("rootlesskit")),
        client: None,
        path: vec![bin.clone()],
        source: shown(&archive.from),
    })
}
