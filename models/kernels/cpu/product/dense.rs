//! `left * right`, with the right-hand side packed.

use std::ops::Range;

use pulp::Simd;

use super::super::memory::{Buffer, CACHE_LINE};
use super::super::simd::Float;
use super::super::tuning::{DENSE_BLOCK_ELEMENTS, DENSE_BLOCK_ROWS, TILE_ROWS, TILE_VECTORS};
use super::left::LeftRows;
use super::micro_kernel::TileProduct;
use super::operand::Operand;
use super::panels::{Panel, Panels};
use super::tile::split_evenly;

/// Compute `sums += left * panel` for `rows` rows. The rows of `sums` have the width of the panel, without gaps.
///
/// The depth is taken in blocks of [`Operand::DEPTH_BLOCK`]; within a block, tile after tile of the rows.
///
/// # Safety
/// `left` must have `rows` rows of the panels' depth, the panel must be packed, and `sums` must have the size.
#[inline(always)]
pub(crate) unsafe fn add_product<S: Simd, O: Operand>(
    simd: S,
    rows: usize,
    left: LeftRows<O>,
    (right, panel): (&Panels<O>, Panel),
    sums: *mut O::Sum,
) {
    let (vectors, width) = (right.vectors(panel), right.width(panel));
    for from in (0..right.depth()).step_by(O::DEPTH_BLOCK) {
        let depth = O::DEPTH_BLOCK.min(right.depth() - from);
        let block = right.row(panel, from).cast_const();
        let mut prefetched = 0;
        for rows in O::split_rows(0..rows, O::max_rows::<S>(vectors)) {
            // SAFETY: the caller's promise.
            unsafe {
                let product = TileProduct {
                    depth,
                    left: left.offset(rows.start, from),
                    panel: block,
                    tile: sums.add(rows.start * width),
                    prefetch: right.prefetch(block, depth * width, prefetched),
                };
                O::multiply::<S>(simd, (rows.len(), vectors), product);
            }
            prefetched += depth * CACHE_LINE / size_of::<O>();
        }
    }
}

/// Split `rows` where runs of one stride end.
fn split_runs(rows: Range<usize>, run_end: impl Fn(usize) -> usize) -> impl Iterator<Item = Range<usize>> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest.end.min(run_end(rest.start));
        let run = rest.start..end;
        rest.start = end;
        Some(run)
    })
}

/// Compute `left * right` for some rows and panels. For each row of a tile, `start(row, panel, tile_row)` writes the
/// initial values of the sums and `done(row, panel, tile_row)` reads the result.
///
/// `left(row)` returns a view of the rows from `row` on. The stride between rows is constant up to
/// `run_end(row)`, which exceeds `row`; no tile crosses it.
///
/// Rows are taken in blocks that stay in the cache while all panels pass by. If the panels are at most
/// [`Operand::DEPTH_BLOCK`] deep, each tile is finished at once. Deeper panels are taken in blocks of the depth: one
/// block is multiplied with all rows of the row block before the next, and partial sums are kept in memory.
///
/// # Safety
/// `left` must have all `rows` and the depth of `right`, whose panels must be packed.
#[inline(always)]
pub(crate) unsafe fn dense<S: Simd, O: Operand>(
    simd: S,
    rows: Range<usize>,
    (left, run_end): (impl Fn(usize) -> LeftRows<O>, impl Fn(usize) -> usize),
    right: &Panels<O>,
    panels: &[Panel],
    mut start: impl FnMut(usize, Panel, *mut O::Sum),
    mut done: impl FnMut(usize, Panel, *mut O::Sum),
) {
    let sums = Buffer::<O::Sum>::new(DENSE_BLOCK_ROWS.max(TILE_ROWS) * TILE_VECTORS * O::Sum::lanes::<S>());
    let sums = sums.at(0);
    let is_deep = right.depth() > O::DEPTH_BLOCK;
    let block_rows = if is_deep { DENSE_BLOCK_ROWS } else { DENSE_BLOCK_ELEMENTS / right.depth().max(1) };
    for block in split_evenly(rows, block_rows) {
        for &panel in panels {
            let width = right.width(panel);
            let max = if is_deep { DENSE_BLOCK_ROWS } else { O::max_rows::<S>(right.vectors(panel)) };
            for rows in split_runs(block.clone(), &run_end).flat_map(|run| O::split_rows(run, max)) {
                // SAFETY: `sums` has room for a block; the caller promises both sides of the product.
                unsafe {
                    for (r, row) in rows.clone().enumerate() {
                        start(row, panel, sums.add(r * width));
                    }
                    add_product(simd, rows.len(), left(rows.start), (right, panel), sums);
                    for (r, row) in rows.enumerate() {
                        done(row, panel, sums.add(r * width));
                    }
                }
            }
        }
    }
}
