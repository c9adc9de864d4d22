//! `mlbuild submit --slurm --nodes`: containers on both nodes that find one another.

use super::{CONTROLLER, Setting};
use crate::kubernetes::nodes::{MEET, lines};
use crate::support::mlbuild::Ran;

impl Setting {
    /// Runs the program whose processes meet, on both nodes.
    fn meet(&self, flags: &[&str], mode: &str) -> Ran {
        let runtime = match flags
            .iter()
            .any(|flag| flag.starts_with("--container-runtime"))
        {
            true => &[][..],
            false => &["--container-runtime=podman"],
        };
        let first = ["submit", "--slurm", "-m=100m", "--nodes=2"];
        let last = [&self.engines.python_base, "python3", "-c", MEET, mode];
        let words = [&first, runtime, flags, &last].concat();
        let mut command = self.command(&words);
        let apptainer = std::env::var("MLBUILD_TEST_APPTAINER").expect("integration/engines/up");
        let apptainer = std::path::Path::new(&apptainer).parent().unwrap();
        let path = self.path(&format!("{}:", apptainer.display()));
        // The registry of the tests has no TLS, and Apptainer is told so.
        command.env("PATH", path).env("APPTAINER_NOHTTPS", "1");
        Ran::of(&mut command)
    }
}

#[test]
fn containers_of_two_nodes_meet_and_sum_up() {
    let _alive = CONTROLLER.read().unwrap();
    let setting = Setting::new();
    for runtime in ["podman", "apptainer"] {
        let (id, runtime_flag) = (
            format!("--run-id=meet-{runtime}"),
            format!("--container-runtime={runtime}"),
        );
        let ran = setting.meet(&[&id, &runtime_flag], "well");
        assert_eq!(ran.code, Some(0), "{runtime}: {}{}", ran.stdout, ran.stderr);
        // Before that Apptainer tells how it makes the image's file.
        let met = ["0: rank 0 of 2: 1", "1: rank 1 of 2: 1"];
        let mut said = lines(&ran.stdout);
        said.retain(|line| !line.starts_with("INFO:"));
        assert_eq!(said, met, "{runtime}: {}", ran.stderr);
        let run = format!("meet-{runtime}");
        let one = setting.run(&["logs", &run, "--rank=1"]);
        assert_eq!(one.answer(), "rank 1 of 2: 1", "{}", one.stderr);
        let options = setting.record(&run).slurm.unwrap().options;
        assert!(options.contains(&"--nodes=2".to_owned()), "{options:?}");
        let again = setting.run(&["restore", &run, "--no-code", "--no-shell"]);
        assert!(again.answer().contains(" --nodes=2 "), "{}", again.stdout);
    }
    let last = ["--runtime-cli=docker", "--no-code", "--no-shell"];
    let here = setting.run(&[&["restore", "meet-podman"], &last[..]].concat());
    assert!(
        here.stderr.contains("the run had 2 nodes"),
        "{}",
        here.stderr
    );
}

#[test]
fn one_that_fails_ends_the_others_on_their_nodes() {
    let _alive = CONTROLLER.read().unwrap();
    let setting = Setting::new();
    let ran = setting.meet(&["--run-id=fail"], "fail");
    assert_eq!(ran.code, Some(7), "{}", ran.stderr);
    assert!(ran.stdout.contains("1: out of data\n"), "{}", ran.stdout);
    assert_eq!(setting.record("fail").outcome.unwrap().exit_code, Some(7));
}

#[test]
fn a_launcher_of_each_node_knows_its_place_and_a_shell_is_opened_beside_it() {
    let _alive = CONTROLLER.read().unwrap();
    let setting = Setting::new();
    // In the place of torchrun, a program that prints what it is given and what torchrun reads.
    let folder = setting.project.outside().join("bin");
    std::fs::create_dir(&folder).unwrap();
    let torchrun = folder.join("torchrun");
    let script = "#!/bin/sh\necho \"$PET_NODE_RANK of $PET_NNODES: $* at $PET_MASTER_PORT\"\nexec sleep 100\n";
    std::fs::write(&torchrun, script).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&torchrun, mode).unwrap();
    let volume = format!("--volume={}:/usr/local/bin/torchrun:ro", torchrun.display());
    let words = [
        "submit",
        "--slurm",
        "-d",
        "--container-runtime=podman",
        "-m=50m",
        "--nodes=2",
        "--launcher=torchrun",
        "--nproc-per-node=4",
        "--run-id=torch",
        "-e",
        "MASTER_PORT=29777",
        &volume,
        &setting.engines.base,
        "train.py",
        "--lr",
        "0.1",
    ];
    setting.run(&words).answer();
    for node in 0..2 {
        let wanted = format!(
            "{node}: {node} of 2: --nnodes=2 --nproc_per_node=4 train.py --lr 0.1 at 29777\n"
        );
        setting.prints("torch", &wanted);
        let rank = format!("--rank={node}");
        let beside = setting.run(&["bash", "torch", &rank, "--", "printenv", "NODE_RANK"]);
        assert_eq!(beside.answer(), node.to_string(), "{}", beside.stderr);
    }
    let none = setting.run(&["bash", "torch", "--rank=2", "--", "true"]);
    assert!(none.refusal(2).contains("2 task"), "{}", none.stderr);
    setting.run(&["jobs", "cancel", "torch"]).answer();
}
