//! What an agent lets manifests of a queue hold: `policy.kubernetes` of its `launch-config.yaml`.
//!
//! Whoever may write into a queue chooses what the agent's own account has the cluster make. Without a word
//! of the agent's file that is Jobs of the kinds that train, in the agent's namespace, whose pods have
//! nothing of the node, of the namespace's secrets and volumes, or of a service account. What a pod may say
//! of itself is listed here; a field that isn't is refused, so that one that Kubernetes gets tomorrow is too.
//!
//! ```yaml
//! policy:
//!   kubernetes:
//!     kinds: [Deployment.apps]             # further kinds, as kubectl names them
//!     namespaces: [training]               # besides the agent's own
//!     objects: [secret/wandb, "pvc/data-*", configmap/sets, serviceaccount/trainer]
//!     fields: [hostIPC, priorityClassName=low, hostPath=/raid/sets]   # with a value, only that
//! ```

use serde_json::{Map, Value};

use super::{Policy, PolicyError};
use crate::queue::config::QueueConfig;
use crate::queue::manifest::{self, JobObject, is_pod_spec};

/// What manifests may hold besides what every job may.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClusterPolicy {
    /// Kinds of objects, `KIND.GROUP`.
    pub kinds: Vec<String>,
    /// Namespaces besides the agent's own.
    pub namespaces: Vec<String>,
    /// Objects of the namespace that pods may use, `TYPE/NAME`, the name's beginning with a `*`.
    pub objects: Vec<String>,
    /// Fields of pods, alone or with the one value that is let pass.
    pub fields: Vec<String>,
}

/// Kinds that every agent makes: they run pods to an end, and do nothing else.
const KINDS: [&str; 9] = [
    "Job.batch",
    "Job.batch.volcano.sh",
    "JAXJob.kubeflow.org",
    "JobSet.jobset.x-k8s.io",
    "MPIJob.kubeflow.org",
    "PaddleJob.kubeflow.org",
    "PyTorchJob.kubeflow.org",
    "TFJob.kubeflow.org",
    "XGBoostJob.kubeflow.org",
];

/// What a pod may say of itself.
const OF_PODS: [&str; 24] = [
    "activeDeadlineSeconds",
    "affinity",
    "automountServiceAccountToken",
    "containers",
    "dnsConfig",
    "dnsPolicy",
    "enableServiceLinks",
    "hostAliases",
    "hostname",
    "imagePullSecrets",
    "initContainers",
    "nodeSelector",
    "os",
    "readinessGates",
    "restartPolicy",
    "schedulerName",
    "securityContext",
    "setHostnameAsFQDN",
    "shareProcessNamespace",
    "subdomain",
    "terminationGracePeriodSeconds",
    "tolerations",
    "topologySpreadConstraints",
    "volumes",
];

/// What a container may say of itself.
const OF_CONTAINERS: [&str; 24] = [
    "args",
    "command",
    "env",
    "envFrom",
    "image",
    "imagePullPolicy",
    "lifecycle",
    "livenessProbe",
    "name",
    "ports",
    "readinessProbe",
    "resizePolicy",
    "resources",
    "restartPolicy",
    "securityContext",
    "startupProbe",
    "stdin",
    "stdinOnce",
    "terminationMessagePath",
    "terminationMessagePolicy",
    "tty",
    "volumeDevices",
    "volumeMounts",
    "workingDir",
];

/// What a security context may say: whom it runs as, and less than is usual.
const OF_SECURITY: [&str; 12] = [
    "allowPrivilegeEscalation",
    "appArmorProfile",
    "capabilities",
    "fsGroup",
    "fsGroupChangePolicy",
    "readOnlyRootFilesystem",
    "runAsGroup",
    "runAsNonRoot",
    "runAsUser",
    "seccompProfile",
    "supplementalGroups",
    "supplementalGroupsPolicy",
];

/// Kinds of volumes that hold nothing of the node or of others.
const OF_VOLUMES: [&str; 3] = ["downwardAPI", "emptyDir", "name"];

