//! Errors of `attest`.

use crate::error::CommandError;
use mlbuild::attest::{AttestError, SignError};

impl From<AttestError> for CommandError {
    fn from(error: AttestError) -> Self {
        match error {
            AttestError::Registry(error) => error.into(),
            AttestError::Image(error) => error.into(),
            AttestError::LockBeside(error) => error.into(),
            AttestError::NoLock { .. } => CommandError::new(error.kind(), &error)
                .hint("a bill of materials alone can be had: --no-provenance"),
            AttestError::Layer(error) => error.into(),
            AttestError::Digest(_) => CommandError::new(error.kind(), &error),
        }
    }
}

impl From<SignError> for CommandError {
    fn from(error: SignError) -> Self {
        let made = CommandError::new(error.kind(), &error);
        match error {
            SignError::NoKey { key } => CommandError::user(format!("--key {key}: no such file"))
                .hint("cosign generate-key-pair makes one, with the password in COSIGN_PASSWORD"),
            SignError::NoKeyFromEnv => {
                made.hint("set it to the key's file, or give the file with --key")
            }
            SignError::NotInstalled => {
                CommandError::environment("--sign: cosign isn't installed").hint(
                    "install it, for example: go install github.com/sigstore/cosign/v3/cmd/cosign@latest",
                )
            }
            SignError::Refused { why, .. } => match next(&why) {
                Some(hint) => made.hint(hint),
                None => made,
            },
            SignError::TemporaryFile(_) | SignError::Start(_) => made,
        }
    }
}

/// What to type next, where that is known of cosign's error.
fn next(why: &str) -> Option<&'static str> {
    let lower = why.to_lowercase();
    let knows = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if knows(&["decrypt", "inappropriate ioctl", "password"]) {
        return Some("set COSIGN_PASSWORD to the key's password");
    }
    if knows(&["tuf", "rekor", "fulcio", "transparency log"]) {
        return Some(
            "without Sigstore's public services, sign with a key: \
             --key FILE -- --tlog-upload=false --use-signing-config=false",
        );
    }
    None
}

#[cfg(test)]
mod tests {
    use crate::error::CommandError;
    use mlbuild::attest::refusal;

    #[test]
    fn what_cosign_said_becomes_one_error() {
        let said = "Flag --tlog-upload has been deprecated\n\
            Enter password for private key: Error: signing [r/n@d]: reading key: decrypt: decryption failed\n\
            error during command execution: signing [r/n@d]: reading key: decrypt: decryption failed\n";
        insta::assert_snapshot!(CommandError::from(refusal("sign", "r/n@d", said)), @"
        cosign sign r/n@d failed: reading key: decrypt: decryption failed
          hint: set COSIGN_PASSWORD to the key's password
        ");
        let silent = CommandError::from(refusal("attest", "r/n@d", "killed\n")).to_string();
        assert_eq!(silent, "cosign attest r/n@d failed: it didn't say why");
        let said = "Error: getting signing config from TUF: tuf refresh failed: no such host\n";
        insta::assert_snapshot!(CommandError::from(refusal("sign", "r/n@d", said)), @"
        cosign sign r/n@d failed: getting signing config from TUF: tuf refresh failed: no such host
          hint: without Sigstore's public services, sign with a key: --key FILE -- --tlog-upload=false --use-signing-config=false
        ");
    }
}
