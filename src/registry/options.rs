//! How registries are reached.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use super::credentials::CredentialStore;

/// How registries are reached: set once, the same for all of them.
#[derive(Clone, Debug)]
pub struct RegistryOptions {
    /// Hosts (`host[:port]`) that may speak plain http or show any certificate.
    /// Loopback hosts may always speak plain http.
    pub insecure: BTreeSet<String>,
    /// Hosts to ask first when pulling from a host: `docker.io` → `mirror.example:5000`.
    /// An entry is `[http://|https://]host[:port][/prefix]`.
    pub mirrors: BTreeMap<String, Vec<String>>,
    /// Folder with certificates of single registries: `<host[:port]>/*.crt`.
    pub certificates: PathBuf,
    /// Where log-ins come from.
    pub credentials: CredentialStore,
    /// How often a call that may be repeated is tried, and how long to wait between.
    pub retry: Retry,
    /// Blobs that are uploaded at once.
    pub parallel: usize,
    /// Blobs larger than this many bytes are sent in pieces of this size, so that a cut
    /// connection costs one piece.
    pub chunk: u64,
}

/// Bounded retries.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    /// Tries in all, the first included.
    pub attempts: u32,
    /// Wait before the second try; doubles each time, up to 8 s.
    pub first_wait: Duration,
}

impl Retry {
    /// How long to wait after the `tried`th try failed (from 1).
    pub(super) fn wait(&self, tried: u32) -> Duration {
        let factor = 2u32.saturating_pow(tried.saturating_sub(1).min(10));
        (self.first_wait * factor).min(Duration::from_secs(8))
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 6,
            first_wait: Duration::from_millis(250),
        }
    }
}

impl Default for RegistryOptions {
    fn default() -> Self {
        Self {
            insecure: BTreeSet::new(),
            mirrors: BTreeMap::new(),
            certificates: PathBuf::from("/etc/docker/certs.d"),
            credentials: CredentialStore::from_environment(),
            retry: Retry::default(),
            parallel: 4,
            chunk: 32 << 20,
        }
    }
}
