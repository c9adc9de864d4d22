//! `mlbuild doctor`: what is wrong with the machine, and how to mend it.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use clap::{Args, ValueHint};
use mlbuild_buildkit::{ConnectOptions, DiscoverOptions, TlsOptions};

use crate::error::{CommandError, CommandResult};
use crate::support::format::Format;
use crate::support::output;
use mlbuild::doctor::{self, DoctorRequest, Level};
use mlbuild::env_vars::NO_COLOR;

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

/// Runs the verb.
///
/// # Errors
/// [`ErrorKind::Environment`](mlbuild::error::ErrorKind) where a finding is a failure.
pub async fn run(args: DoctorArgs) -> CommandResult {
    let request = DoctorRequest {
        builder: discover_options(&args),
        registries: args.registries,
        insecure_registries: args.insecure_registries,
    };
    let findings = doctor::examine(&request).await;
    match args.format {
        Format::Json => {
            output::answer(&serde_json::to_string_pretty(&findings).expect("plain JSON"))?
        }
        Format::Text => output::coloured(&doctor::text(&findings, in_color()))?,
    }
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
