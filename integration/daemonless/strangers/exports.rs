//! A builder that writes a local export: two trees at once, one of which swaps a folder of the
//! other for a link, and one that knows how temporary files are called.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use mlbuild_buildkit::fsutil::receive;
use mlbuild_buildkit::fsutil::walk::go_mode;
use mlbuild_proto::fsutil::types::packet::PacketType;
use mlbuild_proto::fsutil::types::{Packet, Stat};
use tokio::sync::mpsc;

fn stat(path: &str, mode: u32, link: &Path) -> Packet {
    let linkname = link.as_os_str().as_encoded_bytes();
    Packet {
        r#type: PacketType::PacketStat.into(),
        stat: Some(Stat {
            path: Bytes::copy_from_slice(path.as_bytes()),
            mode,
            linkname: Bytes::copy_from_slice(linkname),
            ..Stat::default()
        }),
        ..Packet::default()
    }
}

fn packet(kind: PacketType, id: u32, data: &'static str) -> Packet {
    Packet {
        r#type: kind.into(),
        id,
        data: data.into(),
        ..Packet::default()
    }
}

/// A tree on its way: what is sent into it, and what it answers.
struct Tree {
    to: mpsc::Sender<Result<Packet, std::io::Error>>,
    answers: mpsc::Receiver<Packet>,
    end: tokio::task::JoinHandle<Result<(), String>>,
}

impl Tree {
    fn into(folder: &Path) -> Self {
        let (to, mut packets) = mpsc::channel(64);
        let (outbound, answers) = mpsc::channel(64);
        let folder = folder.to_owned();
        let end = tokio::spawn(async move {
            let inbound = futures::stream::poll_fn(move |context| packets.poll_recv(context));
            let done = receive(&folder, Arc::default(), inbound, outbound).await;
            done.map_err(|error| error.to_string())
        });
        Tree { to, answers, end }
    }

    async fn send(&self, packet: Packet) {
        let _ = self.to.send(Ok(packet)).await;
    }

    /// Waits until a file is asked for, or the tree has given up.
    async fn asked(&mut self) {
        self.answers.recv().await;
    }
}

