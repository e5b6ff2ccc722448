//! Series that windows are cut from.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::grid::TimeGrid;
use super::scaling::{Centre, CovariateScale, Scaling};
use super::series::{TimeSeries, carried_forward};

/// Steps of windows, forecasts and seasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowSizes {
    /// Steps before a forecast.
    pub window: usize,
    /// Steps of a forecast.
    pub horizon: usize,
    /// Steps of a season; 1 for none.
    pub season: usize,
}

/// The scales of values and features.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scales {
    /// The scale of a window's values.
    pub scaling: Scaling,
    /// The centre of a window's values.
    pub centre: Centre,
    /// Whether logarithms of the values are scaled.
    pub log: bool,
    /// The standard deviation of each target column, of logarithms with `log`.
    pub units: Vec<f64>,
    /// Whether errors are measured in these units.
    pub standardised_errors: bool,
    /// The scales of features: those known only up to a forecast, then those known in advance.
    pub covariates: Vec<CovariateScale>,
    /// The number of those known only up to a forecast.
    pub past_features: usize,
    /// Whether there are features of the calendar.
    pub calendar: bool,
}

/// Series that windows are cut from.
#[derive(Clone, Debug)]
pub struct SeriesSet {
    /// The series.
    pub series: Vec<TimeSeries>,
    /// Their timestamps.
    pub grid: Option<TimeGrid>,
    /// Steps of windows.
    pub sizes: WindowSizes,
    /// Steps of a season of naive forecasts and of MASE; that of `sizes` unless it is set.
    pub naive_season: usize,
    /// The scales.
    pub scales: Scales,
    /// The values of each series, or their logarithms, without missing ones.
    filled: Vec<Vec<f64>>,
    /// The features of each series without missing ones, scaled, feature by feature.
    covariates: Vec<Arc<Vec<Vec<f32>>>>,
}

/// A window as a network reads it.
#[derive(Clone, Debug, PartialEq)]
pub struct ScaledWindow {
    /// (window, channels), flattened; the first channel is the value.
    pub past: Vec<f32>,
    /// (horizon, known features), flattened.
    pub future: Vec<f32>,
    /// The number that is subtracted from a value.
    pub centre: f64,
    /// The number that a value is divided by.
    pub scale: f64,
    /// The least and the largest number in the window.
    pub range: [f64; 2],
}

impl Scales {
    /// The number that is scaled in place of a value. With logarithms, values of 0 or less are the smallest positive
    /// number of f32.
    pub fn inner(&self, value: f64) -> f64 {
        match self.log {
            true if value.is_nan() => value,
            true => value.max(f64::from(f32::MIN_POSITIVE)).ln(),
            false => value,
        }
    }

    /// The value whose [`Scales::inner`] is `inner`.
    pub fn outer(&self, inner: f64) -> f64 {
        if self.log { inner.exp() } else { inner }
    }
}

impl SeriesSet {
    /// Prepare series to be cut.
    pub fn new(series: Vec<TimeSeries>, grid: Option<TimeGrid>, sizes: WindowSizes, scales: Scales) -> Self {
        let filled = series.iter().map(|one| carried_forward(one.values.iter().map(|&v| scales.inner(v))));
        let filled = filled.collect();
        let mut covariates: Vec<Arc<Vec<Vec<f32>>>> = Vec::with_capacity(series.len());
        for (at, one) in series.iter().enumerate() {
            // The columns of a series share its features.
            let shared =
                at.checked_sub(1).filter(|&before| Arc::ptr_eq(&series[before].covariates, &one.covariates));
            covariates.push(match shared {
                Some(before) => Arc::clone(&covariates[before]),
                None => Arc::new(scaled(one, &scales.covariates)),
            });
        }
        Self { series, grid, sizes, naive_season: sizes.season, scales, filled, covariates }
    }

    /// The number of channels of a step of a window.
    pub fn channels(&self) -> usize {
        1 + self.scales.covariates.len() + self.calendar_features()
    }

    /// The number of features that are known for the steps of a forecast.
    pub fn known(&self) -> usize {
        self.scales.covariates.len() - self.scales.past_features + self.calendar_features()
    }

    fn calendar_features(&self) -> usize {
        let grid = self.grid.as_ref().filter(|_| self.scales.calendar);
        grid.map_or(0, TimeGrid::calendar_features)
    }

    /// Cut and scale the window of a series before step `at`. Steps before the series have its first value and
    /// features.
    pub fn cut(&self, series: usize, at: usize) -> ScaledWindow {
        let WindowSizes { window, horizon, season } = self.sizes;
        let Scales { scaling, centre, log, ref units, past_features, .. } = self.scales;
        let filled = &self.filled[series];
        let known = &filled[at.saturating_sub(window)..at.min(filled.len())];
        let unit = units.get(self.series[series].column).copied().unwrap_or(1.);
        let (centre, scale) = (centre.of(known), scaling.scale(known, unit, season, log));
        let channels = self.channels();
        let mut past = Vec::with_capacity(window * channels);
        for step in 0..window {
            let step = (at + step).saturating_sub(window);
            past.push(((filled.get(step).copied().unwrap_or(centre) - centre) / scale) as f32);
            self.features(series, step, 0, &mut past);
        }
        let mut future = Vec::with_capacity(horizon * self.known());
        if self.known() > 0 {
            (at..at + horizon).for_each(|step| self.features(series, step, past_features, &mut future));
        }
        let range = known.iter().fold([f64::INFINITY, f64::NEG_INFINITY], |[least, most], &value| {
            [least.min(value), most.max(value)]
        });
        ScaledWindow { past, future, centre, scale, range }
    }

    /// Append the features of a step from number `first` on, and those of the calendar. After the last step that has
    /// features its features are repeated.
    fn features(&self, series: usize, step: usize, first: usize, into: &mut Vec<f32>) {
        for feature in self.covariates[series].iter().skip(first) {
            into.push(feature.get(step).or(feature.last()).copied().unwrap_or(0.));
        }
        if let Some(grid) = self.grid.as_ref().filter(|_| self.scales.calendar) {
            into.extend(grid.calendar(grid.time(self.series[series].start, step as i64)));
        }
    }

    /// The value of a step as a network is to forecast it; NaN if it is missing.
    pub fn target(&self, series: usize, step: usize, cut: &ScaledWindow) -> f32 {
        let value = self.series[series].values.get(step).copied().unwrap_or(f64::NAN);
        ((self.scales.inner(value) - cut.centre) / cut.scale) as f32
    }

    /// The text of the timestamp of a step; its number if there are no timestamps.
    pub fn time(&self, series: usize, step: usize) -> String {
        match &self.grid {
            Some(grid) => grid.text(self.series[series].start, step as i64),
            None => step.to_string(),
        }
    }

    /// The number by which errors of a series are divided.
    pub fn unit(&self, series: usize) -> f64 {
        let unit = self.scales.units.get(self.series[series].column).copied();
        unit.filter(|_| self.scales.standardised_errors).unwrap_or(1.)
    }
}

/// The features of a series, scaled and without missing values, feature by feature.
fn scaled(series: &TimeSeries, scales: &[CovariateScale]) -> Vec<Vec<f32>> {
    let covariates = &series.covariates;
    let of_feature = |(at, scale): (usize, &CovariateScale)| {
        let values = covariates.values.iter().skip(at).step_by(covariates.width.max(1)).copied();
        carried_forward(values).into_iter().map(|value| scale.scaled(value) as f32).collect()
    };
    scales.iter().enumerate().map(of_feature).collect()
}
