//! `mlbuild env`: in a pod of Kubernetes, the image that this very container runs.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use clap::{Args, ValueEnum};
use serde_json::json;

use crate::error::{CommandError, CommandResult};
use crate::support::output;
use crate::support::registry_args::RegistryArgs;
use crate::support::runtime::wait_for;
use crate::support::terminal::Terminal;
use mlbuild::env_vars::{MLBUILD_IMAGE, WANDB_DOCKER};
use mlbuild::kubernetes::rbac;
use mlbuild::settings;
use mlbuild::shell::word;
use mlbuild::submit::pod_image::{self, PodImage, PodQuery};

/// Say which image this container runs, by digest; or run a program that is told.
///
/// Made for containers that mlbuild didn't start: it asks the cluster, with the pod's service
/// account. The answer is MLBUILD_IMAGE and WANDB_DOCKER, as a shell, a script or a program takes it.
#[derive(Debug, Clone, Args)]
pub struct EnvArgs {
    /// Name of this pod (default: MLBUILD_POD_NAME, else HOSTNAME).
    #[arg(long, value_name = "NAME")]
    pub pod: Option<String>,
    /// Namespace of this pod (default: MLBUILD_POD_NAMESPACE, else the service account's).
    #[arg(long, short, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Name of this container (default: MLBUILD_CONTAINER, else what the kubelet's mounts tell).
    #[arg(long, value_name = "NAME")]
    pub container: Option<String>,
    /// Form of the answer.
    #[arg(long, value_enum, default_value_t, conflicts_with = "command")]
    pub format: EnvFormat,
    /// Go on with a warning where the image can't be told.
    #[arg(long)]
    pub optional: bool,
    /// Print the manifest that lets a service account look its pods up, and look nothing up.
    #[arg(long, conflicts_with_all = ["command", "pod", "container", "optional"])]
    pub rbac: bool,
    /// The service account of --rbac.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "default",
        requires = "rbac"
    )]
    pub service_account: String,
    /// Program and arguments that are run with the variables set.
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// Forms of the answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum EnvFormat {
    /// Lines that a shell can eval.
    #[default]
    Sh,
    /// Lines of NAME=VALUE.
    Dotenv,
    /// JSON, with the pod, the container and what the digest is of.
    Json,
}

/// Runs the verb.
///
/// # Errors
/// Where this is no pod, the cluster refuses, or it can't be told which container this is; a program
/// that can't be started.
pub fn run(args: EnvArgs) -> CommandResult {
    if args.rbac {
        let namespace = args.namespace.as_deref().unwrap_or("default");
        let manifest = rbac::manifest(namespace, &args.service_account).map_err(|error| {
            CommandError::work(format!("the manifest can't be written: {error}"))
        })?;
        return output::answer(&manifest);
    }
    let folder = settings::current_folder().ok();
    let registry = folder.and_then(|folder| RegistryArgs::default().options(&folder).ok());
    let query = PodQuery {
        pod: args.pod.clone(),
        namespace: args.namespace.clone(),
        container: args.container.clone(),
        asks_kind: args.format == EnvFormat::Json,
        registry,
    };
    let reporter = Terminal::default();
    let found = wait_for(async { Ok(pod_image::look_up(&query, &reporter).await?) });
    let answer = match found {
        Err(error) if args.optional => {
            output::warning(&format!("the image isn't known: {}", error.message()));
            None
        }
        other => Some(other?),
    };
    if !args.command.is_empty() {
        return Err(exec(&args.command, answer.as_ref()));
    }
    match answer {
        Some(answer) => output::answer(&written(&answer, args.format)),
        None => Ok(()),
    }
}

fn written(answer: &PodImage, format: EnvFormat) -> String {
    let image = &answer.image;
    let names = [MLBUILD_IMAGE, WANDB_DOCKER];
    match format {
        // The variable, or the cluster, says what the image is called.
        EnvFormat::Sh => names
            .map(|name| format!("export {name}={}", word(image)))
            .join("\n"),
        EnvFormat::Dotenv => names.map(|name| format!("{name}={image}")).join("\n"),
        EnvFormat::Json => format!(
            "{:#}",
            json!({
                MLBUILD_IMAGE: image,
                WANDB_DOCKER: image,
                "container": answer.container,
                "digest_of": answer.digest_of,
                "namespace": answer.namespace,
                "pod": answer.pod,
            })
        ),
    }
}

/// Becomes the program; returns only where it can't be started.
fn exec(words: &[String], answer: Option<&PodImage>) -> CommandError {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    if let Some(answer) = answer {
        command
            .env(MLBUILD_IMAGE, &answer.image)
            .env(WANDB_DOCKER, &answer.image);
    }
    let error = command.exec();
    CommandError::user(format!("{} can't be started: {error}", words[0]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a shell has in the variable after it read the answer.
    #[test]
    fn what_others_call_the_image_stays_one_word_of_the_shell() {
        for image in [
            "r.example/a@sha256:00",
            "a'; echo stolen; '",
            "$(echo stolen)",
            "a\nb",
        ] {
            let answer = PodImage {
                image: image.to_owned(),
                digest_of: "unknown",
                container: None,
                namespace: None,
                pod: None,
            };
            let lines = written(&answer, EnvFormat::Sh);
            let script = format!("{lines}\nprintf %s \"$MLBUILD_IMAGE\"");
            let read = Command::new("bash").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&read.stdout), image, "{lines}");
        }
    }
}
