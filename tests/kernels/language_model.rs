//! Training of language models.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::{VarBuilder, VarMap};
use rand::RngExt;
use rnn_zoo::models::ops::without_fused;
use rnn_zoo::models::{Encoded, ModelConfig, RnnlmConfig, StackOptions, backward};
use rnn_zoo::rng::{Purpose, stream};

use crate::random_layer::{Kind, random, values};

/// Compute the training loss of a language model and its gradients, which are checked against central differences.
fn training_of(
    config: &RnnlmConfig,
    lengths: Option<&[usize]>,
    smoothing: f64,
    seed: u64,
) -> Result<(f64, Vec<(String, Tensor)>)> {
    let map = VarMap::new();
    let vb = VarBuilder::from_varmap(&map, DType::F64, &Device::Cpu);
    let model = ModelConfig::Rnnlm(config.clone()).build(vb)?;
    model.reset_parameters(&mut stream(seed, Purpose::Parameters, 0))?;
    let mut named: Vec<_> = map.data().lock().unwrap().clone().into_iter().collect();
    named.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    let mut rng = stream(seed, Purpose::Train, 0);
    let tokens: Vec<u32> = (0..15).map(|_| rng.random_range(0..config.vocabulary_size as u32)).collect();
    let inputs = Tensor::from_vec(tokens, (3, 5), &Device::Cpu)?;
    let loss = || {
        let mut noise = stream(seed, Purpose::Noise, 0);
        let Encoded { hidden, penalty, .. } =
            model.encode_t(&(&inputs).into(), None, lengths, Some(&mut noise))?;
        let targets = inputs.flatten_all()?;
        let loss = model.output_layer().cross_entropy(&hidden.flatten(0, 1)?, &targets, smoothing)?;
        penalty.map_or(Ok(loss.clone()), |penalty| loss + penalty)
    };
    let found = backward(&loss()?)?;
    let mut gradients = vec![];
    for (name, var) in named {
        let gradient = found.get(&var)?.expect("every parameter has a gradient");
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
fn regularised_training_equals_the_reference() {
    let embedding_of = [4, 6]; // with and without a projection before the tied decoder
    let cases = embedding_of.into_iter().flat_map(|width| Kind::STREAMED.map(|kind| (width, kind)));
    for (case, (embedding, kind)) in cases.enumerate() {
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
            ..RnnlmConfig::new(9, kind.config(stack))
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
fn gradients_of_a_shared_parameter_add_up() {
    // A tied decoder is the embedding. It has one gradient from the embedded rows and one from the scores.
    let map = VarMap::new();
    let vb = VarBuilder::from_varmap(&map, DType::F64, &Device::Cpu);
    let rnn = Kind::GruAfter.config(StackOptions::new(4, 4));
    let model = ModelConfig::Rnnlm(RnnlmConfig { tied: true, ..RnnlmConfig::new(9, rnn) }).build(vb).unwrap();
    model.reset_parameters(&mut stream(1, Purpose::Parameters, 0)).unwrap();
    let tokens = Tensor::new(&[[1u32, 2, 1], [8, 0, 1]], &Device::Cpu).unwrap();
    let run = || {
        let (hidden, _) = model.encode(&(&tokens).into(), None, None).unwrap();
        let hidden = hidden.flatten(0, 1).unwrap();
        let loss = model.output_layer().cross_entropy(&hidden, &tokens.flatten_all().unwrap(), 0.).unwrap();
        let encoder = map.data().lock().unwrap()["encoder.weight"].clone();
        values(&backward(&loss).unwrap().get(&encoder).unwrap().unwrap()).unwrap()
    };
    let (found, expected) = (run(), without_fused(run));
    assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-14), "{found:?} is not {expected:?}");
}
