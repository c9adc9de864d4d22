//! The messages and services mlbuild speaks with builders: BuildKit's control,
//! gateway and session interfaces, fsutil's packets, containerd's content
//! store, gRPC health. Only definitions live here; `mlbuild-buildkit` gives
//! them meaning.
//!
//! The code is generated from our own `.proto` files in `protos/`, which hold
//! the interfaces' names and numbers for just the parts mlbuild uses
//! (protobuf skips what one side doesn't know). `PROVENANCE.toml` says what
//! each mirrors. Regenerate with
//! `cargo run -p mlbuild-proto --example generate`.

mod redacted;

/// Includes one generated package. Its documentation is in the `.proto` files.
macro_rules! package {
    ($name:literal) => {
        include!(concat!("generated/", $name, ".rs"));
    };
}

/// BuildKit's interfaces.
#[allow(missing_docs, clippy::all)]
pub mod moby {
    /// Builds, secrets.
    pub mod buildkit {
        /// The control service.
        pub mod v1 {
            package!("moby.buildkit.v1");
            /// API capabilities.
            pub mod apicaps {
                package!("moby.buildkit.v1.apicaps");
            }
            /// The gateway between a frontend and the builder.
            pub mod frontend {
                package!("moby.buildkit.v1.frontend");
            }
            /// Source policies.
            pub mod sourcepolicy {
                package!("moby.buildkit.v1.sourcepolicy");
            }
            /// Workers and versions.
            pub mod types {
                package!("moby.buildkit.v1.types");
            }
        }
        /// The session's secrets service.
        pub mod secrets {
            pub mod v1 {
                package!("moby.buildkit.secrets.v1");
            }
        }
    }
    /// The session's file and registry log-in services.
    pub mod filesync {
        pub mod v1 {
            package!("moby.filesync.v1");
        }
    }
    /// The session's ssh agent service.
    pub mod sshforward {
        pub mod v1 {
            package!("moby.sshforward.v1");
        }
    }
    /// The session's upload service.
    pub mod upload {
        pub mod v1 {
            package!("moby.upload.v1");
        }
    }
}

/// The build graph's vocabulary.
#[allow(missing_docs, clippy::all)]
pub mod pb {
    package!("pb");
}

/// Copying file trees.
#[allow(missing_docs, clippy::all)]
pub mod fsutil {
    /// Packets and file metadata.
    pub mod types {
        package!("fsutil.types");
    }
}

/// containerd's interfaces.
#[allow(missing_docs, clippy::all)]
pub mod containerd {
    pub mod services {
        pub mod content {
            /// The content store.
            pub mod v1 {
                package!("containerd.services.content.v1");
            }
        }
    }
}

/// gRPC's own services.
#[allow(missing_docs, clippy::all)]
pub mod grpc {
    pub mod health {
        /// Health checks.
        pub mod v1 {
            package!("grpc.health.v1");
        }
    }
}

/// Google's API conventions.
#[allow(missing_docs, clippy::all)]
pub mod google {
    /// Status with details.
    pub mod rpc {
        package!("google.rpc");
    }
}
