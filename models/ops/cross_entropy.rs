//! The decoder and its loss as one node of candle's graph, where there are kernels for it.

use std::marker::PhantomData;
use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp3, DType, Device, Layout, Result, Shape, Tensor, bail};

use super::fused::{numbers, read};
use super::{reference, sink};
use crate::kernels::cpu::{self, Isa, Real};
use crate::layers::config::check_probability;
use crate::layers::linear::Linear;

/// Rows that are scored at a time without kernels: bounds the memory of (rows, classes).
const ROWS: usize = 1024;

/// What scoring without a gradient finds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Score {
    /// `-log p(target)` in nats, summed over rows.
    pub loss: f64,
    /// Rows whose target has the highest score.
    pub correct: usize,
}

/// The mean of `-log softmax(linear(rows))[target]`, a scalar that can be differentiated. `rows` is (rows,
/// features), `targets` (rows), numbers of classes. `smoothing` of a target's probability is spread over all
/// classes.
///
/// # Errors
/// Where the shapes disagree, a target is no class, or the smoothing no share.
pub(crate) fn mean(linear: &Linear, rows: &Tensor, targets: &Tensor, smoothing: f64) -> Result<Tensor> {
    check_probability("label smoothing", smoothing)?;
    match rows.dtype() {
        DType::F32 if reference::gives_way(rows) => mean_in::<f32>(linear, rows, targets, smoothing),
        DType::F64 if reference::gives_way(rows) => mean_in::<f64>(linear, rows, targets, smoothing),
        _ => reference::cross_entropy(&linear.forward(rows)?, targets, smoothing)? / rows.dim(0)? as f64,
    }
}

/// The same, summed over rows, without a gradient; and how often the target has the highest score.
///
/// # Errors
/// As [`mean`].
pub(crate) fn score(linear: &Linear, rows: &Tensor, targets: &Tensor) -> Result<Score> {
    match rows.dtype() {
        DType::F32 if reference::gives_way(rows) => score_in::<f32>(linear, rows, targets),
        DType::F64 if reference::gives_way(rows) => score_in::<f64>(linear, rows, targets),
        _ => {
            let mut score = Score::default();
            let count = rows.dim(0)?;
            for from in (0..count).step_by(ROWS) {
                let some = ROWS.min(count - from);
                let outputs = linear.forward(&rows.narrow(0, from, some)?)?.detach();
                let targets = targets.narrow(0, from, some)?;
                let loss = reference::cross_entropy(&outputs, &targets, 0.)?;
                score.loss += loss.to_dtype(DType::F64)?.to_scalar::<f64>()?;
                let right = outputs.argmax(candle_core::D::Minus1)?.eq(&targets)?.to_dtype(DType::U32)?;
                score.correct += right.sum_all()?.to_scalar::<u32>()? as usize;
            }
            Ok(score)
        }
    }
}

/// `-log p(target)` of each row in nats, without a gradient.
///
/// # Errors
/// As [`mean`].
pub(crate) fn losses(linear: &Linear, rows: &Tensor, targets: &Tensor) -> Result<Vec<f64>> {
    match rows.dtype() {
        DType::F32 if reference::gives_way(rows) => losses_in::<f32>(linear, rows, targets),
        DType::F64 if reference::gives_way(rows) => losses_in::<f64>(linear, rows, targets),
        _ => {
            let count = rows.dim(0)?;
            let mut losses = Vec::with_capacity(count);
            for from in (0..count).step_by(ROWS) {
                let some = ROWS.min(count - from);
                let outputs = linear.forward(&rows.narrow(0, from, some)?)?.detach();
                let found = reference::losses(&outputs, &targets.narrow(0, from, some)?, 0.)?;
                losses.extend(found.to_dtype(DType::F64)?.to_vec1::<f64>()?);
            }
            Ok(losses)
        }
    }
}

fn mean_in<E: Real>(linear: &Linear, rows: &Tensor, targets: &Tensor, smoothing: f64) -> Result<Tensor> {
    let tensors = Prepared::of(linear, rows, targets)?;
    let Prepared { rows, weight, bias, targets } = tensors;
    let keep = [&rows, &weight, &bias].into_iter().any(Tensor::track_op);
    let op = CrossEntropy::<E> {
        isa: Isa::current()?,
        targets,
        smoothing,
        keep,
        gradients: OnceLock::new(),
        numbers: PhantomData,
    };
    rows.apply_op3(&weight, &bias, op)?.reshape(())
}

