//! Forwards ssh agents into build steps. A step may list keys and have data
//! signed; it may not change the agent.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use bytes::{Bytes, BytesMut};
use futures::stream::{BoxStream, StreamExt as _};
use mlbuild_proto::moby::sshforward::v1::ssh_server;
use mlbuild_proto::moby::sshforward::v1::{BytesMessage, CheckAgentRequest, CheckAgentResponse};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::io::StreamReader;
use tonic::{Request, Response, Status, Streaming};

use super::SessionError;

/// What a Dockerfile means if it gives no id.
const DEFAULT_ID: &str = "default";
/// OpenSSH's own limit on an agent message. Bytes.
const MAX_MESSAGE: u32 = 256 << 10;

// Message numbers of the agent protocol (draft-ietf-sshm-ssh-agent).
const REQUEST_IDENTITIES: u8 = 11;
const SIGN_REQUEST: u8 = 13;
const FAILURE: u8 = 5;

/// An ssh agent's socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshSource {
    /// Path of the agent's socket, as in `SSH_AUTH_SOCK`.
    pub socket: PathBuf,
}

impl SshSource {
    pub(super) fn check(&self, id: &str) -> Result<(), SessionError> {
        use std::os::unix::fs::FileTypeExt as _;
        let reason = match std::fs::metadata(&self.socket) {
            Ok(meta) if meta.file_type().is_socket() => return Ok(()),
            Ok(_) => format!(
                "{} is no agent's socket; for a key file, start an agent and `ssh-add` the key",
                self.socket.display()
            ),
            Err(e) => format!("{}: {e}", self.socket.display()),
        };
        Err(SessionError::Ssh {
            id: id.to_string(),
            reason,
        })
    }
}

pub(super) struct Ssh {
    by_id: BTreeMap<String, SshSource>,
}

impl Ssh {
    pub(super) fn new(by_id: BTreeMap<String, SshSource>) -> Self {
        Self { by_id }
    }

    fn find(&self, id: &str) -> Result<&SshSource, Status> {
        let id = if id.is_empty() { DEFAULT_ID } else { id };
        self.by_id
            .get(id)
            .ok_or_else(|| Status::not_found(format!("no ssh agent `{id}` is forwarded")))
    }
}

#[tonic::async_trait]
impl ssh_server::Ssh for Ssh {
    async fn check_agent(
        &self,
        request: Request<CheckAgentRequest>,
    ) -> Result<Response<CheckAgentResponse>, Status> {
        self.find(&request.get_ref().id)?;
        Ok(Response::new(CheckAgentResponse {}))
    }

    type ForwardAgentStream = BoxStream<'static, Result<BytesMessage, Status>>;

    async fn forward_agent(
        &self,
        request: Request<Streaming<BytesMessage>>,
    ) -> Result<Response<Self::ForwardAgentStream>, Status> {
        let id = request.metadata().get("buildkit.ssh.id");
        let source = self.find(id.and_then(|v| v.to_str().ok()).unwrap_or_default())?;
        let agent = UnixStream::connect(&source.socket).await.map_err(|e| {
            Status::unavailable(format!("ssh agent {}: {e}", source.socket.display()))
        })?;
        let incoming = request.into_inner().map(|message| match message {
            Ok(message) => Ok(message.data),
            Err(status) => Err(io::Error::other(status)),
        });
        let (sender, receiver) = mpsc::channel(4);
        tokio::spawn(async move {
            // The step hanging up is the usual end.
            if let Err(e) = relay(StreamReader::new(incoming), agent, &sender).await
                && e.kind() != io::ErrorKind::UnexpectedEof
            {
                let _ = sender
                    .send(Err(Status::aborted(format!("ssh agent: {e}"))))
                    .await;
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver).boxed()))
    }
}

/// Takes one request after another, and answers each: from the agent, or with
/// a refusal.
async fn relay(
    mut step: impl AsyncRead + Unpin,
    mut agent: UnixStream,
    answers: &mpsc::Sender<Result<BytesMessage, Status>>,
) -> io::Result<()> {
    loop {
        let request = read_message(&mut step).await?;
        let answer = match request.get(4).copied() {
            Some(REQUEST_IDENTITIES | SIGN_REQUEST) => {
                agent.write_all(&request).await?;
                read_message(&mut agent).await?
            }
            _ => Bytes::from_static(&[0, 0, 0, 1, FAILURE]),
        };
        if answers
            .send(Ok(BytesMessage { data: answer }))
            .await
            .is_err()
        {
            return Ok(());
        }
    }
}

/// One message with its length prefix.
async fn read_message(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Bytes> {
    let length = from.read_u32().await?;
    if length > MAX_MESSAGE {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a message of {length} bytes"),
        ));
    }
    let mut message = BytesMut::zeroed(4 + length as usize);
    message[..4].copy_from_slice(&length.to_be_bytes());
    from.read_exact(&mut message[4..]).await?;
    Ok(message.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_listing_and_signing_reach_the_agent() {
        let (agent, mut agent_end) = UnixStream::pair().unwrap();
        let (sender, mut receiver) = mpsc::channel(4);
        // Remove all keys (19), then list them (11).
        let requests: &[u8] = &[0, 0, 0, 1, 19, 0, 0, 0, 1, 11];
        let relaying = tokio::spawn(async move { relay(requests, agent, &sender).await });

        let refused = receiver.recv().await.unwrap().unwrap();
        assert_eq!(&refused.data[..], [0, 0, 0, 1, FAILURE]);
        let mut seen = [0; 5];
        agent_end.read_exact(&mut seen).await.unwrap();
        assert_eq!(seen, [0, 0, 0, 1, REQUEST_IDENTITIES]);
        agent_end.write_all(&[0, 0, 0, 2, 12, 0]).await.unwrap();
        let listed = receiver.recv().await.unwrap().unwrap();
        assert_eq!(&listed.data[..], [0, 0, 0, 2, 12, 0]);
        let end = relaying.await.unwrap().unwrap_err();
        assert_eq!(end.kind(), io::ErrorKind::UnexpectedEof);
    }
}
