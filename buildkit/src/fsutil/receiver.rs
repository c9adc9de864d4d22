//! The receiving side of the protocol, for builds exported to a folder
//! (`--output type=local`).
//!
//! Every file is asked for, as the daemon's own client does for exports; what
//! the destination holds besides stays. Paths out of order, outside the
//! destination or below something that isn't an announced folder are refused.
//! Writing is left to `destination`.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use mlbuild_proto::fsutil::types::packet::PacketType;
use mlbuild_proto::fsutil::types::{Packet, Stat};
use tokio::sync::mpsc;

use super::destination::{Destination, Incoming};
use super::error::{self, FsError};
use super::gopath;
use super::sender::{Counters, packet};
use super::walk::go_mode;

/// Files asked for at once. More would fill the other side's queue, which it
/// stops reading when full.
const WINDOW: usize = 64;

/// Receives a tree into `destination`, which is made where missing. A failure
/// is told to the daemon before it is returned.
pub async fn receive<S, E>(
    destination: &Path,
    counters: Arc<Counters>,
    mut inbound: S,
    outbound: mpsc::Sender<Packet>,
) -> Result<(), FsError>
where
    S: Stream<Item = Result<Packet, E>> + Unpin,
    E: Display,
{
    let (forward, packets) = mpsc::channel(32);
    let root = destination.to_owned();
    let requests = outbound.clone();
    let mut writer = tokio::task::spawn_blocking(move || {
        let mut receiver = Receiver::open(&root, counters, requests)?;
        let result = receiver.run(packets);
        receiver.abandon();
        result
    });
    let result = loop {
        let message = tokio::select! {
            biased;
            done = &mut writer => break done.unwrap_or(Err(FsError::Cancelled)),
            message = inbound.next() => message,
        };
        match message {
            Some(Ok(message)) => {
                if forward.send(message).await.is_err() {
                    break writer.await.unwrap_or(Err(FsError::Cancelled));
                }
            }
            Some(Err(e)) => break Err(FsError::Protocol(e.to_string())),
            None => {
                // The last packet may still be at work.
                drop(forward);
                break match writer.await {
                    Ok(Err(FsError::Cancelled)) | Err(_) => {
                        Err(FsError::Protocol("the builder hung up".into()))
                    }
                    Ok(done) => done,
                };
            }
        }
    };
    if let Err(e) = &result
        && !matches!(e, FsError::Remote(_))
    {
        let text = e.to_string().into();
        let _ = outbound.send(packet(PacketType::PacketErr, 0, text)).await;
    }
    result
}

struct Receiver {
    destination: Destination,
    counters: Arc<Counters>,
    outbound: mpsc::Sender<Packet>,
    order: Order,
    next_id: u32,
    /// Files still to be asked for.
    queue: VecDeque<(u32, Stat)>,
    incoming: BTreeMap<u32, Incoming>,
    folders: Vec<Stat>,
    links: Vec<Stat>,
    /// What hard links may refer to.
    files: HashSet<Bytes>,
    all_announced: bool,
    finished: bool,
}

impl Receiver {
    fn open(
        root: &Path,
        counters: Arc<Counters>,
        outbound: mpsc::Sender<Packet>,
    ) -> Result<Self, FsError> {
        Ok(Receiver {
            destination: Destination::open(root)?,
            counters,
            outbound,
            order: Order::default(),
            next_id: 0,
            queue: VecDeque::new(),
            incoming: BTreeMap::new(),
            folders: Vec::new(),
            links: Vec::new(),
            files: HashSet::new(),
            all_announced: false,
            finished: false,
        })
    }

