//! `mlbuild lock`, and builds from what it pinned.

mod archive;
mod as_of;
mod base_gone;
mod moved_on;
pub mod other_machine;
mod proofs;
mod prune;
mod same_bits;
mod verify;

use std::path::Path;
use std::process::Command;

pub use crate::image::builder;

use crate::image::Builder;
use crate::support::mlbuild::{Project, Ran};

/// A project with one Debian and one Python package.
pub fn project() -> Project {
    Project::new(&[
        ("requirements.txt", "six==1.17.0\n"),
        ("train.py", "import six\nprint(six.__version__)\n"),
    ])
}

/// `VERB`, the builder's flags, what the image is, then the given flags.
pub fn words(verb: &str, builder: &Builder, base: &str, more: &[&str]) -> Vec<String> {
    let image = ["--base", base, "--apt", "tree", "--uid", "1000"];
    words_of(verb, builder, &image, more)
}

/// The same for another image.
fn words_of(verb: &str, builder: &Builder, image: &[&str], more: &[&str]) -> Vec<String> {
    let mut all = vec![verb.to_owned()];
    all.extend_from_slice(&builder.flags);
    all.extend(image.iter().chain(more).map(|&word| word.to_owned()));
    all
}

/// The error of a command that said other things before it.
fn error_of(project: &Project, stderr: &str) -> String {
    let lines = stderr
        .lines()
        .skip_while(|line| !line.starts_with("error:"));
    project.filtered(&lines.collect::<Vec<_>>().join("\n"))
}

/// Runs in a project, with the machine's own package indexes and certificates.
pub fn run(project: &Project, words: &[String]) -> Ran {
    Ran::of(&mut command(project, words))
}

/// What [`run`] runs.
pub fn command(project: &Project, words: &[String]) -> Command {
    let mut command = project.command(words);
    for name in ["SSL_CERT_FILE", "PIP_INDEX_URL", "PIP_CONFIG_FILE"] {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    command
}

/// The configuration of the one image of a layout folder.
pub fn config(layout: &Path) -> serde_json::Value {
    let json = |path: &Path| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    };
    let blob = |descriptor: &serde_json::Value| {
        let digest = descriptor["digest"].as_str().unwrap().replace(':', "/");
        json(&layout.join("blobs").join(digest))
    };
    let manifest = blob(&json(&layout.join("index.json"))["manifests"][0]);
    blob(&manifest["config"])
}
