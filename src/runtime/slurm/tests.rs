//! Scripts of a matrix of command lines: read by bash, and held against the rule that nothing is dropped.

use std::fmt::Write as _;
use std::process::{Command, Stdio};

use super::*;
use crate::runtime::kubernetes::SUBMIT;
use crate::runtime::{FLAGS as DOCKERS, Kind, Owner, Rule};

const DIGEST: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";

fn words_of<S: AsRef<str>>(words: &[S], runtime: ContainerRuntime) -> RenderedScript {
    let parsed = SUBMIT.parse_with_image(words).unwrap();
    let variables = parsed.spec.env().cloned().collect();
    let context = JobContext {
        run: "exp-7".to_owned(),
        image: ImageDefaults {
            entrypoint: vec!["/entry".to_owned()],
            command: vec!["serve".to_owned()],
            workdir: Some("/app".to_owned()),
            user: None,
        },
        runtime,
        root: "/home/ann/.mlbuild/slurm".to_owned(),
        variables,
        array: Array::read(&parsed.own).unwrap(),
    };
    script(&parsed.spec, &parsed.own, &context)
}

fn form(line: &str, runtime: ContainerRuntime) -> RenderedScript {
    let line = line.replace("IMG", &format!("reg.example/cracks@{DIGEST}"));
    words_of(&shlex::split(&line).unwrap(), runtime)
}

fn podman(line: &str) -> RenderedScript {
    form(line, ContainerRuntime::Podman)
}

fn named(left_out: &[LeftOut]) -> String {
    let all = left_out
        .iter()
        .map(|part| format!("{}: {}\n", part.what, part.why));
    all.collect()
}

#[test]
fn an_array_writes_each_point_into_files_of_its_own() {
    let line = "--slurm --array lr=1e-3,1e-4 --array 'note=a b,$x' -e EPOCHS=3 IMG train --lr={lr} '{note}' '{other}'";
    for runtime in ContainerRuntime::ALL {
        let form = form(line, runtime);
        assert_eq!(named(&form.refused), "");
        assert_eq!(syntax(&form.text), "");
        assert!(
            form.directives.contains(&"--array=0-3".to_owned()),
            "{:?}",
            form.directives
        );
        let output = "--output=/home/ann/.mlbuild/slurm/exp-7-%a/output".to_owned();
        assert!(form.directives.contains(&output), "{:?}", form.directives);
    }
    insta::assert_snapshot!("array", podman(line).text.replace(DIGEST, "sha256:…"));
    let twice = podman("--slurm --array lr=1,2 -e lr=3 IMG train");
    assert!(
        named(&twice.refused).contains("--env=lr"),
        "{:?}",
        twice.refused
    );
    let home = form(
        "--slurm --array HOME=/a,/b IMG train",
        ContainerRuntime::Apptainer,
    );
    assert!(named(&home.refused).contains("HOME"), "{:?}", home.refused);
}

