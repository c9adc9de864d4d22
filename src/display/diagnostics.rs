//! What programs say when no window opens, no camera answers or no sound comes: what it means here,
//! and what mends it. Each is explained once.

use std::sync::LazyLock;

use regex::bytes::Regex;

use super::image;
use crate::reporter::Remedy;

/// Longer lines are looked at in pieces.
const LONGEST: usize = 4096;

/// What a program said, explained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// What it means.
    pub meaning: String,
    /// What mends it.
    pub remedy: Remedy,
}

struct Known {
    words: Regex,
    meaning: &'static str,
    remedy: Remedy,
}

static KNOWN: LazyLock<Vec<Known>> = LazyLock::new(|| {
    let known = |words: &str, meaning, remedy| Known {
        words: Regex::new(words).expect("a regex of the program"),
        meaning,
        remedy,
    };
    vec![
        known(
            r"No protocol specified|Authorization required, but no authorization protocol|Invalid MIT-MAGIC-COOKIE-1",
            "the display refused the program: it showed no cookie, or one that is over. The cookie is where XAUTHORITY points, which sudo and su take away; those of ssh -X are over after 20 minutes",
            Remedy::KeepCookie,
        ),
        known(
            r#"Could not load the Qt platform plugin "xcb"|no Qt platform plugin could be initialized"#,
            "Qt found no display, lacks libraries, or is there twice (PyQt beside opencv-python)",
            Remedy::AddQtLibraries,
        ),
        known(
            r"(?i)(could not connect to|cannot open|can't open|unable to open|couldn't connect to|cannot connect to( X)?|failed to open) (X )?(display|server)|no display name and no \$DISPLAY",
            "the program didn't reach the display: it looked at another DISPLAY, or was refused",
            Remedy::KeepDisplay,
        ),
        known(
            r"X_ShmAttach|\(MIT-SHM\)|MIT-SHM.*BadAccess",
            "the program hands pictures over in shared memory, which the container doesn't share with the display",
            Remedy::ShareMemory,
        ),
        known(
            r"(?s)The function is not implemented\. Rebuild the library with.*(GTK|Cocoa|Qt)",
            "this OpenCV was made without windows",
            Remedy::TakeOpencvWithWindows,
        ),
        known(
            r"libGL error|MESA-LOADER: failed|failed to load driver: (swrast|iris|radeonsi|nouveau)|Could not initialize GLX|couldn't find RGB GLX visual",
            "OpenGL found no driver in the image",
            Remedy::AddOpenGlDriver,
        ),
        known(
            r"(?i)can't open camera|camera index out of range|VIDEOIO\(V4L2.*can't|Cannot open.*/dev/video",
            "the program found no camera",
            Remedy::GiveCamera,
        ),
        known(
            r"ALSA lib .*(cannot find card|Unknown PCM)|pa_context_connect\(\) failed|Connection failure: Connection refused.*[Pp]ulse",
            "the program found no sound server",
            Remedy::GiveSound,
        ),
        known(
            r"Failed to create wl_display|failed to connect to Wayland|Failed to open Wayland display",
            "the program wants Wayland, which it isn't given or may not open",
            Remedy::GiveWayland,
        ),
    ]
});

static LIBRARY: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(lib[A-Za-z0-9_+.-]+\.so[0-9.]*): cannot open shared object file")
        .expect("a regex of the program")
});

/// Reads what a program prints, as it prints it.
#[derive(Debug, Default)]
pub struct Listener {
    line: Vec<u8>,
    explained: Vec<Explanation>,
}

impl Listener {
    /// Reads more; returns what has now been said, explained.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Explanation> {
        let mut new = Vec::new();
        for &byte in bytes {
            if byte != b'\n' && self.line.len() < LONGEST {
                self.line.push(byte);
                continue;
            }
            let line = std::mem::take(&mut self.line);
            new.extend(self.line(&line));
        }
        new
    }

    /// The program has ended: looks at a last line without an end.
    pub fn end(&mut self) -> Vec<Explanation> {
        let line = std::mem::take(&mut self.line);
        self.line(&line).into_iter().collect()
    }

    fn line(&mut self, line: &[u8]) -> Option<Explanation> {
        let explanation = explain(line)?;
        if self.explained.contains(&explanation) {
            return None;
        }
        self.explained.push(explanation.clone());
        Some(explanation)
    }
}

fn explain(line: &[u8]) -> Option<Explanation> {
    if let Some(found) = LIBRARY.captures(line) {
        let library = String::from_utf8_lossy(&found[1]).into_owned();
        let package = image::package(&library);
        return Some(Explanation {
            meaning: format!("the image has no {library}"),
            remedy: Remedy::AddLibrary { package },
        });
    }
    let known = KNOWN.iter().find(|known| known.words.is_match(line))?;
    Some(Explanation {
        meaning: known.meaning.to_owned(),
        remedy: known.remedy.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_programs_print_is_explained_once() {
        let mut listener = Listener::default();
        let mut said = String::new();
        for words in [
            "Authorization required, but no authorization protocol specified\n",
            "No protocol specified\n",
            "qt.qpa.xcb: could not connect to display :0\n",
            "qt.qpa.plugin: Could not load the Qt platform plugin \"xcb\" in \"/cv2/qt/plugins\" even though it was found.\n",
            "Error: Can't open display: :0\n",
            "ImportError: libGL.so.1: cannot open sha",
            "red object file: No such file or directory\n",
            "ImportError: libGL.so.1: cannot open shared object file: No such file or directory\n",
            "ImportError: libodd.so.3: cannot open shared object file: No such file or directory\n",
            "X Error of failed request:  BadAccess (attempt to access private resource denied)\n  Major opcode of failed request:  130 (MIT-SHM)\n",
            "cv2.error: (-2:Unspecified error) The function is not implemented. Rebuild the library with Windows, GTK+ 2.x or Cocoa support.\n",
            "[ WARN:0@0.0] global cap_v4l.cpp:914 open VIDEOIO(V4L2:/dev/video0): can't open camera by index\n",
            "ALSA lib confmisc.c:855:(parse_card) cannot find card '0'\n",
            "epoch 1: loss 0.3\n",
        ] {
            for explanation in listener.feed(words.as_bytes()) {
                said += &format!(
                    "{}\n",
                    explanation.meaning.split([':', ',', ';']).next().unwrap()
                );
            }
        }
        insta::assert_snapshot!(said, @r"
        the display refused the program
        the program didn't reach the display
        Qt found no display
        the image has no libGL.so.1
        the image has no libodd.so.3
        the program hands pictures over in shared memory
        this OpenCV was made without windows
        the program found no camera
        the program found no sound server
        ");
        listener.feed(b"couldn't connect to display \":0\"");
        assert_eq!(listener.end(), []);
        let mut fresh = Listener::default();
        fresh.feed(b"_tkinter.TclError: no display name and no $DISPLAY environment variable");
        assert_eq!(fresh.end().len(), 1);
    }

    #[test]
    fn endless_lines_take_no_memory() {
        let mut listener = Listener::default();
        listener.feed(&vec![b'x'; 10 * LONGEST]);
        assert!(listener.line.len() <= LONGEST);
    }
}
