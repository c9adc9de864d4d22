//! Looks at everything a build and a run depend on, and says how to mend what is wrong. It changes
//! nothing.
//!
//! One file per area; each returns findings.

mod builder;
mod containers;
mod disk;
mod display;
mod gpu;
mod network;
mod registries;
mod text;

use mlbuild_buildkit::DiscoverOptions;
use serde::Serialize;

pub use self::text::text;
use crate::accelerator;
use crate::host::Host;
use crate::registry::{Registry, RegistryOptions};

/// What is looked at beyond the machine itself.
#[derive(Debug, Default)]
pub struct DoctorRequest {
    /// Which builder, and how it is reached.
    pub builder: DiscoverOptions,
    /// Registries to ask, as `HOST[:PORT]`.
    pub registries: Vec<String>,
    /// Registries that may speak plain http or show any certificate, as `HOST[:PORT]`.
    pub insecure_registries: Vec<String>,
}

/// How a finding stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Nothing to do.
    Ok,
    /// Works, and something is likely to go wrong later.
    Warn,
    /// Builds or runs fail.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Part of the machine: `builder`, `disk`, `gpu`…
    pub area: &'static str,
    /// How it stands.
    pub level: Level,
    /// What was found.
    pub message: String,
    /// What to type or change, one line for each step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Finding {
    fn ok(area: &'static str, message: impl Into<String>) -> Self {
        Self {
            area,
            level: Level::Ok,
            message: message.into(),
            fix: None,
        }
    }

    fn warn(area: &'static str, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            area,
            level: Level::Warn,
            message: message.into(),
            fix: Some(fix.into()),
        }
    }

    fn fail(area: &'static str, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            level: Level::Fail,
            ..Self::warn(area, message, fix)
        }
    }
}

/// Looks at everything, in the order in which a build depends on it.
pub async fn examine(request: &DoctorRequest) -> Vec<Finding> {
    let host = Host::this();
    let (mut findings, docker) = builder::check(&request.builder).await;
    findings.push(containers::check().await);
    let registry = Registry::new(RegistryOptions {
        insecure: request.insecure_registries.iter().cloned().collect(),
        ..RegistryOptions::default()
    });
    findings.extend(registries::check(&host, &registry, &request.registries).await);
    let docker_root = disk::docker_root(docker.as_ref());
    let gpu_host = accelerator::Host {
        root: host.root.clone(),
        runtime: accelerator::Runtime::Docker(docker),
    };
    // nvidia-smi may take its time.
    let gpus = tokio::task::spawn_blocking(move || gpu::check(&gpu_host)).await;
    findings.extend(gpus.unwrap_or_else(|error| vec![gpu::broken_off(&error)]));
    findings.extend(display::check(&host));
    findings.extend(disk::check(docker_root.as_deref()));
    findings.extend(network::check(&host));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_no_empty_fixes() {
        let json = serde_json::to_string(&[Finding::ok("disk", "12 GB free")]).unwrap();
        assert_eq!(
            json,
            r#"[{"area":"disk","level":"ok","message":"12 GB free"}]"#
        );
    }
}
