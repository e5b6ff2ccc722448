//! The files of a Keras model: an archive, or HDF5 with or without the model's configuration.
//!
//! | file | content |
//! |---|---|
//! | `.keras` | a zip archive of `config.json`, `metadata.json`, `model.weights.h5` and `assets/`, not compressed |
//! | `.h5` | the attribute `model_config` and the group `model_weights` |
//! | `.weights.h5`, `.h5` of weights | arrays alone; `model.to_json()` may lie beside it, as `STEM.json` |

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use zip::ZipArchive;

use super::store::{HDF5, Store};
use crate::contain::contain;
use crate::formats::stored_zip::{self, ZIP};
use crate::tasks::Task;
use crate::{Error, Result, regular_file};

pub(super) const CONFIG: &str = "config.json";
pub(super) const METADATA: &str = "metadata.json";
pub(super) const WEIGHTS: &str = "model.weights.h5";

/// The end of the name of a record with the tokens of a `TextVectorization`.
const VOCABULARY: &str = "/vocabulary.txt";

/// The entry of `metadata.json` that an export of this program adds; Keras reads none of it.
pub(super) const OURS: &str = "rnn_zoo";

/// The largest record or file beside the weights, in bytes.
const LARGEST_TEXT: u64 = 64 << 20;

/// The largest file of weights, in bytes.
const LARGEST_WEIGHTS: u64 = 1 << 33;

/// A Keras model as it is stored.
pub(super) struct KerasFile {
    /// The configuration of its layers; `None` if the file has weights alone.
    pub(super) architecture: Option<String>,
    pub(super) store: Store,
    /// The tokens of a `TextVectorization`, one a line.
    pub(super) vocabulary: Option<String>,
    /// The facts that an export of this program adds.
    pub(super) ours: Option<Ours>,
}

/// What a bundle has and a Keras model has not.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Ours {
    pub(super) task: &'static dyn Task,
    pub(super) labels: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) text_column: Option<String>,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub(super) schema: Value,
}

/// Whether a file is one of Keras. `head` is its beginning.
pub(super) fn is_keras(path: &Path, head: &[u8]) -> bool {
    if head.starts_with(HDF5) {
        return true;
    }
    let records = [CONFIG, WEIGHTS];
    let archive = || archive(File::open(path).map_err(|error| error.to_string())?);
    head.starts_with(ZIP)
        && archive().is_ok_and(|archive| records.iter().all(|name| archive.index_for_name(name).is_some()))
}

impl KerasFile {
    /// Read a file.
    ///
    /// # Errors
    /// If it is damaged, compressed, or of another kind.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let failed = |problem: String| Error::file(path, problem);
        let (mut file, _) = regular_file::open(path)?;
        let mut head = [0; ZIP.len()];
        let read = file.read_exact(&mut head);
        read.map_err(|error| failed(format!("cannot be read: {error}")))?;
        match head == ZIP {
            true => Self::of_archive(regular_file::open(path)?.0).map_err(failed),
            false => Self::of_hdf5(path),
        }
    }

    fn of_archive(file: File) -> Result<Self, String> {
        let mut archive = archive(file)?;
        let text = |archive: &mut ZipArchive<File>, name: &str| {
            let bytes = record(archive, name, LARGEST_TEXT)?;
            String::from_utf8(bytes).map_err(|_| format!("has a record {name} that is not UTF-8 text"))
        };
        let architecture = Some(text(&mut archive, CONFIG)?);
        let ours = match archive.index_for_name(METADATA) {
            Some(_) => ours(&text(&mut archive, METADATA)?)?,
            None => None,
        };
        let mut names = archive.file_names().filter_map(Result::ok).map(std::borrow::Cow::into_owned);
        let tokens = names.find(|name| name.starts_with("assets/") && name.ends_with(VOCABULARY));
        drop(names);
        let vocabulary = tokens.map(|name| text(&mut archive, &name)).transpose()?;
        let store = Store::open(record(&mut archive, WEIGHTS, LARGEST_WEIGHTS)?)
            .map_err(|problem| format!("has a damaged record {WEIGHTS}: {problem}"))?;
        Ok(Self { architecture, store, vocabulary, ours })
    }

    fn of_hdf5(path: &Path) -> Result<Self> {
        let failed = |problem: String| Error::file(path, problem);
        let store = Store::open(regular_file::read(path, LARGEST_WEIGHTS)?);
        let store =
            store.map_err(|problem| failed(format!("is cut short or not HDF5: {problem}; copy it again")))?;
        let inside = store.text("/", "model_config").map_err(failed)?;
        let beside = beside(path);
        let architecture = match inside {
            Some(config) => Some(config),
            None if beside.exists() => {
                let bytes = regular_file::read(&beside, LARGEST_TEXT)?;
                let text = String::from_utf8(bytes).map_err(|_| Error::file(&beside, "is not UTF-8 text"))?;
                Some(text)
            }
            None => None,
        };
        Ok(Self { architecture, store, vocabulary: None, ours: None })
    }
}

/// Return the file with the configuration beside a file of weights: `model.json` for `model.weights.h5`.
pub(super) fn beside(path: &Path) -> PathBuf {
    let stem = path.with_extension("");
    match stem.extension() {
        Some(extension) if extension == "weights" => stem.with_extension("json"),
        _ => path.with_extension("json"),
    }
}

/// Read the entry of this program in `metadata.json`.
fn ours(metadata: &str) -> Result<Option<Ours>, String> {
    let mut metadata: Value = serde_json::from_str(metadata)
        .map_err(|error| format!("has a record {METADATA} that is not JSON: {error}"))?;
    match metadata.get_mut(OURS).map(Value::take) {
        None => Ok(None),
        Some(ours) => serde_json::from_value(ours)
            .map(Some)
            .map_err(|error| format!("has a damaged entry {OURS} in its record {METADATA}: {error}")),
    }
}

/// Return the directory of an archive.
fn archive(file: File) -> Result<ZipArchive<File>, String> {
    stored_zip::archive(file, "Keras")
}

/// Read a record of at most `limit` bytes.
fn record(archive: &mut ZipArchive<File>, name: &str, limit: u64) -> Result<Vec<u8>, String> {
    let mut bytes = vec![];
    let mut record = stored_zip::record(archive, name, "Keras")?.take(limit + 1);
    contain(|| record.read_to_end(&mut bytes))
        .and_then(|read| read.map_err(|error| error.to_string()))
        .map_err(|error| format!("has a damaged record {name}: {error}; copy the file again"))?;
    match bytes.len() as u64 {
        found if found > limit => Err(format!("has a record {name} of more than {limit} bytes")),
        _ => Ok(bytes),
    }
}
