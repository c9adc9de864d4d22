//! The image on another base: its own layers but for those that its base decides, which are made anew.

use std::collections::BTreeMap;

use mlbuild_manifests::lock::AptPackage;
use mlbuild_wheels::{Compression, LayerStore, Target};
use oci_spec::distribution::Reference;
use oci_spec::image::Digest;

use super::RebasedPlatform;
use super::source::OldImage;
use crate::assemble::{AssembleError, BaseFacts, MOST_LAYERS, files_layer, venv_layer};
use crate::assembly::{AssembledNote, BASE_DIGEST, BASE_NAME, NOTE, PREFIX};
use crate::image::ImageLayer;
use crate::image::pack::{PackedFolder, PackedImage, compose};
use crate::known_base::Base;
use crate::registry::platform_name;

/// The other base.
pub struct OtherBase<'a> {
    /// Its name with its digest.
    pub pinned: &'a str,
    /// Its documents.
    pub base: &'a Base,
    /// What its layers hold.
    pub facts: &'a BaseFacts,
}

/// An image on another base.
pub struct PutImage {
    /// Its documents and small layers are in a folder.
    pub packed: PackedImage,
    /// Debian packages of the base.
    pub apt: Vec<AptPackage>,
    /// What stayed of the image, and where that is.
    pub kept: Vec<(ImageLayer, Reference)>,
    /// In what it differs from one that would be assembled there.
    pub differs: Vec<String>,
}

impl PutImage {
    /// Debian packages of a base, as a lock has them.
    pub fn packages(facts: &BaseFacts) -> Vec<AptPackage> {
        let packages = facts.debian_packages().into_iter();
        let package = |(name, version, arch)| AptPackage {
            name,
            version,
            arch,
            sha256: None,
            size: None,
        };
        packages.map(package).collect()
    }

    /// As the outcome tells it; `base` is the other base's manifest.
    pub fn platform(&self, base: &Digest) -> RebasedPlatform {
        let image = &self.packed.image;
        RebasedPlatform {
            platform: platform_name(&image.platform),
            manifest: image.manifest.digest().clone(),
            config: image.config.digest().clone(),
            base: base.clone(),
            kept: self.kept.len(),
            kept_bytes: self.kept.iter().map(|(layer, _)| layer.blob.size()).sum(),
            differs: self.differs.clone(),
        }
    }
}

impl OtherBase<'_> {
    /// Puts the image on it, in a folder.
    ///
    /// # Errors
    /// [`AssembleError::Unfit`] where the base has something where the environment or the user goes;
    /// [`AssembleError::TooManyLayers`]; a folder that can't be written to.
    pub fn put(
        &self,
        old: &OldImage,
        store: &LayerStore,
        into: &PackedFolder,
    ) -> Result<PackedImage, AssembleError> {
        let facts = self.facts;
        let venv = &old.own[0].layer.blob;
        let compression = Compression::of(venv).unwrap_or(Compression::Zstd);
        let target = Target::new(facts.python, PREFIX).map_err(AssembleError::Unfit)?;
        facts.check_target(&target)?;
        let below = self.base.pack.image.layers.len();
        let (found, most) = (below + old.own.len(), MOST_LAYERS);
        if found > most {
            return Err(AssembleError::TooManyLayers { found, most });
        }
        let mut own = vec![venv_layer(facts, &target, compression, store, into)?];
        own.extend_from_slice(old.kept());
        if let Some(account) = &old.account {
            let about = &old.own.last().expect("the user's").about;
            let entries = account.layer(facts, old.epoch)?;
            own.push(files_layer(about, &entries, compression, into)?);
        }
        let pack = &self.base.pack;
        let image = compose(
            pack,
            &own,
            &old.note.settings.over(&pack.config),
            &self.annotations(old),
            old.epoch,
            into,
        )?;
        Ok(PackedImage {
            image,
            base_layers: below,
            own: Vec::new(),
            unpacked: 0,
            clamped: 0,
        })
    }

    /// The manifest's annotations: those of the base are the other's, unless somebody gave them.
    fn annotations(&self, old: &OldImage) -> BTreeMap<String, String> {
        let mut all = old.annotations.clone();
        let parts = |pinned: &str| {
            let (name, digest) = pinned.split_once('@').unwrap_or((pinned, ""));
            [
                (BASE_NAME, name.to_owned()),
                (BASE_DIGEST, digest.to_owned()),
            ]
        };
        let was = parts(&old.note.base);
        for ((key, was), (_, is)) in was.into_iter().zip(parts(self.pinned)) {
            if all.get(key) == Some(&was) {
                all.insert(key.to_owned(), is);
            }
        }
        let note = AssembledNote {
            base: self.pinned.to_owned(),
            ..old.note.clone()
        };
        all.insert(NOTE.to_owned(), note.to_json());
        all
    }
}
