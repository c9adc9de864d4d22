//! What an agent lets jobs do on its machine: `policy` of its `launch-config.yaml`.
//!
//! Whoever may write into a queue chooses what is started on every machine that serves it. So the
//! machine's own file says what jobs may reach outside their container. Without a word there, that is
//! its GPUs and nothing else: no privileges, no namespaces, devices, folders or volumes of the
//! machine, and of its environment what the queue itself names.
//!
//! ```yaml
//! policy:
//!   mounts: [/mnt/datasets, cache]     # folders with all that is in them; volumes by name
//!   env: [WANDB_API_KEY, "AWS_*"]      # variables of the agent that a launch may hand on; the
//!                                      # tracker's key, where it is named, goes to every job
//!   options: [ulimit, network=host]    # further options of docker run; with a value, only that
//!   registries: [ghcr.io/me]           # where images come from, and the bases of those that are
//!                                      # built here; without it: anywhere
//!   users: ["1000:1000"]               # whom containers run as; without it: anybody
//!   gpus: 4                            # most that a job gets
//!   memory: 64g                        # most that a job gets, and what it gets without a word
//!   kubernetes:                        # what manifests may hold, see `cluster`
//!     objects: [secret/wandb]
//! ```

mod cluster;
mod error;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use super::config::QueueConfig;
use crate::runtime::{Options, RunSpec, Setting, Value, find};
use crate::trust;

pub use cluster::{ClusterPolicy, may_set};
pub use error::PolicyError;

/// What jobs may do on the machine of an agent.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Folders whose content may be mounted, and names of volumes.
    pub mounts: Vec<String>,
    /// Names of variables of the agent's environment, or their beginnings with a `*`.
    pub env: Vec<String>,
    /// Options by their long names, alone or with the one value that is let pass.
    pub options: Vec<String>,
    /// Registries, with or without a path, that images come from; `None`: any.
    pub registries: Option<Vec<String>>,
    /// Users as `--user` has them; `None`: any.
    pub users: Option<Vec<String>>,
    /// Most GPUs that a job gets; `None`: as many as the agent hands out.
    pub gpus: Option<u32>,
    /// Most memory that a job gets, as `--memory` has it.
    pub memory: Option<String>,
    /// What manifests may hold.
    pub kubernetes: ClusterPolicy,
}

/// A job as it is to be started.
#[derive(Debug)]
pub struct PolicyQuestion<'a> {
    /// The queue's own configuration.
    pub queue: &'a QueueConfig,
    /// What the launch set over it.
    pub overrides: &'a Options,
    /// How many GPUs it was handed.
    pub gpus: usize,
}

impl Policy {
    /// Lets a job pass, or says which rule refuses it. Sources of mounts become the places that they
    /// lead to, and memory gets its bound.
    ///
    /// # Errors
    /// With the rule.
    pub fn admit(&self, spec: &mut RunSpec, job: &PolicyQuestion<'_>) -> Result<(), PolicyError> {
        may_override(job.queue, job.overrides)?;
        self.image(&spec.image)?;
        self.gpu_count(job)?;
        self.admit_options(&spec.options, job)?;
        spec.each_source(|source| {
            let is_path = source.starts_with('/');
            let place = is_path.then(|| Path::new(source.as_str()).canonicalize());
            if let Some(Ok(place)) = place {
                *source = place.to_string_lossy().into_owned();
            }
        });
        self.user(&spec.options)?;
        self.bound_memory(&mut spec.options)
    }

    /// Lets options pass that mlbuild itself acts on, as those of the container.
    ///
    /// # Errors
    /// With the rule.
    pub fn admit_options(
        &self,
        options: &Options,
        job: &PolicyQuestion<'_>,
    ) -> Result<(), PolicyError> {
        let mut settings = options.iter();
        settings.try_for_each(|setting| self.setting(setting, job.queue))
    }

    fn setting(&self, setting: &Setting, queue: &QueueConfig) -> Result<(), PolicyError> {
        if trust::stays_inside(setting) || self.names(setting) {
            return Ok(());
        }
        match (setting.flag.name, &setting.value) {
            ("env", Value::Assignment(variable)) if self.hands_on(&variable.name, queue) => Ok(()),
            ("env", Value::Assignment(variable)) => Err(PolicyError::Variable {
                name: variable.name.clone(),
            }),
            ("volume", Value::Volume(volume)) => match &volume.source {
                Some(source) => self.mount(source),
                None => Ok(()),
            },
            ("mount", Value::Mount(mount)) if mount.kind == "bind" => match &mount.source {
                Some(source) => self.mount(source),
                None => Ok(()),
            },
            ("mount", Value::Mount(mount))
                if mount.kind == "volume" && mount.options.is_empty() =>
            {
                match &mount.source {
                    Some(source) => self.mount(source),
                    None => Ok(()),
                }
            }
            (name, value) => Err(PolicyError::Option {
                option: name.to_owned(),
                value: match value {
                    Value::Bool(_) => None,
                    value => Some(mlbuild_secrets::redact(&value.to_string()).into_owned()),
                },
            }),
        }
    }

