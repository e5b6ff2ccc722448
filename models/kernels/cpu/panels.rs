//! Right-hand sides of products, laid out as the micro-kernel reads them.

use std::ops::Range;

use pulp::Simd;

use super::memory::Buffer;
use super::product::{WIDEST, tiles};
use super::simd::{Real, Vector};
use super::workers::Worker;

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

/// Bytes that stay in a core's own cache, beside what else it works on.
pub(super) const NEAR: usize = 3 << 18;

/// Depth that is transposed at a time.
const SQUARE: usize = 16;

/// A right-hand side of a product, cut into panels that lie one behind the other, each row by row.
pub(super) struct Panels<E> {
    numbers: Buffer<E>,
    lanes: usize,
    depth: usize,
    /// Vectors of a group.
    group: usize,
    list: Vec<Panel>,
    /// Which of them each worker of the team has when they are shared out.
    shares: Vec<Range<usize>>,
}

impl<E: Real> Panels<E> {
    /// Panels for `groups` groups of `group` vectors of `lanes` numbers, shared by `workers`. They hold no
    /// numbers yet: each must be packed.
    pub(super) fn new(depth: usize, groups: usize, group: usize, lanes: usize, workers: usize) -> Self {
        Self::no_wider_than(WIDEST / group, depth, groups, group, lanes, workers)
    }

    /// The same, of at most `most` groups each.
    pub(super) fn no_wider_than(
        most: usize,
        depth: usize,
        groups: usize,
        group: usize,
        lanes: usize,
        workers: usize,
    ) -> Self {
        let mut list = Vec::new();
        let mut shares = Vec::with_capacity(workers);
        let mut offset = 0;
        for worker in 0..workers {
            let from = list.len();
            for groups in tiles(groups * worker / workers..groups * (worker + 1) / workers, most) {
                list.push(Panel { first: groups.start, groups: groups.len(), offset });
                offset += groups.len() * group * lanes * depth;
            }
            shares.push(from..list.len());
        }
        Self { numbers: Buffer::new(offset), lanes, depth, group, list, shares }
    }

    /// Where a product of `depth` rows of `width` from `part` on asks for what the next will read, `asked` numbers
    /// of which have been asked for before. Nowhere if that is not worth it: all is on its way, or the panels of
    /// a worker stay in a core's own cache anyway.
    pub(super) fn ahead(&self, part: *const E, depth: usize, (asked, width): (usize, usize)) -> *const E {
        let bytes = self.numbers.len() * size_of::<E>() / self.shares.len().max(1);
        match bytes > NEAR && asked < depth * width {
            true => part.wrapping_add(depth * width + asked),
            false => std::ptr::null(),
        }
    }

    /// Rows of every panel.
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    /// All panels.
    pub(super) fn all(&self) -> &[Panel] {
        &self.list
    }

    /// Those of one worker of the team, of which there may be fewer than the panels were made for.
    pub(super) fn of(&self, worker: Worker<'_>) -> impl Iterator<Item = Panel> {
        let shares = self.shares.iter().skip(worker.index).step_by(worker.count);
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
    #[inline(always)]
    pub(super) unsafe fn pack_transposed<S: Simd>(
        &self,
        simd: S,
        panel: Panel,
        column: impl Fn(usize) -> Option<*const E>,
    ) {
        let (width, lanes) = (self.width(panel), E::lanes::<S>());
        let first = panel.first * self.group * lanes;
        let whole = self.depth - self.depth % SQUARE;
        // SAFETY: the caller's promise for the rows; `width` by `depth` numbers belong to the panel, and no
        // vector has more than sixteen numbers.
        unsafe {
            for from in (0..width).step_by(lanes) {
                let to = self.row(panel, 0).add(from);
                let mut rows = [std::ptr::null::<E>(); 16];
                for (lane, row) in rows[..lanes].iter_mut().enumerate() {
                    *row = column(first + from + lane).unwrap_or(std::ptr::null());
                }
                // Square by square, so that what is read and what is written are few lines at a time.
                for k in (0..whole).step_by(SQUARE) {
                    let mut square = [[E::zero(); 16]; SQUARE];
                    for (lane, row) in rows[..lanes].iter().enumerate().filter(|(_, row)| !row.is_null()) {
                        let row = row.add(k);
                        (0..SQUARE).for_each(|k| square[k][lane] = *row.add(k));
                    }
                    for (at, numbers) in square.iter().enumerate() {
                        Vector::load(simd, numbers.as_ptr()).store(to.add((k + at) * width));
                    }
                }
                for k in whole..self.depth {
                    for (lane, row) in rows[..lanes].iter().enumerate() {
                        *to.add(k * width + lane) = if row.is_null() { E::zero() } else { *row.add(k) };
                    }
                }
            }
        }
    }

    /// Packs a panel of a matrix whose vectors lie apart: vector `v` of row `k` begins at `vector(k, v)`.
    ///
    /// # Safety
    /// Every vector must have all its lanes, and nobody else may use the panel meanwhile.
    #[inline(always)]
    pub(super) unsafe fn pack_vectors<S: Simd>(
        &self,
        simd: S,
        panel: Panel,
        vector: impl Fn(usize, usize) -> *const E,
    ) {
        let vectors = self.vectors(panel);
        for k in 0..self.depth {
            let to = self.row(panel, k);
            for at in 0..vectors {
                let from = vector(k, panel.first * self.group + at);
                // SAFETY: the caller's promise; a row of the panel has so many vectors.
                unsafe { Vector::load(simd, from).store(to.add(at * self.lanes)) };
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
