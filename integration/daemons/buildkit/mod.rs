//! Our BuildKit client against real daemons: each way to reach one, each
//! service of a session, each call of the builder.

mod exports;
mod failures;
mod features;
mod session;
mod transports;

use std::collections::BTreeMap;
use std::path::Path;

use mlbuild_buildkit::{
    Client, ConnectOptions, Endpoint, Env, Export, ExportTarget, LocalSource, Session,
    SessionBuilder, SolveError, SolveOptions, SolveOutput, StatusResponse, TlsOptions, context_key,
};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::support::buildkitd::OwnBuildkitd;
use crate::support::engines::Engines;

/// A folder with files in it.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    dir
}

fn endpoint(text: &str) -> Endpoint {
    text.parse().unwrap_or_else(|e| panic!("{e}"))
}

/// A buildkitd of a test's own.
async fn own(engines: &Engines) -> (OwnBuildkitd, Client) {
    let own = OwnBuildkitd::start(engines);
    let address = endpoint(&own.address());
    let client = Client::connect(&address, &ConnectOptions::default()).await;
    (own, client.unwrap_or_else(|e| panic!("{e}")))
}

/// A Docker endpoint from a socket's `unix://` address.
fn docker(socket: &str) -> Endpoint {
    endpoint(&socket.replace("unix://", "docker://"))
}

async fn connect(endpoint: &Endpoint) -> Client {
    Client::connect(endpoint, &ConnectOptions::default())
        .await
        .unwrap_or_else(|e| panic!("{e}"))
}

async fn buildkitd() -> Client {
    connect(&endpoint(&Engines::from_env().buildkitd)).await
}

/// Every builder there is, with a name for messages.
async fn all_builders() -> Vec<(&'static str, Client)> {
    let engines = Engines::from_env();
    let mut all = vec![("buildkitd", connect(&endpoint(&engines.buildkitd)).await)];
    for (name, socket) in engines.dockers() {
        all.push((name, connect(&docker(socket)).await));
    }
    all
}

/// One build of a folder, to be changed before it runs.
struct Build<'a> {
    client: &'a Client,
    session: SessionBuilder,
    options: SolveOptions,
    cancel: CancellationToken,
}

/// What came of it.
struct Outcome {
    result: Result<SolveOutput, SolveError>,
    progress: Vec<StatusResponse>,
}

impl<'a> Build<'a> {
    fn new(client: &'a Client, context: &Path) -> Self {
        Self {
            client,
            session: Session::builder()
                .local("context", LocalSource::dir(context))
                .local("dockerfile", LocalSource::dir(context))
                .shared_key(context_key(context)),
            options: SolveOptions::default(),
            cancel: CancellationToken::new(),
        }
    }

    fn attr(mut self, key: &str, value: &str) -> Self {
        self.options.frontend_attrs.insert(key.into(), value.into());
        self
    }

    fn export(mut self, kind: &str, attrs: &[(&str, &str)], output: Option<ExportTarget>) -> Self {
        self.options.exports.push(Export {
            kind: kind.into(),
            attrs: pairs(attrs),
            output,
        });
        self
    }

    fn session(mut self, change: impl FnOnce(SessionBuilder) -> SessionBuilder) -> Self {
        self.session = change(self.session);
        self
    }

    async fn run(self) -> Outcome {
        let session = self.session.build().unwrap_or_else(|e| panic!("{e}"));
        let (sender, mut receiver) = mpsc::channel(64);
        let collecting = tokio::spawn(async move {
            let mut all = Vec::new();
            while let Some(message) = receiver.recv().await {
                all.push(message);
            }
            all
        });
        let result = self
            .client
            .solve(self.options, session, sender, self.cancel)
            .await;
        Outcome {
            result,
            progress: collecting.await.unwrap(),
        }
    }

    /// Exports the result's files into a folder.
    async fn files(self) -> TempDir {
        let out = tempfile::tempdir().unwrap();
        let target = ExportTarget::Dir(out.path().to_path_buf());
        self.export("local", &[], Some(target)).run().await.output();
        out
    }
}

impl Outcome {
    /// The output; panics with the error and the logs if there is none.
    fn output(self) -> SolveOutput {
        let logs = self.logs();
        self.result.unwrap_or_else(|e| panic!("{e}\n{logs}"))
    }

    fn error(self) -> SolveError {
        self.result.expect_err("the build must fail")
    }

    /// All that the steps wrote.
    fn logs(&self) -> String {
        self.progress
            .iter()
            .flat_map(|m| &m.logs)
            .map(|l| String::from_utf8_lossy(&l.msg).into_owned())
            .collect()
    }

    /// The steps that ran or were found in the cache, and which it was.
    fn steps(&self) -> BTreeMap<String, bool> {
        let vertexes = self.progress.iter().flat_map(|m| &m.vertexes);
        let done = vertexes.filter(|v| v.completed.is_some());
        done.map(|v| (v.name.clone(), v.cached)).collect()
    }
}

fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = pairs.iter().map(|(k, v)| (k.to_string(), v.to_string()));
    owned.collect()
}

fn read(dir: &TempDir, path: &str) -> String {
    let path = dir.path().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Docker's configuration folder with one log-in.
fn docker_config(registry: &str, user: &str, password: &str) -> TempDir {
    use base64::Engine as _;
    let auth = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    folder(&[(
        "config.json",
        &format!(r#"{{"auths":{{"{registry}":{{"auth":"{auth}"}}}}}}"#),
    )])
}

/// Its log-ins, for the registries that it names.
fn auth(config: &TempDir) -> mlbuild_buildkit::AuthOptions {
    let text = std::fs::read(config.path().join("config.json")).unwrap();
    let text: serde_json::Value = serde_json::from_slice(&text).unwrap();
    mlbuild_buildkit::AuthOptions {
        docker_config: Some(config.path().to_path_buf()),
        hosts: text["auths"].as_object().unwrap().keys().cloned().collect(),
        ..Default::default()
    }
}

fn env(vars: &[(&str, &str)]) -> Env {
    let path = std::env::var("PATH").unwrap();
    let mut all = vec![("PATH", path.as_str())];
    all.extend(vars);
    all.into_iter().collect()
}

fn tls(dir: &Path) -> ConnectOptions {
    ConnectOptions {
        tls: Some(TlsOptions::from_dir(dir)),
        ..Default::default()
    }
}
