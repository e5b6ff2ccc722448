//! Losses of forecasters: means over the values of a batch that are not missing.
//!
//! `y` is a value and `f` its forecast, both scaled by their window; `c` is the centre of the window and `s` its scale.
//!
//! ```text
//! mse        (y - f)^2
//! mae        |y - f|
//! smape      2 |y - f| / (|y + c/s| + |f + c/s|); of logarithms 2 tanh(s |y - f| / 2), the same
//! pinball    mean over levels q of max(q (y - f_q), (q - 1) (y - f_q))
//! ```
//!
//! Distributions are trained by their likelihood; see `likelihood.rs`, and `counts.rs` for counts.

use candle_core::{D, DType, Tensor};
use rnn_zoo_models::{Head, PointLoss};

use super::counts;
use super::likelihood::{LEAST_FREEDOM, LEAST_SCALE, MOST_FREEDOM, normal, softplus, student};
use crate::data::time_series::{TargetWindow, WindowTargets};
use crate::{Error, Result};

/// Bounds the derivative of the percentage error where both numbers are 0.
const LEAST_SIZE: f64 = 1e-6;

/// Compute the loss summed over values, a scalar that can be differentiated, and the number of values that are not
/// missing. `outputs` is (batch, horizon, outputs).
///
/// # Errors
/// If the outputs do not fit the head, and errors from candle.
pub fn summed(head: &Head, outputs: &Tensor, targets: &WindowTargets) -> Result<(Tensor, usize)> {
    let values = targets.values.to_dtype(outputs.dtype())?; // (batch, horizon)
    if outputs.dims() != [values.dim(0)?, values.dim(1)?, head.outputs()] {
        let (found, outputs) = (outputs.dims(), head.outputs());
        return Err(Error::Message(format!(
            "the network has outputs {found:?}; the head expects {outputs} a step"
        )));
    }
    let known = values.eq(&values)?; // NaN equals nothing
    let values = known.where_cond(&values, &values.zeros_like()?)?;
    let output = |at: usize| -> Result<Tensor> { Ok(outputs.narrow(2, at, 1)?.squeeze(2)?) }; // (batch, horizon)
    let losses = match head {
        Head::Mean { loss } => point(*loss, &output(0)?, &values, targets)?,
        Head::Quantiles { levels } => pinball(levels, outputs, &values)?,
        Head::Gaussian { .. } => {
            let scale = (softplus(&output(1)?)? + LEAST_SCALE)?;
            normal(&(output(0)? - &values)?, &scale)?
        }
        Head::StudentT { .. } => {
            let scale = (softplus(&output(1)?)? + LEAST_SCALE)?;
            let freedom = (softplus(&output(2)?)? + LEAST_FREEDOM)?.minimum(MOST_FREEDOM)?;
            student(&(output(0)? - &values)?, &scale, &freedom)?
        }
        Head::NegativeBinomial { .. } => {
            let scales = of_rows(targets, &values.to_dtype(DType::F64)?, |window| window.scale)?;
            counts::loss([&output(0)?, &output(1)?], &values, &scales)?
        }
    };
    let losses = known.where_cond(&losses, &losses.zeros_like()?)?;
    let count = known.to_dtype(DType::F32)?.sum_all()?.to_scalar::<f32>()?;
    Ok((losses.sum_all()?, count as usize))
}

/// The losses of single numbers, (batch, horizon).
fn point(loss: PointLoss, outputs: &Tensor, values: &Tensor, targets: &WindowTargets) -> Result<Tensor> {
    let errors = (outputs - values)?;
    match loss {
        PointLoss::Mse => Ok(errors.sqr()?),
        PointLoss::Mae => Ok(errors.abs()?),
        PointLoss::Smape => {
            if targets.windows.first().is_some_and(|window| window.set.scales.log) {
                let half = of_rows(targets, outputs, |window| window.scale / 2.)?;
                return Ok((errors.abs()?.broadcast_mul(&half)?.tanh()? * 2.)?);
            }
            let centre = of_rows(targets, outputs, |window| window.centre / window.scale)?;
            let size = |numbers: &Tensor| numbers.broadcast_add(&centre)?.abs();
            let sizes = ((size(outputs)? + size(values)?)? + LEAST_SIZE)?;
            Ok(((errors.abs()? * 2.)? / sizes)?)
        }
    }
}

