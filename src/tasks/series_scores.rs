//! Errors of forecasts, and the naive forecasts that they are compared with.
//!
//! With `y` the value, `f` its forecast, and `m` the length of a season in steps (1 for none):
//!
//! ```text
//! MAE   = mean |y - f|            MSE = mean (y - f)^2            RMSE = sqrt(MSE)
//! sMAPE = mean 200 |y - f| / (|y| + |f|), in percent; 0 / 0 = 0
//! MASE  = mean over forecasts of (mean |y - f|) / scale
//! scale = mean |x[t] - x[t - m]| over the history x of the series
//! ```
//!
//! A series that is forecast from several of its steps counts in MASE once for each. The other means are over all
//! values.
//!
//! sMAPE and MASE are those of the M4 competition (Makridakis et al. 2020, "The M4 competition: 100,000 time series and
//! 61 forecasting methods"), which forecasts the same number of steps of each series.
//!
//! A missing value is NaN. It is left out of every mean, but a forecast that is NaN makes the errors NaN.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use crate::float_bits;

/// Sums of errors, from which the metrics follow. Those of several forecasts are added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SeriesScores {
    /// Values that are not missing.
    points: u64,
    #[serde(with = "float_bits")]
    absolute: f64,
    #[serde(with = "float_bits")]
    squared: f64,
    #[serde(with = "float_bits")]
    relative: f64,
    /// Forecasts of series with a scale.
    scaled_forecasts: u64,
    #[serde(with = "float_bits")]
    scaled: f64,
    unscaled_forecasts: u64,
}

impl SeriesScores {
    /// Add a forecast of a series, one of several or the only one. `values` and `forecast` hold the same steps; `scale`
    /// is that of the history, see [`seasonal_scale`]. A forecast without a scale counts for all metrics but MASE.
    pub fn add(&mut self, values: &[f64], forecast: &[f64], scale: Option<f64>) {
        debug_assert_eq!(values.len(), forecast.len(), "the same steps");
        let (mut points, mut absolute) = (0, 0.);
        for (&value, &forecast) in values.iter().zip(forecast).filter(|(value, _)| !value.is_nan()) {
            let error = (value - forecast).abs();
            points += 1;
            absolute += error;
            self.squared += error * error;
            self.relative += if error == 0. { 0. } else { 200. * error / (value.abs() + forecast.abs()) };
        }
        self.points += points;
        self.absolute += absolute;
        match scale {
            _ if points == 0 => {}
            Some(scale) => {
                self.scaled += absolute / points as f64 / scale;
                self.scaled_forecasts += 1;
            }
            None => self.unscaled_forecasts += 1,
        }
    }

    /// The number of values that are not missing.
    pub fn points(&self) -> u64 {
        self.points
    }

    /// The number of forecasts that MASE leaves out, because their series have no scale.
    pub fn unscaled_forecasts(&self) -> u64 {
        self.unscaled_forecasts
    }

    /// Mean absolute error; `None` if there are no values.
    pub fn mae(&self) -> Option<f64> {
        mean(self.absolute, self.points)
    }

    /// Mean squared error; `None` if there are no values.
    pub fn mse(&self) -> Option<f64> {
        mean(self.squared, self.points)
    }

    /// Root of the mean squared error; `None` if there are no values.
    pub fn rmse(&self) -> Option<f64> {
        self.mse().map(f64::sqrt)
    }

    /// Symmetric mean absolute percentage error, from 0 to 200; `None` if there are no values.
    pub fn smape(&self) -> Option<f64> {
        mean(self.relative, self.points)
    }

    /// Mean absolute scaled error; `None` if no forecast has one.
    pub fn mase(&self) -> Option<f64> {
        mean(self.scaled, self.scaled_forecasts)
    }
}

impl AddAssign for SeriesScores {
    fn add_assign(&mut self, other: Self) {
        self.points += other.points;
        self.absolute += other.absolute;
        self.squared += other.squared;
        self.relative += other.relative;
        self.scaled_forecasts += other.scaled_forecasts;
        self.scaled += other.scaled;
        self.unscaled_forecasts += other.unscaled_forecasts;
    }
}

fn mean(sum: f64, count: u64) -> Option<f64> {
    (count > 0).then(|| sum / count as f64)
}

/// The mean absolute difference between the values of `history` that lie `season` steps apart, by which MASE divides.
/// Pairs with a missing value are left out. `None` if there is no pair, or if the mean is 0 or infinite: a constant
/// series has no scale.
pub fn seasonal_scale(history: &[f64], season: usize) -> Option<f64> {
    let later = history.get(season.max(1)..)?;
    let differences = later.iter().zip(history).map(|(later, earlier)| (later - earlier).abs());
    let (sum, count) = differences
        .filter(|difference| !difference.is_nan())
        .fold((0., 0), |(sum, count), difference| (sum + difference, count + 1));
    mean(sum, count).filter(|scale| *scale > 0. && scale.is_finite())
}

