//! Sizes of tiles in bf16.

/// Rows of two tiles of AMX: each tile of a panel that is loaded serves both.
pub(super) const MAX_ROWS: usize = 32;

/// The depth of a tile of AMX: rows are filled up to it with zeros.
pub(super) const TILE_DEPTH: usize = 32;
