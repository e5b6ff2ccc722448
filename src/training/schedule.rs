//! Learning-rate schedules.
//!
//! Step and plateau follow PyTorch's `StepLR` and `ReduceLROnPlateau` (with a threshold of 0). Cosine is
//! `CosineAnnealingLR` (Loshchilov and Hutter, 2017) after a linear warm-up. One-cycle is `OneCycleLR` (Smith and
//! Topin, 2018).

use std::f64::consts::PI;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The schedule of the learning rate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Schedule {
    /// A constant learning rate.
    #[default]
    Constant,
    /// Multiplies the rate by `gamma` after every `every` epochs.
    Step {
        /// Epochs between two changes; 1 by default.
        #[serde(default = "default::every")]
        every: usize,
        /// The factor of a change; 0.1 by default.
        #[serde(default = "default::gamma")]
        gamma: f64,
    },
    /// Multiplies the rate by `factor` when the validation loss has not improved.
    Plateau {
        /// The factor of a change; 0.25 by default.
        #[serde(default = "default::factor")]
        factor: f64,
        /// Evaluations without improvement before a change; 0 by default.
        #[serde(default)]
        patience: usize,
    },
    /// Rises linearly to the base rate, then falls along half a cosine to `min_ratio` of it at the last step.
    Cosine {
        /// Steps before the base rate is reached; 0 by default.
        #[serde(default)]
        warmup_steps: usize,
        /// The last rate as a fraction of the base; 0 by default.
        #[serde(default)]
        min_ratio: f64,
    },
    /// Rises to the base rate, then falls far below the first rate, both along half a cosine.
    OneCycle {
        /// The fraction of steps in which the rate rises; 0.3 by default.
        #[serde(default = "default::pct_start")]
        pct_start: f64,
        /// The base divided by the first rate; 25 by default.
        #[serde(default = "default::div_factor")]
        div_factor: f64,
        /// The first rate divided by the last; 10,000 by default.
        #[serde(default = "default::final_div_factor")]
        final_div_factor: f64,
    },
}

/// Default values. They are PyTorch's, but for three: the period of step is 1, the patience of plateau is 0, and the
/// factor of plateau is that of PyTorch's word-level language-model example.
mod default {
    pub(super) fn every() -> usize {
        1
    }
    pub(super) fn gamma() -> f64 {
        0.1
    }
    pub(super) fn factor() -> f64 {
        0.25
    }
    pub(super) fn pct_start() -> f64 {
        0.3
    }
    pub(super) fn div_factor() -> f64 {
        25.0
    }
    pub(super) fn final_div_factor() -> f64 {
        1e4
    }
}

impl Schedule {
    /// The names that [`Schedule::from_str`] reads.
    pub const NAMES: [&'static str; 5] = ["constant", "step", "plateau", "cosine", "one-cycle"];

    /// Check the ranges of all numbers.
    ///
    /// # Errors
    /// If a period, factor or fraction is outside its range.
    pub fn validate(&self) -> Result<()> {
        let positive = |name: &str, value: f64| match value > 0.0 && value.is_finite() {
            true => Ok(()),
            false => Err(format!("{name} is {value}, but must be above 0")),
        };
        let share = |name: &str, value: f64| match (0.0..=1.0).contains(&value) {
            true => Ok(()),
            false => Err(format!("{name} is {value}, but must lie between 0 and 1")),
        };
        match *self {
            Self::Constant => Ok(()),
            Self::Step { every: 0, .. } => Err("every is 0, but must be at least 1 epoch".into()),
            Self::Step { gamma, .. } => positive("gamma", gamma),
            Self::Plateau { factor, .. } => positive("factor", factor).and(share("factor", factor)),
            Self::Cosine { min_ratio, .. } => share("min_ratio", min_ratio),
            Self::OneCycle { pct_start, div_factor, final_div_factor } => share("pct_start", pct_start)
                .and(positive("div_factor", div_factor))
                .and(positive("final_div_factor", final_div_factor)),
        }
        .map_err(|problem| Error::invalid("schedule", problem))
    }
}

impl FromStr for Schedule {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "constant" => Ok(Self::Constant),
            "step" => Ok(Self::Step { every: default::every(), gamma: default::gamma() }),
            "plateau" => Ok(Self::Plateau { factor: default::factor(), patience: 0 }),
            "cosine" => Ok(Self::Cosine { warmup_steps: 0, min_ratio: 0.0 }),
            "one-cycle" | "onecycle" => Ok(Self::OneCycle {
                pct_start: default::pct_start(),
                div_factor: default::div_factor(),
                final_div_factor: default::final_div_factor(),
            }),
            _ => {
                let names = Self::NAMES.join(", ");
                Err(Error::invalid("schedule", format!("unknown schedule {name:?}; choose one of {names}")))
            }
        }
    }
}

