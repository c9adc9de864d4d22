//! Streams that the builder reads once, such as a tar context on stdin.

use std::collections::BTreeMap;
use std::sync::Mutex;

use futures::stream::{BoxStream, StreamExt as _};
use mlbuild_proto::moby::upload::v1::{BytesMessage, upload_server};
use tokio::io::AsyncRead;
use tokio_util::io::ReaderStream;
use tonic::{Request, Response, Status, Streaming};

use super::new_id;

/// Bytes per message.
const CHUNK: usize = 256 << 10;

type Reader = Box<dyn AsyncRead + Send + Unpin>;

/// The streams by their id.
#[derive(Default)]
pub(super) struct Uploads(BTreeMap<String, Reader>);

impl std::fmt::Debug for Uploads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Uploads {
    /// Returns the URL that the builder takes for the stream. Its host is a
    /// name that frontends know.
    pub(super) fn add(&mut self, reader: Reader) -> String {
        let id = new_id();
        let url = format!("http://buildkit-session/{id}");
        self.0.insert(id, reader);
        url
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

pub(super) struct Upload {
    uploads: Mutex<Uploads>,
}

impl Upload {
    pub(super) fn new(uploads: Uploads) -> Self {
        Self {
            uploads: Mutex::new(uploads),
        }
    }
}

#[tonic::async_trait]
impl upload_server::Upload for Upload {
    type PullStream = BoxStream<'static, Result<BytesMessage, Status>>;

    async fn pull(
        &self,
        request: Request<Streaming<BytesMessage>>,
    ) -> Result<Response<Self::PullStream>, Status> {
        let path = request.metadata().get("urlpath");
        let path = path.and_then(|p| p.to_str().ok()).unwrap_or_default();
        let id = path.rsplit('/').next().unwrap_or_default();
        let reader = {
            let mut uploads = self.uploads.lock().unwrap_or_else(|e| e.into_inner());
            uploads.0.remove(id)
        };
        let reader = reader.ok_or_else(|| {
            Status::not_found(format!(
                "nothing to upload for `{path}`, or it was read before"
            ))
        })?;
        let messages = ReaderStream::with_capacity(reader, CHUNK).map(|chunk| match chunk {
            Ok(data) => Ok(BytesMessage { data }),
            Err(e) => Err(Status::aborted(format!("the upload can't be read: {e}"))),
        });
        Ok(Response::new(messages.boxed()))
    }
}
