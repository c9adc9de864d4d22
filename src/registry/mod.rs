//! Registries: what a reference means there, whether it is there, and how an image
//! and the documents that belong to it get there.
//!
//! The client follows the OCI distribution specification 1.1 and falls back where a
//! registry is older. It is our own because pushing is what mlbuild is for: uploads
//! resume, go in parallel, skip and mount what the registry has, and every digest that
//! is returned was confirmed by the registry.
//!
//! Reading images from disk is left to `image`; what the answers are used for, to the
//! commands.

mod auth;
mod call;
mod credentials;
mod derive;
mod endpoint;
mod error;
mod known;
pub mod mirror;
mod missing_blobs;
mod options;
mod platform;
mod progress;
mod publish;
mod pull;
mod push;
mod referrers;
mod retry;
mod scope;
mod stream;
mod tags;
mod upload;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use oci_spec::distribution::Reference;
use oci_spec::image::{Descriptor, Platform};

use self::call::Call;
use self::endpoint::Endpoint;
use self::known::KnownDocuments;

pub use credentials::CredentialStore;
pub use derive::DerivedImage;
pub use error::RegistryError;
pub use known::FetchedDocument;
pub use options::{RegistryOptions, Retry};
pub use platform::{parse_platform, platform_matches, platform_name};
pub use progress::{PushEvent, PushProgress};
pub use push::PushHints;
pub use referrers::Attachment;
pub use stream::BlobStream;

/// All registries, reached by one set of options. Cheap to clone; keeps connections,
/// access tokens, and documents that were fetched by their digests for as long as it lives.
#[derive(Clone, Debug)]
pub struct Registry {
    options: Arc<RegistryOptions>,
    endpoints: Arc<Mutex<BTreeMap<String, Arc<Endpoint>>>>,
    known: Arc<KnownDocuments>,
}

/// What a reference meant when the registry was asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    /// The reference, with the digest that it named: of an index or of the only manifest.
    pub reference: Reference,
    /// What the digest names.
    pub descriptor: Descriptor,
    /// True if that is an index.
    pub is_index: bool,
    /// The image manifests by platform, attestations left out; only the one that was
    /// asked for if a platform was given.
    pub manifests: Vec<(Platform, Descriptor)>,
}

/// An image as the registry confirmed that it has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Published {
    /// The reference that was pushed, with tag and without digest.
    pub reference: Reference,
    /// What it names now.
    pub descriptor: Descriptor,
}

impl Published {
    /// `name:tag@sha256:…` as it is printed.
    pub fn pinned(&self) -> String {
        format!("{}@{}", self.reference, self.descriptor.digest())
    }
}

/// A document attached to an image.
#[derive(Clone, Debug, PartialEq)]
pub struct Referrer {
    /// Its manifest.
    pub descriptor: Descriptor,
    /// What kind of document it is.
    pub artifact_type: String,
    /// Annotations of its manifest.
    pub annotations: BTreeMap<String, String>,
}

impl Registry {
    /// A client for all registries. Nothing is looked up yet.
    pub fn new(options: RegistryOptions) -> Self {
        Self {
            options: Arc::new(options),
            endpoints: Arc::default(),
            known: Arc::default(),
        }
    }

    /// The server of a registry, as references name it.
    fn endpoint(&self, registry: &str) -> Arc<Endpoint> {
        self.server(registry, || Endpoint::of_registry(registry, &self.options))
    }

    /// Servers to ask before the registry itself.
    fn mirrors(&self, registry: &str) -> Vec<Arc<Endpoint>> {
        let entries = self.options.mirrors.get(registry).into_iter().flatten();
        let known = |e: &String| {
            self.server(&format!("mirror {e}"), || {
                Endpoint::of_mirror(e, &self.options)
            })
        };
        entries.map(known).filter(|m| !m.is_down()).collect()
    }

    fn server(&self, key: &str, make: impl FnOnce() -> Endpoint) -> Arc<Endpoint> {
        let mut endpoints = self
            .endpoints
            .lock()
            .expect("nothing panics while it is held");
        endpoints
            .entry(key.to_owned())
            .or_insert_with(|| Arc::new(make()))
            .clone()
    }

    /// Sends a call that may be repeated.
    async fn send(
        &self,
        endpoint: &Endpoint,
        call: &Call<'_>,
    ) -> Result<reqwest::Response, RegistryError> {
        endpoint
            .send(call, &self.options.credentials, self.options.retry)
            .await
    }
}
