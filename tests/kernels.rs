//! The fused kernels against the reference in plain tensor ops: every option, for every set of instructions
//! that this machine has, in f32 and f64, forward and backward, and the same bits for any number of threads.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::{VarBuilder, VarMap};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use rand::RngExt;
use rnn_zoo::models::kernels::{self, CellKind, Isa};
use rnn_zoo::models::ops::without_fused;
use rnn_zoo::models::{
    Cell, Encoded, GruOptions, Linear, LstmOptions, Merge, ModelConfig, Nonlinearity, Recurrent,
    RecurrentConfig, Reset, RnnlmConfig, SimpleRnnOptions, Stack, StackOptions, State, Weights, backward,
};
use rnn_zoo::rng::{Purpose, Rng, stream};

type Check = std::result::Result<(), TestCaseError>;

/// A layer with everything that can be asked of it, and a batch.
#[derive(Clone, Debug)]
struct Case {
    config: RecurrentConfig,
    time: usize,
    /// Steps of each sequence; as many as the batch has rows.
    lengths: Option<Vec<usize>>,
    batch: usize,
    /// With the noise of training.
    noisy: bool,
    seed: u64,
}

/// Any cell around what all share; the size of a projection comes from the seed.
fn any_cell(shared: StackOptions, kind: usize) -> RecurrentConfig {
    let simple = |nonlinearity| SimpleRnnOptions { nonlinearity };
    let lstm = |projection| LstmOptions { projection, ..Default::default() };
    match kind {
        0 => RecurrentConfig::SimpleRnn(shared.with_cell(simple(Nonlinearity::Tanh))),
        1 => RecurrentConfig::SimpleRnn(shared.with_cell(simple(Nonlinearity::Relu))),
        2 => RecurrentConfig::Lstm(shared.with_cell(lstm(None))),
        3 => {
            let projection = Some(shared.hidden_size.div_ceil(2));
            RecurrentConfig::Lstm(shared.with_cell(lstm(projection)))
        }
        4 => RecurrentConfig::Gru(shared.with_cell(GruOptions { reset: Reset::After, ..Default::default() })),
        _ => {
            RecurrentConfig::Gru(shared.with_cell(GruOptions { reset: Reset::Before, ..Default::default() }))
        }
    }
}

const KINDS: usize = 6;

#[test]
fn what_is_no_number_stays_none() {
    for kind in 0..KINDS {
        let map = VarMap::new();
        let vb = VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu);
        let layer = any_cell(StackOptions::new(3, 4), kind).build(&vb).unwrap();
        let xs = Tensor::full(f32::NAN, (2, 2, 3), &Device::Cpu).unwrap();
        let ys = layer.forward(&xs, None, None).unwrap().ys.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!(ys.iter().all(|y| y.is_nan()), "kind {kind}: {ys:?}");
    }
}

fn any_case() -> impl Strategy<Value = Case> {
    // Around the widths of vectors, and of tiles.
    let sizes = (1..=20usize, 1..=40usize, 1..=2usize, 0..=7usize, 1..=15usize);
    let merge =
        prop::option::of(prop::sample::select(vec![Merge::Concat, Merge::Sum, Merge::Mul, Merge::Ave]));
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), prop::sample::select(vec![0., 0.4]));
    let chances = (prop::sample::select(vec![0., 0.3]), prop::sample::select(vec![0., 0.3]));
    (0..KINDS, sizes, merge, flags, chances, any::<u64>()).prop_map(
        |(kind, (input, hidden, num_layers, time, batch), bidirectional, flags, chances, seed)| {
            let (bias, padded, noisy, zoneout) = flags;
            let (recurrent_dropout, weight_drop) = chances;
            let shared = StackOptions {
                num_layers,
                bidirectional,
                bias,
                zoneout,
                recurrent_dropout,
                weight_drop,
                ..StackOptions::new(input, hidden)
            };
            let mut rng = stream(seed, Purpose::Shuffle, 0);
            let lengths = padded.then(|| (0..batch).map(|_| rng.random_range(0..=time)).collect());
            Case { config: any_cell(shared, kind), time, lengths, batch, noisy, seed }
        },
    )
}

