//! Examples, templates and lock files of others: locked here, built again elsewhere, identical.

use std::path::Path;

use super::{builder, command, other_machine, run};
use crate::examples::{copy_files, uv, without_torch};
use crate::image::unique;
use crate::support::engines::Engines;
use crate::support::mlbuild::{Project, Ran};
use crate::support::repository;

/// Locks a project, builds it from the lock, and has it proved on another builder, by another machine
/// that has nothing yet. Gives the image.
fn proved(engines: &Engines, here: &Project, flags: &[&str]) -> String {
    let second = builder(engines, "docker-containerd").flags;
    proved_on(&second, engines, here, flags)
}

/// As [`proved`], on the builder that these flags name.
fn proved_on(second: &[String], engines: &Engines, here: &Project, flags: &[&str]) -> String {
    let tag = unique(&engines.registry, "proved");
    let words = |builder: &[String], words: &[&str]| -> Vec<String> {
        let image = words[1..].iter().chain(flags);
        let verb = [words[0].to_owned()];
        let image = image.map(|&word| word.to_owned());
        verb.into_iter()
            .chain(builder.iter().cloned())
            .chain(image)
            .collect()
    };
    let first = builder(engines, "buildkitd").flags;
    run(here, &words(&first, &["lock", "-t", &tag])).answer();
    let there = other_machine::checked_out(here);
    let build = words(&first, &["image", "-t", &tag, "--push", "--locked"]);
    let pushed = run(here, &build).answer().to_owned();
    let digest = pushed.rsplit('@').next().unwrap();
    let verify = command(&there, &words(second, &["verify", &tag]));
    let proof = Ran::of(&mut other_machine::there(&verify));
    let same = format!("identical: linux/amd64 {digest}");
    assert_eq!(proof.answer(), same, "{proof:?}");
    pushed
}

/// Pins packages, and builds nothing.
fn lock(engines: &Engines, project: &Project, flags: &[&str]) -> Ran {
    let mut words = vec!["lock".to_owned()];
    words.extend(builder(engines, "buildkitd").flags);
    words.extend(flags.iter().chain(&["-t", "p:1"]).map(|&w| w.to_owned()));
    run(project, &words)
}

fn example(name: &str) -> Project {
    let project = Project::new(&[]);
    copy_files(&repository().join("examples").join(name), &project.path(""));
    project
}

/// What a container of an image says.
fn says(engines: &Engines, image: &str, command: &[&str]) -> String {
    let words = [&["run", "--rm", image], command].concat();
    engines.docker(&engines.docker_containerd, &words)
}

#[test]
fn the_example_with_a_uv_lock() {
    let engines = Engines::from_env();
    let project = example("pytorch-uv");
    uv(&project.path(""), &["lock", "-q"]);
    without_torch(&project.path(""));
    let image = proved(&engines, &project, &["--base", &engines.python_base]);
    let said = says(&engines, &image, &["python", "predict.py", "3"]);
    assert_eq!(said, "f(3) = 7.00");
}

#[test]
fn the_example_with_a_dockerfile_of_its_own() {
    let engines = Engines::from_env();
    let base = format!("BASE_IMAGE={}", engines.python_base);
    let image = proved(&engines, &example("dockerfile"), &["--build-arg", &base]);
    let said = says(&engines, &image, &[]);
    assert_eq!(said, "mean 2.333 for researcher (1000:1000)");
}

/// A builder keeps a COPY by what is copied, and the times of whoever copied first.
#[test]
fn a_dockerfile_that_was_built_before_it_was_locked() {
    let engines = Engines::from_env();
    let salt = unique("salt", "copied");
    let project = Project::new(&[
        (
            "Dockerfile",
            &format!(
                "FROM {} AS made\nCOPY data /data\nFROM {0}\nWORKDIR /app\nCOPY . .\n\
                 COPY --from=made /data /made\nRUN chown -R 1000:1000 /app/data\n",
                engines.python_base
            ),
        ),
        (".dockerignore", "Dockerfile\n"),
        ("train.py", &format!("print({salt:?})\n")),
        ("data/a.csv", &salt),
    ]);
    let touched = ["train.py", "data/a.csv", "data"].map(|name| project.path(name));
    let mut touch = std::process::Command::new("touch");
    let touch = touch.args(["-d", "2001-02-03"]).args(touched);
    assert!(touch.status().unwrap().success());
    let mut first = vec!["image".to_owned(), "--no-lock".to_owned()];
    first.extend(builder(&engines, "buildkitd").flags);
    first.extend([
        "-t".to_owned(),
        unique(&engines.registry, "before"),
        "--push".to_owned(),
    ]);
    run(&project, &first).answer();

    let image = proved(&engines, &project, &[]);
    let said = says(
        &engines,
        &image,
        &["stat", "-c", "%n %u", "/app/train.py", "/app/data/a.csv"],
    );
    assert_eq!(said, "/app/train.py 0\n/app/data/a.csv 1000");
}

#[test]
fn the_example_that_serves_a_model() {
    let engines = Engines::from_env();
    let image = proved(&engines, &example("serving"), &["--base", &engines.base]);
    let said = says(&engines, &image, &["ls", "/models/line/1"]);
    assert!(said.contains("saved_model.pb"), "{said}");
}

