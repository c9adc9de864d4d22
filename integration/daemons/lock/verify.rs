//! `mlbuild verify`: the same image from another builder, another checkout, another clock's zone;
//! and what it says where the image is another one.

use std::os::unix::fs::PermissionsExt as _;

use super::{builder, project, run, words};
use crate::image::{image, unique};
use crate::support::engines::Engines;
use crate::support::mlbuild::{Project, Ran};

/// The project as somebody else has it: other modes, another machine's state.
fn elsewhere(here: &Project) -> Project {
    let there = Project::new(&[]);
    for name in ["mlbuild.lock", "requirements.txt", "train.py"] {
        there.write(name, &here.read(name));
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(there.path(name), private).unwrap();
    }
    there
}

#[test]
fn another_machine_with_another_builder_makes_the_same_image() {
    let engines = Engines::from_env();
    let base = engines.python_base.as_str();
    let (here, first) = (project(), builder(&engines, "buildkitd"));
    let tag = unique(&engines.registry, "verified");
    run(&here, &words("lock", &first, base, &["-t", &tag])).answer();
    let early = run(&here, &words("verify", &first, base, &["-t", &tag]));
    let why = format!("error: {tag} was never pushed");
    assert!(early.refusal(2).contains(&why), "{early:?}");
    // The lock stays as it is, and names no image.
    let push = ["-t", &tag, "--push", "--locked"];
    let pushed = run(&here, &words("image", &first, base, &push));
    let digest = pushed.answer().rsplit_once('@').unwrap().1.to_owned();

    let there = elsewhere(&here);
    for name in ["docker-containerd", "docker-classic"] {
        let verify = words("verify", &builder(&engines, name), base, &["-t", &tag]);
        let mut command = there.command(&verify);
        command.env("TZ", "Asia/Tokyo").env("LANG", "C");
        for name in ["SSL_CERT_FILE", "PIP_INDEX_URL", "PIP_CONFIG_FILE"] {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        let ran = Ran::of(&mut command);
        let same = format!("identical: linux/amd64 {digest}");
        assert!(ran.answer().starts_with(&same), "{name}: {ran:?}");
        let found = format!("the registry has {tag}@{digest}");
        assert!(ran.stderr.contains(&found), "{name}: {ran:?}");
        assert!(there.runs().is_empty() && there.read("mlbuild.lock") == here.read("mlbuild.lock"));
    }

    // By the run that it is bound to.
    let runs = here.runs();
    let [file] = &runs[..] else {
        panic!("{runs:?}")
    };
    let proof = run(
        &here,
        &words("verify", &first, base, &[file.trim_end_matches(".toml")]),
    );
    let same = format!("identical: linux/amd64 {digest}");
    assert!(proof.answer().starts_with(&same), "{proof:?}");

    // By the image alone: its lock is beside it.
    std::fs::remove_file(there.path("mlbuild.lock")).unwrap();
    let mut verify = words("verify", &first, base, &["--format", "json"]);
    verify.push(tag.clone());
    assert_eq!(run(&there, &verify).json()["identical"], true);

    // Another project than the one that the lock is of.
    there.write("train.py", "print('edited')\n");
    let refused = run(&there, &verify);
    let why = refused.refusal(4);
    assert!(why.contains("the files of the context"), "{why}");
}

#[test]
fn what_differs_is_named() {
    let engines = Engines::from_env();
    let base = engines.base.as_str();
    let first = builder(&engines, "buildkitd");
    // A Dockerfile whose steps aren't the same twice.
    let text = format!(
        "FROM {base}\nRUN date +%N > /etc/when && echo same > /etc/same\nCOPY data.txt /data.txt\n"
    );
    let project = Project::new(&[("Dockerfile", &text), ("data.txt", "data\n")]);
    let tag = unique(&engines.registry, "unsteady");
    let flags = ["-f", "Dockerfile", "-t", &tag, "--repack"];
    let do_it = |verb: &str, more: &[&str]| {
        let mut words = image(&first.flags, &[&flags[..], more].concat());
        words[0] = verb.to_owned();
        let mut command = project.command(words);
        Ran::of(command.env("SOURCE_DATE_EPOCH", "1700000000"))
    };
    do_it("image", &["--push"]).answer();
    let ran = do_it("verify", &["--format", "json"]);
    assert_eq!(ran.code, Some(4), "{ran:?}");
    let said: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(said["identical"], false);
    let files = &said["difference"]["platforms"]["linux/amd64"]["layers"][0]["files"];
    assert_eq!(files.as_array().unwrap().len(), 1, "{files}");
    assert_eq!(files[0]["path"], "/etc/when");
    assert!(said["seconds"]["compare"].is_number());
    let ran = do_it("verify", &[]);
    assert!(ran.stdout.contains("/etc/when: content"), "{}", ran.stdout);
    assert!(ran.stdout.contains("step: RUN"), "{}", ran.stdout);
    assert!(
        ran.stderr.contains("mlbuild lock pins packages"),
        "{}",
        ran.stderr
    );
}

#[test]
fn trouble_is_said_before_anything_is_built() {
    let engines = Engines::from_env();
    let first = builder(&engines, "buildkitd");
    let project = project();
    let verify = |args: &[&str]| {
        let mut all = vec!["verify".to_owned()];
        all.extend(first.flags.clone());
        all.extend(args.iter().map(|arg| (*arg).to_owned()));
        run(&project, &all)
    };
    let mut said = String::new();
    let nowhere = format!("{}/e2e/nowhere:v1", engines.registry);
    for (args, code) in [
        (&[][..], 2),
        (&["no-such-run"], 2),
        (&[nowhere.as_str()], 2),
        (&["--push"], 2),
        (&[engines.base.as_str()], 2),
    ] {
        said += &project.filtered(verify(args).refusal(code));
    }
    insta::assert_snapshot!(said);
}
