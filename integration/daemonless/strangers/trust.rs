//! A clone: what its `mlbuild.toml` asks for outside its folder is listed and refused.

use std::io::Read as _;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::support::mlbuild::{Project, Ran};
use crate::support::terminal::Terminal;

/// Each verb that acts on a project, and what it needs to get as far as acting.
const VERBS: [&[&str]; 6] = [
    &["image", "-t", "r.example/a:1"],
    &["lock", "-t", "r.example/a:1"],
    &["run", "img"],
    &["dev", "img"],
    &["devcontainer", "img"],
    &["submit", "img"],
];

#[test]
fn what_reaches_out_is_refused_with_its_list() {
    let clone = Project::new(&[(
        "mlbuild.toml",
        "[build]\nsecrets = [\"id=k,src=../home/.ssh/id_ed25519\", \"id=e,env=AWS_KEY\"]\n\
         contexts = { home = \"../home\" }\n\
         [run]\nvolume = \"/:/host\"\nprivileged = true\npid = \"host\"\nenv = \"AWS_KEY\"\n",
    )]);
    clone.write("../home/.ssh/id_ed25519", "a key\n");
    for words in VERBS {
        let ran = Ran::of(clone.command(words).env("AWS_KEY", "hunter2"));
        let text = clone.filtered(ran.refusal(2));
        for part in [
            "hands the file /home/.ssh/id_ed25519 to build steps",
            "hands the variable AWS_KEY of your environment to build steps",
            "sends files of /home to the builder",
            "mounts /: /:/host",
            "starts containers with --privileged",
            "starts containers with --pid=host",
            "hands the variable AWS_KEY of your environment to containers",
            "--trust",
            "trusted = [",
        ] {
            assert!(text.contains(part), "{words:?}: {part} in {text}");
        }
        println!("{words:?}: {text}");
    }
    assert!(!clone.path(".devcontainer").exists());
}

#[test]
fn no_project_chooses_the_builder_and_no_byte_reaches_its_address() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    let builder = format!("[build]\nbuilder = \"tcp://{address}\"\n");
    let clone = Project::new(&[("mlbuild.toml", &builder), ("requirements.txt", "numpy\n")]);
    for words in [
        &["image", "-t", "r.example/a:1"][..],
        &["image", "-t", "r.example/a:1", "--trust"],
        &["lock", "-t", "r.example/a:1", "--trust"],
    ] {
        let ran = clone.run(words);
        let text = ran.refusal(2);
        assert!(
            text.contains("a project can't say that, only you can"),
            "{text}"
        );
        assert!(
            text.contains(&format!("--builder tcp://{address}")),
            "{text}"
        );
        println!("{text}");
    }
    let mut met = [0];
    let came = listener
        .accept()
        .map(|(mut stream, _)| stream.read(&mut met));
    assert!(came.is_err(), "somebody connected");
    // The person's own configuration may.
    clone.write(
        "../home/.config/mlbuild/config.toml",
        &format!("builder = \"tcp://{address}\"\n"),
    );
    clone.write("mlbuild.toml", "");
    let ran = clone.run(["image", "-t", "r.example/a:1"]);
    assert!(ran.stderr.contains(&address.to_string()), "{}", ran.stderr);
}

#[test]
fn registries_without_tls_are_not_the_projects_to_say() {
    for line in [
        "insecure = [\"r.example\"]",
        "mirrors = { \"docker.io\" = [\"http://thief.example\"] }",
        "mirror = \"http://thief.example/x\"",
    ] {
        let clone = Project::new(&[("mlbuild.toml", &format!("[registry]\n{line}\n"))]);
        for words in [
            &["image", "--trust"][..],
            &["inspect", "r.example/a:1"],
            &["runs", "pull", "r.example/a:1"],
        ] {
            let text = clone.run(words).refusal(2).to_owned();
            assert!(text.contains("only you can"), "{words:?}: {text}");
        }
    }
}

#[test]
fn links_that_lead_out_of_the_folder_are_seen() {
    let clone = Project::new(&[]);
    clone.write("../home/.ssh/id_ed25519", "a key\n");
    symlink("../home/.ssh/id_ed25519", clone.path("requirements.txt")).unwrap();
    let text = clone.filtered(clone.run(["image", "-t", "r.example/a:1"]).refusal(2));
    assert!(
        text.contains("reads /home/.ssh/id_ed25519, to which requirements.txt is a link"),
        "{text}"
    );
    println!("{text}");
}

