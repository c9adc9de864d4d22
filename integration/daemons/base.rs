//! `mlbuild base debian`, from this machine's own archive.

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

#[test]
fn debian_is_the_same_twice() {
    let engines = Engines::from_env();
    let tag = crate::image::unique(&engines.registry, "debian");
    let start = |machine: &str, tag: &str| {
        let project = Project::new(&[]);
        let inner = project.command(["base", "debian", "-t", tag]);
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
    let (first, _here) = start(r#"exec "$@""#, &tag);
    let (second, _there) = start(OTHER_MACHINE, &other);
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
    let words = ["run", "--rm", &tag, "apt-get", "--version"];
    let said = engines.docker(&engines.docker_20, &words);
    assert!(said.starts_with("apt 2."), "{said}");
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
    ");
}