#[tokio::test]
async fn a_folder_that_another_tree_swaps_for_a_link_is_not_written_through() {
    let (outside, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let key = outside.path().join("authorized_keys");
    std::fs::write(&key, "mine").unwrap();
    let none = Path::new("");

    let mut first = Tree::into(out.path());
    first.send(stat("d", go_mode::DIR | 0o755, none)).await;
    first.send(stat("d/a", 0o644, none)).await;
    first.asked().await;

    // The second tree replaces the folder while the first one is at work in it.
    let second = Tree::into(out.path());
    second
        .send(stat("d", go_mode::SYMLINK | 0o777, outside.path()))
        .await;
    second.send(packet(PacketType::PacketStat, 0, "")).await;
    second.send(packet(PacketType::PacketFin, 0, "")).await;
    second.end.await.unwrap().unwrap();
    assert!(out.path().join("d").is_symlink());

    first.send(stat("d/authorized_keys", 0o644, none)).await;
    first
        .send(packet(PacketType::PacketData, 2, "theirs"))
        .await;
    first.send(packet(PacketType::PacketData, 2, "")).await;
    // A tree that is taken goes on waiting for its end.
    let end = tokio::time::timeout(std::time::Duration::from_secs(20), first.end);
    let refused = end.await.expect("it is refused").unwrap().unwrap_err();
    println!("refused: {refused}");
    assert_eq!(std::fs::read_to_string(&key).unwrap(), "mine");
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn no_link_under_a_temporary_name_is_followed() {
    let (outside, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let key = outside.path().join("id_rsa");
    std::fs::write(&key, "mine").unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    // The names of before: the process's number and a count.
    for count in 0..9 {
        let name = format!(".mlbuild-{}-{count}.tmp", std::process::id());
        symlink(&key, out.path().join(name)).unwrap();
    }
    let mut tree = Tree::into(out.path());
    tree.send(stat("f", 0o666, Path::new(""))).await;
    tree.send(packet(PacketType::PacketStat, 0, "")).await;
    tree.asked().await;
    let names = || std::fs::read_dir(out.path()).unwrap().flatten();
    let own: Vec<String> = names()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| !name.contains(&format!("-{}-", std::process::id())))
        .collect();
    assert!(own.len() == 1 && own[0].len() > 30, "{own:?}");
    // Whoever sees the name puts a link there before it gets its mode.
    std::fs::remove_file(out.path().join(&own[0])).unwrap();
    symlink(&key, out.path().join(&own[0])).unwrap();
    tree.send(packet(PacketType::PacketData, 0, "theirs")).await;
    tree.send(packet(PacketType::PacketData, 0, "")).await;
    tree.send(packet(PacketType::PacketFin, 0, "")).await;
    println!("refused: {:?}", tree.end.await.unwrap());
    let mode = key.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(
        (std::fs::read_to_string(&key).unwrap().as_str(), mode),
        ("mine", 0o600)
    );
}

/// Swaps a folder for a link out of the tree and back, until it is told to stop; says how often the link
/// stood there.
pub(super) fn swapping(
    folder: &Path,
    outside: &Path,
    stop: Arc<std::sync::atomic::AtomicBool>,
) -> std::thread::JoinHandle<usize> {
    let (folder, outside) = (folder.to_owned(), outside.to_owned());
    let aside = folder.with_file_name("aside");
    std::thread::spawn(move || {
        let mut links = 0;
        while !stop.load(std::sync::atomic::Ordering::Relaxed) {
            let _ = std::fs::rename(&folder, &aside);
            if symlink(&outside, &folder).is_ok() {
                links += 1;
                std::thread::sleep(std::time::Duration::from_micros(200));
            }
            // A tree may have put a folder of its own in the link's place.
            let _ = std::fs::remove_file(&folder);
            if std::fs::rename(&aside, &folder).is_err() {
                let _ = std::fs::remove_dir_all(&aside);
            }
            std::thread::sleep(std::time::Duration::from_micros(200));
        }
        links
    })
}

/// One export of a folder with a few files, a link and a folder in it. It may fail.
async fn export(out: &Path) -> Result<(), String> {
    let none = Path::new("");
    let mut tree = Tree::into(out);
    tree.send(stat("d", go_mode::DIR | 0o755, none)).await;
    for name in ["a", "b", "c"] {
        tree.send(stat(&format!("d/{name}"), 0o644, none)).await;
    }
    tree.send(stat("d/e", go_mode::DIR | 0o755, none)).await;
    tree.send(stat("d/e/f", 0o600, none)).await;
    tree.send(stat("d/l", go_mode::SYMLINK | 0o777, Path::new("a")))
        .await;
    tree.send(packet(PacketType::PacketStat, 0, "")).await;
    for id in [1, 2, 3, 5] {
        if tree.answers.recv().await.is_none() {
            break;
        }
        tree.send(packet(PacketType::PacketData, id, "theirs"))
            .await;
        tree.send(packet(PacketType::PacketData, id, "")).await;
    }
    tree.send(packet(PacketType::PacketFin, 0, "")).await;
    tree.end.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_outside_while_a_folder_is_swapped_for_a_link_all_the_time() {
    let (outside, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let key = outside.path().join("a");
    std::fs::write(&key, "mine").unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::create_dir(out.path().join("d")).unwrap();
    let stop: Arc<std::sync::atomic::AtomicBool> = Arc::default();
    let links = swapping(&out.path().join("d"), outside.path(), stop.clone());
    let (mut whole, mut refused) = (0, std::collections::BTreeMap::<String, usize>::new());
    let end = std::time::Instant::now() + std::time::Duration::from_secs(2);
    while std::time::Instant::now() < end {
        let export = tokio::time::timeout(std::time::Duration::from_secs(20), export(out.path()));
        match export.await.expect("it ends") {
            Ok(()) => whole += 1,
            Err(why) => {
                *refused
                    .entry(why.replace(&*out.path().to_string_lossy(), ""))
                    .or_default() += 1;
            }
        }
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let links = links.join().unwrap();
    println!("{links} links, {whole} whole exports, refused: {refused:#?}");
    assert!(links > 100 && !refused.is_empty(), "they met");
    let mode = key.metadata().unwrap().permissions().mode() & 0o777;
    let names: Vec<_> = std::fs::read_dir(outside.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(
        (names, std::fs::read_to_string(&key).unwrap(), mode),
        (vec!["a".into()], "mine".to_owned(), 0o600)
    );
}
