//! `mlbuild verify REFERENCE` of images that lie, and of locks beside them that do: each is refused, and nobody whom
//! only they name is asked for anything.

use std::collections::BTreeMap;
use std::time::Duration;

use mlbuild::registry::{Attachment, Registry, RegistryOptions};
use mlbuild_manifests::document::{Document as _, LOCK_ARTIFACT_TYPE};
use mlbuild_manifests::lock::LockedImage;
use oci_spec::distribution::Reference;
use serde_json::{Value, json};
use tar::{EntryType, Header};
use tokio::runtime::Runtime;

use crate::image::unique;
use crate::lock::{builder, command, run};
use crate::support::engines::Engines;
use crate::support::http;
use crate::support::mlbuild::{Project, Ran};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// An honest image with its lock, and somebody who has nothing but its reference.
struct Setting {
    engines: Engines,
    runtime: Runtime,
    nobody: Project,
    /// Its repository in its registry.
    name: String,
    digest: String,
    manifest: Vec<u8>,
    config: Vec<u8>,
    entry: LockedImage,
}

impl Setting {
    fn new() -> Self {
        let engines = Engines::from_env();
        let project = Project::new(&[
            ("requirements.txt", "six==1.17.0\n"),
            ("train.py", "print('honest')\n"),
        ]);
        let tag = unique(&engines.registry, "alone");
        let words = |verb: &str, more: &[&str]| -> Vec<String> {
            let image = ["--base", &engines.python_base, "--uid", "1000", "-t", &tag];
            let all = [verb].into_iter().chain(image).chain(more.iter().copied());
            let mut all: Vec<String> = all.map(str::to_owned).collect();
            all.extend(builder(&engines, "buildkitd").flags);
            all
        };
        run(&project, &words("lock", &["--method=assemble"])).answer();
        let made = run(&project, &words("image", &["--push"]));
        let (_, digest) = made.answer().rsplit_once('@').unwrap();
        let name = tag.strip_prefix(&format!("{}/", engines.registry)).unwrap();
        let name = name.rsplit_once(':').unwrap().0.to_owned();
        let path = format!("/v2/{name}/manifests/{digest}");
        let (_, manifest) = http::get(&engines.registry, &path);
        let said: Value = serde_json::from_slice(&manifest).unwrap();
        let config = said["config"]["digest"].as_str().unwrap();
        let (_, config) = http::get(&engines.registry, &format!("/v2/{name}/blobs/{config}"));
        let entry = project.lock().images().next().unwrap().clone();
        Self {
            runtime: Runtime::new().unwrap(),
            nobody: Project::new(&[("other.py", "print('not its project')\n")]),
            digest: digest.to_owned(),
            name,
            manifest,
            config,
            entry,
            engines,
        }
    }

    /// Attaches a lock to a digest, newer than those before.
    fn attach(&self, digest: &str, entry: &LockedImage, at: u64) {
        let registry = Registry::new(RegistryOptions::default());
        let to = format!("{}/{}@{digest}", self.engines.registry, self.name);
        let to: Reference = to.parse().unwrap();
        let created = jiff::Timestamp::now() + Duration::from_secs(60 * (at + 1));
        let entry = LockedImage {
            created,
            ..entry.clone()
        };
        let json = entry.to_json();
        let none = BTreeMap::new();
        let documents = [Attachment {
            artifact_type: LOCK_ARTIFACT_TYPE,
            blobs: &[(LOCK_ARTIFACT_TYPE, json.as_slice())],
            annotations: &none,
        }];
        self.runtime.block_on(async {
            let subject = registry.head(&to).await.unwrap().unwrap();
            let attached = registry.attach_all(&to, &subject, &documents);
            attached.await.unwrap();
        });
    }

    fn verify(&self, digest: &str) -> Ran {
        let image = format!("{}/{}@{digest}", self.engines.registry, self.name);
        let mut words = vec!["verify".to_owned(), image];
        words.extend(builder(&self.engines, "buildkitd").flags);
        Ran::of(&mut command(&self.nobody, &words))
    }

