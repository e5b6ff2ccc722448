//! The fused cross-entropy.

use candle_core::{DType, Device, Result, Tensor, Var};
use proptest::prelude::*;
use rand::RngExt;
use rnn_zoo::models::kernels::Isa;
use rnn_zoo::models::ops::without_fused;
use rnn_zoo::models::{Linear, backward};
use rnn_zoo::rng::{Purpose, stream};

use super::case::{Results, check_close};
use crate::random_layer::{random, values};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn fused_losses_equal_the_reference(
        rows in 1..40usize, features in 1..40usize, classes in 1..300usize, scale in 0.1..30f64,
        smoothing in prop::sample::select(vec![0., 0.1, 0.7]), seed: u64,
    ) {
        for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 1e-5)] {
            // The gradient of the rows is a sum of weights, so its rounding error grows with them.
            let tolerance = tolerance * scale.max(1.);
            let run = || loss_of(dtype, (rows, features, classes), scale, smoothing, seed);
            let expected = without_fused(run)?;
            for isa in Isa::available() {
                check_close(&format!("{} in {dtype:?}", isa.name()), &isa.scope(run)?, &expected, tolerance)?;
            }
        }
    }
}

/// Compute the score, the losses and the mean loss of random rows, and the gradients of the mean loss.
pub(super) fn loss_of(
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
    let score = linear.cross_entropy_sum(&xs, &targets)?;
    let mut results = Results::from([("summed loss".into(), vec![score.loss, score.correct as f64])]);
    results.insert("losses".into(), linear.losses(&xs, &targets)?);
    let loss = linear.cross_entropy(&xs, &targets, smoothing)?;
    results.insert("loss".into(), values(&loss)?);
    let gradients = backward(&(loss * 3.)?)?; // the factor must reach the gradients
    for (name, var) in [("xs", &xs), ("weight", &weight), ("bias", &bias)] {
        results.insert(format!("gradient of {name}"), values(&gradients.get(var)?.expect("a gradient"))?);
    }
    Ok(results)
}

#[test]
fn large_vocabularies_equal_the_reference() {
    // Several blocks of rows and of classes; the last of each is smaller.
    let run = || loss_of(DType::F64, (403, 33, 9001), 1., 0.1, 5);
    let expected = without_fused(run).unwrap();
    for isa in Isa::available() {
        let found = isa.scope(run).unwrap();
        check_close(isa.name(), &found, &expected, 1e-12).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn non_finite_scores_make_the_loss_non_finite() {
    let linear =
        |values: &[f32]| Linear::new(Tensor::new(values, &Device::Cpu).unwrap().unsqueeze(1).unwrap(), None);
    let xs = Tensor::ones((1, 1), DType::F32, &Device::Cpu).unwrap();
    let target = Tensor::new(&[1u32], &Device::Cpu).unwrap();
    for bad in [f32::NAN, f32::INFINITY] {
        let loss =
            linear(&[0., 1., bad]).cross_entropy(&xs, &target, 0.).unwrap().to_scalar::<f32>().unwrap();
        assert!(!loss.is_finite(), "{bad} among the scores gives {loss}");
    }
    // Classes of probability 0 add nothing, even if they fill a whole block of classes.
    let mut scores = vec![0f32; 32];
    scores[2..].fill(f32::NEG_INFINITY);
    let never = linear(&scores).cross_entropy(&xs, &target, 0.).unwrap();
    assert!((never.to_scalar::<f32>().unwrap() - 2f32.ln()).abs() < 1e-6);
}

#[test]
fn losses_are_exact_for_large_scores() {
    let xs = Tensor::ones((1, 1), DType::F64, &Device::Cpu).unwrap();
    let by_hand = (1f64.exp() + 2f64.exp() + 3f64.exp()).ln() - 3.;
    for (scores, target, expected) in [([[1.], [2.], [3.]], 2u32, by_hand), ([[1e4], [0.], [-1e4]], 0, 0.)] {
        let linear = Linear::new(Tensor::new(&scores, &Device::Cpu).unwrap(), None);
        let target = Tensor::new(&[target], &Device::Cpu).unwrap();
        let run = || linear.cross_entropy_sum(&xs, &target).unwrap().loss;
        for found in [run(), without_fused(run)] {
            assert!((found - expected).abs() < 1e-12, "{found} is not {expected}");
        }
    }
    // The reference scores the rows in several parts.
    let xs = Tensor::ones((2500, 1), DType::F64, &Device::Cpu).unwrap();
    let linear = Linear::new(Tensor::new(&[[1f64], [2.], [3.]], &Device::Cpu).unwrap(), None);
    let targets = Tensor::full(2u32, 2500, &Device::Cpu).unwrap();
    let score = without_fused(|| linear.cross_entropy_sum(&xs, &targets).unwrap());
    assert!((score.loss - 2500. * by_hand).abs() < 1e-9 && score.correct == 2500, "{score:?}");
    let losses = without_fused(|| linear.losses(&xs, &targets).unwrap());
    assert!(losses.len() == 2500 && losses.iter().all(|loss| (loss - by_hand).abs() < 1e-12));
}

#[test]
fn the_first_of_equal_highest_scores_is_the_prediction() {
    let linear = Linear::new(Tensor::zeros((40, 1), DType::F32, &Device::Cpu).unwrap(), None);
    let xs = Tensor::ones((3, 1), DType::F32, &Device::Cpu).unwrap();
    let targets = Tensor::new(&[0u32, 1, 39], &Device::Cpu).unwrap();
    let run = || linear.cross_entropy_sum(&xs, &targets).unwrap().correct;
    assert_eq!((run(), without_fused(run)), (1, 1));
}

#[test]
fn a_score_that_is_higher_by_a_last_place_is_the_prediction() {
    // The exponential of the difference is 1. The scores fill several blocks of classes.
    for (classes, low, high) in [(2, 0, 1), (2, 1, 0), (700, 3, 690), (700, 690, 3), (700, 4, 5)] {
        let mut scores = vec![-1f32; classes];
        (scores[low], scores[high]) = (0.1, 0.1f32.next_up());
        let bias = Tensor::new(scores, &Device::Cpu).unwrap();
        let linear = Linear::new(Tensor::zeros((classes, 1), DType::F32, &Device::Cpu).unwrap(), Some(bias));
        let xs = Tensor::ones((1, 1), DType::F32, &Device::Cpu).unwrap();
        for (target, expected) in [(high, 1), (low, 0)] {
            let target = Tensor::new(&[target as u32], &Device::Cpu).unwrap();
            let run = || linear.cross_entropy_sum(&xs, &target).unwrap().correct;
            assert_eq!(without_fused(run), expected);
            for isa in Isa::available() {
                assert_eq!(isa.scope(run), expected, "{high} of {classes} with {}", isa.name());
            }
        }
    }
}

#[test]
fn invalid_targets_and_shapes_are_refused() {
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
