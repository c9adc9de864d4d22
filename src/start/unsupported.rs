//! What another form of a run can't carry isn't dropped without a word.

use crate::error::{CommandError, CommandResult};
use crate::reporter::Reporter;
use crate::runtime::LeftOut;

/// Says what is left out.
pub(crate) fn warn(left_out: &[LeftOut], reporter: &dyn Reporter) {
    for part in left_out {
        reporter.warning(format!("left out: {}: {}", part.what, part.why));
    }
}

/// Where it can't be left out.
///
/// # Errors
/// Where there is any; the hint says what to do about it.
pub(crate) fn refuse(left_out: &[LeftOut], hint: &str) -> CommandResult {
    if left_out.is_empty() {
        return Ok(());
    }
    let lines: Vec<_> = left_out
        .iter()
        .map(|part| format!("{}: {}", part.what, part.why))
        .collect();
    Err(CommandError::user(lines.join("\n")).hint(hint))
}
