//! Outputs of type `sif`: the image is written as a layout of this process's, and that as a file for Apptainer,
//! the same that `mlbuild pull --sif` writes of the pushed image.

use std::path::Path;

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::BuildError;
use crate::plan::Output;
use crate::pull::{BegunFile, write_layout};
use crate::reporter::Reporter;
use crate::settings::ImageSettings;

/// What an output's `type=` is.
const KIND: &str = "sif";

/// Files that become the image when it is there.
pub(super) struct SifOutputs {
    files: Vec<BegunFile>,
    layout: TempDir,
}

impl SifOutputs {
    /// Takes them out of the settings, and puts the layout there. `None` where there are none.
    ///
    /// # Errors
    /// Where a file can't be written: that is known before anything is built.
    pub(super) fn take(settings: &mut ImageSettings) -> Result<Option<Self>, BuildError> {
        let outputs = std::mem::take(&mut settings.build.outputs);
        let (wanted, mut others): (Vec<_>, Vec<_>) =
            outputs.into_iter().partition(|output| output.kind == KIND);
        let dests = wanted.iter().filter_map(|output| output.dest.as_deref());
        let files = dests.map(BegunFile::at).collect::<Result<Vec<_>, _>>()?;
        let taken = if files.is_empty() {
            None
        } else {
            let layout =
                tempfile::tempdir().map_err(BuildError::write(&tempfile::env::temp_dir()))?;
            others.push(Output {
                kind: "oci".to_owned(),
                attrs: [("tar".to_owned(), "false".to_owned())].into(),
                dest: Some(layout.path().join("image")),
            });
            Some(Self { files, layout })
        };
        settings.build.outputs = others;
        Ok(taken)
    }

    /// Writes them.
    ///
    /// # Errors
    /// Where the image has no such form, or the disk is full.
    pub(super) fn write(
        self,
        settings: &ImageSettings,
        reporter: &dyn Reporter,
    ) -> Result<(), BuildError> {
        let layout = self.layout.path().join("image");
        let first = &settings.tags[0];
        let name = format!("{}/{}", first.registry(), first.repository());
        for file in self.files {
            let work = || write_layout(Path::new(&layout), &name, file, &CancellationToken::new());
            let written = tokio::task::block_in_place(work)?;
            reporter.note(format!(
                "{} is {} for {}",
                written.file.display(),
                written.pinned,
                written.platform
            ));
            written
                .left_out
                .iter()
                .for_each(|line| reporter.note(line.as_str()));
        }
        Ok(())
    }
}