    fn run(&mut self, mut packets: mpsc::Receiver<Packet>) -> Result<(), FsError> {
        while let Some(packet) = packets.blocking_recv() {
            match packet.r#type() {
                PacketType::PacketStat => match packet.stat {
                    Some(stat) => self.announced(stat)?,
                    None => self.all_announced = true,
                },
                PacketType::PacketData => self.data(packet.id, &packet.data)?,
                PacketType::PacketFin if self.finished => return Ok(()),
                PacketType::PacketErr => {
                    let text = String::from_utf8_lossy(&packet.data).into_owned();
                    return Err(FsError::Remote(text));
                }
                other => {
                    let name = other.as_str_name();
                    return Err(FsError::Protocol(format!("unexpected {name}")));
                }
            }
            self.request_more()?;
            self.finish_when_done()?;
        }
        Err(FsError::Cancelled)
    }

    /// Removes files that didn't come to their end.
    fn abandon(&mut self) {
        for incoming in std::mem::take(&mut self.incoming).into_values() {
            self.destination.abandon(&incoming);
        }
    }

    fn transmit(&self, packet: Packet) -> Result<(), FsError> {
        self.outbound
            .blocking_send(packet)
            .map_err(|_| FsError::Cancelled)
    }

    fn announced(&mut self, stat: Stat) -> Result<(), FsError> {
        let id = self.next_id;
        self.next_id += 1;
        let is_dir = stat.mode & go_mode::DIR != 0;
        self.order.check(&stat.path, is_dir)?;
        self.counters.add_entry();
        if is_dir {
            self.destination.folder(&stat.path, &stat)?;
            self.folders.push(stat);
        } else if stat.mode & go_mode::TYPE != 0 {
            self.destination.special(&stat.path, &stat)?;
        } else if !stat.linkname.is_empty() {
            if !self.files.contains(&stat.linkname) {
                return Err(FsError::Protocol(format!(
                    "{} is a hard link to {}, which was not announced",
                    error::display(&stat.path),
                    error::display(&stat.linkname)
                )));
            }
            // Its target may not be written yet.
            self.links.push(stat);
        } else {
            self.files.insert(stat.path.clone());
            self.queue.push_back((id, stat));
        }
        Ok(())
    }

    fn request_more(&mut self) -> Result<(), FsError> {
        while self.incoming.len() < WINDOW {
            let Some((id, stat)) = self.queue.pop_front() else {
                return Ok(());
            };
            let incoming = self.destination.file(stat.path.to_vec(), stat)?;
            self.incoming.insert(id, incoming);
            self.transmit(packet(PacketType::PacketReq, id, Bytes::new()))?;
        }
        Ok(())
    }

    fn data(&mut self, id: u32, data: &[u8]) -> Result<(), FsError> {
        let unknown = || FsError::Protocol(format!("data for unknown file {id}"));
        if data.is_empty() {
            let incoming = self.incoming.remove(&id).ok_or_else(unknown)?;
            self.counters.add_file();
            return self.destination.finish_file(incoming);
        }
        let incoming = self.incoming.get_mut(&id).ok_or_else(unknown)?;
        self.counters.add_bytes(data.len() as u64);
        incoming.write(data)
    }

    /// Once every file is in place: links, then folders' times, then FIN.
    fn finish_when_done(&mut self) -> Result<(), FsError> {
        let pending = !self.incoming.is_empty() || !self.queue.is_empty();
        if self.finished || !self.all_announced || pending {
            return Ok(());
        }
        for stat in std::mem::take(&mut self.links) {
            self.destination.link(&stat.path, &stat.linkname)?;
        }
        for stat in std::mem::take(&mut self.folders).iter().rev() {
            self.destination.finish_folder(&stat.path, stat)?;
        }
        self.finished = true;
        self.transmit(packet(PacketType::PacketFin, 0, Bytes::new()))
    }
}

/// Checks that paths come in walk order and lie below announced folders.
#[derive(Default)]
struct Order {
    /// The folders that the last path lies in, and the last name in each.
    open: Vec<Vec<u8>>,
    last: Vec<Vec<u8>>,
}

impl Order {
    fn check(&mut self, path: &[u8], is_dir: bool) -> Result<(), FsError> {
        let first = path.split(|b| *b == b'/').next();
        if path.is_empty()
            || path == b"."
            || gopath::clean(path) != path
            || path[0] == b'/'
            || first == Some(b"..")
            || path.contains(&0)
        {
            return Err(FsError::Escape(error::display(path)));
        }
        let folder = gopath::dir(path);
        let name = gopath::base(path);
        if self.open.is_empty() {
            self.open.push(b".".to_vec());
            self.last.push(Vec::new());
        }
        while self.open.last().is_some_and(|open| *open != folder) {
            self.open.pop();
            self.last.pop();
        }
        let last = self.last.last_mut().filter(|last| &last[..] < name);
        let Some(last) = last else {
            let path = error::display(path);
            return Err(FsError::Protocol(format!("{path} is out of order")));
        };
        *last = name.to_vec();
        if is_dir {
            self.open.push(path.to_vec());
            self.last.push(Vec::new());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(paths: &[(&str, bool)]) -> Result<(), String> {
        let mut order = Order::default();
        paths
            .iter()
            .try_for_each(|(path, dir)| order.check(path.as_bytes(), *dir))
            .map_err(|e| e.to_string())
    }

    #[test]
    fn paths_come_in_order_below_announced_folders() {
        assert!(order(&[("a", true), ("a/b", false), ("a-b", false)]).is_ok());
        for bad in [
            &[("b", false), ("a", false)][..],
            &[("a", false), ("a/b", false)],
            &[("a/b", false)],
            &[("a", true), ("a", true)],
            &[("../a", false)],
            &[("/a", false)],
            &[("a/../../b", false)],
            &[("", false)],
            &[("..", true)],
        ] {
            assert!(order(bad).is_err(), "{bad:?}");
        }
    }

    /// A daemon that sends one file through a symlink in the destination.
    #[tokio::test]
    async fn links_in_the_destination_lead_nowhere() {
        let outside = tempfile::tempdir().unwrap();
        let inside = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path(), inside.path().join("d")).unwrap();
        std::fs::write(outside.path().join("f"), "mine").unwrap();
        let stat = |path: &str, mode| Packet {
            stat: Some(Stat {
                path: Bytes::copy_from_slice(path.as_bytes()),
                mode,
                ..Default::default()
            }),
            ..Default::default()
        };
        let data = |text: &'static str| packet(PacketType::PacketData, 1, text.into());
        let packets = [
            stat("d", go_mode::DIR | 0o755),
            stat("d/f", 0o644),
            packet(PacketType::PacketStat, 0, Bytes::new()),
            data("theirs"),
            data(""),
            packet(PacketType::PacketFin, 0, Bytes::new()),
        ];
        let inbound = futures::stream::iter(packets.map(Ok::<_, std::io::Error>));
        let (outbound, _answers) = mpsc::channel(16);
        receive(inside.path(), Arc::default(), inbound, outbound)
            .await
            .unwrap();
        let read = |path: &Path| std::fs::read_to_string(path.join("f")).unwrap();
        assert_eq!(read(outside.path()), "mine");
        assert_eq!(read(&inside.path().join("d")), "theirs");
    }
}