    /// Refused with these words, and with nothing called identical.
    fn refuses(&self, what: &str, digest: &str, said: &str) {
        let ran = self.verify(digest);
        assert!(ran.stderr.contains(said), "{what}: {ran:?}");
        assert!(!ran.stdout.contains("identical"), "{what}: {ran:?}");
        assert!(matches!(ran.code, Some(1..=4)), "{what}: {ran:?}");
    }

    /// The image with another layer of code, another note, or both: pushed with the lock that is honest but for
    /// naming it.
    fn with(&self, code: Option<Vec<u8>>, note: impl Fn(String) -> String) -> String {
        let registry = &self.engines.registry;
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let (mut manifest, mut config) = (text(&self.manifest), text(&self.config));
        if let Some(tar) = code {
            let (layer, diff_id) = self.code();
            let blob = zstd::encode_all(&tar[..], 3).unwrap();
            let named = |digest: &str, size: &Value| {
                let kind = &layer["mediaType"];
                format!("\"digest\":\"{digest}\",\"mediaType\":{kind},\"size\":{size}")
            };
            let new = http::put_blob(registry, &self.name, &blob);
            let new = named(&new, &blob.len().into());
            let old = named(layer["digest"].as_str().unwrap(), &layer["size"]);
            assert!(manifest.contains(&old), "{manifest}");
            manifest = manifest.replace(&old, &new);
            let before = http::sha256(config.as_bytes());
            config = config.replace(&diff_id, &http::sha256(&tar));
            let after = http::put_blob(registry, &self.name, config.as_bytes());
            assert!(manifest.contains(&before), "{manifest}");
            manifest = manifest.replace(&before, &after);
        }
        let manifest = note(manifest);
        let digest = http::sha256(manifest.as_bytes());
        http::put_manifest(registry, &self.name, &digest, MANIFEST, manifest.as_bytes());
        self.attach(&digest, &self.unnamed(), 0);
        digest
    }

    /// The honest lock, as before its first push.
    fn unnamed(&self) -> LockedImage {
        LockedImage {
            published: None,
            platforms: BTreeMap::new(),
            ..self.entry.clone()
        }
    }

    /// The descriptor of the layer of code, and the digest of its tar.
    fn code(&self) -> (Value, String) {
        let manifest: Value = serde_json::from_slice(&self.manifest).unwrap();
        let config: Value = serde_json::from_slice(&self.config).unwrap();
        let history = config["history"].as_array().unwrap();
        let mut steps = history.iter().filter(|step| step["empty_layer"] != true);
        let is_code = |step: &Value| {
            let about = step["created_by"].as_str().unwrap_or_default();
            about.starts_with("mlbuild: COPY ")
        };
        let at = steps.position(is_code).unwrap();
        let diff_id = config["rootfs"]["diff_ids"][at].as_str().unwrap();
        (manifest["layers"][at].clone(), diff_id.to_owned())
    }

    /// The tar of the layer of code, with one more entry at its end.
    fn tar(&self, more: &[(&str, EntryType, u32, &str)]) -> Vec<u8> {
        let (layer, _) = self.code();
        let digest = layer["digest"].as_str().unwrap();
        let path = format!("/v2/{}/blobs/{digest}", self.name);
        let (_, blob) = http::get(&self.engines.registry, &path);
        let mut tar = zstd::decode_all(&blob[..]).unwrap();
        let end = tar
            .chunks(512)
            .rposition(|block| block.iter().any(|b| *b != 0));
        tar.truncate((end.unwrap() + 1) * 512);
        let mut added = tar::Builder::new(Vec::new());
        for (path, kind, mode, content) in more {
            let mut header = Header::new_ustar();
            header.set_entry_type(*kind);
            header.set_mode(*mode);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(0);
            let is_link = matches!(kind, EntryType::Symlink | EntryType::Link);
            header.set_size(if is_link { 0 } else { content.len() as u64 });
            if is_link {
                added.append_link(&mut header, path, content).unwrap();
            } else {
                let content = content.as_bytes();
                added.append_data(&mut header, path, content).unwrap();
            }
        }
        tar.extend(added.into_inner().unwrap());
        tar
    }

