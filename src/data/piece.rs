//! A piece of text, the unit in which a corpus is read.

use super::shard::Shard;
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

/// The share of one of several processes in pieces: neighbours. `pieces` returns all of them at each call.
///
/// # Errors
/// As `pieces`.
pub(super) fn shard_of(shard: Shard, pieces: impl Fn() -> Result<Pieces>) -> Result<Pieces> {
    if shard == Shard::WHOLE {
        return pieces();
    }
    let own = shard.rows(pieces()?.count());
    Ok(Box::new(pieces()?.skip(own.start).take(own.len())))
}
