//! `--code`: the working tree in a pod. What its containers do is done by Docker, from their specifications, in the
//! image that the run names.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::cluster::Cluster;
use super::processes::{name, pods_of, words_of};
use crate::support::http::sha256;
use crate::support::mlbuild::Ran;
use crate::support::repository::Repository;

/// A repository whose working tree differs from its commit in every way that matters.
fn repository(cluster: &Cluster) -> Repository {
    let folder = cluster.project.path("");
    let repository = Repository::new(&folder, &cluster.project.home());
    repository.write("train.py", "print('committed')\n");
    repository.write("old.py", "");
    repository.write("own/tool.sh", "#!/bin/sh\necho tool\n");
    repository.write(".gitignore", "mlbuild.runs\nignored\n");
    repository.write("deploy/.env", "KEY=committed\n");
    std::os::unix::fs::symlink("train.py", folder.join("main.py")).unwrap();
    let script = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.join("own/tool.sh"), script).unwrap();
    repository.commit("first");
    repository.write(
        "train.py",
        "import new, sys\nprint('edited', new.VALUE, *sys.argv[1:])\n",
    );
    repository.write("new.py", "VALUE = 'new'\n");
    repository.write("ignored", "is ignored");
    repository.write(".env", "KEY=s3cr3t\n");
    repository.write(".netrc", "machine x password s3cr3t\n");
    std::fs::remove_file(folder.join("old.py")).unwrap();
    repository
}

/// Runs a pod's containers one after another, as a kubelet would; what the program prints, and the folder with the
/// code.
fn run_pod(cluster: &Cluster, pod: &Value) -> (String, PathBuf) {
    let spec = &pod["spec"];
    let room = cluster.project.outside().join(name(pod));
    let mut folders = Vec::new();
    for volume in spec["volumes"].as_array().unwrap() {
        let own = volume["name"].as_str().unwrap();
        let folder = room.join(own);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o777))
            .unwrap();
        for source in volume["projected"]["sources"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let secret = &source["secret"];
            let found = cluster.get(
                "api/v1",
                &format!("secrets/{}", secret["name"].as_str().unwrap()),
            );
            let found = found.unwrap();
            for item in secret["items"].as_array().unwrap() {
                let text = found["data"][item["key"].as_str().unwrap()]
                    .as_str()
                    .unwrap();
                let bytes = STANDARD.decode(text).unwrap();
                std::fs::write(folder.join(item["path"].as_str().unwrap()), bytes).unwrap();
            }
        }
        folders.push((own.to_owned(), folder));
    }
    let folder_of = |own: &str| &folders.iter().find(|(name, _)| name == own).unwrap().1;
    let start = |container: &Value| {
        let mut args: Vec<String> = ["run", "--rm", "--network=none"]
            .map(str::to_owned)
            .to_vec();
        for mount in container["volumeMounts"].as_array().unwrap() {
            let from = folder_of(mount["name"].as_str().unwrap()).display();
            let to = mount["mountPath"].as_str().unwrap();
            let read_only = if mount["readOnly"] == true { ":ro" } else { "" };
            args.push(format!("--volume={from}:{to}{read_only}"));
        }
        if let Some(user) = container["securityContext"]["runAsUser"].as_i64() {
            args.push(format!("--user={user}"));
        }
        if let Some(folder) = container["workingDir"].as_str() {
            args.push(format!("--workdir={folder}"));
        }
        args.push(container["image"].as_str().unwrap().to_owned());
        args.extend(words_of(pod, container));
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        cluster
            .engines
            .docker(&cluster.engines.docker_containerd, &args)
    };
    for container in spec["initContainers"].as_array().unwrap() {
        assert_eq!(start(container), "");
    }
    (start(&spec["containers"][0]), folder_of("code").clone())
}

/// All that is in a folder but what git and mlbuild have there: names, kinds and contents.
fn tree(folder: &Path) -> Vec<String> {
    let mut all = Vec::new();
    let mut left = vec![folder.to_owned()];
    while let Some(next) = left.pop() {
        for entry in std::fs::read_dir(next).unwrap().map(Result::unwrap) {
            let (path, found) = (entry.path(), entry.metadata().unwrap());
            let own = path.strip_prefix(folder).unwrap().display().to_string();
            if [".git", "mlbuild.runs", "__pycache__"].contains(&own.as_str()) {
                continue;
            }
            if found.is_dir() {
                left.push(path);
            } else if found.is_symlink() {
                all.push(format!(
                    "{own} -> {}",
                    std::fs::read_link(path).unwrap().display()
                ));
            } else {
                let mode = std::os::unix::fs::PermissionsExt::mode(&found.permissions()) & 0o100;
                all.push(format!(
                    "{own} {mode:o} {}",
                    std::fs::read_to_string(path).unwrap()
                ));
            }
        }
    }
    all.sort();
    all
}

