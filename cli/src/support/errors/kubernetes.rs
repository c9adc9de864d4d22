//! Errors of clusters.

use crate::error::CommandError;
use mlbuild::kubernetes::KubernetesError;
use mlbuild::nearest::nearest;
use mlbuild::shell::word;

impl From<KubernetesError> for CommandError {
    fn from(error: KubernetesError) -> Self {
        let made = CommandError::new(error.kind(), &error);
        match hint(&error) {
            Some(hint) => made.hint(hint),
            None => made,
        }
    }
}

fn hint(error: &KubernetesError) -> Option<String> {
    Some(match error {
        KubernetesError::NoConfig { .. } => {
            "give it by --kubeconfig FILE or KUBECONFIG; kubectl config view shows \
                 what kubectl uses"
                .to_owned()
        }
        KubernetesError::NoContext { known, name, .. } => {
            let near = nearest(name, known.iter().map(String::as_str));
            format!(
                "did you mean --context {}?",
                word(near.or(known.first().map(String::as_str))?)
            )
        }
        KubernetesError::Unauthorized { .. } => {
            "log in again, as you did for kubectl; kubectl get pods tells \
                 whether that works"
                .to_owned()
        }
        KubernetesError::Forbidden { doing, .. } => {
            let (verb, rest) = doing.split_once(' ').unwrap_or((doing, ""));
            let kind = rest.split_once(' ').unwrap_or((rest, "")).1;
            let kind = kind.split(' ').next().unwrap_or_default().to_lowercase();
            let kind = kind.trim_end_matches('s');
            if kind.is_empty() {
                "kubectl auth can-i --list shows what you may".to_owned()
            } else {
                format!(
                    "kubectl auth can-i {} {}; whoever runs the cluster can allow it",
                    word(verb),
                    word(format!("{kind}s"))
                )
            }
        }
        KubernetesError::Quota { .. } => {
            "kubectl describe quota shows what is used; ask for less, or wait".to_owned()
        }
        KubernetesError::NoNamespace { .. } => {
            "kubectl get namespaces lists them; --namespace NAME takes one".to_owned()
        }
        KubernetesError::Exists { what, .. } if what.contains("Job") => {
            "give it another --name, or remove that one: kubectl delete job NAME".to_owned()
        }
        KubernetesError::Unreachable { .. } => {
            "is it the right kubeconfig? kubectl cluster-info".to_owned()
        }
        KubernetesError::Left {
            what, namespace, ..
        } => {
            let typed = |what: &String| {
                let (kind, name) = what.split_once(' ').unwrap_or(("", what));
                word(format!("{}/{name}", kind.to_lowercase()))
            };
            let what: Vec<String> = what.iter().map(typed).collect();
            format!(
                "once the cluster answers: kubectl -n {} delete {} --ignore-not-found",
                word(namespace),
                what.join(" ")
            )
        }
        _ => return None,
    })
}
