//! Verbs that are killed where they make a file: the next command leaves nothing of it.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::image::unique;
use crate::left::left_in;
use crate::support::engines::Engines;
use crate::support::mlbuild::{Project, Ran};
use crate::support::random::Random;
use crate::verbs::WITH_DAEMONS;

/// System calls that give something a name. `openat` does so only now and then: it has many turns.
const CALLS: [&str; 5] = ["mkdir", "linkat", "rename", "unlink", "openat"];
/// The turns of each that are drawn from.
const TURNS: [u64; 5] = [3, 3, 3, 3, 90];

/// A verb, killed at a turn of a system call; false where it didn't get that far.
fn is_killed(project: &Project, program: &Command, call: &str, turn: u64) -> bool {
    let mut strace = Command::new("strace");
    strace
        .args(["-f", "-qq", "-o", "/dev/null", "-e"])
        .arg(format!("trace={call}"))
        .arg("-e")
        .arg(format!("inject={call}:signal=KILL:when={turn}"))
        .arg(program.get_program())
        .args(program.get_args())
        .env_clear()
        .envs(
            program
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .env("TMPDIR", project.outside().join("temporary"))
        .env("SOURCE_DATE_EPOCH", "1700000000")
        .current_dir(project.path(""))
        .stdin(Stdio::null());
    let output = strace.output().expect("strace is installed");
    use std::os::unix::process::ExitStatusExt as _;
    output.status.signal() == Some(9) || output.status.code() == Some(137)
}

fn is_named(path: &Path) -> bool {
    std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some())
}

/// Two projects, since one has a Dockerfile of its own and one has none, and what their commands name.
struct Killed {
    engines: Engines,
    built: Project,
    assembled: Project,
    tag: String,
    other: String,
}

impl Killed {
    fn new() -> Self {
        let engines = Engines::from_env();
        let dockerfile = format!("FROM {}\nCOPY . /here\n", engines.base);
        let built = Project::new(&[
            ("Dockerfile", &dockerfile),
            ("mlbuild.toml", "[image]\ndockerfile = \"Dockerfile\"\n"),
            ("a.txt", "a"),
        ]);
        let assembled = Project::new(&[("requirements.txt", "six==1.17.0\n"), ("a.txt", "a")]);
        for project in [&built, &assembled] {
            std::fs::create_dir(project.outside().join("temporary")).unwrap();
        }
        Self {
            tag: unique(&engines.registry, "killed"),
            other: unique(&engines.registry, "killed-assembled"),
            engines,
            built,
            assembled,
        }
    }

    fn words(&self, line: &str) -> Vec<String> {
        let word = |word: &str| match word {
            "TAG" => self.tag.clone(),
            "TAG-adopted" => format!("{}-adopted", self.tag),
            "OTHER" => self.other.clone(),
            "BASE" => self.engines.base.clone(),
            "PYTHON" => self.engines.python_base.clone(),
            "BUILDER" => self.engines.buildkitd.clone(),
            word => word.replace("REGISTRY", &self.engines.registry),
        };
        line.split(' ').map(word).collect()
    }

    /// The project of a command.
    fn project(&self, line: &str) -> &Project {
        if line.contains("OTHER") {
            &self.assembled
        } else {
            &self.built
        }
    }

    /// A command to its end, undisturbed.
    fn run(&self, line: &str) -> Ran {
        let mut command = self.project(line).command(self.words(line));
        Ran::of(self.with_docker(command.env("SOURCE_DATE_EPOCH", "1700000000")))
    }

    fn with_docker<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let (bin, path) = (self.engines.bin.display(), std::env::var("PATH").unwrap());
        command
            .env("PATH", format!("{bin}:{path}"))
            .env("DOCKER_HOST", &self.engines.docker_containerd)
    }
}

#[test]
fn nothing_is_left_of_a_verb_that_was_killed_where_it_makes_a_file() {
    let killed = Killed::new();
    let mut random = Random::from_env();
    killed.run(WITH_DAEMONS[0]).answer();
    killed.run(WITH_DAEMONS[2]).answer();
    killed
        .run("run --run-id kept --rm --network none BASE true")
        .answer();
    let (mut kills, mut met) = (0, 0);

    let wanted = std::env::var("MLBUILD_TEST_KILLS").map_or(10, |text| text.parse().unwrap());
    // Each of them is tried once at least; about a third of the turns that are drawn come before its end.
    for round in 0_u64.. {
        if round > 0 && kills >= wanted {
            break;
        }
        assert!(round < 3 + wanted, "{kills} kills in {round} rounds");
        for line in WITH_DAEMONS {
            if round > 0 && kills >= wanted {
                break;
            }
            let project = killed.project(line);
            project.write("a.txt", &format!("{round} {kills} {met}"));
            if line.contains("OTHER") && round % 3 == 2 {
                // As on a machine that never made it.
                for folder in ["layers", "inputs"] {
                    let _ = std::fs::remove_dir_all(project.outside().join("state").join(folder));
                }
            }
            let at = random.below(CALLS.len() as u64) as usize;
            let (call, turn) = (CALLS[at], 1 + random.below(TURNS[at]));
            let mut command = project.command(killed.words(line));
            let command = killed.with_docker(&mut command);
            kills += u64::from(is_killed(project, command, call, turn));
            met += usize::from(!left_in(project).is_empty());
            // Any verb will do.
            let list = project.run(["runs", "list", "--format", "json"]).json();
            assert_eq!(list["unreadable"], json!([]), "{line}, at {call} {turn}");
            let left = left_in(project);
            assert!(left.is_empty(), "{line}, at {call} {turn}: {left:?}");
            if project.path("mlbuild.lock").exists() {
                project.lock();
            }
        }
    }
    println!("{kills} kills, {met} of which left something until the next command");
    for project in [&killed.built, &killed.assembled] {
        assert!(!is_named(&project.outside().join("temporary")));
    }
}
