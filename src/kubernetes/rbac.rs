//! What the cluster has to allow, as a manifest.

use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

const NAME: &str = "mlbuild-env";

/// A role that lets a service account look at the pods of its namespace, and at nothing else.
///
/// # Errors
/// Where it can't be written as YAML.
pub fn manifest(namespace: &str, account: &str) -> Result<String, serde_saphyr::SerializeError> {
    let metadata = ObjectMeta {
        name: Some(NAME.to_owned()),
        namespace: Some(namespace.to_owned()),
        ..ObjectMeta::default()
    };
    let role = Role {
        metadata: metadata.clone(),
        rules: Some(vec![PolicyRule {
            api_groups: Some(vec![String::new()]),
            resources: Some(vec!["pods".to_owned()]),
            verbs: vec!["get".to_owned()],
            ..PolicyRule::default()
        }]),
    };
    let binding = RoleBinding {
        metadata,
        role_ref: RoleRef {
            api_group: "rbac.authorization.k8s.io".to_owned(),
            kind: "Role".to_owned(),
            name: NAME.to_owned(),
        },
        subjects: Some(vec![Subject {
            kind: "ServiceAccount".to_owned(),
            name: account.to_owned(),
            namespace: Some(namespace.to_owned()),
            api_group: None,
        }]),
    };
    let role = serde_saphyr::to_string(&role)?;
    let binding = serde_saphyr::to_string(&binding)?;
    Ok(format!("{role}---\n{binding}"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_manifest() {
        insta::assert_snapshot!(super::manifest("ml", "trainer").unwrap());
    }
}
