//! A question to the image that is being built, before it is exported. This client takes the place
//! of the build's frontend: it has the Dockerfile frontend build the image, then one more target, and
//! reads files of that. Both belong to one build, so no folder is announced a second time.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use mlbuild_proto::moby::buildkit::v1::frontend as gateway;
use mlbuild_proto::moby::buildkit::v1::{SolveRequest, SolveResponse};
use tonic::{Response, Status};

use crate::bridge::{Bridge, only};
use crate::client::Client;

/// How long the daemon may take to end a build that has failed.
const END: Duration = Duration::from_secs(10);

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
    mut request: SolveRequest,
    question: &Question,
) -> Result<(Response<SolveResponse>, Option<Answers>), Status> {
    let mut bridge = Bridge::new(client, &request.r#ref);
    let attrs: BTreeMap<String, String> = request.frontend_attrs.clone().into_iter().collect();
    // With no frontend named, the daemon waits for a client to be it.
    request.frontend.clear();
    let mut control = client.control();
    let mut whole = Box::pin(control.solve(request));
    let built = tokio::select! {
        built = build(&mut bridge, attrs, question) => built,
        ended = &mut whole => {
            ended?;
            return Err(Status::aborted("the daemon ended the build by itself"));
        }
    };
    match built {
        Ok((result, answers)) => {
            // What goes wrong with the first is told by the second.
            let (_, ended) = tokio::join!(bridge.give_back(Ok(result)), whole);
            Ok((ended?, answers))
        }
        Err(status) => {
            let ending = async { tokio::join!(bridge.give_back(Err(&status)), whole) };
            let _ = tokio::time::timeout(END, ending).await;
            Err(status)
        }
    }
}

async fn build(
    bridge: &mut Bridge,
    attrs: BTreeMap<String, String>,
    question: &Question,
) -> Result<(gateway::Result, Option<Answers>), Status> {
    bridge.ready().await?;
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
