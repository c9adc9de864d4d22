//! Packs blocks on several threads, and gives them back in the order in which they came.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use libdeflater::{CompressionLvl, Compressor};

use super::tree::FileId;

/// How hard it tries. 6 is gzip's own default; what 9 saves is a hundredth, for thrice the time.
const LEVEL: i32 = 6;
/// Blocks under way for each thread.
const AHEAD: usize = 16;
/// Most threads, since every one has its blocks in memory.
const THREADS: usize = 16;

/// What a block belongs to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target {
    File(FileId),
    /// Nothing but zeros: so many.
    Hole(FileId, u64),
    Fragment,
}

/// A block as it is written.
#[derive(Debug, Default)]
pub(super) struct Packed {
    pub(super) bytes: Vec<u8>,
    pub(super) is_raw: bool,
}

struct Work {
    block: Vec<u8>,
    answer: Sender<Packed>,
}

/// The threads, and what they have in hand.
pub(super) struct Packer {
    work: Option<SyncSender<Work>>,
    threads: Vec<JoinHandle<()>>,
    waiting: VecDeque<(Target, Receiver<Packed>)>,
    most: usize,
}

impl Packer {
    pub(super) fn start(threads: usize) -> io::Result<Self> {
        let count = threads.clamp(1, THREADS);
        let (work, given) = sync_channel::<Work>(count * AHEAD);
        let given = Arc::new(Mutex::new(given));
        let threads = (0..count).map(|_| {
            let given = Arc::clone(&given);
            thread::Builder::new()
                .name("squashfs".to_owned())
                .spawn(move || serve(&given))
        });
        Ok(Self {
            work: Some(work),
            threads: threads.collect::<io::Result<_>>()?,
            waiting: VecDeque::new(),
            most: count * AHEAD,
        })
    }

    /// Takes a block; gives the oldest one back where there are enough.
    pub(super) fn push(
        &mut self,
        target: Target,
        block: Vec<u8>,
    ) -> io::Result<Option<(Target, Packed)>> {
        let (answer, packed) = channel();
        let gone = || io::Error::other("the threads that pack ended");
        if block.is_empty() {
            answer.send(Packed::default()).map_err(|_| gone())?;
        } else {
            let work = self.work.as_ref().ok_or_else(gone)?;
            work.send(Work { block, answer }).map_err(|_| gone())?;
        }
        self.waiting.push_back((target, packed));
        if self.waiting.len() > self.most {
            return self.next();
        }
        Ok(None)
    }

    /// The oldest block; `None` where there is none.
    pub(super) fn next(&mut self) -> io::Result<Option<(Target, Packed)>> {
        let Some((target, packed)) = self.waiting.pop_front() else {
            return Ok(None);
        };
        let packed = packed.recv();
        let packed = packed.map_err(|_| io::Error::other("a thread that packs ended"))?;
        Ok(Some((target, packed)))
    }
}

impl Drop for Packer {
    fn drop(&mut self) {
        self.work = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn serve(given: &Mutex<Receiver<Work>>) {
    let mut packer = compressor();
    loop {
        let work = given.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Work { block, answer }) = work else {
            return;
        };
        let packed = match pack(&mut packer, &block) {
            Some(bytes) => Packed {
                bytes,
                is_raw: false,
            },
            None => Packed {
                bytes: block,
                is_raw: true,
            },
        };
        let _ = answer.send(packed);
    }
}

pub(super) fn compressor() -> Compressor {
    Compressor::new(CompressionLvl::new(LEVEL).unwrap_or_default())
}

/// Packed bytes, where they are fewer.
pub(super) fn pack(packer: &mut Compressor, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut packed = vec![0; bytes.len()];
    let length = packer.zlib_compress(bytes, &mut packed).ok()?;
    packed.truncate(length);
    (length < bytes.len()).then_some(packed)
}
