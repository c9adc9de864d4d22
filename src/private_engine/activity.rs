//! Whether anybody uses the builder: connections to its socket, and, with
//! Docker, containers that run.

use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::folder::{Kind, Launch};

/// Time that a daemon on this machine gets for a small answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Whether the daemon answers requests.
pub(super) async fn answers(launch: &Launch) -> bool {
    match launch.kind {
        // buildkitd listens once it is ready.
        Kind::Buildkitd => UnixStream::connect(&launch.socket).await.is_ok(),
        Kind::Dockerd => get(&launch.socket, "/_ping").await.is_some(),
    }
}

/// Whether a client is connected or a container runs.
pub(super) async fn is_busy(launch: &Launch) -> bool {
    let table = tokio::fs::read_to_string("/proc/net/unix")
        .await
        .unwrap_or_default();
    if connections(&table, &launch.socket) > 0 {
        return true;
    }
    launch.kind == Kind::Dockerd
        && get(&launch.socket, "/containers/json")
            .await
            .is_some_and(|list| list.trim() != "[]")
}

/// Established connections to a socket, in the text of `/proc/net/unix`.
fn connections(table: &str, socket: &Path) -> usize {
    const CONNECTED: &str = "03";
    let socket = socket.to_string_lossy();
    table
        .lines()
        .filter(|line| {
            let mut fields = line.split_whitespace();
            fields.nth(5) == Some(CONNECTED) && fields.nth(1) == Some(&*socket)
        })
        .count()
}

/// The body of a 200 answer.
async fn get(socket: &Path, path: &str) -> Option<String> {
    let exchange = async {
        let mut stream = UnixStream::connect(socket).await.ok()?;
        let request = format!("GET {path} HTTP/1.0\r\nHost: docker\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        head.split_whitespace()
            .nth(1)
            .filter(|code| *code == "200")?;
        Some(body.to_owned())
    };
    tokio::time::timeout(ANSWER_TIMEOUT, exchange).await.ok()?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn counts_the_connections_to_one_socket() {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("s");
        let count = || {
            connections(
                &std::fs::read_to_string("/proc/net/unix").expect("Linux"),
                &socket,
            )
        };
        let listener = tokio::net::UnixListener::bind(&socket).expect("bound");
        assert_eq!(count(), 0);
        let client = UnixStream::connect(&socket).await.expect("connected");
        let (server, _) = listener.accept().await.expect("accepted");
        assert_eq!(count(), 1);
        drop((client, server));
        assert_eq!(count(), 0);
    }
}
