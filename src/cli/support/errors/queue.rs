//! Errors of queues and of their store.

use crate::error::CommandError;
use crate::queue::{LaunchConfigError, QueueConfigError, StoreError};

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
                .hint(format!("write --set {key}={value_name}")),
            QueueConfigError::Value { .. } | QueueConfigError::Secret(_) => {
                CommandError::user(format!("--set {error}"))
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
            LaunchConfigError::Builder { .. } => Some("write docker, buildkit or noop".into()),
            _ => None,
        };
        let made = CommandError::user(&error);
        match hint {
            Some(hint) => made.hint(hint),
            None => made,
        }
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
            format!("mlbuild queue create {name} --replace gives it this configuration")
        }
        StoreError::JobsWait { queue, .. } => {
            format!("mlbuild queue delete {queue} --cancel-jobs cancels them")
        }
        StoreError::NoQueue {
            near: Some(near), ..
        } => format!("did you mean `{near}`?"),
        StoreError::NoQueue { name, .. } => format!("mlbuild queue create {name}"),
        StoreError::Address(_) => "write a file, or postgres://USER@HOST:PORT/DATABASE".into(),
        StoreError::Full { .. } | StoreError::ServerFull => {
            "nothing was changed; make room, and do it again".into()
        }
        StoreError::TooNew => "install that version".into(),
        _ => return None,
    })
}