/// Fields that reach out of a pod wherever a kind puts them.
const ANYWHERE: [&str; 26] = [
    "dataSource",
    "dataSourceRef",
    "finalizers",
    "ownerReferences",
    "volumeName",
    "hostIPC",
    "hostNetwork",
    "hostPID",
    "hostPath",
    "hostPort",
    "hostUsers",
    "nodeName",
    "nfs",
    "priority",
    "priorityClass",
    "priorityClassName",
    "privileged",
    "procMount",
    "runtimeClassName",
    "securityContext",
    "serviceAccount",
    "serviceAccountName",
    "serviceAccountToken",
    "windowsOptions",
    "seLinuxOptions",
    "sysctls",
];

/// One look at a manifest.
struct Look<'a> {
    policy: &'a Policy,
    /// The image that the agent built, or pinned and held against the rules before.
    own_image: &'a str,
}

type Checked = Result<(), PolicyError>;

impl Policy {
    /// Lets an object pass, or says which rule refuses it. `own_image` is the job's own, which was held
    /// against the rules by the name that it was launched with; `namespace` the agent's.
    ///
    /// # Errors
    /// With the rule.
    pub fn admit_object(&self, object: &JobObject, own_image: &str, namespace: &str) -> Checked {
        let kind = manifest::resource(&object.api_version, &object.kind);
        let is_known = KINDS.contains(&kind.as_str()) || self.kubernetes.kinds.contains(&kind);
        if !is_known {
            return Err(PolicyError::Kind { kind });
        }
        let to = &object.namespace;
        if to != namespace && !self.kubernetes.namespaces.contains(to) {
            return Err(PolicyError::Namespace {
                namespace: to.clone(),
            });
        }
        let look = Look {
            policy: self,
            own_image,
        };
        look.anywhere(&object.object, "")
    }

    /// Holds the image that a job was launched with against the registries.
    ///
    /// # Errors
    /// With the rule.
    pub fn admit_image(&self, image: &str) -> Checked {
        self.image(image)
    }
}

