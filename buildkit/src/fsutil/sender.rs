//! The sending side of the protocol: announces a tree's selected entries,
//! then answers the daemon's requests for their content.
//!
//! STAT packets go out in walk order and number the entries from 0; an empty
//! STAT ends them. For each REQ(id) follow DATA packets and an empty one. Files
//! are read by a few threads at once, so their packets interleave. The daemon
//! ends with FIN, which is answered in kind. Carrying the packets is left to
//! the caller: an inbound stream and an outbound channel, whose capacity
//! bounds the memory that is in flight.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Display;
use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use mlbuild_proto::fsutil::types::packet::PacketType;
use mlbuild_proto::fsutil::types::{Packet, Stat};
use rustix::fs::FileType;
use rustix::io::Errno;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::error::FsError;
use super::filter::{Filter, FolderMatch, Selection, Verdict};
use super::tree::Tree;
use super::walk::{self, Normalise, go_mode};

/// Bytes in a DATA packet at most.
const CHUNK: usize = 64 * 1024;
/// Threads that read files at the same time, at most.
const READERS: usize = 4;

/// Where a tree comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// A folder on disk.
    Folder(PathBuf),
    /// Files by path (relative, slash-separated), such as a Dockerfile that
    /// was composed and lies nowhere. Sent with mode 0644.
    Files(BTreeMap<String, Bytes>),
}

/// How to send a tree.
#[derive(Debug, Clone, Default)]
pub struct SendOptions {
    /// What to make equal on the way out.
    pub normalise: Normalise,
    /// Counts what is sent, for whoever shows progress.
    pub counters: Arc<Counters>,
}

/// What a transfer has done so far; read it at any time.
#[derive(Debug, Default)]
pub struct Counters {
    entries: AtomicU64,
    files: AtomicU64,
    bytes: AtomicU64,
}

impl Counters {
    /// Entries announced: files, folders, links.
    pub fn entries(&self) -> u64 {
        self.entries.load(Ordering::Relaxed)
    }

