//! Bases with a Python of files alone: what an image is assembled on is read, and nothing of it runs.

use serde_json::json;

use super::http::{put_blob, put_manifest, sha256};

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// What says which C library a base has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Libc {
    /// Debian's list of packages.
    Glibc,
    /// Alpine's list of packages.
    Musl,
    /// Nothing but musl's loader.
    Unsaid,
}

/// Puts a base for amd64 into a repository of a registry; its reference.
pub fn push(registry: &str, name: &str, libc: Libc) -> String {
    let (manifest, _) = image(registry, name, libc, "amd64");
    put_manifest(registry, name, "v1", MANIFEST, &manifest);
    format!("{registry}/{name}:v1")
}

/// The same for amd64 and arm64, in an index.
pub fn push_both(registry: &str, name: &str) -> String {
    let entries = ["amd64", "arm64"].map(|machine| {
        let (manifest, digest) = image(registry, name, Libc::Glibc, machine);
        put_manifest(registry, name, &digest, MANIFEST, &manifest);
        json!({
            "mediaType": MANIFEST, "digest": digest, "size": manifest.len(),
            "platform": { "os": "linux", "architecture": machine },
        })
    });
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries });
    put_manifest(registry, name, "v1", INDEX, index.to_string().as_bytes());
    format!("{registry}/{name}:v1")
}

/// The manifest of a base whose blobs are there, and its digest.
fn image(registry: &str, name: &str, libc: Libc, machine: &str) -> (Vec<u8>, String) {
    let layer = layer(libc, machine);
    let layer_digest = put_blob(registry, name, &layer);
    let config = json!({
        "architecture": machine, "os": "linux",
        "config": { "Env": ["PATH=/usr/local/bin:/usr/bin:/bin"] },
        "rootfs": { "type": "layers", "diff_ids": [layer_digest] },
        "history": [{ "created_by": "files of a test" }],
    });
    let config = config.to_string().into_bytes();
    let config_digest = put_blob(registry, name, &config);
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": { "mediaType": CONFIG, "digest": config_digest, "size": config.len() },
        "layers": [{ "mediaType": LAYER, "digest": layer_digest, "size": layer.len() }],
    });
    let manifest = manifest.to_string().into_bytes();
    let digest = sha256(&manifest);
    (manifest, digest)
}

fn layer(libc: Libc, machine: &str) -> Vec<u8> {
    let glibc = format!(
        "Package: libc6\nStatus: install ok installed\nVersion: 2.36-9\nArchitecture: {machine}\n"
    );
    let library = "usr/lib/python3.11";
    let triple = match machine {
        "arm64" => "aarch64-linux-gnu",
        _ => "x86_64-linux-gnu",
    };
    let mut files = vec![
        ("usr/bin/python3.11".to_owned(), "a stub\n", 0o755),
        ("bin/sh".to_owned(), "a stub\n", 0o755),
        (format!("{library}/ensurepip/__init__.py"), "", 0o644),
        (
            format!("{library}/venv/scripts/common/activate"),
            "VIRTUAL_ENV=__VENV_DIR__\n",
            0o644,
        ),
        (
            "usr/include/python3.11/patchlevel.h".to_owned(),
            "#define PY_VERSION \"3.11.2\"\n",
            0o644,
        ),
        (
            "etc/passwd".to_owned(),
            "root:x:0:0:root:/root:/bin/sh\n",
            0o644,
        ),
        ("etc/group".to_owned(), "root:x:0:\n", 0o644),
    ];
    if libc == Libc::Glibc {
        files.push(("var/lib/dpkg/status".to_owned(), &glibc, 0o644));
        for name in ["libc.so.6", "libpthread.so.0"] {
            files.push((format!("lib/{triple}/{name}"), "a stub\n", 0o755));
        }
    } else {
        for name in ["ld-musl-x86_64.so.1", "libc.musl-x86_64.so.1"] {
            files.push((format!("lib/{name}"), "a stub\n", 0o755));
        }
    }
    if libc == Libc::Musl {
        let list = "P:musl\nV:1.2.4-r2\nA:x86_64\n\n";
        files.push(("lib/apk/db/installed".to_owned(), list, 0o644));
    }
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Directory);
    header.set_size(0);
    header.set_mode(0o755);
    tar.append_data(&mut header, format!("{library}/ensurepip/"), &[][..])
        .unwrap();
    for (path, content, mode) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(mode);
        tar.append_data(&mut header, path, content.as_bytes())
            .unwrap();
    }
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    tar.append_link(&mut header, "usr/bin/python3", "python3.11")
        .unwrap();
    tar.into_inner().unwrap()
}
