//! Trees, patterns and ignore files, drawn from a seeded generator.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

/// SplitMix64: small, seedable, good enough for cases.
pub struct Random(u64);

impl Random {
    pub fn seeded(stream: u64) -> Self {
        let seed = std::env::var("MLBUILD_TEST_SEED").unwrap_or_else(|_| "1".into());
        let seed: u64 = seed.parse().expect("MLBUILD_TEST_SEED is a number");
        eprintln!("seed {seed}");
        Random(seed.wrapping_mul(1000) + stream)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }

    pub fn list<T>(&mut self, min: usize, max: usize, item: fn(&mut Random) -> T) -> Vec<T> {
        let n = min + self.below(max - min + 1);
        (0..n).map(|_| item(self)).collect()
    }
}

const NAMES: &[&[u8]] = &[
    b"a",
    b"b",
    b"ab",
    b"a.b",
    b"a b",
    b"a-b",
    b"a0",
    b"c.txt",
    b"d.txt",
    b".git",
    b"src",
    b"docs",
    b"x*y",
    b"[z]",
    b"back\\slash",
    "é".as_bytes(),
    b"caf\xe9",
    b"new\nline",
    b"A",
    b"~",
    b"!bang",
    b"#hash",
];

fn name(random: &mut Random) -> &'static [u8] {
    // Mostly the first few, so that patterns and paths meet.
    match random.one_in(3) {
        true => random.pick(NAMES),
        false => random.pick(&NAMES[..6]),
    }
}

pub fn path(random: &mut Random) -> Vec<u8> {
    let depth = 1 + random.below(4);
    let parts: Vec<&[u8]> = (0..depth).map(|_| name(random)).collect();
    parts.join(&b'/')
}

/// A pattern as people write them.
pub fn pattern(random: &mut Random) -> Vec<u8> {
    let mut out = Vec::new();
    if random.one_in(4) {
        out.push(b'!');
    }
    if random.one_in(12) {
        out.push(b'/');
    }
    let depth = 1 + random.below(3);
    for i in 0..depth {
        if i > 0 {
            out.push(b'/');
        }
        match random.below(10) {
            0 => out.extend_from_slice(b"**"),
            1 => out.push(b'*'),
            2 => {
                out.extend_from_slice(name(random));
                out.push(b'*');
            }
            3 => {
                out.push(b'*');
                out.extend_from_slice(name(random));
            }
            4 => out.extend_from_slice(random.pick(&[
                &b"[ab]"[..],
                b"[^a]",
                b"[a-c]*",
                b"?",
                b"??",
                b"a?b",
                b"\\a",
                b"\\*",
                b"**.txt",
                b"a**",
                b"..",
                b".",
                b"*.*",
            ])),
            _ => out.extend_from_slice(name(random)),
        }
    }
    if random.one_in(12) {
        out.push(b'/');
    }
    out
}

/// A pattern that nobody writes.
pub fn odd_pattern(random: &mut Random) -> Vec<u8> {
    const PIECES: &[&[u8]] = &[
        b"a",
        b"b",
        b"a",
        b"b",
        b".",
        b"*",
        b"*",
        b"**",
        b"?",
        b"[",
        b"]",
        b"[a",
        b"b]",
        b"[^",
        b"-",
        b"\\",
        b"/",
        b"/",
        b"!",
        b"^",
        b"$",
        b"(",
        b")",
        b"+",
        b"|",
        b"{",
        b"}",
        b"{2}",
        b"{1,2}",
        b"{2,1}",
        b"{,2}",
        b"{01}",
        b"{1,}",
        b"{1001}",
        b"\\d",
        b"\\w",
        b"\\W",
        b"\\s",
        b"\\b",
        b"\\B",
        b"\\Q",
        b"\\E",
        b"\\pL",
        b"\\PL",
        b"\\x61",
        b"\\141",
        b"\\n",
        b"[[:alpha:]]",
        b"[:",
        b":]",
        b"&&",
        b"--",
        b"~~",
        b" ",
        "é".as_bytes(),
        b"\xe9",
        "\u{feff}".as_bytes(),
        "\u{a0}".as_bytes(),
        b"0",
        b"1",
        b"7",
        b"\\.",
        b"\\-",
        b"[a-c]",
        b"[]a]",
        b"[\\]a]",
        b"<",
        b"\\<",
        b"_",
        b"#",
        b"\t",
        b"\\A",
        b"\\z",
        b"\\C",
    ];
    (0..1 + random.below(6))
        .flat_map(|_| random.pick(PIECES).to_vec())
        .collect()
}

