//! Optimizers.
//!
//! The equations are those of PyTorch's `torch.optim` pages, with gradient `g`, learning rate `lr` and
//! weight decay `w`; unless said otherwise `g` has `w * p` added to it first.
//!
//! - SGD: `b = momentum * b + g`, from `b = g` at the first step; `p -= lr * b`, or with Nesterov's
//!   momentum `p -= lr * (g + momentum * b)`.
//! - Adam (Kingma and Ba, 2015): `m = beta1 * m + (1 - beta1) * g`, `v = beta2 * v + (1 - beta2) * g^2`,
//!   `p -= lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps)`.
//! - AdamW (Loshchilov and Hutter, 2019): Adam whose decay leaves `g` alone: `p *= 1 - lr * w` first.
//! - RMSprop (Hinton, 2012): `v = alpha * v + (1 - alpha) * g^2`, `p -= lr * g / (sqrt(v) + eps)`.
//!
//! Candle has AdamW too, but shows nobody its moments, and training could not be resumed to the bit.

mod average;
mod config;
mod in_place;

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{DType, Device, Tensor};

use super::gradients::Gradients;
use crate::parameters::{NamedTensors, Parameters};
use crate::{Error, Result};

pub use average::{Average, AverageState};
pub use config::OptimizerConfig;

/// An optimizer under way, with all that it remembers of past gradients. It has no `Clone`: moments change in
/// place; [`Optimizer::state`] copies them.
#[derive(Debug)]
pub struct Optimizer {
    config: OptimizerConfig,
    /// Parameters that weight decay leaves alone, and the configuration for them.
    spared: BTreeSet<String>,
    without_decay: OptimizerConfig,
    memory: BTreeMap<String, Memory>,
}

/// What is remembered of one parameter's gradients.
#[derive(Debug)]
struct Memory {
    /// Steps in which the parameter had a gradient.
    steps: u32,
    /// In the order of [`OptimizerConfig::moments`]; zero at first.
    moments: Vec<Tensor>,
}

impl Optimizer {
    /// An optimizer that has seen no gradient.
    ///
    /// # Errors
    /// A configuration that does not [validate](OptimizerConfig::validate).
    pub fn new(config: OptimizerConfig) -> Result<Self> {
        config.validate()?;
        let without_decay = config.clone().with_weight_decay(0.);
        Ok(Self { config, spared: BTreeSet::new(), without_decay, memory: BTreeMap::new() })
    }

    /// The same, with weight decay for the matrices of layers alone: not for vectors, which are biases and the
    /// scales of normalisation, nor for embeddings, tied or not. PyTorch's examples and AWD-LSTM decay all.
    pub fn sparing_vectors_and_embeddings(mut self, parameters: &Parameters) -> Self {
        let spared = parameters.iter().filter(|(name, var)| var.rank() < 2 || *name == "encoder.weight");
        self.spared = spared.map(|(name, _)| name.to_string()).collect();
        self
    }

    /// The configuration it was made with.
    pub fn config(&self) -> &OptimizerConfig {
        &self.config
    }

    /// Moves each parameter that has a gradient, at the learning rate `lr`.
    ///
    /// # Errors
    /// A gradient of another shape than its parameter, and those of the device.
    pub fn step(&mut self, parameters: &Parameters, gradients: &Gradients, lr: f64) -> Result<()> {
        for (name, var) in parameters.iter() {
            let Some(gradient) = gradients.get(name) else { continue };
            if gradient.dims() != var.dims() {
                let (found, expected) = (gradient.dims(), var.dims());
                return Err(Error::Message(format!("the gradient of {name} is {found:?}, not {expected:?}")));
            }
            // Detached, or the new value would carry the graph of every step before it.
            let parameter = var.as_detached_tensor();
            if !self.memory.contains_key(name) {
                let zeros = self.config.moments().iter().map(|_| parameter.zeros_like());
                let moments = zeros.collect::<candle_core::Result<_>>()?;
                self.memory.insert(name.to_string(), Memory { steps: 0, moments });
            }
            let Some(Memory { steps, moments }) = self.memory.get_mut(name) else { continue };
            *steps += 1;
            let config = if self.spared.contains(name) { &self.without_decay } else { &self.config };
            let step = in_place::Step { config, number: *steps, lr };
            if !in_place::step(step, &parameter, (gradient, gradients.factor()), moments)? {
                let gradient = gradient.affine(gradients.factor(), 0.)?;
                let (moved, next) = config.update(&parameter, &gradient, moments, *steps, lr)?;
                var.set(&moved)?;
                *moments = next;
            }
        }
        Ok(())
    }

