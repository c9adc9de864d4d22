//! Without root: the daemon runs in a user namespace that rootlesskit makes.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::error::Error;
use super::source::Programs;
use crate::on_path;

/// Run inside the namespaces, before the daemon.
///
/// The copy of /run is of links to what was there: those to a Docker's or a
/// containerd's own folders would lead where only root may write. And told of
/// rootlesskit, Docker asks it for a network driver, and up to 28 breaks over
/// there being none; `--rootless` tells it what it must know.
const FRESH_RUN: &str = r#"rm -f /run/docker /run/containerd /run/buildkit /run/runc /run/xtables.lock; \
       unset ROOTLESSKIT_STATE_DIR; exec "$@""#;

/// Puts rootlesskit before a daemon's command line. The network stays the
/// machine's own, so no helper for one is needed.
pub(super) fn wrap(
    programs: &Programs,
    sockets: &Path,
    command: Vec<String>,
) -> Result<Vec<String>, Error> {
    let rootlesskit = programs.rootlesskit.as_ref().ok_or_else(|| {
        Error::Rootless("rootlesskit; next: sudo apt-get install rootlesskit uidmap".to_owned())
    })?;
    check()?;
    let mut wrapped = vec![
        rootlesskit.display().to_string(),
        format!("--state-dir={}", sockets.join("rootlesskit").display()),
        "--net=host".to_owned(),
        "--copy-up=/run".to_owned(),
        "--propagation=rslave".to_owned(),
    ];
    wrapped.extend(["sh", "-c", FRESH_RUN, "sh"].map(str::to_owned));
    wrapped.extend(command);
    Ok(wrapped)
}

/// Time for the question of [`refuses_sandbox`].
const PROBE: Duration = Duration::from_secs(20);

/// Whether the kernel refuses processes in a user's namespace a `/proc` of their own, and why: it does
/// where the one that is there is covered in part, as in most containers. Build steps need one, or
/// they see the user's processes. `None` also where rootlesskit itself can't be had: that is told
/// when it is needed.
pub(super) async fn refuses_sandbox(programs: &Programs, sockets: &Path) -> Option<String> {
    let rootlesskit = programs.rootlesskit.as_ref()?;
    check().ok()?;
    let path = super::launch::path_variable(&programs.path);
    probe(rootlesskit, &path, sockets).await
}

async fn probe(rootlesskit: &Path, path: &OsStr, sockets: &Path) -> Option<String> {
    let state = format!("--state-dir={}", sockets.join("probe").display());
    let mut probe = Command::new(rootlesskit);
    probe
        .args([&state, "--net=host", "--propagation=rslave"])
        .args([
            "unshare",
            "--pid",
            "--fork",
            "--mount",
            "--mount-proc",
            "true",
        ])
        .env("PATH", path)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let said = match tokio::time::timeout(PROBE, probe.output()).await {
        Ok(Ok(output)) if output.status.success() => return None,
        Ok(Ok(output)) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no answer in time".to_owned(),
    };
    let reason = said.lines().find(|line| line.contains("unshare: "));
    let reason = reason
        .or(said.lines().next_back())
        .unwrap_or("no reason given");
    Some(reason.trim().to_owned())
}

/// What the machine must allow, each with what to type where it doesn't.
fn check() -> Result<(), Error> {
    for tool in ["newuidmap", "newgidmap"] {
        if on_path::find_system(tool).is_none() {
            return Err(Error::Rootless(format!(
                "{tool}; next: sudo apt-get install uidmap"
            )));
        }
    }
    let uid = rustix::process::getuid().as_raw();
    let name = user_name(&read("/etc/passwd"), uid);
    for file in ["/etc/subuid", "/etc/subgid"] {
        if !has_range(&read(file), uid, name.as_deref()) {
            let who = name.unwrap_or_else(|| uid.to_string());
            return Err(Error::Rootless(format!(
                "65536 ids for {who} in {file}; next: sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {who}"
            )));
        }
    }
    for (setting, value) in [
        ("/proc/sys/kernel/unprivileged_userns_clone", "0"),
        ("/proc/sys/user/max_user_namespaces", "0"),
        (
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
            "1",
        ),
    ] {
        if read(setting).trim() == value {
            return Err(Error::NoUserNamespaces { setting, value });
        }
    }
    Ok(())
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn user_name(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

/// Whether a subuid file gives the user 65536 ids or more.
fn has_range(file: &str, uid: u32, name: Option<&str>) -> bool {
    file.lines().any(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let [who, _, count] = fields[..] else {
            return false;
        };
        (Some(who) == name || who.parse() == Ok(uid))
            && count
                .trim()
                .parse::<u64>()
                .is_ok_and(|count| count >= 65536)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn build_steps_see_no_other_processes_unless_the_kernel_refuses() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let rootlesskit = folder.path().join("rootlesskit");
        let refusal = "unshare: mount /proc failed: Operation not permitted";
        for (script, told) in [
            ("exit 0".to_owned(), None),
            (
                format!(
                    "echo '{refusal}' >&2; echo '[rootlesskit:child] error: exit status 1' >&2; exit 1"
                ),
                Some(refusal.to_owned()),
            ),
        ] {
            std::fs::write(&rootlesskit, format!("#!/bin/sh\n{script}\n")).unwrap();
            std::fs::set_permissions(&rootlesskit, std::fs::Permissions::from_mode(0o755)).unwrap();
            let path = std::env::var_os("PATH").unwrap();
            assert_eq!(probe(&rootlesskit, &path, folder.path()).await, told);
        }
    }

    #[test]
    fn ranges_are_found_by_name_and_by_id() {
        let passwd = "root:x:0:0::/root:/bin/sh\nada:x:1000:1000::/home/ada:/bin/sh\n";
        assert_eq!(user_name(passwd, 1000).as_deref(), Some("ada"));
        assert!(has_range(
            "bob:1:65536\nada:100000:65536\n",
            1000,
            Some("ada")
        ));
        assert!(has_range("1000:100000:70000\n", 1000, Some("ada")));
        assert!(!has_range(
            "ada:100000:100\nbob:1:65536\n",
            1000,
            Some("ada")
        ));
        assert!(!has_range("", 1000, None));
    }
}
