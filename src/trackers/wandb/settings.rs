//! Where the server is, and its key: as `wandb` finds them.
//!
//! | what | in this order |
//! | --- | --- |
//! | address, entity, project | variables; `wandb/settings` of the folder; `~/.config/wandb/settings` |
//! | key | `WANDB_API_KEY`; the server's entry in netrc; the file that names the server |
//!
//! In one thing it is stricter: a project's files come from strangers, so a server that one of them
//! names isn't told a key that is for no server in particular.

use std::path::{Path, PathBuf};

use configparser::ini::Ini;
use mlbuild_secrets::Secret;
use url::Url;

use super::name::WandbName;
use crate::env_vars::{
    HOME, WANDB_API_KEY, WANDB_BASE_URL, WANDB_CONFIG_DIR, WANDB_DIR, WANDB_ENTITY,
    WANDB_IDENTITY_TOKEN_FILE, WANDB_PROJECT,
};
use crate::trackers::server::name_of;
use crate::trackers::{Tracker, TrackerError, netrc, set};

/// The server of those who set none.
const DEFAULT_BASE: &str = "https://api.forge.coreweave.com";
/// The same server by its older name.
const OLDER_HOST: &str = "api.wandb.ai";
/// Hosts of that server, and of its pages.
const DEFAULT_HOSTS: [&str; 5] = [
    "api.forge.coreweave.com",
    "forge.coreweave.com",
    OLDER_HOST,
    "wandb.ai",
    "app.wandb.ai",
];
/// The part of a file of settings that is read.
const SECTION: &str = "default";

/// Where a run is, and the key of its server.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) base: Url,
    pub(super) key: Secret,
    pub(super) entity: Option<String>,
    pub(super) project: Option<String>,
}

/// Who says where the server is.
enum AddressSource {
    Person,
    Project(PathBuf),
}

/// A file of settings that is there.
struct SettingsFile {
    path: PathBuf,
    values: Ini,
}

impl SettingsFile {
    fn read(path: PathBuf) -> Result<Option<Self>, TrackerError> {
        let wrong = |file: &Path, why: String| TrackerError::File {
            file: file.to_owned(),
            why,
        };
        let text = match mlbuild_files::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(wrong(&path, error.to_string())),
        };
        let mut values = Ini::new();
        match values.read(text) {
            Ok(_) => Ok(Some(Self { path, values })),
            Err(why) => Err(wrong(&path, why)),
        }
    }

    fn get(&self, key: &str) -> Option<String> {
        let value = self.values.get(SECTION, key);
        value.filter(|value| !value.is_empty())
    }
}

/// Finds the server of a run, and its key.
///
/// # Errors
/// Where an address or a file can't be read, the run is at another server, or there is no key.
pub(super) fn find(name: &WandbName, project: &Path) -> Result<Place, TrackerError> {
    let local = SettingsFile::read(local_file(project))?;
    let global = match global_file() {
        Some(path) => SettingsFile::read(path)?,
        None => None,
    };
    let files = || local.iter().chain(&global);
    let any = |variable, key| set(variable).or_else(|| files().find_map(|file| file.get(key)));
    let (base, source) = base(local.as_ref(), global.as_ref())?;
    if let Some(page) = &name.page {
        check_page(page, &base)?;
    }
    let key = key(&base, &source, local.as_ref(), global.as_ref())?;
    Ok(Place {
        base,
        key: Secret::new(key),
        entity: name.entity.clone().or_else(|| any(WANDB_ENTITY, "entity")),
        project: name
            .project
            .clone()
            .or_else(|| any(WANDB_PROJECT, "project")),
    })
}

fn local_file(project: &Path) -> PathBuf {
    let above = set(WANDB_DIR).map_or_else(|| project.to_owned(), PathBuf::from);
    let hidden = above.join(".wandb");
    let folder = if hidden.exists() {
        hidden
    } else {
        above.join("wandb")
    };
    folder.join("settings")
}

fn global_file() -> Option<PathBuf> {
    let folder = match set(WANDB_CONFIG_DIR) {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(set(HOME)?).join(".config/wandb"),
    };
    Some(folder.join("settings"))
}

