//! Runs of the trackers that people have. A server of Weights & Biases can't be had: the real client
//! `wandb` first reads a run from the one that plays it, and then mlbuild does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::image::unique;
use crate::kubernetes::env::run_told;
use crate::restore::Stage;
use crate::support::mlbuild::Ran;
use crate::support::mlflow::python;
use crate::support::repository;
use crate::support::wandb::{Has, KEY, Reply, WandbServer};

/// What the real client reads of a run, as `wandb restore` reads it.
const CLIENT: &str = r#"
import json, sys, tempfile, wandb
run = wandb.Api().run(sys.argv[1])
texts = {}
for file in run.files(names=["wandb-metadata.json", "diff.patch"]):
    with tempfile.TemporaryDirectory() as folder, file.download(root=folder) as opened:
        texts[file.name] = opened.read()
print(json.dumps({"id": run.id, "commit": run.commit, "metadata": run.metadata, "texts": texts}))
"#;

/// A program that W&B tracks.
const TRAIN: &str =
    "import wandb\nrun = wandb.init(project='cracks')\nrun.log({'loss': 1})\nrun.finish()\n";

/// What stands in the log of a run that was tracked offline, by kind: records of protocol buffers in the
/// frames of LevelDB's log.
const LOG: &str = r#"
import json, struct, sys
from google.protobuf.json_format import MessageToDict
from wandb.proto import wandb_internal_pb2 as pb
data = open(sys.argv[1], "rb").read()
at, whole, found = 7, b"", {}
while at < len(data):
    left = 32768 - at % 32768
    if left < 7:
        at += left
        continue
    _, length, kind = struct.unpack("<IHB", data[at : at + 7])
    whole += data[at + 7 : at + 7 + length]
    at += 7 + length
    if kind in (1, 4):
        for name, value in MessageToDict(pb.Record.FromString(whole)).items():
            found.setdefault(name, []).append(value)
        whole = b""
print(json.dumps(found))
"#;

/// Variables that say where a server is, and with which key.
type Settings<'a> = &'a [(&'a str, &'a str)];

impl Stage {
    /// What the real client has of a run.
    fn client(&self, run: &str, settings: Settings) -> Value {
        let mut command = Command::new(python());
        command
            .args(["-c", CLIENT, run])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.root())
            .envs(settings.iter().copied())
            .current_dir(&self.second.folder);
        let ran = Ran::of(&mut command);
        let last = ran.answer().lines().last().unwrap();
        serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
    }

    fn restore(&self, run: &str, args: &[&str], settings: Settings) -> Ran {
        let mut command = self.command(&self.second, &[&["restore", run], args].concat());
        Ran::of(command.envs(settings.iter().copied()))
    }

    /// A run of the first clone, with changes that weren't committed, as W&B has it. The changes lie in a
    /// storage of another host.
    fn of_wandb(&self) -> (Has, WandbServer) {
        let commit = self.first.head();
        self.first.write("notes.txt", "from W&B\n");
        let patch = self.first.git(&["diff", "HEAD"]) + "\n";
        let metadata = json!({
            "os": "Linux", "python": "CPython 3.11.2", "docker": self.exact(),
            "git": { "remote": self.first.git(&["remote", "get-url", "origin"]), "commit": commit },
            "program": "/app/run.sh", "codePath": "run.sh", "executable": "/bin/sh",
            "args": ["--lr", "0.1 x"],
        });
        let signed = "/bucket/diff.patch?signature=x";
        let storage = WandbServer::start(Has {
            replies: [(signed.to_owned(), Reply::Body(patch.into_bytes()))].into(),
            is_storage: true,
            ..Has::default()
        });
        let to = format!("http://localhost:{}{signed}", storage.port);
        let files = ["wandb-metadata.json", "diff.patch"];
        let path = |name: &str| format!("/files/acme/cracks/1abc2def/{name}");
        let has = Has {
            commit: Some(commit),
            files: files.map(|name| (name.to_owned(), path(name))).into(),
            replies: BTreeMap::from([
                (
                    path(files[0]),
                    Reply::Body(metadata.to_string().into_bytes()),
                ),
                (path(files[1]), Reply::Redirect(to)),
            ]),
            ..Has::default()
        };
        (has, storage)
    }

    /// The image by digest.
    fn exact(&self) -> String {
        let published = self.published();
        let digest = published.pinned().unwrap();
        format!("{}@{digest}", self.image.rsplit_once(':').unwrap().0)
    }
}

