//! uv in the builder's cache: the script of the Dockerfile, run by a shell on this machine, and killed while
//! it writes there. A program of the system stands where pip would put uv.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mlbuild_templates::{ComposeContext, ImageSpec, compose};

/// Bytes behind the program: as many as uv has, so that a copy takes some time.
const LENGTH: usize = 40 << 20;

/// The part of the Dockerfile's script that finds uv or fetches it, with these folders.
fn script(cache: &Path, own: &Path, program: &Path) -> String {
    let spec: ImageSpec =
        toml::from_str("base = \"debian:bookworm\"\n[python]\npackages = [\"six\"]\n").unwrap();
    let text = compose(&spec, &ComposeContext::default()).unwrap().text;
    let lines = text.lines().map(|line| line.trim_end_matches(" \\"));
    let lines: Vec<&str> = lines.filter(|line| !line.starts_with('#')).collect();
    let begin = lines.iter().position(|line| line.contains("uv=$(command"));
    let begin = begin.expect("it looks for uv");
    let end = lines[begin..].iter().position(|line| line.trim() == "};");
    let fetched = format!(
        "rm -rf /tmp/uv; mkdir -p /tmp/uv/bin; cp {} /tmp/uv/bin/uv;",
        program.display()
    );
    let pip = "pip install -q --target /tmp/uv uv==";
    let lines: Vec<&str> = lines[begin..=begin + end.expect("the search has an end")]
        .iter()
        .map(|line| if line.contains(pip) { &fetched } else { *line })
        .collect();
    let whole = lines.join("\n");
    assert!(whole.contains(&fetched), "{whole}");
    let whole = whole
        .replace("command -v uv", "command -v no-uv-here")
        .replace("/root/.cache", &cache.display().to_string())
        .replace("/tmp/uv", &own.display().to_string());
    format!("set -eu; umask 022;\n{whole}\n\"$uv\" --version >/dev/null\n")
}

fn start(script: &str) -> Child {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", script])
        .process_group(0)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn ends_well(script: &str) {
    let ended = start(script).wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(
        ended.status.success() && said.is_empty(),
        "{said}\n{script}"
    );
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn what_a_killed_build_left_of_uv_is_gone_after_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (cache, kept) = (at("cache"), at("cache/mlbuild"));
    let mut bytes = fs::read("/usr/bin/env").unwrap();
    bytes.resize(LENGTH, 0);
    fs::write(at("program"), &bytes).unwrap();
    let made = Command::new("chmod").arg("755").arg(at("program")).status();
    assert!(made.unwrap().success());
    let build = |own: &str| script(&cache, &at(own), &at("program"));

    let mut half = 0;
    for round in 0..8 {
        // The rest of a builder's file system goes with each step.
        for folder in [&kept, &at("killed"), &at("one"), &at("two")] {
            let _ = fs::remove_dir_all(folder);
        }
        let mut killed = start(&build("killed"));
        let until = Instant::now() + Duration::from_secs(60);
        while !kept.join("uv.new").exists() && killed.try_wait().unwrap().is_none() {
            assert!(Instant::now() < until, "nothing is kept");
        }
        let group = format!("-{}", killed.id());
        let _ = Command::new("kill").args(["-9", "--", &group]).status();
        killed.wait().unwrap();
        // The programs that the shell had started end a moment later.
        let free = Command::new("flock")
            .arg(kept.join("uv.lock"))
            .arg("true")
            .status();
        assert!(free.unwrap().success());
        let left = names(&kept);
        assert!(left.len() <= 2, "{left:?}");
        half += u32::from(left.iter().any(|name| name == "uv.new"));
        // Two at once, as in two builds: neither waits for the other, or fails.
        let (one, two) = (build("one"), build("two"));
        std::thread::scope(|scope| {
            scope.spawn(|| ends_well(&one));
            scope.spawn(|| ends_well(&two));
        });
        let left = names(&kept);
        assert!(
            left.len() == 2 && left[0].starts_with("uv-") && left[1] == "uv.lock",
            "{round}: {left:?}"
        );
        assert!(fs::read(kept.join(&left[0])).unwrap() == bytes, "{round}");
    }
    assert!(half > 0, "no kill met a half-written file");
}

#[test]
fn a_cache_that_cant_be_written_stops_no_build() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    // Not a folder: root may write to any.
    fs::write(at("cache"), "").unwrap();
    let build = script(&at("cache"), &at("own"), Path::new("/usr/bin/env"));
    let ended = start(&build).wait_with_output().unwrap();
    assert!(
        ended.status.success(),
        "{}",
        String::from_utf8_lossy(&ended.stderr)
    );
}
