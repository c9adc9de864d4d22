//! Content-addressed stores in folders: OCI layouts that a build reads, and
//! folders that local caches and layouts are written to.

mod store;
mod write;

use std::collections::BTreeMap;
use std::path::PathBuf;

use futures::stream::{self, BoxStream, StreamExt as _};
use mlbuild_proto::containerd::services::content::v1::content_server;
use mlbuild_proto::containerd::services::content::v1::{
    AbortRequest, DeleteContentRequest, Info, InfoRequest, InfoResponse, ListContentRequest,
    ListContentResponse, ListStatusesRequest, ListStatusesResponse, ReadContentRequest,
    ReadContentResponse, StatusRequest, StatusResponse, UpdateRequest, UpdateResponse,
    WriteContentRequest, WriteContentResponse,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use super::SessionError;
use super::unwritten::Unwritten;
use store::Store;

/// What the session announces.
pub(super) const METHODS: [&str; 9] = [
    "/containerd.services.content.v1.Content/Info",
    "/containerd.services.content.v1.Content/Update",
    "/containerd.services.content.v1.Content/List",
    "/containerd.services.content.v1.Content/Delete",
    "/containerd.services.content.v1.Content/Read",
    "/containerd.services.content.v1.Content/Status",
    "/containerd.services.content.v1.Content/ListStatuses",
    "/containerd.services.content.v1.Content/Write",
    "/containerd.services.content.v1.Content/Abort",
];

/// The store that an `oci` export into a folder writes to.
pub(crate) const EXPORT: &str = "export";

/// Store folders by the id that the builder asks for: `oci:NAME`,
/// `local:DIR`, `export`.
#[derive(Debug, Default)]
pub(crate) struct Stores {
    folders: BTreeMap<String, PathBuf>,
    held: BTreeMap<String, u64>,
}

impl Stores {
    /// Serves the folder under `id`.
    pub(crate) fn add(&mut self, id: String, folder: PathBuf) {
        self.folders.insert(id, folder);
    }

    /// Blobs that [`EXPORT`] is said to have already: sizes in bytes by digest.
    pub(crate) fn hold(&mut self, held: BTreeMap<String, u64>) {
        self.held = held;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.folders.is_empty()
    }

    pub(super) fn check(&self) -> Result<(), SessionError> {
        for (id, path) in &self.folders {
            if id.starts_with("oci:") && !path.join("index.json").is_file() {
                return Err(SessionError::Folder {
                    what: format!("OCI layout `{}`", id.trim_start_matches("oci:")),
                    path: path.clone(),
                    reason: "no index.json in it, so it is no OCI layout".to_string(),
                });
            }
        }
        Ok(())
    }
}

pub(super) struct Content {
    stores: BTreeMap<String, Store>,
}

impl Content {
    pub(super) fn new(stores: Stores, unwritten: &Unwritten) -> Self {
        let Stores { folders, mut held } = stores;
        let open = |(id, folder): (String, PathBuf)| {
            let held = match id.as_str() {
                EXPORT => std::mem::take(&mut held),
                _ => BTreeMap::new(),
            };
            (id, Store::new(folder, held, unwritten.clone()))
        };
        Self {
            stores: folders.into_iter().map(open).collect(),
        }
    }

    fn choose(&self, metadata: &MetadataMap) -> Result<&Store, Status> {
        let id = metadata
            .get("buildkit-attachable-store-id")
            .and_then(|id| id.to_str().ok())
            .ok_or_else(|| Status::invalid_argument("the request names no store"))?;
        self.stores
            .get(id)
            .ok_or_else(|| Status::not_found(format!("unknown store {id}")))
    }
}

fn info(digest: String, size: u64) -> Info {
    Info {
        digest,
        size: size as i64,
        ..Default::default()
    }
}

#[tonic::async_trait]
impl content_server::Content for Content {
    async fn info(&self, request: Request<InfoRequest>) -> Result<Response<InfoResponse>, Status> {
        let store = self.choose(request.metadata())?;
        let digest = request.into_inner().digest;
        let size = store.size(&digest).await?;
        Ok(Response::new(InfoResponse {
            info: Some(info(digest, size)),
        }))
    }

    async fn update(
        &self,
        request: Request<UpdateRequest>,
    ) -> Result<Response<UpdateResponse>, Status> {
        let store = self.choose(request.metadata())?;
        let wanted = request.into_inner().info.unwrap_or_default();
        // Labels are for a garbage collector, which a folder has none of.
        let size = store.size(&wanted.digest).await?;
        let answer = Info {
            labels: wanted.labels,
            ..info(wanted.digest, size)
        };
        Ok(Response::new(UpdateResponse { info: Some(answer) }))
    }

    type ListStream = BoxStream<'static, Result<ListContentResponse, Status>>;

    async fn list(
        &self,
        request: Request<ListContentRequest>,
    ) -> Result<Response<Self::ListStream>, Status> {
        let store = self.choose(request.metadata())?;
        let all = store.list().await?;
        let infos = all.into_iter().map(|(digest, size)| info(digest, size));
        let answer = ListContentResponse {
            info: infos.collect(),
        };
        Ok(Response::new(stream::iter([Ok(answer)]).boxed()))
    }

    async fn delete(&self, request: Request<DeleteContentRequest>) -> Result<Response<()>, Status> {
        self.choose(request.metadata())?;
        Err(Status::permission_denied("the builder may not delete here"))
    }

    type ReadStream = BoxStream<'static, Result<ReadContentResponse, Status>>;

    async fn read(
        &self,
        request: Request<ReadContentRequest>,
    ) -> Result<Response<Self::ReadStream>, Status> {
        let store = self.choose(request.metadata())?;
        Ok(Response::new(store.read(request.get_ref()).await?.boxed()))
    }

    async fn status(
        &self,
        request: Request<StatusRequest>,
    ) -> Result<Response<StatusResponse>, Status> {
        self.choose(request.metadata())?;
        // A write is one call here; a broken one leaves nothing to go on from.
        Err(Status::not_found(format!(
            "no unfinished write {}",
            request.get_ref().r#ref
        )))
    }

    async fn list_statuses(
        &self,
        request: Request<ListStatusesRequest>,
    ) -> Result<Response<ListStatusesResponse>, Status> {
        self.choose(request.metadata())?;
        Ok(Response::new(ListStatusesResponse::default()))
    }

    type WriteStream = BoxStream<'static, Result<WriteContentResponse, Status>>;

    async fn write(
        &self,
        request: Request<Streaming<WriteContentRequest>>,
    ) -> Result<Response<Self::WriteStream>, Status> {
        let store = self.choose(request.metadata())?.clone();
        let (sender, receiver) = mpsc::channel(4);
        tokio::spawn(async move {
            if let Err(status) = write::serve(&store, request.into_inner(), &sender).await {
                let _ = sender.send(Err(status)).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver).boxed()))
    }

    async fn abort(&self, request: Request<AbortRequest>) -> Result<Response<()>, Status> {
        self.choose(request.metadata())?;
        Ok(Response::new(()))
    }
}
