//! A display that is reached over TCP, such as ssh's, as a socket that can be mounted: a container
//! has a loopback of its own, where nothing listens.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread;

use super::server::connect;

/// Listens at `socket` and relays each connection to the port of a host, as long as this process
/// lives.
///
/// # Errors
/// Where the socket can't be made.
pub fn start(socket: &Path, host: String, port: u16) -> io::Result<()> {
    let listener = UnixListener::bind(socket)?;
    // Who may reach it is decided by its folder and by the cookie.
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o666))?;
    thread::Builder::new()
        .name("display relay".to_owned())
        .spawn(move || {
            for near in listener.incoming() {
                let Ok(near) = near else { break };
                let host = host.clone();
                // One that can't be relayed is closed, which the program sees.
                let _ = thread::Builder::new()
                    .spawn(move || connect(&host, port).and_then(|far| relay(&near, &far)));
            }
        })?;
    Ok(())
}

/// Both ways, each until its end.
fn relay(near: &UnixStream, far: &TcpStream) -> io::Result<()> {
    thread::scope(|scope| {
        scope.spawn(move || {
            let (mut from, mut to) = (far, near);
            let _ = io::copy(&mut from, &mut to);
            let _ = near.shutdown(Shutdown::Write);
        });
        let (mut from, mut to) = (near, far);
        let copied = io::copy(&mut from, &mut to);
        let _ = far.shutdown(Shutdown::Write);
        copied.map(drop)
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn bytes_pass_both_ways_and_ends_are_seen() {
        let far = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = far.local_addr().unwrap().port();
        thread::spawn(move || {
            for stream in far.incoming() {
                thread::spawn(move || {
                    let mut stream = stream.unwrap();
                    let mut all = Vec::new();
                    stream.read_to_end(&mut all).unwrap();
                    all.reverse();
                    stream.write_all(&all).unwrap();
                });
            }
        });
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("X10");
        start(&socket, "127.0.0.1".to_owned(), port).unwrap();
        let large: Vec<u8> = (0..1_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let mut streams: Vec<_> = (0..3)
            .map(|_| UnixStream::connect(&socket).unwrap())
            .collect();
        for stream in &mut streams {
            stream.write_all(&large).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut back = Vec::new();
            stream.read_to_end(&mut back).unwrap();
            back.reverse();
            assert!(back == large);
        }
    }
}
