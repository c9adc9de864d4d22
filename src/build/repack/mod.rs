//! An image whose final bytes mlbuild writes: out of the builder, packed anew, and from there to
//! wherever it is wanted.

mod bases;
mod deliver;
mod loaded;
mod remembered;

use std::collections::BTreeMap;
use std::path::Path;

use mlbuild_progress::LocalSteps;
use oci_spec::distribution::Reference;
use oci_spec::image::{Descriptor, Digest};
use tempfile::TempDir;

use crate::build::BuildError;
use crate::builder::{BuildInputs, BuildOutput, Builder};
use crate::image::ImageLayer;
use crate::image::pack::{self, PackOptions, PackedFolder, PackedImage};
use crate::image_source::{self, Opened};
use crate::known_base::{self, Base};
use crate::pin;
use crate::plan::Repack;
use crate::registry::{Registry, platform_name};

/// An image that was packed, in a folder that goes with it.
pub struct Repacked {
    /// Its manifest, or the index of several.
    pub top: Descriptor,
    /// By platform, in the order of their names.
    pub images: Vec<PackedImage>,
    /// What the builder made; `None` where there was none.
    export: Option<Opened>,
    into: PackedFolder,
    is_of_classic: bool,
    /// Where the base of each image is.
    bases: Vec<Option<Reference>>,
    /// Repositories that have some of the layers.
    lenders: Vec<(Digest, Reference)>,
    /// Layers above the bases that aren't in the folder, with where each is.
    elsewhere: Vec<(ImageLayer, Reference)>,
    folder: TempDir,
}

/// What an image is packed for: it says which layers have to leave the builder.
#[derive(Clone, Copy, Debug)]
pub enum Purpose<'a> {
    /// To be compared: those of the base are read from its registry, if at all.
    Comparing,
    /// To be pushed to these tags, and nowhere else.
    Pushing(&'a [Reference]),
    /// To go anywhere.
    Keeping,
}

/// Builds a plan and packs the image as `repack` says; layers of its bases stay as their
/// registries have them.
///
/// # Errors
/// Those of the build; a base that is gone; a layer that can't be read; a disk that is full.
pub async fn build(
    builder: &Builder,
    inputs: &BuildInputs<'_>,
    registry: &Registry,
    repack: Repack,
    purpose: Purpose<'_>,
    steps: &LocalSteps,
) -> Result<(BuildOutput, Repacked), BuildError> {
    let plan = inputs.plan;
    let platforms = builder.target_platforms(plan);
    let bases = known_base::look_up(registry, &plan.bases, &platforms).await?;
    // What the classic store gives is named otherwise each time.
    let mut known = match purpose {
        Purpose::Pushing(tags) if !builder.is_classic() => {
            remembered::known(registry, repack, tags).await
        }
        _ => Vec::new(),
    };
    if pin::runs_after_copies(&plan.dockerfile.text) {
        // Their files are needed to tell which of a later step's were copied.
        known.retain(|(_, packed)| !packed.copied);
    }
    let mut held = bases::held(registry, &bases, purpose).await;
    held.extend(known.iter().map(|(source, _)| size_by_digest(source)));
    let sources = known.into_iter();
    let options = PackOptions {
        repack,
        drops_unchanged: builder.is_classic(),
        annotations: plan.annotations.clone(),
        known: sources
            .map(|(source, packed)| (source.digest().to_string(), packed))
            .collect(),
    };
    let folder = work_folder()?;
    let (mut output, path) = builder.export(inputs, folder.path(), held).await?;
    let step = steps.begin("writing the image");
    let packed = tokio::task::block_in_place(|| pack_all(&path, folder, &bases, &options));
    let packed = match packed {
        Ok(packed) => packed,
        Err(error) => {
            step.failed(&error.to_string());
            return Err(error);
        }
    };
    step.done();
    let own = packed.output();
    output.response = own.response;
    output.config_digest = own.config_digest;
    output.descriptor = own.descriptor;
    Ok((output, packed))
}

fn pack_all(
    path: &Path,
    folder: TempDir,
    bases: &[Base],
    options: &PackOptions,
) -> Result<Repacked, BuildError> {
    let export = image_source::on_disk("the builder's image", path)?;
    let into = PackedFolder::create(&folder.path().join("image"))?;
    let (mut images, mut found) = (Vec::new(), Vec::new());
    for platform in export.images.keys() {
        let side = export.side(platform);
        let of_platform = bases.iter().filter(|base| base.platform() == *platform);
        let base = pack::base_of(&side, of_platform.map(|base| &base.pack));
        images.push(pack::pack(&side, base, options, &into)?);
        let is_it = |one: &&Base| base.is_some_and(|base| std::ptr::eq(base, &one.pack));
        found.push(bases.iter().find(is_it).map(|base| base.reference.clone()));
    }
    Ok(Repacked {
        top: top_of(&images, &into)?,
        images,
        export: Some(export),
        into,
        is_of_classic: options.drops_unchanged,
        bases: found,
        lenders: Vec::new(),
        elsewhere: Vec::new(),
        folder,
    })
}

