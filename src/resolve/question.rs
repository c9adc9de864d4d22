//! The question to uv: a folder with the project's files, a bare environment, and the answer's text.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::LazyLock;

use mlbuild_manifests::lock::PinnedFile;
use regex::{Captures, Regex};
use tempfile::TempDir;
use tokio::process::Command;
use url::Url;

use super::interpreter::{self, REFUSED};
use super::{NotResolved, ResolveQuestion, elsewhere, kept};
use crate::host::Hidden;
use crate::plan::HostSetting;

/// Where the project's files are, from uv's answer.
pub(super) const FILES: &str = "files/";
/// Bytes of an answer.
const MOST_ANSWER: u64 = 64 << 20;

/// Asks; gives the text of a `pylock.toml`.
///
/// # Errors
/// [`NotResolved`].
pub(super) async fn ask(question: &ResolveQuestion<'_>, uv: &Path) -> Result<String, NotResolved> {
    let asked = Asked::write(question).map_err(|why| NotResolved::Elsewhere(why.to_string()))?;
    let request = question.request;
    if let Some(lock) = &request.pylock {
        return read(&asked.files().join(lock));
    }
    let answer = asked.folder.path().join("pylock.toml");
    let mut command = asked.command(question, uv);
    if let Some(project) = &request.project {
        command.args("export -q --frozen --no-emit-workspace --no-default-groups".split(' '));
        command.args("--no-header --format pylock.toml".split(' '));
        for (flag, names) in [("--extra", &request.extras), ("--group", &request.groups)] {
            command.args(names.iter().flat_map(|name| [flag, name]));
        }
        command.arg("--project").arg(asked.files().join(project));
    } else if request.requirements.is_empty() && request.packages.is_empty() {
        return Ok(String::new());
    } else {
        // What is kept of indexes is confirmed by them.
        command.args("pip compile -q --no-header --refresh --format pylock.toml".split(' '));
        if let Some(backend) = &request.torch_backend_here {
            command.args(["--torch-backend", backend]);
        }
        if let Some(as_of) = &question.as_of {
            command.args(["--exclude-newer", as_of]);
        }
        if request.best_of_indexes {
            command.args(["--index-strategy", "unsafe-best-match"]);
        }
        command.arg(asked.folder.path().join("requirements.in"));
        // uv keeps to the versions of an answer that is there already, where it can.
        if !question.like.is_empty() {
            let backend = request.torch_backend_here.as_deref();
            let written = std::fs::write(&answer, preferred_versions(question.like, backend));
            written.map_err(|why| NotResolved::Elsewhere(why.to_string()))?;
        }
    }
    command
        .arg("--python")
        .arg(&asked.python)
        .arg("-o")
        .arg(&answer);
    let place = kept::place_of(question, uv);
    if let Some(place) = &place {
        kept::take(place, &asked.cache());
    }
    let done = tokio::select! {
        biased;
        () = question.cancel.cancelled() => return Err(NotResolved::Cancelled),
        done = command.output() => done,
    };
    let done =
        done.map_err(|error| NotResolved::Elsewhere(format!("uv can't be started: {error}")))?;
    // A uv that was killed leaves what it was at.
    if let Some(place) = place.filter(|_| done.status.code().is_some()) {
        kept::give_back(&asked.cache(), &place);
    }
    if done.status.success() {
        return Ok(asked.with_paths(&read(&answer)?));
    }
    elsewhere(why(&String::from_utf8_lossy(&done.stderr)))
}

fn read(file: &Path) -> Result<String, NotResolved> {
    let fail =
        |error: std::io::Error| NotResolved::Elsewhere(format!("{}: {error}", file.display()));
    if std::fs::metadata(file).map_err(fail)?.len() > MOST_ANSWER {
        return elsewhere(format!("{} is too large", file.display()));
    }
    std::fs::read_to_string(file).map_err(fail)
}

