//! Times that say nothing about an image: of what COPY and ADD put into it, and of what a step made that
//! may have run at any time.
//!
//! A builder keeps a COPY by what is copied and not by its times: who copies the same files later,
//! with other times, gets those of the first. So these times say nothing about the image, and two
//! builders differ in them. They are the epoch here; so is the time of a file that a later step took
//! up again and left as it was, as `RUN chown -R` does.
//!
//! A builder keeps other steps by their text. One that doesn't get the epoch is kept whatever the epoch
//! is, and what it made then may be older: whoever has nothing kept makes it later, and gets the epoch. So
//! all that such a step made has the epoch. It is told from what a package brings along by the base's age.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use super::{PackBase, PackOptions};
use crate::image::compare::Side;
use crate::image::layer::{EntryPath, LayerEntry, LayerError, LayerLimits, read_layer};

/// The layers of COPY and ADD among an image's own, and what lies in those that steps follow.
pub(super) struct Copied {
    layers: Vec<bool>,
    /// Layers of steps that got no epoch.
    open: Vec<bool>,
    paths: BTreeSet<EntryPath>,
    /// When the base was made, in seconds since 1970-01-01, where it says so.
    base_made: Option<i64>,
}

impl Copied {
    /// Looks at the layers from the `from`th on.
    pub(super) fn find(
        side: &Side<'_>,
        from: usize,
        base: Option<&PackBase>,
        options: &PackOptions,
    ) -> Result<Self, LayerError> {
        let steps = side.steps();
        let those = |is: fn(&str) -> bool| -> Vec<bool> {
            let steps = steps[from..].iter();
            steps.map(|step| step.as_deref().is_some_and(is)).collect()
        };
        let (layers, open) = (those(copies), those(is_open));
        let created = base.and_then(|base| base.config["created"].as_str());
        let base_made = created.and_then(|time| time.parse::<jiff::Timestamp>().ok());
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
        Ok(Self {
            layers,
            open,
            paths,
            base_made: base_made.map(jiff::Timestamp::as_second),
        })
    }

    /// Whether this own layer, from 0, is that of a COPY or ADD.
    pub(super) fn is_copy(&self, at: usize) -> bool {
        self.layers[at]
    }

    /// Whether an entry of this own layer has a time that says nothing.
    pub(super) fn has_any_time(&self, at: usize, entry: &LayerEntry) -> bool {
        let is_made = || {
            self.base_made
                .is_some_and(|made| entry.mtime.seconds > made)
        };
        self.layers[at] || self.paths.contains(&entry.path) || (self.open[at] && is_made())
    }
}

/// Whether a step of the history is a COPY or an ADD.
fn copies(step: &str) -> bool {
    step.starts_with("COPY ") || step.starts_with("ADD ")
}

/// Whether a step of the history is kept whatever the epoch is. BuildKit writes the arguments that a RUN
/// got before its command.
fn is_open(step: &str) -> bool {
    let command = step.strip_prefix("RUN ").unwrap_or_default();
    let given = command.split("/bin/sh -c").next().unwrap_or_default();
    let has_epoch = command.starts_with('|') && given.contains("SOURCE_DATE_EPOCH=");
    !has_epoch && !copies(step)
}
