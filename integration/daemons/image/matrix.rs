//! The same project on every builder: what is printed, locked and recorded is
//! what the registry has, asked by plain HTTP.

use std::io::Read;

use mlbuild_manifests::lock::ImageKey;
use serde_json::Value;

use super::{Builder, builders, image, name_and_tag, small, unique};
use crate::support::engines::Engines;
use crate::support::http;
use crate::support::mlbuild::Project;

/// Builds, pushes, and compares everything with the registry.
fn pushes(engines: &Engines, builder: &Builder) {
    let (_, project) = small(builder.name);
    let host = &engines.registry;
    let tag = unique(host, builder.name);
    let second = tag.replace(":v1", ":v2");
    let args = [
        "-f",
        "Dockerfile",
        "-t",
        &tag,
        "-t",
        &second,
        "--push",
        "--run-id",
        "run-1",
    ];
    let ran = project.run(image(&builder.flags, &args));
    let answer = ran.answer();

    let (name, label) = name_and_tag(&tag);
    let (digest, top) = http::manifest(host, name, label);
    assert_eq!(answer, format!("{tag}@{digest}"), "{}", builder.name);
    assert_eq!(ran.stdout, format!("{answer}\n"));
    assert_eq!(http::manifest(host, name, "v2").0, digest, "the second tag");

    // The lock has the image's manifest, not an index around it.
    let lock = project.lock();
    let key = ImageKey {
        name: format!("{host}/{name}"),
        tag: Some(label.into()),
        target: None,
    };
    let entry = lock.get(&key).expect("an entry for the image");
    let published = entry.published.as_ref().unwrap();
    assert_eq!(published.digest.to_string(), digest);
    assert_eq!(published.reference, tag);
    assert_eq!(entry.bases.len(), 1);
    let (base, _) = http::manifest(host, "debian", "bookworm");
    assert_eq!(entry.bases[0].digest.to_string(), base);
    assert_eq!(entry.platforms.len(), 1);
    let (platform, locked) = entry.platforms.iter().next().unwrap();
    assert_eq!(platform, "linux/amd64");

    let (manifest_digest, manifest) = the_image(host, name, &digest, &top);
    assert_eq!(locked.manifest.to_string(), manifest_digest);
    assert_eq!(
        Some(locked.config.as_ref()),
        manifest["config"]["digest"].as_str()
    );
    let config = http::json_blob(host, name, &manifest["config"]["digest"]);
    let diff_ids = config["rootfs"]["diff_ids"].as_array().unwrap();
    let layers = manifest["layers"].as_array().unwrap();
    assert_eq!(locked.layers.len(), layers.len());
    for ((locked, layer), diff_id) in locked.layers.iter().zip(layers).zip(diff_ids) {
        assert_eq!(Some(locked.digest.as_ref()), layer["digest"].as_str());
        assert_eq!(Some(locked.diff_id.as_ref()), diff_id.as_str());
        assert_eq!(Some(locked.size), layer["size"].as_u64());
        assert_eq!(
            Some(locked.media_type.as_str()),
            layer["mediaType"].as_str()
        );
    }
    // The diff id is the hash of what the last layer unpacks to.
    let last = locked.layers.last().unwrap();
    let (_, packed) = http::get(host, &format!("/v2/{name}/blobs/{}", last.digest));
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(packed.as_slice())
        .read_to_end(&mut unpacked)
        .unwrap();
    assert_eq!(http::sha256(&unpacked), last.diff_id.to_string());
    let files = super::tar_entries(&unpacked);
    assert!(
        files.contains(&("data.txt".into(), builder.name.into())),
        "{files:?}"
    );

    // The run record, on disk and beside the image.
    assert_eq!(project.runs(), ["run-1.toml"]);
    let record = project.read("mlbuild.runs/run-1.toml");
    assert!(record.contains(&manifest_digest), "{record}");
    let attached = http::referrers(host, name, &digest);
    let kinds: Vec<_> = attached
        .iter()
        .filter_map(|one| one["artifactType"].as_str())
        .collect();
    assert_eq!(kinds.len(), 2, "{attached:?}");
    let run = attached
        .iter()
        .find(|one| one["artifactType"].as_str().unwrap().contains("run"))
        .unwrap();
    let (_, artifact) = http::manifest(host, name, run["digest"].as_str().unwrap());
    assert_eq!(
        artifact["subject"]["digest"].as_str(),
        Some(digest.as_str())
    );
    let document = http::json_blob(host, name, &artifact["layers"][0]["digest"]);
    assert_eq!(document["id"], "run-1");
    assert_eq!(
        document["image"]["platforms"]["linux/amd64"]["manifest"],
        manifest_digest.as_str()
    );
}

