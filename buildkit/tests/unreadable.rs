//! What a user may not read is named, unless it isn't asked for.
//!
//! Root may read everything, so as root the checks run in a child process of
//! another user.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use mlbuild_buildkit::fsutil::{
    ContextSelection, Normalise, Selection, SendOptions, Source, fingerprint, send, walk,
};
use mlbuild_proto::fsutil::types::{Packet, packet::PacketType};
use tokio::sync::mpsc;

const CHILD: &str = "MLBUILD_TEST_UNREADABLE";
const NOBODY: u32 = 65534;

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn unreadable_files_and_folders_are_named() {
    if let Some(root) = std::env::var_os(CHILD) {
        return checks(Path::new(&root));
    }
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    set_mode(root, 0o755);
    fs::create_dir(root.join("closed")).unwrap();
    fs::write(root.join("closed/inside"), "1").unwrap();
    fs::write(root.join("private"), "2").unwrap();
    fs::write(root.join("public"), "3").unwrap();
    set_mode(&root.join("closed"), 0o000);
    set_mode(&root.join("private"), 0o000);
    if rustix::process::geteuid().is_root() {
        // The test binary may lie where only root can go.
        let binary = tempfile::tempdir().unwrap();
        set_mode(binary.path(), 0o755);
        let copy = binary.path().join("test");
        fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
        let run = Command::new(&copy)
            .args(["--exact", "unreadable_files_and_folders_are_named"])
            .env(CHILD, root)
            .uid(NOBODY)
            .gid(NOBODY)
            .output()
            .unwrap();
        assert!(
            run.status.success(),
            "{}",
            String::from_utf8_lossy(&run.stdout)
        );
    } else {
        checks(root);
    }
    set_mode(&root.join("closed"), 0o755);
}

fn checks(root: &Path) {
    let exclude = |patterns: &[&str]| Selection {
        exclude: patterns.iter().map(|p| (*p).to_owned()).collect(),
        ..Default::default()
    };
    let names = |selection: &Selection| {
        let entries = walk::entries(root, selection, Normalise::default());
        entries.map(|list| list.iter().map(|s| s.path.clone()).collect::<Vec<_>>())
    };
    let closed = format!(
        "cannot read the directory {}: Permission denied",
        root.join("closed").display()
    );
    let error = names(&Selection::default()).unwrap_err().to_string();
    assert!(error.starts_with(&closed), "{error}");
    assert_eq!(names(&exclude(&["closed"])).unwrap(), ["private", "public"]);
    // Looked into for the exception's sake only.
    let with_exception = exclude(&["closed", "!closed/x*y"]);
    assert_eq!(names(&with_exception).unwrap(), ["private", "public"]);

    let private = format!(
        "cannot open {}: Permission denied",
        root.join("private").display()
    );
    let context = |only: &[&str]| ContextSelection {
        root: root.to_owned(),
        only: only.iter().map(|p| (*p).to_owned()).collect(),
        ..Default::default()
    };
    let error = fingerprint(&context(&["private"]), None)
        .unwrap_err()
        .to_string();
    assert!(error.starts_with(&private), "{error}");
    assert_eq!(fingerprint(&context(&["public"]), None).unwrap().entries, 1);

    // Entries: private 0, public 1. Only what is requested is opened.
    assert_eq!(transfer(root, 1), Ok(()));
    let error = transfer(root, 0).unwrap_err();
    assert!(error.starts_with(&private), "{error}");
}

/// Requests one entry, then ends; the error that reached the other side.
fn transfer(root: &Path, request: u32) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (ask, asked) = mpsc::channel(8);
        let (out, mut outbound) = mpsc::channel::<Packet>(8);
        let selection = Selection {
            exclude: vec!["closed".into()],
            ..Default::default()
        };
        let source = Source::Folder(root.to_owned());
        let inbound = tokio_stream::wrappers::ReceiverStream::new(asked);
        let sending = tokio::spawn(async move {
            send(source, &selection, SendOptions::default(), inbound, out).await
        });
        let packet = |kind: PacketType| {
            Ok::<_, std::io::Error>(Packet {
                r#type: kind as i32,
                id: request,
                ..Default::default()
            })
        };
        while let Some(received) = outbound.recv().await {
            match received.r#type() {
                PacketType::PacketStat if received.stat.is_none() => {
                    ask.send(packet(PacketType::PacketReq)).await.unwrap();
                }
                PacketType::PacketData if received.data.is_empty() => {
                    ask.send(packet(PacketType::PacketFin)).await.unwrap();
                }
                PacketType::PacketErr => {
                    let told = String::from_utf8(received.data.to_vec()).unwrap();
                    let returned = sending.await.unwrap().unwrap_err().to_string();
                    assert_eq!(told, returned);
                    return Err(told);
                }
                PacketType::PacketFin => break,
                _ => {}
            }
        }
        sending.await.unwrap().map_err(|e| e.to_string())
    })
}