/// A schedule with its base rate, its length and its state, as saved in a checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scheduler {
    schedule: Schedule,
    base: f64,
    total_steps: usize,
    /// Whether the last step of a cosine has the final rate. Runs that started before this field existed reach the
    /// final rate one step after the last, and continue to do so when they are resumed.
    #[serde(default)]
    ends_at_last_step: bool,
    plateau: PlateauState,
}

/// The state of a plateau.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct PlateauState {
    /// The lowest validation loss; `None` before the first, because JSON has no infinity.
    best: Option<f64>,
    /// Evaluations since the best, or since the last reduction.
    without_improvement: usize,
    reductions: u32,
}

impl Scheduler {
    /// A schedule before its first step. Cosine and one-cycle end after `total_steps`.
    ///
    /// # Errors
    /// If the learning rate is negative, NaN or infinite, or the schedule is invalid, see [`Schedule::validate`].
    pub fn new(schedule: Schedule, base_learning_rate: f64, total_steps: usize) -> Result<Self> {
        let scheduler = Self {
            schedule,
            base: base_learning_rate,
            total_steps,
            ends_at_last_step: true,
            plateau: PlateauState::default(),
        };
        scheduler.validate()?;
        Ok(scheduler)
    }

    /// Check a schedule that was read from a file.
    ///
    /// # Errors
    /// As [`Scheduler::new`].
    pub fn validate(&self) -> Result<()> {
        check_learning_rate(self.base)?;
        self.schedule.validate()
    }

    /// The number of steps of the run.
    pub fn total_steps(&self) -> usize {
        self.total_steps
    }

    /// Set the number of steps, for a run that is made longer.
    pub fn set_total_steps(&mut self, total_steps: usize) {
        self.total_steps = total_steps;
    }

    /// The learning rate of step `step` in epoch `epoch`, both counted from 0. Beyond the last step
    /// the rates of `cosine` and `one-cycle` are constant.
    pub fn learning_rate(&self, step: usize, epoch: usize) -> f64 {
        match self.schedule {
            Schedule::Constant => self.base,
            Schedule::Step { every, gamma } => self.base * gamma.powf((epoch / every) as f64),
            Schedule::Plateau { factor, .. } => self.base * factor.powf(f64::from(self.plateau.reductions)),
            Schedule::Cosine { warmup_steps, .. } if step < warmup_steps => {
                self.base * (step + 1) as f64 / (warmup_steps + 1) as f64
            }
            Schedule::Cosine { warmup_steps, min_ratio } => {
                // From the first falling step to the last is one less than their number. A single one has the base
                // rate.
                let steps = self.total_steps.saturating_sub(warmup_steps);
                let falling = if self.ends_at_last_step && steps > 1 { steps - 1 } else { steps };
                cosine(self.base, self.base * min_ratio, (step - warmup_steps) as f64 / falling as f64)
            }
            Schedule::OneCycle { pct_start, div_factor, final_div_factor } => {
                let first = self.base / div_factor;
                let last = first / final_div_factor;
                let peak = pct_start * self.total_steps as f64 - 1.0;
                let end = self.total_steps as f64 - 1.0;
                match step as f64 {
                    step if step < peak => cosine(first, self.base, step / peak),
                    step => cosine(self.base, last, (step - peak) / (end - peak)),
                }
            }
        }
    }

