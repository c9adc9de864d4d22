//! One folder in the layout of OCI images: `blobs/ALGORITHM/HEX`.

use std::collections::BTreeMap;
use std::io::SeekFrom;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::stream::{self, Stream, StreamExt as _, TryStreamExt as _};
use mlbuild_proto::containerd::services::content::v1::{ReadContentRequest, ReadContentResponse};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio_util::io::ReaderStream;
use tonic::Status;

use crate::session::unwritten::Unwritten;

/// Bytes per message when reading.
const CHUNK: usize = 256 << 10;

#[derive(Clone, Debug)]
pub(super) struct Store {
    folder: Arc<Path>,
    /// Sizes of blobs that are elsewhere: they needn't be written.
    held: Arc<BTreeMap<String, u64>>,
    pub(super) unwritten: Unwritten,
}

impl Store {
    pub(super) fn new(folder: PathBuf, held: BTreeMap<String, u64>, unwritten: Unwritten) -> Self {
        Self {
            folder: folder.into(),
            held: held.into(),
            unwritten,
        }
    }

    /// The folder of the blobs with the usual algorithm.
    pub(super) fn blobs(&self) -> PathBuf {
        self.folder.join("blobs/sha256")
    }

    /// A blob's file. The digest comes from the builder, so it is checked: it
    /// must not lead out of the folder.
    pub(super) fn blob(&self, digest: &str) -> Result<PathBuf, Status> {
        let bad = || Status::invalid_argument(format!("`{digest}` is no digest"));
        let (algorithm, hex) = digest.split_once(':').ok_or_else(bad)?;
        let plain = |text: &str| {
            !text.is_empty()
                && text
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        };
        if !plain(algorithm) || !plain(hex) {
            return Err(bad());
        }
        Ok(self.folder.join("blobs").join(algorithm).join(hex))
    }

    pub(super) async fn size(&self, digest: &str) -> Result<u64, Status> {
        let path = self.blob(digest)?;
        if let Some(size) = self.held.get(digest) {
            return Ok(*size);
        }
        match tokio::fs::metadata(&path).await {
            Ok(meta) => Ok(meta.len()),
            Err(e) => Err(not_readable(&path, digest, &e)),
        }
    }

    /// All blobs with their sizes.
    pub(super) async fn list(&self) -> Result<Vec<(String, u64)>, Status> {
        let mut blobs = Vec::new();
        let mut entries = match tokio::fs::read_dir(self.blobs()).await {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(blobs),
            Err(e) => return Err(Status::internal(e.to_string())),
        };
        while let Ok(Some(entry)) = entries.next_entry().await {
            if let (Some(name), Ok(meta)) = (entry.file_name().to_str(), entry.metadata().await)
                && name.len() == 64
            {
                blobs.push((format!("sha256:{name}"), meta.len()));
            }
        }
        blobs.sort();
        Ok(blobs)
    }

    pub(super) async fn read(
        &self,
        request: &ReadContentRequest,
    ) -> Result<impl Stream<Item = Result<ReadContentResponse, Status>> + Send + use<>, Status>
    {
        let digest = &request.digest;
        let path = self.blob(digest)?;
        let mut file = File::open(&path)
            .await
            .map_err(|e| not_readable(&path, digest, &e))?;
        let size = file
            .metadata()
            .await
            .map_err(|e| not_readable(&path, digest, &e))?
            .len();
        let start = request.offset.max(0) as u64;
        if start > size {
            return Err(Status::out_of_range(format!(
                "{digest} has {size} bytes, {start} is past them"
            )));
        }
        file.seek(SeekFrom::Start(start))
            .await
            .map_err(|e| not_readable(&path, digest, &e))?;
        let wanted = match request.size {
            ..=0 => size - start,
            n => (n as u64).min(size - start),
        };
        let chunks = ReaderStream::with_capacity(file.take(wanted), CHUNK);
        Ok(chunks
            .map_err(move |e| Status::data_loss(format!("{}: {e}", path.display())))
            .scan(0, |sent, chunk| {
                let response = chunk.map(|data| {
                    let offset = *sent;
                    *sent += data.len() as i64;
                    ReadContentResponse { offset, data }
                });
                std::future::ready(Some(response))
            })
            .chain(stream::empty()))
    }
}

fn not_readable(path: &Path, digest: &str, error: &std::io::Error) -> Status {
    match error.kind() {
        std::io::ErrorKind::NotFound => Status::not_found(format!("content {digest}: not found")),
        _ => Status::unavailable(format!("{}: {error}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_can_not_lead_out() {
        let store = Store::new("/layout".into(), BTreeMap::new(), Unwritten::default());
        for bad in [
            "sha256:../../etc/passwd",
            "sha256:",
            "..:aa",
            "aa",
            "sha256:A/b",
        ] {
            assert!(store.blob(bad).is_err(), "{bad}");
        }
        assert_eq!(
            store.blob("sha256:aa").unwrap(),
            Path::new("/layout/blobs/sha256/aa")
        );
    }

    #[tokio::test]
    async fn ranges_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path().into(), BTreeMap::new(), Unwritten::default());
        std::fs::create_dir_all(store.blobs()).unwrap();
        std::fs::write(store.blob("sha256:aa").unwrap(), "0123456789").unwrap();
        let read = async |offset, size| {
            let request = ReadContentRequest {
                digest: "sha256:aa".into(),
                offset,
                size,
            };
            let chunks: Vec<_> = store
                .read(&request)
                .await
                .unwrap()
                .try_collect()
                .await
                .unwrap();
            let text: Vec<u8> = chunks.iter().flat_map(|c| c.data.to_vec()).collect();
            String::from_utf8(text).unwrap()
        };
        assert_eq!(read(0, 0).await, "0123456789");
        assert_eq!(read(3, 4).await, "3456");
        assert_eq!(read(8, 100).await, "89");
        assert_eq!(read(10, 0).await, "");
    }
}
