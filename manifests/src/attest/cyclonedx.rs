//! CycloneDX 1.6, <https://cyclonedx.org/docs/1.6/json/>.

use serde_json::json;

use super::{Component, Subject, bytes};

/// Media type of a CycloneDX document in JSON.
pub const CYCLONEDX_MEDIA_TYPE: &str = "application/vnd.cyclonedx+json";

/// The bill of materials of an image.
pub fn cyclonedx(subject: &Subject, components: &[Component]) -> Vec<u8> {
    let listed = components.iter().map(|component| {
        let mut listed = json!({
            "type": "library",
            "bom-ref": component.id(),
            "name": component.name,
            "version": component.version,
            "purl": component.purl(subject),
        });
        if let Some(sha256) = &component.sha256 {
            listed["hashes"] = json!([{ "alg": "SHA-256", "content": sha256 }]);
        }
        listed
    });
    let refs: Vec<String> = components.iter().map(Component::id).collect();
    bytes(&json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": format!("urn:uuid:{}", uuid(subject.digest.digest())),
        "version": 1,
        "metadata": {
            "timestamp": subject.created.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "tools": { "components": [{
                "type": "application",
                "name": "mlbuild",
                "version": env!("CARGO_PKG_VERSION"),
            }] },
            "component": {
                "type": "container",
                "bom-ref": "image",
                "name": subject.name,
                "version": subject.digest.to_string(),
                "purl": subject.purl(),
                "hashes": [{ "alg": "SHA-256", "content": subject.digest.digest() }],
            },
        },
        "components": listed.collect::<Vec<_>>(),
        "dependencies": [{ "ref": "image", "dependsOn": refs }],
    }))
}

/// A UUID of version 8 (RFC 9562) from a hash: the same for the same image.
fn uuid(hex: &str) -> String {
    let h = |range: std::ops::Range<usize>| &hex[range];
    format!(
        "{}-{}-8{}-8{}-{}",
        h(0..8),
        h(8..12),
        h(13..16),
        h(17..20),
        h(20..32)
    )
}
