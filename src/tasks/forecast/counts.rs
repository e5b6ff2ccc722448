//! Forecasts of counts: negative binomial distributions.
//!
//! With the outputs o_1 and o_2 of a step and the scale s of its window, a count has
//!
//! ```text
//! mean   m = s softplus(o_1)      shape   a = softplus(o_2)      variance   m + a m^2
//! ```
//!
//! as Salinas et al. 2020 ("DeepAR: Probabilistic forecasting with autoregressive recurrent networks"), except that the
//! shape does not depend on the scale: distributions of series of different sizes have the same relative deviation. A
//! least number is added to either softplus.

use candle_core::{DType, Tensor};
use statrs::distribution::{DiscreteCDF, NegativeBinomial};

use super::likelihood::{LEAST_MEAN, LEAST_SHAPE, negative_binomial, softplus, softplus_of};
use crate::data::time_series::TimeSeriesCorpus;
use crate::{Error, Result};

/// The largest count. The likelihood of larger ones has too few digits.
const MOST: f64 = 1e9;

/// Compute the negative log-likelihood of counts, (batch, horizon), in f64. `outputs` are those of the steps and
/// `values` the counts divided by the scale of their window, each (batch, horizon); `scales` is (batch, 1), f64.
///
/// # Errors
/// Errors from candle.
pub(super) fn loss(outputs: [&Tensor; 2], values: &Tensor, scales: &Tensor) -> Result<Tensor> {
    let [mean, shape] = outputs.map(|output| output.to_dtype(DType::F64));
    let counts = values.to_dtype(DType::F64)?.broadcast_mul(scales)?.round()?; // f32 is exact up to 2^23
    let means = (softplus(&mean?)? + LEAST_MEAN)?.broadcast_mul(scales)?;
    let shapes = (softplus(&shape?)? + LEAST_SHAPE)?;
    Ok(negative_binomial(&counts, &means, &shapes)?.to_dtype(values.dtype())?)
}

/// The mean of a step with these outputs after a window of this scale, and its quantiles, which are whole numbers.
pub(super) fn forecast(levels: &[f64], outputs: [f64; 2], scale: f64) -> (f64, Vec<f64>) {
    let mean = scale * (softplus_of(outputs[0]) + LEAST_MEAN);
    let shape = softplus_of(outputs[1]) + LEAST_SHAPE;
    let distribution = NegativeBinomial::new(1. / shape, 1. / (1. + shape * mean)).ok();
    let quantile =
        |&level: &f64| distribution.and_then(|counts| least_with(&counts, level)).unwrap_or(f64::NAN);
    (mean, levels.iter().map(quantile).collect())
}

/// The least count whose cumulative probability is `level` or more; `None` if it is out of range.
fn least_with(distribution: &NegativeBinomial, level: f64) -> Option<f64> {
    const LARGEST: u64 = 1 << 52;
    let reaches = |count: u64| distribution.cdf(count) >= level;
    if reaches(0) {
        return Some(0.);
    }
    let mut above = 1;
    while !reaches(above) {
        above = Some(2 * above).filter(|above| *above <= LARGEST)?;
    }
    let mut below = above / 2; // does not reach the level
    while above - below > 1 {
        let middle = below + (above - below) / 2;
        if reaches(middle) {
            above = middle;
        } else {
            below = middle;
        }
    }
    Some(above as f64)
}