/// Sizes at which a team splits the batch, and the units.
fn large(kind: usize, split: &str) -> Case {
    let (batch, time, input, hidden) = match split {
        "batch" => (13, 9, 60, 80),
        "units" => (3, 5, 60, 200),
        // Deeper than what a product takes at a time: the input, the gates, and all steps of all rows.
        _ => (30, 27, 780, 200),
    };
    let shared = StackOptions { zoneout: 0.2, recurrent_dropout: 0.2, ..StackOptions::new(input, hidden) };
    let lengths = Some((0..batch).map(|row| time - row % 3).collect());
    Case { config: any_cell(shared, kind), time, lengths, batch, noisy: true, seed: kind as u64 }
}

/// Numbers uniform in ±0.8.
fn random(dims: &[usize], dtype: DType, rng: &mut Rng) -> Result<Tensor> {
    let values: Vec<f64> = (0..dims.iter().product()).map(|_| 1.6 * rng.random::<f64>() - 0.8).collect();
    Tensor::from_vec(values, dims, &Device::Cpu)?.to_dtype(dtype)
}

/// All outputs, and the gradients of a random loss over them with regard to all that went in.
type Results = BTreeMap<String, Vec<f64>>;

fn values(tensor: &Tensor) -> Result<Vec<f64>> {
    tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1()
}

impl Case {
    fn run(&self, dtype: DType) -> Result<Results> {
        let mut rng = stream(self.seed, Purpose::Parameters, 0);
        let map = VarMap::new();
        let layer = self.config.build(&VarBuilder::from_varmap(&map, dtype, &Device::Cpu))?;
        let mut variables = BTreeMap::new();
        for (name, var) in map.data().lock().expect("invariant: nothing panics here").iter() {
            variables.insert(name.clone(), var.clone());
        }
        // Small enough that a sequence does not make much of a rounding error.
        let scale = 1.5 / (self.config.stack().hidden_size as f64).sqrt();
        for var in variables.values() {
            var.set(&(random(var.dims(), dtype, &mut rng)? * scale)?)?;
        }
        let xs = Var::from_tensor(&random(&[self.batch, self.time, layer.input_size()], dtype, &mut rng)?)?;
        let zeros = layer.zero_state(self.batch)?;
        let h = Var::from_tensor(&random(zeros.h.dims(), dtype, &mut rng)?)?;
        let c = zeros.c.map(|c| Var::from_tensor(&random(c.dims(), dtype, &mut rng)?)).transpose()?;
        let state = State { h: h.as_tensor().clone(), c: c.as_ref().map(|c| c.as_tensor().clone()) };
        let mut noise = stream(self.seed, Purpose::Noise, 0);
        let noise = self.noisy.then_some(&mut noise as &mut dyn rand::Rng);
        let output = layer.forward_t(&xs, Some(&state), self.lengths.as_deref(), noise)?;
        variables.extend([("xs".to_string(), xs), ("h0".to_string(), h)]);
        variables.extend(c.map(|c| ("c0".to_string(), c)));
        let outputs =
            [Some(("ys", output.ys)), Some(("h", output.state.h)), output.state.c.map(|c| ("c", c))];
        let mut results = Results::new();
        let mut loss = Tensor::zeros((), dtype, &Device::Cpu)?;
        for (name, tensor) in outputs.into_iter().flatten() {
            results.insert(name.to_string(), values(&tensor)?);
            let weights = random(tensor.dims(), dtype, &mut rng)?;
            loss = (loss + (tensor * weights)?.sum_all()?)?;
        }
        let gradients = backward(&loss)?;
        for (name, var) in &variables {
            if let Some(gradient) = gradients.get(var)? {
                results.insert(format!("gradient of {name}"), values(&gradient)?);
            }
        }
        Ok(results)
    }
}