fn base(
    local: Option<&SettingsFile>,
    global: Option<&SettingsFile>,
) -> Result<(Url, AddressSource), TrackerError> {
    let of_file = |file: Option<&SettingsFile>| {
        let file = file?;
        Some((file.get("base_url")?, file.path.clone()))
    };
    if let Some(address) = set(WANDB_BASE_URL) {
        return Ok((parse(&address, WANDB_BASE_URL)?, AddressSource::Person));
    }
    if let Some((address, path)) = of_file(local) {
        let base = parse(&address, &path.to_string_lossy())?;
        return Ok((base, AddressSource::Project(path)));
    }
    let base = match of_file(global) {
        Some((address, path)) => parse(&address, &path.to_string_lossy())?,
        None => Url::parse(DEFAULT_BASE).expect("an address"),
    };
    Ok((base, AddressSource::Person))
}

fn parse(address: &str, from: &str) -> Result<Url, TrackerError> {
    let wrong = |why: String| TrackerError::Address {
        from: from.to_owned(),
        address: mlbuild_secrets::redact(address).into_owned(),
        why,
    };
    let url = Url::parse(address).map_err(|error| wrong(error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(wrong("it starts with https://".to_owned()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("it holds a log-in".to_owned()));
    }
    let host = url.host_str().unwrap_or_default();
    if DEFAULT_HOSTS.contains(&host) {
        if url.scheme() == "http" {
            return Err(wrong("that server is asked by https".to_owned()));
        }
        // Its pages and its API have different hosts, and a page is what people see.
        return Ok(Url::parse(DEFAULT_BASE).expect("an address"));
    }
    Ok(url)
}

/// Sees that a page is of the server that is asked.
fn check_page(page: &Url, base: &Url) -> Result<(), TrackerError> {
    let (page_name, base_name) = (name_of(page), name_of(base));
    let is_default = |name: &String| DEFAULT_HOSTS.contains(&name.as_str());
    let hosts = [
        base_name.clone(),
        base_name.replacen("api.", "", 1),
        base_name.replacen("api.", "app.", 1),
    ];
    if hosts.contains(&page_name) || (is_default(&page_name) && is_default(&base_name)) {
        return Ok(());
    }
    let address = if is_default(&page_name) {
        DEFAULT_BASE.to_owned()
    } else {
        format!("{}://{page_name}", page.scheme())
    };
    Err(TrackerError::OtherServer {
        tracker: Tracker::Wandb,
        asked: page_name,
        server: base_name,
        address,
    })
}

fn key(
    base: &Url,
    source: &AddressSource,
    local: Option<&SettingsFile>,
    global: Option<&SettingsFile>,
) -> Result<String, TrackerError> {
    let variable = set(WANDB_API_KEY);
    if let (Some(key), AddressSource::Person) = (&variable, source) {
        return Ok(key.clone());
    }
    if set(WANDB_IDENTITY_TOKEN_FILE).is_some() {
        return Err(TrackerError::LogIn {
            tracker: Tracker::Wandb,
            variable: WANDB_IDENTITY_TOKEN_FILE,
        });
    }
    if let Some(key) = key_in_netrc(base) {
        return Ok(key);
    }
    // The file that names a server has the key of that server.
    let file = match source {
        AddressSource::Person => global,
        AddressSource::Project(_) => local,
    };
    if let Some(key) = file.and_then(|file| file.get("api_key")) {
        return Ok(key);
    }
    let server = name_of(base);
    match source {
        AddressSource::Project(file) if variable.is_some() => Err(TrackerError::KeyElsewhere {
            file: file.clone(),
            server,
            address: base.to_string().trim_end_matches('/').to_owned(),
        }),
        _ => Err(TrackerError::NoKey {
            looked: [Some(WANDB_API_KEY.into()), netrc::file(), global_file()]
                .into_iter()
                .flatten()
                .map(|place: PathBuf| place.to_string_lossy().into_owned())
                .collect(),
            server,
        }),
    }
}

/// The key of a server in the person's file of log-ins; of `None` that of those who set no server.
pub(crate) fn key_in_netrc<'a>(base: impl Into<Option<&'a Url>>) -> Option<String> {
    let name = base
        .into()
        .map_or_else(|| DEFAULT_HOSTS[0].to_owned(), name_of);
    let mut machines = vec![name];
    if DEFAULT_HOSTS.contains(&machines[0].as_str()) {
        machines = vec![DEFAULT_HOSTS[0].to_owned(), OLDER_HOST.to_owned()];
    }
    netrc::password(&netrc::file()?, &machines)
}
