//! The frontend's side of one build, which a client may take: it has frontends build targets, looks
//! into what they made, and says which of them is the result.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use mlbuild_proto::google::rpc;
use mlbuild_proto::moby::buildkit::v1::frontend::llb_bridge_client::LlbBridgeClient;
use mlbuild_proto::moby::buildkit::v1::frontend::{
    self as gateway, PingRequest, ReadFileRequest, ReturnRequest, StatFileRequest, result,
};
use mlbuild_proto::moby::buildkit::v1::{SolveRequest, SolveResponse};
use prost::Message as _;
use tonic::{Request, Response, Status};

use crate::client::Client;
use crate::wire::{DOCKERFILE_FRONTEND, MAX_MESSAGE};

/// How long the daemon may take to know of a build that was just started.
const READY: Duration = Duration::from_secs(10);
/// How long it may take to end one that has failed.
const END: Duration = Duration::from_secs(10);

/// Runs a build whose frontend is `part`, which gives the result to export and what else it learned.
pub(crate) async fn build_with<T>(
    client: &Client,
    mut request: SolveRequest,
    part: impl AsyncFnOnce(&mut Bridge) -> Result<(gateway::Result, T), Status>,
) -> Result<(Response<SolveResponse>, T), Status> {
    let mut bridge = Bridge::new(client, &request.r#ref);
    // With no frontend named, the daemon waits for a client to be it.
    request.frontend.clear();
    let mut control = client.control();
    let mut whole = Box::pin(control.solve(request));
    let frontend = async {
        bridge.ready().await?;
        part(&mut bridge).await
    };
    let built = tokio::select! {
        built = frontend => built,
        ended = &mut whole => {
            ended?;
            return Err(Status::aborted("the daemon ended the build by itself"));
        }
    };
    match built {
        Ok((result, learned)) => {
            // What goes wrong with the first is told by the second.
            let (_, ended) = tokio::join!(bridge.give_back(Ok(result)), whole);
            Ok((ended?, learned))
        }
        Err(status) => {
            let ending = async { tokio::join!(bridge.give_back(Err(&status)), whole) };
            let _ = tokio::time::timeout(END, ending).await;
            Err(status)
        }
    }
}

/// A build whose frontend is this client. The daemon ends it once a result was given back.
pub(crate) struct Bridge {
    client: LlbBridgeClient<tonic::transport::Channel>,
    build: tonic::metadata::AsciiMetadataValue,
}

impl Bridge {
    /// The build that was, or will be, started under this reference.
    fn new(client: &Client, reference: &str) -> Self {
        Self {
            client: LlbBridgeClient::new(client.channel())
                .max_decoding_message_size(MAX_MESSAGE)
                .max_encoding_message_size(MAX_MESSAGE),
            build: reference.parse().expect("hexadecimal digits are ASCII"),
        }
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request
            .metadata_mut()
            .insert("buildkit-controlapi-buildid", self.build.clone());
        request
    }

    /// Waits until the daemon knows the build.
    async fn ready(&mut self) -> Result<(), Status> {
        // The daemon itself waits a few seconds for it.
        let ping = self.request(PingRequest {});
        tokio::time::timeout(READY, self.client.ping(ping))
            .await
            .map_err(|_| Status::deadline_exceeded("the daemon doesn't know the build"))??;
        Ok(())
    }

    /// Has the Dockerfile frontend build with these options. What it gives may not be built yet.
    pub(crate) async fn solve(
        &mut self,
        options: BTreeMap<String, String>,
    ) -> Result<gateway::Result, Status> {
        let solve = self.request(gateway::SolveRequest {
            frontend: DOCKERFILE_FRONTEND.to_string(),
            frontend_opt: options,
            allow_result_return: true,
            allow_result_array_ref: true,
            ..Default::default()
        });
        let answer = self.client.solve(solve).await?.into_inner();
        Ok(answer.result.unwrap_or_default())
    }

    /// Runs the steps of a result, if they haven't run yet.
    pub(crate) async fn build(&mut self, id: &str) -> Result<(), Status> {
        let stat = self.request(StatFileRequest {
            r#ref: id.to_owned(),
            path: "/".to_owned(),
        });
        self.client.stat_file(stat).await?;
        Ok(())
    }

    /// A file of a result; runs its steps first.
    pub(crate) async fn read_file(&mut self, id: &str, path: &str) -> Result<Bytes, Status> {
        let read = self.request(ReadFileRequest {
            r#ref: id.to_owned(),
            file_path: path.to_owned(),
            range: None,
        });
        Ok(self.client.read_file(read).await?.into_inner().data)
    }

    /// Ends the frontend's part, with the result or with what went wrong.
    async fn give_back(&mut self, outcome: Result<gateway::Result, &Status>) -> Result<(), Status> {
        let message = match outcome {
            Ok(result) => ReturnRequest {
                result: Some(result),
                error: None,
            },
            // Its details say which step it was, and where that stands.
            Err(status) => ReturnRequest {
                result: None,
                error: Some(rpc::Status {
                    details: rpc::Status::decode(status.details())
                        .map(|whole| whole.details)
                        .unwrap_or_default(),
                    code: status.code().into(),
                    message: status.message().to_string(),
                }),
            },
        };
        let request = self.request(message);
        self.client.r#return(request).await?;
        Ok(())
    }
}

/// The id of a result that is one image; `None` of several, and of an empty one.
pub(crate) fn only(result: &gateway::Result) -> Option<&str> {
    match result.result.as_ref()? {
        result::Result::Ref(one) => Some(one.id.as_str()),
        result::Result::RefDeprecated(id) => Some(id.as_str()),
        _ => None,
    }
    .filter(|id| !id.is_empty())
}
