//! `left^T * right` and sums of columns: gradients of weights and of biases, sums over all rows of a sequence.

use std::ops::Range;

use pulp::Simd;

use super::super::memory::Buffer;
use super::super::simd::{Float, MAX_LANES, Vector};
use super::super::tuning::{DEPTH_BLOCK, OUTER_BLOCK_TILES};
use super::super::workers::Worker;
use super::layout::SequenceLayout;
use super::left::LeftRows;
use super::micro_kernel::TileProduct;
use super::operand::GradientOperand;
use super::panels::{Panel, Panels};
use super::tile::split_evenly;

/// The left-hand side of [`outer`]. Its columns come in `vectors` vectors of `width` elements, `vector_stride` apart.
/// Row `k` starts at `row(k)`.
pub(crate) struct OuterLeft<F> {
    pub(crate) row: F,
    pub(crate) vectors: usize,
    pub(crate) width: usize,
    pub(crate) vector_stride: usize,
}

/// Make a left-hand side of the steps of a sequence in `layout`, whose rows begin at `starts` from `from`.
pub(crate) fn steps_left<'a, O>(
    from: *const O,
    starts: &'a [usize],
    layout: SequenceLayout,
) -> OuterLeft<impl Fn(usize) -> *const O + use<'a, O>> {
    let row = move |k: usize| from.wrapping_add(starts[k]);
    let vector_stride = layout.vector_stride();
    match layout.by_row {
        // The vectors of a row are neighbours, so tiles need not end with them.
        true => OuterLeft { row, vectors: 1, width: layout.vectors * layout.width, vector_stride },
        false => OuterLeft { row, vectors: layout.vectors, width: layout.width, vector_stride },
    }
}

/// Compute `left^T * right`. Column `m` of `left` gives the row of `columns` elements that starts at `result(m)`;
/// columns without a result are skipped. Every worker computes a share of `left`'s columns.
///
/// Tiles are as tall as registers allow. Their left side is packed first: `OUTER_BLOCK_TILES` tiles at a time,
/// `DEPTH_BLOCK` deep. No tile spans two vectors of `left`.
///
/// # Safety
/// `left` must have as many rows as `right` has depth; `right` must be packed in panels of at most
/// [`GradientOperand::OUTER_VECTORS`]; every row of the result must have `columns` elements that no other thread uses.
#[inline(always)]
pub(crate) unsafe fn outer<S: Simd, O: GradientOperand>(
    simd: S,
    worker: Worker<'_>,
    left: OuterLeft<impl Fn(usize) -> *const O>,
    right: &Panels<O>,
    columns: usize,
    result: impl Fn(usize) -> Option<*mut O::Sum>,
) {
    let height = O::outer_rows::<S>();
    let tiles_per_vector = left.width.div_ceil(height);
    let tiles = worker.share(left.vectors * tiles_per_vector);
    let depth = DEPTH_BLOCK.min(right.depth()).next_multiple_of(O::DEPTH_MULTIPLE);
    let packed = Buffer::<O>::new(depth * OUTER_BLOCK_TILES * height);
    let outer = Outer { left, right, columns, result, packed };
    let sums = Buffer::<O::Sum>::new(height * O::OUTER_VECTORS * O::Sum::lanes::<S>());
    let sums = sums.at(0);
    for from in (0..right.depth().max(1)).step_by(DEPTH_BLOCK) {
        let depth = from..right.depth().min(from + DEPTH_BLOCK);
        for tiles in split_evenly(tiles.clone(), OUTER_BLOCK_TILES) {
            // SAFETY: the caller's promise, and `packed` has room for the block.
            unsafe { outer.block(simd, depth.clone(), tiles, sums) };
        }
    }
}

/// The arguments of [`outer`], and the packed left side of a block of tiles.
struct Outer<'a, O, L, R> {
    left: OuterLeft<L>,
    right: &'a Panels<O>,
    columns: usize,
    result: R,
    packed: Buffer<O>,
}

