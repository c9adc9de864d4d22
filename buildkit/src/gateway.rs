//! Questions to a frontend that aren't builds: lint a Dockerfile, outline it.
//! The client takes the place of a frontend for the length of one solve.

use std::collections::BTreeMap;
use std::time::Duration;

use mlbuild_proto::google::rpc;
use mlbuild_proto::moby::buildkit::v1::SolveRequest;
use mlbuild_proto::moby::buildkit::v1::frontend::llb_bridge_client::LlbBridgeClient;
use mlbuild_proto::moby::buildkit::v1::frontend::{
    self as gateway, PingRequest, ReturnRequest, result,
};
use serde::Deserialize;
use tonic::{Request, Status};

use crate::client::{Client, MAX_MESSAGE};
use crate::error::SolveError;
use crate::info::Feature;
use crate::session::{LocalSource, RunningSession, Session, Targets, new_id};
use crate::solve::DOCKERFILE_FRONTEND;

/// How long the daemon may take to know of a build that was just started.
const READY: Duration = Duration::from_secs(10);
/// How long it may take to end it.
const END: Duration = Duration::from_secs(10);

/// What BuildKit's own linter found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LintWarning {
    /// The rule, such as `FromAsCasing`.
    pub rule: String,
    /// What the rule is about.
    pub description: String,
    /// What is wrong here.
    pub detail: String,
    /// Where the rule is explained.
    pub url: String,
    /// First line it applies to, counted from 1; `None` if it is about the
    /// whole file.
    pub line: Option<u32>,
}

#[derive(Deserialize)]
struct LintResults {
    #[serde(default)]
    warnings: Option<Vec<WarningJson>>,
    #[serde(rename = "buildError")]
    build_error: Option<ErrorJson>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WarningJson {
    rule_name: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    detail: String,
    #[serde(default)]
    url: String,
    location: Option<LocationJson>,
}

#[derive(Deserialize)]
struct ErrorJson {
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct LocationJson {
    #[serde(default)]
    ranges: Vec<RangeJson>,
}

#[derive(Deserialize)]
struct RangeJson {
    start: Option<PositionJson>,
}

#[derive(Deserialize)]
struct PositionJson {
    #[serde(default)]
    line: u32,
}

impl Client {
    /// Has the builder lint a Dockerfile (`frontend.lint`, BuildKit ≥ 0.14).
    /// A Dockerfile that can't be read at all is a [`SolveError::Build`].
    pub async fn lint(
        &self,
        dockerfile: &[u8],
        build_args: &BTreeMap<String, String>,
    ) -> Result<Vec<LintWarning>, SolveError> {
        if let Some(reason) = self.info().await?.missing(Feature::Lint) {
            return Err(SolveError::Options(format!(
                "linting isn't possible: {reason}"
            )));
        }
        let metadata = self
            .ask_frontend("frontend.lint", dockerfile, build_args)
            .await?;
        let json = metadata
            .get("result.json")
            .ok_or_else(|| SolveError::Answer("frontend.lint gave no result.json".to_string()))?;
        let results: LintResults = serde_json::from_slice(json)
            .map_err(|e| SolveError::Answer(format!("frontend.lint: {e}")))?;
        if let Some(error) = results.build_error {
            return Err(SolveError::Build(crate::error::BuildFailure {
                message: error.message,
                ..Default::default()
            }));
        }
        let warning = |w: WarningJson| LintWarning {
            line: w.location.and_then(|l| {
                let line = l.ranges.first()?.start.as_ref()?.line;
                (line > 0).then_some(line)
            }),
            rule: w.rule_name,
            description: w.description,
            detail: w.detail,
            url: w.url,
        };
        Ok(results
            .warnings
            .unwrap_or_default()
            .into_iter()
            .map(warning)
            .collect())
    }

