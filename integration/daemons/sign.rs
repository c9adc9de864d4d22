//! `mlbuild attest --sign`, and what the real cosign then says of the image.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};

use base64::Engine as _;
use serde_json::Value;

use crate::image::{buildkitd, image, name_and_tag, small, unique};
use crate::support::engines::Engines;
use crate::support::http;
use crate::support::mlbuild::{Project, Ran};

const PASSWORD: &str = "a-word-that-nobody-sees";
/// Without Sigstore's public services.
const ALONE: [&str; 3] = ["--", "--tlog-upload=false", "--use-signing-config=false"];

/// Somebody with a key, and a cosign that writes down what it is asked.
struct Signer {
    engines: Engines,
    project: Project,
}

impl Signer {
    fn new(engines: Engines, project: Project) -> Self {
        let signer = Self { engines, project };
        let asked = signer.file("asked").display().to_string();
        let cosign = signer.engines.bin.join("cosign").display().to_string();
        let script = format!("#!/bin/sh\necho \"$@\" >> {asked}\nexec {cosign} \"$@\"\n");
        std::fs::create_dir(signer.file("bin")).unwrap();
        std::fs::write(signer.file("bin/cosign"), script).unwrap();
        let program = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(signer.file("bin/cosign"), program).unwrap();
        for key in ["mine", "other"] {
            let prefix = signer.file(key).display().to_string();
            let made = signer.cosign(&["generate-key-pair", "--output-key-prefix", &prefix]);
            assert!(made.status.success(), "{made:?}");
        }
        signer
    }

    fn file(&self, name: &str) -> PathBuf {
        self.project.outside().join(name)
    }

    fn key(&self, name: &str) -> String {
        self.file(name).display().to_string()
    }

    fn cosign(&self, words: &[&str]) -> Output {
        let mut command = Command::new(self.engines.bin.join("cosign"));
        command.args(words).env_clear();
        command.env("HOME", self.project.home());
        command.env("COSIGN_PASSWORD", PASSWORD);
        let output = command.current_dir(self.project.outside()).output();
        output.expect("cosign: integration/engines/up builds it")
    }

    /// What cosign verifies of an image with a key; `None` where it refuses.
    fn verified(&self, verb: &[&str], key: &str, image: &str) -> Option<Vec<Value>> {
        let key = self.key(key);
        let words = [verb, &["--key", &key, "--insecure-ignore-tlog=true", image]].concat();
        let output = self.cosign(&words);
        if !output.status.success() {
            return None;
        }
        let stream = serde_json::Deserializer::from_slice(&output.stdout);
        Some(stream.into_iter().map(Result::unwrap).collect())
    }

    /// The predicate of an image's one statement of a type.
    fn predicate(&self, kind: &str, image: &str) -> Value {
        let verb = ["verify-attestation", "--type", kind];
        let found = self.verified(&verb, "mine.pub", image).expect(kind);
        let payload = found[0]["payload"].as_str().unwrap();
        let bytes = base64::prelude::BASE64_STANDARD.decode(payload).unwrap();
        let statement: Value = serde_json::from_slice(&bytes).unwrap();
        let (_, digest) = image.split_once("@sha256:").unwrap();
        assert_eq!(statement["subject"][0]["digest"]["sha256"], digest);
        statement["predicate"].clone()
    }

    /// `mlbuild attest`, with that cosign first on PATH.
    fn attest(&self, words: &[&str], environment: &[(&str, &str)]) -> Ran {
        let path = std::env::var("PATH").unwrap();
        let path = format!("{}:{path}", self.file("bin").display());
        let mut command = self.project.command([&["attest"], words].concat());
        command.env("PATH", path).env("COSIGN_PASSWORD", PASSWORD);
        let ran = Ran::of(command.envs(environment.iter().copied()));
        assert!(!ran.stderr.contains(PASSWORD) && !ran.stdout.contains(PASSWORD));
        ran
    }

    fn asked(&self) -> String {
        std::fs::read_to_string(self.file("asked")).unwrap_or_default()
    }
}

