//! Errors of queues and of their store.

use crate::error::CommandError;
use mlbuild::queue::{
    LaunchConfigError, ManifestError, PolicyError, QueueConfigError, StoreError, TemplateError,
};
use mlbuild::shell::word;

impl From<QueueConfigError> for CommandError {
    fn from(error: QueueConfigError) -> Self {
        match error {
            QueueConfigError::Invalid(error) => error.into(),
            QueueConfigError::Read { .. } => CommandError::user(error),
            QueueConfigError::UnknownOption { ref near, .. } => {
                let hint = match near {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => {
                        "the keys are the long options of docker run; mlbuild run --help lists them"
                            .into()
                    }
                };
                CommandError::user(format!("--set {error}")).hint(hint)
            }
            QueueConfigError::NeedsValue {
                ref key,
                value_name,
            } => CommandError::user(format!("--set {error}"))
                .hint(format!("write --set {}={value_name}", word(key))),
            QueueConfigError::Value { .. }
            | QueueConfigError::Secret(_)
            | QueueConfigError::Macro(_)
            | QueueConfigError::Manifest(
                ManifestError::Path { .. } | ManifestError::NotToSet { .. },
            ) => CommandError::user(format!("--set {error}")),
            QueueConfigError::Manifest(_) | QueueConfigError::Filled { .. } => {
                CommandError::user(error)
            }
            QueueConfigError::Template(ref template) => {
                let hint = match template {
                    TemplateError::Unknown {
                        near: Some(near), ..
                    } => Some(format!("did you mean `{near}`?")),
                    TemplateError::Missing { name, .. } | TemplateError::Value { name, .. } => {
                        Some(format!("write --set-var {}=VALUE", word(name)))
                    }
                    _ => None,
                };
                let made = CommandError::user(&error);
                match hint {
                    Some(hint) => made.hint(hint),
                    None => made,
                }
            }
            QueueConfigError::Gpus { .. } => CommandError::user(error)
                .hint("capabilities and drivers go into the option `device`, by CDI name"),
            QueueConfigError::GpusSeveralTimes => {
                CommandError::user(error).hint("leave one: gpus, gpu, or device")
            }
        }
    }
}

impl From<LaunchConfigError> for CommandError {
    fn from(error: LaunchConfigError) -> Self {
        let mut inner = &error;
        while let LaunchConfigError::In { source, .. } = inner {
            inner = source;
        }
        let hint = match inner {
            LaunchConfigError::UnknownKey {
                near: Some(near), ..
            } => Some(format!("did you mean `{near}`?")),
            LaunchConfigError::UnknownKey { known, .. } => {
                Some(format!("what can stand there: {}", known.join(", ")))
            }
            LaunchConfigError::MaxJobs(_) => {
                Some("write 1 or more, or -1 for as many as there are".into())
            }
            LaunchConfigError::Builder { .. } => {
                Some("write docker, buildkit, kaniko or noop".into())
            }
            _ => None,
        };
        let made = CommandError::user(&error);
        match hint {
            Some(hint) => made.hint(hint),
            None => made,
        }
    }
}

impl From<PolicyError> for CommandError {
    fn from(error: PolicyError) -> Self {
        let place = if error.is_of_queue() {
            "the queue's configuration"
        } else {
            "launch-config.yaml of the agent"
        };
        let hint = format!("where it is let pass: {} in {place}", error.rule());
        CommandError::new(error.kind(), error).hint(hint)
    }
}

impl From<StoreError> for CommandError {
    fn from(error: StoreError) -> Self {
        let hint = hint(&error);
        let made = CommandError::new(error.kind(), error);
        match hint {
            Some(hint) => made.hint(hint),
            None => made,
        }
    }
}

