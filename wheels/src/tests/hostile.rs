//! Wheels that are wrong: each refused with one error that says how, and none installed in part.

use crate::testing::{SmallWheel, ZipEntry, open, zip};
use crate::{Compression, Fault, Target, write_wheels};

/// Changes what an archive says of an entry.
type Lie = fn(&mut ZipEntry);

/// What is wrong with a wheel, in words.
fn fault_of(name: &str, bytes: &[u8]) -> Result<(), String> {
    let target = Target::new("3.11".parse().unwrap(), "/opt/venv").unwrap();
    let wheel = open(name, bytes).map_err(|error| error.to_string())?;
    let written = write_wheels(&[wheel], &target, Compression::Zstd, std::io::sink());
    written.map(drop).map_err(|error| error.to_string())
}

fn why(wheel: &SmallWheel) -> String {
    let error = fault_of(&wheel.file_name(), &wheel.bytes()).expect_err("it is wrong");
    let start = format!("{}: ", wheel.file_name());
    error
        .strip_prefix(&start)
        .expect("the wheel is named")
        .to_owned()
}

fn with(entry: ZipEntry) -> SmallWheel {
    SmallWheel::new("w").entry(entry)
}

fn plain() -> SmallWheel {
    SmallWheel::new("w").file("w.py", b"content")
}

