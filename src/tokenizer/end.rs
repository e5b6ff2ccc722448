//! The unit of text that ends where a piece of text ends.

/// The unit of text that ends where a piece of text ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// None: the line continues in the next piece.
    None,
    /// A line of plain text.
    Line,
    /// A record of a table.
    Record,
}