/// The manifest of an image, or the index of several.
fn top_of(images: &[PackedImage], into: &PackedFolder) -> Result<Descriptor, BuildError> {
    Ok(match images {
        [one] => one.image.manifest.clone(),
        several => pack::index(several, into)?,
    })
}

fn size_by_digest(blob: &Descriptor) -> (String, u64) {
    (blob.digest().to_string(), blob.size())
}

impl Repacked {
    /// Images that were put together in a folder, each with its base, for a platform each in the order of
    /// their names: one, or an index of several.
    ///
    /// # Errors
    /// A folder that can't be written to.
    pub(super) fn assembled(
        made: Vec<(PackedImage, Reference)>,
        lenders: Vec<(Digest, Reference)>,
        into: PackedFolder,
        folder: TempDir,
    ) -> Result<Self, BuildError> {
        let (images, bases): (Vec<_>, Vec<_>) = made.into_iter().unzip();
        Ok(Self {
            top: top_of(&images, &into)?,
            images,
            export: None,
            into,
            is_of_classic: false,
            bases: bases.into_iter().map(Some).collect(),
            lenders,
            elsewhere: Vec::new(),
            folder,
        })
    }

    /// As `Repacked::assembled`, of images whose layers above the base are in a registry, but for those that
    /// are in the folder: `elsewhere` says where.
    ///
    /// # Errors
    /// A folder that can't be written to.
    pub fn on_other_bases(
        made: Vec<(PackedImage, Reference)>,
        elsewhere: Vec<(ImageLayer, Reference)>,
        into: PackedFolder,
        folder: TempDir,
    ) -> Result<Self, BuildError> {
        let lent = elsewhere.iter();
        let lent = lent.map(|(layer, place)| (layer.blob.digest().clone(), place.clone()));
        let packed = Self::assembled(made, lent.collect(), into, folder)?;
        Ok(Self {
            elsewhere,
            ..packed
        })
    }

    /// What a builder would answer that had made it.
    pub fn output(&self) -> BuildOutput {
        let told = [
            ("containerimage.digest", Some(self.top.digest().to_string())),
            ("containerimage.config.digest", self.config_digest()),
        ];
        let told = told.into_iter();
        BuildOutput {
            response: told
                .filter_map(|(key, value)| Some((key.to_owned(), value?)))
                .collect(),
            descriptor: Some(self.top.clone()),
            config_digest: self.config_digest(),
            docker_id: None,
            packages: None,
        }
    }

    /// The image, to be read: layers of bases from where those are.
    ///
    /// # Errors
    /// Where it can't be.
    pub fn open(&self, name: &str, registry: &Registry) -> Result<Opened, BuildError> {
        self.into.name(&self.top, None)?;
        let bases = self.layers_elsewhere().filter_map(|(layer, base)| {
            let base = base?.clone();
            Some((layer.blob.digest().to_string(), base))
        });
        Ok(
            image_source::on_disk(name, self.into.path())?
                .with_layers_of(registry, bases.collect()),
        )
    }

    /// Notes what was pushed to these tags, so that it isn't packed for them again.
    pub fn remember(&self, repack: Repack, tags: &[Reference]) {
        if !self.is_of_classic {
            remembered::remember(self, repack, tags);
        }
    }

    /// Manifests by platform.
    pub fn manifests(&self) -> BTreeMap<String, Digest> {
        let named = self.images.iter().map(|packed| {
            let image = &packed.image;
            (
                platform_name(&image.platform),
                image.manifest.digest().clone(),
            )
        });
        named.collect()
    }

    fn config_digest(&self) -> Option<String> {
        match self.images.as_slice() {
            [one] => Some(one.image.config.digest().to_string()),
            _ => None,
        }
    }

    /// The layers of bases and others that the folder needn't have, with where each is.
    fn layers_elsewhere(&self) -> impl Iterator<Item = (&ImageLayer, Option<&Reference>)> {
        let pairs = self.images.iter().zip(&self.bases);
        let of_bases = pairs.flat_map(|(packed, base)| {
            let layers = &packed.image.layers[..packed.base_layers];
            layers.iter().map(move |layer| (layer, base.as_ref()))
        });
        let others = self.elsewhere.iter();
        of_bases.chain(others.map(|(layer, place)| (layer, Some(place))))
    }
}

/// Room for an image, among the temporary things of this process.
///
/// # Errors
/// Where there is none.
pub fn work_folder() -> Result<TempDir, BuildError> {
    TempDir::new().map_err(BuildError::WorkFolder)
}
