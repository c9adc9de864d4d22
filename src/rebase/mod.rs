//! Puts an image that mlbuild assembled on another base: the base's layers are replaced, and those of its packages
//! and its code stay as they are. Nothing is built, and no project is needed.
//!
//! | step | file |
//! | --- | --- |
//! | what the image is made of, proved by putting it together once more on its own base | `source` |
//! | whether the other base takes what stays | `fit` |
//! | the image on the other base | `put` |
//! | the lock's entry beside it | `record` |
//!
//! What an image says of itself is its maker's word. So the image is taken apart and put together again on its
//! own base first: only where that gives the very same digest is it done on another one. What comes out is made
//! of the image's own layers, the other base, and two small layers that are made here.

mod error;
mod fit;
mod put;
mod record;
pub(crate) mod source;

use mlbuild_progress::LocalSteps;
use mlbuild_templates::reference;
use mlbuild_wheels::LayerStore;
use oci_spec::distribution::Reference;
use oci_spec::image::Digest;

pub use self::error::RebaseError;
use self::put::PutImage;
use self::source::OldImage;
use crate::assemble::AssembleError;
use crate::assembly::base_name;
use crate::build::assembled::taker::Docker;
use crate::build::repack::{self, Repacked};
use crate::builder::{self, BuilderError};
use crate::image::pack::PackedFolder;
use crate::known_base::{self, Base};
use crate::plan::Output;
use crate::registry::{Published, Registry, platform_name};
use crate::reporter::Reporter;

/// Bytes of layers that are kept of this one time.
const MOST_KEPT: u64 = 1 << 30;

/// Which image is put on which base, and where it goes; nowhere is fine, too.
#[derive(Debug, Clone)]
pub struct RebaseRequest {
    /// The image, in a registry.
    pub from: Reference,
    /// The other base, in a registry.
    pub base: String,
    /// Where the base is that the image has, in a registry; only its name is looked at. Without it the image
    /// says where, which is believed as far as it names the registry of `from` or of `base`.
    pub old_base: Option<Reference>,
    /// Names of the new image, at least one: see [`default_name`].
    pub tags: Vec<Reference>,
    /// Whether it is pushed.
    pub push: bool,
    /// Whether it is loaded into this machine's Docker.
    pub load: bool,
    /// Files that it is written to, each of type `oci`.
    pub outputs: Vec<Output>,
}

/// An image on another base.
#[derive(Debug)]
pub struct RebaseOutcome {
    /// The image that it was made from: `NAME@DIGEST`.
    pub from: Reference,
    /// That image's digests: of the index, and of each platform's manifest.
    pub from_digests: Vec<Digest>,
    /// The base that it had, with its digest.
    pub old_base: String,
    /// The base that it has now, with its digest.
    pub base: String,
    /// That digest: of an index, or of the only manifest.
    pub base_digest: Digest,
    /// Digest of the new image's manifest, or of the index of several.
    pub digest: Digest,
    /// By platform.
    pub platforms: Vec<RebasedPlatform>,
    /// What the registry confirmed, for each tag.
    pub published: Vec<Published>,
    /// The image's ID in Docker, where it was loaded.
    pub docker_id: Option<String>,
}

/// An image on another base, for one platform.
#[derive(Debug)]
pub struct RebasedPlatform {
    /// `linux/amd64`.
    pub platform: String,
    /// Digest of its manifest.
    pub manifest: Digest,
    /// Digest of its configuration.
    pub config: Digest,
    /// Digest of the other base's manifest.
    pub base: Digest,
    /// How many layers stayed as they were.
    pub kept: usize,
    /// Bytes of their blobs.
    pub kept_bytes: u64,
    /// In what the image differs from the one that would be assembled on the other base, for people.
    pub differs: Vec<String>,
}

impl RebaseOutcome {
    /// True if it was on that base already.
    pub fn is_unchanged(&self) -> bool {
        self.from_digests.contains(&self.digest)
    }

    /// True if it is the very image that would be assembled on that base.
    pub fn is_as_assembled(&self) -> bool {
        self.platforms.iter().all(|one| one.differs.is_empty())
    }
}

/// The name of an image on another base where none is given: the old name, with the tag `TAG-rebased`.
pub fn default_name(from: &Reference) -> Reference {
    let tag = match from.tag() {
        Some(tag) => format!("{tag}-rebased"),
        None => "rebased".to_owned(),
    };
    Reference::with_tag(from.registry().into(), from.repository().into(), tag)
}

