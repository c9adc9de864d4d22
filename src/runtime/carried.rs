//! What becomes of a flag of `docker run` where it isn't docker's: a word of another program, a directive, a
//! line to the user. What containers of Apptainer have stands here once, for a run here and for a job of Slurm's.

use super::options::Setting;
use super::value::{Device, Mount, Value};

/// What becomes of a flag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Carried {
    /// Words of the line that starts the container.
    Words(Vec<String>),
    /// A flag of sbatch.
    Directive(String),
    /// It is read elsewhere, or is how things are anyway.
    Nothing,
    /// It is left out, and why that does no harm.
    Noted(&'static str),
    /// It can't be done: why, and what can.
    Refused(String),
}

impl Carried {
    pub(super) fn refused(why: &str) -> Self {
        Self::Refused(why.to_owned())
    }

    pub(super) fn word(flag: &str, value: &str) -> Self {
        Self::Words(vec![format!("{flag}={value}")])
    }
}

/// What Apptainer has of it.
pub(super) fn of_apptainer(setting: &Setting) -> Carried {
    use Carried::{Noted, Nothing};
    match (setting.flag.name, &setting.value) {
        (_, Value::Volume(volume)) => match volume.as_mount() {
            Some(mount) => apptainer_mount(&mount),
            None => Carried::refused("apptainer mounts with `ro` or nothing after the folder"),
        },
        (_, Value::Mount(mount)) => apptainer_mount(mount),
        (_, Value::Device(Device::Path { .. })) => {
            Noted("apptainer gives a container the machine's own /dev")
        }
        ("workdir", Value::Text(folder)) => Carried::word("--cwd", folder),
        ("hostname", Value::Text(host)) => Carried::word("--hostname", host),
        ("user", Value::Text(user)) => match user.as_str() {
            "root" | "0" | "0:0" | "root:root" => Carried::Words(vec!["--fakeroot".to_owned()]),
            _ => {
                Carried::refused("apptainer runs a container as you; -u 0 makes you root in there")
            }
        },
        // It is so where nobody asks to write.
        ("read-only", _) => Nothing,
        ("network", _) => Carried::Words(vec!["--net".to_owned(), "--network=none".to_owned()]),
        ("ipc", Value::Text(mode)) if mode == "private" => Carried::Words(vec!["--ipc".to_owned()]),
        ("ipc" | "pid" | "uts" | "userns", Value::Text(mode)) if mode == "host" => Nothing,
        _ => of_own_process(setting),
    }
}

/// What is so for every container that is a process of the user's, without a daemon.
pub(super) fn of_own_process(setting: &Setting) -> Carried {
    use Carried::{Noted, Nothing};
    match (setting.flag.name, &setting.value) {
        ("security-opt", Value::Text(option)) if option.starts_with("no-new-privileges") => Nothing,
        ("shm-size", _) => Noted("/dev/shm has the size that the machine gives it"),
        ("pids-limit", _) => Noted("the limits are those of the machine"),
        ("label" | "annotation", _) => Noted("its containers have no labels"),
        ("init", _) => Noted("the image may hold an init"),
        ("cgroupns", _) => Noted("the container has the machine's cgroups"),
        ("tmpfs", _) => Carried::refused("mount a folder: -v /tmp:DIR"),
        ("cap-add" | "cap-drop" | "privileged", _) => {
            Carried::refused("it has your rights and no others")
        }
        _ => Carried::refused("a container that is a process of yours has nothing like it"),
    }
}

/// A folder or file of the machine, as Apptainer mounts it.
pub(super) fn apptainer_mount(mount: &Mount) -> Carried {
    let Some(source) = mount.source.as_deref().filter(|_| mount.kind == "bind") else {
        return only_folders();
    };
    let is_usual = |(name, value): &(String, Option<String>)| {
        matches!(
            (name.as_str(), value.as_deref()),
            ("consistency", _) | ("bind-propagation", Some("rprivate" | "rslave"))
        )
    };
    if !mount.options.iter().all(is_usual) {
        return Carried::refused("apptainer mounts with `readonly` and no other option");
    }
    Carried::Words(bind(source, &mount.target, mount.readonly))
}

/// The words that mount a path, with commas and quotes in it.
pub(super) fn bind(source: &str, target: &str, is_read_only: bool) -> Vec<String> {
    // A value of comma-separated ones.
    let quoted = |key: &str, value: &str| format!("\"{key}={}\"", value.replace('"', "\"\""));
    let read_only = if is_read_only { ",ro" } else { "" };
    vec![
        "--mount".to_owned(),
        format!(
            "type=bind,{},{}{read_only}",
            quoted("source", source),
            quoted("destination", target)
        ),
    ]
}

pub(super) fn only_folders() -> Carried {
    Carried::refused("only folders and files can be mounted: -v /FOLDER:DIR")
}
