//! How quickly jobs are taken in and handed out, what an agent costs that has nothing to do, and how
//! long it takes from `mlbuild launch` until the job's process runs, beside `docker run`.
//!
//! `cargo bench --bench queue` prints it; `-- --write benches/QUEUE.md` writes it down, too. It needs
//! the engines of the tests. `--jobs N`, `--runs N` and `--idle SECONDS` make it shorter.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use clap::Parser;
use mlbuild::queue::{AgentRegistration, GpuNeed, NewJob, Place, Source, State, Store};

/// The queue that holds many jobs, and the one that jobs are started from.
const MANY: &str = "bench";
const START: &str = "start";

/// How much is measured.
#[derive(Parser)]
struct Asked {
    /// Jobs in the queue.
    #[arg(long, default_value_t = 10_000)]
    jobs: usize,
    /// Starts of each kind, in turn, after one warm-up.
    #[arg(long, default_value_t = 15)]
    runs: usize,
    /// Seconds for which an idle agent is watched.
    #[arg(long, default_value_t = 60)]
    idle: u64,
    /// A file for the result.
    #[arg(long)]
    write: Option<PathBuf>,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: integration/engines/up"))
}

/// A database that goes with it.
struct Database {
    server: postgres::Client,
    name: String,
    url: String,
}

impl Database {
    fn new() -> Self {
        let address = variable("MLBUILD_TEST_POSTGRES");
        let name = format!("bench{}", std::process::id());
        let mut server =
            postgres::Client::connect(&address, postgres::NoTls).expect("PostgreSQL answers");
        let made = server.batch_execute(&format!("CREATE DATABASE {name}"));
        made.expect("a database");
        let url = format!("{}/{name}", address.rsplit_once('/').expect("an address").0);
        Self { server, name, url }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let gone = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        let _ = self.server.batch_execute(&gone);
    }
}

/// What was measured of one store.
struct Measured {
    launched: f64,
    one: f64,
    four: f64,
    idle: f64,
    idle_with_jobs: f64,
    starts: Vec<f64>,
}

fn main() {
    let asked = Asked::parse();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("queue.db").display().to_string();
    let database = Database::new();
    let mut docker = Vec::new();
    let [a, b] = [&file, &database.url].map(|store| {
        let bench = Bench {
            store: store.clone(),
            folder: folder.path(),
            asked: &asked,
        };
        eprintln!(
            "{}",
            if store == &file {
                "SQLite"
            } else {
                "PostgreSQL"
            }
        );
        bench.measure(&mut docker)
    });
    drop(database);
    let text = report(&asked, &a, &b, docker);
    print!("{text}");
    if let Some(file) = &asked.write {
        std::fs::write(file, text).expect("written");
    }
}

fn report(asked: &Asked, a: &Measured, b: &Measured, docker: Vec<f64>) -> String {
    let mut text = format!(
        "# Queues beside docker run\n\n\
         Written by `cargo bench --bench queue -- --write benches/QUEUE.md`: mlbuild {}, {} processors, \
         load {} at the end. Times are medians in ms (lowest–highest) of {} starts, in turn with \
         `docker run`, after a warm-up.\n\n\
         | case | SQLite | PostgreSQL | aim |\n| --- | --- | --- | --- |\n",
        env!("CARGO_PKG_VERSION"),
        thread::available_parallelism().map_or(1, usize::from),
        load(),
        asked.runs,
    );
    let jobs = asked.jobs;
    let mut row = |case: String, a: String, b: String, aim: &str| {
        writeln!(text, "| {case} | {a} | {b} | {aim} |").expect("text");
    };
    let rate = |rate: f64| format!("{rate:.0}");
    row(
        format!("jobs launched in a second, one by one, {jobs} in all"),
        rate(a.launched),
        rate(b.launched),
        "",
    );
    row(
        format!("jobs claimed in a second by one agent, {jobs} waiting"),
        rate(a.one),
        rate(b.one),
        "",
    );
    row(
        "jobs claimed in a second by four agents at once".to_owned(),
        rate(a.four),
        rate(b.four),
        "",
    );
    let percent = |share: f64| format!("{share:.2} %");
    row(
        "an idle agent's share of a processor".to_owned(),
        percent(a.idle),
        percent(b.idle),
        "≤ 0.5 %",
    );
    row(
        format!("the same, with {jobs} jobs in a paused queue that it serves"),
        percent(a.idle_with_jobs),
        percent(b.idle_with_jobs),
        "≤ 0.5 %",
    );
    let plain = median(&docker);
    let start = |times: &[f64]| {
        let ratio = median(times) / plain;
        format!("{}; **{ratio:.2}** of docker run", spread(times))
    };
    row(
        format!(
            "from `mlbuild launch` to the job's process; `docker run` of the same: {}",
            spread(&docker)
        ),
        start(&a.starts),
        start(&b.starts),
        "",
    );
    text
}

