//! Digests of bytes as the OCI image specification writes them: `sha256:` and 64 hexadecimal digits.
//! The one type for them is [`Digest`], which is parsed by the specification's rules.

use sha2::{Digest as _, Sha256};

pub use oci_spec::image::Digest;

/// The digest of some bytes.
pub fn sha256(bytes: &[u8]) -> Digest {
    of_hash(Sha256::new_with_prefix(bytes))
}

/// The digest of all that a hasher was given.
pub fn of_hash(hash: Sha256) -> Digest {
    format!("sha256:{}", hex::encode(hash.finalize()))
        .parse()
        .expect("64 hexadecimal digits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_the_digest_that_others_give_them() {
        let of_abc = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(b"abc").as_ref(), of_abc);
        let mut hash = Sha256::new();
        hash.update(b"a");
        hash.update(b"bc");
        assert_eq!(of_hash(hash), sha256(b"abc"));
    }
}
