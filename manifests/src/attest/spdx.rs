//! SPDX 2.3, <https://spdx.github.io/spdx-spec/v2.3/>.

use serde_json::{Value, json};

use super::{Component, Subject, bytes};

/// Media type of an SPDX document in JSON.
pub const SPDX_MEDIA_TYPE: &str = "application/spdx+json";

const IMAGE: &str = "SPDXRef-image";

/// The bill of materials of an image.
pub fn spdx(subject: &Subject, components: &[Component]) -> Vec<u8> {
    let hex = subject.digest.digest();
    let mut packages = vec![json!({
        "SPDXID": IMAGE,
        "name": subject.name,
        "versionInfo": subject.digest.to_string(),
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "primaryPackagePurpose": "CONTAINER",
        "checksums": [{ "algorithm": "SHA256", "checksumValue": hex }],
        "externalRefs": [purl(subject.purl())],
    })];
    let mut relationships = vec![json!({
        "spdxElementId": "SPDXRef-DOCUMENT",
        "relationshipType": "DESCRIBES",
        "relatedSpdxElement": IMAGE,
    })];
    for component in components {
        let id = format!("SPDXRef-{}", component.id());
        let mut package = json!({
            "SPDXID": id,
            "name": component.name,
            "versionInfo": component.version,
            "downloadLocation": "NOASSERTION",
            "filesAnalyzed": false,
            "externalRefs": [purl(component.purl(subject))],
        });
        if let Some(sha256) = &component.sha256 {
            package["checksums"] = json!([{ "algorithm": "SHA256", "checksumValue": sha256 }]);
        }
        packages.push(package);
        relationships.push(json!({
            "spdxElementId": IMAGE,
            "relationshipType": "CONTAINS",
            "relatedSpdxElement": id,
        }));
    }
    bytes(&json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": subject.name,
        "documentNamespace": format!("urn:mlbuild:sbom:sha256:{hex}"),
        "creationInfo": {
            "created": subject.created.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "creators": [format!("Tool: mlbuild-{}", env!("CARGO_PKG_VERSION"))],
        },
        "packages": packages,
        "relationships": relationships,
    }))
}

fn purl(locator: String) -> Value {
    json!({
        "referenceCategory": "PACKAGE-MANAGER",
        "referenceType": "purl",
        "referenceLocator": locator,
    })
}
