//! The Xauthority reader, on anything: what it reads is exactly what stands there up to the damage.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mlbuild::display::authority::{Authority, Family};

fuzz_target!(|data: &[u8]| {
    let read = Authority::read(data);
    let written = Authority::write(&read.entries).expect("lengths of two bytes");
    assert_eq!(data.get(..written.len()), Some(written.as_slice()));
    assert_eq!(read.damaged_at, (written.len() < data.len()).then_some(written.len()));
    let _ = read.cookie(&[(Family::LOCAL, b"host".to_vec())], 0);
});
