//! The sizes of tiles, and the micro-kernel for each of them.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::super::simd::{Float, MAX_LANES};
use super::super::tuning::{TILE_ROWS, TILE_ROWS_OF_16_REGISTERS, TILE_SUMS_OF_32_REGISTERS};
use super::micro_kernel::{TileProduct, multiply_tile};

/// Elements of the largest tile.
const TILE_LEN: usize = TILE_SUMS_OF_32_REGISTERS * MAX_LANES;

/// Return the most rows of a tile that is `vectors` wide.
pub(crate) const fn max_rows<S: Simd>(vectors: usize) -> usize {
    let rows = match S::REGISTER_COUNT >= 32 {
        true => TILE_SUMS_OF_32_REGISTERS / vectors,
        false => TILE_ROWS_OF_16_REGISTERS[vectors - 1],
    };
    if rows < TILE_ROWS { rows } else { TILE_ROWS }
}

/// Memory of the size of the largest tile, on the stack.
#[repr(align(64))]
pub(crate) struct TileBuffer<E>([E; TILE_LEN]);

impl<E: Float> TileBuffer<E> {
    pub(crate) fn new() -> Self {
        Self([E::ZERO; TILE_LEN])
    }

    pub(crate) fn as_mut_ptr(&mut self) -> *mut E {
        self.0.as_mut_ptr()
    }
}

/// Split `rows` into as few ranges of at most `max` rows as possible, of about equal length. The longest come first:
/// the first tile of a panel loads it from memory, and more rows hide the latency.
pub(crate) fn split_evenly(rows: Range<usize>, max: usize) -> impl Iterator<Item = Range<usize>> {
    let (start, count) = (rows.start, rows.len());
    let parts = count.div_ceil(max);
    let end = move |part: usize| start + (count * part).div_ceil(parts);
    (0..parts).map(move |part| end(part)..end(part + 1))
}

/// Split `rows` into tiles of `max` rows and a rest: tiles of AMX take the same time for fewer rows.
pub(crate) fn split_full(rows: Range<usize>, max: usize) -> impl Iterator<Item = Range<usize>> {
    let end = rows.end;
    rows.step_by(max).map(move |from| from..end.min(from + max))
}

/// Compute the product of a tile of `rows` by `vectors`, with factors of the type of the sums.
///
/// # Safety
/// `left` must have the rows and the depth, `panel` `depth * vectors` vectors, and `tile` `rows * vectors`
/// vectors; `rows` is at most [`max_rows`] and `vectors` at most
/// [`TILE_VECTORS`](super::super::tuning::TILE_VECTORS).
#[inline(always)]
pub(crate) unsafe fn multiply_floats<S: Simd, E: Float>(
    simd: S,
    (rows, vectors): (usize, usize),
    product: TileProduct<E, E>,
) {
    macro_rules! sizes {
        ($($vectors:literal: $($rows:literal)*;)*) => {
            match (vectors, rows) {
                $($(($vectors, $rows) => {
                    if const { $rows <= max_rows::<S>($vectors) } {
                        simd.vectorize(Multiply::<E, $rows, $vectors>(product));
                    }
                })*)*
                _ => assert!(rows == 0, "a tile of {rows} by {vectors}"),
            }
        };
    }
    debug_assert!(rows <= max_rows::<S>(vectors));
    sizes! {
        1: 1 2 3 4 5 6 7 8 9 10 11 12;
        2: 1 2 3 4 5 6 7 8 9 10 11 12;
        3: 1 2 3 4 5 6 7 8;
        4: 1 2 3 4 5 6;
    }
}

/// The product of a tile of `R` rows by `V` vectors, compiled as a function of its own: the registers hold
/// nothing but the tile.
struct Multiply<E, const R: usize, const V: usize>(TileProduct<E, E>);

impl<E: Float, const R: usize, const V: usize> WithSimd for Multiply<E, R, V> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // SAFETY: only `multiply_floats` makes this value, and its caller promises the memory.
        unsafe { multiply_tile::<S, E, R, V>(simd, self.0) }
    }
}
