use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::*;

/// All tag sequences of `steps` steps.
fn sequences(tags: usize, steps: usize) -> Vec<Vec<u32>> {
    (0..steps).fold(vec![vec![]], |sequences, _| {
        let longer = |sequence: &Vec<u32>| {
            let sequence = sequence.clone();
            (0..tags as u32).map(move |tag| [sequence.clone(), vec![tag]].concat())
        };
        sequences.iter().flat_map(longer).collect()
    })
}

/// Check random chains of 1 to 3 tags and 1 to 5 steps, with scores up to ±`scale`.
fn check_random_chains(scale: f64) {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    for round in 0..60 {
        let (tags, steps) = (1 + round % 3, 1 + round % 5);
        let mut numbers = |count| (0..count).map(|_| rng.random_range(-scale..scale)).collect::<Vec<f64>>();
        check_against_all_sequences(tags, &numbers((tags + 2) * tags), &numbers(steps * tags));
    }
}

fn check_against_all_sequences(tags: usize, potentials: &[f64], emissions: &[f64]) {
    let chain = Chain::new(potentials, tags);
    let steps = emissions.len() / tags;
    let all = sequences(tags, steps);
    let total = log_sum_exp(all.iter().map(|y| chain.score(emissions, y)));
    let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-9 * a.abs().max(1.), "{a} is not {b}");
    for y in &all {
        close(chain.loss(emissions, y), total - chain.score(emissions, y));
    }

    // Gradients are expected counts less those of the sequence.
    let y = &all[all.len() / 2];
    let mut d_emissions = vec![0.; emissions.len()];
    let mut d_potentials = vec![0.; potentials.len()];
    let mut count = |y: &[u32], weight: f64| {
        for (t, &tag) in y.iter().enumerate() {
            d_emissions[t * tags + tag as usize] += weight;
        }
        for pair in y.windows(2) {
            d_potentials[pair[0] as usize * tags + pair[1] as usize] += weight;
        }
        d_potentials[tags * tags + y[0] as usize] += weight;
        d_potentials[(tags + 1) * tags + y[steps - 1] as usize] += weight;
    };
    all.iter().for_each(|y| count(y, (chain.score(emissions, y) - total).exp()));
    count(y, -1.);
    let found = chain.loss_and_gradients(emissions, y);
    close(found.loss, chain.loss(emissions, y));
    found.d_emissions.iter().zip(&d_emissions).for_each(|(&a, &b)| close(a, b));
    found.d_potentials.iter().zip(&d_potentials).for_each(|(&a, &b)| close(a, b));

    let (best, score) = chain.best(emissions);
    close(score, max(all.iter().map(|y| chain.score(emissions, y))));
    close(score, chain.score(emissions, &best));
}

#[test]
fn sums_and_maxima_equal_those_over_all_sequences() {
    check_random_chains(3.);
}

#[test]
fn scores_whose_exponentials_underflow_are_summed_exactly() {
    check_random_chains(2000.);
}

#[test]
fn forbidden_transitions_have_no_probability() {
    let never = f64::NEG_INFINITY;
    let potentials = [0., never, never, 0., 0., 0., 0., 0.]; // no tag may change
    let chain = Chain::new(&potentials, 2);
    let emissions = [1., 0., 0., 3., 0., 0.];
    assert_eq!(chain.best(&emissions), (vec![1, 1, 1], 3.));
    assert_eq!(chain.loss(&emissions, &[0, 1, 1]), f64::INFINITY);
    let found = chain.loss_and_gradients(&emissions, &[1, 1, 1]);
    assert!((found.loss - (1f64.exp() + 3f64.exp()).ln() + 3.).abs() < 1e-12);
    assert!(found.d_potentials.iter().all(|gradient| gradient.is_finite()));
    assert_eq!(found.d_potentials[1..3], [0., 0.]);
}

#[test]
fn of_equal_scores_the_lowest_tag_wins() {
    assert_eq!(Chain::new(&[0.; 15], 3).best(&[0.; 12]), (vec![0; 4], 0.));
}