    /// Take the loss of an evaluation. Plateau reduces the rate after more than `patience` evaluations without
    /// improvement. NaN is not an improvement.
    pub fn observe_validation(&mut self, loss: f64) {
        let Schedule::Plateau { patience, .. } = self.schedule else { return };
        let state = &mut self.plateau;
        if loss.is_finite() && state.best.is_none_or(|best| loss < best) {
            *state = PlateauState { best: Some(loss), without_improvement: 0, ..*state };
            return;
        }
        state.without_improvement += 1;
        if state.without_improvement > patience {
            state.without_improvement = 0;
            state.reductions += 1;
        }
    }
}

/// Check a learning rate.
///
/// # Errors
/// If it is negative, NaN or infinite.
pub(super) fn check_learning_rate(rate: f64) -> Result<()> {
    match rate >= 0.0 && rate.is_finite() {
        true => Ok(()),
        false => {
            let problem = format!("the learning rate is {rate}, but must be a number of at least 0");
            Err(Error::invalid("lr", problem))
        }
    }
}

/// Half a cosine from `start` to `end` as `progress` goes from 0 to 1; `end` beyond, and if `progress` is NaN
/// because there is no step in between.
fn cosine(start: f64, end: f64, progress: f64) -> f64 {
    match progress {
        progress if progress < 1.0 => end + (start - end) * 0.5 * (1.0 + (PI * progress).cos()),
        _ => end,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scheduler(schedule: &str, base: f64, total: usize) -> Scheduler {
        Scheduler::new(serde_json::from_str(schedule).unwrap(), base, total).unwrap()
    }

    #[test]
    fn step_multiplies_by_gamma_every_so_many_epochs() {
        let step = scheduler(r#"{"name": "step", "every": 2, "gamma": 0.5}"#, 8.0, 100);
        let rates: Vec<f64> = (0..6).map(|epoch| step.learning_rate(0, epoch)).collect();
        assert_eq!(rates, [8.0, 8.0, 4.0, 4.0, 2.0, 2.0]);
    }

    #[test]
    fn plateau_divides_by_four_at_once_by_default() {
        let mut plateau = Scheduler::new("plateau".parse().unwrap(), 20.0, 0).unwrap();
        let rates = [5.0, 4.0, 4.0, 3.0, f64::NAN].map(|loss| {
            plateau.observe_validation(loss);
            plateau.learning_rate(0, 0)
        });
        assert_eq!(rates, [20.0, 20.0, 5.0, 5.0, 1.25]);
    }

    #[test]
    fn cosine_warms_up_and_ends_at_the_last_step() {
        let cosine = scheduler(r#"{"name": "cosine", "warmup_steps": 3, "min_ratio": 0.1}"#, 4.0, 12);
        let rate = |step| cosine.learning_rate(step, 0);
        assert_eq!([rate(0), rate(1), rate(2), rate(3)], [1.0, 2.0, 3.0, 4.0]);
        assert!((rate(7) - 2.2).abs() < 1e-12, "half the steps, half the fall: {}", rate(7));
        assert!(rate(10) > 0.4);
        assert_eq!([rate(11), rate(12), rate(1000)], [0.4, 0.4, 0.4]);
    }

    #[test]
    fn single_falling_step_has_the_base_rate() {
        for (schedule, step) in
            [(r#"{"name": "cosine"}"#, 0), (r#"{"name": "cosine", "warmup_steps": 5}"#, 5)]
        {
            let cosine = scheduler(schedule, 4.0, step + 1);
            assert_eq!([cosine.learning_rate(step, 0), cosine.learning_rate(step + 1, 0)], [4.0, 0.0]);
        }
    }

    #[test]
    fn cosine_of_an_older_checkpoint_ends_one_step_later() {
        let saved = r#"{"schedule": {"name": "cosine", "warmup_steps": 3, "min_ratio": 0.1}, "base": 4.0,
            "total_steps": 11, "plateau": {"best": null, "without_improvement": 0, "reductions": 0}}"#;
        let mut cosine: Scheduler = serde_json::from_str(saved).unwrap();
        let rate = |cosine: &Scheduler, step: usize| cosine.learning_rate(step, 0);
        // The formula of older versions, to the bit.
        let older = |step: usize, total: usize| {
            let progress = (step - 3) as f64 / (total - 3) as f64;
            0.4 + (4.0 - 0.4) * 0.5 * (1.0 + (PI * progress).cos())
        };
        for step in 3..11 {
            assert_eq!(rate(&cosine, step).to_bits(), older(step, 11).to_bits(), "step {step}");
        }
        assert!(rate(&cosine, 10) > 0.4 && rate(&cosine, 11) == 0.4);
        let saved = serde_json::to_string(&cosine).unwrap();
        assert_eq!(serde_json::from_str::<Scheduler>(&saved).unwrap(), cosine, "a second resume keeps it");
        cosine.set_total_steps(20);
        assert_eq!(rate(&cosine, 19).to_bits(), older(19, 20).to_bits());
    }

    #[test]
    fn rates_of_short_runs_are_finite() {
        for name in Schedule::NAMES {
            for total in 0..4 {
                let scheduler = Scheduler::new(name.parse().unwrap(), 1.0, total).unwrap();
                for step in 0..6 {
                    let rate = scheduler.learning_rate(step, step);
                    assert!((0.0..=1.0).contains(&rate), "{name} of {total} steps: {rate} at {step}");
                }
            }
        }
    }

    #[test]
    fn bad_numbers_are_usage_errors() {
        let bad = [
            r#"{"name": "step", "every": 0}"#,
            r#"{"name": "plateau", "factor": 2}"#,
            r#"{"name": "cosine", "min_ratio": -1}"#,
            r#"{"name": "one-cycle", "div_factor": 0}"#,
        ];
        for text in bad {
            let schedule: Schedule = serde_json::from_str(text).unwrap();
            assert!(matches!(Scheduler::new(schedule, 1.0, 10), Err(Error::Invalid { .. })), "{text}");
        }
        assert!(Scheduler::new(Schedule::Constant, f64::NAN, 10).is_err());
        assert!("linear".parse::<Schedule>().unwrap_err().to_string().contains("constant, step, plateau"));
    }

    fn any_schedule() -> impl Strategy<Value = Schedule> {
        prop_oneof![
            Just(Schedule::Constant),
            (1..5usize, 0.01..1.0f64).prop_map(|(every, gamma)| Schedule::Step { every, gamma }),
            (0.01..1.0f64, 0..3usize).prop_map(|(factor, patience)| Schedule::Plateau { factor, patience }),
            (0..20usize, 0.0..1.0f64)
                .prop_map(|(warmup_steps, min_ratio)| Schedule::Cosine { warmup_steps, min_ratio }),
            (0.0..1.0f64, 1.0..50.0f64, 1.0..1e4f64).prop_map(|(pct_start, div_factor, final_div_factor)| {
                Schedule::OneCycle { pct_start, div_factor, final_div_factor }
            }),
        ]
    }

    proptest! {
        #[test]
        fn restored_schedule_continues_to_the_bit(
            schedule in any_schedule(),
            base in 1e-5..30.0f64,
            losses in prop::collection::vec(0.0..10.0f64, 30),
            stop in 0..30usize,
        ) {
            let mut ahead = Scheduler::new(schedule, base, 25).unwrap();
            let mut resumed = ahead.clone();
            for (step, &loss) in losses.iter().enumerate() {
                if step == stop {
                    resumed = serde_json::from_str(&serde_json::to_string(&resumed).unwrap()).unwrap();
                }
                ahead.observe_validation(loss);
                resumed.observe_validation(loss);
                let [left, right] = [&ahead, &resumed].map(|it| it.learning_rate(step, step / 5).to_bits());
                prop_assert_eq!(left, right);
            }
        }

        #[test]
        fn rates_are_between_zero_and_base(schedule in any_schedule(), total in 0..50usize, step in 0..80usize) {
            let rate = Scheduler::new(schedule, 2.0, total).unwrap().learning_rate(step, step / 7);
            prop_assert!((0.0..=2.0 + 1e-12).contains(&rate), "{}", rate);
        }
    }
}
