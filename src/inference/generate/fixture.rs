//! Small models for the tests of this module's parts.

use candle_core::{DType, Device};
use rnn_zoo_models::{
    GruConfig, GruOptions, LstmConfig, ModelConfig, Network, RecurrentConfig, Reset, RnnlmConfig,
};

use crate::parameters::Parameters;
use crate::rng::{Purpose, stream};
use crate::tokenizer::{Kind, Tokenizer};

/// Kinds of networks; the first two have streams.
pub(super) const KINDS: usize = 4;

/// A language model with an opinion: its parameters are drawn wide.
pub(super) fn network(kind: usize, vocabulary: usize, seed: u64) -> Box<dyn Network> {
    let (lstm, gru) = (LstmConfig::new(5, 11), GruConfig::new(5, 11));
    let rnn = match kind {
        0 => RecurrentConfig::Lstm(LstmConfig { num_layers: 2, ..lstm }),
        1 => RecurrentConfig::Gru(gru),
        2 => RecurrentConfig::Lstm(LstmConfig { layer_norm: true, ..lstm }),
        _ => RecurrentConfig::Gru(gru.with_cell(GruOptions { reset: Reset::Before, ..Default::default() })),
    };
    let (map, builder) = Parameters::builder(DType::F32, &Device::Cpu);
    let network = ModelConfig::Rnnlm(RnnlmConfig::new(vocabulary, rnn)).build(&builder).unwrap();
    network.reset_parameters(&mut stream(seed, Purpose::Parameters, 0)).unwrap();
    for var in map.all_vars() {
        var.set(&(var.as_tensor() * 8.).unwrap()).unwrap();
    }
    network
}

/// Of the characters of `text`.
pub(super) fn tokenizer(text: &str) -> Tokenizer {
    Tokenizer::train(&Kind::Char, [Ok(text.into())].into_iter(), None, false).unwrap()
}
