use candle_core::{DType, Device, Var};
use candle_nn::VarMap;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::*;
use crate::layers::init::normal;
use crate::ops::{Precision, backward, without_fused};
use crate::{GruCell, LstmCell, SimpleRnnCell};

const INPUT: usize = 3;
const HIDDEN: usize = 5;
const MEMORY: usize = 4;
const TARGET: usize = 4;
const SOURCE: usize = 6;

/// A decoder with random operands. All parameters and operands are variables.
struct Case<C: Cell> {
    decoder: AttentionDecoder<C>,
    parameters: Vec<(String, Var)>,
    xs: Var,
    outputs: Var,
    h: Var,
    c: Option<Var>,
    attentional: Var,
    lengths: Vec<usize>,
    /// The weights of the outputs in the loss.
    weights: Tensor,
}

fn random(dims: &[usize], rng: &mut ChaCha8Rng) -> Tensor {
    let values: Vec<f64> = (0..dims.iter().product()).map(|_| normal(rng)).collect();
    Tensor::from_vec(values, dims, &Device::Cpu).unwrap()
}

impl<C: Cell> Case<C> {
    fn new(score: AttentionScore, lengths: &[usize]) -> Self {
        Self::of(DType::F64, score, lengths)
    }

    fn of(dtype: DType, score: AttentionScore, lengths: &[usize]) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        let map = VarMap::new();
        let vb = VarBuilder::from_varmap(&map, dtype, &Device::Cpu);
        let config = StackOptions::new(INPUT, HIDDEN).with_cell(C::Options::default());
        let decoder = AttentionDecoder::<C>::new(&config, MEMORY, score, vb).unwrap();
        decoder.reset_parameters(&mut rng).unwrap();
        let mut parameters: Vec<(String, Var)> =
            map.data().lock().unwrap().iter().map(|(name, var)| (name.clone(), var.clone())).collect();
        parameters.sort_by(|a, b| a.0.cmp(&b.0));
        let batch = lengths.len();
        let mut random = |dims: &[usize]| random(dims, &mut rng).to_dtype(dtype).unwrap();
        let weights = random(&[batch, TARGET, HIDDEN]);
        let mut variable = |dims: &[usize]| Var::from_tensor(&random(dims)).unwrap();
        Self {
            decoder,
            parameters,
            xs: variable(&[batch, TARGET, INPUT]),
            outputs: variable(&[batch, SOURCE, MEMORY]),
            h: variable(&[1, batch, HIDDEN]),
            c: C::CELL_STATE.then(|| variable(&[1, batch, HIDDEN])),
            attentional: variable(&[batch, HIDDEN]),
            lengths: lengths.to_vec(),
            weights,
        }
    }

    fn state(&self) -> AttentionState {
        let c = self.c.as_ref().map(|c| c.as_tensor().clone());
        AttentionState {
            cell: State { h: self.h.as_tensor().clone(), c },
            attentional: self.attentional.as_tensor().clone(),
        }
    }

    fn run(&self) -> Attended {
        let memory = self.decoder.memory(&self.outputs, Some(&self.lengths)).unwrap();
        self.decoder.run(&self.xs, &memory, &self.state()).unwrap()
    }

    fn loss(&self) -> Tensor {
        (self.run().ys * &self.weights).unwrap().sum_all().unwrap()
    }

    fn variables(&self) -> Vec<(String, Var)> {
        let operands = [("xs", Some(&self.xs)), ("outputs", Some(&self.outputs)), ("h", Some(&self.h))];
        let more = [("c", self.c.as_ref()), ("attentional", Some(&self.attentional))];
        let named = |(name, var): (&str, Option<&Var>)| Some((name.to_string(), var?.clone()));
        self.parameters.iter().cloned().chain(operands.into_iter().chain(more).filter_map(named)).collect()
    }

    /// The gradients of all variables.
    fn gradients(&self) -> Vec<(String, Vec<f64>)> {
        let gradients = backward(&self.loss()).unwrap();
        let gradient = |(name, var): (String, Var)| {
            let gradient = gradients.get(&var).unwrap().unwrap_or_else(|| panic!("no gradient of {name}"));
            (name, elements(&gradient))
        };
        self.variables().into_iter().map(gradient).collect()
    }

    fn check(&self) {
        self.check_against_the_reference();
        self.check_against_central_differences();
    }

    fn check_against_the_reference(&self) {
        let (found, expected) = (self.run(), without_fused(|| self.run()));
        assert_close("ys", &elements(&found.ys), &elements(&expected.ys), 1e-12);
        assert_close("weights", &elements(&found.alignments), &elements(&expected.alignments), 1e-12);
        let (state, expected) = (found.state, expected.state);
        assert_close("h", &elements(&state.cell.h), &elements(&expected.cell.h), 1e-12);
        assert_close("a", &elements(&state.attentional), &elements(&expected.attentional), 1e-12);
        let expected = without_fused(|| self.gradients());
        for ((name, found), (_, expected)) in self.gradients().iter().zip(&expected) {
            assert_close(name, found, expected, 1e-11);
        }
    }

    /// Check three elements of each gradient.
    fn check_against_central_differences(&self) {
        const DIFFERENCE: f64 = 1e-5;
        let gradients = self.gradients();
        for ((name, var), (_, gradient)) in self.variables().iter().zip(&gradients) {
            let values = elements(var);
            for at in [0, values.len() / 2, values.len() - 1] {
                let shifted = |by: f64| {
                    let mut values = values.clone();
                    values[at] += by;
                    var.set(&Tensor::from_vec(values, var.shape(), &Device::Cpu).unwrap()).unwrap();
                    self.loss().to_scalar::<f64>().unwrap()
                };
                let slope = (shifted(DIFFERENCE) - shifted(-DIFFERENCE)) / (2. * DIFFERENCE);
                shifted(0.);
                assert!((slope - gradient[at]).abs() < 1e-7, "{name}[{at}]: {} is not {slope}", gradient[at]);
            }
        }
    }
}

