//! The layer reader, on anything: it may refuse, and must neither panic nor show a path that
//! leads out of the image.
#![no_main]

use std::io;
use std::ops::ControlFlow;

use libfuzzer_sys::fuzz_target;
use mlbuild::image::layer::{LayerLimits, Packing, read_layer};
use oci_spec::image::MediaType;

fuzz_target!(|data: &[u8]| {
    let mut tar = data.to_vec();
    mend(&mut tar);
    let (blob, layer) = Packing::Plain.pack(tar, MediaType::ImageLayer);
    let limits = LayerLimits::in_memory(1 << 20);
    let _ = read_layer(blob.as_slice(), &layer, &limits, &mut |entry, content| {
        let names = entry.path.as_bytes().split(|&b| b == b'/');
        assert!(!entry.path.as_bytes().starts_with(b"/"));
        assert!(names.clone().all(|name| name != b".." && name != b"."));
        let size = io::copy(content, &mut io::sink())?;
        assert_eq!(size, entry.size);
        Ok(ControlFlow::Continue(()))
    });
});

/// Gives blocks that look like headers the checksum of one, which no fuzzer guesses.
fn mend(tar: &mut [u8]) {
    for block in tar.chunks_exact_mut(512) {
        if &block[257..262] == b"ustar" {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|&b| u32::from(b)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
}
