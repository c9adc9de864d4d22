//! A wheel of any size is packed in bounded memory. The only test of its process, so that the
//! most that it ever used is this wheel's.

use std::fs::File;
use std::io::{BufWriter, Seek as _, Write as _};

use mlbuild_wheels::{Compression, Target, Wheel, write_wheels};
use sha2::{Digest as _, Sha256};

/// Bytes of the one large file: far more than may be in memory.
const LARGE: u64 = 256 << 20;
/// Kilobytes that the process may ever have used.
const MOST: u64 = 64 << 10;

#[test]
fn a_large_wheel_takes_little_memory() {
    let mut file = tempfile::tempfile().unwrap();
    write_wheel(&mut file);
    file.seek(std::io::SeekFrom::Start(0)).unwrap();
    let (mut hash, mut piece) = (Sha256::new(), vec![0; 1 << 16]);
    while let read @ 1.. = std::io::Read::read(&mut file, &mut piece).unwrap() {
        hash.update(&piece[..read]);
    }
    file.seek(std::io::SeekFrom::Start(0)).unwrap();
    let sha256 = hex::encode(hash.finalize());
    let folder = std::env::temp_dir();
    let wheel = Wheel::from_stream("w-1.0-py3-none-any.whl", file, &folder, &sha256).unwrap();
    let target = Target::new("3.11".parse().unwrap(), "/opt/venv").unwrap();
    let written = write_wheels(&[wheel], &target, Compression::Zstd, std::io::sink());
    assert!(written.unwrap().0.unpacked > LARGE);
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let most: u64 = most
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    assert!(most < MOST, "{most} kB");
}

/// A wheel with a large stored file and 20,000 small ones.
fn write_wheel(file: &mut File) {
    let mut out = BufWriter::new(file);
    let (mut list, mut offset, mut count) = (Vec::new(), 0u64, 0u16);
    let mut entry = |out: &mut BufWriter<&mut File>, name: &str, size: u64, bytes: &[u8]| {
        let mut crc = crc32fast::Hasher::new();
        (0..size / bytes.len().max(1) as u64).for_each(|_| crc.update(bytes));
        let mut common = vec![20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];
        common.extend(crc.finalize().to_le_bytes());
        common.extend((size as u32).to_le_bytes());
        common.extend((size as u32).to_le_bytes());
        common.extend((name.len() as u32).to_le_bytes());
        out.write_all(b"PK\x03\x04").unwrap();
        out.write_all(&common).unwrap();
        out.write_all(name.as_bytes()).unwrap();
        (0..size / bytes.len().max(1) as u64).for_each(|_| out.write_all(bytes).unwrap());
        list.extend(b"PK\x01\x02\x14\x03");
        list.extend(&common);
        list.extend([0; 10]);
        list.extend((offset as u32).to_le_bytes());
        list.extend(name.as_bytes());
        offset += 30 + name.len() as u64 + size;
        count += 1;
    };
    let info = "w-1.0.dist-info";
    let metadata = b"Name: w\nVersion: 1.0\n\n";
    let (format, record) = (b"Wheel-Version: 1.0\n", format!("{info}/RECORD,,\n"));
    let size = |bytes: &[u8]| bytes.len() as u64;
    entry(
        &mut out,
        &format!("{info}/METADATA"),
        size(metadata),
        metadata,
    );
    entry(&mut out, &format!("{info}/WHEEL"), size(format), format);
    entry(
        &mut out,
        &format!("{info}/RECORD"),
        size(record.as_bytes()),
        record.as_bytes(),
    );
    entry(&mut out, "w/large.so", LARGE, &vec![7; 1 << 20]);
    for n in 0..20_000 {
        entry(
            &mut out,
            &format!("w/some/folder/with/a/long/path/{n}.py"),
            0,
            b"",
        );
    }
    out.write_all(&list).unwrap();
    out.write_all(b"PK\x05\x06\0\0\0\0").unwrap();
    out.write_all(&count.to_le_bytes()).unwrap();
    out.write_all(&count.to_le_bytes()).unwrap();
    out.write_all(&(list.len() as u32).to_le_bytes()).unwrap();
    out.write_all(&(offset as u32).to_le_bytes()).unwrap();
    out.write_all(&[0; 2]).unwrap();
}
