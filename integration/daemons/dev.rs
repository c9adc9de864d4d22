//! `mlbuild dev` and `mlbuild devcontainer` with real containers.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::adopt::Shop;
use crate::image::unique;
use crate::support::engines::Engines;
use crate::support::http;
use crate::support::mlbuild::{Project, Ran};
use crate::support::terminal::Terminal;
use crate::support::wait;

/// Whose the project is: nobody's whom an image knows.
const OWNER: u32 = 1_000_055;

/// A project of another user's, and a runtime.
struct Desk {
    engines: Engines,
    project: Project,
    /// `DOCKER_HOST`, where the runtime is Docker.
    host: Option<String>,
}

impl Desk {
    fn new(host: Option<&str>) -> Self {
        let desk = Self {
            engines: Engines::from_env(),
            project: Project::new(&[("mlbuild.toml", ""), ("sub/train.py", "")]),
            host: host.map(str::to_owned),
        };
        desk.give_to(OWNER);
        desk
    }

    fn give_to(&self, uid: u32) {
        for name in ["", "sub"] {
            chown(self.project.path(name), Some(uid), Some(uid)).unwrap();
        }
    }

    fn path(&self) -> String {
        let path = std::env::var("PATH").unwrap_or_default();
        let folder = match self.host {
            Some(_) => &self.engines.bin,
            None => &self.engines.podman,
        };
        format!("{}:{path}", folder.display())
    }

    fn command(&self, verb: &str, args: &[&str]) -> Command {
        let mut command = self.project.command([verb].iter().chain(args));
        let nowhere = "unix:///nowhere/docker.sock";
        command
            .env("PATH", self.path())
            .env("DOCKER_HOST", self.host.as_deref().unwrap_or(nowhere))
            // Podman, too, looks for a file there.
            .env_remove("DOCKER_CONFIG");
        command
    }

    fn dev(&self, args: &[&str]) -> Ran {
        Ran::of(&mut self.command("dev", args))
    }

    #[track_caller]
    fn docker(&self, args: &[&str]) -> String {
        let program = if self.host.is_some() {
            "docker"
        } else {
            "podman"
        };
        let mut docker = Command::new(program);
        docker
            .env("PATH", self.path())
            .env("DOCKER_CONFIG", &self.engines.docker_config)
            .envs(self.host.iter().map(|host| ("DOCKER_HOST", host)))
            .args(args);
        Ran::of(&mut docker).answer().trim().to_owned()
    }

    /// An image for the user `ubuntu` that starts a program of its own.
    fn image_of_somebody(&self) -> String {
        let image = unique(&self.engines.registry, "dev");
        let base = &self.engines.ubuntu_base;
        let id = self.docker(&["create", "--entrypoint", "echo", base, "entry"]);
        let id = id.lines().last().unwrap();
        let user = [
            "--change",
            "USER ubuntu",
            "--change",
            "ENTRYPOINT [\"echo\"]",
        ];
        self.docker(&[&["commit"][..], &user, &[id, &image]].concat());
        self.docker(&["rm", id]);
        image
    }
}

const WHO: &str = "id -u; id -g; id -un; pwd; echo hidden > ~/note; touch made; cat /proc/1/comm";

