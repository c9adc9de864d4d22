//! The network as the host has it: CA bundle, package indexes, proxies.
//!
//! A build in a closed network needs them in RUN steps, and no layer, history
//! line, lock or log may keep them. So they travel as secret mounts and
//! build-only arguments. This module finds them and writes the files that the
//! mounts show; what mounts them is decided by the templates.

mod apt;
mod pip;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::plan::HostSetting;

/// A value that may hold a password: never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden(pub Vec<u8>);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<hidden>")
    }
}

/// What the host has, ready to be mounted.
#[derive(Debug, Clone, Default)]
pub struct HostSettings {
    /// Files for secret mounts.
    pub files: BTreeMap<HostSetting, Hidden>,
    /// Proxy variables for build-only arguments (`HTTP_PROXY`, …); they may hold a password.
    pub proxies: BTreeMap<String, Hidden>,
}

/// Where to look: the machine, or a test's folder.
#[derive(Debug, Clone)]
pub struct Host {
    /// Stands before absolute paths of configuration files.
    pub root: PathBuf,
    /// The environment.
    pub env: BTreeMap<String, String>,
}

impl HostSettings {
    /// Whether a log-in is in the settings of the package index.
    pub fn index_has_log_in(&self) -> bool {
        let of_index = [HostSetting::PipConfig, HostSetting::UvConfig];
        let mut files = of_index
            .iter()
            .filter_map(|setting| self.files.get(setting));
        files.any(|Hidden(bytes)| holds_log_in(&String::from_utf8_lossy(bytes)))
    }
}

/// Whether a log-in is in what this machine has as settings of its package index.
pub fn index_has_log_in() -> bool {
    let indexes = pip::indexes(&Host::this());
    let texts = [indexes.pip_conf(), indexes.uv_toml()];
    texts.iter().flatten().any(|text| holds_log_in(text))
}

/// A name or a token alone is one, too: `https://TOKEN@host/`.
fn holds_log_in(text: &str) -> bool {
    let mut authorities = text.split("://").skip(1).map(|rest| {
        let end = rest.find(|c: char| "/?#\"'".contains(c) || c.is_whitespace());
        &rest[..end.unwrap_or(rest.len())]
    });
    authorities.any(|authority| authority.contains('@')) || mlbuild_secrets::holds_secret(text)
}

impl Host {
    /// This machine.
    pub fn this() -> Self {
        Host {
            root: PathBuf::from("/"),
            env: std::env::vars_os()
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()?))
                })
                .collect(),
        }
    }

    fn var(&self, name: &str) -> Option<&str> {
        self.env
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    fn home(&self) -> Option<PathBuf> {
        self.var("HOME").map(|home| self.path(home))
    }
}

/// What this machine has that RUN steps need; nothing where it isn't `wanted`.
pub fn of_this_machine(wanted: bool) -> HostSettings {
    if wanted {
        detect(&Host::this())
    } else {
        HostSettings::default()
    }
}

/// Finds the settings that RUN steps need.
///
/// - CA bundle: where `SSL_CERT_FILE`, `PIP_CERT`, `REQUESTS_CA_BUNDLE` or
///   `CURL_CA_BUNDLE` name one, or where the machine's administrator added
///   certificates to the system's bundle.
/// - pip and uv indexes: pip's configuration files and variables, uv's variables.
/// - apt's proxies: `Acquire::…::Proxy` lines of its configuration.
/// - proxies: the usual variables in either case.
pub fn detect(host: &Host) -> HostSettings {
    let mut settings = HostSettings::default();
    if let Some(bundle) = ca_bundle(host) {
        settings.files.insert(HostSetting::CaBundle, Hidden(bundle));
    }
    if let Some(text) = apt::proxies(host) {
        let setting = HostSetting::AptConfig;
        settings.files.insert(setting, Hidden(text.into_bytes()));
    }
    let indexes = pip::indexes(host);
    if let Some(text) = indexes.pip_conf() {
        settings
            .files
            .insert(HostSetting::PipConfig, Hidden(text.into_bytes()));
    }
    if let Some(text) = indexes.uv_toml() {
        settings
            .files
            .insert(HostSetting::UvConfig, Hidden(text.into_bytes()));
    }
    for name in [
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "FTP_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
    ] {
        let value = host
            .var(name)
            .or_else(|| host.var(&name.to_ascii_lowercase()));
        if let Some(value) = value {
            settings
                .proxies
                .insert(name.to_owned(), Hidden(value.into()));
        }
    }
    settings
}

