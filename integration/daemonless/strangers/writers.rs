//! A clone whose links lead out of its folder: what mlbuild writes into the project stays there, and
//! what a person wrote stays as it is.

use std::os::unix::fs::symlink;

use crate::support::mlbuild::Project;

const OWN: &str = "alias ll='ls -l'\n";

/// A clone with a link to a file of the home folder.
fn clone_with(link: &str, files: &[(&str, &str)]) -> Project {
    let clone = Project::new(files);
    clone.write("../home/.bashrc", OWN);
    let place = clone.path(link);
    std::fs::create_dir_all(place.parent().unwrap()).unwrap();
    symlink(clone.home().join(".bashrc"), place).unwrap();
    clone
}

const TOML: &str = "[image]\nbase = \"debian:12\"\ntag = \"r.example/a:1\"\n";

#[test]
fn no_link_of_a_clone_leads_a_writer_out_of_it() {
    for (link, words) in [
        ("Dockerfile.gpu", &["image", "--write"][..]),
        ("Dockerfile.cpu", &["image", "--write", "--force"]),
        ("mlbuild.toml", &["init", "--force"]),
        ("mlbuild.toml", &["init"]),
        (".github/workflows/image.yml", &["ci", "github", "--force"]),
        (".gitlab-ci.yml", &["ci", "gitlab", "--force"]),
        (
            "t.Dockerfile",
            &["templates", "export", "python", "t.Dockerfile", "--force"],
        ),
        (
            "t.Dockerfile",
            &["templates", "export", "python", "t.Dockerfile"],
        ),
        (
            ".devcontainer/devcontainer.json",
            &["devcontainer", "--force", "img"],
        ),
        ("mlbuild.lock", &["lock"]),
        ("mlbuild.lock", &["image"]),
        ("my.lock", &["lock", "--lock", "my.lock"]),
        ("mlbuild.lock", &["adopt", "r.example/a:1", "--uid", "1000"]),
        ("out.tar", &["image", "-o", "type=oci,dest=out.tar"]),
        (
            "out.tar",
            &[
                "rebase",
                "r.example/a:1",
                "--base",
                "b",
                "-o",
                "type=oci,dest=out.tar",
            ],
        ),
        ("man/mlbuild.1", &["man", "man"]),
    ] {
        let files: &[(&str, &str)] = if link == "mlbuild.toml" {
            &[]
        } else {
            &[("mlbuild.toml", TOML)]
        };
        let clone = clone_with(link, files);
        let ran = clone.run(words);
        assert_ne!(ran.code, Some(0), "{words:?}: {}", ran.stdout);
        assert_eq!(clone.read("../home/.bashrc"), OWN, "{words:?}");
        println!("{words:?}: {}", clone.filtered(&ran.stderr));
        if !(words == ["init"] || words[0] == "templates" && words.len() == 4) {
            assert!(
                ran.stderr.contains("/home/.bashrc"),
                "{words:?}: {}",
                ran.stderr
            );
        }
    }
}

#[test]
fn no_folder_of_a_clone_that_is_a_link_takes_a_file() {
    for (link, words) in [
        (".devcontainer", &["devcontainer", "img"][..]),
        (".github", &["ci", "github"]),
        ("mlbuild.runs", &["runs", "pull", "127.0.0.1:1/a:1"]),
        ("mlbuild.runs", &["run", "img"]),
        ("out", &["image", "-o", "out"]),
        ("man", &["man", "man"]),
    ] {
        let clone = Project::new(&[("mlbuild.toml", TOML)]);
        symlink("../home", clone.path(link)).unwrap();
        let ran = clone.run(words);
        assert_ne!(ran.code, Some(0), "{words:?}");
        assert!(ran.stderr.contains("/home"), "{words:?}: {}", ran.stderr);
        let names: Vec<_> = std::fs::read_dir(clone.home()).unwrap().collect();
        assert!(names.is_empty(), "{words:?}: {names:?}");
        println!("{words:?}: {}", clone.filtered(&ran.stderr));
    }
}

#[test]
fn what_a_person_wrote_is_replaced_by_force_only() {
    let project = Project::new(&[("mlbuild.toml", TOML), ("Dockerfile.gpu", "FROM mine\n")]);
    let text = project.run(["image", "--write"]).refusal(2).to_owned();
    assert!(
        text.contains("mlbuild didn't write it") && text.contains("--force"),
        "{text}"
    );
    assert!(!project.path("Dockerfile.cpu").exists());
    project.run(["image", "--write", "--force"]).answer();
    assert!(!project.read("Dockerfile.gpu").contains("FROM mine"));
    // Its own are written anew without a word, also through a link that stays inside.
    std::fs::create_dir(project.path("docker")).unwrap();
    std::fs::rename(project.path("Dockerfile.cpu"), project.path("docker/cpu")).unwrap();
    symlink("docker/cpu", project.path("Dockerfile.cpu")).unwrap();
    project.run(["image", "--write"]).answer();
    assert!(project.path("Dockerfile.cpu").is_symlink());
    let own = Project::new(&[("mlbuild.toml", TOML), (".gitlab-ci.yml", "mine: 1\n")]);
    own.run(["ci", "gitlab"]).refusal(2);
    assert_eq!(own.read(".gitlab-ci.yml"), "mine: 1\n");
}
