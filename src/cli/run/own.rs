//! mlbuild's own flags, read once.

use mlbuild_manifests::RunId;

use crate::error::{CommandError, CommandResult};
use crate::nearest::nearest;
use crate::runtime::{Options, RuntimeCli};
use crate::settings;

/// mlbuild's own flags.
pub(in crate::cli) struct OwnFlags {
    pub(in crate::cli) gpu: GpuWish,
    pub(in crate::cli) cli: Option<RuntimeCli>,
    pub(in crate::cli) defaults: bool,
    pub(in crate::cli) dry_run: bool,
    pub(in crate::cli) record: bool,
    pub(in crate::cli) format: Format,
    run_id: Option<String>,
}

/// `--format`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Format {
    Text,
    Json,
    Devcontainer,
}

/// `--gpu`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) enum GpuWish {
    /// All, if there are any.
    Auto,
    /// All; none is an error.
    Required,
    /// None.
    Off,
    /// These, by number or UUID.
    Ids(Vec<String>),
}

impl OwnFlags {
    pub(in crate::cli) fn read(own: &Options) -> CommandResult<Self> {
        let dry_run = own.is_on("dry-run");
        let format = match own.text("format") {
            None | Some("text") => Format::Text,
            Some("json") => Format::Json,
            Some(_) => Format::Devcontainer,
        };
        if own.has("format") && !dry_run {
            return Err(
                CommandError::user("--format is for --dry-run: stdout is the container's")
                    .hint("add --dry-run"),
            );
        }
        Ok(Self {
            gpu: own.text("gpu").map_or(Ok(GpuWish::Auto), gpu_wish)?,
            cli: own.text("runtime-cli").and_then(|name| {
                RuntimeCli::ALL
                    .into_iter()
                    .find(|cli| cli.program() == name)
            }),
            defaults: !own.is_on("no-defaults"),
            dry_run,
            record: !own.is_on("no-record"),
            format,
            run_id: own.text("run-id").map(str::to_owned),
        })
    }

    /// For a job of a queue: docker's options are all that is wanted, unless the queue says more.
    pub(super) fn of_job(own: &Options, gpus: &[String]) -> Self {
        Self {
            gpu: match gpus {
                [] => GpuWish::Off,
                ids => GpuWish::Ids(ids.to_vec()),
            },
            cli: Some(RuntimeCli::Docker),
            defaults: own.has("no-defaults") && !own.is_on("no-defaults"),
            dry_run: false,
            record: true,
            format: Format::Text,
            run_id: None,
        }
    }

    /// `--run-id`, else the tracker's, else a new one.
    pub(in crate::cli) fn run_id(&self) -> CommandResult<RunId> {
        settings::run_id(self.run_id.as_deref())
    }
}

fn gpu_wish(text: &str) -> CommandResult<GpuWish> {
    const WORDS: [&str; 3] = ["auto", "required", "off"];
    let is_id = |id: &str| {
        let number = !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit() || b == b':');
        number || id.starts_with("GPU-") || id.starts_with("MIG-")
    };
    match text {
        "auto" | "all" => Ok(GpuWish::Auto),
        "required" => Ok(GpuWish::Required),
        "off" | "none" => Ok(GpuWish::Off),
        ids if ids.split(',').all(is_id) => {
            Ok(GpuWish::Ids(ids.split(',').map(str::to_owned).collect()))
        }
        _ => Err(CommandError::user(format!(
            "--gpu={text}: not auto, required, off, or numbers and UUIDs of GPUs"
        ))
        .hint(match nearest(text, WORDS) {
            Some(word) => format!("did you mean `--gpu={word}`?"),
            None => "nvidia-smi -L lists the GPUs".to_owned(),
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpus_are_asked_for_by_word_number_or_uuid() {
        assert_eq!(gpu_wish("required").unwrap(), GpuWish::Required);
        let ids = |list: &[&str]| GpuWish::Ids(list.iter().map(|id| (*id).to_owned()).collect());
        assert_eq!(gpu_wish("0,1").unwrap(), ids(&["0", "1"]));
        assert_eq!(gpu_wish("GPU-4d1f").unwrap(), ids(&["GPU-4d1f"]));
        insta::assert_snapshot!(gpu_wish("requried").unwrap_err(), @r"
        --gpu=requried: not auto, required, off, or numbers and UUIDs of GPUs
          hint: did you mean `--gpu=required`?
        ");
        insta::assert_snapshot!(gpu_wish("0,").unwrap_err(), @r"
        --gpu=0,: not auto, required, off, or numbers and UUIDs of GPUs
          hint: nvidia-smi -L lists the GPUs
        ");
    }
}
