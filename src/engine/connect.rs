//! Finding the builder, or starting a private one.

use std::path::PathBuf;

use mlbuild_buildkit::{
    Client, ConnectOptions, DiscoverError, DiscoverOptions, TlsOptions, discover,
};

use super::Builder;
use crate::error::{CommandError, CommandResult};
use crate::settings::BuildSettings;

/// A builder and how it was found.
#[derive(Debug)]
pub struct Connection {
    /// The builder.
    pub builder: Builder,
    /// How it was found, for people.
    pub how: String,
}

/// Connects to the builder that settings name, or to the one that is found.
///
/// # Errors
/// [`crate::error::Turn::Environment`] with all that was tried.
pub async fn connect(settings: &BuildSettings) -> CommandResult<Connection> {
    let options = DiscoverOptions {
        builder: settings.builder.clone(),
        connect: ConnectOptions {
            tls: tls(settings)?,
            ..ConnectOptions::default()
        },
    };
    match discover(&options).await {
        Ok(found) => Ok(Connection {
            builder: Builder::new(found.client).await?,
            how: format!("{} ({})", found.endpoint, found.how),
        }),
        Err(error @ DiscoverError::Address { .. }) => Err(CommandError::user(error)),
        Err(error @ DiscoverError::Named { .. }) => {
            Err(CommandError::environment(error).hint("see what answers here: mlbuild doctor"))
        }
        Err(error @ DiscoverError::Nowhere { .. }) => Err(CommandError::environment(error)
            .hint("start a private builder: mlbuild engine up, or give --engine=auto")
            .hint("or name one: --builder unix:///run/buildkit/buildkitd.sock")),
    }
}

/// The Docker daemon of this machine, for `--load`.
pub(super) async fn local_docker() -> CommandResult<Client> {
    let endpoint = "docker://".parse().map_err(CommandError::environment)?;
    Client::connect(&endpoint, &ConnectOptions::default())
        .await
        .map_err(|error| {
            CommandError::environment(format!("--load: no Docker daemon answers: {error}"))
                .hint("push instead (--push), or write a file: -o type=oci,dest=image.tar")
        })
}

fn tls(settings: &BuildSettings) -> CommandResult<Option<TlsOptions>> {
    let tls = &settings.tls;
    if tls.ca.is_none() && tls.cert.is_none() && tls.key.is_none() {
        return Ok(None);
    }
    for (flag, file) in [
        ("--tlscacert", &tls.ca),
        ("--tlscert", &tls.cert),
        ("--tlskey", &tls.key),
    ] {
        if let Some(file) = file.as_ref().filter(|file: &&PathBuf| !file.is_file()) {
            return Err(CommandError::user(format!(
                "{flag} {}: there is no such file",
                file.display()
            )));
        }
    }
    if tls.cert.is_some() != tls.key.is_some() {
        return Err(CommandError::user("--tlscert and --tlskey belong together"));
    }
    Ok(Some(TlsOptions {
        ca: tls.ca.clone(),
        cert: tls.cert.clone(),
        key: tls.key.clone(),
        server_name: tls.server_name.clone(),
    }))
}
