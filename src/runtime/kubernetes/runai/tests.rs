//! Each flag of `mlbuild submit` in both command lines, held against the flags that those have.

use std::fmt::Write as _;

use super::*;
use crate::runtime::FLAGS;
use crate::runtime::flag::{Flag, Kind};
use crate::runtime::kubernetes::SUBMIT;
use crate::runtime::shell_line;

// Run:ai's command reference: flags of `runai submit` without a value, and with one.
const SUBMIT_SWITCHES: &str = "interactive jupyter preemptible attach command create-home-dir stdin \
    tty large-shm mount-propagation host-ipc host-network allow-privilege-escalation run-as-user";
const SUBMIT_VALUES: &str = "completions parallelism ttl-after-finish job-name-prefix name template add-capability \
    annotation environment image image-pull-policy label preferred-pod-topology-key required-pod-topology-key \
    working-dir cpu cpu-limit extended-resource gpu gpu-memory memory \
    memory-limit mig-profile backoff-limit git-sync nfs-server pvc pvc-exists \
    pvc-new s3 volume address port service-type node-pools \
    node-type toleration loglevel project";
// The same of `runai training submit`. Its --environment isn't here: it names no variable.
const TRAINING_SWITCHES: &str = "allow-privilege-escalation attach command create-home-dir host-ipc host-network large-shm \
    privileged run-as-non-root run-as-user stdin tty";
const TRAINING_VALUES: &str = "annotation auto-deletion-time-after-completion backoff-limit capability compute configmap-map-volume cpu-core-limit \
    cpu-core-request cpu-memory-limit cpu-memory-request datasource datavolume empty-dir-volume env-my-credentials \
    env-pod-field-ref env-secret environment-variable exclude-node existing-pvc extended-resource external-url \
    git-sync gpu-devices-request gpu-memory-limit gpu-memory-request gpu-portion-limit gpu-portion-request gpu-request-type \
    host-path image image-pull-policy label name-prefix new-pvc nfs \
    node-pools node-type parallelism pod-running-timeout port preemptibility preferred-pod-topology-key \
    priority project required-pod-topology-key run-as-gid run-as-uid runs s3 \
    seccomp-profile secret-volume supplemental-groups template termination-grace-period toleration user-group-source \
    wait-for-submit working-dir";

// Of both tools' commands for several nodes, beside those above.
const OF_SEVERAL: &str = "workers";
const OF_MPI: &str = "slots-per-worker";
// What the newer tool's command for MPI lacks.
const NOT_OF_MPI_TRAINING: &str = "attach stdin tty";

fn rendered(line: &str, cli: RunaiCli) -> Rendered<Vec<String>> {
    let parsed = SUBMIT.parse_with_image(&shlex::split(line).unwrap());
    let parsed = parsed.unwrap_or_else(|error| panic!("{line}: {error}"));
    let rendered = runai(&parsed.spec, &SubmitFlags::new(parsed.own), cli);
    is_a_line_of(&rendered.form, cli);
    rendered
}

/// Of which workload a line is, by the words that it begins with.
fn workload(words: &[String], cli: RunaiCli) -> Workload {
    let mut all = [Workload::PyTorch, Workload::Mpi].into_iter();
    let found = all.find(|workload| words.join(" ").starts_with(cli.command(*workload)));
    found.unwrap_or(Workload::Standard)
}

