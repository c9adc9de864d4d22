//! `mlbuild base debian`, from this machine's own archive.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::Command;

use crate::support::engines::Engines;
use crate::support::http;
use crate::support::mlbuild::{Project, Ran};

/// Another name, resolver, time zone and umask, and folders that apt's own user can't get into.
const OTHER_MACHINE: &str = r#"
hostname elsewhere
mkdir -m 700 private
(cat /etc/resolv.conf; echo '# elsewhere') > resolv.conf
mount --bind resolv.conf /etc/resolv.conf
umask 077
TMPDIR=$PWD/private TZ=Asia/Tokyo exec "$@"
"#;

/// What the image's own apt is to name.
const SOURCES: &str = "http://archive.example/debian";

/// The state of the archive that an archive of snapshots has.
const DAY: &str = "20260301T000000Z";

/// Another mirror of this machine's archive, by date: it says for each file where that has it.
fn snapshots() -> String {
    let said = Command::new("apt-get")
        .args(["indextargets", "--format", "$(RELEASE) $(REPO_URI)"])
        .arg("Created-By: Packages")
        .output()
        .unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    let mut archives = said.lines().filter_map(|line| line.split_once(' '));
    let archive = archives.find(|(release, _)| *release == "bookworm");
    let archive = archive
        .expect("bookworm")
        .1
        .trim_end_matches('/')
        .to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().map(Result::unwrap) {
            let archive = archive.clone();
            std::thread::spawn(move || {
                let mut request = String::new();
                for line in BufReader::new(&stream).lines().map_while(Result::ok) {
                    if let Some(rest) = line.strip_prefix("GET ") {
                        request = rest.split(' ').next().unwrap().to_owned();
                    }
                    if line.is_empty() {
                        let of_the_day =
                            request.strip_prefix('/').and_then(|r| r.strip_prefix(DAY));
                        let there = match of_the_day {
                            Some(file) => format!("302 Found\r\nLocation: {archive}{file}"),
                            None => "404 Not Found".to_owned(),
                        };
                        let answer = format!("HTTP/1.1 {there}\r\nContent-Length: 0\r\n\r\n");
                        let _ = (&stream).write_all(answer.as_bytes());
                    }
                }
            });
        }
    });
    address
}

#[test]
fn debian_is_the_same_twice_from_a_mirror_and_from_an_archive_of_snapshots() {
    let engines = Engines::from_env();
    let tag = crate::image::unique(&engines.registry, "debian");
    let start = |machine: &str, tag: &str, more: &[&str]| {
        let project = Project::new(&[]);
        let words = [&["base", "debian", "--sources", SOURCES, "-t", tag], more].concat();
        let inner = project.command(words);
        let mut command = Command::new("unshare");
        command
            .args(["--uts", "--mount", "sh", "-euc", machine, "sh"])
            .arg(inner.get_program())
            .args(inner.get_args())
            .envs(inner.get_envs().filter_map(|(k, v)| Some((k, v?))))
            .current_dir(project.path(""))
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        (command.spawn().unwrap(), project)
    };
    let other = crate::image::unique(&engines.registry, "debian");
    let (first, _here) = start(r#"exec "$@""#, &tag, &[]);
    let mirror = snapshots();
    let by_date = ["--mirror", &mirror, "--snapshot", DAY];
    let (second, _there) = start(OTHER_MACHINE, &other, &by_date);
    let digest = |child: std::process::Child| {
        let ran = Ran::from(child.wait_with_output().unwrap());
        ran.answer().rsplit('@').next().unwrap().to_owned()
    };
    let digests = (digest(first), digest(second));
    assert_eq!(digests.0, digests.1);
    let (host, path) = tag.split_once('/').unwrap();
    let (name, _) = path.rsplit_once(':').unwrap();
    let (found, manifest) = http::manifest(host, name, "v1");
    assert_eq!(found, digests.0);
    let config = http::json_blob(host, name, &manifest["config"]["digest"]);
    assert_eq!(config["config"]["Cmd"][0], "bash", "{config}");
    // The oldest of them reads it too.
    let script = "cat /etc/apt/sources.list && apt-get --version";
    let words = ["run", "--rm", &tag, "sh", "-c", script];
    let said = engines.docker(&engines.docker_20, &words);
    let sources = format!("deb {SOURCES} bookworm main\napt 2.");
    assert!(said.starts_with(&sources), "{said}");
}

#[test]
fn what_can_t_be_made_is_refused_at_once() {
    let project = Project::new(&[("layout", "")]);
    let mut said = String::new();
    for words in [
        &["base", "debian"][..],
        &["base", "debian", "-o", "layout"],
        &["base", "debian", "-o", "new", "--suite", "../etc"],
        &["base", "debian", "-o", "new", "--include", "a b"],
        &["base", "debian", "-o", "new", "--snapshot", "yesterday"],
        &["base", "debian", "-o", "new", "--sources", "its mirror"],
        &[
            "base",
            "debian",
            "-o",
            "new",
            "--mirror",
            "http://me:word@mirror.example/debian",
        ],
    ] {
        said += &project.filtered(project.run(words).refusal(2));
        assert_eq!(project.names(), ["layout"]);
    }
    insta::assert_snapshot!(said, @"
    error: nothing says where the base image goes
      hint: give -t REGISTRY/NAME:TAG to push it, or -o DIR to write it
    error: --output layout: it is there already
      hint: name a folder that isn't there yet
    error: --suite ../etc: not a name that Debian has
    error: --include a b: not a name that Debian has
    error: --snapshot yesterday: not a time of the archive
      hint: write it as 20260301T000000Z
    error: --sources its mirror: not an address of an archive
    error: the archive's address has a log-in, and the image's own apt would name it
      hint: give the address that the image is to name: --sources URL
    ");
}
