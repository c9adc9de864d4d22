//! Nothing changed since the lock: no solve.
//!
//! A build is left out only if every input is what the lock says, every secret
//! is what it was on this machine, and the registry (or Docker) still has the
//! very digest under every tag. A lock that may not change says nothing of
//! what was made with it: there it is enough that this machine remembers the
//! image, and that the pins are the same. In doubt, it builds.

use std::path::PathBuf;

use mlbuild_manifests::atomic::workshop;
use mlbuild_manifests::lock::{Inputs, LockedImage, LockedPackages};
use mlbuild_secrets::must_hide;
use oci_spec::image::Digest;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::BuildError;
use super::job::Job;
use super::outcome::BuildOutcome;
use super::publish::{self, Confirmed};
use crate::builder::{self, BuildOutput};
use crate::env_vars;
use crate::lock::file;
use crate::plan::{NoCache, SecretSource};
use crate::planning::input_digests::changed;
use crate::settings::LockMode;

/// The question whether a build can be left out.
pub struct Skip<'a> {
    job: &'a Job<'a>,
    inputs: &'a Inputs,
    /// What this machine remembers of the image; `None` where it can't remember.
    memory_file: Option<PathBuf>,
    secrets: Option<String>,
    /// What else makes the image where the lock may not change: its pins and the bases.
    pins: Option<String>,
}

/// What this machine remembers of an image: nothing that others need.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Memory {
    inputs: String,
    secrets: Option<String>,
    docker_id: Option<String>,
    builder: Option<String>,
    /// What was pushed with these secrets.
    pushed: Option<String>,
    /// The image's configuration, and the packages that it was asked for.
    config: Option<String>,
    packages: Option<LockedPackages>,
    /// The pins that it was made from, with a lock that may not change.
    #[serde(default)]
    pins: Option<String>,
}

impl<'a> Skip<'a> {
    pub(super) fn new(job: &'a Job<'a>, inputs: &'a Inputs) -> Self {
        Skip {
            job,
            inputs,
            memory_file: memory_file(job),
            secrets: secrets_tag(job),
            pins: pins_of(job),
        }
    }

    /// The answer, if nothing has to be built.
    ///
    /// # Errors
    /// Where a run id is bound to another image.
    pub async fn outcome(
        &self,
        locked: Option<&LockedImage>,
    ) -> Result<Option<BuildOutcome>, BuildError> {
        let settings = self.job.settings;
        let Some(locked) = locked.filter(|_| self.may_skip()) else {
            return Ok(None);
        };
        let memory = self.memory();
        let remembered = memory
            .as_ref()
            .filter(|memory| memory.inputs == digest_of(self.inputs));
        let of_pins = remembered.filter(|memory| self.pins.is_some() && memory.pins == self.pins);
        let is_of_lock = changed(Some(locked), self.inputs).is_empty() && self.same_bases(locked);
        if !is_of_lock && of_pins.is_none() {
            return Ok(None);
        }
        let same_secrets = remembered
            .is_some_and(|memory| memory.secrets.is_some() && memory.secrets == self.secrets);
        if self.has_secrets() && !same_secrets {
            return Ok(None);
        }
        if settings.build.load || !settings.build.push {
            let Some(memory) = remembered else {
                return Ok(None);
            };
            if !self.docker_has(memory).await {
                return Ok(None);
            }
            if !settings.build.push {
                let id = memory.docker_id.clone().unwrap_or_default();
                return Ok(Some(BuildOutcome::still_in_docker(settings, &id)));
            }
        }
        let published = locked.published.as_ref().filter(|_| is_of_lock);
        let published = published.map(|published| published.digest.clone());
        let pushed = of_pins.and_then(|memory| memory.pushed.as_deref()?.parse().ok());
        let Some(digest) = &published.or(pushed) else {
            return Ok(None);
        };
        // The lock doesn't know secrets: what it names must be what was made with these.
        let made_with_these = |memory: &Memory| memory.pushed.as_deref() == Some(digest.as_ref());
        if self.has_secrets() && !remembered.is_some_and(made_with_these) {
            return Ok(None);
        }
        if !self.registry_has(digest).await {
            return Ok(None);
        }
        let run = if settings.lock.run_id_given {
            Some(self.bind_run(digest).await?)
        } else {
            None
        };
        let outcome = BuildOutcome::still_pushed(settings, digest.as_ref(), run);
        Ok(Some(outcome))
    }

    /// Whether what is asked for can be had without a build at all.
    fn may_skip(&self) -> bool {
        let (settings, plan) = (self.job.settings, self.job.plan);
        !settings.lock.no_skip
            && !settings.build.pull
            && settings.lock.upgrade.is_empty()
            && plan.no_cache == NoCache::Off
            && plan.cache_to.is_empty()
            && settings.build.outputs.is_empty()
            && settings.lock.mode != LockMode::Frozen
            && self.inputs.context.is_some()
    }

    /// Whether the registry has the image under every tag.
    async fn registry_has(&self, digest: &Digest) -> bool {
        for tag in &self.job.settings.tags {
            let there = self.job.registry.exists(tag, digest).await;
            if !matches!(there, Ok(true)) {
                return false;
            }
        }
        true
    }

    /// Binds the run that was named to the image that is there; gives the run's id.
    async fn bind_run(&self, digest: &Digest) -> Result<String, BuildError> {
        let (settings, registry) = (self.job.settings, self.job.registry);
        let digest = digest.to_string();
        let confirmed = publish::confirm(registry, &settings.tags, Some(&digest)).await?;
        let lock = settings.lock.file.as_deref().map(file::load).transpose()?;
        let entry = lock.and_then(|lock| {
            let entry = lock.get(self.job.key).cloned();
            lock.checksum(self.job.key).zip(entry)
        });
        let reporter = self.job.reporter;
        publish::bind(settings, registry, &confirmed, entry.as_ref(), reporter).await
    }

