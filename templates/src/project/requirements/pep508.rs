//! Dependency specifiers (PEP 508), read by the library behind a guard: it slices inside of a
//! character where one that isn't ASCII follows a marker, and goes as deep as brackets are nested.

use std::str::FromStr;

use pep508_rs::{Requirement, VerbatimUrl};

use super::first_line;
use crate::guard::guarded;

/// How deep the brackets of a marker may be nested.
const NESTING: usize = 100;

/// Reads one specifier; the error is one line.
pub(crate) fn requirement(text: &str) -> Result<Requirement<VerbatimUrl>, String> {
    if nesting(text) > NESTING {
        return Err(format!("its brackets are nested more than {NESTING} deep"));
    }
    match guarded(|| Requirement::<VerbatimUrl>::from_str(text)) {
        Some(Ok(requirement)) => Ok(requirement),
        Some(Err(error)) => Err(first_line(&error.to_string())),
        None => Err(match text.chars().find(|c| !c.is_ascii()) {
            Some(character) => {
                format!(
                    "`{}` isn't ASCII, and a requirement is (PEP 508)",
                    character.escape_debug()
                )
            }
            None => "it can't be read as a requirement (PEP 508)".to_owned(),
        }),
    }
}

/// How many `(` are open at most.
fn nesting(text: &str) -> usize {
    let (mut open, mut most) = (0_usize, 0);
    for byte in text.bytes() {
        match byte {
            b'(' => open += 1,
            b')' => open = open.saturating_sub(1),
            _ => {}
        }
        most = most.max(open);
    }
    most
}

#[cfg(test)]
mod tests {
    use super::requirement;

    #[test]
    fn deep_brackets_are_an_error() {
        for depth in [90, 110, 200_000] {
            let (open, close) = ("(".repeat(depth), ")".repeat(depth));
            let read = requirement(&format!("x ; {open}os_name=='a'{close}"));
            assert_eq!(read.is_ok(), depth < 100, "{depth}");
        }
    }

    #[test]
    fn what_isnt_ascii_is_an_error() {
        for text in [
            "numpy==1.26; python_version >= '3.8' é",
            "foo ; é",
            "é",
            "a @ é",
            "a[é]",
            "a ; python_version é '3'",
            "a>=1é",
            "a @ file:é ; é",
        ] {
            let error = requirement(text).expect_err(text);
            assert!(!error.is_empty() && !error.contains('\n'), "{error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_ends_the_program(
            text in "[a-z]{0,3}(\\[[a-zé]*\\])?[<>=~! ]{0,3}[0-9a-zé.*!+]{0,6}( ?@ ?[a-zé:/#]{0,9})?( ?; ?[a-zé_ '\"<>=()]{0,20}){0,2}",
        ) {
            let _ = requirement(&text);
        }
    }
}
