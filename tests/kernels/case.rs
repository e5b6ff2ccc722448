//! Random layers, and comparisons of their results.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Result, Tensor, Var};
use proptest::prelude::*;
use rand::RngExt;
use rnn_zoo::models::ops::without_fused;
use rnn_zoo::models::{Precision, RecurrentConfig, StackOptions, State, backward};
use rnn_zoo::rng::{Purpose, stream};

use crate::random_layer::{Check, Kind, Layer, MERGES, random, values};

/// A configuration of a layer, and sizes of a batch.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) config: RecurrentConfig,
    pub(super) time: usize,
    /// Steps of each sequence; as many as the batch has rows.
    pub(super) lengths: Option<Vec<usize>>,
    pub(super) batch: usize,
    /// Whether the layer runs with a generator, as in training.
    pub(super) noisy: bool,
    pub(super) seed: u64,
}

pub(super) fn any_case() -> impl Strategy<Value = Case> {
    // Below, at and above the widths of vectors and tiles.
    let sizes = (1..=20usize, 1..=40usize, 1..=2usize, 0..=7usize, 1..=15usize);
    let merge = prop::option::of(prop::sample::select(MERGES.to_vec()));
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), prop::sample::select(vec![0., 0.4]));
    let chances = (prop::sample::select(vec![0., 0.3]), prop::sample::select(vec![0., 0.3]));
    (prop::sample::select(Kind::ALL.to_vec()), sizes, merge, flags, chances, any::<u64>()).prop_map(
        |(kind, (input, hidden, num_layers, time, batch), bidirectional, flags, chances, seed)| {
            let (bias, padded, noisy, zoneout) = flags;
            let (recurrent_dropout, weight_drop) = chances;
            let shared = StackOptions {
                num_layers,
                bidirectional,
                bias,
                zoneout,
                recurrent_dropout,
                weight_drop,
                ..StackOptions::new(input, hidden)
            };
            let mut rng = stream(seed, Purpose::Shuffle, 0);
            let lengths = padded.then(|| (0..batch).map(|_| rng.random_range(0..=time)).collect());
            Case { config: kind.config(shared), time, lengths, batch, noisy, seed }
        },
    )
}

/// Return a case whose sizes make several workers split the batch or the units, or a product run in several blocks.
pub(super) fn large(kind: Kind, split: &str) -> Case {
    let (batch, time, input, hidden) = match split {
        "batch" => (13, 9, 60, 80),
        "units" => (3, 5, 60, 200),
        // The input, the gates, and the rows of all steps are each longer than one block of a product.
        _ => (30, 27, 780, 200),
    };
    let shared = StackOptions { zoneout: 0.2, recurrent_dropout: 0.2, ..StackOptions::new(input, hidden) };
    let lengths = Some((0..batch).map(|row| time - row % 3).collect());
    Case { config: kind.config(shared), time, lengths, batch, noisy: true, seed: kind as u64 }
}

/// All outputs by name, and the gradients of a random loss of them with respect to all inputs and parameters.
pub(super) type Results = BTreeMap<String, Vec<f64>>;

impl Case {
    pub(super) fn run(&self, dtype: DType) -> Result<Results> {
        self.results(dtype, true)
    }

    /// Return the outputs alone.
    pub(super) fn outputs(&self, dtype: DType) -> Result<Results> {
        self.results(dtype, false)
    }

