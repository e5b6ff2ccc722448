use candle_core::{DType, Device, Var};
use candle_nn::VarMap;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::*;
use crate::ops::without_fused;
use crate::{GruConfig, LstmConfig, Merge, Pair, SimpleRnnConfig};

const EPSILON: f64 = 1e-6;
const TOLERANCE: f64 = 1e-6;

fn both(input: usize, hidden: usize) -> StackOptions {
    StackOptions { bidirectional: Some(Merge::Concat), num_layers: 2, ..StackOptions::new(input, hidden) }
}

fn config(rnn: RecurrentConfig) -> TranslatorConfig {
    TranslatorConfig {
        source_vocabulary: 9,
        target_vocabulary: 7,
        score: AttentionScore::General,
        tied: false,
        shared: false,
        dropout: 0.,
        rnn,
    }
}

fn gru() -> TranslatorConfig {
    config(RecurrentConfig::Gru(GruConfig::from(both(3, 4))))
}

/// One configuration for each kind of cell and each option.
fn configs() -> Vec<TranslatorConfig> {
    let lstm = RecurrentConfig::Lstm(LstmConfig::from(both(3, 4)));
    let plain = RecurrentConfig::SimpleRnn(SimpleRnnConfig::from(StackOptions::new(4, 4)));
    vec![
        gru(),
        TranslatorConfig { tied: true, ..gru() },
        TranslatorConfig { source_vocabulary: 7, shared: true, tied: true, ..gru() },
        TranslatorConfig { source_vocabulary: 7, shared: true, ..config(lstm.clone()) },
        TranslatorConfig { score: AttentionScore::Concat, ..config(lstm) },
        TranslatorConfig { tied: true, score: AttentionScore::Concat, ..config(plain) },
    ]
}

fn translator(config: &TranslatorConfig, dtype: DType) -> (Translator, VarMap) {
    let map = VarMap::new();
    let model = Translator::new(config, VarBuilder::from_varmap(&map, dtype, &Device::Cpu)).unwrap();
    model.reset_parameters(&mut ChaCha8Rng::seed_from_u64(3)).unwrap();
    // Larger than at the start of training, so that every part of the network matters.
    for var in map.all_vars() {
        var.set(&(var.as_tensor() * 3.).unwrap()).unwrap();
    }
    (model, map)
}

fn rows(rows: &[&[u32]], length: usize) -> Tensor {
    let padded = rows.iter().map(|row| {
        let mut row = row.to_vec();
        row.resize(length, 0);
        row
    });
    Tensor::new(padded.collect::<Vec<_>>(), &Device::Cpu).unwrap()
}

const SOURCES: [&[u32]; 2] = [&[3, 5, 1], &[6, 2, 4, 0, 1]];
const TARGETS: [&[u32]; 2] = [&[1, 4, 6, 2], &[1, 3]];

/// Two pairs, padded to so many steps.
fn pair(source: usize, target: usize) -> Inputs {
    Inputs::Pair(Pair {
        source: rows(&SOURCES, source),
        source_lengths: Some(SOURCES.iter().map(|row| row.len()).collect()),
        target: rows(&TARGETS, target),
    })
}

fn loss(model: &Translator) -> Result<Tensor> {
    let mut noise = ChaCha8Rng::seed_from_u64(5);
    let hidden = model.encode_t(&pair(6, 4), None, Some(&[4, 2]), Some(&mut noise))?.hidden;
    let hidden = hidden.flatten(0, 1)?.narrow(0, 0, 6)?;
    let targets = Tensor::new(&[4u32, 6, 2, 1, 3, 1], &Device::Cpu)?;
    model.decoder.cross_entropy(&hidden, &targets, 0.1)
}

#[test]
fn gradients_are_central_differences() {
    for config in configs() {
        let config = TranslatorConfig { dropout: 0.2, ..config };
        let (model, map) = translator(&config, DType::F64);
        let check = |implementation: &str| {
            let gradients = loss(&model).unwrap().backward().unwrap();
            let variables = map.data().lock().unwrap().clone();
            let mut rng = ChaCha8Rng::seed_from_u64(8);
            for (name, var) in variables {
                check_gradient(
                    &model,
                    &var,
                    gradients.get(&var),
                    &mut rng,
                    &format!("{name}, {implementation}"),
                );
            }
        };
        check("fused");
        without_fused(|| check("reference"));
    }
}

/// Compare the gradient of a variable along a random direction with the central difference.
fn check_gradient(
    model: &Translator,
    var: &Var,
    gradient: Option<&Tensor>,
    rng: &mut ChaCha8Rng,
    name: &str,
) {
    let origin = var.copy().unwrap();
    let signs = crate::layers::dropout::draw(var.elem_count(), 0.5, rng, [-1f64, 1.]);
    let direction = Tensor::from_vec(signs, var.shape(), &Device::Cpu).unwrap();
    let value_at = |offset: f64| {
        var.set(&(&origin + (&direction * offset).unwrap()).unwrap()).unwrap();
        loss(model).unwrap().to_scalar::<f64>().unwrap()
    };
    let difference = (value_at(EPSILON) - value_at(-EPSILON)) / (2. * EPSILON);
    var.set(&origin).unwrap();
    let Some(gradient) = gradient else { panic!("{name} has no gradient") };
    let slope = (gradient * &direction).unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap();
    assert!(
        (slope - difference).abs() <= TOLERANCE * difference.abs().max(1.),
        "{name}: {slope} is not {difference}"
    );
    let size = gradient.abs().unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap();
    assert!(size > 1e-6, "{name}: the gradient is 0");
}

