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

mod credentials;
mod error;
mod options;
mod platform;
mod progress;
mod secret;

use std::collections::BTreeMap;

use oci_spec::distribution::Reference;
use oci_spec::image::{Descriptor, Digest, Platform};

use crate::image::{OciLayout, PlatformImage};

pub use credentials::{Credential, CredentialStore};
pub use error::RegistryError;
pub use options::{RegistryOptions, Retry};
pub use platform::{parse_platform, platform_matches, platform_name};
pub use progress::{PushEvent, PushProgress};
pub use secret::Secret;

/// All registries, reached by one set of options. Cheap to clone; keeps connections
/// and access tokens for as long as it lives.
#[derive(Clone, Debug)]
pub struct Registry {
    options: std::sync::Arc<RegistryOptions>,
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
            options: std::sync::Arc::new(options),
        }
    }

    /// What a reference means now: its digest and the manifests of its platforms.
    /// Mirrors are asked first. With `platform`, only that one is looked for, and an
    /// image that lacks it is an error that lists those it has.
    pub async fn resolve(
        &self,
        reference: &Reference,
        platform: Option<&Platform>,
    ) -> Result<Resolved, RegistryError> {
        let _ = (&self.options, reference, platform);
        todo!()
    }

    /// What a reference names now, in one round trip; `None` if it isn't there.
    pub async fn head(&self, reference: &Reference) -> Result<Option<Descriptor>, RegistryError> {
        let _ = reference;
        todo!()
    }

    /// True if the reference names this digest now: its tag if it has one, else the digest
    /// itself in its repository. One round trip (where no token has to be fetched).
    pub async fn exists(
        &self,
        reference: &Reference,
        digest: &Digest,
    ) -> Result<bool, RegistryError> {
        let _ = (reference, digest);
        todo!()
    }

    /// The images behind a reference with configuration and layers, as a lock records them.
    pub async fn images(
        &self,
        reference: &Reference,
        platform: Option<&Platform>,
    ) -> Result<Vec<PlatformImage>, RegistryError> {
        let _ = (reference, platform);
        todo!()
    }

    /// The bytes of a manifest or index, checked against its digest.
    pub async fn pull_manifest(
        &self,
        reference: &Reference,
    ) -> Result<(Descriptor, Vec<u8>), RegistryError> {
        let _ = reference;
        todo!()
    }

    /// The bytes of a small blob (a configuration, a document), checked against its digest.
    pub async fn pull_blob(
        &self,
        reference: &Reference,
        blob: &Descriptor,
    ) -> Result<Vec<u8>, RegistryError> {
        let _ = (reference, blob);
        todo!()
    }

    /// Pushes the one image of a layout, with its attestations, and returns what the
    /// registry confirmed. `mount_from` names repositories of the same registry that may
    /// have some of the blobs (the base image's).
    pub async fn push_layout(
        &self,
        layout: &OciLayout,
        reference: &Reference,
        mount_from: &[String],
        progress: PushProgress<'_>,
    ) -> Result<Published, RegistryError> {
        let _ = (layout, reference, mount_from, progress);
        todo!()
    }

    /// Attaches a document to a manifest or index in the reference's repository: an OCI
    /// artifact with that subject. Where the registry has no referrers API, the fallback
    /// tag is kept too. Attaching the same bytes twice leaves one.
    pub async fn attach(
        &self,
        reference: &Reference,
        subject: &Descriptor,
        artifact_type: &str,
        document: &[u8],
        annotations: &BTreeMap<String, String>,
    ) -> Result<Descriptor, RegistryError> {
        let _ = (reference, subject, artifact_type, document, annotations);
        todo!()
    }

    /// The documents attached to a digest, all or of one type.
    pub async fn referrers(
        &self,
        reference: &Reference,
        subject: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Vec<Referrer>, RegistryError> {
        let _ = (reference, subject, artifact_type);
        todo!()
    }

    /// The bytes of an attached document.
    pub async fn pull_attached(
        &self,
        reference: &Reference,
        referrer: &Descriptor,
    ) -> Result<Vec<u8>, RegistryError> {
        let _ = (reference, referrer);
        todo!()
    }
}