#[test]
fn files_made_inside_belong_to_the_projects_owner() {
    let engines = Engines::from_env();
    let hosts = engines.dockers().map(|(name, host)| (name, Some(host)));
    for (name, host) in hosts.into_iter().chain([("Podman", None)]) {
        let desk = Desk::new(host);
        let image = desk.image_of_somebody();
        let mut command = desk.command("dev", &["--cmd", WHO, &image]);
        let ran = Ran::of(command.current_dir(desk.project.path("sub")));
        let said: Vec<&str> = ran.answer().lines().take(4).collect();
        let id = OWNER.to_string();
        assert_eq!(
            said,
            [&id, &id, "user", "/app/sub"],
            "{name}: {}",
            ran.stderr
        );
        let made = std::fs::metadata(desk.project.path("sub/made")).unwrap();
        assert_eq!((made.uid(), made.gid()), (OWNER, OWNER), "{name}");
        // Its home is there the next time.
        assert_eq!(
            desk.dev(&["--cmd", "cat ~/note", &image]).answer(),
            "hidden"
        );
        // The image's own user is left alone where the files are that user's anyway.
        desk.give_to(1000);
        let ran = desk.dev(&["--cmd", "id -un; echo $HOME", &image]);
        assert_eq!(
            ran.answer(),
            "ubuntu\n/home/ubuntu",
            "{name}: {}",
            ran.stderr
        );
        // As one says, and the image's own program for a command of one's own.
        let ran = desk.dev(&["--user", "root", "--no-dir", &image, "is", "left"]);
        assert_eq!(ran.answer(), "is left", "{name}: {}", ran.stderr);
        desk.docker(&["rmi", &image]);

        let listed = desk.project.run(["runs", "list", "--format=json"]).json();
        let runs = listed["runs"].as_array().unwrap();
        assert_eq!(runs.len(), 4, "{name}");
        for run in runs {
            assert_eq!(run["outcome"]["exit_code"], 0, "{name}");
            // What belongs to that container alone isn't what the run was.
            let options = run["command"]["options"].to_string();
            assert!(
                !options.contains("passwd") && !options.contains("org.mlbuild"),
                "{options}"
            );
        }
    }
}

