//! The entry point, the buffers, and the order of the stages.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::super::memory::filled;
use super::super::product::{GradientOperand, Operand, Operands, PanelShape, Panels};
use super::super::simd::{Float, Isa};
use super::super::tuning::PARALLEL_PROJECTION_MULTIPLICATIONS;
use super::super::workers::{Kernel, Worker, run_kernel, threads_for};
use super::shape::LossShape;
use super::work::{LossBuffers, LossGradientPtrs, LossWork};

/// The inputs of [`cross_entropy`].
#[derive(Clone, Copy)]
pub(crate) struct CrossEntropyInputs<'a, E> {
    /// (rows, features).
    pub(crate) rows: &'a [E],
    /// (classes, features).
    pub(crate) weight: &'a [E],
    /// (classes).
    pub(crate) bias: &'a [E],
    /// (rows), each below the number of classes.
    pub(crate) targets: &'a [u32],
    /// The share of a target's probability that is spread over all classes.
    pub(crate) smoothing: f64,
}

impl<E> CrossEntropyInputs<'_, E> {
    /// Return the sizes, for vectors of `lanes`.
    ///
    /// # Panics
    /// If the sizes of the slices disagree, or a target is not below the number of classes.
    fn shape(&self, lanes: usize) -> LossShape {
        let (rows, classes) = (self.targets.len(), self.bias.len());
        let features = self.weight.len() / classes.max(1);
        let sizes = (self.rows.len(), self.weight.len());
        assert_eq!(sizes, (rows * features, classes * features), "rows and weights");
        let are_classes = self.targets.iter().all(|&target| (target as usize) < classes);
        assert!(are_classes, "a target is none of {classes} classes");
        LossShape::new(rows, features, classes, lanes)
    }
}

/// Gradients of the mean loss, in the sizes of the inputs.
pub(crate) struct CrossEntropyGradients<E> {
    pub(crate) rows: Vec<E>,
    pub(crate) weight: Vec<E>,
    pub(crate) bias: Vec<E>,
}

/// The results of [`cross_entropy`].
pub(crate) struct CrossEntropyOutputs<E> {
    /// `-log p(target)` of each row.
    pub(crate) losses: Vec<E>,
    /// Rows whose target has the highest score. Of several highest scores the first class counts; with gradients,
    /// any of them.
    pub(crate) correct: usize,
    /// If requested.
    pub(crate) gradients: Option<CrossEntropyGradients<E>>,
}

impl<E: Float> CrossEntropyOutputs<E> {
    /// Return the sum of the losses, in f64 and in the order of the rows.
    pub(crate) fn sum(&self) -> f64 {
        self.losses.iter().map(|&loss| loss.into()).sum()
    }
}

/// Compute the losses of all rows and, if requested, the gradients of their mean.
///
/// # Panics
/// If the sizes of the slices disagree, or a target is not below the number of classes.
pub(crate) fn cross_entropy<O: GradientOperand>(
    isa: Isa,
    inputs: &CrossEntropyInputs<'_, O::Sum>,
    wants_gradients: bool,
) -> CrossEntropyOutputs<O::Sum> {
    // SAFETY: the promise of `compute`.
    compute::<O>(isa, inputs, wants_gradients, |workers, work| unsafe { run_kernel(isa, workers, work) })
}

/// Compute the losses of all rows.
///
/// # Panics
/// As [`cross_entropy`].
pub(crate) fn losses<O: Operand>(
    isa: Isa,
    inputs: &CrossEntropyInputs<'_, O::Sum>,
) -> CrossEntropyOutputs<O::Sum> {
    // SAFETY: the promise of `compute`.
    compute::<O>(isa, inputs, false, |workers, work| unsafe { run_kernel(isa, workers, &Losses(work)) })
}

