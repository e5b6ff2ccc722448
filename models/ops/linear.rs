//! Products of rows and a weight matrix.

use std::marker::PhantomData;

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, WithDType, bail};

use super::backend::{Operation, dispatch};
use super::inference::{check_depth, refuse_gradients};
use super::reference;
use super::storage::{elements, read, tensor_like};
use crate::kernels::cpu::{GradientOperand, Int8, Isa, PackedMatrix, Real, outer_products};

/// Compute a linear layer, `xs W^T + b`: (rows, features) to (rows, outputs), with `weight` (outputs, features) and
/// `bias` (outputs). A row of the result does not depend on the other rows.
///
/// # Errors
/// If the shapes disagree.
pub(crate) fn linear_forward(xs: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let ys = dispatch(LinearProduct { xs, weight }, xs)?;
    match bias {
        Some(bias) => ys.broadcast_add(bias),
        None => Ok(ys),
    }
}

/// The product of (rows, features) and the transpose of (outputs, features).
struct LinearProduct<'a> {
    xs: &'a Tensor,
    weight: &'a Tensor,
}

impl LinearProduct<'_> {
    /// Return the number of rows, features and outputs.
    fn sizes(&self) -> Result<[usize; 3]> {
        let ((rows, features), (outputs, inputs)) = (self.xs.dims2()?, self.weight.dims2()?);
        if features != inputs {
            bail!("rows have {features} features; expected {inputs}, the inputs of a linear layer");
        }
        Ok([rows, features, outputs])
    }
}

impl Operation for LinearProduct<'_> {
    type Output = Tensor;

    fn cpu<O: GradientOperand<Sum: Real>>(self, isa: Isa) -> Result<Tensor> {
        let Self { xs, weight } = self;
        let [rows, features, outputs] = self.sizes()?;
        if rows == 0 || features == 0 || outputs == 0 {
            return self.reference();
        }
        let op = LinearOp::<O> { isa, operand: PhantomData };
        xs.contiguous()?.apply_op2(&weight.contiguous()?, op)
    }

    fn int8(self, isa: Isa) -> Result<Tensor> {
        let Self { xs, weight } = self;
        let [rows, features, outputs] = self.sizes()?;
        if rows == 0 || features == 0 || outputs == 0 {
            return self.reference();
        }
        check_depth(&[features])?;
        let tensors = [&xs.contiguous()?, &weight.contiguous()?];
        let ys = read::<f32, _, 2>(tensors.map(Some), |[xs, weight]| {
            PackedMatrix::<Int8>::transposed(isa, weight, (outputs, features)).product(xs)
        })?;
        refuse_gradients(Tensor::from_vec(ys, (rows, outputs), xs.device())?, &[xs, weight])
    }

    fn reference(self) -> Result<Tensor> {
        reference::linear_forward(self.xs, self.weight, None)
    }
}

/// The op from rows (rows, features) and weights (outputs, features) to (rows, outputs).
struct LinearOp<O> {
    isa: Isa,
    operand: PhantomData<O>,
}

impl<O: GradientOperand<Sum: Real>> CustomOp2 for LinearOp<O> {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        xs: &CpuStorage,
        xs_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (rows, size) = (xs_layout.shape().dims2()?.0, weight_layout.shape().dims2()?);
        let weight = elements::<O::Sum>(weight, weight_layout)?;
        let packed = PackedMatrix::<O>::transposed(self.isa, weight, size);
        let ys = packed.product(elements::<O::Sum>(xs, xs_layout)?);
        Ok((O::Sum::to_cpu_storage_owned(ys), (rows, size.0).into()))
    }

    fn bwd(
        &self,
        xs: &Tensor,
        weight: &Tensor,
        _ys: &Tensor,
        d_ys: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (outputs, inputs) = weight.dims2()?;
        let [detached_xs, detached_weight, d_ys] =
            [xs.detach(), weight.detach(), d_ys.detach().contiguous()?];
        let tensors = [Some(&detached_xs), Some(&detached_weight), Some(&d_ys)];
        let (d_xs, d_weight) = read::<O::Sum, _, 3>(tensors, |[x, w, d_ys]| {
            let d_xs =
                xs.track_op().then(|| PackedMatrix::<O>::new(self.isa, w, (outputs, inputs)).product(d_ys));
            let d_weight =
                weight.track_op().then(|| outer_products::<O>(self.isa, (d_ys, outputs), (x, inputs)));
            (d_xs, d_weight)
        })?;
        let gradient = |elements: Option<Vec<O::Sum>>, like| {
            elements.map(|elements| tensor_like(elements, like)).transpose()
        };
        Ok((gradient(d_xs, xs)?, gradient(d_weight, weight)?))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Var};
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;
    use crate::layers::init::normal;
    use crate::ops::{Precision, backward, without_fused};

    /// The result, and the gradients of xs, weight and bias.
    fn computed(variables: &[Var; 3], weights: &Tensor) -> Vec<Vec<f64>> {
        let [xs, weight, bias] = variables;
        let ys = linear_forward(xs, weight, Some(bias)).unwrap();
        let gradients = backward(&(&ys * weights).unwrap().sum_all().unwrap()).unwrap();
        let elements = |tensor: &Tensor| -> Vec<f64> {
            tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
        };
        let of_variables = variables.iter().map(|var| elements(&gradients.get(var).unwrap().unwrap()));
        std::iter::once(elements(&ys)).chain(of_variables).collect()
    }

    #[test]
    fn kernels_compute_the_reference_in_every_precision() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut random = |dims: &[usize]| {
            let values: Vec<f32> = (0..dims.iter().product()).map(|_| normal(&mut rng) as f32).collect();
            Tensor::from_vec(values, dims, &Device::Cpu).unwrap()
        };
        for [rows, features, outputs] in [[1, 5, 3], [7, 1, 1], [9, 33, 17], [40, 16, 64], [130, 70, 5]] {
            let variables = [random(&[rows, features]), random(&[outputs, features]), random(&[outputs])]
                .map(|tensor| Var::from_tensor(&tensor).unwrap());
            let weights = random(&[rows, outputs]);
            for precision in [Precision::F32, Precision::Bf16] {
                let found = precision.scope(|| computed(&variables, &weights));
                let expected = precision.scope(|| without_fused(|| computed(&variables, &weights)));
                for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
                    let error = (found - expected).abs();
                    assert!(
                        error <= 2e-5 * (1. + expected.abs()),
                        "{found}, expected {expected}, {precision}"
                    );
                }
            }
        }
    }

    #[test]
    fn rows_do_not_depend_on_each_other() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let mut random = |rows: usize| {
            let values: Vec<f32> = (0..rows * 33).map(|_| normal(&mut rng) as f32).collect();
            Tensor::from_vec(values, (rows, 33), &Device::Cpu).unwrap()
        };
        let (xs, weight) = (random(20), random(9));
        for precision in [Precision::F32, Precision::Bf16] {
            let rows = |from, count| -> Vec<Vec<f32>> {
                let rows = xs.narrow(0, from, count).unwrap();
                precision.scope(|| linear_forward(&rows, &weight, None)).unwrap().to_vec2().unwrap()
            };
            let all = rows(0, 20);
            for (row, expected) in all.iter().enumerate() {
                assert_eq!(&rows(row, 1)[0], expected, "{precision}");
            }
        }
    }
}
