//! Two images side by side: what differs in their configurations, layers, packages and files,
//! and why, where that is known.
//!
//! Layers that both have are not read. The others are streamed, several at once: of each entry a
//! row is kept, and of its content a hash; small texts too, as long as there is room. The contents
//! of others that differ are read again to show the lines. Rows that have no room are sorted on disk,
//! so that memory depends neither on the number of entries nor on that of layers.

mod causes;
mod changes;
mod config;
mod files;
mod groups;
mod hashed;
mod packages;
mod report;
mod row;
mod side;
mod sorted;
mod table;
#[cfg(test)]
mod tests;
mod texts;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use self::groups::Group;
use self::packages::Packages;
use self::table::Table;
use self::texts::{Contents, TextBudget};
use super::layer::LayerError;

pub use side::{LayerStore, Side};

pub use report::{
    Comparison, ConfigDifference, FieldDifference, FileChange, FileDifference, LayerAbout,
    LayersDifference, PackageDifference, Pair,
};

/// Most files that are listed for one place.
const MOST_IN_GROUP: usize = 10_000;
/// Most files that are listed of all places together: each of them has the same share.
const MOST_FILES: usize = 40_000;

/// Compares two images for one platform.
///
/// # Errors
/// A layer of either that can't be read.
pub fn compare<'a>(first: &Side<'a>, second: &Side<'a>) -> Result<Comparison, LayerError> {
    let mut report = Comparison::new(first, second);
    if report.same {
        return Ok(report);
    }
    report.config = config::differences(first, second);
    let groups = groups::groups(&first.image.layers, &second.image.layers);
    let compared = compare_all(first, second, &groups)?;
    let (mut apt, mut python) = (Pair::default(), Pair::default());
    let mut kept: Pair<Contents> = Pair::default();
    for (group, found) in groups.iter().zip(compared) {
        let Some(mut found) = found else {
            report
                .layers
                .push(LayersDifference::repacked(first, second, group));
            continue;
        };
        kept.first.append(&mut found.texts.first);
        kept.second.append(&mut found.texts.second);
        report.layers.push(found.files);
        report.unpacked.first += found.unpacked.first;
        report.unpacked.second += found.unpacked.second;
        packages::add(&mut apt, &mut python, found.packages);
    }
    packages::complete(&mut apt, first, second, &groups)?;
    report.packages = packages::differences(&apt, &python);
    texts::add(&mut report, first, second, kept)?;
    Ok(report)
}

/// What is known of a group once its layers were compared.
struct ComparedGroup {
    files: LayersDifference,
    packages: Pair<Packages>,
    texts: Pair<Contents>,
    unpacked: Pair<u64>,
}

/// Compares the layers of all groups, a few groups at once; `None` for those that need no reading.
fn compare_all(
    first: &Side<'_>,
    second: &Side<'_>,
    groups: &[Group],
) -> Result<Vec<Option<ComparedGroup>>, LayerError> {
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(None));
    let budget = TextBudget::default();
    let most = (MOST_FILES / groups.len().max(1)).clamp(1, MOST_IN_GROUP);
    let slots: Vec<Mutex<Option<ComparedGroup>>> =
        groups.iter().map(|_| Mutex::default()).collect();
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let stop = || failed.lock().expect("nobody panics").is_some();
            let Some(group) = groups.get(at).filter(|_| !stop()) else {
                return;
            };
            if group.is_repacked {
                continue;
            }
            match compare_group(first, second, group, &budget, most) {
                Ok(found) => *slots[at].lock().expect("nobody panics") = Some(found),
                Err(error) => *failed.lock().expect("nobody panics") = Some(error),
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        // Each reads two layers at once.
        for _ in 0..(cores / 2).clamp(1, 4) {
            scope.spawn(work);
        }
    });
    if let Some(error) = failed.into_inner().expect("nobody panics") {
        return Err(error);
    }
    let take = |slot: Mutex<_>| slot.into_inner().expect("nobody panics");
    Ok(slots.into_iter().map(take).collect())
}

fn compare_group(
    first: &Side<'_>,
    second: &Side<'_>,
    group: &Group,
    budget: &TextBudget,
    most: usize,
) -> Result<ComparedGroup, LayerError> {
    let (mut a, mut b) = std::thread::scope(|scope| {
        let other = scope.spawn(|| Table::read(second, group.second.clone(), budget));
        let first = Table::read(first, group.first.clone(), budget);
        let second = other.join().expect("reading a layer doesn't panic");
        Ok::<_, LayerError>((first?, second?))
    })?;
    let files = files::differences(first, second, group, &mut a, &mut b, most);
    let files = files.map_err(|error| {
        let of = |side: &Side<'_>, layers: &std::ops::Range<usize>| {
            let layer = side.image.layers.get(layers.clone()).and_then(<[_]>::first);
            layer.map(|layer| layer.blob.digest().clone())
        };
        let layer = of(first, &group.first).or_else(|| of(second, &group.second));
        table::not_kept(&layer.expect("a group has layers"), error)
    })?;
    Ok(ComparedGroup {
        files,
        packages: Pair {
            first: a.packages,
            second: b.packages,
        },
        texts: Pair {
            first: a.texts,
            second: b.texts,
        },
        unpacked: Pair {
            first: a.unpacked,
            second: b.unpacked,
        },
    })
}
