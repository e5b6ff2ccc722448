//! A matrix that is packed once and multiplied with many left-hand sides.

use pulp::Simd;

use super::super::memory::SharedPtr;
use super::super::real::Real;
use super::super::simd::{Isa, Vector};
use super::super::tuning::PARALLEL_STEP_MULTIPLICATIONS;
use super::super::workers::{Kernel, Worker, run_kernel, threads, threads_for};
use super::dense::dense;
use super::left::LeftRows;
use super::panels::{Panel, PanelShape, Panels};

/// A right-hand side of products, packed.
pub(crate) struct PackedMatrix<E> {
    isa: Isa,
    panels: Panels<E>,
    columns: usize,
}

impl<E: Real> PackedMatrix<E> {
    /// Pack a matrix of `depth` rows, (depth, columns).
    ///
    /// # Panics
    /// If the matrix does not have the size.
    pub(crate) fn new(isa: Isa, matrix: &[E], size: (usize, usize)) -> Self {
        Self::packed(isa, matrix, size, false)
    }

    /// Pack the transpose of a matrix (columns, depth).
    ///
    /// # Panics
    /// As [`PackedMatrix::new`].
    pub(crate) fn transposed(isa: Isa, matrix: &[E], (columns, depth): (usize, usize)) -> Self {
        Self::packed(isa, matrix, (depth, columns), true)
    }

    fn packed(isa: Isa, matrix: &[E], (depth, columns): (usize, usize), is_transposed: bool) -> Self {
        assert_eq!(matrix.len(), depth * columns, "a matrix of {depth} by {columns}");
        let lanes = isa.lanes::<E>();
        let shape = PanelShape { depth, groups: columns.div_ceil(lanes), group_vectors: 1, lanes };
        let packed = Self { isa, panels: Panels::new(shape, threads()), columns };
        let packer = Packer { packed: &packed, matrix, is_transposed };
        let limit = threads_for(matrix.len(), PARALLEL_STEP_MULTIPLICATIONS);
        // SAFETY: the panels are new, and the size of the matrix was checked.
        unsafe { run_kernel(isa, limit, &packer) };
        packed
    }

    /// Compute `sums += left * matrix`, of `left` (rows, depth) and `sums` (rows, columns).
    ///
    /// # Panics
    /// If the sizes disagree.
    pub(crate) fn add_product(&self, left: &[E], sums: &mut [E]) {
        let (depth, columns) = (self.panels.depth(), self.columns);
        if depth == 0 || columns == 0 {
            return;
        }
        let rows = sums.len() / columns;
        assert_eq!(
            (left.len(), sums.len()),
            (rows * depth, rows * columns),
            "a product by {depth} by {columns}"
        );
        let kernel = Product { matrix: self, left, rows, sums: SharedPtr::new(sums) };
        let limit = threads_for(rows * depth * columns, PARALLEL_STEP_MULTIPLICATIONS);
        // SAFETY: sizes were checked above.
        unsafe { run_kernel(self.isa, limit, &kernel) };
    }
}

struct Packer<'a, E: Real> {
    packed: &'a PackedMatrix<E>,
    matrix: &'a [E],
    is_transposed: bool,
}

impl<E: Real> Kernel for Packer<'_, E> {
    /// # Safety
    /// The matrix must have the size of the panels, which no other thread may use meanwhile.
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, worker: Worker<'_>) {
        let PackedMatrix { panels, columns, .. } = self.packed;
        let depth = panels.depth();
        for panel in panels.share(worker) {
            // SAFETY: rows and columns within the matrix; each worker has its own panels.
            unsafe {
                let start = self.matrix.as_ptr();
                if self.is_transposed {
                    panels.pack_transposed(simd, panel, |column| {
                        (column < *columns).then(|| start.add(column * depth))
                    });
                } else {
                    panels.pack_rows(simd, panel, (depth, *columns), |k| Some(start.add(k * columns)));
                }
            }
        }
    }
}

struct Product<'a, E: Real> {
    matrix: &'a PackedMatrix<E>,
    left: &'a [E],
    rows: usize,
    sums: SharedPtr<E>,
}

impl<E: Real> Kernel for Product<'_, E> {
    /// # Safety
    /// `left` must have the rows and the depth of the matrix, and `sums` the rows and its columns.
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, worker: Worker<'_>) {
        let PackedMatrix { panels, columns, .. } = self.matrix;
        let (depth, columns) = (panels.depth(), *columns);
        let list: Vec<Panel> = panels.share(worker).collect();
        // SAFETY: the caller's promise; workers have different columns.
        unsafe {
            let left = |row: usize| LeftRows::new(self.left.as_ptr().add(row * depth), depth);
            let place = |row: usize, panel: Panel| {
                let first = panels.first_column(panel);
                (self.sums.at(row * columns + first), panels.width(panel).min(columns - first))
            };
            let start = |row: usize, panel: Panel, tile: *mut E| {
                let (from, count) = place(row, panel);
                Vector::<S, E>::clear(simd, tile, panels.width(panel));
                Vector::<S, E>::copy(simd, from, tile, count);
            };
            let done = |row: usize, panel: Panel, tile: *mut E| {
                let (to, count) = place(row, panel);
                Vector::<S, E>::copy(simd, tile, to, count);
            };
            dense(simd, 0..self.rows, (left, usize::MAX), panels, &list, start, done);
        }
    }
}
