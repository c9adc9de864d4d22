//! What is wanted of this session's display.

use crate::start::StartRequest;

/// A container that opens windows.
#[derive(Debug, Clone)]
pub struct GuiRequest {
    /// The container.
    pub start: StartRequest,
    /// What it gets of this session.
    pub display: DisplayRequest,
}

/// What a container gets of this session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DisplayRequest {
    /// The way to the display.
    pub access: DisplayAccess,
    /// Whether it gets the Wayland socket, too.
    pub wayland: bool,
    /// Cameras, by device; `auto` is the only one that there is.
    pub cameras: Vec<String>,
    /// Whether it gets the sound server.
    pub audio: bool,
}

/// How a program gets to the display.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisplayAccess {
    /// A cookie of its own, and nothing else.
    Isolated,
    /// As the host's uid and gid.
    Uid,
    /// As the host's user, with name and home.
    AsMe,
    /// Without a cookie.
    Xhost,
}

impl DisplayAccess {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Isolated, Self::Uid, Self::AsMe, Self::Xhost];
    /// Their names, in the same order.
    pub const NAMES: &'static [&'static str] = &["isolated", "uid", "as-me", "xhost"];

    /// Its name, as the command line and records have it.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// Whether the program runs as the host's user.
    pub fn is_host_user(self) -> bool {
        matches!(self, Self::Uid | Self::AsMe)
    }
}
