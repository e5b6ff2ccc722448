//! Saved texts, which can be continued later: the state of the network, the token to read next, the tokens so far,
//! the position of the random numbers, and the text that was held back. The continued text is to the bit what it
//! would be without the pause.
//!
//! The file is safetensors: `h` and perhaps `c`, (layers, 1, hidden), and `tokens` and `ages`, u32, (distinct tokens),
//! which hold each token of the text and the number of tokens since its last occurrence. Everything else is JSON in one
//! entry of the metadata. A file of format 1 has no `tokens`: its `ages`, i64, has an element for each token of the
//! vocabulary up to the highest of the text, 0 for those that have not occurred.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use rnn_zoo_models::State;
use serde::{Deserialize, Serialize};

use super::context::Context;
use super::recent::Recent;
use super::text::Text;
use super::transcript::{HeldBack, Transcript};
use crate::bundle::{decode, encode_with, read_tensors_and_metadata, write_tensors};
use crate::inference::model::Model;
use crate::parameters::NamedTensors;
use crate::regular_file;
use crate::rng::{Position, Rng};
use crate::{Error, Result};

/// The version of the file that this program writes; it reads [`FORMER`] too, and no other.
const FORMAT: u64 = 2;

/// The version before that.
const FORMER: u64 = 1;

/// The name of the entry in the file's metadata.
const ENTRY: &str = "rnn_zoo_text";

/// The largest header of a file, in bytes: far more than the text that can be held back.
const LARGEST_HEADER: u64 = 16 << 20;

/// The largest magnitude of a value of a state. A hidden state rarely exceeds 1, a cell state the number of its steps.
const LARGEST_VALUE: f64 = 1e9;

/// The entry in the file's metadata.
#[derive(Serialize, Deserialize)]
struct StateEntry {
    format: u64,
    /// The model's [fingerprint](Model::fingerprint).
    fingerprint: String,
    /// The model's name, for errors.
    model: String,
    last: u32,
    rng: Position,
    held: HeldBack,
}

/// A text that has been read from a file.
pub struct SavedText {
    path: PathBuf,
    context: Context,
    rng: Rng,
    held: HeldBack,
}

