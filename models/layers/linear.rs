//! The linear layer and its losses.

use candle_core::{Result, Tensor, bail};

use crate::ops::cross_entropy::{self, Score};

/// A linear layer, `y = x W^T + b`.
#[derive(Clone, Debug)]
pub struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    /// From `weight` (outputs, inputs) and `bias` (outputs).
    pub fn new(weight: Tensor, bias: Option<Tensor>) -> Self {
        Self { weight, bias }
    }

    /// (outputs, inputs).
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// (outputs).
    pub fn bias(&self) -> Option<&Tensor> {
        self.bias.as_ref()
    }

    /// The mean cross-entropy in nats of the softmax over the outputs, a scalar that can be differentiated.
    /// `xs` is (rows, inputs), `targets` (rows), numbers of outputs. With a `smoothing` above 0 that share of
    /// each target's probability is spread evenly over all outputs (Szegedy et al. 2016).
    ///
    /// # Errors
    /// Where the shapes disagree, a target is no output, or the smoothing no share.
    pub fn cross_entropy(&self, xs: &Tensor, targets: &Tensor, smoothing: f64) -> Result<Tensor> {
        cross_entropy::mean(self, xs, targets, smoothing)
    }

    /// The same without smoothing, summed and without a gradient, and how often the target has the highest
    /// score.
    ///
    /// # Errors
    /// As [`Linear::cross_entropy`].
    pub fn score(&self, xs: &Tensor, targets: &Tensor) -> Result<Score> {
        cross_entropy::score(self, xs, targets)
    }

    /// The same of each row on its own, without a gradient: `-log p(target)` in nats.
    ///
    /// # Errors
    /// As [`Linear::cross_entropy`].
    pub fn losses(&self, xs: &Tensor, targets: &Tensor) -> Result<Vec<f64>> {
        cross_entropy::losses(self, xs, targets)
    }

    /// (.., inputs) to (.., outputs).
    ///
    /// # Errors
    /// Where the last dimension is not `inputs`.
    pub fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let mut dims = xs.dims().to_vec();
        let Some((last, leading)) = dims.split_last_mut() else {
            bail!("a scalar cannot enter a linear layer")
        };
        let flat = xs.reshape((leading.iter().product::<usize>(), *last))?.matmul(&self.weight.t()?)?;
        *last = self.weight.dims()[0];
        let flat = match &self.bias {
            Some(bias) => flat.broadcast_add(bias)?,
            None => flat,
        };
        flat.reshape(dims)
    }
}
