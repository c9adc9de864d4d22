//! Lines of `docker run` beside docker's own client.

use mlbuild::runtime::{self, FLAGS, Owner};
use serde_json::{Value, json};

use super::{agree, ask, module};

/// Values that are tried with every flag: what some of them take, and what none does.
const VALUES: [&str; 92] = [
    "",
    "0",
    "1",
    "-1",
    "-2",
    "10",
    "101",
    "1000",
    "70000",
    "1.5",
    "1.0000000001",
    "x",
    "abc",
    "a b",
    "true",
    "maybe",
    "1g",
    "1x",
    "-1g",
    "512m",
    "1s",
    "-1s",
    "1d",
    "30",
    "stdin",
    "STDERR",
    "std",
    "/dev/sda",
    "/dev/sda:10",
    "/dev/sda:10mb",
    "/dev/sda:-1",
    "/dev/sda:x",
    "/dev/sda:2000",
    "sda:10",
    ":10",
    "c 1:3 rwm",
    "c 1:3 rwx",
    "x 1:3 r",
    "host",
    "private",
    "container:a",
    "container:",
    "none",
    "bridge",
    "mine",
    "10.0.0.2",
    "::1",
    "300.1.1.1",
    "example.com",
    ".",
    "a_b.com",
    "80",
    "80/tcp",
    "8000-8010",
    "8010-8000",
    "80:80",
    "80:80/udp",
    "80:80/x",
    "8000-8010:80",
    "8000-8010:80-90",
    "8000-8010:80-91",
    "127.0.0.1:80:80",
    "x:80:80",
    "[::1]:80:80",
    "published=80,target=8080",
    "all",
    "device=0,1",
    "\"device=0,1\"",
    "count=2,count=3",
    "driver=x",
    "what=1",
    "db:10.0.0.2",
    "db:x",
    "db=::1",
    "a:b",
    "a:b:c",
    "92:d0:c6:0a:29:33",
    "92:d0",
    "linux/amd64",
    "linux",
    "windows/amd64/v8",
    "a/b/c/d/e",
    "no",
    "always",
    "on-failure:3",
    "on-failure:x",
    "seccomp=unconfined",
    "no-new-privileges",
    "label",
    "nofile=1:2",
    "nofile=2:1",
    "net.ipv4.ip_forward=1",
];

/// Whole lines: flags that can't stand together, mounts, names of images.
const LINES: [&str; 60] = [
    "img",
    "",
    "-it img sh",
    "--rm --restart=always img",
    "--rm --restart=no img",
    "-d -a stdin img",
    "--no-healthcheck --health-cmd=x img",
    "--no-healthcheck img",
    "--health-retries=-1 img",
    "--health-interval=-1s --health-cmd x img",
    "--log-driver=none --log-opt a=b img",
    "--log-driver=json-file --log-opt a=b img",
    "--network host --network mine img",
    "--network mine --network mine img",
    "--network mine --network other img",
    "--network-alias a img",
    "--network mine --network-alias a img",
    "--network name=mine,alias=a --network-alias b img",
    "--network name=mine,foo=1 img",
    "--network alias=a img",
    "--network name=mine,ip=x img",
    "--sysctl kernel.shmmax=1 img",
    "--sysctl a.b=1 img",
    "--storage-opt size img",
    "--storage-opt size=1g img",
    "-l =x img",
    "-l 'a b=c' img",
    "-l a img",
    "-e =x img",
    "-e A=1 img",
    "-e A img",
    "--device nvidia.com/gpu=all img",
    "--device nvidia.com/gpu= img",
    "--device /dev/a:/dev/b:rwm img",
    "--device /dev/a:/dev/b:xyz img",
    "--device /dev/a:b img",
    "--device a img",
    "--device /dev/a:rr img",
    "-v /a img",
    "-v /a:/b img",
    "-v /a:/b:ro img",
    "-v /a:/b:ro:x img",
    "-v :/b img",
    "--mount type=bind,source=/a,target=/b img",
    "--mount type=bind,source=/a,target=/b,foo=1 img",
    "--mount type=bind,source=/a,target=/b,readonly=maybe img",
    "--mount type=volume,target=/b,bind-propagation=rshared img",
    "--mount type=tmpfs,target=/b,tmpfs-size=1x img",
    "--mount type=tmpfs,target=/b,tmpfs-mode=999 img",
    "--mount 'type=bind, source=/a,target=/b' img",
    "--mount type=bind,source=/a,target=/b,bind-recursive=readonly img",
    "--mount type=bind,source=/a,target=/b,bind-recursive=x img",
    "--mount type=bind,source=,target=/b img",
    "--ulimit nofile=5:1 img",
    "--ulimit what=1 img",
    "--pull sometimes img",
    "--platform a/b/c/d/e img",
    "IMG",
    "img:",
    "img@sha256:00",
];

