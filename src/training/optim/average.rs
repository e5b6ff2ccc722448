//! Averages of parameters over training steps. They often score better than the parameters of any one step.
//!
//! - EMA (Polyak and Juditsky 1992; Tarvainen and Valpola 2017): `a += (1 - d) * (p - a)` after every step,
//!   with `d = min(decay, (1 + t) / (10 + t))`, where `t` counts the steps in the average, this one included, so that
//!   the first steps have little weight.
//! - SWA (Izmailov et al. 2018): the mean over all steps after a given fraction of the run.
//! - NT-ASGD (Merity, Keskar and Socher 2017): the mean over all steps after the trigger, which is the first
//!   evaluation that is worse than the best of those more than `patience` evaluations before it.
//!
//! Evaluation and the saved model use the average once there is one. Training continues from the parameters
//! themselves.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::in_place;
use crate::parameters::{NamedTensors, Parameters};
use crate::{Error, Result};

/// The kind of average.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Average {
    /// Exponential moving average.
    Ema {
        /// Fraction of the old average that a step keeps, in [0, 1).
        decay: f64,
    },
    /// Mean over the end of the run.
    Swa {
        /// Fraction of the run's steps before the average starts, in [0, 1).
        start: f64,
    },
    /// Mean over the steps after validation stops improving.
    NtAsgd {
        /// Number of latest evaluations that the comparison leaves out.
        patience: usize,
    },
}

impl Average {
    /// Return the decay or the start, which must be in [0, 1), if it has one.
    pub(crate) fn share(self) -> Option<f64> {
        match self {
            Self::Ema { decay: share } | Self::Swa { start: share } => Some(share),
            Self::NtAsgd { .. } => None,
        }
    }
}

/// The state of an average besides its tensors. Checkpoints contain it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AverageState {
    /// Number of steps in the average.
    steps: u64,
    /// Whether NT-ASGD has been triggered.
    triggered: bool,
    /// All validation losses so far, for NT-ASGD.
    losses: Vec<f64>,
}

impl AverageState {
    /// Update the average `tensors` with the parameters after step `step` (counted from 1) of `total`. The first
    /// step in the average sets `tensors` to a copy of the parameters.
    ///
    /// # Errors
    /// Errors from candle.
    pub fn update(
        &mut self,
        rule: Average,
        tensors: &mut Option<NamedTensors>,
        parameters: &Parameters,
        (step, total): (usize, usize),
    ) -> Result<()> {
        let started = match rule {
            Average::Ema { .. } => true,
            Average::Swa { start } => step as f64 > start * total as f64,
            Average::NtAsgd { .. } => self.triggered,
        };
        if !started {
            // A lengthened run starts its average later than planned: drop the average that has started already.
            (*tensors, self.steps) = (None, 0);
            return Ok(());
        }
        self.steps += 1;
        let Some(averages) = tensors else {
            *tensors = Some(parameters.to_tensors()?);
            return Ok(());
        };
        let steps = self.steps as f64;
        let share = match rule {
            Average::Ema { decay } => 1. - decay.min((1. + steps) / (10. + steps)),
            Average::Swa { .. } | Average::NtAsgd { .. } => 1. / steps,
        };
        for (name, var) in parameters.iter() {
            let Some(average) = averages.get_mut(name) else { continue };
            let parameter = var.as_detached_tensor();
            if !in_place::interpolate(average, &parameter, share)? {
                *average = (&*average + ((parameter - &*average)? * share)?)?;
            }
        }
        Ok(())
    }

    /// Record the loss of a scheduled evaluation. It may trigger NT-ASGD.
    pub fn observe_validation(&mut self, rule: Average, loss: f64) {
        let Average::NtAsgd { patience } = rule else { return };
        let before = self.losses.len().saturating_sub(patience);
        let best = self.losses[..before].iter().copied().fold(f64::INFINITY, f64::min);
        self.triggered |= loss > best;
        self.losses.push(loss);
    }
}

impl fmt::Display for Average {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ema { decay } => write!(f, "ema:{decay}"),
            Self::Swa { start } => write!(f, "swa:{start}"),
            Self::NtAsgd { patience } => write!(f, "nt-asgd:{patience}"),
        }
    }
}

impl FromStr for Average {
    type Err = Error;

    /// Parse `ema`, `swa` or `nt-asgd`, optionally followed by a colon and its number.
    fn from_str(text: &str) -> Result<Self> {
        let (name, number) = text.split_once(':').map_or((text, None), |(name, number)| (name, Some(number)));
        let share = |default: f64| match number.map(str::parse::<f64>) {
            None => Some(default),
            Some(number) => number.ok().filter(|share| (0. ..1.).contains(share)),
        };
        let average = match name {
            "ema" => share(0.999).map(|decay| Self::Ema { decay }),
            "swa" => share(0.75).map(|start| Self::Swa { start }),
            "nt-asgd" => {
                number.map_or(Some(5), |number| number.parse().ok()).map(|patience| Self::NtAsgd { patience })
            }
            _ => None,
        };
        average.ok_or_else(|| {
            let problem = format!(
                "{text:?} is not an average; expected none, ema:DECAY or swa:START with a number of at least 0 and \
                 below 1, or nt-asgd:EVALUATIONS"
            );
            Error::invalid("average", problem)
        })
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor, Var};
    use proptest::prelude::*;

