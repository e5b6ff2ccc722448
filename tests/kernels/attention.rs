//! The decoder with attention: the fused op against the reference in plain candle ops.

use std::collections::HashMap;

use candle_core::{DType, Device, Result, Var};
use candle_nn::{VarBuilder, VarMap};
use proptest::prelude::*;
use rnn_zoo::models::kernels::Isa;
use rnn_zoo::models::ops::without_fused;
use rnn_zoo::models::{
    AttentionDecoder, AttentionScore, AttentionState, Cell, GruCell, GruOptions, LstmCell, Nonlinearity,
    Precision, Reset, SimpleRnnCell, SimpleRnnOptions, StackOptions, State, backward,
};
use rnn_zoo::rng::{Purpose, Rng, stream};

use super::case::{Results, check_close, check_near};
use super::int8::{INT8_SPACING, in_int8, oracle};
use crate::random_layer::{random, values};

/// Sizes of a batch and a decoder.
#[derive(Clone, Debug)]
struct Case {
    input: usize,
    hidden: usize,
    memory: usize,
    target: usize,
    source: usize,
    lengths: Vec<usize>,
    score: AttentionScore,
    seed: u64,
}

fn any_case() -> impl Strategy<Value = Case> {
    let scores = prop::sample::select(vec![AttentionScore::General, AttentionScore::Concat]);
    (1..6usize, 1..20usize, 1..7usize, 0..5usize, 1..6usize, 1..5usize, scores, any::<u64>()).prop_flat_map(
        |(input, hidden, memory, target, source, batch, score, seed)| {
            prop::collection::vec(1..=source, batch).prop_map(move |lengths| Case {
                input,
                hidden,
                memory,
                target,
                source,
                lengths,
                score,
                seed,
            })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn decoders_and_their_gradients_equal_the_reference(case in any_case(), cell in 0..4usize) {
        for (dtype, tolerance) in [(DType::F64, 1e-11), (DType::F32, 1e-4)] {
            let run = || match cell {
                0 => run::<SimpleRnnCell>(&case, Default::default(), dtype, true),
                1 => run::<LstmCell>(&case, Default::default(), dtype, true),
                2 => run::<GruCell>(&case, Default::default(), dtype, true),
                _ => run::<GruCell>(&case, reset_before(), dtype, true),
            };
            let expected = without_fused(run)?;
            for isa in Isa::available() {
                check_close(&format!("{} in {dtype:?}", isa.name()), &isa.scope(run)?, &expected, tolerance)?;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn decoders_in_int8_equal_the_oracle(case in any_case(), cell in 0..5usize) {
        let run = |dtype| match cell {
            0 => run::<SimpleRnnCell>(&case, Default::default(), dtype, false),
            1 => run::<SimpleRnnCell>(&case, SimpleRnnOptions { nonlinearity: Nonlinearity::Relu }, dtype, false),
            2 => run::<LstmCell>(&case, Default::default(), dtype, false),
            3 => run::<GruCell>(&case, Default::default(), dtype, false),
            _ => run::<GruCell>(&case, reset_before(), dtype, false),
        };
        let expected = oracle(|| run(DType::F64))?;
        for isa in Isa::available_for_int8() {
            let found = in_int8(isa, || run(DType::F32))?;
            check_near(isa.name(), &found, &expected, 4. * INT8_SPACING)?;
        }
    }
}

/// A state on the other side of a tie is rounded to the neighbouring integer, so a few cases may differ; in f32 all do.
#[test]
fn decoders_in_int8_round_as_the_oracle_does() {
    let isa = Isa::available_for_int8()[0];
    let mut equal = [0; 2];
    for seed in 0..40 {
        let score = if seed % 2 == 0 { AttentionScore::General } else { AttentionScore::Concat };
        let lengths = vec![5, 2, 4];
        let case = Case { input: 5, hidden: 20, memory: 6, target: 4, source: 5, lengths, score, seed };
        let run = |dtype| match seed % 3 {
            0 => run::<LstmCell>(&case, Default::default(), dtype, false),
            1 => run::<GruCell>(&case, Default::default(), dtype, false),
            _ => run::<SimpleRnnCell>(&case, Default::default(), dtype, false),
        };
        let expected = oracle(|| run(DType::F64)).unwrap();
        let found = [in_int8(isa, || run(DType::F32)).unwrap(), isa.scope(|| run(DType::F32)).unwrap()];
        for (equal, found) in equal.iter_mut().zip(&found) {
            *equal += usize::from(check_near("", found, &expected, 1e-4).is_ok());
        }
    }
    assert!(equal[0] >= 36 && equal[1] == 0, "of 40 cases {} equal in int8, {} in f32", equal[0], equal[1]);
}

fn reset_before() -> GruOptions {
    GruOptions { reset: Reset::Before, ..Default::default() }
}

#[test]
fn decoders_in_int8_have_the_same_bits_step_by_step_and_refuse_gradients() {
    let mut rng = stream(8, Purpose::Parameters, 0);
    let map = VarMap::new();
    let vb = VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu);
    let config = StackOptions::new(7, 20).with_cell(Default::default());
    let decoder = AttentionDecoder::<LstmCell>::new(&config, 6, AttentionScore::Concat, vb).unwrap();
    decoder.reset_parameters(&mut rng).unwrap();
    let xs = random(&[3, 4, 7], DType::F32, &mut rng).unwrap();
    let outputs = random(&[3, 5, 6], DType::F32, &mut rng).unwrap();
    Precision::Int8.scope(|| {
        let memory = decoder.memory(&outputs, None).unwrap();
        let mut state = decoder.zero_state(3).unwrap();
        let whole = decoder.run(&xs, &memory, &state).unwrap();
        for t in 0..4 {
            let step = decoder.step(&xs.get_on_dim(1, t).unwrap(), &memory, &state).unwrap();
            let expected = whole.ys.get_on_dim(1, t).unwrap();
            assert_eq!(values(&step.y).unwrap(), values(&expected).unwrap(), "step {t}");
            state = step.state;
        }
        // Weights that were packed in another precision are packed anew.
        let of_f32 = Precision::F32.scope(|| decoder.memory(&outputs, None)).unwrap();
        let start = decoder.zero_state(3).unwrap();
        assert!(decoder.run(&xs, &of_f32, &start).is_ok());
        assert!(Precision::F32.scope(|| decoder.run(&xs, &memory, &start)).is_ok());
        let problem = backward(&whole.ys.sum_all().unwrap()).map(|_| ()).unwrap_err().to_string();
        assert!(problem.contains("int8 is a precision of inference and has no gradients"), "{problem}");
    });
}

/// The outputs and final states of random sequences, and the gradients of a weighted sum of the outputs if wanted.
fn run<C: Cell>(case: &Case, options: C::Options, dtype: DType, with_gradients: bool) -> Result<Results> {
    let Case { input, hidden, memory, target, source, ref lengths, score, seed } = *case;
    let mut rng = stream(seed, Purpose::Parameters, 0);
    let map = VarMap::new();
    let vb = VarBuilder::from_varmap(&map, dtype, &Device::Cpu);
    let config = StackOptions::new(input, hidden).with_cell(options);
    let decoder = AttentionDecoder::<C>::new(&config, memory, score, vb)?;
    decoder.reset_parameters(&mut rng)?;
    let batch = lengths.len();
    let variable = |dims: &[usize], rng: &mut Rng| Var::from_tensor(&random(dims, dtype, rng)?);
    let mut variables: HashMap<String, Var> = map.data().lock().expect("invariant: no panic").clone();
    let xs = variable(&[batch, target, input], &mut rng)?;
    let outputs = variable(&[batch, source, memory], &mut rng)?;
    let h = variable(&[1, batch, hidden], &mut rng)?;
    let c = variable(&[1, batch, hidden], &mut rng)?;
    let attentional = variable(&[batch, hidden], &mut rng)?;
    let state = AttentionState {
        cell: State { h: h.as_tensor().clone(), c: C::CELL_STATE.then(|| c.as_tensor().clone()) },
        attentional: attentional.as_tensor().clone(),
    };
    let memory = decoder.memory(outputs.as_tensor(), Some(lengths))?;
    let found = decoder.run(xs.as_tensor(), &memory, &state)?;
    let weights = random(&[batch, target, hidden], dtype, &mut rng)?;
    let loss = (&found.ys * weights)?.sum_all()?;

    let mut results = Results::from([
        ("ys".to_string(), values(&found.ys)?),
        ("alignments".to_string(), values(&found.alignments)?),
        ("h".to_string(), values(&found.state.cell.h)?),
        ("attentional".to_string(), values(&found.state.attentional)?),
    ]);
    if let Some(c) = &found.state.cell.c {
        results.insert("c".into(), values(c)?);
    }
    if !with_gradients {
        return Ok(results);
    }
    for (name, var) in [("xs", xs), ("memory", outputs), ("h0", h), ("c0", c), ("a0", attentional)] {
        variables.insert(name.into(), var);
    }
    let gradients = backward(&loss)?;
    for (name, var) in &variables {
        let gradient = gradients.get(var)?.map_or_else(|| var.zeros_like(), Ok)?;
        results.insert(format!("gradient of {name}"), values(&gradient)?);
    }
    Ok(results)
}
