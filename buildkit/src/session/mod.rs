//! What the client serves to the builder during a build: folders, secrets,
//! log-ins, ssh agents, OCI layouts, and places for results. One gRPC server,
//! tunnelled through one call of the builder's own API.

mod auth;
mod content;
mod filesend;
mod filesync;
mod health;
mod secrets;
mod ssh;
mod tunnel;
mod unwritten;
mod upload;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mlbuild_proto::containerd::services::content::v1::content_server::ContentServer;
use mlbuild_proto::grpc::health::v1::health_server::HealthServer;
use mlbuild_proto::moby::buildkit::secrets::v1::secrets_server::SecretsServer;
use mlbuild_proto::moby::filesync::v1::auth_server::AuthServer;
use mlbuild_proto::moby::filesync::v1::file_sync_server::FileSyncServer;
use mlbuild_proto::moby::sshforward::v1::ssh_server::SshServer;
use mlbuild_proto::moby::upload::v1::upload_server::UploadServer;
use tokio::io::AsyncRead;
use tonic::service::Routes;

use crate::wire::MAX_MESSAGE;

pub use auth::{AuthOptions, GivenLogIns, RefusedHosts};
pub use filesend::ExportTarget;
pub use filesync::LocalSource;
pub use secrets::SecretSource;
pub use ssh::SshSource;

pub(crate) use content::{EXPORT, Stores};
pub(crate) use filesend::Targets;
pub(crate) use tunnel::RunningSession;

/// Why something can't be served in a session.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// A secret can't be read.
    #[error("secret `{id}`: {reason}")]
    Secret {
        /// Its id.
        id: String,
        /// What is wrong.
        reason: String,
    },
    /// An ssh agent can't be reached.
    #[error("ssh `{id}`: {reason}")]
    Ssh {
        /// Its id.
        id: String,
        /// What is wrong.
        reason: String,
    },
    /// A folder isn't there, or is no OCI layout.
    #[error("{what} {}: {reason}", path.display())]
    Folder {
        /// What it is for.
        what: String,
        /// Its path.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The builder didn't accept the session.
    #[error("the builder refused the session: {0}")]
    Refused(String),
}

/// What one build may ask of the client. Made with [`Session::builder`].
#[derive(Debug)]
pub struct Session {
    id: String,
    shared_key: String,
    locals: BTreeMap<String, LocalSource>,
    secrets: BTreeMap<String, SecretSource>,
    auth: Option<AuthOptions>,
    ssh: BTreeMap<String, SshSource>,
    stores: Stores,
    uploads: upload::Uploads,
}

/// Collects what a [`Session`] serves.
#[derive(Debug)]
pub struct SessionBuilder {
    session: Session,
}

impl Session {
    /// A session that serves nothing yet.
    pub fn builder() -> SessionBuilder {
        SessionBuilder {
            session: Self {
                id: new_id(),
                shared_key: String::new(),
                locals: BTreeMap::new(),
                secrets: BTreeMap::new(),
                auth: None,
                ssh: BTreeMap::new(),
                stores: Stores::default(),
                uploads: upload::Uploads::default(),
            },
        }
    }

    /// The session's id, which the builder uses to find it.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn shared_key(&self) -> &str {
        &self.shared_key
    }

    pub(crate) fn stores_mut(&mut self) -> &mut Stores {
        &mut self.stores
    }

    /// The server, and the methods it has as `/package.Service/Method`.
    pub(crate) fn into_routes(self, targets: Targets) -> (Routes, Vec<&'static str>) {
        macro_rules! limited {
            ($server:expr) => {
                $server
                    .max_decoding_message_size(MAX_MESSAGE)
                    .max_encoding_message_size(MAX_MESSAGE)
            };
        }
        let mut methods = vec![
            "/grpc.health.v1.Health/Check",
            "/grpc.health.v1.Health/Watch",
        ];
        let mut routes = Routes::builder();
        routes.add_service(HealthServer::new(health::Health));
        if !self.locals.is_empty() {
            methods.push("/moby.filesync.v1.FileSync/DiffCopy");
            let service = filesync::FileSync::new(self.locals);
            routes.add_service(limited!(FileSyncServer::new(service)));
        }
        if !targets.is_empty() {
            methods.push("/moby.filesync.v1.FileSend/DiffCopy");
            routes.add_service(filesend::FileSend::new(targets.clone()));
        }
        // Always there: a build may name a secret that nobody gave, and the
        // answer "not found" beats "no secrets service".
        methods.push("/moby.buildkit.secrets.v1.Secrets/GetSecret");
        let service = secrets::Secrets::new(self.secrets);
        routes.add_service(limited!(SecretsServer::new(service)));
        if let Some(options) = self.auth {
            methods.extend([
                "/moby.filesync.v1.Auth/Credentials",
                "/moby.filesync.v1.Auth/FetchToken",
                "/moby.filesync.v1.Auth/GetTokenAuthority",
                "/moby.filesync.v1.Auth/VerifyTokenAuthority",
            ]);
            routes.add_service(AuthServer::new(auth::Auth::new(options)));
        }
        if !self.ssh.is_empty() {
            methods.extend([
                "/moby.sshforward.v1.SSH/CheckAgent",
                "/moby.sshforward.v1.SSH/ForwardAgent",
            ]);
            routes.add_service(limited!(SshServer::new(ssh::Ssh::new(self.ssh))));
        }
        if !self.stores.is_empty() {
            methods.extend(content::METHODS);
            let service = content::Content::new(self.stores, targets.unwritten());
            routes.add_service(limited!(ContentServer::new(service)));
        }
        if !self.uploads.is_empty() {
            methods.push("/moby.upload.v1.Upload/Pull");
            let service = upload::Upload::new(self.uploads);
            routes.add_service(limited!(UploadServer::new(service)));
        }
        (routes.routes(), methods)
    }
}

