//! What this session has for a window: looked for, and tried out, before anything is started.

use std::path::PathBuf;

use super::request::{DisplayAccess, DisplayRequest};
use crate::display::Surroundings;
use crate::display::camera::{self, Camera};
use crate::display::find::{self, Trouble, X11};
use crate::display::image::Inside;
use crate::display::sound::{self, Sound};
use crate::display::wayland;
use crate::error::{CommandError, CommandResult};
use crate::reporter::Reporter;
use crate::runtime::RunSpec;
use crate::start::runtime_cli::ContainerRuntime;

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
    ) -> CommandResult<Self> {
        let only_wayland = host.var("DISPLAY").is_none() && host.var("WAYLAND_DISPLAY").is_some();
        if only_wayland && !wanted.wayland {
            reporter.note("there is no DISPLAY: the program gets the Wayland socket alone");
        }
        let x11 = match (only_wayland, only_names) {
            (true, _) => None,
            (false, false) => Some(find::x11(host).map_err(no_display)?),
            (false, true) => Some(X11 {
                name: named(host).map_err(no_display)?,
                cookie: Some(crate::display::authority::Cookie(Vec::new())),
            }),
        };
        if wanted.access == DisplayAccess::Xhost
            && x11.as_ref().is_some_and(|x11| x11.name.host.is_some())
        {
            return Err(CommandError::user(
                "--display-access=xhost: ssh itself asks for the cookie, whoever the display lets in",
            )
            .hint("leave --display-access out: isolated works over ssh"));
        }
        let no_camera = |error: camera::NoCamera| {
            let hint = error.hint();
            CommandError::environment(error).hint(hint)
        };
        let no_wayland =
            |error: wayland::NoWayland| CommandError::environment(&error).hint(error.hint());
        let no_sound = |error| {
            CommandError::environment(error).hint("leave --audio out, or log in to a desktop")
        };
        Ok(Self {
            x11,
            wayland: (wanted.wayland || only_wayland)
                .then(|| wayland::socket(host))
                .transpose()
                .map_err(no_wayland)?,
            cameras: wanted
                .cameras
                .iter()
                .map(|asked| camera::choose(host, asked))
                .collect::<Result<_, _>>()
                .map_err(no_camera)?,
            sound: wanted
                .audio
                .then(|| sound::sockets(host))
                .transpose()
                .map_err(no_sound)?,
        })
    }
}

fn named(host: &Surroundings) -> Result<crate::display::name::DisplayName, Trouble> {
    Ok(host.var("DISPLAY").ok_or(Trouble::Unset)?.parse()?)
}

fn no_display(trouble: Trouble) -> CommandError {
    let hint = trouble.hint();
    match trouble.is_users() {
        true => CommandError::user(trouble),
        false => CommandError::environment(trouble),
    }
    .hint(hint)
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
) -> CommandResult {
    let own = rustix::process::geteuid().as_raw();
    let uid = inside.and_then(|inside| inside.uid);
    let is_other =
        !wanted.access.is_host_user() && runtime.keeps_uids() && uid.is_some_and(|uid| uid != own);
    // Root opens the sockets of others, as long as it has its capabilities.
    let is_kept_out = is_other && (uid != Some(0) || wanted.access == DisplayAccess::Isolated);
    let program_user = || match spec.options.text("user") {
        Some(user) => format!("--user {user}"),
        None => format!("uid {}", uid.unwrap_or_default()),
    };
    let to_type = "--display-access=uid runs it as you";
    if session.wayland.is_some() && is_kept_out {
        return Err(CommandError::user(format!(
            "the Wayland socket opens to your uid, {own}, and the program runs as {}",
            program_user()
        ))
        .hint(to_type));
    }
    if session.sound.is_some() && is_kept_out {
        return Err(CommandError::user(format!(
            "the sound server opens to your uid, {own}, and the program runs as {}",
            program_user()
        ))
        .hint(to_type));
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
            return Err(CommandError::environment(format!(
                "the display {} lets you in without a cookie, and nobody else; there is none that the program, {}, could use",
                x11.name,
                program_user()
            ))
            .hint(to_type));
        }
    }
    Ok(())
}