pub fn ignore_file(random: &mut Random) -> Vec<u8> {
    let mut out = Vec::new();
    if random.one_in(5) {
        out.extend_from_slice(b"\xef\xbb\xbf");
    }
    for _ in 0..random.below(8) {
        match random.below(8) {
            0 => out.extend_from_slice(b"# a comment"),
            1 => out.extend_from_slice(b"  "),
            2 => {
                out.extend_from_slice(b" \t");
                out.extend(pattern(random));
                out.extend_from_slice(b" \t\r");
            }
            3 => {
                out.extend_from_slice(b"! ");
                out.extend(pattern(random));
            }
            4 => out.extend(odd_pattern(random)),
            _ => out.extend(pattern(random)),
        }
        out.push(b'\n');
    }
    if random.one_in(3) {
        out.extend(pattern(random));
    }
    out
}

/// What kinds of entries a tree may have.
#[derive(Clone, Copy)]
pub struct TreeOptions {
    pub specials: bool,
    pub odd_names: bool,
}

/// Fills an empty folder.
pub fn tree(random: &mut Random, root: &Path, options: TreeOptions) {
    let mut folders = vec![Vec::new()];
    let mut files: Vec<Vec<u8>> = Vec::new();
    let at = |path: &[u8]| root.join(OsStr::from_bytes(path));
    for _ in 0..2 + random.below(25) {
        let mut path = folders[random.below(folders.len())].clone();
        if !path.is_empty() {
            path.push(b'/');
        }
        let name = name(random);
        if !options.odd_names && std::str::from_utf8(name).is_err() {
            continue;
        }
        path.extend_from_slice(name);
        let full = at(&path);
        if full.symlink_metadata().is_ok() {
            continue;
        }
        match random.below(12) {
            0..=3 => {
                fs::create_dir(&full).unwrap();
                folders.push(path);
            }
            4 | 5 => {
                let target = match random.below(4) {
                    0 => [&b"/"[..], &self::path(random)].concat(),
                    1 => [&b"../"[..], &self::path(random)].concat(),
                    2 if !files.is_empty() => files[random.below(files.len())].clone(),
                    _ => self::path(random),
                };
                symlink(OsStr::from_bytes(&target), &full).unwrap();
            }
            6 if !files.is_empty() => {
                let first = &files[random.below(files.len())];
                fs::hard_link(at(first), &full).unwrap();
            }
            7 if options.specials => special(random, &full),
            _ => {
                let size = if random.one_in(8) { 150_000 } else { 40 };
                let content: Vec<u8> = (0..random.below(size)).map(|i| (i % 251) as u8).collect();
                fs::write(&full, content).unwrap();
                let mode = [0o644, 0o755, 0o600, 0o4755, 0o2711, 0o1644][random.below(6)];
                fs::set_permissions(&full, fs::Permissions::from_mode(mode)).unwrap();
                if random.one_in(6) {
                    xattr::set(&full, "user.note", b"kept\0as is").unwrap();
                }
                files.push(path);
            }
        }
    }
}

/// A fifo or a socket.
fn special(random: &mut Random, full: &Path) {
    if random.one_in(2) {
        let mode = rustix::fs::Mode::from_raw_mode(0o640);
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, full, kind, mode, 0).unwrap();
    } else if full.as_os_str().len() < 100 {
        std::os::unix::net::UnixListener::bind(full).unwrap();
    }
}
