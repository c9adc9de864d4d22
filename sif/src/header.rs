//! Numbers of the format, version 1.

/// What the file begins with: run as a program, it looks for `run-singularity`.
pub(crate) const LAUNCH: &[u8] = b"#!/usr/bin/env run-singularity\n\0";
/// Then this.
pub(crate) const MAGIC: &[u8] = b"SIF_MAGIC\0";
pub(crate) const VERSION: &[u8] = b"01\0";

/// Bytes of the header.
pub(crate) const HEADER: usize = 128;
/// Where the descriptors begin.
pub(crate) const DESCRIPTORS_AT: u64 = 4096;
/// Bytes of one.
pub(crate) const DESCRIPTOR: usize = 585;
/// How many there is room for.
pub(crate) const ROOM: u64 = 48;
/// Where the first object begins.
pub(crate) const DATA_AT: u64 = DESCRIPTORS_AT + ROOM * DESCRIPTOR as u64;
/// A file system begins at a multiple of this.
pub(crate) const ALIGNED: u64 = 4096;

/// Kinds of objects.
pub(crate) const DEFINITION: i32 = 0x4001;
pub(crate) const PARTITION: i32 = 0x4004;
pub(crate) const JSON: i32 = 0x4006;

/// The one group of objects.
pub(crate) const GROUP: u32 = 0xf000_0001;
/// A partition with a squashfs.
pub(crate) const SQUASHFS: i32 = 1;
/// The partition that is the root.
pub(crate) const PRIMARY: i32 = 2;

/// Where things lie in the header.
pub(crate) const DESCRIPTORS_TOTAL: usize = 88;
pub(crate) const DESCRIPTORS_OFFSET: usize = 96;
