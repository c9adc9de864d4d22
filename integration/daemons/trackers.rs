//! Runs of the trackers that people have. A server of Weights & Biases can't be had: the real client
//! `wandb` first reads a run from the one that plays it, and then mlbuild does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::restore::Stage;
use crate::support::mlbuild::Ran;
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

/// The Python that has the real clients.
fn python() -> PathBuf {
    let made = Command::new(repository().join("integration/python-tools")).output();
    let made = made.unwrap();
    let said = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "integration/python-tools: {said}");
    let folder = String::from_utf8(made.stdout).unwrap();
    PathBuf::from(folder.trim()).join("bin/python")
}

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
        format!("docker run --rm -it -v {mount} -w /app {exact} sh run.sh --lr '0.1 x'")
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
