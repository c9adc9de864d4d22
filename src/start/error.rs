//! Why a container wasn't started.

use std::io;
use std::path::PathBuf;

use mlbuild_docker::api::DockerApiError;
use mlbuild_manifests::lock::LockError;
use mlbuild_manifests::run_record::RunRecordError;

use crate::records::data::DataError;

use crate::display::camera::NoCamera;
use crate::display::find::Trouble;
use crate::display::sound::NoSound;
use crate::display::wayland::NoWayland;
use crate::error::ErrorKind;
use crate::pull::PullError;
use crate::registry::RegistryError;
use crate::runtime::{LeftOut, RuntimeCli};

/// Why a container wasn't started, or its display, record or file wasn't made.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Data that the record should have can't be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// No program that starts containers answers.
    #[error("nothing here starts containers; tried:{}", tried_of(tried, private.as_deref()))]
    NoRuntime {
        /// Each program that was tried, and what keeps it from being used.
        tried: Vec<(RuntimeCli, String)>,
        /// What keeps the private builder from starting containers, where there is one.
        private: Option<String>,
    },
    /// The private builder's containers have this machine's network, where a port has one number.
    #[error(
        "the private Docker's containers share this machine's network: `{asked}` can't be published \
         under another number or address"
    )]
    PrivatePorts {
        /// What was to be published.
        asked: String,
    },
    /// The runtime's program can't be started.
    #[error("{} can't be started: {source}", program.display())]
    Program {
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The runtime's program was started and failed.
    #[error("{}: {why}", program.display())]
    ProgramFailed {
        /// The program.
        program: PathBuf,
        /// Its words.
        why: String,
    },
    /// Docker's daemon doesn't answer as it should.
    #[error(transparent)]
    Docker(#[from] DockerApiError),
    /// The image's name is none, or its registry can't be asked.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// What the runtime says of an image can't be read.
    #[error("{runtime} image inspect {image}: {source}")]
    ImageAnswer {
        /// The runtime.
        runtime: RuntimeCli,
        /// The image.
        image: String,
        /// Why.
        source: serde_json::Error,
    },
    /// The image isn't here, and the request forbids to pull it.
    #[error("{image} isn't in {runtime}'s store, and the request forbids to fetch it")]
    NeverPulled {
        /// The image.
        image: String,
        /// The runtime.
        runtime: RuntimeCli,
    },
    /// The runtime can't pull the image.
    #[error("{runtime} can't pull {image}: {why}")]
    NotPulled {
        /// The image.
        image: String,
        /// The runtime.
        runtime: RuntimeCli,
        /// Its words.
        why: String,
    },
    /// The image was pulled, and is gone again.
    #[error("{runtime} pulled {image} and doesn't have it now")]
    PulledAndGone {
        /// The image.
        image: String,
        /// The runtime.
        runtime: RuntimeCli,
    },
    /// As another error, for the project's own image, which may never have been made.
    #[error(transparent)]
    OwnImage(Box<StartError>),
    /// The project's lock can't be read.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The tag of the project's configuration isn't a reference.
    #[error("{}: tag `{tag}`: {why}", crate::config::FILE_NAME)]
    Tag {
        /// The tag.
        tag: String,
        /// Why.
        why: String,
    },
    /// No image is named, neither by the request nor by the project's files.
    #[error(
        "no image is named: neither on the line, nor in {}, nor in {}",
        crate::config::FILE_NAME,
        mlbuild_manifests::lock::FILE_NAME
    )]
    NoImage,
    /// The project's lock has several images, and nothing says which.
    #[error("{} has several images, and {} names none: {}", mlbuild_manifests::lock::FILE_NAME, crate::config::FILE_NAME, names.join(", "))]
    SeveralImages {
        /// Their names.
        names: Vec<String>,
    },
    /// GPUs are selected by the request and by the flags of docker.
    #[error("GPUs are asked for twice: by the request, and by a flag of docker run")]
    GpusTwice,
    /// A GPU is required, and one is there that containers can't have.
    #[error("no GPU for the container: {what}")]
    GpuProblem {
        /// What keeps it from them.
        what: String,
        /// What mends that.
        fix: String,
    },
    /// A GPU is required, and there is none.
    #[error("no GPU found; looked at:\n  {}", looked_at.join("\n  "))]
    NoGpu {
        /// Where it was looked for.
        looked_at: Vec<String>,
    },
    /// Single GPUs are selected, and can't be told apart.
    #[error("single GPUs can't be asked for here: containers get them by {how}")]
    SingleGpus {
        /// How containers get them.
        how: String,
    },
    /// Single GPUs are selected for a `devcontainer.json`.
    #[error("a devcontainer.json asks for all GPUs or none; its tool finds them")]
    DevcontainerGpus,
    /// The runtime can't do what is asked for.
    #[error("{}", parts.iter().map(|part| format!("{}: {}", part.what, part.why)).collect::<Vec<_>>().join("\n"))]
    Unsupported {
        /// What it can't do.
        parts: Vec<LeftOut>,
    },
    /// What is to be mounted isn't there.
    #[error("--{flag} {source_path}: there is no such file or folder, and apptainer makes none")]
    NoSource {
        /// The flag.
        flag: &'static str,
        /// What isn't there.
        source_path: String,
    },
    /// A file of variables holds a line that is none.
    #[error("--env-file {path}: line {line}: {why}")]
    EnvFileLine {
        /// The file.
        path: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// The image can't become a file.
    #[error(transparent)]
    Sif(#[from] PullError),
    /// Signals can't be held back.
    #[error("signals: {0}")]
    Signals(io::Error),
    /// The runtime refuses to make the container.
    #[error("{runtime} create: {why}")]
    NotCreated {
        /// The runtime.
        runtime: RuntimeCli,
        /// Its words.
        why: String,
    },
    /// The run's record can't be written.
    #[error(transparent)]
    Record(#[from] RunRecordError),
    /// A container of the project runs, and can't be given this any more.
    #[error("this project's container runs already ({id}), and can't be given {} any more", only_new.join(", "))]
    RunsAlready {
        /// The beginning of its id.
        id: String,
        /// What was asked for.
        only_new: Vec<String>,
    },
    /// Something else has the port.
    #[error("port {port}: something else has this port")]
    PortTaken {
        /// The port.
        port: u16,
    },
    /// Nothing is free on loopback.
    #[error("no port of this machine's loopback is free")]
    NoFreePort,
    /// The system gives no random bytes.
    #[error("no random bytes: {0}")]
    Random(io::Error),
    /// The folder that containers of the project have as their home can't be made.
    #[error("a home for the container can't be made: {0}")]
    Home(io::Error),
    /// A file or folder can't be used.
    #[error("{}: {source}", path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file can't be written.
    #[error("{}: can't be written: {source}", path.display())]
    NotWritten {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A person wrote the file that would be replaced.
    #[error("{}: somebody else wrote it, and it stays as it is", path.display())]
    NotOurs {
        /// Its path.
        path: PathBuf,
    },
    /// The display isn't on the machine that containers run on.
    #[error("{why}: its containers can't reach this display")]
    FarAway {
        /// Where they run.
        why: &'static str,
    },
    /// No X11 display can be used.
    #[error(transparent)]
    Display(#[from] Trouble),
    /// No Wayland display can be used.
    #[error(transparent)]
    Wayland(#[from] NoWayland),
    /// No camera can be used.
    #[error(transparent)]
    Camera(#[from] NoCamera),
    /// No sound server can be used.
    #[error(transparent)]
    Sound(#[from] NoSound),
    /// Access without a cookie is selected for a display that ssh forwards.
    #[error("ssh itself asks for the cookie, whoever the display lets in")]
    XhostOverSsh,
    /// A socket opens to this user alone, and the program runs as another.
    #[error("the {socket} opens to your uid, {own}, and the program runs as {program}")]
    SocketOfAnother {
        /// The Wayland socket, or the sound server.
        socket: &'static str,
        /// This user.
        own: u32,
        /// Who the program runs as.
        program: ProgramUser,
    },
    /// The display lets this user in without a cookie, and nobody else.
    #[error(
        "the display {display} lets you in without a cookie, and nobody else; there is none that the program, {program}, could use"
    )]
    NoCookieForProgram {
        /// The display.
        display: String,
        /// Who the program runs as.
        program: ProgramUser,
    },
    /// The folder for what a window needs can't be made.
    #[error("no private folder can be made in {}: {source}", base.display())]
    PrivateFolder {
        /// Where.
        base: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The display can't be opened to the program's user.
    #[error("the display {display} can't be opened to {guest}: {why}")]
    NotOpened {
        /// The display.
        display: String,
        /// The user.
        guest: String,
        /// Why.
        why: String,
    },
}

/// Who a program in a container runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProgramUser {
    /// The user that the request names.
    Named(String),
    /// The image's own.
    Uid(u32),
}

impl std::fmt::Display for ProgramUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Named(user) => write!(f, "user {user}"),
            Self::Uid(uid) => write!(f, "uid {uid}"),
        }
    }
}

impl StartError {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Registry(error) => error.kind(),
            Self::OwnImage(error) => error.kind(),
            Self::Sif(error) => error.kind(),
            Self::NeverPulled { .. }
            | Self::NotPulled { .. }
            | Self::PulledAndGone { .. }
            | Self::NotCreated { .. } => ErrorKind::Runtime,
            Self::Data(_)
            | Self::Lock(_)
            | Self::Tag { .. }
            | Self::NoImage
            | Self::SeveralImages { .. }
            | Self::GpusTwice
            | Self::SingleGpus { .. }
            | Self::DevcontainerGpus
            | Self::Unsupported { .. }
            | Self::RunsAlready { .. }
            | Self::PortTaken { .. }
            | Self::PrivatePorts { .. }
            | Self::NoSource { .. }
            | Self::EnvFileLine { .. }
            | Self::NotOurs { .. }
            | Self::XhostOverSsh
            | Self::SocketOfAnother { .. } => ErrorKind::User,
            Self::Record(error) => match error {
                RunRecordError::Write { .. } => ErrorKind::Environment,
                _ => ErrorKind::User,
            },
            Self::Display(trouble) if trouble.is_users() => ErrorKind::User,
            _ => ErrorKind::Environment,
        }
    }
}

fn tried_of(tried: &[(RuntimeCli, String)], private: Option<&str>) -> String {
    let clis = tried.iter().map(|(cli, why)| format!("\n  {cli}: {why}"));
    let private = private
        .iter()
        .map(|why| format!("\n  private builder: {why}"));
    clis.chain(private).collect()
}
