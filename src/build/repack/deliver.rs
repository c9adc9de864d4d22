//! A packed image on its way to a registry, into Docker, or into a file.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use mlbuild_docker::api::DockerApi;
use mlbuild_manifests::atomic;
use mlbuild_progress::LocalSteps;
use oci_spec::distribution::Reference;
use oci_spec::image::{Descriptor, Digest};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;
use tokio::runtime::Handle;
use tokio_util::io::ReaderStream;

use super::{Repacked, loaded};
use crate::build::BuildError;
use crate::builder::BuilderError;
use crate::image::OciLayout;
use crate::plan::Output;
use crate::registry::{PushEvent, PushHints, Registry, RegistryError};

impl Repacked {
    /// Pushes it under each tag. Layers of a base that is in the same registry stay there. `before`: an image
    /// that was pushed before this one; what it names isn't asked for in its repository.
    ///
    /// # Errors
    /// The registry's.
    pub async fn push(
        &self,
        registry: &Registry,
        tags: &[Reference],
        before: Option<&Reference>,
        steps: &LocalSteps,
    ) -> Result<(), BuildError> {
        self.into.name(&self.top, None)?;
        for tag in tags {
            let hints = self.hints(tag, before);
            let step = Arc::new(steps.begin(format!("pushing {tag}")));
            let told = step.clone();
            let progress = Arc::new(move |event| {
                if let PushEvent::Sent { digest, bytes } = event {
                    told.bytes(digest.as_ref(), bytes, 0);
                }
            });
            let layout = self.layout()?;
            let pushed = registry
                .push_knowing(&layout, tag, &hints, progress.clone())
                .await;
            let pushed = match pushed {
                // Layers of a base that the registry doesn't have, or doesn't lend. Those of packages can be made
                // here where a repository that has them doesn't give them.
                Err(RegistryError::NotMounted { .. }) => {
                    self.fetch_base(registry, &HashSet::new())?;
                    let _ = self.fetch_lent(registry, &HashSet::new());
                    registry
                        .push_knowing(&layout, tag, &hints, progress.clone())
                        .await
                }
                other => other,
            };
            drop(progress);
            if let Err(error) = pushed {
                if let Some(step) = Arc::into_inner(step) {
                    step.failed(&error.to_string());
                }
                return Err(error.into());
            }
            if let Some(step) = Arc::into_inner(step) {
                step.done();
            }
        }
        Ok(())
    }

    /// What is known of a tag's repository.
    fn hints(&self, tag: &Reference, before: Option<&Reference>) -> PushHints {
        let is_beside = |place: &Reference| place.registry() == tag.registry();
        let of_base = self
            .layers_elsewhere()
            .filter_map(|(layer, base)| Some((layer.blob.digest(), base?)));
        let lent = self.lenders.iter().map(|(layer, place)| (layer, place));
        let lenders: HashMap<_, _> = of_base
            .chain(lent)
            .filter(|(_, place)| is_beside(place))
            .filter(|(layer, place)| !self.is_own(layer) || place.repository() != tag.repository())
            .map(|(layer, place)| (layer.clone(), place.repository().to_owned()))
            .collect();
        let bases = self.bases.iter().flatten();
        let bases = bases.filter(|base| is_beside(base));
        let mut mount_from: Vec<String> = bases.map(|base| base.repository().to_owned()).collect();
        let lends = |place: &Reference| is_beside(place) && place.repository() != tag.repository();
        for (_, place) in self.lenders.iter().filter(|(_, place)| lends(place)) {
            if !mount_from.iter().any(|from| from == place.repository()) {
                mount_from.push(place.repository().to_owned());
            }
        }
        let is_here =
            |image: &&Reference| is_beside(image) && image.repository() == tag.repository();
        let before = before.filter(is_here);
        PushHints {
            mount_from,
            lenders,
            before: before.and_then(|image| image.digest()?.parse().ok()),
            is_doubted: false,
        }
    }

    /// Whether a layer is one of those above the bases.
    fn is_own(&self, layer: &Digest) -> bool {
        let mut own = self.elsewhere.iter();
        own.any(|(own, _)| own.blob.digest() == layer)
    }

