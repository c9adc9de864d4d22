//! Which variant of the project's image is meant, and what the images of all of them are called: no two alike.

use std::path::Path;

use oci_spec::distribution::Reference;

use super::{BuildRequest, SettingsError, tags};
use crate::config::{Config, FILE_NAME, ImageConfig, VariantName};
use crate::trust;

/// Most characters of a tag.
const LONGEST_TAG: usize = 128;
const IMAGE_TAG: &str = "[image] tag";

/// What the image is, of which variant, and what it is called.
pub(super) struct Chosen {
    /// The variant; `None`: `[image]` alone.
    pub(super) variant: Option<VariantName>,
    /// Names of the image; at least one.
    pub(super) tags: Vec<Reference>,
    /// The first names of the project's other images, under the same request.
    pub(super) others: Vec<Reference>,
}

/// Chooses the variant, and lays it over the configuration's image.
///
/// # Errors
/// A variant that isn't declared; a name that isn't one, or that two variants would have.
pub(super) fn choose(
    config: &mut Config,
    request: &BuildRequest,
    project: &Path,
) -> Result<Chosen, SettingsError> {
    let variant = named(config, request.variant.as_deref())?;
    let given = &request.tags;
    let tags = tags_of(config, variant.as_ref(), given, project)?;
    let mut others = Vec::new();
    for other in all(config) {
        // Whoever names the image doesn't say what the one without a variant is called.
        let is_unnamed = other.is_none() && !given.is_empty();
        if other == variant || is_unnamed {
            continue;
        }
        let theirs = tags_of(config, other.as_ref(), given, project)?;
        if let Some(tag) = tags.iter().find(|tag| theirs.contains(tag)) {
            let name = |of: &Option<VariantName>| of.as_ref().map(ToString::to_string);
            return Err(SettingsError::SameTag {
                tag: Box::new(tag.clone()),
                variants: [name(&variant), name(&other)],
            });
        }
        others.extend(theirs.into_iter().next());
    }
    if variant.is_some() {
        config.image = laid_over(config, variant.as_ref());
        config.wishes = trust::wishes(config, project);
    }
    Ok(Chosen {
        variant,
        tags,
        others,
    })
}

/// The images of a project: `None` is `[image]` alone, which is one of them where no variant is meant by default.
pub(super) fn all(config: &Config) -> Vec<Option<VariantName>> {
    let base = config.default_variant.is_none().then_some(None);
    let variants = config.variants.keys().cloned().map(Some);
    base.into_iter().chain(variants).collect()
}

/// The variant of this name, else the default one.
///
/// # Errors
/// Where it isn't declared.
pub(super) fn named(
    config: &Config,
    name: Option<&str>,
) -> Result<Option<VariantName>, SettingsError> {
    let Some(name) = name else {
        let default = config.default_variant.as_ref();
        return Ok(default.map(|name| name.get_ref().clone()));
    };
    let mut known = config.variants.keys();
    match known.find(|known| known.as_str() == name) {
        Some(found) => Ok(Some(found.clone())),
        None => Err(SettingsError::UnknownVariant {
            file: FILE_NAME,
            name: name.to_owned(),
            known: config.variants.keys().map(ToString::to_string).collect(),
        }),
    }
}

/// `[image]` with the variant over it.
fn laid_over(config: &Config, variant: Option<&VariantName>) -> ImageConfig {
    let mut image = config.image.clone();
    if let Some(over) = variant.and_then(|name| config.variants.get(name)) {
        image.lay_over(over.clone());
    }
    image
}

/// What the image of a variant is called: as the variant's own table says, else as the image is, with the variant's
/// name at the end of the tag.
fn tags_of(
    config: &Config,
    variant: Option<&VariantName>,
    given: &[String],
    project: &Path,
) -> Result<Vec<Reference>, SettingsError> {
    let Some(variant) = variant else {
        return tags(given, (&config.image.tags, IMAGE_TAG), project);
    };
    let own = config.variants.get(variant).map(|over| &over.tags);
    if let Some(own) = own.filter(|own| given.is_empty() && !own.is_empty()) {
        return tags(given, (own, "[variant.NAME] tag"), project);
    }
    let named = tags(given, (&config.image.tags, IMAGE_TAG), project)?;
    let ended = named.iter().map(|image| {
        let tag = variant.end_of(image.tag().unwrap_or("latest"));
        if tag.len() > LONGEST_TAG {
            return Err(SettingsError::LongTag { tag });
        }
        let (host, name) = (image.registry().to_owned(), image.repository().to_owned());
        Ok(Reference::with_tag(host, name, tag))
    });
    ended.collect()
}
