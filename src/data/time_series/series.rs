//! A time series, and the table that it comes from.

use std::sync::Arc;

use super::grid::TimeGrid;

/// The values of one column of one series, with a value for every step.
#[derive(Clone, Debug, PartialEq)]
pub struct TimeSeries {
    /// The name of the series; that of its column where a table has no names of series.
    pub name: String,
    /// The place of its column among the targets.
    pub column: usize,
    /// The timestamp of the first step.
    pub start: i64,
    /// The values up to the last one that is known; NaN where one is missing.
    pub values: Vec<f64>,
    /// Features of its steps; those known in advance may reach beyond the values.
    pub covariates: Arc<Covariates>,
}

/// Features of the steps of a series.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Covariates {
    /// Features of a step.
    pub width: usize,
    /// The features, (time, width), flattened; NaN where one is missing.
    pub values: Vec<f64>,
}

/// The series of a table.
#[derive(Clone, Debug, Default)]
pub struct TimeTable {
    /// The timestamps; `None` for tables without.
    pub grid: Option<TimeGrid>,
    /// Names of the columns that are forecast.
    pub targets: Vec<String>,
    /// The column of the timestamps.
    pub time: Option<String>,
    /// The series, those of one name together.
    pub series: Vec<TimeSeries>,
    /// Notes for the user, each as a line.
    pub notes: Vec<String>,
}

impl TimeTable {
    /// Whether a series has two steps or more, so that the timestamps tell the distance between steps.
    pub fn tells_step(&self) -> bool {
        self.series.iter().any(|series| series.values.len() > 1)
    }
}

impl Covariates {
    /// The number of steps.
    pub fn len(&self) -> usize {
        self.values.len().checked_div(self.width).unwrap_or(0)
    }

    /// Whether there are no steps.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl TimeSeries {
    /// The number of missing values.
    pub fn missing(&self) -> usize {
        self.values.iter().filter(|value| value.is_nan()).count()
    }

    /// Whether all values that are known are equal.
    pub fn is_constant(&self) -> bool {
        let mut known = self.values.iter().filter(|value| !value.is_nan());
        known.next().is_none_or(|first| known.all(|value| value == first))
    }
}

/// `values` with the last known value in place of each NaN, and the first known one before it. All are 0 if none is
/// known. No value depends on a later one, but for those before the first.
pub(super) fn carried_forward(values: impl Iterator<Item = f64> + Clone) -> Vec<f64> {
    let mut last = values.clone().find(|value| !value.is_nan()).unwrap_or(0.);
    let carry = |value: f64| {
        if !value.is_nan() {
            last = value;
        }
        last
    };
    values.map(carry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_values_have_the_value_before() {
        const N: f64 = f64::NAN;
        let filled = |values: &[f64]| carried_forward(values.iter().copied());
        assert_eq!(filled(&[N, 1., N, N, 4., N]), [1., 1., 1., 1., 4., 4.]);
        assert_eq!(filled(&[N, N]), [0., 0.]);
    }
}
