//! One of two images that are compared.

use std::io::{self, Read};

use serde_json::Value;

use crate::image::layer::{LayerError, LayerProblem};
use crate::image::{ImageLayer, PlatformImage};

/// Where the layers of an image are read.
pub trait LayerStore: Sync {
    /// Opens a layer's blob for reading from its start.
    ///
    /// # Errors
    /// Where it isn't there.
    fn open(&self, layer: &ImageLayer) -> io::Result<Box<dyn Read + Send + '_>>;
}

/// One of the two images.
pub struct Side<'a> {
    /// Its digests.
    pub image: PlatformImage,
    /// Its configuration.
    pub config: Value,
    /// Its manifest; `None` in an archive that has none.
    pub manifest: Option<Value>,
    /// Where its layers are read.
    pub store: &'a dyn LayerStore,
}

impl Side<'_> {
    pub(in crate::image) fn open(
        &self,
        layer: &ImageLayer,
    ) -> Result<Box<dyn Read + Send + '_>, LayerError> {
        self.store.open(layer).map_err(|error| LayerError {
            layer: layer.blob.digest().clone(),
            problem: Box::new(LayerProblem::Read(error)),
        })
    }

    /// The step of the Dockerfile that each layer came from, as the history tells.
    pub(in crate::image) fn steps(&self) -> Vec<Option<String>> {
        let history = self.config["history"].as_array().into_iter().flatten();
        let with_layer = history.filter(|entry| entry["empty_layer"] != Value::Bool(true));
        let steps = with_layer.map(|entry| entry["created_by"].as_str().map(str::to_owned));
        let mut steps: Vec<_> = steps.collect();
        // A history that doesn't fit its layers tells nothing.
        if steps.len() != self.image.layers.len() {
            steps.clear();
        }
        steps.resize(self.image.layers.len(), None);
        steps
    }
}
