//! `config.json`: the configuration of a bundle, and how a bundle is recognised by it.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use candle_core::DType;
use rnn_zoo_models::ModelConfig;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::files::{CONFIG, METRICS, MODEL};
use super::read;
use crate::error::json_problem;
use crate::tasks::{Known, Prepared, Task, TrainingData};
use crate::tokenizer::{Scheme, Tokenizer};
use crate::{Error, Result};

/// The advice about a damaged file.
const RESTORE: &str = "copy the bundle again, or train the model again";

/// The version of the directory layout, the only one that this program reads and writes.
pub const FORMAT: u64 = 1;

/// A way to store matrices as integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quantisation {
    /// Integers of 8 bits with one scale a row.
    Int8,
}

/// The file that a model was converted from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConvertedFrom {
    /// The name of its format.
    pub format: String,
    /// The name of the file, without its folder.
    pub file: String,
}

/// The contents of `config.json`, from which the model is built.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// The version of the directory layout, [`FORMAT`].
    pub format: u64,
    /// The model's name: `simple-rnn`, `lstm`, `gru` or `rnnlm`.
    pub model: String,
    /// The task that the model was trained for.
    pub task: &'static dyn Task,
    /// The configuration of the network: sizes, layers, directions.
    pub network: ModelConfig,
    /// The kind of tokenizer, if there is one; `tokenizer.json` has its contents.
    #[serde(default)]
    pub tokenizer: Option<Scheme>,
    /// The labels of a classifier or tagger, in the order of the model's outputs.
    #[serde(default)]
    pub labels: Vec<String>,
    /// The text column of the records in the training data, each of which ends with `<eos>`; `None` for running
    /// text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_column: Option<String>,
    /// The task's own description of inputs and outputs, such as further vocabularies or the scale of numbers.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub schema: Value,
    /// The training data and its splits; absent in older bundles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<TrainingData>,
    /// The file of another framework that the model was converted from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub converted_from: Option<ConvertedFrom>,
    /// The format of matrices in `model.safetensors`, if they are not floats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<Quantisation>,
    /// The float type that the model computes in.
    #[serde(with = "dtype_name")]
    pub dtype: DType,
    /// The version of this program that wrote the bundle.
    pub zoo_version: String,
    /// The commands that made the bundle, one a line: the run's, and those that made it longer.
    pub created_with: String,
}

impl Config {
    /// Return the configuration of a new f32 model, called `model`, for a task on data that has been read.
    pub fn new(model: &str, task: &'static dyn Task, network: ModelConfig, data: &Prepared) -> Self {
        Self {
            format: FORMAT,
            model: model.to_string(),
            task,
            network,
            tokenizer: data.tokenizer.as_ref().map(Tokenizer::scheme),
            labels: data.labels.clone(),
            text_column: data.text_column.clone(),
            schema: data.schema.clone(),
            data: None,
            converted_from: None,
            stored: None,
            dtype: DType::F32,
            zoo_version: env!("CARGO_PKG_VERSION").to_string(),
            created_with: String::new(),
        }
    }

    /// Return the classes and the schema of the model, with its tokenizer.
    pub fn known(&self, tokenizer: Option<Tokenizer>) -> Known {
        let Self { labels, schema, .. } = self.clone();
        Known { tokenizer: tokenizer.map(Box::new), labels, schema }
    }

    /// Read and check a bundle's `config.json`.
    ///
    /// # Errors
    /// If the file is missing, not JSON, of another format version, or without a required field.
    pub fn read(path: &Path) -> Result<Self> {
        Self::parse(path, read::bytes(path)?)
    }

