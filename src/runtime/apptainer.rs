//! A [`RunSpec`] as the command line of Apptainer, which is told to do as docker does where its own habits are
//! others: no folder of the machine's is there unmounted, none of its variables, no process of it is seen, and
//! what is written beside mounts is gone at the end.
//!
//! Every flag of `docker run` is in the line, or named: with a warning where programs don't notice, as refused
//! where they would. Values of variables stand in no line, but in the environment of Apptainer's program.

mod machine;

use std::path::Path;

use self::machine::of_this_machine;
use super::carried::{Carried, bind, of_apptainer};
use super::flag::RuntimeCli;
use super::options::Setting;
use super::render::{LeftOut, Rendered};
use super::slurm::{ContainerRuntime, ImageDefaults, program, why_not};
use super::spec::RunSpec;
use super::value::{Assignment, Device, Value};

/// Before a variable's name where it is meant for the container.
pub const VARIABLE: &str = "APPTAINERENV_";

/// What a run has of the machine.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The file of the image.
    pub image: &'a str,
    /// What the image starts, and where.
    pub defaults: &'a ImageDefaults,
    /// A folder for what the container keeps in `/tmp` and home as long as it runs.
    pub folder: Option<&'a Path>,
}

/// A line of Apptainer's, and what isn't in it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ApptainerLine {
    /// Its words after the program.
    pub args: Vec<String>,
    /// Variables of the container; one without a value has this process's own.
    pub variables: Vec<Assignment>,
    /// Whether the program can read what is typed.
    pub reads_stdin: bool,
    /// What Apptainer doesn't have, and programs can do without.
    pub warnings: Vec<LeftOut>,
    /// What it doesn't have.
    pub refused: Vec<LeftOut>,
}

/// The line that starts the container with what an image's own program is. The variables of files aren't
/// in it: those are read by whoever starts it.
pub fn exec(spec: &RunSpec, place: Place<'_>) -> ApptainerLine {
    let entrypoint = spec.options.text("entrypoint");
    let command = program(
        ContainerRuntime::Apptainer,
        entrypoint,
        &spec.command,
        place.defaults,
    );
    let mut builder = Builder::new(spec);
    if command.is_empty() {
        builder.refuse(
            "the command",
            "the image has none; write one after the image",
        );
    }
    let folder = place.defaults.workdir.as_deref().unwrap_or("/");
    builder.line("exec", place.image, Some(folder), place.folder, &command)
}

/// A line for a person: Apptainer itself fetches the image and knows its program.
pub(super) fn line(spec: &RunSpec) -> Rendered<Vec<String>> {
    let (verb, command) = match spec.options.text("entrypoint") {
        None => ("run", spec.command.clone()),
        Some(_) => {
            let nothing = ImageDefaults::default();
            let runtime = ContainerRuntime::Apptainer;
            let entrypoint = spec.options.text("entrypoint");
            (
                "exec",
                program(runtime, entrypoint, &spec.command, &nothing),
            )
        }
    };
    let image = format!("docker://{}", spec.image);
    let line = Builder::new(spec).line(verb, &image, None, None, &command);
    let values = line.variables.iter().filter_map(|variable| {
        let value = variable.value.as_ref()?;
        Some(format!("{VARIABLE}{}={value}", variable.name))
    });
    let mut form: Vec<String> = values.collect();
    if !form.is_empty() {
        form.insert(0, "env".to_owned());
    }
    form.push(RuntimeCli::Apptainer.program().to_owned());
    form.extend(line.args);
    Rendered {
        form,
        left_out: line.refused,
    }
}

/// What Apptainer doesn't have of it, and programs can do without.
pub fn warnings(spec: &RunSpec) -> Vec<LeftOut> {
    Builder::new(spec).warnings
}

struct Builder<'a> {
    spec: &'a RunSpec,
    words: Vec<String>,
    gpus: Option<Gpus>,
    capabilities: Vec<&'a str>,
    variables: Vec<Assignment>,
    warnings: Vec<LeftOut>,
    refused: Vec<LeftOut>,
}

/// Whose GPUs the container gets.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Gpus {
    /// NVIDIA's: all, or those of these numbers or UUIDs.
    Nvidia(Vec<String>),
    /// AMD's.
    Amd,
}

impl<'a> Builder<'a> {
    fn new(spec: &'a RunSpec) -> Self {
        let mut builder = Self {
            spec,
            words: Vec::new(),
            gpus: None,
            capabilities: Vec::new(),
            variables: Vec::new(),
            warnings: Vec::new(),
            refused: Vec::new(),
        };
        for setting in spec.options.iter() {
            let carried = builder.carried(setting);
            builder.take(setting, carried);
        }
        for variable in spec.env() {
            builder.variable(variable);
        }
        builder
    }

    fn take(&mut self, setting: &Setting, carried: Carried) {
        let left_out = |why: String| LeftOut {
            what: setting.word(),
            why,
        };
        match carried {
            Carried::Words(words) => self.words.extend(words),
            Carried::Directive(_) | Carried::Nothing => {}
            Carried::Noted(why) => self.warnings.push(left_out(why.to_owned())),
            Carried::Refused(why) => self.refused.push(left_out(why)),
        }
    }

    fn refuse(&mut self, what: &str, why: &str) {
        self.refused.push(LeftOut {
            what: what.to_owned(),
            why: why.to_owned(),
        });
    }

    fn variable(&mut self, variable: &Assignment) {
        match why_not(&variable.name, ContainerRuntime::Apptainer) {
            Some(why) => self.refuse(&format!("--env={}", variable.name), why),
            None => self.variables.push(variable.clone()),
        }
    }