    fn names(&self, setting: &Setting) -> bool {
        let (name, value) = (setting.flag.name, setting.value.to_string());
        self.options
            .iter()
            .any(|known| match known.split_once('=') {
                Some((option, only)) => option == name && only == value,
                None => known == name,
            })
    }

    /// Whether jobs get a variable of the agent's environment: the queue names it, or the policy does.
    pub fn hands_on(&self, name: &str, queue: &QueueConfig) -> bool {
        let of_queue = queue.options.all("env").any(
            |value| matches!(value, Value::Assignment(of) if of.value.is_none() && of.name == name),
        );
        let is_named = self.env.iter().any(|known| match known.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => known == name,
        });
        of_queue || is_named
    }

    fn mount(&self, source: &str) -> Result<(), PolicyError> {
        let refused = |place: PathBuf| PolicyError::Mount {
            path: source.to_owned(),
            place,
        };
        if !source.starts_with(['/', '.', '~']) {
            let is_named = self.mounts.iter().any(|known| known == source);
            return if is_named {
                Ok(())
            } else {
                Err(refused(PathBuf::from(source)))
            };
        }
        // The engine would make a folder that isn't there: its place can't be known before.
        let place = Path::new(source)
            .canonicalize()
            .map_err(|_| refused(PathBuf::from(source)))?;
        let holds = |root: &String| {
            root.starts_with('/')
                && Path::new(root)
                    .canonicalize()
                    .is_ok_and(|root| place.starts_with(root))
        };
        if self.mounts.iter().any(holds) {
            return Ok(());
        }
        Err(refused(place))
    }

    fn image(&self, image: &str) -> Result<(), PolicyError> {
        let Some(registries) = &self.registries else {
            return Ok(());
        };
        if mlbuild_templates::reference::is_of(image, registries) {
            return Ok(());
        }
        Err(PolicyError::Registry {
            image: image.to_owned(),
        })
    }

    fn user(&self, options: &Options) -> Result<(), PolicyError> {
        let Some(users) = &self.users else {
            return Ok(());
        };
        let user = options.text("user");
        if user.is_some_and(|user| users.iter().any(|known| known == user)) {
            return Ok(());
        }
        Err(PolicyError::User {
            user: user.map(str::to_owned),
        })
    }

    fn gpu_count(&self, job: &PolicyQuestion<'_>) -> Result<(), PolicyError> {
        let wanted = u32::try_from(job.gpus).unwrap_or(u32::MAX);
        match self.gpus {
            Some(most) if wanted > most => Err(PolicyError::Gpus { wanted, most }),
            _ => Ok(()),
        }
    }

    fn bound_memory(&self, options: &mut Options) -> Result<(), PolicyError> {
        let Some(most) = &self.memory else {
            return Ok(());
        };
        let over = |option: &'static str, wanted: &str| PolicyError::Memory {
            option,
            wanted: wanted.to_owned(),
            most: most.clone(),
        };
        let bound = size(most).ok_or_else(|| over("memory", most))?;
        if let Some(wanted) = options.text("memory") {
            if size(wanted).is_none_or(|wanted| wanted == 0 || wanted > bound) {
                return Err(over("memory", wanted));
            }
        } else {
            options.add("memory", most);
        }
        // Memory and swap together; twice the memory is what an engine gives without a word.
        match options.text("memory-swap") {
            Some(wanted) if size(wanted).is_none_or(|wanted| wanted > bound.saturating_mul(2)) => {
                Err(over("memory-swap", wanted))
            }
            _ => Ok(()),
        }
    }
}

/// Refuses what the queue doesn't let a launch set.
///
/// # Errors
/// With the option.
pub fn may_override(queue: &QueueConfig, overrides: &Options) -> Result<(), PolicyError> {
    let Some(allowed) = &queue.overrides else {
        return Ok(());
    };
    let is_allowed = |setting: &&Setting| {
        let name = setting.flag.name;
        !allowed
            .iter()
            .any(|known| find(known).is_some_and(|flag| flag.name == name))
    };
    match overrides.iter().find(is_allowed) {
        Some(setting) => Err(PolicyError::Override {
            option: setting.flag.name.to_owned(),
            allowed: allowed.clone(),
        }),
        None => Ok(()),
    }
}

/// Bytes, as docker reads a size: `512`, `64g`, `1.5gb`.
fn size(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let digits = text
        .trim_end_matches(|c: char| c.is_ascii_alphabetic())
        .trim_end();
    let power = match text[digits.len()..]
        .trim()
        .trim_end_matches("ib")
        .trim_end_matches('b')
    {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return None,
    };
    let number: f64 = digits
        .parse()
        .ok()
        .filter(|n: &f64| n.is_finite() && *n >= 0.0)?;
    let bytes = number * 1024_f64.powi(power);
    (bytes < 9e18).then_some(bytes as u64)
}
