//! An optimizer and its state.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{DType, Device, Tensor, Var};

use super::config::OptimizerConfig;
use super::in_place;
use super::update::update;
use crate::parameters::{NamedTensors, Parameters};
use crate::training::gradients::Gradients;
use crate::{Error, Result};

/// An optimizer and its state. It has no `Clone`, because moments change in place; [`Optimizer::state`] copies them.
#[derive(Debug)]
pub struct Optimizer {
    config: OptimizerConfig,
    /// The names of parameters without weight decay, and the configuration for them.
    spared: BTreeSet<String>,
    without_decay: OptimizerConfig,
    moments: BTreeMap<String, Moments>,
}

/// The state for one parameter.
#[derive(Debug)]
struct Moments {
    /// Steps in which the parameter had a gradient.
    steps: u32,
    /// In the order of [`OptimizerConfig::moments`]; initially zero.
    tensors: Vec<Tensor>,
}

impl Optimizer {
    /// An optimizer with an empty state.
    ///
    /// # Errors
    /// If the configuration is invalid, see [`OptimizerConfig::validate`].
    pub fn new(config: OptimizerConfig) -> Result<Self> {
        config.validate()?;
        let without_decay = config.clone().with_weight_decay(0.);
        Ok(Self { config, spared: BTreeSet::new(), without_decay, moments: BTreeMap::new() })
    }

    /// Apply no weight decay to the parameters of these names.
    #[must_use]
    pub fn sparing<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.spared = names.into_iter().map(String::from).collect();
        self
    }

    /// The configuration.
    pub fn config(&self) -> &OptimizerConfig {
        &self.config
    }

    /// Update every parameter that has a gradient, at learning rate `lr`.
    ///
    /// # Errors
    /// If a gradient and its parameter have different shapes, and errors from candle.
    pub fn step(&mut self, parameters: &Parameters, gradients: &Gradients, lr: f64) -> Result<()> {
        for (name, var) in parameters.iter() {
            let Some(gradient) = gradients.get(name) else { continue };
            if gradient.dims() != var.dims() {
                let (found, expected) = (gradient.dims(), var.dims());
                return Err(Error::Message(format!("the gradient of {name} is {found:?}, not {expected:?}")));
            }
            // Detached, or the new value would carry the graph of every step before it.
            let parameter = var.as_detached_tensor();
            if !self.moments.contains_key(name) {
                let zeros = self.config.moments().iter().map(|_| parameter.zeros_like());
                let tensors = zeros.collect::<candle_core::Result<_>>()?;
                self.moments.insert(name.to_string(), Moments { steps: 0, tensors });
            }
            let Some(Moments { steps, tensors }) = self.moments.get_mut(name) else { continue };
            *steps += 1;
            let config = if self.spared.contains(name) { &self.without_decay } else { &self.config };
            let step = in_place::UpdateStep { config, number: *steps, lr };
            if !in_place::step(step, &parameter, (gradient, gradients.factor()), tensors)? {
                let gradient = gradient.affine(gradients.factor(), 0.)?;
                let (updated, next) = update(config, &parameter, &gradient, tensors, *steps, lr)?;
                var.set(&updated)?;
                *tensors = next;
            }
        }
        Ok(())
    }

    /// Return a copy of the state, under names such as `adam.exp_avg.rnn.weight_ih_l0`. The number of steps is an i64
    /// scalar, `adam.step.rnn.weight_ih_l0`.
    ///
    /// # Errors
    /// Errors from candle.
    pub fn state(&self) -> Result<NamedTensors> {
        let optimizer = self.config.name();
        let mut state = NamedTensors::new();
        for (name, Moments { steps, tensors }) in &self.moments {
            let steps = Tensor::new(i64::from(*steps), &Device::Cpu)?;
            state.insert(format!("{optimizer}.step.{name}"), steps);
            for (moment, tensor) in self.config.moments().iter().zip(tensors) {
                // Copied, because the next step changes the moments in place.
                state.insert(format!("{optimizer}.{moment}.{name}"), tensor.copy()?);
            }
        }
        Ok(state)
    }

    /// Restore a state that [`Optimizer::state`] returned. From there on both optimizers make the same updates to
    /// the bit. On an error the state does not change.
    ///
    /// # Errors
    /// If the state is that of another optimizer or of other parameters.
    pub fn load_state(&mut self, parameters: &Parameters, state: &NamedTensors) -> Result<()> {
        let optimizer = self.config.name();
        let mut moments = BTreeMap::new();
        for (name, var) in parameters.iter() {
            let Some(steps) = state.get(&format!("{optimizer}.step.{name}")) else { continue };
            let steps = steps.to_device(&Device::Cpu)?.to_dtype(DType::I64)?.to_scalar::<i64>()?;
            let steps = u32::try_from(steps)
                .map_err(|_| Error::Message(format!("optimizer state: {name} counts {steps} steps")))?;
            let tensor = |moment: &&str| moment_of(state, &format!("{optimizer}.{moment}.{name}"), var);
            let tensors = self.config.moments().iter().map(tensor).collect::<Result<_>>()?;
            moments.insert(name.to_string(), Moments { steps, tensors });
        }
        let used = moments.len() * (1 + self.config.moments().len());
        if used != state.len() {
            return Err(Error::Message(format!(
                "optimizer state: {} of {} tensors belong to no parameter of this model under {optimizer}",
                state.len() - used,
                state.len(),
            )));
        }
        self.moments = moments;
        Ok(())
    }
}

/// Return a copy of the moment `key` of a parameter, on the parameter's device.
fn moment_of(state: &NamedTensors, key: &str, var: &Var) -> Result<Tensor> {
    let tensor = state
        .get(key)
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
}

#[cfg(test)]
mod tests {
    use super::*;
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
    fn weight_decay_spares_vectors_and_embeddings() {
        let var = |dims: &[usize]| Var::ones(dims, DType::F64, &Device::Cpu).unwrap();
        let named = [("bias", var(&[3])), ("embedding", var(&[3, 2])), ("weight", var(&[2, 2]))];
        let parameters: Parameters = named.into_iter().map(|(name, var)| (name.to_string(), var)).collect();
        let parameters = parameters.with_embeddings(["embedding"]);
        let zero = parameters.iter().map(|(name, var)| (name.to_string(), var.zeros_like().unwrap()));
        let gradients = Gradients::from(zero.collect::<NamedTensors>());
        let config = || "sgd".parse::<OptimizerConfig>().unwrap().with_weight_decay(0.5);
        let shrunk = |mut optimizer: Optimizer| {
            optimizer.step(&parameters, &gradients, 1.0).unwrap();
            let first = |(_, var): (_, &Var)| var.flatten_all().unwrap().to_vec1::<f64>().unwrap()[0];
            parameters.iter().map(first).collect::<Vec<_>>()
        };
        let optimizer = Optimizer::new(config()).unwrap().sparing(parameters.vectors_and_embeddings());
        assert_eq!(shrunk(optimizer), [1.0, 1.0, 0.5]);
        assert_eq!(shrunk(Optimizer::new(config()).unwrap()), [0.5, 0.5, 0.25]);
    }

    #[test]
    fn sgd_follows_the_gradient_of_backward() {
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
    fn gradient_may_share_storage_with_its_parameter() {
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
    fn unused_parameter_does_not_change() {
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
    fn state_is_detached() {
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
        fn restored_optimizer_continues_to_the_bit(
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
