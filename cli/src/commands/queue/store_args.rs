//! Where queues and jobs are kept.

use clap::Args;

use crate::error::{CommandError, CommandResult};
use mlbuild::env_vars;
use mlbuild::queue::{Place, Store};

/// Where queues and jobs are kept.
#[derive(Debug, Clone, Default, Args)]
pub struct StoreArgs {
    /// Where queues and jobs are kept: a file, or postgres://USER@HOST/DATABASE [default: MLBUILD_QUEUE_STORE, else a file of yours]
    #[arg(long, value_name = "FILE|URL")]
    pub store: Option<String>,
}

impl StoreArgs {
    /// The place.
    ///
    /// # Errors
    /// Where the address holds a password, which everybody on the machine could read.
    pub fn place(&self) -> CommandResult<Place> {
        if let Some(text) = &self.store {
            let user = text.split_once("://").map_or("", |(_, rest)| rest);
            let user = user.split('/').next().unwrap_or(user).rsplit_once('@');
            if user.is_some_and(|(user, _)| user.contains(':')) || text.contains("password=") {
                return Err(CommandError::user(
                    "--store: everybody on this machine can read a password on a command line",
                )
                .hint(
                    "put the address into MLBUILD_QUEUE_STORE, or the password into PGPASSWORD",
                ));
            }
            return Ok(Place::read(text));
        }
        let set = std::env::var(env_vars::MLBUILD_QUEUE_STORE);
        if let Some(text) = set.ok().filter(|text| !text.is_empty()) {
            return Ok(Place::read(&text));
        }
        let folder = env_vars::state_dir().ok_or_else(|| {
            CommandError::environment("there is no home folder to keep queues in")
                .hint("give --store FILE")
        })?;
        Ok(Place::File(folder.join("queue.db")))
    }

    /// The store, opened.
    ///
    /// # Errors
    /// As [`StoreArgs::place`], or where it can't be opened.
    pub fn open(&self) -> CommandResult<Store> {
        Ok(Store::open(&self.place()?)?)
    }
}
