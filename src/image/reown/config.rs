//! The configuration: who runs, where its programs are, and what the history tells.

use serde_json::Value;

use super::accounts::Change;
use super::error::{Remedy, ReownError};

/// What the templates' last step says, whatever the ids.
const TEMPLATE: &str = "mlbuild: USERNAME='$USERNAME' isn't a user name";

/// What the history says of the layer of an assembled image's user, whose name follows.
pub(crate) const ASSEMBLED: &str = "mlbuild: the user ";

/// True if the last layer was made by the last step of mlbuild's templates, or is the one that mlbuild itself
/// puts on top of such an image.
pub(super) fn is_template(config: &Value) -> bool {
    let step = last_step(config).and_then(|at| config["history"][at]["created_by"].as_str());
    step.is_some_and(|step| step.contains(TEMPLATE) || step.starts_with(ASSEMBLED))
}

/// The place in the history of the step that made the last layer.
fn last_step(config: &Value) -> Option<usize> {
    let history = config["history"].as_array()?;
    history
        .iter()
        .rposition(|entry| entry["empty_layer"] != Value::Bool(true))
}

/// Who the image runs as.
pub(super) fn user(config: &Value) -> Result<String, ReownError> {
    match config["config"]["User"].as_str().unwrap_or_default() {
        "" | "root" | "0" => Err(ReownError::refused(
            "it runs as root: nothing in it belongs to another user",
            Remedy::BuildForOwner,
        )),
        user => Ok(user.to_owned()),
    }
}

/// Writes the configuration for the new user. The times in it stay as they are.
pub(super) fn change(
    config: &mut Value,
    change: &Change,
    diff_id: &str,
    is_template: bool,
) -> Result<(), ReownError> {
    let diff_ids = config["rootfs"]["diff_ids"].as_array_mut();
    let last = diff_ids.and_then(|ids| ids.last_mut());
    *last.expect("an image with a last layer has diff IDs") = diff_id.into();
    let user = new_user(
        config["config"]["User"].as_str().unwrap_or_default(),
        change,
    );
    config["config"]["User"] = user.into();
    if let (Some(was), Some(now)) = (&change.was.home, &change.now.home)
        && was != now
    {
        move_home(&mut config["config"], was, now)?;
    }
    history(config, change, is_template);
    Ok(())
}

/// `User` as it was written: by name or by number, with or without a group.
fn new_user(user: &str, change: &Change) -> String {
    let now = &change.now;
    let (who, group) = match user.split_once(':') {
        Some((who, _)) => (who, format!(":{}", now.gid)),
        None => (user, String::new()),
    };
    if who == change.was.name {
        format!("{}{group}", now.name)
    } else {
        format!("{}{group}", now.uid)
    }
}

/// Rewrites the home's own folder in PATH. Another word that names the old home may be about
/// files of other layers, which stay where they are.
fn move_home(config: &mut Value, was: &str, now: &str) -> Result<(), ReownError> {
    let (old, new) = (format!("{was}/.local/bin"), format!("{now}/.local/bin"));
    for variable in config["Env"].as_array_mut().into_iter().flatten() {
        if let Some(path) = variable.as_str().and_then(|v| v.strip_prefix("PATH=")) {
            let folders = path.split(':').map(|f| if f == old { &new } else { f });
            *variable = format!("PATH={}", folders.collect::<Vec<_>>().join(":")).into();
        }
    }
    match mention(config, was) {
        None => Ok(()),
        Some(text) => Err(ReownError::refused(
            format!("its configuration names the home folder {was} (`{text}`), which would move"),
            Remedy::KeepName,
        )),
    }
}

/// The first text in a configuration that names a folder or what lies in it.
fn mention(value: &Value, folder: &str) -> Option<String> {
    match value {
        Value::String(text) => names(text, folder).then(|| text.clone()),
        Value::Array(all) => all.iter().find_map(|v| mention(v, folder)),
        Value::Object(all) => all.iter().find_map(|(key, v)| {
            let key_names = names(key, folder).then(|| key.clone());
            key_names.or_else(|| mention(v, folder))
        }),
        _ => None,
    }
}

fn names(text: &str, folder: &str) -> bool {
    text.match_indices(folder).any(|(at, _)| {
        let after = text[at + folder.len()..].chars().next();
        !after.is_some_and(|c| c.is_alphanumeric() || "_-.".contains(c))
    })
}

