//! `mlbuild adopt` beside real registries: what it writes is what a build for the other user
//! would have made, and real Dockers run it.

mod foreign;
mod platforms;

use std::ops::ControlFlow;

use mlbuild::image::layer::{EntryKind, LayerEntry, LayerLimits, Mtime, read_layer};
use mlbuild::image::{ImageLayer, PlatformImage};
use mlbuild_manifests::lock::ImageKey;
use oci_spec::image::{Descriptor, MediaType};
use serde_json::Value;

use crate::image::{name_and_tag, unique};
use crate::support::engines::Engines;
use crate::support::http;
use crate::support::mlbuild::{Project, Ran};

const WHO: &str = "echo $(id -un) $(id -u) $(id -gn) $(id -g) $HOME; touch here ~/there; \
    stat -c %u:%g here ~/there; stat -c %u:%g ~ /app ~/.profile";

/// A project with one file of code, and where its images go.
pub struct Shop {
    pub engines: Engines,
    pub project: Project,
}

impl Shop {
    pub fn new() -> Self {
        Self {
            engines: Engines::from_env(),
            project: Project::new(&[("train.py", "print('trained')\n")]),
        }
    }

    /// Builds the project for a user and pushes it.
    pub fn build(&self, tag: &str, more: &[&str]) -> Ran {
        let base = self.engines.python_base.clone();
        self.build_on(&base, tag, more)
    }

    fn build_on(&self, base: &str, tag: &str, more: &[&str]) -> Ran {
        let docker = self.engines.docker_containerd.strip_prefix("unix://");
        let builder = format!("docker://{}", docker.unwrap());
        let args = [
            "image",
            "--builder",
            &builder,
            "--push",
            "--base",
            base,
            "-t",
            tag,
        ];
        let ran = self.project.run([&args[..], more].concat());
        ran.answer();
        ran
    }

    pub fn adopt(&self, image: &str, more: &[&str]) -> Ran {
        self.project.run([&["adopt", image], more].concat())
    }

    /// What a shell prints in a container of the image, which Docker pulls.
    fn sh(&self, image: &str, script: &str) -> String {
        let mut docker = std::process::Command::new(self.engines.bin.join("docker"));
        docker
            .env("DOCKER_HOST", &self.engines.docker_containerd)
            .env("DOCKER_CONFIG", &self.engines.docker_config)
            .args([
                "run",
                "--rm",
                "--network",
                "none",
                "--entrypoint",
                "/bin/sh",
            ])
            .args([image, "-euc", script]);
        Ran::of(&mut docker).answer().to_owned()
    }
}

/// An image of a registry, asked by plain HTTP.
struct Pushed {
    host: String,
    name: String,
    digest: String,
    manifest: Value,
    config: Value,
}

impl Pushed {
    /// The image under a reference; of an index, the first one.
    fn get(reference: &str) -> Self {
        let plain = reference.split('@').next().unwrap();
        let (host, _) = plain.split_once('/').unwrap();
        let (name, tag) = name_and_tag(plain);
        let (digest, mut manifest) = http::manifest(host, name, tag);
        if let Some(list) = manifest["manifests"].as_array() {
            let first = list[0]["digest"].as_str().unwrap().to_owned();
            manifest = http::manifest(host, name, &first).1;
        }
        Self {
            config: http::json_blob(host, name, &manifest["config"]["digest"]),
            host: host.to_owned(),
            name: name.to_owned(),
            digest,
            manifest,
        }
    }

    fn diff_ids(&self) -> &[Value] {
        self.config["rootfs"]["diff_ids"].as_array().unwrap()
    }

    fn layers(&self) -> &[Value] {
        self.manifest["layers"].as_array().unwrap()
    }

