//! Which image a pod's status names: every container runtime writes it differently.

use oci_spec::image::Digest;

/// The image that a container runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageId {
    /// `name@digest`: what was pulled, an index or a manifest; a registry has it by this digest.
    Pulled(String),
    /// The digest of its configuration: no registry knows an image by that.
    Configuration(Digest),
}

/// Reads `imageID` of a container's status.
///
/// | written by | form |
/// | --- | --- |
/// | containerd, CRI-O, pulled | `registry/name@sha256:…` |
/// | containerd, loaded by hand | `sha256:…`, of the configuration |
/// | CRI-O, older | 64 hex digits, of the configuration |
/// | dockershim, cri-dockerd, pulled | `docker-pullable://registry/name@sha256:…` |
/// | the same, built on the node | `docker://sha256:…`, of the configuration |
///
/// `None` where it is none of these: the container wasn't started yet.
pub fn parse(text: &str) -> Option<ImageId> {
    // The scheme as a whole: taking its letters off would eat into names as `docker.io`.
    let text = text.split_once("://").map_or(text, |(_, rest)| rest);
    if let Some((name, digest)) = text.split_once('@') {
        let is_whole = !name.is_empty() && sha256(digest).is_some();
        return is_whole.then(|| ImageId::Pulled(text.to_owned()));
    }
    let id = if text.contains(':') {
        sha256(text)
    } else {
        sha256(&format!("sha256:{text}"))
    };
    id.map(ImageId::Configuration)
}

fn sha256(text: &str) -> Option<Digest> {
    let hex = text.strip_prefix("sha256:")?;
    let is_hex = hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit());
    text.parse().ok().filter(|_| is_hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_runtime_is_understood() {
        let hex = "1".repeat(64);
        let digest = format!("sha256:{hex}");
        for (text, name) in [
            (format!("127.0.0.1:5000/app@{digest}"), "127.0.0.1:5000/app"),
            (
                format!("docker-pullable://docker.io/library/a@{digest}"),
                "docker.io/library/a",
            ),
            (
                format!("docker-pullable://dockerhub.example/pull@{digest}"),
                "dockerhub.example/pull",
            ),
            (
                format!("containerd://reg.example/a@{digest}"),
                "reg.example/a",
            ),
        ] {
            assert_eq!(
                parse(&text),
                Some(ImageId::Pulled(format!("{name}@{digest}"))),
                "{text}"
            );
        }
        for text in [
            digest.clone(),
            hex,
            format!("docker://{digest}"),
            format!("containerd://{digest}"),
        ] {
            assert_eq!(
                parse(&text),
                Some(ImageId::Configuration(digest.parse().unwrap())),
                "{text}"
            );
        }
        for text in ["", "app:latest", "docker://", "app@sha256:12", "@sha256:"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
