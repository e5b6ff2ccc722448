//! The options of a sequence: lengths, direction, zoneout and recurrent dropout.

use std::sync::Arc;

use pulp::Simd;

use super::super::active_steps::ActiveSteps;
use super::super::simd::{Float, Vector};
use super::shape::SequenceShape;
use crate::kernels::time_step;

/// Sizes and options of a sequence.
pub(crate) struct Sequence<E> {
    pub(crate) shape: SequenceShape,
    /// The steps within the lengths of the sequences.
    pub(crate) active: Arc<ActiveSteps>,
    /// Whether the recurrence runs from the last step to the first.
    pub(crate) reverse: bool,
    pub(crate) zoneout: Zoneout<E>,
    /// Recurrent dropout: factors of the hidden state as operand of the product, (batch, padded output).
    pub(crate) recurrent_mask: Option<Vec<E>>,
}

/// Zoneout: the share of the old state in the new one.
pub(crate) enum Zoneout<E> {
    /// No zoneout.
    Off,
    /// The same share for all units, as outside training.
    Mix(E),
    /// 1 or 0 per unit and step: for the hidden state in the layout of outputs, and for the cell state in that of
    /// units.
    Masks(Vec<E>, Vec<E>),
}

impl<E: Float> Sequence<E> {
    /// Return the time step at `position` in the order of the recurrence.
    pub(super) fn time_step(&self, position: usize) -> usize {
        time_step(position, self.shape.time, self.reverse)
    }

    /// Return the zoneout of one vector of the hidden state; `index` is that of the layout of outputs.
    ///
    /// # Safety
    /// `index` must be within the masks, if any.
    #[inline(always)]
    pub(super) unsafe fn retained_h<S: Simd>(&self, simd: S, index: usize) -> Retained<S, E> {
        // SAFETY: the caller's promise.
        unsafe { self.retained(simd, index, |h, _| h) }
    }

    /// Return the zoneout of one vector of the cell state; `index` is that of the layout of units.
    ///
    /// # Safety
    /// As [`Sequence::retained_h`].
    #[inline(always)]
    pub(super) unsafe fn retained_c<S: Simd>(&self, simd: S, index: usize) -> Retained<S, E> {
        // SAFETY: the caller's promise.
        unsafe { self.retained(simd, index, |_, c| c) }
    }

    /// Return the zoneout of one vector. `mask` picks one of the masks, of the hidden state and of the cell state.
    ///
    /// # Safety
    /// `index` must be within that mask, if there is one.
    #[inline(always)]
    unsafe fn retained<S: Simd>(
        &self,
        simd: S,
        index: usize,
        mask: impl for<'a> FnOnce(&'a [E], &'a [E]) -> &'a [E],
    ) -> Retained<S, E> {
        match &self.zoneout {
            Zoneout::Off => Retained::None,
            Zoneout::Mix(share) => Retained::Mix(Vector::splat(simd, *share)),
            // SAFETY: the caller's promise.
            Zoneout::Masks(h, c) => {
                Retained::Mask(unsafe { Vector::load(simd, mask(h, c).as_ptr().add(index)) })
            }
        }
    }

    /// Multiply `h`, an operand of the recurrent product or the gradient of one, by the recurrent mask.
    ///
    /// # Safety
    /// `index` must be within (batch, padded output).
    #[inline(always)]
    pub(super) unsafe fn masked<S: Simd>(&self, simd: S, h: Vector<S, E>, index: usize) -> Vector<S, E> {
        match &self.recurrent_mask {
            // SAFETY: the caller's promise.
            Some(mask) => h * unsafe { Vector::load(simd, mask.as_ptr().add(index)) },
            None => h,
        }
    }
}

/// Zoneout of one vector of units.
#[derive(Clone, Copy)]
pub(super) enum Retained<S: Simd, E: Float> {
    /// No zoneout.
    None,
    /// The share of the old state in the new one.
    Mix(Vector<S, E>),
    /// 1 for each unit that keeps its old state, else 0.
    Mask(Vector<S, E>),
}

impl<S: Simd, E: Float> Retained<S, E> {
    /// Compute the state after zoneout. A mask selects, so that an infinity or NaN in the state that is not selected
    /// has no effect.
    #[inline(always)]
    pub(super) fn blend(self, old: Vector<S, E>, new: Vector<S, E>) -> Vector<S, E> {
        match self {
            Self::None => new,
            Self::Mix(share) => share.mix(old, new),
            Self::Mask(mask) => mask.if_greater(mask.zeroed(), old, new),
        }
    }

    /// Compute the gradients of the arguments of [`Retained::blend`], from that of its result: of `old`, if it has
    /// one, and of `new`.
    #[inline(always)]
    pub(super) fn blend_backward(self, gradient: Vector<S, E>) -> (Option<Vector<S, E>>, Vector<S, E>) {
        match self {
            Self::None => (None, gradient),
            Self::Mix(share) => (Some(gradient * share), gradient * share.complement()),
            Self::Mask(mask) => {
                let zero = mask.zeroed();
                (Some(mask.if_greater(zero, gradient, zero)), mask.if_greater(zero, zero, gradient))
            }
        }
    }
}
