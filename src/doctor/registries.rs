//! Log-ins for registries: which are configured, whether their helpers are installed, and whether
//! a registry takes them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mlbuild_templates::reference;
use serde::Deserialize;

use super::Finding;
use crate::{host::Host, registry::Registry, shell::word};

const AREA: &str = "registries";

/// The parts of Docker's `config.json` that hold log-ins. Values of `auths` are not read.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DockerConfig {
    #[serde(default)]
    auths: BTreeMap<String, serde::de::IgnoredAny>,
    creds_store: Option<String>,
    #[serde(default)]
    cred_helpers: BTreeMap<String, String>,
}

/// Looks at the configuration, and asks the registries named.
pub(super) async fn check(host: &Host, registry: &Registry, ask: &[String]) -> Vec<Finding> {
    let mut findings = configured(host);
    for name in ask {
        findings.push(asked(registry, name).await);
    }
    findings
}

fn configured(host: &Host) -> Vec<Finding> {
    let set = |name: &str| {
        host.env
            .get(name)
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
    };
    let folder = set("DOCKER_CONFIG").or_else(|| set("HOME").map(|home| home.join(".docker")));
    let Some(path) = folder.map(|f| f.join("config.json")) else {
        return vec![Finding::ok(
            AREA,
            "no home folder, so no log-ins: registries are asked as anybody",
        )];
    };
    let shown = path.display().to_string();
    let path = host.root.join(path.strip_prefix("/").unwrap_or(&path));
    match read_config(&path, &shown) {
        Ok(config) => log_ins(host, &config, &shown),
        Err(finding) => vec![finding],
    }
}

/// Docker's configuration; a finding where there is none, or it can't be used.
fn read_config(path: &Path, shown: &str) -> Result<DockerConfig, Finding> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let message =
                format!("no log-ins ({shown} is not there): registries are asked as anybody");
            return Err(Finding::ok(AREA, message));
        }
        Err(error) => {
            let message = format!("{shown} can't be read: {error}");
            return Err(Finding::fail(AREA, message, format!("ls -l {shown}")));
        }
    };
    serde_json::from_str(&text).map_err(|error| {
        let message = format!("{shown} is not valid: {error}");
        Finding::fail(AREA, message, format!("python3 -m json.tool {shown}"))
    })
}

/// The log-ins that a configuration holds or has kept by programs.
fn log_ins(host: &Host, config: &DockerConfig, shown: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !config.auths.is_empty() {
        let names: Vec<&str> = config.auths.keys().map(String::as_str).collect();
        findings.push(Finding::ok(
            AREA,
            format!("log-ins for {} ({shown})", names.join(", ")),
        ));
    }
    let per_registry = config
        .cred_helpers
        .iter()
        .map(|(name, helper)| (name.as_str(), helper));
    for (what, helper) in config
        .creds_store
        .iter()
        .map(|h| ("every registry", h))
        .chain(per_registry)
    {
        let program = format!("docker-credential-{helper}");
        findings.push(if on_path(host, &program) {
            Finding::ok(AREA, format!("{program} keeps the log-in for {what}"))
        } else {
            Finding::fail(
                AREA,
                format!(
                    "{shown} says that {program} keeps the log-in for {what}, and it is not on PATH"
                ),
                format!("install {program}, or remove it from {shown}"),
            )
        });
    }
    if findings.is_empty() {
        findings.push(Finding::ok(
            AREA,
            "no log-ins: registries are asked as anybody",
        ));
    }
    findings
}

fn on_path(host: &Host, program: &str) -> bool {
    let path = host.env.get("PATH").map(String::as_str).unwrap_or_default();
    std::env::split_paths(path).any(|folder| {
        host.root
            .join(folder.strip_prefix("/").unwrap_or(&folder))
            .join(program)
            .is_file()
    })
}

/// Asks for an image that isn't there: "no such image" means that we are let in.
async fn asked(registry: &Registry, name: &str) -> Finding {
    let image = format!("{name}/mlbuild-doctor/none:none");
    let reference = match reference::parse(&image) {
        Ok(reference) => reference,
        Err(_) => {
            return Finding::fail(
                AREA,
                format!("{name:?} is not a registry"),
                "give HOST or HOST:PORT",
            );
        }
    };
    match registry.head(&reference).await {
        Ok(_) => Finding::ok(AREA, format!("{name} answers and lets us in")),
        Err(error) => {
            let text = error.to_string();
            let fix = if ["log", "401", "403", "denied", "auth"]
                .iter()
                .any(|w| text.to_lowercase().contains(w))
            {
                format!("docker login {}", word(name))
            } else {
                format!(
                    "curl -v {}    # proxy, CA and firewall",
                    word(format!("https://{name}/v2/"))
                )
            };
            Finding::fail(AREA, format!("{name}: {text}"), fix)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(config: Option<&str>, helpers: &[&str]) -> (tempfile::TempDir, Host) {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("home/.docker")).unwrap();
        std::fs::create_dir_all(root.path().join("bin")).unwrap();
        if let Some(text) = config {
            std::fs::write(root.path().join("home/.docker/config.json"), text).unwrap();
        }
        for helper in helpers {
            std::fs::write(root.path().join("bin").join(helper), "").unwrap();
        }
        let env = [("HOME", "/home"), ("PATH", "/usr/bin:/bin")];
        let env = env.map(|(n, v)| (n.to_owned(), v.to_owned())).into();
        let host = Host {
            root: root.path().to_owned(),
            env,
        };
        (root, host)
    }

    fn show(config: Option<&str>, helpers: &[&str]) -> String {
        let (_root, host) = host(config, helpers);
        super::super::text(&configured(&host), false)
    }

    #[test]
    fn no_configuration_means_anybody() {
        insta::assert_snapshot!(show(None, &[]), @r"registries  ok   no log-ins (/home/.docker/config.json is not there): registries are asked as anybody");
    }

    #[test]
    fn a_missing_helper_is_a_failure_and_no_secret_is_shown() {
        let config = r#"{"auths": {"ghcr.io": {"auth": "dTpzZWNyZXQ="}}, "credsStore": "pass", "credHelpers": {"gcr.io": "gcloud"}}"#;
        let text = show(Some(config), &["docker-credential-gcloud"]);
        assert!(!text.contains("dTpzZWNyZXQ"));
        insta::assert_snapshot!(text, @r"
        registries  ok   log-ins for ghcr.io (/home/.docker/config.json)
                    FAIL /home/.docker/config.json says that docker-credential-pass keeps the log-in for every registry, and it is not on PATH
                         → install docker-credential-pass, or remove it from /home/.docker/config.json
                    ok   docker-credential-gcloud keeps the log-in for gcr.io
        ");
    }

    #[test]
    fn a_broken_configuration_is_a_failure() {
        insta::assert_snapshot!(show(Some("{\"auths\": "), &[]), @r"
        registries  FAIL /home/.docker/config.json is not valid: EOF while parsing a value at line 1 column 10
                         → python3 -m json.tool /home/.docker/config.json
        ");
    }
}
