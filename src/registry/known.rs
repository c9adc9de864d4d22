//! Manifests and small blobs that one command fetched already: they are named by their digests, so
//! that asking again would give the same bytes.

use std::collections::BTreeMap;
use std::sync::Mutex;

use mlbuild_manifests::digest::sha256;
use oci_spec::distribution::Reference;
use oci_spec::image::MediaType;
use serde::{Deserialize, Serialize};

use super::Registry;

/// Bytes of all documents that are kept in memory.
const MOST: usize = 32 << 20;

/// A document and its media type, which blobs don't have.
type Fetched = (Option<MediaType>, Vec<u8>);

/// What was fetched, by repository and digest: what one repository gave isn't another's.
#[derive(Debug, Default)]
pub(super) struct KnownDocuments(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    documents: BTreeMap<String, Fetched>,
    bytes: usize,
}

/// A manifest or configuration that was fetched, to be kept from one command to the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchedDocument {
    /// `sha256:…`.
    digest: String,
    /// Its media type; configurations have none.
    media_type: Option<String>,
    text: String,
}

impl FetchedDocument {
    /// `sha256:…`.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// True if it is what its digest says.
    pub fn is_whole(&self) -> bool {
        sha256(self.text.as_bytes()).as_ref() == self.digest
    }
}

impl Registry {
    /// All documents that were fetched from the reference's repository so far.
    pub fn fetched_documents(&self, at: &Reference) -> Vec<FetchedDocument> {
        let kept = self
            .known
            .0
            .lock()
            .expect("nothing panics while it is held");
        let repository = key(at, "");
        let all = kept.documents.range(repository.clone()..);
        let all = all.take_while(|(key, _)| key.starts_with(&repository));
        let documents = all.filter_map(|(key, (kind, bytes))| {
            Some(FetchedDocument {
                digest: key[repository.len()..].to_owned(),
                media_type: kind.as_ref().map(ToString::to_string),
                text: String::from_utf8(bytes.clone()).ok()?,
            })
        });
        documents.collect()
    }

    /// Takes documents of the reference's repository that an earlier command fetched: they aren't asked
    /// for again. One that isn't what its digest says is left out.
    pub fn take_documents(&self, at: &Reference, documents: Vec<FetchedDocument>) {
        for document in documents {
            let bytes = document.text.as_bytes();
            if document.is_whole() {
                let kind = document.media_type.as_deref().map(MediaType::from);
                self.known.keep(at, &document.digest, kind.as_ref(), bytes);
            }
        }
    }
}

impl KnownDocuments {
    pub(super) fn get(&self, at: &Reference, digest: &str) -> Option<Fetched> {
        let kept = self.0.lock().expect("nothing panics while it is held");
        kept.documents.get(&key(at, digest)).cloned()
    }

    pub(super) fn keep(
        &self,
        at: &Reference,
        digest: &str,
        kind: Option<&MediaType>,
        bytes: &[u8],
    ) {
        let mut kept = self.0.lock().expect("nothing panics while it is held");
        if kept.bytes + bytes.len() > MOST {
            return;
        }
        let document = (kind.cloned(), bytes.to_vec());
        if kept.documents.insert(key(at, digest), document).is_none() {
            kept.bytes += bytes.len();
        }
    }

    /// Of something that was removed.
    pub(super) fn forget(&self, at: &Reference, digest: &str) {
        let mut kept = self.0.lock().expect("nothing panics while it is held");
        if let Some((_, bytes)) = kept.documents.remove(&key(at, digest)) {
            kept.bytes -= bytes.len();
        }
    }
}

fn key(at: &Reference, digest: &str) -> String {
    format!("{}/{}@{digest}", at.registry(), at.repository())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(text: &str) -> Reference {
        text.parse().unwrap()
    }

    #[test]
    fn a_document_is_of_its_repository() {
        let known = KnownDocuments::default();
        let here = reference("example.com/a/b:1");
        known.keep(&here, "sha256:00", Some(&MediaType::ImageManifest), b"{}");
        let other_tag = reference("example.com/a/b:2");
        let found = (Some(MediaType::ImageManifest), b"{}".to_vec());
        assert_eq!(known.get(&other_tag, "sha256:00"), Some(found));
        assert_eq!(
            known.get(&reference("example.com/a/c:1"), "sha256:00"),
            None
        );
        assert_eq!(known.get(&here, "sha256:01"), None);
    }

    #[test]
    fn documents_are_taken_from_one_command_to_the_next_as_they_were() {
        let (first, second) = (
            Registry::new(Default::default()),
            Registry::new(Default::default()),
        );
        let here = reference("example.com/a/b:1");
        let (manifest, config) = (&b"{\"manifest\":1}"[..], &b"{}"[..]);
        let digests = [manifest, config].map(|bytes| sha256(bytes).to_string());
        let kind = MediaType::ImageManifest;
        first.known.keep(&here, &digests[0], Some(&kind), manifest);
        first.known.keep(&here, &digests[1], None, config);
        let other = reference("example.com/a/bc:1");
        first.known.keep(&other, "sha256:00", None, b"another's");
        let mut kept = first.fetched_documents(&here);
        assert_eq!(kept.len(), 2);
        second.take_documents(&here, kept.clone());
        assert_eq!(
            second.known.get(&here, &digests[1]),
            Some((None, config.to_vec()))
        );
        let found = second.known.get(&here, &digests[0]);
        assert_eq!(found, Some((Some(kind), manifest.to_vec())));

        let third = Registry::new(Default::default());
        kept.iter_mut().for_each(|document| document.text.push(' '));
        third.take_documents(&here, kept);
        assert_eq!(third.fetched_documents(&here), []);
    }

    #[test]
    fn memory_is_bounded() {
        let known = KnownDocuments::default();
        let here = reference("example.com/a/b:1");
        known.keep(&here, "sha256:00", None, &vec![0; MOST - 1]);
        known.keep(&here, "sha256:01", None, b"{}");
        assert!(known.get(&here, "sha256:00").is_some());
        assert!(known.get(&here, "sha256:01").is_none());
    }
}
