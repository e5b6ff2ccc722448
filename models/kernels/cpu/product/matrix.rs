//! Products of plain matrices: with a matrix that is packed once, and sums of outer products.

use pulp::{Simd, WithSimd};

use super::super::memory::{SharedPtr, filled};
use super::super::simd::{Float, Isa, Vector};
use super::super::tuning::PARALLEL_STEP_MULTIPLICATIONS;
use super::super::workers::{Kernel, Worker, run_kernel, threads, threads_for};
use super::dense::dense;
use super::operand::{GradientOperand, Operand};
use super::operands::Operands;
use super::outer::{OuterLeft, outer};
use super::panels::{Panel, PanelShape, Panels};

/// A right-hand side of products, packed.
pub(crate) struct PackedMatrix<O> {
    isa: Isa,
    panels: Panels<O>,
    columns: usize,
}

impl<O: GradientOperand> PackedMatrix<O> {
    /// Pack a matrix of `depth` rows, (depth, columns).
    ///
    /// # Panics
    /// If the matrix does not have the size.
    pub(crate) fn new(isa: Isa, matrix: &[O::Sum], size: (usize, usize)) -> Self {
        let packed = Self::empty(isa, matrix, size);
        let packer = RowPacker { packed: &packed, matrix };
        // SAFETY: the panels are new, and the size of the matrix was checked.
        unsafe { run_kernel(isa, packing_threads(matrix.len()), &packer) };
        packed
    }
}

/// Return the number of threads that pack so many elements.
fn packing_threads(elements: usize) -> usize {
    threads_for(elements, PARALLEL_STEP_MULTIPLICATIONS)
}

impl<O: Operand> PackedMatrix<O> {
    /// Pack the transpose of a matrix (columns, depth).
    ///
    /// # Panics
    /// If the matrix does not have the size.
    pub(crate) fn transposed(isa: Isa, matrix: &[O::Sum], (columns, depth): (usize, usize)) -> Self {
        let packed = Self::empty(isa, matrix, (depth, columns));
        let packer = TransposePacker { packed: &packed, matrix };
        // SAFETY: the panels are new, and the size of the matrix was checked.
        unsafe { run_kernel(isa, packing_threads(matrix.len()), &packer) };
        packed
    }

    /// Return the panels alone.
    pub(crate) fn into_panels(self) -> Panels<O> {
        self.panels
    }

    /// Make panels for a matrix, which is not packed yet.
    fn empty(isa: Isa, matrix: &[O::Sum], (depth, columns): (usize, usize)) -> Self {
        assert_eq!(matrix.len(), depth * columns, "a matrix of {depth} by {columns}");
        let lanes = isa.lanes::<O::Sum>();
        let shape = PanelShape { depth, groups: columns.div_ceil(lanes), group_vectors: 1, lanes };
        Self { isa, panels: Panels::new(shape, threads()), columns }
    }

    /// Compute `left * matrix`, (rows, columns), of `left` (rows, depth).
    ///
    /// # Panics
    /// If the sizes disagree, or the depth is 0.
    pub(crate) fn product(&self, left: &[O::Sum]) -> Vec<O::Sum> {
        self.product_within(left, O::Sum::ZERO)
    }

    /// Compute the product as [`PackedMatrix::product`]. See [`Operand::round_row`] for `limit`.
    ///
    /// # Panics
    /// As [`PackedMatrix::product`].
    pub(crate) fn product_within(&self, left: &[O::Sum], limit: O::Sum) -> Vec<O::Sum> {
        let mut product = vec![O::Sum::ZERO; left.len() / self.panels.depth() * self.columns];
        self.add_product_within(left, limit, &mut product);
        product
    }

    /// Compute `sums += left * matrix`, of `left` (rows, depth) and `sums` (rows, columns).
    ///
    /// # Panics
    /// If the sizes disagree.
    pub(crate) fn add_product(&self, left: &[O::Sum], sums: &mut [O::Sum]) {
        self.add_product_within(left, O::Sum::ZERO, sums);
    }

    /// Compute the sums as [`PackedMatrix::add_product`]. See [`Operand::round_row`] for `limit`.
    ///
    /// # Panics
    /// As [`PackedMatrix::add_product`].
    fn add_product_within(&self, left: &[O::Sum], limit: O::Sum, sums: &mut [O::Sum]) {
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
        let left = Operands::new(left, depth).within(limit);
        let kernel = MatrixProduct { matrix: self, left: &left, rows, sums: SharedPtr::new(sums) };
        let limit = threads_for(rows * depth * columns, PARALLEL_STEP_MULTIPLICATIONS);
        // SAFETY: sizes were checked above.
        unsafe { run_kernel(self.isa, limit, &kernel) };
    }
}

/// The kernel that packs a matrix (depth, columns).
struct RowPacker<'a, O: GradientOperand> {
    packed: &'a PackedMatrix<O>,
    matrix: &'a [O::Sum],
}

impl<O: GradientOperand> Kernel for RowPacker<'_, O> {
    fn run_as<W: WithSimd<Output = ()>>(isa: Isa, part: W) {
        O::run_as(isa, part);
    }

    /// # Safety
    /// The matrix must have the size of the panels, which no other thread may use meanwhile.
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, worker: Worker<'_>) {
        let PackedMatrix { panels, columns, .. } = self.packed;
        let size = (panels.depth(), *columns);
        for panel in panels.share(worker) {
            // SAFETY: rows within the matrix; each worker has its own panels.
            unsafe { panels.pack_rows(simd, panel, size, |k| Some(self.matrix.as_ptr().add(k * columns))) };
        }
    }
}

