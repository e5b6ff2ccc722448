//! The score v . tanh(Q h + key).

use candle_core::{Device, Result, Tensor};

use super::packed::transposed;
use super::{AttentionDecoder, Sizes};
use crate::kernels::cpu::{PackedMatrix, Real};

/// The score v . tanh(Q h + key), for all steps.
pub(super) struct TanhScore<E> {
    /// Q, for products with hidden states.
    query: PackedMatrix<E>,
    /// (batch, source, features).
    keys: Tensor,
    /// (features).
    v: Tensor,
    features: usize,
    batch: usize,
}

/// The gradients of a step.
pub(super) struct TanhGradients<E> {
    /// (batch, source, features).
    pub(super) keys: Tensor,
    /// Of Q h, (batch, features).
    pub(super) query: Vec<E>,
    /// (features).
    pub(super) v: Tensor,
}

impl<E: Real> AttentionDecoder<E> {
    /// Prepare the `tanh` score; `None` for a dot product.
    pub(super) fn tanh_score(&self) -> Result<Option<TanhScore<E>>> {
        let Some((query, v)) = &self.operands.score else { return Ok(None) };
        let Sizes { batch, .. } = self.sizes;
        Ok(Some(TanhScore {
            query: transposed(self.isa, query.tensor())?,
            keys: self.operands.keys.detached(),
            v: v.detached(),
            features: query.tensor().dim(0)?,
            batch,
        }))
    }
}

impl<E: Real> TanhScore<E> {
    /// Compute tanh(Q h + key), (batch, source, features), of hidden states (batch, hidden).
    fn activations(&self, h: &[E]) -> Result<Tensor> {
        let mut queries = vec![E::zero(); self.batch * self.features];
        self.query.add_product(h, &mut queries);
        let queries = Tensor::from_vec(queries, (self.batch, 1, self.features), &Device::Cpu)?;
        self.keys.broadcast_add(&queries)?.tanh()
    }

    /// Compute the scores, (batch, source).
    pub(super) fn scores(&self, h: &[E]) -> Result<Vec<E>> {
        self.activations(h)?.broadcast_matmul(&self.v.unsqueeze(1)?)?.flatten_all()?.to_vec1()
    }

    /// Compute the gradients from those of the scores, (batch, source).
    pub(super) fn backward(&self, h: &[E], d_scores: &[E]) -> Result<TanhGradients<E>> {
        let activations = self.activations(h)?;
        let (batch, source, _) = activations.dims3()?;
        let d_scores = Tensor::from_slice(d_scores, (batch, source, 1), &Device::Cpu)?;
        let v = activations.broadcast_mul(&d_scores)?.sum((0, 1))?;
        let slopes = (1. - activations.sqr()?)?.broadcast_mul(&self.v)?;
        let keys = slopes.broadcast_mul(&d_scores)?;
        let query = keys.sum(1)?.flatten_all()?.to_vec1()?;
        Ok(TanhGradients { keys, query, v })
    }
}