#[test]
fn several_nodes_have_a_container_each_that_knows_the_others() {
    let line =
        "--slurm --nodes 2 --gpus 4 --launcher torchrun -e MASTER_PORT=29777 IMG train.py --lr 0.1";
    for runtime in ContainerRuntime::ALL {
        let form = form(line, runtime);
        assert_eq!(named(&form.refused), "", "{runtime}");
        assert_eq!(syntax(&form.text), "", "{runtime}");
        for wanted in [
            "srun --nodes=2 --ntasks=2 ",
            "#SBATCH --nodes=2\n#SBATCH --ntasks-per-node=1\n",
            "torchrun --nnodes=2 --nproc_per_node=4 train.py --lr 0.1",
            "PET_NODE_RANK=$SLURM_NODEID",
        ] {
            assert!(
                form.text.contains(wanted),
                "{runtime} {wanted}\n{}",
                form.text
            );
        }
        let files = form
            .variables
            .iter()
            .map(|(_, content)| String::from_utf8_lossy(content));
        let files: String = files.collect();
        assert!(files.contains("PET_MASTER_PORT=29777"), "{runtime} {files}");
        for not_wanted in ["29777", "--env=MASTER_PORT", " RANK=", " WORLD_SIZE="] {
            assert!(
                !form.text.contains(not_wanted),
                "{runtime} {not_wanted}\n{}",
                form.text
            );
        }
    }
    insta::assert_snapshot!("nodes", podman(line).text.replace(DIGEST, "sha256:…"));
    for (line, wanted) in [
        ("--nodes 2 IMG train", " RANK=$SLURM_NODEID"),
        ("--nodes 2 IMG train", " WORLD_SIZE=2"),
        (
            "--nodes 3 --ntasks-per-node 2 IMG train",
            "srun --nodes=3 --ntasks=6 ",
        ),
        (
            "--nodes 3 --ntasks-per-node 2 IMG train",
            " RANK=$SLURM_PROCID",
        ),
        (
            "--ntasks-per-node 2 --launcher none IMG train",
            "srun --nodes=1 --ntasks=2 ",
        ),
        (
            "--launcher torchrun --gpus-per-node a100:4 IMG -m train",
            "torchrun --nnodes=1 --nproc_per_node=4 -m train",
        ),
        (
            "--launcher torchrun --gres gpu:a100:3 IMG train.py",
            "--nproc_per_node=3 train.py",
        ),
        (
            "--launcher torchrun --nproc-per-node 2 --entrypoint python IMG -u train.py",
            "--entrypoint=torchrun \"$image\" \"$@\"",
        ),
        (
            "--launcher torchrun --nproc-per-node 2 --entrypoint python IMG -u train.py",
            "container --nnodes=1 --nproc_per_node=2 --no_python python -u train.py",
        ),
        (
            "--nodes 2 --array n=1,2 IMG train",
            "srun --nodes=2 --ntasks=2 ",
        ),
    ] {
        let form = podman(&format!("--slurm {line}"));
        assert_eq!(named(&form.refused), "", "{line}");
        assert!(
            form.text.contains(wanted),
            "{line}: {wanted}\n{}",
            form.text
        );
    }
    for (line, why) in [
        (
            "--nodes 0 IMG train",
            "--nodes=0: write a whole number from 1",
        ),
        ("--launcher torchrun IMG", "none is given after the image"),
        ("--launcher mpirun IMG train", "--ntasks-per-node N"),
        ("--nproc-per-node gpu IMG train", "write --gpus N"),
        (
            "--nproc-per-node 2 --ntasks-per-node 2 IMG train",
            "leave one of both out",
        ),
        (
            "--launcher torchrun --ntasks-per-node 2 IMG train",
            "leave one of both out",
        ),
    ] {
        let refused = named(&podman(&format!("--slurm {line}")).refused);
        assert!(refused.contains(why), "{line}: {refused}");
        assert_eq!(refused.lines().count(), 1, "{line}: {refused}");
    }
}

#[test]
fn no_value_of_the_first_node_becomes_a_command() {
    for runtime in ContainerRuntime::ALL {
        let image = format!("reg.example/cracks@{DIGEST}");
        let with = |value: &str| {
            let variable = format!("--env=MASTER_ADDR={value}");
            words_of(
                &["--slurm", "--nodes=2", &variable, &image, "train"],
                runtime,
            )
        };
        for value in HOSTILE {
            let form = with(value);
            assert_eq!(syntax(&form.text), "", "{runtime} {value:?}");
            let files = form
                .variables
                .iter()
                .map(|(_, content)| String::from_utf8_lossy(content));
            let files: String = files.collect();
            for name in ["MASTER_ADDR", "PET_MASTER_ADDR"] {
                assert!(
                    files.contains(&format!("{name}={value}")),
                    "{runtime} {value:?}"
                );
            }
            // The script is the same, but for how podman gets what has several lines.
            if !value.contains('\n') {
                assert_eq!(form.text, with("x").text, "{runtime} {value:?}");
            }
        }
    }
}

#[test]
fn whole_scripts() {
    let line = "--slurm --partition gpu --time 2:00:00 --gpus 2 -m 16g --cpus 4 -e EPOCHS=3 \
                -v /scratch/data:/data:ro IMG python train.py --lr 0.1";
    for runtime in ContainerRuntime::ALL {
        let form = form(line, runtime);
        assert_eq!(
            (
                named(&form.warnings).as_str(),
                named(&form.refused).as_str()
            ),
            ("", "")
        );
        insta::assert_snapshot!(format!("{runtime}"), form.text.replace(DIGEST, "sha256:…"));
    }
}

