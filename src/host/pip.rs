//! Package indexes of the host, from pip's and uv's settings.

use std::path::PathBuf;

use configparser::ini::{Ini, IniDefault};

use super::Host;

/// Where Python packages come from.
#[derive(Default)]
pub(super) struct Indexes {
    index: Option<String>,
    extra: Vec<String>,
    trusted: Vec<String>,
    timeout: Option<String>,
    uv_default: Option<String>,
    uv_extra: Vec<String>,
}

/// pip's files from the weakest to the strongest, then its variables, then uv's.
///
/// Only what says where packages come from is taken: folders (`find-links`) and
/// certificate paths of the host mean nothing in a container.
pub(super) fn indexes(host: &Host) -> Indexes {
    let mut found = Indexes::default();
    for file in files(host) {
        let Ok(text) = std::fs::read_to_string(&file) else {
            continue;
        };
        let mut options = IniDefault::default();
        options.multiline = true;
        options.comment_symbols = vec!['#', ';'];
        options.delimiters = vec!['=', ':'];
        options.enable_inline_comments = false;
        let mut ini = Ini::new_from_defaults(options);
        if ini.read(text).is_err() {
            continue;
        }
        for section in ["global", "install"] {
            let get = |key: &str| {
                ini.get(section, key)
                    .or_else(|| ini.get(section, &key.replace('-', "_")))
            };
            found.index = get("index-url").or(found.index.take());
            found.timeout = get("timeout").or(found.timeout.take());
            if let Some(list) = get("extra-index-url") {
                found.extra = words(&list);
            }
            if let Some(list) = get("trusted-host") {
                found.trusted = words(&list);
            }
        }
    }
    let var = |name: &str| host.var(name).map(str::to_owned);
    found.index = var("PIP_INDEX_URL").or(found.index);
    found.timeout = var("PIP_DEFAULT_TIMEOUT")
        .or(var("PIP_TIMEOUT"))
        .or(found.timeout);
    if let Some(list) = var("PIP_EXTRA_INDEX_URL") {
        found.extra = words(&list);
    }
    if let Some(list) = var("PIP_TRUSTED_HOST") {
        found.trusted = words(&list);
    }
    found.uv_default = var("UV_DEFAULT_INDEX").or(var("UV_INDEX_URL"));
    for name in ["UV_INDEX", "UV_EXTRA_INDEX_URL"] {
        found.uv_extra.extend(words(&var(name).unwrap_or_default()));
    }
    found
}

fn files(host: &Host) -> Vec<PathBuf> {
    let mut files = Vec::new();
    if host.var("PIP_CONFIG_FILE") == Some("/dev/null") {
        return files;
    }
    for folder in host.var("XDG_CONFIG_DIRS").unwrap_or("/etc/xdg").split(':') {
        files.push(host.path(folder).join("pip/pip.conf"));
    }
    files.push(host.path("/etc/pip.conf"));
    if let Some(home) = host.home() {
        files.push(home.join(".pip/pip.conf"));
        let config = host.var("XDG_CONFIG_HOME").map(|folder| host.path(folder));
        files.push(config.unwrap_or(home.join(".config")).join("pip/pip.conf"));
    }
    if let Some(file) = host.var("PIP_CONFIG_FILE") {
        files.push(host.path(file));
    }
    files
}

fn words(list: &str) -> Vec<String> {
    list.split_whitespace().map(str::to_owned).collect()
}

impl Indexes {
    /// A `pip.conf` with the indexes; `None` where the host has pip's defaults.
    pub(super) fn pip_conf(&self) -> Option<String> {
        if self.index.is_none() && self.extra.is_empty() && self.trusted.is_empty() {
            return None;
        }
        let mut text = String::from("[global]\n");
        if let Some(index) = &self.index {
            text += &format!("index-url = {index}\n");
        }
        for (key, list) in [
            ("extra-index-url", &self.extra),
            ("trusted-host", &self.trusted),
        ] {
            if !list.is_empty() {
                text += &format!("{key} =\n    {}\n", list.join("\n    "));
            }
        }
        if let Some(timeout) = &self.timeout {
            text += &format!("timeout = {timeout}\n");
        }
        Some(text)
    }

    /// A `uv.toml` with the indexes: uv's own settings, else pip's, which uv doesn't read.
    pub(super) fn uv_toml(&self) -> Option<String> {
        let default = self.uv_default.as_ref().or(self.index.as_ref());
        let extra = if self.uv_extra.is_empty() {
            &self.extra
        } else {
            &self.uv_extra
        };
        if default.is_none() && extra.is_empty() {
            return None;
        }
        let quote = |text: &str| toml::Value::String(text.to_owned()).to_string();
        let mut text = String::new();
        if !self.trusted.is_empty() {
            let hosts: Vec<_> = self.trusted.iter().map(|host| quote(host)).collect();
            text += &format!("allow-insecure-host = [{}]\n", hosts.join(", "));
        }
        for url in extra {
            // uv's own variable also takes `name=url`.
            let url = url
                .split_once('=')
                .filter(|(name, _)| !name.contains(['/', ':']))
                .map_or(url.as_str(), |(_, url)| url);
            text += &format!("\n[[index]]\nurl = {}\n", quote(url));
        }
        if let Some(url) = default {
            text += &format!("\n[[index]]\nurl = {}\ndefault = true\n", quote(url));
        }
        Some(text)
    }
}
