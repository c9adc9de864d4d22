//! How long anything is waited for, as the person says it, and the lines that tell of it.

use std::time::Duration;

use mlbuild_waits::{Notice, Reason, WaitPolicy, on_notice, set_policy};

use super::output;
use crate::error::{CommandError, CommandResult};
use mlbuild::env_vars::MLBUILD_STALL_SECONDS;
use mlbuild::trust::UserConfig;

/// Sets the policy of this process, and has waits told of.
///
/// # Errors
/// Where the variable is no number of seconds.
pub fn install() -> CommandResult {
    let seconds = match std::env::var(MLBUILD_STALL_SECONDS) {
        Ok(text) if !text.is_empty() => {
            let number = text.trim().parse().map_err(|_| {
                let name = MLBUILD_STALL_SECONDS;
                CommandError::user(format!("{name}={text}: not a number of seconds"))
                    .hint(format!("{name}=60, or 0 to wait for ever"))
            })?;
            Some(number)
        }
        // A file that can't be read is told of by whatever else needs it.
        _ => UserConfig::load().ok().and_then(|user| user.stall_seconds),
    };
    if let Some(seconds) = seconds {
        set_policy(WaitPolicy {
            stall: (seconds > 0).then_some(Duration::from_secs(seconds)),
            ..WaitPolicy::USUAL
        });
    }
    on_notice(|notice| output::progress_note(&line(notice)));
    Ok(())
}

fn line(notice: &Notice) -> String {
    let Notice { peer, silent, .. } = notice;
    let limit = notice.limit.map(|limit| limit.as_secs());
    match (notice.reason, limit) {
        (Reason::Asked, limit) => {
            format!("{peer} asks to wait for {} s", limit.unwrap_or_default())
        }
        (Reason::Silent, Some(limit)) => format!(
            "waiting for {peer}: nothing for {} s (given up after {limit} s)",
            silent.as_secs()
        ),
        (Reason::Silent, None) => {
            format!("waiting for {peer}: nothing for {} s", silent.as_secs())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_who_is_waited_for_and_how_long() {
        let mut notice = Notice {
            reason: Reason::Silent,
            peer: "the registry r.example".into(),
            silent: Duration::from_secs(5),
            limit: Some(Duration::from_secs(60)),
        };
        let mut lines = vec![line(&notice)];
        notice.limit = None;
        lines.push(line(&notice));
        notice.reason = Reason::Asked;
        notice.limit = Some(Duration::from_secs(30));
        lines.push(line(&notice));
        insta::assert_snapshot!(lines.join("\n"), @r"
        waiting for the registry r.example: nothing for 5 s (given up after 60 s)
        waiting for the registry r.example: nothing for 5 s
        the registry r.example asks to wait for 30 s
        ");
    }
}
