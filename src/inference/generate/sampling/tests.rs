use proptest::prelude::*;

use super::*;
use crate::rng::{Purpose, stream};

const SCORES: [f32; 4] = [1., 3., 2., f32::NEG_INFINITY];

fn shares(sampling: Sampling, banned: &[u32]) -> [f64; 4] {
    let mut rng = stream(1, Purpose::Sampling, 0);
    let mut counts = [0.; 4];
    for _ in 0..20_000 {
        let token = sampling.pick(&SCORES, &Recent::default(), banned, &mut rng).unwrap();
        counts[token as usize] += 1. / 20_000.;
    }
    counts
}

fn softmax(temperature: f64, tokens: &[usize]) -> [f64; 4] {
    let mut shares = [0.; 4];
    for &token in tokens {
        shares[token] = (f64::from(SCORES[token]) / temperature).exp();
    }
    let total: f64 = shares.iter().sum();
    shares.map(|share| share / total)
}

#[test]
fn frequencies_follow_the_rules() {
    let plain = Sampling::default();
    let cases = [
        (plain, vec![], softmax(1., &[0, 1, 2])),
        (Sampling { temperature: 0.5, ..plain }, vec![], softmax(0.5, &[0, 1, 2])),
        (Sampling { top_k: Some(2), ..plain }, vec![], softmax(1., &[1, 2])),
        // 0.665 + 0.245 reaches 0.9, so the third is left out; 0.665 alone reaches 0.6.
        (Sampling { top_p: Some(0.9), ..plain }, vec![], softmax(1., &[1, 2])),
        (Sampling { top_p: Some(0.6), ..plain }, vec![], [0., 1., 0., 0.]),
        // e^-1 = 0.37 and e^-2 = 0.14 times the highest probability.
        (Sampling { min_p: Some(0.3), ..plain }, vec![], softmax(1., &[1, 2])),
        // The entropy is 0.83 nats; the surprisals are 2.41, 0.41 and 1.41: nearest the second, then the third.
        (Sampling { typical_p: Some(0.5), ..plain }, vec![], [0., 1., 0., 0.]),
        (Sampling { typical_p: Some(0.9), ..plain }, vec![], softmax(1., &[1, 2])),
        (Sampling { temperature: 0., ..plain }, vec![], [0., 1., 0., 0.]),
        (plain, vec![1], softmax(1., &[0, 2])),
    ];
    for (sampling, banned, expected) in cases {
        let found = shares(sampling, &banned);
        let far = found.iter().zip(expected).any(|(a, b)| (a - b).abs() > 0.015);
        assert!(!far, "{sampling:?} without {banned:?}: {found:?}, expected {expected:?}");
    }
}

/// The probability of every token, by the definitions of the rules one after another.
fn by_definition(sampling: &Sampling, scores: &[f32], text: &[u32], banned: &[u32]) -> Vec<f64> {
    let mut scores: Vec<f64> = scores.iter().map(|&score| f64::from(score)).collect();
    let newest = text.len().saturating_sub(sampling.repetition_window.unwrap_or(text.len()));
    for (token, score) in scores.iter_mut().enumerate() {
        if text[newest..].contains(&(token as u32)) {
            let penalty = sampling.repetition_penalty;
            *score = if *score < 0. { *score * penalty } else { *score / penalty };
        }
        if banned.contains(&(token as u32)) {
            *score = f64::NEG_INFINITY;
        }
        *score /= sampling.temperature;
    }
    let softmax = |scores: &[f64]| -> Vec<f64> {
        let highest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = scores.iter().map(|score| (score - highest).exp()).sum();
        scores.iter().map(|score| (score - highest).exp() / total).collect()
    };
    // Keeps the first `count` tokens of an order.
    let keep = |scores: &mut Vec<f64>, order: &[usize], count: usize| {
        order[count..].iter().for_each(|&token| scores[token] = f64::NEG_INFINITY);
    };
    // The number of tokens, in an order, whose probabilities sum to `p`.
    let reach = |probabilities: &[f64], order: &[usize], p: f64| {
        let mass = |count: usize| order[..count].iter().map(|&token| probabilities[token]).sum::<f64>();
        (1..=order.len()).find(|&count| mass(count) >= p).unwrap_or(order.len())
    };
    let sorted = |key: &dyn Fn(usize) -> f64, count: usize| {
        let mut order: Vec<usize> = (0..count).collect();
        order.sort_by(|&a, &b| key(a).total_cmp(&key(b))); // stable: ties by number
        order
    };
    if let Some(k) = sampling.top_k {
        let order = sorted(&|token| -scores[token], scores.len());
        keep(&mut scores, &order, k.min(order.len()));
    }
    if let Some(p) = sampling.top_p {
        let probabilities = softmax(&scores);
        let order = sorted(&|token| -probabilities[token], scores.len());
        keep(&mut scores, &order, reach(&probabilities, &order, p));
    }
    if let Some(p) = sampling.min_p {
        let probabilities = softmax(&scores);
        let most = probabilities.iter().copied().fold(0., f64::max);
        for (score, probability) in scores.iter_mut().zip(probabilities) {
            if probability < p * most {
                *score = f64::NEG_INFINITY;
            }
        }
    }
    if let Some(p) = sampling.typical_p {
        let probabilities = softmax(&scores);
        let left = probabilities.iter().filter(|&&p| p > 0.);
        let entropy: f64 = left.map(|p| -p * p.ln()).sum();
        let order = sorted(&|token| (-probabilities[token].ln() - entropy).abs(), scores.len());
        keep(&mut scores, &order, reach(&probabilities, &order, p));
    }
    softmax(&scores)
}

