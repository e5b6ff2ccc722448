//! `builtin:adding`, the adding problem: the sum of two marked numbers of a long sequence.
//!
//! Every step carries a number and a mark, and only two steps are marked: one in the first half of
//! the sequence, one in the second. The target is the sum of the two marked numbers, so a network has to remember the
//! first of them until the second.
//!
//! The problem is experiment 4 of S. Hochreiter and J. Schmidhuber, "Long Short-Term Memory" (1997);
//! numbers in [0, 1) and their plain sum are the form of M. Arjovsky, A. Shah and Y. Bengio, "Unitary
//! Evolution Recurrent Neural Networks" (2016).

use rand::RngExt;

use crate::rng::Rng;
use crate::{Error, Result};

/// One sequence of the adding problem.
#[derive(Clone, Debug, PartialEq)]
pub struct AddingExample {
    /// Shape (time, 2): a number in [0, 1) and its mark, 1 at two steps and 0 elsewhere.
    pub features: Vec<[f32; 2]>,
    /// The sum of the two marked numbers, in [0, 2).
    pub target: f32,
}

/// `count` examples of `length` time steps each.
///
/// The first mark is anywhere in the first `length / 2` steps, the second anywhere behind them.
///
/// # Errors
/// If `length < 2`, so that a half would be empty.
pub fn examples(mut rng: Rng, count: usize, length: usize) -> Result<impl Iterator<Item = AddingExample>> {
    if length < 2 {
        return Err(Error::Message(format!(
            "the adding problem marks a step in either half of a sequence: \
             give it a length of 2 or more, not {length}"
        )));
    }
    Ok((0..count).map(move |_| example(&mut rng, length)))
}

fn example(rng: &mut Rng, length: usize) -> AddingExample {
    let mut features: Vec<[f32; 2]> = (0..length).map(|_| [rng.random(), 0.0]).collect();
    let marks = [rng.random_range(..length / 2), rng.random_range(length / 2..length)];
    for step in marks {
        features[step][1] = 1.0;
    }
    AddingExample { target: marks.map(|step| features[step][0]).iter().sum(), features }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::floor::tests::assert_mean;
    use super::*;
    use crate::rng::{Purpose, stream};

    fn draw(seed: u64, count: usize, length: usize) -> Vec<AddingExample> {
        examples(stream(seed, Purpose::Train, 0), count, length).unwrap().collect()
    }

    #[test]
    fn mean_guess_has_squared_error_one_sixth() {
        let targets: Vec<f64> = draw(1, 20_000, 10).iter().map(|e| f64::from(e.target)).collect();
        assert_mean("target", 1.0, &targets);
        let errors: Vec<f64> = targets.iter().map(|target| (target - 1.0).powi(2)).collect();
        // The sum of two independent numbers, uniform in [0, 1), has variance 1/12 + 1/12.
        assert_mean("squared error", 1.0 / 6.0, &errors);
    }

    #[test]
    fn marks_fall_anywhere_in_their_half() {
        let mut counts = [0; 7];
        for example in draw(2, 6000, 7) {
            for (step, [_, mark]) in example.features.iter().enumerate() {
                counts[step] += *mark as usize;
            }
        }
        for (step, count) in counts.into_iter().enumerate() {
            let expected = if step < 3 { 2000 } else { 1500 };
            assert!(count.abs_diff(expected) < 160, "step {step}: {count} marks, not {expected}");
        }
    }

    #[test]
    fn length_below_two_is_refused() {
        let refused = examples(stream(1, Purpose::Train, 0), 1, 1).err().unwrap();
        assert!(refused.to_string().ends_with("a length of 2 or more, not 1"), "{refused}");
    }

    proptest! {
        #[test]
        fn examples_have_two_marks_and_their_sum(seed: u64, length in 2usize..300) {
            let drawn = draw(seed, 3, length);
            prop_assert_eq!(&drawn, &draw(seed, 3, length));
            for AddingExample { features, target } in drawn {
                prop_assert_eq!(features.len(), length);
                prop_assert!(features.iter().all(|[number, _]| (0.0..1.0).contains(number)));
                prop_assert!(features.iter().all(|[_, mark]| *mark == 0.0 || *mark == 1.0));
                let marks = |half: &[[f32; 2]]| half.iter().map(|[_, mark]| *mark).sum::<f32>();
                let (first, second) = features.split_at(length / 2);
                prop_assert_eq!([marks(first), marks(second)], [1.0, 1.0]);
                let sum: f32 = features.iter().map(|[number, mark]| number * mark).sum();
                prop_assert!((sum - target).abs() < 1e-6);
            }
        }
    }
}
