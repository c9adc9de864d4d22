//! A server or a database of MLflow's that is a stranger, or is somebody else's.

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::mlbuild::{Project, Ran};
use crate::support::mlflow::Teller;

const ID: &str = "0123456789abcdef0123456789abcdef";
const PASSWORD: &str = "s3cr3t-of-ann";

fn restore(project: &Project, run: &str, settings: &[(&str, &str)]) -> Ran {
    Ran::of(
        project
            .command(["restore", run])
            .envs(settings.iter().copied()),
    )
}

/// A run with these tags.
fn tagged(tags: &Value) -> String {
    let tags = tags.as_object().unwrap();
    let tags: Vec<Value> = tags
        .iter()
        .map(|(key, value)| json!({ "key": key, "value": value }))
        .collect();
    let info = json!({ "run_id": ID, "experiment_id": "1", "status": "FINISHED", "start_time": 1 });
    json!({ "run": { "info": info, "data": { "tags": tags } } }).to_string()
}

fn with_image(name: &str, value: &str) -> String {
    let image = format!("127.0.0.1:1/x@sha256:{}", "a".repeat(64));
    tagged(&json!({ "mlbuild.image": image, name: value }))
}

fn info(info: &Value) -> String {
    let mut whole = json!({ "run_id": ID, "status": "FINISHED", "start_time": 1 });
    let more = info.as_object().unwrap().clone();
    whole.as_object_mut().unwrap().extend(more);
    json!({ "run": { "info": whole } }).to_string()
}

#[test]
fn what_a_server_says_is_read_in_bounds_and_believed_in_nothing() {
    let other = Teller::start("200 OK", "", b"{}");
    let elsewhere = format!("Location: {}/x\r\n", other.address());
    let failed = |text: &str| json!({ "error_code": "X", "message": text }).to_string();
    let ok = "200 OK";
    for (status, headers, body, code, words) in [
        (
            "307 Temporary Redirect",
            &*elsewhere,
            String::new(),
            3,
            "sends log-ins on to http://127.0.0.1:",
        ),
        (
            "302 Found",
            &*elsewhere,
            String::new(),
            3,
            "sends log-ins on to http://127.0.0.1:",
        ),
        (
            "401 Unauthorized",
            "",
            "{}".to_owned(),
            3,
            "refuses the log-in: status 401",
        ),
        (
            "403 Forbidden",
            "",
            "{}".to_owned(),
            3,
            "refuses the log-in: status 403",
        ),
        ("404 Not Found", "", "<html>".to_owned(), 3, "status 404"),
        ("404 Not Found", "", failed("no"), 3, "status 404: no"),
        (
            "404 Not Found",
            "",
            json!({ "error_code": "RESOURCE_DOES_NOT_EXIST" }).to_string(),
            2,
            "has no run",
        ),
        (
            "500 X",
            "",
            failed("no \u{1b}[31mway"),
            3,
            r"no \u001b[31mway",
        ),
        ("500 X", "", failed(&"x".repeat(5000)), 3, "status 500: xxx"),
        (ok, "", "<html>".to_owned(), 3, "the run of 127.0.0.1:"),
        (ok, "", "[".repeat(100_000), 3, "the run of 127.0.0.1:"),
        (
            ok,
            "",
            " ".repeat((64 << 20) + 1),
            3,
            "it is larger than 67108864 bytes",
        ),
        (ok, "", "{}".to_owned(), 3, "missing field `run`"),
        (
            ok,
            "",
            info(&json!({ "run_id": "../x" })),
            3,
            "it is another one",
        ),
        (ok, "", info(&json!({ "status": "x" })), 3, "is no status"),
        (ok, "", info(&json!({ "start_time": i64::MAX })), 3, ID),
        (
            ok,
            "",
            info(&json!({ "start_time": "x" })),
            3,
            "the run of 127.0.0.1:",
        ),
        (ok, "", info(&json!({})), 2, "it has no tag mlbuild.image"),
        (
            ok,
            "",
            tagged(&json!({ "mlbuild.image": "r.example/x:1" })),
            2,
            "is a tag",
        ),
        (
            ok,
            "",
            tagged(&json!({ "mlbuild.image": "--privileged" })),
            2,
            "--privileged",
        ),
        (
            ok,
            "",
            tagged(&json!({ "mlbuild.image": "x".repeat(5000) })),
            3,
            "is larger than 2048 bytes",
        ),
        (
            ok,
            "",
            with_image("mlbuild.run_id", "../../x"),
            2,
            "../../x",
        ),
        (ok, "", with_image("mlbuild.run_id", "--exec"), 2, "--exec"),
        (
            ok,
            "",
            with_image("mlbuild.commit", "--output=/tmp/x"),
            2,
            "is no commit's id",
        ),
        (
            ok,
            "",
            with_image("mlflow.source.git.commit", "HEAD"),
            2,
            "is no commit's id",
        ),
        (
            ok,
            "",
            with_image("mlbuild.lock", "x"),
            2,
            "mlbuild.lock is no digest",
        ),
    ] {
        let project = Project::new(&[]);
        let server = Teller::start(status, headers, body.as_bytes());
        let settings = [
            ("MLFLOW_TRACKING_URI", &*server.address()),
            ("MLFLOW_TRACKING_USERNAME", "ann"),
            ("MLFLOW_TRACKING_PASSWORD", PASSWORD),
        ];
        let ran = restore(&project, &format!("mlflow:{ID}"), &settings);
        let said = ran.refusal(code);
        assert!(said.contains(words), "{words}: {said}");
        assert!(!said.contains(PASSWORD), "{said}");
        assert!(said.lines().all(|line| line.len() < 1000), "{said}");
        assert_eq!(server.seen().len(), 1, "{words}");
        let left: Vec<_> = std::fs::read_dir(project.path("")).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }
    assert_eq!(other.seen().len(), 0, "{:?}", other.seen());
}