    pub(super) fn add_entry(&self) {
        self.entries.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn add_file(&self) {
        self.files.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn add_bytes(&self, n: u64) {
        self.bytes.fetch_add(n, Ordering::Relaxed);
    }

    /// Files whose content was transferred in full.
    pub fn files(&self) -> u64 {
        self.files.load(Ordering::Relaxed)
    }

    /// Bytes of content transferred.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// Sends a tree until the daemon says it has what it wants. A failure is told
/// to the daemon before it is returned.
pub async fn send<S, E>(
    source: Source,
    selection: &Selection,
    options: SendOptions,
    mut inbound: S,
    outbound: mpsc::Sender<Packet>,
) -> Result<(), FsError>
where
    S: Stream<Item = Result<Packet, E>> + Unpin,
    E: Display,
{
    let result = async {
        let sender = Sender::start(source, selection, options, &outbound).await?;
        sender.answer(&mut inbound).await
    }
    .await;
    let last = match &result {
        Ok(()) => packet(PacketType::PacketFin, 0, Bytes::new()),
        Err(FsError::Remote(_)) => return result,
        Err(e) => packet(PacketType::PacketErr, 0, e.to_string().into()),
    };
    // If nobody listens any more, the result still tells what happened.
    let _ = outbound.send(last).await;
    result
}

pub(super) fn packet(kind: PacketType, id: u32, data: Bytes) -> Packet {
    Packet {
        r#type: kind as i32,
        id,
        data,
        stat: None,
    }
}

/// An entry that the daemon may request, by its number.
struct Announced {
    /// Where its path lies in [`State::paths`].
    start: usize,
    length: u16,
    content: Content,
}

enum Content {
    /// A file as it was when it was announced.
    OnDisk {
        size: u64,
        mtime: i64,
        inode: (u64, u64),
    },
    InMemory(Bytes),
    /// Nothing to read, or requested already.
    None,
}

#[derive(Default)]
struct State {
    paths: Vec<u8>,
    entries: Vec<Announced>,
    requests: VecDeque<u32>,
    /// Readers that wait for a request.
    idle: usize,
    closed: bool,
}

struct Shared {
    tree: Option<Tree>,
    state: Mutex<State>,
    wake: Condvar,
    outbound: mpsc::Sender<Packet>,
    options: SendOptions,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics holding it")
    }

    fn transmit(&self, packet: Packet) -> Result<(), FsError> {
        self.outbound
            .blocking_send(packet)
            .map_err(|_| FsError::Cancelled)
    }

    /// Numbers an entry and announces it.
    fn announce(&self, stat: Stat, content: Content) -> Result<(), FsError> {
        {
            let mut state = self.state();
            if state.closed {
                return Err(FsError::Cancelled);
            }
            let start = state.paths.len();
            let mut length = 0;
            if !matches!(content, Content::None) {
                state.paths.extend_from_slice(&stat.path);
                length = stat.path.len() as u16;
            }
            state.entries.push(Announced {
                start,
                length,
                content,
            });
        }
        self.options.counters.add_entry();
        self.transmit(Packet {
            r#type: PacketType::PacketStat as i32,
            stat: Some(stat),
            ..Default::default()
        })
    }

    fn end_of_stats(&self) -> Result<(), FsError> {
        self.transmit(packet(PacketType::PacketStat, 0, Bytes::new()))
    }
}

struct Sender {
    shared: Arc<Shared>,
    tasks: JoinSet<Result<(), FsError>>,
    readers: usize,
}

impl Drop for Sender {
    /// Lets the threads end, also where the transfer was given up.
    fn drop(&mut self) {
        self.shared.state().closed = true;
        self.shared.wake.notify_all();
    }
}

impl Sender {
    async fn start(
        source: Source,
        selection: &Selection,
        options: SendOptions,
        outbound: &mpsc::Sender<Packet>,
    ) -> Result<Self, FsError> {
        let selection = selection.clone();
        let outbound = outbound.clone();
        let (folder, files) = match source {
            Source::Folder(path) => (Some(path), None),
            Source::Files(files) => (None, Some(files)),
        };
        let opened = tokio::task::spawn_blocking(move || {
            let tree = folder.map(|path| Tree::open(&path)).transpose()?;
            let filter = Filter::new(tree.as_ref(), &selection)?;
            Ok::<_, FsError>((tree, filter))
        });
        let (tree, filter) = opened.await.map_err(|_| FsError::Cancelled)??;
        let shared = Arc::new(Shared {
            tree,
            state: Mutex::default(),
            wake: Condvar::new(),
            outbound,
            options,
        });
        let mut tasks = JoinSet::new();
        let announcer = shared.clone();
        tasks.spawn_blocking(move || match files {
            Some(files) => announce_files(&announcer, &filter, files),
            None => announce_tree(&announcer, &filter),
        });
        Ok(Sender {
            shared,
            tasks,
            readers: 0,
        })
    }

    /// Answers requests until FIN.
    async fn answer<S, E>(mut self, inbound: &mut S) -> Result<(), FsError>
    where
        S: Stream<Item = Result<Packet, E>> + Unpin,
        E: Display,
    {
        loop {
            let message = tokio::select! {
                biased;
                Some(done) = self.tasks.join_next() => {
                    done.map_err(|_| FsError::Cancelled)??;
                    continue;
                }
                message = inbound.next() => message,
            };
            let message = message
                .ok_or_else(|| FsError::Protocol("the builder hung up".into()))?
                .map_err(|e| FsError::Protocol(e.to_string()))?;
            match message.r#type() {
                PacketType::PacketReq => self.request(message.id)?,
                PacketType::PacketFin => return Ok(()),
                PacketType::PacketErr => {
                    let text = String::from_utf8_lossy(&message.data).into_owned();
                    return Err(FsError::Remote(text));
                }
                other => {
                    let name = other.as_str_name();
                    return Err(FsError::Protocol(format!("unexpected {name}")));
                }
            }
        }
    }

    /// Queues a request, with one more reader where all are busy.
    fn request(&mut self, id: u32) -> Result<(), FsError> {
        let mut state = self.shared.state();
        let known = state
            .entries
            .get(id as usize)
            .is_some_and(|e| !matches!(e.content, Content::None));
        if !known {
            return Err(FsError::Protocol(format!("request for unknown file {id}")));
        }
        state.requests.push_back(id);
        if state.requests.len() > state.idle && self.readers < READERS {
            self.readers += 1;
            let shared = self.shared.clone();
            self.tasks.spawn_blocking(move || read_requested(&shared));
        }
        drop(state);
        self.shared.wake.notify_one();
        Ok(())
    }
}

fn announce_tree(shared: &Shared, filter: &Filter) -> Result<(), FsError> {
    let tree = shared.tree.as_ref().expect("a folder has a tree");
    walk::walk(tree, filter, shared.options.normalise, &mut |found| {
        let Some(stat) = found.to_stat()? else {
            return Ok(());
        };
        let content = match found.kind() {
            FileType::RegularFile => Content::OnDisk {
                size: found.stat.st_size as u64,
                mtime: walk::mtime(found.stat),
                inode: (found.stat.st_dev, found.stat.st_ino),
            },
            FileType::Socket => Content::InMemory(Bytes::new()),
            _ => Content::None,
        };
        shared.announce(stat, content)
    })?;
    shared.end_of_stats()
}

/// Announces files that lie in memory, with the folders that their paths name.
fn announce_files(
    shared: &Shared,
    filter: &Filter,
    files: BTreeMap<String, Bytes>,
) -> Result<(), FsError> {
    // Byte order with `/` lowest is the order of the paths' elements.
    let mut entries: BTreeMap<Vec<String>, Option<Bytes>> = BTreeMap::new();
    for (path, content) in files {
        let elements: Vec<String> = path.split('/').map(str::to_owned).collect();
        if elements.iter().any(|e| matches!(&**e, "" | "." | "..")) {
            return Err(FsError::Protocol(format!(
                "{path:?} is not a relative path"
            )));
        }
        for depth in 1..elements.len() {
            entries.entry(elements[..depth].to_vec()).or_insert(None);
        }
        entries.insert(elements, Some(content));
    }
    for (elements, content) in entries {
        let path = elements.join("/").into_bytes();
        let is_dir = content.is_none();
        // Folders go out even where nothing inside is asked for: harmless.
        let (verdict, _) = filter.judge(&path, is_dir, &FolderMatch::default())?;
        if !is_dir && verdict != Verdict::Take {
            continue;
        }
        let stat = Stat {
            path: path.into(),
            mode: if is_dir { go_mode::DIR | 0o755 } else { 0o644 },
            size: content.as_ref().map_or(0, |c| c.len() as i64),
            mod_time: shared.options.normalise.mtime.unwrap_or_default(),
            ..Default::default()
        };
        shared.announce(stat, content.map_or(Content::None, Content::InMemory))?;
    }
    shared.end_of_stats()
}

/// Sends requested files until there will be no more requests.
fn read_requested(shared: &Shared) -> Result<(), FsError> {
    loop {
        let (id, path, content) = {
            let mut state = shared.state();
            let id = loop {
                if state.closed {
                    return Ok(());
                }
                if let Some(id) = state.requests.pop_front() {
                    break id;
                }
                state.idle += 1;
                state = shared.wake.wait(state).expect("no thread panics");
                state.idle -= 1;
            };
            let state = &mut *state;
            let entry = &mut state.entries[id as usize];
            let path = &state.paths[entry.start..entry.start + entry.length as usize];
            let content = std::mem::replace(&mut entry.content, Content::None);
            (id, path.to_vec(), content)
        };
        match content {
            Content::OnDisk { size, mtime, inode } => {
                send_file(shared, id, &path, size, mtime, inode)?;
            }
            Content::InMemory(bytes) => {
                for start in (0..bytes.len()).step_by(CHUNK) {
                    let end = (start + CHUNK).min(bytes.len());
                    send_chunk(shared, id, bytes.slice(start..end))?;
                }
            }
            Content::None => {
                return Err(FsError::Protocol(format!("file {id} was requested twice")));
            }
        }
        shared.transmit(packet(PacketType::PacketData, id, Bytes::new()))?;
        shared.options.counters.add_file();
    }
}

fn send_chunk(shared: &Shared, id: u32, data: Bytes) -> Result<(), FsError> {
    let length = data.len() as u64;
    shared.transmit(packet(PacketType::PacketData, id, data))?;
    shared.options.counters.add_bytes(length);
    Ok(())
}

/// Sends a file's content as it was announced: `size` bytes of it, so that a
/// log which grows meanwhile goes out as its beginning. Any other change is an
/// error, as the daemon would build from a mixture.
fn send_file(
    shared: &Shared,
    id: u32,
    path: &[u8],
    size: u64,
    mtime: i64,
    inode: (u64, u64),
) -> Result<(), FsError> {
    let tree = shared.tree.as_ref().expect("a folder has a tree");
    let changed = |what| FsError::changed(tree.absolute(path).as_os_str().as_encoded_bytes(), what);
    let file = tree.open_file(path).map_err(|e| match e {
        Errno::NOENT | Errno::NOTDIR => changed("disappeared"),
        Errno::LOOP | Errno::NXIO => changed("was replaced"),
        e => tree.error("open", path, e),
    })?;
    let check = |file: &File| -> Result<(), FsError> {
        let now = rustix::fs::fstat(file).map_err(|e| tree.error("read", path, e))?;
        if (now.st_dev, now.st_ino) != inode {
            return Err(changed("was replaced"));
        }
        if (now.st_size as u64) < size {
            return Err(changed("became shorter"));
        }
        if now.st_size as u64 == size && walk::mtime(&now) != mtime {
            return Err(changed("was written to"));
        }
        Ok(())
    };
    check(&file)?;
    let mut left = size;
    while left > 0 {
        let mut buffer = Vec::with_capacity(left.min(CHUNK as u64) as usize);
        while buffer.len() < buffer.capacity() {
            let spare = rustix::buffer::spare_capacity(&mut buffer);
            match rustix::io::read(&file, spare) {
                Ok(0) => return Err(changed("became shorter")),
                Ok(_) => {}
                Err(Errno::INTR) => {}
                Err(e) => return Err(tree.error("read", path, e)),
            }
        }
        buffer.truncate(left.min(CHUNK as u64) as usize);
        left -= buffer.len() as u64;
        send_chunk(shared, id, buffer.into())?;
    }
    check(&file)
}