/// Refuse series with values that are not counts.
///
/// # Errors
/// For the first such value, with its series and its time or step.
pub(super) fn check(corpus: &TimeSeriesCorpus) -> Result<()> {
    let is_count = |value: f64| value.is_nan() || ((0. ..=MOST).contains(&value) && value.fract() == 0.);
    for series in &corpus.table.series {
        let Some(step) = series.values.iter().position(|&value| !is_count(value)) else { continue };
        let time = match &corpus.table.grid {
            Some(grid) => grid.text(series.start, step as i64),
            None => format!("step {step}"),
        };
        let problem = format!(
            "series `{}`: {} at {time} is not a count; option `forecasting.loss = negative-binomial` needs whole numbers from \
             0 to {MOST:e}; choose another loss for other values",
            series.name, series.values[step]
        );
        return Err(Error::file(corpus.path(), problem));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};
    use serde::Deserialize;

    use super::*;

    /// The counts of the file `tests/golden/forecast_losses.json`, which `scripts/golden/forecast_losses.py` makes.
    #[derive(Deserialize)]
    struct Golden {
        levels: Vec<f64>,
        counts: Vec<Case>,
    }

    /// Steps after windows of one scale.
    #[derive(Deserialize)]
    struct Case {
        scale: f64,
        outputs: Vec<[f64; 2]>,
        counts: Vec<f64>,
        losses: Vec<f64>,
        means: Vec<f64>,
        quantiles: Vec<Vec<f64>>,
    }

    fn golden() -> Golden {
        serde_json::from_str(include_str!("../../../tests/golden/forecast_losses.json")).unwrap()
    }

    /// The losses of a case with values in a precision.
    fn losses(case: &Case, outputs: &Tensor, dtype: DType) -> Tensor {
        let steps = case.counts.len();
        let values: Vec<f64> = case.counts.iter().map(|count| count / case.scale).collect();
        let values = Tensor::from_vec(values, (1, steps), &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
        let scales = Tensor::from_vec(vec![case.scale], (1, 1), &Device::Cpu).unwrap();
        let output =
            |at| outputs.narrow(1, at, 1).unwrap().reshape((1, steps)).unwrap().to_dtype(dtype).unwrap();
        loss([&output(0), &output(1)], &values, &scales).unwrap()
    }

    fn outputs(case: &Case) -> Tensor {
        let all: Vec<f64> = case.outputs.iter().flatten().copied().collect();
        Tensor::from_vec(all, (case.outputs.len(), 2), &Device::Cpu).unwrap()
    }

    fn numbers(tensor: &Tensor) -> Vec<f64> {
        tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn losses_are_those_of_scipy() {
        for case in golden().counts {
            for (dtype, tolerance) in [(DType::F64, 1e-8), (DType::F32, 1e-5)] {
                let found = numbers(&losses(&case, &outputs(&case), dtype));
                for (found, expected) in found.iter().zip(&case.losses) {
                    assert!(
                        (found - expected).abs() < tolerance * (1. + expected.abs()),
                        "{dtype:?}, scale {}: {found}, {expected}",
                        case.scale
                    );
                }
            }
        }
    }

    #[test]
    fn means_and_quantiles_are_those_of_scipy() {
        let Golden { levels, counts } = golden();
        for case in counts {
            for (at, &outputs) in case.outputs.iter().enumerate() {
                let (mean, quantiles) = forecast(&levels, outputs, case.scale);
                let expected = case.means[at];
                assert!((mean - expected).abs() < 1e-12 * expected, "{mean} is not {expected}");
                assert_eq!(quantiles, case.quantiles[at], "scale {}, outputs {outputs:?}", case.scale);
            }
        }
    }

    #[test]
    fn gradients_are_central_differences() {
        // The losses of counts of some 100,000 are differences of large numbers; with 1e-5 their rounding is 5e-5.
        const EPSILON: f64 = 1e-4;
        for case in golden().counts {
            let outputs = outputs(&case);
            let variable = Var::from_tensor(&outputs).unwrap();
            let gradients = losses(&case, &variable, DType::F64).sum_all().unwrap().backward().unwrap();
            let gradient = numbers(gradients.get(&variable).unwrap());
            let values = numbers(&outputs);
            for at in 0..values.len() {
                let moved = |by: f64| {
                    let mut values = values.clone();
                    values[at] += by;
                    let moved = Tensor::from_vec(values, outputs.shape(), &Device::Cpu).unwrap();
                    numbers(&losses(&case, &moved, DType::F64))[at / 2]
                };
                let (expected, found) = ((moved(EPSILON) - moved(-EPSILON)) / (2. * EPSILON), gradient[at]);
                assert!(
                    (found - expected).abs() < 1e-5 * (1. + expected.abs()),
                    "scale {}, number {at}: {found}, {expected}",
                    case.scale
                );
            }
        }
    }

    #[test]
    fn outputs_of_any_size_have_finite_losses_gradients_and_quantiles() {
        let outputs: Vec<[f64; 2]> =
            [-1e4, -50., 0., 50., 1e4].iter().flat_map(|&a| [-1e4, 0., 1e4].map(|b| [a, b])).collect();
        for (scale, count) in [(1., 0.), (1., 3.), (1e6, 0.), (1e6, 1e9)] {
            let counts = vec![count; outputs.len()];
            let (losses_, means, quantiles) = (vec![], vec![], vec![]);
            let case = Case { scale, outputs: outputs.clone(), counts, losses: losses_, means, quantiles };
            let variable = Var::from_tensor(&self::outputs(&case)).unwrap();
            let loss = losses(&case, &variable, DType::F32);
            let gradients = loss.sum_all().unwrap().backward().unwrap();
            let gradient = numbers(gradients.get(&variable).unwrap());
            assert!(
                numbers(&loss).iter().chain(&gradient).all(|number| number.is_finite()),
                "{count} of {scale}"
            );
            for &outputs in &outputs {
                let (_, quantiles) = forecast(&[0.01, 0.5, 0.99], outputs, scale);
                assert!(quantiles.iter().all(|number| number.is_finite()), "{outputs:?}: {quantiles:?}");
            }
        }
    }
}
