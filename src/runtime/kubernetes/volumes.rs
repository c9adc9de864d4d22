//! Folders, claims, exports and memory.

use k8s_openapi::api::core::v1::{
    EmptyDirVolumeSource, EphemeralVolumeSource, HostPathVolumeSource, ImageVolumeSource,
    NFSVolumeSource, PersistentVolumeClaimSpec, PersistentVolumeClaimTemplate,
    PersistentVolumeClaimVolumeSource, SecretVolumeSource, Volume as PodVolume, VolumeMount,
    VolumeResourceRequirements,
};

use super::job_builder::JobBuilder;
use super::names::why_no_name;
use super::quantity;
use crate::runtime::value::{Mount, Volume};

/// `--volume`.
pub(super) fn volume(builder: &mut JobBuilder, volume: &Volume) {
    let shown = format!("--volume {volume}");
    let mut mount = at(&volume.target);
    for option in &volume.options {
        match option.as_str() {
            "ro" => mount.read_only = Some(true),
            "rw" | "z" | "Z" | "cached" | "delegated" | "consistent" | "nocopy" => {}
            other => match propagation(other) {
                Some(mode) => mount.mount_propagation = mode,
                None => builder.refuse(&shown, format!("Kubernetes has no option `{other}`")),
            },
        }
    }
    match volume.source.as_deref() {
        None => builder.mount(scratch(), mount),
        Some(path) if path.starts_with('/') => builder.mount(host_path(path), mount),
        Some(name) => named(builder, &shown, name, mount),
    }
}

/// `--mount`.
pub(super) fn mount(builder: &mut JobBuilder, wanted: &Mount) {
    let shown = format!("--mount {wanted}");
    let mut mount = at(&wanted.target);
    mount.read_only = wanted.readonly.then_some(true);
    let mut size = None;
    let mut nfs = Nfs::default();
    for (key, value) in &wanted.options {
        let value = value.as_deref().unwrap_or_default();
        match key.as_str() {
            "bind-propagation" => match propagation(value) {
                Some(mode) => mount.mount_propagation = mode,
                None => builder.refuse(&shown, format!("there is no propagation `{value}`")),
            },
            "volume-subpath" | "image-subpath" => mount.sub_path = Some(value.to_owned()),
            "tmpfs-size" => size = quantity::bytes(value),
            "tmpfs-mode" => builder.warn(&shown, "tmpfs-mode: the folder is open to all, 0777"),
            "volume-nocopy" | "consistency" => {}
            "volume-driver" if value == "local" => {}
            "volume-opt" => nfs.read(value),
            _ => builder.refuse(&shown, format!("Kubernetes has no `{key}`")),
        }
    }
    let source = wanted.source.as_deref();
    match (wanted.kind.as_str(), source) {
        ("bind", Some(path)) => builder.mount(host_path(path), mount),
        ("tmpfs", _) => builder.mount(memory(size), mount),
        ("volume", _) if nfs.is_asked => match nfs.volume(wanted.readonly) {
            Some(volume) => builder.mount(volume, mount),
            None => builder.refuse(
                &shown,
                "of volume-opt, only NFS is understood: type=nfs, o=addr=SERVER, device=:/EXPORT",
            ),
        },
        ("volume", None) => builder.mount(scratch(), mount),
        ("volume", Some(name)) => named(builder, &shown, name, mount),
        ("image", Some(image)) => {
            let source = ImageVolumeSource {
                reference: Some(image.to_owned()),
                pull_policy: None,
            };
            let volume = PodVolume {
                image: Some(source),
                ..PodVolume::default()
            };
            builder.mount(volume, mount);
        }
        (kind, _) => builder.refuse(
            &shown,
            format!("Kubernetes has no mount of type `{kind}` like that"),
        ),
    }
}

/// `--tmpfs DIR[:OPTIONS]`.
pub(super) fn tmpfs(builder: &mut JobBuilder, text: &str) {
    let (target, options) = text.split_once(':').unwrap_or((text, ""));
    let mut size = None;
    let mut mount = at(target);
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option.split_once('=') {
            Some(("size", value)) => size = quantity::bytes(value),
            _ if option == "ro" => mount.read_only = Some(true),
            _ if matches!(option, "rw" | "exec" | "nosuid" | "nodev" | "suid" | "dev") => {}
            _ => builder.warn(
                format!("--tmpfs {text}"),
                format!("Kubernetes has no option `{option}`"),
            ),
        }
    }
    builder.mount(memory(size), mount);
}

