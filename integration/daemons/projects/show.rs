//! Types what a case says, and holds what comes of it against what is to come.

use std::process::Command;

use super::case::{Case, Typed};
use super::folder;
use crate::examples::uv;
use crate::image::builder;
use crate::support::engines::Engines;
use crate::support::mlbuild::{Project, Ran};
use crate::support::read;

/// Runs the case of a name.
pub fn run(name: &str) {
    let engines = Engines::from_env();
    let text = read(&folder().join(format!("{name}.txtar")));
    let text = text
        .replace("{base}", &engines.base)
        .replace("{python}", &engines.python_base);
    let case = Case::read(&text);
    let project = Project::new(&[]);
    for (path, bytes) in &case.files {
        project.write(path, "");
        std::fs::write(project.path(path), bytes).unwrap();
    }
    let is_own = case.files.iter().any(|(path, _)| path == "Dockerfile");
    let is_locked = case
        .commands
        .iter()
        .any(|c| c.line.starts_with("mlbuild lock"));
    let tag = format!("{}/projects/{name}:1", engines.registry);
    let stand = Stand {
        engines: &engines,
        project: &project,
        tag: &tag,
        is_own,
        is_locked,
    };
    let mut digest = String::new();
    for typed in &case.commands {
        let words = shlex::split(&typed.line).unwrap();
        match words[0].as_str() {
            "mlbuild" => stand.mlbuild(typed, &words[1..], &mut digest),
            "uv" => {
                let words: Vec<&str> = words[1..].iter().map(String::as_str).collect();
                uv(&project.path(""), &words);
            }
            _ => stand.inside(typed),
        }
    }
}

struct Stand<'a> {
    engines: &'a Engines,
    project: &'a Project,
    tag: &'a str,
    /// A Dockerfile decides about the base.
    is_own: bool,
    is_locked: bool,
}

impl Stand<'_> {
    fn mlbuild(&self, typed: &Typed, words: &[String], digest: &mut String) {
        let mut all = vec![words[0].clone()];
        all.extend(builder(self.engines, "docker-containerd").flags);
        all.extend(["-t".into(), self.tag.into()]);
        if !self.is_own {
            all.extend(["--base".into(), self.engines.python_base.clone()]);
        }
        if words[0] == "image" {
            let more = ["--load", "--progress", "plain"];
            all.extend(more.map(str::to_owned));
        }
        if !self.is_locked {
            all.push("--no-lock".into());
        }
        all.extend_from_slice(&words[1..]);
        let ran = Ran::of(&mut crate::lock::command(self.project, &all));
        let answer = ran.answer().to_owned();
        for said in &typed.said {
            assert!(
                ran.stderr.contains(said),
                "{said:?} isn't said:\n{}",
                ran.stderr
            );
        }
        if typed.is_same {
            assert_eq!(answer, *digest, "{}", typed.line);
        }
        *digest = answer;
    }

    fn inside(&self, typed: &Typed) {
        let mut command = Command::new(self.engines.bin.join("docker"));
        command
            .args(["--host", &self.engines.docker_containerd, "run", "--rm"])
            .args(["--network", "none", "--entrypoint", "/bin/sh", self.tag])
            .args(["-euc", &typed.line]);
        let output = command.output().expect("docker starts");
        let printed = String::from_utf8_lossy(&output.stdout);
        let story = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}\n{printed}{story}", typed.line);
        let wanted = typed.printed.join("\n");
        assert_eq!(printed.trim_end(), wanted.trim_end(), "{}", typed.line);
    }
}
