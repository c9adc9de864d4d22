//! The session's transport: an HTTP/2 connection whose bytes travel as
//! messages of one `Control.Session` call.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use futures::Stream as _;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use mlbuild_proto::moby::buildkit::v1::BytesMessage;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::PollSender;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::Channel;
use tonic::{Request, Streaming};

use super::{Session, SessionError, Targets};
use crate::client::{CONNECTION_WINDOW, MAX_HEADERS, STREAM_WINDOW, control};
use crate::error::status_text;

/// Largest message that we put into the tunnel. Bytes.
const MAX_CHUNK: usize = 64 << 10;
/// Messages in the tunnel that the connection hasn't taken yet: with
/// `MAX_CHUNK` this bounds the memory for data on its way out.
const IN_FLIGHT: usize = 16;

/// A session that the builder can use. Ends when dropped.
pub(crate) struct RunningSession {
    server: JoinHandle<String>,
}

impl Drop for RunningSession {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl RunningSession {
    /// Waits until the session breaks, and says why.
    pub(crate) async fn broken(&mut self) -> String {
        match (&mut self.server).await {
            Ok(reason) => reason,
            Err(error) => error.to_string(),
        }
    }

    /// Opens the tunnel and serves on it.
    pub(crate) async fn start(
        session: Session,
        targets: Targets,
        channel: &Channel,
    ) -> Result<Self, SessionError> {
        let id = session.id().to_string();
        let shared_key = session.shared_key().to_string();
        let (routes, methods) = session.into_routes(targets);

        let (sender, receiver) = mpsc::channel(IN_FLIGHT);
        let mut request = Request::new(ReceiverStream::new(receiver));
        let metadata = request.metadata_mut();
        let ascii = |text: &str| {
            AsciiMetadataValue::try_from(text)
                .map_err(|_| SessionError::Refused(format!("`{text}` is no header value")))
        };
        // Written as literals: metadata keys must be lower-case.
        metadata.insert("x-docker-expose-session-uuid", ascii(&id)?);
        metadata.insert("x-docker-expose-session-sharedkey", ascii(&shared_key)?);
        for method in methods {
            metadata.append("x-docker-expose-session-grpc-method", ascii(method)?);
        }

        let channel = channel.clone();
        let server = tokio::spawn(async move {
            // The call answers only once the builder speaks, so it can't be
            // waited for before the solve that makes the builder speak.
            match control(&channel).session(request).await {
                Ok(answer) => {
                    let tunnel = Tunnel {
                        received: answer.into_inner(),
                        current: Bytes::new(),
                        sender: PollSender::new(sender),
                    };
                    let served = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                        .initial_stream_window_size(STREAM_WINDOW)
                        .initial_connection_window_size(CONNECTION_WINDOW)
                        .max_header_list_size(MAX_HEADERS)
                        .serve_connection(TokioIo::new(tunnel), TowerToHyperService::new(routes))
                        .await;
                    match served {
                        Ok(()) => "the builder ended the session".to_string(),
                        Err(error) => error.to_string(),
                    }
                }
                Err(status) => status_text(&status),
            }
        });
        Ok(Self { server })
    }
}

/// Both directions of one `Control.Session` call as a byte stream.
struct Tunnel {
    received: Streaming<BytesMessage>,
    current: Bytes,
    sender: PollSender<BytesMessage>,
}

fn broken(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, error)
}

impl AsyncRead for Tunnel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.current.is_empty() {
            match ready!(Pin::new(&mut self.received).poll_next(cx)) {
                Some(Ok(message)) => self.current = message.data,
                Some(Err(status)) => return Poll::Ready(Err(broken(status))),
                None => return Poll::Ready(Ok(())),
            }
        }
        let n = self.current.len().min(buf.remaining());
        buf.put_slice(&self.current[..n]);
        self.current.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.sender.poll_reserve(cx)).map_err(broken)?;
        let total: usize = bufs.iter().map(|b| b.len()).sum();
        let mut data = BytesMut::with_capacity(total.min(MAX_CHUNK));
        for buf in bufs {
            let room = MAX_CHUNK - data.len();
            data.extend_from_slice(&buf[..buf.len().min(room)]);
        }
        let n = data.len();
        if n > 0 {
            let message = BytesMessage {
                data: data.freeze(),
            };
            self.sender.send_item(message).map_err(broken)?;
        }
        Poll::Ready(Ok(n))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The call sends messages as they come.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.sender.close();
        Poll::Ready(Ok(()))
    }
}