fn hint(error: &StoreError) -> Option<String> {
    Some(match error {
        StoreError::NoJob { .. } => "mlbuild jobs list".into(),
        StoreError::SeveralJobs { .. } => "type more of the id".into(),
        StoreError::JobEnded { id, .. } => format!("mlbuild jobs retry {id} starts it again"),
        StoreError::JobRuns { silent: true, .. } => {
            "an agent on that machine takes it over; if the machine is gone for good: --force"
                .into()
        }
        StoreError::JobRuns { id, .. } => format!("mlbuild jobs cancel {id}"),
        StoreError::QueueGone { .. } => "launch it into another queue".into(),
        StoreError::NoCode { .. } => "launch the job again".into(),
        StoreError::AgentAtWork { .. } => "give this one another --name".into(),
        StoreError::QueueExists { name } => {
            format!(
                "mlbuild queue create {} --replace gives it this configuration",
                word(name)
            )
        }
        StoreError::JobsWait { queue, .. } => {
            format!(
                "mlbuild queue delete {} --cancel-jobs cancels them",
                word(queue)
            )
        }
        StoreError::NoQueue {
            near: Some(near), ..
        } => format!("did you mean `{near}`?"),
        StoreError::NoQueue { name, .. } => format!("mlbuild queue create {}", word(name)),
        StoreError::Address(_) => "write a file, or postgres://USER@HOST:PORT/DATABASE".into(),
        StoreError::Full { .. } | StoreError::ServerFull => {
            "nothing was changed; make room, and do it again".into()
        }
        StoreError::TooNew => "install that version".into(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlbuild::queue::{LaunchConfig, QueueConfig, override_of};

    fn error(text: &str) -> String {
        CommandError::from(QueueConfig::parse(text, "q".as_ref()).unwrap_err()).to_string()
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        insta::assert_snapshot!(error("{\"rm\": true,\n \"shm_size\": \"1g\"}"), @r"
        q:2:11: unknown option `shm_size`
          hint: did you mean `shm-size`?
        ");
        insta::assert_snapshot!(error("rm: true\nshmsize: 1g\n"), @r"
        q:2:1: unknown option `shmsize`
          hint: did you mean `shm-size`?
        ");
        insta::assert_snapshot!(error("{\"rm\": true,\n"), @"q:2:1: EOF while parsing a value");
        insta::assert_snapshot!(error("rm: [\n"), @"q:1:1: invalid type: sequence, expected true or false for `rm`");
        insta::assert_snapshot!(error("rm: true\nvolume:\n- /a:/a\n- b:c\n"), @r#"q:4:3: volume "b:c": the path in the container, `c`, must begin with /"#);
        insta::assert_snapshot!(error("rm: true\nname: [a]"), @"q:2:1: invalid type: sequence, expected a string for `name`");
        insta::assert_snapshot!(error("{\"env\": [\"HF_TOKEN=abc\"]}"), @"q:1:25: `env`: HF_TOKEN holds what looks like a secret; write the name alone, `HF_TOKEN`, and its value is taken from the agent's environment");
        insta::assert_snapshot!(error("- a"), @"q:1:1: expected mapping start");
        insta::assert_snapshot!(error("{\"builder\": {\"accelerator\": {\"image\": \"x\"}}}"), @"q:1:36: unknown field `image`, expected `base_image`");
        insta::assert_snapshot!(CommandError::from(override_of("shm-siz=1g").unwrap_err()), @r"
        --set shm-siz=1g: unknown option `shm-siz`
          hint: did you mean `shm-size`?
        ");
        insta::assert_snapshot!(CommandError::from(override_of("shm-size").unwrap_err()), @r"
        --set shm-size: `shm-size` needs a value
          hint: write --set shm-size=SIZE
        ");
    }

    #[test]
    fn what_isnt_known_is_named() {
        let error =
            |text: &str| CommandError::from(LaunchConfig::parse(text).unwrap_err()).to_string();
        insta::assert_snapshot!(error("max_job: 3"), @r"
        unknown key `max_job`
          hint: did you mean `max_jobs`?
        ");
        insta::assert_snapshot!(error("builder:\n  typ: docker"), @r"
        unknown key `builder.typ`
          hint: did you mean `type`?
        ");
        insta::assert_snapshot!(error("builder:\n  type: podman"), @r#"
        builder.type: "podman" is no builder that is known
          hint: write docker, buildkit, kaniko or noop
        "#);
        insta::assert_snapshot!(error("builder:\n  accelerator:\n    image: x"), @r"
        unknown key `builder.accelerator.image`
          hint: what can stand there: base_image
        ");
        insta::assert_snapshot!(error("max_jobs: 0"), @r"
        max_jobs is 0
          hint: write 1 or more, or -1 for as many as there are
        ");
        let unlimited = LaunchConfig::parse("max_jobs: -1").unwrap();
        assert_eq!(unlimited.max_jobs, Some(usize::MAX));
        insta::assert_snapshot!(error("max_jobs: many"), @r#"max_jobs: invalid type: string "many", expected a whole number"#);
        insta::assert_snapshot!(error("queues: [a\n"), @"unclosed bracket '[' at line 1, column 9");
    }
}
