//! The arguments and results of both passes.

use std::sync::Arc;

use super::super::active_steps::ActiveSteps;
use super::super::cell::Pointwise;
use super::super::memory::Buffer;
use super::super::product::Operand;
use super::super::project::GateGradients;
use super::super::simd::Float;
use super::plan::Plan;
use super::sequence::{Sequence, Zoneout};
use super::shape::SequenceShape;

/// The arrays that a recurrence reads, besides the input and the [`Sequence`].
#[derive(Clone, Copy)]
pub(crate) struct RecurrenceInputs<'a, E> {
    /// (gates * hidden, output).
    pub(crate) weight: &'a [E],
    /// (batch, output).
    pub(crate) h: &'a [E],
    /// (batch, hidden), for a cell with a cell state.
    pub(crate) c: Option<&'a [E]>,
    /// The recurrent bias, (gates * hidden), unless it is part of the gates.
    pub(crate) bias: Option<&'a [E]>,
    /// (output, hidden).
    pub(crate) projection: Option<&'a [E]>,
}

/// The activations that the backward pass needs. All but the initial state are in sequence layout; beyond the length of
/// a sequence they are unwritten.
pub(crate) struct SavedActivations<E> {
    /// The steps that are written.
    pub(super) active: Arc<ActiveSteps>,
    /// Elements of the vectors of the layouts.
    pub(super) lanes: usize,
    /// The K numbers per unit of [`Pointwise`].
    pub(super) cells: Buffer<E>,
    /// The hidden state after each step.
    pub(super) h: Buffer<E>,
    /// The cell state after each step.
    pub(super) c: Option<Buffer<E>>,
    /// The operand of the projection or of the second product.
    pub(super) second_operand: Option<Buffer<E>>,
    /// The state before the first step, padded.
    pub(super) initial_h: Buffer<E>,
    pub(super) initial_c: Buffer<E>,
}

/// The results of [`forward`](super::forward()).
pub(crate) struct RecurrenceOutputs<E> {
    /// (batch, time, output).
    pub(crate) ys: Vec<E>,
    /// The final state: (batch, output) hidden, then (batch, hidden) cell.
    pub(crate) state: Vec<E>,
    /// The input of [`backward`](super::backward()), if requested.
    pub(crate) saved: Option<SavedActivations<E>>,
}

/// The gradients of what [`forward`](super::forward()) read.
pub(crate) struct RecurrenceGradients<O: Operand> {
    /// The gradient of the input's part of the gates.
    pub(crate) gates: GateGradients<O>,
    pub(crate) weight: Vec<O::Sum>,
    pub(crate) h: Vec<O::Sum>,
    pub(crate) c: Option<Vec<O::Sum>>,
    pub(crate) bias: Option<Vec<O::Sum>>,
    pub(crate) projection: Option<Vec<O::Sum>>,
}

/// Refuse sizes with which a kernel would read or write out of bounds.
///
/// # Panics
/// If a slice does not have the size that the shape demands of it.
pub(super) fn check<E: Float, C: Pointwise<G, K>, const G: usize, const K: usize>(
    sequence: &Sequence<E>,
    inputs: &RecurrenceInputs<'_, E>,
    plan: &Plan,
) {
    let shape = sequence.shape;
    let SequenceShape { batch, time, hidden, output, gates } = shape;
    assert_eq!(gates, G, "gates of {shape:?}");
    assert_eq!(inputs.weight.len(), gates * hidden * output, "recurrent weights for {shape:?}");
    assert_eq!(inputs.h.len(), batch * output, "hidden state for {shape:?}");
    let cells = C::CELL_STATE.then_some(batch * hidden);
    assert_eq!(inputs.c.map(<[E]>::len), cells, "cell state for {shape:?}");
    assert!(inputs.bias.is_none_or(|bias| bias.len() == gates * hidden), "recurrent bias for {shape:?}");
    let fits = inputs.projection.map_or(output == hidden, |weight| weight.len() == output * hidden);
    assert!(fits, "projection for {shape:?}");
    // Only a cell whose pointwise part ignores the old hidden state can have one of another width.
    assert!(inputs.projection.is_none() || C::CELL_STATE, "projection of a cell without cell state");
    assert_eq!(sequence.active.size(), (batch, time), "steps for {shape:?}");
    let mask = plan.h_width() * batch;
    let fits = sequence.recurrent_mask.as_ref().is_none_or(|recurrent_mask| recurrent_mask.len() == mask);
    assert!(fits, "recurrent mask for {shape:?}");
    if let Zoneout::Masks(h, c) = &sequence.zoneout {
        let sizes = (plan.output_layout(shape).len(), plan.unit_layout(shape, 1).len());
        assert_eq!((h.len(), c.len()), sizes, "zoneout masks for {shape:?}");
    }
}
