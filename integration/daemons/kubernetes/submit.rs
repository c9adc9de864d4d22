//! Jobs from their submission to their end.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Child;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::cluster::{Cluster, end_of};
use crate::support::mlbuild::Ran;
use crate::support::terminal::Terminal;

fn interrupt(child: &Child) {
    let pid = Pid::from_child(child);
    kill_process(pid, Signal::INT).unwrap();
}

#[test]
fn a_job_runs_to_its_end_and_its_exit_code_is_passed_on() {
    let cluster = Cluster::new();
    let base = cluster.engines.base.clone();
    let mut child = cluster.submit(&[
        "--name",
        "train",
        "--rm",
        "--run-id",
        "Exp_7",
        "-e",
        "EPOCHS=3",
        "-e",
        "MY_TOKEN=s3cr3t",
        "--gpus",
        "1",
        "-v",
        "/data:/data:ro",
        &base,
        "sh",
        "-c",
        "exit 7",
    ]);
    let pod = cluster.pod_of("train", &[]);
    let found = cluster.get("api/v1", &format!("pods/{pod}")).unwrap();
    let container = &found["spec"]["containers"][0];
    let image = container["image"].as_str().unwrap().to_owned();
    assert!(image.contains("/debian@sha256:"), "{image}");
    assert_eq!(
        container["resources"]["limits"],
        json!({"nvidia.com/gpu": "1"})
    );
    assert_eq!(container["args"], json!(["sh", "-c", "exit 7"]));
    assert_eq!(found["metadata"]["labels"]["mlbuild/run"], "Exp_7");
    let env = container["env"].to_string();
    assert!(
        env.contains(&format!(r#"{{"name":"MLBUILD_IMAGE","value":"{image}"}}"#)),
        "{env}"
    );
    // The secret is in a Secret alone, which goes with the Job.
    let secret = cluster.get("api/v1", "secrets/train").unwrap();
    assert_eq!(secret["data"], json!({"MY_TOKEN": "czNjcjN0"}));
    assert_eq!(secret["metadata"]["ownerReferences"][0]["name"], "train");
    assert!(!found.to_string().contains("s3cr3t"));

    cluster.prints(&pod, b"loss 0.5");
    cluster.runs(&pod);
    // It is there while the container runs.
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "loss 0.5\n");
    cluster.prints(&pod, b"bytes \xff stay");
    cluster.exits(&pod, 7);
    let mut rest = Vec::new();
    output.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"bytes \xff stay\n");
    let ended = child.wait_with_output().unwrap();
    let story = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(7), "{story}");
    let story = story
        .replace(&pod, "[POD]")
        .replace(&cluster.namespace, "[NAMESPACE]");
    let story = cluster.project.filtered(&story);
    assert!(
        story.starts_with(
            "run Exp_7: Job train in [NAMESPACE]: [REGISTRY]/debian@sha256:[DIGEST]\n"
        ),
        "{story}"
    );
    assert!(story.contains("running in [POD]\n"), "{story}");

    let record = cluster.project.read("mlbuild.runs/Exp_7.toml");
    for line in [
        "program = \"kubernetes\"",
        "status = \"finished\"",
        "exit_code = 7",
        "\"--gpus=1\"",
    ] {
        assert!(record.contains(line), "{line}: {record}");
    }
    assert!(!record.contains("s3cr3t") && !story.contains("s3cr3t"));
    // --rm
    cluster.wait_for("end of the Job", || {
        cluster.job("train").is_none().then_some(())
    });
    cluster.wait_for("end of the Secret", || {
        cluster
            .get("api/v1", "secrets/train")
            .is_none()
            .then_some(())
    });
}

#[test]
fn a_job_with_retries_shows_every_try() {
    let cluster = Cluster::new();
    let base = cluster.engines.base.clone();
    let child = cluster.submit(&["--name", "again", "--restart", "on-failure:1", &base]);
    let first = cluster.pod_of("again", &[]);
    cluster.prints(&first, b"first");
    cluster.runs(&first);
    cluster.exits(&first, 1);
    // The Job controller waits before it makes the second one.
    let second = cluster.pod_of("again", &[&first]);
    cluster.prints(&second, b"second");
    cluster.runs(&second);
    cluster.exits(&second, 0);
    let ran = end_of(child);
    assert_eq!(ran.answer(), "first\nsecond");
    assert!(
        ran.stderr.contains("failed; the Job makes another pod"),
        "{}",
        ran.stderr
    );
    assert!(cluster.job("again").is_some(), "without --rm it stays");
}

