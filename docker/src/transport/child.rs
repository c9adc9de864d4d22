//! A byte stream through a helper program's stdin and stdout. What it writes
//! to stderr is kept, because it alone tells why a connection failed.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

use super::{BoxIo, DialError};
use crate::env::Env;

/// How much of a program's stderr is kept: enough for an error, bounded for a
/// long build. Bytes.
const STDERR_KEPT: usize = 4096;

/// A program and its arguments.
#[derive(Clone, Debug)]
pub struct ChildCommand {
    program: String,
    args: Vec<String>,
    /// Where it leads, for messages.
    address: String,
}

impl ChildCommand {
    /// A program without arguments, that leads to `address`.
    pub fn new(program: &str, address: String) -> Self {
        Self {
            program: program.to_string(),
            args: Vec::new(),
            address,
        }
    }

    /// Adds an argument.
    pub fn arg(&mut self, arg: impl Into<String>) {
        self.args.push(arg.into());
    }

    /// Adds arguments.
    pub fn args<'a>(&mut self, args: impl IntoIterator<Item = &'a str>) {
        self.args.extend(args.into_iter().map(String::from));
    }
}

impl fmt::Display for ChildCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.program)?;
        self.args.iter().try_for_each(|arg| write!(f, " {arg}"))
    }
}

/// The last bytes that a program wrote to stderr.
#[derive(Clone, Debug, Default)]
pub struct Stderr(Arc<Mutex<Vec<u8>>>);

impl Stderr {
    pub(super) fn text(&self) -> Option<String> {
        let kept = self.0.lock().unwrap_or_else(|e| e.into_inner());
        let text = String::from_utf8_lossy(&kept).trim().to_string();
        (!text.is_empty()).then_some(text)
    }

    async fn collect(self, mut from: ChildStderr) {
        let mut buffer = [0; 1024];
        while let Ok(n @ 1..) = from.read(&mut buffer).await {
            let mut kept = self.0.lock().unwrap_or_else(|e| e.into_inner());
            kept.extend_from_slice(&buffer[..n]);
            let excess = kept.len().saturating_sub(STDERR_KEPT);
            kept.drain(..excess);
        }
    }
}

pub(super) fn dial(command: &ChildCommand, env: &Env, stderr: &Stderr) -> Result<BoxIo, DialError> {
    let mut child = Command::new(&command.program)
        .args(&command.args)
        .env_clear()
        .envs(env.iter())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Ctrl-C on the terminal must reach us alone: the connection is needed
        // to cancel the build at the other end.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|source| DialError::Program {
            program: command.program.clone(),
            address: command.address.clone(),
            source,
        })?;
    let take = "the stream was asked for as a pipe";
    tokio::spawn(stderr.clone().collect(child.stderr.take().expect(take)));
    Ok(Box::new(ChildIo {
        stdin: child.stdin.take().expect(take),
        stdout: child.stdout.take().expect(take),
        _child: child,
    }))
}

struct ChildIo {
    stdin: ChildStdin,
    stdout: ChildStdout,
    /// Killed when dropped.
    _child: Child,
}

impl AsyncRead for ChildIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdout).poll_read(cx, buf)
    }
}

impl AsyncWrite for ChildIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stdin).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stdin).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stdin.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdin).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdin).poll_shutdown(cx)
    }
}
