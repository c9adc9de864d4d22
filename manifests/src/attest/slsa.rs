//! SLSA provenance 1, <https://slsa.dev/spec/v1.0/provenance>, in an in-toto statement 1.

use serde_json::{Value, json};

use super::{Component, PackageKind, Subject, bytes};
use crate::lock::{LockedImage, Pins};

/// Media type of an in-toto statement.
pub const IN_TOTO_MEDIA_TYPE: &str = "application/vnd.in-toto+json";
/// What the statement is about.
pub const PREDICATE_TYPE: &str = "https://slsa.dev/provenance/v1";
/// What `externalParameters` and `resolvedDependencies` mean.
const BUILD_TYPE: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/attest.md");
const BUILDER: &str = env!("CARGO_PKG_REPOSITORY");

/// How an image was made, as its lock entry has it.
pub fn provenance(subject: &Subject, entry: &LockedImage) -> Vec<u8> {
    let inputs = &entry.inputs;
    let mut parameters = json!({
        "dockerfile": inputs.dockerfile.to_string(),
        "args": inputs.args,
    });
    for (name, value) in [
        ("template", inputs.template.clone()),
        ("spec", inputs.spec.as_ref().map(ToString::to_string)),
        (
            "settings",
            inputs.settings.as_ref().map(ToString::to_string),
        ),
        ("target", entry.target.clone()),
    ] {
        if let Some(value) = value {
            parameters[name] = value.into();
        }
    }
    let mut internal = json!({});
    let mut dependencies = Vec::new();
    for base in &entry.bases {
        let digest = base
            .platforms
            .get(&subject.platform)
            .unwrap_or(&base.digest);
        dependencies.push(json!({
            "name": "base",
            "uri": format!("docker://{}", base.reference),
            "digest": { "sha256": digest.digest() },
        }));
    }
    if let Some(context) = &inputs.context {
        dependencies.push(json!({ "name": "context", "digest": { "sha256": context.digest() } }));
    }
    if let Some(build) = &entry.build {
        internal["epoch"] = build.epoch.into();
        internal["compression"] = format!("{}:{}", build.compression, build.level).into();
        let pins = build.platforms.get(&subject.platform);
        dependencies.extend(pins.into_iter().flat_map(|pins| packages(subject, pins)));
    }
    let mut versions = json!({ "mlbuild": inputs.mlbuild });
    if let Some(builder) = &entry.builder {
        versions[builder.name.as_str()] = builder.version.as_str().into();
    }
    bytes(&json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{
            "name": subject.name,
            "digest": { "sha256": subject.digest.digest() },
        }],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": parameters,
                "internalParameters": internal,
                "resolvedDependencies": dependencies,
            },
            "runDetails": {
                "builder": { "id": BUILDER, "version": versions },
                "metadata": {
                    "finishedOn": entry.created.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
                },
            },
        },
    }))
}

/// The pinned packages.
fn packages(subject: &Subject, pins: &Pins) -> Vec<Value> {
    components(pins)
        .iter()
        .map(|component| {
            json!({
                "uri": component.purl(subject),
                "digest": { "sha256": component.sha256 },
            })
        })
        .collect()
}

/// What is pinned, as components with their files' hashes.
pub(super) fn components(pins: &Pins) -> Vec<Component> {
    let debs = pins.apt.iter().map(|deb| Component {
        kind: PackageKind::Debian {
            arch: deb.arch.clone(),
        },
        name: deb.name.clone(),
        version: deb.version.clone(),
        sha256: Some(deb.sha256.clone()),
    });
    let python = pins
        .python_files()
        .chain(&pins.rattler)
        .map(|file| Component {
            kind: PackageKind::Python,
            name: file.name.clone(),
            version: file.version.clone(),
            sha256: Some(file.sha256.clone()),
        });
    let conda = pins.conda.iter().map(|package| Component {
        kind: PackageKind::Conda,
        name: package.name.clone(),
        version: package.version.clone(),
        sha256: Some(package.sha256.clone()),
    });
    debs.chain(python).chain(conda).collect()
}

/// Gives each component the hash of the file that it is pinned to.
pub fn with_hashes(mut found: Vec<Component>, pins: &Pins) -> Vec<Component> {
    let pinned = components(pins);
    for component in &mut found {
        let same = |other: &&Component| {
            (&other.kind, &other.name, &other.version)
                == (&component.kind, &component.name, &component.version)
        };
        component.sha256 = pinned.iter().find(same).and_then(|p| p.sha256.clone());
    }
    found.sort();
    found
}
