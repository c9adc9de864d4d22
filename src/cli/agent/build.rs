//! Images of jobs from code: `mlbuild image` in the code's folder, once for the same inputs.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::Pid;
use sha2::{Digest as _, Sha256};

use super::job::JobHandle;
use super::serve::Agent;
use crate::cli::support::output;
use crate::env_vars;
use crate::error::{CommandError, CommandResult};
use crate::queue::{BuilderKind, Claim, QueueConfig, Source, archive};
use crate::records::{Git, Snapshot};

/// Lines of a failed build that are told.
const LINES: usize = 15;

/// The image, built where it has to be.
///
/// # Errors
/// Where the agent builds nothing, the code can't be had, or the build fails.
pub(super) fn image(
    agent: &Agent,
    claim: &Claim,
    source: &Source,
    config: &QueueConfig,
    handle: &JobHandle,
) -> CommandResult<(String, Option<Snapshot>)> {
    if agent.builder.kind == BuilderKind::Noop {
        return Err(
            CommandError::user("the agent's builder.type is noop: it builds no images")
                .hint("launch the job with --image"),
        );
    }
    if agent.containers.engine.is_podman() && agent.registry.is_none() {
        return Err(CommandError::user(
            "the agent has Podman, whose store no build writes to, and no registry between them",
        )
        .hint("name one in launch-config.yaml, `registry:` with `uri: HOST/NAME`, or launch the job with --image"));
    }
    let base = config
        .base_image
        .as_ref()
        .or(agent.builder.base_image.as_ref());
    let key = key(agent, source, base);
    let folder = env_vars::state_dir()
        .ok_or_else(|| CommandError::environment("there is no home folder to build in"))?
        .join("jobs");
    let code = folder.join(&key);
    // One build of the same inputs at a time on this machine; the second finds the first one's.
    // Others on this machine have no business with the code of jobs, whatever the umask.
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .and_then(|()| fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)))
        .map_err(|error| unwritable(&folder, &error))?;
    let lock = File::create(folder.join(format!("{key}.lock")));
    let lock = lock.and_then(|file| file.lock().map(|()| file));
    let _lock = lock.map_err(|error| unwritable(&folder, &error))?;
    fetch(agent, source, &code)?;
    let state = match source {
        Source::Git { .. } => Snapshot::take(&code).unwrap_or_default(),
        _ => None,
    };
    if let Some(image) = agent.retry(|store| store.built(&key)).flatten()
        && (agent.registry.is_some() || agent.containers.has_image(&image))
    {
        return Ok((image, state));
    }
    output::note(&format!("job {}: builds {}", claim.id, source.shown()));
    let image = build(agent, claim, &key, &code, base, handle)?;
    agent.retry(|store| store.remember_build(&key, &image));
    Ok((image, state))
}

/// What an image is made from.
fn key(agent: &Agent, source: &Source, base: Option<&String>) -> String {
    let code: &str = match source {
        Source::Image { image } => image,
        Source::Folder { digest, .. } => digest,
        Source::Git { commit, .. } => commit,
    };
    // An image that isn't pushed is on one engine only.
    let place = agent
        .registry
        .as_ref()
        .unwrap_or(&agent.registration.engine);
    let mut hash = Sha256::new();
    for part in [
        code,
        place,
        base.map_or("", String::as_str),
        env!("CARGO_PKG_VERSION"),
    ] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hex::encode(hash.finalize())[..20].to_owned()
}

/// The code in a folder; whole or not at all.
fn fetch(agent: &Agent, source: &Source, code: &Path) -> CommandResult {
    if code.exists() {
        return Ok(());
    }
    let parent = code.parent().unwrap_or(code);
    let temporary = tempfile::Builder::new()
        .prefix(".code-")
        .tempdir_in(parent)
        .map_err(|error| unwritable(parent, &error))?;
    match source {
        Source::Folder { digest, .. } => {
            let bytes = agent.store.archive(digest)?;
            archive::unpack(digest, &bytes, temporary.path()).map_err(CommandError::environment)?;
        }
        Source::Git { url, commit, .. } => check_out(url, commit, temporary.path())?,
        Source::Image { .. } => {}
    }
    fs::rename(temporary.keep(), code).map_err(|error| unwritable(code, &error))
}

fn check_out(url: &str, commit: &str, folder: &Path) -> CommandResult {
    let git = Git::at(folder).never_prompting();
    let failed = |error| CommandError::work(format!("{url}: {error}"));
    git.text(&["init", "--quiet"]).map_err(failed)?;
    git.text(&["remote", "add", "--", "origin", url])
        .map_err(failed)?;
    // Not every server hands out a single commit.
    if git
        .text(&["fetch", "--quiet", "--depth=1", "origin", commit])
        .is_err()
    {
        git.text(&["fetch", "--quiet", "--tags", "origin"])
            .map_err(failed)?;
    }
    git.text(&["checkout", "--quiet", "--detach", commit])
        .map_err(failed)?;
    Ok(())
}

fn build(
    agent: &Agent,
    claim: &Claim,
    key: &str,
    code: &Path,
    base: Option<&String>,
    handle: &JobHandle,
) -> CommandResult<String> {
    let program = std::env::current_exe().map_err(CommandError::environment)?;
    let name = match &agent.registry {
        Some(registry) => format!("{registry}/mlbuild-job:{key}"),
        None => format!("mlbuild-job:{key}"),
    };
    let mut command = Command::new(program);
    command.args(["image", "--progress=plain", "--format=json", "--tag", &name]);
    match agent.registry.is_some() {
        true => command.arg("--push"),
        false => command.arg("--load"),
    };
    if agent.builder.kind == BuilderKind::Docker {
        command.arg("--builder=docker://");
    }
    if let Some(base) = base {
        command.args(["--base", base]);
    }
    let log = code.with_extension("log");
    let stderr = File::create(&log).map_err(|error| unwritable(&log, &error))?;
    // A group of its own: a Ctrl-C for the agent isn't one for the build.
    let mut child = command
        .current_dir(code)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(stderr)
        .process_group(0)
        .spawn()
        .map_err(CommandError::environment)?;
    handle.set_build(Some(Pid::from_child(&child)));
    if handle.is_cancelled() || agent.is_stopping() {
        handle.end_build();
    }
    let mut said = String::new();
    let read = child
        .stdout
        .take()
        .map(|mut out| out.read_to_string(&mut said));
    let status = child.wait();
    handle.set_build(None);
    let status = status.map_err(CommandError::environment)?;
    if handle.is_cancelled() {
        return Err(CommandError::work("cancelled while its image was built"));
    }
    if !status.success() || read.is_none_or(|read| read.is_err()) {
        let words = fs::read_to_string(&log).unwrap_or_default();
        let lines: Vec<&str> = words.lines().collect();
        let tail = lines[lines.len().saturating_sub(LINES)..].join("\n");
        return Err(
            CommandError::work(format!("its image can't be built:\n{tail}")).hint(format!(
                "all of it: {} on {}",
                log.display(),
                agent.registration.host
            )),
        );
    }
    let answer: serde_json::Value = serde_json::from_str(&said)
        .map_err(|error| CommandError::work(format!("mlbuild image: {error}")))?;
    let pinned = answer["pinned"].as_str().map(str::to_owned);
    output::note(&format!(
        "job {}: built {}",
        claim.id,
        pinned.as_deref().unwrap_or(&name)
    ));
    Ok(pinned.unwrap_or(name))
}

fn unwritable(path: &Path, error: &std::io::Error) -> CommandError {
    CommandError::environment(format!("{}: {error}", path.display()))
}
