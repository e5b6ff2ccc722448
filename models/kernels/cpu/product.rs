//! Matrix products out of one micro-kernel: a tile of some rows by up to four vectors stays in registers
//! while it sums over the whole depth. Every product of every kernel is this one.
//!
//! The right-hand side is laid out beforehand in [`Panels`], as wide as a tile, so that it is read from
//! front to back. Each element of a result is one sum in the order of the depth, whatever the tile, so
//! neither sizes nor threads change its bits.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::memory::Buffer;
use super::simd::{Real, Vector};
use super::team::Member;

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

/// A left-hand side: element `(row, k)` lies at `start + row * row_step + k * depth_step`.
#[derive(Clone, Copy)]
pub(super) struct Rows<E> {
    pub start: *const E,
    pub row_step: usize,
    pub depth_step: usize,
}

impl<E> Rows<E> {
    /// Rows whose elements lie side by side, `row_step` apart.
    pub(super) fn new(start: *const E, row_step: usize) -> Self {
        Self { start, row_step, depth_step: 1 }
    }

    /// From another row and depth on.
    ///
    /// # Safety
    /// That element must lie within the same allocation.
    pub(super) unsafe fn from(self, row: usize, k: usize) -> Self {
        // SAFETY: the caller's promise.
        let start = unsafe { self.start.add(row * self.row_step + k * self.depth_step) };
        Self { start, ..self }
    }
}

/// Adds `left * panel` to the tile at `tile`: `rows` by `vectors`, row by row without gaps, summed over
/// `depth`.
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
) {
    macro_rules! sizes {
        ($($vectors:literal: $($rows:literal)*;)*) => {
            match (vectors, rows) {
                $($(($vectors, $rows) => {
                    if const { $rows <= most_rows::<S>($vectors) } {
                        simd.vectorize(Multiply::<E, $rows, $vectors> { depth, left, panel, tile });
                    }
                })*)*
                _ => debug_assert!(rows == 0, "a tile of {rows} by {vectors}"),
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
}

impl<E: Real, const R: usize, const V: usize> WithSimd for Multiply<E, R, V> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { depth, left, panel, tile } = self;
        let width = V * E::lanes::<S>();
        // SAFETY: only `multiply` makes one of these, and its caller promises the memory.
        unsafe {
            let mut sums: [[Vector<S, E>; V]; R] =
                std::array::from_fn(|r| Vector::load_all(simd, tile.add(r * width)));
            for k in 0..depth {
                let right: [Vector<S, E>; V] = Vector::load_all(simd, panel.add(k * width));
                for (r, sums) in sums.iter_mut().enumerate() {
                    let factor = *left.start.add(r * left.row_step + k * left.depth_step);
                    let factor = Vector::splat(simd, factor);
                    for (sum, right) in sums.iter_mut().zip(right) {
                        *sum = factor.mul_add(right, *sum);
                    }
                }
            }
            for (r, sums) in sums.into_iter().enumerate() {
                for (v, sum) in sums.into_iter().enumerate() {
                    sum.store(tile.add(r * width + v * E::lanes::<S>()));
                }
            }
        }
    }
}

/// Cuts `rows` into as few tiles of at most `most` as there can be, all about as large.
pub(super) fn tiles(rows: Range<usize>, most: usize) -> impl Iterator<Item = Range<usize>> {
    let (start, count) = (rows.start, rows.len());
    let tiles = count.div_ceil(most);
    (0..tiles).map(move |tile| start + count * tile / tiles..start + count * (tile + 1) / tiles)
}

/// Some of a right-hand side's columns, counted in groups: a group is one vector, or as many as a unit has
/// gates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Panel {
    /// The first group.
    pub first: usize,
    /// How many.
    pub groups: usize,
    /// Where it starts in the panels' numbers.
    offset: usize,
}

/// A right-hand side of a product, cut into panels that lie one behind the other, each row by row.
pub(super) struct Panels<E> {
    numbers: Buffer<E>,
    lanes: usize,
    depth: usize,
    /// Vectors of a group.
    group: usize,
    list: Vec<Panel>,
    /// Which of them each member of the team has when they are shared out.
    shares: Vec<Range<usize>>,
}

impl<E: Real> Panels<E> {
    /// Panels for `groups` groups of `group` vectors of `lanes` numbers, shared by `members`. They hold no
    /// numbers yet: each must be packed.
    pub(super) fn new(depth: usize, groups: usize, group: usize, lanes: usize, members: usize) -> Self {
        Self::no_wider_than(WIDEST / group, depth, groups, group, lanes, members)
    }