/// Every number of one lies as near to the other's as its largest allows.
fn check_close(what: &str, found: &Results, expected: &Results, tolerance: f64) -> Check {
    for (name, values) in found.iter().filter(|(name, _)| !expected.contains_key(*name)) {
        // What took no part has no gradient there, and one of zero here.
        prop_assert!(values.iter().all(|&value| value == 0.), "{}: {} of {:?} is new", what, name, values);
    }
    for (name, expected) in expected {
        prop_assert!(found.contains_key(name), "{}: there is no {}", what, name);
        let largest = expected.iter().fold(1f64, |most, value| most.max(value.abs()));
        prop_assert_eq!(found[name].len(), expected.len(), "{}: {}", what, name);
        for (at, (found, expected)) in found[name].iter().zip(expected).enumerate() {
            let close = (found - expected).abs() <= tolerance * largest;
            prop_assert!(close, "{}: {} has {} at {}, the reference {}", what, name, found, at, expected);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_fused_layer_is_the_reference(case in any_case()) {
        for (dtype, tolerance) in [(DType::F64, 1e-11), (DType::F32, 2e-5)] {
            let expected = without_fused(|| case.run(dtype))?;
            for isa in Isa::available() {
                let found = isa.scope(|| case.run(dtype))?;
                check_close(&format!("{} in {dtype:?}", isa.name()), &found, &expected, tolerance)?;
            }
        }
    }

    #[test]
    fn a_fused_loss_is_the_reference(
        rows in 1..40usize, features in 1..40usize, classes in 1..300usize, scale in 0.1..30f64,
        smoothing in prop::sample::select(vec![0., 0.1, 0.7]), seed: u64,
    ) {
        for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 1e-5)] {
            // The gradient of the rows is a sum of weights: its rounding grows with them.
            let tolerance = tolerance * scale.max(1.);
            let run = || loss_of(dtype, (rows, features, classes), scale, smoothing, seed);
            let expected = without_fused(run)?;
            for isa in Isa::available() {
                check_close(&format!("{} in {dtype:?}", isa.name()), &isa.scope(run)?, &expected, tolerance)?;
            }
        }
    }

    #[test]
    fn a_stream_is_the_sequence(case in any_case()) {
        let mut config = case.config.stack().clone();
        config.bidirectional = None;
        let kind = match (&case.config, case.config.stack().hidden_size) {
            (RecurrentConfig::SimpleRnn(config), _) => usize::from(config.cell.nonlinearity == Nonlinearity::Relu),
            (RecurrentConfig::Lstm(config), _) => 2 + usize::from(config.cell.projection.is_some()),
            (RecurrentConfig::Gru(_), _) => 4,
        };
        let case = Case { config: any_cell(config, kind), ..case };
        for isa in Isa::available() {
            isa.scope(|| check_stream(&case))?;
        }
    }
}

/// The mean loss of random rows, and its gradients; and the score without one.
fn loss_of(
    dtype: DType,
    (rows, features, classes): (usize, usize, usize),
    scale: f64,
    smoothing: f64,
    seed: u64,
) -> Result<Results> {
    let mut rng = stream(seed, Purpose::Parameters, 0);
    let mut variable = |dims: &[usize], scale| Var::from_tensor(&(random(dims, dtype, &mut rng)? * scale)?);
    let (xs, weight, bias) = (
        variable(&[rows, features], 1.)?,
        variable(&[classes, features], scale)?,
        variable(&[classes], scale)?,
    );
    let targets: Vec<u32> = (0..rows).map(|_| rng.random_range(0..classes as u32)).collect();
    let targets = Tensor::from_vec(targets, rows, &Device::Cpu)?;
    let linear = Linear::new(weight.as_tensor().clone(), Some(bias.as_tensor().clone()));
    let score = linear.score(&xs, &targets)?;
    let mut results = Results::from([("summed loss".into(), vec![score.loss, score.correct as f64])]);
    results.insert("losses".into(), linear.losses(&xs, &targets)?);
    let loss = linear.cross_entropy(&xs, &targets, smoothing)?;
    results.insert("loss".into(), values(&loss)?);
    let gradients = backward(&(loss * 3.)?)?; // not one: a factor must reach the gradients
    for (name, var) in [("xs", &xs), ("weight", &weight), ("bias", &bias)] {
        results.insert(format!("gradient of {name}"), values(&gradients.get(var)?.expect("a gradient"))?);
    }
    Ok(results)
}

fn check_stream(case: &Case) -> Check {
    let mut rng = stream(case.seed, Purpose::Parameters, 0);
    let map = VarMap::new();
    let layer = case.config.build(&VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu))?;
    for var in map.all_vars() {
        var.set(&random(var.dims(), DType::F32, &mut rng)?)?;
    }
    let xs = random(&[1, case.time, layer.input_size()], DType::F32, &mut rng)?;
    let zeros = layer.zero_state(1)?;
    let state = State {
        h: random(zeros.h.dims(), DType::F32, &mut rng)?,
        c: zeros.c.map(|c| random(c.dims(), DType::F32, &mut rng)).transpose()?,
    };
    let expected = layer.forward(&xs, Some(&state), None)?;
    let Some(mut stream) = layer.stream(&[])? else {
        return Err(TestCaseError::fail("there is no stream of this layer"));
    };
    stream.set_state(&state)?;
    let mut ys = vec![];
    for x in xs.squeeze(0)?.to_vec2::<f32>()? {
        ys.extend_from_slice(stream.step(&x)?);
    }
    let after = stream.state()?;
    for (name, found, expected) in [
        ("ys", ys, values(&expected.ys)?),
        ("h", after.h.flatten_all()?.to_vec1()?, values(&expected.state.h)?),
        (
            "c",
            after.c.map_or(Ok(vec![]), |c| c.flatten_all()?.to_vec1())?,
            expected.state.c.as_ref().map_or(Ok(vec![]), values)?,
        ),
    ] {
        prop_assert_eq!(found.len(), expected.len(), "{}", name);
        for (found, expected) in found.into_iter().zip(expected) {
            let close = (f64::from(found) - expected).abs() <= 1e-5 * expected.abs().max(1.);
            prop_assert!(close, "{}: {} is not {}", name, found, expected);
        }
    }
    Ok(())
}