    /// Puts an index of these descriptors, with the honest lock.
    fn index(&self, manifests: Value) -> String {
        let text = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
        let text = text.to_string();
        let digest = http::sha256(text.as_bytes());
        let registry = &self.engines.registry;
        http::put_manifest(registry, &self.name, &digest, INDEX, text.as_bytes());
        self.attach(&digest, &self.unnamed(), 0);
        digest
    }

    fn descriptor(&self, digest: &str, platform: &str) -> Value {
        let path = format!("/v2/{}/manifests/{digest}", self.name);
        let (_, bytes) = http::get(&self.engines.registry, &path);
        let (os, architecture) = platform.split_once('/').unwrap();
        json!({"mediaType": MANIFEST, "digest": digest, "size": bytes.len(),
            "platform": {"os": os, "architecture": architecture}})
    }
}

#[test]
fn a_lock_that_lies_proves_nothing_and_leads_nowhere() {
    let setting = Setting::new();
    let (port, asked) = http::listener(|_| "HTTP/1.1 404 Not Found\r\n\r\n".to_owned());
    let elsewhere = format!("127.0.0.1:{port}/evil/python");
    type Lie<'a> = Box<dyn Fn(&mut Value) + 'a>;
    let pins = "/build/platforms/linux~1amd64";
    let put = |at: String, value: Value| -> Lie<'_> {
        Box::new(move |entry| {
            let (above, name) = at.rsplit_once('/').unwrap();
            entry.pointer_mut(above).unwrap()[name] = value.clone();
        })
    };
    let zeros = "0".repeat(64);
    let lies: [(&str, Lie<'_>, &str); 9] = [
        (
            "another digest of the base",
            put("/bases/0/digest".into(), format!("sha256:{zeros}").into()),
            "and the lock beside it is for",
        ),
        (
            "a base elsewhere",
            put("/bases/0/reference".into(), elsewhere.clone().into()),
            "and the lock beside it is for",
        ),
        (
            "two bases",
            Box::new(|entry| {
                let bases = entry["bases"].as_array_mut().unwrap();
                let mut other = bases[0].clone();
                other["reference"] = elsewhere.clone().into();
                bases.push(other);
            }),
            "names 2 bases",
        ),
        (
            "Debian packages",
            put(
                format!("{pins}/apt"),
                json!([{"name": "git", "version": "1", "arch": "amd64", "path": "pool/git.deb",
                    "suite": "bookworm", "component": "main",
                    "sha256": zeros, "size": 1}]),
            ),
            "a Debian package",
        ),
        (
            "packages of conda",
            put(
                format!("{pins}/conda"),
                json!([{"name": "zlib", "version": "1", "build": "0", "file": "zlib-1-0.conda",
                    "sha256": zeros, "size": 1, "url": format!("http://{elsewhere}/zlib-1-0.conda")}]),
            ),
            "a package of conda",
        ),
        (
            "a package by another's file",
            put(format!("{pins}/python_packages/0/name"), "seven".into()),
            "no wheel of it",
        ),
        (
            "more than a disk",
            put(
                format!("{pins}/python_packages/0/size"),
                (1_u64 << 40).into(),
            ),
            "bytes of packages",
        ),
        (
            "a wheel for another machine",
            put(
                format!("{pins}/python_packages/0/file"),
                "six-1.17.0-cp311-cp311-win_amd64.whl".into(),
            ),
            "isn't proved by its reference alone",
        ),
        (
            "packages that nobody has, said to lie elsewhere",
            Box::new(|entry| {
                entry["name"] = elsewhere.clone().into();
                entry["build"]["vendored"] = format!("sha256:{zeros}").into();
                let file = &mut entry.pointer_mut(pins).unwrap()["python_packages"][0];
                file["version"] = "99.0".into();
                file["file"] = "six-99.0-py2.py3-none-any.whl".into();
                file["sha256"] = zeros.clone().into();
            }),
            "no source of this machine has these pinned packages any more:\n  six-99.0",
        ),
    ];
    for (at, (what, lie, said)) in lies.iter().enumerate() {
        let mut entry = serde_json::to_value(&setting.entry).unwrap();
        lie(&mut entry);
        let entry: LockedImage = serde_json::from_value(entry).unwrap();
        setting.attach(&setting.digest, &entry, at as u64);
        setting.refuses(what, &setting.digest, said);
    }
    let asked = asked.lock().unwrap();
    assert!(asked.is_empty(), "{asked:?}");
    let state = setting.nobody.outside().join("state");

    // And the truth once more: a proof keeps nothing for other images either.
    setting.attach(&setting.digest, &setting.entry, 100);
    let proved = setting.verify(&setting.digest);
    let identical = format!("identical: linux/amd64 {}", setting.digest);
    assert_eq!(proved.answer(), identical, "{proved:?}");
    assert!(!state.join("layers").exists(), "nothing is kept");
}