    /// What becomes of a flag.
    fn carried(&mut self, setting: &'a Setting) -> Carried {
        if let Some(carried) = self.of_devices(setting) {
            return carried;
        }
        of_this_machine(setting).unwrap_or_else(|| of_apptainer(setting))
    }

    /// Devices, and whose GPUs are asked for.
    fn of_devices(&mut self, setting: &'a Setting) -> Option<Carried> {
        let options = &self.spec.options;
        let has_kfd = || {
            let mut devices = options.all("device");
            devices.any(
                |device| matches!(device, Value::Device(Device::Path { host, .. }) if host == AMD),
            )
        };
        match (setting.flag.name, &setting.value) {
            ("gpus", Value::Text(text)) => match gpus(text) {
                Some(ids) => self.nvidia(ids),
                None => return Some(Carried::refused("write all, device=… or a number")),
            },
            ("runtime", Value::Text(runtime)) if runtime == "nvidia" => self.nvidia(Vec::new()),
            ("device", Value::Device(Device::Cdi(name))) => {
                match name.strip_prefix("nvidia.com/gpu=") {
                    Some("all") => self.nvidia(Vec::new()),
                    Some(id) => self.nvidia(vec![id.to_owned()]),
                    None => return Some(Carried::refused("apptainer reads no CDI specifications")),
                }
            }
            ("device", Value::Device(Device::Path { host, .. })) if host == AMD => {
                self.gpus = Some(Gpus::Amd);
            }
            // It comes with the other.
            ("device", Value::Device(Device::Path { host, .. }))
                if host == "/dev/dri" && has_kfd() => {}
            (
                "device",
                Value::Device(Device::Path {
                    host, container, ..
                }),
            ) => {
                let inside = container.as_deref().unwrap_or(host);
                return Some(Carried::Words(bind(host, inside, false)));
            }
            ("group-add", _) => return Some(Carried::Noted("it has the groups that you are in")),
            ("cap-drop", Value::Text(name)) => self.capabilities.push(name),
            _ => return None,
        }
        Some(Carried::Nothing)
    }

    fn nvidia(&mut self, ids: Vec<String>) {
        match &mut self.gpus {
            Some(Gpus::Nvidia(all)) => all.extend(ids),
            gpus => *gpus = Some(Gpus::Nvidia(ids)),
        }
    }

    /// Which GPUs the program sees: those that were chosen, else those that the machine's own scheduler left
    /// to this process.
    fn visible_gpus(&mut self) {
        let mut all = Vec::new();
        match &self.gpus {
            Some(Gpus::Nvidia(ids)) if ids.is_empty() => all.push(("CUDA_VISIBLE_DEVICES", None)),
            Some(Gpus::Nvidia(ids)) => {
                all.push(("CUDA_VISIBLE_DEVICES", Some(ids.join(","))));
                // Numbers are those of nvidia-smi.
                all.push(("CUDA_DEVICE_ORDER", Some("PCI_BUS_ID".to_owned())));
            }
            Some(Gpus::Amd) => {
                all.extend([
                    ("ROCR_VISIBLE_DEVICES", None),
                    ("HIP_VISIBLE_DEVICES", None),
                ]);
            }
            None => {}
        }
        let is_given = |name: &str| self.spec.has_env(name);
        let all = all.into_iter().filter(|(name, _)| !is_given(name));
        self.variables.extend(all.map(|(name, value)| Assignment {
            name: name.to_owned(),
            value,
        }));
    }

    fn line(
        mut self,
        verb: &str,
        image: &str,
        workdir: Option<&str>,
        folder: Option<&Path>,
        command: &[String],
    ) -> ApptainerLine {
        let options = &self.spec.options;
        let mut args = vec!["--quiet".to_owned(), verb.to_owned()];
        let mut add = |word: &str| args.push(word.to_owned());
        add("--no-eval");
        add("--cleanenv");
        add("--contain");
        if options.text("pid") != Some("host") {
            add("--pid");
        }
        if !options.has("ipc") {
            add("--ipc");
        }
        if !options.is_on("read-only") {
            add("--writable-tmpfs");
        }
        match &self.gpus {
            Some(Gpus::Nvidia(_)) => add("--nv"),
            Some(Gpus::Amd) => add("--rocm"),
            None => {}
        }
        if !self.capabilities.is_empty() {
            add(&format!("--drop-caps={}", self.capabilities.join(",")));
        }
        if let Some(folder) = folder {
            add(&format!("--workdir={}", folder.display()));
        }
        if let Some(workdir) = workdir.filter(|_| !options.has("workdir")) {
            add(&format!("--cwd={workdir}"));
        }
        let reads_stdin = options.is_on("interactive");
        self.visible_gpus();
        args.extend(self.words);
        args.push(image.to_owned());
        args.extend(command.iter().cloned());
        ApptainerLine {
            args,
            variables: self.variables,
            reads_stdin,
            warnings: self.warnings,
            refused: self.refused,
        }
    }
}

/// What a machine has that has AMD's GPUs.
const AMD: &str = "/dev/kfd";

/// The GPUs of `docker run --gpus`: none stands for all; `None` where it asks for something else.
fn gpus(text: &str) -> Option<Vec<String>> {
    let text = text.trim_matches('"');
    if matches!(text, "all" | "-1") {
        return Some(Vec::new());
    }
    if let Some(ids) = text.strip_prefix("device=") {
        let ids = ids.split(',').map(|id| id.trim_matches('"').to_owned());
        return Some(ids.collect());
    }
    let count: u32 = text.strip_prefix("count=").unwrap_or(text).parse().ok()?;
    Some((0..count).map(|number| number.to_string()).collect())
}

#[cfg(test)]
mod tests;