/// The number of threads is the whole program's: tests that need theirs take turns.
static THREADS: std::sync::Mutex<()> = std::sync::Mutex::new(());

#[test]
fn products_that_are_taken_in_parts_are_the_reference() {
    for kind in [2, 4] {
        let case = large(kind, "parts");
        let expected = without_fused(|| case.run(DType::F64)).unwrap();
        for isa in Isa::available() {
            let found = isa.scope(|| case.run(DType::F64)).unwrap();
            check_close(isa.name(), &found, &expected, 1e-11).unwrap_or_else(|error| panic!("{error}"));
        }
    }
}

#[test]
fn a_split_batch_and_split_units_are_the_reference() {
    let _turn = THREADS.lock().unwrap();
    for kind in 0..KINDS {
        for split in ["batch", "units"] {
            let case = large(kind, split);
            let expected = without_fused(|| case.run(DType::F64)).unwrap();
            for isa in Isa::available() {
                let found = isa.scope(|| case.run(DType::F64)).unwrap();
                let what = format!("{} split by {split}", isa.name());
                check_close(&what, &found, &expected, 1e-11).unwrap_or_else(|error| panic!("{error}"));
            }
        }
    }
}

#[test]
fn threads_change_no_bit() {
    let _turn = THREADS.lock().unwrap();
    let mut found = vec![];
    for threads in [1, 2, 3] {
        kernels::set_threads(threads);
        let layers =
            (0..KINDS).flat_map(|kind| ["batch", "units"].map(|split| large(kind, split).run(DType::F32)));
        let bits = |results: Results| {
            results
                .into_iter()
                .map(|(name, values)| (name, values.into_iter().map(f64::to_bits).collect::<Vec<_>>()))
        };
        let all = layers
            .chain([loss_of(DType::F32, (300, 70, 700), 1., 0.1, 3)])
            .map(|results| bits(results.unwrap()).collect::<Vec<_>>());
        found.push(all.collect::<Vec<_>>());
    }
    kernels::set_threads(usize::MAX);
    assert!(found[0] == found[1] && found[1] == found[2], "threads change what is computed");
}