    /// All that the optimizer remembers, under names such as `adam.exp_avg.rnn.weight_ih_l0`; the
    /// number of steps is an i64 scalar, `adam.step.rnn.weight_ih_l0`.
    ///
    /// # Errors
    /// None on a device that works.
    pub fn state(&self) -> Result<NamedTensors> {
        let optimizer = self.config.name();
        let mut state = NamedTensors::new();
        for (name, memory) in &self.memory {
            let steps = Tensor::new(i64::from(memory.steps), &Device::Cpu)?;
            state.insert(format!("{optimizer}.step.{name}"), steps);
            for (moment, tensor) in self.config.moments().iter().zip(&memory.moments) {
                // A copy: the next step changes the moments where they lie.
                state.insert(format!("{optimizer}.{moment}.{name}"), tensor.copy()?);
            }
        }
        Ok(state)
    }

    /// Takes up where the optimizer that gave `state` stopped; from there on both do the same to the
    /// bit. On an error nothing has changed.
    ///
    /// # Errors
    /// State of another optimizer or of other parameters: names, shapes or dtypes that disagree.
    pub fn load_state(&mut self, parameters: &Parameters, state: &NamedTensors) -> Result<()> {
        let optimizer = self.config.name();
        let mut memory = BTreeMap::new();
        for (name, var) in parameters.iter() {
            let Some(steps) = state.get(&format!("{optimizer}.step.{name}")) else { continue };
            let steps = steps.to_device(&Device::Cpu)?.to_dtype(DType::I64)?.to_scalar::<i64>()?;
            let steps = u32::try_from(steps)
                .map_err(|_| Error::Message(format!("optimizer state: {name} counts {steps} steps")))?;
            let moment = |moment: &&str| {
                let key = format!("{optimizer}.{moment}.{name}");
                let tensor = state
                    .get(&key)
                    .ok_or_else(|| Error::Message(format!("optimizer state: the tensor {key} is missing")))?;
                if (tensor.dims(), tensor.dtype()) != (var.dims(), var.dtype()) {
                    return Err(Error::Message(format!(
                        "optimizer state: {key} is {} {:?}, but its parameter is {} {:?}",
                        tensor.dtype().as_str(),
                        tensor.dims(),
                        var.dtype().as_str(),
                        var.dims(),
                    )));
                }
                Ok(tensor.to_device(var.device())?.copy()?)
            };
            let moments = self.config.moments().iter().map(moment).collect::<Result<_>>()?;
            memory.insert(name.to_string(), Memory { steps, moments });
        }
        let taken = memory.len() * (1 + self.config.moments().len());
        if taken != state.len() {
            return Err(Error::Message(format!(
                "optimizer state: {} of {} tensors belong to no parameter of this model under {optimizer}",
                state.len() - taken,
                state.len(),
            )));
        }
        self.memory = memory;
        Ok(())
    }
}

impl OptimizerConfig {
    /// One parameter's next value and moments after `steps` steps, in plain tensor ops: any device, any
    /// dtype. What [`in_place`] does where it can is held to this.
    fn update(
        &self,
        parameter: &Tensor,
        gradient: &Tensor,
        moments: &[Tensor],
        steps: u32,
        lr: f64,
    ) -> candle_core::Result<(Tensor, Vec<Tensor>)> {
        match (self, moments) {
            (&Self::Sgd { weight_decay, .. }, []) => {
                let gradient = decayed(gradient, parameter, weight_decay)?;
                Ok(((parameter - gradient.affine(lr, 0.0)?)?, vec![]))
            }
            (&Self::Sgd { momentum, nesterov, weight_decay }, [buffer]) => {
                let gradient = decayed(gradient, parameter, weight_decay)?;
                let buffer = (buffer.affine(momentum, 0.0)? + &gradient)?;
                let direction = match nesterov {
                    true => (gradient + buffer.affine(momentum, 0.0)?)?,
                    false => buffer.clone(),
                };
                Ok(((parameter - direction.affine(lr, 0.0)?)?, vec![buffer]))
            }
            (&Self::Adam { betas, eps, weight_decay }, [mean, square]) => {
                let gradient = decayed(gradient, parameter, weight_decay)?;
                let (direction, moments) = adam(&gradient, [mean, square], steps, betas, eps)?;
                Ok(((parameter - direction.affine(lr, 0.0)?)?, moments))
            }
            (&Self::AdamW { betas, eps, weight_decay }, [mean, square]) => {
                let (direction, moments) = adam(gradient, [mean, square], steps, betas, eps)?;
                let shrunk = parameter.affine(1.0 - lr * weight_decay, 0.0)?;
                Ok(((shrunk - direction.affine(lr, 0.0)?)?, moments))
            }
            (&Self::RmsProp { alpha, eps, weight_decay }, [square]) => {
                let gradient = decayed(gradient, parameter, weight_decay)?;
                let square = average(square, &gradient.sqr()?, alpha)?;
                let direction = (gradient / square.sqrt()?.affine(1.0, eps)?)?;
                Ok(((parameter - direction.affine(lr, 0.0)?)?, vec![square]))
            }
            _ => unreachable!("invariant: an optimizer has as many moments as it names"),
        }
    }
}

