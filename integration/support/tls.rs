//! A server that speaks TLS as this machine, for whoever trusts its certificate. Certificate and key
//! (`tls/`) are nobody's but the tests'; both are valid until 2120.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, Stream};

/// What was heard of each request: its head, in lower case.
pub type Heads = Arc<Mutex<Vec<String>>>;

/// The certificate's file, to be trusted.
pub fn certificate() -> PathBuf {
    super::repository().join("integration/support/tls/certificate.pem")
}

fn configuration() -> Arc<ServerConfig> {
    let key = super::repository().join("integration/support/tls/key.pem");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let configured = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_file(certificate()).unwrap()],
            PrivateKeyDer::from_pem_file(key).unwrap(),
        );
    Arc::new(configured.unwrap())
}

/// A server on 127.0.0.1 that answers each request as `answer` makes of its head, one a connection;
/// the port, and what it heard.
pub fn serve(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> (u16, Heads) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (heads, configuration) = (Heads::default(), configuration());
    let (heard, answer) = (heads.clone(), Arc::new(answer));
    std::thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            let (heard, answer) = (heard.clone(), answer.clone());
            let mut connection = ServerConnection::new(configuration.clone()).unwrap();
            std::thread::spawn(move || {
                // Whoever asks in the clear first, or distrusts the certificate, goes away.
                let _ = socket.set_read_timeout(Some(Duration::from_secs(20)));
                let mut stream = Stream::new(&mut connection, &mut socket);
                let mut head = vec![0; 16 << 10];
                let Ok(length @ 1..) = stream.read(&mut head) else {
                    return;
                };
                let head = String::from_utf8_lossy(&head[..length]).to_lowercase();
                let answer = answer(&head);
                heard.lock().unwrap().push(head);
                let _ = stream.write_all(answer.as_bytes());
                stream.conn.send_close_notify();
                let _ = stream.flush();
            });
        }
    });
    (port, heads)
}
