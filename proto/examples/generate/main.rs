//! Writes `src/generated/` and `PROVENANCE.toml` anew from `protos/`:
//! `cargo run -p mlbuild-proto --example generate`.

mod generator;

fn main() -> std::io::Result<()> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    for (path, text) in generator::generate(root)? {
        std::fs::write(root.join(&path), text)?;
        println!("{path}");
    }
    Ok(())
}
