//! `--code`: the working tree in the pod, without a registry and without anybody who waits: Secrets hold it as an
//! archive, and a container that runs before the program unpacks it into a folder of the pod.
//!
//! A Secret has 1 MiB at most (<https://kubernetes.io/docs/concepts/configuration/secret/#restriction-data-size>), so
//! there are several, which one projected volume joins.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{
    Container, EmptyDirVolumeSource, KeyToPath, ProjectedVolumeSource, Secret, SecretProjection,
    Volume, VolumeMount, VolumeProjection,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::job_builder::JobBuilder;

/// Where the code is put where nobody says so: where `mlbuild up` mounts the project.
pub const CODE_FOLDER: &str = "/app";
/// Most bytes of an archive: eight Secrets.
pub const MOST_CODE: usize = 8 * PART;
/// Bytes in one Secret: a little is left for its other fields.
const PART: usize = 1_000_000;
/// Where the archive is mounted.
const ARCHIVE: &str = "/run/mlbuild/code";
/// The key of a Secret's part.
const KEY: &str = "part";
/// The container that unpacks it, and the volume that it fills.
pub(super) const UNPACKER: &str = "code";
const ARCHIVE_VOLUME: &str = "code-archive";
/// What both GNU's tar and busybox's take.
const UNPACK: &str = "cat \"$1\"/* | tar -xzof - -C \"$2\"";

/// The code of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeArchive {
    /// A tar, compressed by gzip.
    pub bytes: Vec<u8>,
    /// Where in it the run was submitted from; empty: at its top.
    pub here: String,
}

/// Has the pod unpack the code into a folder before its program starts; the Secrets that hold it.
pub(super) fn add(
    builder: &mut JobBuilder,
    archive: &CodeArchive,
    folder: &str,
    meta: &ObjectMeta,
) -> Vec<Secret> {
    let folder = folder.trim_end_matches('/');
    if !folder.starts_with('/') {
        builder.refuse("--code", "write a folder of the container: --code=/app");
        return Vec::new();
    }
    let mut mounts = builder.container.volume_mounts.iter().flatten();
    if mounts.any(|mount| mount.mount_path.trim_end_matches('/') == folder) {
        builder.refuse(
            format!("--code={folder}"),
            "a volume is mounted there; give the code another folder: --code=/code",
        );
        return Vec::new();
    }
    let secrets = secrets(archive, meta);
    let parts = secrets.iter().enumerate();
    let parts = parts.map(|(number, secret)| VolumeProjection {
        secret: Some(SecretProjection {
            name: secret.metadata.name.clone().unwrap_or_default(),
            items: Some(vec![KeyToPath {
                key: KEY.to_owned(),
                path: format!("{KEY}-{number}"),
                mode: None,
            }]),
            optional: None,
        }),
        ..VolumeProjection::default()
    });
    let volumes = builder.pod.volumes.get_or_insert_default();
    volumes.push(Volume {
        name: ARCHIVE_VOLUME.to_owned(),
        projected: Some(ProjectedVolumeSource {
            sources: Some(parts.collect()),
            default_mode: None,
        }),
        ..Volume::default()
    });
    volumes.push(Volume {
        name: UNPACKER.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource::default()),
        ..Volume::default()
    });
    let mount = |name: &str, path: &str, read_only| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only,
        ..VolumeMount::default()
    };
    let code = mount(UNPACKER, folder, None);
    let mounts = builder.container.volume_mounts.get_or_insert_default();
    mounts.push(code.clone());
    let here = format!("{folder}/{}", archive.here);
    let here = here.trim_end_matches('/').to_owned();
    builder.container.working_dir.get_or_insert(here);
    let words = ["sh", "-c", UNPACK, "sh", ARCHIVE, folder];
    builder.unpacker = Some(Container {
        name: UNPACKER.to_owned(),
        command: Some(words.map(str::to_owned).to_vec()),
        volume_mounts: Some(vec![mount(ARCHIVE_VOLUME, ARCHIVE, Some(true)), code]),
        // What tar says is why the pod has failed.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        ..Container::default()
    });
    secrets
}

fn secrets(archive: &CodeArchive, meta: &ObjectMeta) -> Vec<Secret> {
    let job = meta.name.as_deref().unwrap_or_default();
    let parts = archive.bytes.chunks(PART).enumerate();
    let secret = |(number, part): (usize, &[u8])| Secret {
        metadata: ObjectMeta {
            name: Some(format!("{job}-code-{number}")),
            annotations: None,
            ..meta.clone()
        },
        data: Some(BTreeMap::from([(
            KEY.to_owned(),
            ByteString(part.to_vec()),
        )])),
        immutable: Some(true),
        ..Secret::default()
    };
    parts.map(secret).collect()
}
