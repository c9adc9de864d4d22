//! A real X server that asks for a cookie, and what it shows.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// An Xvfb; ends with the value.
pub struct Xvfb {
    child: Child,
    /// The cookie, and the frame that the server draws into.
    folder: TempDir,
    pub number: u16,
}

impl Xvfb {
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// With more arguments.
    pub fn with(more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let cookie = ulid::Ulid::r#gen().to_bytes();
        let cookie: String = cookie.iter().map(|byte| format!("{byte:02x}")).collect();
        // The server takes the cookie, whatever display it is filed under.
        xauth(&at("server"), ":0", &cookie);
        let mut child = Command::new("Xvfb")
            .args(["-displayfd", "1", "-screen", "0", "800x600x24"])
            // The pointer would stand in the picture; and whom a server lets in, it would forget.
            .args(["-nocursor", "-noreset", "-nolisten", "tcp", "-fbdir"])
            .arg(folder.path())
            .arg("-auth")
            .arg(at("server"))
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("Xvfb runs: integration/engines/up installs it");
        let mut line = String::new();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        said.read_line(&mut line).unwrap();
        let number = line.trim().parse().expect("Xvfb prints its number");
        xauth(&at("Xauthority"), &format!(":{number}"), &cookie);
        Self {
            child,
            folder,
            number,
        }
    }

    pub fn display(&self) -> String {
        format!(":{}", self.number)
    }

    pub fn socket(&self) -> PathBuf {
        format!("/tmp/.X11-unix/X{}", self.number).into()
    }

    /// The file with its cookie, as `xauth` wrote it.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("Xauthority")
    }

    /// What it shows now.
    pub fn frame(&self) -> Picture {
        let file = std::fs::read(self.folder.path().join("Xvfb_screen0")).unwrap();
        Picture::of_xwd(&file)
    }
}

impl Drop for Xvfb {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        // So that it takes its socket away.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}

fn xauth(file: &Path, display: &str, cookie: &str) {
    let added = Command::new("xauth")
        .arg("-f")
        .arg(file)
        .args(["add", display, "MIT-MAGIC-COOKIE-1", cookie])
        .stderr(Stdio::null())
        .status();
    assert!(added.expect("xauth runs").success());
}

/// Pixels, three bytes each: blue, green, red.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    pub width: usize,
    pub height: usize,
    pub pixels: Vec<u8>,
}

impl Picture {
    /// A frame in X's own format, of 32 bits a pixel.
    fn of_xwd(file: &[u8]) -> Self {
        let word =
            |n: usize| u32::from_be_bytes(file[4 * n..4 * n + 4].try_into().unwrap()) as usize;
        let (header, width, height) = (word(0), word(4), word(5));
        let (bits, line, colours) = (word(11), word(12), word(19));
        assert_eq!(bits, 32, "bits a pixel");
        let data = &file[header + 12 * colours..];
        let row = |y: usize| data[y * line..y * line + 4 * width].chunks_exact(4);
        let pixels = (0..height)
            .flat_map(row)
            .flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]);
        Self {
            width,
            height,
            pixels: pixels.collect(),
        }
    }

    fn row(&self, x: usize, y: usize, width: usize) -> &[u8] {
        let from = 3 * (y * self.width + x);
        &self.pixels[from..from + 3 * width]
    }

    /// Whether every pixel of another picture is in this one, somewhere.
    pub fn holds(&self, other: &Self) -> bool {
        let (right, down) = (
            self.width.checked_sub(other.width),
            self.height.checked_sub(other.height),
        );
        let (Some(right), Some(down)) = (right, down) else {
            return false;
        };
        let is_at = |x: usize, y: usize| {
            (0..other.height)
                .all(|row| self.row(x, y + row, other.width) == other.row(0, row, other.width))
        };
        (0..=down).any(|y| (0..=right).any(|x| is_at(x, y)))
    }

    /// Writes it as a PNG.
    pub fn save(&self, path: &Path) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut lines = Vec::new();
        for y in 0..self.height {
            lines.push(0);
            lines.extend(
                self.row(0, y, self.width)
                    .chunks_exact(3)
                    .flat_map(|p| [p[2], p[1], p[0]]),
            );
        }
        let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        packed.write_all(&lines).unwrap();
        let side = |side: usize| u32::try_from(side).unwrap().to_be_bytes();
        let head = [&side(self.width)[..], &side(self.height), &[8, 2, 0, 0, 0]].concat();
        let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
        for (kind, data) in [
            (b"IHDR", head),
            (b"IDAT", packed.finish().unwrap()),
            (b"IEND", Vec::new()),
        ] {
            let mut sum = flate2::Crc::new();
            sum.update(kind);
            sum.update(&data);
            png.extend(side(data.len()));
            png.extend(kind);
            png.extend(&data);
            png.extend(sum.sum().to_be_bytes());
        }
        std::fs::write(path, png).unwrap();
    }
}
