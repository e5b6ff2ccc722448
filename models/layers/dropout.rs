//! Dropout, and the masks of all other noise in training. All masks are drawn from the caller's generator, so that
//! a run can be repeated and resumed.

use candle_core::{Result, Tensor};
use rand::Rng;

/// The random generator of dropout and zoneout in training; `None` in inference.
pub type Noise<'a> = Option<&'a mut (dyn Rng + 'static)>;

/// The elements that share a draw of dropout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropoutMask {
    /// One draw for each element: ordinary dropout.
    PerElement,
    /// One draw for all time steps of (batch, time, features): locked, or variational, dropout (Gal and Ghahramani
    /// 2016).
    PerSequence,
}

/// Set elements of `xs` to zero with probability `p` and scale the others by 1/(1 - p), which keeps the mean. Without
/// a generator, or if `p` is 0, return `xs`.
///
/// # Errors
/// If `xs` is not (batch, time, features) with [`DropoutMask::PerSequence`].
pub fn dropout(xs: &Tensor, p: f64, draws: DropoutMask, rng: Noise<'_>) -> Result<Tensor> {
    let Some(rng) = rng.filter(|_| p > 0.) else { return Ok(xs.clone()) };
    match draws {
        DropoutMask::PerElement => xs * mask(xs.dims(), p, xs, rng)?,
        DropoutMask::PerSequence => {
            let (batch, _, features) = xs.dims3()?;
            xs.broadcast_mul(&mask(&[batch, 1, features], p, xs, rng)?)
        }
    }
}

/// Draw a dropout mask of shape `dims`, of the type and on the device of `like`: 0 with probability `p`, else 1/(1 -
/// p).
pub(crate) fn mask(dims: &[usize], p: f64, like: &Tensor, rng: &mut dyn Rng) -> Result<Tensor> {
    Tensor::from_vec(factors(dims.iter().product(), p, rng), dims, like.device())?.to_dtype(like.dtype())
}

/// Draw dropout factors for `count` elements: 0 with probability `p`, else 1/(1 - p).
pub(crate) fn factors(count: usize, p: f64, rng: &mut dyn Rng) -> Vec<f32> {
    draw(count, p, rng, [0., (1. / (1. - p)) as f32])
}

/// Draws per call of the generator: their 4 KiB fit the first-level cache.
const DRAWS: usize = 2048;

/// Draw `count` values: the first with probability `p`, to within 2^-17, else the second. Weight drop takes one draw
/// per weight and training step, so a draw has 16 bits and one call of the generator makes many.
pub(crate) fn draw<T: Copy>(count: usize, p: f64, rng: &mut dyn Rng, values: [T; 2]) -> Vec<T> {
    let threshold = (p * 65536.).round() as u32;
    let mut drawn = Vec::with_capacity(count);
    let mut bytes = [0; 2 * DRAWS];
    while drawn.len() < count {
        let size = DRAWS.min(count - drawn.len());
        // Whole 32-bit words, so that the position of the generator stays a whole number.
        let bytes = &mut bytes[..2 * size.next_multiple_of(2)];
        rng.fill_bytes(bytes);
        let (draws, _) = bytes.as_chunks::<2>();
        let pick = |&draw| values[usize::from(u32::from(u16::from_le_bytes(draw)) >= threshold)];
        drawn.extend(draws[..size].iter().map(pick));
    }
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    fn ones() -> Tensor {
        Tensor::ones((8, 50, 40), DType::F32, &Device::Cpu).unwrap()
    }

    #[test]
    fn dropout_keeps_the_mean_and_drops_its_share() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let ys = dropout(&ones(), 0.3, DropoutMask::PerElement, Some(&mut rng)).unwrap();
        let values = ys.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let dropped = values.iter().filter(|&&v| v == 0.).count() as f64 / values.len() as f64;
        assert!((dropped - 0.3).abs() < 0.015, "{dropped} of the elements are zero");
        assert!(values.iter().all(|&v| v == 0. || (v - 1. / 0.7).abs() < 1e-6));
    }

    #[test]
    fn locked_dropout_draws_one_mask_for_all_steps() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let ys = dropout(&ones(), 0.5, DropoutMask::PerSequence, Some(&mut rng)).unwrap();
        let first = ys.narrow(1, 0, 1).unwrap().broadcast_as(ys.shape()).unwrap();
        let difference = (&ys - first).unwrap().abs().unwrap().sum_all().unwrap();
        assert_eq!(difference.to_scalar::<f32>().unwrap(), 0.);
        let features = ys.to_vec3::<f32>().unwrap().into_iter().flat_map(|steps| steps[0].clone());
        let dropped = features.filter(|&feature| feature == 0.).count();
        assert!((120..200).contains(&dropped), "{dropped} of 320 features are dropped; expected half");
    }

    #[test]
    fn nothing_is_dropped_outside_training() {
        let ys = dropout(&ones(), 0.9, DropoutMask::PerElement, None).unwrap();
        assert_eq!(ys.sum_all().unwrap().to_scalar::<f32>().unwrap(), 16000.);
    }
}