/// The naive forecast: the last value of `history`, at each of `horizon` steps. NaN if all values are missing.
pub fn naive(history: &[f64], horizon: usize) -> Vec<f64> {
    let last = history.iter().rfind(|value| !value.is_nan());
    vec![last.copied().unwrap_or(f64::NAN); horizon]
}

/// The seasonal naive forecast: at each of `horizon` steps the last value of `history` that lies whole seasons of
/// `season` steps before. A step without such a value has the naive forecast.
pub fn seasonal_naive(history: &[f64], season: usize, horizon: usize) -> Vec<f64> {
    let season = season.max(1);
    let mut forecast = naive(history, horizon);
    for (step, forecast) in forecast.iter_mut().enumerate() {
        // Steps that lie whole seasons before share the remainder of their distance to the end of the history.
        let back = season - step % season;
        let same = history.iter().rev().skip(back - 1).step_by(season);
        if let Some(value) = same.copied().find(|value| !value.is_nan()) {
            *forecast = value;
        }
    }
    forecast
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAN: f64 = f64::NAN;

    fn scores(values: &[f64], forecast: &[f64], scale: Option<f64>) -> SeriesScores {
        let mut scores = SeriesScores::default();
        scores.add(values, forecast, scale);
        scores
    }

    #[test]
    fn metrics_follow_their_definitions() {
        let mut both = scores(&[1., 3.], &[2., 1.], Some(0.5));
        assert_eq!((both.mae(), both.mse(), both.rmse()), (Some(1.5), Some(2.5), Some(2.5_f64.sqrt())));
        assert!((both.smape().unwrap() - 250. / 3.).abs() < 1e-12);
        assert_eq!(both.mase(), Some(3.));
        both += scores(&[-1.], &[1.], Some(4.));
        assert_eq!((both.points(), both.mae(), both.mase()), (3, Some(5. / 3.), Some((3. + 0.5) / 2.)));
    }

    #[test]
    fn missing_values_are_left_out() {
        let found = scores(&[1., NAN, 0.], &[2., 7., 0.], None);
        assert_eq!((found.points(), found.mae(), found.mse()), (2, Some(0.5), Some(0.5)));
        assert!((found.smape().unwrap() - 100. / 3.).abs() < 1e-12);
        assert_eq!((found.mase(), found.unscaled_forecasts()), (None, 1));
        assert_eq!(scores(&[NAN], &[1.], Some(1.)), SeriesScores::default());
    }

    #[test]
    fn nan_forecast_propagates() {
        let found = scores(&[1., 2.], &[1., NAN], Some(1.));
        for metric in [found.mae(), found.mse(), found.rmse(), found.smape(), found.mase()] {
            assert!(metric.unwrap().is_nan());
        }
    }

    #[test]
    fn no_values_have_no_metrics() {
        let none = SeriesScores::default();
        assert_eq!([none.mae(), none.mse(), none.rmse(), none.smape(), none.mase()], [None; 5]);
    }

    #[test]
    fn scale_is_the_mean_seasonal_difference() {
        assert_eq!(seasonal_scale(&[1., 2., 4.], 1), Some(1.5));
        assert_eq!(seasonal_scale(&[1., 2., 4., 6.], 2), Some(3.5));
        assert_eq!(seasonal_scale(&[1., NAN, 4., 6.], 1), Some(2.));
        for (history, season) in [(&[][..], 1), (&[1., 2.], 2), (&[3., 3., 3.], 1), (&[NAN, 1., NAN], 1)] {
            assert_eq!(seasonal_scale(history, season), None, "{history:?}");
        }
        assert_eq!(seasonal_scale(&[1., f64::INFINITY], 1), None);
    }

    #[test]
    fn seasonal_naive_repeats_the_last_season() {
        assert_eq!(seasonal_naive(&[9., 1., 2., 3.], 3, 7), [1., 2., 3., 1., 2., 3., 1.]);
        assert_eq!(seasonal_naive(&[1., 2.], 1, 2), naive(&[1., 2.], 2));
        // A missing value is replaced by that of the season before, or else by the last one.
        assert_eq!(seasonal_naive(&[5., 6., NAN, 7.], 2, 3), [5., 7., 5.]);
        assert_eq!(seasonal_naive(&[4., 8.], 3, 3), [8., 4., 8.]);
    }

    #[test]
    fn empty_history_forecasts_nan() {
        assert!(naive(&[], 2).iter().chain(&seasonal_naive(&[NAN], 2, 2)).all(|value| value.is_nan()));
    }
}
