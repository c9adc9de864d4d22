//! The tracker's key: from the environment, or from netrc. It is handed to the runtime in its
//! environment and named on its command line, where everybody could read it.

use std::path::{Path, PathBuf};

use crate::env_vars::{WANDB_API_KEY, WANDB_BASE_URL};
use crate::runtime::Value;

const HOST: &str = "api.wandb.ai";

/// The key, unless the container has one already or there is none.
pub(crate) fn tracker_key<'a>(mut env: impl Iterator<Item = &'a Value>) -> Option<String> {
    let is_key = |value: &Value| matches!(value, Value::Assignment(a) if a.name == WANDB_API_KEY);
    if env.any(is_key) {
        return None;
    }
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    if let Some(key) = set(WANDB_API_KEY) {
        return Some(key);
    }
    let url = set(WANDB_BASE_URL).and_then(|url| url::Url::parse(&url).ok());
    let host = url.as_ref().and_then(|url| url.host_str()).unwrap_or(HOST);
    let file = set("NETRC").map(PathBuf::from);
    let file = file.or_else(|| Some(Path::new(&set("HOME")?).join(".netrc")))?;
    password(&std::fs::read_to_string(file).ok()?, host)
}

/// The password of a machine in a netrc file.
fn password(text: &str, machine: &str) -> Option<String> {
    let mut words = text
        .lines()
        .map(|line| line.split(" #").next().unwrap_or(line))
        .filter(|line| !line.trim_start().starts_with('#'))
        .flat_map(str::split_whitespace);
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

#[cfg(test)]
mod tests {
    use super::password;

    #[test]
    fn the_password_of_the_right_machine_is_found() {
        let text = "# log-ins\nmachine git.example login me password wrong\n\
                    machine api.wandb.ai\n  login user\n  password 0123abcd\ndefault login x password y\n";
        assert_eq!(password(text, "api.wandb.ai").as_deref(), Some("0123abcd"));
        assert_eq!(password(text, "wandb.example"), None);
        assert_eq!(
            password(
                "machine api.wandb.ai login machine password",
                "api.wandb.ai"
            ),
            None
        );
    }
}
