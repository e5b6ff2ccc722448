use candle_core::Device;
use candle_nn::VarMap;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::*;
use crate::gru::GruCell;
use crate::layers::cell::Cell;
use crate::layers::config::{StackConfig, StackOptions};
use crate::layers::stack::Stack;
use crate::lstm::LstmCell;
use crate::{Gru, GruConfig, GruOptions, Lstm, LstmConfig, LstmOptions, Merge, Recurrent};

/// Enough units for the statistics of random numbers that no seed determines.
const HIDDEN: usize = 60;

/// Units of the tests of chrono biases.
const UNITS: usize = 1000;

/// The generator of the initial values.
#[derive(Clone, Copy, Debug)]
enum Generator {
    /// Candle's own, as a `VarBuilder` creates the parameters.
    Candle,
    /// A seeded one, as [`Recurrent::reset_parameters`] draws them.
    Seeded(u64),
}

const GENERATORS: [Generator; 2] = [Generator::Candle, Generator::Seeded(1)];

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

/// Return the initial parameters of a new stack, sorted by name.
fn drawn<C: Cell>(config: &StackConfig<C::Options>, generator: Generator) -> Vec<(String, Tensor)> {
    let map = VarMap::new();
    let stack = Stack::<C>::new(config, VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu)).unwrap();
    if let Generator::Seeded(seed) = generator {
        stack.reset_parameters(&mut ChaCha8Rng::seed_from_u64(seed)).unwrap();
    }
    let vars = map.data().lock().unwrap();
    let mut all: Vec<_> = vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    all
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// Assert that the values fill ±bound evenly, by the largest value and by the mean square.
fn assert_uniform(name: &str, tensor: &Tensor, bound: f64) {
    let values: Vec<f64> = values(tensor).into_iter().map(f64::from).collect();
    let largest = values.iter().fold(0f64, |most, value| most.max(value.abs()));
    assert!(largest <= bound && largest > 0.9 * bound, "{name}: {largest} of ±{bound}");
    let square = values.iter().map(|value| value * value).sum::<f64>() / values.len() as f64;
    let expected = bound * bound / 3.;
    assert!((square / expected - 1.).abs() < 0.35, "{name}: mean square {square}, not {expected}");
}

#[test]
fn pytorch_parameters_are_uniform_in_one_over_the_root_of_the_hidden_size() {
    for (name, tensor) in
        GENERATORS.into_iter().flat_map(|generator| drawn::<LstmCell>(&config(Init::Pytorch), generator))
    {
        if !name.starts_with("norm") {
            assert_uniform(&name, &tensor, 1. / (HIDDEN as f64).sqrt());
        }
    }
}

