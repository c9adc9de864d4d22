//! The tags of a repository: listed, set, and removed with what they name.
//!
//! OCI distribution specification 1.1, "Listing Tags" and "Deleting Manifests".

use oci_spec::distribution::Reference;
use oci_spec::image::{Digest, ImageIndex};
use reqwest::header::LINK;
use reqwest::{Method, StatusCode};
use serde::Deserialize;

use super::call::{Call, CallBody, Target};
use super::error::RegistryError;
use super::pull::MAX_DOCUMENT;
use super::scope::{Scope, scope_of};
use super::{Published, Registry};
use crate::image::is_index;

/// Tags that are asked for at once.
const PAGE: usize = 1000;
/// Most tags of a repository that are listed.
const MAX_TAGS: usize = 200_000;

#[derive(Deserialize)]
struct TagList {
    /// `null` where there are none, with some registries.
    #[serde(default)]
    tags: Option<Vec<String>>,
}

impl Registry {
    /// All tags of the reference's repository; none where there is no such repository.
    ///
    /// # Errors
    /// Where the registry can't be asked, or lists without end.
    pub async fn tags(&self, repository: &Reference) -> Result<Vec<String>, RegistryError> {
        let endpoint = self.endpoint(repository.registry());
        let scope = scope_of(repository, false);
        let what = format!("listing the tags of {}", repository.repository());
        let endless = |why: &str| RegistryError::Malformed {
            registry: repository.registry().to_owned(),
            what: what.clone(),
            why: why.to_owned(),
        };
        let mut tags: Vec<String> = Vec::new();
        loop {
            let from = tags
                .last()
                .map_or(String::new(), |last| format!("&last={last}"));
            let path = format!("{}/tags/list?n={PAGE}{from}", repository.repository());
            let call = Call {
                method: Method::GET,
                target: Target::Path(path),
                headers: Vec::new(),
                body: CallBody::Empty,
                scope: &scope,
                what: &what,
            };
            let (answer, bytes) = match self.fetch(&endpoint, &call, MAX_DOCUMENT).await {
                Err(RegistryError::NotFound { .. }) => return Ok(tags),
                fetched => fetched?,
            };
            let page: TagList = self.parsed(repository, &bytes)?;
            let page = page.tags.unwrap_or_default();
            // The next page is asked for by the last tag, which has to be one to stand in an address.
            let is_tag = |tag: &String| {
                let mut characters = tag.chars();
                characters.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
            };
            let is_last = !answer.headers().contains_key(LINK) || page.is_empty();
            let before = tags.last().cloned();
            tags.extend(page.into_iter().filter(is_tag));
            if is_last {
                return Ok(tags);
            }
            if tags.last() == before.as_ref() {
                return Err(endless("it lists the same tags again"));
            }
            if tags.len() > MAX_TAGS {
                return Err(endless("it lists more tags than anybody has"));
            }
        }
    }

    /// Digests of the manifests of an index, by its digest; none where it is an image or a document itself, or
    /// isn't there.
    ///
    /// # Errors
    /// Where the registry can't be asked, or what it has can't be read.
    pub async fn members(&self, exact: &Reference) -> Result<Vec<Digest>, RegistryError> {
        let (descriptor, bytes) = match self.pull_manifest(exact).await {
            Err(RegistryError::NotFound { .. }) => return Ok(Vec::new()),
            pulled => pulled?,
        };
        if !is_index(descriptor.media_type()) {
            return Ok(Vec::new());
        }
        let index: ImageIndex = self.parsed(exact, &bytes)?;
        let manifests = index.manifests().iter();
        Ok(manifests.map(|one| one.digest().clone()).collect())
    }

    /// Gives what a reference names by digest one more tag in its repository.
    ///
    /// # Errors
    /// Where the registry doesn't have it, or doesn't take the tag.
    pub async fn tag(&self, exact: &Reference, tag: &str) -> Result<Published, RegistryError> {
        let endpoint = self.endpoint(exact.registry());
        let (descriptor, bytes) = self.pull_manifest_at(&endpoint, exact).await?;
        let scope = scope_of(exact, true);
        let kind = descriptor.media_type();
        self.put_manifest(&endpoint, &scope, tag, kind, bytes.into())
            .await?;
        Ok(Published {
            reference: super::pull::with_tag(exact, tag),
            descriptor,
        })
    }

    /// Removes what a reference names by digest, and with it every tag that names it; false where it
    /// wasn't there.
    ///
    /// # Errors
    /// [`RegistryError::NoDeletes`] where the registry removes nothing for its clients.
    pub async fn delete(&self, exact: &Reference) -> Result<bool, RegistryError> {
        let endpoint = self.endpoint(exact.registry());
        let scope = Scope {
            delete: true,
            ..scope_of(exact, true)
        };
        let digest = exact.digest().expect("it is named by digest");
        let what = format!("removing {digest} from {}", exact.repository());
        let call = Call {
            method: Method::DELETE,
            target: Target::Path(format!("{}/manifests/{digest}", exact.repository())),
            headers: Vec::new(),
            body: CallBody::Empty,
            scope: &scope,
            what: &what,
        };
        let answer = self.send(&endpoint, &call).await?;
        match answer.status() {
            StatusCode::NOT_FOUND => Ok(false),
            StatusCode::METHOD_NOT_ALLOWED | StatusCode::BAD_REQUEST => {
                Err(RegistryError::NoDeletes {
                    registry: endpoint.name.clone(),
                })
            }
            status if status.is_success() => {
                self.known.forget(exact, digest);
                Ok(true)
            }
            _ => Err(self.refused(&endpoint, &call, answer).await),
        }
    }
}