fn elements(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn assert_close(name: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{name}");
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= tolerance, "{name}: {found} is not {expected}");
    }
}

#[test]
fn gradients_equal_the_reference_and_central_differences() {
    for score in [AttentionScore::General, AttentionScore::Concat] {
        for lengths in [&[6, 1, 4][..], &[2], &[6, 6], &[4; 19]] {
            Case::<LstmCell>::new(score, lengths).check();
            Case::<GruCell>::new(score, lengths).check();
            Case::<SimpleRnnCell>::new(score, lengths).check();
        }
    }
}

#[test]
fn products_have_the_precision_of_the_thread() {
    let norm = |values: &[f64], others: &[f64]| -> f64 {
        values.iter().zip(others).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
    };
    for score in [AttentionScore::General, AttentionScore::Concat] {
        let case = Case::<GruCell>::of(DType::F32, score, &[4; 19]);
        let all = || {
            let mut all = case.gradients();
            all.push(("ys".into(), elements(&case.run().ys)));
            all
        };
        let (exact, found) = (all(), Precision::Bf16.scope(all));
        let expected = Precision::Bf16.scope(|| without_fused(all));
        for (((name, exact), (_, found)), (_, expected)) in exact.iter().zip(&found).zip(&expected) {
            let (error, without_rounding) = (norm(found, expected), norm(exact, expected));
            assert!(error < without_rounding / 4., "{score:?} {name}: {error}, in f32 {without_rounding}");
        }
    }
}

#[test]
fn kernels_of_a_decoder_give_the_same_bits_on_any_number_of_threads() {
    let case = Case::<LstmCell>::of(DType::F32, AttentionScore::Concat, &[5; 40]);
    let all = || (elements(&case.run().ys), case.gradients());
    let expected = all();
    // Other tests may run meanwhile: no result depends on the number of threads.
    for threads in [1, 3, usize::MAX] {
        crate::kernels::set_threads(threads);
        assert_eq!(all(), expected, "{threads} threads");
    }
}

#[test]
fn steps_equal_the_whole_target() {
    for score in [AttentionScore::General, AttentionScore::Concat] {
        let case = Case::<LstmCell>::new(score, &[6, 1, 4]);
        let expected = case.run();
        let memory = case.decoder.memory(&case.outputs, Some(&case.lengths)).unwrap();
        let mut state = case.state();
        for t in 0..TARGET {
            let of = |tensor: &Tensor| elements(&tensor.get_on_dim(1, t).unwrap());
            let step = case.decoder.step(&case.xs.get_on_dim(1, t).unwrap(), &memory, &state).unwrap();
            assert_close("y", &elements(&step.y), &of(&expected.ys), 1e-12);
            assert_close("weights", &elements(&step.weights), &of(&expected.alignments), 1e-12);
            state = step.state;
        }
    }
}

