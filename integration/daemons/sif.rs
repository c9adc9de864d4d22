//! `mlbuild pull --sif`: files that the real Apptainer runs.

use std::collections::HashSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::image::{name_and_tag, unique};
use crate::lock::{builder, command, run};
use crate::support::engines::Engines;
use crate::support::http;
use crate::support::mlbuild::{Project, Ran};
use crate::support::server::{Act, Server};
use crate::support::wait;

/// What hides, links and marks files, over a base of several layers.
const DOCKERFILE: &str = "\
RUN rm -r /usr/share/common-licenses /etc/issue.net\n\
RUN mkdir -p /opt/a/b && echo one > /opt/a/b/hard && ln -s ../one /opt/a/b/soft\n\
RUN rm -r /opt/a/b && mkdir /opt/a/b && echo two > /opt/a/b/two && echo one > /opt/a/one && ln /opt/a/one /opt/a/same && \
  chmod 4755 /opt/a/b/two && truncate -s 3M /opt/a/holes && echo end >> /opt/a/holes && : > '/opt/a/n\u{e4}me with space'\n\
ENV GREETING=\"a b\\$c\" PATH=/opt/a:$PATH\n\
RUN echo mine > /environment\n\
WORKDIR /opt/a\nUSER 0\nEXPOSE 80\nVOLUME /data\nSTOPSIGNAL SIGINT\nHEALTHCHECK CMD true\n\
ENTRYPOINT [\"/usr/bin/printf\", \"%s|\"]\n\
CMD [\"first\", \"second word\"]\n";

/// Kind, mode, size, links and place of every file in the folders that no runtime mounts over.
const LIST: &str = "find /usr /opt /srv /var/lib \\( -type f -printf 'f %m %s %n %p\\n' \\) -o \
    \\( -type l -printf 'l %l %p\\n' \\) -o -printf '%y %m %p\\n' | LC_ALL=C sort; \
    find /opt /usr/bin -type f -exec sha256sum {} + | LC_ALL=C sort";

fn apptainer(args: &[&str]) -> Ran {
    let program =
        std::env::var("MLBUILD_TEST_APPTAINER").expect("integration/engines/up apptainer");
    let mut command = Command::new(program);
    // What this machine mounts into containers hides what is in the image.
    Ran::of(
        command
            .args(args)
            .env("APPTAINER_NO_MOUNT", "home,cwd,tmp,hostfs"),
    )
}

/// An image of the Dockerfile, in the registry.
fn image(engines: &Engines) -> String {
    let project = Project::new(&[]);
    project.write(
        "Dockerfile",
        &format!("FROM {}\n{DOCKERFILE}", engines.base),
    );
    let tag = unique(&engines.registry, "sif");
    let words = ["image", "-f", "Dockerfile", "-t", &tag, "--push"].map(str::to_owned);
    let flags = builder(engines, "buildkitd").flags;
    run(&project, &[words.to_vec(), flags].concat()).answer();
    tag
}

fn pull(project: &Project, image: &str, file: &str) -> (Ran, PathBuf) {
    let ran = run(
        project,
        &["pull", image, "--sif", "-o", file].map(str::to_owned),
    );
    (ran, project.path(file))
}

