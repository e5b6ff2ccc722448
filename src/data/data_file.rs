//! The trait of a file that text is read from.

use std::fmt::Debug;
use std::path::Path;

use super::division::Division;
use super::piece::{Pieces, shard_of};
use super::shard::Shard;
use super::source::Split;
use crate::Result;

/// A file in one of the formats of [`formats`](super::formats).
pub trait DataFile: Debug + Send + Sync {
    /// The path.
    fn path(&self) -> &Path;

    /// The column that the text is read from; `None` for running text.
    fn text_column(&self) -> Option<&str>;

    /// Notes for the user: an encoding or delimiter that was assumed, records that are skipped.
    ///
    /// # Errors
    /// If the file cannot be read, or has too few complete records.
    fn notes(&self, division: Division) -> Result<Vec<String>>;

    /// Whether a split has any text.
    ///
    /// # Errors
    /// If the file cannot be read.
    fn has(&self, split: Split, division: Division) -> Result<bool>;

    /// The pieces of a split, in the order of the file, read lazily.
    ///
    /// # Errors
    /// If the file cannot be read. Reading can also fail at each piece, for text that is not UTF-8 and records that
    /// are malformed.
    fn pieces(&self, split: Split, division: Division) -> Result<Pieces>;

    /// The pieces of the part of a split that one of several processes encodes. The parts are neighbours and join to
    /// the split. By default they have the same number of pieces, and the file is read to count them.
    ///
    /// # Errors
    /// As [`DataFile::pieces`].
    fn part(&self, split: Split, division: Division, shard: Shard) -> Result<Pieces> {
        shard_of(shard, || self.pieces(split, division))
    }
}
