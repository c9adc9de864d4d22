//! What is written, read again by this crate; the squashfs by whoever has `unsquashfs`.

use std::io::{Cursor, Read as _};

use mlbuild_sif::squashfs::{FileId, Kind, Node, Squashfs, Tree};
use mlbuild_sif::{Documents, OciConfig, ReadError, Sif, scripts};

fn image(threads: usize) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    let documents = Documents {
        definition: b"bootstrap: docker\n".to_vec(),
        json: vec![("about.json".to_owned(), b"{}".to_vec())],
        id: [7; 16],
    };
    let mut tree = Tree::default();
    mlbuild_sif::write(&mut out, &documents, "02", |out| {
        let mut files = Squashfs::new(out, threads)?;
        for number in 0..2000_u64 {
            let mut node = Node::new(Kind::File(FileId(number)), 0o644);
            if number % 7 == 0 {
                node.xattrs.insert(b"user.note".to_vec(), vec![1, 2, 3]);
            }
            tree.put(format!("d{}/f{number}", number % 3).as_bytes(), node)
                .unwrap();
            // Small ones, ones of several blocks, and zeros.
            let size = if number % 400 == 0 { 300_000 } else { number };
            let byte = if number == 800 {
                0
            } else {
                (number % 251) as u8
            };
            let content: Vec<u8> = (0..size)
                .map(|at| byte.wrapping_mul((at % 97) as u8))
                .collect();
            files.file(FileId(number), &mut content.as_slice(), size)?;
        }
        tree.link(b"hard", b"d0/f3").unwrap();
        files.finish(&tree).map(drop)
    })
    .unwrap();
    out.into_inner()
}

#[test]
fn the_same_files_give_the_same_bytes_whatever_the_threads() {
    let one = image(1);
    assert!(one == image(3));
    let found = Sif::read(&mut Cursor::new(&one)).unwrap();
    assert_eq!(found.definition, b"bootstrap: docker\n");
    assert_eq!(found.json["about.json"], b"{}");
    let (at, size) = found.partition.unwrap();
    assert_eq!((at % 4096, at + size), (0, one.len() as u64));
    assert_eq!(&one[at as usize..at as usize + 4], b"hsqs");
}

#[test]
fn a_damaged_file_is_refused_and_never_read_beyond_its_end() {
    let good = image(1);
    let read = |bytes: &[u8]| Sif::read(&mut Cursor::new(bytes));
    assert!(matches!(read(b"#!/bin/sh\n"), Err(ReadError::Damaged(_))));
    assert!(matches!(read(&[0; 500]), Err(ReadError::NotASif)));
    assert!(matches!(read(&good[..4500]), Err(ReadError::Damaged(_))));
    // Each number of the header and of the first descriptors, as large as can be.
    for at in (80..128).chain(4096..4096 + 3 * 585) {
        let mut bad = good.clone();
        let end = (at + 8).min(bad.len());
        bad[at..end].fill(0xff);
        if let Ok(found) = read(&bad) {
            assert!(found.json.values().map(Vec::len).sum::<usize>() < 5 << 20);
        }
    }
    let mut many = good.clone();
    many[88..96].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(matches!(read(&many), Err(ReadError::Damaged(_))));
}

