//! The division of a series into train, valid and test, along time.

use std::ops::Range;

use crate::data::fractions::{Fractions, records_in};
use crate::data::source::Split;

/// The ends of the splits of a series, each beginning at the end of the one before. Later steps are not used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// The number of steps that are trained on.
    pub train: usize,
    /// The end of validation.
    pub valid: usize,
    /// The end of the test.
    pub test: usize,
}

impl Bounds {
    /// Divide `steps` by fractions. A split whose fraction is not 0 has at least one forecast of `horizon` steps, as
    /// long as half of the series is left to train on.
    pub fn of_fractions(steps: usize, fractions: Fractions, horizon: usize) -> Self {
        let held_out = |fraction: f64| {
            let share = records_in(fraction, steps as u64) as usize;
            if fraction > 0. { share.max(horizon) } else { 0 }
        };
        let (mut valid, mut test) = (held_out(fractions.valid), held_out(fractions.test));
        let shares = [fractions.valid, fractions.test].map(|share| records_in(share, steps as u64) as usize);
        if valid + test > (steps / 2).max(shares[0] + shares[1]) {
            test = shares[1].min(test) * usize::from(shares[1] >= horizon);
        }
        if valid + test > (steps / 2).max(shares[0] + shares[1]) {
            valid = shares[0] * usize::from(shares[0] >= horizon);
        }
        let valid = valid.min(steps);
        let test = test.min(steps - valid);
        Self { train: steps - valid - test, valid: steps - test, test: steps }
    }

    /// Hold out the last `horizon` of `steps` for validation; none if fewer than as many are left to train on. `test`
    /// steps follow.
    pub fn of_last(steps: usize, horizon: usize, test: usize) -> Self {
        let valid = if steps >= 2 * horizon { horizon } else { 0 };
        Self { train: steps - valid, valid: steps, test: steps + test }
    }

    /// The steps of a split.
    pub fn of(&self, split: Split) -> Range<usize> {
        match split {
            Split::Train => 0..self.train,
            Split::Valid => self.train..self.valid,
            Split::Test => self.valid..self.test,
            Split::All => 0..self.test,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_of_the_usual_benchmark_are_exact() {
        let bounds = Bounds::of_fractions(14_400, Fractions { valid: 0.2, test: 0.2 }, 96);
        assert_eq!(bounds, Bounds { train: 8640, valid: 11_520, test: 14_400 });
    }

    #[test]
    fn short_series_hold_out_whole_forecasts_while_half_is_left() {
        let usual = Fractions::default();
        let of = |steps, horizon| Bounds::of_fractions(steps, usual, horizon);
        assert_eq!(of(1000, 10), Bounds { train: 900, valid: 950, test: 1000 });
        assert_eq!(of(40, 6), Bounds { train: 28, valid: 34, test: 40 });
        assert_eq!(of(40, 12), Bounds { train: 28, valid: 40, test: 40 });
        assert_eq!(of(10, 8), Bounds { train: 10, valid: 10, test: 10 });
        assert_eq!(Bounds::of_last(100, 13, 13), Bounds { train: 87, valid: 100, test: 113 });
        assert_eq!(Bounds::of_last(20, 13, 13), Bounds { train: 20, valid: 20, test: 33 });
    }
}
