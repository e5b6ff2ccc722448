//! Masks of noise for training: elements of layer outputs, whole sequences, rows of an embedding,
//! weights. All are drawn from the caller's generator, so a run can be repeated and resumed.

use candle_core::{Result, Tensor};
use rand::Rng;

/// Where training draws its noise from; `None` outside training, when nothing is dropped.
pub type Noise<'a> = Option<&'a mut (dyn Rng + 'static)>;

/// Which elements share one draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// None: ordinary dropout.
    None,
    /// All time steps of (batch, time, features): locked, or variational, dropout (Gal and Ghahramani
    /// 2016).
    Time,
}

/// Drops elements of `xs` with chance `p` and scales the rest by 1/(1 - p), so that the mean stays.
/// Without a generator, or with `p` zero, it hands back `xs`.
///
/// # Errors
/// Only those of the tensor library; [`Share::Time`] needs (batch, time, features).
pub fn dropout(xs: &Tensor, p: f64, share: Share, rng: Noise<'_>) -> Result<Tensor> {
    let Some(rng) = rng.filter(|_| p > 0.) else { return Ok(xs.clone()) };
    match share {
        Share::None => xs * mask(xs.dims(), p, xs, rng)?,
        Share::Time => {
            let (batch, _, features) = xs.dims3()?;
            xs.broadcast_mul(&mask(&[batch, 1, features], p, xs, rng)?)
        }
    }
}

/// A mask of `dims` holding 0 with chance `p`, else 1/(1 - p), in the dtype and place of `like`.
pub(crate) fn mask(dims: &[usize], p: f64, like: &Tensor, rng: &mut dyn Rng) -> Result<Tensor> {
    Tensor::from_vec(factors(dims.iter().product(), p, rng), dims, like.device())?.to_dtype(like.dtype())
}

/// What dropout multiplies `count` elements by.
pub(crate) fn factors(count: usize, p: f64, rng: &mut dyn Rng) -> Vec<f32> {
    draw(count, p, rng, [0., (1. / (1. - p)) as f32])
}

/// A mask of `dims` holding 1 with chance `p`, else 0, as a condition for `where_cond`.
pub(crate) fn chosen(dims: &[usize], p: f64, like: &Tensor, rng: &mut dyn Rng) -> Result<Tensor> {
    Tensor::from_vec(draw(dims.iter().product(), p, rng, [1u8, 0]), dims, like.device())
}

/// Draws that are drawn at a time: what the processor's first cache holds easily.
const DRAWS: usize = 2048;

/// `count` draws: the first value with chance `p`, to within 2^-17, else the second. Weight drop takes one
/// for every weight and step of training, so a draw is 16 bits and the generator is asked for many at once.
pub(crate) fn draw<T: Copy>(count: usize, p: f64, rng: &mut dyn Rng, values: [T; 2]) -> Vec<T> {
    let threshold = (p * 65536.).round() as u32;
    let mut drawn = Vec::with_capacity(count);
    let mut bytes = [0; 2 * DRAWS];
    while drawn.len() < count {
        let some = DRAWS.min(count - drawn.len());
        // Whole words of 32 bits, so that a generator's position stays one.
        let bytes = &mut bytes[..2 * some.next_multiple_of(2)];
        rng.fill_bytes(bytes);
        let (draws, _) = bytes.as_chunks::<2>();
        let pick = |&draw| values[usize::from(u32::from(u16::from_le_bytes(draw)) >= threshold)];
        drawn.extend(draws[..some].iter().map(pick));
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
        let ys = dropout(&ones(), 0.3, Share::None, Some(&mut rng)).unwrap();
        let values = ys.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let dropped = values.iter().filter(|&&v| v == 0.).count() as f64 / values.len() as f64;
        assert!((dropped - 0.3).abs() < 0.015, "{dropped} of the elements are zero");
        assert!(values.iter().all(|&v| v == 0. || (v - 1. / 0.7).abs() < 1e-6));
    }

    #[test]
    fn locked_dropout_draws_one_mask_for_all_steps() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let ys = dropout(&ones(), 0.5, Share::Time, Some(&mut rng)).unwrap();
        let first = ys.narrow(1, 0, 1).unwrap().broadcast_as(ys.shape()).unwrap();
        let difference = (&ys - first).unwrap().abs().unwrap().sum_all().unwrap();
        assert_eq!(difference.to_scalar::<f32>().unwrap(), 0.);
        let features = ys.to_vec3::<f32>().unwrap().into_iter().flat_map(|steps| steps[0].clone());
        let dropped = features.filter(|&feature| feature == 0.).count();
        assert!((120..200).contains(&dropped), "{dropped} of 320 features are dropped; expected half");
    }

    #[test]
    fn nothing_is_dropped_outside_training() {
        let ys = dropout(&ones(), 0.9, Share::None, None).unwrap();
        assert_eq!(ys.sum_all().unwrap().to_scalar::<f32>().unwrap(), 16000.);
    }
}
