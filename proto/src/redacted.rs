//! Debug for the messages that carry secrets: it must never show them.

use std::fmt;

use crate::moby::buildkit::secrets::v1::GetSecretResponse;
use crate::moby::filesync::v1::{CredentialsResponse, FetchTokenResponse};

impl fmt::Debug for GetSecretResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GetSecretResponse").finish_non_exhaustive()
    }
}

impl fmt::Debug for CredentialsResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialsResponse")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for FetchTokenResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FetchTokenResponse")
            .field("expires_in", &self.expires_in)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_secrets() {
        let secret = GetSecretResponse {
            data: "hunter2".into(),
        };
        let credentials = CredentialsResponse {
            username: "ana".into(),
            secret: "hunter2".into(),
        };
        let token = FetchTokenResponse {
            token: "hunter2".into(),
            ..Default::default()
        };
        let shown = format!("{secret:?} {credentials:?} {token:?}");
        assert!(shown.contains("ana"));
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
