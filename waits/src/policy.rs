//! How long anything is waited for, for the whole process.

use std::sync::{PoisonError, RwLock};
use std::time::Duration;

/// How long is waited, and when that is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitPolicy {
    /// Without progress for so long, it is said who is waited for.
    pub notice: Duration,
    /// Without progress for so long, the wait is given up; `None` waits for ever.
    pub stall: Option<Duration>,
}

impl WaitPolicy {
    /// What holds where nobody says otherwise.
    pub const USUAL: Self = Self {
        notice: Duration::from_secs(5),
        stall: Some(Duration::from_secs(60)),
    };
}

static POLICY: RwLock<WaitPolicy> = RwLock::new(WaitPolicy::USUAL);

/// The policy of this process.
pub fn policy() -> WaitPolicy {
    *POLICY.read().unwrap_or_else(PoisonError::into_inner)
}

/// Sets the policy of this process, for waits that begin from now on.
pub fn set_policy(policy: WaitPolicy) {
    *POLICY.write().unwrap_or_else(PoisonError::into_inner) = policy;
}
