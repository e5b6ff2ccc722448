//! The tensors that a decoder reads, and the checks of their shapes.

use candle_core::{Result, Tensor, bail};

use super::packed::{DecoderMatrices, PackedWeights};
use super::sizes::DecoderSizes;
use crate::kernels::CellKind;

/// The tensors that a decoder reads.
#[derive(Clone, Copy)]
pub(crate) struct DecoderInputs<'a> {
    /// The embeddings of the target, (batch, target, input).
    pub xs: &'a Tensor,
    pub matrices: DecoderMatrices<'a>,
    /// The bias of the input's part of the gates, (gates * hidden).
    pub b_ih: Option<&'a Tensor>,
    /// The recurrent bias, (gates * hidden).
    pub b_hh: Option<&'a Tensor>,
    /// (batch, source, hidden), or (batch, source, features) with a `tanh` score.
    pub keys: &'a Tensor,
    /// (batch, source, width).
    pub values: &'a Tensor,
    /// The weights v (features) of a `tanh` score; `None` for a dot product.
    pub score: Option<&'a Tensor>,
    /// The initial hidden state, (batch, hidden).
    pub h: &'a Tensor,
    /// The initial cell state, (batch, hidden), if the cell has one.
    pub c: Option<&'a Tensor>,
    /// The initial attentional state, (batch, hidden).
    pub attentional: &'a Tensor,
    /// Steps of each source, at least 1; all of them if `None`.
    pub source_lengths: Option<&'a [usize]>,
    /// Packed matrices, which are used if they are those of `matrices`.
    pub packed: Option<&'a PackedWeights>,
}

impl DecoderInputs<'_> {
    /// Check the shapes of the tensors and the lengths of the sources.
    ///
    /// # Errors
    /// If they do not have these sizes.
    pub(super) fn check(&self, kind: CellKind, sizes: &DecoderSizes) -> Result<()> {
        let DecoderSizes { batch, source, hidden, features, width, gates, .. } = *sizes;
        let DecoderMatrices { ih, hh, query, combine } = self.matrices;
        check_source_lengths(self.source_lengths, (batch, source))?;
        if gates != kind.gates() * hidden {
            bail!("the gates are {gates} numbers; expected {} a unit for {hidden} units", kind.gates());
        }
        if self.c.is_some() != kind.has_cell_state() {
            bail!("a cell state is for an LSTM, and an LSTM needs one");
        }
        if query.is_some() != self.score.is_some() {
            bail!("a tanh score needs both weights, of the query and of the score");
        }
        let optional = [
            ("the bias", self.b_ih, &[gates][..]),
            ("the recurrent bias", self.b_hh, &[gates]),
            ("the cell state", self.c, &[batch, hidden]),
            ("the query weights", query, &[features, hidden]),
            ("the score weights", self.score, &[features]),
        ];
        let optional = optional.into_iter().filter_map(|(name, tensor, shape)| Some((name, tensor?, shape)));
        let required = [
            ("the input weights", ih, &[gates, self.xs.dim(2)? + hidden][..]),
            ("the recurrent weights", hh, &[gates, hidden]),
            ("the keys", self.keys, &[batch, source, features]),
            ("the values", self.values, &[batch, source, width]),
            ("the weights of the attentional state", combine, &[hidden, width + hidden]),
            ("the hidden state", self.h, &[batch, hidden]),
            ("the attentional state", self.attentional, &[batch, hidden]),
        ];
        for (name, tensor, expected) in required.into_iter().chain(optional) {
            if tensor.dims() != expected {
                bail!("the shape of {name} is {:?}; expected {expected:?}", tensor.dims());
            }
        }
        Ok(())
    }
}

/// Check the number of steps of each source.
///
/// # Errors
/// If there are more or fewer lengths than sources, or a length is not in 1 to `source`.
pub(crate) fn check_source_lengths(lengths: Option<&[usize]>, (batch, source): (usize, usize)) -> Result<()> {
    let Some(lengths) = lengths else { return Ok(()) };
    if lengths.len() != batch {
        bail!("{} source lengths for a batch of {batch}; expected one a sequence", lengths.len());
    }
    match lengths.iter().enumerate().find(|&(_, &length)| !(1..=source).contains(&length)) {
        Some((row, length)) => bail!("source {row} has length {length}; expected 1 to {source}"),
        None => Ok(()),
    }
}
