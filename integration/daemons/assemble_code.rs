//! Layers of much code: folders have layers of their own, of which an edit makes one anew; and whatever is taken from
//! before, the image is the same.

use serde_json::Value;

use crate::image::unique;
use crate::lock::{builder, command, run};
use crate::support::engines::Engines;
use crate::support::http;
use crate::support::mlbuild::{Project, Ran};

/// Bytes that nothing makes smaller, the same for a seed.
fn noise(bytes: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as u8
    };
    (0..bytes).map(|_| next()).collect()
}

/// A project with two folders that get layers of their own, and one that doesn't.
fn project() -> Project {
    let project = Project::new(&[
        ("requirements.txt", "six==1.17.0\n"),
        ("train.py", "print('first')\n"),
        ("src/deep/model.py", "LAYERS = 3\n"),
        ("data/README", "of nothing but noise\n"),
    ]);
    for (path, bytes) in [("data/train/a.bin", 30 << 20), ("data/test/b.bin", 5 << 20)] {
        let path = project.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, noise(bytes, bytes as u64)).unwrap();
    }
    project
}

struct Setting {
    engines: Engines,
    project: Project,
    tag: String,
    name: String,
}

impl Setting {
    fn words(&self, verb: &str, more: &[&str]) -> Vec<String> {
        let image = [
            "--base",
            &self.engines.python_base,
            "--uid",
            "1000",
            "-t",
            &self.tag,
        ];
        let all = [verb].into_iter().chain(image).chain(more.iter().copied());
        let mut all: Vec<String> = all.map(str::to_owned).collect();
        all.extend(builder(&self.engines, "buildkitd").flags);
        all
    }

    /// Pushes the project as it is: its digest, and of each layer of code what it says and its digest.
    fn push(&self, cache: Option<&std::path::Path>) -> (String, Vec<(String, String)>) {
        let mut command = command(&self.project, &self.words("image", &["--locked", "--push"]));
        command.env("SOURCE_DATE_EPOCH", "1700000000");
        if let Some(cache) = cache {
            command.env("XDG_CACHE_HOME", cache);
        }
        let made = Ran::of(&mut command);
        let (_, digest) = made.answer().rsplit_once('@').unwrap();
        let (_, manifest) = http::manifest(&self.engines.registry, &self.name, digest);
        let config = &manifest["config"]["digest"];
        let config = http::json_blob(&self.engines.registry, &self.name, config);
        let steps = config["history"].as_array().unwrap().iter();
        let steps = steps.filter(|step| step["empty_layer"] != true);
        let said = |step: &Value| step["created_by"].as_str().unwrap_or_default().to_owned();
        let layers = manifest["layers"].as_array().unwrap().iter();
        let all = steps
            .map(said)
            .zip(layers.map(|layer| layer["digest"].as_str().unwrap().to_owned()));
        let codes = all.filter(|(said, _)| said.starts_with("mlbuild: COPY "));
        (digest.to_owned(), codes.collect())
    }
}

#[test]
fn an_edit_makes_the_layer_that_it_is_in_and_no_other() {
    let engines = Engines::from_env();
    let tag = unique(&engines.registry, "code");
    let name = tag.strip_prefix(&format!("{}/", engines.registry)).unwrap();
    let name = name.rsplit_once(':').unwrap().0.to_owned();
    let setting = Setting {
        project: project(),
        tag,
        name,
        engines,
    };
    let Setting {
        engines, project, ..
    } = &setting;
    run(project, &setting.words("lock", &["--method=assemble"])).answer();

    let (first, layers) = setting.push(None);
    let said: Vec<&str> = layers.iter().map(|(said, _)| said.as_str()).collect();
    assert_eq!(
        said,
        [
            "mlbuild: COPY . /app/",
            "mlbuild: COPY data/test /app/data/test/",
            "mlbuild: COPY data/train /app/data/train/",
        ]
    );
    // What was kept of before changes nothing.
    let elsewhere = tempfile::tempdir().unwrap();
    assert_eq!(setting.push(Some(elsewhere.path())).0, first);

    let differing = |then: &[(String, String)], now: &[(String, String)]| -> Vec<usize> {
        assert_eq!(then.len(), now.len());
        (0..now.len()).filter(|at| then[*at] != now[*at]).collect()
    };
    // What is edited, and which layer that is in.
    type Edit<'a> = (&'a str, Box<dyn Fn() + 'a>, usize);
    let edits: [Edit<'_>; 3] = [
        (
            "train.py",
            Box::new(|| project.write("train.py", "print('second')\n")),
            0,
        ),
        (
            "data/test",
            Box::new(|| project.write("data/test/more.txt", "more\n")),
            1,
        ),
        (
            "one byte of data/train, of the same size",
            Box::new(|| {
                let mut bytes = noise(30 << 20, 30 << 20);
                bytes[20 << 20] ^= 1;
                std::fs::write(project.path("data/train/a.bin"), bytes).unwrap();
            }),
            2,
        ),
    ];
    let mut before = layers;
    let mut last = first;
    for (what, edit, changed) in edits {
        edit();
        let (digest, layers) = setting.push(None);
        assert_eq!(differing(&before, &layers), [changed], "{what}");
        let elsewhere = tempfile::tempdir().unwrap();
        assert_eq!(setting.push(Some(elsewhere.path())).0, digest, "{what}");
        (before, last) = (layers, digest);
    }

    // Who has nothing but the reference.
    let nobody = Project::new(&[("other.py", "\n")]);
    let image = format!("{}/{}@{last}", engines.registry, setting.name);
    let mut words = vec!["verify".to_owned(), image.clone()];
    words.extend(builder(engines, "buildkitd").flags);
    let verified = Ran::of(&mut command(&nobody, &words));
    assert!(verified.stdout.contains("identical"), "{verified:?}");

    // Folders keep their rights, also where a store makes those that a layer lacks.
    let script = "cat data/README src/deep/model.py data/test/more.txt; \
        stat -c '%a %n' data data/test data/train; python train.py; wc -c < data/train/a.bin";
    // Docker 20 takes no layers packed with zstd.
    let dockers = engines.dockers().into_iter();
    for (store, host) in dockers.filter(|(name, _)| !name.contains("20")) {
        let ran = engines.docker(
            host,
            &["run", "--rm", "--network=none", &image, "sh", "-c", script],
        );
        assert_eq!(
            ran,
            "of nothing but noise\nLAYERS = 3\nmore\n755 data\n755 data/test\n755 data/train\nsecond\n31457280",
            "{store}"
        );
    }
}
