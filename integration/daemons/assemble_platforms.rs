//! One lock and one image for two platforms, assembled on one machine: nothing of the other's is run to make
//! it. What it holds is then run by an emulator.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::image::unique;
use crate::lock::{builder, command};
use crate::support::engines::Engines;
use crate::support::mlbuild::{Project, Ran};

const REQUIREMENTS: &str = "click==8.1.7\njinja2==3.1.6\npyyaml==6.0.2\n";
const BOTH: [&str; 2] = ["--platform", "linux/arm64,linux/amd64"];
/// No builder is there.
const NOWHERE: [&str; 2] = ["--builder", "tcp://127.0.0.1:9"];
const ARM64: &str = "linux/arm64";
const SITE: &str = "opt/venv/lib/python3.11/site-packages";

struct Setting {
    engines: Engines,
    project: Project,
}

impl Setting {
    fn new(requirements: &str) -> Self {
        let train = "import yaml\nprint(yaml.__version__)\n";
        let files = [("requirements.txt", requirements), ("train.py", train)];
        Self {
            engines: Engines::from_env(),
            project: Project::new(&files),
        }
    }

    /// The words of a command, all of an image assembled, with the same time in each.
    fn run(&self, verb: &str, tag: &str, more: &[&str]) -> Ran {
        let base = self.engines.platforms_base.as_str();
        let image = [verb, "--method=assemble", "--base", base, "--uid", "1000"];
        let tag = ["-t", tag];
        let words = image.iter().chain(&tag).chain(more);
        let words: Vec<String> = words.map(|&word| word.to_owned()).collect();
        let mut command = command(&self.project, &words);
        Ran::of(command.env("SOURCE_DATE_EPOCH", "1700000000"))
    }

    fn with_builder(&self, verb: &str, tag: &str, more: &[&str]) -> Ran {
        let flags = builder(&self.engines, "buildkitd").flags;
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        self.run(verb, tag, &[&flags, more].concat())
    }

    /// By platform the manifest in an index, which lists no others.
    fn manifests(&self, reference: &str) -> Vec<(String, String)> {
        let skopeo = Command::new(self.engines.bin.join("skopeo"))
            .args(["inspect", "--raw", "--tls-verify=false"])
            .arg(format!("docker://{}", reference.replace(":v1@", "@")))
            .output();
        let index: serde_json::Value = serde_json::from_slice(&skopeo.unwrap().stdout).unwrap();
        let of = |manifest: &serde_json::Value| {
            let platform = &manifest["platform"];
            let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
            let (os, machine) = (text(&platform["os"]), text(&platform["architecture"]));
            (format!("{os}/{machine}"), text(&manifest["digest"]))
        };
        index["manifests"]
            .as_array()
            .unwrap()
            .iter()
            .map(of)
            .collect()
    }

    /// The files of the image for arm64.
    fn unpacked(&self, reference: &str) -> PathBuf {
        let (engines, folder) = (&self.engines, self.project.outside().join("arm64"));
        std::fs::create_dir(&folder).unwrap();
        let host = &engines.docker_containerd;
        let create = ["create", "--platform", ARM64, reference, "true"];
        let id = engines.docker(host, &create);
        let tar = self.project.outside().join("arm64.tar");
        engines.docker(host, &["export", "-o", tar.to_str().unwrap(), &id]);
        engines.docker(host, &["rm", &id]);
        let untar = Command::new("tar")
            .args(["-x", "--exclude=dev/*", "-f"])
            .arg(&tar)
            .arg("-C")
            .arg(&folder)
            .status();
        assert!(untar.unwrap().success());
        std::fs::remove_file(tar).unwrap();
        folder
    }