fn load() -> String {
    let said = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    said.split(' ').next().unwrap_or_default().to_owned()
}

fn median(times: &[f64]) -> f64 {
    let mut times = times.to_vec();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn spread(times: &[f64]) -> String {
    let lowest = times.iter().copied().fold(f64::MAX, f64::min);
    let highest = times.iter().copied().fold(0.0, f64::max);
    format!("{:.0} ({lowest:.0}–{highest:.0})", median(times))
}

fn registration(name: &str) -> AgentRegistration {
    AgentRegistration {
        name: name.into(),
        session: name.into(),
        host: "bench".into(),
        engine: "bench".into(),
        queues: vec![MANY.into()],
        gpus: Vec::new(),
        lease: Duration::from_secs(3600),
    }
}

/// An agent that is ended with it.
struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Bench<'a> {
    store: String,
    folder: &'a Path,
    asked: &'a Asked,
}

impl Bench<'_> {
    fn measure(&self, docker: &mut Vec<f64>) -> Measured {
        let store = self.open();
        store.create_queue(MANY, "", false).expect("a queue");
        let options = "rm: true\nnetwork: none\n";
        store.create_queue(START, options, false).expect("a queue");
        let idle = self.idle();
        let launched = self.launch_many();
        store.pause_queue(MANY, true).expect("paused");
        let idle_with_jobs = self.idle();
        store.pause_queue(MANY, false).expect("resumed");
        let (one, four) = self.claim_all();
        let starts = self.starts(docker);
        Measured {
            launched,
            one,
            four,
            idle,
            idle_with_jobs,
            starts,
        }
    }

    fn open(&self) -> Store {
        Store::open(&Place::read(&self.store)).expect("a store")
    }

    /// Jobs taken in in a second.
    fn launch_many(&self) -> f64 {
        let store = self.open();
        let job = NewJob {
            queue: MANY.into(),
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
        for n in 0..self.asked.jobs {
            store.launch(&format!("{n}"), &job).expect("launched");
        }
        self.asked.jobs as f64 / began.elapsed().as_secs_f64()
    }

    /// Jobs handed out in a second: to one agent the first part of what waits, to four the rest.
    fn claim_all(&self) -> (f64, f64) {
        let (store, alone) = (self.open(), registration("alone"));
        let (jobs, part) = (self.asked.jobs, self.asked.jobs / 5);
        let began = Instant::now();
        for _ in 0..part {
            store.claim(&alone).expect("claimed").expect("a job");
        }
        let one = part as f64 / began.elapsed().as_secs_f64();
        let began = Instant::now();
        thread::scope(|scope| {
            for n in 0..4 {
                scope.spawn(move || {
                    let (store, registration) = (self.open(), registration(&format!("a{n}")));
                    while store.claim(&registration).expect("claimed").is_some() {}
                });
            }
        });
        (one, (jobs - part) as f64 / began.elapsed().as_secs_f64())
    }

    /// The share of a processor, in percent, that an agent takes for which nothing is to do.
    fn idle(&self) -> f64 {
        let agent = self.agent();
        let before = processor_time(agent.0.id());
        let began = Instant::now();
        thread::sleep(Duration::from_secs(self.asked.idle));
        let took = processor_time(agent.0.id()) - before;
        100.0 * took / began.elapsed().as_secs_f64()
    }

    /// Milliseconds from launch to the job's process, and of `docker run` in between.
    fn starts(&self, docker: &mut Vec<f64>) -> Vec<f64> {
        let (store, _agent) = (self.open(), self.agent());
        let mut times = Vec::new();
        // The first of each is the warm-up.
        for n in 0..=self.asked.runs {
            let (plain, queued) = (docker_run(), self.start(&store));
            if n > 0 {
                docker.push(plain);
                times.push(queued);
            }
        }
        times
    }

    fn start(&self, store: &Store) -> f64 {
        let base = variable("MLBUILD_TEST_BASE");
        let words = ["launch", "-q", START, "--image", &base, "--"];
        let began = now();
        let launched = self
            .mlbuild(&words)
            .args(["date", "+%s%N"])
            .output()
            .expect("mlbuild launch");
        let id = String::from_utf8_lossy(&launched.stdout).trim().to_owned();
        loop {
            thread::sleep(Duration::from_millis(50));
            let job = store.job(&id).expect("the job");
            if job.state.is_final() {
                assert_eq!(job.state, State::Succeeded, "{:?}", job.error);
                return time_of(&job.log.unwrap_or_default()) - began;
            }
        }
    }

    /// An agent that has settled.
    fn agent(&self) -> Agent {
        let agent = self
            .mlbuild(&["agent", "-q", MANY, "-q", START])
            .stderr(Stdio::null())
            .spawn();
        let agent = Agent(agent.expect("an agent"));
        thread::sleep(Duration::from_secs(3));
        agent
    }

    fn mlbuild(&self, words: &[&str]) -> Command {
        let mut command = tool(Path::new(env!("CARGO_BIN_EXE_mlbuild")));
        command
            .args(words)
            .env("MLBUILD_QUEUE_STORE", &self.store)
            .env("MLBUILD_STATE_DIR", self.folder.join("state"))
            .current_dir(self.folder);
        command
    }
}

