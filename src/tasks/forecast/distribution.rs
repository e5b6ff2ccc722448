//! Mean and quantiles of a forecaster's outputs for a step.

use rnn_zoo_models::Head;
use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

use super::likelihood::{LEAST_FREEDOM, LEAST_SCALE, MOST_FREEDOM};

/// The forecast of a step, in the numbers of the network.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct StepForecast {
    /// The mean of a distribution, the median of quantiles.
    pub(super) mean: f64,
    /// The quantiles of the head's levels, ascending.
    pub(super) quantiles: Vec<f64>,
}

/// The forecast of the outputs of a step. Quantiles that cross are sorted.
pub(super) fn forecast(head: &Head, outputs: &[f64]) -> StepForecast {
    let levels = head.levels();
    match head {
        Head::Mean { .. } => StepForecast { mean: outputs[0], quantiles: vec![] },
        Head::Quantiles { .. } => {
            let mut quantiles = outputs.to_vec();
            quantiles.sort_by(f64::total_cmp);
            let middle = levels.iter().position(|level| *level >= 0.5).unwrap_or(levels.len() - 1);
            StepForecast { mean: quantiles[middle], quantiles }
        }
        Head::Gaussian { .. } => {
            let scale = softplus(outputs[1]) + LEAST_SCALE;
            let normal = Normal::standard();
            let quantiles = levels.iter().map(|&level| outputs[0] + scale * normal.inverse_cdf(level));
            StepForecast { mean: outputs[0], quantiles: quantiles.collect() }
        }
        Head::StudentT { .. } => {
            let scale = softplus(outputs[1]) + LEAST_SCALE;
            let freedom = softplus(outputs[2]) + LEAST_FREEDOM;
            let quantile = |level: f64| match StudentsT::new(0., 1., freedom.min(MOST_FREEDOM)) {
                Ok(student) => outputs[0] + scale * student.inverse_cdf(level),
                Err(_) => f64::NAN,
            };
            let quantiles = levels.iter().map(|&level| quantile(level)).collect();
            StepForecast { mean: outputs[0], quantiles }
        }
    }
}

fn softplus(x: f64) -> f64 {
    x.max(0.) + (-x.abs()).exp().ln_1p()
}
