//! Without root: the daemon runs in a user namespace that rootlesskit makes.

use std::path::Path;

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
