//! What strangers could try with a builder and a base image of theirs.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::thread;

use crate::image::{builder, image, unique};
use crate::lock;
use crate::support::engines::Engines;
use crate::support::mlbuild::{Project, Ran};

/// A port of all addresses of this machine that leads to a socket.
fn port_to(socket: &str) -> u16 {
    let socket = socket.strip_prefix("unix://").unwrap().to_owned();
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let far = UnixStream::connect(&socket).unwrap();
            let (near_too, far_too) = (near.try_clone().unwrap(), far.try_clone().unwrap());
            thread::spawn(move || pass(near, far));
            thread::spawn(move || back(far_too, near_too));
        }
    });
    port
}

fn pass(mut from: TcpStream, mut to: UnixStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}

fn back(mut from: UnixStream, mut to: TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}

const IN_THE_CLEAR: &str = "is reached without TLS: whoever is on the way can read and change";

#[test]
fn a_builder_off_this_machine_without_tls_is_named() {
    let engines = Engines::from_env();
    let project = Project::new(&[("Dockerfile", "FROM scratch\nCOPY data /\n"), ("data", "x")]);
    let buildkitd = port_to(&engines.buildkitd);
    let docker = port_to(&engines.docker_containerd);
    let builds = |command: &mut std::process::Command, is_named: bool| {
        let ran = Ran::of(command);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        assert_eq!(
            ran.stderr.contains(IN_THE_CLEAR),
            is_named,
            "{}",
            ran.stderr
        );
        ran
    };
    for (host, is_named) in [("0.0.0.0", true), ("127.0.0.1", false)] {
        let words = image(
            &["--builder".to_owned(), format!("tcp://{host}:{buildkitd}")],
            &["-f", "Dockerfile", "-o", "type=oci,dest=out.tar"],
        );
        let ran = builds(&mut project.command(words), is_named);
        assert_eq!(
            ran.stderr.contains(&format!("the builder at {host}")),
            is_named
        );

        let words = image(&[], &["-f", "Dockerfile", "-o", "type=oci,dest=out.tar"]);
        let mut command = project.command(words);
        command.env("DOCKER_HOST", format!("tcp://{host}:{docker}"));
        let ran = builds(&mut command, is_named);
        if is_named {
            println!("{}", ran.stderr);
        }
    }
}

/// What the base's own `python3` leaves where the resolver's answer is looked for.
const HOSTILE: [(&str, &str); 4] = [
    // A text through a link.
    ("ln -sf KEY /mlbuild-out/facts", "link"),
    // A folder that is a link.
    (
        "rm -rf /mlbuild-out/wheels; ln -s FOLDER /mlbuild-out/wheels; \
         printf 'source\\tsix\\t1.17.0\\tsix-1.17.0.tar.gz\\t\\n' > /mlbuild-out/python.tsv",
        "link, or below one",
    ),
    // A package that is a link.
    (
        "ln -s KEY /mlbuild-out/wheels/six-1.17.0-py2.py3-none-any.whl; \
         printf 'wheel\\tsix\\t1.17.0\\tsix-1.17.0-py2.py3-none-any.whl\\t\\n' > /mlbuild-out/python.tsv",
        "link",
    ),
    // A name that leads out.
    (
        "printf 'wheel\\tsix\\t1.17.0\\t../../../../..KEY.whl\\t\\n' > /mlbuild-out/python.tsv",
        "its file is no Python package",
    ),
];

#[test]
fn a_base_whose_python_is_hostile_gets_nothing_into_the_lock() {
    let engines = Engines::from_env();
    let builder = builder(&engines, "buildkitd");
    let project = Project::new(&[("requirements.txt", "six==1.17.0\n")]);
    project.write("../home/.ssh/id_rsa", "planted-private-key");
    let key = project.path("../home/.ssh/id_rsa");
    let key = key.canonicalize().unwrap();
    project.write("../home/.ssh/six-1.17.0.tar.gz", "planted-private-key");
    for (attack, why) in HOSTILE {
        let attack = attack
            .replace("KEY", &key.to_string_lossy())
            .replace("FOLDER", &key.parent().unwrap().to_string_lossy());
        // It does so whatever it is asked, and ends the step, so that nothing comes after it.
        let script = format!(
            "#!/bin/sh\ncase \"$*\" in\n\
             *'venv /mlbuild-venv') mkdir -p /mlbuild-venv/bin; cp /usr/local/bin/python3 /mlbuild-venv/bin/python ;;\n\
             *resolve.py*) {attack} ;;\nesac\nexit 0\n"
        );
        let base = Project::new(&[
            (
                "Dockerfile",
                &format!(
                    "FROM {}\nCOPY --chmod=755 python3 /usr/local/bin/python3\n",
                    engines.base
                ),
            ),
            ("python3", &script),
        ]);
        let tag = unique(&engines.registry, "hostile");
        let words = image(&builder.flags, &["-f", "Dockerfile", "-t", &tag, "--push"]);
        base.run(words).answer();

        let mut words = vec!["lock".to_owned()];
        words.extend_from_slice(&builder.flags);
        words.extend(["--base", &tag, "--uid", "1000"].map(str::to_owned));
        let ran = lock::run(&project, &words);
        assert_ne!(ran.code, Some(0), "{attack}: {}", ran.stderr);
        assert!(ran.stderr.contains(why), "{attack}: {}", ran.stderr);
        println!("{}", ran.stderr);
        let lock = std::fs::read_to_string(project.path("mlbuild.lock")).unwrap_or_default();
        assert!(
            !lock.contains("planted") && !lock.contains("[[image.build"),
            "{lock}"
        );
        let state = std::process::Command::new("grep")
            .args(["-rl", "planted-private-key"])
            .arg(project.outside().join("state"))
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&state.stdout), "", "{attack}");
        assert_eq!(crate::support::read(&key), "planted-private-key");
    }
}