/// `--shm-size`.
pub(super) fn shm(builder: &mut JobBuilder, size: &str) {
    builder.mount(memory(quantity::bytes(size)), at("/dev/shm"));
}

/// `--pvc CLAIM:DIR[:ro]`.
pub(super) fn claim(builder: &mut JobBuilder, volume: &Volume) {
    let mut mount = at(&volume.target);
    let shown = format!("--pvc {volume}");
    match volume.options.as_slice() {
        [] => {}
        [option] if option == "rw" => {}
        [option] if option == "ro" => mount.read_only = Some(true),
        _ => return builder.refuse(shown, "write CLAIM:DIR or CLAIM:DIR:ro"),
    }
    match volume.source.as_deref() {
        Some(name) if !name.starts_with('/') => builder.mount(pvc(name), mount),
        _ => builder.refuse(shown, "write CLAIM:DIR or CLAIM:DIR:ro"),
    }
}

/// `--ephemeral-pvc SIZE:DIR[:CLASS]`.
pub(super) fn ephemeral(builder: &mut JobBuilder, text: &str) {
    let mut parts = text.splitn(3, ':');
    let (size, target, class) = (parts.next(), parts.next(), parts.next());
    let size = size.and_then(quantity::bytes).filter(|bytes| *bytes > 0);
    let is_class = |class: &str| class.split('.').all(|part| why_no_name(part).is_none());
    match (size, target) {
        (Some(size), Some(target)) if target.starts_with('/') && class.is_none_or(is_class) => {
            let claim = PersistentVolumeClaimSpec {
                access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
                resources: Some(VolumeResourceRequirements {
                    requests: Some([("storage".to_owned(), quantity::of_bytes(size))].into()),
                    limits: None,
                }),
                storage_class_name: class.map(str::to_owned),
                ..PersistentVolumeClaimSpec::default()
            };
            let source = EphemeralVolumeSource {
                volume_claim_template: Some(PersistentVolumeClaimTemplate {
                    metadata: None,
                    spec: claim,
                }),
            };
            let volume = PodVolume {
                ephemeral: Some(source),
                ..PodVolume::default()
            };
            builder.mount(volume, at(target));
        }
        _ => builder.refuse(
            format!("--ephemeral-pvc {text}"),
            "write SIZE:DIR or SIZE:DIR:CLASS, such as 100g:/scratch",
        ),
    }
}

/// `--nfs SERVER:/EXPORT:DIR[:ro]`.
pub(super) fn nfs(builder: &mut JobBuilder, text: &str) {
    match nfs_parts(text) {
        None => builder.refuse(
            format!("--nfs {text}"),
            "write SERVER:/EXPORT:DIR or SERVER:/EXPORT:DIR:ro",
        ),
        Some((server, export, target, readonly)) => {
            let mut mount = at(target);
            mount.read_only = readonly.then_some(true);
            builder.mount(nfs_volume(server, export, readonly), mount);
        }
    }
}

