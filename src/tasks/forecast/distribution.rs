//! Point forecast and quantiles from a forecaster's outputs for a step.

use rnn_zoo_models::Head;
use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

use super::counts;
use super::likelihood::{LEAST_FREEDOM, LEAST_SCALE, MOST_FREEDOM, softplus_of};
use crate::data::time_series::TargetWindow;

/// The forecast of a step, in the unit of its series.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct StepForecast {
    /// The point forecast: the mean of a distribution, the median of quantiles, or the output that a loss trained.
    pub(super) mean: f64,
    /// The quantiles of the head's levels, ascending.
    pub(super) quantiles: Vec<f64>,
}

/// The forecast of the outputs of a step after a window. Quantiles that cross are sorted.
pub(super) fn forecast(head: &Head, outputs: &[f64], window: &TargetWindow) -> StepForecast {
    let levels = head.levels();
    let StepForecast { mean, quantiles } = match head {
        Head::Mean { .. } => StepForecast { mean: outputs[0], quantiles: vec![] },
        Head::Quantiles { .. } => {
            let mut quantiles = outputs.to_vec();
            quantiles.sort_by(f64::total_cmp);
            let middle = levels.iter().position(|level| *level >= 0.5).unwrap_or(levels.len() - 1);
            StepForecast { mean: quantiles[middle], quantiles }
        }
        // In the unit of the series already.
        Head::NegativeBinomial { .. } => {
            let (mean, quantiles) = counts::forecast(levels, [outputs[0], outputs[1]], window.scale);
            return StepForecast { mean, quantiles };
        }
        Head::Gaussian { .. } => {
            let scale = softplus_of(outputs[1]) + LEAST_SCALE;
            let normal = Normal::standard();
            let quantiles = levels.iter().map(|&level| outputs[0] + scale * normal.inverse_cdf(level));
            StepForecast { mean: outputs[0], quantiles: quantiles.collect() }
        }
        Head::StudentT { .. } => {
            let scale = softplus_of(outputs[1]) + LEAST_SCALE;
            let freedom = softplus_of(outputs[2]) + LEAST_FREEDOM;
            let quantile = |level: f64| match StudentsT::new(0., 1., freedom.min(MOST_FREEDOM)) {
                Ok(student) => outputs[0] + scale * student.inverse_cdf(level),
                Err(_) => f64::NAN,
            };
            let quantiles = levels.iter().map(|&level| quantile(level)).collect();
            StepForecast { mean: outputs[0], quantiles }
        }
    };
    let quantiles = quantiles.into_iter().map(|number| window.restored(number)).collect();
    StepForecast { mean: window.restored(mean), quantiles }
}