#[test]
fn an_image_that_lies_is_not_proved() {
    let setting = Setting::new();
    let file = EntryType::Regular;
    let home = "/usr/local/lib/python3.11/site-packages/sitecustomize.py";
    for (what, more, said) in [
        (
            "the environment",
            &[("opt/venv/bin/python", file, 0o755, "#!/bin/sh\n")][..],
            "outside the folders of the code: /opt/venv/bin/python",
        ),
        (
            "programs",
            &[("usr/bin/env", file, 0o755, "#!/bin/sh\n")],
            "outside the folders of the code: /usr/bin/env",
        ),
        (
            "the base's Python",
            &[(&home[1..], file, 0o644, "print('evil')\n")],
            "outside the folders of the code: /usr/local/lib",
        ),
        (
            "a whiteout",
            &[("opt/.wh.venv", file, 0o644, "")],
            "hides what is below it at /opt/venv",
        ),
        (
            "an opaque folder",
            &[("app/.wh..wh..opq", file, 0o644, "")],
            "hides what is below it at /app",
        ),
        (
            "a link to follow",
            &[
                ("app/out", EntryType::Symlink, 0o777, "/usr/bin"),
                ("app/out/env", file, 0o755, "#!/bin/sh\n"),
            ],
            "leads through a symbolic link",
        ),
        (
            "a second name",
            &[("app/again", EntryType::Link, 0o644, "app/train.py")],
            "/app/again",
        ),
        (
            "root's rights",
            &[("app/su", file, 0o4755, "#!/bin/sh\n")],
            "another user's rights for /app/su",
        ),
    ] {
        let digest = setting.with(Some(setting.tar(more)), |manifest| manifest);
        setting.refuses(what, &digest, said);
    }
    // Bytes that mlbuild wouldn't write: what is behind a tar's end isn't seen by who reads entries.
    let mut behind = setting.tar(&[]);
    behind.extend([0; 4096]);
    behind.extend(b"hidden");
    behind.resize(behind.len().next_multiple_of(512), 0);
    let digest = setting.with(Some(behind), |manifest| manifest);
    setting.refuses("what is behind the end", &digest, "");

    // Folders are the image's own word: the base's programs are nobody's code, whatever it says.
    for (folder, path, said) in [
        (
            "/usr/bin",
            "usr/bin/env",
            "among the base's programs and settings: /usr/bin/env",
        ),
        (
            "/opt",
            "opt/venv/x",
            "in the environment of the packages: /opt/venv/x",
        ),
        ("/app/..", "app/x", "which is no folder's path"),
    ] {
        let digest = setting.with(Some(setting.tar(&[(path, file, 0o644, "x")])), |manifest| {
            let told = r#"\"folders\":["#;
            assert!(manifest.contains(told), "{manifest}");
            manifest.replace(told, &format!(r#"{told}\"{folder}\","#))
        });
        setting.refuses(folder, &digest, said);
    }

    // What is said of the base beside the note is written anew.
    let digest = setting.with(None, |manifest| {
        let name = r#""org.opencontainers.image.base.name":""#;
        assert!(manifest.contains(name), "{manifest}");
        manifest.replace(name, &format!("{name}docker.io/"))
    });
    setting.refuses("the name of the base", &digest, "");
    assert_eq!(setting.verify(&digest).code, Some(4));
}

#[test]
fn an_index_from_which_somebody_gets_another_image_is_not_proved() {
    let setting = Setting::new();
    let evil = [("app/evil", EntryType::Regular, 0o755, "#!/bin/sh\n")];
    let evil = setting.with(Some(setting.tar(&evil)), |manifest| manifest);
    let amd64 = setting.descriptor(&setting.digest, "linux/amd64");
    let other = setting.descriptor(&evil, "linux/amd64");
    let marked = |mut one: Value| {
        one["annotations"] = json!({"vnd.docker.reference.type": "attestation-manifest"});
        one
    };
    for (what, manifests, said) in [
        (
            "two of one platform",
            json!([other, amd64]),
            "its index has two images for linux/amd64",
        ),
        (
            "another platform than the image's",
            json!([amd64, setting.descriptor(&evil, "linux/arm64")]),
            "for linux/arm64, and that image is for linux/amd64",
        ),
        (
            "an attestation for a platform",
            json!([marked(other.clone()), amd64]),
            "an attestation, and names it for linux/amd64",
        ),
    ] {
        setting.refuses(what, &setting.index(manifests), said);
    }
    // The same index with nothing wrong in it.
    let proved = setting.verify(&setting.index(json!([amd64])));
    let identical = format!("identical: linux/amd64 {}", setting.digest);
    assert_eq!(proved.answer(), identical, "{proved:?}");
}

#[test]
fn layers_of_every_form_are_proved() {
    let engines = Engines::from_env();
    let nobody = Project::new(&[]);
    for form in ["zstd", "gzip", "estargz", "zstd:chunked"] {
        let project = Project::new(&[
            ("requirements.txt", "six==1.17.0\n"),
            ("train.py", "print('lazy')\n"),
            ("a b/é.txt", "another name\n"),
        ]);
        let long = format!("a b/{}", "long".repeat(40));
        project.write(&long, "a long name\n");
        std::os::unix::fs::symlink("../train.py", project.path("a b/link")).unwrap();
        let tag = unique(&engines.registry, "alone-form");
        let words = |verb: &str, more: &[&str]| -> Vec<String> {
            let image = ["--base", &engines.python_base, "-t", &tag];
            let all = [verb].into_iter().chain(image).chain(more.iter().copied());
            let mut all: Vec<String> = all.map(str::to_owned).collect();
            all.extend(builder(&engines, "buildkitd").flags);
            all
        };
        let form_flag = format!("--repack={form}");
        let flags = ["--method=assemble", &form_flag];
        let mut lock = command(&project, &words("lock", &flags));
        Ran::of(lock.env("SOURCE_DATE_EPOCH", "1700000000")).answer();
        let made = run(&project, &words("image", &["--push", "--locked"]));
        let (_, digest) = made.answer().rsplit_once('@').unwrap();
        let mut verify = vec!["verify".to_owned(), tag.clone()];
        verify.extend(builder(&engines, "buildkitd").flags);
        let proved = run(&nobody, &verify);
        let identical = format!("identical: linux/amd64 {digest}");
        assert_eq!(proved.answer(), identical, "{form}: {proved:?}");
    }
}
