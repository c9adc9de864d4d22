//! Whole transfers between this crate and the upstream library.

use std::path::Path;
use std::process::Stdio;

use bytes::Bytes;
use futures::stream;
use mlbuild_buildkit::fsutil::{Normalise, Selection, SendOptions, Source, receive, send, walk};
use mlbuild_proto::fsutil::types::{Packet, Stat};
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use crate::generate::{self, Random, TreeOptions};
use crate::oracle;

/// Starts the upstream side with its packets as a stream and a channel.
fn peer(
    what: &str,
    folder: &Path,
) -> (
    Child,
    impl futures::Stream<Item = Result<Packet, std::io::Error>> + Unpin,
    mpsc::Sender<Packet>,
) {
    let mut child = Command::new(oracle::program())
        .arg(what)
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the oracle starts");
    let mut stdin = child.stdin.take().expect("piped");
    let stdout = child.stdout.take().expect("piped");
    let (sender, mut receiver) = mpsc::channel::<Packet>(16);
    tokio::spawn(async move {
        while let Some(packet) = receiver.recv().await {
            let bytes = packet.encode_to_vec();
            if stdin.write_u32(bytes.len() as u32).await.is_err()
                || stdin.write_all(&bytes).await.is_err()
            {
                return;
            }
            let _ = stdin.flush().await;
        }
    });
    let inbound = stream::unfold(stdout, |mut stdout| async move {
        let length = stdout.read_u32().await.ok()?;
        let mut bytes = vec![0; length as usize];
        let read = stdout.read_exact(&mut bytes).await;
        let packet = read.map(|_| Packet::decode(Bytes::from(bytes)).expect("a packet"));
        Some((packet, stdout))
    });
    (child, Box::pin(inbound), sender)
}

/// Entries with their content, to compare two trees by.
fn contents(root: &Path) -> Vec<(Stat, Option<Vec<u8>>)> {
    use std::os::unix::ffi::OsStrExt;
    let entries = walk::entries(root, &Selection::default(), Normalise::default()).unwrap();
    let entries = entries.into_iter().map(|mut stat| {
        let full = root.join(std::ffi::OsStr::from_bytes(&stat.path));
        let is_file = full.symlink_metadata().unwrap().is_file();
        let content = is_file.then(|| std::fs::read(&full).unwrap());
        // Folders' times change as they are filled on some systems.
        if stat.mode & walk::go_mode::DIR != 0 {
            stat.mod_time = 0;
        }
        (stat, content)
    });
    entries.collect()
}

#[tokio::test]
async fn upstream_receives_what_we_send() {
    let mut random = Random::seeded(6);
    let options = TreeOptions {
        specials: false,
        odd_names: true,
    };
    for _ in 0..30 {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        generate::tree(&mut random, from.path(), options);
        // Twice: the second time the receiver has it all and asks for nothing.
        for round in 0..2 {
            let (mut child, inbound, outbound) = peer("receive", to.path());
            let options = SendOptions::default();
            let counters = options.counters.clone();
            let source = Source::Folder(from.path().to_owned());
            send(source, &Selection::default(), options, inbound, outbound)
                .await
                .unwrap();
            assert!(child.wait().await.unwrap().success());
            let (sent, received) = (contents(from.path()), contents(to.path()));
            assert_eq!(sent, received);
            assert_eq!(counters.entries(), sent.len() as u64);
            if round == 1 {
                assert_eq!(counters.files(), 0, "nothing changed");
            }
        }
    }
}

#[tokio::test]
async fn upstream_receives_files_from_memory() {
    let to = tempfile::tempdir().unwrap();
    let (mut child, inbound, outbound) = peer("receive", to.path());
    let big = vec![7u8; 200_000];
    let files = [
        (
            "Dockerfile".to_owned(),
            Bytes::from_static(b"FROM scratch\n"),
        ),
        ("a/b/big".to_owned(), Bytes::from(big.clone())),
        ("a-b".to_owned(), Bytes::new()),
    ];
    let source = Source::Files(files.into());
    send(
        source,
        &Selection::default(),
        SendOptions::default(),
        inbound,
        outbound,
    )
    .await
    .unwrap();
    assert!(child.wait().await.unwrap().success());
    assert_eq!(
        std::fs::read(to.path().join("Dockerfile")).unwrap(),
        b"FROM scratch\n"
    );
    assert_eq!(std::fs::read(to.path().join("a/b/big")).unwrap(), big);
    assert_eq!(std::fs::read(to.path().join("a-b")).unwrap(), b"");
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_named_on_both_sides() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(from.path().join("good"), "x").unwrap();
    // A folder below a file name that is too long to open.
    let gone = from.path().join("secret.bin");
    std::fs::write(&gone, "y").unwrap();
    let (child, inbound, outbound) = peer("receive", to.path());
    drop(child.stdin);
    let (hold, mut held) = mpsc::channel::<Packet>(1);
    // Removes the file once it has been announced.
    let relay = tokio::spawn(async move {
        while let Some(packet) = held.recv().await {
            let announced = packet.stat.as_ref().is_some_and(|s| s.path == "secret.bin");
            if announced {
                std::fs::remove_file(&gone).unwrap();
            }
            let is_error = packet.r#type == 4;
            if is_error {
                return Some(String::from_utf8(packet.data.to_vec()).unwrap());
            }
            if outbound.send(packet).await.is_err() {
                return None;
            }
        }
        None
    });
    let source = Source::Folder(from.path().to_owned());
    let error = send(
        source,
        &Selection::default(),
        SendOptions::default(),
        inbound,
        hold,
    )
    .await
    .unwrap_err()
    .to_string();
    assert!(
        error.contains("secret.bin disappeared while it was being read"),
        "{error}"
    );
    assert_eq!(relay.await.unwrap(), Some(error));
}

#[tokio::test]
async fn we_receive_what_upstream_sends() {
    let mut random = Random::seeded(7);
    let options = TreeOptions {
        specials: false,
        odd_names: true,
    };
    for _ in 0..30 {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        generate::tree(&mut random, from.path(), options);
        // Over something else the first time, over itself the second.
        generate::tree(&mut random, to.path(), options);
        let extra = to.path().join("kept.txt");
        std::fs::write(&extra, "mine").unwrap();
        for _ in 0..2 {
            let (mut child, inbound, outbound) = peer("send", from.path());
            receive(to.path(), Default::default(), inbound, outbound)
                .await
                .unwrap();
            assert!(child.wait().await.unwrap().success());
            let received = contents(to.path());
            let missing: Vec<_> = contents(from.path())
                .into_iter()
                .filter(|entry| !received.contains(entry))
                .map(|(stat, _)| stat)
                .collect();
            assert!(missing.is_empty(), "{missing:#?}\n{received:#?}");
        }
        assert_eq!(std::fs::read(&extra).unwrap(), b"mine");
        assert!(!received_temporaries(to.path()));
    }
}

fn received_temporaries(root: &Path) -> bool {
    let entries = walk::entries(root, &Selection::default(), Normalise::default()).unwrap();
    entries.iter().any(|s| s.path.ends_with(b".tmp"))
}
