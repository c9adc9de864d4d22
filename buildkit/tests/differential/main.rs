//! Compares mlbuild's selection and transfer of files with the Go libraries
//! that BuildKit is made of, over generated trees, patterns and ignore files.
//!
//! Needs Go, and its module proxy the first time; without them it fails. Set
//! `MLBUILD_TEST_SEED` to a number to go elsewhere than the usual cases.

mod generate;
mod oracle;
mod selection;
mod transfer;

use generate::Random;
use mlbuild_buildkit::fsutil::dockerignore;
use mlbuild_buildkit::fsutil::patterns::PatternMatcher;
use oracle::{Answer, Oracle, Question};

/// Our answer in the oracle's terms.
fn match_all(patterns: &[Vec<u8>], paths: &[Vec<u8>]) -> Answer {
    let matcher = match PatternMatcher::new(patterns) {
        Ok(matcher) => matcher,
        Err(e) => return Answer::error(&e),
    };
    let matches = paths.iter().map(|path| {
        match matcher.matches_or_parent_matches(path) {
            Ok(true) => "yes",
            Ok(false) => "no",
            Err(_) => "error",
        }
        .to_owned()
    });
    Answer {
        matches: Some(matches.collect()),
        ..Answer::default()
    }
}

fn compare_matches(random: &mut Random, rounds: usize, pattern: fn(&mut Random) -> Vec<u8>) {
    let mut oracle = Oracle::start();
    let (mut hits, mut errors) = (0, 0);
    for _ in 0..rounds {
        let patterns: Vec<_> = random.list(1, 6, pattern);
        let paths: Vec<_> = random.list(20, 20, generate::path);
        let theirs = oracle.ask(&Question {
            op: "match",
            patterns: patterns.iter().map(|p| oracle::base64(p)).collect(),
            paths: paths.iter().map(|p| oracle::base64(p)).collect(),
            ..Question::default()
        });
        let ours = match_all(&patterns, &paths);
        let show = |list: &[Vec<u8>]| {
            let texts = list.iter().map(|p| String::from_utf8_lossy(p).into_owned());
            texts.collect::<Vec<_>>()
        };
        assert_eq!(
            (ours.failed(), &ours.matches.clone().unwrap_or_default()),
            (theirs.failed(), &theirs.matches.unwrap_or_default()),
            "patterns {:?}\npaths {:?}",
            show(&patterns),
            show(&paths),
        );
        errors += usize::from(ours.failed());
        hits += ours
            .matches
            .iter()
            .flatten()
            .filter(|m| *m == "yes")
            .count();
    }
    // The cases must not all be the same trivial one.
    assert!(
        hits > rounds / 2 && errors < rounds * 2 / 3,
        "{hits} hits, {errors} errors"
    );
}

#[test]
fn patterns_match_as_upstream() {
    compare_matches(&mut Random::seeded(1), 3000, generate::pattern);
}

#[test]
fn odd_patterns_match_as_upstream() {
    compare_matches(&mut Random::seeded(2), 6000, generate::odd_pattern);
}

#[test]
fn ignore_files_read_as_upstream() {
    let mut random = Random::seeded(3);
    let mut oracle = Oracle::start();
    for _ in 0..2000 {
        let content = generate::ignore_file(&mut random);
        let theirs = oracle.ask(&Question {
            op: "ignorefile",
            content: Some(oracle::base64(&content)),
            ..Question::default()
        });
        let ours = dockerignore::parse(&content).expect("lines are short");
        assert_eq!(
            ours,
            theirs.lines.unwrap_or_default(),
            "{:?}",
            String::from_utf8_lossy(&content)
        );
    }
}
