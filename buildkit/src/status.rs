//! The status of a gRPC call in words.

use std::error::Error as _;

use mlbuild_docker::transport::DialError;

/// A status in one line for people. Where the call broke on this side, tonic's
/// own words ("transport error") tell nothing; the reason is behind them.
pub(crate) fn status_text(status: &tonic::Status) -> String {
    let mut deepest = None;
    let mut source = status.source();
    while let Some(error) = source {
        deepest = Some(error);
        if error.is::<DialError>() {
            break;
        }
        source = error.source();
    }
    match (deepest, status.message()) {
        (Some(error), _) => error.to_string(),
        (None, "") => status.code().description().to_string(),
        (None, message) => message.to_string(),
    }
}
