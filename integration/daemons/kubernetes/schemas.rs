//! What is rendered, against the published schemas of each version of Kubernetes: no field that one of them lacks.

use serde_json::{Value, json};

use crate::support::engines::Engines;
use crate::support::mlbuild::Project;
use crate::support::repository::Repository;

/// Lines that have every part of a Job in them. What only newer clusters have, images as folders, isn't here.
const LINES: [&str; 8] = [
    "",
    "--gpus 2 --shm-size 16g -v sets:/data:ro -v /raid:/raid --tmpfs /t --pvc c:/c --nfs n:/e:/n --secret s:/s",
    "-u 1000:1000 --group-add 7 --cap-add SYS_PTRACE --read-only --security-opt no-new-privileges --privileged",
    "--cpus 2 -m 8g --memory-reservation 4g -w /app --hostname h --dns 1.1.1.1 --add-host db:10.0.0.1 -p 8080:80",
    "--queue q --priority-class high --service-account t --pull-secret s --toleration a=b:NoSchedule --node-selector a=b",
    "--node-pool a100 --ephemeral-pvc 100g:/scratch:fast --time-limit 12h --ttl 24h --resource rdma/hca=1 --rm",
    "--code --idle-stop 30m -p 8888 --secret-env HF_TOKEN=hub:token -e MY_TOKEN=s3cr3t -l team=ml",
    "--nodes 4 --gpus 8 --spread --together",
];

/// The objects that the published schemas know: of an operator's kind its Jobs, and the templates of its pods.
fn known(object: &Value, all: &mut Vec<Value>) {
    let is_plain = matches!(object["kind"].as_str(), Some("Job" | "Service" | "Secret"));
    if is_plain {
        return all.push(object.clone());
    }
    let sets = object["spec"]["replicatedJobs"].as_array();
    for job in sets.into_iter().flatten() {
        let spec = &job["template"]["spec"];
        all.push(json!({"apiVersion": "batch/v1", "kind": "Job", "spec": spec}));
    }
    for key in ["pytorchReplicaSpecs", "mpiReplicaSpecs"] {
        for replica in object["spec"][key].as_object().into_iter().flatten() {
            let template = &replica.1["template"];
            all.push(json!({"apiVersion": "v1", "kind": "PodTemplate", "template": template}));
        }
    }
}

#[test]
fn every_rendered_kind_is_one_of_each_version() {
    let engines = Engines::from_env();
    let project = Project::new(&[]);
    Repository::new(&project.path(""), &project.home()).commit("first");
    let image = format!("reg.example/cracks@sha256:{}", "1".repeat(64));
    let mut all = Vec::new();
    for kind in ["job", "jobset", "pytorchjob", "mpijob"] {
        for line in LINES {
            // An MPIJob's launcher only waits, and keys are in a home that is known.
            let line = if kind == "mpijob" {
                line.replace("--idle-stop 30m", "")
            } else {
                line.to_owned()
            };
            let line = line.replace("-u 1000:1000", "-u 1000:1000 -e HOME=/h");
            let line = if kind == "job" {
                line
            } else {
                line.replace("--hostname h", "")
            };
            let usual = [
                "submit",
                "--dry-run",
                "-o",
                "json",
                "--name",
                "train",
                "--kind",
                kind,
            ];
            let words = usual.into_iter().chain(line.split_whitespace());
            let words: Vec<&str> = words
                .chain([image.as_str(), "python", "train.py"])
                .collect();
            let ran = project.run(words);
            assert_eq!(ran.code, Some(0), "{kind} {line}: {}", ran.stderr);
            let printed = ran.json();
            match printed["items"].as_array() {
                Some(items) => items.iter().for_each(|item| known(item, &mut all)),
                None => known(&printed, &mut all),
            }
        }
    }
    assert!(all.len() > 40, "{}", all.len());
    let file = project.outside().join("all.json");
    std::fs::write(&file, json!({ "items": all }).to_string()).unwrap();
    let ran = engines.validate("kubernetes", &file);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    // A field that there is none of is seen.
    let mut wrong = all.swap_remove(0);
    wrong["spec"]["template"]["spec"]["containers"][0]["imag"] = json!("x");
    std::fs::write(&file, json!({ "items": [wrong] }).to_string()).unwrap();
    let said = engines.validate("kubernetes", &file);
    assert!(
        said.refusal(1).contains("('imag' was unexpected)"),
        "{}",
        said.stderr
    );
}