fn ours(words: &[String]) -> Result<(), String> {
    let parsed = runtime::parse(words).map_err(|error| error.to_string())?;
    parsed.spec.check(None).map_err(|error| error.to_string())?;
    let files = parsed.spec.check_files(std::path::Path::new("."));
    files.map_err(|error| error.to_string())
}

/// What docker's client leaves to the daemon, and mlbuild tells at once.
fn is_left_to_the_daemon(line: &[String]) -> bool {
    let text = line.join(" ");
    let of_daemon = [
        // Values that only the daemon refuses.
        "--name=",
        "--restart=",
        "--log-opt",
        "--annotation",
        "--storage-opt",
        "--volume=",
        "--mount",
        "--blkio-weight=",
        "--expose=",
        "--network=container:",
        "--network=host",
        "--env-file",
        "--label-file",
        "--cidfile",
        "--detach-keys",
        // An address of the other family, which docker drops without a word.
        "--ip=",
        "--ip6=",
        "--cpus=-",
        "--disable-content-trust",
        "--publish=",
        "--use-api-socket",
        // Nothing is pulled then, as with `never`: a variable that is empty by mistake.
        "--pull= ",
        "--tmpfs=",
        "--security-opt=seccomp=",
    ];
    of_daemon.iter().any(|part| text.contains(part))
}

#[test]
fn lines_are_taken_and_refused_as_docker_does() {
    let mut lines: Vec<Vec<String>> = LINES
        .iter()
        .map(|line| shlex::split(line).unwrap())
        .collect();
    for flag in FLAGS.iter().filter(|flag| flag.owner == Owner::Docker) {
        for value in VALUES {
            lines.push(vec![format!("--{}={value}", flag.name), "img".to_owned()]);
        }
    }
    // Lines of docker's own tests.
    let source = module("github.com/docker/cli").join("cli/command/container/opts_test.go");
    let source = std::fs::read_to_string(source).unwrap();
    for literal in source
        .split(['"', '`'])
        .filter(|text| text.starts_with('-') && !text.contains('\n'))
    {
        let words = shlex::split(literal).unwrap_or_default();
        if !words.is_empty() {
            lines.push(words.iter().cloned().chain(["img".to_owned()]).collect());
        }
    }
    let questions: Vec<Value> = lines.iter().map(|line| json!(line)).collect();
    let theirs = ask("run", &questions);
    let mut differences = Vec::new();
    let (mut taken, mut refused) = ((0, 0), (0, 0));
    for (line, theirs) in lines.iter().zip(&theirs) {
        let ours = ours(line);
        let side = if theirs.is_ok() {
            &mut taken
        } else {
            &mut refused
        };
        side.1 += 1;
        side.0 += usize::from(ours.is_ok() == theirs.is_ok());
        // What docker refuses is refused. What it takes is taken, but for what its daemon refuses.
        let differs = match theirs {
            Err(_) => ours.is_ok(),
            Ok(_) => ours.is_err() && !is_left_to_the_daemon(line),
        };
        if differs {
            differences.push(format!("{line:?}: ours {ours:?}, theirs {theirs:?}"));
        }
    }
    println!(
        "taken {}/{}, refused {}/{}",
        taken.0, taken.1, refused.0, refused.1
    );
    agree("lines of docker run", lines.len(), &differences);
}
