//! What an image and the lock beside it say of themselves, held against each other before anything is made of it:
//! whoever may push an image may attach any lock to it.

use std::collections::BTreeSet;

use mlbuild_manifests::LockedImage;
use mlbuild_manifests::lock::{LockedBase, LockedBuild};
use mlbuild_wheels::{WheelName, normalize};
use oci_spec::distribution::Reference;
use oci_spec::image::ImageIndex;

use super::error::VerifyError;
use crate::assembly::base_name;
use crate::image::{is_attestation, is_index};
use crate::rebase::source::OldImage;
use crate::registry::{Registry, platform_name};

/// Most manifests of an index whose images are all looked at.
const MOST_MANIFESTS: usize = 64;
/// Most bytes of packages that are fetched for one proof; those of the largest environments have some ten billion.
const MOST_BYTES: u64 = 64 << 30;

/// Refuses an index from which somebody may get another image than those that are looked at. `image`: by digest.
///
/// # Errors
/// Where the registry doesn't give it. The inner one says what is wrong.
pub async fn check_index(
    registry: &Registry,
    image: &Reference,
) -> Result<Result<(), String>, VerifyError> {
    let (descriptor, bytes) = registry.pull_manifest(image).await?;
    if !is_index(descriptor.media_type()) {
        return Ok(Ok(()));
    }
    let index: ImageIndex = match serde_json::from_slice(&bytes) {
        Ok(index) => index,
        Err(error) => return Ok(Err(format!("its index can't be read: {error}"))),
    };
    let all = index.manifests();
    if all.len() > MOST_MANIFESTS {
        let why = format!("its index lists more than {MOST_MANIFESTS} manifests");
        return Ok(Err(why));
    }
    let mut seen = BTreeSet::new();
    for one in all {
        let digest = one.digest();
        let said = one.platform().as_ref().map(platform_name);
        let said = said.map_or("no platform".to_owned(), |name| {
            name.escape_debug().to_string()
        });
        if is_attestation(one) {
            if said != "unknown/unknown" {
                let why =
                    format!("its index calls {digest} an attestation, and names it for {said}");
                return Ok(Err(why));
            }
            continue;
        }
        let exact = image.clone_with_digest(digest.to_string());
        for found in registry.images(&exact, None).await? {
            let is = platform_name(&found.platform).escape_debug().to_string();
            if is != said {
                let why =
                    format!("its index names {digest} for {said}, and that image is for {is}");
                return Ok(Err(why));
            }
            if !seen.insert(is) {
                return Ok(Err(format!("its index has two images for {said}")));
            }
        }
    }
    Ok(Ok(()))
}

/// The base that the image says it has, on all platforms, as the lock beside it says, too.
///
/// # Errors
/// Where they don't say the same.
pub fn one_base(entry: &LockedImage, images: &[OldImage]) -> Result<String, String> {
    let locked = match entry.bases.as_slice() {
        [one] => one,
        all => return Err(format!("the lock beside it names {} bases", all.len())),
    };
    let mut said = images.iter().map(|old| (&old.platform, &old.note.base));
    if let Some((platform, base)) = said.find(|(_, base)| !is_of(base, locked)) {
        let of_lock = format!("{}@{}", locked.reference, locked.digest);
        return Err(format!(
            "its base for {platform} is {base}, and the lock beside it is for {}",
            of_lock.escape_debug()
        ));
    }
    let first = images.first().map(|old| old.note.base.clone());
    let base = first.ok_or("it has no image")?;
    match images.iter().find(|old| old.note.base != base) {
        Some(other) => Err(format!(
            "its base is {base}, and for {} {}",
            other.platform, other.note.base
        )),
        None => Ok(base),
    }
}

/// Whether a base with its digest is what a lock names.
fn is_of(base: &str, locked: &LockedBase) -> bool {
    let digest = base.split_once('@').map(|(_, digest)| digest);
    digest == Some(locked.digest.as_ref()) && base_name(base) == base_name(&locked.reference)
}

