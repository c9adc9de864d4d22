//! An image on its way out of a builder, whole and as the builder made it, for mlbuild to write
//! its final bytes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mlbuild_buildkit::{Export, ExportTarget};
use tokio::io::AsyncWriteExt as _;

use super::{BuildInputs, BuildOutput, Builder, BuilderError, check};

impl Builder {
    /// Builds, and puts the image into a folder: an OCI layout, or an archive of Docker's where
    /// its classic store can't make one. The image gets no name in the builder's own store.
    /// Blobs that are `held` elsewhere are left out of a layout: sizes in bytes by digest.
    ///
    /// # Errors
    /// Those of [`Builder::build`]; a folder that can't be written to.
    pub async fn export(
        &self,
        inputs: &BuildInputs<'_>,
        into: &Path,
        held: BTreeMap<String, u64>,
    ) -> Result<(BuildOutput, PathBuf), BuilderError> {
        check::check(inputs.plan, inputs.host, &self.info)?;
        if self.is_classic() {
            return self.save(inputs, into).await;
        }
        let layout = into.join("built");
        std::fs::create_dir_all(&layout).map_err(BuilderError::file(&layout))?;
        let export = Export {
            kind: "oci".into(),
            // Packed once, by mlbuild.
            attrs: BTreeMap::from([
                ("tar".into(), "false".into()),
                ("compression".into(), "uncompressed".into()),
                ("oci-mediatypes".into(), "true".into()),
            ]),
            output: Some(ExportTarget::Dir(layout.clone())),
        };
        let output = self.solve_but(inputs, vec![export], held).await?;
        Ok((output, layout))
    }

    /// By way of Docker's store, which the image doesn't stay in.
    async fn save(
        &self,
        inputs: &BuildInputs<'_>,
        into: &Path,
    ) -> Result<(BuildOutput, PathBuf), BuilderError> {
        let export = Export {
            kind: "moby".into(),
            attrs: BTreeMap::new(),
            output: None,
        };
        let output = self.solve(inputs, vec![export]).await?;
        let docker = self.docker()?;
        // Older ones give the image ID where others give the manifest's digest.
        let told = output.response.get("containerimage.digest").cloned();
        let id = output
            .config_digest
            .clone()
            .or(told)
            .ok_or(BuilderError::DockerNamesNoImage)?;
        let archive = into.join("built.tar");
        let fail = BuilderError::file(&archive);
        let mut file = tokio::fs::File::create(&archive).await.map_err(&fail)?;
        tokio::select! {
            saved = docker.save_image(&id, &mut file) => saved?,
            () = inputs.cancel.cancelled() => return Err(BuilderError::Cancelled),
        }
        file.flush().await.map_err(fail)?;
        // Somebody else's, if it has a name.
        let found = docker.image_inspect(&id).await?;
        if found.is_some_and(|image| image.repo_tags.is_none_or(|tags| tags.is_empty())) {
            let _ = docker.remove_image(&id).await;
        }
        Ok((output, archive))
    }
}
