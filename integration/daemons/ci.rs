//! `mlbuild ci`: the steps that it writes, run as the host would run them; and what `mlbuild attest`
//! puts beside the image.

use std::path::Path;

use serde_json::Value;

use crate::image::unique;
use crate::lock;
use crate::support::engines::Engines;
use crate::support::mlbuild::{Project, Ran};

fn written(project: &Project, host: &str, flags: &[&str]) -> Value {
    let words = [&["ci", host, "-o", "-", "--"], flags].concat();
    let ran = project.run(words);
    serde_saphyr::from_str(ran.answer()).unwrap()
}

/// The lines of a GitHub workflow that anybody can run: without log-in and second builder.
fn steps(workflow: &Value) -> Vec<String> {
    let steps = workflow["jobs"]["image"]["steps"].as_array().unwrap();
    let ours = steps.iter().filter(|step| {
        let name = step["name"].as_str().unwrap_or_default();
        step["run"].is_string() && name != "Log in" && name != "Second builder"
    });
    ours.flat_map(|step| step["run"].as_str().unwrap().lines().map(str::to_owned))
        .collect()
}

/// Has a document checked by its specification's own library.
#[track_caller]
fn validate(engines: &Engines, form: &str, file: &Path) {
    let ran = engines.validate(form, file);
    assert_eq!(ran.code, Some(0), "{}: {}", file.display(), ran.stderr);
}

#[test]
fn the_workflow_builds_proves_and_says_what_is_in_it() {
    let engines = Engines::from_env();
    let project = lock::project();
    let tag = unique(&engines.registry, "workflow");
    let flags = [
        "--base",
        &engines.python_base,
        "--apt",
        "tree",
        "--uid",
        "1000",
        "-t",
        &tag,
    ];
    let first = lock::builder(&engines, "buildkitd");
    let words = lock::words("lock", &first, &engines.python_base, &["-t", &tag]);
    lock::run(&project, &words).answer();

    let all = steps(&written(&project, "github", &flags));
    let second = lock::builder(&engines, "docker-containerd");
    let mut script = String::from("set -eu\n");
    script.push_str(&all.join("\n"));
    let program = Path::new(env!("CARGO_BIN_EXE_mlbuild"));
    let mut command = project.bash(&script, program.parent().unwrap());
    command
        .env("GITHUB_RUN_ID", "1")
        .env("GITHUB_RUN_ATTEMPT", "1")
        .env("GITHUB_ENV", "/dev/null")
        .env("BUILDKIT_HOST", &engines.buildkitd)
        .env("SECOND_BUILDER", &second.flags[1]);
    for name in ["SSL_CERT_FILE", "PIP_INDEX_URL", "PIP_CONFIG_FILE"] {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    let ran = Ran::of(&mut command);
    assert_eq!(ran.code, Some(0), "{script}\n{}", ran.stderr);
    assert!(
        ran.stdout.contains("identical: linux/amd64 sha256:"),
        "{}",
        ran.stdout
    );

    let image = project.read("image.txt");
    let (_, digest) = image.trim().rsplit_once('@').unwrap();
    let json = |name: &str| -> Value { serde_json::from_str(&project.read(name)).unwrap() };
    let sbom = json("sbom.spdx.json");
    let packages = sbom["packages"].as_array().unwrap();
    let with_hash = |name: &str| {
        let found = packages.iter().find(|package| package["name"] == name);
        found.unwrap_or_else(|| panic!("{name} isn't listed"))["checksums"][0].clone()
    };
    for name in ["tree", "six"] {
        assert_eq!(with_hash(name)["algorithm"], "SHA256", "{name}");
    }
    let provenance = json("provenance.json");
    assert_eq!(
        format!(
            "sha256:{}",
            provenance["subject"][0]["digest"]["sha256"]
                .as_str()
                .unwrap()
        ),
        digest
    );
    let used = provenance["predicate"]["buildDefinition"]["resolvedDependencies"].to_string();
    for what in ["docker://", "pkg:deb/debian/tree@", "pkg:pypi/six@1.17.0"] {
        assert!(used.contains(what), "{what}: {used}");
    }

    // Once more: the same documents, and the image as it was.
    let again = || project.run(["attest", image.trim()]).answer().to_owned();
    assert_eq!(again(), again());
    assert_eq!(again().lines().count(), 2);
    let cyclonedx = [
        "attest",
        image.trim(),
        "--sbom",
        "cyclonedx",
        "--print",
        "sbom",
    ];
    let ran = project.run(cyclonedx);
    project.write("sbom.cdx.json", ran.answer());
    for (form, name) in [
        ("spdx", "sbom.spdx.json"),
        ("cyclonedx", "sbom.cdx.json"),
        ("slsa", "provenance.json"),
    ] {
        validate(&engines, form, &project.path(name));
    }
    let cyclonedx: Value = serde_json::from_str(ran.answer()).unwrap();
    assert_eq!(
        cyclonedx["components"].as_array().unwrap().len(),
        packages.len() - 1
    );

    // GitLab's job has the same steps.
    let gitlab = written(&project, "gitlab", &flags);
    let lines = gitlab["image"]["script"].as_array().unwrap().iter();
    let without_id = |line: &str| {
        let id = regex::Regex::new("--run-id \"[^\"]*\"").unwrap();
        id.replace(line, "").into_owned()
    };
    let lines: Vec<String> = lines
        .map(|line| without_id(line.as_str().unwrap()))
        .collect();
    let all = all.iter().filter(|line| !line.contains("GITHUB_ENV"));
    let all: Vec<String> = all.map(|line| without_id(line)).collect();
    assert_eq!(lines, all);
}

#[test]
fn images_without_a_lock_have_no_provenance() {
    let engines = Engines::from_env();
    let project = Project::new(&[]);
    let ran = project.run(["attest", &engines.base]);
    let why = project.filtered(ran.refusal(2));
    assert!(
        why.contains("has no lock") && why.contains("--no-provenance"),
        "{why}"
    );
    let alone = [
        "attest",
        &engines.base,
        "--no-provenance",
        "--print",
        "sbom",
    ];
    let sbom: Value = serde_json::from_str(project.run(alone).answer()).unwrap();
    let purl = sbom["packages"][1]["externalRefs"][0]["referenceLocator"]
        .as_str()
        .unwrap();
    assert!(purl.starts_with("pkg:deb/debian/"), "{purl}");
}
