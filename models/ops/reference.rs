//! The reference: the ops in plain candle ops, for any device and float type. It is slow, and every faster
//! implementation is compared with it.

use candle_core::{D, DType, Device, Result, Tensor, bail};

use super::backend::is_without_fused;
use super::inference::refuse_gradients;
use super::precision::Precision;
use crate::kernels::cpu::{inverse, scale_of};

/// Compute a linear layer, `xs W^T + b`: (rows, features) to (rows, outputs), with `weight` (outputs, features) and
/// `bias` (outputs).
///
/// # Errors
/// If the shapes disagree.
pub fn linear_forward(xs: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let ys = product(xs, &weight.t()?)?;
    match bias {
        Some(bias) => ys.broadcast_add(bias),
        None => Ok(ys),
    }
}

/// Compute the matrix product of `left` and `right` in the precision of the thread. In bf16, its two factors are
/// rounded, and the gradient of the result too before it becomes a factor of the products of the backward pass; the
/// sums have the type of the tensors.
///
/// The precision is that of tensors in f32. Others are multiplied as they are, but for f64 inside
/// [`without_fused`](crate::ops::without_fused), where it is the oracle of the kernels.
///
/// # Errors
/// If the shapes disagree, or the precision is int8 and the tensors are in half precision.
pub(crate) fn product(left: &Tensor, right: &Tensor) -> Result<Tensor> {
    product_within(left, right, 0.)
}

/// Compute the matrix product as [`product`]. In int8, the scale of each row of `left` is at least that of a largest
/// magnitude of `limit`.
///
/// # Errors
/// As [`product`].
pub(crate) fn product_within(left: &Tensor, right: &Tensor, limit: f32) -> Result<Tensor> {
    let has_precision = match left.dtype() {
        DType::F32 => true,
        DType::F64 => is_without_fused(),
        _ => false,
    };
    match (Precision::current(), left.dtype()) {
        (Precision::Int8, dtype @ (DType::F16 | DType::BF16)) => {
            bail!("products in int8 are of tensors in f32, not {}", dtype.as_str())
        }
        (Precision::Int8, _) if has_precision && left.elem_count() > 0 => int8_product(left, right, limit),
        (Precision::Bf16, _) if has_precision => {
            with_rounded_gradient(&rounded(left)?.matmul(&rounded(right)?)?)
        }
        _ => left.matmul(right),
    }
}

/// Compute the product of `left`, (rows, features), and `right`, (features, outputs), rounded to int8 with a scale for
/// each row and each output. The sums of integers are exact: an f64 holds them. There are no gradients.
fn int8_product(left: &Tensor, right: &Tensor, limit: f32) -> Result<Tensor> {
    let (rows, row_scales) = integers(&left.detach(), 1, limit)?;
    let (columns, column_scales) = integers(&right.detach(), 0, 0.)?;
    let sums = rows.matmul(&columns)?;
    let product = sums.broadcast_mul(&column_scales)?.broadcast_mul(&row_scales)?;
    refuse_gradients(product.to_dtype(left.dtype())?, &[left, right])
}

/// Round to integers, with one scale along dimension `dim`; both are returned in f64.
fn integers(xs: &Tensor, dim: usize, limit: f32) -> Result<(Tensor, Tensor)> {
    /// 1.5 * 2^52: a sum with it is rounded to the nearest integer, of two equally near to the even one.
    const INTEGERS: f64 = 6_755_399_441_055_744.;
    let xs = xs.to_dtype(DType::F32)?; // as the kernels, so that they find the same integers
    let largest = xs.abs()?.max_keepdim(dim)?;
    let shape = largest.shape().clone();
    let largest: Vec<f32> = largest.flatten_all()?.to_vec1()?;
    let scale = |&largest: &f32| scale_of(if largest < limit { limit } else { largest });
    let scales: Vec<f32> = largest.iter().map(scale).collect();
    let factors = scales.iter().map(|&scale| inverse(scale)).collect();
    let tensor = |values: Vec<f32>| Tensor::from_vec(values, &shape, xs.device());
    // The maximum ignores NaN, which stays NaN in the product with its factor.
    let scaled = xs.broadcast_mul(&tensor(factors)?)?.to_dtype(DType::F64)?;
    Ok((((scaled + INTEGERS)? - INTEGERS)?, tensor(scales)?.to_dtype(DType::F64)?))
}

