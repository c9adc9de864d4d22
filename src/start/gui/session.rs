//! What this session has for a window: looked for, and tried out, before anything is started.

use std::path::PathBuf;

use super::request::{DisplayAccess, DisplayRequest};
use crate::display::Surroundings;
use crate::display::camera::{self, Camera};
use crate::display::find::{self, Trouble, X11};
use crate::display::image::Inside;
use crate::display::sound::{self, Sound};
use crate::display::wayland;
use crate::reporter::Reporter;
use crate::runtime::RunSpec;
use crate::start::runtime_cli::ContainerRuntime;
use crate::start::{ProgramUser, StartError};

/// What there is, and is wanted.
#[derive(Debug, Clone, Default)]
pub(super) struct Session {
    pub(super) x11: Option<X11>,
    pub(super) wayland: Option<PathBuf>,
    pub(super) cameras: Vec<Camera>,
    pub(super) sound: Option<Sound>,
}

impl Session {
    /// Finds it; `only_names` leaves out what has to be asked.
    ///
    /// # Errors
    /// Where something that is wanted isn't there.
    pub(super) fn find(
        host: &Surroundings,
        wanted: &DisplayRequest,
        only_names: bool,
        reporter: &dyn Reporter,
    ) -> Result<Self, StartError> {
        let only_wayland = host.var("DISPLAY").is_none() && host.var("WAYLAND_DISPLAY").is_some();
        if only_wayland && !wanted.wayland {
            reporter.note("there is no DISPLAY: the program gets the Wayland socket alone");
        }
        let x11 = match (only_wayland, only_names) {
            (true, _) => None,
            (false, false) => Some(find::x11(host)?),
            (false, true) => Some(X11 {
                name: named(host)?,
                cookie: Some(crate::display::authority::Cookie(Vec::new())),
            }),
        };
        if wanted.access == DisplayAccess::Xhost
            && x11.as_ref().is_some_and(|x11| x11.name.host.is_some())
        {
            return Err(StartError::XhostOverSsh);
        }
        Ok(Self {
            x11,
            wayland: (wanted.wayland || only_wayland)
                .then(|| wayland::socket(host))
                .transpose()?,
            cameras: wanted
                .cameras
                .iter()
                .map(|asked| camera::choose(host, asked))
                .collect::<Result<_, _>>()?,
            sound: wanted.audio.then(|| sound::sockets(host)).transpose()?,
        })
    }
}

fn named(host: &Surroundings) -> Result<crate::display::name::DisplayName, Trouble> {
    Ok(host.var("DISPLAY").ok_or(Trouble::Unset)?.parse()?)
}

/// Sockets that open to this user alone are of no use to another.
///
/// # Errors
/// Where the program runs as another user than such a socket wants.
pub(super) fn check_user(
    host: &Surroundings,
    session: &Session,
    wanted: &DisplayRequest,
    spec: &RunSpec,
    inside: Option<&Inside>,
    runtime: &ContainerRuntime,
    reporter: &dyn Reporter,
) -> Result<(), StartError> {
    let own = rustix::process::geteuid().as_raw();
    let uid = inside.and_then(|inside| inside.uid);
    let is_other =
        !wanted.access.is_host_user() && runtime.keeps_uids() && uid.is_some_and(|uid| uid != own);
    // Root opens the sockets of others, as long as it has its capabilities.
    let is_kept_out = is_other && (uid != Some(0) || wanted.access == DisplayAccess::Isolated);
    let program_user = || match spec.options.text("user") {
        Some(user) => ProgramUser::Named(user.to_owned()),
        None => ProgramUser::Uid(uid.unwrap_or_default()),
    };
    let refused = |socket| StartError::SocketOfAnother {
        socket,
        own,
        program: program_user(),
    };
    if session.wayland.is_some() && is_kept_out {
        return Err(refused("Wayland socket"));
    }
    if session.sound.is_some() && is_kept_out {
        return Err(refused("sound server"));
    }
    let Some(x11) = session.x11.as_ref().filter(|x11| x11.cookie.is_none()) else {
        return Ok(());
    };
    // It let this program in without one: everybody, or this user alone.
    let access = find::open(host, x11)
        .ok()
        .and_then(|mut server| server.access().ok());
    let everybody = access.is_none_or(|access| {
        !access.controlled || access.guests.iter().any(|guest| guest.is_wide())
    });
    match (wanted.access, everybody, is_other) {
        (DisplayAccess::Xhost, ..) | (_, false, false) => {}
        (_, true, _) => reporter.warning(format!(
            "the display {} lets everybody in without a cookie; xhost - closes it",
            x11.name
        )),
        (_, false, true) => {
            return Err(StartError::NoCookieForProgram {
                display: x11.name.to_string(),
                program: program_user(),
            });
        }
    }
    Ok(())
}
