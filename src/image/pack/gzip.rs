//! gzip by several threads. The stream is cut every [`MEMBER`] bytes, and each piece is a gzip
//! member of its own, as RFC 1952 (2.2) lets files be: what comes out depends on neither the
//! number of threads nor their pace.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use libdeflater::{CompressionLvl, Compressor};

/// Bytes that make a member: enough for what a cut costs in size, which is the 32 KiB that
/// compression looks back over, to be less than a hundredth.
const MEMBER: usize = 1 << 20;

/// A piece of the stream, and who waits for its member.
type Piece = (Vec<u8>, Sender<Vec<u8>>);

/// Compresses what is written to it into `out`.
pub(super) struct GzipMembers<W: Write> {
    out: W,
    piece: Vec<u8>,
    is_first: bool,
    to_threads: SyncSender<Piece>,
    /// Members that threads work at, in the order of the stream.
    awaited: VecDeque<Receiver<Vec<u8>>>,
    /// Pieces in memory at once.
    most: usize,
}

impl<W: Write> GzipMembers<W> {
    /// `level` is `gzip`'s, 1 to 9. The threads end with the writer.
    pub(super) fn new(out: W, level: u32, threads: usize) -> io::Result<Self> {
        let level = i32::try_from(level).map_or(None, |level| CompressionLvl::new(level).ok());
        let level = level.ok_or_else(|| io::Error::other("no level of gzip"))?;
        let most = 2 * threads;
        let (to_threads, pieces) = sync_channel::<Piece>(most);
        let pieces = Arc::new(Mutex::new(pieces));
        for _ in 0..threads {
            let pieces = pieces.clone();
            thread::Builder::new().spawn(move || work(level, &pieces))?;
        }
        Ok(Self {
            out,
            piece: Vec::with_capacity(MEMBER),
            is_first: true,
            to_threads,
            awaited: VecDeque::new(),
            most,
        })
    }

    /// Writes what is left, and gives back the output.
    pub(super) fn finish(mut self) -> io::Result<W> {
        // A file of no bytes is no gzip.
        if !self.piece.is_empty() || self.is_first {
            self.send()?;
        }
        while !self.awaited.is_empty() {
            self.take()?;
        }
        Ok(self.out)
    }

    fn send(&mut self) -> io::Result<()> {
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(MEMBER));
        let (sender, receiver) = channel();
        let sent = self.to_threads.send((piece, sender));
        sent.map_err(|_| io::Error::other("no thread compresses any more"))?;
        self.awaited.push_back(receiver);
        self.is_first = false;
        if self.awaited.len() > self.most {
            self.take()?;
        }
        Ok(())
    }

    fn take(&mut self) -> io::Result<()> {
        let Some(first) = self.awaited.pop_front() else {
            return Ok(());
        };
        let member = first.recv();
        let member = member.map_err(|_| io::Error::other("a thread that compresses has ended"))?;
        self.out.write_all(&member)
    }
}

impl<W: Write> Write for GzipMembers<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let fits = bytes.len().min(MEMBER - self.piece.len());
        self.piece.extend_from_slice(&bytes[..fits]);
        if self.piece.len() == MEMBER {
            self.send()?;
        }
        Ok(fits)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One thread: until there is nobody to send pieces.
fn work(level: CompressionLvl, pieces: &Mutex<Receiver<Piece>>) {
    let mut compressor = Compressor::new(level);
    loop {
        let piece = pieces.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((piece, sender)) = piece else { return };
        let mut member = vec![0; compressor.gzip_compress_bound(piece.len())];
        let written = compressor.gzip_compress(&piece, &mut member);
        member.truncate(written.expect("the bound is enough"));
        // Nobody waits where writing failed.
        let _ = sender.send(member);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn packed(bytes: &[u8], threads: usize, step: usize) -> Vec<u8> {
        let mut writer = GzipMembers::new(Vec::new(), 6, threads).expect("threads");
        for part in bytes.chunks(step) {
            writer.write_all(part).expect("written");
        }
        writer.finish().expect("written")
    }

    fn words(length: usize) -> Vec<u8> {
        let numbers = (0u64..).map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40);
        let text = numbers.flat_map(|n| format!("{n} ").into_bytes());
        text.take(length).collect()
    }

    #[test]
    fn it_reads_back_whatever_its_length() {
        for length in [0, 1, MEMBER - 1, MEMBER, MEMBER + 1, 5 * MEMBER + 7] {
            let bytes = words(length);
            let packed = packed(&bytes, 2, 1000);
            let mut read = Vec::new();
            let mut reader = flate2::read::MultiGzDecoder::new(&packed[..]);
            reader.read_to_end(&mut read).expect("gzip");
            assert!(read == bytes, "{length} bytes");
        }
    }

    #[test]
    fn threads_and_steps_make_no_difference() {
        let bytes = words(9 * MEMBER + 1);
        let one = packed(&bytes, 1, MEMBER);
        assert!(one == packed(&bytes, 7, 333));
        assert!(one == packed(&bytes, 2, bytes.len()));
    }

    #[test]
    fn an_output_that_fails_is_an_error_and_no_hang() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::Error::from(io::ErrorKind::StorageFull))
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut writer = GzipMembers::new(Full, 6, 2).expect("threads");
        let written = writer.write_all(&words(20 * MEMBER));
        let error = written.expect_err("the disk is full");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
