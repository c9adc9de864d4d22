//! An image for several platforms: each is put together by itself, as it would be alone, and an index
//! names them. What doesn't depend on the platform is made once.

use std::collections::BTreeMap;

use mlbuild_manifests::lock::LockedPackages;

use super::{Assembling, Destination, Made, MadeImage, Prepared, places};
use crate::assembly::Assembly;
use crate::build::BuildError;
use crate::build::repack::{self, Repacked};
use crate::image::pack::PackedFolder;

/// Looks up the base for each platform; or says why a builder has to make the image.
///
/// # Errors
/// As [`Assembling::look`].
pub async fn look(all: &[Assembling<'_>]) -> Result<Result<Vec<Assembly>, String>, BuildError> {
    let mut found: Vec<Assembly> = Vec::new();
    for one in all {
        let mut assembly = match one.look().await? {
            Ok(assembly) => assembly,
            Err(reason) if all.len() > 1 => {
                return Ok(Err(format!("{}: {reason}", one.locked.platform)));
            }
            Err(reason) => return Ok(Err(reason)),
        };
        assembly.share_compiler(&found);
        found.push(assembly);
    }
    Ok(Ok(found))
}

/// Finds out which layers have to be made for each platform, and gets what they are made of. Packages have
/// bytecode on all platforms or on none.
///
/// # Errors
/// As [`Assembling::prepare`].
pub async fn prepare(
    all: &[Assembling<'_>],
    assemblies: &[Assembly],
    destination: Destination<'_>,
) -> Result<Vec<Prepared>, BuildError> {
    let mut prepared = Vec::new();
    for (one, assembly) in all.iter().zip(assemblies) {
        let wanted = !one.is_fixed || one.build.bytecode;
        prepared.push(one.prepare(assembly, destination, wanted).await?);
    }
    if prepared.iter().any(|one| one.compiler.is_none()) {
        for (at, (one, assembly)) in all.iter().zip(assemblies).enumerate() {
            if prepared[at].compiler.is_some() {
                let platform = &one.locked.platform;
                one.reporter
                    .note(format!("and so do those for {platform}: it is one image"));
                prepared[at] = one.prepare(assembly, destination, false).await?;
            }
        }
    }
    Ok(prepared)
}

/// Puts the images together in one folder.
///
/// # Errors
/// As [`Assembling::make`].
pub fn make(
    all: &[Assembling<'_>],
    assemblies: &[Assembly],
    prepared: &[Prepared],
) -> Result<Made, BuildError> {
    let folder = repack::work_folder()?;
    let into = PackedFolder::create(&folder.path().join("image"))?;
    let (mut images, mut layers, mut digests) = (Vec::new(), BTreeMap::new(), Vec::new());
    let mut packages = LockedPackages::default();
    for ((one, assembly), prepared) in all.iter().zip(assemblies).zip(prepared) {
        let made: MadeImage = one.make(assembly, prepared, &into)?;
        images.push((made.image, assembly.base.reference.clone()));
        layers.insert(one.locked.platform.clone(), made.layers);
        for digest in made.digests {
            if !digests.contains(&digest) {
                digests.push(digest);
            }
        }
        packages.apt.extend(made.packages.apt);
        packages.python.extend(made.packages.python);
    }
    packages.apt.sort();
    packages.apt.dedup();
    packages.python.sort();
    packages.python.dedup();
    let tags = all.first().map_or(&[][..], |one| &one.settings.tags);
    let beside = places::with_most(&digests, tags);
    let mut lenders = places::lenders(&digests, &beside);
    for (one, prepared) in all.iter().zip(prepared) {
        if let Some(same) = one.same {
            let vouched = prepared.vouched.values();
            lenders.extend(vouched.map(|layer| (layer.digest.clone(), same.image.clone())));
        }
        // Asked just now: before what this machine remembers.
        lenders.splice(0..0, prepared.lent.iter().cloned());
    }
    let taken = all.iter().filter_map(|one| one.taken);
    let taken = taken.flat_map(|taken| taken.code.iter().map(|code| (code, &taken.place)));
    let taken: Vec<_> = taken
        .map(|(code, place)| (code.layer.clone(), place.clone()))
        .collect();
    let packed = match taken.is_empty() {
        true => Repacked::assembled(images, lenders, into, folder)?,
        false => Repacked::on_other_bases(images, taken, into, folder)?,
    };
    Ok(Made {
        packed,
        layers,
        digests,
        has_bytecode: prepared.iter().all(|one| one.compiler.is_some()),
        packages,
    })
}