#[test]
fn the_working_tree_is_in_every_pod_and_restoring_the_run_brings_it_back() {
    let cluster = Cluster::new();
    let repository = repository(&cluster);
    let image = cluster.engines.python_base.clone();
    let own = [
        "-d", "--code", "--nodes", "2", "--name", "train", "--run-id", "exp", "-u", "1234",
    ];
    let ran = cluster.verb(
        "submit",
        &[&own[..], &[&image, "python3", "train.py", "--lr", "1"]].concat(),
    );
    assert_eq!(ran.answer(), "train");
    for said in [
        "not recorded: .env: its name is that of a secret",
        "not recorded: .netrc: its name is that of a secret",
        "what isn't recorded of the code isn't sent either",
        "not sent: deploy/.env: its name is that of a secret",
    ] {
        assert!(ran.stderr.contains(said), "{said}: {}", ran.stderr);
    }
    // What is edited after that is another run's.
    repository.write("train.py", "print('later')\n");
    let pods = pods_of(&cluster, "train", 2);
    let trees = pods.iter().map(|pod| {
        let (printed, folder) = run_pod(&cluster, pod);
        assert_eq!(printed.trim(), "edited new --lr 1");
        tree(&folder)
    });
    let trees: Vec<_> = trees.collect();
    assert_eq!(trees[0], trees[1]);
    let names = trees[0].iter().map(|line| line.split(' ').next().unwrap());
    let names: Vec<&str> = names.collect();
    assert_eq!(
        names,
        [".gitignore", "main.py", "new.py", "own/tool.sh", "train.py"]
    );
    // It is what restoring brings back, but for the file that only its repository may have.
    let again = cluster.project.outside().join("again");
    let to = again.display().to_string();
    let restored = cluster.run(&["restore", "exp", "--worktree", &to, "--no-shell"]);
    let line = restored.answer();
    assert!(line.contains(" --code=/app "), "{line}");
    let mut wanted = tree(&again);
    wanted.retain(|line| !line.starts_with("deploy/.env "));
    assert_eq!(trees[0], wanted);
    let here = [
        "restore",
        "exp",
        "--no-code",
        "--no-shell",
        "--runtime-cli",
        "docker",
    ];
    let here = cluster.run(&here);
    assert!(
        here.stderr.contains("the run had its code at /app"),
        "{}",
        here.stderr
    );
    // With the Job goes its code.
    assert!(cluster.get("api/v1", "secrets/train-code-0").is_some());
    cluster.run(&["jobs", "cancel", "exp"]).answer();
    cluster.wait_for("its removal", || {
        cluster
            .get("api/v1", "secrets/train-code-0")
            .is_none()
            .then_some(())
    });
}

#[test]
fn code_that_cant_be_sent_makes_nothing() {
    let cluster = Cluster::new();
    let base = cluster.engines.base.clone();
    let refusal = |said: &str| {
        let ran = cluster.verb("submit", &["--code", "--name", "none", &base]);
        assert!(ran.refusal(2).contains(said), "{said}: {}", ran.stderr);
    };
    refusal("is in no git repository");
    let repository = Repository::new(&cluster.project.path(""), &cluster.project.home());
    refusal("--code: the repository has no commit yet");
    // Nothing makes it smaller.
    let mut seed = 1_u64;
    let mut noise = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        seed.to_le_bytes()[7]
    };
    let bytes: Vec<u8> = (0..9_000_000).map(|_| noise()).collect();
    repository.write("weights.bin", bytes);
    repository.commit("first");
    refusal("KiB as an archive, more than the 7812 KiB");
    refusal("the largest files are weights.bin (8789 KiB)");
    assert!(cluster.job("none").is_none());
    // Several Secrets, of a part of a repository.
    let bytes: Vec<u8> = (0..2_500_000).map(|_| noise()).collect();
    repository.write("part/data.bin", bytes);
    repository.write("part/mlbuild.toml", "");
    repository.write("part/go", "#!/bin/sh\nsha256sum data.bin\n");
    std::fs::remove_file(repository.folder.join("weights.bin")).unwrap();
    repository.commit("second");
    let mut command = cluster.command(&[
        "submit",
        "-n",
        &cluster.namespace,
        "-d",
        "--code=/src",
        "--name",
        "part",
        &base,
        "sh",
        "go",
    ]);
    let ran = Ran::of(command.current_dir(cluster.project.path("part")));
    assert_eq!(ran.answer(), "part");
    let pod = cluster.pod_of("part", &[]);
    let pod = cluster.get("api/v1", &format!("pods/{pod}")).unwrap();
    assert!(cluster.get("api/v1", "secrets/part-code-2").is_some());
    let (printed, folder) = run_pod(&cluster, &pod);
    let sum = sha256(&std::fs::read(repository.folder.join("part/data.bin")).unwrap());
    assert_eq!(printed.split(' ').next(), sum.strip_prefix("sha256:"));
    assert!(!folder.join("part").exists());
    // Why it can't be unpacked is said.
    let status = json!({"phase": "Failed", "initContainerStatuses": [{
        "name": "code", "image": "x", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"terminated": {"exitCode": 127, "message": "sh: 1: tar: not found\n"}},
    }]});
    cluster.status(&name(&pod), &status);
    let ran = cluster.verb("logs", &["-f", "part"]);
    let said = "its container `code` failed with exit code 127: sh: 1: tar: not found";
    assert!(ran.refusal(1).contains(said), "{}", ran.stderr);
}
