//! Random layers with inputs, and comparisons of their results.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::{VarBuilder, VarMap};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use rand::RngExt;
use rnn_zoo::models::{
    GruOptions, LstmOptions, Merge, Nonlinearity, Output, Recurrent, RecurrentConfig, Reset,
    SimpleRnnOptions, StackOptions, State,
};
use rnn_zoo::rng::{Purpose, Rng, stream};

pub(super) const MERGES: [Merge; 4] = [Merge::Concat, Merge::Sum, Merge::Mul, Merge::Ave];

pub(super) type Check = std::result::Result<(), TestCaseError>;

/// A configuration of a layer, and sizes of a batch.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) config: RecurrentConfig,
    pub(super) time: usize,
    /// Steps of each sequence; as many as the batch has rows.
    pub(super) lengths: Vec<usize>,
    pub(super) seed: u64,
}

/// A kind of cell with its options.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Tanh,
    Relu,
    Lstm,
    Projection,
    GruAfter,
    GruBefore,
}

impl Kind {
    pub(super) const ALL: [Self; 6] =
        [Self::Tanh, Self::Relu, Self::Lstm, Self::Projection, Self::GruAfter, Self::GruBefore];

    pub(super) fn config(self, shared: StackOptions) -> RecurrentConfig {
        let simple = |nonlinearity| SimpleRnnOptions { nonlinearity };
        match self {
            Self::Tanh => RecurrentConfig::SimpleRnn(shared.with_cell(simple(Nonlinearity::Tanh))),
            Self::Relu => RecurrentConfig::SimpleRnn(shared.with_cell(simple(Nonlinearity::Relu))),
            Self::Lstm => RecurrentConfig::Lstm(shared.with_cell(LstmOptions::default())),
            Self::Projection => {
                let projection = Some(shared.hidden_size.div_ceil(2));
                RecurrentConfig::Lstm(shared.with_cell(LstmOptions { projection, ..Default::default() }))
            }
            Self::GruAfter => RecurrentConfig::Gru(
                shared.with_cell(GruOptions { reset: Reset::After, ..Default::default() }),
            ),
            Self::GruBefore => {
                // Layer normalisation needs the reset gate after the product.
                let shared = StackOptions { layer_norm: false, ..shared };
                RecurrentConfig::Gru(
                    shared.with_cell(GruOptions { reset: Reset::Before, ..Default::default() }),
                )
            }
        }
    }
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

/// The same configuration with other shared options.
pub(super) fn with_shared(
    config: &RecurrentConfig,
    change: impl FnOnce(&mut StackOptions),
) -> RecurrentConfig {
    let mut config = config.clone();
    change(config.stack_mut());
    config
}

/// A layer with its parameters, which are random in ±0.8.
pub(super) struct Layer {
    pub(super) layer: Box<dyn Recurrent>,
    pub(super) parameters: BTreeMap<String, Var>,
}

impl Layer {
    pub(super) fn new(config: &RecurrentConfig, rng: &mut Rng) -> Result<Self> {
        let map = VarMap::new();
        let layer = config.build(&VarBuilder::from_varmap(&map, DType::F64, &Device::Cpu))?;
        let mut parameters = BTreeMap::new();
        for (name, var) in map.data().lock().expect("invariant: nothing panics here").iter() {
            parameters.insert(name.clone(), var.clone());
        }
        for var in parameters.values() {
            var.set(&random(var.dims(), rng)?)?;
        }
        Ok(Self { layer, parameters })
    }

    /// Another layer with the values of these parameters, each under the name that `rename` returns.
    pub(super) fn same(&self, config: &RecurrentConfig, rename: impl Fn(&str) -> String) -> Result<Self> {
        let other = Self::new(config, &mut stream(0, Purpose::Parameters, 0))?;
        for (name, var) in &self.parameters {
            other.parameters[&rename(name)].set(var.as_tensor())?;
        }
        Ok(other)
    }

    pub(super) fn random_state(&self, batch: usize, rng: &mut Rng) -> Result<State> {
        let zeros = self.layer.zero_state(batch)?;
        let c = zeros.c.map(|c| random(c.dims(), rng)).transpose()?;
        Ok(State { h: random(zeros.h.dims(), rng)?, c })
    }
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
        let layer = Layer::new(&self.config, &mut rng)?;
        let xs = random(&[self.lengths.len(), self.time, layer.layer.input_size()], &mut rng)?;
        let state = layer.random_state(self.lengths.len(), &mut rng)?;
        Ok(Drawn { layer, xs, state, rng })
    }
}

impl Drawn {
    pub(super) fn forward(&self, lengths: Option<&[usize]>) -> Result<Output> {
        self.layer.layer.forward(&self.xs, Some(&self.state), lengths)
    }
}

/// Numbers uniform in ±0.8.
pub(super) fn random(dims: &[usize], rng: &mut Rng) -> Result<Tensor> {
    let count = dims.iter().product();
    let values: Vec<f64> = (0..count).map(|_| 1.6 * rng.random::<f64>() - 0.8).collect();
    Tensor::from_vec(values, dims, &Device::Cpu)
}

pub(super) fn values(tensor: &Tensor) -> Result<Vec<f64>> {
    tensor.flatten_all()?.to_vec1()
}

pub(super) fn bits(tensor: &Tensor) -> Result<Vec<u64>> {
    Ok(values(tensor)?.into_iter().map(f64::to_bits).collect())
}

/// ys, h and, for an LSTM, c.
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

/// The sequences `rows` of a state, in that order.
pub(super) fn rows_of(state: &State, rows: &Tensor) -> Result<State> {
    let c = state.c.as_ref().map(|c| c.index_select(rows, 1)).transpose()?;
    Ok(State { h: state.h.index_select(rows, 1)?, c })
}
