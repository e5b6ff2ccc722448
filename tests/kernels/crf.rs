//! The conditional random field: the CPU's op against the reference in plain candle ops.

use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::VarBuilder;
use proptest::prelude::*;
use rand::RngExt;
use rnn_zoo::models::ops::without_fused;
use rnn_zoo::models::{Crf, Reduction, backward};
use rnn_zoo::rng::{Purpose, stream};

use super::case::{Results, check_close};
use crate::random_layer::{random, values};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn chain_losses_and_gradients_equal_the_reference(
        tags in 1..9usize, lengths in prop::collection::vec(0..8usize, 1..6), scale in 0.1..20f64, seed: u64,
    ) {
        for (dtype, tolerance) in [(DType::F64, 1e-10), (DType::F32, 2e-4)] {
            let run = || loss_of(dtype, tags, &lengths, (scale, 0.), seed);
            check_close(&format!("{dtype:?}"), &run()?, &without_fused(run)?, tolerance)?;
        }
    }

    #[test]
    fn scores_of_minus_infinity_have_no_probability_and_no_nan(
        tags in 1..6usize, lengths in prop::collection::vec(0..8usize, 1..6), share in 0.3..1f64, seed: u64,
    ) {
        for (dtype, tolerance) in [(DType::F64, 1e-10), (DType::F32, 2e-4)] {
            let run = || loss_of(dtype, tags, &lengths, (2., share), seed);
            let (found, expected) = (run()?, without_fused(run)?);
            for (name, values) in found.iter().chain(&expected) {
                prop_assert!(values.iter().all(|value| value.is_finite()), "{} {:?}", name, values);
            }
            check_close(&format!("{dtype:?}"), &found, &expected, tolerance)?;
        }
    }
}

/// The losses of random sequences and the gradients of three times their sum. The scores have the size `scale`;
/// `forbidden` is the share of those that are -inf, among those of a tag other than 0. The targets are then the best
/// tags.
fn loss_of(
    dtype: DType,
    tags: usize,
    lengths: &[usize],
    (scale, forbidden): (f64, f64),
    seed: u64,
) -> Result<Results> {
    let mut rng = stream(seed, Purpose::Parameters, 0);
    let (batch, time) = (lengths.len(), lengths.iter().max().map_or(0, |&longest| longest.max(1)));
    let mut variable = |dims: &[usize]| {
        let scores = (random(dims, dtype, &mut rng)? * scale)?;
        let is_forbidden = (0..scores.elem_count()).map(|at| at % tags > 0 && rng.random_bool(forbidden));
        let mask: Vec<f64> =
            is_forbidden.map(|is_forbidden| if is_forbidden { f64::NEG_INFINITY } else { 0. }).collect();
        Var::from_tensor(&(scores + Tensor::from_vec(mask, dims, &Device::Cpu)?.to_dtype(dtype)?)?)
    };
    let variables = [
        ("emissions", variable(&[batch, time, tags])?),
        ("start_transitions", variable(&[tags])?),
        ("transitions", variable(&[tags, tags])?),
        ("end_transitions", variable(&[tags])?),
    ];
    let tensors = variables.iter().map(|(name, var)| (name.to_string(), var.as_tensor().clone())).collect();
    let crf = Crf::new(tags, VarBuilder::from_tensors(tensors, dtype, &Device::Cpu))?;
    let targets: Vec<u32> = (0..batch * time).map(|_| rng.random_range(0..tags as u32)).collect();
    let emissions = variables[0].1.as_tensor();
    let targets = match forbidden > 0. {
        true => {
            let best = crf.decode(emissions, Some(lengths))?;
            best.into_iter().flat_map(|tags| [tags, vec![0; time]].concat().into_iter().take(time)).collect()
        }
        false => targets,
    };
    let targets = Tensor::from_vec(targets, (batch, time), &Device::Cpu)?;
    let loss = crf.loss(emissions, &targets, Some(lengths), Reduction::Sum)?;
    let losses = crf.losses(emissions, &targets, Some(lengths))?;
    let mut results =
        Results::from([("loss".into(), values(&loss)?), ("sum of losses".into(), vec![losses.iter().sum()])]);
    let gradients = backward(&(loss * 3.)?)?; // the factor must reach the gradients
    for (name, var) in &variables {
        let gradient = gradients.get(var)?.map_or_else(|| var.zeros_like(), Ok)?;
        results.insert(format!("gradient of {name}"), values(&gradient)?);
    }
    Ok(results)
}

