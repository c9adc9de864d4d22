//! Errors of starting a container.

use mlbuild_manifests::run_record::RunRecordError;
use mlbuild_templates::reference;

use super::records::record_words;
use crate::error::CommandError;
use mlbuild::display::camera::NoCamera;
use mlbuild::display::wayland::NoWayland;
use mlbuild::runtime::RuntimeCli;
use mlbuild::shell::word;
use mlbuild::start::{ProgramUser, StartError};

impl From<StartError> for CommandError {
    fn from(error: StartError) -> Self {
        let kind = error.kind();
        let made = match words(&error) {
            Some(words) => CommandError::new(kind, words),
            None => CommandError::new(kind, &error),
        };
        match error {
            StartError::Registry(error) => error.into(),
            StartError::Sif(error) => error.into(),
            StartError::Data(_) => CommandError::new(kind, format!("--data {}", made.message())),
            StartError::OwnImage(error) => CommandError::from(*error)
                .hint("the project's own image is made by mlbuild image --load"),
            error => hints(&error).into_iter().fold(made, CommandError::hint),
        }
    }
}

/// The error of a verb that takes the project's image where none is named.
pub(crate) fn of_verb(error: StartError, verb: &str) -> CommandError {
    let hints = match &error {
        StartError::NoImage => vec![
            format!("mlbuild {verb} IMAGE"),
            "or make one: mlbuild image -t NAME --load".to_owned(),
        ],
        StartError::SeveralImages { names } => vec![format!("mlbuild {verb} {}", word(&names[0]))],
        _ => Vec::new(),
    };
    hints.into_iter().fold(error.into(), CommandError::hint)
}

/// Where the command line's words are others than the library's: they name flags.
fn words(error: &StartError) -> Option<String> {
    Some(match error {
        StartError::NeverPulled { image, runtime } => {
            format!("{image} isn't in {runtime}'s store, and --pull=never forbids to fetch it")
        }
        StartError::GpusTwice => {
            "GPUs are asked for twice: by --gpu, and by a flag of docker run".to_owned()
        }
        StartError::DevcontainerGpus => format!("--gpu: {error}"),
        StartError::Record(error) => record_words(error),
        StartError::Camera(error @ NoCamera::NotThere { .. }) => format!("--camera={error}"),
        StartError::Camera(error @ NoCamera::NotADevice { .. }) => {
            format!("--camera={error}; write --camera=/dev/video0")
        }
        StartError::PortTaken { port } => {
            format!("--port {port}: something else has this port")
        }
        StartError::XhostOverSsh => format!("--display-access=xhost: {error}"),
        StartError::SocketOfAnother {
            socket,
            own,
            program,
        } => format!(
            "the {socket} opens to your uid, {own}, and the program runs as {}",
            shown(program)
        ),
        StartError::NoCookieForProgram { display, program } => format!(
            "the display {display} lets you in without a cookie, and nobody else; there is none that the program, {}, could use",
            shown(program)
        ),
        _ => return None,
    })
}

/// A user, as a person typed it.
fn shown(user: &ProgramUser) -> String {
    match user {
        ProgramUser::Named(user) => format!("--user {}", word(user)),
        ProgramUser::Uid(uid) => format!("uid {uid}"),
    }
}

const PRIVATE_DOCKER: &str =
    "or a private Docker, which changes nothing else here: mlbuild engine up --source packages";