#[test]
fn a_list_without_end_ends() {
    let one = json!({ "info": { "run_id": ID, "status": "FINISHED", "start_time": 1 },
        "data": { "tags": [{ "key": "mlbuild.image", "value": format!("x@sha256:{}", "a".repeat(64)) }] } });
    let bad = json!({ "info": { "run_id": "../x", "status": "FINISHED" } });
    let page = json!({ "experiments": [{ "experiment_id": "1" }], "runs": [one, bad] });
    let server = Teller::start("200 OK", "", page.to_string().as_bytes());
    let project = Project::new(&[]);
    let list = |server: &Teller| {
        let mut command = project.command(["runs", "list", "--from=mlflow", "--format=json"]);
        Ran::of(command.env("MLFLOW_TRACKING_URI", server.address()))
    };
    let listed = list(&server);
    assert_eq!(listed.json()["runs"].as_array().unwrap().len(), 1);
    assert_eq!(listed.json()["unreadable"].as_array().unwrap().len(), 1);
    assert!(listed.stderr.contains("that is no run's id"), "{listed:?}");
    // Experiments and runs come in one answer here: a token is for runs alone.
    let endless =
        json!({ "experiment": { "experiment_id": "1" }, "runs": [], "next_page_token": "again" });
    let server = Teller::start("200 OK", "", endless.to_string().as_bytes());
    let mut command = project.command(["runs", "list", "--from=mlflow:x"]);
    let ran = Ran::of(command.env("MLFLOW_TRACKING_URI", server.address()));
    assert!(ran.stderr.contains("there are more"), "{ran:?}");
    assert_eq!(server.seen().len(), 201);
}

