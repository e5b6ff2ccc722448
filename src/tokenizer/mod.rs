//! Text to token numbers and back: characters, words, byte-pair encoding, or any `tokenizer.json`.
//!
//! Every tokenizer is saved as a Hugging Face `tokenizer.json`, which other tools read too. Characters and words
//! are encoded without the tokenizers library, which is faster; property tests check that both give the same tokens.
//!
//! Line ends and Unicode forms are normalized: `\r\n` and `\r` become `\n`, and text becomes composed (NFC) or
//! decomposed (NFD) if all text of the training split is. The steps are saved in `tokenizer.json`.
//!
//! | scheme | a token is | `<eos>` follows | decoding returns |
//! |---|---|---|---|
//! | char | a user-perceived character ([`character`]) | each record | the text |
//! | word | a run without white space | each line and record | the text, with single spaces |
//! | treebank | a word, or punctuation, or a part of a contraction (`do n't`); see `treebank.rs` | each record | the words, with single spaces |
//! | bpe | a run of bytes (GPT-2's byte-level scheme) | each record | the text |
//!
//! ```
//! use rnn_zoo::tokenizer::{End, Kind, Tokenizer};
//!
//! let line = "to be or not to be\n";
//! let words = Tokenizer::train(&Kind::Word, [Ok(line.to_string())].into_iter(), None, false)?;
//! let mut ids = Vec::new();
//! words.append_ended(line, End::Line, &mut ids)?;
//! assert_eq!(ids, [3, 2, 5, 4, 3, 2, 1]); // frequent words first; 0 is <unk>, 1 is <eos>
//! assert_eq!(words.decode(&ids), "to be or not to be\n");
//! # Ok::<(), rnn_zoo::Error>(())
//! ```

mod adapted;
mod byte_level;
pub mod character;
mod decoder;
mod dropped;
mod encode;
mod encoder;
mod end;
mod file;
mod form;
mod given;
mod json;
mod kind;
mod normalizer;
mod note;
mod prompt;
mod scheme;
mod spans;
mod special;
mod train;
mod treebank;
mod unknown;
mod vocabulary;

pub use decoder::{Decoder, DecoderState};
pub use encode::Tokenizer;
pub use end::End;
pub use kind::Kind;
pub use normalizer::fold_line_ends;
pub use note::Note;
pub use prompt::Prompt;
pub use scheme::Scheme;
pub use unknown::Unknown;
pub use vocabulary::Limits;

#[cfg(test)]
mod tests;
