//! Which wheels share a layer, and in which order the layers lie.
//!
//! A large wheel has a layer of its own, so that every image that needs it shares it. Unpacked
//! files are shared only as far as two images have the same layers from the bottom up: so what a
//! lock had before keeps its place, and what is new goes on top.

/// Bytes of a wheel that get it a layer of its own.
const LARGE: u64 = 1_000_000;
/// Layers that an image may have: Docker's classic store fails at 126.
const MOST_IN_ALL: usize = 120;
/// Layers of them that may be of wheels.
const MOST_OF_WHEELS: usize = 60;

/// How many layers there may be.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Layers of the base.
    pub base: usize,
    /// Layers that aren't of wheels: environment, code, user.
    pub others: usize,
}

/// The wheels of one layer: their places in the list.
pub type Group = Vec<usize>;

/// Groups wheels, each given by its package's normalized name and its size in bytes; the layers
/// are in order from the bottom. `before`: the packages that had a layer of their own, in the
/// order of that time.
///
/// # Errors
/// Where the base leaves no room for even one layer: how many there would be.
pub fn group(wheels: &[(&str, u64)], before: &[&str], budget: Budget) -> Result<Vec<Group>, usize> {
    if wheels.is_empty() {
        return Ok(Vec::new());
    }
    let taken = budget.base + budget.others;
    let room = MOST_IN_ALL.saturating_sub(taken).min(MOST_OF_WHEELS);
    if room == 0 {
        return Err(taken + 1);
    }
    let mut large: Vec<usize> = (0..wheels.len())
        .filter(|at| wheels[*at].1 >= LARGE)
        .collect();
    large.sort_by_key(|at| (std::cmp::Reverse(wheels[*at].1), wheels[*at].0));
    let small = wheels.len() - large.len();
    // One layer is for all that have none of their own.
    let alone = if large.len() + usize::from(small > 0) > room {
        room - 1
    } else {
        large.len()
    };
    large.truncate(alone);
    let place = |at: &usize| before.iter().position(|name| *name == wheels[*at].0);
    // A stable sort: among the new ones the largest comes first.
    large.sort_by_key(|at| place(at).unwrap_or(usize::MAX));
    let mut rest: Vec<usize> = (0..wheels.len()).filter(|at| !large.contains(at)).collect();
    rest.sort_by_key(|at| wheels[*at].0);
    let mut groups: Vec<Group> = large.into_iter().map(|at| vec![at]).collect();
    if !rest.is_empty() {
        groups.push(rest);
    }
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: Budget = Budget { base: 5, others: 3 };

    fn names(wheels: &[(&str, u64)], before: &[&str], budget: Budget) -> Vec<String> {
        let groups = group(wheels, before, budget).unwrap();
        let names = groups.iter().map(|group| {
            let names: Vec<_> = group.iter().map(|at| wheels[*at].0).collect();
            names.join("+")
        });
        names.collect()
    }

    #[test]
    fn large_ones_are_alone_the_largest_at_the_bottom() {
        let wheels = [
            ("tqdm", 80_000),
            ("numpy", 20 << 20),
            ("six", 11_000),
            ("torch", 500 << 20),
        ];
        assert_eq!(names(&wheels, &[], BUDGET), ["torch", "numpy", "six+tqdm"]);
    }

    #[test]
    fn what_was_there_keeps_its_place_and_what_is_new_goes_on_top() {
        let wheels = [
            ("numpy", 20 << 20),
            ("scipy", 35 << 20),
            ("torch", 500 << 20),
        ];
        assert_eq!(
            names(&wheels, &["scipy", "numpy"], BUDGET),
            ["scipy", "numpy", "torch"]
        );
        assert_eq!(
            names(&wheels, &["gone", "numpy"], BUDGET),
            ["numpy", "torch", "scipy"]
        );
    }

    #[test]
    fn there_are_never_more_layers_than_engines_take() {
        let owned: Vec<String> = (0..200).map(|n| format!("p{n:03}")).collect();
        let wheels: Vec<(&str, u64)> = owned
            .iter()
            .enumerate()
            .map(|(n, name)| (name.as_str(), 2_000_000 + n as u64))
            .collect();
        assert_eq!(group(&wheels, &[], BUDGET).unwrap().len(), 60);
        let tight = Budget {
            base: 115,
            others: 3,
        };
        let groups = group(&wheels, &[], tight).unwrap();
        assert_eq!(groups.len(), 2);
        assert_eq!(groups[0], [199]);
        assert_eq!(groups[1].len(), 199);
        let exact = group(&wheels[..60], &[], BUDGET).unwrap();
        assert!(exact.len() == 60 && exact.iter().all(|group| group.len() == 1));
        assert_eq!(
            group(
                &wheels,
                &[],
                Budget {
                    base: 118,
                    others: 3
                }
            ),
            Err(122)
        );
        assert_eq!(
            group(
                &[],
                &[],
                Budget {
                    base: 118,
                    others: 3
                }
            ),
            Ok(Vec::new())
        );
    }
}
