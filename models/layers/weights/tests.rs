use candle_core::Device;
use candle_nn::VarMap;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::*;
use crate::gru::GruCell;
use crate::layers::cell::Cell;
use crate::layers::config::{StackConfig, StackOptions};
use crate::lstm::LstmCell;
use crate::{Gru, GruConfig, GruOptions, Lstm, LstmConfig, LstmOptions, Merge, Recurrent};

const HIDDEN: usize = 24;

fn config(init: Init) -> LstmConfig {
    let cell = LstmOptions { projection: Some(10), ..LstmOptions::default() };
    let bidirectional = Some(Merge::Concat);
    let stack = StackOptions {
        init,
        bidirectional,
        num_layers: 2,
        layer_norm: true,
        ..StackOptions::new(30, HIDDEN)
    };
    stack.with_cell(cell)
}

/// All parameters of an LSTM drawn with `seed`, by name.
fn drawn(config: &LstmConfig, seed: u64) -> Vec<(String, Tensor)> {
    let map = VarMap::new();
    let lstm = Lstm::new(config, &VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu)).unwrap();
    lstm.reset_parameters(&mut ChaCha8Rng::seed_from_u64(seed)).unwrap();
    let vars = map.data().lock().unwrap();
    let mut all: Vec<_> = vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    all
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// The largest element; asserts that the values fill ±bound evenly, by their mean square too.
fn assert_uniform(name: &str, tensor: &Tensor, bound: f64) {
    let values: Vec<f64> = values(tensor).into_iter().map(f64::from).collect();
    let largest = values.iter().fold(0f64, |most, value| most.max(value.abs()));
    assert!(largest <= bound && largest > 0.9 * bound, "{name}: {largest} of ±{bound}");
    let square = values.iter().map(|value| value * value).sum::<f64>() / values.len() as f64;
    let expected = bound * bound / 3.;
    assert!((square / expected - 1.).abs() < 0.35, "{name}: mean square {square}, not {expected}");
}

#[test]
fn pytorch_draws_everything_from_one_over_the_root_of_the_hidden_size() {
    for (name, tensor) in drawn(&config(Init::Pytorch), 1) {
        if !name.starts_with("norm") {
            assert_uniform(&name, &tensor, 1. / (HIDDEN as f64).sqrt());
        }
    }
}

#[test]
fn keras_draws_glorot_inputs_orthogonal_recurrences_and_a_forget_bias_of_one() {
    for (name, tensor) in drawn(&config(Init::Keras), 1) {
        if name.starts_with("weight_hh") {
            let product = tensor.t().unwrap().matmul(&tensor).unwrap(); // the columns are fewer
            let identity = Tensor::eye(10, DType::F32, &Device::Cpu).unwrap();
            let off = values(&(product - identity).unwrap().abs().unwrap());
            assert!(off.iter().all(|&off| off < 1e-6), "{name}: {off:?}");
        } else if name.starts_with("weight") {
            let (rows, columns) = tensor.dims2().unwrap();
            assert_uniform(&name, &tensor, (6. / (rows + columns) as f64).sqrt());
        } else if name.starts_with("bias_ih") {
            let expected: Vec<f32> =
                (0..4 * HIDDEN).map(|row| if row / HIDDEN == 1 { 1. } else { 0. }).collect();
            assert_eq!(values(&tensor), expected, "{name}");
        } else if name.starts_with("bias_hh") {
            assert!(values(&tensor).iter().all(|&bias| bias == 0.), "{name}");
        }
    }
}

#[test]
fn a_forget_bias_that_is_asked_for_is_the_sum_of_both_biases() {
    let cell = LstmOptions { forget_bias: Some(2.5), ..LstmOptions::default() };
    let all = drawn(&LstmConfig { cell, ..LstmConfig::new(3, 4) }, 1);
    let of = |name: &str| values(&all.iter().find(|(found, _)| found == name).unwrap().1);
    let sum: Vec<f32> = of("bias_ih_l0").into_iter().zip(of("bias_hh_l0")).map(|(a, b)| a + b).collect();
    assert_eq!(sum[4..8], [2.5; 4]);
    let others: Vec<f32> = [&of("bias_ih_l0")[..4], &of("bias_hh_l0")[8..]].concat();
    assert!(others.iter().all(|bias| *bias != 0.), "the other gates keep what was drawn: {others:?}");
}