#[test]
fn a_large_vocabulary_is_scored_in_parts_that_add_up() {
    // Several sets of rows, several blocks of classes, and both uneven.
    let run = || loss_of(DType::F64, (403, 33, 9001), 1., 0.1, 5);
    let expected = without_fused(run).unwrap();
    for isa in Isa::available() {
        let found = isa.scope(run).unwrap();
        check_close(isa.name(), &found, &expected, 1e-12).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn a_score_that_is_no_number_makes_the_loss_none() {
    let linear =
        |values: &[f32]| Linear::new(Tensor::new(values, &Device::Cpu).unwrap().unsqueeze(1).unwrap(), None);
    let xs = Tensor::ones((1, 1), DType::F32, &Device::Cpu).unwrap();
    let target = Tensor::new(&[1u32], &Device::Cpu).unwrap();
    for bad in [f32::NAN, f32::INFINITY] {
        let loss =
            linear(&[0., 1., bad]).cross_entropy(&xs, &target, 0.).unwrap().to_scalar::<f32>().unwrap();
        assert!(!loss.is_finite(), "{bad} among the scores gives {loss}");
    }
    // What is impossible costs nothing, even where a whole block of classes is.
    let mut scores = vec![0f32; 32];
    scores[2..].fill(f32::NEG_INFINITY);
    let never = linear(&scores).cross_entropy(&xs, &target, 0.).unwrap();
    assert!((never.to_scalar::<f32>().unwrap() - 2f32.ln()).abs() < 1e-6);
}

#[test]
fn the_loss_is_the_log_of_the_share_even_of_huge_scores() {
    let xs = Tensor::ones((1, 1), DType::F64, &Device::Cpu).unwrap();
    let by_hand = (1f64.exp() + 2f64.exp() + 3f64.exp()).ln() - 3.;
    for (scores, target, expected) in [([[1.], [2.], [3.]], 2u32, by_hand), ([[1e4], [0.], [-1e4]], 0, 0.)] {
        let linear = Linear::new(Tensor::new(&scores, &Device::Cpu).unwrap(), None);
        let target = Tensor::new(&[target], &Device::Cpu).unwrap();
        let run = || linear.score(&xs, &target).unwrap().loss;
        for found in [run(), without_fused(run)] {
            assert!((found - expected).abs() < 1e-12, "{found} is not {expected}");
        }
    }
    // Without kernels the rows are scored in parts, which add up.
    let xs = Tensor::ones((2500, 1), DType::F64, &Device::Cpu).unwrap();
    let linear = Linear::new(Tensor::new(&[[1f64], [2.], [3.]], &Device::Cpu).unwrap(), None);
    let targets = Tensor::full(2u32, 2500, &Device::Cpu).unwrap();
    let score = without_fused(|| linear.score(&xs, &targets).unwrap());
    assert!((score.loss - 2500. * by_hand).abs() < 1e-9 && score.correct == 2500, "{score:?}");
    let losses = without_fused(|| linear.losses(&xs, &targets).unwrap());
    assert!(losses.len() == 2500 && losses.iter().all(|loss| (loss - by_hand).abs() < 1e-12));
}

#[test]
fn of_several_highest_scores_the_first_counts() {
    let linear = Linear::new(Tensor::zeros((40, 1), DType::F32, &Device::Cpu).unwrap(), None);
    let xs = Tensor::ones((3, 1), DType::F32, &Device::Cpu).unwrap();
    let targets = Tensor::new(&[0u32, 1, 39], &Device::Cpu).unwrap();
    let run = || linear.score(&xs, &targets).unwrap().correct;
    assert_eq!((run(), without_fused(run)), (1, 1));
}

#[test]
fn targets_and_shapes_that_make_no_sense_are_named() {
    let zeros = |dims: &[usize]| Tensor::zeros(dims, DType::F32, &Device::Cpu).unwrap();
    let linear = Linear::new(zeros(&[3, 2]), None);
    let problem = |rows: &[usize], targets: &[u32]| {
        let targets = Tensor::new(targets, &Device::Cpu).unwrap();
        linear.cross_entropy(&zeros(rows), &targets, 0.).unwrap_err().to_string()
    };
    assert!(problem(&[1, 2], &[3]).starts_with("target 3 is none of the 3 classes"));
    assert!(
        problem(&[2, 2], &[0])
            .starts_with("rows are [2, 2]; expected (targets, features of the decoder) [1, 2]")
    );
}

#[test]
fn the_same_graph_can_be_walked_twice() {
    let map = VarMap::new();
    let vb = VarBuilder::from_varmap(&map, DType::F64, &Device::Cpu);
    let config = any_cell(StackOptions::new(3, 4), 2);
    let layer = config.build(&vb).unwrap();
    layer.reset_parameters(&mut stream(1, Purpose::Parameters, 0)).unwrap();
    let xs = random(&[2, 5, 3], DType::F64, &mut stream(2, Purpose::Parameters, 0)).unwrap();
    let output = layer.forward(&xs, None, None).unwrap();
    let loss =
        (output.ys.sum_all().unwrap() + output.last().unwrap().sqr().unwrap().sum_all().unwrap()).unwrap();
    let gradients = |_| {
        let found = backward(&loss).unwrap();
        map.all_vars()
            .iter()
            .map(|var| values(&found.get(var).unwrap().unwrap()).unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(gradients(1), gradients(2));
    // And candle's own way finds the same.
    let store = loss.backward().unwrap();
    let own: Vec<_> = map.all_vars().iter().map(|var| values(store.get(var).unwrap()).unwrap()).collect();
    assert_eq!(own, gradients(3));
}

#[test]
fn a_parameter_used_twice_has_both_gradients() {
    // A tied decoder is the embedding: one gradient comes from the rows that were read, one from the scores.
    let map = VarMap::new();
    let vb = VarBuilder::from_varmap(&map, DType::F64, &Device::Cpu);
    let rnn = any_cell(StackOptions::new(4, 4), 4);
    let model =
        ModelConfig::Rnnlm(RnnlmConfig { tied: true, ..RnnlmConfig::new(9, rnn) }).build(&vb).unwrap();
    model.reset_parameters(&mut stream(1, Purpose::Parameters, 0)).unwrap();
    let tokens = Tensor::new(&[[1u32, 2, 1], [8, 0, 1]], &Device::Cpu).unwrap();
    let run = || {
        let (hidden, _) = model.encode(&tokens, None, None).unwrap();
        let hidden = hidden.flatten(0, 1).unwrap();
        let loss = model.decoder().cross_entropy(&hidden, &tokens.flatten_all().unwrap(), 0.).unwrap();
        let encoder = map.data().lock().unwrap()["encoder.weight"].clone();
        values(&backward(&loss).unwrap().get(&encoder).unwrap().unwrap()).unwrap()
    };
    let (found, expected) = (run(), without_fused(run));
    assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-14), "{found:?} is not {expected:?}");
}

/// The loss of a language model in training with all that it can be asked for, and its gradients.
fn training_of(
    config: &RnnlmConfig,
    lengths: Option<&[usize]>,
    smoothing: f64,
    seed: u64,
) -> Result<(f64, Vec<(String, Tensor)>)> {
    let map = VarMap::new();
    let vb = VarBuilder::from_varmap(&map, DType::F64, &Device::Cpu);
    let model = ModelConfig::Rnnlm(config.clone()).build(&vb)?;
    model.reset_parameters(&mut stream(seed, Purpose::Parameters, 0))?;
    let mut named: Vec<_> = map.data().lock().unwrap().clone().into_iter().collect();
    named.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    let mut rng = stream(seed, Purpose::Train, 0);
    let tokens: Vec<u32> = (0..15).map(|_| rng.random_range(0..config.vocabulary_size as u32)).collect();
    let inputs = Tensor::from_vec(tokens, (3, 5), &Device::Cpu)?;
    let loss = || {
        let mut noise = stream(seed, Purpose::Noise, 0);
        let Encoded { hidden, penalty, .. } = model.encode_t(&inputs, None, lengths, Some(&mut noise))?;
        let targets = inputs.flatten_all()?;
        let loss = model.decoder().cross_entropy(&hidden.flatten(0, 1)?, &targets, smoothing)?;
        penalty.map_or(Ok(loss.clone()), |penalty| loss + penalty)
    };
    let found = backward(&loss()?)?;
    let mut gradients = vec![];
    for (name, var) in named {
        let gradient = found.get(&var)?.expect("every parameter takes part");
        // Central differences along a random direction.
        let origin = var.copy()?;
        let direction = random(var.dims(), DType::F64, &mut rng)?;
        let at = |offset: f64| {
            var.set(&(&origin + (&direction * offset)?)?)?;
            loss()?.to_scalar::<f64>()
        };
        let difference = (at(1e-5)? - at(-1e-5)?) / 2e-5;
        var.set(&origin)?;
        let slope = (&gradient * &direction)?.sum_all()?.to_scalar::<f64>()?;
        assert!((slope - difference).abs() < 1e-7, "{name}: {slope} along a direction, not {difference}");
        gradients.push((name, gradient));
    }
    Ok((loss()?.to_scalar()?, gradients))
}

#[test]
fn regularised_language_models_train_as_the_reference_says() {
    let embedding_of = [4, 6]; // with and without a projection between the tied ends
    for (case, (embedding, kind)) in
        embedding_of.into_iter().flat_map(|e| (0..5).map(move |k| (e, k))).enumerate()
    {
        let stack = StackOptions {
            num_layers: 2,
            dropout: 0.3,
            locked_dropout: case % 2 == 0,
            weight_drop: 0.4,
            zoneout: 0.2,
            ..StackOptions::new(embedding, 6)
        };
        let config = RnnlmConfig {
            dropout: 0.3,
            embedding_dropout: 0.2,
            tied: true,
            ar: 2.,
            tar: 1.5,
            ..RnnlmConfig::new(9, any_cell(stack, kind))
        };
        let lengths = (case % 3 == 0).then_some(&[5usize, 1, 3][..]);
        let run = || training_of(&config, lengths, 0.1, case as u64).unwrap();
        let ((loss, gradients), (expected, oracle)) = (run(), without_fused(run));
        assert!((loss - expected).abs() < 1e-12, "case {case}: {loss} is not {expected}");
        for ((name, found), (_, expected)) in gradients.iter().zip(&oracle) {
            let pairs = values(found).unwrap().into_iter().zip(values(expected).unwrap());
            let far = pairs.map(|(a, b)| (a - b).abs()).fold(0., f64::max);
            assert!(far < 1e-12, "case {case}: the gradient of {name} differs by {far}");
        }
    }
}

#[test]
fn a_text_read_token_by_token_has_the_scores_of_one_read_at_once() {
    let map = VarMap::new();
    let vb = VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu);
    // With a projection behind the stack, too, where its output is not as wide as the tied embedding.
    for (kind, tied) in (0..5).flat_map(|kind| [(kind, false), (kind, true)]) {
        // So many units that a team reads.
        let rnn = any_cell(StackOptions { num_layers: 2, ..StackOptions::new(6, 200) }, kind);
        let config = RnnlmConfig { tied, ..RnnlmConfig::new(37, rnn) };
        let model = ModelConfig::Rnnlm(config).build(&vb.pp(format!("{kind}.{tied}"))).unwrap();
        model.reset_parameters(&mut stream(1, Purpose::Parameters, 0)).unwrap();
        let tokens = [3u32, 36, 0, 7, 7];
        let inputs = Tensor::new(&tokens, &Device::Cpu).unwrap().unsqueeze(0).unwrap();
        let (hidden, state) = model.encode(&inputs, None, None).unwrap();
        let expected = model.decode(&hidden).unwrap().squeeze(0).unwrap().to_vec2::<f32>().unwrap();
        let mut stream = model.stream().unwrap().expect("a language model on the processor has a stream");
        for (token, expected) in tokens.iter().zip(expected) {
            let scores = stream.read(*token).unwrap();
            assert_eq!(scores.len(), 37);
            assert!(scores.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5));
        }
        let after = values(&stream.state().unwrap().h).unwrap();
        assert!(after.iter().zip(values(&state.h).unwrap()).all(|(a, b)| (a - b).abs() < 1e-5));
        assert!(stream.read(37).unwrap_err().to_string().contains("token 37 is beyond the vocabulary of 37"));
    }
}

