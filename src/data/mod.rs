//! Corpora: where text comes from, how it is split, and how it is turned into tokens.
//!
//! ```text
//! Source   what `--data` names          source.rs
//! Corpus   pieces of text, streamed     corpus.rs, over text_file.rs and records.rs
//! hub      files fetched on demand      hub.rs
//! builtin  generators, no file needed   builtin/
//! Tokens   a split as token numbers     tokens.rs
//! ```
//!
//! Nothing here holds a whole file in memory: text is read piece by piece, and the tokens of a large
//! split are spooled to a temporary file and read by position.

pub mod batch;
pub mod builtin;
pub mod corpus;
mod cut;
pub mod hub;
mod records;
pub mod source;
mod text_file;
pub mod tokens;

pub use corpus::{Columns, Corpus, Fractions, Piece, Pieces};
pub use source::{Builtin, Source, Split};
pub use tokens::TokenStream;

pub use crate::tokenizer::End;
