//! The instructions that the product of a tile needs.

/// Instructions for sums of products of four consecutive elements.
///
/// # Safety
/// All functions need a processor with the instructions.
pub(super) trait Dot {
    /// Columns of a vector.
    const LANES: usize;
    /// Registers for sums.
    const SUMS: usize;
    /// Sums of the columns.
    type Sums: Copy;
    /// Four left operands for all columns.
    type Quad: Copy;
    /// Four weights of each column.
    type Weights: Copy;

    /// Return sums of zero.
    unsafe fn zero() -> Self::Sums;

    /// Return four left operands, the first in the lowest byte.
    unsafe fn quad(bytes: u32) -> Self::Quad;

    /// Load weights.
    unsafe fn weights(from: *const i8) -> Self::Weights;

    /// Add products to sums.
    unsafe fn add(sums: Self::Sums, quad: Self::Quad, weights: Self::Weights) -> Self::Sums;

    /// Add sums.
    unsafe fn join(a: Self::Sums, b: Self::Sums) -> Self::Sums;

    /// Add the sums, without the offset, times both scales to a vector of the tile.
    unsafe fn finish(sums: Self::Sums, offsets: *const i32, scales: *const f32, left: f32, tile: *mut f32);
}