#[test]
fn paths_that_lead_elsewhere() {
    let mut all = String::new();
    for path in [
        "../w.py",
        "w/../../w.py",
        "w/../w.py",
        "/etc/passwd",
        "w\\..\\w.py",
        "w/\u{1}.py",
        "w/.wh.x",
        "w/.wh..wh..opq",
    ] {
        all.push_str(&format!("{}\n", why(&with(ZipEntry::new(path, b"x")))));
    }
    insta::assert_snapshot!(all, @r#"
    the path "../w.py" climbs out of its folder
    the path "w/../../w.py" climbs out of its folder
    the path "w/../w.py" climbs out of its folder
    the path "/etc/passwd" is absolute
    the path "w\\..\\w.py" has a backslash in it, which is a folder to some and a name to others
    the path "w/\u{1}.py" has control characters in it
    the path "w/.wh.x" has a name in it that removes files from an image
    the path "w/.wh..wh..opq" has a name in it that removes files from an image
    "#);
    let long = "x".repeat(256);
    assert!(why(&with(ZipEntry::new(&long, b""))).contains("too long"));
    let mut latin = ZipEntry::new("", b"");
    latin.name = b"caf\xe9.py".to_vec();
    assert!(why(&with(latin).record("w-1.0.dist-info/RECORD,,\n")).contains("isn't UTF-8"));
}

#[test]
fn archives_that_lie() {
    let mut all = String::new();
    let lies: [(&str, Lie); 7] = [
        ("encrypted", |e| e.flags = 1),
        ("method", |e| e.method = 14),
        ("shorter", |e| e.size_lie = 1),
        ("longer", |e| e.size_lie = -1),
        ("checksum", |e| e.crc_lie = 1),
        ("two names", |e| e.local_name = Some(b"other.py".to_vec())),
        ("shared", |e| e.shares_content = true),
    ];
    for (name, lie) in lies {
        let mut entry = ZipEntry::new("w.py", b"content");
        lie(&mut entry);
        let wheel = with(entry).record("w-1.0.dist-info/RECORD,,\n");
        all.push_str(&format!("{name}: {}\n", why(&wheel)));
    }
    insta::assert_snapshot!(all, @r#"
    encrypted: w.py is encrypted
    method: w.py is compressed by method 14; wheels are stored (0) or deflated (8)
    shorter: w.py is damaged: it is shorter than the archive says
    longer: w.py is damaged: it is longer than the archive says
    checksum: w.py is damaged: its checksum is wrong
    two names: w.py is damaged: the header before it and the list contradict each other
    shared: w-1.0.dist-info/WHEEL is damaged: its content lies over something else
    "#);
}

#[test]
fn bombs() {
    let mut entry = ZipEntry::new("w.py", b"");
    entry.size_lie = 3 << 30;
    insta::assert_snapshot!(why(&with(entry)), @"holds more than any wheel: 3221225574 bytes of content, and 1073741824 are allowed");
    let many: Vec<ZipEntry> = (0..3).map(|_| ZipEntry::new("w.py", b"")).collect();
    let mut bytes = zip(&many);
    let end = bytes.len() - 22;
    bytes[end + 8..end + 12].copy_from_slice(&[0xFF; 4]);
    let error = fault_of("w-1.0-py3-none-any.whl", &bytes).unwrap_err();
    assert!(error.contains("the list of its entries"), "{error}");
}

/// A few kilobytes of archive that would come to gigabytes of programs and of lines.
#[test]
fn metadata_that_repeats_itself() {
    let programs: String = (0..20_000).map(|n| format!("p{n}=w:m\n")).collect();
    let programs = format!("[console_scripts]\n{programs}");
    let wheel = SmallWheel::new("w").file("w-1.0.dist-info/entry_points.txt", programs.as_bytes());
    assert_eq!(
        why(&wheel),
        "holds more than any wheel: 20000 programs, and 10000 are allowed"
    );
    let lines = "a,,\n".repeat(500_000);
    assert_eq!(
        why(&plain().record(&lines)),
        "holds more than any wheel: 400001 lines in its RECORD, and 400000 are allowed"
    );
}

#[test]
fn cut_off_anywhere() {
    let bytes = plain().bytes();
    for length in 0..bytes.len() {
        let error = fault_of("w-1.0-py3-none-any.whl", &bytes[..length]).unwrap_err();
        let is_named = error.contains("cut off") || error.contains("isn't a zip");
        assert!(is_named, "{length}: {error}");
    }
    let whole = [b"bytes before".as_slice(), &bytes].concat();
    assert!(fault_of("w-1.0-py3-none-any.whl", &whole).is_err());
    fault_of("w-1.0-py3-none-any.whl", &bytes).unwrap();
}

#[test]
fn records_that_lie() {
    let info = "w-1.0.dist-info";
    let record = |line: &str| plain().record(&format!("{line}\n{info}/RECORD,,\n"));
    let mut all = String::new();
    for line in [
        "w.py,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,7",
        "w.py,,6",
        "gone.py,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0",
        "w.py,sha256",
        "w.py,,many",
    ] {
        all.push_str(&format!("{}\n", why(&record(line))));
    }
    let unlisted = SmallWheel::new("w").file("w-1.0.data/scripts/x", b"x");
    all.push_str(&why(&unlisted.record(&format!("{info}/RECORD,,\n"))));
    insta::assert_snapshot!(all, @r#"
    its RECORD lies about "w.py": its hash is another one
    its RECORD lies about "w.py": it is said to have 6 bytes, and has 7
    its RECORD lies about "gone.py": the archive has no such file
    w-1.0.dist-info/RECORD can't be understood: CSV deserialize error: record 0 (line: 1, byte: 0): invalid length 2, expected struct Line with 3 elements
    w-1.0.dist-info/RECORD can't be understood: CSV deserialize error: record 0 (line: 1, byte: 0): field 2: invalid digit found in string
    its RECORD lies about "w-1.0.data/scripts/x": it isn't listed, and has to be moved
    "#);
    // Not listed is not a lie: uv and pip take such files too.
    fault_of(
        "w-1.0-py3-none-any.whl",
        &plain().record(&format!("{info}/RECORD,,\n")).bytes(),
    )
    .unwrap();
}

#[test]
fn metadata_that_is_missing_or_of_another_package() {
    let info = |file: &str| format!("w-1.0.dist-info/{file}");
    let replaced = |file: &str, text: &str| {
        SmallWheel::new("w")
            .without(&info(file))
            .file(&info(file), text.as_bytes())
    };
    let all = [
        why(&SmallWheel::new("w").without(&info("WHEEL"))),
        why(&SmallWheel::new("w").without(&info("METADATA"))),
        why(&SmallWheel::new("w").file("v-1.0.dist-info/METADATA", b"")),
        why(&replaced("METADATA", "Name: v\nVersion: 1.0\n")),
        why(&replaced("METADATA", "Name: w\nVersion: 2.0\n")),
        why(&replaced("METADATA", "Version: 1.0\n")),
        why(&replaced("WHEEL", "Wheel-Version: 2.0\n")),
        why(&replaced("WHEEL", "Generator: none\n")),
        why(&replaced(
            "entry_points.txt",
            "[console_scripts]\npython3 = w:main\n",
        )),
        why(&replaced(
            "entry_points.txt",
            "[console_scripts]\n../../x = w:main\n",
        )),
        why(&SmallWheel::new("w").file("w-1.0.data/bin/x", b"")),
        why(&SmallWheel::new("w").file("w-1.0.data/data/bin/python", b"")),
        why(&SmallWheel::new("w").file("w-1.0.data/data/lib64/x", b"")),
        why(&SmallWheel::new("w").file("w-1.0.data/data/bin/python3/x", b"")),
        why(&SmallWheel::new("w").file("w-1.0.data/data/pyvenv.cfg/x", b"")),
        why(&with(ZipEntry::new("w-1.0.data/data/lib64/", b""))),
        why(&SmallWheel::new("w").file("w-1.0.data/scripts/a/b", b"")),
        why(&SmallWheel::new("w").file("w", b"").file("w/a", b"")),
    ];
    insta::assert_snapshot!(all.join("\n"), @r#"
    w-1.0.dist-info/WHEEL can't be understood: it is missing
    w-1.0.dist-info/METADATA can't be understood: it is missing
    its .dist-info folder can't be understood: there are several
    w-1.0.dist-info/METADATA can't be understood: it is of the package "v"
    w-1.0.dist-info/METADATA can't be understood: it is of the version "2.0"
    w-1.0.dist-info/METADATA can't be understood: it has no Name
    w-1.0.dist-info/WHEEL can't be understood: Wheel-Version is "2.0", and 1.0 is known
    w-1.0.dist-info/WHEEL can't be understood: it has no Wheel-Version
    wants to install a program named "python3", which is the environment's own Python
    w-1.0.dist-info/entry_points.txt can't be understood: "../../x" can't be the name of a program
    w-1.0.data/bin/x can't be understood: "bin" is no part of an environment
    the path "w-1.0.data/data/bin/python" would replace a part of the environment itself
    the path "w-1.0.data/data/lib64/x" would replace a part of the environment itself
    the path "w-1.0.data/data/bin/python3/x" would replace a part of the environment itself
    the path "w-1.0.data/data/pyvenv.cfg/x" would replace a part of the environment itself
    the path "w-1.0.data/data/lib64" would replace a part of the environment itself
    w-1.0.data/scripts/a/b can't be understood: scripts can't be in folders
    the path "lib/python3.11/site-packages/w" is a file and a folder
    "#);
}

#[test]
fn another_file_than_the_pinned_one() {
    let bytes = plain().bytes();
    let pinned = "ab".repeat(32);
    let folder = std::env::temp_dir();
    let name = "w-1.0-py3-none-any.whl";
    let opened = crate::Wheel::from_stream(name, &bytes[..], &folder, &pinned);
    let fault = opened.err().expect("another file").fault;
    assert!(matches!(fault, Fault::OtherHash { .. }));
}

/// Bytes changed anywhere: an error, or a file whose content isn't touched by it; never a panic.
#[test]
fn damage_anywhere() {
    let bytes = plain().bytes();
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    for _ in 0..3000 {
        let mut damaged = bytes.clone();
        for _ in 0..3 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let at = (state >> 33) as usize % damaged.len();
            damaged[at] = (state >> 20) as u8;
        }
        let _ = fault_of("w-1.0-py3-none-any.whl", &damaged);
    }
}
