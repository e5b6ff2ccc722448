//! Rows of an embedding as a node of candle's graph. Its gradient adds up the rows that were read and goes
//! past candle's store, which would copy the whole matrix three times for them.

use std::marker::PhantomData;

use candle_core::{CpuStorage, CustomOp1, DType, Layout, Result, Shape, Tensor, bail};

use super::fused::{numbers, read};
use super::{reference, sink};
use crate::kernels::cpu::Real;

/// Rows of `weight`, (vocabulary, features), for `tokens`, (batch, time): (batch, time, features).
///
/// # Errors
/// Where a token is beyond the vocabulary.
pub(crate) fn embed(weight: &Tensor, tokens: &Tensor) -> Result<Tensor> {
    let (batch, time) = tokens.dims2()?;
    let features = weight.dim(1)?;
    let rows = match weight.dtype() {
        DType::F32 if reference::gives_way(weight) => embed_in::<f32>(weight, tokens)?,
        DType::F64 if reference::gives_way(weight) => embed_in::<f64>(weight, tokens)?,
        _ => weight.index_select(&tokens.flatten_all()?, 0)?,
    };
    rows.reshape((batch, time, features))
}

fn embed_in<E: Real>(weight: &Tensor, tokens: &Tensor) -> Result<Tensor> {
    let tokens: Vec<u32> = tokens.flatten_all()?.to_dtype(DType::U32)?.to_vec1()?;
    let vocabulary = weight.dim(0)?;
    if let Some(token) = tokens.iter().find(|&&token| token as usize >= vocabulary) {
        bail!("token {token} is beyond the vocabulary of {vocabulary}");
    }
    weight.contiguous()?.apply_op1(Embed::<E> { tokens, numbers: PhantomData })
}

/// Copies a row of contiguous f32 `weight`, (vocabulary, features), on the processor.
///
/// # Errors
/// Where the row is beyond the vocabulary, or wider than `to`.
pub(crate) fn copy_row(weight: &Tensor, row: usize, to: &mut [f32]) -> Result<()> {
    let copied = read::<f32, _, 1>([Some(weight)], |[weight]| {
        let row = weight.get(row * to.len()..)?.get(..to.len())?;
        to.copy_from_slice(row);
        Some(())
    })?;
    match copied {
        Some(()) => Ok(()),
        None => bail!("token {row} is beyond the vocabulary of {}", weight.dim(0)?),
    }
}

/// Of the weights (vocabulary, features), the tokens' rows (tokens, features).
struct Embed<E> {
    tokens: Vec<u32>,
    numbers: PhantomData<E>,
}

impl<E: Real> CustomOp1 for Embed<E> {
    fn name(&self) -> &'static str {
        "embed"
    }

    fn cpu_fwd(&self, weight: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (_, features) = layout.shape().dims2()?;
        let weight = numbers::<E>(weight, layout)?;
        let mut rows = Vec::with_capacity(self.tokens.len() * features);
        for &token in &self.tokens {
            rows.extend_from_slice(&weight[token as usize * features..][..features]);
        }
        Ok((E::to_cpu_storage_owned(rows), (self.tokens.len(), features).into()))
    }

    fn bwd(&self, weight: &Tensor, _rows: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let features = weight.dim(1)?;
        let mut d_weight = vec![E::zero(); weight.elem_count()];
        read::<E, _, 1>([Some(&gradient.contiguous()?)], |[gradient]| {
            for (&token, row) in self.tokens.iter().zip(gradient.chunks_exact(features)) {
                let to = &mut d_weight[token as usize * features..][..features];
                to.iter_mut().zip(row).for_each(|(to, &from)| *to += from);
            }
        })?;
        sink::offer(weight, Tensor::from_vec(d_weight, weight.shape(), weight.device())?)
    }
}
