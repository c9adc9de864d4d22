//! The flags that `mlbuild gui-run` has beside those of `mlbuild run`.

use mlbuild::runtime::{Flag, Kind, Options, Value};
use mlbuild::start::gui::{DisplayAccess, DisplayRequest};

/// The flags.
pub(super) static FLAGS: &[Flag] = &[
    Flag::one("display-access", Kind::OneOf(DisplayAccess::NAMES), "isolated|uid|as-me|xhost", "How the program gets to the display. isolated (default): a cookie of its own, no capabilities. uid: as your uid and gid. as-me: also with your name and a home. xhost: without a cookie; the display is opened to its user until the end.").own().not_in_config(),
    Flag::switch("wayland", "Give it this session's Wayland socket, too; by itself where there is no DISPLAY.").own().not_in_config(),
    Flag::list("camera", Kind::Text, "DEVICE", "Give it the camera; where there are several, this one (repeatable).").bare("auto").own().not_in_config(),
    Flag::switch("audio", "Give it this session's sound server, PipeWire or PulseAudio.").own().not_in_config(),
];

/// The flags, read.
pub(super) fn read(own: &Options) -> DisplayRequest {
    let text = |value: &Value| value.to_string();
    let access = own.text("display-access");
    let access = DisplayAccess::ALL
        .into_iter()
        .find(|way| access == Some(way.name()));
    DisplayRequest {
        access: access.unwrap_or(DisplayAccess::Isolated),
        wayland: own.is_on("wayland"),
        cameras: own.all("camera").map(text).collect(),
        audio: own.is_on("audio"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_has_its_name() {
        let names = DisplayAccess::ALL.map(DisplayAccess::name);
        assert_eq!(names, DisplayAccess::NAMES);
        let read = |words: &[&str]| read(&super::super::GRAMMAR.parse(words).unwrap().own);
        for (way, word) in [
            (DisplayAccess::Isolated, "isolated"),
            (DisplayAccess::Uid, "uid"),
            (DisplayAccess::AsMe, "as-me"),
            (DisplayAccess::Xhost, "xhost"),
        ] {
            assert_eq!(read(&["--display-access", word, "img"]).access, way);
        }
        let flags = read(&["--camera", "--camera=/dev/video2", "--audio", "img"]);
        assert_eq!(flags.cameras, ["auto", "/dev/video2"]);
        assert!(flags.audio && !flags.wayland);
    }
}
