//! A machine and a builder that are unlike all others: host name, time zone, locale, umask, number of
//! CPUs, date.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::support::buildkitd::OwnBuildkitd;
use crate::support::clock;
use crate::support::engines::Engines;
use crate::support::mlbuild::Project;
use crate::support::repository;

/// Becomes the program that is given, elsewhere.
const ELSEWHERE: &str = r#"
hostname odd
umask 077
cpu=$(taskset -cp $$ | sed 's/.*: //; s/[,-].*//')
TZ=Asia/Tokyo LANG=tr_TR.UTF-8 exec taskset -c "$cpu" "$@"
"#;

fn elsewhere(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--uts", "sh", "-euc", ELSEWHERE, "sh"]);
    command.arg(program);
    command
}

/// A builder there, whose steps run 40 days from now.
pub fn builder(engines: &Engines) -> OwnBuildkitd {
    let mut buildkitd = elsewhere(engines.bin.join("buildkitd"));
    buildkitd
        .env("OTHER_RUNC", engines.bin.join("runc"))
        .env("OTHER_CLOCK", clock::library());
    let runc = repository().join("integration/daemons/lock/other-machine-runc");
    OwnBuildkitd::start_as(engines, buildkitd, &runc)
}

/// The same command there, 20 hours from now.
pub fn there(command: &Command) -> Command {
    let mut there = elsewhere(command.get_program());
    there.args(command.get_args()).env_clear();
    there.envs(command.get_envs().filter_map(|(k, v)| Some((k, v?))));
    there.envs(clock::off_by("+20h"));
    if let Some(folder) = command.get_current_dir() {
        there.current_dir(folder);
    }
    there
}

/// The project as somebody else has it: files written in another order, long ago, for their eyes only.
pub fn checked_out(here: &Project) -> Project {
    let there = Project::new(&[]);
    copy(&here.path(""), &there.path(""));
    there
}

fn copy(from: &Path, to: &Path) {
    let entries = std::fs::read_dir(from).unwrap().map(Result::unwrap);
    let mut entries: Vec<_> = entries.collect();
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.file_name()));
    for entry in entries {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        let mode = std::fs::metadata(&from).unwrap().permissions().mode();
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&to).unwrap();
            copy(&from, &to);
        } else {
            std::fs::copy(&from, &to).unwrap();
            let file = std::fs::File::open(&to).unwrap();
            let long_ago = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1);
            file.set_modified(long_ago).unwrap();
        }
        let private = std::fs::Permissions::from_mode(mode & 0o700);
        std::fs::set_permissions(&to, private).unwrap();
    }
}