/// Each flag is one that the tool has, with a value where it takes one.
fn is_a_line_of(words: &[String], cli: RunaiCli) {
    let (switches, values) = match cli {
        RunaiCli::Submit => (SUBMIT_SWITCHES, SUBMIT_VALUES),
        RunaiCli::TrainingSubmit => (TRAINING_SWITCHES, TRAINING_VALUES),
    };
    let of = workload(words, cli);
    let values = match of {
        Workload::Standard => values.to_owned(),
        Workload::PyTorch => format!("{values} {OF_SEVERAL}"),
        Workload::Mpi => format!("{values} {OF_SEVERAL} {OF_MPI}"),
    };
    let lacks = if of == Workload::Mpi && cli == RunaiCli::TrainingSubmit {
        NOT_OF_MPI_TRAINING
    } else {
        ""
    };
    let named = |list: &str, name: &str| list.split_whitespace().any(|known| known == name);
    let has = |list: &str, name: &str| named(list, name) && !named(lacks, name);
    let command = cli.command(of);
    let mut words = words.iter().skip(command.split(' ').count()).peekable();
    if cli == RunaiCli::TrainingSubmit {
        words.next_if(|word| !word.starts_with('-'));
    }
    while let Some(word) = words.next() {
        // What the long form of -e is called changed; that it sets a variable didn't.
        let long = if word == "-e" {
            "--environment-variable"
        } else {
            word
        };
        let name = long.strip_prefix("--");
        let name = name.unwrap_or_else(|| panic!("{word} is no flag"));
        match name {
            "" => return,
            _ if has(&values, name) => {
                assert!(
                    words.next().is_some_and(|value| !value.is_empty()),
                    "{word}"
                );
            }
            _ => assert!(has(switches, name), "{command} has no {word}"),
        }
    }
}

fn shown(line: &str, cli: RunaiCli) -> String {
    let rendered = rendered(line, cli);
    let mut text = shell_line(&rendered.form);
    for part in rendered.left_out {
        write!(text, "\n  {}: {}", part.what, part.why).unwrap();
    }
    text
}

fn both(line: &str) -> String {
    RunaiCli::ALL.map(|cli| shown(line, cli)).join("\n")
}

fn sample(flag: &Flag) -> &'static str {
    match (flag.name, flag.kind) {
        ("nfs", _) => "nas:/home:/home",
        ("kind", _) => "mpijob",
        ("pvc", _) => "data:/data",
        ("priority-class", _) => "high",
        ("secret", _) => "login:/etc/login",
        ("secret-env", _) => "TOKEN=hub:token",
        ("resource", _) => "rdma/hca=1",
        ("gpu-resource", _) => "nvidia.com/mig-1g.5gb",
        ("gpu-fraction", _) => "0.5",
        ("node-selector", _) => "run.ai/type=a100",
        ("toleration", _) => "nvidia.com/gpu:NoSchedule",
        ("namespace", _) => "runai-team",
        ("cap-add", _) => "CAP_SYS_PTRACE",
        (_, Kind::Publish) => "8080:80",
        (name, kind) => super::super::tests::sample(name, kind),
    }
}