/// Make the buffers, and call `run` with them and the number of workers. All sizes are those that [`LossWork`] states.
fn compute<O: Operand>(
    isa: Isa,
    inputs: &CrossEntropyInputs<'_, O::Sum>,
    wants_gradients: bool,
    run_work: impl Fn(usize, &LossWork<'_, O>),
) -> CrossEntropyOutputs<O::Sum> {
    let lanes = isa.lanes::<O::Sum>();
    let shape = inputs.shape(lanes);
    let LossShape { rows, features, classes, .. } = shape;
    let workers = threads_for(rows * features * classes, PARALLEL_PROJECTION_MULTIPLICATIONS);
    let panels = |depth, columns: usize| {
        let groups = columns.div_ceil(lanes);
        Panels::<O>::new(PanelShape { depth, groups, group_vectors: 1, lanes }, workers)
    };
    let columns: Vec<_> = shape.sets().map(|set| panels(features, set.len())).collect();
    let operands: Vec<_> =
        shape.sets().filter(|_| wants_gradients).map(|set| panels(set.len(), features)).collect();
    let buffers = LossBuffers::new(shape);
    let weight_operands = Operands::new(inputs.weight, features);
    let run = |gradients| {
        let work = LossWork {
            shape,
            weight: inputs.weight,
            weight_operands: &weight_operands,
            rows: inputs.rows,
            bias: inputs.bias,
            targets: inputs.targets,
            smoothing: inputs.smoothing,
            workers,
            buffers: &buffers,
            columns: &columns,
            operands: &operands,
            gradients,
        };
        run_work(workers, &work); // targets were checked
    };
    let gradients = match wants_gradients {
        true => Some(with_gradients(shape, run)),
        false => {
            run(None);
            None
        }
    };
    // SAFETY: the kernel has written all rows of both.
    let [losses, correct] = unsafe {
        [&buffers.losses, &buffers.correct].map(|buffer| std::slice::from_raw_parts(buffer.at(0), rows))
    };
    CrossEntropyOutputs {
        losses: losses.to_vec(),
        correct: correct.iter().filter(|&&correct| correct > O::Sum::ZERO).count(),
        gradients,
    }
}

/// Run the kernel into new gradients.
fn with_gradients<E: Float>(
    LossShape { rows, features, classes, .. }: LossShape,
    run: impl Fn(Option<LossGradientPtrs<E>>),
) -> CrossEntropyGradients<E> {
    let (mut d_weight, mut d_bias) = (vec![], vec![]);
    // SAFETY: the kernel writes every gradient of every row and class.
    let d_rows = unsafe {
        filled(rows * features, |rows| {
            d_weight = filled(classes * features, |weight| {
                d_bias = filled(classes, |bias| run(Some(LossGradientPtrs { rows, weight, bias })));
            });
        })
    };
    CrossEntropyGradients { rows: d_rows, weight: d_weight, bias: d_bias }
}

impl<O: Operand> LossWork<'_, O> {
    /// Compute the losses of a set; `blocks` are those of the worker. A barrier must follow.
    #[inline(always)]
    unsafe fn losses_of_set<S: Simd>(
        &self,
        simd: S,
        (index, set): (usize, Range<usize>),
        blocks: Range<usize>,
        worker: Worker<'_>,
    ) {
        let shape = self.shape;
        // SAFETY: as stated for `LossWork`.
        unsafe {
            worker.wait();
            // Block by block, while its scores are in the cache.
            for block in blocks {
                self.score(simd, index, shape.classes_of(block));
                self.save_target_scores(set.clone(), shape.classes_of(block));
                self.exponentials(simd, set.clone(), block);
            }
            worker.wait();
            if worker.index == 0 {
                self.reduce(set);
            }
        }
    }
}

/// The kernel without gradients.
struct Losses<'a, O: Operand>(&'a LossWork<'a, O>);

impl<O: Operand> Kernel for Losses<'_, O> {
    fn run_as<W: WithSimd<Output = ()>>(isa: Isa, part: W) {
        O::run_as(isa, part);
    }

    /// # Safety
    /// As stated for [`LossWork`].
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, worker: Worker<'_>) {
        let work = self.0;
        let blocks = worker.share(work.shape.blocks());
        // SAFETY: the caller's promise.
        unsafe {
            work.weight_operands.round(simd, worker);
            for (index, set) in work.shape.sets().enumerate() {
                work.pack(simd, index, set.clone(), worker);
                work.losses_of_set(simd, (index, set), blocks.clone(), worker);
                worker.wait();
            }
        }
    }
}

impl<O: GradientOperand> Kernel for LossWork<'_, O> {
    fn run_as<W: WithSimd<Output = ()>>(isa: Isa, part: W) {
        O::run_as(isa, part);
    }

    /// # Safety
    /// As stated for [`LossWork`].
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, worker: Worker<'_>) {
        let shape = self.shape;
        let blocks = worker.share(shape.blocks());
        // SAFETY: the caller's promise.
        unsafe {
            if let Some(gradients) = self.gradients.as_ref().filter(|_| shape.rows == 0) {
                blocks.for_each(|block| self.clear_gradients(shape.classes_of(block), gradients));
                return;
            }
            self.weight_operands.round(simd, worker);
            for (index, set) in shape.sets().enumerate() {
                self.pack(simd, index, set.clone(), worker);
                self.pack_operands(simd, index, set.clone(), worker);
                self.losses_of_set(simd, (index, set.clone()), blocks.clone(), worker);
                if let Some(gradients) = &self.gradients {
                    worker.wait();
                    for block in blocks.clone() {
                        self.gradient_of_scores(simd, set.clone(), block, gradients);
                        self.gradient_of_weights(simd, index, shape.classes_of(block), gradients);
                    }
                    worker.wait();
                    self.gradient_of_rows(simd, set, worker, gradients);
                }
                worker.wait();
            }
        }
    }
}
