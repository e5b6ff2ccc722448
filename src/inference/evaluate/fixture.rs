//! A small language model in f64 and texts for it.

use candle_core::{DType, Device, Tensor};
use rand::RngExt;
use rnn_zoo_models::{LstmConfig, ModelConfig, Network, RecurrentConfig, RnnlmConfig, StackOptions, State};

use crate::data::dataset::Dataset;
use crate::data::tokens::SplitTokens;
use crate::parameters::Parameters;
use crate::rng::{Purpose, Rng, stream};

pub(super) const VOCABULARY: usize = 7;
pub(super) const START: u32 = 1;

/// A network in f64 with parameters far from zero, so that its outputs differ.
pub(super) fn network(config: &ModelConfig) -> (Box<dyn Network>, Parameters) {
    let (map, builder) = Parameters::builder(DType::F64, &Device::Cpu);
    let network = config.build(builder).unwrap();
    let parameters = Parameters::from(&map);
    let mut rng = stream(5, Purpose::Parameters, 0);
    for (_, var) in parameters.iter() {
        let values: Vec<f64> = (0..var.elem_count()).map(|_| 3. * rng.random::<f64>() - 1.5).collect();
        var.set(&Tensor::from_vec(values, var.shape(), &Device::Cpu).unwrap()).unwrap();
    }
    (network, parameters)
}

pub(super) fn rnn() -> LstmConfig {
    StackOptions { num_layers: 2, ..StackOptions::new(3, 4) }.into()
}

pub(super) fn language_model() -> (Box<dyn Network>, Parameters) {
    network(&ModelConfig::Rnnlm(RnnlmConfig::new(VOCABULARY, RecurrentConfig::Lstm(rnn()))))
}

pub(super) fn tokens(rng: &mut Rng, count: usize) -> Vec<u32> {
    (0..count).map(|_| rng.random_range(0..VOCABULARY as u32)).collect()
}

pub(super) fn text(ids: &[u32]) -> Dataset {
    Dataset::Stream { tokens: SplitTokens::from_ids(ids), start: START }
}

/// The hidden state after reading one token, the probabilities of the next token, with the softmax written out,
/// and the state.
pub(super) fn step(network: &dyn Network, token: u32, state: Option<&State>) -> (Vec<f64>, Vec<f64>, State) {
    let input = Tensor::new(&[[token]], &Device::Cpu).unwrap();
    let (hidden, state) = network.encode(&input.into(), state, None).unwrap();
    let numbers = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f64>().unwrap();
    let shares: Vec<f64> =
        numbers(&network.outputs(&hidden).unwrap()).iter().map(|score| score.exp()).collect();
    let total: f64 = shares.iter().sum();
    (numbers(&hidden), shares.iter().map(|share| share / total).collect(), state.detach())
}

pub(super) fn assert_close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-12, "{found} is not {expected}");
}
