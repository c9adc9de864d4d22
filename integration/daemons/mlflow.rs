//! Runs of a real MLflow: its client tags them by the Python package's plugin, its server keeps them, and
//! mlbuild lists and restores them.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::restore::Stage;
use crate::support::mlbuild::Ran;
use crate::support::mlflow::{Server, Teller, installed_package, python};
use crate::support::repository::Repository;

/// A program that MLflow tracks; it prints the run's id.
const TRAIN: &str = "import mlflow, sys\nmlflow.set_experiment(sys.argv[1])\n\
    run = mlflow.start_run()\nmlflow.log_metric('loss', 1.0)\n\
    mlflow.end_run(sys.argv[2])\nprint(run.info.run_id)\n";

/// A run that nothing of mlbuild's started.
const PLAIN: &str = "import mlflow\nprint(mlflow.MlflowClient().create_run('0').info.run_id)\n";

/// Variables that say where runs are, and by what log-in.
type Settings<'a> = &'a [(&'a str, &'a str)];

/// Two clones, and MLflow's client beside the package.
struct Tracked {
    stage: Stage,
    packages: PathBuf,
}

impl Tracked {
    fn new() -> Self {
        let stage = Stage::new();
        let packages = stage.root().join("packages");
        std::fs::create_dir(&packages).unwrap();
        installed_package(&packages);
        Self { stage, packages }
    }

    /// What the real client prints last.
    fn client(&self, program: &str, args: &[&str], settings: Settings) -> String {
        let mut command = Command::new(python());
        command
            .args(["-c", program])
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.stage.root())
            .env("PYTHONPATH", &self.packages)
            .env("MLFLOW_DISABLE_TELEMETRY", "true")
            .envs(settings.iter().copied())
            .current_dir(&self.stage.first.folder);
        let ran = Ran::of(&mut command);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ran.stdout.lines().last().unwrap_or_default().to_owned()
    }

    /// Starts a container of a run, and tracks it with what the container was told.
    fn tracked(&self, run: &str, experiment: &str, end: &str, settings: Settings) -> String {
        let id = format!("--run-id={run}");
        let line = ["run", "--rm", &id, &self.stage.image, "env"];
        let told = self.stage.mlbuild(&self.stage.first, &line);
        let lines = told
            .answer()
            .lines()
            .filter_map(|line| line.split_once('='));
        let told: Vec<(&str, &str)> = lines
            .filter(|(name, _)| name.starts_with("MLBUILD_"))
            .collect();
        assert_eq!(told.len(), 2, "{told:?}");
        self.client(TRAIN, &[experiment, end], &[settings, &told].concat())
    }

    fn mlbuild(&self, clone: &Repository, args: &[&str], settings: Settings) -> Ran {
        let mut command = self.stage.command(clone, args);
        Ran::of(command.envs(settings.iter().copied()))
    }
}