    /// The same, of at most `most` groups each.
    pub(super) fn no_wider_than(
        most: usize,
        depth: usize,
        groups: usize,
        group: usize,
        lanes: usize,
        members: usize,
    ) -> Self {
        let mut list = Vec::new();
        let mut shares = Vec::with_capacity(members);
        let mut offset = 0;
        for member in 0..members {
            let from = list.len();
            for groups in tiles(groups * member / members..groups * (member + 1) / members, most) {
                list.push(Panel { first: groups.start, groups: groups.len(), offset });
                offset += groups.len() * group * lanes * depth;
            }
            shares.push(from..list.len());
        }
        Self { numbers: Buffer::new(offset), lanes, depth, group, list, shares }
    }

    /// Rows of every panel.
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    /// All panels.
    pub(super) fn all(&self) -> &[Panel] {
        &self.list
    }

    /// Those of one member of the team, of which there may be fewer than the panels were made for.
    pub(super) fn of(&self, member: Member<'_>) -> impl Iterator<Item = Panel> {
        let shares = self.shares.iter().skip(member.index).step_by(member.count);
        shares.flat_map(|share| &self.list[share.clone()]).copied()
    }

    /// Vectors that a panel is wide.
    pub(super) fn vectors(&self, panel: Panel) -> usize {
        panel.groups * self.group
    }

    /// Numbers in a row of a panel.
    pub(super) fn width(&self, panel: Panel) -> usize {
        self.vectors(panel) * self.lanes
    }

    /// Where row `k` of a panel begins.
    pub(super) fn row(&self, panel: Panel, k: usize) -> *mut E {
        self.numbers.at(panel.offset + k * self.width(panel))
    }

    /// Packs a panel of a matrix that lies transposed: column `c` of all panels is the row that begins at
    /// `column(c)`, or zero.
    ///
    /// # Safety
    /// Every row must have [`Panels::depth`] numbers, and nobody else may use the panel meanwhile.
    pub(super) unsafe fn pack_transposed(&self, panel: Panel, column: impl Fn(usize) -> Option<*const E>) {
        let width = self.width(panel);
        let first = panel.first * self.group * self.lanes;
        // SAFETY: the caller's promise for the rows; `width` by `depth` numbers belong to the panel.
        unsafe {
            for from in (0..width).step_by(self.lanes) {
                let to = self.row(panel, 0).add(from);
                for lane in 0..self.lanes {
                    let to = to.add(lane);
                    match column(first + from + lane) {
                        Some(source) => (0..self.depth).for_each(|k| *to.add(k * width) = *source.add(k)),
                        None => (0..self.depth).for_each(|k| *to.add(k * width) = E::zero()),
                    }
                }
            }
        }
    }

    /// Packs the rows `range` of a panel of a matrix with `columns` columns, zero beyond them: row `k` begins
    /// at `row(k)`, or is zero.
    ///
    /// # Safety
    /// Every row must have `columns` numbers, and nobody else may use the panel meanwhile.
    pub(super) unsafe fn pack_rows(
        &self,
        panel: Panel,
        range: Range<usize>,
        columns: usize,
        row: impl Fn(usize) -> Option<*const E>,
    ) {
        let width = self.width(panel);
        let first = panel.first * self.group * self.lanes;
        let there = columns.saturating_sub(first).min(width);
        // SAFETY: the caller's promise for the rows; `width` by `depth` numbers belong to the panel.
        unsafe {
            for k in range {
                let to = self.row(panel, k);
                let there = match row(k) {
                    Some(source) => {
                        std::ptr::copy_nonoverlapping(source.wrapping_add(first), to, there);
                        there
                    }
                    None => 0,
                };
                to.add(there).write_bytes(0, width - there);
            }
        }
    }
}

/// Numbers of a left-hand side that stay in the nearer caches while all panels pass by.
const BLOCK: usize = 1 << 17;

