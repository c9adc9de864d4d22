//! Images put together from layers, beside the same ones that BuildKit builds.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use mlbuild::assemble::{AssembleError, AssembleRequest, BaseFacts, PinnedWheel, assemble};
use mlbuild::image::compare::LayerStore as Layers;
use mlbuild::image::layer::{EntryKind, EntryPath, LayerEntry, LayerLimits, Mtime, read_layer};
use mlbuild::image::pack::{PackBase, PackedFolder};
use mlbuild::image::{ImageLayer, OciLayout, PlatformImage};
use mlbuild::package_store::Store;
use mlbuild::registry::{Registry, RegistryOptions};
use mlbuild_manifests::lock::Pins;
use mlbuild_wheels::{Compression, LayerStore};
use oci_spec::distribution::Reference;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use tokio::runtime::Runtime;

use crate::image::unique;
use crate::lock::{builder, run};
use crate::support::engines::Engines;
use crate::support::mlbuild::Project;

const REQUIREMENTS: &str = "click==8.1.7\njinja2==3.1.6\npyyaml==6.0.2\nsix==1.17.0\n";
const IMPORTS: &str =
    "import click, jinja2, yaml, six, markupsafe, pip, sys; print(yaml.__version__, sys.prefix)";

/// The layers of an image in a registry.
pub struct InRegistry<'a> {
    registry: Registry,
    reference: Reference,
    runtime: &'a Runtime,
}

impl Layers for InRegistry<'_> {
    fn open(&self, layer: &ImageLayer) -> io::Result<Box<dyn Read + Send + '_>> {
        let handle = self.runtime.handle();
        let blob = self
            .registry
            .open_blob(&self.reference, &layer.blob, handle);
        Ok(Box::new(blob.map_err(io::Error::other)?))
    }
}

impl InRegistry<'_> {
    pub fn at<'a>(reference: &str, runtime: &'a Runtime) -> InRegistry<'a> {
        InRegistry {
            registry: Registry::new(RegistryOptions::default()),
            reference: reference.parse().unwrap(),
            runtime,
        }
    }

    pub fn image(&self) -> (PlatformImage, Value) {
        self.runtime.block_on(async {
            let images = self.registry.images(&self.reference, None).await.unwrap();
            let [image] = &images[..] else {
                panic!("one platform")
            };
            let config = self
                .registry
                .pull_blob(&self.reference, &image.config)
                .await;
            (
                image.clone(),
                serde_json::from_slice(&config.unwrap()).unwrap(),
            )
        })
    }

    /// Kind, mode, link and hash of every path in a folder.
    pub fn tree(&self, folder: &str) -> BTreeMap<String, String> {
        let mut tree = BTreeMap::new();
        for layer in &self.image().0.layers {
            let limits = LayerLimits::for_blob(layer.blob.size());
            read_layer(
                self.open(layer).unwrap(),
                layer,
                &limits,
                &mut |entry, content| {
                    if entry.path.is_in(folder.as_bytes()) {
                        let mut bytes = Vec::new();
                        content.read_to_end(&mut bytes)?;
                        let link = entry.link.as_deref().map(String::from_utf8_lossy);
                        let hash = hex::encode(&Sha256::digest(&bytes)[..8]);
                        let (kind, mode) = (entry.kind, entry.mode);
                        let seen = format!(
                            "{kind} {mode:o} {}:{} {link:?} {hash}",
                            entry.uid, entry.gid
                        );
                        tree.insert(entry.path.to_string(), seen);
                    }
                    Ok(ControlFlow::Continue(()))
                },
            )
            .unwrap();
        }
        tree
    }
}

/// What is known to differ: the file that uv locks.
pub fn is_known(path: &str) -> bool {
    path == "/opt/venv/.lock"
}

struct Setting {
    engines: Engines,
    project: Project,
    runtime: Runtime,
    base: PackBase,
    facts: BaseFacts,
    pins: Pins,
}

/// A locked project, and the image that BuildKit makes of it.
fn setting() -> (Setting, String) {
    let engines = Engines::from_env();
    let project = Project::new(&[
        ("requirements.txt", REQUIREMENTS),
        ("train.py", "print(1)\n"),
    ]);
    let tag = unique(&engines.registry, "assemble");
    let flags = |verb: &str, more: &[&str]| {
        let mut words = vec![verb.to_owned()];
        words.extend(builder(&engines, "buildkitd").flags);
        let image = ["--base", &engines.python_base, "--uid", "1000", "-t", &tag];
        words.extend(image.iter().chain(more).map(|&word| word.to_owned()));
        words
    };
    run(&project, &flags("lock", &[])).answer();
    let built = run(&project, &flags("image", &["--push", "--locked"]))
        .answer()
        .to_owned();
    let lock = project.lock();
    let entry = lock.images().next().unwrap();
    let pins = entry.build.as_ref().unwrap().platforms["linux/amd64"].clone();
    let runtime = Runtime::new().unwrap();
    let (base, facts) = {
        let layers = InRegistry::at(&engines.python_base, &runtime);
        let (image, config) = layers.image();
        let base = PackBase { image, config };
        let facts = BaseFacts::read(&base, &layers, None).unwrap();
        (base, facts)
    };
    let setting = Setting {
        engines,
        project,
        runtime,
        base,
        facts,
        pins,
    };
    (setting, built)
}