#[test]
fn ctrl_c_removes_the_job() {
    let cluster = Cluster::new();
    let base = cluster.engines.base.clone();
    let child = cluster.submit(&["--name", "stop", "--run-id", "stop", &base]);
    let pod = cluster.pod_of("stop", &[]);
    cluster.prints(&pod, b"begun");
    cluster.runs(&pod);
    interrupt(&child);
    let ran = end_of(child);
    assert_eq!(ran.code, Some(130), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("the Job stop is removed"),
        "{}",
        ran.stderr
    );
    cluster.wait_for("end of the Job", || {
        cluster.job("stop").is_none().then_some(())
    });
    assert!(
        cluster
            .project
            .read("mlbuild.runs/stop.toml")
            .contains("exit_code = 130")
    );
}

#[test]
fn detached_it_runs_on_and_is_found_again() {
    let cluster = Cluster::new();
    let base = cluster.engines.base.clone();
    let ran = cluster.verb(
        "submit",
        &["-d", "--format", "json", "--run-id", "Exp_8", &base],
    );
    assert_eq!(ran.json()["job"], "mlbuild-exp-8");
    let early = cluster.verb("bash", &["Exp_8"]);
    assert!(
        early
            .refusal(3)
            .contains("the Job mlbuild-exp-8 doesn't run yet: its pod waits for a node")
    );
    let pod = cluster.pod_of("mlbuild-exp-8", &[]);
    for line in [b"one", b"two"] {
        cluster.prints(&pod, line);
    }
    cluster.runs(&pod);
    assert_eq!(
        cluster.verb("logs", &["mlbuild-exp-8"]).answer(),
        "one\ntwo"
    );
    // By the run's id, as well.
    assert_eq!(
        cluster.verb("logs", &["--tail", "1", "Exp_8"]).answer(),
        "two"
    );

    // A program in the container: the node starts it on this machine.
    let program = cluster.verb(
        "bash",
        &["Exp_8", "--", "sh", "-c", "echo out; echo err >&2; exit 5"],
    );
    assert_eq!(
        (
            program.code,
            program.stdout.as_str(),
            program.stderr.as_str()
        ),
        (Some(5), "out\n", "err\n")
    );
    let missing = cluster.verb("bash", &["Exp_8", "--", "no-such-program"]);
    assert!(
        missing.refusal(125).contains("no-such-program in "),
        "{}",
        missing.stderr
    );

    let mut follow = cluster.command(&["logs", "-n", &cluster.namespace, "-f", "Exp_8"]);
    let follow = follow.spawn().unwrap();
    cluster.prints(&pod, b"three");
    cluster.exits(&pod, 3);
    let followed = end_of(follow);
    assert_eq!(
        (followed.code, followed.stdout.as_str()),
        (Some(3), "one\ntwo\nthree\n")
    );
    assert!(
        cluster
            .verb("bash", &["Exp_8"])
            .refusal(3)
            .contains("the Job mlbuild-exp-8 is over")
    );
    let none = cluster.verb("logs", &["nothing"]);
    assert!(
        none.refusal(2).contains("has no Job nothing"),
        "{}",
        none.stderr
    );
}