proptest! {
    #[test]
    fn rules_match_their_definitions(
        // Few distinct values, so that some scores are equal; more tokens than are sorted at first.
        scores in prop::collection::vec((-40i8..40).prop_map(|score| f32::from(score) / 5.), 2..300),
        text in prop::collection::vec(0..300u32, 0..60),
        banned in prop::option::of(0..300u32),
        (penalty, window) in (0.5..2., prop::option::of(1..80usize)),
        // Also so low that some weights are almost zero.
        temperature in prop_oneof![0.3..3., 0.01..0.1],
        (top_k, top_p) in (prop::option::of(1..300usize), prop::option::of(0.01..0.999)),
        (min_p, typical_p) in (prop::option::of(0. ..1.), prop::option::of(0.01..0.999)),
    ) {
        let sampling = Sampling {
            repetition_penalty: penalty, repetition_window: window, temperature, top_k, top_p, min_p, typical_p,
        };
        sampling.validate().unwrap();
        let text: Vec<u32> = text.into_iter().map(|token| token % scores.len() as u32).collect();
        let banned: Vec<u32> = banned.into_iter().collect();
        let mut recent = Recent::default();
        text.iter().for_each(|&token| recent.push(token));
        let (best, adjusted) = sampling.adjusted(&scores, &recent, &banned).unwrap();
        let weights = sampling.weights(adjusted, best);
        let total: f64 = weights.iter().sum();
        let expected = by_definition(&sampling, &scores, &text, &banned);
        // Rounding may decide a tie of typical surprisal; then the kept probabilities are equal, not the tokens.
        let close = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9);
        let found: Vec<f64> = weights.iter().map(|weight| weight / total).collect();
        let sorted = |mut values: Vec<f64>| { values.sort_by(f64::total_cmp); values };
        let same = close(&found, &expected)
            || typical_p.is_some() && close(&sorted(found.clone()), &sorted(expected.clone()));
        prop_assert!(same, "{:?}\n{:?}", found, expected);
        let token = sampling.pick(&scores, &recent, &banned, &mut stream(3, Purpose::Sampling, 0)).unwrap();
        prop_assert!(weights[token as usize] > 0.);
        let greedy = Sampling { temperature: 0., ..sampling };
        let token = greedy.pick(&scores, &recent, &banned, &mut stream(3, Purpose::Sampling, 0));
        prop_assert_eq!(token, Some(best as u32));
    }
}

#[test]
fn subnormal_weights_do_not_change_typicality() {
    let sampling = Sampling { temperature: 1. / 240., typical_p: Some(0.5), ..Sampling::default() };
    // Probabilities in the ratio 1 : 2 : 1e-313; the surprisal of the second is nearer to the entropy.
    let scores = [3. - 2f64.ln() / 240., 3., 0.];
    assert!((-720f64).exp().is_subnormal());
    assert_eq!(sampling.weights(scores.to_vec(), 1), [0., 1., 0.]);
}

#[test]
fn no_token_is_picked_if_none_is_left() {
    let mut rng = stream(1, Purpose::Sampling, 0);
    let mut pick = |scores: &[f32], banned: &[u32]| {
        Sampling::default().pick(scores, &Recent::default(), banned, &mut rng)
    };
    assert_eq!(pick(&SCORES, &[0, 1, 2, 3]), None);
    assert_eq!(pick(&[f32::NAN; 3], &[]), None);
    assert_eq!(pick(&[], &[]), None);
    assert_eq!(pick(&[0., f32::INFINITY, f32::NAN], &[7]), Some(1));
}

#[test]
fn invalid_options_name_their_field() {
    let plain = Sampling::default();
    for (sampling, field) in [
        (Sampling { temperature: -1., ..plain }, "temperature"),
        (Sampling { temperature: f64::NAN, ..plain }, "temperature"),
        (Sampling { top_k: Some(0), ..plain }, "top_k"),
        (Sampling { top_p: Some(0.), ..plain }, "top_p"),
        (Sampling { top_p: Some(1.5), ..plain }, "top_p"),
        (Sampling { typical_p: Some(f64::NAN), ..plain }, "typical_p"),
        (Sampling { min_p: Some(-0.1), ..plain }, "min_p"),
        (Sampling { min_p: Some(f64::NAN), ..plain }, "min_p"),
        (Sampling { repetition_penalty: 0., ..plain }, "repetition_penalty"),
        (Sampling { repetition_penalty: f64::INFINITY, ..plain }, "repetition_penalty"),
        (Sampling { repetition_window: Some(0), ..plain }, "repetition_window"),
    ] {
        assert!(sampling.validate().unwrap_err().to_string().starts_with(field));
    }
}