/// Round to bf16; the gradient is that of the identity.
fn rounded(xs: &Tensor) -> Result<Tensor> {
    let detached = xs.detach();
    let rounded = detached.to_dtype(DType::BF16)?.to_dtype(xs.dtype())?;
    if !xs.track_op() {
        return Ok(rounded);
    }
    xs + (rounded - detached)? // the difference, and the sum, are exact
}

/// Return the same numbers, whose gradient is rounded to bf16 on its way back.
fn with_rounded_gradient(xs: &Tensor) -> Result<Tensor> {
    if !xs.track_op() {
        return Ok(xs.clone());
    }
    let upper = xs.to_dtype(DType::BF16)?.to_dtype(xs.dtype())?; // candle converts its gradient to bf16
    let lower = (xs.detach() - upper.detach())?; // exact
    upper + lower
}

/// Make what is added to scores (batch, steps) before a softmax: 0 for the steps of each sequence and -inf for its
/// padding, of the type and on the device of `like`.
///
/// # Errors
/// Errors from candle.
pub(crate) fn padding_mask(lengths: &[usize], steps: usize, like: &Tensor) -> Result<Tensor> {
    let row = |length: usize| (0..steps).map(move |t| if t < length { 0. } else { f64::NEG_INFINITY });
    let mask: Vec<f64> = lengths.iter().flat_map(|&length| row(length)).collect();
    let mask = Tensor::from_vec(mask, (lengths.len(), steps), &Device::Cpu)?.to_dtype(like.dtype())?;
    mask.to_device(like.device())
}