/// Both functions are unsafe for the reasons of [`outer`].
impl<O: GradientOperand, L: Fn(usize) -> *const O, R: Fn(usize) -> Option<*mut O::Sum>> Outer<'_, O, L, R> {
    /// Return the vector of a tile, and the tile's elements within it.
    #[inline(always)]
    fn elements<S: Simd>(&self, tile: usize) -> (usize, Range<usize>) {
        let height = O::outer_rows::<S>();
        let tiles_per_vector = self.left.width.div_ceil(height);
        let (vector, from) = (tile / tiles_per_vector, tile % tiles_per_vector * height);
        (vector, from..self.left.width.min(from + height))
    }

    /// Compute one block of the depth for some tiles and all panels.
    #[inline(always)]
    unsafe fn block<S: Simd>(&self, simd: S, depth: Range<usize>, tiles: Range<usize>, sums: *mut O::Sum) {
        let padded = depth.len().next_multiple_of(O::DEPTH_MULTIPLE);
        let packed = |index: usize| self.packed.at(index * padded * O::outer_rows::<S>());
        let mut lefts = [LeftRows::new(packed(0).cast_const(), 0); OUTER_BLOCK_TILES];
        // SAFETY: `packed` has room for the block; the rest is the caller's promise.
        unsafe {
            for (index, tile) in tiles.clone().enumerate() {
                let (vector, elements) = self.elements::<S>(tile);
                let offset = vector * self.left.vector_stride + elements.start;
                let row = |k| (self.left.row)(k).add(offset);
                lefts[index] = O::pack_outer::<S>(row, depth.clone(), elements.len(), packed(index));
            }
            for &panel in self.right.all() {
                for (index, elements) in tiles.clone().map(|tile| self.elements::<S>(tile)).enumerate() {
                    self.tile(simd, elements, lefts[index], panel, depth.clone(), sums);
                }
            }
        }
    }

    /// Add one block of the depth to a tile of the result.
    #[inline(always)]
    unsafe fn tile<S: Simd>(
        &self,
        simd: S,
        (vector, elements): (usize, Range<usize>),
        left: LeftRows<O>,
        panel: Panel,
        depth: Range<usize>,
        sums: *mut O::Sum,
    ) {
        let (vectors, width) = (self.right.vectors(panel), self.right.width(panel));
        let first = self.right.first_column(panel);
        let count = (self.columns - first).min(width);
        let size = (elements.len(), vectors);
        // SAFETY: the caller's promise.
        unsafe {
            // Each row of the tile with its row of the result.
            let rows = || {
                elements.clone().enumerate().filter_map(|(r, element)| {
                    let row = (self.result)(vector * self.left.width + element)?;
                    Some((sums.add(r * width), row.add(first)))
                })
            };
            Vector::<S, O::Sum>::clear(simd, sums, size.0 * width);
            if depth.start > 0 {
                for (tile, row) in rows() {
                    Vector::<S, O::Sum>::copy(simd, row, tile, count);
                }
            }
            let part = self.right.row(panel, depth.start).cast_const();
            let product =
                TileProduct { depth: depth.len(), left, panel: part, tile: sums, prefetch: std::ptr::null() };
            O::multiply::<S>(simd, size, product);
            for (tile, row) in rows() {
                Vector::<S, O::Sum>::copy(simd, tile, row, count);
            }
        }
    }
}

/// Sum over the steps whose rows begin at `starts` from `from`, for one worker's share of the columns.
/// `done(column, sums)` receives the sums of one vector of columns, the first of which is `column`.
///
/// # Safety
/// There must be such rows, in that layout, whose width is a multiple of the lanes.
#[inline(always)]
pub(crate) unsafe fn column_sums<S: Simd, O: GradientOperand>(
    simd: S,
    worker: Worker<'_>,
    (from, starts, layout): (*const O, &[usize], SequenceLayout),
    mut done: impl FnMut(usize, &[O::Sum]),
) {
    let lanes = O::Sum::lanes::<S>();
    let gates = layout.width / lanes;
    let mut sums = [O::Sum::ZERO; MAX_LANES];
    for vector in worker.share(layout.vectors * gates) {
        // SAFETY: the caller's promise; no vector has more than `MAX_LANES` elements.
        unsafe {
            let mut sum = Vector::zero(simd);
            let offset = vector / gates * layout.vector_stride() + vector % gates * lanes;
            for start in starts {
                sum = sum + O::load_widened(simd, from.add(start + offset));
            }
            sum.store(sums.as_mut_ptr());
        }
        done(vector * lanes, &sums[..lanes]);
    }
}