/// What bash thinks of a script, without running it.
fn syntax(text: &str) -> String {
    use std::io::Write as _;
    let mut bash = Command::new("bash")
        .arg("-n")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    bash.stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    String::from_utf8(bash.wait_with_output().unwrap().stderr).unwrap()
}

const HOSTILE: [&str; 16] = [
    "a b",
    "it's",
    "\"q\"",
    "two\nlines",
    "\n#SBATCH --wckey=x\n",
    "#SBATCH --wckey=x",
    "$HOME",
    "$(touch x)",
    "`touch x`",
    "a,b",
    "%j%A",
    "a\\b",
    "; touch x;",
    "@COMMAND@",
    "é\u{202e}\u{1b}[0m",
    "!history",
];

#[test]
fn no_value_becomes_a_directive_or_a_command() {
    for runtime in ContainerRuntime::ALL {
        for value in HOSTILE {
            let mount = format!(
                "--mount=type=bind,\"source=/a{}z\",target=/b",
                value.replace('"', "\"\"")
            );
            let (workdir, variable) = (format!("--workdir={value}"), format!("--env=A={value}"));
            let image = format!("reg.example/cracks@{DIGEST}");
            let words = [
                "--slurm", &mount, &workdir, &variable, &image, "printf", value, value,
            ];
            let form = words_of(&words, runtime);
            let text = &form.text;
            assert_eq!(syntax(text), "", "{value:?}\n{text}");
            let directives = text.lines().filter(|line| line.starts_with("#SBATCH"));
            let given: Vec<String> = form
                .directives
                .iter()
                .map(|flag| format!("#SBATCH {flag}"))
                .collect();
            assert_eq!(directives.collect::<Vec<_>>(), given, "{value:?}");
            // The words are those that were typed, as bash reads them.
            let call = text.lines().find(|line| line.contains("printf "));
            let (_, words) = call.unwrap().split_once("printf ").unwrap();
            let read = Command::new("bash")
                .arg("-c")
                .arg(format!("printf '%s\\0' {words}"))
                .output()
                .unwrap();
            let wanted = format!("{value}\0{value}\0");
            assert_eq!(String::from_utf8(read.stdout).unwrap(), wanted, "{runtime}");
            // Its value is in no place but the file of variables.
            let files = form
                .variables
                .iter()
                .map(|(_, content)| String::from_utf8_lossy(content));
            let all: String = files.collect();
            assert!(all.contains(&format!("A={value}")), "{value:?}: {all:?}");
        }
    }
}

#[test]
fn directives_are_plain_or_refused() {
    for (flag, value) in [
        ("partition", "a b"),
        ("partition", "x\n#SBATCH --wckey=x"),
        ("qos", "a#b"),
        ("time", "\"1:00\""),
        ("constraint", "a\\b"),
        ("dependency", "afterok:$X"),
        ("sbatch", "--comment=mine"),
        ("sbatch", "--comm=mine"),
        ("sbatch", "--output=/x"),
        ("sbatch", "-o/x"),
        ("sbatch", "--nodes=2"),
        ("sbatch", "-N2"),
        ("sbatch", "--wckey=a b"),
        ("sbatch", "exclusive"),
        ("name", "a b"),
        ("name", "%j"),
    ] {
        let image = format!("reg.example/cracks@{DIGEST}");
        let word = format!("--{flag}={value}");
        let form = words_of(&["--slurm", &word, &image], ContainerRuntime::Podman);
        assert_eq!(form.refused.len(), 1, "{word}");
    }
    for (line, directive) in [
        ("--partition gpu,cpu", "--partition=gpu,cpu"),
        (
            "--constraint '[rack1|rack2]&a100*2'",
            "--constraint=[rack1|rack2]&a100*2",
        ),
        ("--gres gpu:a100:2", "--gres=gpu:a100:2"),
        ("--signal USR1@90", "--signal=USR1@90"),
        ("--requeue", "--requeue"),
        ("", "--no-requeue"),
        ("--sbatch=--exclusive", "--exclusive"),
        ("--sbatch=--mail-type=END,FAIL", "--mail-type=END,FAIL"),
        ("--name train", "--job-name=train"),
        ("-m 1.5g", "--mem=1536M"),
        ("--cpus 1.5", "--cpus-per-task=2"),
        ("--gpus count=2", "--gpus-per-node=2"),
    ] {
        let form = podman(&format!("--slurm {line} IMG"));
        assert_eq!(named(&form.refused), "", "{line}");
        assert!(
            form.directives.iter().any(|d| d == directive),
            "{line}: {:?}",
            form.directives
        );
    }
}

