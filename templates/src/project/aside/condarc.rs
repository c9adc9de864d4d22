//! `.condarc`: conda's settings, of a project or of the machine.

use std::path::Path;

use crate::project::{Finding, NextStep};

/// Settings that decide where packages come from, or which.
const KEYS: [&str; 12] = [
    "channels",
    "default_channels",
    "channel_alias",
    "custom_channels",
    "custom_multichannels",
    "migrated_channel_aliases",
    "channel_priority",
    "pinned_packages",
    "create_default_packages",
    "proxy_servers",
    "ssl_verify",
    "offline",
];

/// What of such a file bears on packages of conda's channels: why it isn't used, and what to do.
pub(super) fn said(path: &Path) -> Option<(String, NextStep)> {
    let text = super::scripts::text_of(path)?;
    let document: serde_json::Value = serde_saphyr::from_str(&text).ok()?;
    let set = KEYS.iter().filter(|key| document.get(**key).is_some());
    let set: Vec<&str> = set.copied().collect();
    if set.is_empty() {
        return None;
    }
    let why = format!(
        "the build reads no settings of conda, so these are left out: {}",
        set.join(", ")
    );
    let has = |key: &str| set.contains(&key);
    let next = if has("pinned_packages") || has("create_default_packages") {
        "name the packages in environment.yml, and its channels by their addresses under channels"
    } else if has("proxy_servers") || has("ssl_verify") {
        "the build takes this machine's proxy and certificates; name channels by their addresses under channels of environment.yml"
    } else {
        "name the channels by their addresses in environment.yml, under channels"
    };
    Some((why, next.into()))
}

/// What is said of the settings of whoever builds, where packages come from conda's channels.
pub fn of_machine(home: &Path) -> Option<Finding> {
    let (why, next) = said(&home.join(".condarc"))?;
    Some(Finding {
        file: "~/.condarc".into(),
        used: false,
        why,
        next: Some(next),
        is_aside: false,
    })
}
