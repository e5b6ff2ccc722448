//! A small configuration and tensors for the tests of this folder.

use candle_core::{DType, Device, Tensor};
use rnn_zoo_models::{LstmConfig, ModelConfig, RecurrentConfig, RnnlmConfig};

use super::config::{Config, FORMAT};
use crate::parameters::NamedTensors;
use crate::tasks::Lm;
use crate::tokenizer::Scheme;

pub(super) fn config() -> Config {
    Config {
        format: FORMAT,
        model: "lstm".into(),
        task: &Lm,
        network: ModelConfig::Rnnlm(RnnlmConfig::new(2, RecurrentConfig::Lstm(LstmConfig::new(1, 1)))),
        tokenizer: Some(Scheme::Char),
        labels: vec![],
        text_column: None,
        schema: serde_json::Value::Null,
        data: None,
        converted_from: None,
        stored: None,
        dtype: DType::F32,
        zoo_version: "0.1.0".into(),
        created_with: "a test".into(),
    }
}

/// Two tensors whose every element is `value`, `size` elements in all.
pub(super) fn weights(value: f32, size: usize) -> NamedTensors {
    let full = |size: usize| Tensor::full(value, size, &Device::Cpu).unwrap();
    NamedTensors::from([("decoder.bias".into(), full(2)), ("rnn.weight".into(), full(size - 2))])
}
