//! Negative log-likelihoods in plain tensor ops, which have gradients.
//!
//! ```text
//! normal        log s + (y - m)^2 / (2 s^2) + log(2 pi) / 2
//! Student's t   log G(v/2) - log G((v + 1)/2) + log(v pi) / 2 + log s + (v + 1)/2 log(1 + (y - m)^2 / (v s^2))
//! negative      log G(z + 1) + log G(1/a) - log G(z + 1/a) + log(1 + a m) / a - z log(a m / (1 + a m))
//! binomial
//! ```
//!
//! `z` is a count, `m` its mean and `a` its shape: the variance is m + a m^2, as in Salinas et al. 2020
//! ("DeepAR: Probabilistic forecasting with autoregressive recurrent networks").

use candle_core::{Result, Tensor};

/// The least scale of a distribution, so that a value that is forecast exactly has a finite likelihood.
pub(super) const LEAST_SCALE: f64 = 1e-4;

/// The least degrees of freedom, above which the variance is finite.
pub(super) const LEAST_FREEDOM: f64 = 2.;

/// The most degrees of freedom. The quantiles of such a distribution are those of the normal distribution to one part
/// in ten thousand. [`log_gamma`] overflows in f32 from 6e5 degrees on, and is a difference of large numbers before.
pub(super) const MOST_FREEDOM: f64 = 1e4;

/// The least mean of a count in units of its window's scale, so that every count has a finite likelihood.
pub(super) const LEAST_MEAN: f64 = 1e-4;

/// The least shape of a negative binomial distribution: its standard deviation is 1 % of the mean or more. Below, the
/// incomplete beta function of large counts does not converge.
pub(super) const LEAST_SHAPE: f64 = 1e-4;

/// Compute log(1 + exp x) without overflow.
pub(super) fn softplus(xs: &Tensor) -> Result<Tensor> {
    let tail = (xs.abs()?.neg()?.exp()? + 1.)?.log()?;
    xs.relu()? + tail
}

/// Compute log(1 + exp x) of a single number.
pub(super) fn softplus_of(x: f64) -> f64 {
    x.max(0.) + (-x.abs()).exp().ln_1p()
}

/// Compute the negative log-likelihood of errors under normal distributions with these scales.
pub(super) fn normal(errors: &Tensor, scales: &Tensor) -> Result<Tensor> {
    let constant = 0.5 * std::f64::consts::TAU.ln();
    (scales.log()? + ((errors / scales)?.sqr()? * 0.5)?)? + constant
}

/// Compute the negative log-likelihood of errors under Student's t distributions with these scales and degrees of
/// freedom.
pub(super) fn student(errors: &Tensor, scales: &Tensor, freedom: &Tensor) -> Result<Tensor> {
    let half = (freedom * 0.5)?;
    let above = (&half + 0.5)?;
    let ratio = (log_gamma(&half)? - log_gamma(&above)?)?;
    let spread = ((freedom * std::f64::consts::PI)?.log()? * 0.5)?;
    let tail = (((errors / scales)?.sqr()? / freedom)? + 1.)?.log()?;
    ((ratio + spread)? + scales.log()?)? + (above * tail)?
}

/// Compute the negative log-likelihood of counts under negative binomial distributions with these means and shapes. The
/// terms nearly cancel where counts are large: expects f64.
pub(super) fn negative_binomial(counts: &Tensor, means: &Tensor, shapes: &Tensor) -> Result<Tensor> {
    let size = shapes.recip()?;
    let ratio = ((log_gamma(&(counts + 1.)?)? + log_gamma(&size)?)? - log_gamma(&(counts + &size)?)?)?;
    let product = (shapes * means)?;
    let above = (&product + 1.)?.log()?;
    let failures = (counts * (product.log()? - &above)?)?;
    (ratio + (size * above)?)? - failures
}

/// Compute the logarithm of the gamma function of positive numbers: Stirling's series at x + 7, less the logarithm of
/// the product of x to x + 6. The product is finite in f32 up to x = 3e5.
pub(super) fn log_gamma(xs: &Tensor) -> Result<Tensor> {
    const SHIFT: usize = 7;
    let mut product = xs.clone();
    for above in 1..SHIFT {
        product = (product * (xs + above as f64)?)?;
    }
    let xs = (xs + SHIFT as f64)?;
    let inverse = xs.recip()?;
    let square = inverse.sqr()?;
    // 1/(12 x) - 1/(360 x^3) + 1/(1260 x^5) - 1/(1680 x^7)
    let mut series = ((&square * (-1. / 1680.))? + 1. / 1260.)?;
    for coefficient in [-1. / 360., 1. / 12.] {
        series = ((series * &square)? + coefficient)?;
    }
    let series = (series * inverse)?;
    let stirling = (((&xs - 0.5)? * xs.log()?)? - &xs)?;
    ((stirling + series)? + 0.5 * std::f64::consts::TAU.ln())? - product.log()?
}
