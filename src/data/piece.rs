//! A piece of text, the unit in which a corpus is read.

use crate::Result;
use crate::tokenizer::End;

/// A piece of text with its label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// A line with its line end, a part of a very long line, or the text of a record.
    pub text: String,
    /// The label of the record, if a label column was named.
    pub label: Option<String>,
    /// The unit of text that ends with this piece.
    pub end: End,
}

/// Pieces of a split, in order. After an error there are no more.
pub type Pieces = Box<dyn Iterator<Item = Result<Piece>> + Send>;