/// The reason in what uv says, in one line.
fn why(said: &str) -> String {
    let said = mlbuild_secrets::redact(said);
    let mut lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
    let error = lines.clone().find_map(|line| line.strip_prefix("error: "));
    let error = error.or(lines.next()).unwrap_or("uv says nothing");
    if said.contains(REFUSED) {
        let name = error.split('`').nth(1).unwrap_or("a package");
        return format!("{name} is a source archive that tells what it needs by its code alone");
    }
    let cause = said
        .lines()
        .find_map(|line| line.trim().strip_prefix("cause: "));
    let text = match cause {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_owned(),
    };
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

/// A question that was written.
struct Asked {
    folder: TempDir,
    python: PathBuf,
}

impl Asked {
    fn write(question: &ResolveQuestion<'_>) -> std::io::Result<Self> {
        // All that uv writes goes with it, also where a killed process leaves uv to itself.
        let folder = tempfile::tempdir()?;
        let python = interpreter::write(question.facts, folder.path())?;
        let asked = Self { folder, python };
        asked.write_files(question)?;
        Ok(asked)
    }

    fn files(&self) -> PathBuf {
        self.folder.path().join(FILES)
    }

    /// An answer in which files of this folder have paths: those that `--find-links` found have addresses.
    fn with_paths(&self, answer: &str) -> String {
        static ADDRESS: LazyLock<Regex> =
            LazyLock::new(|| Regex::new(r#"\burl = "(file://[^"]*)""#).expect("it is one"));
        let top = self.folder.path();
        let tops = [Some(top.to_owned()), top.canonicalize().ok()];
        let path = |found: &Captures<'_>| {
            let file = Url::parse(&found[1]).ok()?.to_file_path().ok()?;
            let own = tops.iter().flatten();
            let own = own.clone().find_map(|top| file.strip_prefix(top).ok())?;
            Some(format!("path = {}", toml::Value::from(own.to_str()?)))
        };
        let replaced = ADDRESS.replace_all(answer, |found: &Captures<'_>| {
            path(found).unwrap_or_else(|| found[0].to_owned())
        });
        replaced.into_owned()
    }

    fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    fn write_files(&self, question: &ResolveQuestion<'_>) -> std::io::Result<()> {
        let (top, request) = (self.folder.path(), question.request);
        std::fs::create_dir_all(self.files())?;
        for (name, content) in &question.files {
            let path = self.files().join(name);
            std::fs::create_dir_all(path.parent().unwrap_or(top))?;
            let kept = match request.omitted.get(name) {
                Some(lines) => without_lines(content, lines),
                None => content.clone(),
            };
            std::fs::write(&path, kept)?;
        }
        let files = request
            .requirements
            .iter()
            .map(|name| format!("-r {FILES}{name}"));
        let mut lines: Vec<String> = files.chain(request.packages.iter().cloned()).collect();
        if !request.constraints.is_empty() && !lines.is_empty() {
            lines.push("-c constraints".to_owned());
            std::fs::write(
                top.join("constraints"),
                request.constraints.join("\n") + "\n",
            )?;
        }
        std::fs::write(top.join("requirements.in"), lines.join("\n") + "\n")?;
        let settings = [HostSetting::UvConfig, HostSetting::CaBundle];
        for (setting, name) in settings.into_iter().zip(["uv.toml", "ca.pem"]) {
            if let Some(Hidden(content)) = question.host.files.get(&setting) {
                write_for_this_user(&top.join(name), content)?;
            }
        }
        Ok(())
    }

    /// uv with nothing of this process's environment, as it is in a base: no file of this user's own says
    /// anything, and nothing can be started by name.
    fn command(&self, question: &ResolveQuestion<'_>, uv: &Path) -> Command {
        let mut command = Command::new(uv);
        let top = self.folder.path();
        command
            .env_clear()
            // Nothing is there: without the variable, programs would be looked for in the usual folders.
            .env("PATH", top.join("programs"))
            .env("HOME", top)
            .env("TMPDIR", top)
            .env("UV_CACHE_DIR", self.cache())
            .env("UV_PYTHON_DOWNLOADS", "never")
            .env("UV_NO_SYSTEM_CONFIG", "1")
            .env("UV_HTTP_RETRIES", "3")
            .current_dir(self.files())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let (config, bundle) = (top.join("uv.toml"), top.join("ca.pem"));
        if config.exists() {
            command.env("UV_CONFIG_FILE", config);
        }
        if bundle.exists() {
            command.env("SSL_CERT_FILE", bundle);
        }
        for (name, Hidden(value)) in &question.host.proxies {
            let value = String::from_utf8_lossy(value).into_owned();
            command
                .env(name.to_ascii_lowercase(), &value)
                .env(name, value);
        }
        command
    }
}

/// An answer with the versions of these packages alone: uv keeps to them where it can. An index of PyTorch's own builds
/// (`backend`) has the same release under another name, `2.7.1+cu126` for `2.7.1+cpu` or `2.7.1`: of several versions
/// uv takes one that is there.
pub fn preferred_versions(packages: &[PinnedFile], backend: Option<&str>) -> String {
    let mut text = "lock-version = \"1.0\"\ncreated-by = \"mlbuild\"\n".to_owned();
    for package in packages {
        let (name, version) = (&package.name, &package.version);
        let release = version.split('+').next().unwrap_or(version);
        let here = backend.map(|backend| format!("{release}+{backend}"));
        let mut versions = vec![version.as_str(), release];
        versions.extend(here.as_deref());
        versions.sort_unstable();
        versions.dedup();
        for version in versions {
            text.push_str(&format!(
                "\n[[packages]]\nname = \"{name}\"\nversion = \"{version}\"\n"
            ));
        }
    }
    text
}

/// A file that may hold a log-in.
fn write_for_this_user(path: &Path, content: &[u8]) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    std::io::Write::write_all(&mut file, content)
}

