//! The daemon's record of finished builds: where attestations are kept, and
//! with them what a build was made from.

use futures::StreamExt as _;
use mlbuild_proto::containerd::services::content::v1::ReadContentRequest;
use mlbuild_proto::containerd::services::content::v1::content_client::ContentClient;
use mlbuild_proto::moby::buildkit::v1::{
    BuildHistoryEventType, BuildHistoryRecord, BuildHistoryRequest,
};
use tonic::Status;

use crate::client::{Client, RequestError};
use crate::wire::MAX_MESSAGE;

/// One attestation of a build: what is stated, and in which vocabulary.
#[derive(Clone, Debug, PartialEq)]
pub struct Attestation {
    /// Names the vocabulary, such as `https://slsa.dev/provenance/v1`.
    pub predicate_type: String,
    /// The statement's predicate.
    pub predicate: serde_json::Value,
}

impl Client {
    /// The record of a finished build by its reference; `None` if there is
    /// none. BuildKit ≥ 0.11; internal builds leave no record.
    pub async fn build_record(
        &self,
        reference: &str,
    ) -> Result<Option<BuildHistoryRecord>, RequestError> {
        let failed = |status| RequestError::BuildKit {
            call: "Control.ListenBuildHistory",
            status,
        };
        let request = BuildHistoryRequest {
            r#ref: reference.to_string(),
            // Ends after what is known, instead of waiting for more.
            early_exit: true,
            ..Default::default()
        };
        let answer = match self.control().listen_build_history(request).await {
            Ok(answer) => answer,
            Err(status) if status.code() == tonic::Code::NotFound => return Ok(None),
            Err(status) => return Err(failed(status)),
        };
        let mut events = answer.into_inner();
        let mut found = None;
        while let Some(event) = events.next().await {
            let event = event.map_err(failed)?;
            if event.r#type() != BuildHistoryEventType::Deleted {
                found = event.record.or(found);
            }
        }
        Ok(found)
    }

    /// A finished build's attestations (provenance, SBOM); empty if it has
    /// none.
    pub async fn attestations(&self, reference: &str) -> Result<Vec<Attestation>, RequestError> {
        let Some(record) = self.build_record(reference).await? else {
            return Ok(Vec::new());
        };
        let results = record
            .result
            .into_iter()
            .chain(record.results.into_values());
        let mut attestations = Vec::new();
        for mut descriptor in results.flat_map(|r| r.attestations) {
            let bytes = self.read_content(&descriptor.digest).await?;
            let predicate = serde_json::from_slice(&bytes).map_err(|e| RequestError::BuildKit {
                call: "Content.Read",
                status: Status::data_loss(format!("{}: {e}", descriptor.digest)),
            })?;
            let predicate_type = descriptor.annotations.remove("in-toto.io/predicate-type");
            attestations.push(Attestation {
                predicate_type: predicate_type.unwrap_or_default(),
                predicate,
            });
        }
        Ok(attestations)
    }

    /// A blob of the daemon's own store.
    async fn read_content(&self, digest: &str) -> Result<Vec<u8>, RequestError> {
        let failed = |status| RequestError::BuildKit {
            call: "Content.Read",
            status,
        };
        let mut content = ContentClient::new(self.channel()).max_decoding_message_size(MAX_MESSAGE);
        let request = ReadContentRequest {
            digest: digest.to_string(),
            ..Default::default()
        };
        let mut chunks = content.read(request).await.map_err(failed)?.into_inner();
        let mut bytes = Vec::new();
        while let Some(chunk) = chunks.message().await.map_err(failed)? {
            bytes.extend_from_slice(&chunk.data);
        }
        Ok(bytes)
    }
}
