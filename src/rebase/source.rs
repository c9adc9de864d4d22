//! The image as its registry has it: what it says of itself, which of its layers are its own, and the proof that
//! both are so.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use jiff::Timestamp;
use mlbuild_templates::reference;
use oci_spec::distribution::Reference;
use oci_spec::image::Digest;
use serde_json::Value;

use super::error::RebaseError;
use crate::assemble::{Account, VENV_ABOUT};
use crate::assembly::{AssembledNote, NOTE, PREFIX};
use crate::build::repack;
use crate::image::layer::{LayerLimits, read_layer};
use crate::image::pack::{OwnLayer, PackedFolder, compose};
use crate::image::{ImageLayer, PlatformImage};
use crate::image_source::{self, OpenedImage};
use crate::known_base::{self, Base, KnownBaseError};
use crate::registry::Registry;

/// What the history says of the layer of the user, before the name.
const USER_ABOUT: &str = "mlbuild: the user ";
/// What the history says of the layer of the code, before what was copied.
const CODE_ABOUT: &str = "mlbuild: COPY ";
/// Bytes of a layer of a user: account files, and what a new home folder gets.
const MOST_OF_USER: usize = 4 << 20;
/// Bytes that it may unpack to.
const MOST_UNPACKED: u64 = 32 << 20;

/// The image, taken apart.
pub struct Source {
    /// The image, by digest.
    pub reference: Reference,
    /// By platform, in the order of their names; at least one.
    pub images: Vec<OldImage>,
    top: Digest,
}

/// The image for one platform, taken apart.
pub struct OldImage {
    /// `linux/amd64`.
    pub platform: String,
    /// Where its layers are, by digest.
    pub reference: Reference,
    /// Its digests.
    pub image: PlatformImage,
    /// Annotations of its manifest.
    pub annotations: BTreeMap<String, String>,
    /// What it says of itself.
    pub note: AssembledNote,
    /// The base that it has.
    pub base: Base,
    /// Its layers above the base, from the bottom: the environment without packages, those of packages, the code,
    /// the user where it has one.
    pub own: Vec<OwnLayer>,
    /// When it says that it was created, in seconds since 1970-01-01.
    pub epoch: i64,
    /// Its user.
    pub account: Option<Account>,
}

impl Source {
    /// The image's digests: of what the reference names, and of each platform's manifest.
    pub fn digests(&self) -> Vec<Digest> {
        let each = self.images.iter().map(|one| one.image.manifest.digest());
        let mut all = vec![self.top.clone()];
        all.extend(each.cloned());
        all
    }
}

impl OldImage {
    /// The layers that stay as they are: those of packages and of the code.
    pub fn kept(&self) -> &[OwnLayer] {
        let end = self.own.len() - usize::from(self.account.is_some());
        &self.own[1..end]
    }

    /// The same, with where they are.
    pub fn kept_there(&self) -> Vec<(ImageLayer, Reference)> {
        let kept = self.kept().iter();
        kept.map(|own| (own.layer.clone(), self.reference.clone()))
            .collect()
    }

    /// The layers of the code, from the bottom; at least one.
    pub fn codes(&self) -> &[OwnLayer] {
        let kept = self.kept();
        let others = kept.iter().rposition(|layer| !is_code(layer));
        &kept[others.map_or(0, |at| at + 1)..]
    }
}

/// Where bases may be looked for.
#[derive(Clone, Copy)]
pub struct KnownPlaces<'a> {
    /// Where the base is that an image has, if somebody said so.
    pub old_base: Option<&'a Reference>,
    /// Registries that somebody named.
    pub registries: [&'a str; 2],
}

/// Reads the documents of an image and takes it apart.
///
/// # Errors
/// An image that isn't there, that mlbuild didn't assemble, or that isn't what it says.
pub async fn read(
    registry: &Registry,
    from: &Reference,
    known: &KnownPlaces<'_>,
) -> Result<Source, RebaseError> {
    let resolved = registry.resolve(from, None).await?;
    let top = resolved.descriptor.digest().clone();
    let reference = from.clone_with_digest(top.to_string());
    let opened = image_source::open(&reference.to_string(), registry).await?;
    let mut images = Vec::new();
    for (platform, one) in opened.images {
        let reading = Reading {
            registry,
            from,
            known,
            reference: &reference,
            platform: &platform,
        };
        images.push(reading.read(one).await?);
    }
    if images.is_empty() {
        let from = Box::new(from.clone());
        return Err(RebaseError::NoImage { from });
    }
    Ok(Source {
        reference,
        images,
        top,
    })
}

