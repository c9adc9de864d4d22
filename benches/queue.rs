//! How quickly jobs are taken in and handed out, and how long it takes from `mlbuild launch` until
//! the job's process runs, beside `docker run`. `cargo bench --bench queue` prints it; it needs the
//! engines of the tests.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use mlbuild::queue::{GpuNeed, NewJob, Place, Seat, Source, Store};

const JOBS: usize = 10_000;
const RUNS: usize = 15;

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: integration/engines/up"))
}

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("queue.db").display().to_string();
    let server = variable("MLBUILD_TEST_POSTGRES");
    let name = format!("bench{}", std::process::id());
    let mut client = postgres::Client::connect(&server, postgres::NoTls).expect("PostgreSQL");
    client
        .batch_execute(&format!("CREATE DATABASE {name}"))
        .expect("a database");
    let database = format!("{}/{name}", server.rsplit_once('/').expect("an address").0);
    println!("| case | SQLite | PostgreSQL |\n| --- | --- | --- |");
    let (a, b) = (rates(&file), rates(&database));
    for (case, a, b) in [
        (
            format!("jobs launched in a second, one by one, {JOBS}"),
            a.0,
            b.0,
        ),
        (
            "jobs claimed in a second by one agent, with 10,000 waiting".into(),
            a.1,
            b.1,
        ),
        ("by four agents at once".into(), a.2, b.2),
    ] {
        println!("| {case} | {a:.0} | {b:.0} |");
    }
    let docker = median((0..RUNS).map(|_| docker_run()).collect());
    let cells = [&file, &database].map(|store| {
        let took = enqueue_to_start(store, folder.path());
        format!("{took:.0} ms, {:.2} of docker run's", took / docker)
    });
    println!(
        "| from `mlbuild launch` to the process; `docker run`: {docker:.0} ms | {} | {} |",
        cells[0], cells[1]
    );
    client
        .batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)"))
        .expect("no database");
}

fn rates(store: &str) -> (f64, f64, f64) {
    let place = Place::read(store);
    let store = Store::open(&place).expect("a store");
    store.create_queue("bench", "", false).expect("a queue");
    let job = NewJob {
        queue: "bench".into(),
        source: Source::Image {
            image: "img".into(),
        },
        overrides: Vec::new(),
        command: vec!["train".into()],
        gpus: GpuNeed::None,
        retries: 0,
        priority: 0,
    };
    let began = Instant::now();
    for n in 0..JOBS {
        store.launch(&format!("{n}"), &job).expect("launched");
    }
    let launched = JOBS as f64 / began.elapsed().as_secs_f64();
    // One agent takes the first part of what waits, four the rest.
    let (alone, part) = (seat("alone"), JOBS / 5);
    let began = Instant::now();
    for _ in 0..part {
        store.claim(&alone).expect("claimed").expect("a job");
    }
    let one = part as f64 / began.elapsed().as_secs_f64();
    let began = Instant::now();
    thread::scope(|scope| {
        for n in 0..4 {
            let place = &place;
            scope.spawn(move || {
                let (store, seat) = (Store::open(place).expect("a store"), seat(&format!("a{n}")));
                while store.claim(&seat).expect("claimed").is_some() {}
            });
        }
    });
    let four = (JOBS - part) as f64 / began.elapsed().as_secs_f64();
    (launched, one, four)
}

fn seat(name: &str) -> Seat {
    Seat {
        name: name.into(),
        session: name.into(),
        host: "bench".into(),
        engine: "bench".into(),
        queues: vec!["bench".into()],
        gpus: Vec::new(),
        lease: Duration::from_secs(3600),
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn now() -> f64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.expect("after 1970").as_secs_f64() * 1000.0
}

fn tool(program: &str) -> Command {
    let tools = variable("MLBUILD_TEST_BIN");
    let path = std::env::var("PATH").unwrap_or_default();
    let program = match program {
        "docker" => format!("{tools}/docker"),
        program => program.to_owned(),
    };
    let mut command = Command::new(program);
    command
        .env("PATH", format!("{tools}:{path}"))
        .env("DOCKER_HOST", variable("MLBUILD_TEST_DOCKER_CLASSIC"));
    command
}

/// Milliseconds until a container's process says what time it is.
fn docker_run() -> f64 {
    let began = now();
    let mut command = tool("docker");
    command.args([
        "run",
        "--rm",
        "--network=none",
        &variable("MLBUILD_TEST_BASE"),
        "date",
        "+%s%N",
    ]);
    time_of(&command.output().expect("docker run").stdout) - began
}

fn time_of(said: &[u8]) -> f64 {
    let text = String::from_utf8_lossy(said);
    text.trim()
        .parse::<f64>()
        .unwrap_or_else(|_| panic!("no time: {text}"))
        / 1e6
}

fn enqueue_to_start(store: &str, folder: &Path) -> f64 {
    let mlbuild = |words: &[&str]| {
        let mut command = tool(env!("CARGO_BIN_EXE_mlbuild"));
        command
            .args(words)
            .env("MLBUILD_QUEUE_STORE", store)
            .current_dir(folder);
        command
    };
    let done = |mut command: Command| {
        let output = command.output().expect("mlbuild");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    };
    let mut create = mlbuild(&["queue", "create", "start", "--config", "-"]);
    create.stdin(Stdio::piped()).stderr(Stdio::null());
    let mut child = create.spawn().expect("mlbuild");
    child
        .stdin
        .take()
        .expect("a pipe")
        .write_all(b"rm: true\nnetwork: none\n")
        .expect("written");
    assert!(child.wait().expect("an end").success());
    let mut agent = mlbuild(&["agent", "-q", "start"])
        .stderr(Stdio::null())
        .spawn()
        .expect("an agent");
    thread::sleep(Duration::from_secs(2));
    let base = variable("MLBUILD_TEST_BASE");
    let times = (0..RUNS).map(|_| {
        let began = now();
        let id = done(mlbuild(&[
            "launch", "-q", "start", "--image", &base, "--", "date", "+%s%N",
        ]));
        let id = String::from_utf8_lossy(&id).trim().to_owned();
        loop {
            thread::sleep(Duration::from_millis(100));
            let logs = mlbuild(&["jobs", "show", &id, "--format", "json"]);
            let job: serde_json::Value = serde_json::from_slice(&done(logs)).expect("JSON");
            if job["state"] == "succeeded" {
                break;
            }
        }
        time_of(&done(mlbuild(&["jobs", "logs", &id]))) - began
    });
    let times = times.collect();
    agent.kill().expect("ended");
    agent.wait().expect("ended");
    median(times)
}