    /// Loads it into Docker under each tag; returns the image ID there.
    ///
    /// # Errors
    /// Docker's.
    pub async fn load(
        &self,
        registry: &Registry,
        docker: &DockerApi,
        tags: &[String],
        steps: &LocalSteps,
    ) -> Result<Option<String>, BuildError> {
        let step = steps.begin("loading into Docker");
        let held = self.held(docker, tags).await;
        let is_short = !held.is_empty() && self.load_short(&held, registry, docker, tags).await?;
        if !is_short {
            self.load_without(&HashSet::new(), registry, docker, tags)
                .await?;
        }
        let image = docker
            .image_inspect(&tags[0])
            .await
            .map_err(BuilderError::from)?;
        if let [one] = self.images.as_slice() {
            loaded::note(&one.image);
        }
        step.done();
        Ok(image.map(|image| image.id))
    }

    /// Loads it without layers that Docker seems to have; false where it lacks them. The image gets its names when
    /// it is whole there: until then each of them stays what it was, whatever happens to this process.
    async fn load_short(
        &self,
        held: &HashSet<Digest>,
        registry: &Registry,
        docker: &DockerApi,
        tags: &[String],
    ) -> Result<bool, BuildError> {
        match self.load_without(held, registry, docker, &[]).await {
            Err(BuildError::Builder(_)) => return Ok(false),
            other => other?,
        }
        let manifest = self.top.digest().to_string();
        let before = docker.image_inspect(&tags[0]).await.ok().flatten();
        let mut loaded = None;
        for id in std::iter::once(manifest.clone()).chain(self.config_digest()) {
            let found = docker.image_inspect(&id).await;
            loaded = loaded.or(found.ok().flatten());
        }
        let Some(loaded) = loaded else {
            return Ok(false);
        };
        for name in tags {
            let (repository, tag) = name.rsplit_once(':').unwrap_or((name, "latest"));
            let named = docker.tag_image(&loaded.id, repository, tag).await;
            named.map_err(BuilderError::from)?;
        }
        // Where containerd keeps images, one that loses its name to a loaded one is gone.
        if let Some(before) = before.filter(|b| b.id != loaded.id && loaded.id == manifest)
            && let Ok(Some(left)) = docker.image_inspect(&before.id).await
            && left.repo_tags.is_none_or(|tags| tags.is_empty())
            && left.repo_digests.is_none_or(|names| names.is_empty())
        {
            // A container may be of it.
            let _ = docker.remove_image(&before.id).await;
        }
        Ok(true)
    }

    /// The layers that the image which Docker has under the first of the tags has, too, from the base up to the first
    /// other one: Docker takes an image without those. In doubt there are none.
    ///
    /// Where containerd keeps images, that Docker has a layer's files says nothing of its blob: it takes an image
    /// without it, which then can neither be pushed nor saved. So only what was loaded whole counts there.
    async fn held(&self, docker: &DockerApi, tags: &[String]) -> HashSet<Digest> {
        let ([one], Some(tag)) = (self.images.as_slice(), tags.first()) else {
            return HashSet::new();
        };
        let Some(there) = docker.image_inspect(tag).await.ok().flatten() else {
            return HashSet::new();
        };
        let layers = &one.image.layers;
        let whole = loaded::layers(&there.id);
        let same = whole.iter().zip(layers);
        let mut held = same
            .take_while(|(there, layer)| *there == layer.blob.digest())
            .count();
        if whole.is_empty()
            && let Ok(info) = docker.info().await
            && !info.uses_containerd_store()
        {
            let there = there.root_fs.layers.into_iter().flatten();
            let same = there.zip(layers);
            held = same
                .take_while(|(there, layer)| *there == layer.diff_id.to_string())
                .count();
        }
        let held = layers.iter().take(held);
        held.map(|layer| layer.blob.digest().clone()).collect()
    }

