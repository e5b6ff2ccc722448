//! Keras as a format of the registry.

use std::path::Path;

use super::export::export;
use super::file::is_keras;
use super::import::import;
use crate::Result;
use crate::bundle::Config;
use crate::formats::format::{Format, ImportOptions, Imported, NewFile};
use crate::parameters::NamedTensors;

/// Models of Keras.
pub struct Keras;

impl Format for Keras {
    fn name(&self) -> &'static str {
        "keras"
    }

    fn summary(&self) -> &'static str {
        "Keras model (.keras, .h5, .weights.h5)"
    }

    fn export_summary(&self) -> &'static str {
        "Keras 3 archive (.keras)"
    }

    fn recognises(&self, path: &Path, head: &[u8]) -> bool {
        is_keras(path, head)
    }

    fn import(&self, path: &Path, options: &ImportOptions) -> Result<Imported> {
        import(path, options)
    }

    fn export(&self, config: &Config, parameters: &NamedTensors, out: &Path) -> Result<Vec<NewFile>> {
        export(config, parameters, out)
    }
}