#[test]
fn the_first_example_by_the_cuda_template_in_another_month() {
    let engines = Engines::from_env();
    let base = ["--template", "cuda", "--base", &engines.python_base];
    let flags = [&base[..], &["--apt", "tree", "--uid", "1000"]].concat();
    let elsewhere = other_machine::builder(&engines);
    let image = proved_on(&elsewhere.flags(), &engines, &example("cracks"), &flags);
    let said = says(&engines, &image, &["python", "-m", "pytest", "-q"]);
    assert!(said.contains(" passed in "), "{said}");
}

/// What shows that the proof above can fail.
#[test]
fn steps_that_ask_for_the_date_or_the_processors_are_found_on_another_machine() {
    let engines = Engines::from_env();
    let text = format!(
        "FROM {}\nRUN --network=none date +%Y-%m > /month && nproc > /processors\n",
        engines.base
    );
    let project = Project::new(&[("Dockerfile", &text)]);
    let tag = unique(&engines.registry, "month");
    let on = |builder: &[String], verb: &str, more: &[&str]| {
        let mut words = vec![verb.to_owned()];
        words.extend_from_slice(builder);
        let image = ["-f", "Dockerfile", "-t", &tag, "--repack"];
        words.extend(image.iter().chain(more).map(|&word| word.to_owned()));
        let mut command = command(&project, &words);
        Ran::of(command.env("SOURCE_DATE_EPOCH", "1700000000"))
    };
    on(&builder(&engines, "buildkitd").flags, "image", &["--push"]).answer();
    let elsewhere = other_machine::builder(&engines);
    let ran = on(&elsewhere.flags(), "verify", &["--format", "json"]);
    assert_eq!(ran.code, Some(4), "{ran:?}");
    let said: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let files = &said["difference"]["platforms"]["linux/amd64"]["layers"][0]["files"];
    let paths = files.as_array().unwrap().iter().map(|file| &file["path"]);
    let paths: Vec<_> = paths.collect();
    assert_eq!(paths, ["/month", "/processors"], "{files}");
}

#[test]
fn a_package_that_has_only_a_source_archive() {
    let engines = Engines::from_env();
    let project = Project::new(&[
        ("requirements.txt", "docopt==0.6.2\n"),
        ("train.py", "import docopt; print(docopt.__version__)\n"),
    ]);
    let flags = ["--base", &engines.python_base];
    let ran = lock(&engines, &project, &flags);
    ran.answer();
    let warning = "docopt 0.6.2 has no wheel for linux/amd64: its source archive is pinned";
    assert!(ran.stderr.contains(warning), "{ran:?}");
    let text = project.read("mlbuild.lock");
    let line = |name: &str| text.lines().find(|line| line.contains(name)).unwrap();
    assert!(line("docopt-0.6.2.tar.gz").contains("source = true"));
    // What builds it is pinned as well.
    assert!(line("\"wheel\"").contains("build_only = true"), "{text}");

    let image = proved(&engines, &project, &flags);
    let said = says(&engines, &image, &["python", "train.py"]);
    assert_eq!(said, "0.6.2");
    let code = "import importlib.util as u; print(u.find_spec('wheel'))";
    let said = says(&engines, &image, &["python", "-c", code]);
    assert_eq!(said, "None");
}

/// A `pylock.toml` with a package in a group that is asked for, and one in a group that isn't.
fn with_pylock(project: &Path) -> String {
    let text = "[project]\nname = \"p\"\nversion = \"1\"\nrequires-python = \">=3.11\"\n\
                dependencies = [\"six==1.17.0\", \"click==8.1.8\"]\n";
    std::fs::write(project.join("pyproject.toml"), text).unwrap();
    uv(project, &["lock", "-q"]);
    let words = "export -q --no-emit-project --format pylock.toml -o pylock.toml";
    uv(project, &words.split(' ').collect::<Vec<_>>());
    for name in ["pyproject.toml", "uv.lock"] {
        std::fs::remove_file(project.join(name)).unwrap();
    }
    let text = std::fs::read_to_string(project.join("pylock.toml")).unwrap();
    let mut text = text.replacen("created-by", "default-groups = [\"run\"]\ncreated-by", 1);
    for (version, group) in [("1.17.0", "run"), ("8.1.8", "dev")] {
        let line = format!("version = \"{version}\"\n");
        let marker = format!("{line}marker = \"'{group}' in dependency_groups\"\n");
        text = text.replacen(&line, &marker, 1);
    }
    text
}

#[test]
fn a_pylock_with_groups_and_one_without_the_right_hashes() {
    let engines = Engines::from_env();
    let project = Project::new(&[("train.py", "import six; print(six.__version__)\n")]);
    let text = with_pylock(&project.path(""));
    project.write("pylock.toml", &text);
    let flags = ["--base", &engines.python_base, "-r", "pylock.toml"];
    let image = proved(&engines, &project, &flags);
    let code = "import six, importlib.util as u; print(six.__version__, u.find_spec('click'))";
    let said = says(&engines, &image, &["python", "-c", code]);
    assert_eq!(said, "1.17.0 None");

    for (from, to, why) in [
        ("sha256 = ", "sha512 = ", "six 1.17.0 has no sha256"),
        (
            "requires-python = \">=3.11",
            "requires-python = \">=3.99",
            "is for Python >=3.99",
        ),
        (
            "lock-version = \"1.0\"",
            "lock-version = \"10.0\"",
            "mlbuild reads 1",
        ),
    ] {
        assert!(text.contains(from), "{from} is not in {text}");
        project.write("pylock.toml", &text.replace(from, to));
        let ran = lock(&engines, &project, &flags);
        assert!(ran.refusal(1).contains(why), "{why}: {ran:?}");
    }
}