    async fn load_without(
        &self,
        held: &HashSet<Digest>,
        registry: &Registry,
        docker: &DockerApi,
        tags: &[String],
    ) -> Result<(), BuildError> {
        let file = self.folder.path().join("load.tar");
        self.archive(registry, tags, &file, held)?;
        let open = tokio::fs::File::open(&file).await;
        let open = open.map_err(BuildError::write(&file))?;
        let loaded = docker.load_image(ReaderStream::new(open)).await;
        let _ = std::fs::remove_file(&file);
        loaded
            .map(drop)
            .map_err(|error| BuilderError::from(error).into())
    }

    /// Writes it where `-o type=oci` asks for it: a folder, or a tar.
    ///
    /// # Errors
    /// A place that can't be written to.
    pub fn write(
        &self,
        registry: &Registry,
        tags: &[String],
        output: &Output,
    ) -> Result<(), BuildError> {
        let Some(dest) = &output.dest else {
            return Ok(());
        };
        if output.is_stdout() {
            let file = self.folder.path().join("out.tar");
            self.archive(registry, tags, &file, &HashSet::new())?;
            let copied =
                File::open(&file).and_then(|mut f| io::copy(&mut f, &mut io::stdout().lock()));
            return copied
                .map(drop)
                .map_err(BuildError::write(Path::new("stdout")));
        }
        if output.attrs.get("tar").is_none_or(|tar| tar != "false") {
            return self.archive(registry, tags, dest, &HashSet::new());
        }
        self.complete(registry, tags, &HashSet::new())?;
        crate::image::copy_into(self.into.path(), &self.files()?, dest)
            .map_err(|(path, source)| BuildError::Write { path, source })
    }

    /// A tar that both `docker load` and readers of OCI layouts take, without these layers.
    fn archive(
        &self,
        registry: &Registry,
        tags: &[String],
        file: &Path,
        without: &HashSet<Digest>,
    ) -> Result<(), BuildError> {
        self.complete(registry, tags, without)?;
        let left_out: HashSet<String> = without
            .iter()
            .map(|layer| format!("blobs/sha256/{}", layer.digest()))
            .collect();
        let fail = BuildError::write(file);
        let folder = file.parent().filter(|p| !p.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        atomic::sweep(folder);
        // A name that is never part of a context: the folder may be the project's.
        let temporary = tempfile::Builder::new()
            .prefix(".mlbuild-")
            .suffix(".tmp")
            .tempfile_in(folder)
            .map_err(fail)?;
        let _ = temporary.as_file().lock();
        let mut tar = tar::Builder::new(io::BufWriter::new(temporary));
        let mut append = |name: &str, size: u64, from: &mut dyn Read| {
            let mut header = tar::Header::new_gnu();
            header.set_size(size);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, from)
        };
        let files = self.files()?.into_iter();
        for name in files.filter(|name| !left_out.contains(name)) {
            let path = self.into.path().join(&name);
            let mut from = File::open(&path).map_err(fail)?;
            let size = from.metadata().map_err(fail)?.len();
            append(&name, size, &mut from).map_err(fail)?;
        }
        if let [one] = self.images.as_slice() {
            let path = |blob: &Descriptor| format!("blobs/sha256/{}", blob.digest().digest());
            let manifest = json!([{
                "Config": path(&one.image.config),
                "RepoTags": (!tags.is_empty()).then_some(tags),
                "Layers": one.image.layers.iter().map(|l| path(&l.blob)).collect::<Vec<_>>(),
            }]);
            let text = manifest.to_string();
            append("manifest.json", text.len() as u64, &mut text.as_bytes()).map_err(fail)?;
        }
        let written = tar.into_inner().and_then(|file| Ok(file.into_inner()?));
        let written = written.map_err(fail)?;
        use std::os::unix::fs::PermissionsExt as _;
        let readable = std::fs::Permissions::from_mode(0o644);
        written.as_file().set_permissions(readable).map_err(fail)?;
        written.persist(file).map_err(|error| fail(error.error))?;
        Ok(())
    }

