//! Writes the layer of wheels and says what it came to: for trying things out, and for tests.
//!
//! `cargo run -p mlbuild-wheels --example layer -- PREFIX PYTHON OUT WHEEL...`

use std::error::Error;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use mlbuild_wheels::{Compression, Target, Wheel, write_wheels};
use sha2::{Digest as _, Sha256};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [prefix, python, out, files @ ..] = &arguments[..] else {
        return Err("PREFIX PYTHON OUT WHEEL...".into());
    };
    let target = Target::new(python.parse()?, prefix)?;
    let mut wheels = Vec::new();
    for file in files {
        let path = Path::new(file);
        let name = path.file_name().ok_or("no file")?.to_string_lossy();
        wheels.push(Wheel::open(&name, path, &hash(path)?)?);
    }
    let (layer, files) = write_wheels(&wheels, &target, Compression::Zstd, File::create(out)?)?;
    println!(
        "{} {} {} {} files",
        layer.digest,
        layer.diff_id,
        layer.size,
        files.0.len()
    );
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let memory = status.lines().find(|line| line.starts_with("VmHWM"));
    println!("{}", memory.unwrap_or_default());
    Ok(())
}

fn hash(path: &Path) -> std::io::Result<String> {
    let (mut file, mut hash, mut piece) = (File::open(path)?, Sha256::new(), vec![0; 1 << 18]);
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hex::encode(hash.finalize())),
            read => hash.update(&piece[..read]),
        }
    }
}
