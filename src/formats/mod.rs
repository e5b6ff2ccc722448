//! Models in the formats of other frameworks, both ways.
//!
//! | file | content |
//! |---|---|
//! | `format.rs` | the trait of formats, what an import needs and what it finds |
//! | `registry.rs` | the list of formats |
//! | `convert.rs` | a file of any format as a bundle |
//! | `ship.rs` | a bundle as files of a format |
//! | `ends.rs` | the task that the embedding and the output layer of a network show |
//! | `own_config.rs` | the configuration in a file that this program exported |
//! | `stored_zip.rs`, `compare.rs` | zip archives without compression; comparisons of tensors |
//! | `vocabulary.rs` | tokens by number, from text or JSON, as a tokenizer |
//! | `keras/`, `onnx/`, `pytorch/` | one format each |
//!
//! A new format is a file or folder that implements [`Format`], and a line in `registry.rs`.

mod compare;
mod convert;
mod ends;
mod format;
pub mod keras;
pub mod onnx;
mod own_config;
pub mod pytorch;
mod registry;
mod ship;
mod stored_zip;
mod vocabulary;

pub use convert::{Converted, convert};
pub use format::{Format, ImportOptions, Imported, NewFile};
pub use registry::{FORMATS, recognised};
pub use ship::ship;
