//! Texts of others, as they are shown.

use mlbuild_progress::printable;

/// What others wrote, as a terminal may get it.
pub(super) fn shown(text: &str) -> String {
    printable::text(&mlbuild_secrets::redact(text)).into_owned()
}