impl SavedText {
    /// Check that a text of `model` can be saved at `path`, before the work.
    ///
    /// # Errors
    /// If `path` is a folder or a file of another kind, or its folder does not exist.
    pub fn check_place(path: &Path, model: &Model) -> Result<()> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if path.is_dir() {
            return Err(Error::file(path, "is a folder; name a file for option `save_state`"));
        }
        if path.exists() && read_entry(path, model).is_err() {
            let problem =
                "is a file of another kind and is left alone; name a new one for option `save_state`";
            return Err(Error::file(path, problem));
        }
        if !folder.is_dir() {
            return Err(Error::file(path, "its folder does not exist; make it, or choose another place"));
        }
        Ok(())
    }

    /// Save a text of `model` in a single step: the file is complete or unchanged.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(path: &Path, text: &Text<'_>, model: &Model) -> Result<()> {
        let (tensors, metadata) = parts(text, model).map_err(|error| match error {
            Error::Message(problem) => Error::file(path, problem),
            error => error,
        })?;
        write_tensors(path, &tensors, metadata)
    }

    /// Return the bytes of the file that [`SavedText::save`] writes.
    ///
    /// # Errors
    /// Errors from candle.
    pub fn to_bytes(text: &Text<'_>, model: &Model) -> Result<Vec<u8>> {
        let (tensors, metadata) = parts(text, model)?;
        encode_with(&tensors, Some(metadata))
    }

    /// Read a file that [`SavedText::save`] wrote for the same model.
    ///
    /// # Errors
    /// If the file is missing, cut short, larger than a text of the model, of another kind, or of another model.
    pub fn load(path: &Path, model: &Model) -> Result<Self> {
        if !path.exists() {
            return Err(Error::file(path, "no such file; expected one that `SavedText::save` wrote"));
        }
        let (entry, tensors) = read_entry(path, model)?;
        Self::restore(path, entry, &tensors, model)
    }

    /// Read the bytes of [`SavedText::to_bytes`]. `name` stands for the file in errors.
    ///
    /// # Errors
    /// As [`SavedText::load`].
    pub fn from_bytes(name: &str, bytes: &[u8], model: &Model) -> Result<Self> {
        let path = Path::new(name);
        let limit = largest_file(model)?;
        if bytes.len() as u64 > limit {
            return Err(too_large(path, bytes.len() as u64, limit));
        }
        let (tensors, metadata) = decode(path, bytes)?;
        Self::restore(path, entry_of(path, &metadata)?, &tensors, model)
    }

    /// The text of a file's parts.
    fn restore(path: &Path, entry: StateEntry, tensors: &NamedTensors, model: &Model) -> Result<Self> {
        if entry.fingerprint != model.fingerprint() {
            let problem = format!(
                "was saved by another model, a {}: its state cannot be used with this one; give the \
                 bundle that wrote it, unchanged",
                entry.model
            );
            return Err(Error::file(path, problem));
        }
        let broken =
            |what: String| Error::file(path, what + "; the file is not as it was saved: copy it again");
        let vocabulary = model.tokenizer()?.vocabulary_size();
        if entry.last as usize >= vocabulary {
            return Err(broken("its last token is none of the vocabulary".into()));
        }
        let rng =
            entry.rng.restore().ok_or_else(|| broken("its random numbers have no position".to_string()))?;
        let zero = model.network.zero_state(1)?;
        let tensor = |name: &str, zero: &Tensor| {
            let found = tensors.get(name).ok_or_else(|| broken(format!("has no tensor {name}")))?;
            if found.dims() != zero.dims() {
                let (found, expected) = (found.dims(), zero.dims());
                return Err(broken(format!("tensor {name} has shape {found:?}, not {expected:?}")));
            }
            let values = found.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
            // NaN is in no range.
            if !values.iter().all(|value| (-LARGEST_VALUE..=LARGEST_VALUE).contains(value)) {
                return Err(broken(format!(
                    "tensor {name} has values that are NaN or beyond {LARGEST_VALUE:e}"
                )));
            }
            Ok(found.to_dtype(zero.dtype())?.to_device(zero.device())?)
        };
        let h = tensor("h", &zero.h)?;
        let c = zero.c.as_ref().map(|zero| tensor("c", zero)).transpose()?;
        let recent = recent(tensors, vocabulary)?
            .ok_or_else(|| broken("its tokens and their ages do not fit the vocabulary".into()))?;
        let context = Context::restore(State { h, c }, entry.last, recent);
        Ok(Self { path: path.to_path_buf(), context, rng, held: entry.held })
    }

    /// The text, to be continued up to any of `stops`, which need not be those from before.
    ///
    /// # Errors
    /// If the text that was held back is from another kind of tokenizer.
    pub fn text<'m>(&self, model: &'m Model, stops: &[String]) -> Result<Text<'m>> {
        let transcript =
            Transcript::resume(model.tokenizer()?, stops, self.held.clone()).ok_or_else(|| {
                Error::file(&self.path, "was saved with another kind of tokenizer; give its own bundle")
            })?;
        Ok(Text { context: self.context.clone(), rng: self.rng.clone(), transcript })
    }
}