/// Refuses pins that ask for more than a proof fetches, and files that are no packages of their names.
///
/// # Errors
/// The first of them.
pub fn check_pins(build: &LockedBuild) -> Result<(), String> {
    let mut bytes: u64 = 0;
    for (platform, pins) in &build.platforms {
        for (_, size) in pins.files() {
            bytes = bytes.saturating_add(size);
        }
        let others = [
            (
                pins.conda.first().map(|one| &one.name),
                "a package of conda",
            ),
            (pins.apt.first().map(|one| &one.name), "a Debian package"),
            (
                pins.rattler.as_ref().map(|one| &one.name),
                "a tool of conda's",
            ),
        ];
        for (name, kind) in others {
            if let Some(name) = name {
                return Err(format!(
                    "the lock beside it pins {} for {platform}, {kind}, and an image of wheels has none",
                    name.escape_debug()
                ));
            }
        }
        for file in &pins.python_packages {
            let name = WheelName::parse(&file.file).map(|wheel| normalize(&wheel.name));
            if name.ok() != Some(normalize(&file.name)) {
                return Err(format!(
                    "the lock beside it pins {} as {}, which is no wheel of it",
                    file.file.escape_debug(),
                    file.name.escape_debug()
                ));
            }
        }
    }
    if bytes > MOST_BYTES {
        return Err(format!(
            "the lock beside it pins {bytes} bytes of packages, more than the {MOST_BYTES} that are fetched for a proof"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use mlbuild_manifests::digest::sha256;

    use super::*;

    #[test]
    fn a_base_is_the_locks_by_name_and_digest() {
        let (good, evil) = (sha256(b"good"), sha256(b"evil"));
        let locked = LockedBase {
            reference: "python:3.11".to_owned(),
            digest: good.clone(),
            platforms: Default::default(),
        };
        for (base, is) in [
            (format!("docker.io/library/python:3.11@{good}"), true),
            (format!("docker.io/library/python:3.11@{evil}"), false),
            (format!("docker.io/library/python:3.12@{good}"), false),
            (format!("docker.io/evil/python:3.11@{good}"), false),
            (format!("evil.example/library/python:3.11@{good}"), false),
            ("docker.io/library/python:3.11".to_owned(), false),
        ] {
            assert_eq!(is_of(&base, &locked), is, "{base}");
        }
    }

    #[test]
    fn pins_are_wheels_of_their_names_and_of_bounded_size() {
        let good = serde_json::json!({"name": "six", "version": "1.17.0", "sha256": "0", "size": 9,
            "file": "six-1.17.0-py2.py3-none-any.whl"});
        let of = |name: &str, value: serde_json::Value| {
            let mut file = good.clone();
            file[name] = value;
            serde_json::json!({ "python_packages": [file] })
        };
        let deb = serde_json::json!({"apt": [{"name": "git", "version": "1", "arch": "amd64",
            "path": "git.deb", "suite": "bookworm", "component": "main", "sha256": "0", "size": 1}]});
        let conda = serde_json::json!({"conda": [{"name": "zlib", "version": "1", "build": "0",
            "file": "zlib.conda", "sha256": "0", "size": 1, "url": "https://evil.example/zlib.conda"}]});
        for (pins, said) in [
            (of("size", 9.into()), ""),
            (of("size", (65_u64 << 30).into()), "bytes of packages"),
            (of("name", "../admin".into()), "no wheel of it"),
            (of("name", "seven".into()), "no wheel of it"),
            (of("file", "six-1.17.0.tar.gz".into()), "no wheel of it"),
            (deb, "a Debian package"),
            (conda, "a package of conda"),
        ] {
            let build = serde_json::json!({"request": sha256(b""), "epoch": 0, "media_types": "oci",
                "compression": "zstd", "level": 3, "method": "assemble", "platforms": {"linux/amd64": pins}});
            let build: LockedBuild = serde_json::from_value(build).unwrap();
            let found = check_pins(&build).err().unwrap_or_default();
            assert_eq!(found.is_empty(), said.is_empty(), "{found}");
            assert!(found.contains(said), "{found}");
        }
    }
}