/// The gradient of the loss with the L2 penalty `decay / 2 * parameter^2`.
fn decayed(gradient: &Tensor, parameter: &Tensor, decay: f64) -> candle_core::Result<Tensor> {
    match decay == 0.0 {
        true => Ok(gradient.clone()),
        false => gradient + parameter.affine(decay, 0.0)?,
    }
}

/// `share * old + (1 - share) * new`.
fn average(old: &Tensor, new: &Tensor, share: f64) -> candle_core::Result<Tensor> {
    old.affine(share, 0.0)? + new.affine(1.0 - share, 0.0)?
}

/// Adam's direction, to be multiplied by the learning rate, and the two moments.
fn adam(
    gradient: &Tensor,
    [mean, square]: [&Tensor; 2],
    steps: u32,
    betas: [f64; 2],
    eps: f64,
) -> candle_core::Result<(Tensor, Vec<Tensor>)> {
    let mean = average(mean, gradient, betas[0])?;
    let square = average(square, &gradient.sqr()?, betas[1])?;
    let [bias_mean, bias_square] = betas.map(|beta| 1.0 - beta.powf(f64::from(steps)));
    let denominator = square.sqrt()?.affine(1.0 / bias_square.sqrt(), eps)?;
    let direction = (mean.affine(1.0 / bias_mean, 0.0)? / denominator)?;
    Ok((direction, vec![mean, square]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Var;
    use proptest::prelude::*;

    fn parameter(values: &[f32]) -> Parameters {
        Parameters::from_iter([("w".to_string(), Var::new(values, &Device::Cpu).unwrap())])
    }

    fn gradient(values: &[f32]) -> Gradients {
        NamedTensors::from([("w".to_string(), Tensor::new(values, &Device::Cpu).unwrap())]).into()
    }

    fn values(parameters: &Parameters) -> Vec<f32> {
        parameters.get("w").unwrap().to_vec1().unwrap()
    }

    #[test]
    fn decay_spares_vectors_and_embeddings_where_it_is_told_to() {
        let var = |dims: &[usize]| Var::ones(dims, DType::F64, &Device::Cpu).unwrap();
        let named =
            [("decoder.bias", var(&[3])), ("encoder.weight", var(&[3, 2])), ("rnn.weight", var(&[2, 2]))];
        let parameters: Parameters = named.into_iter().map(|(name, var)| (name.to_string(), var)).collect();
        let zero = parameters.iter().map(|(name, var)| (name.to_string(), var.zeros_like().unwrap()));
        let gradients = Gradients::from(zero.collect::<NamedTensors>());
        let config = || "sgd".parse::<OptimizerConfig>().unwrap().with_weight_decay(0.5);
        let shrunk = |mut optimizer: Optimizer| {
            optimizer.step(&parameters, &gradients, 1.0).unwrap();
            let first = |(_, var): (_, &Var)| var.flatten_all().unwrap().to_vec1::<f64>().unwrap()[0];
            parameters.iter().map(first).collect::<Vec<_>>()
        };
        let optimizer = Optimizer::new(config()).unwrap().sparing_vectors_and_embeddings(&parameters);
        assert_eq!(shrunk(optimizer), [1.0, 1.0, 0.5]);
        assert_eq!(shrunk(Optimizer::new(config()).unwrap()), [0.5, 0.5, 0.25]);
    }

    #[test]
    fn sgd_walks_down_the_gradient_of_backward() {
        let parameters = parameter(&[3.0, -1.0]);
        let mut sgd = Optimizer::new("sgd".parse().unwrap()).unwrap();
        for _ in 0..3 {
            let loss = parameters.get("w").unwrap().sqr().unwrap().sum_all().unwrap();
            let gradients = Gradients::of(&loss, &parameters).unwrap();
            sgd.step(&parameters, &gradients, 0.25).unwrap();
        }
        assert_eq!(values(&parameters), [0.375, -0.125]);
    }

    #[test]
    fn a_gradient_may_be_the_parameter_itself_and_has_a_factor() {
        // The gradient of half the square; scaled down to norm 1 by clipping.
        let parameters = parameter(&[3.0, -4.0]);
        let itself = parameters.get("w").unwrap().as_detached_tensor();
        let mut gradients: Gradients = NamedTensors::from([("w".to_string(), itself)]).into();
        crate::training::gradients::clip_by_norm(&mut gradients, 1.0).unwrap();
        Optimizer::new("sgd".parse().unwrap()).unwrap().step(&parameters, &gradients, 5.0).unwrap();
        let moved = values(&parameters);
        assert!(moved.iter().all(|w| w.abs() < 1e-5), "{moved:?} is not where the gradient ends");
    }

    #[test]
    fn an_unused_parameter_has_no_gradient_and_stays() {
        let mut parameters = parameter(&[1.0]);
        let other = ("other".to_string(), Var::new(&[5f32], &Device::Cpu).unwrap());
        parameters =
            parameters.iter().map(|(name, var)| (name.to_string(), var.clone())).chain([other]).collect();
        let loss = parameters.get("w").unwrap().sum_all().unwrap();
        let gradients = Gradients::of(&loss, &parameters).unwrap();
        assert_eq!(gradients.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["w"]);
        let mut adam = Optimizer::new("adam".parse().unwrap()).unwrap();
        adam.step(&parameters, &gradients, 0.1).unwrap();
        assert_eq!(parameters.get("other").unwrap().to_vec1::<f32>().unwrap(), [5.0]);
        assert_eq!(adam.state().unwrap().len(), 3);
    }

    #[test]
    fn nothing_that_is_remembered_follows_a_graph() {
        let parameters = parameter(&[1.0, 2.0]);
        let mut adam = Optimizer::new("adam".parse().unwrap()).unwrap();
        for _ in 0..2 {
            let loss = parameters.get("w").unwrap().sqr().unwrap().sum_all().unwrap();
            let gradients = Gradients::of(&loss, &parameters).unwrap();
            adam.step(&parameters, &gradients, 0.1).unwrap();
        }
        assert!(adam.state().unwrap().values().all(|tensor| !tensor.track_op()));
    }

    #[test]
    fn state_of_another_optimizer_or_model_is_refused() {
        let (parameters, other) = (parameter(&[1.0, 2.0]), parameter(&[1.0]));
        let mut adam = Optimizer::new("adam".parse().unwrap()).unwrap();
        adam.step(&parameters, &gradient(&[1.0, 1.0]), 0.1).unwrap();
        let state = adam.state().unwrap();
        let refused = |name: &str, parameters: &Parameters, state: &NamedTensors| {
            let mut optimizer = Optimizer::new(name.parse().unwrap()).unwrap();
            optimizer.load_state(parameters, state).unwrap_err().to_string()
        };
        let problem = refused("adamw", &parameters, &state);
        assert!(
            problem.contains("3 of 3 tensors belong to no parameter of this model under adamw"),
            "{problem}"
        );
        let problem = refused("adam", &other, &state);
        assert!(problem.contains("adam.exp_avg.w is f32 [2], but its parameter is f32 [1]"), "{problem}");
        let mut torn = state.clone();
        torn.remove("adam.exp_avg_sq.w");
        assert!(refused("adam", &parameters, &torn).contains("adam.exp_avg_sq.w is missing"));
    }

    proptest! {
        #[test]
        fn a_restored_optimizer_continues_to_the_bit(
            optimizer in 0..5usize,
            decay in prop_oneof![Just(0.0), 0.001..0.1f64],
            start in prop::collection::vec(-3.0..3.0f32, 7),
            gradients in prop::collection::vec(prop::collection::vec(-2.0..2.0f32, 7), 1..12),
            stop in 0..12usize,
        ) {
            let config: OptimizerConfig = match optimizer {
                4 => OptimizerConfig::Sgd { momentum: 0.9, nesterov: true, weight_decay: decay },
                other => OptimizerConfig::NAMES[other].parse::<OptimizerConfig>().unwrap().with_weight_decay(decay),
            };
            let (ahead, resumed) = (parameter(&start), parameter(&start));
            let mut first = Optimizer::new(config.clone()).unwrap();
            let mut second = Optimizer::new(config).unwrap();
            for (step, values) in gradients.iter().enumerate() {
                if step == stop {
                    let state = second.state().unwrap();
                    second = Optimizer::new(first.config().clone()).unwrap();
                    second.load_state(&resumed, &state).unwrap();
                }
                first.step(&ahead, &gradient(values), 0.05).unwrap();
                second.step(&resumed, &gradient(values), 0.05).unwrap();
            }
            let bits = |parameters: &Parameters| values(parameters).iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&ahead), bits(&resumed));
        }
    }
}
