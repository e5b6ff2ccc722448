//! What the forecast of a window is compared with.

use std::sync::Arc;

use candle_core::Tensor;

use super::set::SeriesSet;

/// The expected outputs of a batch of windows.
#[derive(Clone, Debug)]
pub struct WindowTargets {
    /// The values as the network is to forecast them, (batch, horizon), f32; NaN where one is missing.
    pub values: Tensor,
    /// The windows.
    pub windows: Vec<TargetWindow>,
}

/// The steps of a forecast in their series.
#[derive(Clone, Debug)]
pub struct TargetWindow {
    /// The series.
    pub set: Arc<SeriesSet>,
    /// The number of its series.
    pub series: usize,
    /// The first step of the forecast.
    pub at: usize,
    /// What was subtracted from its values.
    pub centre: f64,
    /// What its values were divided by.
    pub scale: f64,
    /// The divisor of MASE, computed from the steps before the split.
    pub naive_error: Option<f64>,
}

impl TargetWindow {
    /// The values; NaN where one is missing or not known yet.
    pub fn values(&self) -> Vec<f64> {
        let values = &self.set.series[self.series].values;
        let value = |step: usize| values.get(step).copied().unwrap_or(f64::NAN);
        (self.at..self.at + self.set.sizes.horizon).map(value).collect()
    }

    /// The values before the forecast.
    pub fn history(&self) -> &[f64] {
        let values = &self.set.series[self.series].values;
        &values[..self.at.min(values.len())]
    }

    /// A number of the network in the unit of the series.
    pub fn restored(&self, value: f64) -> f64 {
        value * self.scale + self.centre
    }

    /// The name of the series.
    pub fn name(&self) -> &str {
        &self.set.series[self.series].name
    }
}
