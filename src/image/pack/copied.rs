//! The times of what COPY and ADD put into an image.
//!
//! A builder keeps a COPY by what is copied and not by its times: who copies the same files later,
//! with other times, gets those of the first. So these times say nothing about the image, and two
//! builders differ in them. They are the epoch here; so is the time of a file that a later step took
//! up again and left as it was, as `RUN chown -R` does.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use super::PackOptions;
use crate::image::compare::Side;
use crate::image::layer::{EntryPath, LayerEntry, LayerError, LayerLimits, read_layer};

/// The layers of COPY and ADD among an image's own, and what lies in those that steps follow.
pub(super) struct Copied {
    layers: Vec<bool>,
    paths: BTreeSet<EntryPath>,
}

impl Copied {
    /// Looks at the layers from the `from`th on.
    pub(super) fn find(
        side: &Side<'_>,
        from: usize,
        options: &PackOptions,
    ) -> Result<Self, LayerError> {
        let steps = side.steps();
        let steps = steps[from..].iter();
        let layers: Vec<bool> = steps
            .map(|step| step.as_deref().is_some_and(copies))
            .collect();
        let own = &side.image.layers[from..];
        let mut paths = BTreeSet::new();
        for (at, layer) in own.iter().enumerate() {
            let above = own.iter().zip(&layers).skip(at + 1);
            let mut steps = above.filter(|(layer, is_copy)| !**is_copy && !options.knows(layer));
            if !layers[at] || options.knows(layer) || steps.next().is_none() {
                continue;
            }
            let limits = LayerLimits::for_blob(layer.blob.size());
            read_layer(side.open(layer)?, layer, &limits, &mut |entry, _| {
                paths.insert(entry.path.clone());
                Ok(ControlFlow::Continue(()))
            })?;
        }
        Ok(Self { layers, paths })
    }

    /// Whether this own layer, from 0, is that of a COPY or ADD.
    pub(super) fn is_copy(&self, at: usize) -> bool {
        self.layers[at]
    }

    /// Whether an entry of this own layer has a time that says nothing.
    pub(super) fn has_any_time(&self, at: usize, entry: &LayerEntry) -> bool {
        self.layers[at] || self.paths.contains(&entry.path)
    }
}

/// Whether a step of the history is a COPY or an ADD.
fn copies(step: &str) -> bool {
    step.starts_with("COPY ") || step.starts_with("ADD ")
}