    /// The entries of the last layer, sorted, without their times.
    fn last_layer(&self) -> Vec<(LayerEntry, Vec<u8>)> {
        let last = self.layers().last().unwrap();
        let digest = last["digest"].as_str().unwrap();
        let (_, blob) = http::get(&self.host, &format!("/v2/{}/blobs/{digest}", self.name));
        let layer = ImageLayer {
            blob: Descriptor::new(
                MediaType::from(last["mediaType"].as_str().unwrap()),
                last["size"].as_u64().unwrap(),
                digest.parse::<oci_spec::image::Digest>().unwrap(),
            ),
            diff_id: self
                .diff_ids()
                .last()
                .unwrap()
                .as_str()
                .unwrap()
                .parse()
                .unwrap(),
        };
        let limits = LayerLimits::for_blob(layer.blob.size());
        let mut found = Vec::new();
        read_layer(blob.as_slice(), &layer, &limits, &mut |entry, content| {
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes)?;
            let mtime = Mtime::default();
            found.push((
                LayerEntry {
                    mtime,
                    ..entry.clone()
                },
                bytes,
            ));
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
        found.sort_by(|a, b| a.0.path.cmp(&b.0.path));
        found
    }

    /// The joined image, as mlbuild reads it.
    fn image(&self) -> PlatformImage {
        let manifest = serde_json::to_vec(&self.manifest).unwrap();
        let config = serde_json::to_vec(&self.config).unwrap();
        let descriptor = Descriptor::new(
            MediaType::ImageManifest,
            manifest.len() as u64,
            http::sha256(&manifest)
                .parse::<oci_spec::image::Digest>()
                .unwrap(),
        );
        PlatformImage::join(descriptor, &manifest, &config).unwrap()
    }
}

#[test]
fn it_is_what_a_build_for_that_user_would_have_made() {
    let shop = Shop::new();
    let first = unique(&shop.engines.registry, "adopt-first");
    let second = unique(&shop.engines.registry, "adopt-second");
    shop.build(&first, &["--uid", "1000", "--user", "vorph", "--sudo"]);
    shop.build(
        &second,
        &["--uid", "2000", "--gid", "100", "--user", "me", "--sudo"],
    );

    let adopt = ["--uid", "2000", "--gid", "100", "--name", "me"];
    let ran = shop.adopt(&first, &adopt);
    let reference = format!("{first}-uid2000-gid100");
    let adopted = Pushed::get(&reference);
    assert_eq!(ran.answer(), format!("{reference}@{}", adopted.digest));
    assert!(!ran.stderr.contains("warning"), "{}", ran.stderr);

    let (first, built) = (Pushed::get(&first), Pushed::get(&second));
    let below = built.layers().len() - 1;
    assert_eq!(adopted.layers()[..below], first.layers()[..below], "blobs");
    assert_eq!(adopted.diff_ids()[..below], built.diff_ids()[..below]);
    assert_eq!(adopted.last_layer(), built.last_layer());
    for path in ["config", "architecture", "os"] {
        assert_eq!(adopted.config[path], built.config[path], "{path}");
    }
    let steps = |config: &Value| -> Vec<String> {
        let steps = config["history"].as_array().unwrap().iter();
        steps.map(|s| s["created_by"].to_string()).collect()
    };
    assert_eq!(steps(&adopted.config), steps(&built.config));
    assert_eq!(adopted.config["created"], first.config["created"]);

    let here = "/app\n";
    assert_eq!(
        shop.sh(ran.answer(), WHO).replace(here, ""),
        "me 2000 me 100 /home/me\n2000:100\n2000:100\n2000:100\n2000:100\n2000:100"
    );
    assert_eq!(shop.sh(ran.answer(), "python train.py"), "trained");
    assert_eq!(shop.sh(ran.answer(), "sudo -n id -u; id -nG"), "0\nme sudo");

    let again = shop.adopt(&reference, &adopt);
    assert!(
        again.answer().ends_with(&adopted.digest),
        "it is theirs already"
    );
    let back = shop.adopt(
        &reference,
        &["--uid", "1000", "--name", "vorph", "-t", &second],
    );
    assert_eq!(Pushed::get(back.answer()).last_layer(), first.last_layer());
}

#[test]
fn the_same_digest_every_time_and_in_every_repository() {
    let shop = Shop::new();
    let tag = unique(&shop.engines.registry, "adopt-twice");
    shop.build(&tag, &["--uid", "1000", "--user", "vorph"]);
    let digest = |ran: &Ran| ran.answer().split_once('@').unwrap().1.to_owned();
    let first = digest(&shop.adopt(&tag, &["--uid", "1000055"]));
    let there = unique(&shop.engines.registry, "adopt-there");
    let second = shop.adopt(&tag, &["--uid", "1000055", "-t", &there]);
    assert_eq!(digest(&second), first);
    assert_eq!(
        shop.sh(
            second.answer(),
            "id -un; id -u; cat /etc/passwd | grep -c vorph"
        ),
        "vorph\n1000055\n1"
    );
    let ran = shop.adopt(&tag, &["--uid", "1000055", "--format", "json"]);
    let json = ran.json();
    assert_eq!(json["digest"], *first);
    assert_eq!(json["platforms"]["linux/amd64"]["user"]["uid"], 1_000_055);
    assert_eq!(json["platforms"]["linux/amd64"]["from_template"], true);
    assert_eq!(json["from"], format!("{tag}@{}", Pushed::get(&tag).digest));
}

#[test]
fn the_lock_says_what_it_was_derived_from() {
    let shop = Shop::new();
    let tag = unique(&shop.engines.registry, "adopt-lock");
    let build = ["--uid", "1000", "--user", "vorph"];
    shop.build(&tag, &build);
    let ran = shop.adopt(&tag, &["--uid", "2000"]);
    let (reference, digest) = ran.answer().split_once('@').unwrap();
    let key = |reference: &str| {
        let (name, tag) = reference.rsplit_once(':').unwrap();
        ImageKey {
            name: name.to_owned(),
            tag: Some(tag.to_owned()),
            target: None,
        }
    };
    let lock = shop.project.lock();
    let (origin, entry) = (
        lock.get(&key(&tag)).unwrap(),
        lock.get(&key(reference)).unwrap(),
    );
    let derived = entry.derived.as_ref().unwrap();
    assert_eq!(derived.from, format!("{tag}@{}", Pushed::get(&tag).digest));
    assert_eq!(
        (derived.uid, derived.gid, derived.name.as_str()),
        (2000, 2000, "vorph")
    );
    assert_eq!(entry.published.as_ref().unwrap().digest.to_string(), digest);
    assert_eq!(entry.inputs, origin.inputs);
    let image = Pushed::get(reference).image();
    let layers = entry.platforms["linux/amd64"].layers.iter();
    let layers: Vec<_> = layers.map(|l| l.digest.clone()).collect();
    let expected: Vec<_> = image
        .layers
        .iter()
        .map(|l| l.blob.digest().clone())
        .collect();
    assert_eq!(layers, expected);

    let text = shop.project.read("mlbuild.lock");
    shop.adopt(&tag, &["--uid", "2000"]).answer();
    assert_eq!(shop.project.read("mlbuild.lock"), text, "nothing new");

    // Another project without that entry asks the registry, where it travels with the image.
    let other = Project::new(&[("mlbuild.lock", "version = 1\n\n# end of lock\n")]);
    other.run(["adopt", &tag, "--uid", "2000"]).answer();
    assert_eq!(
        other.lock().get(&key(reference)).unwrap().derived,
        entry.derived
    );

    // The lock's inputs are another image's: this one has to be built.
    let ran = shop.build(reference, &build);
    assert_ne!(ran.answer().split_once('@').unwrap().1, digest);
    assert_eq!(
        shop.project.lock().get(&key(reference)).unwrap().derived,
        None
    );
}

/// The kinds of a layer's entries, to say what a test looks at.
fn has_whiteout(pushed: &Pushed) -> bool {
    let layer = pushed.last_layer();
    layer
        .iter()
        .any(|(entry, _)| entry.kind == EntryKind::Whiteout)
}
