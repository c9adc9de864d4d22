//! The session's transport: an HTTP/2 connection, to Docker on a socket of its
//! own, else one whose bytes travel as messages of one `Control.Session` call.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use futures::Stream as _;
use http::{HeaderMap, HeaderValue};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use mlbuild_proto::moby::buildkit::v1::BytesMessage;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::PollSender;
use tonic::metadata::MetadataMap;
use tonic::service::Routes;
use tonic::transport::Channel;
use tonic::{Request, Streaming};

use super::{Session, SessionError, Targets};
use crate::client::{CONNECTION_WINDOW, Client, MAX_HEADERS, STREAM_WINDOW, control};
use crate::status::status_text;
use crate::transport::DockerDialer;

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

    /// Opens a way for the builder's calls and serves on it.
    ///
    /// A Docker daemon that has a door for sessions gets them there: within a call they
    /// would be HTTP/2 in HTTP/2, which takes half as long again for a large context.
    pub(crate) fn start(
        session: Session,
        targets: Targets,
        client: &Client,
    ) -> Result<Self, SessionError> {
        let mut headers = HeaderMap::new();
        let value = |text: &str| {
            HeaderValue::from_str(text)
                .map_err(|_| SessionError::Refused(format!("`{text}` is no header value")))
        };
        headers.insert("x-docker-expose-session-uuid", value(session.id())?);
        let shared_key = value(session.shared_key())?;
        headers.insert("x-docker-expose-session-sharedkey", shared_key);
        let (routes, methods) = session.into_routes(targets);
        for method in methods {
            headers.append("x-docker-expose-session-grpc-method", value(method)?);
        }
        let server = match client.session_door() {
            Some(door) => tokio::spawn(through_door(door, headers, routes)),
            None => tokio::spawn(through_call(client.channel(), headers, routes)),
        };
        Ok(Self { server })
    }
}

/// Serves on a connection of its own; returns why that ended.
async fn through_door(door: DockerDialer, headers: HeaderMap, routes: Routes) -> String {
    match door.session(headers).await {
        Ok(io) => serve(io, routes).await,
        Err(error) => error.to_string(),
    }
}

/// Serves within a call; returns why that ended.
async fn through_call(channel: Channel, headers: HeaderMap, routes: Routes) -> String {
    let (sender, receiver) = mpsc::channel(IN_FLIGHT);
    let mut request = Request::new(ReceiverStream::new(receiver));
    *request.metadata_mut() = MetadataMap::from_headers(headers);
    // The call answers only once the builder speaks, so it can't be
    // waited for before the solve that makes the builder speak.
    match control(&channel).session(request).await {
        Ok(answer) => {
            let tunnel = Tunnel {
                received: answer.into_inner(),
                current: Bytes::new(),
                sender: PollSender::new(sender),
            };
            serve(tunnel, routes).await
        }
        Err(status) => status_text(&status),
    }
}

async fn serve(io: impl AsyncRead + AsyncWrite + Unpin + 'static, routes: Routes) -> String {
    let served = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(MAX_HEADERS)
        .serve_connection(TokioIo::new(io), TowerToHyperService::new(routes))
        .await;
    match served {
        Ok(()) => "the builder ended the session".to_string(),
        Err(error) => error.to_string(),
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
