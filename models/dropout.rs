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
    let values: Vec<f32> = factors(dims.iter().product(), p, rng).collect();
    Tensor::from_vec(values, dims, like.device())?.to_dtype(like.dtype())
}

/// What dropout multiplies `count` elements by.
pub(crate) fn factors(count: usize, p: f64, rng: &mut dyn Rng) -> impl Iterator<Item = f32> {
    let keep = (1. / (1. - p)) as f32;
    coins(count, p, rng).map(move |dropped| if dropped { 0. } else { keep })
}

/// A mask of `dims` holding 1 with chance `p`, else 0, as a condition for `where_cond`.
pub(crate) fn chosen(dims: &[usize], p: f64, like: &Tensor, rng: &mut dyn Rng) -> Result<Tensor> {
    Tensor::from_vec(
        coins(dims.iter().product(), p, rng).map(u8::from).collect::<Vec<_>>(),
        dims,
        like.device(),
    )
}

/// `count` draws, each true with chance `p`.
pub(crate) fn coins(count: usize, p: f64, rng: &mut dyn Rng) -> impl Iterator<Item = bool> {
    let threshold = (p * 2f64.powi(32)) as u64;
    (0..count).map(move |_| u64::from(rng.next_u32()) < threshold)
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