impl Setting {
    fn assemble(
        &self,
        store: &LayerStore,
        folder: &Path,
        compression: Compression,
    ) -> PlatformImage {
        let packages = Store::at(self.project.outside().join("state/inputs")).unwrap();
        let wheels = PinnedWheel::of_pins(&self.pins, &packages).unwrap();
        let mut settings = Map::new();
        settings.insert("WorkingDir".into(), json!("/app"));
        let file = LayerEntry {
            path: EntryPath::from("app/train.py"),
            kind: EntryKind::File,
            mode: 0o644,
            uid: 0,
            gid: 0,
            uname: Vec::new(),
            gname: Vec::new(),
            mtime: Mtime::default(),
            size: 9,
            link: None,
            device: None,
            xattrs: BTreeMap::new(),
        };
        let files = [(
            "COPY . /app".to_owned(),
            vec![(file, b"print(1)\n".to_vec())],
        )];
        let request = AssembleRequest {
            base: &self.base,
            facts: &self.facts,
            prefix: "/opt/venv",
            wheels: &wheels,
            before: &[],
            written: &[],
            files: &files,
            settings: &settings,
            annotations: &BTreeMap::new(),
            epoch: 1_700_000_000,
            compression,
            compiler: None,
            elsewhere: &HashSet::new(),
            vouched: &BTreeMap::new(),
        };
        let into = PackedFolder::create(folder).unwrap();
        assemble(&request, store, &into).unwrap().image
    }

    fn push(&self, folder: &Path, tag: &str) -> String {
        let layout = OciLayout::open(folder).unwrap();
        let reference: Reference = tag.parse().unwrap();
        let registry = Registry::new(RegistryOptions::default());
        let base: Reference = self.engines.python_base.parse().unwrap();
        let from = [base.repository().to_owned()];
        let pushed = registry.push_layout(&layout, &reference, &from, Arc::new(|_| {}));
        self.runtime.block_on(pushed).unwrap().pinned()
    }
}

#[test]
fn an_assembled_image_has_the_files_that_buildkit_makes_and_runs() {
    let (setting, built) = setting();
    let top = tempfile::tempdir().unwrap();
    let store = LayerStore::open(&top.path().join("layers"), u64::MAX).unwrap();
    let zstd = setting.assemble(&store, &top.path().join("zstd"), Compression::Zstd);
    setting.assemble(&store, &top.path().join("gzip"), Compression::Gzip);
    let tag = unique(&setting.engines.registry, "assembled");
    let pushed = setting.push(&top.path().join("zstd"), &tag);
    assert!(pushed.ends_with(zstd.manifest.digest().as_ref()));

    let by_buildkit = InRegistry::at(&built, &setting.runtime).tree("opt/venv");
    let by_us = InRegistry::at(&pushed, &setting.runtime).tree("opt/venv");
    assert!(by_us.len() > 500, "{}", by_us.len());
    let paths = by_buildkit.keys().chain(by_us.keys());
    let differ: Vec<String> = paths
        // Bytecode isn't asked for.
        .filter(|path| !is_known(path) && !path.contains("/__pycache__"))
        .filter(|path| by_buildkit.get(*path) != by_us.get(*path))
        .map(|path| format!("{path}: {:?}, {:?}", by_buildkit.get(path), by_us.get(path)))
        .collect();
    assert!(differ.is_empty(), "{}", differ.join("\n"));

    // Docker 20.10 can't read zstd.
    let gzip = unique(&setting.engines.registry, "assembled");
    let gzip = setting.push(&top.path().join("gzip"), &gzip);
    for (name, host) in setting.engines.dockers() {
        let image = if name == "Docker 20.10" {
            &gzip
        } else {
            &pushed
        };
        let python = ["run", "--rm", "--user", "1000", image, "python"];
        let said = setting
            .engines
            .docker(host, &[&python[..], &["-c", IMPORTS]].concat());
        assert_eq!(said, "6.0.2 /opt/venv", "{name}");
        let said = setting
            .engines
            .docker(host, &[&python[..], &["train.py"]].concat());
        assert_eq!(said, "1", "{name}");
    }

    // The same again, by a store that has nothing.
    let other = LayerStore::open(&top.path().join("other"), u64::MAX).unwrap();
    let again = setting.assemble(&other, &top.path().join("again"), Compression::Zstd);
    assert_eq!(again.manifest, zstd.manifest);
}

#[test]
fn a_base_without_python_is_refused() {
    let engines = Engines::from_env();
    let runtime = Runtime::new().unwrap();
    let layers = InRegistry::at(&engines.base, &runtime);
    let (image, config) = layers.image();
    let error = BaseFacts::read(&PackBase { image, config }, &layers, None).unwrap_err();
    assert!(matches!(error, AssembleError::Unfit(_)));
    assert_eq!(error.to_string(), "the base has no python3 on its PATH");
}
