//! Which redirects of a server are followed: what was asked for over TLS isn't answered in the clear, and
//! a log-in in a call's body stays with the server that it is for.

use reqwest::redirect::{Action, Attempt, Policy};

/// Redirects in a row that are followed.
const MAX_REDIRECTS: usize = 10;

/// To other hosts too, where blobs lie; reqwest itself takes no `Authorization` to another host.
pub(crate) fn anywhere_by_tls() -> Policy {
    Policy::custom(|attempt| match stays_secret(&attempt) {
        Ok(()) => attempt.follow(),
        Err(why) => attempt.error(why),
    })
}

/// To the same server alone: 307 and 308 send a body again.
pub(crate) fn of_log_ins() -> Policy {
    Policy::custom(follow_at_home)
}

fn follow_at_home(attempt: Attempt<'_>) -> Action {
    if let Err(why) = stays_secret(&attempt) {
        return attempt.error(why);
    }
    let from = attempt.previous().last().map(reqwest::Url::origin);
    if from == Some(attempt.url().origin()) {
        attempt.follow()
    } else {
        attempt.error("it sends log-ins to another server")
    }
}

fn stays_secret(attempt: &Attempt<'_>) -> Result<(), &'static str> {
    let from = attempt.previous().last().map(reqwest::Url::scheme);
    if from == Some("https") && attempt.url().scheme() != "https" {
        return Err("it leads from https to plain http");
    }
    if attempt.previous().len() > MAX_REDIRECTS {
        return Err("too many redirects");
    }
    Ok(())
}
