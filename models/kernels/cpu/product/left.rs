//! Strided views of left-hand sides.

/// Rows of a left-hand side. Element `k` of row `r` is at
///
/// ```text
/// start + r * row_stride + (k / run) * run_stride + (k % run) * depth_stride
/// ```
///
/// Plain rows have a single run; the rows of a [`SequenceLayout`](super::SequenceLayout) have one run per
/// vector of units.
#[derive(Clone, Copy)]
pub(crate) struct LeftRows<T> {
    pub(crate) start: *const T,
    pub(crate) row_stride: usize,
    pub(crate) depth_stride: usize,
    /// `usize::MAX` for a single run.
    pub(crate) run: usize,
    pub(crate) run_stride: usize,
    /// Whether elements that do not change a product follow those of every row, up to the next multiple of
    /// [`Operand::DEPTH_MULTIPLE`]: zeros, or any where the panel has zeros.
    ///
    /// [`Operand::DEPTH_MULTIPLE`]: super::Operand::DEPTH_MULTIPLE
    pub(crate) is_padded: bool,
}

impl<T> LeftRows<T> {
    /// Make a view of rows of consecutive elements.
    pub(crate) fn new(start: *const T, row_stride: usize) -> Self {
        Self { start, row_stride, depth_stride: 1, run: usize::MAX, run_stride: 0, is_padded: false }
    }

    /// Make a view of the rows of a transposed matrix: consecutive rows are neighbours in memory.
    pub(crate) fn transposed(start: *const T, depth_stride: usize) -> Self {
        Self { start, row_stride: 1, depth_stride, run: usize::MAX, run_stride: 0, is_padded: false }
    }

    /// Return the view from row `row` and depth `depth` on; `depth` is a multiple of the run.
    ///
    /// # Safety
    /// That row and depth must exist.
    pub(crate) unsafe fn offset(self, row: usize, depth: usize) -> Self {
        debug_assert!(
            self.run == usize::MAX || depth.is_multiple_of(self.run),
            "{depth} of runs of {}",
            self.run
        );
        let along = if self.run == usize::MAX {
            depth * self.depth_stride
        } else {
            depth / self.run * self.run_stride
        };
        // SAFETY: the caller's promise.
        Self { start: unsafe { self.start.add(row * self.row_stride + along) }, ..self }
    }
}