/// The tensors and the metadata of a text's file.
fn parts(text: &Text<'_>, model: &Model) -> Result<(NamedTensors, HashMap<String, String>)> {
    let mut context = text.context.clone();
    context.read(model.network.as_ref(), &model.device)?;
    let entry = StateEntry {
        format: FORMAT,
        fingerprint: model.fingerprint().to_string(),
        model: model.config.model.clone(),
        last: context.last,
        rng: Position::from(&text.rng),
        held: text.transcript.held_back(),
    };
    let entry = serde_json::to_string(&entry).map_err(|error| Error::Message(error.to_string()))?;
    let mut tensors = NamedTensors::from([("h".to_string(), context.state.h)]);
    tensors.extend(context.state.c.map(|c| ("c".to_string(), c)));
    let (tokens, ages): (Vec<u32>, Vec<u32>) = context.recent.ages().unzip();
    if !tokens.is_empty() {
        tensors.insert("tokens".into(), Tensor::new(tokens, &Device::Cpu)?);
        tensors.insert("ages".into(), Tensor::new(ages, &Device::Cpu)?);
    }
    Ok((tensors, HashMap::from([(ENTRY.to_string(), entry)])))
}

/// The tokens so far, of a vocabulary of that size, in either format; `None` if they do not fit.
fn recent(tensors: &NamedTensors, vocabulary: usize) -> Result<Option<Recent>> {
    let ages = match tensors.get("ages") {
        Some(ages) => ages.to_dtype(DType::I64)?.flatten_all()?.to_vec1::<i64>()?,
        None => vec![],
    };
    let ages: Vec<(u32, i64)> = match tensors.get("tokens") {
        Some(tokens) => {
            let tokens = tokens.to_dtype(DType::U32)?.flatten_all()?.to_vec1::<u32>()?;
            if tokens.len() != ages.len() {
                return Ok(None);
            }
            tokens.into_iter().zip(ages).collect()
        }
        None => (0..).zip(ages).filter(|&(_, age)| age != 0).collect(),
    };
    Ok(Recent::from_ages(&ages, vocabulary))
}

/// Read a file that is no larger than a saved text of `model` can be.
fn read_entry(path: &Path, model: &Model) -> Result<(StateEntry, NamedTensors)> {
    let limit = largest_file(model)?;
    if let Some(size) = std::fs::metadata(path).ok().map(|file| file.len()).filter(|&size| size > limit) {
        return Err(too_large(path, size, limit));
    }
    let (mut file, _) = regular_file::open(path)?;
    let mut head = [0; 9];
    let foreign = file.read_exact(&mut head).map(|()| head[8] != b'{');
    if matches!(foreign, Ok(true)) {
        let problem = "is not a saved text; expected a file that `SavedText::save` wrote";
        return Err(Error::file(path, problem));
    }
    let (tensors, metadata) = read_tensors_and_metadata(path, &Device::Cpu)?;
    Ok((entry_of(path, &metadata)?, tensors))
}

fn too_large(path: &Path, size: u64, limit: u64) -> Error {
    let problem =
        format!("has {size} bytes, but a text of this model takes at most {limit}; give another file");
    Error::file(path, problem)
}

/// Read the entry of a file's metadata.
fn entry_of(path: &Path, metadata: &HashMap<String, String>) -> Result<StateEntry> {
    let Some(entry) = metadata.get(ENTRY) else {
        let problem = "holds tensors, but no text to continue; `SavedText::save` writes one";
        return Err(Error::file(path, problem));
    };
    let broken = |error| Error::file(path, format!("its metadata cannot be read: {error}; copy it again"));
    let format = serde_json::from_str::<serde_json::Value>(entry).map_err(broken)?["format"].as_u64();
    if let Some(format) = format.filter(|format| ![FORMER, FORMAT].contains(format)) {
        let problem = format!(
            "has format {format}, but this program reads {FORMER} and {FORMAT}; use the rnn-zoo that wrote it"
        );
        return Err(Error::file(path, problem));
    }
    serde_json::from_str(entry).map_err(broken)
}

/// The size of the largest file that a text of `model` is saved in, in bytes: eight for each element of the state
/// and for each token of the vocabulary, and the header.
fn largest_file(model: &Model) -> Result<u64> {
    let zero = model.network.zero_state(1)?;
    let state = zero.h.elem_count() + zero.c.map_or(0, |c| c.elem_count());
    Ok(8 * (state + model.tokenizer()?.vocabulary_size()) as u64 + LARGEST_HEADER)
}
