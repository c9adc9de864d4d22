//! The tracker's key: from the environment, or from netrc. It is handed to the runtime in its
//! environment and named on its command line, where everybody could read it.

use url::Url;

use crate::env_vars::{WANDB_API_KEY, WANDB_BASE_URL};
use crate::runtime::Value;
use crate::trackers::wandb;

/// The key, unless the container has one already or there is none.
pub(crate) fn tracker_key<'a>(mut env: impl Iterator<Item = &'a Value>) -> Option<String> {
    let is_key = |value: &Value| matches!(value, Value::Assignment(a) if a.name == WANDB_API_KEY);
    if env.any(is_key) {
        return None;
    }
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    if let Some(key) = set(WANDB_API_KEY) {
        return Some(key);
    }
    let base = set(WANDB_BASE_URL).and_then(|url| Url::parse(&url).ok());
    wandb::key_in_netrc(base.as_ref())
}
