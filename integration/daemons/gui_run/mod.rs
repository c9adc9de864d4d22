//! `mlbuild gui-run` with real X servers that ask for a cookie: windows are compared pixel by pixel.

mod access;
mod apptainer;
mod refusals;
mod sockets;
mod ssh;
mod windows;

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::support::engines::Engines;
use crate::support::mlbuild::{Project, Ran};
use crate::support::repository;
use crate::support::wait::HANG;
use crate::support::xvfb::{Picture, Xvfb};
use crate::templates::Workshop;

/// A display, a Docker, and a project to start containers from.
struct Desk {
    engines: Engines,
    docker: String,
    project: Project,
    xvfb: Xvfb,
}

impl Desk {
    fn new() -> Self {
        let engines = Engines::from_env();
        Self::with(engines.docker_containerd.clone())
    }

    fn with(docker: String) -> Self {
        let project = Project::new(&[]);
        // As a session has it.
        std::fs::create_dir(project.outside().join("run")).unwrap();
        Self {
            engines: Engines::from_env(),
            docker,
            project,
            xvfb: Xvfb::start(),
        }
    }

    /// What gui-run keeps its files of a run in.
    fn runtime_folder(&self) -> PathBuf {
        self.project.outside().join("run")
    }

    /// True if nothing of a run is left.
    fn is_clean(&self) -> bool {
        std::fs::read_dir(self.runtime_folder())
            .unwrap()
            .next()
            .is_none()
    }

    /// `mlbuild gui-run` with arguments, at this display.
    fn command(&self, args: &[&str]) -> Command {
        self.verb(&[&["gui-run"], args].concat())
    }

    /// `mlbuild` with arguments, at this display.
    fn verb(&self, args: &[&str]) -> Command {
        let mut command = self.project.command(args);
        let path = std::env::var("PATH").unwrap_or_default();
        command
            .env("PATH", format!("{}:{path}", self.engines.bin.display()))
            .env("DOCKER_HOST", &self.docker)
            .env("DISPLAY", self.xvfb.display())
            .env("XAUTHORITY", self.xvfb.authority())
            .env("XDG_RUNTIME_DIR", self.runtime_folder());
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        Ran::of(&mut self.command(args))
    }

    /// A script in the base image.
    fn shell(&self, flags: &[&str], script: &str) -> Ran {
        let tail = [self.engines.base.as_str(), "sh", "-c", script];
        self.run(&[&["--rm"], flags, &tail].concat())
    }
}

/// An image with OpenCV and what its windows need. It is the one that
/// `templates::packages` builds: the second to build it finds it built.
fn opencv() -> &'static str {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        let workshop = Workshop::new(&[("requirements.txt", "opencv-python\n")]);
        let base = workshop.engines.base.clone();
        workshop.build(
            "gui-run-opencv",
            &["--base", &base, "--gui", "--uid", "1000"],
        );
    });
    "gui-run-opencv"
}

/// The program that shows a picture.
fn cracks() -> String {
    repository()
        .join("integration/daemons/gui_run/cracks.py")
        .display()
        .to_string()
}

/// A running program with a window.
struct Window {
    child: Child,
    /// Closed, it ends the program.
    stdin: Option<ChildStdin>,
    /// What it shows.
    picture: Picture,
}

impl Window {
    /// Starts a command whose program is `cracks.py`, and reads the picture that it prints.
    #[track_caller]
    fn open(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut sizes = String::new();
        out.read_line(&mut sizes).unwrap();
        let sides: Vec<usize> = sizes
            .split_whitespace()
            .filter_map(|n| n.parse().ok())
            .collect();
        let [width, height] = sides[..] else {
            let ran = Ran::from(child.wait_with_output().unwrap());
            panic!("no picture, but {sizes:?}\n{}", ran.stderr);
        };
        let mut pixels = vec![0; 3 * width * height];
        out.read_exact(&mut pixels).unwrap();
        Self {
            stdin: child.stdin.take(),
            child,
            picture: Picture {
                width,
                height,
                pixels,
            },
        }
    }

    /// The display's frame, when the picture is in it; panics with what the program said.
    #[track_caller]
    fn shown(&mut self, xvfb: &Xvfb) -> Picture {
        let since = Instant::now();
        loop {
            let frame = xvfb.frame();
            if frame.holds(&self.picture) {
                return frame;
            }
            let ended = self.child.try_wait().unwrap();
            if ended.is_some() || since.elapsed() > HANG {
                let seen = repository().join(".state/screenshots/not-shown.png");
                frame.save(&seen);
                // Without its stdin the program ends.
                drop(self.stdin.take());
                let _ = self.child.kill();
                let (mut stderr, mut told) = (self.child.stderr.take().unwrap(), Vec::new());
                // What is there: a program that hangs would hold it open.
                rustix::fs::fcntl_setfl(&stderr, rustix::fs::OFlags::NONBLOCK).unwrap();
                let _ = stderr.read_to_end(&mut told);
                let told = String::from_utf8_lossy(&told);
                let (display, seen) = (xvfb.display(), seen.display());
                panic!("not shown at {display} ({seen}); the program {ended:?} said:\n{told}");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Ends the program; returns how that went.
    fn close(mut self) -> Ran {
        drop(self.stdin.take());
        Ran::from(self.child.wait_with_output().unwrap())
    }
}

/// The arguments that show the picture.
fn show<'a>(flags: &[&'a str], volume: &'a str) -> Vec<&'a str> {
    let line = ["--rm", "-i", "-v", volume];
    [&line, flags, &[opencv(), "python", "/cracks.py"]].concat()
}

fn volume() -> String {
    format!("{}:/cracks.py:ro", cracks())
}

/// Gives everything in a folder to a user.
fn give(folder: &Path, uid: u32, gid: u32) {
    std::os::unix::fs::chown(folder, Some(uid), Some(gid)).unwrap();
    if folder.is_dir() {
        for entry in std::fs::read_dir(folder).unwrap() {
            give(&entry.unwrap().path(), uid, gid);
        }
    }
}
