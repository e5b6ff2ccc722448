//! A linear layer of a stream.

use pulp::Simd;

use super::super::memory::Buffer;
use super::super::padding::padded;
use super::super::product::{LeftRows, Operand, PackedMatrix, Panels, SumVector, TileBuffer, add_product};
use super::super::simd::{Float, Isa};
use super::super::workers::Worker;
use super::layer::StreamStep;
use super::rows::{alternating, tile_rows};

/// A linear layer after the recurrent ones, a decoder for example.
pub(crate) struct StreamLinear<O: Operand> {
    panels: Panels<O>,
    outputs: usize,
    /// Padded.
    bias: Vec<O::Sum>,
    /// The outputs of the last step, (batch, padded outputs).
    ys: Buffer<O::Sum>,
}

impl<O: Operand> StreamLinear<O> {
    /// Pack `weight`, (outputs, features); `bias` is (outputs).
    ///
    /// # Panics
    /// If the weight does not have a whole number of features.
    pub(crate) fn new(isa: Isa, weight: &[O::Sum], bias: &[O::Sum]) -> Self {
        let lanes = isa.lanes::<O::Sum>();
        let (outputs, features) = (bias.len(), weight.len() / bias.len().max(1));
        assert_eq!(weight.len(), outputs * features, "weights of a linear layer of {outputs} outputs");
        let panels = PackedMatrix::<O>::transposed(isa, weight, (outputs, features)).into_panels();
        let ys = Buffer::zeros(padded(outputs, lanes));
        let mut bias = bias.to_vec();
        bias.resize(ys.len(), O::Sum::ZERO);
        Self { panels, outputs, bias, ys }
    }

    /// Return the number of elements of the vectors that the weights were packed for.
    pub(super) fn lanes(&self) -> usize {
        self.panels.shape().lanes
    }

    /// Return the number of features of the input.
    pub(super) fn features(&self) -> usize {
        self.panels.depth()
    }

    pub(super) fn outputs(&self) -> usize {
        self.outputs
    }

    /// Return the outputs of the last step, and the width of their rows.
    pub(super) fn ys(&self) -> (&Buffer<O::Sum>, usize) {
        (&self.ys, self.bias.len())
    }

    pub(super) fn set_ys(&mut self, ys: Buffer<O::Sum>) {
        self.ys = ys;
    }

    /// Compute one worker's outputs from the rows of `x`, as many as the batch has.
    ///
    /// # Safety
    /// `x` must have the rows, of the layer's features, and `ys` as many; workers must not share outputs.
    #[inline(always)]
    pub(super) unsafe fn step<S: Simd, const SINGLE: bool>(
        &self,
        simd: S,
        worker: Worker<'_>,
        x: LeftRows<O>,
        StreamStep { batch, current }: StreamStep,
    ) {
        let panels = &self.panels;
        let mut sums = TileBuffer::<O::Sum>::new();
        let sums = sums.as_mut_ptr();
        for panel in alternating(panels.share(worker), current) {
            let (width, first) = (panels.width(panel), panels.first_column(panel));
            for rows in tile_rows::<S, SINGLE>(batch, panels.vectors(panel)) {
                // SAFETY: the caller's promise.
                unsafe {
                    for r in 0..rows.len() {
                        SumVector::<S, O>::copy(
                            simd,
                            self.bias.as_ptr().add(first),
                            sums.add(r * width),
                            width,
                        );
                    }
                    add_product(simd, rows.len(), x.offset(rows.start, 0), (panels, panel), sums);
                    for (r, row) in rows.enumerate() {
                        let to = self.ys.at(row * self.bias.len() + first);
                        SumVector::<S, O>::copy(simd, sums.add(r * width), to, width);
                    }
                }
            }
        }
    }
}
