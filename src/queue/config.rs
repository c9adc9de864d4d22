//! A queue's configuration: JSON or YAML whose keys are the options of `docker run`, or a Kubernetes
//! manifest.

mod tree;

use std::fmt;
use std::path::Path;

use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess, Visitor};

use super::error::QueueConfigError;
use super::job::GpuNeed;
use super::macros::{self, JobFacts};
use super::manifest::Manifest;
use super::other_resource;
use super::secret;
use super::template::{self, TemplateVariables};
use crate::config::{ConfigError, Values};
use crate::runtime::{self, Device, FLAGS, Flag, Options, Owner, RunSpec, Setting, Value};

/// What a queue says about its jobs' containers and images.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct QueueConfig {
    /// The options, docker's and mlbuild's own (`gpu`).
    pub options: Options,
    /// Base of images that are built for jobs: `builder.accelerator.base_image`.
    pub base_image: Option<String>,
    /// Options that a launch may set, by their long names: `overrides`. `None`: all that agents let
    /// pass.
    pub overrides: Option<Vec<String>>,
    /// The object that is made for a job, in a queue of Kubernetes.
    pub manifest: Option<Manifest>,
    /// Template variables: what launches give values for.
    pub(super) variables: TemplateVariables,
    /// The configuration with these in it, where there are any, without W&B's words around it.
    pub(super) template: Option<serde_json::Value>,
}

/// What jobs of a queue become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueKind {
    /// Containers of Docker or Podman.
    Docker,
    /// Objects of a Kubernetes cluster.
    Kubernetes,
}

impl QueueKind {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Kubernetes => "kubernetes",
        }
    }
}

impl QueueConfig {
    /// What jobs become.
    pub fn kind(&self) -> QueueKind {
        match self.manifest {
            Some(_) => QueueKind::Kubernetes,
            None => QueueKind::Docker,
        }
    }

    /// Reads a configuration that came from `path`.
    ///
    /// # Errors
    /// With the place of what is wrong.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        match tree::read(text, path)? {
            Some(config) => Ok(config),
            None => Self::of_options(text, path),
        }
    }

    /// Reads one of docker's options alone.
    fn of_options(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let invalid = |line: usize, column: usize, message: String| {
            let (message, hint) = match message.split_once(HINT) {
                Some((message, hint)) => (message.to_owned(), Some(hint.to_owned())),
                None => (message, None),
            };
            ConfigError::Invalid {
                path: path.to_owned(),
                line,
                column,
                message,
                hint,
            }
        };
        if text.trim_start().starts_with('{') {
            return serde_json::from_str(text).map_err(|error| {
                let (line, column) = (error.line(), error.column());
                let place = format!(" at line {line} column {column}");
                let message = error.to_string().replacen(&place, "", 1);
                invalid(line.max(1), column.max(1), message)
            });
        }
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        serde_saphyr::from_str(text).map_err(|error: serde_saphyr::Error| {
            let error = error.without_snippet();
            let place = error.location();
            let line = place.map_or(1, |place| place.line() as usize);
            let column = place.map_or(1, |place| place.column() as usize);
            let message = match error {
                serde_saphyr::Error::Message { msg, .. } => msg.clone(),
                error => error.to_string(),
            };
            let ending = format!(" at line {line}, column {column}");
            invalid(line, column, message.replacen(&ending, "", 1))
        })
    }

    /// Reads a file.
    ///
    /// # Errors
    /// Where it can't be read, or as [`QueueConfig::parse`].
    pub fn read(path: &Path) -> Result<(Self, String), QueueConfigError> {
        let unread = |source| QueueConfigError::Read {
            path: path.to_owned(),
            source,
        };
        let text = std::fs::read_to_string(path).map_err(unread)?;
        Ok((Self::parse(&text, path)?, text))
    }

    /// What is started: the job's overrides stand over the queue's options, and macros are filled in.
    ///
    /// # Errors
    /// A macro that stands for nothing; an option that doesn't take what it became.
    pub fn spec_of(
        &self,
        facts: &JobFacts,
        command: &[String],
        overrides: Options,
    ) -> Result<(RunSpec, Options), QueueConfigError> {
        let (mut spec, own) = self.spec(&facts.image_uri, command, overrides);
        spec.options = macros::filled(spec.options, facts)?;
        Ok((spec, macros::filled(own, facts)?))
    }

    /// As [`QueueConfig::spec_of`], with macros as they are written.
    pub fn spec(&self, image: &str, command: &[String], overrides: Options) -> (RunSpec, Options) {
        let (options, own) = overrides.over(self.options.clone()).by_owner();
        let spec = RunSpec {
            image: image.to_owned(),
            command: command.to_vec(),
            options,
        };
        (spec, own)
    }
}