/// Puts an image on another base, and brings it where it is wanted.
///
/// # Errors
/// An image that mlbuild didn't assemble, or that isn't what it says; a base that doesn't take its packages; a
/// registry or a Docker that doesn't take it.
///
/// # Panics
/// On a runtime of tokio with one thread: files are read and written while others go on. Without a tag.
pub async fn rebase(
    request: &RebaseRequest,
    registry: &Registry,
    reporter: &dyn Reporter,
) -> Result<RebaseOutcome, RebaseError> {
    if request.push {
        for tag in &request.tags {
            registry.check_push(tag).await?;
        }
    }
    let base = NewBase::resolve(registry, &request.base).await?;
    let known = source::KnownPlaces {
        old_base: request.old_base.as_ref(),
        registries: [request.from.registry(), base.reference.registry()],
    };
    let source = source::read(registry, &request.from, &known).await?;
    let folder = repack::work_folder()?;
    let into = PackedFolder::create(&folder.path().join("image"))?;
    let store = LayerStore::open(&folder.path().join("layers"), MOST_KEPT);
    let store = store.map_err(AssembleError::from)?;
    let (mut images, mut elsewhere, mut platforms) = (Vec::new(), Vec::new(), Vec::new());
    let mut apt = Vec::new();
    for old in &source.images {
        let new = base.of_platform(registry, old).await?;
        let put = base.put(registry, old, &new, &store, &into).await?;
        let platform = put.platform(new.pack.image.manifest.digest());
        tell(&platform, put.packed.base_layers, reporter);
        platforms.push(platform);
        elsewhere.extend(put.kept);
        apt.extend(put.apt);
        images.push((put.packed, new.reference));
    }
    let packed = Repacked::on_other_bases(images, elsewhere, into, folder)?;
    let mut outcome = RebaseOutcome {
        from_digests: source.digests(),
        old_base: source.images[0].note.base.clone(),
        base_digest: base.digest,
        base: base.pinned,
        digest: packed.top.digest().clone(),
        platforms,
        published: Vec::new(),
        docker_id: None,
        from: source.reference.clone(),
    };
    outcome.docker_id = deliver(request, &packed, registry, reporter).await?;
    if request.push {
        outcome.published = request
            .tags
            .iter()
            .map(|tag| Published {
                reference: tag.clone(),
                descriptor: packed.top.clone(),
            })
            .collect();
        record::attach(registry, &source, &outcome, apt, reporter).await;
    }
    Ok(outcome)
}

/// The other base, as it was named and as its registry has it now.
struct NewBase {
    /// Its name with its digest.
    pinned: String,
    digest: Digest,
    reference: Reference,
}

impl NewBase {
    async fn resolve(registry: &Registry, name: &str) -> Result<Self, RebaseError> {
        let named = reference::parse(name).map_err(known_base::KnownBaseError::Name)?;
        let resolved = registry.resolve(&named, None).await?;
        let digest = resolved.descriptor.digest().clone();
        let name = base_name(name).unwrap_or_else(|| name.to_owned());
        Ok(Self {
            pinned: format!("{name}@{digest}"),
            reference: named.clone_with_digest(digest.to_string()),
            digest,
        })
    }

    /// The base for an image's platform.
    async fn of_platform(&self, registry: &Registry, old: &OldImage) -> Result<Base, RebaseError> {
        let images = registry.images(&self.reference, None).await?;
        let has: Vec<String> = images.iter().map(|i| platform_name(&i.platform)).collect();
        if !has.contains(&old.platform) {
            return Err(RebaseError::Platform {
                base: self.pinned.clone(),
                has,
                wanted: old.platform.clone(),
            });
        }
        let mut found = source::look_up(registry, &self.pinned, &old.platform).await?;
        let base = found.pop();
        base.ok_or_else(|| self.unfit(old, "can't be read".to_owned()))
    }