impl Look<'_> {
    fn refused(&self, field: &str, value: &Value, place: &str) -> Checked {
        let shown = match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        let is_let_pass = |known: &String| match (known.split_once('='), &shown) {
            (None, _) => known == field,
            (Some((name, only)), Some(value)) => name == field && only == value,
            (Some(_), None) => false,
        };
        if self.policy.kubernetes.fields.iter().any(is_let_pass) {
            return Ok(());
        }
        Err(PolicyError::Field {
            field: field.to_owned(),
            value: shown,
            place: place.to_owned(),
        })
    }

    fn object(&self, kind: &str, name: Option<&Value>, place: &str) -> Checked {
        let name = name.and_then(Value::as_str).unwrap_or_default();
        let object = format!("{kind}/{name}");
        let is_let_pass = |known: &String| {
            let known = known
                .strip_prefix("persistentvolumeclaim/")
                .map_or_else(|| known.clone(), |name| format!("pvc/{name}"));
            match known.strip_suffix('*') {
                Some(beginning) => object.starts_with(beginning),
                None => known == object,
            }
        };
        if self.policy.kubernetes.objects.iter().any(is_let_pass) {
            return Ok(());
        }
        Err(PolicyError::Object {
            object,
            place: place.to_owned(),
        })
    }

    /// Everything outside of pods, and pods wherever they stand.
    fn anywhere(&self, value: &Value, place: &str) -> Checked {
        match value {
            Value::Object(table) if is_pod_spec(table) => self.pod(table, place),
            Value::Object(table) => each(table, place, |key, value, place| match key {
                "annotations" => self.annotations(value, place),
                // Volcano's Jobs name claims beside their pods.
                "volumeClaimName" => self.object("pvc", Some(value), place),
                "serviceAccountName" | "serviceAccount" => {
                    self.object("serviceaccount", Some(value), place)
                }
                key if ANYWHERE.contains(&key) && !is_off(value) => self.refused(key, value, place),
                _ => self.anywhere(value, place),
            }),
            Value::Array(items) => all(items, place, |item, place| self.anywhere(item, place)),
            _ => Ok(()),
        }
    }

    /// Profiles of the kernel are switched off by annotations, too.
    fn annotations(&self, value: &Value, place: &str) -> Checked {
        let Some(table) = value.as_object() else {
            return Ok(());
        };
        each(table, place, |key, value, place| {
            let name = key.to_ascii_lowercase();
            let is_profile = name.contains("apparmor") || name.contains("seccomp");
            match value.as_str() {
                Some(text) if is_profile && text != "runtime/default" => {
                    self.refused(key, value, place)
                }
                _ => Ok(()),
            }
        })
    }

    fn pod(&self, spec: &Map<String, Value>, place: &str) -> Checked {
        each(spec, place, |key, value, place| match key {
            "containers" | "initContainers" => list(value, place, |container, place| {
                self.container(container, place)
            }),
            "volumes" => list(value, place, |volume, place| self.volume(volume, place)),
            "securityContext" => self.security(value, place),
            "imagePullSecrets" => list(value, place, |secret, place| {
                self.object("secret", secret.get("name"), place)
            }),
            "serviceAccountName" | "serviceAccount" => {
                self.object("serviceaccount", Some(value), place)
            }
            "automountServiceAccountToken" if !is_off(value) => self.refused(key, value, place),
            key if OF_PODS.contains(&key) || is_off(value) => Ok(()),
            key => self.refused(key, value, place),
        })
    }

    fn container(&self, container: &Value, place: &str) -> Checked {
        let Some(container) = container.as_object() else {
            return Ok(());
        };
        each(container, place, |key, value, place| match key {
            "image" => match value.as_str() {
                Some(image) if image != self.own_image => self.policy.image(image),
                _ => Ok(()),
            },
            "securityContext" => self.security(value, place),
            "env" => list(value, place, |variable, place| {
                let from = variable.get("valueFrom").unwrap_or(&Value::Null);
                self.reference(from, "secretKeyRef", "secret", place)?;
                self.reference(from, "configMapKeyRef", "configmap", place)?;
                self.fileless(from, place)
            }),
            "envFrom" => list(value, place, |from, place| {
                self.reference(from, "secretRef", "secret", place)?;
                self.reference(from, "configMapRef", "configmap", place)
            }),
            "ports" => list(value, place, |port, place| {
                self.none_of(port, &["hostPort", "hostIP"], place)
            }),
            "volumeMounts" => list(value, place, |mount, place| {
                match mount
                    .get("mountPropagation")
                    .filter(|value| *value != "None")
                {
                    Some(value) => self.refused("mountPropagation", value, place),
                    None => Ok(()),
                }
            }),
            "livenessProbe" | "readinessProbe" | "startupProbe" | "lifecycle" => {
                self.probe(value, place)
            }
            key if OF_CONTAINERS.contains(&key) || is_off(value) => Ok(()),
            key => self.refused(key, value, place),
        })
    }

    /// Sources of variables that aren't known here.
    fn fileless(&self, from: &Value, place: &str) -> Checked {
        let known = [
            "secretKeyRef",
            "configMapKeyRef",
            "fieldRef",
            "resourceFieldRef",
        ];
        let Some(table) = from.as_object() else {
            return Ok(());
        };
        match table.iter().find(|(key, _)| !known.contains(&key.as_str())) {
            Some((key, value)) => self.refused(key, value, place),
            None => Ok(()),
        }
    }

    fn reference(&self, holder: &Value, key: &str, kind: &str, place: &str) -> Checked {
        match holder.get(key) {
            Some(reference) => self.object(kind, reference.get("name"), place),
            None => Ok(()),
        }
    }

    fn none_of(&self, holder: &Value, keys: &[&str], place: &str) -> Checked {
        let found = keys.iter().find_map(|key| Some((*key, holder.get(*key)?)));
        match found {
            Some((key, value)) => self.refused(key, value, place),
            None => Ok(()),
        }
    }

    /// The node asks, so that another host would be asked from there.
    fn probe(&self, value: &Value, place: &str) -> Checked {
        match value {
            Value::Object(table) => each(table, place, |key, value, place| match key {
                "host" => self.refused(key, value, place),
                _ => self.probe(value, place),
            }),
            Value::Array(items) => all(items, place, |item, place| self.probe(item, place)),
            _ => Ok(()),
        }
    }

    fn security(&self, value: &Value, place: &str) -> Checked {
        let Some(table) = value.as_object() else {
            return Ok(());
        };
        each(table, place, |key, value, place| match key {
            "capabilities" => match value.get("add").and_then(Value::as_array) {
                Some(added) => added
                    .iter()
                    .try_for_each(|one| self.refused("capabilities.add", one, place)),
                None => Ok(()),
            },
            "seccompProfile" | "appArmorProfile" => match value.get("type") {
                Some(kind) if kind != "RuntimeDefault" => self.refused(key, kind, place),
                _ => Ok(()),
            },
            key if OF_SECURITY.contains(&key) || is_off(value) => Ok(()),
            key => self.refused(key, value, place),
        })
    }

    fn volume(&self, volume: &Value, place: &str) -> Checked {
        let Some(table) = volume.as_object() else {
            return Ok(());
        };
        each(table, place, |key, value, place| match key {
            "secret" => self.object("secret", value.get("secretName"), place),
            "configMap" => self.object("configmap", value.get("name"), place),
            "persistentVolumeClaim" => self.object("pvc", value.get("claimName"), place),
            "projected" => list(
                value.get("sources").unwrap_or(&Value::Null),
                place,
                |source, place| {
                    self.reference(source, "secret", "secret", place)?;
                    self.reference(source, "configMap", "configmap", place)?;
                    let known = ["secret", "configMap", "downwardAPI"];
                    let others = source.as_object().into_iter().flatten();
                    let mut others = others.filter(|(key, _)| !known.contains(&key.as_str()));
                    match others.next() {
                        Some((key, value)) => self.refused(key, value, place),
                        None => Ok(()),
                    }
                },
            ),
            "image" => match value.get("reference").and_then(Value::as_str) {
                Some(image) if image != self.own_image => self.policy.image(image),
                _ => Ok(()),
            },
            "hostPath" => self.refused(key, value.get("path").unwrap_or(value), place),
            // A claim of its own can be a copy of another one.
            "ephemeral" => self.anywhere(value, place),
            key if OF_VOLUMES.contains(&key) => Ok(()),
            key => self.refused(key, value, place),
        })
    }
}

