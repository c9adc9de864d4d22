//! Of which kind a failure is, and the exit code of each kind.
//!
//! Each module has a `thiserror` type of its own, with `kind()`. The command line makes its errors of
//! them, with what to type next.

/// What kind of failure it is. Each kind has one documented exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The build, the push or the run itself failed: exit code 1.
    Work,
    /// The command line, a file the user wrote or a name they gave is wrong: exit code 2.
    User,
    /// A builder, registry, disk or device is missing or refuses: exit code 3.
    Environment,
    /// A verification found a difference, or a lock would have changed: exit code 4.
    Difference,
    /// The container runtime couldn't have the image or start the container: exit code 125, as
    /// `docker run` has it.
    Runtime,
}

impl ErrorKind {
    /// The process exit code for this kind of failure.
    pub fn exit_code(self) -> u8 {
        match self {
            ErrorKind::Work => 1,
            ErrorKind::User => 2,
            ErrorKind::Environment => 3,
            ErrorKind::Difference => 4,
            ErrorKind::Runtime => 125,
        }
    }
}

/// Takes an error into one that holds it boxed, as `?` asks for: `from_boxed!(BuildError {
/// Settings(SettingsError) })`.
macro_rules! from_boxed {
    ($outer:ident { $($variant:ident($inner:ty)),+ $(,)? }) => {
        $(impl From<$inner> for $outer {
            fn from(error: $inner) -> Self {
                Self::$variant(Box::new(error))
            }
        })+
    };
}
pub(crate) use from_boxed;

/// Joins an error with its sources as `outer: inner: innermost`, skipping a
/// source whose text the outer one already holds.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        source = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_those_documented() {
        let codes = [
            ErrorKind::Work,
            ErrorKind::User,
            ErrorKind::Environment,
            ErrorKind::Difference,
            ErrorKind::Runtime,
        ]
        .map(ErrorKind::exit_code);
        assert_eq!(codes, [1, 2, 3, 4, 125]);
    }
}
