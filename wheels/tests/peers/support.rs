//! A Python with uv and `packaging`, pinned, for what is held against them: made once, in
//! `.state/wheels`, by way of the machine's own package index.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The uv that images are built with, and the `packaging` whose order of tags is ours.
const TOOLS: [&str; 2] = ["uv==0.13.9", "packaging==26.4"];

/// Runs a program; what it wrote to stdout.
pub fn run(command: &mut Command) -> String {
    let output = command.output().expect("the program is there");
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("text")
}

fn state() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../.state/wheels")
}

/// Does something once, whoever else is about to: its place is there when it is done.
fn once(name: &str, make: impl FnOnce(&Path)) -> PathBuf {
    let (state, place) = (state(), state().join(name));
    std::fs::create_dir_all(&state).expect("a folder");
    let lock = File::create(state.join(format!("{name}.lock"))).expect("a file");
    lock.lock().expect("a lock");
    let done = place.join(".done");
    if !done.exists() {
        let _ = std::fs::remove_dir_all(&place);
        make(&place);
        std::fs::write(done, "").expect("a file");
    }
    place.canonicalize().expect("it was made")
}

/// The `bin` folder of an environment with [`TOOLS`].
pub fn tools() -> PathBuf {
    let name = TOOLS.join("-").replace('=', "");
    let made = once(&name, |place| {
        run(Command::new("python3").args(["-m", "venv"]).arg(place));
        let pip = place.join("bin/pip");
        run(Command::new(pip).args(["install", "-q"]).args(TOOLS));
    });
    made.join("bin")
}

/// The wheels of one part of `wheels.txt`, for the machine's Python.
pub fn wheels(part: &str) -> Vec<PathBuf> {
    let list = include_str!("wheels.txt");
    let (short, long) = list.split_once("# long\n").expect("two parts");
    let list = if part == "long" { long } else { short };
    let pins: Vec<&str> = list.lines().filter(|line| !line.starts_with('#')).collect();
    let folder = once(&format!("{part}-{}", python()), |place| {
        let mut pip = Command::new(tools().join("pip"));
        pip.args(["download", "-q", "--no-deps", "--only-binary", ":all:"]);
        run(pip.arg("-d").arg(place).args(&pins));
    });
    let files = std::fs::read_dir(folder).expect("a folder").flatten();
    let mut wheels: Vec<PathBuf> = files
        .map(|file| file.path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "whl"))
        .collect();
    wheels.sort();
    assert_eq!(wheels.len(), pins.len(), "one wheel a pin");
    wheels
}

/// The version of the machine's Python: `3.11`.
pub fn python() -> String {
    let print = "import sys; print('%d.%d' % sys.version_info[:2])";
    let said = run(Command::new("python3").args(["-c", print]));
    said.trim().to_owned()
}
