//! Packed recurrent weights.

use pulp::{Simd, WithSimd};

use super::super::padding::weight_row;
use super::super::product::{Operand, PanelShape, Panels};
use super::super::simd::{Float, Isa};
use super::super::workers::{Kernel, Worker, run_kernel};
use super::shape::SequenceShape;
use crate::kernels::cell_kind::CellKind;

/// The right-hand sides of the products of a step.
pub(crate) struct StepPanels<O> {
    /// The right-hand side of the recurrent product.
    pub(crate) hidden: Panels<O>,
    /// The right-hand side of the projection, or of the second recurrent product.
    pub(crate) second: Option<Panels<O>>,
}

/// The weights of the products of a step.
#[derive(Clone, Copy)]
pub(super) struct StepWeights<'a, E> {
    /// The rows of the gates of the first product, each of `output` elements.
    pub(super) first: &'a [E],
    /// The projection, (output, hidden), or the rows of the last gate for a cell with a second product.
    pub(super) second: Option<&'a [E]>,
}

impl<'a, E> StepWeights<'a, E> {
    pub(super) fn new(
        has_second_product: bool,
        shape: SequenceShape,
        weight: &'a [E],
        projection: Option<&'a [E]>,
    ) -> Self {
        match has_second_product {
            true => {
                let (first, second) = weight.split_at((shape.gates - 1) * shape.hidden * shape.output);
                Self { first, second: Some(second) }
            }
            false => Self { first: weight, second: projection },
        }
    }
}

/// Recurrent weights, packed for the forward pass.
pub(crate) struct PackedRecurrence<O> {
    kind: CellKind,
    pub(super) panels: StepPanels<O>,
}

impl<O: Operand> PackedRecurrence<O> {
    /// Pack `weight`, (gates * hidden, output), and the projection, (output, hidden), if any, divided among
    /// `workers`.
    ///
    /// # Panics
    /// If a slice does not have the size of `shape`.
    pub(crate) fn new(
        isa: Isa,
        kind: CellKind,
        shape: SequenceShape,
        weight: &[O::Sum],
        projection: Option<&[O::Sum]>,
        workers: usize,
    ) -> Self {
        let SequenceShape { hidden, output, gates, .. } = shape;
        assert_eq!(weight.len(), gates * hidden * output, "recurrent weights for {shape:?}");
        let projection_len = projection.map_or(hidden * output, <[O::Sum]>::len);
        assert_eq!(projection_len, hidden * output, "projection for {shape:?}");
        let weights = StepWeights::new(kind.has_second_product(), shape, weight, projection);
        let packed =
            Self::uninitialised(kind, shape, weights.second.is_some(), isa.lanes::<O::Sum>(), workers);
        // SAFETY: the panels are new, so no other thread uses them.
        unsafe { run_kernel(isa, 1, &RecurrencePacker { packed: &packed, shape, weights }) };
        packed
    }

    /// Make room for the weights. Each worker then packs its share.
    pub(super) fn uninitialised(
        kind: CellKind,
        shape: SequenceShape,
        has_second: bool,
        lanes: usize,
        workers: usize,
    ) -> Self {
        let hidden = Panels::new(hidden_panels(shape, lanes), workers);
        let second = has_second.then(|| Panels::new(second_panels(shape, lanes), workers));
        Self { kind, panels: StepPanels { hidden, second } }
    }

    /// Return the panels of both products.
    pub(crate) fn panels(&self) -> &StepPanels<O> {
        &self.panels
    }

    /// Return whether these are packed weights of such cells of `shape`, with a projection if `projects`, for vectors
    /// of `lanes`. Cells that differ in their nonlinearity alone share a packing.
    pub(crate) fn fits(&self, kind: CellKind, shape: SequenceShape, projects: bool, lanes: usize) -> bool {
        let has_second = projects || kind.has_second_product();
        std::mem::discriminant(&self.kind) == std::mem::discriminant(&kind)
            && self.panels.hidden.shape() == hidden_panels(shape, lanes)
            && self.panels.second.as_ref().map(Panels::shape)
                == has_second.then(|| second_panels(shape, lanes))
    }

    /// Pack one worker's share.
    ///
    /// # Safety
    /// No other thread may use this worker's panels meanwhile.
    #[inline(always)]
    pub(super) unsafe fn pack<S: Simd>(
        &self,
        simd: S,
        shape: SequenceShape,
        weights: StepWeights<'_, O::Sum>,
        worker: Worker<'_>,
    ) {
        let SequenceShape { hidden, output, gates, .. } = shape;
        let StepPanels { hidden: hidden_panels, second: second_panels } = &self.panels;
        let column = |column| {
            let row = weight_row(column, gates, hidden, O::Sum::lanes::<S>())?;
            Some(weights.first.get(row * output..)?.get(..output)?.as_ptr())
        };
        // SAFETY: the caller's promise; all rows are cut to the depth of their panels.
        unsafe {
            for panel in hidden_panels.share(worker) {
                hidden_panels.pack_transposed(simd, panel, column);
            }
            for (panels, second) in second_panels.iter().zip(weights.second) {
                let column = |row: usize| Some(second.get(row * hidden..)?.get(..hidden)?.as_ptr());
                for panel in panels.share(worker) {
                    panels.pack_transposed(simd, panel, column);
                }
            }
        }
    }
}

/// Return the panels of the recurrent product. Gates that belong to a second product have zeros here.
fn hidden_panels(shape: SequenceShape, lanes: usize) -> PanelShape {
    let groups = shape.hidden.div_ceil(lanes);
    PanelShape { depth: shape.output, groups, group_vectors: shape.gates, lanes }
}

/// Return the panels of the projection or of the second product.
fn second_panels(shape: SequenceShape, lanes: usize) -> PanelShape {
    PanelShape { depth: shape.hidden, groups: shape.output.div_ceil(lanes), group_vectors: 1, lanes }
}

struct RecurrencePacker<'a, O: Operand> {
    packed: &'a PackedRecurrence<O>,
    shape: SequenceShape,
    weights: StepWeights<'a, O::Sum>,
}

impl<O: Operand> Kernel for RecurrencePacker<'_, O> {
    fn run_as<W: WithSimd<Output = ()>>(isa: Isa, part: W) {
        O::run_as(isa, part);
    }

    /// # Safety
    /// No other thread may use the panels meanwhile.
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, worker: Worker<'_>) {
        // SAFETY: the caller's promise.
        unsafe { self.packed.pack(simd, self.shape, self.weights, worker) };
    }
}
