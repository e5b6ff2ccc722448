//! Random layers and tensors, for the tests of gradients, kernels and properties.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::{VarBuilder, VarMap};
use proptest::test_runner::TestCaseError;
use rand::RngExt;
use rnn_zoo::models::{
    GruOptions, LstmOptions, Merge, Nonlinearity, Recurrent, RecurrentConfig, Reset, SimpleRnnOptions,
    StackOptions, State,
};
use rnn_zoo::rng::Rng;

pub type Check = std::result::Result<(), TestCaseError>;

pub const MERGES: [Merge; 4] = [Merge::Concat, Merge::Sum, Merge::Mul, Merge::Ave];

/// A kind of cell with its options.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Tanh,
    Relu,
    Lstm,
    /// An LSTM whose projection has half of the units.
    Projection,
    GruAfter,
    GruBefore,
}

impl Kind {
    pub const ALL: [Self; 6] =
        [Self::Tanh, Self::Relu, Self::Lstm, Self::Projection, Self::GruAfter, Self::GruBefore];

    /// The kinds that a stream reads: all but a GRU that resets before the product.
    pub const STREAMED: [Self; 5] = [Self::Tanh, Self::Relu, Self::Lstm, Self::Projection, Self::GruAfter];

    /// Configure a stack of these cells. A GRU that resets before the product cannot normalise that product, and
    /// ignores `layer_norm`.
    pub fn config(self, shared: StackOptions) -> RecurrentConfig {
        let simple = |nonlinearity| SimpleRnnOptions { nonlinearity };
        let lstm = |projection| LstmOptions { projection, ..Default::default() };
        let gru = |reset| GruOptions { reset, ..Default::default() };
        match self {
            Self::Tanh => RecurrentConfig::SimpleRnn(shared.with_cell(simple(Nonlinearity::Tanh))),
            Self::Relu => RecurrentConfig::SimpleRnn(shared.with_cell(simple(Nonlinearity::Relu))),
            Self::Lstm => RecurrentConfig::Lstm(shared.with_cell(lstm(None))),
            Self::Projection => {
                let projection = Some(shared.hidden_size.div_ceil(2));
                RecurrentConfig::Lstm(shared.with_cell(lstm(projection)))
            }
            Self::GruAfter => RecurrentConfig::Gru(shared.with_cell(gru(Reset::After))),
            Self::GruBefore => {
                let shared = StackOptions { layer_norm: false, ..shared };
                RecurrentConfig::Gru(shared.with_cell(gru(Reset::Before)))
            }
        }
    }
}

/// A layer with its parameters, which are random in ±0.8.
pub struct Layer {
    pub layer: Box<dyn Recurrent>,
    pub parameters: BTreeMap<String, Var>,
}

impl Layer {
    pub fn new(config: &RecurrentConfig, dtype: DType, device: &Device, rng: &mut Rng) -> Result<Self> {
        let map = VarMap::new();
        let layer = config.build(VarBuilder::from_varmap(&map, dtype, device))?;
        let mut parameters = BTreeMap::new();
        for (name, var) in map.data().lock().expect("invariant: nothing panics here").iter() {
            parameters.insert(name.clone(), var.clone());
        }
        for var in parameters.values() {
            var.set(&random(var.dims(), dtype, rng)?.to_device(device)?)?;
        }
        Ok(Self { layer, parameters })
    }

    /// Draw a state of the type of the parameters, on the processor.
    pub fn random_state(&self, batch: usize, rng: &mut Rng) -> Result<State> {
        let zeros = self.layer.zero_state(batch)?;
        let mut like = |tensor: &Tensor| random(tensor.dims(), tensor.dtype(), rng);
        let h = like(&zeros.h)?;
        Ok(State { h, c: zeros.c.as_ref().map(like).transpose()? })
    }
}

/// Draw numbers uniform in ±0.8: large enough to bend every nonlinearity, too small to saturate it.
pub fn random(dims: &[usize], dtype: DType, rng: &mut Rng) -> Result<Tensor> {
    let values: Vec<f64> = (0..dims.iter().product()).map(|_| 1.6 * rng.random::<f64>() - 0.8).collect();
    Tensor::from_vec(values, dims, &Device::Cpu)?.to_dtype(dtype)
}

/// Return the elements in row-major order.
pub fn values(tensor: &Tensor) -> Result<Vec<f64>> {
    tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1()
}