/// Seconds that a process has had of a processor, with those of its children that ended.
fn processor_time(pid: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the agent runs");
    // The name in parentheses may hold spaces; the times stand 11 fields after it.
    let (_, fields) = text.rsplit_once(')').expect("a name");
    let ticks: f64 = fields
        .split_whitespace()
        .skip(11)
        .take(4)
        .map(|field| field.parse::<f64>().expect("ticks"))
        .sum();
    // What Linux calls USER_HZ.
    ticks / 100.0
}

fn now() -> f64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.expect("after 1970").as_secs_f64() * 1000.0
}

fn tool(program: &Path) -> Command {
    let tools = variable("MLBUILD_TEST_BIN");
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(program);
    command
        .env("PATH", format!("{tools}:{path}"))
        .env("DOCKER_HOST", variable("MLBUILD_TEST_DOCKER_CLASSIC"));
    command
}

/// Milliseconds until a container's process says what time it is.
fn docker_run() -> f64 {
    let began = now();
    let mut command = tool(&Path::new(&variable("MLBUILD_TEST_BIN")).join("docker"));
    command
        .args(["run", "--rm", "--network=none"])
        .arg(variable("MLBUILD_TEST_BASE"))
        .args(["date", "+%s%N"]);
    let output = command.output().expect("docker run");
    time_of(&String::from_utf8_lossy(&output.stdout)) - began
}

fn time_of(said: &str) -> f64 {
    let time = said.trim().parse::<f64>();
    time.unwrap_or_else(|_| panic!("no time: {said}")) / 1e6
}
