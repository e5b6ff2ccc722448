//! Updates in plain tensor ops, for any device and dtype.
//!
//! The reference for `in_place.rs`, which handles contiguous f32 and f64 tensors on the CPU.

use candle_core::Tensor;

use super::config::OptimizerConfig;

/// Compute a parameter's next value and moments. `steps` counts this step.
pub(super) fn update(
    config: &OptimizerConfig,
    parameter: &Tensor,
    gradient: &Tensor,
    moments: &[Tensor],
    steps: u32,
    lr: f64,
) -> candle_core::Result<(Tensor, Vec<Tensor>)> {
    match (config, moments) {
        (&OptimizerConfig::Sgd { weight_decay, .. }, []) => {
            let gradient = decayed(gradient, parameter, weight_decay)?;
            Ok(((parameter - gradient.affine(lr, 0.0)?)?, vec![]))
        }
        (&OptimizerConfig::Sgd { momentum, nesterov, weight_decay }, [buffer]) => {
            let gradient = decayed(gradient, parameter, weight_decay)?;
            let buffer = (buffer.affine(momentum, 0.0)? + &gradient)?;
            let direction = match nesterov {
                true => (gradient + buffer.affine(momentum, 0.0)?)?,
                false => buffer.clone(),
            };
            Ok(((parameter - direction.affine(lr, 0.0)?)?, vec![buffer]))
        }
        (&OptimizerConfig::Adam { betas, eps, weight_decay }, [mean, square]) => {
            let gradient = decayed(gradient, parameter, weight_decay)?;
            let (direction, moments) = adam(&gradient, [mean, square], steps, betas, eps)?;
            Ok(((parameter - direction.affine(lr, 0.0)?)?, moments))
        }
        (&OptimizerConfig::AdamW { betas, eps, weight_decay }, [mean, square]) => {
            let (direction, moments) = adam(gradient, [mean, square], steps, betas, eps)?;
            let shrunk = parameter.affine(1.0 - lr * weight_decay, 0.0)?;
            Ok(((shrunk - direction.affine(lr, 0.0)?)?, moments))
        }
        (&OptimizerConfig::RmsProp { alpha, eps, weight_decay }, [square]) => {
            let gradient = decayed(gradient, parameter, weight_decay)?;
            let square = average(square, &gradient.sqr()?, alpha)?;
            let direction = (gradient / square.sqrt()?.affine(1.0, eps)?)?;
            Ok(((parameter - direction.affine(lr, 0.0)?)?, vec![square]))
        }
        _ => unreachable!("invariant: an optimizer has as many moments as it names"),
    }
}

/// Add the gradient of the L2 penalty `decay / 2 * parameter^2`.
fn decayed(gradient: &Tensor, parameter: &Tensor, decay: f64) -> candle_core::Result<Tensor> {
    match decay == 0.0 {
        true => Ok(gradient.clone()),
        false => gradient + parameter.affine(decay, 0.0)?,
    }
}

/// Compute `share * old + (1 - share) * new`.
fn average(old: &Tensor, new: &Tensor, share: f64) -> candle_core::Result<Tensor> {
    old.affine(share, 0.0)? + new.affine(1.0 - share, 0.0)?
}

/// Compute Adam's direction, which is multiplied by the learning rate, and the two moments.
fn adam(
    gradient: &Tensor,
    [mean, square]: [&Tensor; 2],
    steps: u32,
    betas: [f64; 2],
    eps: f64,
) -> candle_core::Result<(Tensor, Vec<Tensor>)> {
    let mean = average(mean, gradient, betas[0])?;
    let square = average(square, &gradient.sqr()?, betas[1])?;
    let [bias_mean, bias_square] = betas.map(|beta| 1.0 - beta.powf(f64::from(steps)));
    let denominator = square.sqrt()?.affine(1.0 / bias_square.sqrt(), eps)?;
    let direction = (mean.affine(1.0 / bias_mean, 0.0)? / denominator)?;
    Ok((direction, vec![mean, square]))
}
