//! The reader of ignore files and its matcher, on anything: a file and a path, with a zero between.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mlbuild_buildkit::fsutil::{dockerignore, patterns::PatternMatcher};

fuzz_target!(|data: &[u8]| {
    let end = data.iter().position(|&b| b == 0).unwrap_or(data.len());
    let (file, path) = data.split_at(end);
    let Ok(patterns) = dockerignore::parse(file) else {
        return;
    };
    assert!(patterns.iter().all(|pattern| !pattern.is_empty() && !pattern.contains('\n')));
    let Ok(matcher) = PatternMatcher::new(&patterns) else {
        return;
    };
    let path = path.get(1..).unwrap_or_default();
    // Once more says the same.
    let said = matcher.matches_or_parent_matches(path);
    assert_eq!(said, matcher.matches_or_parent_matches(path));
    // The pattern that matches everything, last, wins over all before it.
    let all = patterns.iter().map(String::as_str).chain(["**"]);
    let all = PatternMatcher::new(all).expect("`**` is a pattern");
    if let Ok(matches) = all.matches_or_parent_matches(path) {
        assert!(matches || path.is_empty() || path == b".", "{path:?}");
    }
});