#[test]
fn texts_side_by_side_are_to_the_bit_what_they_are_alone() {
    let map = VarMap::new();
    let vb = VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu);
    for kind in 0..5 {
        // Sizes that fill no vector, nor a tile.
        let rnn = any_cell(StackOptions { num_layers: 2, zoneout: 0.1, ..StackOptions::new(6, 75) }, kind);
        let config = RnnlmConfig { tied: kind % 2 == 0, ..RnnlmConfig::new(37, rnn) };
        let model = ModelConfig::Rnnlm(config).build(&vb.pp(kind)).unwrap();
        model.reset_parameters(&mut stream(1, Purpose::Parameters, 0)).unwrap();
        for isa in Isa::available() {
            isa.scope(|| {
                let mut rng = stream(2, Purpose::Sampling, kind as u64);
                // What each text has read so far, alone in a stream of its own.
                let mut texts: Vec<Vec<u32>> = vec![vec![]; 23];
                let mut together = model.stream().unwrap().unwrap();
                together.set_state(&model.zero_state(texts.len()).unwrap()).unwrap();
                for round in 0..4 {
                    let tokens: Vec<u32> = texts.iter().map(|_| rng.random_range(0..37)).collect();
                    together.read_all(&tokens).unwrap();
                    let state = together.state().unwrap();
                    for (row, (text, &token)) in texts.iter_mut().zip(&tokens).enumerate() {
                        text.push(token);
                        let mut alone = model.stream().unwrap().unwrap();
                        text.iter().for_each(|&token| alone.read_all(&[token]).unwrap());
                        let expected = (alone.scores(0).unwrap(), together.scores(row).unwrap());
                        assert_eq!(expected.0, expected.1, "kind {kind}, {}, row {row}", isa.name());
                        let (own, state) = (alone.state().unwrap(), state.select(&[row]).unwrap());
                        assert_eq!(values(&own.h).unwrap(), values(&state.h).unwrap());
                        assert_eq!(own.c.map(|c| values(&c).unwrap()), state.c.map(|c| values(&c).unwrap()));
                    }
                    // Some end, some go on twice, and one turn goes by way of a state.
                    let rows: Vec<usize> =
                        (0..23 - 7 * round).map(|_| rng.random_range(0..texts.len())).collect();
                    texts = rows.iter().map(|&row| texts[row].clone()).collect();
                    match round {
                        1 => together.set_state(&state.select(&rows).unwrap()).unwrap(),
                        _ => together.select(&rows).unwrap(),
                    }
                }
                assert!(together.read_all(&[1, 2, 3]).is_err() && together.scores(2).is_err());
                assert!(together.select(&[2]).is_err());
            });
        }
    }
}