    /// Remembers a build on this machine. Failing to is no error: the next build is then a real one.
    pub fn remember(
        &self,
        inputs: &Inputs,
        built: &BuildOutput,
        confirmed: Option<&Confirmed>,
        packages: Option<LockedPackages>,
    ) {
        let Some(file) = &self.memory_file else {
            return;
        };
        if inputs.context.is_none() {
            let _ = std::fs::remove_file(file);
            return;
        }
        let memory = Memory {
            inputs: digest_of(inputs),
            secrets: self.secrets.clone(),
            docker_id: built.docker_id.clone(),
            builder: self.job.settings.build.builder.clone(),
            pushed: confirmed.map(|confirmed| confirmed.descriptor.digest().to_string()),
            config: built.config_digest.clone(),
            packages,
            pins: self.pins.clone(),
        };
        let text = serde_json::to_vec(&memory).expect("plain data");
        let _ = mlbuild_manifests::atomic::replace_soon(file, &text);
    }

    /// The packages of an image that was asked for them before; the inner `None` where it
    /// has nothing to list them with.
    pub fn packages_of(&self, built: &BuildOutput) -> Option<Option<LockedPackages>> {
        let memory = self.memory()?;
        (memory.config.is_some() && memory.config == built.config_digest).then_some(memory.packages)
    }

    fn memory(&self) -> Option<Memory> {
        serde_json::from_slice(&std::fs::read(self.memory_file.as_ref()?).ok()?).ok()
    }

    /// Whether the bases are those that the entry pins.
    pub(super) fn same_bases(&self, locked: &LockedImage) -> bool {
        self.job.plan.bases.iter().all(|(reference, digest)| {
            reference.contains('@')
                || locked
                    .base(reference)
                    .map(|base| base.digest.to_string())
                    .is_some_and(|pin| Some(pin) == *digest)
        })
    }

    fn has_secrets(&self) -> bool {
        !self.job.plan.secrets.is_empty()
            || self
                .job
                .plan
                .build_args
                .iter()
                .any(|(name, value)| must_hide(name, value))
    }

    async fn docker_has(&self, memory: &Memory) -> bool {
        let build = &self.job.settings.build;
        let Some(id) = memory
            .docker_id
            .as_ref()
            .filter(|_| memory.builder == build.builder)
        else {
            return false;
        };
        let Ok(connection) = builder::connect_quietly(build).await else {
            return false;
        };
        for tag in &self.job.settings.tags {
            let found = connection.builder.docker_image_id(&tag.to_string()).await;
            if !matches!(found, Ok(Some(found)) if found == *id) {
                return false;
            }
        }
        true
    }
}

/// Pins and bases, where the lock may not change: nobody writes into it what was made of them.
fn pins_of(job: &Job) -> Option<String> {
    let is_held = job.settings.lock.mode > LockMode::Free && !job.is_unlocked;
    let (_, build) = job.pinned.filter(|_| is_held)?;
    let text = serde_json::to_vec(&(build, &job.plan.bases)).expect("pins are plain data");
    Some(hex::encode(Sha256::digest(text)))
}

fn digest_of(inputs: &Inputs) -> String {
    let text = serde_json::to_vec(inputs).expect("inputs are plain data");
    hex::encode(Sha256::digest(text))
}

fn memory_file(job: &Job) -> Option<PathBuf> {
    let mut hash = Sha256::new();
    hash.update(
        job.settings
            .lock
            .file
            .as_ref()?
            .as_os_str()
            .as_encoded_bytes(),
    );
    hash.update(format!("\0{:?}", job.key));
    let name = hex::encode(hash.finalize());
    Some(env_vars::cache_dir()?.join("images").join(&name[..32]))
}

/// A keyed hash of all secret values: it says "the same as last time" on this
/// machine and nothing anywhere else. `None` where a value or the key can't be read.
fn secrets_tag(job: &Job) -> Option<String> {
    let key = local_key()?;
    let mut hash = Sha256::new();
    let mut feed = |name: &str, value: &[u8]| {
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name);
        hash.update((value.len() as u64).to_le_bytes());
        hash.update(value);
    };
    feed("key", &key);
    for (id, source) in &job.plan.secrets {
        let value = match source {
            SecretSource::File(path) => std::fs::read(path).ok()?,
            SecretSource::Env(name) => std::env::var_os(name)?.into_encoded_bytes(),
            SecretSource::Host(setting) => job.host.files.get(setting)?.0.clone(),
        };
        feed(id, &value);
    }
    for (name, value) in &job.plan.build_args {
        if must_hide(name, value) {
            feed(name, value.as_bytes());
        }
    }
    feed("key", &key);
    Some(hex::encode(hash.finalize()))
}

/// A random key of this machine's user, made once.
fn local_key() -> Option<Vec<u8>> {
    let file = env_vars::cache_dir()?.join("key");
    if let Ok(key) = std::fs::read(&file) {
        return Some(key).filter(|key| key.len() == 32);
    }
    let mut key = vec![0; 32];
    std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom").ok()?, &mut key).ok()?;
    std::fs::create_dir_all(file.parent()?).ok()?;
    let mut temporary = tempfile::NamedTempFile::new_in(workshop(file.parent()?)).ok()?;
    std::io::Write::write_all(&mut temporary, &key).ok()?;
    match temporary.persist_noclobber(&file) {
        Ok(_) => Some(key),
        // Another mlbuild was quicker: its key counts.
        Err(_) => std::fs::read(&file).ok().filter(|key| key.len() == 32),
    }
}
