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
//! Distributions are trained by their likelihood; see `likelihood.rs`.

use candle_core::{D, Tensor};
use rnn_zoo_models::{Head, PointLoss};

use super::likelihood::{LEAST_FREEDOM, LEAST_SCALE, normal, softplus, student};
use crate::data::time_series::WindowTargets;
use crate::{Error, Result};

/// Bounds the derivative of the percentage error where both numbers are 0.
const LEAST_SIZE: f64 = 1e-6;

/// Compute the loss summed over values, a scalar that can be differentiated, and the number of values that are not missing.
/// `outputs` is (batch, horizon, outputs).
///
/// # Errors
/// If the outputs do not fit the head, and errors from candle.
pub fn summed(head: &Head, outputs: &Tensor, targets: &WindowTargets) -> Result<(Tensor, usize)> {
    let values = targets.values.to_dtype(outputs.dtype())?; // (batch, horizon)
    if outputs.dims() != [values.dim(0)?, values.dim(1)?, head.outputs()] {
        let (found, outputs) = (outputs.dims(), head.outputs());
        return Err(Error::Message(format!("the network has outputs {found:?}; the head expects {outputs} a step")));
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
            let freedom = (softplus(&output(2)?)? + LEAST_FREEDOM)?;
            student(&(output(0)? - &values)?, &scale, &freedom)?
        }
    };
    let losses = known.where_cond(&losses, &losses.zeros_like()?)?;
    let count = known.to_dtype(candle_core::DType::F32)?.sum_all()?.to_scalar::<f32>()?;
    Ok((losses.sum_all()?, count as usize))
}

/// The losses of single numbers, (batch, horizon).
fn point(loss: PointLoss, outputs: &Tensor, values: &Tensor, targets: &WindowTargets) -> Result<Tensor> {
    let errors = (outputs - values)?;
    match loss {
        PointLoss::Mse => Ok(errors.sqr()?),
        PointLoss::Mae => Ok(errors.abs()?),
        PointLoss::Smape => {
            let of_rows = |number: &dyn Fn(f64, f64) -> f64| -> Result<Tensor> {
                let numbers = targets.windows.iter().map(|window| number(window.centre, window.scale));
                let numbers = Tensor::from_iter(numbers, outputs.device())?.to_dtype(outputs.dtype())?;
                Ok(numbers.unsqueeze(1)?) // (batch, 1)
            };
            if targets.windows.first().is_some_and(|window| window.set.scales.log) {
                let half = of_rows(&|_, scale| scale / 2.)?;
                return Ok((errors.abs()?.broadcast_mul(&half)?.tanh()? * 2.)?);
            }
            let centre = of_rows(&|centre, scale| centre / scale)?;
            let size = |numbers: &Tensor| numbers.broadcast_add(&centre)?.abs();
            let sizes = ((size(outputs)? + size(values)?)? + LEAST_SIZE)?;
            Ok(((errors.abs()? * 2.)? / sizes)?)
        }
    }
}

/// The mean pinball loss over the levels, (batch, horizon). `outputs` is (batch, horizon, levels).
fn pinball(levels: &[f64], outputs: &Tensor, values: &Tensor) -> Result<Tensor> {
    let errors = values.unsqueeze(2)?.broadcast_sub(outputs)?; // (batch, horizon, levels)
    let levels = Tensor::new(levels, outputs.device())?.to_dtype(outputs.dtype())?;
    let below = errors.broadcast_mul(&levels)?;
    // The larger of q e and (q - 1) e is q e + max(0, -e).
    Ok((below + errors.neg()?.relu()?)?.mean(D::Minus1)?)
}
