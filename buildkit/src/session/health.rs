//! `grpc.health.v1.Health`: the builder asks every few seconds whether the
//! client is still there, and ends the session after two silences.

use futures::stream::{self, BoxStream, StreamExt as _};
use mlbuild_proto::grpc::health::v1::health_check_response::ServingStatus;
use mlbuild_proto::grpc::health::v1::health_server;
use mlbuild_proto::grpc::health::v1::{HealthCheckRequest, HealthCheckResponse};
use tonic::{Request, Response, Status};

pub(super) struct Health;

fn serving() -> HealthCheckResponse {
    HealthCheckResponse {
        status: ServingStatus::Serving.into(),
    }
}

#[tonic::async_trait]
impl health_server::Health for Health {
    async fn check(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        Ok(Response::new(serving()))
    }

    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn watch(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        // One answer, then silence for as long as the watcher listens.
        let answers = stream::iter([Ok(serving())]).chain(stream::pending());
        Ok(Response::new(answers.boxed()))
    }
}
