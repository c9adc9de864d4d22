//! The machine's own `python3 -m venv --without-pip` and this crate make the same environment.

use std::path::Path;
use std::process::Command;

use crate::support::{python, run};
use mlbuild_wheels::{Content, Target, Venv};

#[test]
fn an_environment_is_as_python_makes_it() {
    let top = tempfile::tempdir().unwrap();
    let prefix = top.path().join("my-venv_1");
    let executable = "import sys, os, platform, venv; e = sys._base_executable; print(e); print(os.path.realpath(e)); print(platform.python_version()); print(os.path.dirname(venv.__file__))";
    let facts = run(Command::new("python3").args(["-c", executable]));
    let facts: Vec<&str> = facts.lines().collect();
    let made = Command::new(facts[0])
        .args(["-m", "venv", "--without-pip"])
        .arg(&prefix)
        .status();
    assert!(made.unwrap().success());
    let mut templates = Vec::new();
    for folder in ["common", "posix"] {
        let folder = Path::new(facts[3]).join("scripts").join(folder);
        for file in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = file.file_name().into_string().unwrap();
            templates.push((name, std::fs::read_to_string(file.path()).unwrap()));
        }
    }
    assert!(templates.len() >= 4);
    let venv = Venv {
        version: facts[2].to_owned(),
        executable: facts[0].to_owned(),
        real_executable: facts[1].to_owned(),
        templates,
    };
    let target = Target::new(python().parse().unwrap(), prefix.to_str().unwrap()).unwrap();
    let mut count = 0;
    for entry in venv.entries(&target) {
        let path = Path::new("/").join(&entry.path);
        let shown = path.strip_prefix(&prefix).unwrap().display().to_string();
        let meta =
            std::fs::symlink_metadata(&path).unwrap_or_else(|_| panic!("only ours: {shown}"));
        match entry.content {
            Content::Folder => assert!(meta.is_dir(), "{shown}"),
            Content::Symlink(link) => {
                assert_eq!(
                    std::fs::read_link(&path).unwrap(),
                    Path::new(&link),
                    "{shown}"
                );
            }
            Content::File { bytes, .. } => {
                let (theirs, ours) = (std::fs::read_to_string(&path).unwrap(), bytes);
                let ours = String::from_utf8(ours).unwrap();
                assert_eq!(ours, theirs, "{shown}");
            }
        }
        count += 1;
    }
    let all = run(Command::new("find").arg(&prefix));
    assert_eq!(all.lines().count(), count, "{all}");
}