#[test]
fn keras_parameters_are_glorot_orthogonal_and_a_forget_bias_of_one() {
    for (name, tensor) in
        GENERATORS.into_iter().flat_map(|generator| drawn::<LstmCell>(&config(Init::Keras), generator))
    {
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

/// Return the sum of both biases of the first layer.
fn biases<C: Cell>(config: &StackConfig<C::Options>, generator: Generator) -> Vec<f32> {
    let all = drawn::<C>(config, generator);
    let of = |name: &str| values(&all.iter().find(|(found, _)| found == name).unwrap().1);
    of("bias_ih_l0").into_iter().zip(of("bias_hh_l0")).map(|(a, b)| a + b).collect()
}

#[test]
fn forget_bias_is_the_sum_of_both_biases() {
    let cell = LstmOptions { forget_bias: Some(2.5), ..LstmOptions::default() };
    for generator in GENERATORS {
        let sum = biases::<LstmCell>(&LstmConfig { cell: cell.clone(), ..LstmConfig::new(3, 4) }, generator);
        assert_eq!(sum[4..8], [2.5; 4]);
        let others = [&sum[..4], &sum[8..]].concat();
        assert!(others.iter().all(|bias| *bias != 0.), "the other gates keep the scheme: {others:?}");
    }
}

#[test]
fn chrono_biases_are_the_logarithms_of_uniform_spans() {
    let chrono = Some(100);
    let cell = LstmOptions { chrono, ..LstmOptions::default() };
    let lstm_config = LstmConfig { cell, ..LstmConfig::new(3, UNITS) };
    let cell = GruOptions { chrono, ..GruOptions::default() };
    let gru_config = GruConfig { cell, ..GruConfig::new(3, UNITS) };
    for generator in GENERATORS {
        let lstm = biases::<LstmCell>(&lstm_config, generator);
        let gru = biases::<GruCell>(&gru_config, generator);
        let (write, forget) = (&lstm[..UNITS], &lstm[UNITS..2 * UNITS]);
        assert!(write.iter().zip(forget).all(|(write, forget)| *write == -forget));
        for keep in [forget, &gru[UNITS..2 * UNITS]] {
            let spans: Vec<f32> = keep.iter().map(|bias| bias.exp()).collect();
            assert!(spans.iter().all(|span| (1.0..=99.001).contains(span)), "{spans:?}");
            let mean = spans.iter().sum::<f32>() / UNITS as f32;
            assert!((45.0..55.0).contains(&mean), "uniform from 1 to 99, but {mean} on average");
        }
        let others = [&lstm[2 * UNITS..], &gru[..UNITS], &gru[2 * UNITS..]].concat();
        let bound = 2. / (UNITS as f32).sqrt(); // of the sum of two biases of the scheme
        assert!(others.iter().all(|bias| bias.abs() <= bound));
    }
}

#[test]
fn chrono_is_refused_for_short_spans_and_without_biases() {
    let vb = VarBuilder::zeros(DType::F32, &Device::Cpu);
    let problem = |chrono, stack: StackOptions| {
        let cell = LstmOptions { chrono: Some(chrono), ..LstmOptions::default() };
        Lstm::new(&stack.with_cell(cell), vb.clone()).unwrap_err().to_string()
    };
    let error = problem(2, StackOptions::new(3, 4));
    assert!(error.contains("2 steps; expected at least 3"), "{error}");
    let error = problem(100, StackOptions { bias: false, ..StackOptions::new(3, 4) });
    assert!(error.contains("without biases"), "{error}");
}

#[test]
fn normalisations_start_as_the_identity() {
    for generator in GENERATORS {
        let all = drawn::<LstmCell>(&config(Init::Keras), generator);
        let norms: Vec<_> = all.into_iter().filter(|(name, _)| name.starts_with("norm")).collect();
        assert_eq!(norms.len(), 2 * 3 * 4);
        for (name, tensor) in norms {
            let expected = if name.contains("weight") { 1. } else { 0. };
            assert!(values(&tensor).iter().all(|&value| value == expected), "{name}");
        }
    }
}

#[test]
fn parameters_that_exist_keep_their_values() {
    for init in [Init::Pytorch, Init::Keras] {
        let map = VarMap::new();
        let vb = VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu);
        let read = || -> Vec<_> {
            let mut config = config(init);
            config.cell.chrono = Some(100);
            Lstm::new(&config, vb.clone()).unwrap();
            let vars = map.data().lock().unwrap();
            let all: std::collections::BTreeMap<_, _> = vars.iter().collect();
            all.into_iter().map(|(name, var)| (name.clone(), values(var))).collect()
        };
        assert_eq!(read(), read());
    }
}

#[test]
fn parameters_depend_on_the_seed_alone() {
    for init in [Init::Pytorch, Init::Keras] {
        let [one, again, other] = [1, 1, 2]
            .map(Generator::Seeded)
            .map(|seed| drawn::<LstmCell>(&config(init), seed))
            .map(|all| all.iter().map(|(_, t)| values(t)).collect::<Vec<_>>());
        assert!(one == again && one != other);
    }
}

#[test]
fn parameters_read_for_inference_cannot_be_drawn() {
    let vb = VarBuilder::zeros(DType::F32, &Device::Cpu);
    let gru = Gru::new(&GruConfig::new(2, 3), vb).unwrap();
    let error = gru.reset_parameters(&mut ChaCha8Rng::seed_from_u64(1)).unwrap_err().to_string();
    assert!(error.contains("loaded for inference and cannot be drawn anew"), "{error}");
}

#[test]
fn dropped_weights_stay_a_transposed_view_as_cuda_needs() {
    let vb = VarBuilder::from_varmap(&VarMap::new(), DType::F32, &Device::Cpu);
    let config = WeightsConfig { gates: 3, input: 3, hidden: 5, bias: true, ..WeightsConfig::default() };
    let mut weights = Weights::new(&config, "l0", vb).unwrap();
    weights.drop_hidden(0.5, &mut ChaCha8Rng::seed_from_u64(1)).unwrap();
    let gate = weights.hh_t.narrow(1, 5, 5).unwrap(); // (hidden, hidden) out of (hidden, 3 * hidden)
    assert_eq!((gate.dims(), gate.stride()), ([5, 5].as_slice(), [1, 5].as_slice()));
}