    /// Files of the layout, by their paths in it.
    fn files(&self) -> Result<Vec<String>, BuildError> {
        let blobs = self.into.blobs();
        let fail = BuildError::write(&blobs);
        let mut names = vec!["oci-layout".to_owned(), "index.json".to_owned()];
        for entry in std::fs::read_dir(&blobs).map_err(fail)? {
            let name = entry.map_err(fail)?.file_name();
            names.push(format!("blobs/sha256/{}", name.to_string_lossy()));
        }
        names[2..].sort();
        Ok(names)
    }

    /// Makes the layout whole but for these layers, under the first of the tags.
    ///
    /// # Errors
    /// Where the base's layers can't be had.
    fn complete(
        &self,
        registry: &Registry,
        tags: &[String],
        without: &HashSet<Digest>,
    ) -> Result<(), BuildError> {
        self.into
            .name(&self.top, tags.first().map(String::as_str))?;
        self.fetch_base(registry, without)?;
        self.fetch_lent(registry, without)
    }

    fn layout(&self) -> Result<OciLayout, BuildError> {
        for (layer, _) in self.layers_elsewhere() {
            self.link_from_builder(layer)?;
        }
        Ok(OciLayout::open(self.into.path())?)
    }

    /// A layer of the base as the builder gave it, where that is the very blob.
    fn link_from_builder(&self, layer: &crate::image::ImageLayer) -> Result<bool, BuildError> {
        let path = self.into.blob(layer.blob.digest());
        if path.exists() {
            return Ok(true);
        }
        let export = self.export.as_ref();
        let Some(source) = export.and_then(|export| export.blob_on_disk(layer)) else {
            return Ok(false);
        };
        source.verify(&layer.blob)?;
        std::fs::hard_link(&source.path, &path).map_err(BuildError::write(&path))?;
        Ok(true)
    }

    /// Brings the base's layers that the builder didn't give.
    fn fetch_base(&self, registry: &Registry, without: &HashSet<Digest>) -> Result<(), BuildError> {
        for (layer, base) in self.layers_elsewhere() {
            if without.contains(layer.blob.digest()) || self.link_from_builder(layer)? {
                continue;
            }
            let base = base.expect("layers of a base have one");
            tokio::task::block_in_place(|| self.fetch(registry, &layer.blob, base))?;
        }
        Ok(())
    }

    /// Brings layers of packages that weren't made here, since a repository has them.
    fn fetch_lent(&self, registry: &Registry, without: &HashSet<Digest>) -> Result<(), BuildError> {
        let images = self.images.iter();
        let own = images.flat_map(|packed| &packed.image.layers[packed.base_layers..]);
        for layer in own {
            let digest = layer.blob.digest();
            let mut lenders = self.lenders.iter();
            let lender = lenders.find(|(lent, _)| lent == digest);
            if let Some((_, place)) = lender
                && !without.contains(digest)
                && !self.into.blob(digest).exists()
            {
                tokio::task::block_in_place(|| self.fetch(registry, &layer.blob, place))?;
            }
        }
        Ok(())
    }

    /// Brings a blob from a repository into the layout, once it is seen to be what its digest says.
    fn fetch(
        &self,
        registry: &Registry,
        blob: &Descriptor,
        place: &Reference,
    ) -> Result<(), BuildError> {
        let path = self.into.blob(blob.digest());
        let fail = BuildError::write(&path);
        let mut stream = registry.open_blob(place, blob, &Handle::current())?;
        let mut file = NamedTempFile::new_in(self.into.blobs()).map_err(fail)?;
        let (mut hash, mut piece) = (Sha256::new(), vec![0; 256 << 10]);
        loop {
            let read = stream.read(&mut piece).map_err(BuildError::LayerStream)?;
            if read == 0 {
                break;
            }
            hash.update(&piece[..read]);
            file.write_all(&piece[..read]).map_err(fail)?;
        }
        let found = format!("sha256:{}", hex::encode(hash.finalize()));
        if found != blob.digest().as_ref() {
            return Err(BuildError::OtherBlob {
                place: Box::new(place.clone()),
                layer: blob.digest().clone(),
                found,
            });
        }
        file.persist(&path).map_err(|error| fail(error.error))?;
        Ok(())
    }
}
