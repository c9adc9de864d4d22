//! What a container printed, line by line, across cut connections.

use std::io;
use std::time::Duration;

use futures::AsyncBufReadExt as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::LogParams;

use super::{Cluster, KubernetesError};

/// How often a log that is cut off is asked for again, where no line came in between.
const TRIES: u32 = 4;
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// Where the reading of a log stopped.
#[derive(Debug)]
pub enum LogEnd {
    /// The cluster said that this is all.
    Whole,
    /// The connection ended before that.
    Cut(io::Error),
}

/// What is wanted of a log, and how far it was read.
#[derive(Debug, Clone, Default)]
pub struct LogLines {
    /// The container.
    pub container: String,
    /// Whether to wait for more.
    pub follow: bool,
    /// How many lines of what is there already; all where it isn't said.
    pub tail: Option<i64>,
    /// Whether to read what the container before a restart printed.
    pub previous: bool,
    /// The time of the last line that was read.
    last: Option<Timestamp>,
}

impl LogLines {
    /// The whole log of a container.
    pub fn of(container: &str) -> Self {
        Self {
            container: container.to_owned(),
            ..Self::default()
        }
    }

    /// Reads the log of a pod up to its end, or a cut. Called again, it goes on where it was.
    ///
    /// # Errors
    /// Where the cluster refuses, or `line` does.
    pub async fn read<E: From<KubernetesError>>(
        &mut self,
        cluster: &Cluster,
        pod: &str,
        mut line: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<LogEnd, E> {
        let wanted = LogParams {
            container: Some(self.container.clone()),
            follow: self.follow,
            previous: self.previous,
            // The API takes whole seconds: what was read of that second is left out below.
            since_time: self.last,
            tail_lines: self.tail.filter(|_| self.last.is_none()),
            timestamps: true,
            ..LogParams::default()
        };
        let doing = format!("get the log of the Pod {pod}");
        let known = self.last;
        let stream = cluster.api::<Pod>().log_stream(pod, &wanted).await;
        let mut stream = Box::pin(stream.map_err(|error| cluster.error(&doing, error))?);
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            match stream.read_until(b'\n', &mut bytes).await {
                Ok(0) => return Ok(LogEnd::Whole),
                // What came of a line is read again with its end.
                Err(error) => return Ok(LogEnd::Cut(error)),
                Ok(_) => {}
            }
            let (time, text) = split(&bytes);
            if let Some(time) = time {
                if known.is_some_and(|last| time <= last) {
                    continue;
                }
                self.last = Some(time);
            }
            line(text)?;
        }
    }

    /// Reads the log of a pod up to its end: where it is cut off, the rest is asked for. An API server that loses
    /// the node in the middle ends its answer as if that were all, so that it is asked once more whether it was.
    ///
    /// # Errors
    /// Where the cluster refuses, cuts it off again and again, or `line` refuses.
    pub async fn read_whole<E: From<KubernetesError>>(
        &mut self,
        cluster: &Cluster,
        pod: &str,
        mut line: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let (mut cuts, mut ends) = (0, 0);
        loop {
            let before = self.last;
            let end = self.read(cluster, pod, &mut line).await?;
            let is_more = self.last != before;
            match end {
                // A program that prints on would never be at its end.
                LogEnd::Whole if ends > 0 && (!is_more || ends == TRIES) => return Ok(()),
                LogEnd::Whole => ends += 1,
                LogEnd::Cut(error) => {
                    cuts = if is_more { 1 } else { cuts + 1 };
                    if cuts == TRIES {
                        return Err(E::from(KubernetesError::Unreachable {
                            url: cluster.url.clone(),
                            why: format!("the log of the Pod {pod} is cut off: {error}"),
                        }));
                    }
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
            }
        }
    }
}

/// The time before a line, and the line.
fn split(line: &[u8]) -> (Option<Timestamp>, &[u8]) {
    let Some(end) = line.iter().position(|byte| *byte == b' ') else {
        return (None, line);
    };
    let time = std::str::from_utf8(&line[..end]).ok();
    match time.and_then(|text| text.parse().ok()) {
        Some(time) => (Some(time), &line[end + 1..]),
        None => (None, line),
    }
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn the_time_is_taken_off_and_bytes_stay() {
        let (time, text) = split(b"2026-01-02T03:04:05.000000006Z loss \xff 0.1\r\n");
        assert_eq!(time.unwrap().to_string(), "2026-01-02T03:04:05.000000006Z");
        assert_eq!(text, b"loss \xff 0.1\r\n");
        assert_eq!(split(b"no time here\n"), (None, &b"no time here\n"[..]));
        assert_eq!(split(b"2026-01-02T03:04:05Z \n").1, b"\n");
    }
}
