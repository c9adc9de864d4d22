//! One lock, two builders, two checkouts, two machines' stores: the same layers.

use std::os::unix::fs::PermissionsExt as _;

use super::{builder, config, project, run, words};
use crate::support::engines::Engines;
use crate::support::mlbuild::Project;

#[test]
fn two_builders_make_the_same_layers_from_one_lock() {
    let engines = Engines::from_env();
    let base = engines.python_base.as_str();
    let first = builder(&engines, "buildkitd");
    let here = project();
    let lock = words("lock", &first, base, &["-t", "lock:1", "--format", "json"]);
    let said = run(&here, &lock).json();
    assert_eq!(said["platforms"]["linux/amd64"]["apt"], 1, "{said}");
    assert_eq!(said["platforms"]["linux/amd64"]["python"], 1, "{said}");
    let text = here.read("mlbuild.lock");
    assert!(text.contains("path = \"pool/main/t/tree/tree_"), "{text}");
    assert!(!text.contains("://"), "the lock names a host:\n{text}");

    // Again: nothing to resolve, nothing to write.
    run(&here, &lock).json();
    assert_eq!(here.read("mlbuild.lock"), text);

    let there = Project::new(&[("mlbuild.lock", &text)]);
    for file in ["requirements.txt", "train.py"] {
        there.write(file, &here.read(file));
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(there.path(file), private).unwrap();
    }
    let mut layers = Vec::new();
    for (project, builder) in [
        (&here, &first),
        (&there, &builder(&engines, "docker-containerd")),
    ] {
        let layout = project.outside().join("layout");
        let output = format!(
            "type=oci,tar=false,rewrite-timestamp=true,dest={}",
            layout.display()
        );
        let flags = ["-t", "lock:1", "--locked", "--no-skip", "-o", &output];
        run(project, &words("image", builder, base, &flags)).answer();
        assert_eq!(project.read("mlbuild.lock"), text);
        layers.push(config(&layout)["rootfs"]["diff_ids"].clone());
    }
    assert_eq!(layers[0], layers[1]);
    assert!(layers[0].as_array().unwrap().len() > 5, "{layers:?}");
}

#[test]
fn a_lock_that_no_longer_fits_is_refused_before_anything_runs() {
    let engines = Engines::from_env();
    let builder = builder(&engines, "buildkitd");
    let project = project();
    let flags = ["-t", "lock:2", "--locked"];
    let image = |verb: &str| {
        run(
            &project,
            &words(verb, &builder, &engines.python_base, &flags),
        )
    };
    let mut said = project.filtered(image("lock").refusal(4));
    let lock = words("lock", &builder, &engines.python_base, &flags[..2]);
    run(&project, &lock).answer();
    image("lock").answer();
    let text = project.read("mlbuild.lock");
    project.write("requirements.txt", "six==1.16.0\n");
    for verb in ["lock", "image"] {
        said += &project.filtered(image(verb).refusal(4));
    }
    assert_eq!(project.read("mlbuild.lock"), text);
    insta::assert_snapshot!(said, @"
    requirements.txt: used: 1 package
    error: --locked: the lock has no entry for this name and tag, and so no pin for [REGISTRY]/python:3.11-slim
      hint: run the same command without --locked once, and commit mlbuild.lock
    requirements.txt: used: 1 package
    error: --locked: the lock doesn't fit the project: its packages were pinned for another base, other packages or other requirements
      hint: pin them, with the image's flags: mlbuild lock; then commit mlbuild.lock
    requirements.txt: used: 1 package
    error: --locked: the lock doesn't fit the project: its packages were pinned for another base, other packages or other requirements
      hint: pin them, with the image's flags: mlbuild lock; then commit mlbuild.lock
    ");
}
