//! `--platform`, as commands that look at one platform take it.

use crate::error::{CommandError, CommandResult};
use mlbuild::registry::{parse_platform, platform_name};

/// The platform's usual name, as `linux/amd64`.
///
/// # Errors
/// Where it is none.
pub fn parse(text: &str) -> CommandResult<String> {
    let parsed = parse_platform(text).map(|platform| platform_name(&platform));
    parsed.ok_or_else(|| {
        CommandError::user(format!("--platform {text}: not a platform"))
            .hint("write it as linux/amd64")
    })
}
