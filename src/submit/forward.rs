//! Ports of a Job's pod, here: for as long as the Job is followed, connections to a port of this machine are
//! carried to a port of its pod.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::net::{TcpListener, TcpStream};

use super::error::SubmitError;
use super::find::running_pod;
use crate::kubernetes::{Cluster, JobRef};
use crate::reporter::Reporter;

/// A port of this machine, and the port of the pod that it leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortPair {
    /// Of this machine; 0: one that is free.
    pub local: u16,
    /// Of the pod.
    pub remote: u16,
}

impl FromStr for PortPair {
    type Err = SubmitError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (local, remote) = text.split_once(':').unwrap_or((text, text));
        match (local.parse(), remote.parse()) {
            (Ok(local), Ok(remote @ 1..)) => Ok(Self { local, remote }),
            _ => Err(SubmitError::PortPair {
                text: text.to_owned(),
            }),
        }
    }
}

/// Ports of this machine that are listened on, on loopback alone.
#[derive(Debug, Default)]
pub struct Forwards(Vec<(TcpListener, u16)>);

impl Forwards {
    /// Takes the ports.
    ///
    /// # Errors
    /// Where one is taken.
    pub async fn listen(pairs: &[PortPair]) -> Result<Self, SubmitError> {
        let mut all = Vec::new();
        for PortPair { local, remote } in pairs {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, *local));
            let listener = TcpListener::bind(address).await;
            let listener = listener.map_err(|source| SubmitError::Port {
                port: *local,
                source,
            })?;
            all.push((listener, *remote));
        }
        Ok(Self(all))
    }

    /// Carries connections to a Job while it is followed: to its pod with a number, or to the one with 0.
    pub async fn beside<T>(
        &self,
        following: impl Future<Output = T>,
        at: (&Cluster, &JobRef),
        rank: Option<u32>,
        reporter: &dyn Reporter,
    ) -> T {
        tokio::select! {
            end = following => end,
            never = self.serve(at, rank, reporter) => match never {},
        }
    }

    async fn serve(
        &self,
        (cluster, job): (&Cluster, &JobRef),
        rank: Option<u32>,
        reporter: &dyn Reporter,
    ) -> Infallible {
        for (listener, remote) in &self.0 {
            if let Ok(address) = listener.local_addr() {
                reporter.note(format!("{address} leads to port {remote} of the {job}"));
            }
        }
        let mut open = FuturesUnordered::new();
        loop {
            tokio::select! {
                (accepted, remote) = self.accept() => match accepted {
                    Ok(stream) => open.push(async move {
                        let found = cluster.find(job).await?;
                        let pod = running_pod(&found, Some(rank.unwrap_or(0)))?;
                        Ok::<(), SubmitError>(cluster.carry(&pod, remote, stream).await?)
                    }),
                    // Such as too many open files, which passes.
                    Err(error) => {
                        reporter.warning(format!("a connection isn't taken: {error}"));
                        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                    }
                },
                Some(Err(error)) = open.next(), if !open.is_empty() => {
                    reporter.warning(format!("a connection was closed: {error}"));
                }
            }
        }
    }

    /// The next connection, and the port that it is for.
    async fn accept(&self) -> (io::Result<TcpStream>, u16) {
        let mut all: FuturesUnordered<_> = self
            .0
            .iter()
            .map(|(listener, remote)| async move {
                (listener.accept().await.map(|(stream, _)| stream), *remote)
            })
            .collect();
        match all.next().await {
            Some(accepted) => accepted,
            // Of no port none comes.
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_as_docker_writes_them() {
        let pair = |text: &str| {
            text.parse::<PortPair>()
                .map(|pair| (pair.local, pair.remote))
                .ok()
        };
        assert_eq!(pair("8080:80"), Some((8080, 80)));
        assert_eq!(pair("6006"), Some((6006, 6006)));
        assert_eq!(pair("0:80"), Some((0, 80)));
        for wrong in [
            "",
            "80:",
            ":80",
            "80:0",
            "70000:80",
            "127.0.0.1:80:80",
            "80/udp",
        ] {
            assert_eq!(pair(wrong), None, "{wrong}");
        }
    }
}
