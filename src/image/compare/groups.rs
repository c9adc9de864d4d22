//! Which layers of two images are compared with each other.

use std::ops::Range;

use similar::DiffOp;

use super::changes::changes;
use crate::image::ImageLayer;

/// Layers of both that stand in the same place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) first: Range<usize>,
    pub(super) second: Range<usize>,
    /// True for one layer that both have, compressed differently.
    pub(super) is_repacked: bool,
}

/// The layers that differ, lowest first. Where as many of one image stand against as many of
/// the other, they are compared one by one; else all of them together, as they lie on one
/// another.
pub(super) fn groups(first: &[ImageLayer], second: &[ImageLayer]) -> Vec<Group> {
    let ids = |layers: &[ImageLayer]| -> Vec<String> {
        layers.iter().map(|l| l.diff_id.to_string()).collect()
    };
    let (old, new) = (ids(first), ids(second));
    let old: Vec<&str> = old.iter().map(String::as_str).collect();
    let new: Vec<&str> = new.iter().map(String::as_str).collect();
    let mut groups = Vec::new();
    let mut open: Option<(Range<usize>, Range<usize>)> = None;
    for op in changes(&old, &new) {
        let (a, b) = (op.old_range(), op.new_range());
        if let DiffOp::Equal { .. } = op {
            close(&mut groups, open.take());
            let pairs = a.zip(b);
            let repacked =
                pairs.filter(|(a, b)| first[*a].blob.digest() != second[*b].blob.digest());
            groups.extend(repacked.map(|(a, b)| one(a, b, true)));
            continue;
        }
        open = Some(match open {
            Some((x, y)) => (x.start..a.end, y.start..b.end),
            None => (a, b),
        });
    }
    close(&mut groups, open);
    groups
}

fn close(groups: &mut Vec<Group>, open: Option<(Range<usize>, Range<usize>)>) {
    let Some((first, second)) = open else { return };
    if first.len() == second.len() {
        groups.extend(first.zip(second).map(|(a, b)| one(a, b, false)));
        return;
    }
    groups.push(Group {
        first,
        second,
        is_repacked: false,
    });
}

fn one(a: usize, b: usize, is_repacked: bool) -> Group {
    Group {
        first: a..a + 1,
        second: b..b + 1,
        is_repacked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::layer::descriptor;
    use oci_spec::image::MediaType;

    fn layers(names: &str) -> Vec<ImageLayer> {
        let layer = |name: char| {
            let id = name.to_ascii_lowercase().to_string();
            let of = |text: &str| descriptor(text.as_bytes(), MediaType::ImageLayer);
            ImageLayer {
                blob: of(&name.to_string()),
                diff_id: of(&id).digest().clone(),
            }
        };
        names.chars().map(layer).collect()
    }

    fn of(first: &str, second: &str) -> Vec<String> {
        let groups = groups(&layers(first), &layers(second));
        let text = |g: Group| {
            let packed = if g.is_repacked { "=" } else { ":" };
            format!("{}{packed}{}", &first[g.first], &second[g.second])
        };
        groups.into_iter().map(text).collect()
    }

    #[test]
    fn layers_in_the_same_place_are_compared() {
        assert_eq!(of("abc", "abc"), [""; 0]);
        assert_eq!(of("abc", "aBc"), ["b=B"]);
        assert_eq!(of("abcd", "axyd"), ["b:x", "c:y"]);
        assert_eq!(of("abcd", "axd"), ["bc:x"]);
        assert_eq!(of("ab", "abx"), [":x"]);
        assert_eq!(of("ab", "xyz"), ["ab:xyz"]);
        assert_eq!(of("", "a"), [":a"]);
    }
}
