//! Results of a build, as the builder sends them: one file, or a tree. Both
//! come through the same method with different messages, so this server reads
//! raw bytes and decodes by the exporter that sends.

mod codec;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt as _};
use mlbuild_proto::fsutil::types::Packet;
use mlbuild_proto::moby::filesync::v1::BytesMessage;
use prost::Message as _;
use tempfile::NamedTempFile;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataMap;
use tonic::server::{NamedService, StreamingService};
use tonic::{Request, Response, Status, Streaming};

use super::unwritten::Unwritten;
use crate::fsutil::{self, FsError};
use crate::unfinished;
use crate::wire::MAX_MESSAGE;
use codec::RawCodec;

/// Where an export's result goes.
pub enum ExportTarget {
    /// Into a folder, which is made if it isn't there: the tree of a `local`
    /// export, or the OCI layout of an `oci` or `docker` export.
    Dir(PathBuf),
    /// Into a file, which appears once the whole build has succeeded.
    File(PathBuf),
    /// Into a writer, which is shut down after the last byte.
    Writer(Box<dyn AsyncWrite + Send + Unpin>),
}

impl std::fmt::Debug for ExportTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dir(path) => f.debug_tuple("Dir").field(path).finish(),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Writer(_) => f.write_str("Writer"),
        }
    }
}

/// Targets by the exporter's place in the request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Targets {
    waiting: Arc<Mutex<BTreeMap<usize, ExportTarget>>>,
    written: Arc<Mutex<Vec<(NamedTempFile, PathBuf)>>>,
    unwritten: Unwritten,
}

impl Targets {
    pub(crate) fn add(&self, exporter: usize, target: ExportTarget) {
        lock(&self.waiting).insert(exporter, target);
    }

    /// What couldn't be written.
    pub(crate) fn unwritten(&self) -> &Unwritten {
        &self.unwritten
    }

    pub(super) fn is_empty(&self) -> bool {
        lock(&self.waiting).is_empty()
    }

