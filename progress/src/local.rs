//! Steps that the client takes itself (pushing a layer, asking a registry), told through the same
//! stream as the builder's, so that one story has one form.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use mlbuild_proto::moby::buildkit::v1::{StatusResponse, Vertex, VertexLog, VertexStatus};
use prost_types::Timestamp;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::drawing::Own;

/// A part's count is told at most this often, however often the caller reports it.
const PAUSE: Duration = Duration::from_millis(50);

/// Begins steps of the client's own.
#[derive(Debug, Clone)]
pub struct LocalSteps {
    own: mpsc::UnboundedSender<Own>,
    count: Arc<AtomicUsize>,
}

/// A step under way. Dropped without [`done`](Self::done), it counts as cancelled.
#[derive(Debug)]
pub struct LocalStep {
    own: mpsc::UnboundedSender<Own>,
    vertex: Option<Vertex>,
    digest: String,
    /// When each part was last told of.
    told: Mutex<BTreeMap<String, Instant>>,
}

impl LocalSteps {
    pub(crate) fn new(own: mpsc::UnboundedSender<Own>) -> Self {
        Self {
            own,
            count: Arc::default(),
        }
    }

    /// Begins a step.
    pub fn begin(&self, name: impl Into<String>) -> LocalStep {
        let name = name.into();
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let hash = Sha256::digest(format!("mlbuild local step {number} {name}"));
        let digest = format!("sha256:{}", hex::encode(hash));
        let vertex = Vertex {
            digest: digest.clone(),
            name,
            started: Some(now()),
            ..Default::default()
        };
        send(
            &self.own,
            StatusResponse {
                vertexes: vec![vertex.clone()],
                ..Default::default()
            },
        );
        LocalStep {
            own: self.own.clone(),
            vertex: Some(vertex),
            digest,
            told: Mutex::default(),
        }
    }
}

impl LocalStep {
    /// Tells how many bytes of one part of the step are done; `total` 0 where it isn't known.
    pub fn bytes(&self, part: &str, current: u64, total: u64) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.get(part).is_some_and(|last| last.elapsed() < PAUSE) {
            return;
        }
        told.insert(part.to_owned(), Instant::now());
        drop(told);
        self.part(part, current, total, None);
    }

    /// Tells that one part of the step is whole.
    pub fn bytes_done(&self, part: &str, total: u64) {
        self.part(part, total, total, Some(now()));
    }

    /// Adds a line to the step's log.
    pub fn log(&self, line: &str) {
        let log = VertexLog {
            vertex: self.digest.clone(),
            timestamp: Some(now()),
            stream: 2,
            msg: format!("{line}\n").into_bytes().into(),
        };
        send(
            &self.own,
            StatusResponse {
                logs: vec![log],
                ..Default::default()
            },
        );
    }

    /// The step is done.
    pub fn done(mut self) {
        self.end("", false);
    }

    /// The step had nothing to do.
    pub fn cached(mut self) {
        self.end("", true);
    }

    /// The step failed.
    pub fn failed(mut self, message: &str) {
        self.end(message, false);
    }

    fn part(&self, part: &str, current: u64, total: u64, completed: Option<Timestamp>) {
        let status = VertexStatus {
            id: part.to_owned(),
            vertex: self.digest.clone(),
            current: i64::try_from(current).unwrap_or(i64::MAX),
            total: i64::try_from(total).unwrap_or(i64::MAX),
            timestamp: Some(now()),
            completed,
            ..Default::default()
        };
        send(
            &self.own,
            StatusResponse {
                statuses: vec![status],
                ..Default::default()
            },
        );
    }

    fn end(&mut self, error: &str, cached: bool) {
        if let Some(mut vertex) = self.vertex.take() {
            vertex.completed = Some(now());
            vertex.cached = cached;
            vertex.error = error.to_owned();
            send(
                &self.own,
                StatusResponse {
                    vertexes: vec![vertex],
                    ..Default::default()
                },
            );
        }
    }
}

impl Drop for LocalStep {
    fn drop(&mut self) {
        self.end("context canceled", false);
    }
}

/// Where nobody listens any more, there is nobody to tell.
fn send(own: &mpsc::UnboundedSender<Own>, message: StatusResponse) {
    let _ = own.send(Own::Status(message));
}

fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp {
        seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        nanos: since.subsec_nanos().cast_signed(),
    }
}
