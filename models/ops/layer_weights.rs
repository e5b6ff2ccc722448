//! A borrowed view of the weights of one layer in one direction.

use candle_core::{Result, Tensor, bail};

use super::packed_cache::PackedCache;
use crate::kernels::CellKind;

/// Weights for the fused kernels, under PyTorch's names.
#[derive(Clone, Copy)]
pub(crate) struct LayerWeights<'a> {
    pub hidden: usize,
    /// (gates * hidden, input).
    pub ih: &'a Tensor,
    /// (gates * hidden, output).
    pub hh: &'a Tensor,
    /// (gates * hidden).
    pub b_ih: Option<&'a Tensor>,
    /// (gates * hidden).
    pub b_hh: Option<&'a Tensor>,
    /// The projection, (output, hidden).
    pub hr: Option<&'a Tensor>,
    /// The weights packed for the kernels, if they are not trained.
    pub packed: &'a PackedCache,
}

impl LayerWeights<'_> {
    /// Return the number of features of a step.
    pub(crate) fn input(&self) -> usize {
        self.ih.dims()[1]
    }

    /// Return the number of features of the output: those of the projection, or `hidden`.
    pub(crate) fn output(&self) -> usize {
        self.hr.map_or(self.hidden, |hr| hr.dims()[0])
    }

    /// Return whether any of the matrices may change between two calls, because it is a variable or computed from one.
    pub(crate) fn are_trained(&self) -> bool {
        [Some(self.ih), Some(self.hh), self.hr].into_iter().flatten().any(Tensor::track_op)
    }

    /// Refuse weights that do not fit the kind of cell: an implementation of `Cell` may name a wrong one.
    ///
    /// # Errors
    /// If there are more or fewer gates, or a projection that the kind does not have.
    pub(crate) fn check(&self, kind: CellKind) -> Result<()> {
        let (rows, expected) = (self.ih.dim(0)?, kind.gates() * self.hidden);
        if rows != expected {
            bail!("{rows} rows of weights do not make a fused {kind:?}; expected {expected}; see Cell::kind");
        }
        if self.hr.is_some() && kind != CellKind::Lstm {
            bail!("only an LSTM has a projection, not a fused {kind:?}; see Cell::kind");
        }
        Ok(())
    }
}
