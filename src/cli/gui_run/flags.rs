//! The flags that `mlbuild gui-run` has beside those of `mlbuild run`.

use crate::runtime::{Flag, Kind, Options, Value};

const WAYS: &[&str] = &["isolated", "uid", "as-me", "xhost"];

/// The flags.
pub(super) static FLAGS: &[Flag] = &[
    Flag::one("display-access", Kind::OneOf(WAYS), "isolated|uid|as-me|xhost", "How the program gets to the display. isolated (default): a cookie of its own, no capabilities. uid: as your uid and gid. as-me: also with your name and a home. xhost: without a cookie; the display is opened to its user until the end.").own().not_in_config(),
    Flag::switch("wayland", "Give it this session's Wayland socket, too; by itself where there is no DISPLAY.").own().not_in_config(),
    Flag::list("camera", Kind::Text, "DEVICE", "Give it the camera; where there are several, this one (repeatable).").bare("auto").own().not_in_config(),
    Flag::switch("audio", "Give it this session's sound server, PipeWire or PulseAudio.").own().not_in_config(),
];

/// How the program gets to the display.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// A cookie of its own, and nothing else.
    Isolated,
    /// As the host's uid and gid.
    Uid,
    /// As the host's user, with name and home.
    AsMe,
    /// Without a cookie.
    Xhost,
}

impl Access {
    /// Its name on the command line.
    pub(super) fn word(self) -> &'static str {
        WAYS[self as usize]
    }

    /// Whether the program runs as the host's user.
    pub(super) fn is_host_user(self) -> bool {
        matches!(self, Self::Uid | Self::AsMe)
    }
}

/// The flags, read.
#[derive(Debug, Clone)]
pub(super) struct GuiFlags {
    pub(super) access: Access,
    pub(super) wayland: bool,
    pub(super) cameras: Vec<String>,
    pub(super) audio: bool,
}

impl GuiFlags {
    pub(super) fn read(own: &Options) -> Self {
        let text = |value: &Value| value.to_string();
        Self {
            access: match own.text("display-access") {
                Some("uid") => Access::Uid,
                Some("as-me") => Access::AsMe,
                Some("xhost") => Access::Xhost,
                _ => Access::Isolated,
            },
            wayland: own.is_on("wayland"),
            cameras: own.all("camera").map(text).collect(),
            audio: own.is_on("audio"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_has_its_name() {
        let names = [Access::Isolated, Access::Uid, Access::AsMe, Access::Xhost].map(Access::word);
        assert_eq!(names, WAYS);
        let read =
            |words: &[&str]| GuiFlags::read(&super::super::GRAMMAR.parse(words).unwrap().own);
        for (way, word) in [
            (Access::Isolated, "isolated"),
            (Access::Uid, "uid"),
            (Access::AsMe, "as-me"),
            (Access::Xhost, "xhost"),
        ] {
            assert_eq!(read(&["--display-access", word, "img"]).access, way);
        }
        let flags = read(&["--camera", "--camera=/dev/video2", "--audio", "img"]);
        assert_eq!(flags.cameras, ["auto", "/dev/video2"]);
        assert!(flags.audio && !flags.wayland);
    }
}
