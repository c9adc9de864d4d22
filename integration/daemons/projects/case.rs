//! The form of a case: what is typed and what is to come of it, then the project's files.
//!
//! ```text
//! What this shows.
//!
//! $ mlbuild image        on this machine; the flags that name builder, base and tag are added
//! ? text                 stands in what it says
//! = the same digest      as the `mlbuild image` before it
//! $ python -c '...'      in a container of the image
//! 3.6                    exactly what it prints
//! -- requirements.txt --
//! idna==3.6
//! -- other.txt (utf-16) --
//! -- old.txt (bom) --
//! -- dist/tiny-1.0-py3-none-any.whl (wheel) --
//! NAME = "tiny"
//! ```

use std::process::Command;

/// One case.
#[derive(Debug, Default)]
pub struct Case {
    pub commands: Vec<Typed>,
    /// Paths and contents.
    pub files: Vec<(String, Vec<u8>)>,
}

/// A command, and what is to come of it.
#[derive(Debug)]
pub struct Typed {
    pub line: String,
    pub printed: Vec<String>,
    pub said: Vec<String>,
    pub is_same: bool,
}

impl Case {
    /// Reads a case; panics with what isn't understood.
    pub fn read(text: &str) -> Self {
        let mut case = Self::default();
        let mut file: Option<(String, String)> = None;
        for line in text.lines() {
            let named = line.strip_prefix("-- ").and_then(|l| l.strip_suffix(" --"));
            if let Some(name) = named {
                case.finish(file.take());
                file = Some((name.to_owned(), String::new()));
            } else if let Some((_, content)) = &mut file {
                content.push_str(line);
                content.push('\n');
            } else {
                case.story(line);
            }
        }
        case.finish(file);
        assert!(!case.commands.is_empty(), "nothing is typed");
        case
    }

    fn story(&mut self, line: &str) {
        if let Some(typed) = line.strip_prefix("$ ") {
            return self.commands.push(Typed {
                line: typed.to_owned(),
                printed: Vec::new(),
                said: Vec::new(),
                is_same: false,
            });
        }
        // What comes before the first command says what the case is.
        let Some(last) = self.commands.last_mut() else {
            return;
        };
        if let Some(said) = line.strip_prefix("? ") {
            last.said.push(said.to_owned());
        } else if line == "= the same digest" {
            last.is_same = true;
        } else {
            last.printed.push(line.to_owned());
        }
    }

    fn finish(&mut self, file: Option<(String, String)>) {
        let Some((name, text)) = file else {
            return;
        };
        let form = name.strip_suffix(')').and_then(|n| n.rsplit_once(" ("));
        let (name, bytes) = match form {
            None => (name, text.into_bytes()),
            Some((name, "bom")) => (name.to_owned(), format!("\u{feff}{text}").into_bytes()),
            Some((name, "utf-16")) => {
                let units = "\u{feff}".encode_utf16().chain(text.encode_utf16());
                (name.to_owned(), units.flat_map(u16::to_le_bytes).collect())
            }
            Some((name, "wheel")) => (name.to_owned(), wheel(name, &text)),
            Some((_, other)) => panic!("no form of a file is called {other}"),
        };
        self.files.push((name, bytes));
    }
}

/// A wheel of one module, `NAME-VERSION-py3-none-any.whl`.
fn wheel(path: &str, module: &str) -> Vec<u8> {
    let file = path.rsplit('/').next().unwrap();
    let mut parts = file.split('-');
    let (name, version) = (parts.next().unwrap(), parts.next().unwrap());
    let info = format!("{name}-{version}.dist-info");
    let files = [
        (format!("{name}.py"), module.to_owned()),
        (
            format!("{info}/METADATA"),
            format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"),
        ),
        (
            format!("{info}/WHEEL"),
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
                .to_owned(),
        ),
    ];
    let record: String = files
        .iter()
        .map(|(path, _)| format!("{path},,\n"))
        .collect();
    let record = (
        format!("{info}/RECORD"),
        format!("{record}{info}/RECORD,,\n"),
    );
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join(&info)).unwrap();
    for (path, text) in files.into_iter().chain([record]) {
        std::fs::write(folder.path().join(path), text).unwrap();
    }
    let zip = Command::new("python3")
        .args(["-m", "zipfile", "-c", file, &format!("{name}.py"), &info])
        .current_dir(folder.path())
        .status()
        .expect("python3 starts");
    assert!(zip.success());
    std::fs::read(folder.path().join(file)).unwrap()
}
