//! Packages by extraction: apt downloads them through a configuration of our
//! own, checks their signatures, and `dpkg-deb -x` unpacks them. Nothing is
//! installed, and no root is needed.

use crate::reporter::Reporter;
use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use super::folder;
use super::pins::{Fetch, OsRelease, PackagePin};

/// Unpacks a distribution's packages into `place`, unless that was done before.
pub(super) async fn fetch(
    pin: &PackagePin,
    os: &OsRelease,
    place: &Path,
    rootless: bool,
    reporter: &dyn Reporter,
) -> Result<(), String> {
    let done = place.join(if rootless {
        ".whole-rootless"
    } else {
        ".whole"
    });
    if done.exists() {
        return Ok(());
    }
    for tool in ["apt-get", "dpkg-deb"] {
        crate::on_path::find_system(tool).ok_or_else(|| format!("there is no {tool}"))?;
    }
    let work = place.with_extension("fetch");
    let _ = std::fs::remove_dir_all(&work);
    let result = fetch_into(pin, os, &work, rootless, reporter).await;
    let result = result.and_then(|()| {
        let _ = std::fs::remove_dir_all(place);
        std::fs::rename(work.join("root"), place)
            .map_err(|e| format!("{}: {e}", place.display()))?;
        std::fs::write(&done, "").map_err(|e| format!("{}: {e}", done.display()))
    });
    let _ = std::fs::remove_dir_all(&work);
    result
}

async fn fetch_into(
    pin: &PackagePin,
    os: &OsRelease,
    work: &Path,
    rootless: bool,
    reporter: &dyn Reporter,
) -> Result<(), String> {
    let mirror = mirror(pin, os).await?;
    for (number, fetch) in pin.fetch.iter().enumerate() {
        let mut names: Vec<&str> = fetch.names.iter().map(String::as_str).collect();
        if rootless {
            names.extend(fetch.rootless.iter().map(String::as_str));
        }
        if names.is_empty() {
            continue;
        }
        reporter.note(format!("fetching {} from {mirror}", names.join(", ")));
        let apt = Apt::new(
            &work.join(format!("apt{number}")),
            &sources(pin, os, fetch, &mirror),
        )
        .await?;
        let debs = work.join(format!("debs{number}"));
        make_folder(&debs)?;
        apt.run(&["update"], work).await?;
        apt.run(&[&["download"], names.as_slice()].concat(), &debs)
            .await?;
        unpack(&debs, &work.join("root")).await?;
    }
    Ok(())
}

/// The one file that tells apt what archive to look in.
fn sources(pin: &PackagePin, os: &OsRelease, fetch: &Fetch, mirror: &str) -> String {
    format!(
        "Types: deb\nURIs: {mirror}\nSuites: {}\nComponents: {}\nSigned-By: {}\n",
        fetch.suites.join(" ").replace("{codename}", &os.codename),
        pin.components,
        pin.keyring,
    )
}

/// The mirror that the machine's own apt uses for this archive: the one with its label, or
/// (before the first `apt-get update`, when apt knows no labels) the one of its own release.
async fn mirror(pin: &PackagePin, os: &OsRelease) -> Result<String, String> {
    let targets = Command::new("apt-get")
        .args([
            "indextargets",
            "--format",
            "$(LABEL)\t$(RELEASE)\t$(REPO_URI)",
            "Created-By: Packages",
        ])
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(|error| format!("apt-get: {error}"))?;
    let text = String::from_utf8_lossy(&targets.stdout);
    let lines: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split('\t').collect())
        .collect();
    let labelled = lines
        .iter()
        .find(|line| line.first() == Some(&pin.label.as_str()));
    let released = lines
        .iter()
        .find(|line| line.get(1) == Some(&os.codename.as_str()));
    labelled
        .or(released)
        .and_then(|line| line.get(2))
        .map(|uri| uri.trim_end_matches('/').to_owned())
        .ok_or_else(|| {
            format!(
                "apt's sources on this machine name no {} archive",
                pin.label
            )
        })
}

/// apt-get with folders and sources of our own, and the machine's settings for
/// proxies and the like.
struct Apt {
    config: std::path::PathBuf,
}

impl Apt {
    async fn new(root: &Path, sources: &str) -> Result<Self, String> {
        for inner in [
            "lists/partial",
            "archives/partial",
            "etc/sources.list.d",
            "etc/trusted.gpg.d",
        ] {
            make_folder(&root.join(inner))?;
        }
        let write = |name: &str, text: &str| {
            let path = root.join(name);
            folder::write(&path, text)
                .map_err(|error| error.to_string())
                .map(|()| path)
        };
        write("status", "")?;
        write("etc/sources.list.d/mlbuild.sources", sources)?;
        let settings = Command::new("apt-config")
            .args(["dump", "Acquire"])
            .stdin(Stdio::null())
            .output()
            .await
            .map_err(|error| format!("apt-config: {error}"))?;
        let root = root.display();
        let config = format!(
            "{}Dir::Etc \"{root}/etc\";\nDir::Etc::sourcelist \"none\";\n\
             Dir::State \"{root}\";\nDir::State::status \"{root}/status\";\nDir::Cache \"{root}\";\n\
             Acquire::Languages \"none\";\nAPT::Sandbox::User \"\";\n",
            String::from_utf8_lossy(&settings.stdout),
        );
        Ok(Self {
            config: write("apt.conf", &config)?,
        })
    }

    async fn run(&self, arguments: &[&str], folder: &Path) -> Result<(), String> {
        let mut command = Command::new("apt-get");
        command
            .arg("-q")
            .args(arguments)
            .env("APT_CONFIG", &self.config)
            .current_dir(folder);
        quietly(command).await
    }
}

async fn unpack(debs: &Path, root: &Path) -> Result<(), String> {
    make_folder(root)?;
    let entries = std::fs::read_dir(debs).map_err(|e| format!("{}: {e}", debs.display()))?;
    for entry in entries {
        let deb = entry
            .map_err(|e| format!("{}: {e}", debs.display()))?
            .path();
        let mut command = Command::new("dpkg-deb");
        command.arg("-x").arg(&deb).arg(root);
        quietly(command).await?;
    }
    Ok(())
}

/// Runs a program; where it fails, the error is its last words.
async fn quietly(mut command: Command) -> Result<(), String> {
    let name = command
        .as_std()
        .get_program()
        .to_string_lossy()
        .into_owned();
    let output = command
        .stdin(Stdio::null())
        .env("LC_ALL", "C.UTF-8")
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let last: Vec<&str> = words
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let last = last[last.len().saturating_sub(3)..].join("; ");
    Err(format!("{name}: {last}"))
}

fn make_folder(path: &Path) -> Result<(), String> {
    std::fs::create_dir_all(path).map_err(|error| format!("{}: {error}", path.display()))
}
