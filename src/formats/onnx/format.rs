//! ONNX as a format of the registry.

use std::path::Path;

use super::decode::model;
use super::export::encode;
use super::foreign;
use super::import::{Decoded, own};
use crate::bundle::Config;
use crate::formats::format::{Format, ImportOptions, Imported, NewFile};
use crate::formats::own_config;
use crate::parameters::NamedTensors;
use crate::{Error, Result, regular_file};

/// The largest file that is read, in bytes: the largest message of protocol buffers.
const LARGEST: u64 = 1 << 31;

/// The first bytes of a file: the field of the format's version, of which there are 1 to 32.
const VERSION_FIELD: u8 = 8;
const VERSIONS: std::ops::RangeInclusive<u8> = 1..=32;

/// ONNX graphs.
pub struct Onnx;

impl Format for Onnx {
    fn name(&self) -> &'static str {
        "onnx"
    }

    fn summary(&self) -> &'static str {
        "ONNX graph of opset 9 or later (.onnx)"
    }

    fn export_summary(&self) -> &'static str {
        "ONNX graph of opset 17 (.onnx)"
    }

    fn recognises(&self, _path: &Path, head: &[u8]) -> bool {
        matches!(head, [VERSION_FIELD, version, ..] if VERSIONS.contains(version))
    }

    fn import(&self, path: &Path, options: &ImportOptions) -> Result<Imported> {
        let bytes = regular_file::read(path, LARGEST)?;
        let model = model(bytes.into()).map_err(|problem| Error::file(path, problem))?;
        let Some(Decoded { config, parameters }) = own(path, &model)? else {
            return foreign::import(path, &model, options);
        };
        own_config::imported(path, config, parameters, options)
    }

    fn export(&self, config: &Config, parameters: &NamedTensors, out: &Path) -> Result<Vec<NewFile>> {
        if out.extension().is_none_or(|extension| extension != "onnx") {
            let problem = format!("is {}; expected a name that ends with .onnx", out.display());
            return Err(Error::invalid("out", problem));
        }
        Ok(vec![NewFile { path: out.to_path_buf(), bytes: encode(config, parameters)? }])
    }
}
