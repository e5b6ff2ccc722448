//! Matrix products out of one micro-kernel: a tile of some rows by up to four vectors stays in registers
//! while it sums over the whole depth. Every product of every kernel is this one.
//!
//! The right-hand side is laid out beforehand in [`Panels`], as wide as a tile, so that it is read from
//! front to back. Each element of a result is one sum in the order of the depth, whatever the tile, so
//! neither sizes nor threads change its bits.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::layout::SequenceLayout;
use super::memory::{Buffer, LINE};
use super::panels::{Panel, Panels};
use super::simd::{Real, Vector};
use super::workers::Worker;

/// The most vectors in a row of a tile.
pub(super) const WIDEST: usize = 4;

/// Vectors that a tile may hold: most registers, but for one row of the panel and a factor.
const fn budget<S: Simd>() -> usize {
    if S::REGISTER_COUNT >= 32 { 24 } else { 12 }
}

/// The most rows of a tile that is `vectors` wide.
pub(super) const fn most_rows<S: Simd>(vectors: usize) -> usize {
    let rows = budget::<S>() / vectors;
    if rows < 12 { rows } else { 12 }
}

/// Memory for a tile outside the registers: as many numbers as the largest tile has.
#[repr(align(64))]
pub(super) struct Tile<E>([E; 24 * 16]);

impl<E: Real> Tile<E> {
    pub(super) fn new() -> Self {
        Self([E::zero(); 24 * 16])
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut E {
        self.0.as_mut_ptr()
    }
}

/// A left-hand side: rows `row_step` apart, whose numbers are `depth_step` apart, but in runs of `run` that
/// begin `run_step` apart.
#[derive(Clone, Copy)]
pub(super) struct Rows<E> {
    pub start: *const E,
    pub row_step: usize,
    pub depth_step: usize,
    pub run: usize,
    pub run_step: usize,
}

impl<E> Rows<E> {
    /// Rows whose numbers lie side by side, `row_step` apart.
    pub(super) fn new(start: *const E, row_step: usize) -> Self {
        Self { start, row_step, depth_step: 1, run: usize::MAX, run_step: 0 }
    }

    /// From another row on.
    ///
    /// # Safety
    /// That row must be there.
    pub(super) unsafe fn skip(self, rows: usize) -> Self {
        // SAFETY: the caller's promise.
        unsafe { self.from(rows, 0) }
    }

    /// From another row and depth on, the latter a multiple of the run.
    ///
    /// # Safety
    /// That row and depth must be there.
    unsafe fn from(self, row: usize, k: usize) -> Self {
        debug_assert!(self.run == usize::MAX || k.is_multiple_of(self.run), "{k} of runs of {}", self.run);
        let skip = if self.run == usize::MAX { k * self.depth_step } else { k / self.run * self.run_step };
        // SAFETY: the caller's promise.
        Self { start: unsafe { self.start.add(row * self.row_step + skip) }, ..self }
    }

    /// Rows that lie side by side, their numbers `depth_step` apart.
    pub(super) fn transposed(start: *const E, depth_step: usize) -> Self {
        Self { start, row_step: 1, depth_step, run: usize::MAX, run_step: 0 }
    }
}

/// Adds `left * panel` to the tile at `tile`: `rows` by `vectors`, row by row without gaps, summed over
/// `depth`. Meanwhile what lies at `ahead`, if anything, comes nearer: a cache line for every number of the depth.
/// (One row or two read their panel too fast for that to help.)
///
/// # Safety
/// `left` must have the rows and the depth, `panel` `depth * vectors` vectors and `tile` `rows * vectors`;
/// at most [`most_rows`] and [`WIDEST`].
#[inline(always)]
pub(super) unsafe fn multiply<S: Simd, E: Real>(
    simd: S,
    (rows, vectors): (usize, usize),
    depth: usize,
    left: Rows<E>,
    panel: *const E,
    tile: *mut E,
    ahead: *const E,
) {
    macro_rules! sizes {
        ($($vectors:literal: $($rows:literal)*;)*) => {
            match (vectors, rows) {
                $($(($vectors, $rows) => {
                    if const { $rows <= most_rows::<S>($vectors) } {
                        simd.vectorize(Multiply::<E, $rows, $vectors> { depth, left, panel, tile, ahead });
                    }
                })*)*
                _ => assert!(rows == 0, "a tile of {rows} by {vectors}"),
            }
        };
    }
    debug_assert!(rows <= most_rows::<S>(vectors));
    sizes! {
        1: 1 2 3 4 5 6 7 8 9 10 11 12;
        2: 1 2 3 4 5 6 7 8 9 10 11 12;
        3: 1 2 3 4 5 6 7 8;
        4: 1 2 3 4 5 6;
    }
}

/// The micro-kernel, for one size of tile.
struct Multiply<E, const R: usize, const V: usize> {
    depth: usize,
    left: Rows<E>,
    panel: *const E,
    tile: *mut E,
    ahead: *const E,
}

impl<E: Real, const R: usize, const V: usize> WithSimd for Multiply<E, R, V> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { depth, left, panel, tile, ahead } = self;
        let width = V * E::lanes::<S>();
        // SAFETY: only `multiply` makes one of these, and its caller promises the memory.
        unsafe {
            let mut sums: [[Vector<S, E>; V]; R] =
                std::array::from_fn(|r| Vector::load_all(simd, tile.add(r * width)));
            let (mut start, mut panel, mut rest, mut ahead) = (left.start, panel, depth, ahead);
            while rest > 0 {
                let run = rest.min(left.run);
                for k in 0..run {
                    if R > 2 && !ahead.is_null() {
                        prefetch(ahead);
                        ahead = ahead.wrapping_add(LINE / size_of::<E>());
                    }
                    let right: [Vector<S, E>; V] = Vector::load_all(simd, panel.add(k * width));
                    for (r, sums) in sums.iter_mut().enumerate() {
                        let factor = *start.add(r * left.row_step + k * left.depth_step);
                        let factor = Vector::splat(simd, factor);
                        for (sum, right) in sums.iter_mut().zip(right) {
                            *sum = factor.mul_add(right, *sum);
                        }
                    }
                }
                panel = panel.add(run * width);
                start = start.wrapping_add(left.run_step);
                rest -= run;
            }
            for (r, sums) in sums.into_iter().enumerate() {
                for (v, sum) in sums.into_iter().enumerate() {
                    sum.store(tile.add(r * width + v * E::lanes::<S>()));
                }
            }
        }
    }
}

