//! `--ulimit NAME=SOFT[:HARD]`.

use std::fmt;
use std::str::FromStr;

use crate::nearest::nearest;

/// A resource limit; -1 is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ulimit {
    /// `memlock`, `stack` and the like.
    pub name: String,
    /// The limit that holds at first.
    pub soft: i64,
    /// The one that it may be raised to; `None`: the same.
    pub hard: Option<i64>,
}

const NAMES: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

impl FromStr for Ulimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || "write NAME=SOFT or NAME=SOFT:HARD, such as memlock=-1".to_owned();
        let (name, limits) = text.split_once('=').ok_or_else(form)?;
        if !NAMES.contains(&name) {
            return Err(match nearest(name, NAMES) {
                Some(known) => format!("unknown limit `{name}`; did you mean `{known}`?"),
                None => format!("unknown limit `{name}`; there are {}", NAMES.join(", ")),
            });
        }
        let number = |text: &str| text.parse::<i64>().map_err(|_| form());
        let (soft, hard) = match limits.split_once(':') {
            Some((soft, hard)) => (number(soft)?, Some(number(hard)?)),
            None => (number(limits)?, None),
        };
        if let Some(hard) = hard
            && hard != -1
            && (soft == -1 || soft > hard)
        {
            return Err(format!(
                "the soft limit {soft} is above the hard limit {hard}"
            ));
        }
        Ok(Self {
            name: name.to_owned(),
            soft,
            hard,
        })
    }
}

impl fmt::Display for Ulimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.soft)?;
        match self.hard {
            Some(hard) => write!(f, ":{hard}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said() {
        let wrong = |text: &str| text.parse::<Ulimit>().unwrap_err();
        insta::assert_snapshot!(wrong("memlok=-1"), @"unknown limit `memlok`; did you mean `memlock`?");
        insta::assert_snapshot!(wrong("memlock"), @"write NAME=SOFT or NAME=SOFT:HARD, such as memlock=-1");
        insta::assert_snapshot!(wrong("stack=big"), @"write NAME=SOFT or NAME=SOFT:HARD, such as memlock=-1");
        assert_eq!(
            "nofile=1024:4096".parse::<Ulimit>().unwrap().to_string(),
            "nofile=1024:4096"
        );
    }
}