    /// Check the contents of a `config.json`. `path` is for errors.
    pub(super) fn parse(path: &Path, bytes: Vec<u8>) -> Result<Self> {
        let text = read::utf8(path, bytes)?;
        let text = read::without_mark(&text);
        let value: Value = serde_json::from_str(text).map_err(|error| {
            Error::file(path, format!("is cut short or not JSON: {}; {RESTORE}", json_problem(&error)))
        })?;
        match value.get("format").and_then(Value::as_u64) {
            // From the text, so that errors name the line.
            Some(FORMAT) => serde_json::from_str(text).map_err(|error| {
                let problem = json_problem(&error);
                Error::file(path, format!("is not a bundle's configuration: {problem}; {RESTORE}"))
            }),
            Some(newer) if newer > FORMAT => {
                let problem =
                    format!("has format {newer}, newer than the {FORMAT} read here; upgrade rnn-zoo");
                Err(Error::file(path, problem))
            }
            Some(older) => Err(Error::file(
                path,
                format!("has format {older}, but formats start at {FORMAT}; train the model again"),
            )),
            None => {
                let problem = "has no `format` number, so it is not from a bundle of this program";
                Err(Error::file(path, problem))
            }
        }
    }
}

/// A float type under candle's name, such as `f32`.
mod dtype_name {
    use candle_core::DType;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(super) fn serialize<S: Serializer>(dtype: &DType, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(dtype.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DType, D::Error> {
        let name = String::deserialize(deserializer)?;
        match name.parse() {
            Ok(dtype @ (DType::F32 | DType::F64 | DType::F16 | DType::BF16)) => Ok(dtype),
            _ => Err(D::Error::custom(format!("dtype {name:?} is none of f32, f64, f16, bf16"))),
        }
    }
}

/// Return whether the path looks like a bundle of this program, of any format version: a folder whose `config.json`
/// has the program's fields. The parameters are not looked at.
pub fn is_bundle(path: &Path) -> bool {
    let Ok(bytes) = read::bytes(&path.join(CONFIG)) else { return false };
    let Ok(text) = String::from_utf8(bytes) else { return false };
    let Ok(value) = serde_json::from_str::<Value>(read::without_mark(&text)) else { return false };
    value.get("format").is_some_and(Value::is_u64) && value.get("zoo_version").is_some_and(Value::is_string)
}

/// Return whether the path is a bundle, a damaged one, or a folder that cannot be looked into.
pub fn may_be_bundle(path: &Path) -> bool {
    let denied =
        fs::metadata(path.join(CONFIG)).is_err_and(|error| error.kind() == ErrorKind::PermissionDenied);
    denied || is_bundle(path) || [MODEL, METRICS].iter().all(|name| path.join(name).exists())
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    fn problem(text: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(CONFIG);
        fs::write(&path, text).unwrap();
        Config::read(&path).unwrap_err().to_string()
    }

    #[test]
    fn configuration_round_trips() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(CONFIG);
        let config =
            Config {
                dtype: DType::BF16, labels: vec!["나쁨".into(), "좋음".into()], ..fixture::config()
            };
        let text = serde_json::to_string(&config).unwrap();
        for text in [format!("\u{feff}{text}"), text] {
            fs::write(&path, text).unwrap();
            assert_eq!(Config::read(&path).unwrap(), config, "with a byte-order mark or without");
        }
        assert!(is_bundle(dir.path()) && !is_bundle(&path));
    }

    #[test]
    fn other_formats_and_broken_files_are_described() {
        let with = |key: &str, value: Value| {
            let mut config = serde_json::to_value(fixture::config()).unwrap();
            config[key] = value;
            problem(&config.to_string())
        };
        assert!(with("format", 2.into()).contains("has format 2, newer than the 1 read here; upgrade"));
        assert!(with("format", 0.into()).contains("has format 0"));
        assert!(with("format", "one".into()).contains("has no `format` number"));
        assert!(with("dtype", "i64".into()).contains("\"i64\" is none of f32"));
        assert!(with("task", "sing".into()).contains("unknown variant `sing`"));
        assert!(problem("{\"format\": 1").contains("cut short or not JSON"));
        assert!(problem("{\n\"format\": 1\n}").contains("missing field `model` at line 3"));
    }
}
