//! Packages of conda's channels: solved, pinned, fetched by hash and laid out by a real builder, from channels that
//! the tests make.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::image::{buildkitd, unique};
use crate::servers::WebServer;
use crate::support::engines::Engines;
use crate::support::mlbuild::{Project, Ran};
use crate::support::repository;

/// Two channels, `main` and `extra`, and the server in front of them.
struct Channels {
    folder: TempDir,
    server: WebServer,
    /// SHA-256 of each package, by its path.
    packages: BTreeMap<String, String>,
}

impl Channels {
    fn new(python: Option<&Path>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let script = repository().join("integration/daemons/conda/channel.py");
        let mut command = Command::new("python3");
        command.arg(script).arg(folder.path()).args(python);
        let made = command.output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let text = String::from_utf8(made.stdout).unwrap();
        let row = |line: &str| {
            let mut words = line.split(' ').map(str::to_owned);
            (words.next().unwrap(), words.next().unwrap())
        };
        Self {
            packages: text.lines().map(row).collect(),
            server: WebServer::start(folder.path()),
            folder,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.server.host)
    }

    fn file(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// A lock as conda-lock writes it.
    fn lock(&self, paths: &[&str]) -> String {
        let mut text = String::from(
            "version: 1\nmetadata:\n  content_hash: {linux-64: '0'}\n  platforms: [linux-64]\n  channels: []\n  sources: []\npackage:\n",
        );
        for path in paths {
            let file = path.rsplit('/').next().unwrap();
            let (name, rest) = file.split_once('-').unwrap();
            let version = rest.split('-').next().unwrap();
            text += &format!(
                "- name: {name}\n  version: '{version}'\n  manager: conda\n  platform: linux-64\n  dependencies: {{}}\n  url: {}\n  hash:\n    sha256: {}\n  category: main\n  optional: false\n",
                self.url(path),
                self.packages[*path]
            );
        }
        text
    }
}

/// The parts of Debian's Python that a package of conda is made of.
fn debians_python(engines: &Engines) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    let mut tar = Command::new(engines.bin.join("docker"))
        .args([
            "--host",
            &engines.docker_containerd,
            "run",
            "--rm",
            "--network",
            "none",
        ])
        .args([
            "--entrypoint",
            "tar",
            &engines.python_base,
            "-C",
            "/",
            "-cf",
            "-",
        ])
        .args([
            "usr/lib/python3.11",
            "usr/lib/python3/dist-packages/pip",
            "usr/bin/python3.11",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let unpacked = Command::new("tar")
        .args(["-x", "--exclude=__pycache__", "-C"])
        .arg(root.path())
        .stdin(tar.stdout.take().unwrap())
        .status()
        .unwrap();
    assert!(tar.wait().unwrap().success() && unpacked.success());
    root
}

struct Stand {
    engines: Engines,
    project: Project,
    tag: String,
}

impl Stand {
    fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let engines = Engines::from_env();
        Self {
            tag: unique(&engines.registry, name),
            project: Project::new(files),
            engines,
        }
    }

    fn run(&self, verb: &str, more: &[&str]) -> Ran {
        let mut words = vec![verb.to_owned()];
        words.extend(buildkitd(&self.engines));
        words.extend(["-t".into(), self.tag.clone()]);
        words.extend(["--base".into(), self.engines.python_base.clone()]);
        words.extend(more.iter().map(|&word| word.to_owned()));
        Ran::of(&mut crate::lock::command(&self.project, &words))
    }

    /// What a command prints in the image.
    fn inside(&self, line: &str) -> String {
        let output = Command::new(self.engines.bin.join("docker"))
            .args(["--host", &self.engines.docker_containerd, "run", "--rm"])
            .args(["--pull", "always", "-q", "--network", "none"])
            .args(["--entrypoint", "/bin/sh", &self.tag, "-euc", line])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }
}

#[test]
fn a_lock_of_conda_is_installed_as_it_stands_and_nothing_else_than_it_names() {
    let channels = Channels::new(None);
    let (hello, helper) = (
        "main/noarch/hello-1.0-0.tar.bz2",
        "main/linux-64/helper-2.1-h1_0.conda",
    );
    let lock = channels.lock(&[hello, helper]);
    let stand = Stand::new("conda-lock", &[("conda-lock.yml", &lock)]);
    let ran = stand.run("image", &["--push", "--no-lock", "--progress", "plain"]);
    ran.answer();
    let used = "conda-lock.yml: used: 2 packages of conda's channels, each by its hash";
    assert!(ran.stderr.contains(used), "{}", ran.stderr);
    let aside = "these packages' own scripts aren't run after they are installed: hello";
    assert!(ran.stderr.contains(aside), "{}", ran.stderr);
    let said = stand.inside(
        "hello; ls /opt; command -v hello; stat -c %Y /opt/conda/bin/helper; grep -c url /opt/conda/conda-meta/*.json | grep -c ':1$'",
    );
    assert_eq!(
        said,
        "helper 2.1 says hello\nconda\n/opt/conda/bin/hello\n315532800\n2\n"
    );

    // Another file under the same name, and none.
    let wrong = lock.replace(&channels.packages[helper], &"ab".repeat(32));
    stand.project.write("conda-lock.yml", &wrong);
    let ran = stand.run("image", &["--push", "--no-lock"]);
    let said = ran.refusal(1);
    let found = format!("has the sha256 {}", channels.packages[helper]);
    assert!(said.contains(&found), "{said}");
    std::fs::remove_file(channels.file("extra/linux-64/other-0.1-0.conda")).unwrap();
    let lock = channels.lock(&["extra/linux-64/other-0.1-0.conda"]);
    stand.project.write("conda-lock.yml", &lock);
    let ran = stand.run("image", &["--push", "--no-lock"]);
    let said = ran.refusal(1);
    assert!(said.contains("can't be had: HTTP Error 404"), "{said}");
}

#[test]
fn what_only_conda_has_is_solved_from_its_channels_pinned_and_the_same_bits_again() {
    let engines = Engines::from_env();
    let channels = Channels::new(Some(debians_python(&engines).path()));
    let environment = |specs: &str| {
        format!(
            "channels:\n  - {}\n  - {}\ndependencies:\n  - python=3.11\n{specs}",
            channels.url("main"),
            channels.url("extra")
        )
    };
    let text = environment("  - hello\n  - greet\n  - pip\n  - pip:\n      - six==1.16.0\n");
    let stand = Stand::new("conda", &[("environment.yml", &text)]);
    let ran = stand.run("lock", &[]);
    ran.answer();
    let why = "its packages come from conda's channels: nothing else is known to have hello (environment.yml:6) and 1 more";
    assert!(ran.stderr.contains(why), "{}", ran.stderr);
    let lock = stand.project.read("mlbuild.lock");
    assert!(lock.contains("version = 4\n"), "{lock}");
    // The first channel that has a package gives it, though the second has a newer one.
    let helper = format!(
        "{{ name = \"helper\", version = \"2.1\", build = \"h1_0\", file = \"helper-2.1-h1_0.conda\", sha256 = \"{}\"",
        channels.packages["main/linux-64/helper-2.1-h1_0.conda"]
    );
    assert!(lock.contains(&helper), "{lock}");
    assert!(
        lock.contains("name = \"six\", version = \"1.16.0\""),
        "{lock}"
    );

    stand.run("image", &["--push", "--locked"]).answer();
    let said = stand
        .inside("hello; greet; python -c 'import six, sys; print(six.__version__, sys.prefix)'");
    assert_eq!(
        said,
        "helper 2.1 says hello\ngreetings from /opt/conda\n1.16.0 /opt/conda\n"
    );
    stand.run("verify", &[]).answer();
    let found = stand.run("image", &["--explain"]);
    assert!(
        found.stderr.contains("conda ") || found.stdout.contains("conda "),
        "{}",
        found.stderr
    );

    // What can't be had together.
    stand
        .project
        .write("environment.yml", &environment("  - other\n"));
    let ran = stand.run("lock", &[]);
    let said = ran.refusal(1);
    assert!(said.contains("strict channel priority"), "{said}");
}
