//! How each daemon is configured and called.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::error::Error;
use super::folder::{self, Folder, Kind, Launch};
use super::rootless;
use super::source::Programs;
use super::{Options, process_output};
use crate::reporter::Reporter;

/// Writes the daemon's configuration and says how it is started.
pub(super) async fn prepare(
    folder: &Folder,
    programs: &Programs,
    options: &Options,
    without_root: bool,
    reporter: &dyn Reporter,
) -> Result<Launch, Error> {
    let sockets = folder.sockets();
    folder::private_folder(&sockets)?;
    folder::private_folder(&folder.data())?;
    let (socket, config) = match programs.kind {
        Kind::Dockerd => {
            let socket = sockets.join("docker.sock");
            (
                socket.clone(),
                dockerd_config(folder, &sockets, &socket, options),
            )
        }
        Kind::Buildkitd => {
            let socket = sockets.join("buildkitd.sock");
            let refused = if without_root {
                rootless::refuses_sandbox(programs, &sockets).await
            } else {
                None
            };
            if let Some(why) = &refused {
                reporter.note(format!(
                    "the kernel refuses build steps a view of their own on processes ({why}): they see \
                     yours, and can signal them"
                ));
            }
            let sandbox = refused.is_none();
            let config = buildkitd_config(
                folder,
                &sockets,
                &socket,
                programs,
                options,
                (without_root, sandbox),
            );
            (socket, config)
        }
    };
    let file = folder.config(programs.kind);
    folder::write(&file, &config)?;
    let flag = match programs.kind {
        Kind::Dockerd => "--config-file",
        Kind::Buildkitd => "--config",
    };
    let mut command = vec![text(&programs.daemon), flag.to_owned(), text(&file)];
    if without_root {
        command.push("--rootless".to_owned());
        command = rootless::wrap(programs, &sockets, command)?;
    }
    Ok(Launch {
        kind: programs.kind,
        version: version(&programs.daemon).await,
        source: programs.source.clone(),
        command,
        path: programs.path.clone(),
        client: programs.client.clone(),
        socket,
        rootless: without_root,
        idle_seconds: options.idle.as_secs(),
        cache_limit: options.cache_limit,
    })
}

/// No bridge, no packet filter rules, no forwarding: the daemon changes nothing
/// of the machine's network, and build steps use the machine's own.
fn dockerd_config(folder: &Folder, sockets: &Path, socket: &Path, options: &Options) -> String {
    let config = json!({
        "data-root": folder.data(),
        "exec-root": sockets.join("exec"),
        "pidfile": sockets.join("docker.pid"),
        "hosts": [format!("unix://{}", socket.display())],
        "group": "0",
        "bridge": "none",
        "iptables": false,
        "ip6tables": false,
        "ip-forward": false,
        "ip-masq": false,
        "features": { "containerd-snapshotter": true },
        "builder": { "gc": { "enabled": true, "defaultKeepStorage": format!("{}B", options.cache_limit) } },
    });
    format!("{config:#}\n")
}

fn buildkitd_config(
    folder: &Folder,
    sockets: &Path,
    socket: &Path,
    programs: &Programs,
    options: &Options,
    (without_root, sandbox): (bool, bool),
) -> String {
    let quoted = |path: &Path| toml::Value::String(text(path)).to_string();
    format!(
        "root = {root}\ninsecure-entitlements = [\"network.host\"]\n\n\
         [grpc]\naddress = [{address}]\n\n\
         [otel]\nsocketPath = {otel}\n\n\
         [worker.containerd]\nenabled = false\n\n\
         [worker.oci]\nenabled = true\nbinary = {runtime}\nnetworkMode = \"host\"\nrootless = {without_root}\n\
         noProcessSandbox = {no_sandbox}\ngc = true\nmaxUsedSpace = {limit}\ngckeepstorage = {limit}\n",
        root = quoted(&folder.data()),
        address = toml::Value::String(format!("unix://{}", socket.display())),
        otel = quoted(&sockets.join("otel.sock")),
        runtime = quoted(&programs.runtime),
        limit = options.cache_limit,
        no_sandbox = !sandbox,
    )
}

/// `buildkitd … v0.32.2 …` or `Docker version 26.1.5+dfsg1, build …`.
async fn version(daemon: &Path) -> String {
    let output = process_output(daemon, &["--version"])
        .await
        .unwrap_or_default();
    output
        .split_whitespace()
        .map(|word| word.trim_start_matches('v').trim_end_matches(','))
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.'))
        .unwrap_or("of unknown version")
        .to_owned()
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// PATH for the daemon: its own programs first.
pub(super) fn path_variable(first: &[PathBuf]) -> std::ffi::OsString {
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    let folders = first
        .iter()
        .cloned()
        .chain(std::env::split_paths(&inherited))
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    std::env::join_paths(folders).unwrap_or(inherited)
}
