//! Python's package indexes as this machine has them set up, asked by this program itself: where a file
//! is, and the file, by its hash. Its settings are those that steps of a build get ([`crate::host`]), no
//! others: the same address, log-in, certificates and proxies.

mod page;
mod settings;

use std::io::{Seek as _, SeekFrom, Write as _};

use mlbuild_waits::{Flow, Stalled, Wait};
use reqwest::header::ACCEPT;
use reqwest::{Client, Response};
use url::Url;

use self::settings::Indexes;
use crate::error::chain;
use crate::host::HostSettings;
use crate::package_store::{Store, StoreError};
use crate::redirects;

/// Bytes of a project's page: those of projects with ten thousand files have some ten million.
const MOST_PAGE: u64 = 64 << 20;
/// Bytes of a file whose size nobody said. The largest on the public index have a few gigabytes.
const MOST_FILE: u64 = 16 << 30;

/// The indexes of this machine.
pub struct PackageIndex {
    indexes: Indexes,
    client: Client,
    /// For servers whose certificates the machine's settings don't want checked.
    trusting: Client,
}

/// Why an index gives nothing.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The machine's settings of it can't be used here.
    #[error("the settings of the package index: {0}")]
    Settings(String),
    /// It can't be reached, or answers what can't be used.
    #[error("{server}: {why}")]
    Answer {
        /// The server.
        server: String,
        /// What is wrong, without a log-in.
        why: String,
    },
    /// It stopped answering.
    #[error(transparent)]
    Stalled(#[from] Stalled),
    /// The file isn't the one that is asked for, or can't be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no room to receive a file.
    #[error("a folder to receive packages in: {0}")]
    Folder(#[source] std::io::Error),
}

/// A file that is wanted.
#[derive(Clone, Copy, Debug)]
pub struct WantedFile<'a> {
    /// Where it is.
    pub url: &'a Url,
    /// Its name, for people.
    pub name: &'a str,
    /// Its hash, hex.
    pub sha256: &'a str,
    /// Bytes of it, where they are known.
    pub size: Option<u64>,
}

impl PackageIndex {
    /// Reads the settings; asks nobody yet.
    ///
    /// # Errors
    /// Settings that only an installer's own program could use.
    pub fn of(host: &HostSettings) -> Result<Self, IndexError> {
        let indexes = Indexes::of(host)?;
        let build = |is_trusting: bool| {
            let builder = Client::builder()
                .user_agent(concat!("mlbuild/", env!("CARGO_PKG_VERSION")))
                .redirect(redirects::anywhere_by_tls())
                .connect_timeout(std::time::Duration::from_secs(20))
                .tls_danger_accept_invalid_certs(is_trusting);
            let builder = settings::network(builder, host)?;
            builder
                .build()
                .map_err(|error| IndexError::Settings(chain(&error)))
        };
        Ok(Self {
            indexes,
            client: build(false)?,
            trusting: build(true)?,
        })
    }

    /// Where the first index that has it says a project's file is.
    ///
    /// # Errors
    /// An index that can't be asked, where no other has the file.
    pub async fn find(&self, project: &str, file: &str) -> Result<Option<Url>, IndexError> {
        let mut failed = None;
        for index in &self.indexes.all {
            match self.page(index, project).await {
                Ok(page) => {
                    if let Some(url) = page.and_then(|(at, text)| page::find(&text, &at, file)) {
                        return Ok(Some(url));
                    }
                }
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(None), Err)
    }

    /// A project's page (PEP 503 and 691), and where it is; `None` where an index has no such project.
    async fn page(&self, index: &Url, project: &str) -> Result<Option<(Url, String)>, IndexError> {
        let mut url = index.clone();
        let path = format!("{}/{project}/", index.path().trim_end_matches('/'));
        url.set_path(&path);
        let answer = self.get(&url, page::KINDS).await?;
        if answer.status() == reqwest::StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let answer = success(answer)?;
        let at = answer.url().clone();
        let mut text = Vec::new();
        body(answer, MOST_PAGE, |piece| {
            text.extend_from_slice(piece);
            Ok(())
        })
        .await?;
        Ok(Some((at, String::from_utf8_lossy(&text).into_owned())))
    }

    /// Fetches a file into the store.
    ///
    /// # Errors
    /// A server that doesn't give it; another file than the wanted one, with both hashes.
    pub async fn fetch(&self, wanted: WantedFile<'_>, store: &Store) -> Result<u64, IndexError> {
        let answer = success(self.get(wanted.url, "*/*").await?)?;
        let mut file = tempfile::tempfile().map_err(IndexError::Folder)?;
        let most = wanted.size.unwrap_or(MOST_FILE);
        body(answer, most, |piece| {
            file.write_all(piece).map_err(IndexError::Folder)
        })
        .await?;
        file.seek(SeekFrom::Start(0)).map_err(IndexError::Folder)?;
        let (name, sha256) = (wanted.name, wanted.sha256);
        let taken = tokio::task::block_in_place(|| store.take(name, file, Some(sha256)));
        Ok(taken?.1)
    }

    async fn get(&self, url: &Url, kinds: &str) -> Result<Response, IndexError> {
        if !matches!(url.scheme(), "http" | "https") {
            let why = format!("files at {}: are read by an installer alone", url.scheme());
            return Err(IndexError::Settings(why));
        }
        let host = url.host_str().unwrap_or_default();
        let client = if self.indexes.trusts(url) {
            &self.trusting
        } else {
            &self.client
        };
        let mut request = client.get(url.clone()).header(ACCEPT, kinds);
        if let Some((user, password)) = self.indexes.log_in(url) {
            request = request.basic_auth(user, password);
        }
        let wait = Wait::on(format!("the package index {host}"));
        let answer = wait.within(request.send()).await?;
        answer.map_err(|error| wrong(host, &chain(&error.without_url())))
    }
}

fn wrong(server: &str, why: &str) -> IndexError {
    IndexError::Answer {
        server: server.to_owned(),
        why: mlbuild_secrets::redact(why).into_owned(),
    }
}

fn success(answer: Response) -> Result<Response, IndexError> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let host = answer.url().host_str().unwrap_or_default().to_owned();
    Err(wrong(&host, &format!("it answers {status}")))
}

/// Gives an answer's body to `take`, piece by piece; at most `most` bytes.
async fn body(
    mut answer: Response,
    most: u64,
    mut take: impl FnMut(&[u8]) -> Result<(), IndexError>,
) -> Result<(), IndexError> {
    let host = answer.url().host_str().unwrap_or_default().to_owned();
    let mut flow = Flow::from(format!("the package index {host}"));
    let mut received = 0;
    loop {
        let size = |piece: &Result<Option<bytes::Bytes>, reqwest::Error>| {
            let piece = piece.as_ref().ok().and_then(Option::as_ref);
            piece.map_or(0, bytes::Bytes::len)
        };
        let piece = flow.next(answer.chunk(), size).await?;
        let piece = piece.map_err(|error| wrong(&host, &chain(&error.without_url())))?;
        let Some(piece) = piece else { return Ok(()) };
        received += piece.len() as u64;
        if received > most {
            return Err(wrong(&host, &format!("a file is larger than {most} bytes")));
        }
        take(&piece)?;
    }
}
