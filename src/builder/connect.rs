//! Finding the builder, or starting a private one.

use std::path::PathBuf;

use mlbuild_buildkit::{
    Client, ConnectOptions, DiscoverError, DiscoverOptions, TlsOptions, discover,
};

use super::{Builder, BuilderError, TlsFile};
use crate::loopback::is_loopback;
use crate::private_engine::{self, Folder};
use crate::reporter::{Question, Reporter, Silent};
use crate::settings::{BuildSettings, may_start_builder};

/// A builder and how it was found.
#[derive(Debug)]
pub struct Connection {
    /// The builder.
    pub builder: Builder,
    /// How it was found, for people.
    pub how: String,
}

/// Whether a private builder is started where none is found.
#[derive(Debug, Clone, Copy)]
enum PrivateBuilder {
    /// By setting, in CI, or by the answer of whoever is asked.
    IfAllowed,
    Never,
}

/// Connects to the builder that settings name, or to the one that is found, or starts one if that is
/// wanted.
///
/// # Errors
/// With all that was tried.
pub async fn connect_or_start(
    settings: &BuildSettings,
    reporter: &dyn Reporter,
) -> Result<Connection, BuilderError> {
    connect(settings, PrivateBuilder::IfAllowed, reporter).await
}

/// Connects to a builder that is there; starts none and asks nothing.
///
/// # Errors
/// With all that was tried.
pub async fn connect_quietly(settings: &BuildSettings) -> Result<Connection, BuilderError> {
    connect(settings, PrivateBuilder::Never, &Silent).await
}

/// Whether a builder is there, or one is started without a question when it is needed.
pub async fn is_at_hand(settings: &BuildSettings) -> bool {
    if connect_quietly(settings).await.is_ok() {
        return true;
    }
    let sleeps = || Folder::default_place().is_ok_and(|folder| private_engine::sleeps(&folder));
    settings.builder.is_none()
        && (may_start_builder(settings.start_builder) == Some(true)
            || (settings.start_builder != Some(false) && sleeps()))
}

async fn connect(
    settings: &BuildSettings,
    private: PrivateBuilder,
    reporter: &dyn Reporter,
) -> Result<Connection, BuilderError> {
    let options = DiscoverOptions {
        builder: settings.builder.clone(),
        connect: ConnectOptions {
            tls: tls(settings)?,
            ..ConnectOptions::default()
        },
    };
    let found = discover(&options).await;
    if let Ok(found) = &found
        && let Some(host) = found.client.host_in_the_clear()
        && !is_loopback(host)
        && host != "::1"
    {
        reporter.note(format!(
            "the builder at {host} is reached without TLS: whoever is on the way can read and \
             change files, secrets and log-ins"
        ));
    }
    match found {
        Ok(found) => Ok(Connection {
            builder: Builder::new(found.client).await?,
            how: format!("{} ({})", found.endpoint, found.how),
        }),
        Err(nowhere @ DiscoverError::Nowhere { .. }) => {
            private_builder(settings, private, reporter, nowhere).await
        }
        Err(error) => Err(error.into()),
    }
}

/// The private builder: the one that runs, or one that is started because the user said so.
async fn private_builder(
    settings: &BuildSettings,
    private: PrivateBuilder,
    reporter: &dyn Reporter,
    nowhere: DiscoverError,
) -> Result<Connection, BuilderError> {
    let folder = Folder::default_place()?;
    // One that sleeps was wanted once, and is not asked for again.
    let found = match private {
        PrivateBuilder::IfAllowed if settings.start_builder != Some(false) => {
            private_engine::wake(&folder, reporter).await?
        }
        _ => private_engine::status(&folder).await?,
    };
    if found.is_none() {
        let may_start = match private {
            PrivateBuilder::Never => false,
            PrivateBuilder::IfAllowed => may_start_builder(settings.start_builder)
                .or_else(|| reporter.ask(&Question::StartPrivateBuilder))
                .unwrap_or(false),
        };
        if !may_start {
            return Err(nowhere.into());
        }
    }
    let engine = match found {
        Some(engine) => engine,
        None => private_engine::up(&folder, &private_engine::Options::default(), reporter).await?,
    };
    let endpoint = engine.endpoint.parse()?;
    let client = Client::connect(&endpoint, &ConnectOptions::default())
        .await
        .map_err(BuilderError::PrivateSilent)?;
    let mut builder = Builder::new(client).await?;
    builder.default_network = engine.needs_host_network.then(|| "host".to_owned());
    Ok(Connection {
        builder,
        how: format!("{} (private builder)", engine.endpoint),
    })
}

/// The Docker daemon of this machine, to load an image into.
///
/// # Errors
/// Where none answers.
pub async fn local_docker() -> Result<Client, BuilderError> {
    let endpoint = "docker://".parse()?;
    Client::connect(&endpoint, &ConnectOptions::default())
        .await
        .map_err(BuilderError::DockerSilent)
}

fn tls(settings: &BuildSettings) -> Result<Option<TlsOptions>, BuilderError> {
    let tls = &settings.tls;
    if tls.ca.is_none() && tls.cert.is_none() && tls.key.is_none() {
        return Ok(None);
    }
    for (file, path) in [
        (TlsFile::Authority, &tls.ca),
        (TlsFile::Certificate, &tls.cert),
        (TlsFile::Key, &tls.key),
    ] {
        if let Some(path) = path.as_ref().filter(|path: &&PathBuf| !path.is_file()) {
            let path = path.clone();
            return Err(BuilderError::TlsFileMissing { file, path });
        }
    }
    if tls.cert.is_some() != tls.key.is_some() {
        return Err(BuilderError::TlsHalfPair);
    }
    Ok(Some(TlsOptions {
        ca: tls.ca.clone(),
        cert: tls.cert.clone(),
        key: tls.key.clone(),
        server_name: tls.server_name.clone(),
    }))
}