#[test]
fn no_flag_of_docker_is_dropped_without_a_word() {
    let mut table = String::new();
    for runtime in ContainerRuntime::ALL {
        let plain = form("--slurm IMG", runtime);
        for flag in DOCKERS.iter().filter(|flag| flag.owner == Owner::Docker) {
            let sample = match (flag.name, flag.kind) {
                ("network", _) => "none",
                (_, Kind::Rule(Rule::Ports)) => "80",
                (name, kind) => crate::runtime::kubernetes::tests::sample(name, kind),
            };
            let with = form(&format!("--slurm --{}={sample} IMG", flag.name), runtime);
            let says = with.text != plain.text
                || with.warnings != plain.warnings
                || !with.refused.is_empty();
            let is_quiet = carried::SILENT.contains(&flag.name)
                // It is how things are: the root is read-only already where it can't be written to.
                || matches!(
                    (flag.name, sample),
                    ("ipc" | "pid" | "uts" | "userns", "host") | ("security-opt", "no-new-privileges")
                );
            assert!(says || is_quiet, "{runtime} --{}={sample}", flag.name);
            let kind = match (with.refused.is_empty(), with.warnings == plain.warnings) {
                (false, _) => "refused",
                (true, false) => "noted",
                (true, true) => "carried",
            };
            writeln!(table, "{runtime} {kind} --{}={sample}", flag.name).unwrap();
        }
    }
    insta::assert_snapshot!("flags", table);
}

#[test]
fn flags_of_another_kind_of_cluster_are_named() {
    let misplaced = |line: &str| {
        let words = shlex::split(&format!("{line} img")).unwrap();
        named(&misplaced(&SUBMIT.parse_with_image(&words).unwrap().own))
    };
    assert_eq!(
        misplaced("--partition x"),
        "--partition: it is of Slurm; add --slurm\n"
    );
    assert_eq!(
        misplaced("--slurm --queue x"),
        "--queue: it is of Kubernetes; Slurm has --partition\n"
    );
    assert_eq!(misplaced("--slurm --nodes 2 --launcher torchrun"), "");
    assert_eq!(misplaced("--slurm --partition x --dry-run"), "");
    assert_eq!(misplaced("--slurm --array n=1 --parallelism 2"), "");
    assert_eq!(misplaced("--array n=1 --parallelism 2"), "");
    assert_eq!(misplaced("--queue x"), "");
}

#[test]
fn values_of_several_lines_reach_their_runtime() {
    let image = format!("reg.example/cracks@{DIGEST}");
    let of = |variable: &str, runtime| words_of(&["--slurm", "-e", variable, &image], runtime);
    let form = of("KEY=a\nb", ContainerRuntime::Podman);
    assert_eq!(form.variables[0].1, b"");
    assert_eq!(form.variables[1].1, b"KEY=a\nb\0");
    assert!(form.text.contains(" --env=KEY "), "{}", form.text);
    let refused = |variable: &str, runtime| named(&of(variable, runtime).refused);
    assert!(refused("LD_PRELOAD=a\nb", ContainerRuntime::Podman).contains("podman itself"));
    assert_eq!(refused("LD_PRELOAD=a", ContainerRuntime::Podman), "");
    assert!(refused("PATH=/x", ContainerRuntime::Pyxis).contains("srun itself"));
    assert_eq!(refused("PATH=/x", ContainerRuntime::Apptainer), "");
    assert!(refused("HOME=/x", ContainerRuntime::Apptainer).contains("sets it itself"));
    assert!(refused("A.B=x", ContainerRuntime::Apptainer).contains("letters, digits"));
}

#[test]
fn folders_are_plain_paths() {
    for path in ["/home/ann/.mlbuild/slurm", "/p/scratch/a-b_c"] {
        assert_eq!(why_no_folder(path), None, "{path}");
    }
    for path in [
        "", "~/x", "x", "/a b", "/a%j", "/a/../b", "/a'b", "/a$b", "/a#b",
    ] {
        assert!(why_no_folder(path).is_some(), "{path}");
    }
}
