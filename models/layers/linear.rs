//! The linear layer and its losses.

use candle_core::{Result, Tensor, bail};
use candle_nn::VarBuilder;
use rand::Rng;

use crate::layers::config::check_probability;
use crate::layers::init::{Distribution, parameter};
use crate::ops::cross_entropy::{CrossEntropySum, LinearExamples};
use crate::ops::linear::linear_forward;

/// Make a linear layer with parameters from `vb`: `weight` (outputs, inputs) and `bias` (outputs). Parameters that `vb`
/// creates are uniform in ±1/√inputs, as PyTorch's.
///
/// # Errors
/// If a parameter is missing or has another shape.
pub fn linear(inputs: usize, outputs: usize, vb: VarBuilder<'_>) -> Result<Linear> {
    let bias = parameter(&vb, outputs, "bias", linear_distribution(inputs))?;
    Ok(Linear { bias: Some(bias), ..linear_no_bias(inputs, outputs, vb)? })
}

/// Make a linear layer without bias, with `weight` (outputs, inputs) from `vb`; see [`linear()`].
///
/// # Errors
/// If the parameter is missing or has another shape.
#[allow(clippy::needless_pass_by_value)] // as candle's own constructors take it
pub fn linear_no_bias(inputs: usize, outputs: usize, vb: VarBuilder<'_>) -> Result<Linear> {
    let weight = parameter(&vb, (outputs, inputs), "weight", linear_distribution(inputs))?;
    Ok(Linear::new(weight, None))
}

/// Make a linear layer as [`linear()`], whose bias starts at zero.
///
/// # Errors
/// As [`linear()`].
pub(crate) fn linear_zero_bias(inputs: usize, outputs: usize, vb: VarBuilder<'_>) -> Result<Linear> {
    let bias = parameter(&vb, outputs, "bias", Distribution::Constant(0.))?;
    Ok(Linear { bias: Some(bias), ..linear_no_bias(inputs, outputs, vb)? })
}

/// Return PyTorch's distribution of the parameters of a linear layer.
pub(crate) fn linear_distribution(inputs: usize) -> Distribution {
    Distribution::Uniform(1. / (inputs as f64).sqrt())
}

/// A linear layer, `y = x W^T + b`.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use candle_nn::{VarBuilder, VarMap};
/// use rnn_zoo_models::linear;
///
/// let parameters = VarMap::new();
/// let vb = VarBuilder::from_varmap(&parameters, DType::F32, &Device::Cpu);
/// let decoder = linear(8, 3, vb.pp("decoder"))?;
/// let xs = Tensor::zeros((2, 10, 8), DType::F32, &Device::Cpu)?; // (batch, time, inputs)
/// assert_eq!(decoder.forward(&xs)?.dims(), [2, 10, 3]); // (batch, time, outputs)
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    /// Make a layer of `weight` (outputs, inputs) and `bias` (outputs). [`linear()`] takes both from a `VarBuilder`.
    pub fn new(weight: Tensor, bias: Option<Tensor>) -> Self {
        Self { weight, bias }
    }

    /// Return the weights, (outputs, inputs).
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// Draw the parameters anew as [`linear()`] does.
    ///
    /// # Errors
    /// If a parameter is not a variable.
    pub(crate) fn reset(&self, rng: &mut dyn Rng) -> Result<()> {
        let distribution = linear_distribution(self.weight.dim(1)?);
        self.draw([distribution; 2], rng)
    }

    /// Draw the weights anew and set the bias to zero, as [`linear_zero_bias`] does.
    ///
    /// # Errors
    /// If a parameter is not a variable.
    pub(crate) fn reset_zero_bias(&self, rng: &mut dyn Rng) -> Result<()> {
        self.draw([linear_distribution(self.weight.dim(1)?), Distribution::Constant(0.)], rng)
    }

    /// Draw weights and bias anew from these distributions.
    ///
    /// # Errors
    /// If a parameter is not a variable.
    pub(crate) fn draw(&self, [weight, bias]: [Distribution; 2], rng: &mut dyn Rng) -> Result<()> {
        weight.draw(&self.weight, rng)?;
        self.bias().map_or(Ok(()), |parameter| bias.draw(parameter, rng))
    }

    /// Return the bias, (outputs).
    pub fn bias(&self) -> Option<&Tensor> {
        self.bias.as_ref()
    }

    /// Compute the outputs: (.., inputs) to (.., outputs).
    ///
    /// # Errors
    /// If the last dimension of `xs` is not `inputs`.
    pub fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let mut dims = xs.dims().to_vec();
        let Some((last, leading)) = dims.split_last_mut() else {
            bail!("a scalar cannot enter a linear layer")
        };
        let rows = xs.reshape((leading.iter().product::<usize>(), *last))?; // (rows, inputs)
        *last = self.weight.dim(0)?;
        linear_forward(&rows, &self.weight, self.bias())?.reshape(dims)
    }

    /// Compute the mean softmax cross-entropy of the outputs in nats, a scalar with a gradient.
    ///
    /// `xs` is (rows, inputs) and `targets` (rows), indices of outputs. With label `smoothing`, that share of each
    /// target's probability is spread evenly over all outputs (Szegedy et al. 2016).
    ///
    /// # Errors
    /// If the shapes disagree, a target is not an output, or `smoothing` is outside [0, 1).
    pub fn cross_entropy(&self, xs: &Tensor, targets: &Tensor, smoothing: f64) -> Result<Tensor> {
        check_probability("label smoothing", smoothing)?;
        self.examples(xs, targets).mean_loss(smoothing)
    }

    /// Compute the summed cross-entropy and the number of rows whose target has the highest output, without a
    /// gradient. Shapes are those of [`Linear::cross_entropy`].
    ///
    /// # Errors
    /// As [`Linear::cross_entropy`].
    pub fn cross_entropy_sum(&self, xs: &Tensor, targets: &Tensor) -> Result<CrossEntropySum> {
        self.examples(xs, targets).sum()
    }

    /// Compute the cross-entropy of each row, `-log p(target)` in nats, without a gradient. Shapes are those of
    /// [`Linear::cross_entropy`].
    ///
    /// # Errors
    /// As [`Linear::cross_entropy`].
    pub fn losses(&self, xs: &Tensor, targets: &Tensor) -> Result<Vec<f64>> {
        self.examples(xs, targets).losses()
    }

    fn examples<'a>(&'a self, rows: &'a Tensor, targets: &'a Tensor) -> LinearExamples<'a> {
        LinearExamples { rows, weight: &self.weight, bias: self.bias(), targets }
    }
}
