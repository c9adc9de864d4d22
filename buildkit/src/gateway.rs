//! Questions to a frontend that aren't builds: lint a Dockerfile, outline it.
//! The client takes the place of a frontend for the length of one solve.

use std::collections::BTreeMap;

use mlbuild_proto::moby::buildkit::v1::SolveRequest;
use mlbuild_proto::moby::buildkit::v1::frontend::{self as gateway, result};
use serde::Deserialize;

use crate::bridge::{self, Bridge};
use crate::client::Client;
use crate::error::SolveError;
use crate::info::Feature;
use crate::session::{LocalSource, RunningSession, Session, Targets, new_id};

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
        let request = SolveRequest {
            r#ref: new_id(),
            session: session_id,
            internal: true,
            ..Default::default()
        };
        let ask = async |bridge: &mut Bridge| {
            let answer = bridge.solve(options).await?;
            let nothing = gateway::Result {
                result: Some(result::Result::Ref(gateway::Ref::default())),
                ..Default::default()
            };
            Ok((nothing, answer.metadata))
        };
        match bridge::build_with(self, request, ask).await {
            Ok((_, metadata)) => Ok(metadata),
            Err(status) => Err(self.solve_error(&status)),
        }
    }
}