    /// The image on this base.
    async fn put(
        &self,
        registry: &Registry,
        old: &OldImage,
        new: &Base,
        store: &LayerStore,
        into: &PackedFolder,
    ) -> Result<PutImage, RebaseError> {
        let unfit = |error: AssembleError| match error {
            AssembleError::Unfit(why) => self.unfit(old, why),
            other => other.into(),
        };
        let facts = new.facts(registry).await?.map_err(unfit)?;
        let put = || -> Result<PutImage, RebaseError> {
            let differs = fit::check(old, &facts).map_err(|why| self.unfit(old, why))?;
            fit::check_code(old, &facts, registry)?.map_err(|why| self.unfit(old, why))?;
            let base = put::OtherBase {
                pinned: &self.pinned,
                base: new,
                facts: &facts,
            };
            let packed = base.put(old, store, into).map_err(unfit)?;
            Ok(PutImage {
                packed,
                apt: PutImage::packages(&facts),
                kept: old.kept_there(),
                differs,
            })
        };
        tokio::task::block_in_place(put)
    }

    fn unfit(&self, old: &OldImage, why: String) -> RebaseError {
        RebaseError::Unfit {
            base: self.pinned.clone(),
            platform: old.platform.clone(),
            why,
        }
    }
}

/// What stayed, and in what the image isn't the one that would be assembled.
fn tell(platform: &RebasedPlatform, base_layers: usize, reporter: &dyn Reporter) {
    let name = &platform.platform;
    reporter.note(format!(
        "{name}: {} layers of packages and code ({} MB) stay as they are, on {base_layers} layers of the other base",
        platform.kept,
        platform.kept_bytes.div_ceil(1_000_000),
    ));
    for what in &platform.differs {
        reporter.warning(format!(
            "{name}: {what}: an image that is assembled on this base differs in that"
        ));
    }
}

/// Brings the image where it is wanted; returns its ID in Docker where it was loaded there.
async fn deliver(
    request: &RebaseRequest,
    packed: &Repacked,
    registry: &Registry,
    reporter: &dyn Reporter,
) -> Result<Option<String>, RebaseError> {
    if !request.push && !request.load && request.outputs.is_empty() {
        return Ok(None);
    }
    let docker = match request.load {
        true => Some(Docker::Local(Box::new(builder::local_docker().await?))),
        false => None,
    };
    if let Some(docker) = &docker {
        docker.check_platforms(packed.images.len()).await?;
        let layers = packed.images.iter().flat_map(|one| &one.image.layers);
        let mut kinds = layers.map(|layer| layer.blob.media_type());
        if kinds.any(|kind| *kind == oci_spec::image::MediaType::ImageLayerZstd) {
            let reads = docker.check_reads_zstd().await;
            reads.map_err(|why| RebaseError::Docker { why })?;
        }
    }
    let cancel = reporter.cancellation();
    let mut progress = reporter.begin_solve(builder::untitled());
    let steps = progress.local_steps();
    let work = async {
        tokio::select! {
            biased;
            done = bring(request, packed, docker.as_ref(), registry, steps) => done,
            () = cancel.cancelled() => Err(BuilderError::Cancelled.into()),
        }
    };
    let done = progress.during(work).await;
    progress.finish().await;
    done
}

async fn bring(
    request: &RebaseRequest,
    packed: &Repacked,
    docker: Option<&Docker>,
    registry: &Registry,
    steps: LocalSteps,
) -> Result<Option<String>, RebaseError> {
    let tags: Vec<String> = request.tags.iter().map(ToString::to_string).collect();
    for output in &request.outputs {
        packed.write(registry, &tags, output)?;
    }
    let mut id = None;
    if let Some(docker) = docker {
        id = packed.load(registry, docker.api()?, &tags, &steps).await?;
    }
    if request.push {
        packed.push(registry, &request.tags, None, &steps).await?;
    }
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::RegistryOptions;
    use crate::reporter::Silent;

    /// So a caller may spawn it.
    #[test]
    fn the_future_of_a_rebase_may_go_to_another_thread() {
        fn may_move(_future: impl Send) {}
        let from: Reference = "h:1/a:v1".parse().unwrap();
        let request = RebaseRequest {
            base: "h:1/b".to_owned(),
            old_base: None,
            tags: vec![default_name(&from)],
            from,
            push: false,
            load: false,
            outputs: Vec::new(),
        };
        assert_eq!(request.tags[0].tag(), Some("v1-rebased"));
        let registry = Registry::new(RegistryOptions::default());
        may_move(rebase(&request, &registry, &Silent));
    }
}
