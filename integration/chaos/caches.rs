//! Folders for caches that can't be written to, and projects that can't.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::image::unique;
use crate::support::buildkitd::OwnBuildkitd;
use crate::support::engines::Engines;
use crate::support::mlbuild::{Project, Ran, as_nobody};

/// A file system in memory of this many KiB; it goes with the value.
struct Small(PathBuf);

impl Small {
    fn mount(at: &Path, kib: u64) -> Self {
        std::fs::create_dir_all(at).unwrap();
        let size = format!("size={kib}k");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "none"])
            .arg(at)
            .status();
        assert!(mounted.unwrap().success());
        Self(at.to_owned())
    }

    /// Leaves no room.
    fn fill(&self) {
        let block = vec![0; 4096];
        let mut file = std::fs::File::create(self.0.join("filler")).unwrap();
        while std::io::Write::write_all(&mut file, &block).is_ok() {}
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn build(project: &Project, engines: &Engines, tag: &str) -> Command {
    let args = [
        "image",
        "-f",
        "Dockerfile",
        "-t",
        tag,
        "--push",
        "--builder",
        &engines.buildkitd,
    ];
    project.command(args)
}

fn project(engines: &Engines) -> Project {
    let dockerfile = format!("FROM {}\nCOPY a.txt /a\n", engines.base);
    Project::new(&[("Dockerfile", &dockerfile), ("a.txt", "a")])
}

const NOTE: &str =
    "nothing was kept for the next command, since the folder for caches can't be written to: ";

#[test]
fn a_full_disk_below_the_caches_stops_no_build() {
    let engines = Engines::from_env();
    let project = project(&engines);
    let small = Small::mount(&project.outside().join("state"), 64);
    small.fill();
    for repack in [false, true] {
        let tag = unique(&engines.registry, "full-cache");
        let mut command = build(&project, &engines, &tag);
        if repack {
            command
                .arg("--repack")
                .env("SOURCE_DATE_EPOCH", "1700000000");
        }
        let ran = Ran::of(&mut command);
        ran.answer();
        assert_eq!(ran.stderr.matches(NOTE).count(), 1, "{}", ran.stderr);
    }
}

#[test]
fn a_full_disk_below_the_project_is_said_before_anything_is_pushed() {
    let engines = Engines::from_env();
    let project = project(&engines);
    let tag = unique(&engines.registry, "full-project");
    let dockerfile = project.read("Dockerfile");
    let small = Small::mount(&project.path(""), 64);
    project.write("Dockerfile", &dockerfile);
    project.write("a.txt", "a");
    small.fill();
    let ran = Ran::of(&mut build(&project, &engines, &tag));
    let told = ran.refusal(3);
    assert!(
        told.contains("mlbuild.lock: can't be written: No space left on device"),
        "{told}"
    );
    assert!(told.contains("hint: the disk is full"), "{told}");
    assert!(!told.contains("#1"), "a build began: {told}");
    let name = tag.split_once('/').unwrap().1.rsplit_once(':').unwrap().0;
    let answer = crate::support::http::request(
        "GET",
        &engines.registry,
        &format!("/v2/{name}/manifests/v1"),
    );
    assert_eq!(answer.status, 404);
}

#[test]
fn somebody_elses_home_stops_no_build() {
    let engines = Engines::from_env();
    let own = OwnBuildkitd::start(&engines);
    let project = project(&engines);
    // What `nobody` may do: read the program and the project, write the project, reach the builder.
    let open = |path: &Path, mode: &str| {
        let changed = Command::new("chmod").arg("-R").arg(mode).arg(path).status();
        assert!(changed.unwrap().success());
    };
    open(project.outside(), "a+rX");
    open(&project.path(""), "a+rwX");
    for path in [own.folder.path().to_owned(), own.folder.path().join("sock")] {
        let changed = Command::new("chmod").arg("a+rwx").arg(path).status();
        assert!(changed.unwrap().success());
    }
    let program = project.outside().join("mlbuild");
    std::fs::copy(env!("CARGO_BIN_EXE_mlbuild"), &program).unwrap();
    let tag = unique(&engines.registry, "nobodys");
    let address = own.address();
    let args = [
        "image",
        "-f",
        "Dockerfile",
        "-t",
        &tag,
        "--push",
        "--builder",
        &address,
    ];
    let command = project.command(args);
    let ran = Ran::of(&mut as_nobody(&command, &program, &project));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(ran.stderr.matches(NOTE).count(), 1, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("state: Permission denied"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_full_disk_below_the_project_has_one_exit_code_for_all_verbs() {
    let engines = Engines::from_env();
    let project = project(&engines);
    let dockerfile = project.read("Dockerfile");
    let small = Small::mount(&project.path(""), 64);
    project.write("Dockerfile", &dockerfile);
    project.write("a.txt", "a");
    small.fill();
    let base = engines.base.as_str();
    let verbs: [&[&str]; 8] = [
        &[
            "image",
            "-f",
            "Dockerfile",
            "-t",
            "a:1",
            "--builder",
            &engines.buildkitd,
        ],
        &[
            "image",
            "-f",
            "Dockerfile",
            "-t",
            "a:1",
            "--no-lock",
            "--metadata-file",
            "m.json",
            "--builder",
            &engines.buildkitd,
        ],
        &[
            "lock",
            "-f",
            "Dockerfile",
            "-t",
            "a:1",
            "--builder",
            &engines.buildkitd,
        ],
        &["run", "--rm", "--network", "none", base, "true"],
        &["init"],
        &["devcontainer", base],
        &["ci", "github", "--", "-t", "registry.example/a:1"],
        &["templates", "export", "python", "own.Dockerfile"],
    ];
    let path = format!(
        "{}:{}",
        engines.bin.display(),
        std::env::var("PATH").unwrap()
    );
    let mut told = Vec::new();
    for args in verbs {
        let mut command = project.command(args);
        command
            .env("PATH", &path)
            .env("DOCKER_HOST", &engines.docker_containerd);
        let ran = Ran::of(&mut command);
        told.push(format!("{args:?}: {:?} {}", ran.code, ran.stderr));
    }
    let all = told.join("\n");
    for one in &told {
        assert!(one.contains(": Some(3) "), "{all}");
        assert!(one.contains("hint: the disk is full: df -h ."), "{all}");
        assert!(!one.contains("--run-id"), "{all}");
    }
}