/// Looks up a base with its digest for one platform.
///
/// # Errors
/// A base that can't be had.
pub async fn look_up(
    registry: &Registry,
    pinned: &str,
    platform: &str,
) -> Result<Vec<Base>, KnownBaseError> {
    let pins = BTreeMap::from([(pinned.to_owned(), None)]);
    known_base::look_up_kept(registry, &pins, platform).await
}

struct Reading<'a> {
    registry: &'a Registry,
    from: &'a Reference,
    known: &'a KnownPlaces<'a>,
    reference: &'a Reference,
    platform: &'a str,
}

impl Reading<'_> {
    async fn read(&self, opened: OpenedImage) -> Result<OldImage, RebaseError> {
        let OpenedImage {
            image,
            config,
            manifest,
        } = opened;
        let manifest = manifest.unwrap_or_default();
        let annotations = serde_json::from_value(manifest["annotations"].clone());
        let annotations: BTreeMap<String, String> = annotations.unwrap_or_default();
        let Some(note) = annotations.get(NOTE) else {
            return Err(RebaseError::NotAssembled {
                from: Box::new(self.from.clone()),
                platform: self.platform.to_owned(),
            });
        };
        let note: AssembledNote =
            serde_json::from_str(note).map_err(|error| self.note(error.to_string()))?;
        let base = self.base(&note.base).await?;
        let own = self.own(&image, &config, &base)?;
        let epoch = config["created"].as_str().unwrap_or_default();
        let epoch: Timestamp = epoch
            .parse()
            .map_err(|_| self.layers("it doesn't say when it was created"))?;
        let mut old = OldImage {
            platform: self.platform.to_owned(),
            reference: self.reference.clone(),
            image,
            annotations,
            note,
            base,
            own,
            epoch: epoch.as_second(),
            account: None,
        };
        self.prove(&old)?;
        old.account = self.account(&old, &config).await?;
        let codes = old.kept().iter().filter(|layer| is_code(layer)).count();
        if codes == 0 || old.codes().len() != codes {
            return Err(self.layers("it has no layers of code right below its user"));
        }
        Ok(old)
    }

    /// The base that the image has.
    async fn base(&self, pinned: &str) -> Result<Base, RebaseError> {
        let gone = |why: String| RebaseError::OldBase {
            from: Box::new(self.from.clone()),
            base: pinned.to_owned(),
            why,
        };
        let said = reference::parse(pinned).ok();
        let digest = said.as_ref().and_then(Reference::digest);
        let (Some(said), Some(digest)) = (&said, digest) else {
            return Err(self.note(format!("its base {pinned} has no name with a digest")));
        };
        let place = match self.known.old_base {
            Some(place) => place,
            None if self.known.registries.contains(&said.registry()) => said,
            None => {
                return Err(RebaseError::StrangeBase {
                    from: Box::new(self.from.clone()),
                    base: pinned.to_owned(),
                });
            }
        };
        let place = format!("{}/{}@{digest}", place.registry(), place.repository());
        let found = look_up(self.registry, &place, self.platform).await;
        let mut found = found.map_err(|error| gone(error.to_string()))?;
        let base = found.pop();
        base.ok_or_else(|| gone(format!("it has nothing for {}", self.platform)))
    }

    /// The layers above the base, with what the history says of each.
    fn own(
        &self,
        image: &PlatformImage,
        config: &Value,
        base: &Base,
    ) -> Result<Vec<OwnLayer>, RebaseError> {
        let below = base.pack.image.layers.len();
        let history = config["history"].as_array().into_iter().flatten();
        let steps = history.filter(|step| step["empty_layer"] != Value::Bool(true));
        let steps: Vec<&str> = steps
            .map(|step| step["created_by"].as_str().unwrap_or_default())
            .collect();
        if steps.len() != image.layers.len() || steps.len() < below + 2 {
            return Err(self.layers("its history doesn't fit its layers"));
        }
        if steps[below] != format!("{VENV_ABOUT}{PREFIX}") {
            return Err(self.layers("it has no environment of mlbuild's right above its base"));
        }
        let own = image.layers[below..].iter().zip(&steps[below..]);
        let own = own.map(|(layer, about)| OwnLayer {
            layer: layer.clone(),
            about: (*about).to_owned(),
        });
        Ok(own.collect())
    }

    /// Puts the image together once more on the base that it has.
    fn prove(&self, old: &OldImage) -> Result<(), RebaseError> {
        let folder = repack::work_folder()?;
        let into = PackedFolder::create(&folder.path().join("image"))?;
        let pack = &old.base.pack;
        let settings = old.note.settings.over(&pack.config);
        let again = compose(
            pack,
            &old.own,
            &settings,
            &old.annotations,
            old.epoch,
            &into,
        )?;
        let (expected, found) = (old.image.manifest.digest(), again.manifest.digest());
        if found == expected {
            return Ok(());
        }
        Err(RebaseError::Another {
            from: Box::new(self.from.clone()),
            platform: self.platform.to_owned(),
            base: old.note.base.clone(),
            expected: Box::new(expected.clone()),
            found: Box::new(found.clone()),
        })
    }

    /// The user, by the layer that makes it; what the image says of itself isn't asked for who it runs as.
    async fn account(
        &self,
        old: &OldImage,
        config: &Value,
    ) -> Result<Option<Account>, RebaseError> {
        let last = old.own.last().expect("there are two, as was looked at");
        let Some(name) = last.about.strip_prefix(USER_ABOUT) else {
            return Ok(None);
        };
        let config = &config["config"];
        if config["User"] != *name {
            return Err(self.layers("it runs as another user than its last layer makes"));
        }
        let workdir = config["WorkingDir"].as_str().unwrap_or_default();
        let ids = if name == "root" {
            Some((0, 0))
        } else {
            let blob = &last.layer.blob;
            let bytes = self
                .registry
                .pull_blob_up_to(self.reference, blob, MOST_OF_USER)
                .await?;
            let mut ids = None;
            let limits = LayerLimits::in_memory(MOST_UNPACKED);
            read_layer(&bytes[..], &last.layer, &limits, &mut |entry, content| {
                if entry.path.as_bytes() == b"etc/passwd" {
                    let mut text = Vec::new();
                    content.read_to_end(&mut text)?;
                    ids = ids_of(&String::from_utf8_lossy(&text), name);
                }
                Ok(ControlFlow::Continue(()))
            })?;
            ids
        };
        let Some((uid, gid)) = ids else {
            let why = format!("its last layer makes no user {name}");
            return Err(self.layers(&why));
        };
        let folder = workdir.trim_end_matches('/').to_owned();
        Ok(Some(Account {
            name: name.to_owned(),
            uid,
            gid,
            folders: vec![folder],
        }))
    }

    fn note(&self, why: String) -> RebaseError {
        RebaseError::Note {
            from: Box::new(self.from.clone()),
            platform: self.platform.to_owned(),
            why,
        }
    }

    fn layers(&self, why: &str) -> RebaseError {
        RebaseError::Layers {
            from: Box::new(self.from.clone()),
            platform: self.platform.to_owned(),
            why: why.to_owned(),
        }
    }
}

fn is_code(layer: &OwnLayer) -> bool {
    layer.about.starts_with(CODE_ABOUT)
}

/// The ids of a user in the text of `/etc/passwd`.
fn ids_of(text: &str, name: &str) -> Option<(u64, u64)> {
    let mut lines = text.lines().map(|line| line.split(':'));
    let mut fields =
        lines.find_map(|mut fields| (fields.next() == Some(name)).then_some(fields))?;
    let uid = fields.nth(1)?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    Some((uid, gid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_the_line() {
        let text = "root:x:0:0:root:/root:/bin/sh\nml:x:1000:1001::/home/ml:/bin/bash\n";
        assert_eq!(ids_of(text, "ml"), Some((1000, 1001)));
        assert_eq!(ids_of(text, "m"), None);
        assert_eq!(ids_of("ml:x:a:1:", "ml"), None);
        assert_eq!(ids_of("ml", "ml"), None);
    }
}