/// Ten random chains of `tags` tags and `steps` steps: potentials and emissions.
fn random_chains(tags: usize, steps: usize) -> Vec<(Vec<f64>, Vec<f64>)> {
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let mut numbers = |count| (0..count).map(|_| rng.random_range(-2.0..2.)).collect::<Vec<f64>>();
    (0..10).map(|_| (numbers((tags + 2) * tags), numbers(steps * tags))).collect()
}

#[test]
fn gradients_equal_central_differences() {
    const DIFFERENCE: f64 = 1e-5;
    let (tags, y) = (4, [2, 0, 3, 3, 1, 2, 0]);
    for (potentials, emissions) in random_chains(tags, y.len()) {
        let found = Chain::new(&potentials, tags).loss_and_gradients(&emissions, &y);
        let slope = |values: &[f64], at: usize, loss: &dyn Fn(&[f64]) -> f64| {
            let shifted = |by: f64| {
                let mut values = values.to_vec();
                values[at] += by;
                loss(&values)
            };
            (shifted(DIFFERENCE) - shifted(-DIFFERENCE)) / (2. * DIFFERENCE)
        };
        for (at, gradient) in found.d_emissions.iter().enumerate() {
            let loss = |emissions: &[f64]| Chain::new(&potentials, tags).loss(emissions, &y);
            assert!((slope(&emissions, at, &loss) - gradient).abs() < 1e-8);
        }
        for (at, gradient) in found.d_potentials.iter().enumerate() {
            let loss = |potentials: &[f64]| Chain::new(potentials, tags).loss(&emissions, &y);
            assert!((slope(&potentials, at, &loss) - gradient).abs() < 1e-8);
        }
    }
}

#[test]
fn transitions_of_minus_10000_have_no_probability_and_no_nan() {
    let (tags, steps) = (3, 6);
    for (mut potentials, emissions) in random_chains(tags, steps) {
        // Tag 2 follows 1 or 2 only, and does not begin a sequence.
        potentials[2] = -1e4;
        potentials[tags * tags + 2] = -1e4;
        let chain = Chain::new(&potentials, tags);
        let found = chain.loss_and_gradients(&emissions, &[0, 1, 2, 2, 0, 1]);
        assert!(found.loss.is_finite());
        assert!(found.d_emissions.iter().chain(&found.d_potentials).all(|gradient| gradient.is_finite()));
        assert_eq!((found.d_emissions[2], found.d_potentials[2]), (0., 0.));
        // A sequence that breaks the rule twice is allowed to be costly, not infinite.
        let broken = chain.loss_and_gradients(&emissions, &[2, 0, 2, 0, 0, 0]);
        assert!((broken.loss - 2e4).abs() < 100., "{}", broken.loss);
        assert!(broken.d_potentials.iter().all(|gradient| gradient.is_finite()));
        let (best, _) = chain.best(&emissions);
        assert!(best[0] != 2 && best.windows(2).all(|pair| pair != [0, 2]), "{best:?}");
    }
}

#[test]
fn one_tag_has_probability_one() {
    let chain = Chain::new(&[0.3, -0.2, 0.7], 1);
    let found = chain.loss_and_gradients(&[0.5, -4., 2.], &[0; 3]);
    assert!(found.loss.abs() < 1e-12);
    assert!(found.d_emissions.iter().chain(&found.d_potentials).all(|gradient| gradient.abs() < 1e-12));
}

#[test]
fn a_sequence_of_length_1_has_no_transitions() {
    let chain = Chain::new(&[9., 9., 9., 9., 0.25, 0., 0., 0.5], 2);
    let found = chain.loss_and_gradients(&[1., 2.], &[0]);
    assert!((found.loss - (1.25f64.exp() + 2.5f64.exp()).ln() + 1.25).abs() < 1e-12);
    assert_eq!(found.d_potentials[..4], [0.; 4]);
    assert_eq!(chain.best(&[1., 2.]).0, [1]);
}

#[test]
fn a_sequence_of_length_0_has_no_loss() {
    let found = Chain::new(&[1.; 8], 2).loss_and_gradients(&[], &[]);
    assert_eq!((found.loss, found.d_emissions.len()), (0., 0));
    assert_eq!(found.d_potentials, [0.; 8]);
}