#[test]
fn settings_that_lead_elsewhere_are_named() {
    let server = Teller::start("200 OK", "", b"{}");
    let address = server.address();
    let at = |address| ("MLFLOW_TRACKING_URI", address);
    let here = at(address.as_str());
    let run = format!("mlflow:{ID}");
    let project = Project::new(&[]);
    let page = format!("https://m.example/#/experiments/1/runs/{ID}");
    for (run, settings, code, words) in [
        (&*run, &[][..], 2, "MLFLOW_TRACKING_URI isn't set"),
        (
            &run,
            &[at("./mlruns")],
            2,
            "is a folder, which mlbuild doesn't read",
        ),
        (
            &run,
            &[at("file:///x/mlruns")],
            2,
            "is a folder, which mlbuild doesn't read",
        ),
        (&run, &[at("databricks://x")], 2, "is Databricks"),
        (
            &run,
            &[at("postgresql://ann:s3cr3t-of-ann@h/x")],
            2,
            "is a database",
        ),
        (&run, &[at("mysql+pymysql://h/x")], 2, "is a database"),
        (&run, &[at("ftp://h/x")], 2, "is a store of another kind"),
        (
            &run,
            &[at("http://ann:s3cr3t-of-ann@h/x")],
            2,
            "MLFLOW_TRACKING_USERNAME and",
        ),
        (&run, &[at("sqlite:///nosuch.db")], 2, "nosuch.db"),
        (
            &run,
            &[here, ("MLFLOW_TRACKING_AUTH", "x")],
            3,
            "MLFLOW_TRACKING_AUTH is set",
        ),
        (
            &run,
            &[here, ("MLFLOW_TRACKING_AWS_SIGV4", "True")],
            3,
            "MLFLOW_TRACKING_AWS_SIGV4 is set",
        ),
        (
            &run,
            &[here, ("MLFLOW_TRACKING_CLIENT_CERT_PATH", "x")],
            3,
            "CLIENT_CERT_PATH is set",
        ),
        (
            &run,
            &[here, ("MLFLOW_TRACKING_SERVER_CERT_PATH", "x")],
            2,
            "SERVER_CERT_PATH is set",
        ),
        (
            &run,
            &[here, ("MLFLOW_TRACKING_INSECURE_TLS", "1")],
            2,
            "INSECURE_TLS is set",
        ),
        (
            &run,
            &[here, ("MLFLOW_WORKSPACE", "x")],
            2,
            "MLFLOW_WORKSPACE is set",
        ),
        ("mlflow:-x", &[here], 2, "names no run of MLflow"),
        (
            &page,
            &[here],
            2,
            "export MLFLOW_TRACKING_URI=https://m.example",
        ),
    ] {
        let ran = restore(&project, run, settings);
        let said = ran.refusal(code);
        assert!(said.contains(words), "{words}: {said}");
        assert!(!said.contains(PASSWORD), "{said}");
    }
    for (flags, words) in [
        (
            &["restore", &run, "--from=r.example/x:1"][..],
            "is a run of MLflow, whose server",
        ),
        (
            &["restore", &run, "--wandb-metadata=x.json"],
            "is a run of MLflow, and not",
        ),
        (
            &["runs", "list", "--from=wandb"],
            "mlflow or mlflow:EXPERIMENT",
        ),
        (
            &["runs", "list", "--from=mlflow", "--host=x"],
            "--host: MLflow doesn't say",
        ),
    ] {
        let said = Ran::of(project.command(flags).env("MLFLOW_TRACKING_URI", &address));
        assert!(said.refusal(2).contains(words), "{words}: {said:?}");
    }
    assert_eq!(server.seen().len(), 0, "{:?}", server.seen());
}

#[test]
fn a_database_of_a_stranger_neither_hangs_nor_writes() {
    let run = format!("mlflow:{ID}");
    let refused = |project: &Project, code: i32, words: &str| {
        let mut command = project.command(["restore", &run]);
        let ran = Ran::of(command.env("MLBUILD_STALL_SECONDS", "2"));
        assert!(ran.refusal(code).contains(words), "{words}: {ran:?}");
    };
    refused(
        &Project::new(&[("mlflow.db", "not a database, and longer than its head")]),
        2,
        "mlflow.db",
    );
    refused(
        &Project::new(&[("mlflow.db", "")]),
        2,
        "no such table: runs",
    );
    let project = Project::new(&[("mlflow.db/x", "")]);
    refused(&project, 2, "it is no file");
    let project = Project::new(&[]);
    rustix::fs::mkfifoat(rustix::fs::CWD, project.path("mlflow.db"), 0o600.into()).unwrap();
    refused(&project, 2, "it is no file");
    // A table that counts for ever.
    let project = Project::new(&[]);
    let database = Connection::open(project.path("mlflow.db")).unwrap();
    let endless = "CREATE VIEW runs AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) \
        SELECT CAST(i AS TEXT) AS run_uuid, 1 AS experiment_id, i AS status, 1 AS start_time, 1 AS end_time FROM n;";
    database.execute_batch(endless).unwrap();
    refused(&project, 3, "no answer from the database");
}
