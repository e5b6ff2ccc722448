//! The product of a linear layer on plain matrices.

use pulp::{Simd, WithSimd};

use super::super::memory::{SharedPtr, filled};
use super::super::simd::{Isa, Vector};
use super::super::tuning::PARALLEL_PROJECTION_MULTIPLICATIONS;
use super::super::workers::{Kernel, Worker, run_kernel, threads_for};
use super::dense::dense;
use super::operand::{Operand, SumVector};
use super::operands::Operands;
use super::panels::{Panel, PanelShape, Panels};

/// Compute `xs weight^T`, (rows, outputs), of `xs` (rows, features) and `weight` (outputs, features).
///
/// # Panics
/// If a slice does not have its size.
pub(crate) fn linear<O: Operand>(
    isa: Isa,
    xs: &[O::Sum],
    weight: &[O::Sum],
    (rows, features, outputs): (usize, usize, usize),
) -> Vec<O::Sum> {
    assert_eq!((xs.len(), weight.len()), (rows * features, outputs * features), "sizes of a linear layer");
    let lanes = isa.lanes::<O::Sum>();
    let workers = threads_for(rows * features * outputs, PARALLEL_PROJECTION_MULTIPLICATIONS);
    let shape = PanelShape { depth: features, groups: outputs.div_ceil(lanes), group_vectors: 1, lanes };
    let panels = Panels::<O>::new(shape, workers);
    let xs = Operands::new(xs, features);
    // SAFETY: sizes were checked above, and the kernel writes all outputs of all rows.
    unsafe {
        filled(rows * outputs, |ys| {
            let kernel = Linear { xs: &xs, weight, panels: &panels, size: (rows, outputs), ys };
            run_kernel(isa, workers, &kernel);
        })
    }
}

struct Linear<'a, O: Operand> {
    xs: &'a Operands<'a, O>,
    weight: &'a [O::Sum],
    panels: &'a Panels<O>,
    /// Rows and outputs.
    size: (usize, usize),
    ys: SharedPtr<O::Sum>,
}

impl<O: Operand> Kernel for Linear<'_, O> {
    fn run_as<W: WithSimd<Output = ()>>(isa: Isa, part: W) {
        O::run_as(isa, part);
    }

    /// # Safety
    /// The slices must have the size of the product, and the panels that of the weights.
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, worker: Worker<'_>) {
        let Self { xs, weight, panels, size: (rows, outputs), ys } = *self;
        let (features, list) = (panels.depth(), panels.share(worker).collect::<Vec<_>>());
        let column =
            |output: usize| (output < outputs).then(|| weight[output * features..][..features].as_ptr());
        // SAFETY: the caller's promise. Workers pack and write different outputs, and read all rows after a barrier.
        unsafe {
            xs.round(simd, worker);
            for &panel in &list {
                panels.pack_transposed(simd, panel, column);
            }
            worker.wait();
            let start = |_: usize, panel: Panel, tile: *mut O::Sum| {
                SumVector::<S, O>::clear(simd, tile, panels.width(panel));
            };
            let done = |row: usize, panel: Panel, tile: *mut O::Sum| {
                let first = panels.first_column(panel);
                let count = panels.width(panel).min(outputs - first);
                Vector::<S, O::Sum>::copy(simd, tile, ys.at(row * outputs + first), count);
            };
            dense(simd, 0..rows, (|row| xs.rows(row, 1), usize::MAX), panels, &list, start, done);
        }
    }
}
