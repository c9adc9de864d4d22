//! What an image lacks for windows: the libraries that the window parts of its Python packages are
//! linked with and that aren't there. A shell script looks, inside the image, with no network.

use serde::{Deserialize, Serialize};

/// What was seen inside an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inside {
    /// The user that programs run as.
    pub uid: Option<u32>,
    /// Libraries that aren't there.
    pub missing: Vec<Missing>,
    /// Whether OpenCV is there without its windows.
    pub headless: bool,
    /// `/etc/passwd`.
    pub passwd: String,
    /// `/etc/group`.
    pub group: String,
}

/// A library that isn't there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Missing {
    /// `libGL.so.1`.
    pub library: String,
    /// What needs it: `cv2`.
    pub needed_by: String,
}

/// Looks at the window parts of OpenCV, Qt and Tk in the usual places. Prints lines of a word and
/// what belongs to it, and the accounts at the end.
pub const SCRIPT: &str = r#"
echo uid $(id -u)
for site in /opt/venv/lib/python3*/site-packages /usr/local/lib/python3*/site-packages \
    /usr/local/lib/python3*/dist-packages /usr/lib/python3*/dist-packages /usr/lib/python3/dist-packages \
    /opt/conda/lib/python3*/site-packages "${VIRTUAL_ENV:-/nowhere}"/lib/python3*/site-packages; do
  [ -d "$site" ] || continue
  if [ -d "$site/cv2" ] && [ ! -d "$site/cv2/qt" ] && ls -d "$site"/opencv_*headless* > /dev/null 2>&1; then echo headless cv2; fi
  for name in cv2 PyQt5 PyQt6 PySide2 PySide6 wx; do
    for file in "$site/$name"/*.so "$site/$name"/qt/plugins/platforms/libqxcb.so \
        "$site/$name"/Qt*/plugins/platforms/libqxcb.so; do
      [ -f "$file" ] || continue
      case $file in */cv2*.so | */QtGui*.so | */_core*.so | */libqxcb.so) ;; *) continue ;; esac
      ldd "$file" 2> /dev/null | while read -r library arrow state rest; do
        if [ "$state $rest" = "not found" ]; then echo missing "$library" "$name"; fi
      done
    done
  done
done
echo passwd
cat /etc/passwd 2> /dev/null
echo group:
cat /etc/group 2> /dev/null
"#;

/// Debian's package of a library, where its name can't be guessed.
const PACKAGES: [(&str, &str); 7] = [
    ("libGL.so.1", "libgl1"),
    ("libglib-2.0.so.0", "libglib2.0-0"),
    ("libgthread-2.0.so.0", "libglib2.0-0"),
    ("libgobject-2.0.so.0", "libglib2.0-0"),
    ("libxkbcommon-x11.so.0", "libxkbcommon-x11-0"),
    ("libX11-xcb.so.1", "libx11-xcb1"),
    ("libEGL.so.1", "libegl1"),
];

impl Inside {
    /// Reads what the script printed.
    pub fn read(printed: &str) -> Self {
        let mut inside = Self::default();
        let (facts, accounts) = printed.split_once("\npasswd\n").unwrap_or((printed, ""));
        for line in facts.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["uid", uid] => inside.uid = uid.parse().ok(),
                ["headless", _] => inside.headless = true,
                ["missing", library, needed_by] => inside.missing.push(Missing {
                    library: library.to_owned(),
                    needed_by: needed_by.to_owned(),
                }),
                _ => {}
            }
        }
        inside.missing.sort();
        inside.missing.dedup();
        let (passwd, group) = accounts.split_once("group:\n").unwrap_or((accounts, ""));
        inside.passwd = passwd.to_owned();
        inside.group = group.to_owned();
        inside
    }

    /// A line for each package that lacks libraries.
    pub fn lacks(&self) -> Vec<String> {
        let mut needing: Vec<&str> = self.missing.iter().map(|m| m.needed_by.as_str()).collect();
        needing.sort_unstable();
        needing.dedup();
        let mut lines = Vec::new();
        for name in needing {
            let of_it = self.missing.iter().filter(|m| m.needed_by == name);
            let shown: Vec<String> = of_it
                .map(|m| match package(&m.library) {
                    Some(package) => format!("{} ({package})", m.library),
                    None => m.library.clone(),
                })
                .collect();
            lines.push(format!(
                "the image has no {}, which {name} needs for windows",
                shown.join(", ")
            ));
        }
        lines
    }
}

/// Debian's package that a library is in, as far as it is known.
pub fn package(library: &str) -> Option<String> {
    if let Some((_, package)) = PACKAGES.iter().find(|(name, _)| *name == library) {
        return Some((*package).to_owned());
    }
    // libSM.so.6 is in libsm6, as Debian's rule is.
    let (name, version) = library.split_once(".so.")?;
    let known = [
        "libSM",
        "libICE",
        "libX",
        "libxcb",
        "libxkbcommon",
        "libfontconfig",
        "libfreetype",
        "libtk",
        "libGLX",
        "libOpenGL",
    ];
    if !known.iter().any(|start| name.starts_with(start))
        || !version.bytes().all(|b| b.is_ascii_digit())
    {
        return None;
    }
    let dash = if name.ends_with(|c: char| c.is_ascii_digit()) {
        "-"
    } else {
        ""
    };
    Some(format!("{}{dash}{version}", name.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_script_prints_is_read() {
        let inside = Inside::read(
            "uid 1000\nmissing libSM.so.6 cv2\nmissing libGL.so.1 cv2\nmissing libGL.so.1 cv2\nmissing libodd.so.3 PyQt6\n\
             passwd\nroot:x:0:0::/root:/bin/sh\nme:x:1000:1000::/home/me:/bin/sh\ngroup:\nroot:x:0:\n",
        );
        assert_eq!((inside.uid, inside.headless), (Some(1000), false));
        assert_eq!(inside.passwd.lines().count(), 2);
        assert_eq!(inside.group, "root:x:0:\n");
        insta::assert_snapshot!(inside.lacks().join("\n"), @r"
        the image has no libodd.so.3, which PyQt6 needs for windows
        the image has no libGL.so.1 (libgl1), libSM.so.6 (libsm6), which cv2 needs for windows
        ");
        assert_eq!(Inside::read("sh: not found"), Inside::default());
    }

    #[test]
    fn packages_are_debians() {
        for (library, name) in [
            ("libGL.so.1", Some("libgl1")),
            ("libSM.so.6", Some("libsm6")),
            ("libX11.so.6", Some("libx11-6")),
            ("libxcb-icccm.so.4", Some("libxcb-icccm4")),
            ("libXrender.so.1", Some("libxrender1")),
            ("libglib-2.0.so.0", Some("libglib2.0-0")),
            ("libcuda.so.1", None),
        ] {
            assert_eq!(package(library).as_deref(), name, "{library}");
        }
    }
}
