//! Queues of jobs: what a queue's configuration says, options of docker or a manifest of Kubernetes; jobs
//! waiting in a store, and what an agent does there.
//!
//! Starting containers, and asking a cluster, is left to `agent`, building images and printing to the command line.

pub mod archive;
mod claim;
mod config;
mod error;
mod job;
mod launch_config;
mod macros;
mod manifest;
mod other_resource;
mod policy;
mod secret;
mod store;
mod sweep;
mod template;

pub use claim::{AgentRegistration, Claim, End, Held, Start};
pub use config::{QueueConfig, QueueKind, gpu_need, override_of, without_gpus};
pub use error::{LaunchConfigError, QueueConfigError};
pub use job::{Attempt, GpuNeed, Job, NewJob, Queue, Source, State};
pub use launch_config::{Builder, BuilderKind, Destination, LaunchConfig};
pub use macros::{JobFacts, MacroError};
pub use manifest::{JobObject, KEPT_ANNOTATION, Manifest, ManifestError, ObjectFacts};
pub use policy::{ClusterPolicy, Policy, PolicyError, PolicyQuestion, may_override, may_set};
pub use secret::SecretError;
pub use store::{Filter, Place, Prune, Pruned, Store, StoreError, Watch};
pub use sweep::{Sweep, SweepError, SweepRun};
pub use template::{TemplateError, split_overrides, template_override};
