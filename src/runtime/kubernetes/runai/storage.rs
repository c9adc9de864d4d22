//! Folders of the nodes, claims, exports and Secrets.

use super::RunaiCli;
use super::line::Line;
use crate::runtime::kubernetes::{quantity, volumes};
use crate::runtime::options::Setting;
use crate::runtime::value::{Mount, Volume};

/// Something to mount: where it is in the container, and whether it can be written.
struct Place<'a> {
    target: &'a str,
    readonly: bool,
    /// True where mounts of the node that come later are seen.
    follows: bool,
}

/// `--volume`, `--pvc` and `--secret`.
pub(super) fn volume(line: &mut Line, setting: &Setting, volume: &Volume) {
    let mut place = Place {
        target: &volume.target,
        readonly: false,
        follows: false,
    };
    for option in &volume.options {
        match option.as_str() {
            "ro" => place.readonly = true,
            "rslave" | "slave" => place.follows = true,
            "rw" | "rprivate" | "private" | "cached" | "delegated" | "consistent" => {}
            other => {
                let why = format!("`{other}` isn't in the line: Run:ai has no such option");
                line.note(setting, &why);
            }
        }
    }
    match (setting.flag.name, volume.source.as_deref()) {
        ("secret", Some(secret)) => secret_files(line, setting, secret, &place),
        (_, Some(path)) if path.starts_with('/') => folder(line, setting, path, &place),
        (_, Some(claim)) => self::claim(line, setting, claim, &place),
        (_, None) => line.leave_out(setting, "it mounts what has a name"),
    }
}

/// `--mount`.
pub(super) fn mount(line: &mut Line, setting: &Setting, mount: &Mount) {
    let mut place = Place {
        target: &mount.target,
        readonly: mount.readonly,
        follows: false,
    };
    if let Some((server, export)) = volumes::nfs_of(mount) {
        return self::export(line, setting, &server, &export, &place);
    }
    if mount.kind == "tmpfs" && line.cli == RunaiCli::TrainingSubmit {
        return memory_mount(line, setting, mount);
    }
    for (key, value) in &mount.options {
        match (key.as_str(), value.as_deref().unwrap_or_default()) {
            ("bind-propagation", "rslave" | "slave") => place.follows = true,
            ("bind-propagation", "rprivate" | "private") => {}
            ("consistency" | "volume-nocopy", _) => {}
            (key, _) => {
                let why = format!("Run:ai has no mount with `{key}`");
                return line.leave_out(setting, why);
            }
        }
    }
    match (mount.kind.as_str(), mount.source.as_deref()) {
        ("bind", Some(path)) => folder(line, setting, path, &place),
        ("volume", Some(claim)) => self::claim(line, setting, claim, &place),
        ("volume", None) => line.leave_out(setting, "it mounts what has a name"),
        (kind, _) => {
            let why = format!(
                "{} has no mount of type {kind}",
                line.cli.command(line.workload)
            );
            line.leave_out(setting, why);
        }
    }
}

fn memory_mount(line: &mut Line, setting: &Setting, mount: &Mount) {
    let size = mount.options.iter().find(|(key, _)| key == "tmpfs-size");
    let size = size.and_then(|(_, size)| size.as_deref());
    if mount.options.iter().any(|(key, _)| key == "tmpfs-mode") {
        line.note(setting, "tmpfs-mode: the folder is open to all, 0777");
    }
    in_memory(line, setting, &mount.target, size);
}

/// `--tmpfs DIR[:OPTIONS]`.
pub(super) fn tmpfs(line: &mut Line, setting: &Setting, text: &str) {
    if line.cli == RunaiCli::Submit {
        return line.no_such_flag(setting);
    }
    let (target, options) = text.split_once(':').unwrap_or((text, ""));
    let mut size = None;
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option.split_once('=') {
            Some(("size", value)) => size = Some(value),
            _ if matches!(option, "rw" | "exec" | "nosuid" | "nodev" | "suid" | "dev") => {}
            _ => {
                let why = format!("`{option}` isn't in the line: Run:ai has no such option");
                line.note(setting, &why);
            }
        }
    }
    in_memory(line, setting, target, size);
}

