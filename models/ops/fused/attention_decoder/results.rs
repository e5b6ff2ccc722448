//! The results of the forward pass, whole and divided among workers.

use std::ops::Range;

use super::sizes::DecoderSizes;
use super::steps::RowParts;
use crate::kernels::cpu::Real;

/// The results of the forward pass, which the backward pass reads, in the order (batch, target, features).
pub(super) struct Results<E> {
    /// The numbers that the backward pass of the cell needs.
    pub(super) saved: Vec<E>,
    /// The hidden state before each step, (.., hidden).
    pub(super) h: Vec<E>,
    /// The cell state before each step; empty for a cell that has none.
    pub(super) c: Vec<E>,
    /// The attentional state before each step, (.., hidden).
    pub(super) attentional: Vec<E>,
    /// The attention weights, (.., source).
    pub(super) weights: Vec<E>,
    /// The weighted sum of the values and the hidden state after each step, (.., width + hidden).
    pub(super) context_and_h: Vec<E>,
    /// The hidden state after the last step, (batch, hidden).
    pub(super) last_h: Vec<E>,
    /// The cell state likewise; empty for a cell that has none.
    pub(super) last_c: Vec<E>,
}

/// A worker's share of the results, and of the attentional states after each step.
pub(super) struct ResultsShare<'a, E> {
    pub(super) rows: Range<usize>,
    pub(super) saved: &'a mut [E],
    pub(super) h: &'a mut [E],
    pub(super) c: &'a mut [E],
    pub(super) attentional: &'a mut [E],
    pub(super) weights: &'a mut [E],
    pub(super) context_and_h: &'a mut [E],
    pub(super) last_h: &'a mut [E],
    pub(super) last_c: &'a mut [E],
    pub(super) ys: &'a mut [E],
}

impl<E: Real> Results<E> {
    pub(super) fn new(sizes: &DecoderSizes, saved: usize, has_c: bool) -> Self {
        let DecoderSizes { batch, target, source, hidden, width, .. } = *sizes;
        let zeros = |features: usize| vec![E::zero(); batch * target * features];
        Self {
            saved: zeros(saved),
            h: zeros(hidden),
            c: zeros(if has_c { hidden } else { 0 }),
            attentional: zeros(hidden),
            weights: zeros(source),
            context_and_h: zeros(width + hidden),
            last_h: vec![E::zero(); batch * hidden],
            last_c: vec![E::zero(); if has_c { batch * hidden } else { 0 }],
        }
    }

    /// Divide the results and `ys`, (batch, target, hidden), among workers.
    pub(super) fn divide<'a>(
        &'a mut self,
        sizes: &DecoderSizes,
        ys: &'a mut [E],
    ) -> Vec<ResultsShare<'a, E>> {
        let shares = sizes.shares();
        let rows = shares.first().map_or(0, Range::len);
        let Self { saved, h, c, attentional, weights, context_and_h, last_h, last_c } = self;
        let mut parts = [saved, h, c, attentional, weights, context_and_h, last_h, last_c]
            .map(|elements| RowParts::new(elements, sizes.batch, rows));
        let mut ys = RowParts::new(ys, sizes.batch, rows);
        let share = |rows| {
            let [saved, h, c, attentional, weights, context_and_h, last_h, last_c] =
                parts.each_mut().map(RowParts::take);
            let ys = ys.take();
            ResultsShare { rows, saved, h, c, attentional, weights, context_and_h, last_h, last_c, ys }
        };
        shares.into_iter().map(share).collect()
    }
}
