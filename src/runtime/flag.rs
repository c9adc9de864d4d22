//! What a flag is: its names, what it takes, and who knows it.

use std::fmt;

use super::value::Rule;

/// A program that starts containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RuntimeCli {
    /// Docker.
    Docker,
    /// Podman.
    Podman,
    /// nerdctl, over containerd.
    Nerdctl,
    /// Apptainer, or Singularity: without a daemon, as the user.
    Apptainer,
}

impl RuntimeCli {
    /// All of them, in the order in which they are looked for.
    pub const ALL: [Self; 4] = [Self::Docker, Self::Podman, Self::Nerdctl, Self::Apptainer];

    /// The program's name.
    pub fn program(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
            Self::Nerdctl => "nerdctl",
            Self::Apptainer => "apptainer",
        }
    }
}

impl fmt::Display for RuntimeCli {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.program())
    }
}

/// Whose flag it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// `docker run`'s: it reaches the container runtime.
    Docker,
    /// mlbuild's own: it never does.
    Mlbuild,
}

/// What a flag takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing, or `=true` and `=false`.
    Bool,
    /// Anything.
    Text,
    /// A whole number.
    Integer,
    /// A number such as `1.5`.
    Decimal,
    /// Bytes, with a unit: `512m`, `1g`; `-1` where there is no limit.
    Bytes,
    /// A time with units: `1m30s`.
    Duration,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// Text by a rule of its own.
    Rule(Rule),
    /// `NAME=VALUE`, or a name alone.
    Assignment,
    /// `[SOURCE:]TARGET[:OPTIONS]`.
    Volume,
    /// `type=…,source=…,target=…`.
    Mount,
    /// `[[IP:]HOST_PORT:]PORT[/PROTOCOL]`.
    Publish,
    /// `HOST[:CONTAINER[:rwm]]`, or the name of a CDI device.
    Device,
    /// `NAME=SOFT[:HARD]`.
    Ulimit,
}

/// One flag.
#[derive(Debug, PartialEq, Eq)]
pub struct Flag {
    /// Long name, without dashes.
    pub name: &'static str,
    /// Short name.
    pub short: Option<char>,
    /// An older long name.
    pub alias: Option<&'static str>,
    /// What it takes.
    pub kind: Kind,
    /// The value it has when written without one, where that is allowed.
    pub bare: Option<&'static str>,
    /// True if each use adds a value; otherwise the last one stands.
    pub repeats: bool,
    /// How the value is shown in help.
    pub value_name: &'static str,
    /// What it does, one sentence.
    pub about: &'static str,
    /// Whose it is.
    pub owner: Owner,
    /// Runtimes that don't have it.
    pub unknown_to: &'static [RuntimeCli],
    /// True if `mlbuild.toml [run]` may set it.
    pub in_config: bool,
}

impl Flag {
    /// A flag that is there or not.
    pub const fn switch(name: &'static str, about: &'static str) -> Self {
        let mut flag = Self::one(name, Kind::Bool, "", about);
        flag.bare = Some("true");
        flag
    }

    /// A flag with one value.
    pub const fn one(
        name: &'static str,
        kind: Kind,
        value_name: &'static str,
        about: &'static str,
    ) -> Self {
        Self {
            name,
            short: None,
            alias: None,
            kind,
            bare: None,
            repeats: false,
            value_name,
            about,
            owner: Owner::Docker,
            unknown_to: &[],
            in_config: true,
        }
    }

    /// A flag that each use adds a value to.
    pub const fn list(
        name: &'static str,
        kind: Kind,
        value_name: &'static str,
        about: &'static str,
    ) -> Self {
        let mut flag = Self::one(name, kind, value_name, about);
        flag.repeats = true;
        flag
    }

    /// With a short name.
    pub const fn short(mut self, short: char) -> Self {
        self.short = Some(short);
        self
    }

    pub(super) const fn alias(mut self, alias: &'static str) -> Self {
        self.alias = Some(alias);
        self
    }

    /// With a value that it has when it is written without one.
    pub const fn bare(mut self, value: &'static str) -> Self {
        self.bare = Some(value);
        self
    }

    pub(super) const fn unknown_to(mut self, runtimes: &'static [RuntimeCli]) -> Self {
        self.unknown_to = runtimes;
        self
    }

    /// As one of mlbuild's own.
    pub const fn own(mut self) -> Self {
        self.owner = Owner::Mlbuild;
        self
    }

    /// As one that `[run]` may not set.
    pub const fn not_in_config(mut self) -> Self {
        self.in_config = false;
        self
    }
}

impl fmt::Display for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--{}", self.name)
    }
}
