//! Turns our `.proto` files into Rust, in memory, without protoc. Used by the
//! `generate` example, which writes the result, and by the test that compares
//! it with what is checked in.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::Path;

use sha2::{Digest, Sha256};

/// One of our files and what it mirrors.
struct Mirror {
    file: &'static str,
    project: &'static str,
    version: &'static str,
    paths: &'static [&'static str],
}

const BUILDKIT: &str = "github.com/moby/buildkit";
const BUILDKIT_VERSION: &str = "v0.32.2";

const fn buildkit(file: &'static str, paths: &'static [&'static str]) -> Mirror {
    Mirror {
        file,
        project: BUILDKIT,
        version: BUILDKIT_VERSION,
        paths,
    }
}

const MIRRORS: &[Mirror] = &[
    Mirror {
        file: "containerd.services.content.v1.proto",
        project: "github.com/containerd/containerd/api",
        version: "v1.11.1",
        paths: &["services/content/v1/content.proto"],
    },
    Mirror {
        file: "fsutil.types.proto",
        project: "github.com/tonistiigi/fsutil",
        version: "v0.0.0-20260819142231-83cac42c1c52",
        paths: &["types/stat.proto", "types/wire.proto"],
    },
    Mirror {
        file: "google.rpc.proto",
        project: "google.golang.org/genproto/googleapis/rpc",
        version: "v0.0.0-20260526163538-3dc84a4a5aaa",
        paths: &["status/status.pb.go"],
    },
    Mirror {
        file: "grpc.health.v1.proto",
        project: "google.golang.org/grpc",
        version: "v1.82.1",
        paths: &["grpc/health/v1/health.proto"],
    },
    buildkit(
        "moby.buildkit.secrets.v1.proto",
        &["session/secrets/secrets.proto"],
    ),
    buildkit(
        "moby.buildkit.v1.apicaps.proto",
        &["util/apicaps/pb/caps.proto"],
    ),
    buildkit(
        "moby.buildkit.v1.frontend.proto",
        &["frontend/gateway/pb/gateway.proto"],
    ),
    buildkit(
        "moby.buildkit.v1.proto",
        &["api/services/control/control.proto"],
    ),
    buildkit(
        "moby.buildkit.v1.sourcepolicy.proto",
        &["sourcepolicy/pb/policy.proto"],
    ),
    buildkit("moby.buildkit.v1.types.proto", &["api/types/worker.proto"]),
    buildkit(
        "moby.filesync.v1.proto",
        &["session/auth/auth.proto", "session/filesync/filesync.proto"],
    ),
    buildkit(
        "moby.sshforward.v1.proto",
        &["session/sshforward/ssh.proto"],
    ),
    buildkit("moby.upload.v1.proto", &["session/upload/upload.proto"]),
    buildkit("pb.proto", &["solver/pb/ops.proto"]),
];

/// Messages that hold secrets; `src/lib.rs` gives them a Debug that doesn't
/// show them.
const REDACTED: &[&str] = &[
    ".moby.buildkit.secrets.v1.GetSecretResponse",
    ".moby.filesync.v1.CredentialsResponse",
    ".moby.filesync.v1.FetchTokenResponse",
];

/// The files to write, by their path under `root` (the crate's folder).
pub fn generate(root: &Path) -> io::Result<BTreeMap<String, String>> {
    let protos = root.join("protos");
    let names: Vec<&str> = MIRRORS.iter().map(|m| m.file).collect();
    let descriptors = protox::compile(&names, [&protos]).map_err(io::Error::other)?;

    let out = tempfile::tempdir()?;
    tonic_prost_build::configure()
        .out_dir(out.path())
        .btree_map(".")
        .bytes(".")
        .skip_debug(REDACTED)
        .emit_rerun_if_changed(false)
        .compile_fds(descriptors)?;

    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(out.path())? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // Only well-known types, which prost-types has.
        if name.starts_with("google.protobuf") {
            continue;
        }
        let text = std::fs::read_to_string(entry.path())?;
        files.insert(format!("src/generated/{name}"), text);
    }
    files.insert("PROVENANCE.toml".into(), provenance(&protos)?);
    Ok(files)
}

fn provenance(protos: &Path) -> io::Result<String> {
    let mut text = String::from(
        "# Which published interface each of our files mirrors, and the hash of our file.\n\
         # Written by: cargo run -p mlbuild-proto --example generate\n",
    );
    for mirror in MIRRORS {
        let ours = std::fs::read(protos.join(mirror.file))?;
        let quoted: Vec<String> = mirror.paths.iter().map(|p| format!("\"{p}\"")).collect();
        write!(
            text,
            "\n[[file]]\nname = \"{}\"\nsha256 = \"{}\"\nmirrors = \"{}\"\nversion = \"{}\"\npaths = [{}]\n",
            mirror.file,
            hex::encode(Sha256::digest(&ours)),
            mirror.project,
            mirror.version,
            quoted.join(", "),
        )
        .expect("writing to a String can't fail");
    }
    Ok(text)
}
