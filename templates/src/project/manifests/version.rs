//! Version constraints of other tools as PEP 440 has them.

/// Poetry's and Pipfile's forms: `^1.2`, `~1.2`, `1.2.*`, `*`, `1.2`, `>=1,<2`. `None` for what
/// has no such form (`||`).
pub(crate) fn from_poetry(text: &str) -> Option<String> {
    if text.contains("||") {
        return None;
    }
    let parts = text.split(',').map(str::trim).filter(|p| !p.is_empty());
    let parts: Option<Vec<String>> = parts.map(one).collect();
    Some(
        parts?
            .into_iter()
            .filter(|p| !p.is_empty())
            .collect::<Vec<_>>()
            .join(","),
    )
}

fn one(text: &str) -> Option<String> {
    if text == "*" {
        return Some(String::new());
    }
    if let Some(version) = text.strip_prefix('^') {
        let version = public(version.trim());
        return Some(format!(">={version},<{}", caret(version)?));
    }
    if let Some(version) = text.strip_prefix('~').filter(|rest| !rest.starts_with('=')) {
        let version = public(version.trim());
        return Some(format!(">={version},<{}", tilde(version)?));
    }
    if text.starts_with(['>', '<', '!', '~']) || text.starts_with("==") {
        // Poetry joins with blanks as well: `>=1 <2`.
        let text = if text.starts_with("==") || text.starts_with("!=") {
            text
        } else {
            public(text)
        };
        let words: Vec<&str> = text.split_whitespace().collect();
        let joined = words.join(" ");
        return Some(
            joined
                .replace(" <", ",<")
                .replace(" >", ",>")
                .replace(' ', ""),
        );
    }
    let version = text.trim_start_matches('=').trim();
    version
        .starts_with(|c: char| c.is_ascii_digit())
        .then(|| format!("=={version}"))
}

/// A version without its build (`+cpu`), which nothing is before or after (PEP 440).
fn public(version: &str) -> &str {
    version.split('+').next().unwrap_or(version)
}

fn numbers(version: &str) -> Option<Vec<u64>> {
    let plain = version
        .split(['-', '+', 'a', 'b', 'r', 'd'])
        .next()
        .unwrap_or(version);
    plain
        .trim_end_matches('.')
        .split('.')
        .map(|part| part.parse().ok())
        .collect()
}

/// The first version that `^VERSION` leaves out: the leftmost number that isn't 0 goes up.
fn caret(version: &str) -> Option<String> {
    let numbers = numbers(version)?;
    let at = numbers
        .iter()
        .position(|n| *n != 0)
        .unwrap_or(numbers.len() - 1);
    raised(&numbers, at)
}

/// The first version that `~VERSION` leaves out: the second number goes up, or the only one.
fn tilde(version: &str) -> Option<String> {
    let numbers = numbers(version)?;
    raised(&numbers, (numbers.len() - 1).min(1))
}

fn raised(numbers: &[u64], at: usize) -> Option<String> {
    let mut raised: Vec<String> = numbers[..at].iter().map(ToString::to_string).collect();
    raised.push(numbers[at].checked_add(1)?.to_string());
    Some(raised.join("."))
}

/// Conda's forms: `=1.2` and `1.2` (any 1.2), `==1.2.3`, `>=1,<2`, `1.2.*`. `None` for what has no
/// such form (`|`).
pub(super) fn from_conda(text: &str) -> Option<String> {
    let text = text.trim();
    if text.contains('|') {
        return None;
    }
    if text.is_empty() || text == "*" {
        return Some(String::new());
    }
    let parts: Vec<String> = text
        .split(',')
        .map(|part| {
            let part = part.trim();
            if let Some(exact) = part.strip_prefix("==") {
                return format!("=={}", exact.trim());
            }
            if part.starts_with(['>', '<', '!', '~']) {
                return part.replace(' ', "");
            }
            let version = part.trim_start_matches('=').trim();
            let stem = version.trim_end_matches('*').trim_end_matches('.');
            // A prefix holds numbers alone (PEP 440); behind `b2` or `rc1` conda finds nothing more either.
            let any = format!("=={stem}.*");
            let exact = || format!("=={stem}");
            let is_one = |text: &str| text.parse::<pep440_rs::VersionSpecifiers>().is_ok();
            if is_one(&any) || !is_one(&exact()) {
                any
            } else {
                exact()
            }
        })
        .collect();
    Some(parts.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn poetrys_forms() {
        for (theirs, ours) in [
            ("^1.2.3", ">=1.2.3,<2"),
            ("^0.2.3", ">=0.2.3,<0.3"),
            ("^0.0.3", ">=0.0.3,<0.0.4"),
            ("^0", ">=0,<1"),
            ("~1.2.3", ">=1.2.3,<1.3"),
            ("~1", ">=1,<2"),
            ("1.2.*", "==1.2.*"),
            ("*", ""),
            ("1.2", "==1.2"),
            (">=1.0 <2.0", ">=1.0,<2.0"),
            (">=1.0, <2.0", ">=1.0,<2.0"),
            ("~=1.4", "~=1.4"),
            ("^2.0.0rc1", ">=2.0.0rc1,<3"),
            ("^2.2.0+cpu", ">=2.2.0,<3"),
            ("~2.2.0+cu121", ">=2.2.0,<2.3"),
            (">=2.2+cpu", ">=2.2"),
            ("2.2.1+cu121", "==2.2.1+cu121"),
            ("==2.2.1+cu121", "==2.2.1+cu121"),
        ] {
            assert_eq!(from_poetry(theirs).as_deref(), Some(ours), "{theirs}");
        }
        assert_eq!(from_poetry("^1 || ^2"), None);
        // A number after which there is none.
        for last in ["^18446744073709551615", "~18446744073709551615"] {
            assert_eq!(from_poetry(last), None);
        }
    }

    #[test]
    fn condas_forms() {
        for (theirs, ours) in [
            ("=1.2", "==1.2.*"),
            ("1.2", "==1.2.*"),
            ("==1.2.3", "==1.2.3"),
            (">=1.2,<2", ">=1.2,<2"),
            ("1.2.*", "==1.2.*"),
            ("=3.1.3b2", "==3.1.3b2"),
            ("2023.1.0rc1", "==2023.1.0rc1"),
            ("=1.0.post1", "==1.0.post1"),
            ("1.5.0dev3", "==1.5.0dev3"),
            ("2023.1.0rc1.*", "==2023.1.0rc1"),
            (">=1.0b1,<2", ">=1.0b1,<2"),
            ("", ""),
        ] {
            assert_eq!(from_conda(theirs).as_deref(), Some(ours), "{theirs}");
        }
        assert_eq!(from_conda("1.2|1.3"), None);
    }
}