#[test]
fn each_flag_stands_in_the_line_or_is_named() {
    let mut table = String::new();
    for flag in FLAGS
        .iter()
        .filter(|flag| flag.owner == crate::runtime::Owner::Docker)
        .chain(SUBMIT.more)
    {
        let word = format!("--{}={}", flag.name, sample(flag));
        writeln!(table, "{word}").unwrap();
        for cli in RunaiCli::ALL {
            // A name, so that neither has a prefix; --name itself is in all of them.
            let named = if flag.name == "name" { "" } else { "--name t " };
            let plain = rendered(&format!("{named}IMG"), cli);
            let with = rendered(&format!("{named}{word} IMG"), cli);
            let added: Vec<&str> = with
                .form
                .iter()
                .filter(|word| !plain.form.contains(word))
                .map(String::as_str)
                .collect();
            let said: Vec<&str> = with.left_out.iter().map(|part| part.why.as_str()).collect();
            let is_silent = OF_CLIENTS.contains(&flag.name)
                || flags::CLIENTS.contains(&flag.name)
                // Alone it says nothing: it is the divisor of --cpu-quota. Files are read before.
                || matches!(flag.name, "cpu-period" | "label-file");
            let command = cli.command(workload(&with.form, cli));
            assert!(
                !added.is_empty() || !said.is_empty() || is_silent,
                "{word}: {command}"
            );
            // Each flag in a line of several nodes, too.
            for several in ["--nodes 3", "--nodes 3 --kind mpijob"] {
                if !matches!(flag.name, "nodes" | "kind") {
                    rendered(&format!("{several} {named}{word} IMG"), cli);
                }
            }
            let mut line = format!("  {command:21} {}", added.join(" "));
            for why in said {
                write!(line, " ({why})").unwrap();
            }
            writeln!(table, "{}", line.trim_end()).unwrap();
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn whole_lines() {
    insta::assert_snapshot!([
        // The line that Run:ai's page for docker's users begins with.
        "--runtime=nvidia --shm-size 16G -it --rm -e HOSTNAME=ws -v /raid/public/sets:/root/dataset:ro \
         nvcr.io/nvidia/pytorch:19.12-py3",
        "--name train --gpus 2 --ipc=host -w /app --local-image --pull always -u 1000:1000 --cpus 2 -m 8g \
         -p 8888:8888 --pvc data:/data:ro --entrypoint python --restart on-failure:2 -n runai-team img train.py 'a b'",
        "--gpus all --privileged --nfs nas:/a:/b:ro --group-add 44 --group-add 45 --cpu-quota 150000 img",
        "--mount type=volume,target=/nfs,volume-opt=type=nfs,volume-opt=device=:/export,volume-opt=o=addr=nas \
         --mount type=bind,source=/a,target=/b,bind-propagation=rslave --tmpfs /t --mount type=tmpfs,target=/u img",
        "--tmpfs /t:size=2g,mode=1777 --mount type=tmpfs,target=/u,tmpfs-size=1g --priority-class mine \
         --secret-env KEY=login --secret-env A=b:c,d --nfs [::1]:/a:/b img",
        "--name t --nodes 4 --gpus 8 --launcher torchrun img train.py",
        "--name t --nodes 4 --kind mpijob --nproc-per-node 8 --gpus 8 -it img mpirun train",
        "--name t --kind jobset --nodes 2 img",
        "--name t --kind pytorchjob img",
        "-v /a,b:/c -v /d:/e:z -u ann --group-add video --security-opt no-new-privileges=false \
         --security-opt seccomp=unconfined --toleration a:Never -l team=ml -l bare img",
    ]
    .map(both)
    .join("\n\n"));
}

#[test]
fn gpus_are_whole_ones_parts_or_slices() {
    insta::assert_snapshot!(
        [
            "--gpus 2",
            "--gpus '\"device=0,2\"'",
            "--device nvidia.com/gpu=0 --device nvidia.com/gpu=1",
            "--gpus 1 --gpu-resource nvidia.com/mig-1g.5gb",
            "--gpus 2 --gpu-resource nvidia.com/mig-1g.5gb",
            "--gpus device=0:1",
            "--device nvidia.com/gpu=MIG-1f2e",
            "--gpu-fraction 0.5",
            "--gpus 2 --gpu-fraction 0.5",
            "--gpu-fraction 2",
            "--gpu-memory 10g --gpu-fraction 0.5",
            "--runtime nvidia --gpu-fraction 0.25",
            "--device /dev/kfd --device /dev/dri",
            "--gpus 4 --gpu-resource amd --gpu-fraction 0.5",
            "--resource nvidia.com/gpu=3",
        ]
        .map(|flags| both(&format!("--name t {flags} i")))
        .join("\n\n")
    );
}

#[test]
fn a_workload_without_a_name_is_called_after_its_image() {
    for (image, wanted) in [
        ("nvcr.io/nvidia/pytorch:19.12-py3", "pytorch"),
        ("reg:5000/me/My_Cracks@sha256:0", "my-cracks"),
        ("123", "mlbuild"),
    ] {
        assert_eq!(prefix(image), wanted, "{image}");
    }
}