#[test]
fn rows_of_a_batch_and_padding_are_independent() {
    for score in [AttentionScore::General, AttentionScore::Concat] {
        let case = Case::<GruCell>::new(score, &[6, 2, 4]);
        let expected = case.run().ys;
        let memory = case.decoder.memory(&case.outputs, Some(&case.lengths)).unwrap();
        for (row, &length) in case.lengths.iter().enumerate() {
            let alone = |tensor: &Tensor| tensor.narrow(0, row, 1).unwrap();
            let state = case.state().select(&[row]).unwrap();
            let outputs = alone(&case.outputs).narrow(1, 0, length).unwrap();
            let unpadded = case.decoder.memory(&outputs, None).unwrap();
            for memory in [unpadded, memory.select(&[row]).unwrap()] {
                let found = case.decoder.run(&alone(&case.xs), &memory, &state).unwrap().ys;
                assert_close("ys", &elements(&found), &elements(&alone(&expected)), 1e-12);
            }
        }
        assert!(memory.select(&[3]).is_err());
    }
}

/// Check that a decoder which reads the memory of another one uses its own weights, forward and backward.
fn check_foreign_memory<C: Cell>(score: AttentionScore, memory: &AttentionMemory) {
    let case = Case::<C>::new(score, &[6, 1, 4]);
    let all = || {
        let ys = case.decoder.run(&case.xs, memory, &case.state()).unwrap().ys;
        let gradients = backward(&(&ys * &case.weights).unwrap().sum_all().unwrap()).unwrap();
        let gradient = |(name, var): &(String, Var)| {
            let gradient = gradients.get(var).unwrap();
            (name.clone(), gradient.map(|gradient| elements(&gradient)).unwrap_or_default())
        };
        let gradients: Vec<_> = case.parameters.iter().map(gradient).collect();
        (elements(&ys), gradients)
    };
    let (found, expected) = (all(), without_fused(all));
    assert_close("ys", &found.0, &expected.0, 1e-12);
    for ((name, found), (_, expected)) in found.1.iter().zip(&expected.1) {
        assert_close(name, found, expected, 1e-11);
    }
}

#[test]
fn a_memory_of_another_decoder_is_read_with_the_own_weights() {
    let memory_of = |decoder: &dyn DecodeWithAttention| {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        decoder.memory(&random(&[3, SOURCE, MEMORY], &mut rng), Some(&[6, 1, 4])).unwrap()
    };
    for score in [AttentionScore::General, AttentionScore::Concat] {
        for memory_score in [AttentionScore::General, AttentionScore::Concat] {
            let lstm = Case::<LstmCell>::new(memory_score, &[6, 1, 4]);
            let memory = memory_of(&lstm.decoder);
            check_foreign_memory::<LstmCell>(score, &memory);
            check_foreign_memory::<GruCell>(score, &memory);
            check_foreign_memory::<SimpleRnnCell>(score, &memory);
            let case = Case::<GruCell>::new(memory_score, &[6, 1, 4]);
            // The other decoder has other values in tensors of the same sizes.
            case.decoder.reset_parameters(&mut ChaCha8Rng::seed_from_u64(12)).unwrap();
            check_foreign_memory::<GruCell>(score, &memory_of(&case.decoder));
        }
    }
}

#[test]
fn attention_weights_of_padding_are_zero() {
    let case = Case::<LstmCell>::new(AttentionScore::Concat, &[6, 2]);
    let weights = case.run().alignments.to_vec3::<f64>().unwrap();
    for step in &weights[1] {
        assert_eq!(step[2..], [0.; SOURCE - 2]);
        assert!((step.iter().sum::<f64>() - 1.).abs() < 1e-12);
    }
}

#[test]
fn invalid_lengths_and_shapes_are_refused() {
    let case = Case::<LstmCell>::new(AttentionScore::General, &[6, 2]);
    let problem = |lengths: &[usize]| {
        let memory = case.decoder.memory(&case.outputs, Some(lengths)).unwrap();
        case.decoder.run(&case.xs, &memory, &case.state()).unwrap_err().to_string()
    };
    assert!(problem(&[6]).starts_with("1 source lengths for a batch of 2"));
    assert!(problem(&[6, 0]).starts_with("source 1 has length 0; expected 1 to 6"));
    assert!(problem(&[7, 1]).starts_with("source 0 has length 7; expected 1 to 6"));
    assert!(case.decoder.memory(&case.xs, None).is_err());
    let memory = case.decoder.memory(&case.outputs, None).unwrap();
    let refused = |change: &dyn Fn(&mut AttentionState)| {
        let mut state = case.state();
        change(&mut state);
        case.decoder.run(&case.xs, &memory, &state).unwrap_err().to_string()
    };
    assert!(refused(&|state| state.cell.c = None).starts_with("a cell state is for an LSTM"));
    let wide = |rows| Tensor::zeros((1, rows, HIDDEN + 1), DType::F64, &Device::Cpu).unwrap();
    let problem = refused(&|state| state.cell.c = Some(wide(2)));
    assert!(problem.starts_with("the shape of the cell state is [2, 6]"), "{problem}");
}