    /// Gives the files that were written their names. Without this call they
    /// vanish.
    pub(crate) fn commit(&self) -> Result<(), (PathBuf, std::io::Error)> {
        for (file, path) in lock(&self.written).drain(..) {
            file.persist(&path).map_err(|e| (path, e.error))?;
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

/// The `moby.filesync.v1.FileSend` service.
#[derive(Clone)]
pub(super) struct FileSend {
    targets: Targets,
}

impl FileSend {
    pub(super) fn new(targets: Targets) -> Self {
        Self { targets }
    }

    async fn receive(self, request: Request<Streaming<Bytes>>) -> Result<RawResponse, Status> {
        let exporter = exporter_id(request.metadata());
        let target = {
            let mut waiting = lock(&self.targets.waiting);
            match waiting.get(&exporter) {
                // A build for several platforms sends one tree for each.
                Some(ExportTarget::Dir(path)) => ExportTarget::Dir(path.clone()),
                Some(_) => waiting.remove(&exporter).expect("it was there"),
                None => {
                    return Err(Status::not_found(format!(
                        "nothing waits for the result of exporter {exporter}"
                    )));
                }
            }
        };
        let messages = request.into_inner();
        match target {
            ExportTarget::Dir(path) => {
                let unwritten = self.targets.unwritten.clone();
                Ok(receive_tree(path, messages, unwritten))
            }
            ExportTarget::Writer(writer) => {
                copy(messages, writer).await?;
                Ok(nothing())
            }
            ExportTarget::File(path) if is_special(&path) => {
                let failed =
                    |e: std::io::Error| Status::aborted(format!("{}: {e}", path.display()));
                let to = tokio::fs::OpenOptions::new().write(true).open(&path).await;
                copy(messages, to.map_err(failed)?).await?;
                Ok(nothing())
            }
            ExportTarget::File(path) => {
                // Through a symbolic link, so that the link itself stays.
                let path = std::fs::canonicalize(&path).unwrap_or(path);
                let file = self.receive_file(&path, messages).await?;
                lock(&self.targets.written).push((file, path));
                Ok(nothing())
            }
        }
    }

    async fn receive_file(
        &self,
        path: &Path,
        messages: Streaming<Bytes>,
    ) -> Result<NamedTempFile, Status> {
        let failed = |e: std::io::Error| self.targets.unwritten.status(path, e);
        // In the same folder, so that renaming it is one step.
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        std::fs::create_dir_all(folder).map_err(failed)?;
        let file = unfinished::file_in(folder).map_err(failed)?;
        let writer = tokio::fs::File::from_std(file.reopen().map_err(failed)?);
        copy_to(messages, writer, failed).await?;
        Ok(file)
    }
}

/// True for a device or pipe, such as `/dev/null`: it is written to and never replaced.
fn is_special(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir())
}

type RawResponse = Response<BoxStream<'static, Result<Bytes, Status>>>;

fn nothing() -> RawResponse {
    Response::new(stream::empty().boxed())
}

fn exporter_id(metadata: &MetadataMap) -> usize {
    metadata
        .get("buildkit-attachable-exporter-id")
        .and_then(|id| id.to_str().ok()?.parse().ok())
        // Daemons before 0.13 know one exporter only.
        .unwrap_or(0)
}

async fn copy(messages: Streaming<Bytes>, to: impl AsyncWrite + Unpin) -> Result<(), Status> {
    let failed = |e: std::io::Error| Status::aborted(format!("the result can't be written: {e}"));
    copy_to(messages, to, failed).await
}

async fn copy_to(
    mut messages: Streaming<Bytes>,
    mut to: impl AsyncWrite + Unpin,
    failed: impl Fn(std::io::Error) -> Status,
) -> Result<(), Status> {
    while let Some(message) = messages.next().await {
        let message = BytesMessage::decode(message?).map_err(undecodable)?;
        to.write_all(&message.data).await.map_err(&failed)?;
    }
    to.shutdown().await.map_err(failed)
}

fn receive_tree(path: PathBuf, messages: Streaming<Bytes>, unwritten: Unwritten) -> RawResponse {
    let inbound = messages.map(|message| Packet::decode(message?).map_err(undecodable));
    let (sender, receiver) = mpsc::channel(32);
    let (ended, end) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let result = fsutil::receive(&path, Arc::default(), inbound, sender).await;
        let status = |error| match error {
            FsError::Io { path, source, .. } if source.kind() == ErrorKind::StorageFull => {
                unwritten.status(Path::new(&path), source)
            }
            error => Status::aborted(error.to_string()),
        };
        let _ = ended.send(result.map_err(status));
    });
    let packets = ReceiverStream::new(receiver).map(|p: Packet| Ok(Bytes::from(p.encode_to_vec())));
    // The call must not end well if the tree couldn't be written.
    let last = stream::once(end).filter_map(|end| {
        std::future::ready(match end {
            Ok(Ok(_)) => None,
            Ok(Err(status)) => Some(Err(status)),
            Err(_) => Some(Err(Status::aborted("the tree wasn't written"))),
        })
    });
    Response::new(packets.chain(last).boxed())
}

fn undecodable(error: prost::DecodeError) -> Status {
    Status::invalid_argument(format!("a message that can't be decoded: {error}"))
}

impl NamedService for FileSend {
    const NAME: &'static str = "moby.filesync.v1.FileSend";
}

impl StreamingService<Bytes> for FileSend {
    type Response = Bytes;
    type ResponseStream = BoxStream<'static, Result<Bytes, Status>>;
    type Future = BoxFuture<'static, Result<RawResponse, Status>>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        Box::pin(self.clone().receive(request))
    }
}

impl<B> tower::Service<http::Request<B>> for FileSend
where
    B: http_body::Body + Send + 'static,
    B::Error: Into<tonic::codegen::StdError> + Send + 'static,
{
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move {
            if !request
                .uri()
                .path()
                .eq_ignore_ascii_case("/moby.filesync.v1.FileSend/DiffCopy")
            {
                return Ok(Status::unimplemented("FileSend has only DiffCopy").into_http());
            }
            let mut grpc = tonic::server::Grpc::new(RawCodec)
                .max_decoding_message_size(MAX_MESSAGE)
                .max_encoding_message_size(MAX_MESSAGE);
            Ok(grpc.streaming(service, request).await)
        })
    }
}
