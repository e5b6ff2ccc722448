//! Right-hand sides of products, packed in the order in which the micro-kernel reads them.
//!
//! Operands with [`Operand::INTERLEAVED`] rows have the elements of that many consecutive rows side by side: columns 0,
//! 1, .. of a panel with pairs are (row 0, row 1) of column 0, (row 0, row 1) of column 1, ..

use std::ops::Range;

use pulp::Simd;

use super::super::memory::Buffer;
use super::super::simd::{Float, MAX_LANES, Vector};
use super::super::tuning::{L2_BYTES, TILE_VECTORS};
use super::super::workers::Worker;
use super::operand::{GradientOperand, Operand};
use super::tile::split_evenly;

/// The shape of a packed right-hand side: `depth` rows by `groups * group_vectors * lanes` columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PanelShape {
    pub(crate) depth: usize,
    /// A group is not divided among panels: one vector, or the vectors of all gates of the same units.
    pub(crate) groups: usize,
    pub(crate) group_vectors: usize,
    pub(crate) lanes: usize,
}

/// Some groups of columns over the whole depth: as wide as a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Panel {
    /// The first group.
    pub(crate) first: usize,
    /// The number of groups.
    pub(crate) groups: usize,
    /// The index of its first element.
    offset: usize,
}

/// A packed right-hand side: panel after panel, and within a panel row after row of the depth.
pub(crate) struct Panels<O> {
    elements: Buffer<O>,
    shape: PanelShape,
    list: Vec<Panel>,
    /// The panels of each worker, as ranges of `list`.
    shares: Vec<Range<usize>>,
}

impl<O: Operand> Panels<O> {
    /// Make panels for tiles of up to [`TILE_VECTORS`], divided among `workers`. They are uninitialised: each must be
    /// packed before it is read.
    pub(crate) fn new(shape: PanelShape, workers: usize) -> Self {
        Self::with_max_vectors(TILE_VECTORS, shape, workers)
    }

    /// Make panels for tiles of up to `max_vectors`.
    pub(crate) fn with_max_vectors(max_vectors: usize, shape: PanelShape, workers: usize) -> Self {
        let PanelShape { depth, groups, group_vectors, lanes } = shape;
        let mut list = Vec::new();
        let mut shares = Vec::with_capacity(workers);
        let mut offset = 0;
        for worker in 0..workers {
            let from = list.len();
            let share = groups * worker / workers..groups * (worker + 1) / workers;
            for groups in split_evenly(share, max_vectors / group_vectors) {
                list.push(Panel { first: groups.start, groups: groups.len(), offset });
                let column = depth.next_multiple_of(O::DEPTH_MULTIPLE) + O::COLUMN_TAIL;
                offset += groups.len() * group_vectors * lanes * column;
            }
            shares.push(from..list.len());
        }
        Self { elements: Buffer::new(offset), shape, list, shares }
    }

    /// Return the shape.
    pub(crate) fn shape(&self) -> PanelShape {
        self.shape
    }

    /// Return the number of rows of every panel.
    pub(crate) fn depth(&self) -> usize {
        self.shape.depth
    }

    /// Return all panels.
    pub(crate) fn all(&self) -> &[Panel] {
        &self.list
    }

    /// Return whether each worker has the same groups here as in `other`, panel by panel.
    pub(crate) fn divides_as(&self, other: &Self) -> bool {
        let groups = |panel: &Panel| (panel.first, panel.groups);
        self.shares == other.shares && self.list.iter().map(groups).eq(other.list.iter().map(groups))
    }

    /// Return the panels of one worker. There may be fewer workers than the panels were divided among.
    pub(crate) fn share(&self, worker: Worker<'_>) -> impl DoubleEndedIterator<Item = Panel> {
        let shares = &self.shares[worker.share(self.shares.len())];
        shares.iter().flat_map(|share| &self.list[share.clone()]).copied()
    }

    /// Return the width of a panel in vectors.
    pub(crate) fn vectors(&self, panel: Panel) -> usize {
        panel.groups * self.shape.group_vectors
    }

    /// Return the width of a panel in elements.
    pub(crate) fn width(&self, panel: Panel) -> usize {
        self.vectors(panel) * self.shape.lanes
    }

    /// Return the width of a group in elements.
    pub(crate) fn group_width(&self) -> usize {
        self.shape.group_vectors * self.shape.lanes
    }

    /// Return the first column of a panel.
    pub(crate) fn first_column(&self, panel: Panel) -> usize {
        panel.first * self.group_width()
    }

    /// Return the address of row `k` of a panel.
    pub(crate) fn row(&self, panel: Panel, k: usize) -> *mut O {
        self.elements.at(panel.offset + k * self.width(panel))
    }

    /// Return the address that a product of `depth` rows from `block` on prefetches: the next block of the panel, of
    /// which `requested` elements have been prefetched by earlier tiles. Null if all of it has been, or if a worker's
    /// panels stay in the L2 cache anyway.
    pub(crate) fn prefetch(&self, block: *const O, block_len: usize, requested: usize) -> *const O {
        let bytes = self.elements.len() * size_of::<O>() / self.shares.len().max(1);
        match bytes > L2_BYTES && requested < block_len {
            true => block.wrapping_add(block_len + requested),
            false => std::ptr::null(),
        }
    }

