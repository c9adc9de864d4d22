//! BuildKit, fsutil, containerd and gRPC health messages that mlbuild speaks.
