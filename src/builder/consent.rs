//! May a private builder be started? By setting, in CI, or by the answer of whoever is asked.

use super::{BuilderError, Connection, Consent};
use crate::reporter::{Question, Reporter};
use crate::settings::{BuildSettings, may_start_builder};

/// Connects to the builder, or starts one if that is wanted.
///
/// # Errors
/// Those of [`super::connect()`].
pub async fn connect_or_start(
    settings: &BuildSettings,
    reporter: &dyn Reporter,
) -> Result<Connection, BuilderError> {
    let may_start = || {
        let allowed = may_start_builder(settings.start_builder);
        let ask = || reporter.ask(&Question::StartPrivateBuilder);
        allowed.or_else(ask).unwrap_or(false)
    };
    let consent = Consent {
        may_start: &may_start,
        tell: &|text| reporter.note(text),
    };
    super::connect(settings, &consent).await
}

/// Connects to a builder that is there; starts none and asks nothing.
///
/// # Errors
/// Those of [`super::connect()`].
pub async fn connect_quietly(settings: &BuildSettings) -> Result<Connection, BuilderError> {
    let consent = Consent {
        may_start: &|| false,
        tell: &|_| {},
    };
    super::connect(settings, &consent).await
}
