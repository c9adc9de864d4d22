//! Whoever is between an agent and the queue's database.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc;
use std::time::Duration;

use crate::support::mlbuild::{Project, Ran};

/// A server that says that it knows no TLS, as somebody on the way would, and hears what comes then.
fn without_tls() -> (u16, mpsc::Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, heard) = mpsc::channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        // A client that goes on would wait for an answer.
        let _ = stream.set_read_timeout(Some(Duration::from_secs(3)));
        let mut question = [0; 8];
        let _ = stream.read_exact(&mut question);
        let _ = stream.write_all(b"N");
        let mut after = Vec::new();
        let mut piece = [0; 256];
        while let Ok(length @ 1..) = stream.read(&mut piece) {
            after.extend_from_slice(&piece[..length]);
        }
        let _ = tell.send([&question[..], &after].concat());
    });
    (port, heard)
}

/// `SSLRequest`: a length of 8, and 80877103.
const ASKS_FOR_TLS: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

#[test]
fn a_database_off_this_machine_that_denies_tls_hears_no_name_and_no_password() {
    let project = Project::new(&[]);
    let (port, heard) = without_tls();
    // The kernel takes this address for this machine; it is none of loopback.
    let store = format!("postgres://me:hunter2@0.0.0.0:{port}/q");
    let mut command = project.command(["queue", "list"]);
    let ran = Ran::of(command.env("MLBUILD_QUEUE_STORE", store));
    assert_ne!(ran.code, Some(0));
    println!("refused: {}", ran.stderr);
    assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
    let heard = heard.recv_timeout(Duration::from_secs(20));
    assert_eq!(heard.expect("it was asked"), ASKS_FOR_TLS);
}
