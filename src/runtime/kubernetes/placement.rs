//! On which nodes pods may be: a pool of them, and where pods of one Job stand to one another.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Affinity, NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PodAffinity,
    PodAffinityTerm, PodAntiAffinity,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::job_builder::JobBuilder;
use super::job_kind::JobKind;
use super::names::{is_key, is_label_text};

/// Where clusters write which pool a node is of: Google's, Amazon's, Microsoft's, and Karpenter's.
const POOL_LABELS: [&str; 4] = [
    "cloud.google.com/gke-nodepool",
    "eks.amazonaws.com/nodegroup",
    "kubernetes.azure.com/agentpool",
    "karpenter.sh/nodepool",
];

/// Where the MPI operator writes whether a pod is a worker.
const MPI_ROLE: &str = "training.kubeflow.org/job-role";

/// How pods of one Job stand to one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    /// Each where no other one is.
    Apart,
    /// All where the first one is.
    Together,
}

/// `--node-pool`.
pub(super) fn node_pool(builder: &mut JobBuilder, text: &str) {
    if text.is_empty() || !is_label_text(text) {
        return builder.refuse(
            format!("--node-pool={text}"),
            "such names are letters, digits, `-`, `_` and `.`; another label of nodes: --node-selector LABEL=VALUE",
        );
    }
    let of_label = |label: &str| NodeSelectorTerm {
        match_expressions: Some(vec![NodeSelectorRequirement {
            key: label.to_owned(),
            operator: "In".to_owned(),
            values: Some(vec![text.to_owned()]),
        }]),
        match_fields: None,
    };
    // One of them is enough.
    let terms = POOL_LABELS.iter().map(|label| of_label(label));
    affinity(builder).node_affinity = Some(NodeAffinity {
        required_during_scheduling_ignored_during_execution: Some(NodeSelector {
            node_selector_terms: terms.collect(),
        }),
        preferred_during_scheduling_ignored_during_execution: None,
    });
}

/// `--spread` and `--together`: what the label of nodes is that counts.
pub(super) fn relation(builder: &mut JobBuilder, relation: Relation, label: &str) {
    let flag = match relation {
        Relation::Apart => "--spread",
        Relation::Together => "--together",
    };
    if is_key(label) {
        builder.relations.push((relation, label.to_owned()));
    } else {
        builder.refuse(
            format!("{flag}={label}"),
            "write the name of a label of nodes",
        );
    }
}

/// Writes down how the pods of a Job stand to one another, when all flags are read.
pub(super) fn relate(builder: &mut JobBuilder, (kind, job): (JobKind, &str), nodes: u32) {
    for (relation, label) in std::mem::take(&mut builder.relations) {
        if nodes < 2 {
            let flag = match relation {
                Relation::Apart => "--spread",
                Relation::Together => "--together",
            };
            builder.warn(flag, "the Job has one pod; --nodes N makes several");
            continue;
        }
        let mut labels = BTreeMap::from([(kind.pod_label().to_owned(), job.to_owned())]);
        if kind == JobKind::MpiJob {
            // Its launcher is where it likes.
            labels.insert(MPI_ROLE.to_owned(), "worker".to_owned());
        }
        let term = vec![PodAffinityTerm {
            label_selector: Some(LabelSelector {
                match_labels: Some(labels),
                match_expressions: None,
            }),
            topology_key: label,
            ..PodAffinityTerm::default()
        }];
        let all = affinity(builder);
        match relation {
            Relation::Apart => {
                all.pod_anti_affinity = Some(PodAntiAffinity {
                    required_during_scheduling_ignored_during_execution: Some(term),
                    preferred_during_scheduling_ignored_during_execution: None,
                });
            }
            Relation::Together => {
                all.pod_affinity = Some(PodAffinity {
                    required_during_scheduling_ignored_during_execution: Some(term),
                    preferred_during_scheduling_ignored_during_execution: None,
                });
            }
        }
    }
}

fn affinity(builder: &mut JobBuilder) -> &mut Affinity {
    builder.pod.affinity.get_or_insert_default()
}
