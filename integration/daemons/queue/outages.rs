//! A full disk, a database that goes away and comes back, wrong clocks, and an idle agent.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use mlbuild::queue::{AgentRegistration, Start};

use super::{Agent, Setting};
use crate::support::clock;
use crate::support::mounts::Small;
use crate::support::wait;

#[test]
fn a_full_disk_is_said_and_loses_nothing() {
    let setting = Setting::sqlite();
    let folder = setting.project.outside().join("small");
    let _small = Small::mount(&folder, "1m");
    let store = folder.join("queue.db").to_string_lossy().into_owned();
    let run = |args: &[&str]| setting.run(&[args, &["--store", &store]].concat());
    run(&["queue", "create", "q"]).answer();
    let first = run(&["launch", "-q", "q", "--image", "img"])
        .answer()
        .to_owned();
    // What is left of the disk is taken by somebody else.
    let mut filler = std::fs::File::create(folder.join("filler")).unwrap();
    while filler.write_all(&[1; 4096]).is_ok() {}
    let big = "x".repeat(60_000);
    let ran = run(&[
        "launch",
        "-q",
        "q",
        "--image",
        "img",
        "--set",
        &format!("label=a={big}"),
    ]);
    let said = ran.refusal(3);
    assert!(
        said.contains("the disk is full") && said.contains("make room"),
        "{said}"
    );
    drop(filler);
    std::fs::remove_file(folder.join("filler")).unwrap();
    let second = run(&["launch", "-q", "q", "--image", "img"])
        .answer()
        .to_owned();
    let list = run(&["jobs", "list"]).answer().to_owned();
    assert!(
        list.contains(&first) && list.contains(&second) && list.lines().count() == 3,
        "{list}"
    );
}

