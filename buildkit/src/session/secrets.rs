//! Secrets by id, from files, environment variables or memory. They reach
//! build steps as mounts and are in no layer.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use mlbuild_proto::moby::buildkit::secrets::v1::secrets_server;
use mlbuild_proto::moby::buildkit::secrets::v1::{GetSecretRequest, GetSecretResponse};
use mlbuild_secrets::Secret;
use tonic::{Request, Response, Status};

use super::SessionError;

/// The builder refuses larger ones. Bytes.
const MAX_SECRET: u64 = 500 << 10;

/// Where a secret's value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// In a file, as its whole content.
    File(PathBuf),
    /// In an environment variable of this process.
    Env(String),
    /// Here.
    Value(Secret),
}

impl SecretSource {
    pub(super) fn check(&self, id: &str) -> Result<(), SessionError> {
        let fail = |reason: String| {
            Err(SessionError::Secret {
                id: id.to_string(),
                reason,
            })
        };
        let size = match self {
            Self::File(path) => match std::fs::metadata(path) {
                Ok(meta) if meta.is_dir() => {
                    return fail(format!("{} is a folder", path.display()));
                }
                Ok(meta) => meta.len(),
                Err(e) => return fail(format!("{}: {e}", path.display())),
            },
            Self::Env(name) => match std::env::var_os(name) {
                Some(value) => value.len() as u64,
                None => return fail(format!("the environment variable {name} isn't set")),
            },
            Self::Value(value) => value.expose().len() as u64,
        };
        if size > MAX_SECRET {
            return fail(format!(
                "{size} bytes is too large; at most {MAX_SECRET} can be a secret"
            ));
        }
        Ok(())
    }

    async fn read(&self) -> Result<Vec<u8>, String> {
        match self {
            Self::File(path) => tokio::fs::read(path)
                .await
                .map_err(|e| format!("{}: {e}", path.display())),
            Self::Env(name) => std::env::var_os(name)
                .map(std::os::unix::ffi::OsStringExt::into_vec)
                .ok_or_else(|| format!("the environment variable {name} isn't set")),
            Self::Value(value) => Ok(OsString::from(value.expose()).into_encoded_bytes()),
        }
    }
}

pub(super) struct Secrets {
    by_id: BTreeMap<String, SecretSource>,
}

impl Secrets {
    pub(super) fn new(by_id: BTreeMap<String, SecretSource>) -> Self {
        Self { by_id }
    }
}

#[tonic::async_trait]
impl secrets_server::Secrets for Secrets {
    async fn get_secret(
        &self,
        request: Request<GetSecretRequest>,
    ) -> Result<Response<GetSecretResponse>, Status> {
        let id = request.into_inner().id;
        let Some(source) = self.by_id.get(&id) else {
            return Err(Status::not_found(format!("secret {id}: not found")));
        };
        let data = source
            .read()
            .await
            .map_err(|reason| Status::failed_precondition(format!("secret {id}: {reason}")))?;
        if data.len() as u64 > MAX_SECRET {
            return Err(Status::failed_precondition(format!(
                "secret {id}: larger than {MAX_SECRET} bytes"
            )));
        }
        Ok(Response::new(GetSecretResponse { data: data.into() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_and_large_secrets_are_refused_beforehand() {
        let dir = tempfile::tempdir().unwrap();
        let large = dir.path().join("large");
        std::fs::write(&large, vec![0; 512_001]).unwrap();
        let check = |source: SecretSource| source.check("ca").unwrap_err().to_string();
        assert!(check(SecretSource::File(large)).contains("512001 bytes is too large"));
        assert_eq!(
            check(SecretSource::File("/nowhere".into())),
            "secret `ca`: /nowhere: No such file or directory (os error 2)"
        );
        assert_eq!(
            check(SecretSource::Env("MLBUILD_NO_SUCH_VARIABLE".into())),
            "secret `ca`: the environment variable MLBUILD_NO_SUCH_VARIABLE isn't set"
        );
    }

    #[tokio::test]
    async fn an_unknown_id_is_not_found() {
        use secrets_server::Secrets as _;
        let known = ("a".to_string(), SecretSource::Value(Secret::new("x")));
        let service = Secrets::new([known].into());
        let ask = |id: &str| {
            Request::new(GetSecretRequest {
                id: id.into(),
                ..Default::default()
            })
        };
        let status = service.get_secret(ask("b")).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::NotFound);
        let answer = service.get_secret(ask("a")).await.unwrap();
        assert_eq!(answer.into_inner().data, "x");
    }
}
