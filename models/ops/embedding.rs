//! The rows of an embedding as a node of candle's graph.
//!
//! Its gradient is a sum over the rows that were read. It bypasses candle's store, which would copy the whole
//! matrix three times.

use std::marker::PhantomData;

use candle_core::{CpuStorage, CustomOp1, DType, Layout, Result, Shape, Tensor, bail};

use super::backend::{Operation, dispatch};
use super::parameter_gradients::collect;
use super::storage::{elements, read, tensor_like};
use crate::kernels::cpu::{GradientOperand, Isa, Real};

/// Look up the rows of `weight`, (vocabulary, features), for `tokens`, (batch, time): (batch, time, features).
///
/// # Errors
/// If a token is not in the vocabulary.
pub(crate) fn embed(weight: &Tensor, tokens: &Tensor) -> Result<Tensor> {
    let (batch, time) = tokens.dims2()?;
    let rows = dispatch(Lookup { weight, tokens }, weight)?; // (batch * time, features)
    rows.reshape((batch, time, weight.dim(1)?))
}

struct Lookup<'a> {
    weight: &'a Tensor,
    tokens: &'a Tensor,
}

impl Operation for Lookup<'_> {
    type Output = Tensor;

    fn cpu<O: GradientOperand<Sum: Real>>(self, _isa: Isa) -> Result<Tensor> {
        let tokens: Vec<u32> = self.tokens.flatten_all()?.to_dtype(DType::U32)?.to_vec1()?;
        let vocabulary = self.weight.dim(0)?;
        if let Some(token) = tokens.iter().find(|&&token| token as usize >= vocabulary) {
            bail!("token {token} is beyond the vocabulary of {vocabulary}");
        }
        self.weight.contiguous()?.apply_op1(Embed::<O::Sum> { tokens, element: PhantomData })
    }

    fn reference(self) -> Result<Tensor> {
        self.weight.index_select(&self.tokens.flatten_all()?, 0)
    }
}

/// Copy a row of contiguous f32 `weight`, (vocabulary, features), on the processor.
///
/// # Errors
/// If the row is not in the vocabulary, or `to` has not its width.
pub(crate) fn copy_row(weight: &Tensor, row: usize, to: &mut [f32]) -> Result<()> {
    let features = weight.dim(1)?;
    if to.len() != features {
        bail!("a row of {features} features cannot be copied to {}", to.len());
    }
    let copied = read::<f32, _, 1>([Some(weight)], |[weight]| {
        let row = weight.get(row * features..)?.get(..features)?;
        to.copy_from_slice(row);
        Some(())
    })?;
    match copied {
        Some(()) => Ok(()),
        None => bail!("token {row} is beyond the vocabulary of {}", weight.dim(0)?),
    }
}

/// The op from the weights (vocabulary, features) to the rows of the tokens (tokens, features).
struct Embed<E> {
    tokens: Vec<u32>,
    element: PhantomData<E>,
}

impl<E: Real> CustomOp1 for Embed<E> {
    fn name(&self) -> &'static str {
        "embed"
    }

    fn cpu_fwd(&self, weight: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (_, features) = layout.shape().dims2()?;
        let weight = elements::<E>(weight, layout)?;
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
        collect(weight, tensor_like(d_weight, weight)?)
    }
}