#[test]
fn a_second_shell_goes_into_the_container_that_runs() {
    let desk = Desk::new(Some(&Engines::from_env().docker_classic));
    let base = desk.engines.base.clone();
    let id = desk.dev(&[
        "-d",
        "--name",
        &format!("dev-{}", std::process::id()),
        &base,
    ]);
    let id = id.answer();
    let mut command = desk.command("dev", &[]);
    let mut terminal = Terminal::start(command.env("TERM", "dumb"));
    terminal.until("attached to container");
    terminal.type_in("cat /etc/hostname; id -u; test -t 0 && echo interactive; exit 6\n");
    let (said, status) = terminal.finish();
    assert_eq!(status.code(), Some(6), "{said}");
    assert!(
        said.contains(&id[..12]) && said.contains("interactive"),
        "{said}"
    );
    assert!(said.contains(&OWNER.to_string()), "{said}");

    let refused = desk.dev(&["-e", "A=1", &base]);
    let refused = refused
        .refusal(2)
        .replace(&id[..12], "ID")
        .replace(&base, "BASE");
    insta::assert_snapshot!(refused, @r"
    error: this project's container runs already (ID), and can't be given --env, BASE any more
      hint: a second one beside it: --new
      hint: or without that, to attach to the one that runs
    ");
    let ran = desk.dev(&["--new", "--cmd", "cat /etc/hostname", &base]);
    assert_ne!(ran.answer(), &id[..12]);
    desk.docker(&["rm", "-f", id]);
    // Nothing runs, and nothing names an image.
    assert!(desk.dev(&[]).refusal(2).contains("no image is named"));
}

#[test]
fn jupyter_asks_for_its_token_and_listens_on_loopback_only() {
    let shop = Shop::new();
    let image = unique(&shop.engines.registry, "dev-jupyter");
    shop.build(&image, &["--uid", "1000", "--package", "jupyter-server"]);
    // The lock names it.
    let host = shop.engines.docker_containerd.clone();
    let desk = Desk {
        host: Some(host),
        engines: shop.engines,
        project: shop.project,
    };
    let mut child = desk.command("dev", &["--jupyter"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut said = Vec::new();
    let address = lines.find_map(|line| {
        said.push(line.unwrap());
        said.last()?.strip_prefix("Jupyter: ").map(str::to_owned)
    });
    let address = address.unwrap_or_else(|| panic!("no address: {}", said.join("\n")));
    let rest = address.strip_prefix("http://").unwrap();
    let (host, token) = rest.split_once("/?token=").unwrap();
    wait::until("Jupyter answers", || http_status(host, "/api") == Some(200));
    assert_eq!(http_status(host, "/api/contents"), Some(403));
    let asked = format!("/api/contents?token={token}");
    assert_eq!(http::request("GET", host, &asked).status, 200);

    let filter = format!("label=org.mlbuild.dev={}", desk.project.path("").display());
    let id = desk.docker(&["ps", "-q", "--filter", &filter]);
    let port = desk.docker(&["port", &id, "8888"]);
    assert_eq!(port, host);
    let again = desk.dev(&["--jupyter"]);
    assert!(
        again.refusal(2).contains("can't be given --jupyter"),
        "{}",
        again.stderr
    );
    let runs = desk.project.run(["runs", "list", "--format=json"]);
    assert!(!runs.answer().contains(token));
    for process in std::fs::read_dir("/proc").unwrap() {
        let file = process.unwrap().path().join("cmdline");
        let line = std::fs::read(file).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&line).contains(token));
    }
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    child.wait().unwrap();
    assert_eq!(desk.docker(&["ps", "-q", "--filter", &filter]), "");

    // An image without it says so.
    let base = desk.engines.base.clone();
    let ran = desk.dev(&["--jupyter", &base]);
    assert_eq!(ran.code, Some(127));
    assert!(
        ran.stderr.contains("this image has no Jupyter"),
        "{}",
        ran.stderr
    );
}

/// The status of an answer; `None` where nothing answers yet.
fn http_status(host: &str, path: &str) -> Option<u16> {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(host).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.get(9..12)?.parse().ok()
}

#[test]
fn the_devcontainer_cli_brings_up_what_is_written() {
    let desk = Desk::new(Some(&Engines::from_env().docker_containerd));
    desk.docker(&["pull", "--quiet", &desk.engines.ubuntu_base]);
    let line = [
        "-e",
        "EPOCHS=3",
        "--shm-size=128m",
        &desk.engines.ubuntu_base,
    ];
    let written = Ran::of(&mut desk.command("devcontainer", &line));
    let file = desk.project.path(".devcontainer/devcontainer.json");
    assert_eq!(Path::new(written.answer()), file);
    assert_eq!(written.stderr, "");

    let devcontainer = |verb: &str, args: &[&str]| {
        let mut command = Command::new(&desk.engines.devcontainer);
        command
            .arg(verb)
            .arg("--workspace-folder")
            .arg(desk.project.path(""))
            .args(args)
            .env("PATH", desk.path())
            .env("HOME", desk.project.home())
            .env("DOCKER_HOST", desk.host.as_ref().unwrap())
            .env("DOCKER_CONFIG", &desk.engines.docker_config)
            .stdin(Stdio::null());
        Ran::of(&mut command)
    };
    let up = devcontainer("up", &[]).json();
    assert_eq!(up["outcome"], "success");
    assert_eq!(up["remoteWorkspaceFolder"], "/app");
    let script = "ls sub; echo $EPOCHS; df -k --output=size /dev/shm | tail -1 | tr -d ' '";
    let ran = devcontainer("exec", &["sh", "-c", script]);
    assert_eq!(ran.answer(), "train.py\n3\n131072");
    desk.docker(&["rm", "-f", up["containerId"].as_str().unwrap()]);
}

#[test]
fn up_makes_the_image_anew_where_its_files_changed_and_runs_in_it() {
    let engines = Engines::from_env();
    for (_, host) in &engines.dockers()[..2] {
        let desk = Desk::new(Some(host));
        let dockerfile = |text: &str| format!("FROM {}\nRUN echo {text} > /said\n", engines.base);
        let up = |args: &[&str]| Ran::of(&mut desk.command("up", args));
        let own = "[image]\ndockerfile = \"Dockerfile\"\n";
        desk.project.write("mlbuild.toml", own);
        desk.project.write("Dockerfile", &dockerfile("first"));
        let line = ["-e", "A=1", "sh", "-c", "cat /said; echo $A; touch made"];
        let ran = up(&line);
        assert_eq!(ran.answer(), "first\n1", "{}", ran.stderr);
        let made = std::fs::metadata(desk.project.path("made")).unwrap();
        assert_eq!(made.uid(), OWNER);
        desk.project.write("Dockerfile", &dockerfile("second"));
        // From a folder of the project, with the command of its file, and its exit code.
        let file = format!("{own}command = \"cat /said; pwd; exit 7\"\n");
        desk.project.write("mlbuild.toml", &file);
        let mut command = desk.command("up", &[]);
        let ran = Ran::of(command.current_dir(desk.project.path("sub")));
        assert_eq!(
            (ran.stdout.trim(), ran.code),
            ("second\n/app/sub", Some(7)),
            "{}",
            ran.stderr
        );
        desk.project
            .write("Dockerfile", "FROM nowhere.invalid/x:1\n");
        up(&["true"]).refusal(3);
    }
}
