//! Variants of one project: pinned together, with the same versions and layers of what they have in common; each
//! made, proved and brought back by itself.

use std::collections::{BTreeMap, BTreeSet};

use tokio::runtime::Runtime;

use crate::assemble::InRegistry;
use crate::image::unique;
use crate::lock::{builder, command};
use crate::support::engines::Engines;
use crate::support::mlbuild::{Project, Ran};

/// No builder is there.
const NOWHERE: [&str; 2] = ["--builder", "tcp://127.0.0.1:9"];

struct Setting {
    engines: Engines,
    project: Project,
    /// `HOST/NAME:1`
    image: String,
}

impl Setting {
    /// A project whose `mlbuild.toml` has this beside base and tag.
    fn new(name: &str, start: &str, image: &str, variants: &str) -> Self {
        let engines = Engines::from_env();
        let tag = unique(&engines.registry, name);
        let base = &engines.python_base;
        let text =
            format!("{start}\n[image]\ntag = \"{tag}\"\nbase = \"{base}\"\n{image}\n{variants}");
        let project = Project::new(&[("train.py", "print(1)\n"), ("mlbuild.toml", &text)]);
        Self {
            engines,
            project,
            image: tag,
        }
    }

    fn run(&self, words: &[&str]) -> Ran {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        Ran::of(&mut command(&self.project, &words))
    }

    fn here(&self, words: &[&str]) -> Ran {
        self.run(&[words, &NOWHERE].concat())
    }

    /// The versions of a package, by the tags of the images that the lock pins it for.
    fn versions(&self, package: &str) -> BTreeMap<String, String> {
        let lock = self.project.lock();
        let of = |build: &mlbuild_manifests::lock::LockedBuild| {
            let files = build.platforms.values().flat_map(|p| &p.python_packages);
            let mut found = files.filter(|file| file.name == package);
            found.next().map(|file| file.version.clone())
        };
        let entries = lock.images();
        entries
            .filter_map(|entry| {
                let name = entry.variant.clone().unwrap_or_else(|| "-".to_owned());
                Some((name, of(entry.build.as_ref()?)?))
            })
            .collect()
    }
}

fn versions(all: &[(&str, &str)]) -> BTreeMap<String, String> {
    let all = all.iter();
    all.map(|(name, version)| ((*name).to_owned(), (*version).to_owned()))
        .collect()
}

#[test]
fn two_variants_share_every_layer_but_that_of_what_differs() {
    let setting = Setting::new(
        "variants",
        "default_variant = \"cpu\"\n",
        "packages = [\"six==1.17.0\", \"click==8.1.7\"]\nmethod = \"assemble\"\n",
        "[variant.cpu]\npackages = [\"idna==3.10\"]\n[variant.cuda]\npackages = [\"certifi==2025.1.31\"]\nenv = { MODE = \"cuda\" }\n",
    );
    let image = setting.image.as_str();
    setting.here(&["lock"]).answer();
    let lock = setting.project.read("mlbuild.lock");
    assert!(lock.contains("\nversion = 5\n"), "{lock}");
    let entries = setting.project.lock();
    let names: Vec<_> = entries
        .images()
        .map(|entry| (entry.key().to_string(), entry.variant.clone()))
        .collect();
    let expected = ["cpu", "cuda"].map(|name| (format!("{image}-{name}"), Some(name.to_owned())));
    assert_eq!(names, expected, "what they share alone is no image");

    // All of them fit; the default one is made without its name.
    setting.here(&["lock", "--locked"]).answer();
    let push = ["image", "--push", "--locked"];
    let cpu = setting.here(&push).answer().to_owned();
    let bound = ["--variant", "cuda", "--run-id", "exp-cuda"];
    let cuda = setting.here(&[&push[..], &bound].concat());
    let cuda = cuda.answer().to_owned();
    assert!(cpu.starts_with(&format!("{image}-cpu@")), "{cpu}");
    assert!(cuda.starts_with(&format!("{image}-cuda@")), "{cuda}");
    assert_eq!(setting.project.read("mlbuild.lock"), lock);

    let runtime = Runtime::new().unwrap();
    let layers = |image: &str| -> BTreeSet<String> {
        let layers = InRegistry::at(image, &runtime).image().0.layers;
        layers.iter().map(|l| l.blob.digest().to_string()).collect()
    };
    let (of_cpu, of_cuda) = (layers(&cpu), layers(&cuda));
    let shared = of_cpu.intersection(&of_cuda).count();
    assert_eq!((of_cpu.len() - shared, of_cuda.len() - shared), (1, 1));
    assert!(shared >= 5, "{of_cpu:?} {of_cuda:?}");

    // Each is proved: by its name, as a run, as an image, and without the project.
    let digest = cuda.rsplit_once('@').unwrap().1;
    for words in [
        &["verify", "--variant", "cuda"][..],
        &["verify", "exp-cuda"],
        &["verify", &cuda],
    ] {
        let ran = setting.here(words);
        assert!(ran.answer().contains(digest), "{words:?}: {ran:?}");
    }
    assert!(setting.here(&["verify"]).answer().contains("identical"));
    let nobody = Project::new(&[("other.py", "print('not its project')\n")]);
    let words = ["verify", &cuda, NOWHERE[0], NOWHERE[1]].map(str::to_owned);
    let alone = Ran::of(&mut command(&nobody, &words));
    assert!(alone.answer().contains(digest), "{alone:?}");

    // A run of a variant comes back with that variant's image.
    let restored = setting.run(&["restore", "exp-cuda"]);
    assert!(restored.answer().contains(digest), "{restored:?}");
}

