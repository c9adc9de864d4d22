//! Two images side by side: what differs in their configurations, layers, packages and files,
//! and why, where that is known.
//!
//! Layers that both have are not read. The others are streamed, several at once: of each entry a
//! row is kept, and of its content a hash; small texts too, as long as there is room. The contents
//! of others that differ are read again to show the lines.

mod causes;
mod config;
mod files;
mod groups;
mod hashed;
mod packages;
mod report;
mod side;
mod table;
#[cfg(test)]
mod tests;
mod texts;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use self::groups::Group;
use self::table::Table;
use self::texts::{Contents, TextBudget};
use super::layer::LayerError;

pub use side::{LayerStore, Side};

pub use report::{
    Comparison, ConfigDifference, FieldDifference, FileChange, FileDifference, LayerAbout,
    LayersDifference, PackageDifference, Pair,
};

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
    let compared = read_all(first, second, &groups)?;
    let (mut apt, mut python) = (Pair::default(), Pair::default());
    let mut kept: Pair<Contents> = Pair::default();
    for (group, pair) in groups.iter().zip(compared) {
        let Some(pair) = pair else {
            report
                .layers
                .push(LayersDifference::repacked(first, second, group));
            continue;
        };
        let (mut a, mut b) = (pair.first, pair.second);
        kept.first.append(&mut a.texts);
        kept.second.append(&mut b.texts);
        report
            .layers
            .push(files::differences(first, second, group, &a, &b));
        report.unpacked.first += a.unpacked;
        report.unpacked.second += b.unpacked;
        packages::add(&mut apt, &mut python, a, b);
    }
    packages::complete(&mut apt, first, second, &groups)?;
    report.packages = packages::differences(&apt, &python);
    texts::add(&mut report, first, second, kept)?;
    Ok(report)
}

/// Reads the layers of all groups, a few groups at once; `None` for those that need no reading.
fn read_all(
    first: &Side<'_>,
    second: &Side<'_>,
    groups: &[Group],
) -> Result<Vec<Option<Pair<Table>>>, LayerError> {
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(None));
    let budget = TextBudget::default();
    let slots: Vec<Mutex<Option<Pair<Table>>>> = groups.iter().map(|_| Mutex::default()).collect();
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
            match read_both(first, second, group, &budget) {
                Ok(pair) => *slots[at].lock().expect("nobody panics") = Some(pair),
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

fn read_both(
    first: &Side<'_>,
    second: &Side<'_>,
    group: &Group,
    budget: &TextBudget,
) -> Result<Pair<Table>, LayerError> {
    std::thread::scope(|scope| {
        let other = scope.spawn(|| Table::read(second, group.second.clone(), budget));
        let first = Table::read(first, group.first.clone(), budget);
        let second = other.join().expect("reading a layer doesn't panic");
        Ok(Pair {
            first: first?,
            second: second?,
        })
    })
}