/// The kernel that packs the transpose of a matrix (columns, depth).
struct TransposePacker<'a, O: Operand> {
    packed: &'a PackedMatrix<O>,
    matrix: &'a [O::Sum],
}

impl<O: Operand> Kernel for TransposePacker<'_, O> {
    fn run_as<W: WithSimd<Output = ()>>(isa: Isa, part: W) {
        O::run_as(isa, part);
    }

    /// # Safety
    /// As [`RowPacker::run`].
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, worker: Worker<'_>) {
        let PackedMatrix { panels, columns, .. } = self.packed;
        let depth = panels.depth();
        let column =
            |column: usize| (column < *columns).then(|| self.matrix[column * depth..][..depth].as_ptr());
        for panel in panels.share(worker) {
            // SAFETY: columns within the matrix; each worker has its own panels.
            unsafe { panels.pack_transposed(simd, panel, column) };
        }
    }
}

struct MatrixProduct<'a, O: Operand> {
    matrix: &'a PackedMatrix<O>,
    left: &'a Operands<'a, O>,
    rows: usize,
    sums: SharedPtr<O::Sum>,
}

impl<O: Operand> Kernel for MatrixProduct<'_, O> {
    fn run_as<W: WithSimd<Output = ()>>(isa: Isa, part: W) {
        O::run_as(isa, part);
    }

    /// # Safety
    /// `left` must have the rows and the depth of the matrix, and `sums` the rows and its columns.
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, worker: Worker<'_>) {
        let PackedMatrix { panels, columns, .. } = self.matrix;
        let columns = *columns;
        let list: Vec<Panel> = panels.share(worker).collect();
        // SAFETY: the caller's promise; workers round different rows, read them after the barrier, and have different
        // columns.
        unsafe {
            self.left.round(simd, worker);
            if !O::IS_SUM {
                worker.wait();
            }
            let left = |row: usize| self.left.rows(row, 1);
            let place = |row: usize, panel: Panel| {
                let first = panels.first_column(panel);
                (self.sums.at(row * columns + first), panels.width(panel).min(columns - first))
            };
            let start = |row: usize, panel: Panel, tile: *mut O::Sum| {
                let (from, count) = place(row, panel);
                Vector::<S, O::Sum>::clear(simd, tile, panels.width(panel));
                Vector::<S, O::Sum>::copy(simd, from, tile, count);
            };
            let done = |row: usize, panel: Panel, tile: *mut O::Sum| {
                let (to, count) = place(row, panel);
                Vector::<S, O::Sum>::copy(simd, tile, to, count);
            };
            dense(simd, 0..self.rows, (left, |_| usize::MAX), panels, &list, start, done);
        }
    }
}

/// Compute the sum over rows of the outer products of `left`, (rows, n), and `right`, (rows, m): `left^T right`, (n,
/// m). It is the gradient of a weight matrix from those of the outputs and the inputs.
///
/// # Panics
/// If the sizes disagree.
pub(crate) fn outer_products<O: GradientOperand>(
    isa: Isa,
    (left, n): (&[O::Sum], usize),
    (right, m): (&[O::Sum], usize),
) -> Vec<O::Sum> {
    if n == 0 || m == 0 {
        return vec![];
    }
    let rows = left.len() / n;
    assert_eq!((left.len(), right.len()), (rows * n, rows * m), "outer products of {n} by {m}");
    let limit = threads_for(rows * n * m, PARALLEL_STEP_MULTIPLICATIONS);
    let lanes = isa.lanes::<O::Sum>();
    let shape = PanelShape { depth: rows, groups: m.div_ceil(lanes), group_vectors: 1, lanes };
    let panels = Panels::<O>::with_max_vectors(O::OUTER_VECTORS, shape, limit);
    let operands = Operands::new(left, n);
    // SAFETY: sizes were checked above; `outer` reaches every row of the result, and writes all its columns.
    unsafe {
        filled(n * m, |sums| {
            let kernel = OuterProducts { left: &operands, n, right, m, panels: &panels, sums };
            run_kernel(isa, limit, &kernel);
        })
    }
}

struct OuterProducts<'a, O: GradientOperand> {
    left: &'a Operands<'a, O>,
    n: usize,
    right: &'a [O::Sum],
    m: usize,
    /// Panels of the right side.
    panels: &'a Panels<O>,
    sums: SharedPtr<O::Sum>,
}

impl<O: GradientOperand> Kernel for OuterProducts<'_, O> {
    fn run_as<W: WithSimd<Output = ()>>(isa: Isa, part: W) {
        O::run_as(isa, part);
    }

    /// # Safety
    /// Both sides must have the rows of the panels, and `sums` n by m elements.
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, worker: Worker<'_>) {
        let Self { left, n, right, m, panels, sums } = *self;
        // SAFETY: the caller's promise. Workers round different rows and pack different panels, read both after the
        // barrier, and write different rows of the result.
        unsafe {
            left.round(simd, worker);
            let row = |k: usize| Some(right.as_ptr().add(k * m));
            for panel in panels.share(worker) {
                panels.pack_rows(simd, panel, (panels.depth(), m), row);
            }
            worker.wait();
            let start = left.rows(0, 1).start;
            let stride = left.stride();
            let left =
                OuterLeft { row: |k: usize| start.add(k * stride), vectors: 1, width: n, vector_stride: n };
            outer(simd, worker, left, panels, m, |column| Some(sums.at(column * m)));
        }
    }
}