#[test]
fn padding_changes_nothing() {
    for config in configs() {
        let (model, _) = translator(&config, DType::F32);
        let scores = |source, target| -> Vec<Vec<Vec<f32>>> {
            let (hidden, _) = model.encode(&pair(source, target), None, Some(&[4, 2])).unwrap();
            model.outputs(&hidden).unwrap().to_vec3().unwrap() // (batch, target, vocabulary)
        };
        let (short, long) = (scores(5, 4), scores(9, 7));
        for (row, target) in TARGETS.iter().enumerate() {
            for step in 0..target.len() {
                for (a, b) in short[row][step].iter().zip(&long[row][step]) {
                    assert!((a - b).abs() < 1e-5, "{config:?}: {a} is not {b}");
                }
            }
        }
    }
}

#[test]
fn writing_step_by_step_gives_the_scores_of_teacher_forcing() {
    for config in configs() {
        let (model, _) = translator(&config, DType::F64);
        let (hidden, _) = model.encode(&pair(5, 4), None, None).unwrap();
        let expected: Vec<Vec<Vec<f64>>> = model.outputs(&hidden).unwrap().to_vec3().unwrap();
        let (memory, state) = model.read_source(&rows(&SOURCES, 5), Some(&[3, 5])).unwrap();
        // The rows change places, as in beam search.
        let (memory, mut state) = (memory.select(&[1, 0]).unwrap(), state.select(&[1, 0]).unwrap());
        for step in 0..2 {
            let tokens = [TARGETS[1][step], TARGETS[0][step]];
            let written = model.write_step(&tokens, &memory, &state).unwrap();
            let scores: Vec<Vec<f64>> = written.scores.to_vec2().unwrap();
            for (row, scores) in [1, 0].into_iter().zip(scores) {
                for (a, b) in scores.iter().zip(&expected[row][step]) {
                    assert!((a - b).abs() < 1e-9, "{a} is not {b}");
                }
            }
            let weights: Vec<Vec<f64>> = written.weights.to_vec2().unwrap();
            assert!(weights[1][3..].iter().all(|&weight| weight == 0.), "the padding is not attended to");
            assert!(weights.iter().all(|row| (row.iter().sum::<f64>() - 1.).abs() < 1e-9));
            state = written.state;
        }
    }
}

#[test]
fn shared_and_tied_matrices_are_one_parameter() {
    let names = |config: &TranslatorConfig| {
        let (_, map) = translator(config, DType::F32);
        let names = map.data().lock().unwrap();
        let mut names: Vec<String> = names.keys().filter(|name| !name.contains("rnn")).cloned().collect();
        names.sort_unstable();
        names
    };
    let plain = ["bridge.h.bias", "bridge.h.weight", "decoder.bias"];
    assert_eq!(
        names(&gru()),
        [&plain[..], &["decoder.weight", "encoder.weight", "target.encoder.weight"]].concat()
    );
    let shared = TranslatorConfig { source_vocabulary: 7, shared: true, tied: true, ..gru() };
    assert_eq!(names(&shared), [&plain[..], &["encoder.weight", "projection.weight"]].concat());
}

#[test]
fn invalid_configurations_and_inputs_are_refused() {
    let problem = |config: &TranslatorConfig| {
        let map = VarMap::new();
        let vb = VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu);
        Translator::new(config, vb).map(drop).unwrap_err().to_string()
    };
    assert!(
        problem(&TranslatorConfig { shared: true, ..gru() }).contains("found 9 source and 7 target tokens")
    );
    let mut projected = LstmConfig::new(3, 4);
    projected.cell.projection = Some(2);
    assert!(problem(&config(RecurrentConfig::Lstm(projected))).contains("without a projection"));
    let (model, _) = translator(&gru(), DType::F32);
    let tokens = Inputs::from(rows(&SOURCES, 5));
    let problem = model.encode(&tokens, None, None).map(drop).unwrap_err().to_string();
    assert!(problem.contains("expected pairs of texts; found tokens or features"), "{problem}");
}

#[test]
fn a_batch_may_be_empty() {
    for config in configs() {
        let (model, _) = translator(&config, DType::F32);
        let source = Tensor::zeros((0, 5), DType::U32, &Device::Cpu).unwrap();
        let (_, state) = model.read_source(&source, Some(&[])).unwrap();
        assert_eq!((state.cell.h.dims(), state.attentional.dims()), (&[1, 0, 4][..], &[0, 4][..]));
    }
}