/// The names in a question: of operations, fields, arguments and variables.
fn words(question: &str) -> BTreeSet<String> {
    let question: Value = serde_json::from_str(question).unwrap();
    let query = question["query"].as_str().unwrap();
    let words = query.split(|c: char| !c.is_alphanumeric());
    words.filter(|w| !w.is_empty()).map(str::to_owned).collect()
}

#[test]
fn a_run_of_weights_and_biases_is_asked_for_at_its_server() {
    let stage = Stage::new();
    let (has, storage) = stage.of_wandb();
    let server = WandbServer::start(has.clone());
    let address = server.address();
    let variables = [("WANDB_BASE_URL", address.as_str()), ("WANDB_API_KEY", KEY)];

    // The real client, by variables, and by the files that `wandb login` leaves.
    let known = stage.client("acme/cracks:1abc2def", &variables);
    assert_eq!(known["id"], "1abc2def");
    assert_eq!(known["metadata"]["docker"], stage.exact().as_str());
    let patch = known["texts"]["diff.patch"].as_str().unwrap();
    assert!(patch.contains("+from W&B"), "{patch}");
    let config = stage.root().join(".config/wandb");
    std::fs::create_dir_all(&config).unwrap();
    let settings = format!("[default]\nbase_url = {address}\nentity = acme\nproject = cracks\n");
    std::fs::write(config.join("settings"), settings).unwrap();
    let machine = format!(
        "machine 127.0.0.1:{}\n  login user\n  password {KEY}\n",
        server.port
    );
    std::fs::write(stage.root().join(".netrc"), machine).unwrap();
    assert_eq!(stage.client("1abc2def", &[]), known);
    let asked = server.seen();
    let asked = asked.iter().filter(|seen| seen.path == "/graphql");
    let vouched: BTreeSet<String> = asked.flat_map(|seen| words(&seen.body)).collect();
    let before = server.seen().len();

    // Then mlbuild, by all forms of the name.
    let page = format!("{address}/acme/cracks/runs/1abc2def");
    for (run, settings) in [
        ("acme/cracks/1abc2def", &variables[..]),
        ("wandb:acme/cracks/1abc2def", &variables),
        (&page, &variables),
        // The entity is the key's own.
        (
            "cracks:1abc2def",
            &[("WANDB_CONFIG_DIR", "/nowhere"), variables[0], variables[1]],
        ),
        // By the files.
        ("wandb:1abc2def", &[]),
    ] {
        let shown = stage
            .restore(run, &["--no-code", "--format=json"], settings)
            .json();
        assert_eq!(shown["image"], stage.exact().as_str(), "{run}");
        assert_eq!(shown["run"], "1abc2def", "{run}");
    }
    let restored = stage.restore("acme/cracks:1abc2def", &[], &variables);
    let mount = format!("{}:/app", stage.second.folder.display());
    let exact = stage.exact();
    assert_eq!(
        restored.answer(),
        format!(
            "mlbuild run --runtime-cli=docker --rm -it -v {mount} -w /app {exact} sh run.sh --lr '0.1 x'"
        )
    );
    assert_eq!(stage.second.read("notes.txt"), "from W&B\n");
    let branch = stage.second.git(&["rev-parse", "--abbrev-ref", "HEAD"]);
    assert_eq!(branch, "mlbuild/1abc2def");

    // The storage was told no key, and the server nothing that the client doesn't ask.
    assert!(
        storage
            .seen()
            .iter()
            .all(|seen| seen.authorization.is_none())
    );
    assert!(storage.seen().len() > 2);
    for seen in &server.seen()[before..] {
        if seen.path == "/graphql" {
            let more: Vec<_> = words(&seen.body).difference(&vouched).cloned().collect();
            assert_eq!(more, [""; 0], "{}", seen.body);
        }
    }
    assert!(!format!("{restored:?}").contains(KEY));
}

