//! What a call to a registry needs to be allowed to do.

use std::fmt;

use oci_spec::distribution::Reference;

/// What a call needs to be allowed to do. Displays as a token scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scope {
    /// The registry as references name it.
    pub(super) registry: String,
    pub(super) repository: String,
    pub(super) push: bool,
    /// Beside `push`.
    pub(super) delete: bool,
    /// Repositories that blobs may be mounted from.
    pub(super) mount_from: Vec<String>,
}

impl Scope {
    pub(super) fn action(&self) -> &'static str {
        match (self.delete, self.push) {
            (true, _) => "remove from",
            (false, true) => "push to",
            (false, false) => "pull from",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rights = match (self.delete, self.push) {
            (true, _) => "pull,push,delete",
            (false, true) => "pull,push",
            (false, false) => "pull",
        };
        write!(f, "repository:{}:{rights}", self.repository)?;
        for from in &self.mount_from {
            write!(f, " repository:{from}:pull")?;
        }
        Ok(())
    }
}

/// What is needed for an image's repository.
pub(super) fn scope_of(reference: &Reference, push: bool) -> Scope {
    Scope {
        registry: reference.registry().to_owned(),
        repository: reference.repository().to_owned(),
        push,
        delete: false,
        mount_from: Vec::new(),
    }
}
