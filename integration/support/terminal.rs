//! A program under a terminal of its own, read to the last byte.
//!
//! `script` gives up reading a few milliseconds after its program has ended, which on a busy
//! machine loses the last words.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::wait::HANG;

/// A running program and the other end of its terminal.
pub struct Terminal {
    /// The program itself: `setsid` turns into it.
    pub child: Child,
    master: File,
}

impl Terminal {
    /// Starts a command with a new terminal as input, output, errors and controlling terminal.
    pub fn start(command: &Command) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&master).expect("a terminal of ours");
        unlockpt(&master).expect("a terminal to open");
        let name: CString = ptsname(&master, Vec::new()).expect("a name");
        let open = || {
            let path = std::ffi::OsStr::from_bytes(name.to_bytes());
            let file = File::options().read(true).write(true).open(path);
            Stdio::from(file.expect("the terminal's own end"))
        };
        let mut under = Command::new("setsid");
        under
            .arg("--ctty")
            .arg(command.get_program())
            .args(command.get_args())
            .stdin(open())
            .stdout(open())
            .stderr(open());
        if let Some(folder) = command.get_current_dir() {
            under.current_dir(folder);
        }
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => under.env(name, value),
                None => under.env_remove(name),
            };
        }
        let child = under.spawn().expect("setsid");
        Self {
            child,
            master: File::from(master),
        }
    }

    /// Types something.
    pub fn type_in(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).expect("a reader");
    }

    /// Gives it another size, which its program is told.
    pub fn resize(&self, columns: u16, rows: u16) {
        let size = Winsize {
            ws_col: columns,
            ws_row: rows,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&self.master, size).expect("a terminal that has a size");
    }

    /// Reads until the text has been shown.
    pub fn until(&mut self, text: &str) -> String {
        let mut shown = Vec::new();
        while !String::from_utf8_lossy(&shown).contains(text) {
            let more = self.read(&mut shown, text);
            assert!(more, "it ended: {}", String::from_utf8_lossy(&shown));
        }
        String::from_utf8_lossy(&shown).replace('\r', "")
    }

    /// Reads to the end and waits for it.
    pub fn finish(mut self) -> (String, ExitStatus) {
        let mut shown = Vec::new();
        while self.read(&mut shown, "its end") {}
        let status = self.child.wait().expect("an end");
        (String::from_utf8_lossy(&shown).replace('\r', ""), status)
    }

    /// Reads what comes next; false at the end.
    fn read(&mut self, shown: &mut Vec<u8>, awaited: &str) -> bool {
        let limit = Timespec::try_from(HANG).expect("seconds");
        let mut ready = [PollFd::new(&self.master, PollFlags::IN)];
        if poll(&mut ready, Some(&limit)) == Ok(0) {
            let _ = self.child.kill();
            panic!(
                "waited for ever: {awaited}\n{}",
                String::from_utf8_lossy(shown)
            );
        }
        let mut piece = [0; 1024];
        match self.master.read(&mut piece) {
            Ok(read) => {
                shown.extend(&piece[..read]);
                read > 0
            }
            // A terminal that nobody has open any more says so by an error.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => {
                false
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => true,
            Err(error) => panic!("the terminal: {error}"),
        }
    }
}
