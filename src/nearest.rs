//! "Did you mean": the name nearest to one that is unknown.

/// The candidate nearest to `word`, if one is near enough to be worth saying.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len().max(word.len()) / 3)
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        assert_eq!(nearest("pyton", ["cuda", "python"]), Some("python"));
        assert_eq!(
            nearest("tensorflw", ["pytorch", "tensorflow"]),
            Some("tensorflow")
        );
        assert_eq!(nearest("zzzzzz", ["pytorch", "tensorflow"]), None);
    }
}