/// `left * right` for some rows and panels: `start` fills a row of a tile with what is added to, and `done`
/// takes it when it is summed up. Both are given row, panel and where the tile's row lies.
///
/// # Safety
/// `left` must have all `rows` and the depth of `right`, whose panels must be packed.
#[inline(always)]
pub(super) unsafe fn dense<S: Simd, E: Real>(
    simd: S,
    rows: Range<usize>,
    left: Rows<E>,
    right: &Panels<E>,
    panels: impl Iterator<Item = Panel> + Clone,
    mut start: impl FnMut(usize, Panel, *mut E),
    mut done: impl FnMut(usize, Panel, *mut E),
) {
    let mut tile = Tile::<E>::new();
    let tile = tile.as_mut_ptr();
    for block in tiles(rows, (BLOCK / right.depth().max(1)).max(24)) {
        for panel in panels.clone() {
            let (vectors, width) = (right.vectors(panel), right.width(panel));
            for rows in tiles(block.clone(), most_rows::<S>(vectors)) {
                // SAFETY: a tile has room for all its rows; the caller promises both sides of the product.
                unsafe {
                    for (at, row) in rows.clone().enumerate() {
                        start(row, panel, tile.add(at * width));
                    }
                    let (left, right) = (left.from(rows.start, 0), (right.depth(), right.row(panel, 0)));
                    multiply(simd, (rows.len(), vectors), right.0, left, right.1, tile);
                    for (at, row) in rows.enumerate() {
                        done(row, panel, tile.add(at * width));
                    }
                }
            }
        }
    }
}

/// Depth of a block of [`outer`], and tiles of rows in it: what is packed of the left side stays in the
/// second cache.
const DEPTH: usize = 256;
const TILES: usize = 12;

/// The widest panels that [`outer`] takes; its tiles are then just as high as a vector, or half of one.
pub(super) const OUTER_WIDEST: usize = 3;

/// `left^T * right`, as gradients of weights are: sums over all rows of two matrices. `left` has `columns`
/// numbers in each row; column `m` of it makes the row of the result that begins at
/// `result(m)`, if there is one, `width` numbers long.
///
/// Every member of the team takes a share of `left`'s columns.
///
/// # Safety
/// `left` must have as many rows as `right` has depth, `right` must be packed, by panels of at most
/// [`OUTER_WIDEST`], and every row of the result must have `width` numbers that nobody else uses.
#[inline(always)]
pub(super) unsafe fn outer<S: Simd, E: Real>(
    simd: S,
    member: Member<'_>,
    (left, columns): (Rows<E>, usize),
    right: &Panels<E>,
    width: usize,
    result: impl Fn(usize) -> Option<*mut E>,
) {
    let high = const { most_rows::<S>(OUTER_WIDEST) };
    let lanes = E::lanes::<S>();
    let mut tile = Tile::<E>::new();
    let tile = tile.as_mut_ptr();
    let packed = Buffer::<E>::new(DEPTH.min(right.depth()) * TILES * high);
    for from in (0..right.depth().max(1)).step_by(DEPTH) {
        let depth = DEPTH.min(right.depth() - from);
        for some in tiles(member.share(columns.div_ceil(high)), TILES) {
            // The columns of `left` that make one tile's rows.
            let columns = |tile: usize| tile * high..columns.min((tile + 1) * high);
            // SAFETY: `packed` has room for the block; the rest is the caller's promise.
            unsafe {
                for (at, tile) in some.clone().enumerate() {
                    let (to, columns) = (packed.at(at * depth * high), columns(tile));
                    for k in from..from + depth {
                        let source = left.start.add(k * left.row_step + columns.start);
                        let to = to.add((k - from) * high);
                        match columns.len() == high {
                            true => to.copy_from_nonoverlapping(source, high), // a known size: one move
                            false => to.copy_from_nonoverlapping(source, columns.len()),
                        }
                    }
                }
                for &panel in right.all() {
                    let (vectors, wide, first) =
                        (right.vectors(panel), right.width(panel), panel.first * lanes);
                    let there = (width - first).min(wide);
                    for (at, columns) in some.clone().map(columns).enumerate() {
                        let rows = || {
                            columns.clone().enumerate().filter_map(|(r, m)| Some((r, result(m)?.add(first))))
                        };
                        Vector::<S, E>::clear(simd, tile, columns.len() * wide);
                        if from > 0 {
                            rows()
                                .for_each(|(r, row)| tile.add(r * wide).copy_from_nonoverlapping(row, there));
                        }
                        let left =
                            Rows { start: packed.at(at * depth * high), row_step: 1, depth_step: high };
                        multiply(simd, (columns.len(), vectors), depth, left, right.row(panel, from), tile);
                        rows().for_each(|(r, row)| Vector::<S, E>::copy(simd, tile.add(r * wide), row, there));
                    }
                }
            }
        }
    }
}