/// A way to the database that can be cut.
struct Cable {
    port: u16,
    cut: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Cable {
    fn to(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let cable = Self {
            port: listener.local_addr().unwrap().port(),
            cut: Arc::default(),
            open: Arc::default(),
        };
        let (cut, open) = (cable.cut.clone(), cable.open.clone());
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if cut.load(Ordering::SeqCst) {
                    continue;
                }
                let server = TcpStream::connect(&server).unwrap();
                let mut known = open.lock().unwrap();
                known.push(client.try_clone().unwrap());
                known.push(server.try_clone().unwrap());
                for (mut from, mut to) in [
                    (client.try_clone().unwrap(), server.try_clone().unwrap()),
                    (server, client),
                ] {
                    thread::spawn(move || {
                        let mut bytes = [0; 16384];
                        while let Ok(count @ 1..) = from.read(&mut bytes) {
                            if to.write_all(&bytes[..count]).is_err() {
                                break;
                            }
                        }
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        cable
    }

    fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn mend(&self) {
        self.cut.store(false, Ordering::SeqCst);
    }
}

#[test]
fn a_database_that_goes_and_comes_back_loses_nothing() {
    let setting = Setting::postgres();
    setting.run(&["queue", "create", "q"]).answer();
    let id = setting.launch(&[], "sleep 2; echo whole");
    let (head, database) = setting.store.rsplit_once('/').unwrap();
    let (credentials, server) = head.rsplit_once('@').unwrap();
    let cable = Cable::to(server.to_owned());
    let through = format!("{credentials}@127.0.0.1:{}/{database}", cable.port);
    let mut command = setting.command(&["agent", "-q", "q", "--lease", "1"]);
    command
        .env("MLBUILD_QUEUE_STORE", through)
        .stdout(std::process::Stdio::null());
    let mut agent = Agent(command.spawn().unwrap());
    setting.wait_for(&id, "running");
    // The job ends while the agent can't reach the database, and the agent's lease runs out.
    let container = setting.wait_for_container(&id)["container"].clone();
    let container = container.as_str().unwrap().to_owned();
    cable.cut();
    wait::until("the job's container ends", || {
        !setting
            .docker(&["ps", "-q", "--no-trunc"])
            .contains(&container)
    });
    wait::until("the agent counts as silent", || {
        setting.job(&id)["agent_is_silent"] == true
    });
    cable.mend();
    let job = setting.wait_for(&id, "succeeded");
    assert_eq!(job["attempt"], 1);
    let next = setting.launch(&[], "echo next");
    setting.wait_for(&next, "succeeded");
    agent.0.kill().unwrap();
    let mut said = String::new();
    agent
        .0
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert!(
        said.contains("PostgreSQL") && said.contains("asked again until it answers"),
        "{said}"
    );
}

/// How long wakes are counted.
const WINDOW: Duration = Duration::from_secs(6);

/// How often the threads of a process have woken and waited again.
fn waits(pid: u32) -> u64 {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let of = |entry: std::io::Result<std::fs::DirEntry>| {
        let text = std::fs::read_to_string(entry.ok()?.path().join("status")).ok()?;
        let line = text
            .lines()
            .find(|line| line.starts_with("voluntary_ctxt_switches"))?;
        line.split_whitespace().last()?.parse::<u64>().ok()
    };
    threads.filter_map(of).sum()
}

#[test]
fn an_idle_agent_is_idle() {
    let settings = Setting::both();
    let agents: Vec<Agent> = settings
        .iter()
        .map(|(_, setting)| {
            setting.run(&["queue", "create", "q"]).answer();
            Agent::start(setting, &[])
        })
        .collect();
    for (agent, (name, setting)) in agents.iter().zip(&settings) {
        let id = setting.launch(&[], "true");
        setting.wait_for(&id, "succeeded");
        // What runs a job ends some time after it: the agent must become idle, and stay so for a window.
        let mut each_second = 0;
        wait::until(&format!("{name}: fewer than 40 wakes a second"), || {
            let (since, before) = (Instant::now(), waits(agent.0.id()));
            thread::sleep(WINDOW);
            each_second =
                (waits(agent.0.id()) - before) * 1000 / since.elapsed().as_millis() as u64;
            each_second < 40
        });
        eprintln!("{name}: {each_second} wakes a second");
    }
}

/// Has Docker forget what it remembers of containers: it keeps the last 256 events.
fn flood(setting: &Setting) {
    let base = setting.engines.base.as_str();
    setting.docker(&["pull", "--quiet", base]);
    let url = format!("http://docker/images/{base}/tag?repo=queue-flood&tag=v1");
    let mut curl = std::process::Command::new("curl");
    curl.args(["-fsS", "-X", "POST", "--unix-socket"])
        .arg(setting.docker.strip_prefix("unix://").unwrap())
        .args(std::iter::repeat_n(url, 300));
    assert!(curl.status().unwrap().success());
}

#[test]
fn a_container_that_is_gone_ran_or_is_made_anew() {
    for was_discarded in [true, false] {
        let setting = Setting::sqlite();
        setting.run(&["queue", "create", "q"]).answer();
        let id = setting.launch(&[], "echo whole");
        // An agent was lost after it had been told to start a container that another then removes.
        let store = setting.open();
        let lost = AgentRegistration {
            name: "lost".into(),
            session: ulid::Ulid::r#gen().to_string(),
            host: "here".into(),
            engine: setting.docker(&["info", "--format", "{{.ID}}"]),
            queues: vec!["q".into()],
            gpus: Vec::new(),
            lease: Duration::from_millis(1),
        };
        let claim = store.claim(&lost).unwrap().unwrap();
        let container = setting.docker(&["create", &setting.engines.base, "true"]);
        let start = Start {
            container: container.clone(),
            run_id: id.clone(),
            records: setting.project.path("").display().to_string(),
            image: setting.engines.base.clone(),
        };
        assert!(store.begin(&lost, &claim, &start).unwrap());
        if was_discarded {
            assert!(store.discard(&lost, &claim, Some(&container)).unwrap());
        }
        setting.docker(&["rm", &container]);
        flood(&setting);
        setting.drain(&[]);
        let job = setting.job(&id);
        match was_discarded {
            true => assert_eq!(
                (&job["state"], &job["attempt"]),
                (&"succeeded".into(), &1.into())
            ),
            // Nobody knows that it didn't run: it isn't started twice.
            false => assert_eq!(
                (&job["state"], &job["error"]),
                (
                    &"failed".into(),
                    &"its container is gone, and nobody saw how it ended".into()
                )
            ),
        }
    }
}

/// Leases are told by a clock that nobody sets.
#[test]
fn clocks_that_are_wrong_or_run_away_change_nothing() {
    for (name, setting) in Setting::both() {
        setting.run(&["queue", "create", "q"]).answer();
        // A day ahead, a day behind, and a thousand times too fast: as if it were set all the time.
        let _agents = ["+1d", "-1d", "+0 x1000"].map(|clock| {
            let mut command = setting.command(&["agent", "-q", "q", "--lease", "1"]);
            command
                .envs(clock::off_by(clock))
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null());
            Agent(command.spawn().unwrap())
        });
        // Each outlives a lease.
        let jobs: Vec<String> = (0..6).map(|_| setting.launch(&[], "sleep 2")).collect();
        for id in jobs {
            let job = setting.wait_for(&id, "succeeded");
            assert_eq!(job["attempt"], 1, "{name}: {job:#}");
            assert_eq!(job["attempts"].as_array().unwrap().len(), 1, "{name}");
        }
        assert_eq!(setting.containers().len(), 6, "{name}: one for each job");
    }
}