fn ca_bundle(host: &Host) -> Option<Vec<u8>> {
    let named = [
        "SSL_CERT_FILE",
        "PIP_CERT",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
    ]
    .iter()
    .filter_map(|name| host.var(name))
    .find_map(|path| std::fs::read(host.path(path)).ok());
    named
        .or_else(|| {
            let added = std::fs::read_dir(host.path("/usr/local/share/ca-certificates")).ok()?;
            added.flatten().next()?;
            std::fs::read(host.path("/etc/ssl/certs/ca-certificates.crt")).ok()
        })
        .filter(|bytes| !bytes.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(files: &[(&str, &str)], env: &[(&str, &str)]) -> (tempfile::TempDir, Host) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let host = Host {
            root: root.path().to_owned(),
            env: env
                .iter()
                .map(|(k, v)| ((*k).into(), (*v).into()))
                .collect(),
        };
        (root, host)
    }

    fn text(settings: &HostSettings, setting: HostSetting) -> String {
        let file = settings.files.get(&setting).map(|file| file.0.clone());
        String::from_utf8(file.unwrap_or_default()).unwrap()
    }

    #[test]
    fn a_plain_machine_has_nothing_to_pass_on() {
        let (_root, host) = host(&[("etc/ssl/certs/ca-certificates.crt", "PEM")], &[]);
        let settings = detect(&host);
        assert!(settings.files.is_empty() && settings.proxies.is_empty());
    }

    #[test]
    fn a_company_bundle_is_found_by_variable_or_by_added_certificates() {
        let bundle = ("etc/ssl/certs/ca-certificates.crt", "PEM");
        let (_root, by_variable) = host(
            &[bundle],
            &[("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt")],
        );
        assert_eq!(text(&detect(&by_variable), HostSetting::CaBundle), "PEM");
        let added = ("usr/local/share/ca-certificates/corp.crt", "PEM2");
        let (_root, by_addition) = host(&[bundle, added], &[]);
        assert_eq!(text(&detect(&by_addition), HostSetting::CaBundle), "PEM");
    }

    #[test]
    fn pip_settings_merge_files_and_variables_and_drop_what_cant_be_reached_inside() {
        let (_root, host) = host(
            &[
                (
                    "etc/pip.conf",
                    "[global]\nindex-url = https://one.example/simple\nfind-links = /opt/wheels\ncert = /x\n",
                ),
                (
                    "home/me/.config/pip/pip.conf",
                    "[global]\ntimeout = 9\nextra-index-url =\n    https://two.example/simple\n    https://three.example/simple\n[install]\ntrusted-host = two.example\n",
                ),
            ],
            &[
                ("HOME", "/home/me"),
                ("PIP_INDEX_URL", "https://u:p@four.example/simple"),
            ],
        );
        let settings = detect(&host);
        insta::assert_snapshot!(text(&settings, HostSetting::PipConfig), @r"
        [global]
        index-url = https://u:p@four.example/simple
        extra-index-url =
            https://two.example/simple
            https://three.example/simple
        trusted-host =
            two.example
        timeout = 9
        ");
        insta::assert_snapshot!(text(&settings, HostSetting::UvConfig), @r#"
        allow-insecure-host = ["two.example"]

        [[index]]
        url = "https://two.example/simple"

        [[index]]
        url = "https://three.example/simple"

        [[index]]
        url = "https://u:p@four.example/simple"
        default = true
        "#);
        assert!(!format!("{settings:?}").contains("u:p"));
    }

    #[test]
    fn apt_proxies_are_taken_and_the_rest_of_its_settings_is_not() {
        let (_root, host) = host(
            &[
                (
                    "etc/apt/apt.conf.d/10proxy",
                    "// the company's\nAcquire::http::Proxy \"http://u:p@proxy:3128\";\nAPT::Install-Recommends \"0\";\n",
                ),
                (
                    "etc/apt/apt.conf.d/backup.bak",
                    "Acquire::http::Proxy \"http://old\";\n",
                ),
                (
                    "etc/apt/apt.conf",
                    "Acquire::https::Proxy::deb.example \"DIRECT\";\n",
                ),
            ],
            &[],
        );
        insta::assert_snapshot!(text(&detect(&host), HostSetting::AptConfig), @r#"
        Acquire::http::Proxy "http://u:p@proxy:3128";
        Acquire::https::Proxy::deb.example "DIRECT";
        "#);
    }

    #[test]
    fn uv_variables_win_for_uv() {
        let (_root, host) = host(
            &[],
            &[
                ("PIP_INDEX_URL", "https://one.example/simple"),
                ("UV_DEFAULT_INDEX", "https://two.example/simple"),
            ],
        );
        assert!(text(&detect(&host), HostSetting::UvConfig).contains("two.example"));
        assert!(text(&detect(&host), HostSetting::PipConfig).contains("one.example"));
    }

    #[test]
    fn proxies_in_either_case() {
        let (_root, host) = host(
            &[],
            &[
                ("https_proxy", "http://u:p@proxy:3128"),
                ("NO_PROXY", "localhost"),
            ],
        );
        let settings = detect(&host);
        let names: Vec<_> = settings.proxies.keys().map(String::as_str).collect();
        assert_eq!(names, ["HTTPS_PROXY", "NO_PROXY"]);
    }
}
