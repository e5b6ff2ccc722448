//! The weights of the forward pass, packed.

use std::any::Any;
use std::sync::Arc;

use candle_core::{Result, Tensor, TensorId};

use crate::kernels::cpu::{GradientOperand, Int8, Isa, Operand, PackedMatrix, Real};
use crate::ops::backend::{Operation, dispatch};
use crate::ops::inference::check_depth;
use crate::ops::storage::read;

/// The matrices of a decoder, each (outputs, inputs).
#[derive(Clone, Copy)]
pub(crate) struct DecoderMatrices<'a> {
    /// The weights of the embedding and of the previous attentional state, (gates * hidden, input + hidden).
    pub ih: &'a Tensor,
    /// The recurrent weights, (gates * hidden, hidden).
    pub hh: &'a Tensor,
    /// The weights Q of the query of a `tanh` score, (features, hidden); `None` for a dot product.
    pub query: Option<&'a Tensor>,
    /// The weights C of the attentional state, (hidden, width + hidden).
    pub combine: &'a Tensor,
}

impl DecoderMatrices<'_> {
    /// Return what tells these matrices from those of another decoder.
    fn ids(&self) -> [Option<TensorId>; 4] {
        [Some(self.ih), Some(self.hh), self.query, Some(self.combine)].map(|matrix| matrix.map(Tensor::id))
    }

    /// Return the weights of the previous attentional state, (gates * hidden, hidden).
    pub(super) fn feed(&self) -> Result<Tensor> {
        let (columns, hidden) = (self.ih.dim(1)?, self.hh.dim(1)?);
        self.ih.narrow(1, columns.saturating_sub(hidden), hidden)?.contiguous()
    }

    /// Refuse products in int8 whose sums may not fit an i32.
    ///
    /// # Errors
    /// If a matrix has too many inputs.
    pub(super) fn check_int8(&self) -> Result<()> {
        check_depth(&[self.ih.dim(1)?, self.hh.dim(1)?, self.combine.dim(1)?])
    }

    /// Pack the weights as they are now, with `feed` as the weights that multiply the previous attentional state.
    pub(super) fn pack<O: Operand<Sum: Real>>(self, isa: Isa, feed: &Tensor) -> Result<ForwardWeights<O>> {
        Ok(ForwardWeights {
            feed: transposed(isa, feed)?,
            hh: transposed(isa, self.hh)?,
            query: self.query.map(|query| transposed(isa, query)).transpose()?,
            combine: transposed(isa, self.combine)?,
        })
    }
}

/// The weights of the forward pass.
pub(super) struct ForwardWeights<O> {
    /// The weights of the previous attentional state; in int8 those of the embedding and of that state, whose rows have
    /// one scale.
    pub(super) feed: PackedMatrix<O>,
    pub(super) hh: PackedMatrix<O>,
    pub(super) query: Option<PackedMatrix<O>>,
    pub(super) combine: PackedMatrix<O>,
}

/// Pack a matrix, for products with its columns.
pub(super) fn packed<O: GradientOperand<Sum: Real>>(isa: Isa, matrix: &Tensor) -> Result<PackedMatrix<O>> {
    let size = matrix.dims2()?;
    let matrix = matrix.contiguous()?;
    read::<O::Sum, _, 1>([Some(&matrix)], |[matrix]| PackedMatrix::new(isa, matrix, size))
}

/// Pack the transpose of a matrix, for products with its rows.
fn transposed<O: Operand<Sum: Real>>(isa: Isa, matrix: &Tensor) -> Result<PackedMatrix<O>> {
    let size = matrix.dims2()?;
    let matrix = matrix.contiguous()?;
    read::<O::Sum, _, 1>([Some(&matrix)], |[matrix]| PackedMatrix::transposed(isa, matrix, size))
}

/// The packed weights of a decoder, for all steps that they are used in.
#[derive(Clone)]
pub(crate) struct PackedWeights {
    /// The matrices that were packed.
    matrices: [Option<TensorId>; 4],
    /// Elements of a vector.
    lanes: usize,
    /// The weights of [`ForwardWeights::feed`].
    feed: Tensor,
    /// [`ForwardWeights`] of some operand.
    packed: Arc<dyn Any + Send + Sync>,
}

impl std::fmt::Debug for PackedWeights {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PackedWeights")
    }
}

impl PackedWeights {
    fn new<O: Operand>(
        isa: Isa,
        matrices: DecoderMatrices<'_>,
        feed: Tensor,
        packed: ForwardWeights<O>,
    ) -> Self {
        Self { matrices: matrices.ids(), lanes: isa.lanes::<O::Sum>(), feed, packed: Arc::new(packed) }
    }

    /// Return the weights of [`ForwardWeights::feed`] and all weights, if these matrices are packed as these operands.
    /// The elements may have changed since.
    pub(super) fn of<O: Operand>(
        &self,
        isa: Isa,
        matrices: DecoderMatrices<'_>,
    ) -> Option<(Tensor, Arc<ForwardWeights<O>>)> {
        let fits = self.matrices == matrices.ids() && self.lanes == isa.lanes::<O::Sum>();
        Some((self.feed.clone(), self.packed.clone().downcast().ok().filter(|_| fits)?))
    }
}

/// Pack the weights of a decoder as they are now. Return `None` if there are no kernels for the tensors.
///
/// # Errors
/// If one of them is not a matrix.
pub(crate) fn pack_weights(matrices: DecoderMatrices<'_>) -> Result<Option<PackedWeights>> {
    dispatch(Pack(matrices), matrices.hh)
}

struct Pack<'a>(DecoderMatrices<'a>);

impl Operation for Pack<'_> {
    type Output = Option<PackedWeights>;

    fn cpu<O: GradientOperand<Sum: Real>>(self, isa: Isa) -> Result<Self::Output> {
        let feed = self.0.feed()?;
        let packed = self.0.pack::<O>(isa, &feed)?;
        Ok(Some(PackedWeights::new(isa, self.0, feed, packed)))
    }

    fn int8(self, isa: Isa) -> Result<Self::Output> {
        self.0.check_int8()?;
        let feed = self.0.ih.clone();
        let packed = self.0.pack::<Int8>(isa, &feed)?;
        Ok(Some(PackedWeights::new(isa, self.0, feed, packed)))
    }

    fn reference(self) -> Result<Self::Output> {
        Ok(None)
    }
}
