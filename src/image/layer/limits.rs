//! How much a layer may hold, so that a small blob can't fill the memory.

/// How much a layer may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerLimits {
    /// Bytes that it may unpack to.
    pub unpacked: u64,
    /// Entries that it may have.
    pub entries: u64,
    /// Bytes of all its paths, links and extended attributes together.
    pub names: u64,
}

/// What any layer may unpack to, in bytes.
const ALWAYS: u64 = 1 << 30;
/// How many times its own size a layer may unpack to. Real ones stay below 20.
const RATIO: u64 = 200;
/// A large image has a few hundred thousand files in all its layers.
const ENTRIES: u64 = 1_000_000;
const NAMES: u64 = 256 << 20;

impl LayerLimits {
    /// What a blob of this many bytes may hold.
    pub fn for_blob(size: u64) -> Self {
        Self {
            unpacked: size.saturating_mul(RATIO).max(ALWAYS),
            entries: ENTRIES,
            names: NAMES,
        }
    }

    /// At most this many bytes, for a layer that is held in memory.
    pub fn in_memory(unpacked: u64) -> Self {
        Self {
            unpacked,
            entries: ENTRIES / 10,
            names: NAMES / 16,
        }
    }
}
