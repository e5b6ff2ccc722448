//! The layers and networks as modules of candle: [`Module`] for every one with a single input, and [`WithDropout`],
//! a [`ModuleT`], for training.
//!
//! Candle implements `ModuleT` for every `Module` and ignores `train` there, so a type cannot have both with
//! different behaviour. [`WithDropout`] is therefore a type of its own.

use std::sync::{Mutex, PoisonError};

use candle_core::{Module, ModuleT, Result, Tensor};
use rand::Rng;

use crate::layers::cell::Cell;
use crate::layers::dropout::Noise;
use crate::layers::embedding::Embedding;
use crate::layers::linear::Linear;
use crate::layers::recurrent::Recurrent;
use crate::layers::stack::Stack;

/// The outputs of all steps, from a zero state and without dropout: (batch, time, input size) to
/// (batch, time, output size).
impl<C: Cell> Module for Stack<C> {
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        Ok(Recurrent::run(self, xs, None, None)?.ys)
    }
}

/// (.., inputs) to (.., outputs).
impl Module for Linear {
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        Linear::forward(self, xs)
    }
}

/// Tokens (batch, time) to their embeddings, (batch, time, features).
impl Module for Embedding {
    fn forward(&self, tokens: &Tensor) -> Result<Tensor> {
        Embedding::forward(self, tokens)
    }
}

/// A layer or network with dropout in training.
pub trait ForwardT {
    /// Compute the outputs of the [`Module`] from a zero state. With a generator in `noise`, dropout acts.
    ///
    /// # Errors
    /// If the shape of `xs` is not the module's input.
    fn forward_with(&self, xs: &Tensor, noise: Noise<'_>) -> Result<Tensor>;
}

impl<C: Cell> ForwardT for Stack<C> {
    fn forward_with(&self, xs: &Tensor, noise: Noise<'_>) -> Result<Tensor> {
        Ok(Recurrent::run_t(self, xs, None, None, noise)?.ys)
    }
}

/// A module with a random generator of its own. All kinds of dropout act if `train` is true.
///
/// ```
/// use candle_core::{DType, Device, ModuleT, Tensor};
/// use candle_nn::{VarBuilder, VarMap};
/// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
/// use rnn_zoo_models::{Gru, GruConfig, WithDropout};
///
/// let parameters = VarMap::new();
/// let vb = VarBuilder::from_varmap(&parameters, DType::F32, &Device::Cpu);
/// let gru = Gru::new(&GruConfig::new(4, 8), vb)?;
/// let gru = WithDropout::new(gru, ChaCha8Rng::seed_from_u64(1));
/// let xs = Tensor::zeros((2, 10, 4), DType::F32, &Device::Cpu)?;
/// assert_eq!(gru.forward_t(&xs, true)?.dims(), [2, 10, 8]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub struct WithDropout<M> {
    module: M,
    rng: Mutex<Box<dyn Rng + Send>>,
}

impl<M> WithDropout<M> {
    /// Make a module whose noise comes from `rng`.
    pub fn new(module: M, rng: impl Rng + Send + 'static) -> Self {
        Self { module, rng: Mutex::new(Box::new(rng)) }
    }

    /// Return the module.
    pub fn module(&self) -> &M {
        &self.module
    }
}

impl<M: ForwardT> ModuleT for WithDropout<M> {
    fn forward_t(&self, xs: &Tensor, train: bool) -> Result<Tensor> {
        if !train {
            return self.module.forward_with(xs, None);
        }
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        self.module.forward_with(xs, Some(&mut **rng))
    }
}

#[cfg(test)]
mod tests;