/// Normalise the last dimension to mean 0 and variance 1, then scale and shift it (Ba et al. 2016). `weight` and
/// `bias` are (features). Candle's own fused version has no gradient.
///
/// # Errors
/// If the shapes disagree.
pub fn layer_norm(xs: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let centred = xs.broadcast_sub(&xs.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    let normal = centred.broadcast_div(&(variance + 1e-5)?.sqrt()?)?;
    normal.broadcast_mul(weight)?.broadcast_add(bias)
}

/// Compute the sum of `-log softmax(outputs)[target]` over the rows of `outputs`, (rows, classes), and `targets`,
/// (rows): a scalar. `smoothing` of each target's probability is spread evenly over all classes.
///
/// # Errors
/// If the shapes disagree or a target is not a class.
pub fn cross_entropy(outputs: &Tensor, targets: &Tensor, smoothing: f64) -> Result<Tensor> {
    losses(outputs, targets, smoothing)?.sum_all()
}

/// Compute `-log softmax(outputs)[target]` of each row, (rows); (rows, classes) against (rows). In f32 for outputs in
/// half precision.
///
/// # Errors
/// As [`cross_entropy`].
pub fn losses(outputs: &Tensor, targets: &Tensor, smoothing: f64) -> Result<Tensor> {
    let outputs = match outputs.dtype() {
        DType::F16 | DType::BF16 => &outputs.to_dtype(DType::F32)?, // sums in half precision overflow
        _ => outputs,
    };
    let highest = outputs.detach().max_keepdim(D::Minus1)?; // keeps exp from overflowing
    let outputs = outputs.broadcast_sub(&highest)?;
    let log_sum = outputs.exp()?.sum(D::Minus1)?.log()?; // (rows)
    let target = outputs.gather(&targets.unsqueeze(1)?, 1)?.squeeze(1)?; // (rows)
    let expected = match smoothing {
        0. => target,
        _ => ((target * (1. - smoothing))? + (outputs.mean(D::Minus1)? * smoothing)?)?,
    };
    log_sum - expected
}

/// Compute the sum over a batch of `-log p(tags)` under a linear chain: a scalar. `emissions` is (batch, time, tags),
/// `potentials` (tags + 2, tags): the transitions (from, to), the starts, the ends. `targets` has the tags of each
/// sequence, without padding. The equations are in `crf/chain.rs`.
///
/// # Errors
/// If the shapes disagree.
pub fn chain_loss(emissions: &Tensor, potentials: &Tensor, targets: &[Vec<u32>]) -> Result<Tensor> {
    let (_, _, tags) = emissions.dims3()?;
    let (transitions, start, end) =
        (potentials.narrow(0, 0, tags)?, potentials.get(tags)?, potentials.get(tags + 1)?);
    let mut total = Tensor::zeros((), emissions.dtype(), emissions.device())?;
    for (row, target) in targets.iter().enumerate().filter(|(_, target)| !target.is_empty()) {
        let emissions = emissions.get(row)?.narrow(0, 0, target.len())?; // (steps, tags)
        let y = Tensor::new(target.as_slice(), emissions.device())?;
        let mut alpha = (&start + emissions.get(0)?)?;
        for t in 1..target.len() {
            let arrivals = transitions.broadcast_add(&alpha.unsqueeze(1)?)?; // (from, to)
            alpha = (log_sum_exp(&arrivals, 0)? + emissions.get(t)?)?;
        }
        let mut score = emissions.gather(&y.unsqueeze(1)?, 1)?.sum_all()?;
        if target.len() > 1 {
            let pairs: Vec<u32> = target.windows(2).map(|pair| pair[0] * tags as u32 + pair[1]).collect();
            let pairs = Tensor::new(pairs, emissions.device())?;
            score = (score + transitions.contiguous()?.flatten_all()?.index_select(&pairs, 0)?.sum_all()?)?;
        }
        score = (score + start.get(target[0] as usize)?)?;
        score = (score + end.get(target[target.len() - 1] as usize)?)?;
        total = (total + (log_sum_exp(&(alpha + &end)?, 0)? - score)?)?;
    }
    Ok(total)
}

/// Compute log sum exp along dimension `dim`, which is removed. Where all of `xs` are -inf, so is the result, and the
/// gradient is 0.
fn log_sum_exp(xs: &Tensor, dim: usize) -> Result<Tensor> {
    let highest = xs.detach().max_keepdim(dim)?;
    // -inf minus -inf, and the gradient of the logarithm at 0, would be NaN. A NaN beside -inf stays NaN.
    let shift = highest.eq(f64::NEG_INFINITY)?.where_cond(&highest.zeros_like()?, &highest)?;
    let sum = xs.broadcast_sub(&shift)?.exp()?.sum_keepdim(dim)?;
    let is_empty = sum.eq(0.)?;
    let sum = is_empty.where_cond(&sum.ones_like()?, &sum)?;
    let log = (sum.log()? + shift)?;
    is_empty.where_cond(&highest, &log)?.squeeze(dim)
}

/// Refuse lengths that do not fit a batch of `batch` sequences of `time` steps.
///
/// # Errors
/// If there are not `batch` lengths, or a length is above `time`.
pub(crate) fn check_lengths(lengths: &[usize], (batch, time): (usize, usize)) -> Result<()> {
    if lengths.len() != batch {
        bail!("{} lengths for a batch of {batch}; expected one a sequence", lengths.len());
    }
    match lengths.iter().enumerate().find(|&(_, &length)| length > time) {
        Some((row, length)) => bail!("sequence {row} has length {length} in a batch of {time} steps"),
        None => Ok(()),
    }
}

/// Set the padding, all steps past a sequence's length, to zero. `xs` is (batch, time, features).
///
/// The padding is replaced, not multiplied by zero: an infinity or NaN there reaches neither a result nor a
/// gradient.
///
/// # Errors
/// If there are not `batch` lengths, or a length is above `time`.
pub fn clear_padding(xs: &Tensor, lengths: &[usize]) -> Result<Tensor> {
    let (batch, time, _) = xs.dims3()?;
    check_lengths(lengths, (batch, time))?;
    let mask: Vec<u8> =
        lengths.iter().flat_map(|&length| (0..time).map(move |t| u8::from(t < length))).collect();
    let mask = Tensor::from_vec(mask, (batch, time, 1), xs.device())?;
    select(&mask, xs, &xs.zeros_like()?)
}

/// Select `yes` for elements whose mask is 1, else `no`. The mask is broadcast.
pub(crate) fn select(mask: &Tensor, yes: &Tensor, no: &Tensor) -> Result<Tensor> {
    mask.broadcast_as(yes.shape())?.contiguous()?.where_cond(yes, no)
}

/// Stack tensors of one shape along a new dimension `dim`, as [`Tensor::stack`] does, which panics if they have no
/// elements.
///
/// # Errors
/// If there are no tensors or their shapes differ.
pub(crate) fn stack(tensors: &[&Tensor], dim: usize) -> Result<Tensor> {
    match tensors {
        [first, others @ ..] if tensors.iter().all(|tensor| tensor.elem_count() == 0) => {
            if let Some(other) = others.iter().find(|other| other.dims() != first.dims()) {
                bail!("tensors of shapes {:?} and {:?} do not stack", first.dims(), other.dims());
            }
            let mut dims = first.dims().to_vec();
            dims.insert(dim, tensors.len());
            Tensor::zeros(dims, first.dtype(), first.device())
        }
        _ => Tensor::stack(tensors, dim),
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::super::backend::without_fused;
    use super::*;

    #[test]
    fn half_precision_losses_are_summed_in_f32() {
        let outputs = Tensor::zeros((60_000, 4), DType::F16, &Device::Cpu).unwrap();
        let targets = Tensor::zeros(60_000, DType::U32, &Device::Cpu).unwrap();
        let sum = cross_entropy(&outputs, &targets, 0.).unwrap().to_scalar::<f32>().unwrap();
        assert!((sum / 60_000. - 4f32.ln()).abs() < 1e-4, "{sum}"); // 83,178, above the largest f16
    }

    #[test]
    fn the_precision_is_that_of_f32_and_of_f64_as_oracle() {
        let left = Tensor::new(&[[0.3f64, 0.7], [-0.11, 0.13]], &Device::Cpu).unwrap();
        let of = |dtype, precision: Precision| {
            let left = left.to_dtype(dtype)?;
            precision.scope(|| product(&left, &left))?.to_dtype(DType::F64)?.to_vec2::<f64>()
        };
        for precision in [Precision::Bf16, Precision::Int8] {
            let plain = |dtype| of(dtype, Precision::F32).unwrap();
            assert_ne!(of(DType::F32, precision).unwrap(), plain(DType::F32));
            assert_eq!(of(DType::F64, precision).unwrap(), plain(DType::F64));
            let oracle = without_fused(|| of(DType::F64, precision)).unwrap();
            assert_ne!(oracle, plain(DType::F64));
        }
        for (dtype, name) in [(DType::F16, "f16"), (DType::BF16, "bf16")] {
            let problem = of(dtype, Precision::Int8).unwrap_err().to_string();
            assert!(
                problem.starts_with(&format!("products in int8 are of tensors in f32, not {name}")),
                "{problem}"
            );
        }
        let [f16, in_bf16] = [Precision::F32, Precision::Bf16].map(|precision| of(DType::F16, precision));
        assert_eq!(in_bf16.unwrap(), f16.unwrap());
    }

    #[test]
    fn tensors_without_elements_can_be_stacked() {
        let zeros = |dims: &[usize]| Tensor::zeros(dims, DType::F32, &Device::Cpu).unwrap();
        let (empty, full) = (zeros(&[0, 4]), zeros(&[2, 4]));
        for (dim, dims) in [[3, 0, 4], [0, 3, 4], [0, 4, 3]].iter().enumerate() {
            assert_eq!(stack(&[&empty; 3], dim).unwrap().dims(), dims);
        }
        assert_eq!(stack(&[&full; 3], 1).unwrap().dims(), [2, 3, 4]);
        assert!(stack(&[&empty, &zeros(&[0, 5])], 0).is_err());
        assert!(stack(&[&empty, &full], 0).is_err());
        assert!(stack(&[], 0).is_err());
    }
}
