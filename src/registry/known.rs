//! Manifests and small blobs that one command fetched already: they are named by their digests, so
//! that asking again would give the same bytes.

use std::collections::BTreeMap;
use std::sync::Mutex;

use oci_spec::distribution::Reference;
use oci_spec::image::MediaType;

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
    fn memory_is_bounded() {
        let known = KnownDocuments::default();
        let here = reference("example.com/a/b:1");
        known.keep(&here, "sha256:00", None, &vec![0; MOST - 1]);
        known.keep(&here, "sha256:01", None, b"{}");
        assert!(known.get(&here, "sha256:00").is_some());
        assert!(known.get(&here, "sha256:01").is_none());
    }
}
