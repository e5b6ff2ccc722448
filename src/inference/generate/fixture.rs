//! Small models for tests.

use candle_core::{DType, Device};
use rnn_zoo_models::{GruOptions, ModelConfig, Network, RecurrentConfig, Reset, RnnlmConfig, StackOptions};

use super::context::Context;
use super::reader::Reader;
use crate::parameters::Parameters;
use crate::rng::{Purpose, stream};
use crate::tokenizer::{Kind, Tokenizer};

/// The number of kinds of networks. Those of even numbers have fused streams.
pub(super) const KINDS: usize = 6;

/// A language model whose parameters are drawn so wide that its probabilities are far from equal.
pub(super) fn network(kind: usize, vocabulary: usize, seed: u64) -> Box<dyn Network> {
    let stack = StackOptions::new(5, 11);
    let rnn = match kind {
        0 => RecurrentConfig::Lstm(StackOptions { num_layers: 2, ..stack }.into()),
        1 => RecurrentConfig::Lstm(StackOptions { layer_norm: true, ..stack }.into()),
        2 => RecurrentConfig::Gru(stack.into()),
        3 => RecurrentConfig::Gru(stack.with_cell(GruOptions { reset: Reset::Before, ..Default::default() })),
        4 => RecurrentConfig::SimpleRnn(stack.into()),
        _ => RecurrentConfig::SimpleRnn(StackOptions { layer_norm: true, ..stack }.into()),
    };
    let (map, builder) = Parameters::builder(DType::F32, &Device::Cpu);
    let network = ModelConfig::Rnnlm(RnnlmConfig::new(vocabulary, rnn)).build(builder).unwrap();
    network.reset_parameters(&mut stream(seed, Purpose::Parameters, 0)).unwrap();
    for var in map.all_vars() {
        var.set(&(var.as_tensor() * 8.).unwrap()).unwrap();
    }
    network
}

/// The scores (logits) of the token after `start` and `tokens`.
pub(super) fn scores_after(network: &dyn Network, start: u32, tokens: &[u32]) -> Vec<f32> {
    let mut context = Context::new(network, start).unwrap();
    context.extend(tokens);
    context.read(network, &Device::Cpu).unwrap();
    let mut reader = Reader::new(network, &Device::Cpu).unwrap();
    reader.append(&context.state).unwrap();
    reader.read(&[context.last]).unwrap();
    reader.scores(0).to_vec()
}

/// A tokenizer for the characters of `text`.
pub(super) fn tokenizer(text: &str) -> Tokenizer {
    Tokenizer::train(&Kind::Char, [Ok(text.into())].into_iter(), None, false).unwrap()
}
