//! The softmax cross-entropy of a linear layer's outputs as one node of candle's graph.
//!
//! The outputs, (rows, classes), never become a tensor: with a large vocabulary it would be the largest of all.

use std::marker::PhantomData;
use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp3, D, DType, Device, Layout, Result, Shape, Tensor, WithDType, bail};

use super::backend::{Operation, dispatch};
use super::inference::{check_depth, refuse_gradients};
use super::parameter_gradients::collect;
use super::reference;
use super::storage::{elements, read};
use crate::kernels::cpu::{self, GradientOperand, Int8, Isa, Operand, Real};

/// Rows that the reference scores at a time, which bounds the memory of (rows, classes).
const CHUNK_ROWS: usize = 1024;

/// The summed loss of some rows, without a gradient.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CrossEntropySum {
    /// `-log p(target)` in nats, summed over rows.
    pub loss: f64,
    /// Rows whose target has the highest score.
    pub correct: usize,
}

/// A linear layer and examples for it.
#[derive(Clone, Copy)]
pub(crate) struct LinearExamples<'a> {
    /// (rows, features).
    pub rows: &'a Tensor,
    /// (classes, features).
    pub weight: &'a Tensor,
    /// (classes).
    pub bias: Option<&'a Tensor>,
    /// Indices of classes, (rows).
    pub targets: &'a Tensor,
}

impl LinearExamples<'_> {
    /// Compute the mean of `-log softmax(rows W^T + b)[target]` over the rows: a scalar with a gradient. `smoothing`,
    /// at least 0 and below 1, of each target's probability is spread evenly over all classes.
    ///
    /// # Errors
    /// If the shapes disagree or a target is not a class.
    pub(crate) fn mean_loss(self, smoothing: f64) -> Result<Tensor> {
        dispatch(MeanLoss { examples: self, smoothing }, self.rows)
    }

    /// Compute the loss without smoothing, summed and without a gradient, and count the rows whose target has the
    /// highest score.
    ///
    /// # Errors
    /// As [`LinearExamples::mean_loss`].
    pub(crate) fn sum(self) -> Result<CrossEntropySum> {
        dispatch(SummedLoss(self), self.rows)
    }

    /// Compute `-log p(target)` of each row in nats, without a gradient.
    ///
    /// # Errors
    /// As [`LinearExamples::mean_loss`].
    pub(crate) fn losses(self) -> Result<Vec<f64>> {
        dispatch(RowLosses(self), self.rows)
    }

    /// Call `f` for one chunk of rows after another, with the outputs, (chunk, classes), and targets, (chunk).
    fn for_each_chunk(self, mut f: impl FnMut(&Tensor, &Tensor) -> Result<()>) -> Result<()> {
        let count = self.rows.dim(0)?;
        for from in (0..count).step_by(CHUNK_ROWS) {
            let size = CHUNK_ROWS.min(count - from);
            let outputs =
                reference::linear_forward(&self.rows.narrow(0, from, size)?, self.weight, self.bias)?;
            f(&outputs.detach(), &self.targets.narrow(0, from, size)?)?;
        }
        Ok(())
    }
}

struct MeanLoss<'a> {
    examples: LinearExamples<'a>,
    smoothing: f64,
}

impl Operation for MeanLoss<'_> {
    type Output = Tensor;

    fn cpu<O: GradientOperand<Sum: Real>>(self, isa: Isa) -> Result<Tensor> {
        let CheckedExamples { rows, weight, bias, targets } = CheckedExamples::of(self.examples)?;
        let op = CrossEntropy::<O> {
            isa,
            targets,
            smoothing: self.smoothing,
            save: [&rows, &weight, &bias].into_iter().any(Tensor::track_op),
            gradients: OnceLock::new(),
            operand: PhantomData,
        };
        rows.apply_op3(&weight, &bias, op)?.reshape(())
    }

    fn int8(self, isa: Isa) -> Result<Tensor> {
        let Self { examples, smoothing } = self;
        examples.check_int8()?;
        let checked = CheckedExamples::of(examples)?;
        let mean = checked.read::<f32, _>(|inputs| {
            let inputs = cpu::CrossEntropyInputs { smoothing, ..*inputs };
            cpu::losses::<Int8>(isa, &inputs).sum() / checked.targets.len() as f64
        })?;
        let mean = Tensor::new(mean as f32, &Device::Cpu)?;
        refuse_gradients(mean, &[&checked.rows, &checked.weight, &checked.bias])
    }

    fn reference(self) -> Result<Tensor> {
        let LinearExamples { rows, weight, bias, targets } = self.examples;
        let outputs = reference::linear_forward(rows, weight, bias)?;
        let sum = reference::cross_entropy(&outputs, targets, self.smoothing)?;
        (sum / rows.dim(0)? as f64)?.to_dtype(rows.dtype())
    }
}

