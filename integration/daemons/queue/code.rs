//! Jobs from code: built once, by `mlbuild image`.

use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

use super::{Agent, Setting};
use crate::run::children;
use crate::support::mlbuild::Project;
use crate::support::wait;

/// Code whose image needs no network beyond the engines'.
fn code(setting: &Setting, said: &str) -> Project {
    let dockerfile = format!("FROM {}\nCOPY . /app\nWORKDIR /app\n", setting.engines.base);
    Project::new(&[
        ("Dockerfile", &dockerfile),
        ("mlbuild.toml", "[image]\ndockerfile = \"Dockerfile\"\n"),
        ("train.sh", &format!("echo {said}\n")),
        ("data.bin", "not sent"),
        (".dockerignore", "*.bin\n"),
    ])
}

fn git(project: &Project, args: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=a", "-c", "user.email=a@example.com", "-C"])
        .arg(project.path(""))
        .args(args)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "git {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn remove_images(setting: &Setting) {
    let found = setting.docker(&["images", "-q", "--filter", "reference=mlbuild-job"]);
    for id in found.lines() {
        let _ = Command::new(setting.engines.bin.join("docker"))
            .args(["--host", &setting.docker, "rmi", "-f", id])
            .output();
    }
}

#[test]
fn a_folders_code_is_built_once_and_runs() {
    let setting = Setting::sqlite();
    let said = ulid::Ulid::r#gen().to_string();
    let code = code(&setting, &said);
    setting.run(&["queue", "create", "q"]).answer();
    let folder = code.path("").to_string_lossy().into_owned();
    let launch = || {
        let words = [
            "launch",
            "-q",
            "q",
            "--job",
            &folder,
            "--set",
            "rm",
            "--",
            "sh",
            "-c",
            "ls; sh train.sh",
        ];
        setting.run(&words).answer().to_owned()
    };
    let first = launch();
    // What is launched is what the folder held then.
    code.write("train.sh", "echo changed meanwhile\n");
    let other = launch();
    code.write("train.sh", &format!("echo {said}\n"));
    let third = launch();
    let ran = setting.drain(&["--max-jobs", "3"]);
    assert_eq!(ran.stderr.matches(": builds ").count(), 2, "{}", ran.stderr);
    let log = |id: &str| setting.run(&["jobs", "logs", id]).answer().to_owned();
    assert_eq!(
        log(&first),
        format!("Dockerfile\nmlbuild.toml\ntrain.sh\n{said}"),
        "{}",
        ran.stderr
    );
    assert!(log(&other).ends_with("changed meanwhile"));
    assert_eq!(log(&third), log(&first));
    let image = |id: &str| setting.job(id)["image"].as_str().unwrap().to_owned();
    assert_eq!(image(&first), image(&third));
    assert_ne!(image(&first), image(&other));
    // Another agent, another day: still built.
    let fourth = launch();
    let ran = setting.drain(&[]);
    assert!(!ran.stderr.contains(": builds "), "{}", ran.stderr);
    assert_eq!(image(&fourth), image(&first));
    remove_images(&setting);
}

#[test]
fn a_commit_is_built_pushed_and_recorded() {
    let setting = Setting::postgres();
    let said = ulid::Ulid::r#gen().to_string();
    let code = code(&setting, &said);
    git(&code, &["init", "--quiet", "--initial-branch=main"]);
    git(&code, &["add", "."]);
    git(&code, &["commit", "--quiet", "-m", "one"]);
    let commit = git(&code, &["rev-parse", "HEAD"]);
    let registry = format!("{}/queue", setting.engines.registry);
    let text = format!("queues: [q]\nbuilder:\n  type: docker\nregistry:\n  uri: {registry}\n");
    setting.project.write("launch.yaml", &text);
    setting.run(&["queue", "create", "q"]).answer();
    let repository = format!("{}@main", code.path("").display());
    let id = setting.run(&[
        "launch",
        "-q",
        "q",
        "--git",
        &repository,
        "--",
        "sh",
        "train.sh",
    ]);
    let id = id.answer().to_owned();
    // The branch goes on; the job stays with its commit.
    code.write("train.sh", "echo later\n");
    git(&code, &["commit", "--quiet", "-am", "two"]);
    setting.drain(&["--config", "launch.yaml"]);
    let job = setting.job(&id);
    assert_eq!(job["state"], "succeeded", "{job:#}");
    assert_eq!(setting.run(&["jobs", "logs", &id]).answer(), said);
    let image = job["image"].as_str().unwrap();
    assert!(
        image.starts_with(&format!("{registry}/mlbuild-job@sha256:")),
        "{image}"
    );
    let run = setting
        .run(&["runs", "show", &id, "--format", "json"])
        .json()
        .to_string();
    assert!(run.contains(&commit), "{run}");
    assert!(run.contains(image.rsplit_once('@').unwrap().1), "{run}");
}

