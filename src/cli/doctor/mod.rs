//! `mlbuild doctor`: looks at everything a build and a run lean on, and says how to mend what is
//! wrong. It changes nothing.
//!
//! One file per area; each returns findings, and only this file prints them.

mod builder;
mod disk;
mod display;
mod gpu;
mod network;
mod registries;

use std::{fmt::Write as _, io::IsTerminal as _, path::PathBuf};

use clap::{Args, ValueHint};
use mlbuild_buildkit::{ConnectOptions, DiscoverOptions, TlsOptions};
use serde::Serialize;

use super::output;
use crate::flags::Format;
use crate::{
    accelerator,
    env_vars::NO_COLOR,
    error::{CommandError, CommandResult},
    host::Host,
    registry::{Registry, RegistryOptions},
};

/// Check the builder, registries, GPUs, display, disk and network.
///
/// Each line is one finding; under a finding that is not well stands what to do.
/// Exits with 3 where something is broken.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Address of the builder (unix://, tcp://, docker://, docker-container://, kube-pod://, ssh://);
    /// otherwise BUILDKIT_HOST, Docker's current context and buildkitd's sockets are tried.
    #[arg(long, value_name = "URL")]
    pub builder: Option<String>,
    /// CA certificate for a tcp:// builder.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub tlscacert: Option<PathBuf>,
    /// Client certificate for a tcp:// builder.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub tlscert: Option<PathBuf>,
    /// Client key for a tcp:// builder.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub tlskey: Option<PathBuf>,
    /// Name in a tcp:// builder's certificate, where it is not the host.
    #[arg(long, value_name = "NAME")]
    pub tlsservername: Option<String>,
    /// Registry to ask, with the log-in that is configured for it.
    #[arg(long = "registry", value_name = "HOST[:PORT]")]
    pub registries: Vec<String>,
    /// Registry that may speak plain http or show any certificate.
    #[arg(long = "insecure-registry", value_name = "HOST[:PORT]")]
    pub insecure_registries: Vec<String>,
    /// How to print the findings.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
}

/// How a finding stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Ok,
    Warn,
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    area: &'static str,
    level: Level,
    /// What was found.
    message: String,
    /// What to type or change.
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

impl Finding {
    fn ok(area: &'static str, message: impl Into<String>) -> Self {
        Self {
            area,
            level: Level::Ok,
            message: message.into(),
            fix: None,
        }
    }

    fn warn(area: &'static str, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            area,
            level: Level::Warn,
            message: message.into(),
            fix: Some(fix.into()),
        }
    }

    fn fail(area: &'static str, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            level: Level::Fail,
            ..Self::warn(area, message, fix)
        }
    }
}

/// Looks at everything and prints the findings.
///
/// # Errors
/// [`ErrorKind::Environment`](crate::error::ErrorKind) where a finding is a failure.
pub async fn run(args: DoctorArgs) -> CommandResult {
    let host = Host::this();
    let (mut findings, docker) = builder::check(&discover_options(&args)).await;
    let registry = Registry::new(RegistryOptions {
        insecure: args.insecure_registries.iter().cloned().collect(),
        ..RegistryOptions::default()
    });
    findings.extend(registries::check(&host, &registry, &args.registries).await);
    let docker_root = disk::docker_root(docker.as_ref());
    let gpu_host = accelerator::Host {
        root: host.root.clone(),
        runtime: accelerator::Runtime::Docker(docker),
    };
    // nvidia-smi may take its time.
    let gpus = tokio::task::spawn_blocking(move || gpu::check(&gpu_host)).await;
    findings.extend(gpus.map_err(|e| CommandError::work(format!("GPU check: {e}")))?);
    findings.extend(display::check(&host));
    findings.extend(disk::check(docker_root.as_deref()));
    findings.extend(network::check(&host));

    output::answer(&match args.format {
        Format::Json => serde_json::to_string_pretty(&findings)
            .map_err(|error| CommandError::work(format!("cannot write JSON: {error}")))?,
        Format::Text => text(&findings, in_color()),
    })?;
    match findings.iter().filter(|f| f.level == Level::Fail).count() {
        0 => Ok(()),
        1 => Err(CommandError::environment("1 check failed")),
        n => Err(CommandError::environment(format!("{n} checks failed"))),
    }
}

fn discover_options(args: &DoctorArgs) -> DiscoverOptions {
    let tls = TlsOptions {
        ca: args.tlscacert.clone(),
        cert: args.tlscert.clone(),
        key: args.tlskey.clone(),
        server_name: args.tlsservername.clone(),
    };
    let given =
        tls.ca.is_some() || tls.cert.is_some() || tls.key.is_some() || tls.server_name.is_some();
    DiscoverOptions {
        builder: args.builder.clone(),
        connect: ConnectOptions {
            tls: given.then_some(tls),
            ..ConnectOptions::default()
        },
    }
}

fn in_color() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os(NO_COLOR).is_none_or(|v| v.is_empty())
}

/// The findings as lines, areas in a column.
fn text(findings: &[Finding], color: bool) -> String {
    let width = findings.iter().map(|f| f.area.len()).max().unwrap_or(0);
    let mut text = String::new();
    let mut last = "";
    for finding in findings {
        let (word, code) = match finding.level {
            Level::Ok => ("ok  ", "32"),
            Level::Warn => ("warn", "33"),
            Level::Fail => ("FAIL", "31"),
        };
        let word = if color {
            format!("\x1b[{code}m{word}\x1b[0m")
        } else {
            word.to_owned()
        };
        let area = if finding.area == last {
            ""
        } else {
            finding.area
        };
        last = finding.area;
        let indent = width + 7;
        let message = finding.message.replace('\n', &format!("\n{:indent$}", ""));
        // Writing to a String doesn't fail.
        let _ = writeln!(text, "{area:width$}  {word} {message}");
        for line in finding.fix.iter().flat_map(|fix| fix.lines()) {
            let _ = writeln!(text, "{:indent$}→ {line}", "");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_stand_in_columns_with_what_to_do_under_them() {
        let findings = [
            Finding::ok("builder", "BuildKit v0.25.2"),
            Finding::warn("builder", "old", "upgrade it\nor not"),
            Finding::fail(
                "disk",
                "no builder found; tried:\n  docker: no",
                "mlbuild engine up",
            ),
        ];
        insta::assert_snapshot!(text(&findings, false), @r"
        builder  ok   BuildKit v0.25.2
                 warn old
                      → upgrade it
                      → or not
        disk     FAIL no builder found; tried:
                        docker: no
                      → mlbuild engine up
        ");
    }

    #[test]
    fn json_has_no_empty_fixes() {
        let json = serde_json::to_string(&[Finding::ok("disk", "12 GB free")]).unwrap();
        assert_eq!(
            json,
            r#"[{"area":"disk","level":"ok","message":"12 GB free"}]"#
        );
    }
}
