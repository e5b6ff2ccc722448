//! Small models for the tests of this module's parts.

use candle_core::{DType, Device};
use rnn_zoo_models::{GruOptions, ModelConfig, Network, RecurrentConfig, Reset, RnnlmConfig, StackOptions};

use crate::data::{End, Piece};
use crate::parameters::Parameters;
use crate::rng::{Purpose, stream};
use crate::tokenizer::{Kind, Tokenizer};

/// Kinds of networks; the first two have streams.
pub(super) const KINDS: usize = 4;

/// A language model with an opinion: its parameters are drawn wide.
pub(super) fn network(kind: usize, vocabulary: usize, seed: u64) -> Box<dyn Network> {
    let stack = StackOptions::new(5, 11);
    let rnn = match kind {
        0 => RecurrentConfig::Lstm(StackOptions { num_layers: 2, ..stack }.into()),
        1 => RecurrentConfig::Gru(stack.into()),
        2 => RecurrentConfig::Lstm(StackOptions { layer_norm: true, ..stack }.into()),
        _ => RecurrentConfig::Gru(stack.with_cell(GruOptions { reset: Reset::Before, ..Default::default() })),
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
    let piece = Piece { text: text.into(), label: None, end: End::Record };
    Tokenizer::train(&Kind::Char, [Ok(piece)].into_iter(), None, false).unwrap()
}