#[test]
fn the_base_can_be_overridden_and_noop_builds_nothing() {
    let setting = Setting::sqlite();
    let base = setting.engines.python_base.clone();
    let config = format!("{{\"builder\": {{\"accelerator\": {{\"base_image\": \"{base}\"}}}}}}");
    setting.project.write("q.json", &config);
    setting
        .run(&["queue", "create", "q", "--config", "q.json"])
        .answer();
    let script = format!(
        "import six, sys; print('{}', six.__version__, sys.version_info[:2])",
        ulid::Ulid::r#gen()
    );
    let code = Project::new(&[
        ("main.py", &script),
        ("mlbuild.toml", "[image]\ntemplate = \"python\"\n"),
        ("requirements.txt", "six==1.16.0\n"),
    ]);
    let folder = code.path("").to_string_lossy().into_owned();
    let words = [
        "launch", "-q", "q", "--job", &folder, "--", "python", "main.py",
    ];
    let refused = setting.run(&words).answer().to_owned();
    setting
        .project
        .write("launch.yaml", "builder:\n  type: noop\n");
    setting.drain(&["--config", "launch.yaml"]);
    let job = setting.job(&refused);
    assert_eq!(job["state"], "failed");
    assert!(
        job["error"]
            .as_str()
            .unwrap()
            .contains("builder.type is noop"),
        "{job:#}"
    );
    let built = setting.run(&words).answer().to_owned();
    setting.drain(&[]);
    let job = setting.job(&built);
    assert_eq!(job["state"], "succeeded", "{job:#}");
    assert!(
        setting
            .run(&["jobs", "logs", &built])
            .answer()
            .ends_with("1.16.0 (3, 11)")
    );
    // What can't be built says why.
    code.write("mlbuild.toml", "[image]\ntemplat = \"python\"\n");
    let broken = setting.run(&words).answer().to_owned();
    setting.drain(&[]);
    let job = setting.job(&broken);
    assert!(
        job["error"]
            .as_str()
            .unwrap()
            .contains("unknown key `templat`"),
        "{job:#}"
    );
    remove_images(&setting);
}

#[test]
fn a_builder_of_its_own_pushes_what_an_agent_runs() {
    let setting = Setting::sqlite();
    let (registry, base) = (&setting.engines.registry, &setting.engines.python_base);
    // Where W&B has it; a base for all that the agent builds.
    let text = format!(
        "queues: [q]\nbuilder:\n  type: buildkit\n  accelerator:\n    base_image: {base}\n\
         registry:\n  uri: {registry}/built\n"
    );
    let home = setting.project.home().join(".config/wandb");
    std::fs::create_dir_all(&home).unwrap();
    std::fs::write(home.join("launch-config.yaml"), text).unwrap();
    setting.run(&["queue", "create", "q"]).answer();
    let said = ulid::Ulid::r#gen().to_string();
    let code = Project::new(&[("train.sh", &format!("echo {said}; command -v python\n"))]);
    code.write("mlbuild.toml", "[image]\ntemplate = \"python\"\n");
    let folder = code.path("").to_string_lossy().into_owned();
    let words = [
        "launch", "-q", "q", "--job", &folder, "--", "sh", "train.sh",
    ];
    let id = setting.run(&words).answer().to_owned();
    let mut agent = setting.command(&["agent", "--exit-when-idle", "--lease", "2"]);
    agent.env("BUILDKIT_HOST", &setting.engines.buildkitd);
    let ran = crate::support::mlbuild::Ran::of(&mut agent);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let job = setting.job(&id);
    assert_eq!(job["state"], "succeeded", "{job:#}");
    let image = job["image"].as_str().unwrap();
    assert!(
        image.starts_with(&format!("{registry}/built/mlbuild-job@sha256:")),
        "{image}"
    );
    let log = setting.run(&["jobs", "logs", &id]);
    assert!(log.answer().starts_with(&said), "{}", log.stdout);
    // mlbuild's own file goes before W&B's.
    let own = setting.project.home().join(".config/mlbuild");
    std::fs::create_dir_all(&own).unwrap();
    std::fs::write(own.join("launch-config.yaml"), "queues: [elsewhere]\n").unwrap();
    let elsewhere = setting.run(&["agent", "--exit-when-idle"]);
    assert!(
        elsewhere
            .refusal(2)
            .contains("there is no queue `elsewhere`"),
        "{}",
        elsewhere.stderr
    );
}

/// The code of a job is anybody's: what ends its build leaves the agent and its other jobs alone.
#[test]
fn a_build_that_is_killed_fails_its_own_job() {
    let setting = Setting::sqlite();
    setting.run(&["queue", "create", "q"]).answer();
    let dockerfile = format!(
        "FROM {}\nRUN --network=none sleep 300 # {}\n",
        setting.engines.base,
        ulid::Ulid::r#gen()
    );
    let code = Project::new(&[
        ("Dockerfile", &dockerfile),
        ("mlbuild.toml", "[image]\ndockerfile = \"Dockerfile\"\n"),
    ]);
    let other = setting.launch(&[], "sleep 300");
    let mut agent = Agent::start(&setting, &["--max-jobs", "2", "--lease", "2"]);
    setting.wait_for_container(&other);
    let folder = code.path("").to_string_lossy().into_owned();
    let words = ["launch", "-q", "q", "--job", &folder, "--", "true"];
    let id = setting.run(&words).answer().to_owned();
    let build = || {
        children(agent.0.id()).into_iter().find(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split(|byte| *byte == 0).any(|word| word == b"image")
        })
    };
    wait::until("the build runs", || build().is_some());
    let pid = Pid::from_raw(build().unwrap() as i32).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    let job = setting.wait_for(&id, "failed");
    let error = job["error"].as_str().unwrap();
    assert!(error.starts_with("its image can't be built"), "{job:#}");
    assert!(agent.0.try_wait().unwrap().is_none(), "the agent has ended");
    assert_eq!(setting.job(&other)["state"], "running");
    let next = setting.launch(&["--priority", "1"], "true");
    setting.wait_for(&next, "succeeded");
    setting.run(&["jobs", "cancel", &other]);
    setting.wait_for(&other, "cancelled");
}