struct SummedLoss<'a>(LinearExamples<'a>);

impl Operation for SummedLoss<'_> {
    type Output = CrossEntropySum;

    fn cpu<O: GradientOperand<Sum: Real>>(self, isa: Isa) -> Result<CrossEntropySum> {
        self.kernel::<O>(isa)
    }

    fn int8(self, isa: Isa) -> Result<CrossEntropySum> {
        self.0.check_int8()?;
        self.kernel::<Int8>(isa)
    }

    fn reference(self) -> Result<CrossEntropySum> {
        let mut sum = CrossEntropySum::default();
        self.0.for_each_chunk(|outputs, targets| {
            let loss = reference::cross_entropy(outputs, targets, 0.)?;
            sum.loss += loss.to_dtype(DType::F64)?.to_scalar::<f64>()?;
            let correct = outputs.argmax(D::Minus1)?.eq(targets)?.to_dtype(DType::U32)?;
            sum.correct += correct.sum_all()?.to_scalar::<u32>()? as usize;
            Ok(())
        })?;
        Ok(sum)
    }
}

impl LinearExamples<'_> {
    /// Refuse examples with too many features for int8.
    fn check_int8(&self) -> Result<()> {
        check_depth(&[self.weight.dim(1)?])
    }
}

impl SummedLoss<'_> {
    fn kernel<O: Operand<Sum: Real>>(self, isa: Isa) -> Result<CrossEntropySum> {
        CheckedExamples::of(self.0)?.read::<O::Sum, _>(|examples| {
            let losses = cpu::losses::<O>(isa, examples);
            CrossEntropySum { loss: losses.sum(), correct: losses.correct }
        })
    }
}

struct RowLosses<'a>(LinearExamples<'a>);

impl RowLosses<'_> {
    fn kernel<O: Operand<Sum: Real>>(self, isa: Isa) -> Result<Vec<f64>> {
        CheckedExamples::of(self.0)?.read::<O::Sum, _>(|examples| {
            let losses = cpu::losses::<O>(isa, examples).losses;
            losses.iter().map(|loss| loss.to_f64()).collect()
        })
    }
}

impl Operation for RowLosses<'_> {
    type Output = Vec<f64>;

    fn cpu<O: GradientOperand<Sum: Real>>(self, isa: Isa) -> Result<Vec<f64>> {
        self.kernel::<O>(isa)
    }

    fn int8(self, isa: Isa) -> Result<Vec<f64>> {
        self.0.check_int8()?;
        self.kernel::<Int8>(isa)
    }

    fn reference(self) -> Result<Vec<f64>> {
        let mut losses = Vec::with_capacity(self.0.rows.dim(0)?);
        self.0.for_each_chunk(|outputs, targets| {
            let chunk = reference::losses(outputs, targets, 0.)?;
            losses.extend(chunk.to_dtype(DType::F64)?.to_vec1::<f64>()?);
            Ok(())
        })?;
        Ok(losses)
    }
}

/// Examples whose tensors are contiguous and agree in their shapes, and whose targets are classes.
struct CheckedExamples {
    rows: Tensor,
    weight: Tensor,
    bias: Tensor,
    targets: Vec<u32>,
}