/// What to type next.
fn hints(error: &StartError) -> Vec<String> {
    let hint = match error {
        StartError::NoRuntime { tried, .. } => {
            if tried
                .iter()
                .any(|(_, why)| why.contains("permission denied"))
            {
                "sudo usermod -aG docker \"$USER\" && newgrp docker"
            } else {
                let mut hints = vec![
                    "install Docker or Podman, or start it: sudo systemctl start docker".to_owned(),
                ];
                if tried.iter().any(|(cli, _)| *cli == RuntimeCli::Docker) {
                    hints.push(PRIVATE_DOCKER.to_owned());
                }
                return hints;
            }
        }
        StartError::NeverPulled {
            runtime: RuntimeCli::Apptainer,
            ..
        } => "leave --pull=never out; or name the image by the digest of one that was started here",
        StartError::NeverPulled { .. } => "leave --pull=never out",
        StartError::NotPulled {
            image,
            runtime,
            why,
        } => return not_pulled(image, *runtime, why).into_iter().collect(),
        StartError::NoSource { source_path, .. } => {
            return vec![format!("make it: mkdir -p {}", word(source_path))];
        }
        StartError::GpusTwice => "leave one of them out",
        StartError::GpuProblem { fix, .. } => fix,
        StartError::NoGpu { .. } => "mlbuild doctor says more; --gpu=auto goes on without",
        StartError::SingleGpus { .. } => "--gpu=required takes them all",
        StartError::DevcontainerGpus => {
            "--gpu=required; or docker's own flag: --gpus '\"device=0\"'"
        }
        StartError::Unsupported { .. } => "leave it out, or start it with --runtime-cli docker",
        StartError::Record(RunRecordError::Write { .. }) => {
            "to start it without a record: --no-record"
        }
        StartError::RunsAlready { .. } => {
            return vec![
                "a second one beside it: --new".to_owned(),
                "or without that, to attach to the one that runs".to_owned(),
            ];
        }
        StartError::PrivatePorts { asked } => {
            return vec![
                format!(
                    "leave --publish {} out: the program's port is this machine's",
                    word(asked)
                ),
                "or give the program a network of its own by installing Docker or Podman"
                    .to_owned(),
            ];
        }
        StartError::PortTaken { .. } => "leave --port out: a free one is found",
        StartError::Home(_) => "set MLBUILD_STATE_DIR to a folder that you may write to; or --user",
        StartError::NotOurs { .. } => {
            return vec![
                "look at the difference: mlbuild devcontainer --dry-run".to_owned(),
                "replace it: mlbuild devcontainer --force".to_owned(),
            ];
        }
        StartError::FarAway { .. } => {
            "docker context use default; or log in there with ssh -X and run mlbuild there"
        }
        StartError::Display(trouble) => return vec![trouble.hint()],
        StartError::Wayland(NoWayland::NoFolder(_)) => "export XDG_RUNTIME_DIR=/run/user/$(id -u)",
        StartError::Wayland(_) => "leave --wayland out: X11 programs need DISPLAY alone",
        StartError::Camera(NoCamera::None) => "plug it in; lsusb lists what is there",
        StartError::Camera(NoCamera::Several(cameras)) => {
            return vec![format!("choose one: --camera={}", cameras[0].node)];
        }
        StartError::Camera(_) => "ls /dev/video* lists the nodes",
        StartError::Sound(_) => "leave --audio out, or log in to a desktop",
        StartError::XhostOverSsh => "leave --display-access out: isolated works over ssh",
        StartError::SocketOfAnother { .. } | StartError::NoCookieForProgram { .. } => {
            "--display-access=uid runs it as you"
        }
        StartError::PrivateFolder { .. } => "export XDG_RUNTIME_DIR=/run/user/$(id -u)",
        StartError::NotOpened { .. } => "leave --display-access out: isolated opens nothing",
        _ => return Vec::new(),
    };
    vec![hint.to_owned()]
}

fn not_pulled(image: &str, runtime: RuntimeCli, why: &str) -> Option<String> {
    const LOG_IN: [&str; 4] = ["denied", "unauthorized", "authentication", "no basic auth"];
    let why = why.to_lowercase();
    match reference::parse(image) {
        Ok(image) if LOG_IN.iter().any(|word| why.contains(word)) => Some(format!(
            "is the name right? Otherwise: {runtime} login {}",
            word(image.registry())
        )),
        _ if why.contains("not found") || why.contains("unknown") => Some(format!(
            "is the name right? {runtime} image ls lists what is here; mlbuild image --push puts one there"
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlbuild::display::camera::Camera;

    #[test]
    fn cameras_are_named_as_the_flag_takes_them() {
        let error = |error: NoCamera| CommandError::from(StartError::from(error)).to_string();
        insta::assert_snapshot!(error(NoCamera::None), @r"
        no camera found: there is no /dev/video*
          hint: plug it in; lsusb lists what is there
        ");
        let camera = |node: &str, name: &str| Camera {
            node: node.into(),
            name: name.into(),
            group: 44,
        };
        let cameras = vec![
            camera("/dev/video0", "Integrated Camera"),
            camera("/dev/video2", "USB Camera"),
        ];
        insta::assert_snapshot!(error(NoCamera::Several(cameras)), @r"
        there are several cameras:
          /dev/video0  Integrated Camera
          /dev/video2  USB Camera
          hint: choose one: --camera=/dev/video0
        ");
        let (node, why) = ("/dev/video7".to_owned(), "No such file".to_owned());
        insta::assert_snapshot!(error(NoCamera::NotThere { node, why }), @r"
        --camera=/dev/video7: No such file
          hint: ls /dev/video* lists the nodes
        ");
        let node = "/dev/video2".to_owned();
        insta::assert_snapshot!(error(NoCamera::NotADevice { node }), @r"
        --camera=/dev/video2: not a device; write --camera=/dev/video0
          hint: ls /dev/video* lists the nodes
        ");
    }
}
