//! Passwords in the address that a private builder's programs are fetched from.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::support::http::sha256;
use crate::support::mlbuild::Project;

/// A server that gives everybody the same bytes.
fn server(body: Vec<u8>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let head = format!(
                "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(&[head.as_bytes(), &body].concat());
        }
    });
    port
}

/// An archive of programs: their names and texts.
fn archive(programs: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, text) in programs {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o755);
        let name = format!("bin/{name}");
        tar.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

/// Where `hunter2` stands below a folder.
fn found_below(folder: &std::path::Path) -> String {
    let grep = std::process::Command::new("grep")
        .args(["-rl", "hunter2"])
        .arg(folder)
        .output();
    String::from_utf8(grep.unwrap().stdout).unwrap()
}

#[test]
fn the_password_of_a_mirror_is_neither_shown_nor_kept() {
    let archive = archive(&[("other", "")]);
    let hash = sha256(&archive);
    let hash = hash.trim_start_matches("sha256:");
    let port = server(archive);
    for (from, said) in [
        // It comes, and holds no builder.
        (
            format!("http://me:hunter2@127.0.0.1:{port}/b.tar.gz"),
            "holds no bin/buildkitd",
        ),
        // Nobody is there.
        (
            "http://me:hunter2@127.0.0.1:1/b.tar.gz".to_owned(),
            "127.0.0.1:1",
        ),
    ] {
        let project = Project::new(&[]);
        let ran = project.run(["engine", "up", "--from", &from, "--sha256", hash]);
        assert_ne!(ran.code, Some(0));
        assert!(ran.stderr.contains(said), "{}", ran.stderr);
        println!("{}", ran.stderr);
        assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
        assert_eq!(found_below(project.outside()), "");
    }
}

/// A builder that is started has its source written down, for those who ask for it later.
#[test]
fn the_password_of_a_mirror_stays_out_of_what_is_kept_of_a_builder() {
    // It says its version, and ends when it is started.
    let daemon = "#!/bin/sh\n[ \"$1\" != --version ] || echo buildkitd v9.8.7\n";
    let archive = archive(&[("buildkitd", daemon), ("buildkit-runc", "#!/bin/sh\n")]);
    let hash = sha256(&archive);
    let hash = hash.trim_start_matches("sha256:");
    let port = server(archive);
    let project = Project::new(&[]);
    let from = format!("http://me:hunter2@127.0.0.1:{port}/b.tar.gz");
    let ran = project.run(["engine", "up", "--from", &from, "--sha256", hash]);
    assert_ne!(ran.code, Some(0));
    if !rustix::process::geteuid().is_root() && ran.stderr.contains("rootless") {
        // Without root it starts by other programs, which this machine may lack.
        return;
    }
    println!("{}", ran.stderr);
    let find = std::process::Command::new("find")
        .arg(project.outside())
        .args(["-name", "launch.toml"])
        .output();
    let file = String::from_utf8(find.unwrap().stdout).unwrap();
    let launch = std::fs::read_to_string(file.trim()).unwrap();
    assert!(
        launch.contains("9.8.7") && launch.contains(&format!("127.0.0.1:{port}/b.tar.gz")),
        "{launch}"
    );
    assert_eq!(found_below(project.outside()), "");
    assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
}