fn in_memory(line: &mut Line, setting: &Setting, target: &str, size: Option<&str>) {
    if !can_hold(line, setting, &[target]) {
        return;
    }
    line.in_memory += 1;
    let mut value = format!("name=memory-{},path={target},medium=Memory", line.in_memory);
    if let Some(bytes) = size.and_then(quantity::bytes).filter(|bytes| *bytes > 0) {
        value += &format!(",size-limit={}", quantity::of_bytes(bytes).0);
    }
    line.add("--empty-dir-volume", &value);
}

/// `--nfs SERVER:/EXPORT:DIR[:ro]`.
pub(super) fn nfs(line: &mut Line, setting: &Setting, text: &str) {
    let Some((server, export, target, readonly)) = volumes::nfs_parts(text) else {
        return line.leave_out(setting, "write SERVER:/EXPORT:DIR or SERVER:/EXPORT:DIR:ro");
    };
    let place = Place {
        target,
        readonly,
        follows: false,
    };
    self::export(line, setting, server, export, &place);
}

fn folder(line: &mut Line, setting: &Setting, path: &str, place: &Place<'_>) {
    let Place {
        target,
        readonly,
        follows,
    } = *place;
    if !can_hold(line, setting, &[path, target]) {
        return;
    }
    match line.cli {
        RunaiCli::Submit => {
            let mode = if readonly { ":ro" } else { "" };
            line.add("--volume", &format!("{path}:{target}{mode}"));
            if follows {
                line.note(
                    setting,
                    "--mount-propagation holds for all mounts: add it where that is meant",
                );
            }
        }
        RunaiCli::TrainingSubmit => {
            let mut value = format!("path={path},mount={target}");
            if follows {
                value += ",mount-propagation=HostToContainer";
            }
            // Read-only is what it is without a word.
            if !readonly {
                value += ",readwrite";
            }
            line.add("--host-path", &value);
        }
    }
}

fn claim(line: &mut Line, setting: &Setting, claim: &str, place: &Place<'_>) {
    let Place {
        target, readonly, ..
    } = *place;
    if !can_hold(line, setting, &[claim, target]) {
        return;
    }
    match line.cli {
        RunaiCli::Submit => {
            let mode = if readonly { ":ro" } else { "" };
            line.add("--pvc", &format!("{claim}:{target}{mode}"));
        }
        RunaiCli::TrainingSubmit => {
            line.add(
                "--existing-pvc",
                &format!("claimname={claim},path={target}"),
            );
            if readonly {
                line.note(
                    setting,
                    "--existing-pvc has no `ro`: the workload could write to it",
                );
            }
        }
    }
}

fn export(line: &mut Line, setting: &Setting, server: &str, export: &str, place: &Place<'_>) {
    let Place {
        target, readonly, ..
    } = *place;
    if !can_hold(line, setting, &[server, export, target]) {
        return;
    }
    match line.cli {
        RunaiCli::Submit => {
            let mode = if readonly { "ro" } else { "" };
            line.add("--volume", &format!("{export}:{target}:{mode}:{server}"));
        }
        RunaiCli::TrainingSubmit => {
            let mode = if readonly { "" } else { ",readwrite" };
            let value = format!("path={export},server={server},mountpath={target}{mode}");
            line.add("--nfs", &value);
        }
    }
}

fn secret_files(line: &mut Line, setting: &Setting, secret: &str, place: &Place<'_>) {
    if line.cli == RunaiCli::Submit {
        return line.no_such_flag(setting);
    }
    if can_hold(line, setting, &[secret, place.target]) {
        let value = format!("path={},name={secret}", place.target);
        line.add("--secret-volume", &value);
    }
}

/// Whether the parts can stand in a value of this tool, which quotes nothing.
fn can_hold(line: &mut Line, setting: &Setting, parts: &[&str]) -> bool {
    let apart = match line.cli {
        RunaiCli::Submit => ':',
        RunaiCli::TrainingSubmit => ',',
    };
    let holds = !parts.iter().any(|part| part.contains(apart));
    if !holds {
        line.leave_out(
            setting,
            format!("no path or name there may have a `{apart}`"),
        );
    }
    holds
}