    use super::*;

    fn parameters() -> Parameters {
        [("w".to_string(), Var::new(&[0f64, 0.], &Device::Cpu).unwrap())].into_iter().collect()
    }

    /// Return the average of `w` after each of `values`.
    fn averages(rule: Average, values: &[f64], losses: &[f64]) -> Vec<Option<f64>> {
        let parameters = parameters();
        let (mut state, mut tensors) = (AverageState::default(), None);
        let step = |(at, &value): (usize, &f64)| {
            let value = Tensor::new(&[value, -value], &Device::Cpu).unwrap();
            parameters.get("w").unwrap().set(&value).unwrap();
            state.update(rule, &mut tensors, &parameters, (at + 1, values.len())).unwrap();
            if let Some(&loss) = losses.get(at) {
                state.observe_validation(rule, loss);
            }
            tensors.as_ref().map(|tensors| {
                let [first, second] = tensors["w"].to_vec1::<f64>().unwrap()[..] else {
                    panic!("two numbers")
                };
                assert_eq!(first, -second);
                first
            })
        };
        values.iter().enumerate().map(step).collect()
    }

    #[test]
    fn swa_is_the_mean_of_the_last_steps() {
        let found = averages(Average::Swa { start: 0.5 }, &[9., 9., 1., 2., 6.5, 3.5], &[]);
        assert_eq!(found[..3], [None, None, None]);
        let expected = [2., 4.25, 4.];
        for (found, expected) in found[3..].iter().zip(expected) {
            assert!((found.unwrap() - expected).abs() < 1e-12, "{found:?}, expected {expected}");
        }
    }

    #[test]
    fn swa_restarts_when_the_run_is_lengthened() {
        let parameters = parameters();
        let (mut state, mut tensors) = (AverageState::default(), None);
        let mut update = |step, total, value: f64| {
            parameters.get("w").unwrap().set(&Tensor::new(&[value, 0.], &Device::Cpu).unwrap()).unwrap();
            state.update(Average::Swa { start: 0.5 }, &mut tensors, &parameters, (step, total)).unwrap();
            tensors.as_ref().map(|tensors| tensors["w"].to_vec1::<f64>().unwrap()[0])
        };
        assert_eq!(update(2, 2, 7.), Some(7.));
        assert_eq!((update(3, 8, 1.), update(4, 8, 1.)), (None, None));
        assert_eq!((update(5, 8, 2.), update(6, 8, 4.)), (Some(2.), Some(3.)));
    }

    #[test]
    fn non_contiguous_tensors_are_averaged() {
        let transposed = |numbers: [[f64; 2]; 2]| Tensor::new(&numbers, &Device::Cpu).unwrap().t().unwrap();
        let var = Var::from_tensor(&transposed([[4., 6.], [8., 2.]])).unwrap();
        let parameters: Parameters = [("w".to_string(), var)].into_iter().collect();
        let mut tensors = Some(NamedTensors::from([("w".to_string(), transposed([[0., 2.], [4., 6.]]))]));
        let mut state = AverageState { steps: 3, ..AverageState::default() };
        state.update(Average::Swa { start: 0. }, &mut tensors, &parameters, (1, 1)).unwrap();
        let expected = [[1., 5.], [3., 5.]]; // a quarter of the way
        assert_eq!(tensors.unwrap()["w"].to_vec2::<f64>().unwrap(), expected);
    }

    #[test]
    fn nt_asgd_starts_when_validation_stalls() {
        // The fifth loss is the first that is worse than the best of those more than two before it.
        let losses = [5., 4., 3., 3.9, 4.1, 1., 1.];
        let found = averages(Average::NtAsgd { patience: 2 }, &[1., 2., 3., 4., 5., 6., 8.], &losses);
        assert_eq!(found, [None, None, None, None, None, Some(6.), Some(7.)]);
    }

    #[test]
    fn names_parse_back_and_invalid_ones_are_refused() {
        for text in ["ema:0.99", "swa:0.5", "nt-asgd:3"] {
            assert_eq!(text.parse::<Average>().unwrap().to_string(), text);
        }
        assert_eq!("ema".parse::<Average>().unwrap(), Average::Ema { decay: 0.999 });
        for text in ["", "mean", "ema:1", "swa:-0.1", "ema:x", "nt-asgd:-1", "ema:NaN"] {
            let error = text.parse::<Average>().unwrap_err().to_string();
            assert!(error.starts_with("average") && error.contains("nt-asgd:EVALUATIONS"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn ema_matches_its_definition(
            values in prop::collection::vec(-5.0..5.0f64, 1..30),
            decay in 0.0..0.99f64,
        ) {
            let found = averages(Average::Ema { decay }, &values, &[]);
            // A step's weight: its own share, multiplied by the decay of every later step.
            let decay_at = |t: usize| decay.min((2. + t as f64) / (11. + t as f64));
            let weight = |t: usize| {
                let share = if t == 0 { 1. } else { 1. - decay_at(t) };
                (t + 1..values.len()).fold(share, |weight, later| weight * decay_at(later))
            };
            let expected: f64 = values.iter().enumerate().map(|(t, value)| weight(t) * value).sum();
            prop_assert!((found[values.len() - 1].unwrap() - expected).abs() < 1e-9);
        }
    }
}