/// The one image under a digest: the manifest itself, or an index's manifest for a platform.
pub fn the_image(host: &str, name: &str, digest: &str, top: &Value) -> (String, Value) {
    match top["manifests"].as_array() {
        None => (digest.to_owned(), top.clone()),
        Some(all) => {
            let one = all
                .iter()
                .find(|one| one["platform"]["architecture"] == "amd64")
                .unwrap();
            http::manifest(host, name, one["digest"].as_str().unwrap())
        }
    }
}

#[test]
fn what_is_printed_locked_and_recorded_is_what_the_registry_has() {
    let engines = Engines::from_env();
    for builder in builders(&engines) {
        pushes(&engines, &builder);
    }
}

#[test]
fn attestations_are_made_or_refused() {
    let engines = Engines::from_env();
    for builder in builders(&engines) {
        let (_, project) = small("attested");
        let tag = unique(&engines.registry, "attested");
        let args = [
            "-f",
            "Dockerfile",
            "-t",
            &tag,
            "--push",
            "--provenance=mode=max",
        ];
        let ran = project.run(image(&builder.flags, &args));
        if !builder.has_manifests {
            let told = ran.refusal(2);
            assert!(
                told.contains("\nerror: --attest, --provenance or --sbom: "),
                "{told}"
            );
            assert_eq!(project.names(), ["Dockerfile", "data.txt"]);
            continue;
        }
        let (_, digest) = ran.answer().split_once('@').unwrap();
        let (name, _) = name_and_tag(&tag);
        let (_, index) = http::manifest(&engines.registry, name, digest);
        let kinds: Vec<_> = index["manifests"]
            .as_array()
            .unwrap_or_else(|| panic!("{}: no index: {index}", builder.name))
            .iter()
            .map(|one| one["annotations"]["vnd.docker.reference.type"].as_str())
            .collect();
        assert_eq!(
            kinds,
            [None, Some("attestation-manifest")],
            "{}",
            builder.name
        );
        // The lock names the image, whose digest provenance doesn't change.
        let (manifest, _) = the_image(&engines.registry, name, digest, &index);
        let lock = project.read("mlbuild.lock");
        assert!(
            lock.contains(&format!("manifest = \"{manifest}\"")),
            "{lock}"
        );
    }
}

#[test]
fn files_for_several_platforms_need_no_emulation() {
    let engines = Engines::from_env();
    let dockerfile = "FROM --platform=$BUILDPLATFORM BASE AS work\n\
                      ARG TARGETARCH\n\
                      RUN echo made for $TARGETARCH > /made\n\
                      FROM scratch\n\
                      COPY --from=work /made /\n"
        .replace("BASE", &engines.base);
    for builder in builders(&engines).iter().filter(|b| b.has_manifests) {
        let project = Project::new(&[("Dockerfile", &dockerfile)]);
        let tag = unique(&engines.registry, "several");
        let platforms = "linux/amd64,linux/arm64";
        let args = [
            "-f",
            "Dockerfile",
            "-t",
            &tag,
            "--push",
            "--platform",
            platforms,
        ];
        let ran = project.run(image(&builder.flags, &args));
        let digest = ran.answer().strip_prefix(&format!("{tag}@")).unwrap();
        let (name, _) = name_and_tag(&tag);
        let (_, index) = http::manifest(&engines.registry, name, digest);
        let made: Vec<(String, String)> = index["manifests"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|entry| entry["platform"]["os"] == "linux")
            .map(|entry| {
                let platform = &entry["platform"];
                let name = format!("linux/{}", platform["architecture"].as_str().unwrap());
                (name, entry["digest"].as_str().unwrap().to_owned())
            })
            .collect();
        let lock = project.lock();
        let locked: Vec<(String, String)> = lock
            .images()
            .flat_map(|image| &image.platforms)
            .map(|(name, platform)| (name.clone(), platform.manifest.to_string()))
            .collect();
        assert_eq!(locked, made, "{}", builder.name);
        assert_eq!(made.len(), 2, "{}", builder.name);
        let again = project.run(image(&builder.flags, &args));
        assert!(again.stderr.contains("nothing changed"), "{}", again.stderr);
    }
}

#[test]
fn a_platform_that_the_builder_cant_run_is_refused() {
    let engines = Engines::from_env();
    let dockerfile = "FROM scratch\nRUN [\"/true\"]\n";
    for builder in builders(&engines) {
        let project = Project::new(&[("Dockerfile", dockerfile)]);
        let tag = unique(&engines.registry, "other");
        let args = [
            "-f",
            "Dockerfile",
            "-t",
            &tag,
            "--push",
            "--platform",
            "linux/s390x",
        ];
        let ran = project.run(image(&builder.flags, &args));
        let told = ran.refusal(3).lines().nth(1).unwrap();
        assert!(
            told.starts_with("error: --platform linux/s390x: "),
            "{}: {told}",
            builder.name
        );
        assert!(told.contains(" builds for "), "{}: {told}", builder.name);
        assert!(told.contains("linux/amd64"), "{}: {told}", builder.name);
        assert_eq!(project.names(), ["Dockerfile"], "{}", builder.name);
    }
}
