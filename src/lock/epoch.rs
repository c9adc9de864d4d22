//! The time that no time in the image is past.

use std::path::Path;

use crate::records::Git;

/// What is given, else the commit's time, else the newest package's, else now. Never older than
/// the newest package, whose bytecode speaks of its files' times, and never to come.
pub fn choose(given: Option<i64>, project: &Path, newest: i64) -> i64 {
    let now = jiff::Timestamp::now().as_second();
    let chosen = match (given.or_else(|| commit_time(project)), newest) {
        (Some(time), _) => time,
        (None, 0) => now,
        (None, newest) => newest,
    };
    chosen.max(newest).min(now)
}

fn commit_time(project: &Path) -> Option<i64> {
    let time = Git::at(project).text(&["log", "-1", "--format=%ct"]).ok()?;
    time.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_never_older_than_the_newest_package_and_never_to_come() {
        let folder = tempfile::tempdir().unwrap();
        let now = jiff::Timestamp::now().as_second();
        assert_eq!(choose(None, folder.path(), 1_700_000_000), 1_700_000_000);
        assert_eq!(
            choose(Some(1_600_000_000), folder.path(), 1_700_000_000),
            1_700_000_000
        );
        assert_eq!(
            choose(Some(1_750_000_000), folder.path(), 1_700_000_000),
            1_750_000_000
        );
        assert!(choose(None, folder.path(), now + 1000) <= now + 1);
        assert!(choose(None, folder.path(), 0) >= now);
    }
}
