//! Verbs that are killed where they make a file: the next command leaves nothing of it.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::image::unique;
use crate::left::left_in;
use crate::support::engines::Engines;
use crate::support::mlbuild::{Project, Ran};
use crate::support::random::Random;

/// System calls that give something a name. `openat` does so only now and then: it has many turns.
const CALLS: [&str; 5] = ["mkdir", "linkat", "rename", "unlink", "openat"];

/// A verb, killed at a turn of a system call; false where it didn't get that far.
fn is_killed(project: &Project, args: &[String], call: &str, turn: u64) -> bool {
    let program = project.command(args);
    let mut strace = Command::new("strace");
    strace
        .args([
            "-f",
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            &format!("trace={call}"),
            "-e",
        ])
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

#[test]
fn nothing_is_left_of_a_verb_that_was_killed_where_it_makes_a_file() {
    let engines = Engines::from_env();
    let tag = unique(&engines.registry, "killed");
    let mut random = Random::from_env();
    let dockerfile = format!("FROM {}\nCOPY . /here\n", engines.base);
    let project = Project::new(&[("Dockerfile", &dockerfile), ("a.txt", "a")]);
    std::fs::create_dir(project.outside().join("temporary")).unwrap();
    let words = |line: &str| -> Vec<String> { line.split(' ').map(String::from).collect() };
    let build = format!(
        "image -f Dockerfile -t {tag} --push --builder {}",
        engines.buildkitd
    );
    let verbs = [
        words(&build),
        words(&format!("{build} --repack")),
        words(&format!("verify --builder {}", engines.buildkitd)),
        words(&format!("adopt {tag} --uid 4321 -t {tag}-adopted")),
        words(&format!("diff {tag} {tag}")),
        words(&format!("inspect {tag}")),
        words("runs list"),
        words("prune --older-than 30d"),
    ];
    let mut first = project.command(&verbs[0]);
    Ran::of(first.env("SOURCE_DATE_EPOCH", "1700000000")).answer();
    let (mut kills, mut met) = (0, 0);

    let wanted = std::env::var("MLBUILD_TEST_KILLS").map_or(24, |text| text.parse().unwrap());
    let mut round = 0;
    // About a third of the turns that are drawn come before a verb's end.
    while kills < wanted {
        round += 1;
        assert!(round < wanted, "{kills} kills in {round} rounds");
        for args in &verbs {
            project.write("a.txt", &format!("{round} {kills} {met}"));
            let call = CALLS[random.below(CALLS.len() as u64) as usize];
            let turn = 1 + random.below(if call == "openat" { 90 } else { 3 });
            kills += usize::from(is_killed(&project, args, call, turn));
            met += usize::from(!left_in(&project).is_empty());
            // Any verb will do.
            project.run(["runs", "list"]).answer();
            let left = left_in(&project);
            assert!(left.is_empty(), "{args:?}, at {call} {turn}: {left:?}");
            if project.path("mlbuild.lock").exists() {
                project.lock();
            }
        }
    }
    println!("{kills} kills, {met} of which left something until the next command");
    assert!(!is_named(&project.outside().join("temporary")));
}