/// The parts of `SERVER:/EXPORT:DIR[:ro]`: server, export, folder, and whether it can only be read.
pub(super) fn nfs_parts(text: &str) -> Option<(&str, &str, &str, bool)> {
    let (rest, readonly) = match text.strip_suffix(":ro") {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    let (left, target) = rest.rsplit_once(':')?;
    let (server, export) = left.rsplit_once(':')?;
    let is_good = !server.is_empty() && export.starts_with('/') && target.starts_with('/');
    is_good.then_some((server, export, target, readonly))
}

/// Server and export of a mount with docker's options for NFS.
pub(super) fn nfs_of(mount: &Mount) -> Option<(String, String)> {
    let mut nfs = Nfs::default();
    for (key, value) in &mount.options {
        if key == "volume-opt" {
            nfs.read(value.as_deref().unwrap_or_default());
        }
    }
    let is_whole = mount.kind == "volume" && nfs.is_nfs;
    nfs.server.zip(nfs.export).filter(|_| is_whole)
}

/// `--secret SECRET:DIR`.
pub(super) fn secret(builder: &mut JobBuilder, volume: &Volume) {
    match (volume.source.as_deref(), volume.options.is_empty()) {
        (Some(name), true) if why_no_name(&name.replace('.', "-")).is_none() => {
            let source = SecretVolumeSource {
                secret_name: Some(name.to_owned()),
                ..SecretVolumeSource::default()
            };
            let mut mount = at(&volume.target);
            mount.read_only = Some(true);
            let volume = PodVolume {
                secret: Some(source),
                ..PodVolume::default()
            };
            builder.mount(volume, mount);
        }
        _ => builder.refuse(format!("--secret {volume}"), "write SECRET:DIR"),
    }
}

/// A named volume of docker is a claim of that name.
fn named(builder: &mut JobBuilder, shown: &str, name: &str, mount: VolumeMount) {
    if why_no_name(&name.replace('.', "-")).is_some() {
        return builder.refuse(
            shown,
            format!(
                "a named volume is a PersistentVolumeClaim here, and `{name}` can't be one's name"
            ),
        );
    }
    builder.mount(pvc(name), mount);
}

fn at(target: &str) -> VolumeMount {
    VolumeMount {
        mount_path: target.to_owned(),
        ..VolumeMount::default()
    }
}

fn host_path(path: &str) -> PodVolume {
    let source = HostPathVolumeSource {
        path: path.to_owned(),
        type_: None,
    };
    PodVolume {
        host_path: Some(source),
        ..PodVolume::default()
    }
}

fn pvc(name: &str) -> PodVolume {
    let source = PersistentVolumeClaimVolumeSource {
        claim_name: name.to_owned(),
        read_only: None,
    };
    PodVolume {
        persistent_volume_claim: Some(source),
        ..PodVolume::default()
    }
}

fn nfs_volume(server: &str, export: &str, readonly: bool) -> PodVolume {
    let source = NFSVolumeSource {
        server: server.trim_matches(['[', ']']).to_owned(),
        path: export.to_owned(),
        read_only: readonly.then_some(true),
    };
    PodVolume {
        nfs: Some(source),
        ..PodVolume::default()
    }
}

fn scratch() -> PodVolume {
    PodVolume {
        empty_dir: Some(EmptyDirVolumeSource::default()),
        ..PodVolume::default()
    }
}

fn memory(size: Option<u64>) -> PodVolume {
    let source = EmptyDirVolumeSource {
        medium: Some("Memory".to_owned()),
        size_limit: size.map(quantity::of_bytes),
    };
    PodVolume {
        empty_dir: Some(source),
        ..PodVolume::default()
    }
}

/// docker's propagation as a mount's; `None` where it is none.
fn propagation(word: &str) -> Option<Option<String>> {
    match word {
        "shared" | "rshared" => Some(Some("Bidirectional".to_owned())),
        "slave" | "rslave" => Some(Some("HostToContainer".to_owned())),
        "private" | "rprivate" => Some(None),
        _ => None,
    }
}

/// NFS as docker's local driver is told: `type=nfs`, `o=addr=SERVER,…`, `device=:/EXPORT`.
#[derive(Default)]
struct Nfs {
    is_asked: bool,
    is_nfs: bool,
    server: Option<String>,
    export: Option<String>,
}

impl Nfs {
    fn read(&mut self, option: &str) {
        self.is_asked = true;
        match option.split_once('=') {
            Some(("type", "nfs" | "nfs4")) => self.is_nfs = true,
            Some(("o", options)) => {
                let address = options.split(',').find_map(|o| o.strip_prefix("addr="));
                self.server = address.map(str::to_owned);
            }
            Some(("device", device)) => {
                let (server, export) = device.split_once(':').unwrap_or(("", device));
                self.export = Some(export.to_owned());
                if !server.is_empty() {
                    self.server.get_or_insert(server.to_owned());
                }
            }
            _ => {}
        }
    }

    fn volume(&self, readonly: bool) -> Option<PodVolume> {
        let (server, export) = self.server.as_ref().zip(self.export.as_ref())?;
        self.is_nfs.then(|| nfs_volume(server, export, readonly))
    }
}
