//! Folders by name. The builder asks for one with patterns; what is selected
//! goes out as fsutil packets.

use std::collections::BTreeMap;
use std::path::PathBuf;

use futures::stream::{BoxStream, StreamExt as _};
use mlbuild_proto::fsutil::types::Packet;
use mlbuild_proto::moby::filesync::v1::file_sync_server;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{KeyAndValueRef, MetadataMap};
use tonic::{Request, Response, Status, Streaming};

use super::SessionError;
use crate::fsutil::{self, Selection, SendOptions, Source};

/// Packets that the connection hasn't taken yet. With 64 KiB each this bounds
/// the memory for content on its way out.
const IN_FLIGHT: usize = 32;

/// What is served under one name.
#[derive(Clone, Debug)]
pub enum LocalSource {
    /// A folder on disk.
    Dir {
        /// Its path.
        path: PathBuf,
        /// What to make equal on the way out, and where to count.
        options: SendOptions,
    },
    /// Files made up on the spot, by path; all are 0644.
    Memory(BTreeMap<String, Vec<u8>>),
}

impl LocalSource {
    /// A folder, sent as it is.
    pub fn dir(path: impl Into<PathBuf>) -> Self {
        Self::Dir {
            path: path.into(),
            options: SendOptions::default(),
        }
    }

    pub(super) fn check(&self, name: &str) -> Result<(), SessionError> {
        let Self::Dir { path, .. } = self else {
            return Ok(());
        };
        let reason = match std::fs::metadata(path) {
            Ok(meta) if meta.is_dir() => return Ok(()),
            Ok(_) => "not a folder".to_string(),
            Err(e) => e.to_string(),
        };
        Err(SessionError::Folder {
            what: format!("the folder for `{name}`,"),
            path: path.clone(),
            reason,
        })
    }

    fn to_source(&self) -> (Source, SendOptions) {
        match self {
            Self::Dir { path, options } => (Source::Folder(path.clone()), options.clone()),
            Self::Memory(files) => {
                let files = files.iter().map(|(p, c)| (p.clone(), c.clone().into()));
                (Source::Files(files.collect()), SendOptions::default())
            }
        }
    }
}

pub(super) struct FileSync {
    locals: BTreeMap<String, LocalSource>,
}

impl FileSync {
    pub(super) fn new(locals: BTreeMap<String, LocalSource>) -> Self {
        Self { locals }
    }
}

#[tonic::async_trait]
impl file_sync_server::FileSync for FileSync {
    type DiffCopyStream = BoxStream<'static, Result<Packet, Status>>;

    async fn diff_copy(
        &self,
        request: Request<Streaming<Packet>>,
    ) -> Result<Response<Self::DiffCopyStream>, Status> {
        let headers = ascii_headers(request.metadata());
        let name = headers
            .iter()
            .find(|(key, _)| *key == "dir-name")
            .map_or("", |(_, value)| *value);
        let local = self
            .locals
            .get(name)
            .ok_or_else(|| Status::not_found(format!("no access allowed to dir {name:?}")))?;
        let selection = Selection::from_headers(headers.iter().copied());
        let (source, options) = local.to_source();

        let (sender, receiver) = mpsc::channel(IN_FLIGHT);
        let inbound = request.into_inner();
        tokio::spawn(async move {
            // A failure reaches the builder as a packet, and comes back as
            // the solve's error.
            let _ = fsutil::send(source, &selection, options, inbound, sender).await;
        });
        Ok(Response::new(ReceiverStream::new(receiver).map(Ok).boxed()))
    }
}

fn ascii_headers(metadata: &MetadataMap) -> Vec<(&str, &str)> {
    let pair = |entry| match entry {
        KeyAndValueRef::Ascii(key, value) => Some((key, value)),
        KeyAndValueRef::Binary(..) => None,
    };
    metadata
        .iter()
        .filter_map(pair)
        .filter_map(|(key, value)| Some((key.as_str(), value.to_str().ok()?)))
        .collect()
}