impl CheckedExamples {
    fn of(examples: LinearExamples<'_>) -> Result<Self> {
        let LinearExamples { rows, weight, bias, targets } = examples;
        let (classes, features) = weight.dims2()?;
        let targets: Vec<u32> = targets.to_dtype(DType::U32)?.to_vec1()?;
        if rows.dims() != [targets.len(), features] {
            let expected = [targets.len(), features];
            bail!("rows are {:?}; expected (targets, features of the decoder) {expected:?}", rows.dims());
        }
        if let Some(target) = targets.iter().find(|&&target| target as usize >= classes) {
            bail!("target {target} is none of the {classes} classes");
        }
        let bias = match bias {
            Some(bias) if bias.dims() != [classes] => {
                bail!("the bias is {:?}; expected {classes}", bias.dims())
            }
            Some(bias) => bias.contiguous()?,
            None => Tensor::zeros(classes, rows.dtype(), rows.device())?,
        };
        Ok(Self { rows: rows.contiguous()?, weight: weight.contiguous()?, bias, targets })
    }

    /// Call `f` with the elements of the tensors, without smoothing.
    fn read<E: Real, T>(&self, f: impl FnOnce(&cpu::CrossEntropyInputs<'_, E>) -> T) -> Result<T> {
        read::<E, _, 3>([Some(&self.rows), Some(&self.weight), Some(&self.bias)], |[rows, weight, bias]| {
            let examples =
                cpu::CrossEntropyInputs { rows, weight, bias, targets: &self.targets, smoothing: 0. };
            f(&examples)
        })
    }
}

/// The op from rows (rows, features), weights (classes, features) and bias (classes) to the mean loss.
struct CrossEntropy<O> {
    isa: Isa,
    targets: Vec<u32>,
    smoothing: f64,
    /// Whether there will be a backward pass.
    save: bool,
    /// The gradients of rows, weights and bias, for a loss whose gradient is 1.
    gradients: OnceLock<[Tensor; 3]>,
    operand: PhantomData<O>,
}

impl<O: GradientOperand<Sum: Real>> CustomOp3 for CrossEntropy<O> {
    fn name(&self) -> &'static str {
        "linear-cross-entropy"
    }

    fn cpu_fwd(
        &self,
        rows: &CpuStorage,
        rows_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let examples = cpu::CrossEntropyInputs {
            rows: elements::<O::Sum>(rows, rows_layout)?,
            weight: elements::<O::Sum>(weight, weight_layout)?,
            bias: elements::<O::Sum>(bias, bias_layout)?,
            targets: &self.targets,
            smoothing: self.smoothing,
        };
        let losses = cpu::cross_entropy::<O>(self.isa, &examples, self.save);
        let mean = losses.sum() / self.targets.len() as f64;
        if let Some(gradients) = losses.gradients {
            let cpu::CrossEntropyGradients { rows: d_rows, weight: d_weight, bias: d_bias } = gradients;
            let tensor = |elements, layout: &Layout| Tensor::from_vec(elements, layout.shape(), &Device::Cpu);
            let gradients = [
                tensor(d_rows, rows_layout)?,
                tensor(d_weight, weight_layout)?,
                tensor(d_bias, bias_layout)?,
            ];
            let _ = self.gradients.set(gradients); // an op runs forward once
        }
        let mean = O::Sum::from_f64(mean);
        Ok((O::Sum::to_cpu_storage_owned(vec![mean]), Shape::from(1)))
    }

    fn bwd(
        &self,
        _rows: &Tensor,
        weight: &Tensor,
        _bias: &Tensor,
        _mean: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let Some(gradients) = self.gradients.get() else {
            bail!("a loss saved nothing for its backward pass")
        };
        let factor = gradient.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?[0];
        let scaled = |gradient: &Tensor| if factor == 1. { Ok(gradient.clone()) } else { gradient * factor };
        let [d_rows, d_weight, d_bias] = gradients;
        let d_weight = collect(weight, scaled(d_weight)?)?;
        Ok((Some(scaled(d_rows)?), d_weight, Some(scaled(d_bias)?)))
    }
}
