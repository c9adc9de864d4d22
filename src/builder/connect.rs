//! Finding the builder, or starting a private one.

use std::path::PathBuf;

use mlbuild_buildkit::{
    Client, ConnectOptions, DiscoverError, DiscoverOptions, TlsOptions, discover,
};

use super::Builder;
use super::private::{self, Folder};
use crate::error::{CommandError, CommandResult, chain};
use crate::settings::BuildSettings;

/// A builder and how it was found.
#[derive(Debug)]
pub struct Connection {
    /// The builder.
    pub builder: Builder,
    /// How it was found, for people.
    pub how: String,
}

/// What only a person can say, and what a person should hear meanwhile.
pub struct Consent<'a> {
    /// Whether a private builder may be started where none is found.
    pub may_start: &'a (dyn Fn() -> CommandResult<bool> + Sync),
    /// Hears each longer step.
    pub tell: &'a (dyn Fn(&str) + Sync),
}

/// Connects to the builder that settings name, or to the one that is found.
///
/// # Errors
/// [`crate::error::ErrorKind::Environment`] with all that was tried.
pub async fn connect(settings: &BuildSettings, consent: &Consent<'_>) -> CommandResult<Connection> {
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
        Err(error @ DiscoverError::Nowhere { .. }) => private_builder(consent, &error).await,
    }
}

/// The private builder: the one that runs, or one that is started because the user said so.
async fn private_builder(
    consent: &Consent<'_>,
    nowhere: &DiscoverError,
) -> CommandResult<Connection> {
    let fail = |error: private::Error| CommandError::environment(chain(&error));
    let folder = Folder::default_place().map_err(fail)?;
    let running = private::status(&folder).await.map_err(fail)?;
    if running.is_none() && !(consent.may_start)()? {
        return Err(CommandError::environment(nowhere)
            .hint("start a private builder: mlbuild engine up, or give --engine=auto")
            .hint("or name one: --builder unix:///run/buildkit/buildkitd.sock"));
    }
    let engine = match running {
        Some(engine) => engine,
        None => private::up(&folder, &private::Options::default(), consent.tell)
            .await
            .map_err(fail)?,
    };
    let endpoint = engine.endpoint.parse().map_err(CommandError::environment)?;
    let client = Client::connect(&endpoint, &ConnectOptions::default())
        .await
        .map_err(|error| {
            CommandError::environment(format!("the private builder: {}", chain(&error)))
                .hint("start it anew: mlbuild engine down, then mlbuild engine up")
        })?;
    let mut builder = Builder::new(client).await?;
    builder.default_network = engine.needs_host_network.then(|| "host".to_owned());
    Ok(Connection {
        builder,
        how: format!("{} (private builder)", engine.endpoint),
    })
}

/// The Docker daemon of this machine, for `--load`.
pub async fn local_docker() -> CommandResult<Client> {
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
