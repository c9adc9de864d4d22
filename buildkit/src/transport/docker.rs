//! `docker://`: the BuildKit inside a Docker daemon. Newer daemons speak
//! gRPC on their socket as it is; older ones after an HTTP/1.1 upgrade.

use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use mlbuild_docker::context::DockerHost;
use mlbuild_docker::transport::{BoxIo, DIAL_TIMEOUT, DialError};

/// Asks the daemon to speak HTTP/2 with its BuildKit on this connection: on `/grpc` as its
/// server, on `/session` as its client.
pub(super) async fn upgrade(
    io: BoxIo,
    host: &DockerHost,
    path: &'static str,
    headers: HeaderMap,
) -> Result<BoxIo, DialError> {
    let fail = |reason: String| DialError::NoUpgrade {
        address: host.to_string(),
        reason,
    };
    let ask = async {
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(io)).await?;
        tokio::spawn(connection.with_upgrades());
        let mut request = Request::post(path)
            .header(header::HOST, "docker")
            .header(header::CONNECTION, "Upgrade")
            .header(header::UPGRADE, "h2c")
            .body(Empty::<bytes::Bytes>::new())
            .expect("a constant request");
        request.headers_mut().extend(headers);
        sender.send_request(request).await
    };
    let response = match tokio::time::timeout(DIAL_TIMEOUT, ask).await {
        Ok(response) => response.map_err(|e| fail(e.to_string()))?,
        Err(_) => return Err(fail("no answer".to_string())),
    };
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let status = response.status();
        let body = match response.into_body().collect().await {
            Ok(body) => String::from_utf8_lossy(&body.to_bytes()).into_owned(),
            Err(e) => e.to_string(),
        };
        return Err(fail(format!("{status} {}", body.trim())));
    }
    let upgraded = hyper::upgrade::on(response)
        .await
        .map_err(|e| fail(e.to_string()))?;
    Ok(Box::new(TokioIo::new(upgraded)))
}
