//! A numeric series with its class.

use std::sync::Arc;

/// A numeric series with its class.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelledSeries {
    /// The number of the series in its file, counted from 1.
    pub number: u64,
    /// The place for messages: the line of a `.ts` file, or the name of the series in a table.
    pub place: String,
    /// The name of the series in a table; a `.ts` file has none.
    pub name: Option<String>,
    /// Names of the dimensions.
    pub dimensions: Arc<[String]>,
    /// The values, (time, dimensions), flattened; NaN where one is missing.
    pub values: Vec<f64>,
    /// The class; `None` if the data does not say.
    pub label: Option<String>,
}

impl LabelledSeries {
    /// The number of time steps; at least 1.
    pub fn len(&self) -> usize {
        self.values.len() / self.dimensions.len()
    }

    /// Whether there are no time steps.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The number of missing values.
    pub fn missing(&self) -> usize {
        self.values.iter().filter(|value| value.is_nan()).count()
    }

    /// Replace missing values: between two values of a dimension by linear interpolation, before the first and after
    /// the last by the nearest, and in a dimension without any value by the one of `without`.
    pub fn fill(&mut self, without: &[f64]) {
        let width = self.dimensions.len();
        for (dimension, &usual) in without.iter().enumerate() {
            let column: Vec<f64> = self.values.iter().skip(dimension).step_by(width).copied().collect();
            if column.iter().any(|value| value.is_nan()) {
                for (row, value) in filled(&column, usual).into_iter().enumerate() {
                    self.values[row * width + dimension] = value;
                }
            }
        }
    }
}

/// `values` with numbers in place of NaN, as [`LabelledSeries::fill`] says.
fn filled(values: &[f64], without: f64) -> Vec<f64> {
    let known: Vec<usize> = (0..values.len()).filter(|&at| !values[at].is_nan()).collect();
    let value_at = |at: usize| {
        let next = known.partition_point(|&place| place < at);
        match (next.checked_sub(1).map(|before| known[before]), known.get(next)) {
            (_, Some(&after)) if after == at => values[at],
            (Some(before), Some(&after)) => {
                let share = (at - before) as f64 / (after - before) as f64;
                values[before] + share * (values[after] - values[before])
            }
            (Some(nearest), None) | (None, Some(&nearest)) => values[nearest],
            (None, None) => without,
        }
    };
    (0..values.len()).map(value_at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_values_are_interpolated() {
        const N: f64 = f64::NAN;
        assert_eq!(filled(&[N, 1., N, N, 4., N], 9.), [1., 1., 2., 3., 4., 4.]);
        assert_eq!(filled(&[N, N], 9.), [9., 9.]);
        let dimensions: Arc<[String]> = ["a".into(), "b".into()].into();
        let values = vec![1., N, N, N, 3., N];
        let mut series =
            LabelledSeries { number: 1, place: "line 1".into(), name: None, dimensions, values, label: None };
        assert_eq!((series.len(), series.missing()), (3, 4));
        series.fill(&[0., 7.]);
        assert_eq!(series.values, [1., 7., 2., 7., 3., 7.]);
    }
}