/// The history tells of the user that the layer is for, and that adopt wrote it.
fn history(config: &mut Value, change: &Change, is_template: bool) {
    let Some(step) = last_step(config) else {
        return;
    };
    let (was, now) = (&change.was, &change.now);
    let comment = format!(
        "mlbuild adopt --uid {} --gid {} --name {}",
        now.uid, now.gid, now.name
    );
    let all = config["history"]
        .as_array_mut()
        .expect("it has a last step");
    all[step]["comment"] = comment.into();
    if !is_template {
        return;
    }
    let is_first = |entry: &Value| {
        let by = entry["created_by"].as_str();
        by.is_some_and(|by| by.starts_with("ARG USERNAME="))
    };
    let first = all[..step].iter().rposition(is_first).unwrap_or(step);
    let values = [
        ("USERNAME", was.name.clone(), now.name.clone()),
        ("USER_UID", was.uid.to_string(), now.uid.to_string()),
        ("USER_GID", was.gid.to_string(), now.gid.to_string()),
    ];
    for entry in &mut all[first..] {
        let Some(by) = entry["created_by"].as_str() else {
            continue;
        };
        let mut by = by.to_owned();
        for (name, was, now) in &values {
            if by.starts_with(&format!("ARG {name}=")) {
                by = format!("ARG {name}={now}");
            }
            let with = |value: &str| format!(" {name}={value} ");
            if by.starts_with("RUN ") {
                by = by.replacen(&with(was), &with(now), 1);
            }
        }
        if let (Some(was), Some(now)) = (&was.home, &now.home)
            && by.starts_with("ENV PATH=")
        {
            by = by.replace(&format!("{was}/.local/bin"), &format!("{now}/.local/bin"));
        }
        if by == format!("{ASSEMBLED}{}", was.name) {
            by = format!("{ASSEMBLED}{}", now.name);
        }
        if by == format!("USER {}", was.name) {
            by = format!("USER {}", now.name);
        }
        entry["created_by"] = by.into();
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests;
    use super::*;
    use serde_json::json;

    fn to(name: &str) -> Change {
        tests::change(name, 2000, 2001)
    }

    fn template(env: &str) -> Value {
        json!({
            "config": { "User": "ml", "Env": [env] },
            "rootfs": { "type": "layers", "diff_ids": ["sha256:1", "sha256:2"] },
            "history": [
                { "created_by": "RUN apt-get" },
                { "created_by": "ARG USERNAME=ml", "empty_layer": true },
                { "created_by": "ARG USER_UID=1000", "empty_layer": true },
                { "created_by": format!("RUN |3 USERNAME=ml USER_UID=1000 USER_GID=100 /bin/sh -c {TEMPLATE}") },
                { "created_by": "ENV PATH=/bin:/home/ml/.local/bin", "empty_layer": true },
                { "created_by": "USER ml", "empty_layer": true },
            ],
        })
    }

    #[test]
    fn user_path_and_history_become_the_new_users() {
        let mut config = template("PATH=/bin:/home/ml/.local/bin");
        assert!(is_template(&config));
        change(&mut config, &to("me"), "sha256:3", true).unwrap();
        let text = serde_json::to_string_pretty(&config).unwrap();
        insta::assert_snapshot!(text.replace(TEMPLATE, "…"), @r#"
        {
          "config": {
            "Env": [
              "PATH=/bin:/home/me/.local/bin"
            ],
            "User": "me"
          },
          "history": [
            {
              "created_by": "RUN apt-get"
            },
            {
              "created_by": "ARG USERNAME=me",
              "empty_layer": true
            },
            {
              "created_by": "ARG USER_UID=2000",
              "empty_layer": true
            },
            {
              "comment": "mlbuild adopt --uid 2000 --gid 2001 --name me",
              "created_by": "RUN |3 USERNAME=me USER_UID=2000 USER_GID=2001 /bin/sh -c …"
            },
            {
              "created_by": "ENV PATH=/bin:/home/me/.local/bin",
              "empty_layer": true
            },
            {
              "created_by": "USER me",
              "empty_layer": true
            }
          ],
          "rootfs": {
            "diff_ids": [
              "sha256:1",
              "sha256:3"
            ],
            "type": "layers"
          }
        }
        "#);
        assert!(is_template(&config), "it can be adopted again");
    }

    #[test]
    fn an_assembled_image_is_one_of_the_templates() {
        let mut config = json!({
            "config": { "User": "ml", "Env": ["PATH=/opt/venv/bin:/home/ml/.local/bin"] },
            "rootfs": { "type": "layers", "diff_ids": ["sha256:1", "sha256:2"] },
            "history": [
                { "created_by": "mlbuild: six 1.17.0" },
                { "created_by": "mlbuild: the user ml" },
            ],
        });
        assert!(is_template(&config));
        change(&mut config, &to("me"), "sha256:3", true).unwrap();
        assert_eq!(config["history"][1]["created_by"], "mlbuild: the user me");
        assert_eq!(
            config["config"]["Env"][0],
            "PATH=/opt/venv/bin:/home/me/.local/bin"
        );
        assert!(is_template(&config), "it can be adopted again");
    }

    #[test]
    fn a_home_that_the_configuration_names_stays() {
        for env in ["DATA=/home/ml/data", "A=x:/home/ml", "PATH=/home/ml/bin"] {
            let error = change(&mut template(env), &to("me"), "sha256:3", true).unwrap_err();
            assert!(error.to_string().contains("/home/ml"), "{error}");
        }
        let other = change(&mut template("A=/home/mlx"), &to("me"), "sha256:3", true);
        assert!(other.is_ok());
    }

    #[test]
    fn the_user_is_written_as_it_was() {
        let of = |user: &str| new_user(user, &to("me"));
        assert_eq!(of("ml"), "me");
        assert_eq!(of("ml:users"), "me:2001");
        assert_eq!(of("1000"), "2000");
        assert_eq!(of("1000:100"), "2000:2001");
    }
}
