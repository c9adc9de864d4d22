//! Packs a tar from standard input: `pack estargz|zstd:chunked BLOB`, and prints what a manifest says of it.

use std::fs::File;
use std::io::{BufWriter, stdin};

use mlbuild_lazy::{Format, LazyWriter};

fn main() -> std::io::Result<()> {
    let mut words = std::env::args().skip(1);
    let format = match words.next().as_deref() {
        Some("estargz") => Format::Estargz,
        _ => Format::ZstdChunked,
    };
    let blob = words.next().unwrap_or_else(|| "layer".to_owned());
    let mut writer = LazyWriter::new(BufWriter::new(File::create(blob)?), format)?;
    std::io::copy(&mut stdin().lock(), &mut writer)?;
    let (_, written) = writer.finish()?;
    let said = serde_json::json!({
        "diffId": format!("sha256:{}", written.diff_id),
        "digest": format!("sha256:{}", written.digest),
        "size": written.size,
        "annotations": written.annotations,
    });
    println!("{said}");
    Ok(())
}