impl Stage {
    /// What the real client wrote down of the one run that was tracked in the first clone; it is taken away.
    fn tracked(&self) -> Value {
        let folder = self.first.folder.join("wandb");
        let entries = |folder: &PathBuf| std::fs::read_dir(folder).unwrap().flatten();
        let is_run = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name.starts_with("offline-run-")
        };
        let run = entries(&folder).map(|entry| entry.path()).find(is_run);
        let log = entries(&run.unwrap()).map(|entry| entry.path());
        let log = log
            .into_iter()
            .find(|path| path.extension().is_some_and(|e| e == "wandb"));
        let ran = Ran::of(Command::new(python()).args(["-c", LOG]).arg(log.unwrap()));
        let found = serde_json::from_str(ran.answer()).unwrap();
        std::fs::remove_dir_all(folder).unwrap();
        found
    }
}

#[test]
fn wandb_in_a_container_writes_down_the_image_that_it_is_in() {
    let stage = Stage::new();
    let requirements = std::fs::read_to_string(repository().join("python/tests/requirements.txt"));
    let requirements = requirements.unwrap();
    let wandb = requirements
        .lines()
        .find(|line| line.starts_with("wandb=="));
    stage.first.write("requirements.txt", wandb.unwrap());
    stage.first.write("train.py", TRAIN);
    let image = unique(&stage.engines.registry, "wandb");
    let builder = stage
        .engines
        .docker_containerd
        .replace("unix://", "docker://");
    let made = [
        "image",
        "--tag",
        &image,
        "--base",
        &stage.engines.python_base,
        "--builder",
        &builder,
        "--no-code",
        "--push",
        "--no-lock",
    ];
    // Packages come from the index of this machine.
    let index = std::env::vars().filter(|(name, _)| name.starts_with("PIP_"));
    let made = Ran::of(stage.command(&stage.first, &made).envs(index));
    let digest = made.answer().rsplit('@').next().unwrap().to_owned();
    let pinned = format!("{}@{digest}", image.rsplit_once(':').unwrap().0);

    // By `mlbuild run`; the run has one id where the tracker was told one.
    let flags = ["-e", "WANDB_MODE=offline", "-v", ".:/app", "-w", "/app"];
    let train = ["python", "train.py", "--lr", "0.1"];
    let line = [&["run", "--rm"], &flags[..], &[&image], &train].concat();
    let ran = Ran::of(
        stage
            .command(&stage.first, &line)
            .env("WANDB_RUN_ID", "exp-9"),
    );
    ran.answer();
    let known = stage.tracked();
    let environment = &known["environment"][0];
    let pointer = environment["docker"].as_str().unwrap();
    assert!(pointer.ends_with(&format!("@{digest}")), "{pointer}");
    assert_eq!(environment["args"], json!(["--lr", "0.1"]));
    assert_eq!(known["run"][0]["runId"], "exp-9");
    let record = stage
        .mlbuild(&stage.first, &["runs", "show", "exp-9", "--format=json"])
        .json();
    assert!(record["image"].to_string().contains(&digest), "{record}");

    // By `docker run`, in what a pod has.
    let mount = format!("{}:/app", stage.first.folder.display());
    let flags = ["-e", "WANDB_MODE=offline", "-v", &mount, "-w", "/app"];
    run_told(&pinned, &flags, &train).answer();
    let known = stage.tracked();
    assert_eq!(known["environment"][0]["docker"], pinned.as_str());
}
