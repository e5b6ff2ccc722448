//! The scale of the values of a window.
//!
//! A network reads `(value - centre) / scale`, and its forecasts are scaled back.
//!
//! | scaling | scale |
//! |---|---|
//! | standard | standard deviation of the column in the training split |
//! | season | mean difference between values a season apart in the window, plus a thousandth of their mean size |
//! | level | mean size of the values of the window; of logarithms 1 |
//! | deviation | standard deviation of the values of the window |
//! | none | 1 |
//!
//! A scale of 0, as the deviation of constant values, is 1. A window of the constant value v has the scale |v| / 1000
//! of `season` and |v| of `level`. Logarithms have no size, because it depends on the unit of the values: the mean
//! difference has half a percent added.

use serde::{Deserialize, Serialize};

/// The share of the mean size in the scale of [`Scaling::Season`], so that exact seasons have a scale.
const SIZE_SHARE: f64 = 1e-3;

/// The number that is added to the scale of [`Scaling::Season`] of logarithms.
const LOG_SHARE: f64 = 5e-3;

/// The scale of the values of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scaling {
    /// The standard deviation of the column in the training split.
    Standard,
    /// The mean difference between values a season apart in the window.
    Season,
    /// The mean size of the values of the window.
    Level,
    /// The standard deviation of the values of the window.
    Deviation,
    /// No scale.
    None,
}

/// The centre of the values of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Centre {
    /// The last value.
    Last,
    /// The mean.
    Mean,
    /// 0.
    Zero,
}

/// Mean and standard deviation of a feature in the training split.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CovariateScale {
    /// The mean.
    pub mean: f64,
    /// The standard deviation; 1 if it is 0.
    pub scale: f64,
}

impl CovariateScale {
    /// Compute mean and standard deviation of the values that are not missing.
    pub fn of(values: impl Iterator<Item = f64> + Clone) -> Self {
        let known = values.filter(|value| !value.is_nan());
        let count = known.clone().count().max(1) as f64;
        let mean = known.clone().sum::<f64>() / count;
        let deviation = (known.map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
        let scale = if deviation > f64::EPSILON * mean.abs() { deviation } else { 1. };
        Self { mean, scale }
    }

    /// Scale a value.
    pub fn scaled(&self, value: f64) -> f64 {
        (value - self.mean) / self.scale
    }
}

impl Scaling {
    /// The scale of a window, none of whose values is missing. `unit` is the standard deviation of its column, `season`
    /// the steps of a season, and `log` tells whether the values are logarithms.
    pub fn scale(self, window: &[f64], unit: f64, season: usize, log: bool) -> f64 {
        let size = || mean(window.iter().map(|value| value.abs()));
        let scale = match self {
            Self::Standard => unit,
            Self::None => 1.,
            Self::Level if log => 1.,
            Self::Level => size(),
            Self::Deviation => CovariateScale::of(window.iter().copied()).scale,
            Self::Season => {
                let lag = if season < window.len() { season } else { 1 };
                let later = window.iter().skip(lag);
                let least = if log { LOG_SHARE } else { SIZE_SHARE * size() };
                mean(later.zip(window).map(|(later, earlier)| (later - earlier).abs())) + least
            }
        };
        if scale > 0. && scale.is_finite() { scale } else { 1. }
    }
}

impl Centre {
    /// The centre of a window.
    pub fn of(self, window: &[f64]) -> f64 {
        match self {
            Self::Last => window.last().copied().unwrap_or(0.),
            Self::Mean => mean(window.iter().copied()),
            Self::Zero => 0.,
        }
    }
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0., 0), |(sum, count), value| (sum + value, count + 1));
    sum / f64::from(count.max(1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn scales_are_those_of_the_table() {
        let window = [2., -4., 3., -5.];
        let scale = |scaling: Scaling| scaling.scale(&window, 7., 2, false);
        assert_eq!(scale(Scaling::Standard), 7.);
        assert_eq!(scale(Scaling::Level), 3.5);
        assert_eq!(scale(Scaling::Season), 1. + 1e-3 * 3.5);
        assert_eq!(scale(Scaling::Deviation), 12.5f64.sqrt());
        assert_eq!(
            [Scaling::Level, Scaling::Season].map(|scaling| scaling.scale(&[0.; 4], 7., 2, false)),
            [1.; 2]
        );
        assert_eq!((Centre::Last.of(&window), Centre::Mean.of(&window)), (-5., -1.));
    }

    proptest! {
        /// The network reads the same window, whatever the unit of the series.
        #[test]
        fn scaled_windows_do_not_depend_on_the_unit(
            window in prop::collection::vec(1f64..100., 5..40),
            factor in 1e-3f64..1e3,
        ) {
            for scaling in [Scaling::Season, Scaling::Level, Scaling::Deviation] {
                for centre in [Centre::Last, Centre::Mean] {
                    let scaled = |window: &[f64]| -> Vec<f64> {
                        let (centre, scale) = (centre.of(window), scaling.scale(window, 1., 3, false));
                        window.iter().map(|value| (value - centre) / scale).collect()
                    };
                    let logs = |window: &[f64]| -> Vec<f64> {
                        let window: Vec<f64> = window.iter().map(|value| value.ln()).collect();
                        let (centre, scale) = (centre.of(&window), scaling.scale(&window, 1., 3, true));
                        window.iter().map(|value| (value - centre) / scale).collect()
                    };
                    let other: Vec<f64> = window.iter().map(|value| factor * value).collect();
                    let pairs = scaled(&window).into_iter().zip(scaled(&other));
                    for (a, b) in pairs.chain(logs(&window).into_iter().zip(logs(&other))) {
                        prop_assert!((a - b).abs() < 1e-6 * (1. + a.abs()), "{a} is not {b}");
                    }
                }
            }
        }
    }
}