    /// Runs the Python of an unpacked image for arm64.
    fn python(&self, root: &Path, words: &[&str]) -> String {
        let output = Command::new(&self.engines.qemu_arm64)
            .env_clear()
            .env("PYTHONHASHSEED", "0")
            .env("PYTHONPATH", root.join(SITE))
            .args(["-L".as_ref(), root.as_os_str()])
            .arg(root.join("usr/bin/python3.11"))
            .args(["-s", "-X", "utf8"])
            .args(words)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn one_index_has_what_each_platform_has_alone() {
    let setting = Setting::new(REQUIREMENTS);
    let (project, engines) = (&setting.project, &setting.engines);
    let tag = unique(&engines.registry, "platforms");
    setting
        .run("lock", &tag, &[&BOTH[..], &NOWHERE].concat())
        .answer();
    let lock = project.lock();
    let build = lock.images().next().unwrap().build.clone().unwrap();
    let [amd64, arm64] = ["linux/amd64", ARM64].map(|name| &build.platforms[name]);
    let versions = |pins: &mlbuild_manifests::lock::Pins| -> Vec<(String, String)> {
        let all = pins.python_packages.iter();
        all.map(|p| (p.name.clone(), p.version.clone())).collect()
    };
    assert_eq!(versions(amd64), versions(arm64));
    let yaml = |pins: &mlbuild_manifests::lock::Pins| {
        let mut all = pins.python_packages.iter();
        all.find(|p| p.name == "pyyaml").unwrap().file.clone()
    };
    assert!(yaml(amd64).contains("_x86_64"), "{}", yaml(amd64));
    assert!(yaml(arm64).contains("_aarch64"), "{}", yaml(arm64));

    let push = [&BOTH[..], &["--push"]].concat();
    let made = setting.with_builder("image", &tag, &push);
    assert!(!made.stderr.contains("without bytecode"), "{}", made.stderr);
    let made = made.answer().to_owned();
    let manifests = setting.manifests(&made);
    let platforms: Vec<&str> = manifests.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(platforms, ["linux/amd64", ARM64]);

    // Nobody else has a builder from here on. Nothing changed; made again, it is the same.
    let again = [&push[..], &NOWHERE].concat();
    let unchanged = setting.run("image", &tag, &again);
    assert!(
        unchanged.stderr.contains("nothing changed"),
        "{}",
        unchanged.stderr
    );
    let again = [&again[..], &["--no-skip"]].concat();
    assert_eq!(setting.run("image", &tag, &again).answer(), made);
    let folder = project.outside().join("layout");
    let output = format!("type=oci,tar=false,dest={}", folder.display());
    let written = [&BOTH[..], &["-o", &output], &NOWHERE].concat();
    setting.run("image", &tag, &written).answer();
    let index = std::fs::read_to_string(folder.join("index.json")).unwrap();
    assert!(index.contains(made.rsplit('@').next().unwrap()), "{index}");

    // Each is what a build for it alone gives, from a lock of its own.
    for (platform, digest) in &manifests {
        let alone = Setting::new(REQUIREMENTS);
        let tag = unique(&engines.registry, "alone");
        let flags = ["--platform", platform];
        alone
            .run("lock", &tag, &[&flags[..], &NOWHERE].concat())
            .answer();
        let one = alone.with_builder("image", &tag, &["--platform", platform, "--push"]);
        assert!(
            one.answer().ends_with(digest),
            "{platform}: {}",
            one.answer()
        );
    }

    // All is proved from beside it, and one platform.
    for (more, proved) in [(&[][..], 2), (&["--platform", ARM64], 1)] {
        let reference = made.replace(":v1@", "@");
        let words = [&[reference.as_str()], more, &NOWHERE].concat();
        let base = ["verify", "--base", &engines.platforms_base, "--uid", "1000"];
        let words = base.iter().chain(&words).map(|&word| word.to_owned());
        let ran = Ran::of(&mut command(project, &words.collect::<Vec<_>>()));
        assert_eq!(ran.answer().matches("identical: ").count(), proved);
    }

    // Whoever runs it gets the image of the machine's platform; the record pins all.
    for (name, host) in engines.dockers() {
        if name != "Docker 20.10" {
            assert_eq!(engines.docker(host, &["run", "--rm", &made]), "", "{name}");
            let run = ["run", "--rm", &made, "python", "train.py"];
            assert_eq!(engines.docker(host, &run), "6.0.2", "{name}");
        }
    }
    let record = project.read(&format!("mlbuild.runs/{}", project.runs()[0]));
    for (platform, digest) in &manifests {
        let named = format!("[image.platforms.\"{platform}\"]\nmanifest = \"{digest}\"");
        assert!(record.contains(&named), "{record}");
    }
    what_reads_images_reads_the_index(&setting, &made);
    the_other_platform_runs(&setting, &made);
}

fn what_reads_images_reads_the_index(setting: &Setting, made: &str) {
    let reference = made.replace(":v1@", "@");
    let said = |words: &[&str]| -> String {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        Ran::of(&mut command(&setting.project, &words))
            .answer()
            .to_owned()
    };
    let seen = said(&["inspect", &reference, "--format", "json"]);
    let seen: serde_json::Value = serde_json::from_str(&seen).unwrap();
    let seen: BTreeSet<&String> = seen["platforms"].as_object().unwrap().keys().collect();
    assert_eq!(seen.len(), 2, "{seen:?}");
    let documents = said(&["attest", &reference, "--sbom", "spdx"]);
    for platform in ["linux/amd64", ARM64] {
        let bill = format!("{platform} application/spdx+json");
        assert!(documents.contains(&bill), "{documents}");
    }
    let adopted = unique(&setting.engines.registry, "adopted");
    let flags = ["--uid", "2000", "--user", "vorph", "-t", &adopted];
    let adopted = said(&[&["adopt", &reference], &flags[..]].concat());
    assert_eq!(setting.manifests(&adopted).len(), 2);
}

/// Its machine code is of that platform, and its bytecode is what its own Python makes.
fn the_other_platform_runs(setting: &Setting, made: &str) {
    let root = setting.unpacked(made);
    let site = root.join(SITE);
    let libraries = files(&site, ".so");
    assert!(!libraries.is_empty());
    for library in &libraries {
        let bytes = std::fs::read(library).unwrap();
        let machine = u16::from_le_bytes([bytes[18], bytes[19]]);
        assert_eq!(
            (&bytes[..4], machine),
            (&b"\x7fELF"[..], 183),
            "{library:?}"
        );
    }
    let program = "import platform, yaml._yaml, markupsafe._speedups as s; \
                   print(platform.machine(), yaml.__with_libyaml__, s.__file__[-23:])";
    let said = setting.python(&root, &["-c", program]);
    assert!(said.starts_with("aarch64 True"), "{said}");

    let ours = files(&site, ".pyc");
    let ours: Vec<(PathBuf, Vec<u8>)> = ours
        .into_iter()
        .filter(|path| path.starts_with(site.join("yaml")) || path.starts_with(site.join("click")))
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect();
    assert!(ours.len() > 30, "{}", ours.len());
    for (path, _) in &ours {
        std::fs::remove_file(path).unwrap();
    }
    for package in ["click", "yaml"] {
        let listed = setting.project.outside().join("listed");
        let sources = files(&site.join(package), ".py");
        let lines: Vec<String> = sources
            .iter()
            .map(|p| format!("{}\n", p.display()))
            .collect();
        std::fs::write(&listed, lines.concat()).unwrap();
        let (listed, top) = (listed.to_str().unwrap(), root.to_str().unwrap());
        let compile = [
            "-S",
            "-m",
            "compileall",
            "-qq",
            "-j1",
            "--invalidation-mode",
        ];
        let compile = [
            &compile[..],
            &["unchecked-hash", "-s", top, "-p", "/", "-i", listed],
        ];
        setting.python(&root, &compile.concat());
    }
    for (path, bytes) in &ours {
        assert!(std::fs::read(path).unwrap() == *bytes, "{path:?}");
    }
}

#[test]
fn a_lock_grows_by_a_platform_and_moves_nothing() {
    let setting = Setting::new("click\n");
    let (project, engines) = (&setting.project, &setting.engines);
    let tag = unique(&engines.registry, "one-more");
    let amd64 = [&["--platform", "linux/amd64"], &NOWHERE[..]].concat();
    setting.run("lock", &tag, &amd64).answer();
    // As if the index had a newer version meanwhile.
    let old = project.read("mlbuild.lock");
    let pins = |platform: &str| -> Vec<String> {
        let lock = project.lock();
        let build = lock.images().next().unwrap().build.clone().unwrap();
        let pins = build.platforms[platform].python_packages.iter();
        pins.map(|p| format!("{} {}", p.name, p.version)).collect()
    };
    let before = pins("linux/amd64");

    let arm64 = [&["--platform", ARM64], &NOWHERE[..]].concat();
    for (verb, more) in [
        ("lock", &["--locked"][..]),
        ("image", &["--locked", "--push"]),
    ] {
        let refused = setting.run(verb, &tag, &[&arm64[..], more].concat());
        let refused = refused.refusal(4);
        let said = "the lock has packages for linux/amd64, and this build is for linux/arm64";
        let hint = "mlbuild lock --platform linux/amd64,linux/arm64, with the image's other flags";
        assert!(
            refused.contains(said) && refused.contains(hint),
            "{refused}"
        );
    }
    assert_eq!(project.read("mlbuild.lock"), old);
    setting.run("lock", &tag, &arm64).answer();
    assert_eq!(pins("linux/amd64"), before);
    assert_eq!(pins(ARM64), before);
    // Fewer are asked for: what is there stays.
    setting.run("lock", &tag, &amd64).answer();
    assert_eq!(pins(ARM64), before);

    let mut buildkit = builder(engines, "buildkitd").flags;
    buildkit.extend(["--method=buildkit", "--push"].map(str::to_owned));
    let flags: Vec<&str> = buildkit.iter().map(String::as_str).collect();
    let mut words = vec!["image", "--base", &engines.platforms_base, "--uid", "1000"];
    words.extend(["-t", &tag].iter().chain(&BOTH).chain(&flags));
    let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
    let refused = Ran::of(&mut command(project, &words));
    let refused = refused.refusal(2);
    assert!(
        refused.contains("one platform at a time") && refused.contains("--method=assemble"),
        "{refused}"
    );
    let classic = builder(engines, "docker-classic").flags;
    let classic: Vec<&str> = classic.iter().map(String::as_str).collect();
    let refused = setting.run("image", &tag, &[&BOTH[..], &["--load"], &classic].concat());
    let refused = refused.refusal(2);
    assert!(
        refused.contains("--platform with several platforms"),
        "{refused}"
    );
}

#[test]
fn what_is_wrong_names_the_platform() {
    let engines = Engines::from_env();
    let amd64_alone = engines.python_base.clone();
    let base = engines.platforms_base.clone();
    for (requirements, base, platforms, code, said) in [
        (
            "six\n",
            &base,
            "linux/amd64,amd64",
            2,
            "--platform amd64: this platform is there twice",
        ),
        (
            "six\n",
            &base,
            "linux/arm64,linux/arm64/v8",
            2,
            "this platform is there twice",
        ),
        ("six\n", &base, "arm46", 2, "write os/architecture"),
        (
            "six\n",
            &base,
            "linux/arm46",
            2,
            "is for linux/amd64, linux/arm64, and this build is for linux/arm46",
        ),
        (
            "six\n",
            &amd64_alone,
            "linux/amd64,linux/arm64",
            2,
            "is for linux/amd64, and this build is for linux/arm64",
        ),
        // There are no wheels of it for arm64, and no source archive.
        (
            "triton==3.0.0\n",
            &base,
            "linux/amd64,linux/arm64",
            2,
            "packages can't be pinned for linux/arm64: No solution found when resolving dependencies: Because triton==3.0.0 has no wheels",
        ),
    ] {
        let project = Project::new(&[("requirements.txt", requirements)]);
        for verb in ["lock", "image"] {
            let mut words = vec![verb, "--method=assemble", "--base", base, "-t", "wrong:1"];
            words.extend(["--platform", platforms]);
            words.extend(NOWHERE);
            let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
            let refused = Ran::of(&mut command(&project, &words));
            let refused = refused.refusal(code);
            assert!(refused.contains(said), "{verb}: {refused}");
            assert!(!project.path("mlbuild.lock").exists());
        }
    }
}

#[test]
fn an_image_for_one_platform_is_held_and_proved_by_a_lock_for_two() {
    let setting = Setting::new("click==8.1.7\n");
    let (project, engines) = (&setting.project, &setting.engines);
    let tag = unique(&engines.registry, "one-of-two");
    setting
        .run("lock", &tag, &[&BOTH[..], &NOWHERE].concat())
        .answer();
    let lock = project.read("mlbuild.lock");
    let one = ["--platform", "linux/amd64", "--push", "--locked"];
    let flags = |run: &dyn Fn(&[&str]) -> Ran, more: &[&str]| run(&[&one[..], more].concat());
    let here = |words: &[&str]| setting.with_builder("image", &tag, words);
    let nowhere = |words: &[&str]| setting.run("image", &tag, &[words, &NOWHERE].concat());
    let made = flags(&here, &[]).answer().to_owned();

    // The lock names no image, and may not: what was made with it is remembered.
    let again = flags(&nowhere, &[]);
    assert!(again.stderr.contains("nothing changed"), "{}", again.stderr);
    assert_eq!(again.answer(), made);
    let anyway = flags(&nowhere, &["--no-skip"]);
    assert!(!anyway.stderr.contains("nothing changed"), "{anyway:?}");
    assert_eq!(anyway.answer(), made);

    // An edit makes another image once.
    project.write("train.py", "print('edited')\n");
    let edited = flags(&nowhere, &[]);
    assert!(!edited.stderr.contains("nothing changed"), "{edited:?}");
    let edited = edited.answer().to_owned();
    assert_ne!(edited, made);
    let again = flags(&nowhere, &[]);
    assert!(again.stderr.contains("nothing changed"), "{}", again.stderr);
    assert_eq!(again.answer(), edited);

    // Other pins are another image, whatever is remembered: those that a build writes are with bytecode.
    let free = ["--platform", "linux/amd64", "--push"];
    setting.with_builder("image", &tag, &free).answer();
    let compiled = project.read("mlbuild.lock");
    assert!(compiled.contains("bytecode = true"), "{compiled}");
    let with_bytecode = flags(&nowhere, &[]).answer().to_owned();
    assert_ne!(with_bytecode, edited);
    project.write("mlbuild.lock", &lock);
    let other = flags(&nowhere, &[]);
    assert!(!other.stderr.contains("nothing changed"), "{other:?}");
    assert_eq!(other.answer(), edited);

    project.write("train.py", "import yaml\nprint(yaml.__version__)\n");
    assert_eq!(flags(&nowhere, &[]).answer(), made);
    assert_eq!(project.read("mlbuild.lock"), lock);
    for more in [&[][..], &["--platform", "linux/amd64"]] {
        let proved = setting.run("verify", &tag, &[more, &NOWHERE].concat());
        let proved = proved.answer();
        assert!(proved.starts_with("identical: linux/amd64 "), "{proved}");
    }
    // A project that isn't the lock's is still told.
    project.write("train.py", "print('other')\n");
    let refused = setting.run("verify", &tag, &NOWHERE);
    let refused = refused.refusal(4);
    assert!(refused.contains("the files of the context"), "{refused}");
}