fn score_in<E: Real>(linear: &Linear, rows: &Tensor, targets: &Tensor) -> Result<Score> {
    let Prepared { rows, weight, bias, targets } = Prepared::of(linear, rows, targets)?;
    let isa = Isa::current()?;
    read::<E, _, 3>([Some(&rows), Some(&weight), Some(&bias)], |[rows, weight, bias]| {
        let inputs = cpu::Examples { rows, weight, bias, targets: &targets, smoothing: 0. };
        let found = cpu::cross_entropy(isa, &inputs, false);
        Score { loss: found.sum(), correct: found.correct }
    })
}

fn losses_in<E: Real>(linear: &Linear, rows: &Tensor, targets: &Tensor) -> Result<Vec<f64>> {
    let Prepared { rows, weight, bias, targets } = Prepared::of(linear, rows, targets)?;
    let isa = Isa::current()?;
    read::<E, _, 3>([Some(&rows), Some(&weight), Some(&bias)], |[rows, weight, bias]| {
        let inputs = cpu::Examples { rows, weight, bias, targets: &targets, smoothing: 0. };
        cpu::cross_entropy(isa, &inputs, false).losses.iter().map(|loss| loss.to_f64()).collect()
    })
}

/// Contiguous tensors whose shapes agree, and targets that are classes.
struct Prepared {
    rows: Tensor,
    weight: Tensor,
    bias: Tensor,
    targets: Vec<u32>,
}

impl Prepared {
    fn of(linear: &Linear, rows: &Tensor, targets: &Tensor) -> Result<Self> {
        let (classes, features) = linear.weight().dims2()?;
        let targets: Vec<u32> = targets.to_dtype(DType::U32)?.to_vec1()?;
        if rows.dims() != [targets.len(), features] {
            let expected = [targets.len(), features];
            bail!("rows are {:?}; expected (targets, features of the decoder) {expected:?}", rows.dims());
        }
        if let Some(target) = targets.iter().find(|&&target| target as usize >= classes) {
            bail!("target {target} is none of the {classes} classes");
        }
        let bias = match linear.bias() {
            Some(bias) if bias.dims() != [classes] => {
                bail!("the bias is {:?}; expected {classes}", bias.dims())
            }
            Some(bias) => bias.contiguous()?,
            None => Tensor::zeros(classes, rows.dtype(), rows.device())?,
        };
        Ok(Self { rows: rows.contiguous()?, weight: linear.weight().contiguous()?, bias, targets })
    }
}

/// Of rows (rows, features), weights (classes, features) and bias (classes): the mean loss.
struct CrossEntropy<E> {
    isa: Isa,
    targets: Vec<u32>,
    smoothing: f64,
    /// Whether there will be a backward pass.
    keep: bool,
    /// Of rows, weights and bias, as candle wants them.
    gradients: OnceLock<[Tensor; 3]>,
    numbers: PhantomData<E>,
}

impl<E: Real> CustomOp3 for CrossEntropy<E> {
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
        let inputs = cpu::Examples {
            rows: numbers::<E>(rows, rows_layout)?,
            weight: numbers::<E>(weight, weight_layout)?,
            bias: numbers::<E>(bias, bias_layout)?,
            targets: &self.targets,
            smoothing: self.smoothing,
        };
        let found = cpu::cross_entropy(self.isa, &inputs, self.keep);
        let mean = found.sum() / self.targets.len() as f64;
        if let Some(gradients) = found.gradients {
            let cpu::LossGradients { rows: d_rows, weight: d_weight, bias: d_bias } = gradients;
            let tensor = |numbers, layout: &Layout| Tensor::from_vec(numbers, layout.shape(), &Device::Cpu);
            let gradients = [
                tensor(d_rows, rows_layout)?,
                tensor(d_weight, weight_layout)?,
                tensor(d_bias, bias_layout)?,
            ];
            let _ = self.gradients.set(gradients); // an op runs forward once
        }
        let mean = E::from_f64(mean);
        Ok((E::to_cpu_storage_owned(vec![mean]), Shape::from(1)))
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
            bail!("a loss kept nothing for its backward pass")
        };
        let factor = gradient.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?[0];
        let scaled = |gradient: &Tensor| if factor == 1. { Ok(gradient.clone()) } else { gradient * factor };
        let [d_rows, d_weight, d_bias] = gradients;
        let d_weight = sink::offer(weight, scaled(d_weight)?)?;
        Ok((Some(scaled(d_rows)?), d_weight, Some(scaled(d_bias)?)))
    }
}
