//! Signatures, by the cosign on PATH.

use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::env_vars;
use crate::error::ErrorKind;
use crate::on_path;
use crate::reporter::Reporter;
use crate::shell::{line, word};
use crate::tee::tee_stderr;

/// How cosign signs.
#[derive(Debug, Clone, Default)]
pub struct SignRequest {
    /// Private key: a file, or what else cosign takes, such as `awskms://…`. Without it cosign reads
    /// `COSIGN_KEY`, or signs with an identity (its keyless way).
    pub key: Option<String>,
    /// Further flags of `cosign sign` and `cosign attest`.
    pub flags: Vec<String>,
    /// Whether the registry may speak plain http or show any certificate.
    pub is_insecure: bool,
}

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The key's file isn't there.
    #[error("{key}: no such file")]
    NoKey {
        /// The key, as it was given.
        key: String,
    },
    /// `COSIGN_KEY` names no file. Its value may be the key itself, by mistake: it isn't shown.
    #[error("COSIGN_KEY names no file")]
    NoKeyFromEnv,
    /// There is no cosign on PATH.
    #[error("cosign isn't installed")]
    NotInstalled,
    /// The statement can't be handed to cosign.
    #[error("temporary file: {0}")]
    TemporaryFile(#[source] io::Error),
    /// cosign can't be started, or waited for.
    #[error("cosign: {0}")]
    Start(#[source] io::Error),
    /// cosign failed.
    #[error("cosign {verb} {image} failed: {why}")]
    Refused {
        /// What it was told to do.
        verb: String,
        /// The image.
        image: String,
        /// Its last error, without what it repeats.
        why: String,
    },
}

impl SignError {
    /// Of which kind it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoKey { .. } | Self::NoKeyFromEnv => ErrorKind::User,
            Self::NotInstalled | Self::TemporaryFile(_) | Self::Start(_) => ErrorKind::Environment,
            Self::Refused { .. } => ErrorKind::Work,
        }
    }
}

/// cosign, and the flags that it always gets.
#[derive(Debug)]
pub struct Cosign {
    program: PathBuf,
    flags: Vec<String>,
}

impl Cosign {
    /// Finds cosign and the key.
    ///
    /// # Errors
    /// Where one of them isn't there.
    pub fn find(request: &SignRequest) -> Result<Self, SignError> {
        if let Some(key) = &request.key {
            if !is_there(key) {
                return Err(SignError::NoKey { key: key.clone() });
            }
        } else if std::env::var(env_vars::COSIGN_KEY).is_ok_and(|key| !is_there(&key)) {
            return Err(SignError::NoKeyFromEnv);
        }
        let program = on_path::find("cosign").ok_or(SignError::NotInstalled)?;
        // The request is the consent that it asks for.
        let mut flags = vec!["--yes".to_owned()];
        if let Some(key) = &request.key {
            flags.extend(["--key".to_owned(), key.clone()]);
        }
        if request.is_insecure {
            let both = ["--allow-http-registry", "--allow-insecure-registry"];
            flags.extend(both.map(str::to_owned));
        }
        flags.extend(request.flags.iter().cloned());
        Ok(Self { program, flags })
    }

    /// Signs an image, by its digest; an index with all that it lists.
    ///
    /// # Errors
    /// Where cosign refuses.
    pub fn sign(
        &self,
        image: &str,
        is_index: bool,
        reporter: &dyn Reporter,
    ) -> Result<(), SignError> {
        let recursive = is_index.then_some("--recursive");
        self.run("sign", recursive.as_slice(), image, reporter)
    }

    /// Signs a statement about an image: a predicate of a type that cosign knows by this name.
    ///
    /// # Errors
    /// Where cosign refuses.
    pub fn attest(
        &self,
        image: &str,
        kind: &str,
        predicate: &[u8],
        reporter: &dyn Reporter,
    ) -> Result<(), SignError> {
        let mut file = tempfile::NamedTempFile::new().map_err(SignError::TemporaryFile)?;
        file.write_all(predicate)
            .map_err(SignError::TemporaryFile)?;
        let path = file.path().display().to_string();
        let flags = ["--type", kind, "--predicate", &path];
        self.run("attest", &flags, image, reporter)
    }

    /// cosign may ask at the terminal: its output goes to this process's stderr.
    fn run(
        &self,
        verb: &str,
        flags: &[&str],
        image: &str,
        reporter: &dyn Reporter,
    ) -> Result<(), SignError> {
        reporter.note(format!("cosign {verb} {} {}", line(flags), word(image)));
        let stderr = io::stderr();
        let stdout = stderr.as_fd().try_clone_to_owned();
        let mut child = Command::new(&self.program)
            .arg(verb)
            .args(&self.flags)
            .args(flags)
            .arg(image)
            .stdout(Stdio::from(stdout.map_err(SignError::Start)?))
            .stderr(Stdio::piped())
            .spawn()
            .map_err(SignError::Start)?;
        let mut output = Vec::new();
        if let Some(stderr) = child.stderr.take() {
            tee_stderr(stderr, &mut output);
        }
        let status = child.wait().map_err(SignError::Start)?;
        if status.success() {
            return Ok(());
        }
        Err(refusal(verb, image, &String::from_utf8_lossy(&output)))
    }
}

/// True for what isn't a file's name, and for a file.
fn is_there(key: &str) -> bool {
    key.contains("://") || Path::new(key).is_file()
}

/// cosign's last error as one.
pub fn refusal(verb: &str, image: &str, output: &str) -> SignError {
    let mut errors = output.lines().filter_map(|line| line.split_once("Error: "));
    let why = errors.next_back();
    let why = why.map_or("it didn't say why", |(_, why)| why);
    let why = why
        .split_once(&format!("[{image}]: "))
        .map_or(why, |(_, why)| why);
    SignError::Refused {
        verb: verb.to_owned(),
        image: image.to_owned(),
        why: why.to_owned(),
    }
}