/// Asks for a cache line that will be read soon; any address is fine.
#[inline(always)]
fn prefetch<E>(at: *const E) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing and faults nowhere, and every x86-64 processor has it.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T1>(at.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// Depth of the products that are taken at a time: a panel so deep, and a block of rows, stay in a core's own
/// cache. A multiple of every run of [`Rows`].
const DEPTH: usize = 768;

/// Adds `left * panel` to `sums`: some rows, evenly apart, by the width of the panel, row by row without gaps.
///
/// # Safety
/// `left` must have so many rows and the depth of the panels, which must be packed, and `sums` the room.
#[inline(always)]
pub(super) unsafe fn add_product<S: Simd, E: Real>(
    simd: S,
    rows: usize,
    left: Rows<E>,
    (right, panel): (&Panels<E>, Panel),
    sums: *mut E,
) {
    let (vectors, width) = (right.vectors(panel), right.width(panel));
    for from in (0..right.depth()).step_by(DEPTH) {
        let depth = DEPTH.min(right.depth() - from);
        let part = right.row(panel, from).cast_const();
        let mut asked = 0;
        for rows in tiles(0..rows, most_rows::<S>(vectors)) {
            // SAFETY: the caller's promise.
            unsafe {
                let left = left.from(rows.start, from);
                let ahead = right.ahead(part, depth, (asked, width));
                multiply(simd, (rows.len(), vectors), depth, left, part, sums.add(rows.start * width), ahead);
            }
            asked += depth * LINE / size_of::<E>();
        }
    }
}

/// Cuts `rows` into as few tiles of at most `most` as there can be, all about as large.
pub(super) fn tiles(rows: Range<usize>, most: usize) -> impl Iterator<Item = Range<usize>> {
    let (start, count) = (rows.start, rows.len());
    let tiles = count.div_ceil(most);
    (0..tiles).map(move |tile| start + count * tile / tiles..start + count * (tile + 1) / tiles)
}

/// Numbers of the left side that [`dense`] takes at a time: they stay in a core's own cache while all panels
/// pass by.
const NUMBERS: usize = 1 << 17;

/// Rows that it takes where they are too long for that.
const BLOCK: usize = 192;

/// `left * right` for some rows and panels: `start` fills a row of a tile with what is added to, and `done`
/// takes it when it is summed up. Both are given row, panel and where the tile's row lies.
///
/// `left` gives the rows from some row on; they are evenly apart within every `even` of them.
///
/// # Safety
/// `left` must have all `rows` and the depth of `right`, whose panels must be packed.
#[inline(always)]
pub(super) unsafe fn dense<S: Simd, E: Real>(
    simd: S,
    rows: Range<usize>,
    (left, even): (impl Fn(usize) -> Rows<E>, usize),
    right: &Panels<E>,
    panels: &[Panel],
    mut start: impl FnMut(usize, Panel, *mut E),
    mut done: impl FnMut(usize, Panel, *mut E),
) {
    let sums = Buffer::<E>::new(BLOCK * WIDEST * E::lanes::<S>());
    let sums = sums.at(0);
    // A panel that is taken in parts serves a whole block part by part; else each tile is done at once.
    let deep = right.depth() > DEPTH;
    let some = if deep { BLOCK } else { NUMBERS / right.depth().max(1) };
    for block in tiles(rows, some) {
        for &panel in panels {
            let width = right.width(panel);
            let together = if deep { BLOCK } else { most_rows::<S>(right.vectors(panel)) };
            let mut rest = block.clone();
            while !rest.is_empty() {
                let run = rest.start..rest.end.min((rest.start / even + 1).saturating_mul(even));
                rest.start = run.end;
                for rows in tiles(run, together) {
                    // SAFETY: there is room for a block; the caller promises both sides of the product.
                    unsafe {
                        rows.clone()
                            .enumerate()
                            .for_each(|(at, row)| start(row, panel, sums.add(at * width)));
                        add_product(simd, rows.len(), left(rows.start), (right, panel), sums);
                        rows.enumerate().for_each(|(at, row)| done(row, panel, sums.add(at * width)));
                    }
                }
            }
        }
    }
}

/// Tiles of [`outer`] whose left side is packed at a time, [`DEPTH`] deep.
const TILES: usize = 8;

/// The widest panels that [`outer`] takes: high tiles, for what is packed of the left side is then read in few moves.
pub(super) const OUTER_WIDEST: usize = 3;

/// `left^T * right`, as gradients of weights are: sums over all rows of two matrices. The columns of `left`
/// lie in vectors of `wide` numbers: vector `v` of row `k` begins at `left(k, v)`. Column `m` makes the row of
/// the result that begins at `result(m)`, if there is one, `width` numbers long.
///
/// Every worker of the team takes a share of `left`'s columns.
///
/// # Safety
/// `left` must have as many rows as `right` has depth, `right` must be packed, by panels of at most
/// [`OUTER_WIDEST`], and every row of the result must have `width` numbers that nobody else uses.
#[inline(always)]
pub(super) unsafe fn outer<S: Simd, E: Real>(
    simd: S,
    worker: Worker<'_>,
    (left, vectors, wide): (impl Fn(usize, usize) -> *const E, usize, usize),
    right: &Panels<E>,
    width: usize,
    result: impl Fn(usize) -> Option<*mut E>,
) {
    let high = const { most_rows::<S>(OUTER_WIDEST) };
    let lanes = E::lanes::<S>();
    let mut tile = Tile::<E>::new();
    let tile = tile.as_mut_ptr();
    let packed = Buffer::<E>::new(DEPTH.min(right.depth()) * TILES * high);
    // Tiles of a vector, and the columns of a tile: no tile reaches into two vectors.
    let parts = wide.div_ceil(high);
    let columns = |tile: usize| {
        let (vector, from) = (tile / parts, tile % parts * high);
        (vector, from..wide.min(from + high))
    };
    for from in (0..right.depth().max(1)).step_by(DEPTH) {
        let depth = DEPTH.min(right.depth() - from);
        for some in tiles(worker.share(vectors * parts), TILES) {
            // SAFETY: `packed` has room for the block; the rest is the caller's promise.
            unsafe {
                for (at, tile) in some.clone().enumerate() {
                    let to = packed.at(at * depth * high);
                    let (vector, columns) = columns(tile);
                    for k in 0..depth {
                        let source = left(from + k, vector).add(columns.start);
                        let to = to.add(k * high);
                        match columns.len() == high {
                            true => to.copy_from_nonoverlapping(source, high), // a known size: one move
                            false => to.copy_from_nonoverlapping(source, columns.len()),
                        }
                    }
                }
                for &panel in right.all() {
                    let (groups, row, first) =
                        (right.vectors(panel), right.width(panel), panel.first * lanes);
                    let there = (width - first).min(row);
                    for (at, (vector, columns)) in some.clone().map(columns).enumerate() {
                        let rows = || {
                            let result = |m| Some(result(vector * wide + m)?.add(first));
                            columns.clone().enumerate().filter_map(move |(r, m)| Some((r * row, result(m)?)))
                        };
                        Vector::<S, E>::clear(simd, tile, columns.len() * row);
                        if from > 0 {
                            rows().for_each(|(r, row)| Vector::<S, E>::copy(simd, row, tile.add(r), there));
                        }
                        let left = Rows::transposed(packed.at(at * depth * high).cast_const(), high);
                        let part = right.row(panel, from).cast_const();
                        multiply(simd, (columns.len(), groups), depth, left, part, tile, std::ptr::null());
                        rows().for_each(|(r, row)| Vector::<S, E>::copy(simd, tile.add(r), row, there));
                    }
                }
            }
        }
    }
}

/// The sums of one worker's share of the vectors, laid out as `steps`, over all steps and rows; the numbers of
/// one vector are handed to `done` with its place.
///
/// # Safety
/// `start` must point to numbers in that layout, whose width is a multiple of whole vectors.
#[inline(always)]
pub(super) unsafe fn sums<S: Simd, E: Real>(
    simd: S,
    worker: Worker<'_>,
    (start, steps): (*const E, SequenceLayout),
    mut done: impl FnMut(usize, &[E]),
) {
    let lanes = E::lanes::<S>();
    let gates = steps.width / lanes;
    let mut sums = [E::zero(); 16];
    for vector in worker.share(steps.vectors * gates) {
        // SAFETY: the caller's promise; no vector has more than sixteen numbers.
        unsafe {
            let mut sum = Vector::zero(simd);
            for t in 0..steps.time {
                for row in 0..steps.batch {
                    let from = steps.at(t, vector / gates, row) + vector % gates * lanes;
                    sum = sum + Vector::load(simd, start.add(from));
                }
            }
            sum.store(sums.as_mut_ptr());
        }
        done(vector * lanes, &sums[..lanes]);
    }
}
