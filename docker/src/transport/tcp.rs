//! `tcp://`: a port, plain or with TLS.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{BoxIo, DIAL_TIMEOUT, DialError};
use crate::tls::{TlsError, TlsOptions};

/// A ready TLS configuration and the name to check.
#[derive(Clone)]
pub struct Tls {
    connector: TlsConnector,
    server_name: ServerName<'static>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Tls").field(&self.server_name).finish()
    }
}

impl Tls {
    pub(super) fn new(
        options: &TlsOptions,
        verify: bool,
        host: &str,
        alpn: &[&[u8]],
    ) -> Result<Self, TlsError> {
        let name = options.server_name.as_deref().unwrap_or(host);
        let server_name = ServerName::try_from(name.to_string())
            .map_err(|_| TlsError::ServerName(name.to_string()))?;
        Ok(Self {
            connector: TlsConnector::from(Arc::new(options.client_config(verify, alpn)?)),
            server_name,
        })
    }
}

pub(super) async fn dial(host: &str, port: u16, tls: Option<&Tls>) -> Result<BoxIo, DialError> {
    let address = if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    };
    let connect = async {
        let stream = TcpStream::connect((host, port))
            .await
            .and_then(|stream| keep_alive(&stream).map(|()| stream))
            .map_err(|source| DialError::Refused {
                address: address.clone(),
                source,
            })?;
        match tls {
            None => Ok(Box::new(stream) as BoxIo),
            Some(tls) => {
                let connect = tls.connector.connect(tls.server_name.clone(), stream);
                let stream = connect.await.map_err(|source| DialError::Handshake {
                    address: address.clone(),
                    source,
                })?;
                Ok(Box::new(stream) as BoxIo)
            }
        }
    };
    match tokio::time::timeout(DIAL_TIMEOUT, connect).await {
        Ok(result) => result,
        Err(_) => Err(DialError::TimedOut {
            address,
            after: DIAL_TIMEOUT,
        }),
    }
}

/// A builder that vanishes without a word (power, cable) is noticed within a
/// minute. HTTP/2 pings would do the same, but Go's gRPC servers hang up on
/// clients that ping more than every five minutes.
fn keep_alive(stream: &TcpStream) -> std::io::Result<()> {
    use rustix::net::sockopt;
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, Duration::from_secs(15))?;
    sockopt::set_tcp_keepintvl(stream, Duration::from_secs(10))?;
    sockopt::set_tcp_keepcnt(stream, 4)?;
    Ok(())
}