#[test]
fn a_package_has_one_version_unless_something_asks_for_another() {
    // The first one that is looked for is drawn to what a later one is held to.
    let setting = Setting::new(
        "variants-together",
        "",
        "packages = [\"packaging\"]\nmethod = \"assemble\"\n",
        "[variant.new]\n[variant.old]\npackages = [\"packaging<24\"]\n",
    );
    let ran = setting.here(&["lock"]);
    ran.answer();
    let same = [("-", "23.2"), ("new", "23.2"), ("old", "23.2")];
    assert_eq!(setting.versions("packaging"), versions(&same));
    assert!(!ran.stderr.contains("packaging is"), "{}", ran.stderr);

    // One that is pinned anew takes the others' versions; what has to differ is said.
    let text = setting.project.read("mlbuild.toml");
    let with = |from: &str, to: &str| {
        assert!(text.contains(from), "{text}");
        setting
            .project
            .write("mlbuild.toml", &text.replace(from, to));
    };
    with(
        "[variant.new]",
        "[variant.new]\npackages = [\"six==1.17.0\"]",
    );
    setting.here(&["lock", "--variant", "new"]).answer();
    assert_eq!(setting.versions("packaging"), versions(&same));
    with(
        "[variant.new]",
        "[variant.new]\npackages = [\"packaging==24.2\"]",
    );
    let lock = setting.project.read("mlbuild.lock");
    let ran = setting.here(&["lock", "--locked"]);
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert!(ran.stderr.contains("error: variant new: "), "{ran:?}");
    setting
        .here(&["lock", "--locked", "--variant", "old"])
        .answer();
    let ran = setting.here(&["lock"]);
    ran.answer();
    let held = [("-", "23.2"), ("new", "24.2"), ("old", "23.2")];
    assert_eq!(setting.versions("packaging"), versions(&held));
    let said =
        "packaging is 23.2 in the image without a variant and variant old, and 24.2 in variant new";
    assert!(ran.stderr.contains(said), "{}", ran.stderr);
    assert_ne!(setting.project.read("mlbuild.lock"), lock);

    // All or none: what can't be had in one keeps the others from being written.
    let lock = setting.project.read("mlbuild.lock");
    with(
        "[variant.old]\n",
        "[variant.old]\nrequirements = [\"none.txt\"]\n",
    );
    setting.project.write("none.txt", "packaging==0.0.0.1\n");
    let ran = setting.here(&["lock", "--upgrade"]);
    assert!(ran.stderr.contains("error: variant old: "), "{ran:?}");
    assert_eq!(setting.project.read("mlbuild.lock"), lock);
}

#[test]
fn a_builder_makes_them_too() {
    let setting = Setting::new(
        "variants-built",
        "",
        "packages = [\"packaging\"]\nmethod = \"buildkit\"\n",
        "[variant.old]\npackages = [\"packaging<24\"]\n",
    );
    let flags = builder(&setting.engines, "buildkitd").flags;
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let run = |words: &[&str]| setting.run(&[words, &flags].concat());
    run(&["lock"]).answer();
    let same = versions(&[("-", "23.2"), ("old", "23.2")]);
    assert_eq!(setting.versions("packaging"), same, "asked inside the base");
    let push = ["image", "--push", "--locked"];
    let plain = run(&push).answer().to_owned();
    let old = run(&[&push[..], &["--variant", "old"]].concat());
    let old = old.answer().to_owned();
    assert!(plain.starts_with(&format!("{}@", setting.image)), "{plain}");
    assert!(old.starts_with(&format!("{}-old@", setting.image)), "{old}");
    // They hold the same packages: but for the name it is the same image.
    let digest = |image: &str| image.rsplit_once('@').unwrap().1.to_owned();
    assert_eq!(digest(&plain), digest(&old));
    run(&["verify", "--variant", "old"]).answer();
}
