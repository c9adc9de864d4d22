//! What the server says of a run: GraphQL, and the run's files.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use super::name::WandbName;
use super::settings;
use crate::reporter::Reporter;
use crate::trackers::server::{LogIn, Server};
use crate::trackers::{Tracker, TrackerError};

/// The file in which the client says what ran.
const METADATA: &str = "wandb-metadata.json";
/// The changes that weren't committed.
const PATCH: &str = "diff.patch";

/// Most bytes of what ran.
const MAX_METADATA: usize = 4 << 20;
/// Most bytes of the changes.
const MAX_PATCH: usize = 64 << 20;

/// The user that the client logs in as, whoever it is.
const USER: &str = "api";

/// All in one question: of fields that the client asks for, too.
const QUERY: &str = "query Run($project: String!, $entity: String!, $name: String!, \
    $fileNames: [String] = []) { project(name: $project, entityName: $entity) { run(name: $name) { \
    name commit files(names: $fileNames) { edges { node { name url(upload: false) updatedAt } } } } } }";

/// Who asks, for names without an entity.
const WHO: &str = "query GetDefaultEntity { viewer { id entity } }";

/// What the server has of a run.
#[derive(Debug)]
pub struct WandbRun {
    /// The run, as `ENTITY/PROJECT/RUN` at `HOST:PORT`.
    pub shown: String,
    /// Its id.
    pub id: String,
    /// The commit of its code.
    pub commit: Option<String>,
    /// `wandb-metadata.json`
    pub metadata: Option<Vec<u8>>,
    /// `diff.patch`
    pub patch: Option<Vec<u8>>,
}

#[derive(Deserialize)]
struct Response<T> {
    data: Option<T>,
    #[serde(default)]
    errors: Vec<Failure>,
}

#[derive(Deserialize)]
struct Failure {
    message: String,
}

#[derive(Deserialize)]
struct WhoData {
    viewer: Option<Viewer>,
}

#[derive(Deserialize)]
struct Viewer {
    entity: Option<String>,
}

#[derive(Deserialize)]
struct RunData {
    project: Option<ProjectNode>,
}

#[derive(Deserialize)]
struct ProjectNode {
    run: Option<RunNode>,
}

#[derive(Deserialize)]
struct RunNode {
    name: String,
    commit: Option<String>,
    files: Files,
}

#[derive(Deserialize)]
struct Files {
    edges: Vec<Edge>,
}

#[derive(Deserialize)]
struct Edge {
    node: FileNode,
}

#[derive(Deserialize)]
struct FileNode {
    name: String,
    url: Option<String>,
    /// None of a file that was asked for by name and never sent.
    #[serde(rename = "updatedAt")]
    updated_at: Option<String>,
}

/// Asks the server that `wandb` would ask in this folder for a run, and reads its two files.
///
/// # Errors
/// Where the server, its key or the run can't be found, or an answer can't be used.
pub async fn fetch(
    name: &WandbName,
    project: &Path,
    reporter: &dyn Reporter,
) -> Result<WandbRun, TrackerError> {
    let place = settings::find(name, project)?;
    let server = Server::new(
        Tracker::Wandb,
        place.base,
        LogIn::Basic(USER.to_owned(), place.key),
    );
    if server.is_in_the_clear() {
        reporter.warning(format!("{}: the key goes there without TLS", server.name()));
    }
    let entity = match place.entity {
        Some(entity) => entity,
        None => default_entity(&server).await?,
    };
    let of_project = place.project.ok_or_else(|| TrackerError::Name {
        text: name.id.clone(),
        tracker: Tracker::Wandb,
        why: "it has no project: ENTITY/PROJECT:RUN".to_owned(),
    })?;
    let shown = format!("{entity}/{of_project}/{} at {}", name.id, server.name());
    let variables = json!({
        "entity": entity, "project": of_project, "name": name.id, "fileNames": [METADATA, PATCH],
    });
    let answer: RunData = ask(&server, "the run", QUERY, &variables).await?;
    let run = answer.project.and_then(|project| project.run);
    let run = run.ok_or_else(|| TrackerError::NoSuchRun {
        tracker: Tracker::Wandb,
        server: server.name(),
        run: format!("{entity}/{of_project}/{}", name.id),
    })?;
    if run.name != name.id {
        return Err(server.wrong("the run", "it is another one"));
    }
    let (metadata, patch) = (
        file(&server, &run.files, METADATA, MAX_METADATA).await?,
        file(&server, &run.files, PATCH, MAX_PATCH).await?,
    );
    Ok(WandbRun {
        shown,
        id: run.name,
        commit: run.commit.filter(|commit| !commit.is_empty()),
        metadata,
        patch: patch.filter(|patch| !patch.is_empty()),
    })
}

async fn default_entity(server: &Server) -> Result<String, TrackerError> {
    let who: WhoData = ask(server, "your own name", WHO, &json!({})).await?;
    let entity = who.viewer.and_then(|viewer| viewer.entity);
    entity.ok_or_else(|| server.wrong("your own name", "it has no default entity"))
}

async fn ask<T: for<'de> Deserialize<'de>>(
    server: &Server,
    what: &str,
    query: &str,
    variables: &Value,
) -> Result<T, TrackerError> {
    let body = json!({ "query": query, "variables": variables });
    let answer = server.ask("graphql", &body, what).await?;
    let wrong = |error: serde_json::Error| server.wrong(what, error);
    let answer: Response<T> = serde_json::from_value(answer).map_err(wrong)?;
    match (answer.data, answer.errors.first()) {
        (_, Some(failure)) => Err(server.wrong(what, &failure.message)),
        (Some(data), None) => Ok(data),
        (None, None) => Err(server.wrong(what, "it says nothing")),
    }
}

/// A file of a run; `None` where the run has none of that name. Only this name is looked for, and what is
/// read stays in memory: a server can't say where anything is written.
async fn file(
    server: &Server,
    files: &Files,
    name: &str,
    limit: usize,
) -> Result<Option<Vec<u8>>, TrackerError> {
    let mut nodes = files.edges.iter().map(|edge| &edge.node);
    let node = nodes.find(|node| node.name == name && node.updated_at.is_some());
    match node.and_then(|node| node.url.as_deref()) {
        Some(url) => server.file(url, limit, name).await.map(Some),
        None => Ok(None),
    }
}