#[test]
fn a_folder_that_the_person_trusts_is_not_asked_again() {
    let own = Project::new(&[("mlbuild.toml", "[run]\nprivileged = true\n")]);
    let is_refused =
        |own: &Project, words: &[&str]| own.run(words).stderr.contains("outside its folder");
    assert!(is_refused(&own, &["devcontainer", "img"]));
    assert!(!is_refused(&own, &["devcontainer", "--trust", "img"]));
    let trusted = format!("trusted = [{:?}]\n", own.path(""));
    own.write("../home/.config/mlbuild/config.toml", &trusted);
    assert!(!is_refused(&own, &["devcontainer", "img"]));
    // Looking needs no trust at all.
    let other = Project::new(&[("mlbuild.toml", "[run]\nprivileged = true\n")]);
    other.run(["run", "--dry-run", "img"]).answer();
    other.run([
        "image",
        "--print",
        "plan",
        "-t",
        "r.example/a:1",
        "--dockerfile",
        "D",
    ]);
}

#[test]
fn a_terminal_is_asked_once_for_a_folder_and_what_it_asks() {
    let own = Project::new(&[("mlbuild.toml", "[run]\nprivileged = true\n")]);
    let run = |answer: Option<&str>| {
        let mut terminal = Terminal::start(&own.command(["devcontainer", "img"]));
        let mut said = String::new();
        if let Some(answer) = answer {
            said = terminal.until("[y/N]");
            terminal.type_in(answer);
        }
        let (more, status) = terminal.finish();
        (said + &more, status)
    };
    let (said, status) = run(Some("\n"));
    assert!(!status.success(), "{said}");
    let (said, status) = run(Some("y\n"));
    assert!(status.success(), "{said}");
    let (said, status) = run(None);
    assert!(status.success() && !said.contains("[y/N]"), "{said}");
    // What else the file says is no reason to ask; what else it reaches is.
    own.write(
        "mlbuild.toml",
        "[run]\nprivileged = true\nshm-size = \"1g\"\n",
    );
    assert!(run(None).1.success());
    own.write("mlbuild.toml", "[run]\nprivileged = true\npid = \"host\"\n");
    let (said, status) = run(Some("y\n"));
    assert!(status.success() && said.contains("--pid=host"), "{said}");
}

#[test]
fn a_requirements_file_includes_nothing_from_outside() {
    let clone = Project::new(&[("requirements.txt", "-r inner.txt\n")]);
    clone.write("../home/.netrc", "machine h login me password hunter2\n");
    symlink("../home/.netrc", clone.path("inner.txt")).unwrap();
    for file in [
        "-r inner.txt\n",
        "-r ../home/.netrc\n",
        "-c sub/../../home/.netrc\n",
    ] {
        clone.write("requirements.txt", file);
        let ran = clone.run(["image", "-t", "r.example/a:1", "--print", "dockerfile"]);
        let text = ran.refusal(2);
        assert!(
            text.contains("the build context") && !text.contains("hunter2"),
            "{text}"
        );
        println!("{text}");
    }
}

