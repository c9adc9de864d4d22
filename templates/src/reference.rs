//! Image references as Docker reads them: `[HOST[:PORT]/]NAME[:TAG][@DIGEST]`.
//!
//! Follows the grammar of `distribution/reference`, whose Rust form in `oci-spec` compiles a
//! regular expression that takes longer than all else that mlbuild does where nothing changed.
//! The type is `oci-spec`'s, and a test holds both readings together.

use oci_spec::distribution::Reference;

/// The longest repository name. Bytes.
const MAX_NAME: usize = 255;
/// The longest tag. Bytes.
const MAX_TAG: usize = 128;
const DOCKER_HUB: &str = "docker.io";

/// Text that names no image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// No name at all.
    #[error("the name is empty")]
    Empty,
    /// Capitals in the repository's name.
    #[error("a repository name is lower-case")]
    Capitals,
    /// Over 255 bytes.
    #[error("a repository name has at most {MAX_NAME} characters")]
    Long,
    /// Something else in the name.
    #[error("a name is [HOST[:PORT]/]NAME of lower-case letters, digits and single separators")]
    Name,
    /// 64 hexadecimal digits, which name an image of a store.
    #[error("64 hexadecimal digits are an image's identifier, not a name")]
    Identifier,
    /// After the last colon.
    #[error(
        "a tag is up to {MAX_TAG} letters, digits, '_', '.' and '-', not beginning with '.' or '-'"
    )]
    Tag,
    /// After the `@`.
    #[error("a digest is sha256:, sha384: or sha512: with as many hexadecimal digits as it has")]
    Digest,
}

/// Reads a reference; without tag and digest the tag is `latest`, without a host the
/// registry is `docker.io`.
///
/// # Errors
/// What is wrong with the text.
pub fn parse(text: &str) -> Result<Reference, ReferenceError> {
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(checked_digest(digest)?)),
        None => (text, None),
    };
    // A colon before the last slash is a port's.
    let (name, tag) = match rest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(checked_tag(tag)?)),
        _ => (rest, None),
    };
    // It would be taken for an image's identifier.
    let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if text.len() == 64 && text.bytes().all(is_hex) {
        return Err(ReferenceError::Identifier);
    }
    let (registry, repository) = split_host(name)?;
    if repository.len() > MAX_NAME {
        return Err(ReferenceError::Long);
    }
    Ok(match (tag, digest) {
        (tag, None) => Reference::with_tag(registry, repository, tag.unwrap_or("latest").into()),
        (None, Some(digest)) => Reference::with_digest(registry, repository, digest.into()),
        (Some(tag), Some(digest)) => {
            Reference::with_tag_and_digest(registry, repository, tag.into(), digest.into())
        }
    })
}

fn split_host(name: &str) -> Result<(String, String), ReferenceError> {
    // No namespace of Docker Hub has capitals, so what has is a host.
    let is_host_name = |first: &str| {
        first.contains(['.', ':']) || first == "localhost" || first.to_lowercase() != first
    };
    let host = name
        .split_once('/')
        .filter(|(first, _)| is_host_name(first));
    let (host, path) = host.unwrap_or((DOCKER_HUB, name));
    if !is_host(host) {
        return Err(ReferenceError::Name);
    }
    check_path(path)?;
    let host = if host == "index.docker.io" {
        DOCKER_HUB
    } else {
        host
    };
    let path = if host == DOCKER_HUB && !path.contains('/') {
        format!("library/{path}")
    } else {
        path.to_owned()
    };
    Ok((host.to_owned(), path))
}

/// A name or address with an optional port; an IPv6 address stands in brackets.
fn is_host(text: &str) -> bool {
    if let Some(rest) = text.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else {
            return false;
        };
        let plain = |b: u8| b.is_ascii_hexdigit() || b == b':';
        return !address.is_empty()
            && address.bytes().all(plain)
            && (port.is_empty() || port.strip_prefix(':').is_some_and(is_digits));
    }
    let (name, port) = text.split_once(':').unwrap_or((text, "0"));
    let is_label = |label: &str| {
        let bytes = label.as_bytes();
        bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || *b == b'-')
            && bytes.first().is_some_and(|b| *b != b'-')
            && bytes.last().is_some_and(|b| *b != b'-')
    };
    name.split('.').all(is_label) && is_digits(port)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn check_path(path: &str) -> Result<(), ReferenceError> {
    if path.is_empty() {
        return Err(ReferenceError::Empty);
    }
    let fits = |path: &str| path.split('/').all(is_component);
    match fits(path) {
        true => Ok(()),
        false if fits(&path.to_ascii_lowercase()) => Err(ReferenceError::Capitals),
        false => Err(ReferenceError::Name),
    }
}

