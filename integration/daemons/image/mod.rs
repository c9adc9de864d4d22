//! `mlbuild image` as a person types it, against every kind of builder.

mod failures;
mod flags;
mod interrupt;
mod locks;
mod matrix;
mod outputs;
mod repack;
mod secrets;
mod skip;

use std::path::PathBuf;

use crate::support::engines::Engines;
use crate::support::mlbuild::Project;

/// A builder, and the flags that name it.
pub struct Builder {
    pub name: &'static str,
    pub flags: Vec<String>,
    /// True if its store keeps manifests, so that attestations can be made.
    pub has_manifests: bool,
}

/// Every kind of builder.
pub fn builders(engines: &Engines) -> Vec<Builder> {
    let docker = |socket: &str| {
        let path = socket.strip_prefix("unix://").unwrap();
        vec!["--builder".to_owned(), format!("docker://{path}")]
    };
    let certificates = |name: &str| -> String {
        let path: PathBuf = engines.buildkitd_certs.join(name);
        path.to_string_lossy().into_owned()
    };
    let builder = |name, flags, has_manifests| Builder {
        name,
        flags,
        has_manifests,
    };
    vec![
        builder(
            "docker-containerd",
            docker(&engines.docker_containerd),
            true,
        ),
        builder("docker-classic", docker(&engines.docker_classic), false),
        builder("docker-20", docker(&engines.docker_20), false),
        builder("buildkitd", buildkitd(engines), true),
        builder(
            "buildkitd-tcp",
            vec![
                "--builder".into(),
                engines.buildkitd_tcp.clone(),
                "--tlscacert".into(),
                certificates("ca.pem"),
                "--tlscert".into(),
                certificates("cert.pem"),
                "--tlskey".into(),
                certificates("key.pem"),
            ],
            true,
        ),
    ]
}

/// A builder of the engines.
pub fn builder(engines: &Engines, name: &str) -> Builder {
    let mut all = builders(engines).into_iter();
    all.find(|builder| builder.name == name).unwrap()
}

/// The flags that name the standalone buildkitd.
pub fn buildkitd(engines: &Engines) -> Vec<String> {
    vec!["--builder".into(), engines.buildkitd.clone()]
}

/// `image`, the builder's flags, then the given ones.
pub fn image(builder: &[String], args: &[&str]) -> Vec<String> {
    let mut all = vec!["image".to_owned()];
    all.extend_from_slice(builder);
    all.extend(args.iter().map(|&arg| arg.to_owned()));
    all
}

/// A project with a Dockerfile that copies one file onto the base, and the engines.
pub fn small(text: &str) -> (Engines, Project) {
    let engines = Engines::from_env();
    let dockerfile = format!("FROM {}\nCOPY data.txt /data.txt\n", engines.base);
    let project = Project::new(&[("Dockerfile", &dockerfile), ("data.txt", text)]);
    (engines, project)
}

/// As [`small`], on nothing: for what writes all files of the image somewhere.
pub fn tiny(text: &str) -> (Engines, Project) {
    let dockerfile = "FROM scratch\nCOPY data.txt /data.txt\n";
    let project = Project::new(&[("Dockerfile", dockerfile), ("data.txt", text)]);
    (Engines::from_env(), project)
}

/// A name in a registry that no other test uses.
pub fn unique(registry: &str, name: &str) -> String {
    let id = ulid::Ulid::r#gen().to_string().to_lowercase();
    format!("{registry}/e2e/{name}-{id}:v1")
}

/// Repository and tag of `HOST/NAME:TAG`.
pub fn name_and_tag(reference: &str) -> (&str, &str) {
    let (_, path) = reference.split_once('/').unwrap();
    path.rsplit_once(':').unwrap()
}

/// What a tar holds.
pub fn tar_entries(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    use std::io::Read;
    let mut archive = tar::Archive::new(bytes);
    let mut found = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        found.push((
            entry.path().unwrap().to_string_lossy().into_owned(),
            content,
        ));
    }
    found
}