    /// Pack a panel of a matrix that is stored transposed: column `c` of the right-hand side is the row that
    /// starts at `column(c)`, or zero.
    ///
    /// # Safety
    /// Every row must have [`Panels::depth`] elements, and no other thread may use the panel meanwhile.
    #[inline(always)]
    pub(crate) unsafe fn pack_transposed<S: Simd>(
        &self,
        simd: S,
        panel: Panel,
        column: impl Fn(usize) -> Option<*const O::Sum>,
    ) {
        let (width, lanes) = (self.width(panel), O::Sum::lanes::<S>());
        let first = self.first_column(panel);
        // SAFETY: the caller's promise.
        unsafe { self.clear_from(panel, self.shape.depth) };
        for from in (0..width).step_by(lanes) {
            let mut rows = [std::ptr::null(); MAX_LANES];
            for (lane, row) in rows[..lanes].iter_mut().enumerate() {
                *row = column(first + from + lane).unwrap_or(std::ptr::null());
            }
            // SAFETY: the caller's promise for the rows; the panel has `depth` rows of `width` elements.
            unsafe {
                let to = self.row(panel, 0).add(from * O::INTERLEAVED);
                O::transpose(simd, &rows[..lanes], self.shape.depth, to, width);
            }
        }
    }

    /// Write zeros after the first `depth` rows of a panel, up to the next multiple of [`Operand::DEPTH_MULTIPLE`].
    ///
    /// # Safety
    /// No other thread may use the panel meanwhile.
    unsafe fn clear_from(&self, panel: Panel, depth: usize) {
        let from = depth / O::INTERLEAVED * O::INTERLEAVED;
        let count = (depth.next_multiple_of(O::DEPTH_MULTIPLE) - from) * self.width(panel);
        if O::DEPTH_MULTIPLE > 1 {
            // SAFETY: the panel is filled up to that multiple; the rest is the caller's promise.
            unsafe { self.row(panel, from).write_bytes(0, count) };
        }
    }
}

/// Right-hand sides of the backward pass.
impl<O: GradientOperand> Panels<O> {
    /// Pack a panel vector by vector: `vector(k, v)` is vector `v` of row `k` of the right-hand side.
    ///
    /// # Safety
    /// No other thread may use the panel meanwhile.
    #[inline(always)]
    pub(crate) unsafe fn pack_vectors<S: Simd>(
        &self,
        simd: S,
        panel: Panel,
        vector: impl Fn(usize, usize) -> Vector<S, O::Sum>,
    ) {
        let (vectors, depth) = (self.vectors(panel), self.shape.depth);
        // SAFETY: the caller's promise.
        unsafe { self.clear_from(panel, depth) };
        for k in (0..depth).step_by(O::INTERLEAVED) {
            let to = self.row(panel, k);
            for index in 0..vectors {
                let column = panel.first * self.shape.group_vectors + index;
                let row = |i| if k + i < depth { vector(k + i, column) } else { Vector::zero(simd) };
                // SAFETY: the caller's promise; a row of the panel has that many vectors.
                unsafe { O::store_interleaved(row, to.add(index * self.shape.lanes * O::INTERLEAVED)) };
            }
        }
    }

    /// Pack the first `depth` rows of a panel of a matrix of `columns` columns, zero beyond them: row `k` starts at
    /// `row(k)`, or is zero.
    ///
    /// # Safety
    /// Every row must have `columns` elements, and no other thread may use the panel meanwhile.
    #[inline(always)]
    pub(crate) unsafe fn pack_rows<S: Simd>(
        &self,
        simd: S,
        panel: Panel,
        (depth, columns): (usize, usize),
        row: impl Fn(usize) -> Option<*const O::Sum>,
    ) {
        let width = self.width(panel);
        let first = self.first_column(panel);
        let count = columns.saturating_sub(first).min(width);
        // SAFETY: the caller's promise.
        unsafe { self.clear_from(panel, depth) };
        if O::INTERLEAVED > 1 {
            // SAFETY: the caller's promise.
            return unsafe { self.interleave_rows(simd, panel, (depth, first, count), row) };
        }
        // SAFETY: the caller's promise for the rows; the panel has `depth` rows of `width` elements.
        unsafe {
            for k in 0..depth {
                let to = self.row(panel, k);
                let count = match row(k) {
                    Some(source) => {
                        O::copy_rounded(simd, source.wrapping_add(first), to, count);
                        count
                    }
                    None => 0,
                };
                to.add(count).write_bytes(0, width - count);
            }
        }
    }

    /// Pack `depth` rows, of `count` columns from `first` on, for operands that interleave rows.
    ///
    /// # Safety
    /// As [`Panels::pack_rows`].
    #[inline(always)]
    unsafe fn interleave_rows<S: Simd>(
        &self,
        simd: S,
        panel: Panel,
        (depth, first, count): (usize, usize, usize),
        row: impl Fn(usize) -> Option<*const O::Sum>,
    ) {
        let lanes = self.shape.lanes;
        for k in (0..depth).step_by(O::INTERLEAVED) {
            let sources: [Option<*const O::Sum>; 2] =
                std::array::from_fn(|i| if k + i < depth { row(k + i) } else { None });
            for column in (0..self.width(panel)).step_by(lanes) {
                let vector = |i: usize| match sources[i].filter(|_| column < count) {
                    // SAFETY: the caller's promise.
                    Some(row) => unsafe { Vector::load_first(simd, row.add(first + column), count - column) },
                    None => Vector::zero(simd),
                };
                // SAFETY: the panel has `depth` rows of `width` elements.
                unsafe { O::store_interleaved(vector, self.row(panel, k).add(column * O::INTERLEAVED)) };
            }
        }
    }
}
