//! A text that is gone on with another day: the state of the network, the token that it is yet to read, the tokens
//! it has had, the position of the random numbers, and what was held back of the text. What is written from there
//! is to the bit what would have come without the pause.
//!
//! The file is safetensors: `h` and perhaps `c`, (layers, 1, hidden), and `ages`, (vocabulary): how many turns ago
//! each token was. Everything else is JSON in the file's metadata, under one name.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use rnn_zoo_models::State;
use serde::{Deserialize, Serialize};

use super::context::Context;
use super::recent::Recent;
use super::transcript::{HeldBack, Transcript};
use super::writer::Text;
use crate::bundle::{read_tensors_and_metadata, write_tensors};
use crate::inference::model::Model;
use crate::parameters::NamedTensors;
use crate::rng::Position;
use crate::{Error, Result};

/// The version of the file that this program writes; it reads no other.
const FORMAT: u64 = 1;

/// The name of the entry in the file's metadata.
const ENTRY: &str = "rnn_zoo_text";

/// What the metadata holds.
#[derive(Serialize, Deserialize)]
struct Entry {
    format: u64,
    /// Which model: see [`Model::fingerprint`].
    fingerprint: String,
    /// Its name, for people.
    model: String,
    last: u32,
    rng: Position,
    held: HeldBack,
}

/// A text as read back from a file, for the model that wrote it.
pub struct SavedText {
    /// What the model has read of it.
    pub context: Context,
    /// Its random numbers, where they stood.
    pub rng: crate::rng::Rng,
    held: HeldBack,
}

impl SavedText {
    /// Refuses to write to what is no place for a text, before the work: a file of another kind, or a folder that
    /// is not there.
    ///
    /// # Errors
    /// Names the path.
    pub fn check_place(path: &Path) -> Result<()> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if path.is_dir() {
            return Err(Error::file(path, "is a folder; name a file for --save-state"));
        }
        if path.exists() && read_entry(path).is_err() {
            let problem = "is a file of another kind and is left alone; name a new one for --save-state";
            return Err(Error::file(path, problem));
        }
        if !folder.is_dir() {
            return Err(Error::file(path, "its folder does not exist; make it, or choose another place"));
        }
        Ok(())
    }

    /// Writes `text`, as `model` left it, to a file that is there whole or not at all.
    ///
    /// # Errors
    /// A place that cannot be written to or is full; a file from before is untouched then.
    pub fn save(path: &Path, text: &Text<'_>, model: &Model) -> Result<()> {
        let Context { state, last, recent } = &text.context;
        let entry = Entry {
            format: FORMAT,
            fingerprint: model.fingerprint().to_string(),
            model: model.config.model.clone(),
            last: *last,
            rng: Position::from(&text.rng),
            held: text.transcript.held_back(),
        };
        let entry = serde_json::to_string(&entry).map_err(|error| Error::file(path, error))?;
        let mut tensors = NamedTensors::from([("h".to_string(), state.h.clone())]);
        tensors.extend(state.c.clone().map(|c| ("c".to_string(), c)));
        let ages = recent.ages();
        if !ages.is_empty() {
            tensors.insert("ages".into(), Tensor::new(ages, &Device::Cpu)?);
        }
        write_tensors(path, &tensors, HashMap::from([(ENTRY.to_string(), entry)]))
    }

    /// Reads a file that [`SavedText::save`] wrote for the same model.
    ///
    /// # Errors
    /// A file that is missing, cut short, of another kind, or of another model.
    pub fn load(path: &Path, model: &Model) -> Result<Self> {
        let (entry, mut tensors) = read_entry(path)?;
        if entry.fingerprint != model.fingerprint() {
            let problem = format!(
                "was saved by another model, a {}: its state means nothing to this one; give the bundle that it \
                 was written with, as it was then",
                entry.model
            );
            return Err(Error::file(path, problem));
        }
        let broken =
            |what: &str| Error::file(path, format!("{what}; the file is not as it was saved: copy it again"));
        let zero = model.network.zero_state(1)?;
        let mut tensor = |name: &str, zero: &Tensor| match tensors.remove(name) {
            Some(tensor) if tensor.dims() == zero.dims() => {
                Ok(tensor.to_dtype(zero.dtype())?.to_device(zero.device())?)
            }
            Some(tensor) => {
                let (found, expected) = (tensor.dims(), zero.dims());
                Err(broken(&format!("tensor {name} has shape {found:?}, not {expected:?}")))
            }
            None => Err(broken(&format!("has no tensor {name}"))),
        };
        let h = tensor("h", &zero.h)?;
        let c = zero.c.as_ref().map(|zero| tensor("c", zero)).transpose()?;
        let vocabulary = model.tokenizer()?.vocabulary_size();
        let recent = match tensors.remove("ages") {
            None => Recent::default(),
            Some(ages) => {
                let ages = ages.to_dtype(DType::I64)?.flatten_all()?.to_vec1::<i64>()?;
                let recent = Recent::from_ages(&ages).filter(|_| ages.len() <= vocabulary);
                recent.ok_or_else(|| broken("tensor ages does not fit the vocabulary"))?
            }
        };
        if entry.last as usize >= vocabulary {
            return Err(broken("its last token is none of the vocabulary"));
        }
        let rng = entry.rng.restore().ok_or_else(|| broken("its random numbers have no position"))?;
        let context = Context { state: State { h, c }, last: entry.last, recent };
        Ok(Self { context, rng, held: entry.held })
    }

    /// The transcript that goes on with the text, cut at `stops`, which need not be those from before.
    ///
    /// # Errors
    /// What was held back is of another kind of tokenizer.
    pub fn transcript<'t>(&self, path: &Path, model: &'t Model, stops: &[String]) -> Result<Transcript<'t>> {
        Transcript::resume(model.tokenizer()?, stops, self.held.clone())
            .ok_or_else(|| Error::file(path, "was saved with another kind of tokenizer; give its own bundle"))
    }
}

fn read_entry(path: &Path) -> Result<(Entry, NamedTensors)> {
    let (tensors, metadata) = read_tensors_and_metadata(path, &Device::Cpu)?;
    let Some(entry) = metadata.get(ENTRY) else {
        let problem = "holds tensors, but no text to go on with; `rnn generate --save-state FILE` writes one";
        return Err(Error::file(path, problem));
    };
    let broken = |error| Error::file(path, format!("its metadata cannot be read: {error}; copy it again"));
    let format = serde_json::from_str::<serde_json::Value>(entry).map_err(broken)?["format"].as_u64();
    if let Some(format) = format.filter(|&format| format != FORMAT) {
        let problem =
            format!("has format {format}, but this program reads {FORMAT}; use the rnn-zoo that wrote it");
        return Err(Error::file(path, problem));
    }
    Ok((serde_json::from_str(entry).map_err(broken)?, tensors))
}