#[test]
fn a_projection_and_a_decoder_are_not_rounded_into_one_layer() {
    let map = VarMap::new();
    let vb = VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu);
    let config = RnnlmConfig { tied: true, ..RnnlmConfig::new(9, any_cell(StackOptions::new(2, 3), 1)) };
    let model = ModelConfig::Rnnlm(config).build(&vb).unwrap();
    let vars = map.data().lock().unwrap().clone();
    let set = |name: &str, values: &[f32]| {
        let var = &vars[name];
        var.set(&Tensor::new(values, &Device::Cpu).unwrap().reshape(var.dims()).unwrap()).unwrap();
    };
    vars.keys().for_each(|name| set(name, &vec![0.; vars[name].elem_count()]));
    // One after the other, both are exact. The square of this number, which is in their product, is not.
    let above_one = 1. + f32::EPSILON;
    set("rnn.bias_ih_l0", &[1., 1., 0.]);
    set("projection.weight", &[above_one, -1., 0., 0., 0., 0.]);
    set("encoder.weight", &[above_one; 18]);
    let inputs = Tensor::new(&[[3u32]], &Device::Cpu).unwrap();
    let decoded = model.decode(&model.encode(&inputs, None, None).unwrap().0).unwrap();
    assert_eq!(decoded.flatten_all().unwrap().to_vec1::<f32>().unwrap(), [f32::EPSILON * above_one; 9]);
    assert_eq!(model.stream().unwrap().unwrap().read(3).unwrap(), [f32::EPSILON * above_one; 9]);
}

