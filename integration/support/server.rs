//! A server of a test's own: it answers by itself, or hands a request on to a real peer, as it is or with another
//! path. One request a connection, plain HTTP/1.1 by hand; bodies are kept in memory.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A request.
pub struct Request {
    pub method: String,
    /// With the query.
    pub path: String,
    pub body: Vec<u8>,
    /// Lines of its head, the first one left out.
    headers: Vec<String>,
}

impl Request {
    /// The value of a line of its head.
    pub fn header(&self, wanted: &str) -> Option<&str> {
        let mut lines = self.headers.iter().filter_map(|line| line.split_once(':'));
        let found = lines.find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| value.trim())
    }
}

/// What becomes of a request.
pub enum Act {
    /// It is handed on.
    Pass,
    /// It is handed on with this path.
    PassTo(String),
    /// It is answered here: status, further lines of the head, body.
    Answer(u16, String, Vec<u8>),
}

/// A server, until the tests end.
pub struct Server {
    /// `127.0.0.1:PORT`.
    pub address: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// One before a peer (`host:port`).
    pub fn before(peer: &str, act: impl Fn(&Request) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let (kept, peer, act) = (seen.clone(), peer.to_owned(), Arc::new(act));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (kept, peer, act) = (kept.clone(), peer.clone(), act.clone());
                // A client that goes away is its own affair.
                std::thread::spawn(move || one(stream, &peer, &*act, &kept));
            }
        });
        Self { address, seen }
    }

    /// What was asked since the last time, as `METHOD PATH`, with the status of what was answered here.
    pub fn seen(&self) -> Vec<String> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

fn one(
    stream: TcpStream,
    peer: &str,
    act: &dyn Fn(&Request) -> Act,
    seen: &Mutex<Vec<String>>,
) -> io::Result<()> {
    let mut from = BufReader::new(stream.try_clone()?);
    let request = read(&mut from)?;
    let (mut stream, act) = (stream, act(&request));
    let mut line = format!("{} {}", request.method, request.path);
    if let Act::Answer(status, ..) = act {
        line = format!("{line} {status}");
    }
    seen.lock().unwrap().push(line);
    let path = match act {
        Act::Answer(status, headers, body) => {
            let length = body.len();
            write!(
                stream,
                "HTTP/1.1 {status} Answer\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
            )?;
            return stream.write_all(&body);
        }
        Act::Pass => &request.path,
        Act::PassTo(ref path) => path,
    };
    let mut to = TcpStream::connect(peer)?;
    write!(to, "{} {path} HTTP/1.1\r\n", request.method)?;
    let is_kept = |line: &&String| !line.to_lowercase().starts_with("connection:");
    for header in request.headers.iter().filter(is_kept) {
        write!(to, "{header}\r\n")?;
    }
    write!(to, "Connection: close\r\n\r\n")?;
    to.write_all(&request.body)?;
    io::copy(&mut to, &mut stream)?;
    stream.shutdown(Shutdown::Both)
}

fn read(from: &mut BufReader<TcpStream>) -> io::Result<Request> {
    let mut line = || -> io::Result<String> {
        let mut line = String::new();
        from.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    };
    let first = line()?;
    let mut words = first.split(' ');
    let mut word = || words.next().unwrap_or_default().to_owned();
    let (method, path) = (word(), word());
    let mut headers = Vec::new();
    loop {
        match line()? {
            last if last.is_empty() => break,
            header => headers.push(header),
        }
    }
    let length = headers.iter().find_map(|header| {
        let (name, value) = header.split_once(':')?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        value.trim().parse().ok().filter(|_| is_length)
    });
    let mut body = vec![0; length.unwrap_or(0)];
    from.read_exact(&mut body)?;
    Ok(Request {
        method,
        path,
        body,
        headers,
    })
}
