//! Writing one blob: into a temporary file, which takes its name only once
//! size and digest are right. A thread of its own hashes and writes, while the
//! builder sends what is next.

use std::io::{self, Write as _};
use std::path::PathBuf;

use bytes::Bytes;
use futures::StreamExt as _;
use mlbuild_proto::containerd::services::content::v1::{
    WriteAction, WriteContentRequest, WriteContentResponse,
};
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tonic::{Status, Streaming};

use super::store::Store;
use crate::unfinished;

/// Messages that wait for the disk. A builder's are of up to 1 MiB.
const IN_FLIGHT: usize = 8;

struct Writing {
    data: mpsc::Sender<Bytes>,
    written: JoinHandle<io::Result<Written>>,
    path: PathBuf,
    offset: i64,
}

/// All that was sent.
struct Written {
    file: NamedTempFile,
    digest: String,
}

/// Answers the messages of one write call.
pub(super) async fn serve(
    store: &Store,
    mut requests: Streaming<WriteContentRequest>,
    answers: &mpsc::Sender<Result<WriteContentResponse, Status>>,
) -> Result<(), Status> {
    let mut writing = None;
    let mut total = 0;
    let mut expected = String::new();
    while let Some(request) = requests.next().await {
        let request = request?;
        if !request.expected.is_empty() {
            expected.clone_from(&request.expected);
            if store.size(&expected).await.is_ok() {
                return Err(Status::already_exists(format!("content {expected} exists")));
            }
        }
        if request.total > 0 {
            total = request.total;
        }
        let action = request.action();
        let mut state = match writing.take() {
            Some(state) => state,
            None => Writing::new(store)?,
        };
        if action != WriteAction::Stat {
            if request.offset != state.offset {
                return Err(Status::out_of_range(format!(
                    "a write at {} while {} bytes are there",
                    request.offset, state.offset
                )));
            }
            state.offset += request.data.len() as i64;
            if state.data.send(request.data).await.is_err() {
                // The thread ends early only where it can't write.
                return Err(state.finish(store).await.err().unwrap_or_else(gone));
            }
        }
        let mut answer = WriteContentResponse {
            action: action.into(),
            offset: state.offset,
            total,
            ..Default::default()
        };
        if action == WriteAction::Commit {
            let size = state.offset;
            let written = state.finish(store).await?;
            answer.digest = written.commit(store, size, total, &expected)?;
            let _ = answers.send(Ok(answer)).await;
            return Ok(());
        }
        writing = Some(state);
        if answers.send(Ok(answer)).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

fn gone() -> Status {
    Status::internal("the thread that writes has ended")
}

impl Writing {
    fn new(store: &Store) -> Result<Self, Status> {
        let folder = store.blobs();
        let file = std::fs::create_dir_all(&folder)
            .and_then(|()| unfinished::file_in(&folder))
            .map_err(|e| store.unwritten.status(&folder, e))?;
        let path = file.path().to_owned();
        let (data, received) = mpsc::channel(IN_FLIGHT);
        Ok(Self {
            data,
            written: tokio::task::spawn_blocking(move || write(file, received)),
            path,
            offset: 0,
        })
    }

    /// Waits until all is on the disk.
    async fn finish(self, store: &Store) -> Result<Written, Status> {
        drop(self.data);
        let written = self.written.await.map_err(|_| gone())?;
        written.map_err(|e| store.unwritten.status(&self.path, e))
    }
}

fn write(mut file: NamedTempFile, mut received: mpsc::Receiver<Bytes>) -> io::Result<Written> {
    let mut hash = Sha256::new();
    while let Some(data) = received.blocking_recv() {
        file.as_file_mut().write_all(&data)?;
        hash.update(&data);
    }
    let digest = format!("sha256:{}", hex::encode(hash.finalize()));
    Ok(Written { file, digest })
}

impl Written {
    fn commit(
        self,
        store: &Store,
        size: i64,
        total: i64,
        expected: &str,
    ) -> Result<String, Status> {
        if total > 0 && total != size {
            return Err(Status::failed_precondition(format!(
                "{size} bytes were written, not {total}"
            )));
        }
        let digest = self.digest;
        if !expected.is_empty() && expected != digest {
            return Err(Status::failed_precondition(format!(
                "what was written is {digest}, not {expected}"
            )));
        }
        let path = store.blob(&digest)?;
        let failed = |e: std::io::Error| store.unwritten.status(&path, e);
        // Temporary files are for their owner only; blobs are for everybody.
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        self.file
            .as_file()
            .set_permissions(permissions)
            .map_err(failed)?;
        self.file.persist(&path).map_err(|e| failed(e.error))?;
        Ok(digest)
    }
}
