//! A Job while it is being written.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Capabilities, Container, EnvVar, HostAlias, PodDNSConfig, PodSecurityContext, PodSpec,
    ResourceRequirements, SecurityContext, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::CONTAINER;
use super::placement::Relation;
use crate::runtime::render::LeftOut;

/// The parts of a Job, by the place they go to.
#[derive(Debug, Default)]
pub(super) struct JobBuilder {
    pub(super) pod: PodSpec,
    pub(super) container: Container,
    pub(super) security: SecurityContext,
    pub(super) pod_security: PodSecurityContext,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) limits: BTreeMap<String, Quantity>,
    pub(super) requests: BTreeMap<String, Quantity>,
    pub(super) cpu_quota: Option<i64>,
    pub(super) cpu_period: Option<i64>,
    pub(super) queue: Option<String>,
    pub(super) retries: i32,
    pub(super) remove: bool,
    /// Seconds after its end for which the Job is kept.
    pub(super) kept: Option<i64>,
    /// Seconds after which the Job is ended.
    pub(super) time_limit: Option<i64>,
    /// How its pods stand to one another, by a label of nodes.
    pub(super) relations: Vec<(Relation, String)>,
    /// The flag by which a slice of a GPU is asked for.
    pub(super) slice: Option<String>,
    /// How many GPUs are asked for, and by which flag.
    pub(super) gpus: Option<(u32, String)>,
    /// The resource that counts GPUs.
    pub(super) gpu_resource: Option<String>,
    /// The container that unpacks the code before the program starts, without what it has of the program's.
    pub(super) unpacker: Option<Container>,
    pub(super) warnings: Vec<LeftOut>,
    pub(super) refused: Vec<LeftOut>,
}

impl JobBuilder {
    /// Kubernetes doesn't have it, and training does without.
    pub(super) fn warn(&mut self, what: impl ToString, why: impl Into<String>) {
        self.warnings.push(left_out(what, why));
    }

    /// Kubernetes doesn't have it.
    pub(super) fn refuse(&mut self, what: impl ToString, why: impl Into<String>) {
        self.refused.push(left_out(what, why));
    }

    /// Sets a variable; a later one takes the place of an earlier one.
    pub(super) fn set_env(&mut self, variable: EnvVar) {
        let env = self.container.env.get_or_insert_default();
        env.retain(|known| known.name != variable.name);
        env.push(variable);
    }

    /// Sets a variable, where none of its name is there.
    pub(super) fn set_env_unless_given(&mut self, variable: EnvVar) {
        let env = self.container.env.get_or_insert_default();
        if !env.iter().any(|known| known.name == variable.name) {
            env.push(variable);
        }
    }

    /// The value of a variable, where one is set here.
    pub(super) fn env(&self, name: &str) -> Option<&str> {
        let mut all = self.container.env.iter().flatten();
        all.find(|known| known.name == name)?.value.as_deref()
    }

    /// Mounts a volume at a path; the volume's name is chosen here.
    pub(super) fn mount(&mut self, mut volume: Volume, mut mount: VolumeMount) {
        let volumes = self.pod.volumes.get_or_insert_default();
        // Two mounts of one claim are one volume; two folders in memory are two.
        let claim = &volume.persistent_volume_claim;
        let same = |known: &&Volume| claim.is_some() && known.persistent_volume_claim == *claim;
        let name = match volumes.iter().find(same) {
            Some(known) => known.name.clone(),
            None => {
                volume.name = format!("volume-{}", volumes.len() + 1);
                volumes.push(volume.clone());
                volume.name
            }
        };
        mount.name = name;
        let mounts = self.container.volume_mounts.get_or_insert_default();
        mounts.push(mount);
    }

    pub(super) fn dns(&mut self) -> &mut PodDNSConfig {
        self.pod.dns_config.get_or_insert_default()
    }

    pub(super) fn capabilities(&mut self) -> &mut Capabilities {
        self.security.capabilities.get_or_insert_default()
    }

    /// A line of /etc/hosts.
    pub(super) fn add_host(&mut self, ip: &str, name: &str) {
        let aliases = self.pod.host_aliases.get_or_insert_default();
        match aliases.iter_mut().find(|alias| alias.ip == ip) {
            Some(alias) => alias
                .hostnames
                .get_or_insert_default()
                .push(name.to_owned()),
            None => aliases.push(HostAlias {
                ip: ip.to_owned(),
                hostnames: Some(vec![name.to_owned()]),
            }),
        }
    }

    /// The pod, with what was gathered beside it.
    pub(super) fn pod_spec(mut self) -> PodSpec {
        self.count_gpus();
        self.count_processors();
        let some = |map: BTreeMap<_, _>| (!map.is_empty()).then_some(map);
        if !self.limits.is_empty() || !self.requests.is_empty() {
            self.container.resources = Some(ResourceRequirements {
                limits: some(self.limits),
                requests: some(self.requests),
                claims: None,
            });
        }
        if self.security != SecurityContext::default() {
            self.container.security_context = Some(self.security);
        }
        if self.pod_security != PodSecurityContext::default() {
            self.pod.security_context = Some(self.pod_security);
        }
        if let Some(unpacker) = self.unpacker.take() {
            self.pod.init_containers = Some(vec![beside(unpacker, &self.container)]);
        }
        self.container.name = CONTAINER.to_owned();
        self.pod.restart_policy = Some("Never".to_owned());
        self.pod.containers = vec![self.container];
        self.pod
    }
}

/// A container that runs before another one: of the same image, as the same user, with as much of a processor and of
/// memory, which a quota may ask for, and with no device.
fn beside(own: Container, main: &Container) -> Container {
    let plain = |all: &Option<BTreeMap<String, Quantity>>| {
        let mut all = all.clone()?;
        all.retain(|name, _| matches!(name.as_str(), "cpu" | "memory"));
        (!all.is_empty()).then_some(all)
    };
    let resources = main.resources.as_ref().map(|all| ResourceRequirements {
        limits: plain(&all.limits),
        requests: plain(&all.requests),
        claims: None,
    });
    Container {
        image: main.image.clone(),
        image_pull_policy: main.image_pull_policy.clone(),
        security_context: main.security_context.clone(),
        resources: resources.filter(|all| *all != ResourceRequirements::default()),
        ..own
    }
}

fn left_out(what: impl ToString, why: impl Into<String>) -> LeftOut {
    LeftOut {
        what: what.to_string(),
        why: why.into(),
    }
}
