//! Signatures, by the cosign on PATH.

use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;

use crate::cli::output;
use crate::env_vars;
use crate::error::{CommandError, CommandResult};
use crate::on_path;
use crate::tee::tee_stderr;

/// The flags about signing.
#[derive(Debug, Clone, Default, Args)]
pub struct SignArgs {
    /// Sign the image and the documents with the cosign on PATH: with a key, else with your identity
    /// (cosign's keyless way).
    #[arg(long, conflicts_with = "print")]
    pub sign: bool,
    /// Private key: a file, or what else cosign takes, such as awskms://… (default: COSIGN_KEY). Its
    /// password is COSIGN_PASSWORD, or cosign asks.
    #[arg(long, value_name = "KEY", requires = "sign")]
    pub key: Option<String>,
    /// Further flags of `cosign sign` and `cosign attest`, such as --tlog-upload=false.
    #[arg(last = true, value_name = "COSIGN FLAGS", requires = "sign")]
    pub flags: Vec<String>,
}

/// cosign, and what it is always told.
pub struct Cosign {
    program: PathBuf,
    flags: Vec<String>,
}

impl Cosign {
    /// # Errors
    /// Where cosign or the key isn't there.
    pub fn find(args: &SignArgs, is_insecure: bool) -> CommandResult<Self> {
        if let Some(key) = &args.key {
            if !is_there(key) {
                return Err(
                    CommandError::user(format!("--key {key}: no such file")).hint(
                        "cosign generate-key-pair makes one, with the password in COSIGN_PASSWORD",
                    ),
                );
            }
        } else if std::env::var(env_vars::COSIGN_KEY).is_ok_and(|key| !is_there(&key)) {
            // Its value may be the key itself, by mistake: it isn't shown.
            return Err(CommandError::user("COSIGN_KEY names no file")
                .hint("set it to the key's file, or give the file with --key"));
        }
        let program = on_path::find("cosign").ok_or_else(|| {
            CommandError::environment("--sign: cosign isn't installed").hint(
                "install it, for example: go install github.com/sigstore/cosign/v3/cmd/cosign@latest",
            )
        })?;
        // The flag is the consent that it asks for.
        let mut flags = vec!["--yes".to_owned()];
        if let Some(key) = &args.key {
            flags.extend(["--key".to_owned(), key.clone()]);
        }
        if is_insecure {
            let both = ["--allow-http-registry", "--allow-insecure-registry"];
            flags.extend(both.map(str::to_owned));
        }
        flags.extend(args.flags.iter().cloned());
        Ok(Self { program, flags })
    }

    /// Signs an image, by its digest; an index with all that it lists.
    ///
    /// # Errors
    /// Where cosign refuses.
    pub fn sign(&self, image: &str, is_index: bool) -> CommandResult {
        let recursive = is_index.then_some("--recursive");
        self.run("sign", recursive.as_slice(), image)
    }

    /// Signs a statement about an image: a predicate of a type that cosign knows by this name.
    ///
    /// # Errors
    /// Where cosign refuses.
    pub fn attest(&self, image: &str, kind: &str, predicate: &[u8]) -> CommandResult {
        let fail = |error| CommandError::environment(format!("temporary file: {error}"));
        let mut file = tempfile::NamedTempFile::new().map_err(fail)?;
        file.write_all(predicate).map_err(fail)?;
        let path = file.path().display().to_string();
        self.run("attest", &["--type", kind, "--predicate", &path], image)
    }

    /// cosign may ask at the terminal, and what it says is part of the story.
    fn run(&self, verb: &str, flags: &[&str], image: &str) -> CommandResult {
        let fail = |error| CommandError::environment(format!("cosign: {error}"));
        output::note(&format!("cosign {verb} {} {image}", flags.join(" ")));
        let stderr = std::io::stderr();
        let mut child = Command::new(&self.program)
            .arg(verb)
            .args(&self.flags)
            .args(flags)
            .arg(image)
            .stdout(Stdio::from(
                stderr.as_fd().try_clone_to_owned().map_err(fail)?,
            ))
            .stderr(Stdio::piped())
            .spawn()
            .map_err(fail)?;
        let mut said = Vec::new();
        if let Some(words) = child.stderr.take() {
            tee_stderr(words, &mut said);
        }
        let status = child.wait().map_err(fail)?;
        if status.success() {
            return Ok(());
        }
        Err(refusal(verb, image, &String::from_utf8_lossy(&said)))
    }
}

/// True for what isn't a file's name, and for a file.
fn is_there(key: &str) -> bool {
    key.contains("://") || Path::new(key).is_file()
}

/// cosign's last word as one error, with what to type next where that is known.
fn refusal(verb: &str, image: &str, said: &str) -> CommandError {
    let mut why = said.lines().filter_map(|line| line.split_once("Error: "));
    let why = why.next_back().map_or("it didn't say why", |(_, why)| why);
    let why = why
        .split_once(&format!("[{image}]: "))
        .map_or(why, |(_, why)| why);
    let error = CommandError::work(format!("cosign {verb} {image} failed: {why}"));
    let lower = why.to_lowercase();
    let knows = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if knows(&["decrypt", "inappropriate ioctl", "password"]) {
        return error.hint("set COSIGN_PASSWORD to the key's password");
    }
    if knows(&["tuf", "rekor", "fulcio", "transparency log"]) {
        return error.hint(
            "without Sigstore's public services, sign with a key: \
             --key FILE -- --tlog-upload=false --use-signing-config=false",
        );
    }
    error
}

#[cfg(test)]
mod tests {
    use super::refusal;

    #[test]
    fn what_cosign_said_becomes_one_error() {
        let said = "Flag --tlog-upload has been deprecated\n\
            Enter password for private key: Error: signing [r/n@d]: reading key: decrypt: decryption failed\n\
            error during command execution: signing [r/n@d]: reading key: decrypt: decryption failed\n";
        insta::assert_snapshot!(refusal("sign", "r/n@d", said), @"
        cosign sign r/n@d failed: reading key: decrypt: decryption failed
          hint: set COSIGN_PASSWORD to the key's password
        ");
        let silent = refusal("attest", "r/n@d", "killed\n").to_string();
        assert_eq!(silent, "cosign attest r/n@d failed: it didn't say why");
        let said = "Error: getting signing config from TUF: tuf refresh failed: no such host\n";
        insta::assert_snapshot!(refusal("sign", "r/n@d", said), @"
        cosign sign r/n@d failed: getting signing config from TUF: tuf refresh failed: no such host
          hint: without Sigstore's public services, sign with a key: --key FILE -- --tlog-upload=false --use-signing-config=false
        ");
    }
}