    fn results(&self, dtype: DType, with_gradients: bool) -> Result<Results> {
        let mut rng = stream(self.seed, Purpose::Parameters, 0);
        let layer = Layer::new(&self.config, dtype, &Device::Cpu, &mut rng)?;
        let state = layer.random_state(self.batch, &mut rng)?;
        let Layer { layer, parameters: mut variables } = layer;
        // Small weights keep rounding errors from growing over the steps.
        let scale = 1.5 / (self.config.stack().hidden_size as f64).sqrt();
        for var in variables.values() {
            var.set(&(var.as_tensor() * scale)?)?;
        }
        let xs = Var::from_tensor(&random(&[self.batch, self.time, layer.input_size()], dtype, &mut rng)?)?;
        let h = Var::from_tensor(&state.h)?;
        let c = state.c.as_ref().map(Var::from_tensor).transpose()?;
        let state = State { h: h.as_tensor().clone(), c: c.as_ref().map(|c| c.as_tensor().clone()) };
        let mut noise = stream(self.seed, Purpose::Noise, 0);
        let noise = self.noisy.then_some(&mut noise as &mut dyn Rng);
        let output = layer.run_t(&xs, Some(&state), self.lengths.as_deref(), noise)?;
        variables.extend([("xs".to_string(), xs), ("h0".to_string(), h)]);
        variables.extend(c.map(|c| ("c0".to_string(), c)));
        let outputs =
            [Some(("ys", output.ys)), Some(("h", output.state.h)), output.state.c.map(|c| ("c", c))];
        let mut results = Results::new();
        let mut loss = Tensor::zeros((), dtype, &Device::Cpu)?;
        for (name, tensor) in outputs.into_iter().flatten() {
            results.insert(name.to_string(), values(&tensor)?);
            let weights = random(tensor.dims(), dtype, &mut rng)?;
            loss = (loss + (tensor * weights)?.sum_all()?)?;
        }
        if !with_gradients {
            return Ok(results);
        }
        let gradients = backward(&loss)?;
        for (name, var) in &variables {
            if let Some(gradient) = gradients.get(var)? {
                results.insert(format!("gradient of {name}"), values(&gradient)?);
            }
        }
        Ok(results)
    }
}

/// Check that each tensor differs by at most `tolerance` times the largest absolute value that is expected in it, or
/// times 1 if that is smaller.
pub(super) fn check_close(what: &str, found: &Results, expected: &Results, tolerance: f64) -> Check {
    check_names(what, found, expected)?;
    for (name, expected) in expected {
        let largest = expected.iter().fold(1f64, |most, value| most.max(value.abs()));
        for (at, (found, expected)) in found[name].iter().zip(expected).enumerate() {
            let close = (found - expected).abs() <= tolerance * largest;
            prop_assert!(close, "{}: {} has {} at {}, the reference {}", what, name, found, at, expected);
        }
    }
    Ok(())
}

/// Check that both have the same tensors, of the same sizes.
fn check_names(what: &str, found: &Results, expected: &Results) -> Check {
    for (name, values) in found.iter().filter(|(name, _)| !expected.contains_key(*name)) {
        // A tensor without effect has no gradient in the reference and a gradient of zero in a fused layer.
        prop_assert!(
            values.iter().all(|&value| value == 0.),
            "{}: the reference has no {}, which is {:?}",
            what,
            name,
            values
        );
    }
    for (name, expected) in expected {
        prop_assert!(found.contains_key(name), "{}: there is no {}", what, name);
        prop_assert_eq!(found[name].len(), expected.len(), "{}: {}", what, name);
    }
    Ok(())
}

/// Run `work` with the oracle of a precision: the reference, without kernels.
pub(super) fn oracle_of<T>(precision: Precision, work: impl FnOnce() -> T) -> T {
    precision.scope(|| without_fused(work))
}

pub(super) fn root_mean_square(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len().max(1) as f64;
    (values.map(|x| x * x).sum::<f64>() / count).sqrt()
}

/// Return the root mean square of the differences.
pub(super) fn distance(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let differences: Vec<f64> = found.iter().zip(expected).map(|(a, b)| a - b).collect();
    root_mean_square(differences.into_iter())
}

/// Check that the root mean square of the error of each tensor is at most `tolerance` times that of what is expected,
/// or times 0.1 if that is smaller.
pub(super) fn check_near(what: &str, found: &Results, expected: &Results, tolerance: f64) -> Check {
    check_names(what, found, expected)?;
    for (name, expected) in expected {
        let error = distance(&found[name], expected);
        let size = root_mean_square(expected.iter().copied()).max(0.1);
        prop_assert!(error <= tolerance * size, "{}: {} is off by {} of {}", what, name, error, size);
    }
    Ok(())
}