#[test]
fn apptainer_runs_a_pulled_image_which_has_the_files_that_docker_sees() {
    let engines = Engines::from_env();
    let image = image(&engines);
    let project = Project::new(&[]);
    let (pulled, file) = pull(&project, &image, "image.sif");
    assert_eq!(pulled.answer(), "image.sif");
    for wanted in [
        "--cwd '/opt/a'",
        "USER 0 isn't",
        "EXPOSE isn't",
        "VOLUME isn't",
        "STOPSIGNAL isn't",
        "HEALTHCHECK isn't",
        "the image's own /environment stays",
    ] {
        assert!(
            pulled.stderr.contains(wanted),
            "{wanted}: {}",
            pulled.stderr
        );
    }
    let sif = file.to_str().unwrap();

    // The same bytes again, on a machine that knows nothing of it.
    let second = Project::new(&[]);
    let (again, other) = pull(&second, &image, "other.sif");
    again.answer();
    let bytes = |path: &PathBuf| std::fs::read(path).unwrap();
    assert!(bytes(&file) == bytes(&other), "two pulls differ");

    let listed = apptainer(&["exec", "--cleanenv", sif, "sh", "-c", LIST]);
    let docker = &engines.docker_containerd;
    let sees = [
        "run",
        "--rm",
        "-q",
        "--entrypoint",
        "sh",
        &image,
        "-c",
        LIST,
    ];
    let seen = engines.docker(docker, &sees);
    let listed = listed.answer();
    let only = |ours: &str, theirs: &str| {
        let theirs: HashSet<&str> = theirs.lines().collect();
        let ours = ours.lines().filter(|line| !theirs.contains(line));
        ours.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(only(&seen, listed), Vec::<String>::new());
    assert_eq!(only(listed, &seen), Vec::<String>::new());
    assert!(seen.contains("f 4755 4 1 /opt/a/b/two") && seen.contains(" 2 /opt/a/same"));
    assert!(!seen.contains("/opt/a/b/hard") && !seen.contains("common-licenses"));

    let variables = [
        "exec",
        "--cleanenv",
        sif,
        "sh",
        "-c",
        "echo \"$GREETING|$PATH\"",
    ];
    let said = apptainer(&variables);
    assert!(
        said.answer().starts_with("a b$c|/opt/a:"),
        "{}",
        said.answer()
    );
    let own = apptainer(&["exec", sif, "cat", "/environment"]);
    assert_eq!(own.answer(), "mine");
    let run = apptainer(&["run", "--cleanenv", sif]);
    assert_eq!(run.answer(), "first|second word|");
    let run = apptainer(&["run", "--cleanenv", sif, "mine"]);
    assert_eq!(run.answer(), "mine|");
    let (name, tag) = name_and_tag(&image);
    let (digest, _) = http::manifest(&engines.registry, name, tag);
    let pinned = format!("{}@{digest}", image.rsplit_once(':').unwrap().0);
    let labels = apptainer(&["inspect", "--labels", sif]);
    assert!(labels.answer().contains(&pinned), "{}", labels.answer());
}

#[test]
fn what_cannot_be_pulled_leaves_nothing() {
    let engines = Engines::from_env();
    let project = Project::new(&[]);
    let nowhere = format!("{}/e2e/no-such-image:v1", engines.registry);
    let (refused, file) = pull(&project, &nowhere, "image.sif");
    refused.refusal(2);
    assert!(!file.exists());
    let (refused, _) = pull(&project, &engines.base, "no/such/folder/image.sif");
    let said = refused.refusal(3);
    assert!(said.contains("no/such/folder/image.sif"), "{said}");
    let words = ["pull", &engines.base, "--sif", "--platform=linux/s390x"].map(str::to_owned);
    let refused = run(&project, &words);
    let said = refused.refusal(2);
    assert!(
        said.contains("no image for linux/s390x; it has linux/amd64"),
        "{said}"
    );
    assert_eq!(project.names(), Vec::<String>::new());
}

#[test]
fn a_file_that_cannot_be_written_is_told_before_anything_is_fetched() {
    let engines = Engines::from_env();
    let server = Server::before(&engines.registry, |_| Act::Pass);
    let (name, tag) = name_and_tag(&engines.base);
    let image = format!("{}/{name}:{tag}", server.address);
    let project = Project::new(&[("folder/keep", "")]);
    for (file, why) in [
        ("folder", "it is a folder"),
        ("folder/", "it is a folder"),
        ("/dev/null", "it is a device"),
        ("no/such/image.sif", "No such file or directory"),
    ] {
        let (refused, _) = pull(&project, &image, file);
        let said = refused.refusal(3);
        assert!(said.contains(file) && said.contains(why), "{said}");
        assert!(!said.contains(".mlbuild-"), "{said}");
    }
    assert_eq!(server.seen(), Vec::<String>::new());
    assert_eq!(project.names(), ["folder"]);
}

#[test]
fn a_file_has_the_mode_of_the_umask_or_of_its_predecessor_and_the_digests_name() {
    let engines = Engines::from_env();
    let (name, tag) = name_and_tag(&engines.base);
    let (digest, _) = http::manifest(&engines.registry, name, tag);
    let pinned = format!("{}/{name}@{digest}", engines.registry);
    let last = name.rsplit('/').next().unwrap();
    let wanted = format!("{last}_{}.sif", &digest["sha256:".len()..][..12]);
    let project = Project::new(&[]);
    let program = Path::new(env!("CARGO_BIN_EXE_mlbuild"));
    let pulled = |umask: &str| {
        let script = format!("umask {umask}; mlbuild pull {pinned} --sif");
        let ran = Ran::of(&mut project.bash(&script, program.parent().unwrap()));
        assert_eq!(ran.answer(), wanted);
        let file = std::fs::metadata(project.path(&wanted)).unwrap();
        file.permissions().mode() & 0o777
    };
    assert_eq!(pulled("027"), 0o750);
    let own = std::fs::Permissions::from_mode(0o604);
    std::fs::set_permissions(project.path(&wanted), own).unwrap();
    assert_eq!(pulled("077"), 0o604);
    assert_eq!(project.names(), [wanted.as_str()]);
}

#[test]
fn who_is_interrupted_leaves_no_file() {
    let engines = Engines::from_env();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let server = Server::before(&engines.registry, move |request| {
        // The configuration comes at once, the first layer after the user's patience.
        if request.path.contains("/blobs/") && count.fetch_add(1, Ordering::SeqCst) > 0 {
            std::thread::sleep(Duration::from_secs(20));
        }
        Act::Pass
    });
    let (name, tag) = name_and_tag(&engines.base);
    let image = format!("{}/{name}:{tag}", server.address);
    let project = Project::new(&[]);
    let words = ["pull", &image, "--sif", "-o", "image.sif"].map(str::to_owned);
    let child = command(&project, &words).spawn().unwrap();
    wait::until("a layer is asked for", || asked.load(Ordering::SeqCst) > 1);
    let sent = Command::new("kill")
        .args(["-s", "INT", &child.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(130));
    assert_eq!(project.names(), Vec::<String>::new());
}

#[test]
fn an_output_is_the_file_that_a_pull_of_the_image_gives() {
    let engines = Engines::from_env();
    let project = Project::new(&[("Dockerfile", "")]);
    let dockerfile = format!("FROM {}\n{DOCKERFILE}", engines.base);
    project.write("Dockerfile", &dockerfile);
    let tag = unique(&engines.registry, "sif-output");
    let words = [
        "image",
        "-f",
        "Dockerfile",
        "-t",
        &tag,
        "--push",
        "-o",
        "type=sif,dest=out.sif",
    ];
    let words = words.map(str::to_owned);
    let flags = builder(&engines, "buildkitd").flags;
    let built = run(&project, &[words.to_vec(), flags].concat());
    built.answer();
    assert!(built.stderr.contains("out.sif is "), "{}", built.stderr);
    assert!(built.stderr.contains("EXPOSE isn't"), "{}", built.stderr);
    let (pulled, file) = pull(&project, &tag, "pulled.sif");
    pulled.answer();
    let bytes = |path: &Path| std::fs::read(path).unwrap();
    assert!(
        bytes(&project.path("out.sif")) == bytes(&file),
        "they differ"
    );
    let ran = apptainer(&[
        "run",
        "--cleanenv",
        project.path("out.sif").to_str().unwrap(),
    ]);
    assert_eq!(ran.answer(), "first|second word|");
    // Nothing is built for a file that can't be written.
    let words = [
        "image",
        "-f",
        "Dockerfile",
        "-t",
        &tag,
        "-o",
        "type=sif,dest=no/such/out.sif",
    ];
    let refused = run(&project, &words.map(str::to_owned));
    assert!(
        refused.refusal(3).contains("no/such/out.sif"),
        "{}",
        refused.stderr
    );
    for (output, says) in [
        ("type=sif", "dest= is missing"),
        ("type=sif,dest=-", "to a file"),
        ("type=sif,dest=x.sif,tar=false", "nothing else"),
    ] {
        let words = ["image", "-f", "Dockerfile", "-t", &tag, "-o", output].map(str::to_owned);
        let refused = run(&project, &words);
        assert!(
            refused.refusal(2).contains(says),
            "{output}: {}",
            refused.stderr
        );
    }
}

#[test]
fn a_file_is_proved_by_its_bytes_and_a_strangers_is_refused() {
    let engines = Engines::from_env();
    let project = Project::new(&[]);
    let (pulled, file) = pull(&project, &engines.base, "base.sif");
    pulled.answer();
    let verify = |name: &str| run(&project, &["verify", name].map(str::to_owned));
    // The base has no lock; its file is what it says.
    let proved = verify("base.sif");
    let said = proved.refusal(2);
    assert!(
        said.contains("identical: base.sif is what ") && said.contains("has no lock"),
        "{said}"
    );

    let whole = std::fs::read(&file).unwrap();
    let middle = whole.len() / 2;
    let mut changed = whole.clone();
    changed[middle] ^= 1;
    std::fs::write(&file, &changed).unwrap();
    let other = verify("base.sif");
    let said = other.refusal(4);
    assert!(
        said.contains(&format!("byte {middle} is the first")),
        "{said}"
    );
    // One that is cut off still says what it is, if its documents are whole; it isn't that.
    for (bytes, code) in [(&whole[..40], 2), (&whole[..4096], 2), (&whole[..100], 2)] {
        std::fs::write(&file, bytes).unwrap();
        let refused = verify("base.sif");
        assert_eq!(refused.code, Some(code), "{}", refused.stderr);
        let inspected = run(&project, &["inspect", "./base.sif"].map(str::to_owned));
        inspected.refusal(2);
    }
    // Its claim is a stranger's: other words there ask no registry.
    let mut lying = whole.clone();
    for at in 0..64 << 10 {
        if lying[at..].starts_with(b"@sha256:") {
            lying[at + 6] = b'7';
        }
    }
    std::fs::write(&file, &lying).unwrap();
    let inspected = run(&project, &["inspect", "base.sif"].map(str::to_owned));
    let said = inspected.refusal(2);
    assert!(said.contains("of which image"), "{said}");
    assert_eq!(project.names(), ["base.sif"]);
}