#[test]
fn cosign_verifies_the_image_and_what_is_said_of_it() {
    let (engines, project) = small("signed");
    let tag = unique(&engines.registry, "signed");
    let built = image(
        &buildkitd(&engines),
        &["-f", "Dockerfile", "-t", &tag, "--push"],
    );
    let image = project.run(&built).answer().to_owned();
    project.write("data.txt", "another image");
    let other = project.run(&built).answer().to_owned();
    assert_ne!(image, other);
    let signer = Signer::new(engines, project);
    let (name, _) = name_and_tag(&tag);
    let (_, digest) = image.rsplit_once('@').unwrap();
    let beside = || http::referrers(&signer.engines.registry, name, digest).len();
    let before = beside();

    // Whatever is wrong leaves nothing beside the image.
    let key = signer.key("mine.key");
    let sign = [&[image.as_str(), "--sign", "--key", &key], &ALONE[..]].concat();
    let keyless = [&[image.as_str(), "--sign"], &ALONE[..]].concat();
    let mut said = String::new();
    let mut refused = |words: &[&str], environment: &[(&str, &str)], code| {
        let ran = signer.attest(words, environment);
        let error = ran.refusal(code);
        let error = &error[error.find("error: ").unwrap()..];
        let last = error
            .rfind("\nerror: ")
            .map_or(error, |at| &error[at + 1..]);
        said += &signer.project.filtered(last).replace(name, "[NAME]");
    };
    refused(&sign, &[("PATH", "/nowhere")], 3);
    refused(&[&image, "--sign", "--key", "no.key"], &[], 2);
    refused(&keyless, &[("COSIGN_KEY", "no.key")], 2);
    refused(&sign, &[("COSIGN_PASSWORD", "another")], 1);
    insta::assert_snapshot!(said, @"
    error: --sign: cosign isn't installed
      hint: install it, for example: go install github.com/sigstore/cosign/v3/cmd/cosign@latest
    error: --key no.key: no such file
      hint: cosign generate-key-pair makes one, with the password in COSIGN_PASSWORD
    error: COSIGN_KEY names no file
      hint: set it to the key's file, or give the file with --key
    error: cosign sign [REGISTRY]/[NAME]@sha256:[DIGEST] failed: signing digest: getting keypair and token: getting signer: reading key: decrypt: encrypted: decryption failed
      hint: set COSIGN_PASSWORD to the key's password
    ");
    let keyless = signer.attest(&[&image, "--key", &key], &[]);
    assert!(keyless.refusal(2).contains("--sign"), "{keyless:?}");
    assert_eq!(beside(), before);
    assert!(signer.verified(&["verify"], "mine.pub", &image).is_none());

    let sbom = signer.attest(&[&image, "--print", "sbom"], &[]).json();
    let provenance = signer
        .attest(&[&image, "--print", "provenance"], &[])
        .json();
    signer.attest(&sign, &[]).answer();
    let found = signer.verified(&["verify"], "mine.pub", &image).unwrap();
    let signed = &found[0][0]["critical"]["image"]["docker-manifest-digest"];
    assert_eq!(signed, digest);
    assert_eq!(signer.predicate("spdxjson", &image), sbom);
    assert_eq!(
        signer.predicate("slsaprovenance1", &image),
        provenance["predicate"]
    );

    // With the key by environment, and a registry that is said to be insecure.
    let host = &signer.engines.registry;
    let words = ["--sign", "--no-provenance", "--sbom", "cyclonedx"];
    let words = [
        &words[..],
        &["--insecure-registry", host, "--format", "json", &image],
        &ALONE,
    ];
    let ran = signer.attest(&words.concat(), &[("COSIGN_KEY", &key)]);
    assert_eq!(ran.json()["signed"], true);
    assert_eq!(
        signer.predicate("cyclonedx", &image)["bomFormat"],
        "CycloneDX"
    );
    let asked = signer.asked();
    assert!(asked.contains("--allow-http-registry"), "{asked}");
    assert!(
        asked.contains(digest) && !asked.contains(PASSWORD),
        "{asked}"
    );

    // Neither another key nor another image; and the image is what it was.
    assert!(signer.verified(&["verify"], "other.pub", &image).is_none());
    assert!(signer.verified(&["verify"], "mine.pub", &other).is_none());
    let statement = ["verify-attestation", "--type", "spdxjson"];
    assert!(signer.verified(&statement, "other.pub", &image).is_none());
    assert_eq!(http::manifest(host, name, digest).0, digest);
}

#[test]
fn an_index_is_signed_with_the_images_that_it_lists() {
    let (engines, project) = crate::image::tiny("signed");
    let tag = unique(&engines.registry, "signed-index");
    let platforms = ["--platform", "linux/amd64,linux/arm64"];
    let words = [&["-f", "Dockerfile", "-t", &tag, "--push"], &platforms[..]].concat();
    let index = project
        .run(image(&buildkitd(&engines), &words))
        .answer()
        .to_owned();
    let signer = Signer::new(engines, project);
    let key = signer.key("mine.key");
    signer
        .attest(
            &[&[&index, "--sign", "--key", &key], &ALONE[..]].concat(),
            &[],
        )
        .answer();
    assert!(signer.verified(&["verify"], "mine.pub", &index).is_some());
    let (repository, digest) = index.split_once('@').unwrap();
    let (name, _) = name_and_tag(&tag);
    let (_, manifest) = http::manifest(&signer.engines.registry, name, digest);
    for one in manifest["manifests"].as_array().unwrap() {
        let one = format!("{repository}@{}", one["digest"].as_str().unwrap());
        assert!(
            signer.verified(&["verify"], "mine.pub", &one).is_some(),
            "{one}"
        );
        signer.predicate("slsaprovenance1", &one);
    }
}
