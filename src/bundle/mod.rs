//! Bundles: checkpoint directories, written by training and read by every other command.
//!
//! ```text
//! BUNDLE/
//!   config.json         format version, model, task, sizes, tokenizer kind
//!   model.safetensors   the best parameters, under their PyTorch names
//!   tokenizer.json      a Hugging Face tokenizers file, if the task has text
//!   metrics.jsonl       one object per report
//!   recipe.toml         settings of the run, which `rnn train --recipe` repeats
//!   README.md           model card
//!   curve.svg           loss, perplexity and learning rate over the run
//!   SHA256SUMS          checksums of the files above, in an exported bundle
//!   training/           state for resuming: parameters (last, best, average), optimizer, hidden state, state.json
//! ```
//!
//! A save writes a new directory beside the bundle and swaps the two, so a crash at any instant leaves the
//! previous bundle or the new one, never files of both. Files that the user added are kept. Only one process
//! writes to a bundle at a time.

mod checksums;
mod config;
mod export;
mod files;
mod find;
#[cfg(test)]
mod fixture;
mod int8;
mod load;
mod lock;
mod published;
mod read;
mod save;
mod swap;
mod tensor_file;
mod tensors;

pub use config::{Config, ConvertedFrom, FORMAT, Quantisation, is_bundle, may_be_bundle};
pub use export::{Export, StoredType, export};
#[cfg(feature = "serve")]
pub(crate) use files::{CONFIG, MODEL};
pub use files::{CURVE, METRICS, RECIPE};
pub use load::{Loaded, Parts, TrainingState, load};
pub use published::{FileContents, Publication, PublishedFile};
pub use save::{BundleWriter, Contents, Training};
pub(crate) use tensors::{decode, encode_with, read_tensors_and_metadata, write_tensors};
pub use tensors::{load_weights, read_tensors};