    /// Has the builder outline a Dockerfile (`frontend.outline`): its build
    /// arguments, secrets, ssh ids and caches, as the frontend's own JSON.
    pub async fn outline(
        &self,
        dockerfile: &[u8],
        build_args: &BTreeMap<String, String>,
    ) -> Result<serde_json::Value, SolveError> {
        let metadata = self
            .ask_frontend("frontend.outline", dockerfile, build_args)
            .await?;
        let json = metadata.get("result.json").ok_or_else(|| {
            SolveError::Answer("frontend.outline gave no result.json".to_string())
        })?;
        serde_json::from_slice(json)
            .map_err(|e| SolveError::Answer(format!("frontend.outline: {e}")))
    }

    /// Sends one sub-request to the Dockerfile frontend and returns the
    /// result's metadata.
    async fn ask_frontend(
        &self,
        request_id: &str,
        dockerfile: &[u8],
        build_args: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, bytes::Bytes>, SolveError> {
        let files = [("Dockerfile".to_string(), dockerfile.to_vec())].into();
        let source = LocalSource::Memory(files);
        let session = Session::builder()
            .local("dockerfile", source.clone())
            .local("context", source)
            .build()?;
        let session_id = session.id().to_string();
        let _running = RunningSession::start(session, Targets::default(), self)?;

        let reference = new_id();
        let mut control = self.control();
        // With no frontend named, the daemon waits for a client to be it.
        let build = control.solve(SolveRequest {
            r#ref: reference.clone(),
            session: session_id,
            internal: true,
            ..Default::default()
        });
        let mut build = Box::pin(build);

        let mut options: BTreeMap<String, String> = [
            ("requestid", request_id),
            ("frontend.caps", "moby.buildkit.frontend.subrequests"),
            ("filename", "Dockerfile"),
        ]
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .into();
        for (name, value) in build_args {
            options.insert(format!("build-arg:{name}"), value.clone());
        }
        let mut bridge = Bridge::new(self, &reference);
        let asked = tokio::select! {
            answer = bridge.ask(options) => answer,
            ended = &mut build => match ended {
                Ok(_) => Err(Status::aborted("the daemon ended the build by itself")),
                Err(status) => Err(status),
            },
        };
        // The solve ends once its frontend has returned.
        let returned = async {
            let _ = bridge.give_back(asked.as_ref().err()).await;
            build.await
        };
        let _ = tokio::time::timeout(END, returned).await;
        asked.map_err(|status| self.solve_error(&status))
    }
}

/// The frontend's side of one build.
struct Bridge {
    client: LlbBridgeClient<tonic::transport::Channel>,
    build: tonic::metadata::AsciiMetadataValue,
}

impl Bridge {
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

    async fn ask(
        &mut self,
        options: BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, bytes::Bytes>, Status> {
        // The daemon itself waits a few seconds for the build to be known.
        let ping = self.request(PingRequest {});
        tokio::time::timeout(READY, self.client.ping(ping))
            .await
            .map_err(|_| Status::deadline_exceeded("the daemon doesn't know the build"))??;
        let solve = self.request(gateway::SolveRequest {
            frontend: DOCKERFILE_FRONTEND.to_string(),
            frontend_opt: options,
            allow_result_return: true,
            allow_result_array_ref: true,
            ..Default::default()
        });
        let answer = self.client.solve(solve).await?.into_inner();
        Ok(answer.result.unwrap_or_default().metadata)
    }

    async fn give_back(&mut self, failed: Option<&Status>) -> Result<(), Status> {
        let message = match failed {
            None => ReturnRequest {
                result: Some(gateway::Result {
                    result: Some(result::Result::Ref(gateway::Ref::default())),
                    ..Default::default()
                }),
                error: None,
            },
            Some(status) => ReturnRequest {
                result: None,
                error: Some(rpc::Status {
                    code: status.code().into(),
                    message: status.message().to_string(),
                    details: Vec::new(),
                }),
            },
        };
        let request = self.request(message);
        self.client.r#return(request).await?;
        Ok(())
    }
}
