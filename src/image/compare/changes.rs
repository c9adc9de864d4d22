//! The steps from one list to another.

use std::fmt::Write as _;

use similar::algorithms::{Capture, Compact, Replace, myers};
use similar::udiff::UnifiedHunkHeader;
use similar::{DiffOp, group_diff_ops};

/// The steps from one list to the other, in the order of both.
pub(super) fn changes(old: &[&str], new: &[&str]) -> Vec<DiffOp> {
    // By one algorithm, and for one kind of item: the crate's short ways bring each of its algorithms into the
    // program, once for each kind.
    let mut found = Compact::new(Replace::new(Capture::new()), old, new);
    let Ok(()) = myers::diff(&mut found, old, 0..old.len(), new, 0..new.len());
    found.into_inner().into_inner().into_ops()
}

/// The lines that differ, as `diff -U0` prints them, without the names of files.
pub(super) fn unified(old: &str, new: &str) -> String {
    let (old, new) = (lines(old), lines(new));
    let mut text = String::new();
    for mut hunk in group_diff_ops(changes(&old, &new), 0) {
        hunk.retain(|step| !matches!(step, DiffOp::Equal { .. }));
        if hunk.is_empty() {
            continue;
        }
        let _ = writeln!(text, "{}", UnifiedHunkHeader::new(&hunk));
        for step in hunk {
            add(&mut text, '-', &old[step.old_range()]);
            add(&mut text, '+', &new[step.new_range()]);
        }
    }
    text
}

fn lines(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

fn add(text: &mut String, sign: char, lines: &[&str]) {
    for line in lines {
        text.push(sign);
        text.push_str(line);
        if !line.ends_with('\n') {
            text.push_str("\n\\ No newline at end of file\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use similar::{Algorithm, TextDiff, capture_diff_slices};

    use super::*;

    proptest! {
        #[test]
        fn it_is_what_the_short_ways_say(old in "([a-d]{0,2}\n){0,12}[a-d]?", new in "([a-d]{0,2}\n){0,12}[a-d]?") {
            let short = TextDiff::from_lines(&old, &new).unified_diff().context_radius(0).to_string();
            prop_assert_eq!(unified(&old, &new), short);
            let (old, new) = (lines(&old), lines(&new));
            prop_assert_eq!(changes(&old, &new), capture_diff_slices(Algorithm::Myers, &old, &new));
        }
    }
}
