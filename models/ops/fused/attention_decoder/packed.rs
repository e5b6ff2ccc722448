//! The weights of the forward pass, packed.

use std::any::Any;
use std::sync::Arc;

use candle_core::{Result, Tensor};

use crate::kernels::cpu::{GradientOperand, Isa, PackedMatrix, Real};
use crate::ops::backend::{Operation, dispatch};
use crate::ops::storage::read;

/// The weights of the forward pass.
pub(super) struct ForwardWeights<O> {
    pub(super) feed: PackedMatrix<O>,
    pub(super) hh: PackedMatrix<O>,
    pub(super) combine: PackedMatrix<O>,
}

impl<O: GradientOperand<Sum: Real>> ForwardWeights<O> {
    /// Pack the weights as they are now, each (outputs, inputs).
    pub(super) fn pack(isa: Isa, feed: &Tensor, hh: &Tensor, combine: &Tensor) -> Result<Self> {
        Ok(Self {
            feed: transposed(isa, feed)?,
            hh: transposed(isa, hh)?,
            combine: transposed(isa, combine)?,
        })
    }
}

/// Pack a matrix, for products with its columns.
pub(super) fn packed<O: GradientOperand<Sum: Real>>(isa: Isa, matrix: &Tensor) -> Result<PackedMatrix<O>> {
    let size = matrix.dims2()?;
    let matrix = matrix.contiguous()?;
    read::<O::Sum, _, 1>([Some(&matrix)], |[matrix]| PackedMatrix::new(isa, matrix, size))
}

/// Pack the transpose of a matrix, for products with its rows.
pub(super) fn transposed<O: GradientOperand<Sum: Real>>(
    isa: Isa,
    matrix: &Tensor,
) -> Result<PackedMatrix<O>> {
    let size = matrix.dims2()?;
    let matrix = matrix.contiguous()?;
    read::<O::Sum, _, 1>([Some(&matrix)], |[matrix]| PackedMatrix::transposed(isa, matrix, size))
}

/// The packed weights of a decoder, for all steps that they are used in.
#[derive(Clone)]
pub(crate) struct PackedWeights(Arc<dyn Any + Send + Sync>);

impl std::fmt::Debug for PackedWeights {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PackedWeights")
    }
}

impl PackedWeights {
    /// Return the weights if they are packed as these operands.
    pub(super) fn of<O: GradientOperand>(&self) -> Option<Arc<ForwardWeights<O>>> {
        self.0.clone().downcast().ok()
    }
}

/// Pack the weights of a decoder as they are now: those of the previous attentional state, the recurrent ones and those
/// of the attentional state. Return `None` if there are no kernels for the tensors.
///
/// # Errors
/// If one of them is no matrix.
pub(crate) fn pack_weights(feed: &Tensor, hh: &Tensor, combine: &Tensor) -> Result<Option<PackedWeights>> {
    dispatch(Pack([feed, hh, combine]), hh)
}

struct Pack<'a>([&'a Tensor; 3]);

impl Operation for Pack<'_> {
    type Output = Option<PackedWeights>;

    fn cpu<O: GradientOperand<Sum: Real>>(self, isa: Isa) -> Result<Self::Output> {
        let [feed, hh, combine] = self.0;
        let weights = ForwardWeights::<O>::pack(isa, feed, hh, combine)?;
        Ok(Some(PackedWeights(Arc::new(weights))))
    }

    fn reference(self) -> Result<Self::Output> {
        Ok(None)
    }
}
