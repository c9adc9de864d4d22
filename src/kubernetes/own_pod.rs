//! Which pod, and which of its containers, this process runs in.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use super::image_id::{self, ImageId};
use super::{Cluster, KubernetesError};

/// What the kubelet's mounts tell of the container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mounts {
    /// The pod's uid.
    pub pod_uid: Option<String>,
    /// The container's name.
    pub container: Option<String>,
}

/// Reads `/proc/self/mountinfo`: the kubelet mounts a file of the container's own, and /etc/hosts,
/// from a folder that names the pod and the container.
pub fn mounts(mountinfo: &str) -> Mounts {
    let mut found = Mounts::default();
    for line in mountinfo.lines() {
        let mut fields = line.split(' ').skip(3);
        let (Some(root), Some(at)) = (fields.next(), fields.next()) else {
            continue;
        };
        let parts: Vec<&str> = root.split('/').collect();
        let Some(pods) = parts.iter().rposition(|part| *part == "pods") else {
            continue;
        };
        match (at, &parts[pods + 1..]) {
            ("/etc/hosts", [uid, "etc-hosts"]) => {
                found.pod_uid.get_or_insert((*uid).to_owned());
            }
            (_, [uid, "containers", name, _]) => {
                found.pod_uid.get_or_insert((*uid).to_owned());
                found.container.get_or_insert((*name).to_owned());
            }
            _ => {}
        }
    }
    found
}

/// The image of a container, as the cluster says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// The container's name.
    pub container: String,
    /// The image as the pod's specification names it.
    pub asked: String,
    /// What runs; `None` where the cluster doesn't know it yet.
    pub image: Option<ImageId>,
}

/// Why a pod doesn't tell what this container runs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OwnPodError {
    /// It has several, and nothing tells which is this one.
    #[error("the pod {pod} has several containers, and nothing tells which is this one: {}", names.join(", "))]
    WhichContainer {
        /// The pod.
        pod: String,
        /// Their names.
        names: Vec<String>,
    },
    /// It has none of this name.
    #[error("the pod {pod} has no container `{name}`; it has {}", names.join(", "))]
    NoContainer {
        /// The pod.
        pod: String,
        /// The name.
        name: String,
        /// Those it has.
        names: Vec<String>,
    },
    /// The pod by that name is another one.
    #[error("the pod {pod} isn't this one: its uid is {theirs}, and this one's {ours}")]
    AnotherPod {
        /// The pod.
        pod: String,
        /// The uid of the pod by that name.
        theirs: String,
        /// The uid that the mounts tell.
        ours: String,
    },
}

/// What a container of a pod runs. `named` is its name as it was said, `mounts` what the kubelet
/// tells, `command` the words of the container's first process.
///
/// # Errors
/// Where it can't be told which container this is.
pub fn running(
    pod: &Pod,
    named: Option<&str>,
    mounts: &Mounts,
    command: &[String],
) -> Result<Running, OwnPodError> {
    let name = pod.metadata.name.clone().unwrap_or_default();
    if let (Some(ours), Some(theirs)) = (&mounts.pod_uid, &pod.metadata.uid)
        && ours != theirs
    {
        return Err(OwnPodError::AnotherPod {
            pod: name,
            theirs: theirs.clone(),
            ours: ours.clone(),
        });
    }
    let spec = pod.spec.clone().unwrap_or_default();
    let named = named
        .map(str::to_owned)
        .or_else(|| mounts.container.clone());
    let all: Vec<(String, String, Vec<String>)> = spec
        .containers
        .iter()
        .chain(spec.init_containers.iter().flatten())
        .map(|c| {
            let words = c.command.iter().chain(&c.args).flatten().cloned().collect();
            (c.name.clone(), c.image.clone().unwrap_or_default(), words)
        })
        .chain(spec.ephemeral_containers.iter().flatten().map(|c| {
            let words = c.command.iter().chain(&c.args).flatten().cloned().collect();
            (c.name.clone(), c.image.clone().unwrap_or_default(), words)
        }))
        .collect();
    let chosen = match &named {
        Some(named) => all.iter().find(|(name, ..)| name == named),
        None => match &all[..] {
            [only] => Some(only),
            several => {
                let mut same = several
                    .iter()
                    .filter(|(_, _, words)| ends_with(command, words));
                same.next().filter(|_| same.next().is_none())
            }
        },
    };
    let names = || all.iter().map(|(name, ..)| name.clone()).collect();
    let Some((container, asked, _)) = chosen else {
        return Err(match named {
            Some(named) => OwnPodError::NoContainer {
                pod: name,
                name: named,
                names: names(),
            },
            None => OwnPodError::WhichContainer {
                pod: name,
                names: names(),
            },
        });
    };
    let image = status(pod, container).and_then(|status| image_id::parse(&status.image_id));
    Ok(Running {
        container: container.clone(),
        asked: asked.clone(),
        image,
    })
}

