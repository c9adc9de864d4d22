//! What is set up on this machine for one run, and undone when it is over, however it ends.

use std::path::PathBuf;

use super::request::{DisplayAccess, DisplayRequest};
use super::session::Session;
use crate::display::Surroundings;
use crate::display::accounts::{Accounts, Me};
use crate::display::find::{self, X11};
use crate::display::folder::PrivateFolder;
use crate::display::image::Inside;
use crate::display::relay;
use crate::display::server::{Guest, Server};
use crate::reporter::Reporter;
use crate::start::Start;
use crate::start::StartError;

/// Files of this machine that the container gets.
#[derive(Debug, Clone, Default)]
pub(super) struct Files {
    /// The display's socket.
    pub(super) socket: PathBuf,
    pub(super) cookie: Option<PathBuf>,
    /// passwd and group.
    pub(super) accounts: Option<(PathBuf, PathBuf, Accounts)>,
}

/// It is undone when it is dropped.
pub(super) struct SetUp<'r> {
    pub(super) files: Files,
    /// Dropped before the folder goes.
    _opened: Option<Opened<'r>>,
    pub(super) folder: PrivateFolder,
}

impl<'r> SetUp<'r> {
    /// Makes the private folder and what is in it; opens the display where that is the way.
    ///
    /// # Errors
    /// Where the folder can't be written to, or the display doesn't let itself be opened.
    pub(super) fn make(
        host: &Surroundings,
        session: &Session,
        display: &DisplayRequest,
        start: &Start,
        inside: &Inside,
        reporter: &'r dyn Reporter,
    ) -> Result<Self, StartError> {
        let folder = PrivateFolder::make(host);
        let folder = folder.map_err(|source| StartError::PrivateFolder {
            base: PrivateFolder::base(host),
            source,
        })?;
        let failed = |source| StartError::File {
            path: folder.path(""),
            source,
        };
        let mut files = Files::default();
        let mut opened = None;
        if let Some(x11) = &session.x11 {
            files.socket = x11.name.local().socket();
            if let (Some(far), Some(port)) = (&x11.name.host, x11.name.port()) {
                files.socket = folder.path(&format!("X{}", x11.name.number));
                relay::start(&files.socket, far.clone(), port).map_err(failed)?;
            }
            match (&x11.cookie, display.access) {
                (_, DisplayAccess::Xhost) => {
                    opened = Opened::to(host, x11, guest(start, inside), reporter)?
                }
                (Some(cookie), _) => {
                    files.cookie = Some(
                        folder
                            .write_cookie(x11.name.number, cookie)
                            .map_err(failed)?,
                    );
                }
                (None, _) => {}
            }
        }
        if display.access == DisplayAccess::AsMe {
            let passwd = std::fs::read_to_string(host.path("/etc/passwd")).unwrap_or_default();
            let mut me = Me::this(&passwd, host.var("USER"));
            if start.runtime.docker.is_some() && start.runtime.is_rootless() {
                // There, root is this user.
                (me.uid, me.gid) = (0, 0);
            }
            let accounts = me.among(&inside.passwd, &inside.group);
            let passwd = folder
                .write("passwd", accounts.passwd.as_bytes())
                .map_err(failed)?;
            let group = folder
                .write("group", accounts.group.as_bytes())
                .map_err(failed)?;
            files.accounts = Some((passwd, group, accounts));
        }
        Ok(Self {
            files,
            _opened: opened,
            folder,
        })
    }
}

/// The user that the program runs as, where it is known outside; else everybody here.
fn guest(start: &Start, inside: &Inside) -> Guest {
    match inside.uid {
        Some(uid) if start.runtime.keeps_uids() => Guest::user(uid),
        _ => Guest::everybody_here(),
    }
}

/// A display that somebody is let into until this is dropped.
struct Opened<'r> {
    /// Kept, because a server forgets whom it lets in when the last program has gone.
    server: Server,
    display: X11,
    guest: Guest,
    reporter: &'r dyn Reporter,
}

impl<'r> Opened<'r> {
    /// `None` where that guest is let in anyway.
    fn to(
        host: &Surroundings,
        display: &X11,
        guest: Guest,
        reporter: &'r dyn Reporter,
    ) -> Result<Option<Self>, StartError> {
        let failed = |error: &dyn std::fmt::Display| StartError::NotOpened {
            display: display.name.to_string(),
            guest: guest.to_string(),
            why: error.to_string(),
        };
        let mut server = find::open(host, display).map_err(|error| failed(&error))?;
        let access = server.access().map_err(|error| failed(&error))?;
        if !access.controlled || access.guests.contains(&guest) {
            return Ok(None);
        }
        server
            .let_in(&guest, true)
            .map_err(|error| failed(&error))?;
        let whom = if guest.is_wide() {
            "every program of this machine".to_owned()
        } else {
            format!("every program of that user ({guest})")
        };
        reporter.warning(format!(
            "xhost: until this run ends, {whom} can see this display, read its keys and type on it"
        ));
        Ok(Some(Self {
            server,
            display: display.clone(),
            guest,
            reporter,
        }))
    }
}

impl Drop for Opened<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.server.let_in(&self.guest, false) {
            self.reporter.warning(format!(
                "the display {} is still open to {} ({error}): xhost -{}",
                self.display.name, self.guest, self.guest
            ));
        }
    }
}
