//! A proxy before a real peer that does something to it after so many bytes: what networks and processes
//! do to each other. It listens where its peer does, on TCP or on a unix socket, and ends with the test.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{sleep, spawn};
use std::time::Duration;

use tempfile::TempDir;

/// What becomes of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// It takes all and says nothing any more.
    Stalls,
    /// It is gone: connections end, and no new one is answered.
    Goes,
    /// One connection ends in the middle; the next one works.
    HangsUp,
    /// As that, with a reset.
    Resets,
    /// Each piece comes late.
    Lags,
}

pub const DEATHS: [Death; 5] = [
    Death::Stalls,
    Death::Goes,
    Death::HangsUp,
    Death::Resets,
    Death::Lags,
];

const LAG: Duration = Duration::from_millis(20);

/// A peer behind the proxy.
pub struct Proxy {
    /// Where it listens: `host:port`, or `unix://PATH`.
    pub address: String,
    state: Arc<State>,
    _folder: Option<TempDir>,
}

struct State {
    death: Death,
    /// Bytes, in both directions and of all connections, until then.
    left: AtomicU64,
    /// It has happened, for what happens once.
    is_over: AtomicBool,
    /// The test has ended.
    has_ended: AtomicBool,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.has_ended.store(true, Ordering::Relaxed);
    }
}

/// One end of a connection.
enum Wire {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Wire {
    fn to(peer: &str) -> io::Result<Self> {
        match peer.strip_prefix("unix://") {
            Some(path) => UnixStream::connect(path).map(Self::Unix),
            None => TcpStream::connect(peer).map(Self::Tcp),
        }
    }

    fn again(&self) -> Self {
        match self {
            Self::Tcp(stream) => Self::Tcp(stream.try_clone().unwrap()),
            Self::Unix(stream) => Self::Unix(stream.try_clone().unwrap()),
        }
    }

    fn end(&self, how: Shutdown) {
        let _ = match self {
            Self::Tcp(stream) => stream.shutdown(how),
            Self::Unix(stream) => stream.shutdown(how),
        };
    }

    /// What was sent and not read is thrown away when it is closed, and the other side hears of a reset.
    fn reset(&self) {
        if let Self::Tcp(stream) = self {
            let at_once = Some(Duration::ZERO);
            let _ = rustix::net::sockopt::set_socket_linger(stream.as_fd(), at_once);
        }
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Proxy {
    /// Whether it has done what it does once.
    pub fn is_over(&self) -> bool {
        self.state.is_over.load(Ordering::Relaxed)
    }

    /// A peer that is gone is there again, for so many bytes.
    pub fn comes_back(&self, after: u64) {
        self.state.left.store(after, Ordering::Relaxed);
        self.state.is_over.store(false, Ordering::Relaxed);
    }

    /// A proxy before `peer` (`host:port`, or `unix://PATH`).
    pub fn to(peer: &str, death: Death, after: u64) -> Self {
        let state = Arc::new(State {
            death,
            left: AtomicU64::new(after),
            is_over: AtomicBool::new(false),
            has_ended: AtomicBool::new(false),
        });
        let (peer, shared) = (peer.to_owned(), state.clone());
        if peer.starts_with("unix://") {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("sock");
            let listener = UnixListener::bind(&path).unwrap();
            spawn(move || {
                for stream in listener.incoming().flatten() {
                    accept(Wire::Unix(stream), &peer, &shared);
                }
            });
            let address = format!("unix://{}", path.display());
            return Self {
                address,
                state,
                _folder: Some(folder),
            };
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        spawn(move || {
            for stream in listener.incoming().flatten() {
                accept(Wire::Tcp(stream), &peer, &shared);
            }
        });
        Self {
            address,
            state,
            _folder: None,
        }
    }
}

fn accept(client: Wire, peer: &str, state: &Arc<State>) {
    if state.death == Death::Goes && state.is_over.load(Ordering::Relaxed) {
        return;
    }
    let Ok(server) = Wire::to(peer) else { return };
    let (other_client, other_server) = (client.again(), server.again());
    let (one, two) = (state.clone(), state.clone());
    spawn(move || pass(other_client, other_server, &one));
    spawn(move || pass(server, client, &two));
}

fn pass(mut from: Wire, mut to: Wire, state: &State) {
    let mut piece = [0; 4 << 10];
    while let Ok(read @ 1..) = from.read(&mut piece) {
        let bytes = read as u64;
        let order = Ordering::Relaxed;
        let left = state
            .left
            .fetch_update(order, order, |left| Some(left.saturating_sub(bytes)));
        let is_now = left.unwrap_or(0) < bytes;
        let is_once = matches!(state.death, Death::HangsUp | Death::Resets);
        if is_now && !(is_once && state.is_over.swap(true, Ordering::Relaxed)) {
            match state.death {
                Death::Lags => sleep(LAG),
                Death::Stalls => {
                    while !state.has_ended.load(Ordering::Relaxed) {
                        sleep(Duration::from_millis(50));
                    }
                    break;
                }
                Death::Goes => {
                    state.is_over.store(true, Ordering::Relaxed);
                    break;
                }
                Death::HangsUp => {
                    // The piece breaks off in the middle.
                    let _ = to.write_all(&piece[..read / 2]);
                    break;
                }
                Death::Resets => {
                    from.reset();
                    to.reset();
                    break;
                }
            }
        }
        if to.write_all(&piece[..read]).is_err() {
            break;
        }
    }
    from.end(Shutdown::Both);
    to.end(Shutdown::Both);
}