/// Words of small letters and digits between separators: `.`, `_`, `__` or hyphens.
fn is_component(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_separator =
        |text: &str| matches!(text, "" | "." | "_" | "__") || text.bytes().all(|b| b == b'-');
    text.starts_with(is_word) && text.ends_with(is_word) && text.split(is_word).all(is_separator)
}

fn checked_tag(tag: &str) -> Result<&str, ReferenceError> {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let fits = tag.len() <= MAX_TAG
        && tag.bytes().next().is_some_and(is_word)
        && tag.bytes().all(|b| is_word(b) || b == b'.' || b == b'-');
    fits.then_some(tag).ok_or(ReferenceError::Tag)
}

fn checked_digest(digest: &str) -> Result<&str, ReferenceError> {
    let length = match digest.split_once(':') {
        Some(("sha256", hex)) => (hex, 64),
        Some(("sha384", hex)) => (hex, 96),
        Some(("sha512", hex)) => (hex, 128),
        _ => return Err(ReferenceError::Digest),
    };
    let fits = length.0.len() == length.1
        && length
            .0
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    fits.then_some(digest).ok_or(ReferenceError::Digest)
}

/// Whether an image is of one of the places: registries, with or without the beginning of a path.
pub fn is_of(image: &str, places: &[String]) -> bool {
    let Ok(named) = parse(image) else {
        return false;
    };
    let image = format!("{}/{}", named.registry(), named.repository());
    places.iter().any(|place| {
        let rest = image.strip_prefix(place.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn defaults_are_docker_s() {
        for (text, whole) in [
            ("ubuntu", "docker.io/library/ubuntu:latest"),
            ("me/app:v1", "docker.io/me/app:v1"),
            ("index.docker.io/ubuntu", "docker.io/library/ubuntu:latest"),
            ("localhost/app", "localhost/app:latest"),
            ("localhost:5000/a/b_c:V1.0", "localhost:5000/a/b_c:V1.0"),
            ("test.com:5000", "docker.io/library/test.com:5000"),
            ("A/a", "A/a:latest"),
            ("LOCALHOST:5000/a", "LOCALHOST:5000/a:latest"),
            ("[2001:db8::1]:5000/a:1", "[2001:db8::1]:5000/a:1"),
            ("[::1]/a", "[::1]/a:latest"),
        ] {
            assert_eq!(parse(text).unwrap().whole(), whole, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_told() {
        let digest = format!("a@sha256:{}", "0".repeat(63));
        for (text, error) in [
            ("", ReferenceError::Empty),
            ("ghcr.io/", ReferenceError::Empty),
            ("Me/App", ReferenceError::Capitals),
            ("[::1/a", ReferenceError::Name),
            ("[g]/a", ReferenceError::Name),
            ("a//b", ReferenceError::Name),
            ("a___b", ReferenceError::Name),
            ("-a.io/b", ReferenceError::Name),
            ("host.io:port/b", ReferenceError::Name),
            ("a:", ReferenceError::Tag),
            ("a:-b", ReferenceError::Tag),
            ("a b", ReferenceError::Name),
            ("A B", ReferenceError::Name),
            (digest.as_str(), ReferenceError::Digest),
            ("a@md5:00", ReferenceError::Digest),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }

    fn like_a_reference() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            "[a-z0-9]{1,4}",
            "[A-Za-z0-9.-]{1,6}",
            Just(":".to_owned()),
            Just("/".to_owned()),
            "[._-]{1,3}",
            Just("localhost".to_owned()),
            Just(format!("@sha256:{}", "ab".repeat(32))),
            "@[a-z0-9+:]{1,8}",
        ];
        prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]
        #[test]
        fn it_reads_what_oci_spec_reads(text in like_a_reference()) {
            // Hosts of capitals alone, which oci-spec takes for namespaces, are judged by peers.
            let first = text.split('/').next().unwrap_or("");
            prop_assume!(first.contains(['.', ':']) || first.to_lowercase() == first);
            // oci-spec lets capitals through where no host stands before them, and underscores in hosts.
            let theirs = text.parse::<Reference>().ok().filter(|theirs| {
                !theirs.repository().bytes().any(|b| b.is_ascii_uppercase())
                    && !theirs.registry().contains('_')
            });
            prop_assert_eq!(parse(&text).ok(), theirs);
        }
    }
}
