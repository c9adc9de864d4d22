//! The images that a workflow starts, named by digest: a tag can be given to another image at any time.

use std::time::Duration;

use futures::future::join_all;
use oci_spec::distribution::Reference;

use mlbuild::registry::{Registry, RegistryOptions};

/// How long a registry is waited for: the workflow can be written without it.
const PATIENCE: Duration = Duration::from_secs(15);

/// Placeholder and image. BuildKit is the second builder.
const IMAGES: [(&str, &str); 3] = [
    ("@BUILDKIT@", "moby/buildkit:v0.32.2"),
    ("@RUST@", "rust:1-bookworm"),
    ("@DOCKER@", "docker:28-dind"),
];

/// A workflow's text with its images, and those of them that are named by their tags alone, with why.
pub(super) struct WithImages {
    pub(super) text: String,
    pub(super) floating: Vec<(String, String)>,
}

/// Names the images of `template`. A digest that the file of before has stays, unless `anew` asks for
/// the newest ones; then it stays where the registry can't be asked.
pub(super) async fn name(
    template: &str,
    before: &str,
    anew: bool,
    options: RegistryOptions,
) -> WithImages {
    let registry = Registry::new(options);
    let used = IMAGES.iter().filter(|(place, _)| template.contains(place));
    let named = used.map(async |(place, image)| {
        let old = kept(before, image);
        match old {
            Some(old) if !anew => (place, Ok(old)),
            old => {
                let asked = ask(&registry, image).await;
                (place, asked.or_else(|why| old.ok_or((*image, why))))
            }
        }
    });
    let mut named_images = WithImages {
        text: template.to_owned(),
        floating: Vec::new(),
    };
    for (place, found) in join_all(named).await {
        let name = match found {
            Ok(name) => name,
            Err((image, why)) => {
                named_images.floating.push((image.to_owned(), why));
                image.to_owned()
            }
        };
        named_images.text = named_images.text.replace(place, &name);
    }
    named_images
}

/// `IMAGE@sha256:…`, where a text has it.
fn kept(text: &str, image: &str) -> Option<String> {
    let start = format!("{image}@sha256:");
    let at = text.find(&start)? + start.len();
    let hex = text.get(at..at + 64)?;
    let is_hex = hex
        .bytes()
        .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    is_hex.then(|| format!("{start}{hex}"))
}

async fn ask(registry: &Registry, image: &str) -> Result<String, String> {
    let reference: Reference = image.parse().expect("a name of our own");
    match tokio::time::timeout(PATIENCE, registry.pull_manifest(&reference)).await {
        Ok(Ok((descriptor, _))) => Ok(format!("{image}@{}", descriptor.digest())),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::kept;

    #[test]
    fn a_digest_that_a_file_has_is_kept_if_it_is_one() {
        let hex = "0123456789abcdef".repeat(4);
        let image = "rust:1-bookworm";
        let whole = format!("{image}@sha256:{hex}");
        for (text, found) in [
            (format!("image: {whole}\n"), true),
            (format!("image: {image}\n"), false),
            (format!("image: {image}@sha256:{}\n", &hex[1..]), false),
            (
                format!("image: {image}@sha256:{}", hex.to_uppercase()),
                false,
            ),
            (format!("image: other-{image}"), false),
        ] {
            assert_eq!(kept(&text, image), found.then(|| whole.clone()), "{text}");
        }
    }
}
