//! Reads an image spec (the `[image]` table of `mlbuild.toml`) from standard input and prints its
//! Dockerfile: `cargo run -p mlbuild-templates --example compose < spec.toml`. Arguments name the
//! secrets that the build will be given (`ca pip-conf uv-conf apt-conf apt-sources`).

use std::io::Read;

use mlbuild_templates::{ComposeContext, SecretUse, compose};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let spec = toml::from_str(&text)?;
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let context = ComposeContext {
        project: Some(std::path::Path::new(".")),
        secrets: SecretUse::ALL
            .into_iter()
            .filter(|secret| wanted.iter().any(|w| secret.id() == format!("mlbuild-{w}")))
            .collect(),
        ..ComposeContext::default()
    };
    let composition = compose(&spec, &context)?;
    for warning in &composition.warnings {
        eprintln!("warning: {}", warning.message);
    }
    print!("{}", composition.text);
    Ok(())
}
