//! The flags of commands that ask registries, and the client that they make.

use std::path::Path;

use clap::Args;

use crate::error::CommandResult;
use mlbuild::registry::{Registry, RegistryOptions};
use mlbuild::settings;

/// How registries are reached.
#[derive(Debug, Clone, Default, Args)]
pub struct RegistryArgs {
    /// Registry host that may speak plain http or show any certificate (repeatable).
    #[arg(long = "insecure-registry", value_name = "HOST[:PORT]")]
    pub insecure: Vec<String>,
}

impl RegistryArgs {
    /// A client; mirrors and further hosts are those of the project's `mlbuild.toml`.
    ///
    /// # Errors
    /// Where `mlbuild.toml` can't be used.
    pub fn client(&self, project: &Path) -> CommandResult<Registry> {
        self.options(project).map(Registry::new)
    }

    /// What a client is made from.
    ///
    /// # Errors
    /// As [`RegistryArgs::client`].
    pub fn options(&self, project: &Path) -> CommandResult<RegistryOptions> {
        let config = settings::read_config(project)?.registry;
        let insecure = self.insecure.iter().cloned().chain(config.insecure);
        Ok(RegistryOptions {
            insecure: insecure.collect(),
            mirrors: config.mirrors,
            ..RegistryOptions::default()
        })
    }

    /// True for a host that may speak plain http or show any certificate.
    ///
    /// # Errors
    /// Where `mlbuild.toml` can't be used.
    pub fn is_insecure(&self, project: &Path, host: &str) -> CommandResult<bool> {
        let config = settings::read_config(project)?.registry;
        Ok(self
            .insecure
            .iter()
            .chain(&config.insecure)
            .any(|name| name == host))
    }
}
