//! mlbuild's own flags, read once.

use std::path::PathBuf;

use crate::error::{CommandError, CommandResult};
use crate::support::registry_args::RegistryArgs;
use mlbuild::nearest::nearest;
use mlbuild::records::data::{DataHash, DataWish};
use mlbuild::records::project_folder;
use mlbuild::runtime::{Options, RunSpec, RuntimeCli};
use mlbuild::settings;
use mlbuild::start::{GpuSelection, StartRequest};

/// mlbuild's own flags.
pub(crate) struct MlbuildFlags {
    pub(crate) gpu: GpuSelection,
    pub(crate) runtime: Option<RuntimeCli>,
    pub(crate) defaults: bool,
    pub(crate) dry_run: bool,
    pub(crate) record: bool,
    data: Vec<DataWish>,
    pub(crate) trust: bool,
    pub(crate) format: Format,
    run_id: Option<String>,
}

/// `--format`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Json,
    Devcontainer,
}

impl MlbuildFlags {
    pub(crate) fn read(own: &Options) -> CommandResult<Self> {
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
            gpu: own
                .text("gpu")
                .map_or(Ok(GpuSelection::Auto), gpu_selection)?,
            runtime: own.text("runtime-cli").and_then(|name| {
                RuntimeCli::ALL
                    .into_iter()
                    .find(|cli| cli.program() == name)
            }),
            defaults: !own.is_on("no-defaults"),
            dry_run,
            record: !own.is_on("no-record"),
            data: data_wishes(own)?,
            trust: own.is_on("trust"),
            format,
            run_id: own.text("run-id").map(str::to_owned),
        })
    }

    /// What is started, from this folder.
    ///
    /// # Errors
    /// Where the run's id isn't one.
    pub(crate) fn request(&self, spec: RunSpec, folder: PathBuf) -> CommandResult<StartRequest> {
        // A file that can't be read keeps no container from starting.
        let registry = RegistryArgs::default().options(&project_folder(&folder));
        Ok(StartRequest {
            spec,
            runtime: self.runtime,
            gpu: self.gpu.clone(),
            defaults: self.defaults,
            tracker_key: self.defaults,
            record: self.record,
            data: self.data.clone(),
            // The flag's, else the tracker's, else a new one.
            run_id: settings::run_id(self.run_id.as_deref())?,
            folder,
            registry: registry.ok(),
        })
    }
}

/// The data that `--data` names, and how `--data-hash` wants it read.
///
/// # Errors
/// Where one flag is of no use without another.
pub(crate) fn data_wishes(own: &Options) -> CommandResult<Vec<DataWish>> {
    let names = own.all("data").map(ToString::to_string);
    let hash = match own.text("data-hash") {
        Some("full") => DataHash::Full,
        _ => DataHash::Sampled,
    };
    let wishes: Vec<DataWish> = names.map(|name| DataWish { name, hash }).collect();
    if wishes.is_empty() && own.has("data-hash") {
        return Err(CommandError::user("--data-hash: there is no data to read")
            .hint("name it: --data PATH"));
    }
    if !wishes.is_empty() && own.is_on("no-record") {
        return Err(CommandError::user(
            "--data is for the run's record, and --no-record leaves it out",
        )
        .hint("leave out --no-record, or --data"));
    }
    if let Some(empty) = wishes.iter().find(|wish| wish.name.is_empty()) {
        return Err(
            CommandError::user(format!("--data={}: it names nothing", empty.name))
                .hint("a file, a folder or an address: --data PATH"),
        );
    }
    Ok(wishes)
}

fn gpu_selection(text: &str) -> CommandResult<GpuSelection> {
    const WORDS: [&str; 3] = ["auto", "required", "off"];
    let is_id = |id: &str| {
        let number = !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit() || b == b':');
        number || id.starts_with("GPU-") || id.starts_with("MIG-")
    };
    match text {
        "auto" | "all" => Ok(GpuSelection::Auto),
        "required" => Ok(GpuSelection::Required),
        "off" | "none" => Ok(GpuSelection::Off),
        ids if ids.split(',').all(is_id) => Ok(GpuSelection::Ids(
            ids.split(',').map(str::to_owned).collect(),
        )),
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
        assert_eq!(gpu_selection("required").unwrap(), GpuSelection::Required);
        let ids =
            |list: &[&str]| GpuSelection::Ids(list.iter().map(|id| (*id).to_owned()).collect());
        assert_eq!(gpu_selection("0,1").unwrap(), ids(&["0", "1"]));
        assert_eq!(gpu_selection("GPU-4d1f").unwrap(), ids(&["GPU-4d1f"]));
        insta::assert_snapshot!(gpu_selection("requried").unwrap_err(), @r"
        --gpu=requried: not auto, required, off, or numbers and UUIDs of GPUs
          hint: did you mean `--gpu=required`?
        ");
        insta::assert_snapshot!(gpu_selection("0,").unwrap_err(), @r"
        --gpu=0,: not auto, required, off, or numbers and UUIDs of GPUs
          hint: nvidia-smi -L lists the GPUs
        ");
    }
}