/// Whether a field says no more than that something isn't wanted.
fn is_off(value: &Value) -> bool {
    matches!(value, Value::Null | Value::Bool(false))
}

fn each(
    table: &Map<String, Value>,
    place: &str,
    check: impl Fn(&str, &Value, &str) -> Checked,
) -> Checked {
    let mut entries = table.iter();
    entries.try_for_each(|(key, value)| {
        let place = if place.is_empty() {
            key.clone()
        } else {
            format!("{place}.{key}")
        };
        check(key, value, &place)
    })
}

fn all(items: &[Value], place: &str, check: impl Fn(&Value, &str) -> Checked) -> Checked {
    let mut items = items.iter().enumerate();
    items.try_for_each(|(n, item)| check(item, &format!("{place}[{n}]")))
}

fn list(value: &Value, place: &str, check: impl Fn(&Value, &str) -> Checked) -> Checked {
    all(value.as_array().map_or(&[], Vec::as_slice), place, check)
}

/// Refuses what the queue doesn't let a launch set in its manifest.
///
/// # Errors
/// With the place.
pub fn may_set(queue: &QueueConfig, overrides: &[&str]) -> Checked {
    let Some(allowed) = &queue.overrides else {
        return Ok(());
    };
    match overrides
        .iter()
        .find(|text| !manifest::is_below(text, allowed))
    {
        Some(text) => Err(PolicyError::Override {
            option: text.split('=').next().unwrap_or_default().to_owned(),
            allowed: allowed.clone(),
        }),
        None => Ok(()),
    }
}
