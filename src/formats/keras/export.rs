//! A network as a `.keras` archive.

use std::path::Path;

use serde_json::json;

use super::archive::archive;
use super::description::{Description, describe};
use super::file::{OURS, Ours};
use crate::bundle::Config;
use crate::formats::format::NewFile;
use crate::parameters::NamedTensors;
use crate::{Error, Result};

/// The version of Keras whose format the archive has.
const VERSION: &str = "3.0.0";

/// Encode a network as `out`, which is named `STEM.keras`.
///
/// # Errors
/// If `out` has another extension, or the network has parts that Keras's layers do not have.
pub(super) fn export(config: &Config, parameters: &NamedTensors, out: &Path) -> Result<Vec<NewFile>> {
    if out.extension().is_none_or(|extension| extension != "keras") {
        let problem = format!("is {}; expected a name that ends with .keras", out.display());
        return Err(Error::invalid("out", problem));
    }
    let Description { layers, groups } = describe(config, parameters)?;
    let shape = layers.first().map(|input| input["config"]["batch_shape"].clone()).unwrap_or_default();
    let model = json!({
        "module": "keras",
        "class_name": "Sequential",
        "config": { "name": "sequential", "trainable": true, "layers": layers, "build_input_shape": shape },
        "registered_name": null,
        "build_config": { "input_shape": shape },
    });
    let ours = Ours {
        task: config.task,
        labels: config.labels.clone(),
        text_column: config.text_column.clone(),
        schema: config.schema.clone(),
    };
    let metadata = json!({ "keras_version": VERSION, OURS: ours });
    Ok(vec![NewFile { path: out.to_path_buf(), bytes: archive(&model, &metadata, &groups)? }])
}
