//! Records of runs without any daemon: taken from real repositories, listed and compared.

mod checkout;
mod code;
mod list;

use std::path::Path;

use mlbuild::records::{RunExit, RunStart, Snapshot, StartedRun, this_host};
use mlbuild_manifests::run_record::{RunCommand, RunImage, RunPlatform};
use oci_spec::image::Digest;

/// A digest made of one repeated byte.
pub fn digest(byte: u8) -> Digest {
    format!("sha256:{}", format!("{byte:02x}").repeat(32))
        .parse()
        .unwrap()
}

/// An image that a registry holds.
pub fn published(byte: u8) -> RunImage {
    let platform = RunPlatform {
        manifest: digest(byte),
        config: digest(byte + 1),
    };
    RunImage {
        reference: "registry.example/acme/cracks:v1".to_owned(),
        index: None,
        digest: None,
        image_id: None,
        platforms: [("linux/amd64".to_owned(), platform)].into(),
    }
}

/// What `mlbuild run` would write before it starts `command`.
pub fn start(project: &Path, id: &str, image: RunImage, command: &[&str]) -> StartedRun {
    let words = |words: &[&str]| words.iter().map(|&w| w.to_owned()).collect::<Vec<_>>();
    RunStart {
        id: id.parse().unwrap(),
        lock: None,
        image,
        code: Snapshot::take(project).unwrap(),
        command: RunCommand {
            program: Some("docker".to_owned()),
            options: words(&["--rm", "-e", "LR=0.1"]),
            argv: words(command),
            environment: words(&["LR"]),
            ..RunCommand::default()
        },
        host: this_host(),
        cluster: None,
        slurm: None,
        data: Vec::new(),
    }
    .write(project)
    .unwrap()
}

/// A run that ended with this code.
pub fn finished(project: &Path, id: &str, image: RunImage, command: &[&str], code: i32) {
    let run = start(project, id, image, command);
    run.finish(RunExit::of_code(code)).unwrap();
}
