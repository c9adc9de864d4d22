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

#[test]
fn the_password_of_a_mirror_is_neither_shown_nor_kept() {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let mut header = tar::Header::new_gnu();
    header.set_size(0);
    header.set_mode(0o755);
    tar.append_data(&mut header, "bin/other", &b""[..]).unwrap();
    let archive = tar.into_inner().unwrap().finish().unwrap();
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
        let kept = std::process::Command::new("grep")
            .args(["-rl", "hunter2"])
            .arg(project.outside())
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&kept.stdout), "");
    }
}
