//! Writing one blob: into a temporary file, which takes its name only once
//! size and digest are right.

use std::io::Write as _;

use futures::StreamExt as _;
use mlbuild_proto::containerd::services::content::v1::{
    WriteAction, WriteContentRequest, WriteContentResponse,
};
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

use super::store::Store;

struct Writing {
    file: NamedTempFile,
    hash: Sha256,
    offset: i64,
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
            // Disk writes can block.
            state = tokio::task::spawn_blocking(move || state.append(&request.data))
                .await
                .map_err(|e| Status::internal(e.to_string()))??;
        }
        let mut answer = WriteContentResponse {
            action: action.into(),
            offset: state.offset,
            total,
            digest: state.digest(),
            ..Default::default()
        };
        if action == WriteAction::Commit {
            answer.digest = state.commit(store, total, &expected)?;
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

impl Writing {
    fn new(store: &Store) -> Result<Self, Status> {
        let folder = store.blobs();
        let file = std::fs::create_dir_all(&folder)
            .and_then(|()| {
                tempfile::Builder::new()
                    .prefix(".writing-")
                    .tempfile_in(&folder)
            })
            .map_err(|e| Status::unavailable(format!("{}: {e}", folder.display())))?;
        Ok(Self {
            file,
            hash: Sha256::new(),
            offset: 0,
        })
    }

    fn append(mut self, data: &[u8]) -> Result<Self, Status> {
        self.file
            .write_all(data)
            .map_err(|e| Status::unavailable(format!("{}: {e}", self.file.path().display())))?;
        self.hash.update(data);
        self.offset += data.len() as i64;
        Ok(self)
    }

    fn digest(&self) -> String {
        format!("sha256:{}", hex::encode(self.hash.clone().finalize()))
    }

    fn commit(self, store: &Store, total: i64, expected: &str) -> Result<String, Status> {
        let digest = self.digest();
        if total > 0 && total != self.offset {
            return Err(Status::failed_precondition(format!(
                "{} bytes were written, not {total}",
                self.offset
            )));
        }
        if !expected.is_empty() && expected != digest {
            return Err(Status::failed_precondition(format!(
                "what was written is {digest}, not {expected}"
            )));
        }
        let path = store.blob(&digest)?;
        let failed = |e: std::io::Error| Status::unavailable(format!("{}: {e}", path.display()));
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
