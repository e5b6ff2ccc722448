//! Corpora: where text comes from, how it is split, and how it is turned into tokens.
//!
//! ```text
//! Source     location of a corpus                 source.rs
//! Corpus     pieces of text, streamed             corpus.rs
//! DataFile   a file in one format                 formats.rs lists the formats: text_file.rs, csv_file.rs, ...
//! hub        files fetched on demand              hub.rs
//! builtin    generators, which need no file       builtin/
//! Tokens     a split as token numbers             tokens.rs
//! ```
//!
//! No whole file is held in memory: text is read piece by piece, and the tokens of a large split are written to a
//! temporary file and read by position.

pub mod batch;
pub mod builtin;
pub mod columns;
pub mod corpus;
mod csv_file;
mod cut;
mod data_file;
mod download;
mod extent;
mod formats;
pub mod fractions;
pub mod hub;
mod jsonl_file;
mod lines;
pub mod piece;
mod records;
pub mod source;
mod text_file;
pub mod tokens;

pub use columns::Columns;
pub use corpus::Corpus;
pub use fractions::Fractions;
pub use piece::{Piece, Pieces};
pub use source::{Builtin, Source, Split};
pub use tokens::TokenStream;

pub use crate::tokenizer::End;