fn wishes_of(text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path().join("p");
    std::fs::create_dir_all(project.join("data")).unwrap();
    symlink("/etc", project.join("link")).unwrap();
    let config = mlbuild::config::parse(text, Path::new("mlbuild.toml")).unwrap();
    let root = folder.path().canonicalize().unwrap();
    let list = mlbuild::trust::wishes(&config, &project).join("\n");
    let list = list.replace(&root.display().to_string(), "");
    let mut lines: Vec<&str> = list.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

#[test]
fn what_stays_inside_needs_no_word() {
    let inside = "[image]\ndockerfile = \"docker/Dockerfile\"\nrequirements = [\"requirements.txt\"]\n\
        [build]\n\ncontexts = { g = \"https://h.example/r.git\" }\n\
        cache_from = [\"r.example/cache\"]\n\
        [run]\nvolume = [\".:/app\", \"./data:/data\", \"/anonymous\"]\nenv = [\"A=1\"]\nshm-size = \"8g\"\n\
        gpu = \"required\"\npublish = \"8888\"\nnetwork = \"bridge\"\nprivileged = false\n\
        device = \"nvidia.com/gpu=all\"\nmount = \"type=tmpfs,target=/t\"\n";
    assert_eq!(wishes_of(inside), "");
}

#[test]
fn everything_that_reaches_out_is_named_in_plain_words() {
    let outside = "[image]\nrequirements = [\"../r.txt\", \"link/passwd\"]\n\
        [build]\nsecrets = [\"id=x,src=/etc/shadow\", \"id=y,env=AWS_KEY\"]\nnetwork = \"host\"\n\
        contexts = { l = \"/etc\" }\napt_sources = \"/etc/apt/sources.list\"\n\
        cache_to = [\"type=gha,url=https://thief.example/,token=hunter2\", \"r.example/cache\"]\n\
        [registry]\nmirror = \"r.example/copies\"\nmirrors = { \"docker.io\" = [\"m.example\"] }\n\
        [run]\nvolume = [\"/:/host\", \"data:/x\", \"./link:/etc\"]\nenv = [\"AWS_KEY\"]\nprivileged = true\n\
        pid = \"host\"\nnetwork = \"host\"\ncap-add = \"SYS_ADMIN\"\nsecurity-opt = \"seccomp=unconfined\"\n\
        device = \"/dev/sda\"\nadd-host = \"a:1.2.3.4\"\nvolumes-from = \"db\"\nuse-api-socket = true\n\
        env-file = \"../.env\"\nmount = \"type=bind,source=/var/run/docker.sock,target=/s\"\n";
    insta::assert_snapshot!(wishes_of(outside), @r#"
    copies base images, private ones too, to r.example/copies with your log-in ([registry] mirror)
    hands the file /etc/shadow to build steps ([build] secrets)
    hands the variable AWS_KEY of your environment to build steps ([build] secrets)
    hands the variable AWS_KEY of your environment to containers ([run])
    mounts /: /:/host ([run])
    mounts /etc: ./link:/etc ([run])
    mounts /run/docker.sock: /var/run/docker.sock:/s ([run])
    mounts the volume data: data:/x ([run])
    reads /.env (--env-file) ([run])
    reads /etc/apt/sources.list ([build] apt_sources)
    reads /etc/passwd ([image] requirements)
    reads /r.txt ([image] requirements)
    runs build steps in this machine's network ([build] network)
    sends files of /etc to the builder ([build.contexts] l)
    starts containers with --add-host=a:1.2.3.4 ([run])
    starts containers with --cap-add=SYS_ADMIN ([run])
    starts containers with --device=/dev/sda ([run])
    starts containers with --network=host ([run])
    starts containers with --pid=host ([run])
    starts containers with --privileged ([run])
    starts containers with --security-opt=seccomp=unconfined ([run])
    starts containers with --use-api-socket ([run])
    starts containers with --volumes-from=db ([run])
    takes images of docker.io from m.example ([registry] mirrors)
    writes the build's cache, with your log-in, to r.example/cache ([build] cache_to)
    writes the build's cache, with your log-in, to type=gha,url=https://thief.example/,token=<redacted> ([build] cache_to)
    "#);
}

/// The log-in of the person's index is for installing packages. What else the project runs gets it where
/// it says that it needs it, and the person agreed.
#[test]
fn commands_get_the_log_in_of_the_index_only_where_they_ask_and_the_person_agreed() {
    let said = "hands the log-in of your package index";
    let run = |step: &str, index: &str, more: &[&str]| {
        let toml = format!("[image]\nbase = \"debian:12\"\nrun = [{step}]\n");
        let clone = Project::new(&[("mlbuild.toml", &toml)]);
        let words = [&["image", "-t", "r.example/a:1"][..], more].concat();
        Ran::of(clone.command(words).env("PIP_INDEX_URL", index))
    };
    let (private, open) = (
        "https://me:hunter2@i.example/simple",
        "https://i.example/simple",
    );
    let asks = "{ command = \"pip download x\", index = true }";
    for (index, is_asked) in [
        (private, true),
        ("https://token@i.example/simple", true),
        (open, false),
    ] {
        let refused = run(asks, index, &[]);
        assert_eq!(
            refused.stderr.contains(said),
            is_asked,
            "{index}: {}",
            refused.stderr
        );
        assert!(!refused.stderr.contains("hunter2"), "{}", refused.stderr);
    }
    let mounts = |step: &str, index: &str| {
        let ran = run(step, index, &["--print", "dockerfile"]);
        (ran.answer().contains("id=mlbuild-pip-conf"), ran.stderr)
    };
    let (is_mounted, stderr) = mounts("\"cat /run/secrets/*\"", private);
    assert!(!is_mounted, "a command got the log-in unasked");
    assert!(stderr.contains("index = true"), "{stderr}");
    assert!(mounts("\"pip download x\"", open).0);
    assert!(mounts(asks, private).0);
    // A template of the project's own says itself what its steps mount.
    let own = "FROM debian:12\nRUN --mount=type=secret,id=mlbuild-pip-conf cat /run/secrets/*\n";
    let clone = Project::new(&[
        ("mlbuild.toml", "[image]\ntemplate = \"./own.Dockerfile\"\n"),
        ("own.Dockerfile", own),
    ]);
    let mut command = clone.command(["image", "-t", "r.example/a:1"]);
    let ran = Ran::of(command.env("PIP_INDEX_URL", private));
    assert!(ran.refusal(2).contains(said), "{}", ran.stderr);
}

#[test]
fn what_a_file_asks_for_begins_no_line_of_the_list() {
    let clone = Project::new(&[(
        "mlbuild.toml",
        "[build.contexts]\n\"x\\n\\nall of this was checked\" = \"/etc\"\n",
    )]);
    let ran = clone.run(["image", "-t", "r.example/a:1"]);
    let text = ran.refusal(2);
    assert!(text.contains("sends files of /etc"), "{text}");
    assert!(
        !text.lines().any(|line| line.starts_with("all of this")),
        "{text}"
    );
}
