//! Slurm's own daemons end while jobs run: nothing is lost, and nothing runs twice.

use std::process::{Command, Stdio};
use std::sync::{PoisonError, RwLockWriteGuard};

use super::{CONTROLLER, Setting};
use crate::support::mlbuild::Ran;
use crate::support::{repository, wait};

fn alone() -> RwLockWriteGuard<'static, ()> {
    // One that failed says so by itself.
    CONTROLLER.write().unwrap_or_else(PoisonError::into_inner)
}

impl Setting {
    fn engines_folder(&self) -> &std::path::Path {
        self.slurm.parent().unwrap().parent().unwrap()
    }

    /// Sends a signal to a daemon, and waits until it is gone.
    fn end_daemon(&self, name: &str, signal: &str) {
        let file = self.engines_folder().join("pids").join(name);
        let pid = std::fs::read_to_string(file).unwrap();
        let pid = pid.split_whitespace().next().unwrap();
        let sent = Command::new("kill").args([signal, pid]).status().unwrap();
        assert!(sent.success(), "{name}");
        let status = format!("/proc/{pid}/status");
        wait::until(&format!("{name} is gone"), || {
            let status = std::fs::read_to_string(&status).unwrap_or_default();
            status.is_empty() || status.contains("State:\tZ")
        });
    }

    /// Starts those that ended.
    fn daemons_up(&self) {
        let mut up = Command::new(repository().join("integration/engines/up"));
        let up = up
            .arg("slurm")
            .env("MLBUILD_ENGINES_DIR", self.engines_folder())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&up.stderr);
        assert!(up.status.success(), "{said}");
    }
}

#[test]
fn a_run_goes_on_and_is_seen_to_end_without_slurmctld() {
    let _alone = alone();
    let setting = Setting::new();
    let words = setting.submit(&["--run-id=ctl-1"], "echo up; sleep 4; echo down; exit 6");
    let child = setting.command(&words).spawn().unwrap();
    setting.prints("ctl-1", "up");
    // It keeps what it knows: one that is killed gives the number of this very job to another one later.
    setting.end_daemon("slurmctld", "-TERM");
    let ran = Ran::from(child.wait_with_output().unwrap());
    setting.daemons_up();
    assert_eq!(ran.code, Some(6), "{}", ran.stderr);
    assert!(ran.stdout.contains("up\ndown\n"), "{}", ran.stdout);
}

#[test]
fn an_array_outlives_slurmctld_and_the_slurmd_of_both_nodes() {
    let _alone = alone();
    let setting = Setting::new();
    let look = setting.project.outside().join("look");
    std::fs::create_dir(&look).unwrap();
    let volume = format!("--volume={}:/look", look.display());
    let script = "echo begun >> /look/$n; echo up $n; sleep 4; echo down $n; exit $n";
    // Two run meanwhile, and two wait for a slurmctld that is there again.
    let flags = [
        "--run-id=dies",
        "--array=n=0..3",
        "--parallelism=2",
        &volume,
    ];
    let child = setting
        .command(&setting.submit(&flags, script))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    setting.prints("dies-0", "up");
    setting.prints("dies-1", "up");
    setting.end_daemon("slurmctld", "-TERM");
    setting.end_daemon("slurmd-n1", "-KILL");
    setting.end_daemon("slurmd-n2", "-KILL");
    wait::until("the first two end without them", || {
        let mut first = ["dies-0", "dies-1"].iter();
        first.all(|run| setting.folder(run).join("exit_code").exists())
    });
    // Whoever asks is told that Slurm can't be, and not that nothing is there.
    let shown = setting.run(&["jobs", "cancel", "dies"]);
    assert_ne!(shown.code, Some(0), "{}", shown.stdout);
    setting.daemons_up();
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert!(
        ran.stderr.contains("3 of 4 points failed"),
        "{}",
        ran.stderr
    );
    for code in 0..4 {
        let run = format!("dies-{code}");
        let record = setting.record(&run);
        assert_eq!(record.outcome.unwrap().exit_code, Some(code), "{run}");
        let begun = std::fs::read_to_string(look.join(code.to_string())).unwrap();
        assert_eq!(begun, "begun\n", "{run}");
        let logs = setting.run(&["logs", &run]).stdout;
        assert!(
            logs.starts_with(&format!("up {code}\ndown {code}\n")),
            "{logs}"
        );
        assert_eq!(logs.matches("up ").count(), 1, "{logs}");
    }
}