/// What a shell makes of the scripts.
fn shell(text: &str, arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("script");
    std::fs::write(&file, text).unwrap();
    let mut command = std::process::Command::new("/bin/sh");
    command.arg(&file).args(arguments).env_clear();
    command
        .env("PATH", "/usr/bin:/bin")
        .envs(environment.iter().copied());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_runscript_starts_what_docker_would() {
    let words = |words: &[&str]| Some(words.iter().map(ToString::to_string).collect());
    let of = |entrypoint: &[&str], cmd: &[&str]| OciConfig {
        entrypoint: words(entrypoint),
        cmd: words(cmd),
        ..OciConfig::default()
    };
    let no_eval = [("SINGULARITY_NO_EVAL", "1")];
    let hostile = ["$HOME it's", "a\"b`c`\\", "new\nline"];
    let show: &[&str] = &["printf", "<%s>"];
    let shown = "<$HOME it's><a\"b`c`\\><new\nline>";
    let both = of(show, &hostile).runscript();
    // CMD is never evaluated; what a user types is, unless it is said not to be.
    assert_eq!(shell(&both, &[], &[]), shown);
    assert_eq!(shell(&both, &[], &no_eval), shown);
    assert_eq!(shell(&both, &["$X", "y z"], &[("X", "1 2")]), "<1 2><y z>");
    assert_eq!(shell(&both, &["$X"], &no_eval), "<$X>");
    let cmd = of(&[], &[show, &hostile].concat()).runscript();
    assert_eq!(shell(&cmd, &[], &[]), shown);
    assert_eq!(shell(&cmd, &["echo", "hi"], &[]), "hi\n");
    let only = of(&[show, &hostile].concat(), &[]).runscript();
    assert_eq!(shell(&only, &[], &[]), shown);
}

#[test]
fn the_environment_gives_way_except_for_path() {
    let config = OciConfig {
        env: Some(vec![
            "A=it's $HOME".to_owned(),
            "B=image".to_owned(),
            "PATH=/opt/bin:/usr/bin:/bin".to_owned(),
            "not.a.name=1".to_owned(),
        ]),
        ..OciConfig::default()
    };
    let text = format!(
        "{}printf '%s|' \"$A\" \"$B\" \"$PATH\"\n",
        config.environment()
    );
    let found = shell(&text, &[], &[("B", "host")]);
    assert_eq!(found, "it's $HOME|host|/opt/bin:/usr/bin:/bin|");
    let left_out = config.left_out();
    assert_eq!(left_out.len(), 1, "{left_out:?}");
    assert!(left_out[0].contains("not.a.name"), "{left_out:?}");
    let labels = scripts::labels(&config, "amd64", "h/a@sha256:0");
    for script in scripts::files(&config, &labels, "") {
        if script.text.starts_with("#!/bin/sh") {
            let parsed = std::process::Command::new("/bin/sh")
                .args(["-n", "-c", &script.text])
                .status();
            assert!(parsed.unwrap().success(), "{}", script.path);
        }
    }
}

#[test]
fn what_apptainer_does_not_do_is_named() {
    let rows: &[(&str, &[&str])] = &[
        (
            r#"{"WorkingDir":"/it's here"}"#,
            &["--cwd '/it'\\''s here'"],
        ),
        (r#"{"User":"app:app"}"#, &["USER app:app"]),
        (
            r#"{"ExposedPorts":{"80/tcp":{}},"Volumes":{"/v":{}}}"#,
            &["EXPOSE", "VOLUME"],
        ),
        (
            r#"{"StopSignal":"SIGINT","Healthcheck":{"Test":["CMD","x"]}}"#,
            &["STOPSIGNAL", "HEALTHCHECK"],
        ),
        (
            r#"{"WorkingDir":"/","User":"","ExposedPorts":{},"Volumes":null}"#,
            &[],
        ),
        (
            r#"{"WorkingDir":"","StopSignal":"","Labels":{"a":"b"}}"#,
            &[],
        ),
    ];
    for (config, wanted) in rows {
        let config: OciConfig = serde_json::from_str(config).unwrap();
        let lines = config.left_out();
        assert_eq!(lines.len(), wanted.len(), "{lines:?}");
        for (line, wanted) in lines.iter().zip(*wanted) {
            assert!(line.contains(wanted), "{line}");
        }
    }
}

#[test]
fn contents_that_are_shorter_than_they_should_be_are_an_error() {
    let mut files = Squashfs::new(Cursor::new(Vec::new()), 1).unwrap();
    let mut short = std::io::repeat(1).take(10);
    assert!(files.file(FileId(1), &mut short, 11).is_err());
}