#[test]
fn input_reaches_a_program_in_the_container() {
    use std::io::Write as _;
    use std::process::Stdio;
    let cluster = Cluster::new();
    let base = cluster.engines.base.clone();
    cluster
        .verb("submit", &["-d", "--name", "in", "--no-record", &base])
        .answer();
    let pod = cluster.pod_of("in", &[]);
    cluster.runs(&pod);
    let mut command = cluster.command(&["bash", "-n", &cluster.namespace, "in"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    // Without a terminal it is a shell that reads a script.
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"read line\nhello\necho got $line\nexit 4\n")
        .unwrap();
    let ran = end_of(child);
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (Some(4), "got hello\n"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_shell_has_this_terminal() {
    let cluster = Cluster::new();
    let base = cluster.engines.base.clone();
    cluster
        .verb("submit", &["-d", "--name", "tty", "--no-record", &base])
        .answer();
    let pod = cluster.pod_of("tty", &[]);
    cluster.runs(&pod);
    let bash = cluster.command(&["bash", "-n", &cluster.namespace, "tty"]);
    // A shell of this side goes on after it, in the same terminal.
    let mut command = std::process::Command::new("sh");
    let script = "\"$@\"; echo code $?; stty -a";
    command
        .args(["-c", script, "sh"])
        .arg(bash.get_program())
        .args(bash.get_args());
    for (name, value) in bash.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    let mut terminal = Terminal::start(&command);
    // Words are split where they are typed, so that an echo of the keys isn't taken for the answer.
    terminal.type_in("test -t 0 && test -t 1 && echo ter''minal\n");
    terminal.until("terminal");
    terminal.resize(77, 33);
    terminal.type_in("until [ \"$(stty size)\" = '33 77' ]; do sleep 0.1; done; echo re''sized\n");
    terminal.until("resized");
    // Ctrl-C ends what runs there, and not mlbuild.
    terminal.type_in("sh -c \"echo wai''ting; exec cat\"\n");
    terminal.until("waiting");
    terminal.type_in("\x03");
    // bash drops what is typed before it asks again.
    terminal.until("# ");
    terminal.type_in("echo st''ill there; exit 5\n");
    let (said, status) = terminal.finish();
    assert!(said.contains("still there") && status.success(), "{said}");
    let (_, after) = said.split_once("code 5").expect(&said);
    assert!(
        after.contains(" icanon") && after.contains(" echo "),
        "{after}"
    );
}

#[test]
fn the_api_server_takes_every_kind_of_job() {
    let cluster = Cluster::new();
    let base = cluster.engines.base.clone();
    for line in [
        "--gpus 2 --gpu-resource amd --cpus 1.5 -m 16g --memory-reservation 8g --storage-opt size=10g",
        "-v /data:/data:ro,rslave -v models:/models -v /scratch --tmpfs /fast:size=2g --pvc results:/results:ro \
         --nfs nas.example:/home:/home:ro --secret login:/etc/login --shm-size 1g",
        "--mount type=image,source=reg.example/weights:1,target=/weights \
         --mount type=volume,target=/nfs,volume-opt=type=nfs,volume-opt=device=:/export,volume-opt=o=addr=nas",
        "-u 1000:1000 --group-add 44 --cap-add SYS_PTRACE --cap-drop all --privileged --read-only \
         --security-opt seccomp=unconfined --security-opt apparmor=unconfined --sysctl net.core.somaxconn=1024",
        "--ipc=host --pid=host --net=host -p 8080",
        "--platform linux/amd64 --node-selector gpu=a100 --toleration nvidia.com/gpu:NoSchedule \
         --service-account trainer --hostname box --add-host db:10.0.0.1 --dns 10.0.0.2 --dns-search corp \
         --dns-option ndots:2 -p 8080:80 --expose 9000-9001/udp --stop-timeout 30 --restart on-failure:2",
        "--nodes 2 --spread --together --node-pool a100 --ephemeral-pvc 10g:/scratch --time-limit 2h --ttl 1h30m",
        "--rm --queue ml --pull-secret login --secret-env HF_TOKEN=hub:token -e WANDB_API_KEY=0123 \
         -l team=ml --annotation note=late --entrypoint sh",
    ] {
        let flags = shlex::split(line).unwrap();
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let args = [
            &["--dry-run=server", "-o", "json"],
            &flags[..],
            &[&base, "-c", "true"],
        ]
        .concat();
        let ran = cluster.verb("submit", &args);
        let job: serde_json::Value = serde_json::from_str(ran.answer()).unwrap();
        // What the server filled in shows that it was asked.
        assert_eq!(
            job["spec"]["template"]["spec"]["schedulerName"], "default-scheduler",
            "{line}"
        );
    }
    let jobs = cluster.get("apis/batch/v1", "jobs").unwrap();
    assert_eq!(jobs["items"], json!([]), "a dry run made something");
    assert_eq!(cluster.project.runs(), [""; 0]);
}

#[test]
fn as_text_it_needs_no_cluster_and_shows_no_secret() {
    let cluster = Cluster::new();
    let base = cluster.engines.base.clone();
    let mut command = cluster.project.command([
        "submit",
        "--dry-run",
        "--name",
        "train",
        "-e",
        "MY_TOKEN=s3cr3t",
        &base,
    ]);
    let ran = Ran::of(&mut command);
    let text = ran.answer();
    assert!(
        text.starts_with("apiVersion: batch/v1\nkind: Job\n"),
        "{text}"
    );
    assert!(
        text.contains("debian@sha256:") && !text.contains("s3cr3t"),
        "{text}"
    );
    assert_eq!(
        ran.stderr,
        "with the Secret train, which isn't printed: MY_TOKEN\n"
    );
}
