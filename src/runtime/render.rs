//! A [`RunSpec`] as a command line.

use super::apptainer;
use super::flag::RuntimeCli;
use super::options::Setting;
use super::spec::RunSpec;
use super::value::Value;

/// Something a form can't hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// The flag, or the part of the specification.
    pub what: String,
    /// Why.
    pub why: String,
}

/// A specification in another form, and what that form couldn't hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendered<T> {
    /// The form.
    pub form: T,
    /// What isn't in it.
    pub left_out: Vec<LeftOut>,
}

impl RunSpec {
    /// The words of the command, the program first: `docker run --flag=value … IMAGE COMMAND`. Apptainer's
    /// is a line that works without mlbuild: the program fetches the image, and variables stand before it.
    pub fn argv(&self, cli: RuntimeCli) -> Rendered<Vec<String>> {
        if cli == RuntimeCli::Apptainer {
            return apptainer::line(self);
        }
        let mut form = vec![cli.program().to_owned(), "run".to_owned()];
        let mut left_out = Vec::new();
        for setting in self.options.iter() {
            match words(setting, cli) {
                Ok(more) => form.extend(more),
                Err(why) => left_out.push(LeftOut {
                    what: setting.flag.to_string(),
                    why,
                }),
            }
        }
        if self.image.starts_with('-') {
            form.push("--".to_owned());
        }
        form.push(self.image.clone());
        form.extend(self.command.iter().cloned());
        Rendered { form, left_out }
    }
}

pub(super) fn words(setting: &Setting, cli: RuntimeCli) -> Result<Vec<String>, String> {
    if setting.flag.unknown_to.contains(&cli) {
        return Err(format!("{cli} has no such flag"));
    }
    // Podman took `--gpus` without a word for years; CDI names work in all that are in use.
    if let (RuntimeCli::Podman, "gpus", Value::Text(gpus)) =
        (cli, setting.flag.name, &setting.value)
    {
        return cdi_devices(gpus)
            .map(|names| names.iter().map(|n| format!("--device={n}")).collect())
            .ok_or_else(|| format!("podman takes GPUs by CDI name only, and `{gpus}` names none"));
    }
    Ok(vec![setting.word()])
}

/// The CDI names of what `docker run --gpus` asks for; `None` where it asks by count.
fn cdi_devices(gpus: &str) -> Option<Vec<String>> {
    let gpus = gpus.trim_matches('"');
    let ids = match gpus.strip_prefix("device=") {
        Some(ids) => ids,
        None if matches!(gpus, "all" | "-1") => "all",
        None => return None,
    };
    let name = |id: &str| format!("nvidia.com/gpu={}", id.trim_matches('"'));
    Some(ids.split(',').map(name).collect())
}
