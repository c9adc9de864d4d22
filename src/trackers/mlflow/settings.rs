//! Where MLflow's runs are, and by what log-in: as its client finds them.
//!
//! | what | in this order |
//! | --- | --- |
//! | where | `MLFLOW_TRACKING_URI`; `mlflow.db` of the project |
//! | name, password | variables; `~/.mlflow/credentials`, each by itself |
//! | token | `MLFLOW_TRACKING_TOKEN`, where there is no name with a password |
//!
//! Both come from the person and not from a file of the project.

use std::path::{Path, PathBuf};

use configparser::ini::Ini;
use mlbuild_secrets::{Secret, redact};
use percent_encoding::percent_decode_str;
use url::Url;

use crate::env_vars::{
    HOME, MLFLOW_EXPERIMENT_ID, MLFLOW_EXPERIMENT_NAME, MLFLOW_TRACKING_AUTH,
    MLFLOW_TRACKING_AWS_SIGV4, MLFLOW_TRACKING_CLIENT_CERT_PATH, MLFLOW_TRACKING_INSECURE_TLS,
    MLFLOW_TRACKING_PASSWORD, MLFLOW_TRACKING_SERVER_CERT_PATH, MLFLOW_TRACKING_TOKEN,
    MLFLOW_TRACKING_URI, MLFLOW_TRACKING_USERNAME, MLFLOW_WORKSPACE,
};
use crate::reporter::Reporter;
use crate::trackers::server::{LogIn, Server, name_of};
use crate::trackers::{Tracker, TrackerError, set};

/// The database of those who set none.
const DATABASE: &str = "mlflow.db";
/// Before the path of a database.
const SQLITE: &str = "sqlite:///";

/// Where runs are.
pub(super) enum Place {
    Server(Server),
    Database(PathBuf),
}

/// An experiment whose runs are listed.
pub(super) enum Experiment {
    Name(String),
    Id(String),
}

/// The experiment that was asked for, else the one that the client's variables name.
pub(super) fn experiment(asked: Option<&str>) -> Option<Experiment> {
    let name = asked
        .map(str::to_owned)
        .or_else(|| set(MLFLOW_EXPERIMENT_NAME));
    let id = || set(MLFLOW_EXPERIMENT_ID).map(Experiment::Id);
    name.map(Experiment::Name).or_else(id)
}

/// Finds where a project's runs are.
///
/// # Errors
/// Where nothing says it, it isn't supported, or the page of a run is of another server.
pub(super) fn find(
    project: &Path,
    page: Option<&Url>,
    reporter: &dyn Reporter,
) -> Result<Place, TrackerError> {
    let Some(address) = set(MLFLOW_TRACKING_URI) else {
        let file = project.join(DATABASE);
        if !file.exists() {
            return Err(TrackerError::NoStore {
                folder: project.to_owned(),
            });
        }
        return of_page(page, Place::Database(file), "");
    };
    if let Some(path) = address.strip_prefix(SQLITE) {
        // A path may be followed by options of the driver.
        let path = path.split('?').next().unwrap_or(path);
        let path = percent_decode_str(path).decode_utf8_lossy();
        return of_page(page, Place::Database(project.join(&*path)), &address);
    }
    if let Some(what) = unsupported(&address) {
        return Err(TrackerError::OtherStore {
            address: redact(&address).into_owned(),
            what,
        });
    }
    let base = parse(&address)?;
    refuse_settings()?;
    let server = Server::new(Tracker::Mlflow, base, log_in()?);
    if server.is_in_the_clear() {
        reporter.warning(format!("{}: the key goes there without TLS", server.name()));
    }
    of_page(page, Place::Server(server), &address)
}

/// What an address leads to that no server of MLflow's is.
fn unsupported(address: &str) -> Option<&'static str> {
    let Some((scheme, _)) = address.split_once(':') else {
        let is_databricks = address == "databricks";
        return Some(if is_databricks {
            "Databricks"
        } else {
            "a folder"
        });
    };
    let kind = scheme.split('+').next().unwrap_or(scheme);
    match kind {
        "http" | "https" => None,
        "file" => Some("a folder"),
        "sqlite" | "postgresql" | "postgres" | "mysql" | "mssql" => Some("a database"),
        "databricks" | "databricks-uc" | "uc" => Some("Databricks"),
        _ => Some("a store of another kind"),
    }
}

