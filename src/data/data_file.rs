//! The trait of a file that text is read from.

use std::fmt::Debug;
use std::ops::Range;
use std::path::Path;

use super::fractions::Fractions;
use super::piece::Pieces;
use crate::Result;

/// A file in one of the formats of [`formats`](super::formats).
///
/// The positions of a file are bytes for running text and numbers of records for records.
pub trait DataFile: Debug + Send + Sync {
    /// The path.
    fn path(&self) -> &Path;

    /// The column that the text is read from; `None` for running text.
    fn text_column(&self) -> Option<&str>;

    /// The positions of the whole file.
    fn range(&self) -> Range<u64>;

    /// The positions of train, valid and test, in this order through the file.
    ///
    /// # Errors
    /// If the file cannot be read.
    fn split(&self, fractions: Fractions) -> Result<[Range<u64>; 3]>;

    /// The pieces in a range of positions, read as they are asked for.
    ///
    /// # Errors
    /// If the file cannot be read. Reading can also fail at each piece, for text that is not UTF-8 and records that
    /// are malformed.
    fn pieces(&self, range: Range<u64>) -> Result<Pieces>;
}
