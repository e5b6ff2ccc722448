//! Initial values of parameters.
//!
//! A parameter gets its initial value in one of two ways. [`parameter`] takes it out of a `VarBuilder`: a builder
//! over an empty `VarMap` draws the value with candle's own generator, and one over a checkpoint returns the value of
//! the checkpoint. [`Distribution::draw`] sets a variable anew from a seeded generator.

use candle_core::{DType, Result, Shape, Tensor, Var, bail};
use candle_nn::VarBuilder;
use rand::{Rng, RngExt};

/// The distribution of a parameter's initial value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Distribution {
    /// The same number everywhere.
    Constant(f64),
    /// Uniform in ±bound.
    Uniform(f64),
    /// A matrix with orthonormal rows or columns, whichever are fewer (Saxe et al. 2013).
    Orthogonal,
}

impl Distribution {
    /// Return Keras's `GlorotUniform` of a matrix: uniform in ±sqrt(6 / (rows + columns)).
    pub(crate) fn glorot(rows: usize, columns: usize) -> Self {
        Self::Uniform((6. / (rows + columns) as f64).sqrt())
    }

    /// Return candle's form of the distribution. Candle has no orthogonal matrices; [`parameter`] makes one out of
    /// the normal numbers that the hint asks for.
    fn hint(self) -> candle_nn::Init {
        match self {
            Self::Constant(value) => candle_nn::Init::Const(value),
            Self::Uniform(bound) => candle_nn::Init::Uniform { lo: -bound, up: bound },
            Self::Orthogonal => candle_nn::Init::Randn { mean: 0., stdev: 1. },
        }
    }

    /// Draw a new value for `variable`, elements in row-major order.
    ///
    /// # Errors
    /// If the tensor is not a variable.
    pub(crate) fn draw(self, variable: &Tensor, rng: &mut dyn Rng) -> Result<()> {
        match self {
            Self::Constant(value) => fill(variable, |_| value),
            Self::Uniform(bound) => fill(variable, |_| bound * (2. * rng.random::<f64>() - 1.)),
            Self::Orthogonal => {
                let values: Vec<f64> = (0..variable.elem_count()).map(|_| normal(rng)).collect();
                orthogonalize(variable, &values)
            }
        }
    }
}

/// Take the parameter `name` out of `vb`. The builder draws a parameter that it has to create from `initial`.
///
/// # Errors
/// If the parameter is missing or has another shape.
pub(crate) fn parameter(
    vb: &VarBuilder<'_>,
    shape: impl Into<Shape>,
    name: &str,
    initial: Distribution,
) -> Result<Tensor> {
    let is_new = !vb.contains_tensor(name);
    let tensor = vb.get_with_hints(shape, name, initial.hint())?;
    if initial == Distribution::Orthogonal && is_new && tensor.is_variable() {
        let values = tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
        orthogonalize(&tensor, &values)?;
    }
    Ok(tensor)
}

/// Set a variable's elements in row-major order.
///
/// # Errors
/// If the tensor is not a variable.
pub(crate) fn fill(variable: &Tensor, value: impl FnMut(usize) -> f64) -> Result<()> {
    if !variable.is_variable() {
        bail!(
            "parameters of shape {:?} were loaded for inference and cannot be drawn anew",
            variable.shape()
        );
    }
    let values: Vec<f64> = (0..variable.elem_count()).map(value).collect();
    let values = Tensor::from_vec(values, variable.shape(), variable.device())?;
    Var::from_tensor(variable)?.set(&values.to_dtype(variable.dtype())?)
}

/// Set a matrix to the orthonormal rows or columns, whichever are fewer, that the Gram-Schmidt process makes of
/// `normals`, one vector after another. The process is the modified one and runs twice, which leaves the vectors
/// orthogonal to the last bits of f64.
fn orthogonalize(variable: &Tensor, normals: &[f64]) -> Result<()> {
    let (rows, columns) = variable.dims2()?;
    let width = rows.max(columns);
    let mut vectors: Vec<Vec<f64>> = normals.chunks(width).map(<[f64]>::to_vec).collect();
    for k in 0..vectors.len() {
        let (done, rest) = vectors.split_at_mut(k);
        let vector = &mut rest[0];
        for other in done.iter().chain(done.iter()) {
            let along: f64 = vector.iter().zip(other).map(|(a, b)| a * b).sum();
            vector.iter_mut().zip(other).for_each(|(a, b)| *a -= along * b);
        }
        let norm = vector.iter().map(|a| a * a).sum::<f64>().sqrt();
        vector.iter_mut().for_each(|a| *a /= norm);
    }
    fill(variable, |at| {
        let (row, column) = (at / columns, at % columns);
        if rows < columns { vectors[row][column] } else { vectors[column][row] }
    })
}

/// Draw a standard normal number (Box and Muller 1958).
pub fn normal(rng: &mut dyn Rng) -> f64 {
    let radius = (-2. * (1. - rng.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    #[test]
    fn matrices_are_orthogonal_along_their_shorter_side() {
        for (rows, columns) in [(1, 1), (7, 7), (5, 12), (12, 5), (1, 9)] {
            let var = Var::zeros((rows, columns), DType::F64, &Device::Cpu).unwrap();
            Distribution::Orthogonal.draw(&var, &mut ChaCha8Rng::seed_from_u64(3)).unwrap();
            let product = match rows < columns {
                true => var.matmul(&var.t().unwrap()),
                false => var.t().unwrap().matmul(&var),
            };
            let identity = Tensor::eye(rows.min(columns), DType::F64, &Device::Cpu).unwrap();
            let off = (product.unwrap() - identity).unwrap().abs().unwrap().max_all().unwrap();
            assert!(off.to_scalar::<f64>().unwrap() < 1e-12, "{rows} by {columns}");
        }
    }
}
