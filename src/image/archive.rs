//! An archive that `docker save` wrote, of the kind that isn't an OCI layout too: a
//! `manifest.json`, configurations, and layers as plain tars.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use oci_spec::image::{Descriptor, Digest, ImageConfiguration, MediaType};
use serde::Deserialize;

use super::error::LayoutError;
use super::inspect::platform_of;
use super::layer;
use super::layout::{BlobSource, tar_members};
use super::{ImageLayer, PlatformImage};

/// Largest `manifest.json` or configuration, in bytes.
const MAX_DOCUMENT: u64 = 4 << 20;

/// A saved image.
#[derive(Debug)]
pub struct DockerArchive {
    path: PathBuf,
    /// Its digests; the manifest's are the configuration's, because it has none of its own.
    pub image: PlatformImage,
    /// Its configuration.
    pub config: Vec<u8>,
    layers: BTreeMap<String, BlobSource>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    layers: Vec<String>,
}

impl DockerArchive {
    /// Opens an archive with one image in it.
    ///
    /// # Errors
    /// A file that is no such archive, or holds several images.
    pub fn open(path: &Path) -> Result<Self, LayoutError> {
        let members = tar_members(path)?;
        let malformed = |why: String| LayoutError::NotALayout {
            path: path.to_path_buf(),
            why,
        };
        let member = |name: &str| {
            let found = members.get(name.trim_start_matches("./"));
            found
                .cloned()
                .ok_or_else(|| malformed(format!("there is no {name}")))
        };
        let document = |name: &str| read(&member(name)?, path);
        let saved: Vec<Saved> = serde_json::from_slice(&document("manifest.json")?)
            .map_err(|e| malformed(format!("manifest.json: {e}")))?;
        let [saved] = saved.as_slice() else {
            return Err(LayoutError::SeveralImages {
                path: path.to_path_buf(),
                count: saved.len(),
            });
        };
        let config = document(&saved.config)?;
        let parsed: ImageConfiguration = serde_json::from_slice(&config)
            .map_err(|e| malformed(format!("{}: {e}", saved.config)))?;
        let ids = parsed.rootfs().diff_ids();
        if ids.len() != saved.layers.len() {
            let (layers, ids) = (saved.layers.len(), ids.len());
            return Err(malformed(format!("{layers} layers, and {ids} diff IDs")));
        }
        let (mut layers, mut sources) = (Vec::new(), BTreeMap::new());
        for (name, id) in saved.layers.iter().zip(ids) {
            let source = member(name)?;
            let diff_id: Digest = id
                .parse()
                .map_err(|e| malformed(format!("bad diff ID {id}: {e}")))?;
            let blob = Descriptor::new(MediaType::ImageLayer, source.size, diff_id.clone());
            sources.insert(diff_id.to_string(), source);
            layers.push(ImageLayer { blob, diff_id });
        }
        let named = layer::descriptor(&config, MediaType::ImageConfig);
        Ok(Self {
            path: path.to_path_buf(),
            image: PlatformImage {
                platform: platform_of(&parsed),
                manifest: named.clone(),
                config: named,
                layers,
            },
            config,
            layers: sources,
        })
    }

    /// Where a layer's bytes are.
    ///
    /// # Errors
    /// [`LayoutError::MissingBlob`] for a layer of another image.
    pub fn layer(&self, diff_id: &Digest) -> Result<BlobSource, LayoutError> {
        let found = self.layers.get(diff_id.as_ref()).cloned();
        found.ok_or_else(|| LayoutError::MissingBlob {
            path: self.path.clone(),
            digest: diff_id.clone(),
        })
    }
}

fn read(source: &BlobSource, path: &Path) -> Result<Vec<u8>, LayoutError> {
    use std::io::Read as _;
    let fail = |source| LayoutError::Read {
        path: path.to_path_buf(),
        source,
    };
    let mut bytes = Vec::new();
    let file = source.open().map_err(fail)?;
    file.take(MAX_DOCUMENT)
        .read_to_end(&mut bytes)
        .map_err(fail)?;
    Ok(bytes)
}
