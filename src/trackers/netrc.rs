//! Log-ins in `~/.netrc`, where trackers' clients leave their keys.

use std::path::{Path, PathBuf};

use super::set;
use crate::env_vars::{HOME, NETRC};

/// The file of log-ins: `NETRC`, else the one in the home folder.
pub(super) fn file() -> Option<PathBuf> {
    let home = set(HOME).map(PathBuf::from);
    if let Some(named) = set(NETRC) {
        return Some(match (named.strip_prefix("~/"), &home) {
            (Some(below), Some(home)) => home.join(below),
            _ => named.into(),
        });
    }
    let home = home?;
    let files = [home.join(".netrc"), home.join("_netrc")];
    let found = files.iter().find(|file| file.exists());
    Some(found.unwrap_or(&files[0]).clone())
}

/// The password of the first of these machines (`HOST` or `HOST:PORT`) that the file has. The entry
/// `default` is for no server in particular, and isn't used.
pub(super) fn password(file: &Path, machines: &[String]) -> Option<String> {
    let text = mlbuild_files::read_to_string(file).ok()?;
    machines
        .iter()
        .find_map(|machine| of_machine(&text, machine))
}

fn of_machine(text: &str, machine: &str) -> Option<String> {
    let mut words = text
        .lines()
        .map(|line| line.split(" #").next().unwrap_or(line))
        .filter(|line| !line.trim_start().starts_with('#'))
        .flat_map(str::split_whitespace)
        .map(unquoted);
    let mut here = false;
    while let Some(word) = words.next() {
        match word {
            "machine" => here = words.next() == Some(machine),
            "default" => here = false,
            "password" if here => return words.next().map(str::to_owned),
            "login" | "account" | "password" => {
                words.next();
            }
            _ => {}
        }
    }
    None
}

/// A word without the quotes that `wandb login` may write round it.
fn unquoted(word: &str) -> &str {
    let inside = |quote| word.strip_prefix(quote)?.strip_suffix(quote);
    inside('"').or_else(|| inside('\'')).unwrap_or(word)
}

#[cfg(test)]
mod tests {
    use super::of_machine;

    #[test]
    fn the_password_of_the_right_machine_is_found() {
        let text = "# log-ins\nmachine git.example login me password wrong\n\
                    machine api.wandb.ai\n  login user\n  password 0123abcd\n\
                    machine '10.0.0.1:8080' login user password \"quoted\"\n\
                    default login x password y\n";
        assert_eq!(
            of_machine(text, "api.wandb.ai").as_deref(),
            Some("0123abcd")
        );
        assert_eq!(of_machine(text, "10.0.0.1:8080").as_deref(), Some("quoted"));
        assert_eq!(of_machine(text, "wandb.example"), None);
        let odd = "machine api.wandb.ai login machine password";
        assert_eq!(of_machine(odd, "api.wandb.ai"), None);
    }
}
