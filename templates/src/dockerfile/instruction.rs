//! The instructions, each with the parts that its grammar has.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Script, Word};
use crate::value::{EnvName, LabelKey, Port};

/// One instruction of a Dockerfile, or a comment or blank line between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Instruction {
    /// A comment; each line of the text becomes a `#` line.
    Comment(String),
    /// A blank line.
    Blank,
    /// `FROM`: begins a stage.
    From {
        /// The base image.
        image: Word,
        /// The stage's name.
        alias: Option<String>,
    },
    /// `ARG`: a parameter, with the value it has when none is given.
    Arg {
        /// The parameter's name.
        name: EnvName,
        /// Its value when none is given.
        default: Option<Word>,
    },
    /// `ENV`: variables of the image, in order.
    Env(Vec<(EnvName, Word)>),
    /// `RUN`.
    Run(Run),
    /// `COPY`.
    Copy(Copy),
    /// `WORKDIR`.
    Workdir(Word),
    /// `USER`.
    User(Word),
    /// `EXPOSE`.
    Expose(Vec<Port>),
    /// `LABEL`, sorted by key.
    Label(BTreeMap<LabelKey, Word>),
    /// `ENTRYPOINT`, in its JSON form.
    Entrypoint(Vec<String>),
    /// `CMD`, in its JSON form.
    Cmd(Vec<String>),
    /// `SHELL`.
    Shell(Vec<String>),
    /// `STOPSIGNAL`.
    Stopsignal(String),
    /// `VOLUME`.
    Volume(Vec<String>),
    /// `HEALTHCHECK`.
    Healthcheck(Healthcheck),
}

/// `RUN`: mounts, network and a script for `/bin/sh -c`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// What is mounted while it runs.
    pub mounts: Vec<Mount>,
    /// The network it has.
    pub network: Network,
    /// What it runs.
    pub script: Script,
    /// What it is there for.
    pub purpose: Purpose,
}

/// What a RUN of a composed image is there for: whoever makes an image without running anything
/// does the same another way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Purpose {
    /// Only its script says.
    #[default]
    Other,
    /// Installs packages of the distribution from recorded files.
    PinnedDistribution,
    /// Makes the virtual environment at `/opt/venv`, with packages from recorded files.
    PinnedEnvironment,
    /// Makes the account of the image's user.
    Account,
}

/// The network of one RUN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Network {
    /// What the builder gives.
    #[default]
    Default,
    /// No network (`--network=none`).
    None,
    /// The builder's own network (`--network=host`; needs an entitlement).
    Host,
}

/// What is mounted during one RUN; nothing of it ends in a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mount {
    /// A folder that the builder keeps between builds.
    Cache(CacheMount),
    /// A secret file at `/run/secrets/ID`; absent where the build isn't given it.
    Secret {
        /// The secret's id.
        id: String,
        /// Whether everybody may read it, and not root alone.
        for_all: bool,
    },
    /// Files of the build context, or of another stage or image, read-only.
    Bind {
        /// The stage, image or named context (the build context where absent).
        from: Option<String>,
        /// The path there.
        source: Option<String>,
        /// Where it is mounted.
        target: String,
    },
    /// An empty folder in memory.
    Tmpfs {
        /// Where it is mounted.
        target: String,
    },
    /// The build's SSH agent socket.
    Ssh,
}

impl Mount {
    /// Makes a secret readable by a step that root doesn't run.
    pub fn readable_by_all(&mut self) {
        if let Self::Secret { for_all, .. } = self {
            *for_all = true;
        }
    }
}

/// A cache mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheMount {
    /// The cache's name; the target where absent.
    pub id: Option<String>,
    /// Where it is mounted.
    pub target: String,
    /// What concurrent builds do with it.
    pub sharing: Sharing,
}

/// How concurrent builds share a cache mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sharing {
    /// All at once.
    #[default]
    Shared,
    /// One after another.
    Locked,
    /// Each its own.
    Private,
}

/// `COPY`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Copy {
    /// The stage, image or named context to copy from (the build context where absent).
    pub from: Option<Word>,
    /// Owner and group of what is copied.
    pub chown: Option<Word>,
    /// Mode of what is copied, as COPY takes it (`0644`).
    pub chmod: Option<Word>,
    /// Copies into a layer of its own that doesn't depend on the ones below (needs Dockerfile 1.4).
    pub link: bool,
    /// What is copied; patterns are allowed.
    pub sources: Vec<Word>,
    /// Where to; ends in `/` for a folder.
    pub destination: Word,
}

/// `HEALTHCHECK`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Healthcheck {
    /// Turns a base's check off.
    None,
    /// A command that is run every now and then.
    Command {
        /// Time between checks.
        interval: Option<Duration>,
        /// Time after which a check counts as failed.
        timeout: Option<Duration>,
        /// The command.
        words: Vec<String>,
    },
}
