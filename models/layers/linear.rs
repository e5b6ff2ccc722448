//! The linear layer and its losses.

use candle_core::{Result, Tensor, bail};

use crate::layers::config::check_probability;
use crate::ops::cross_entropy::{Examples, Score};
use crate::ops::reference;

/// A linear layer, `y = x W^T + b`.
#[derive(Clone, Debug)]
pub struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    /// A layer of `weight` (outputs, inputs) and `bias` (outputs).
    pub fn new(weight: Tensor, bias: Option<Tensor>) -> Self {
        Self { weight, bias }
    }

    /// The weights, (outputs, inputs).
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// The bias, (outputs).
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
        *last = self.weight.dims()[0];
        reference::linear(&rows, &self.weight, self.bias())?.reshape(dims)
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
    pub fn score(&self, xs: &Tensor, targets: &Tensor) -> Result<Score> {
        self.examples(xs, targets).score()
    }

    /// Compute the cross-entropy of each row, `-log p(target)` in nats, without a gradient. Shapes are those of
    /// [`Linear::cross_entropy`].
    ///
    /// # Errors
    /// As [`Linear::cross_entropy`].
    pub fn losses(&self, xs: &Tensor, targets: &Tensor) -> Result<Vec<f64>> {
        self.examples(xs, targets).losses()
    }

    fn examples<'a>(&'a self, rows: &'a Tensor, targets: &'a Tensor) -> Examples<'a> {
        Examples { rows, weight: &self.weight, bias: self.bias(), targets }
    }
}
