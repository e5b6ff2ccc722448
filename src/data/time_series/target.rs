//! The true values that the forecast of a window is compared with.

use std::sync::Arc;

use candle_core::Tensor;

use super::set::SeriesSet;

/// The logarithm of 20.
const LOG_MARGIN: f64 = 2.995_732_273_553_991;

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
    /// The number that was subtracted from its values.
    pub centre: f64,
    /// The number that its values were divided by.
    pub scale: f64,
    /// The least and the largest number of its window, of logarithms where they are forecast.
    pub range: [f64; 2],
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

    /// A number of the network in the unit of the series. Where logarithms are forecast, it is at most 20 times the
    /// largest value of the window, and at least a twentieth of the least.
    pub fn restored(&self, number: f64) -> f64 {
        let inner = number * self.scale + self.centre;
        let [least, most] = self.range;
        match self.set.scales.log && least <= most {
            true => self.set.scales.outer(inner.clamp(least - LOG_MARGIN, most + LOG_MARGIN)),
            false => inner,
        }
    }

    /// The name of the series.
    pub fn name(&self) -> &str {
        &self.set.series[self.series].name
    }
}