/// Whether a process was started with these words, perhaps through an entry point of the image.
fn ends_with(command: &[String], words: &[String]) -> bool {
    !words.is_empty() && command.ends_with(words)
}

fn status<'a>(pod: &'a Pod, container: &str) -> Option<&'a ContainerStatus> {
    let status = pod.status.as_ref()?;
    let lists = [
        &status.container_statuses,
        &status.init_container_statuses,
        &status.ephemeral_container_statuses,
    ];
    let mut all = lists.into_iter().flatten().flatten();
    all.find(|status| status.name == container)
}

impl Cluster {
    /// A pod by its name.
    ///
    /// # Errors
    /// Where there is none, or the cluster refuses.
    pub async fn pod(&self, name: &str) -> Result<Pod, KubernetesError> {
        let pod = self.api::<Pod>().get(name).await;
        pod.map_err(|error| match error {
            kube::Error::Api(status) if status.code == 404 => KubernetesError::NotFound {
                what: format!("Pod {name}"),
                namespace: self.namespace.clone(),
            },
            error => self.error(&format!("get the Pod {name}"), error),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const MOUNTS: &str = "\
1 0 8:1 / / rw - overlay overlay rw
2 1 8:1 /var/lib/kubelet/pods/5b76-34f7/etc-hosts /etc/hosts rw - ext4 /dev/sda1 rw
3 1 8:1 /var/lib/kubelet/pods/5b76-34f7/containers/train/abcd1234 /dev/termination-log rw - ext4 /dev/sda1 rw
";

    #[test]
    fn the_kubelets_mounts_tell_who_this_is() {
        let found = mounts(MOUNTS);
        assert_eq!(found.pod_uid.as_deref(), Some("5b76-34f7"));
        assert_eq!(found.container.as_deref(), Some("train"));
        // With a disk of its own for /var/lib/kubelet, the path begins there.
        assert_eq!(mounts(&MOUNTS.replace("/var/lib/kubelet", "")), found);
        assert_eq!(
            mounts("1 0 8:1 / / rw - overlay overlay rw\n"),
            Mounts::default()
        );
        assert_eq!(
            mounts("1 0 8:1 /home/me/pods /etc/hosts rw"),
            Mounts::default()
        );
    }

    fn pod() -> Pod {
        let digest = |c: &str| format!("reg.example/{c}@sha256:{}", c.repeat(64));
        serde_json::from_value(json!({
            "metadata": {"name": "p", "uid": "u"},
            "spec": {"containers": [
                {"name": "proxy", "image": "a", "command": ["envoy"]},
                {"name": "train", "image": "b:1", "args": ["python", "train.py"]},
            ]},
            "status": {"containerStatuses": [
                {"name": "proxy", "image": "a", "imageID": digest("a"), "ready": true, "restartCount": 0},
                {"name": "train", "image": "b:1", "imageID": digest("b"), "ready": true, "restartCount": 0},
            ]},
        }))
        .unwrap()
    }

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn the_container_is_found_by_name_mounts_or_command() {
        let named = |name: &str| running(&pod(), Some(name), &Mounts::default(), &[]).unwrap();
        let train = named("train");
        assert_eq!(train.asked, "b:1");
        assert_eq!(
            train.image,
            Some(ImageId::Pulled(format!(
                "reg.example/b@sha256:{}",
                "b".repeat(64)
            )))
        );
        let mounted = Mounts {
            pod_uid: Some("u".to_owned()),
            container: Some("train".to_owned()),
        };
        assert_eq!(running(&pod(), None, &mounted, &[]).unwrap(), train);
        let command = words("/entry.sh python train.py");
        assert_eq!(
            running(&pod(), None, &Mounts::default(), &command).unwrap(),
            train
        );
    }

    #[test]
    fn a_guess_is_no_answer() {
        let why = |named: Option<&str>, mounts: &Mounts| {
            running(&pod(), named, mounts, &words("sleep 1"))
                .unwrap_err()
                .to_string()
        };
        insta::assert_snapshot!(why(None, &Mounts::default()), @"the pod p has several containers, and nothing tells which is this one: proxy, train");
        insta::assert_snapshot!(why(Some("tain"), &Mounts::default()), @"the pod p has no container `tain`; it has proxy, train");
        let other = Mounts {
            pod_uid: Some("x".to_owned()),
            container: None,
        };
        insta::assert_snapshot!(why(Some("train"), &other), @"the pod p isn't this one: its uid is u, and this one's x");
    }
}