/// The sum of both biases of a cell's first layer.
fn biases<C: Cell>(config: &StackConfig<C::Options>) -> Vec<f32> {
    let map = VarMap::new();
    let vb = VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu);
    let stack = crate::layers::stack::Stack::<C>::new(config, &vb).unwrap();
    stack.reset_parameters(&mut ChaCha8Rng::seed_from_u64(1)).unwrap();
    let vars = map.data().lock().unwrap();
    let [input, hidden] = ["bias_ih_l0", "bias_hh_l0"].map(|name| vars[name].as_tensor().clone());
    values(&(input + hidden).unwrap())
}

#[test]
fn chrono_biases_are_for_memories_of_every_length_and_an_lstm_writes_as_little_as_it_forgets() {
    let chrono = Some(100);
    let cell = LstmOptions { chrono, ..LstmOptions::default() };
    let lstm = biases::<LstmCell>(&LstmConfig { cell, ..LstmConfig::new(3, 400) });
    let gru = biases::<GruCell>(&GruConfig {
        cell: GruOptions { chrono, ..GruOptions::default() },
        ..GruConfig::new(3, 400)
    });
    let (write, forget) = (&lstm[..400], &lstm[400..800]);
    assert!(write.iter().zip(forget).all(|(write, forget)| *write == -forget));
    for keep in [forget, &gru[400..800]] {
        let spans: Vec<f32> = keep.iter().map(|bias| bias.exp()).collect();
        assert!(spans.iter().all(|span| (1.0..=99.001).contains(span)), "{spans:?}");
        let mean = spans.iter().sum::<f32>() / 400.;
        assert!((45.0..55.0).contains(&mean), "uniform from 1 to 99, but {mean} on average");
    }
    // The scheme's bound for one bias is 1/20.
    assert!([&lstm[800..], &gru[..400], &gru[800..]].concat().iter().all(|bias| bias.abs() <= 0.1));
    let short = LstmOptions { chrono: Some(2), ..LstmOptions::default() };
    let vb = VarBuilder::zeros(DType::F32, &Device::Cpu);
    let error = Lstm::new(&LstmConfig { cell: short, ..LstmConfig::new(3, 4) }, &vb).unwrap_err();
    assert!(error.to_string().contains("2 steps; expected at least 3"), "{error}");
    let cell = LstmOptions { chrono, ..LstmOptions::default() };
    let error =
        Lstm::new(&StackOptions { bias: false, ..StackOptions::new(3, 4) }.with_cell(cell), &vb).unwrap_err();
    assert!(error.to_string().contains("without biases"), "{error}");
}

#[test]
fn normalisation_starts_as_nothing_but_itself() {
    let norms: Vec<_> =
        drawn(&config(Init::Keras), 1).into_iter().filter(|(name, _)| name.starts_with("norm")).collect();
    assert_eq!(norms.len(), 2 * 3 * 4);
    for (name, tensor) in norms {
        let expected = if name.contains("weight") { 1. } else { 0. };
        assert!(values(&tensor).iter().all(|&value| value == expected), "{name}");
    }
}

#[test]
fn one_seed_gives_one_model() {
    for init in [Init::Pytorch, Init::Keras] {
        let [one, again, other] = [1, 1, 2]
            .map(|seed| drawn(&config(init), seed).iter().map(|(_, t)| values(t)).collect::<Vec<_>>());
        assert!(one == again && one != other);
    }
}

#[test]
fn parameters_read_for_inference_cannot_be_drawn() {
    let vb = VarBuilder::zeros(DType::F32, &Device::Cpu);
    let gru = Gru::new(&GruConfig::new(2, 3), &vb).unwrap();
    let error = gru.reset_parameters(&mut ChaCha8Rng::seed_from_u64(1)).unwrap_err().to_string();
    assert!(error.contains("loaded for inference and cannot be drawn anew"), "{error}");
}

#[test]
fn dropped_weights_stay_a_transposed_view_as_cuda_needs() {
    let vb = VarBuilder::from_varmap(&VarMap::new(), DType::F32, &Device::Cpu);
    let config = WeightsConfig { gates: 3, input: 3, hidden: 5, bias: true, ..WeightsConfig::default() };
    let mut weights = Weights::new(&config, "l0", &vb).unwrap();
    weights.drop_hidden(0.5, &mut ChaCha8Rng::seed_from_u64(1)).unwrap();
    let gate = weights.hh_t.narrow(1, 5, 5).unwrap(); // (hidden, hidden) out of (hidden, 3 * hidden)
    assert_eq!((gate.dims(), gate.stride()), ([5, 5].as_slice(), [1, 5].as_slice()));
}
