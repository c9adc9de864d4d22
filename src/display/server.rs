//! The beginning of an X11 connection, and the two requests about who is let in without a cookie.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::authority::{Cookie, MAGIC_COOKIE};

/// A server that says nothing for so long doesn't answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
const CHANGE_HOSTS: u8 = 109;
const LIST_HOSTS: u8 = 110;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Nothing listens, or what does says nothing that X servers say.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The server refuses; its words.
    #[error("{0}")]
    Refused(String),
}

/// Somebody who needs no cookie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guest {
    family: u8,
    address: Vec<u8>,
}

impl Guest {
    const LOCAL: u8 = 252;
    const SERVER_INTERPRETED: u8 = 5;

    /// Every program of this machine: `xhost +local:`.
    pub fn everybody_here() -> Self {
        Self {
            family: Self::LOCAL,
            address: Vec::new(),
        }
    }

    /// The programs of one user of this machine: `xhost +SI:localuser:#UID`.
    pub fn user(uid: u32) -> Self {
        Self {
            family: Self::SERVER_INTERPRETED,
            address: format!("localuser\0#{uid}").into_bytes(),
        }
    }

    /// Whether it is more than one user.
    pub fn is_wide(&self) -> bool {
        self.family != Self::SERVER_INTERPRETED
    }
}

/// As `xhost` writes it.
impl std::fmt::Display for Guest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = String::from_utf8_lossy(&self.address);
        match (self.family, self.address.as_slice()) {
            (Self::LOCAL, _) => f.write_str("local:"),
            (Self::SERVER_INTERPRETED, _) => write!(f, "SI:{}", text.replace('\0', ":")),
            (0, [a, b, c, d]) => write!(f, "inet:{a}.{b}.{c}.{d}"),
            (6, _) => f.write_str("inet6:"),
            (family, _) => write!(f, "family {family}"),
        }
    }
}

/// Who is let in without a cookie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// False where everybody is: `xhost +`.
    pub controlled: bool,
    /// Those who are.
    pub guests: Vec<Guest>,
}

/// A way to a server.
trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// A server that let this program in.
pub struct Server {
    stream: Box<dyn Stream>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Server")
    }
}

impl Server {
    /// Connects to a socket.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn at_socket(socket: &Path, cookie: Option<&Cookie>) -> Result<Self, OpenError> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
        Self::open(Box::new(stream), cookie)
    }

    /// Connects over TCP.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn at_port(host: &str, port: u16, cookie: Option<&Cookie>) -> Result<Self, OpenError> {
        let stream = connect(host, port)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
        Self::open(Box::new(stream), cookie)
    }

    fn open(mut stream: Box<dyn Stream>, cookie: Option<&Cookie>) -> Result<Self, OpenError> {
        // Little-endian, protocol 11.0.
        let (name, data) = match cookie {
            Some(cookie) => (MAGIC_COOKIE, cookie.0.as_slice()),
            None => (&[][..], &[][..]),
        };
        let mut hello = vec![b'l', 0, 11, 0, 0, 0];
        hello.extend(length(name.len()).to_le_bytes());
        hello.extend(length(data.len()).to_le_bytes());
        hello.extend([0, 0]);
        for part in [name, data] {
            hello.extend(part);
            hello.resize(hello.len().next_multiple_of(4), 0);
        }
        stream.write_all(&hello)?;
        let mut head = [0; 8];
        stream.read_exact(&mut head)?;
        let mut rest = vec![0; 4 * usize::from(u16::from_le_bytes([head[6], head[7]]))];
        stream.read_exact(&mut rest)?;
        match head[0] {
            1 => Ok(Self { stream }),
            0 => {
                rest.truncate(usize::from(head[1]));
                Err(OpenError::Refused(plain(&rest)))
            }
            2 => Err(OpenError::Refused(plain(&rest))),
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "what listens there is no X server",
            )
            .into()),
        }
    }

    /// Who is let in without a cookie.
    ///
    /// # Errors
    /// Where the connection breaks.
    pub fn access(&mut self) -> io::Result<Access> {
        self.stream.write_all(&[LIST_HOSTS, 0, 1, 0])?;
        let mut head = [0; 32];
        loop {
            self.stream.read_exact(&mut head)?;
            match head[0] {
                0 => return Err(refused(head[1])),
                1 => break,
                // An event, which nobody asked for.
                _ => {}
            }
        }
        let mut rest = vec![0; 4 * usize::from(u16::from_le_bytes([head[4], head[5]]))];
        self.stream.read_exact(&mut rest)?;
        let mut guests = Vec::new();
        let mut rest = rest.as_slice();
        while let Some((&[family, _, low, high], after)) = rest.split_first_chunk::<4>() {
            let length = usize::from(u16::from_le_bytes([low, high]));
            let Some((address, _)) = after.split_at_checked(length) else {
                break;
            };
            guests.push(Guest {
                family,
                address: address.to_vec(),
            });
            rest = after.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(Access {
            controlled: head[1] != 0,
            guests,
        })
    }

    /// Lets somebody in without a cookie, or no longer.
    ///
    /// # Errors
    /// Where the server doesn't let this program decide it, or the connection breaks.
    pub fn let_in(&mut self, guest: &Guest, allowed: bool) -> io::Result<()> {
        let mut address = guest.address.clone();
        address.resize(address.len().next_multiple_of(4), 0);
        let mut request = vec![CHANGE_HOSTS, u8::from(!allowed)];
        request.extend(length(2 + address.len() / 4).to_le_bytes());
        request.extend([guest.family, 0]);
        request.extend(length(guest.address.len()).to_le_bytes());
        request.extend(address);
        self.stream.write_all(&request)?;
        // It isn't answered; an error stands before the answer to the next request.
        self.access().map(drop)
    }
}

/// Connects to the first address of a host that answers.
///
/// # Errors
/// Where none does.
pub fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, ANSWER_TIMEOUT) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn refused(code: u8) -> io::Error {
    let why = match code {
        10 => "the X server doesn't let programs from here decide who is let in".to_owned(),
        code => format!("the X server answered with error {code}"),
    };
    io::Error::new(io::ErrorKind::PermissionDenied, why)
}

/// What has no more than some dozens of bytes.
fn length(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}

/// A server's words on one line, without what a terminal would obey.
fn plain(words: &[u8]) -> String {
    let words = String::from_utf8_lossy(words);
    let clean: String = words
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    match clean.trim() {
        "" => "it gives no reason".to_owned(),
        words => words.to_owned(),
    }
}