impl SessionBuilder {
    /// Serves a folder (or files in memory) under `name`, such as `context`
    /// or `dockerfile`.
    pub fn local(mut self, name: impl Into<String>, source: LocalSource) -> Self {
        self.session.locals.insert(name.into(), source);
        self
    }

    /// Serves a secret under `id`.
    pub fn secret(mut self, id: impl Into<String>, source: SecretSource) -> Self {
        self.session.secrets.insert(id.into(), source);
        self
    }

    /// Serves registry log-ins.
    pub fn auth(mut self, options: AuthOptions) -> Self {
        self.session.auth = Some(options);
        self
    }

    /// Forwards an ssh agent under `id`; `default` is what a Dockerfile means
    /// if it says no id.
    pub fn ssh(mut self, id: impl Into<String>, source: SshSource) -> Self {
        self.session.ssh.insert(id.into(), source);
        self
    }

    /// Serves the OCI layout in the folder `path` for `oci-layout://NAME`
    /// contexts.
    pub fn oci_layout(mut self, name: &str, path: impl Into<PathBuf>) -> Self {
        self.session.stores.add(format!("oci:{name}"), path.into());
        self
    }

    /// Serves one stream, once; returns the URL under which the builder asks
    /// for it, to be given as the context (a tar, say, or a Dockerfile).
    pub fn upload(&mut self, stream: impl AsyncRead + Send + Unpin + 'static) -> String {
        self.session.uploads.add(Box::new(stream))
    }

    /// Tells the builder which earlier copy of the context to update, instead
    /// of comparing with whichever came last. [`context_key`] makes one.
    pub fn shared_key(mut self, key: impl Into<String>) -> Self {
        self.session.shared_key = key.into();
        self
    }

    /// Checks what can be checked beforehand: secrets can be read and aren't
    /// too large, agents and folders are there.
    pub fn build(self) -> Result<Session, SessionError> {
        let session = self.session;
        for (name, local) in &session.locals {
            local.check(name)?;
        }
        for (id, secret) in &session.secrets {
            secret.check(id)?;
        }
        for (id, ssh) in &session.ssh {
            ssh.check(id)?;
        }
        session.stores.check()?;
        Ok(session)
    }
}

/// A shared key for the context in `path`: the same for the same folder on the
/// same machine, different for different folders.
pub fn context_key(path: &Path) -> String {
    use sha2::{Digest as _, Sha256};
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let mut hash = Sha256::new();
    hash.update(std::fs::read("/etc/machine-id").unwrap_or_default());
    hash.update(rustix::system::uname().nodename().to_bytes());
    hash.update([0]);
    hash.update(std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()));
    hex::encode(&hash.finalize()[..16])
}

/// An id that no other session has.
pub(crate) fn new_id() -> String {
    let mut random = [0; 16];
    fill_random(&mut random);
    hex::encode(random)
}

pub(crate) fn fill_random(buffer: &mut [u8]) {
    let mut filled = 0;
    while filled < buffer.len() {
        match rustix::rand::getrandom(&mut buffer[filled..], rustix::rand::GetRandomFlags::empty())
        {
            Ok(n) => filled += n,
            Err(rustix::io::Errno::INTR) => {}
            // The system call exists since Linux 3.17.
            Err(error) => panic!("the system has no random numbers: {error}"),
        }
    }
}