/// What a list says of each run: mlbuild's id, MLflow's, how it ended.
fn listed(list: &Value) -> BTreeSet<(String, String, String)> {
    let runs = list["runs"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    runs.iter()
        .map(|run| {
            (
                text(&run["id"]),
                text(&run["mlflow"]["run"]),
                text(&run["mlflow"]["status"]),
            )
        })
        .collect()
}

#[test]
fn runs_of_mlflow_are_listed_and_restored() {
    let tracked = Tracked::new();
    let stage = &tracked.stage;
    let server = Server::start(&stage.root());
    let database = format!("sqlite:///{}", server.database.display());
    let by_server = [("MLFLOW_TRACKING_URI", server.address.as_str())];
    let by_file = [("MLFLOW_TRACKING_URI", database.as_str())];

    let first = tracked.tracked("exp-7", "cracks", "FINISHED", &by_server);
    let second = tracked.tracked("exp-8", "old cracks", "FAILED", &by_server);
    let plain = tracked.client(PLAIN, &[], &by_server);
    let of = |run: &str, id: &str, status: &str| (run.to_owned(), id.to_owned(), status.to_owned());

    // Where no record is, here as by the file of the server's.
    let exact = stage.mlbuild(
        &stage.first,
        &["restore", "exp-7", "--no-code", "--format=json"],
    );
    let exact = exact.json()["image"].as_str().unwrap().to_owned();
    for settings in [&by_server, &by_file] {
        let list = |args: &[&str]| {
            let args = [&["runs", "list"], args].concat();
            tracked.mlbuild(&stage.second, &args, settings)
        };
        let json = |args: &[&str]| listed(&list(&[args, &["--format=json"]].concat()).json());
        let (ok, failed) = (of("exp-7", &first, "ok"), of("exp-8", &second, "failed"));
        assert_eq!(
            json(&["--from=mlflow"]),
            [ok.clone(), failed.clone()].into()
        );
        for (args, expected) in [
            (&["--from=mlflow:cracks"][..], &ok),
            (&["--from=mlflow", "--status=ok"], &ok),
            (&["--from=mlflow", "--status=failed"], &failed),
            (&["--from=mlflow", "-n", "1"], &failed),
            (&["--from=mlflow", "--reverse", "-n", "1"], &ok),
        ] {
            assert_eq!(json(args), [expected.clone()].into(), "{args:?}");
        }
        assert_eq!(json(&["--from=mlflow", "--image=nosuch"]), [].into());
        let table = list(&["--from=mlflow:cracks"]);
        let mut lines = table.answer().lines();
        assert!(lines.next().unwrap().starts_with("RUN "), "{table:?}");
        let line = lines.next().unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(
            (words[0], words[3]),
            (&*format!("mlflow:{first}"), "ok"),
            "{line}"
        );
        assert!(
            line.contains(stage.image.rsplit_once(':').unwrap().0),
            "{line}"
        );
        assert!(line.contains(&stage.first.head()[..8]), "{line}");
        let unknown = list(&["--from=mlflow:nosuch"]);
        assert!(
            unknown.refusal(2).contains("has no experiment `nosuch`"),
            "{unknown:?}"
        );

        let restore = |run: &str| {
            let line = ["restore", run, "--no-code", "--format=json"];
            tracked.mlbuild(&stage.second, &line, settings)
        };
        let restored = restore(&format!("mlflow:{first}"));
        assert_eq!(restored.json()["image"], exact.as_str());
        assert_eq!(restored.json()["run"], "exp-7");
        let said = "neither here nor beside its image";
        assert!(restored.stderr.contains(said), "{restored:?}");
        for (run, words) in [
            (format!("mlflow:{plain}"), "it has no tag mlbuild.image"),
            (
                "mlflow:0123456789abcdef0123456789abcdef".to_owned(),
                "has no run `0123456789",
            ),
        ] {
            let refused = restore(&run);
            assert!(refused.refusal(2).contains(words), "{refused:?}");
        }
    }
    restored_with_code(&tracked, &first, &server.address);
    // Without a server and a setting, the client's own file.
    let alone = tracked.tracked("exp-9", "cracks", "FINISHED", &[]);
    let line = [
        "restore",
        &format!("mlflow:{alone}"),
        "--no-code",
        "--format=json",
    ];
    let own = tracked.mlbuild(&stage.first, &line, &[]).json();
    assert_eq!(own["run"], "exp-9");
}

/// Code, and the whole command as soon as the record is beside the image.
fn restored_with_code(tracked: &Tracked, id: &str, address: &str) {
    let stage = &tracked.stage;
    let settings = [("MLFLOW_TRACKING_URI", address)];
    let page = format!("{address}/#/experiments/1/runs/{id}");
    let restored = tracked.mlbuild(&stage.second, &["restore", &page], &settings);
    restored.answer();
    let branch = stage.second.git(&["rev-parse", "--abbrev-ref", "HEAD"]);
    assert_eq!(branch, "mlbuild/exp-7");
    assert_eq!(stage.second.head(), stage.first.head());

    stage
        .mlbuild(&stage.first, &["runs", "push", "exp-7"])
        .answer();
    let line = ["restore", &format!("mlflow:{id}"), "--no-code"];
    for clone in [&stage.second, &stage.first] {
        let restored = tracked.mlbuild(clone, &line, &settings);
        assert!(restored.answer().ends_with(" env"), "{restored:?}");
        assert!(!restored.stderr.contains("neither here"), "{restored:?}");
    }
}

#[test]
fn mlflow_is_told_who_asks_as_its_client_tells_it() {
    let tracked = Tracked::new();
    let home = tracked.stage.root();
    let file = home.join(".mlflow/credentials");
    std::fs::create_dir(file.parent().unwrap()).unwrap();
    let run = "0123456789abcdef0123456789abcdef";
    let body = json!({ "error_code": "RESOURCE_DOES_NOT_EXIST", "message": "gone" }).to_string();
    let teller = Teller::start("404 Not Found", "", body.as_bytes());
    let address = teller.address();
    let ask = format!(
        "import mlflow\ntry:\n    mlflow.MlflowClient().get_run('{run}')\n\
         except mlflow.MlflowException as error:\n    print(error.error_code)\n"
    );
    let user = ("MLFLOW_TRACKING_USERNAME", "ann");
    let password = ("MLFLOW_TRACKING_PASSWORD", "s3cr3t:%");
    let token = ("MLFLOW_TRACKING_TOKEN", "t0ken-of-ann");
    let written = "[mlflow]\nmlflow_tracking_username = bob\n\
        mlflow_tracking_password = 100%%#;safe\n";
    let mut seen = 0;
    for (settings, credentials) in [
        (&[][..], None),
        (&[user], None),
        (&[user, password], None),
        (&[token], None),
        (&[user, password, token], None),
        (&[], Some(written)),
        (&[user], Some(written)),
        (&[token], Some(written)),
        (&[token], Some("[other]\nx = y\n")),
    ] {
        let _ = std::fs::remove_file(&file);
        if let Some(text) = credentials {
            std::fs::write(&file, text).unwrap();
        }
        let settings = [&[("MLFLOW_TRACKING_URI", address.as_str())], settings].concat();
        let said = tracked.client(&ask, &[], &settings);
        assert_eq!(said, "RESOURCE_DOES_NOT_EXIST");
        let line = ["restore", &format!("mlflow:{run}")];
        let ran = tracked.mlbuild(&tracked.stage.second, &line, &settings);
        assert!(ran.refusal(2).contains("has no run"), "{ran:?}");
        assert!(!format!("{ran:?}").contains("s3cr3t"), "{ran:?}");
        let all = teller.seen();
        let [client, own] = &all[seen..] else {
            panic!("{settings:?}: {:?}", &all[seen..]);
        };
        assert_eq!(client.authorization, own.authorization, "{settings:?}");
        assert_eq!((&client.method, &client.path), (&own.method, &own.path));
        seen = all.len();
    }
}
