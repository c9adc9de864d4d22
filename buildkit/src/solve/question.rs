//! A question to the image that is being built, before it is exported. This client takes the place
//! of the build's frontend: it has the Dockerfile frontend build the image, then one more target, and
//! reads files of that. Both belong to one build, so no folder is announced a second time.

use std::collections::BTreeMap;

use bytes::Bytes;
use mlbuild_proto::moby::buildkit::v1::frontend as gateway;
use mlbuild_proto::moby::buildkit::v1::{SolveRequest, SolveResponse};
use tonic::{Response, Status};

use crate::bridge::{self, Bridge, only};
use crate::client::Client;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Question {
    /// The frontend's options for it, over those of the build: `filename`, `target`.
    pub frontend_attrs: BTreeMap<String, String>,
    /// Files of that target to read. Those that aren't there are left out.
    pub files: Vec<String>,
    /// Steps with this in their name are part of the question, and no part of the progress.
    pub mark: String,
}

/// What the files hold, by path.
pub type Answers = BTreeMap<String, Bytes>;

/// Builds and asks. That the question has no answer is no failure of the build.
pub(super) async fn solve(
    client: &Client,
    request: SolveRequest,
    question: &Question,
) -> Result<(Response<SolveResponse>, Option<Answers>), Status> {
    let attrs = request.frontend_attrs.clone();
    let part = async |bridge: &mut Bridge| build(bridge, attrs, question).await;
    bridge::build_with(client, request, part).await
}

async fn build(
    bridge: &mut Bridge,
    attrs: BTreeMap<String, String>,
    question: &Question,
) -> Result<(gateway::Result, Option<Answers>), Status> {
    let result = bridge.solve(attrs.clone()).await?;
    let Some(id) = only(&result) else {
        return Ok((result, None));
    };
    // A step that fails is the build's failure, and not the question's.
    bridge.build(id).await?;
    // An image without what answers is an answer, too.
    let answers = ask(bridge, attrs, question).await.unwrap_or_default();
    Ok((result, Some(answers)))
}

async fn ask(
    bridge: &mut Bridge,
    mut attrs: BTreeMap<String, String>,
    question: &Question,
) -> Option<Answers> {
    attrs.extend(question.frontend_attrs.clone());
    // The image was just built: its steps are there.
    attrs.remove("no-cache");
    let result = bridge.solve(attrs).await.ok()?;
    let id = only(&result)?;
    bridge.build(id).await.ok()?;
    let mut answers = Answers::new();
    for file in &question.files {
        if let Ok(content) = bridge.read_file(id, file).await {
            answers.insert(file.clone(), content);
        }
    }
    Some(answers)
}