/// A text without some of its lines: the first and the last one of each run, from 1.
fn without_lines(content: &[u8], omitted: &[(usize, usize)]) -> Vec<u8> {
    let lines = content.split_inclusive(|byte| *byte == b'\n').zip(1..);
    let is_omitted = |at: usize| {
        let mut runs = omitted.iter();
        runs.any(|(first, last)| (*first..=*last).contains(&at))
    };
    let kept = lines.filter(|(_, at)| !is_omitted(*at));
    kept.flat_map(|(line, _)| line).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_preferred_by_all_its_names() {
        let file = |version: &str| PinnedFile {
            name: "torch".into(),
            version: version.into(),
            file: String::new(),
            sha256: String::new(),
            size: 0,
            source: false,
            build_only: false,
        };
        for (version, backend, preferred) in [
            ("2.7.1", None, &["2.7.1"][..]),
            ("2.7.1", Some("cpu"), &["2.7.1", "2.7.1+cpu"]),
            ("2.7.1+cpu", None, &["2.7.1", "2.7.1+cpu"]),
            ("2.7.1+cpu", Some("cpu"), &["2.7.1", "2.7.1+cpu"]),
            (
                "2.7.1+cpu",
                Some("cu126"),
                &["2.7.1", "2.7.1+cpu", "2.7.1+cu126"],
            ),
        ] {
            let text = preferred_versions(&[file(version)], backend);
            let written = text.lines().filter_map(|l| l.strip_prefix("version = "));
            let written: Vec<&str> = written.map(|v| v.trim_matches('"')).collect();
            assert_eq!(written, preferred, "{version} {backend:?}");
        }
    }

    #[test]
    fn lines_that_the_builder_leaves_out_are_left_out() {
        let text = b"1\n2\n3\n4\n5";
        let without = |lines: &[_]| String::from_utf8(without_lines(text, lines)).unwrap();
        assert_eq!(without(&[(2, 2)]), "1\n3\n4\n5");
        assert_eq!(without(&[(1, 2), (5, 5)]), "3\n4\n");
        assert_eq!(without(&[(9, 9)]), "1\n2\n3\n4\n5");
    }

    #[test]
    fn the_reason_is_one_line_without_log_ins() {
        let failed = "error: No solution found when resolving dependencies\n  cause: Because a==1 and a==2\n";
        assert_eq!(
            why(failed),
            "No solution found when resolving dependencies: Because a==1 and a==2"
        );
        let code = format!(
            "error: Failed to build `docopt==0.6.2`\n  cause: x\n\n  [stderr]\n {REFUSED}\n"
        );
        assert_eq!(
            why(&code),
            "docopt==0.6.2 is a source archive that tells what it needs by its code alone"
        );
        let secret = why("error: Failed to fetch: `https://me:hunter2@index.example/simple/x/`");
        assert!(!secret.contains("hunter2"), "{secret}");
        assert_eq!(why(""), "uv says nothing");
    }
}