/// Stands in a message before the hint.
const HINT: &str = "\u{1}";

impl<'de> Deserialize<'de> for QueueConfig {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Table;
        impl<'de> Visitor<'de> for Table {
            type Value = QueueConfig;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of options of docker run")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<QueueConfig, A::Error> {
                let mut config = QueueConfig::default();
                while let Some(key) = map.next_key_seed(Key)? {
                    let flag = match key {
                        QueueKey::Option(flag) => flag,
                        QueueKey::Builder => {
                            config.base_image = map.next_value::<Builder>()?.accelerator.base_image;
                            continue;
                        }
                        QueueKey::Overrides => {
                            config.overrides = Some(map.next_value_seed(Names)?);
                            continue;
                        }
                    };
                    for setting in map.next_value_seed(Checked(flag))? {
                        config.options.push(setting);
                    }
                }
                Ok(config)
            }
        }
        input.deserialize_map(Table)
    }
}

/// The values of an option, none of which may be a secret.
struct Checked(&'static Flag);

impl<'de> DeserializeSeed<'de> for Checked {
    type Value = Vec<Setting>;
    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Vec<Setting>, D::Error> {
        let settings = Values(self.0).deserialize(input)?;
        for setting in &settings {
            secret::refuse(setting).map_err(de::Error::custom)?;
            macros::check(setting)
                .map_err(|error| de::Error::custom(format!("{}: {error}", setting.flag.name)))?;
        }
        Ok(settings)
    }
}

/// The names of options that a launch may set.
struct Names;

impl<'de> DeserializeSeed<'de> for Names {
    type Value = Vec<String>;
    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Vec<String>, D::Error> {
        let names = Vec::<String>::deserialize(input)?;
        let known = |name: &String| match option_of(name) {
            Ok(flag) => Ok(flag.name.to_owned()),
            Err(near) => {
                let hint = near.map_or(OTHERS.to_owned(), |near| format!("did you mean `{near}`?"));
                Err(de::Error::custom(format!(
                    "overrides: unknown option `{name}`{HINT}{hint}"
                )))
            }
        };
        names.iter().map(known).collect()
    }
}

/// What a key stands for.
enum QueueKey {
    /// An option of the jobs' containers.
    Option(&'static Flag),
    /// How images are built.
    Builder,
    /// What a launch may set.
    Overrides,
}

/// Reads a key.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = QueueKey;
    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Self::Value, D::Error> {
        input.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Key {
    type Value = QueueKey;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an option of docker run")
    }
    fn visit_str<E: de::Error>(self, key: &str) -> Result<Self::Value, E> {
        match key {
            "builder" => return Ok(QueueKey::Builder),
            "overrides" => return Ok(QueueKey::Overrides),
            _ => {}
        }
        if let Some((why, hint)) = other_resource::told_by(key) {
            return Err(E::custom(format!("{why}{HINT}{hint}")));
        }
        option_of(key).map(QueueKey::Option).map_err(|near| {
            let hint = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => OTHERS.to_owned(),
            };
            E::custom(format!("unknown option `{key}`{HINT}{hint}"))
        })
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Builder {
    accelerator: BuilderAccelerator,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct BuilderAccelerator {
    base_image: Option<String>,
}

/// mlbuild's own flags that belong to a command line and not to a job.
const OF_A_LINE: [&str; 9] = [
    "trust",
    "dry-run",
    "format",
    "help",
    "run-id",
    "runtime-cli",
    "no-record",
    "data",
    "data-hash",
];

fn may_stand(flag: &Flag) -> bool {
    flag.owner == Owner::Docker || !OF_A_LINE.contains(&flag.name)
}

/// Which keys there are.
const OTHERS: &str = "the keys are the long options of docker run";

/// The option of a key: a long name, an older one, or a letter. The error is the name that was
/// probably meant.
fn option_of(key: &str) -> Result<&'static Flag, Option<&'static str>> {
    let by_letter = || {
        FLAGS
            .iter()
            .find(|flag| flag.short.is_some_and(|s| key.chars().eq([s])))
    };
    let known = runtime::find(key).or_else(by_letter);
    if let Some(flag) = known.filter(|flag| may_stand(flag)) {
        return Ok(flag);
    }
    let names = FLAGS.iter().filter(|flag| may_stand(flag));
    let names = names.map(|flag| flag.name).chain(["builder", "overrides"]);
    let dashed = key.replace('_', "-");
    Err(crate::nearest::nearest(&dashed, names))
}

/// Reads a job's override, `KEY=VALUE`, or `KEY` alone for a switch.
///
/// # Errors
/// Where there is no such option, it doesn't take this value, or the value looks like a secret.
pub fn override_of(text: &str) -> Result<Setting, QueueConfigError> {
    let (key, value) = match text.split_once('=') {
        Some((key, value)) => (key, Some(value)),
        None => (text, None),
    };
    let flag = option_of(key).map_err(|near| QueueConfigError::UnknownOption {
        setting: text.to_owned(),
        key: key.to_owned(),
        near,
    })?;
    let value = value
        .or(flag.bare)
        .ok_or_else(|| QueueConfigError::NeedsValue {
            key: key.to_owned(),
            value_name: flag.value_name,
        })?;
    let setting = Setting::parse(flag, value).map_err(|why| QueueConfigError::Value {
        key: key.to_owned(),
        value: value.to_owned(),
        why: why.to_string(),
    })?;
    secret::refuse(&setting)?;
    macros::check(&setting)?;
    Ok(setting)
}

/// Which GPUs a job needs, by what its options say: `gpus`, `gpu`, or CDI devices.
///
/// # Errors
/// Where the options ask in several ways.
pub fn gpu_need(options: &Options) -> Result<GpuNeed, QueueConfigError> {
    let mut needs: Vec<GpuNeed> = Vec::new();
    let ids = |list: &str| GpuNeed::Ids(list.split(',').map(|id| id.trim().to_owned()).collect());
    if let Some(gpus) = options.text("gpus") {
        let value = gpus.trim_matches('"');
        needs.push(match value.strip_prefix("device=") {
            _ if matches!(value, "all" | "-1") => GpuNeed::All,
            Some(list) => ids(list.trim_matches('"')),
            None => {
                let count = value.strip_prefix("count=").unwrap_or(value);
                GpuNeed::Count(count.parse().map_err(|_| QueueConfigError::Gpus {
                    gpus: gpus.to_owned(),
                })?)
            }
        });
    }
    match options.text("gpu") {
        None | Some("off" | "none") => {}
        Some("auto" | "all" | "required") => needs.push(GpuNeed::All),
        Some(list) => needs.push(ids(list)),
    }
    let named: Vec<String> = options
        .all("device")
        .filter_map(|value| match value {
            Value::Device(Device::Cdi(name)) => name.strip_prefix("nvidia.com/gpu="),
            _ => None,
        })
        .map(str::to_owned)
        .collect();
    match named.iter().any(|id| id == "all") {
        _ if named.is_empty() => {}
        true => needs.push(GpuNeed::All),
        false => needs.push(GpuNeed::Ids(named)),
    }
    match needs.len() {
        0 => Ok(GpuNeed::None),
        1 => Ok(needs.swap_remove(0)),
        _ => Err(QueueConfigError::GpusSeveralTimes),
    }
}

/// The options without those that ask for GPUs: an agent hands them out.
pub fn without_gpus(options: Options) -> Options {
    let asks = |setting: &Setting| match &setting.value {
        Value::Device(Device::Cdi(name)) => name.starts_with("nvidia.com/gpu="),
        _ => matches!(setting.flag.name, "gpus" | "gpu"),
    };
    options.iter().filter(|s| !asks(s)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::Source;
    use crate::runtime::RuntimeCli;

    fn line(text: &str) -> String {
        let config = QueueConfig::parse(text, "q.json".as_ref()).unwrap();
        let (spec, _) = config.spec("img", &["train".into()], Options::default());
        spec.argv(RuntimeCli::Docker).form.join(" ")
    }

    #[test]
    fn the_documentations_example_is_taken() {
        let json = r#"{"env": ["MY_ENV_VAR=value", "MY_EXISTING_ENV_VAR"],
            "volume": "/mnt/datasets:/mnt/datasets", "rm": true, "gpus": "all"}"#;
        let yaml = "env:\n- MY_ENV_VAR=value\n- MY_EXISTING_ENV_VAR\nvolume: /mnt/datasets:/mnt/datasets\nrm: true\ngpus: all\n";
        let wanted = "docker run --env=MY_ENV_VAR=value --env=MY_EXISTING_ENV_VAR \
                      --volume=/mnt/datasets:/mnt/datasets --rm --gpus=all img train";
        assert_eq!(line(json), wanted);
        assert_eq!(line(yaml), wanted);
    }

    #[test]
    fn queues_of_other_resources_are_named() {
        for (text, wanted) in [
            (
                "{\"RoleArn\": \"arn:aws:iam::1:role/r\"}",
                "an Amazon SageMaker queue",
            ),
            (
                "run:\n  restart_job_on_worker_restart: false",
                "a Vertex AI queue",
            ),
        ] {
            let said = QueueConfig::parse(text, "q".as_ref()).unwrap_err();
            assert!(said.to_string().contains(wanted), "{text}: {said}");
        }
        for flag in FLAGS {
            assert_eq!(other_resource::told_by(flag.name), None, "{}", flag.name);
        }
    }

    #[test]
    fn every_option_of_docker_run_is_accepted() {
        for flag in FLAGS.iter().filter(|flag| flag.owner == Owner::Docker) {
            assert_eq!(option_of(flag.name), Ok(flag), "{}", flag.name);
        }
        assert_eq!(
            line("{\"v\": [\"/a:/a\"], \"net\": \"host\", \"cpus\": 1.5, \"tty\": false}"),
            "docker run --volume=/a:/a --network=host --cpus=1.5 --tty=false img train"
        );
    }

    #[test]
    fn overrides_stand_over_the_queue() {
        let config = QueueConfig::parse(
            "shm-size: 1g\nenv: [A=queue, B=queue]\nvolume: /q:/data",
            "q".as_ref(),
        );
        let overrides = ["shm-size=8g", "env=A=job", "volume=/j:/data", "init"];
        let overrides = overrides.iter().map(|text| override_of(text).unwrap());
        let (spec, _) = config.unwrap().spec("img", &[], overrides.collect());
        insta::assert_snapshot!(spec.argv(RuntimeCli::Docker).form.join(" "), @"docker run --env=B=queue --shm-size=8g --env=A=job --volume=/j:/data --init img");
    }

    #[test]
    fn the_need_for_gpus_is_read() {
        let need = |text: &str| {
            let config = QueueConfig::parse(text, "q".as_ref()).unwrap();
            let left = without_gpus(config.options.clone());
            assert!(left.iter().all(|s| s.flag.name == "rm"), "{left:?}");
            gpu_need(&config.options)
        };
        let ids = |list: &[&str]| GpuNeed::Ids(list.iter().map(|id| (*id).to_owned()).collect());
        assert_eq!(need("rm: true").unwrap(), GpuNeed::None);
        assert_eq!(need("gpus: all").unwrap(), GpuNeed::All);
        assert_eq!(need("gpus: 2").unwrap(), GpuNeed::Count(2));
        assert_eq!(need("gpus: device=0,3").unwrap(), ids(&["0", "3"]));
        assert_eq!(need("gpu: off").unwrap(), GpuNeed::None);
        assert_eq!(
            need("device: [nvidia.com/gpu=0, nvidia.com/gpu=1]").unwrap(),
            ids(&["0", "1"])
        );
        assert_eq!(need("device: nvidia.com/gpu=all").unwrap(), GpuNeed::All);
        assert!(need("gpus: all\ngpu: all").is_err());
        assert!(need("gpus: driver=x").is_err());
    }

    #[test]
    fn a_base_for_images_may_stand_in_it() {
        let text =
            r#"{"builder": {"accelerator": {"base_image": "tensorflow/tensorflow:latest-gpu"}}}"#;
        let config = QueueConfig::parse(text, "q".as_ref()).unwrap();
        assert_eq!(
            config.base_image.as_deref(),
            Some("tensorflow/tensorflow:latest-gpu")
        );
    }

    #[test]
    fn macros_are_filled_in_or_refused_where_they_stand() {
        let text = r#"{"env": ["RUN=${run_id}"], "volume": "/data/${project_name}:/d", "name": "j-${run_name}"}"#;
        let config = QueueConfig::parse(text, Path::new("q.json")).unwrap();
        let source = Source::Folder {
            name: "cracks".into(),
            digest: String::new(),
            variant: None,
        };
        let facts = JobFacts::of(&source, "r.example/a@sha256:0", "01A", &[]);
        let overrides = vec![override_of("label=of=${image_uri}").unwrap()];
        let (spec, _) = config
            .spec_of(&facts, &[], overrides.into_iter().collect())
            .unwrap();
        assert_eq!(
            spec.argv(RuntimeCli::Docker).form.join(" "),
            "docker run --env=RUN=01A --volume=/data/cracks:/d --name=j-01A \
             --label=of=r.example/a@sha256:0 r.example/a@sha256:0"
        );
        let refused = |text: &str| {
            let error = QueueConfig::parse(text, Path::new("q.yaml")).unwrap_err();
            error.to_string()
        };
        for (text, place, said) in [
            (
                "env:\n  - A=1\n  - B=${HOME}\n",
                "q.yaml:",
                "env: `${HOME}`",
            ),
            (
                "rm: true\ncpus: '{{cpus}}'\n",
                "q.yaml:2:",
                "`{{cpus}}` is described nowhere",
            ),
            (
                "{\"label\": \"team=${author}\"}",
                "q.yaml:1:",
                "label: `${author}`",
            ),
        ] {
            let refused = refused(text);
            assert!(
                refused.contains(place) && refused.contains(said),
                "{refused}"
            );
        }
        assert!(override_of("env=A=${HOME}").is_err());
    }
}