fn parse(address: &str) -> Result<Url, TrackerError> {
    let wrong = |why: String| TrackerError::Address {
        from: MLFLOW_TRACKING_URI.to_owned(),
        address: redact(address).into_owned(),
        why,
    };
    let url = Url::parse(address).map_err(|error| wrong(error.to_string()))?;
    if url.host_str().is_none() {
        return Err(wrong("it names no host".to_owned()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        let variables = format!("{MLFLOW_TRACKING_USERNAME} and {MLFLOW_TRACKING_PASSWORD}");
        return Err(wrong(format!(
            "it holds a log-in, which belongs into {variables}"
        )));
    }
    Ok(url)
}

/// What changes how the client asks, and isn't followed here.
fn refuse_settings() -> Result<(), TrackerError> {
    let is_true = |value: &String| matches!(value.to_ascii_lowercase().as_str(), "true" | "1");
    for variable in [MLFLOW_TRACKING_AUTH, MLFLOW_TRACKING_CLIENT_CERT_PATH] {
        if set(variable).is_some() {
            return Err(TrackerError::LogIn {
                tracker: Tracker::Mlflow,
                variable,
            });
        }
    }
    if set(MLFLOW_TRACKING_AWS_SIGV4).as_ref().is_some_and(is_true) {
        return Err(TrackerError::LogIn {
            tracker: Tracker::Mlflow,
            variable: MLFLOW_TRACKING_AWS_SIGV4,
        });
    }
    for variable in [MLFLOW_TRACKING_SERVER_CERT_PATH, MLFLOW_WORKSPACE] {
        if set(variable).is_some() {
            return Err(TrackerError::Setting { variable });
        }
    }
    if set(MLFLOW_TRACKING_INSECURE_TLS)
        .as_ref()
        .is_some_and(is_true)
    {
        return Err(TrackerError::Setting {
            variable: MLFLOW_TRACKING_INSECURE_TLS,
        });
    }
    Ok(())
}

fn log_in() -> Result<LogIn, TrackerError> {
    let file = credentials()?;
    let value = |variable: &str| {
        let of_file = file
            .as_ref()
            .and_then(|file| file.get("mlflow", &variable.to_ascii_lowercase()))
            // As Python's parser reads it.
            .map(|value| value.replace("%%", "%"));
        set(variable).or(of_file).filter(|value| !value.is_empty())
    };
    let both = value(MLFLOW_TRACKING_USERNAME).zip(value(MLFLOW_TRACKING_PASSWORD));
    Ok(match (both, set(MLFLOW_TRACKING_TOKEN)) {
        (Some((user, password)), _) => LogIn::Basic(user, Secret::new(password)),
        (None, Some(token)) => LogIn::Bearer(Secret::new(token)),
        (None, None) => LogIn::None,
    })
}

/// `~/.mlflow/credentials`, where it is.
fn credentials() -> Result<Option<Ini>, TrackerError> {
    let Some(home) = set(HOME) else {
        return Ok(None);
    };
    let file = Path::new(&home).join(".mlflow/credentials");
    let wrong = |why: String| TrackerError::File {
        file: file.clone(),
        why,
    };
    let text = match mlbuild_files::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrong(error.to_string())),
    };
    let mut values = Ini::new();
    // A password may hold them.
    values.set_inline_comment_symbols(Some(&[]));
    values.read(text).map_err(wrong)?;
    Ok(Some(values))
}

/// Sees that a run's page is of the server that is asked.
fn of_page(page: Option<&Url>, place: Place, address: &str) -> Result<Place, TrackerError> {
    let Some(page) = page else {
        return Ok(place);
    };
    let server = match &place {
        Place::Server(server) => server.name(),
        Place::Database(file) => file.display().to_string(),
    };
    let base = Url::parse(address).ok();
    if base.is_some_and(|base| base.origin() == page.origin()) {
        return Ok(place);
    }
    Err(TrackerError::OtherServer {
        tracker: Tracker::Mlflow,
        asked: name_of(page),
        server,
        address: format!("{}://{}", page.scheme(), name_of(page)),
    })
}
