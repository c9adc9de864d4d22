//! `unix://`: a socket on this machine.

use std::path::Path;

use tokio::net::UnixStream;

use super::{BoxIo, DialError};

pub(super) async fn dial(path: &Path) -> Result<BoxIo, DialError> {
    match UnixStream::connect(path).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(source) => Err(DialError::Refused {
            address: path.display().to_string(),
            source,
        }),
    }
}