/// One number for each window, (batch, 1), on the device and with the precision of `like`.
fn of_rows(targets: &WindowTargets, like: &Tensor, number: impl Fn(&TargetWindow) -> f64) -> Result<Tensor> {
    let numbers = Tensor::from_iter(targets.windows.iter().map(number), like.device())?;
    Ok(numbers.to_dtype(like.dtype())?.unsqueeze(1)?)
}

/// The mean pinball loss over the levels, (batch, horizon). `outputs` is (batch, horizon, levels).
fn pinball(levels: &[f64], outputs: &Tensor, values: &Tensor) -> Result<Tensor> {
    let errors = values.unsqueeze(2)?.broadcast_sub(outputs)?; // (batch, horizon, levels)
    let levels = Tensor::new(levels, outputs.device())?.to_dtype(outputs.dtype())?;
    let below = errors.broadcast_mul(&levels)?;
    // The larger of q e and (q - 1) e is q e + max(0, -e).
    Ok((below + errors.neg()?.relu()?)?.mean(D::Minus1)?)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use candle_core::Device;
    use serde::Deserialize;

    use super::super::distribution::forecast;
    use super::*;
    use crate::data::time_series::{Centre, Scales, Scaling, SeriesSet, WindowSizes};

    /// The file `tests/golden/forecast_losses.json`, which `scripts/golden/forecast_losses.py` makes.
    #[derive(Deserialize)]
    struct Golden {
        levels: Vec<f64>,
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "kebab-case")]
    struct Case {
        log: bool,
        values: Vec<Vec<Option<f64>>>,
        outputs: Vec<Vec<Vec<f64>>>,
        centre: Vec<f64>,
        scale: Vec<f64>,
        mse: f64,
        mae: f64,
        smape: f64,
        pinball: f64,
        gaussian: f64,
        student_t: f64,
        #[serde(rename = "gaussian_quantiles")]
        gaussian_quantiles: Vec<Vec<Vec<f64>>>,
        #[serde(rename = "student-t_quantiles")]
        student_quantiles: Vec<Vec<Vec<f64>>>,
    }

    fn golden() -> Golden {
        serde_json::from_str(include_str!("../../../tests/golden/forecast_losses.json")).unwrap()
    }

    fn targets(case: &Case) -> WindowTargets {
        let scales = Scales {
            scaling: Scaling::None,
            centre: Centre::Zero,
            log: case.log,
            units: vec![],
            standardised_errors: false,
            covariates: vec![],
            past_features: 0,
            calendar: false,
        };
        let set =
            Arc::new(SeriesSet::new(vec![], None, WindowSizes { window: 1, horizon: 5, season: 1 }, scales));
        let window = |(&centre, &scale): (&f64, &f64)| TargetWindow {
            set: Arc::clone(&set),
            series: 0,
            at: 0,
            centre,
            scale,
            range: [0.; 2],
            naive_error: None,
        };
        let windows = case.centre.iter().zip(&case.scale).map(window).collect();
        let values: Vec<f64> = case.values.iter().flatten().map(|value| value.unwrap_or(f64::NAN)).collect();
        let values = Tensor::from_vec(values, (4, 5), &Device::Cpu).unwrap();
        WindowTargets { values, windows }
    }

    fn heads(levels: &[f64]) -> [Head; 6] {
        let levels = levels.to_vec();
        let point = |loss| Head::Mean { loss };
        [
            point(PointLoss::Mse),
            point(PointLoss::Mae),
            point(PointLoss::Smape),
            Head::Quantiles { levels: levels.clone() },
            Head::Gaussian { levels: levels.clone() },
            Head::StudentT { levels },
        ]
    }

    /// The outputs that a head has, of the three of a case.
    fn outputs(case: &Case, head: &Head) -> Tensor {
        let all: Vec<f64> = case.outputs.iter().flatten().flatten().copied().collect();
        Tensor::from_vec(all, (4, 5, 3), &Device::Cpu).unwrap().narrow(2, 0, head.outputs()).unwrap()
    }

    #[test]
    fn losses_are_those_of_scipy_and_the_definitions() {
        let Golden { levels, cases } = golden();
        for case in &cases {
            let expected = [case.mse, case.mae, case.smape, case.pinball, case.gaussian, case.student_t];
            for (head, expected) in heads(&levels).iter().zip(expected) {
                let (sum, count) = summed(head, &outputs(case, head), &targets(case)).unwrap();
                let found = sum.to_scalar::<f64>().unwrap() / count as f64;
                assert!(
                    (found - expected).abs() < 1e-5 * (1. + expected.abs()),
                    "{head:?}: {found}, {expected}"
                );
            }
        }
    }

    #[test]
    fn quantiles_are_those_of_scipy() {
        let Golden { levels, cases } = golden();
        for case in &cases {
            let [.., gaussian, student] = heads(&levels);
            for (head, expected) in [(gaussian, &case.gaussian_quantiles), (student, &case.student_quantiles)]
            {
                for (level, expected) in expected.iter().enumerate() {
                    let rows = targets(case).windows.into_iter().zip(case.outputs.iter().zip(expected));
                    let steps = rows.flat_map(|(window, (outputs, expected))| {
                        let steps = outputs.iter().zip(expected);
                        let pair = |(outputs, expected): (&Vec<f64>, &f64)| {
                            (forecast(&head, outputs, &window).quantiles[level], window.restored(*expected))
                        };
                        steps.map(pair).collect::<Vec<_>>()
                    });
                    for (found, expected) in steps {
                        assert!(
                            (found - expected).abs() < 1e-6 * (1. + expected.abs()),
                            "{found}, {expected}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn quantiles_do_not_cross() {
        let head = Head::Quantiles { levels: vec![0.1, 0.5, 0.9] };
        let mut window = targets(&golden().cases[0]).windows.remove(0);
        (window.centre, window.scale) = (10., 2.);
        let found = forecast(&head, &[3., 1., 2.], &window);
        assert_eq!((found.mean, found.quantiles), (14., vec![12., 14., 16.]));
    }

    #[test]
    fn very_many_degrees_of_freedom_are_a_normal_distribution() {
        let Golden { levels, cases } = golden();
        let targets = targets(&cases[0]);
        let outputs: Vec<f32> = (0..20).flat_map(|at| [at as f32 / 10., 0.5, 1e4 * 4f32.powi(at)]).collect();
        let outputs = candle_core::Var::from_vec(outputs, (4, 5, 3), &Device::Cpu).unwrap();
        let [.., gaussian, student] = heads(&levels);
        let (sum, count) = summed(&student, &outputs, &targets).unwrap();
        let expected = summed(&gaussian, &outputs.narrow(2, 0, 2).unwrap(), &targets).unwrap().0;
        let [found, expected] =
            [&sum, &expected].map(|sum| sum.to_scalar::<f32>().unwrap() as f64 / count as f64);
        assert!((found - expected).abs() < 0.02 * (1. + expected.abs()), "{found} is not {expected}");
        let gradients = sum.backward().unwrap();
        let gradient = gradients.get(&outputs).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!(gradient.iter().all(|gradient| gradient.is_finite()), "{gradient:?}");
    }

    #[test]
    fn gradients_are_central_differences() {
        const EPSILON: f64 = 1e-6;
        let Golden { levels, cases } = golden();
        for (case, head) in cases.iter().flat_map(|case| heads(&levels).map(|head| (case, head))) {
            let (outputs, targets) = (outputs(case, &head).contiguous().unwrap(), targets(case));
            let variable = candle_core::Var::from_tensor(&outputs).unwrap();
            let loss = |outputs: &Tensor| summed(&head, outputs, &targets).unwrap().0;
            let gradients = loss(&variable).backward().unwrap();
            let gradient = gradients.get(&variable).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
            let values = outputs.flatten_all().unwrap().to_vec1::<f64>().unwrap();
            for at in 0..values.len() {
                let moved = |by: f64| {
                    let mut values = values.clone();
                    values[at] += by;
                    let moved = Tensor::from_vec(values, outputs.shape(), &Device::Cpu).unwrap();
                    loss(&moved).to_scalar::<f64>().unwrap()
                };
                let expected = (moved(EPSILON) - moved(-EPSILON)) / (2. * EPSILON);
                let found = gradient[at];
                assert!(
                    (found - expected).abs() < 1e-5 * (1. + expected.abs()),
                    "{head:?}: {found}, {expected}"
                );
            }
        }
    }
}