#[test]
fn invalid_shapes_lengths_and_targets_are_refused() {
    let zeros = |dims: &[usize]| Tensor::zeros(dims, DType::F32, &Device::Cpu).unwrap();
    let crf = Crf::new(3, VarBuilder::zeros(DType::F32, &Device::Cpu)).unwrap();
    let problem = |emissions: &[usize], tag: u32, lengths: Option<&[usize]>| {
        let tags = Tensor::full(tag, (2, 4), &Device::Cpu).unwrap();
        crf.loss(&zeros(emissions), &tags, lengths, Reduction::Sum).unwrap_err().to_string()
    };
    assert!(problem(&[2, 4, 3], 3, None).starts_with("target 3 is none of the 3 tags"));
    assert!(problem(&[2, 4, 2], 0, None).starts_with("potentials are [5, 3]; expected [4, 2] for 2 tags"));
    assert!(problem(&[2, 5, 3], 0, None).starts_with("targets are [2, 4]; expected (batch, time) [2, 5]"));
    assert!(problem(&[2, 4, 3], 0, Some(&[1])).starts_with("1 lengths for a batch of 2"));
    assert!(problem(&[2, 4, 3], 0, Some(&[5, 1])).starts_with("sequence 0 has length 5 in a batch of 4"));
    // Targets in the padding are ignored.
    let tags = Tensor::new(&[[0u32, 9]], &Device::Cpu).unwrap();
    assert!(crf.loss(&zeros(&[1, 2, 3]), &tags, Some(&[1]), Reduction::Sum).is_ok());
}

/// A field of three tags, a batch of random emissions, and tags of 0.
fn small_batch() -> (Crf, Tensor, Tensor) {
    let mut rng = stream(4, Purpose::Parameters, 0);
    let mut random = |dims: &[usize]| random(dims, DType::F64, &mut rng).unwrap();
    let names = [("start_transitions", vec![3]), ("transitions", vec![3, 3]), ("end_transitions", vec![3])];
    let tensors = names.map(|(name, dims)| (name.to_string(), random(&dims)));
    let crf = Crf::new(3, VarBuilder::from_tensors(tensors.into(), DType::F64, &Device::Cpu)).unwrap();
    (crf, random(&[2, 5, 3]), Tensor::zeros((2, 5), DType::U32, &Device::Cpu).unwrap())
}

#[test]
fn means_divide_the_sum_by_sequences_or_steps() {
    let (crf, emissions, tags) = small_batch();
    let loss = |lengths: Option<&[usize]>, reduction| {
        crf.loss(&emissions, &tags, lengths, reduction).unwrap().to_scalar::<f64>().unwrap()
    };
    for (lengths, steps) in [(None, 10.), (Some(&[5, 2][..]), 7.)] {
        let sum = loss(lengths, Reduction::Sum);
        let each = crf.losses(&emissions, &tags, lengths).unwrap();
        for (found, expected) in [
            (loss(lengths, Reduction::Mean), sum / 2.),
            (loss(lengths, Reduction::TokenMean), sum / steps),
            (each.iter().sum(), sum),
        ] {
            assert!((found - expected).abs() < 1e-12, "{found}, expected {expected}");
        }
    }
}

#[test]
fn padding_changes_neither_losses_nor_tags() {
    let (crf, emissions, tags) = small_batch();
    let padding = Tensor::full(f64::NAN, (2, 3, 3), &Device::Cpu).unwrap();
    let (padded, lengths) = (Tensor::cat(&[&emissions, &padding], 1).unwrap(), Some(&[5, 5][..]));
    let padded_tags = tags.pad_with_zeros(1, 0, 3).unwrap();
    assert_eq!(
        crf.losses(&padded, &padded_tags, lengths).unwrap(),
        crf.losses(&emissions, &tags, None).unwrap()
    );
    assert_eq!(crf.decode(&padded, lengths).unwrap(), crf.decode(&emissions, None).unwrap());
    assert_eq!(crf.decode(&padded, Some(&[0, 1])).unwrap().iter().map(Vec::len).collect::<Vec<_>>(), [0, 1]);
}
