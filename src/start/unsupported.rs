//! What another form of a run can't carry isn't dropped without a word.

use crate::reporter::Reporter;
use crate::runtime::LeftOut;

/// Says what is left out.
pub fn warn(left_out: &[LeftOut], reporter: &dyn Reporter) {
    for part in left_out {
        reporter.warning(format!("left out: {}: {}", part.what, part.why));
    }
}
