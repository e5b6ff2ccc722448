//! Right-hand sides of products, packed in the order in which the micro-kernel reads them.

use std::ops::Range;

use pulp::Simd;

use super::super::memory::Buffer;
use super::super::simd::{Float, Vector};
use super::super::tuning::{L2_BYTES, TILE_VECTORS, TRANSPOSE_DEPTH};
use super::super::workers::Worker;
use super::operand::Operand;
use super::tile::{MAX_LANES, split_evenly};

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
                offset += groups.len() * group_vectors * lanes * depth;
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
    pub(crate) fn share(&self, worker: Worker<'_>) -> impl Iterator<Item = Panel> {
        let shares = self.shares.iter().skip(worker.index).step_by(worker.count);
        shares.flat_map(|share| &self.list[share.clone()]).copied()
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
        for from in (0..width).step_by(lanes) {
            let mut rows = [std::ptr::null(); MAX_LANES];
            for (lane, row) in rows[..lanes].iter_mut().enumerate() {
                *row = column(first + from + lane).unwrap_or(std::ptr::null());
            }
            // SAFETY: the caller's promise for the rows; the panel has `depth` rows of `width` elements.
            unsafe { self.transpose(simd, &rows[..lanes], self.row(panel, 0).add(from), width) };
        }
    }

    /// Write one vector of columns, each the row at one of the pointers, or zero for null.
    ///
    /// # Safety
    /// Every row must have the depth, and `to` room for as many vectors, `width` elements apart.
    #[inline(always)]
    unsafe fn transpose<S: Simd>(&self, simd: S, rows: &[*const O::Sum], to: *mut O, width: usize) {
        let depth = self.shape.depth;
        let whole = depth - depth % TRANSPOSE_DEPTH;
        // SAFETY: the caller's promise; no vector has more than `MAX_LANES` elements.
        unsafe {
            for from in (0..whole).step_by(TRANSPOSE_DEPTH) {
                let mut block = [[O::Sum::ZERO; MAX_LANES]; TRANSPOSE_DEPTH];
                for (lane, row) in rows.iter().enumerate().filter(|(_, row)| !row.is_null()) {
                    let row = row.add(from);
                    (0..TRANSPOSE_DEPTH).for_each(|k| block[k][lane] = *row.add(k));
                }
                for (k, elements) in block.iter().enumerate() {
                    O::store_rounded(Vector::load(simd, elements.as_ptr()), to.add((from + k) * width));
                }
            }
            for k in whole..depth {
                for (lane, row) in rows.iter().enumerate() {
                    let element = if row.is_null() { O::Sum::ZERO } else { *row.add(k) };
                    *to.add(k * width + lane) = O::round(element);
                }
            }
        }
    }

    /// Pack a panel vector by vector: `vector(k, v)` is vector `v` of row `k` of the right-hand side.
    ///
    /// # Safety
    /// No other thread may use the panel meanwhile.
    #[inline(always)]
    pub(crate) unsafe fn pack_vectors<S: Simd>(
        &self,
        panel: Panel,
        vector: impl Fn(usize, usize) -> Vector<S, O::Sum>,
    ) {
        let vectors = self.vectors(panel);
        for k in 0..self.shape.depth {
            let to = self.row(panel, k);
            for index in 0..vectors {
                let elements = vector(k, panel.first * self.shape.group_vectors + index);
                // SAFETY: the caller's promise; a row of the panel has that many vectors.
                unsafe { O::store_rounded(elements, to.add(index * self.shape.lanes)) };
            }
        }
    }

    /// Pack the rows `range` of a panel of a matrix of `columns` columns, zero beyond them: row `k` starts at
    /// `row(k)`, or is zero.
    ///
    /// # Safety
    /// Every row must have `columns` elements, and no other thread may use the panel meanwhile.
    pub(crate) unsafe fn pack_rows(
        &self,
        panel: Panel,
        range: Range<usize>,
        columns: usize,
        row: impl Fn(usize) -> Option<*const O::Sum>,
    ) {
        let width = self.width(panel);
        let first = self.first_column(panel);
        let count = columns.saturating_sub(first).min(width);
        // SAFETY: the caller's promise for the rows; the panel has `depth` rows of `width` elements.
        unsafe {
            for k in range {
                let to = self.row(panel, k);
                let count = match row(k) {
                    Some(source) => {
                        O::copy_rounded(source.wrapping_add(first), to, count);
                        count
                    }
                    None => 0,
                };
                to.add(count).write_bytes(0, width - count);
            }
        }
    }
}