#[test]
fn a_state_that_is_of_no_batch_is_refused_and_changes_nothing() {
    let map = VarMap::new();
    let vb = VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu);
    let layer = any_cell(StackOptions::new(2, 4), 2).build(&vb).unwrap();
    layer.reset_parameters(&mut stream(1, Purpose::Parameters, 0)).unwrap();
    let mut stream = layer.stream(&[]).unwrap().unwrap();
    stream.step(&[0.5, -0.5]).unwrap();
    let before = values(&stream.state().unwrap().h).unwrap();
    let [none, one, two] = [0, 1, 2].map(|batch| layer.zero_state(batch).unwrap());
    for (h, c) in [(&none, &none), (&one, &two), (&two, &one)] {
        let problem = stream.set_state(&State { h: h.h.clone(), c: c.c.clone() }).unwrap_err().to_string();
        assert!(problem.contains("a batch of at least 1"), "{problem}");
        assert_eq!(values(&stream.state().unwrap().h).unwrap(), before);
    }
    let wide = Linear::new(Tensor::zeros((3, 5), DType::F32, &Device::Cpu).unwrap(), None);
    let problem = layer.stream(&[wide]).map(drop).unwrap_err().to_string();
    assert!(problem.contains("a linear layer of 5 features cannot read the 4 of a stream"), "{problem}");
}

/// A cell that says it is a unit of one gate, and has four.
#[derive(Clone)]
struct Liar(Weights);

impl Cell for Liar {
    type Options = ();
    const GATES: usize = 4;

    fn new(_options: &(), weights: Weights) -> Result<Self> {
        Ok(Self(weights))
    }

    fn weights(&self) -> &Weights {
        &self.0
    }

    fn weights_mut(&mut self) -> &mut Weights {
        &mut self.0
    }

    fn kind(&self) -> Option<CellKind> {
        Some(CellKind::Simple(Nonlinearity::Tanh))
    }

    fn step(&self, _gates_x: &Tensor, _h: &Tensor, state: &State) -> Result<State> {
        Ok(state.clone())
    }
}

#[test]
fn a_cell_that_is_no_such_unit_is_refused_by_sequence_and_stream() -> Result<()> {
    let vb = VarBuilder::zeros(DType::F32, &Device::Cpu);
    let stack = Stack::<Liar>::new(&StackOptions::new(3, 5).into(), &vb)?;
    let xs = Tensor::zeros((2, 4, 3), DType::F32, &Device::Cpu)?;
    for refused in [stack.forward(&xs, None, None).err(), stack.stream(&[]).err()] {
        let error = refused.map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("20 rows of weights") && error.contains("expected 5"), "{error}");
    }
    Ok(())
}
