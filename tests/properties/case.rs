//! Random layers with inputs, and comparisons of their results.

use candle_core::{DType, Device, Result, Tensor};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use rnn_zoo::models::{Output, RecurrentConfig, StackOptions, State};
use rnn_zoo::rng::{Purpose, Rng, stream};

use crate::random_layer::{Check, Kind, Layer, MERGES, random, values};

/// A configuration of a layer, and sizes of a batch.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) config: RecurrentConfig,
    pub(super) time: usize,
    /// Steps of each sequence; as many as the batch has rows.
    pub(super) lengths: Vec<usize>,
    pub(super) seed: u64,
}

pub(super) fn any_config() -> impl Strategy<Value = RecurrentConfig> {
    let sizes = (1..=7usize, 1..=7usize, 1..=2usize);
    let merge = prop::option::of(prop::sample::select(MERGES.to_vec()));
    let options = (any::<bool>(), any::<bool>(), prop::sample::select(vec![0., 0.3]));
    (prop::sample::select(Kind::ALL.to_vec()), sizes, merge, options).prop_map(
        |(kind, (input, hidden, num_layers), bidirectional, (bias, layer_norm, zoneout))| {
            let shared = StackOptions::new(input, hidden);
            kind.config(StackOptions { num_layers, bidirectional, bias, layer_norm, zoneout, ..shared })
        },
    )
}

pub(super) fn any_case() -> impl Strategy<Value = Case> {
    let batch = (0..=6usize).prop_flat_map(|time| (Just(time), prop::collection::vec(0..=time, 1..=4)));
    (any_config(), batch, any::<u64>()).prop_map(|(config, (time, lengths), seed)| Case {
        config,
        time,
        lengths,
        seed,
    })
}

/// Return the configuration with other shared options.
pub(super) fn with_shared(
    config: &RecurrentConfig,
    change: impl FnOnce(&mut StackOptions),
) -> RecurrentConfig {
    let mut config = config.clone();
    change(config.stack_mut());
    config
}

/// Make another layer with the values of these parameters, each under the name that `rename` returns.
pub(super) fn same_layer(
    layer: &Layer,
    config: &RecurrentConfig,
    rename: impl Fn(&str) -> String,
) -> Result<Layer> {
    let other = new_layer(config, &mut stream(0, Purpose::Parameters, 0))?;
    for (name, var) in &layer.parameters {
        other.parameters[&rename(name)].set(var.as_tensor())?;
    }
    Ok(other)
}

/// Draw a layer in f64 on the processor.
pub(super) fn new_layer(config: &RecurrentConfig, rng: &mut Rng) -> Result<Layer> {
    Layer::new(config, DType::F64, &Device::Cpu, rng)
}

/// The layer, input and state of a case.
pub(super) struct Drawn {
    pub(super) layer: Layer,
    /// (batch, time, input).
    pub(super) xs: Tensor,
    pub(super) state: State,
    pub(super) rng: Rng,
}

impl Case {
    pub(super) fn draw(&self) -> Result<Drawn> {
        let mut rng = stream(self.seed, Purpose::Parameters, 0);
        let layer = new_layer(&self.config, &mut rng)?;
        let xs = random(&[self.lengths.len(), self.time, layer.layer.input_size()], DType::F64, &mut rng)?;
        let state = layer.random_state(self.lengths.len(), &mut rng)?;
        Ok(Drawn { layer, xs, state, rng })
    }
}

impl Drawn {
    pub(super) fn run(&self, lengths: Option<&[usize]>) -> Result<Output> {
        self.layer.layer.run(&self.xs, Some(&self.state), lengths)
    }
}

/// Return the bit patterns of the elements.
pub(super) fn bits(tensor: &Tensor) -> Result<Vec<u64>> {
    Ok(values(tensor)?.into_iter().map(f64::to_bits).collect())
}

/// Return ys, h and, for an LSTM, c, by name.
pub(super) fn tensors(output: &Output) -> Vec<(&'static str, Tensor)> {
    let named = [("ys", Some(&output.ys)), ("h", Some(&output.state.h)), ("c", output.state.c.as_ref())];
    named.into_iter().filter_map(|(name, tensor)| Some((name, tensor?.clone()))).collect()
}

pub(super) fn check_close(what: &str, found: &Tensor, expected: &Tensor) -> Check {
    prop_assert_eq!(found.dims(), expected.dims(), "the shape of {}", what);
    for (found, expected) in values(found)?.into_iter().zip(values(expected)?) {
        let allowed = 1e-12 * expected.abs().max(1.);
        prop_assert!((found - expected).abs() <= allowed, "{}: {} is not {}", what, found, expected);
    }
    Ok(())
}

pub(super) fn check_same(found: &Output, expected: &Output) -> Check {
    for ((name, found), (_, expected)) in tensors(found).into_iter().zip(tensors(expected)) {
        prop_assert_eq!(bits(&found)?, bits(&expected)?, "{}", name);
    }
    Ok(())
}

pub(super) fn check_state(what: &str, found: &State, expected: &State) -> Check {
    check_close(&format!("{what}, h"), &found.h, &expected.h)?;
    match (&found.c, &expected.c) {
        (Some(found), Some(expected)) => check_close(&format!("{what}, c"), found, expected),
        (None, None) => Ok(()),
        _ => Err(TestCaseError::fail("one state has a c and the other has none")),
    }
}

/// Return the sequences `rows` of a state, in that order.
pub(super) fn rows_of(state: &State, rows: &Tensor) -> Result<State> {
    let c = state.c.as_ref().map(|c| c.index_select(rows, 1)).transpose()?;
    Ok(State { h: state.h.index_select(rows, 1)?, c })
}
