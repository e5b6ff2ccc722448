//! Scores (logits) of classes and tokens: the highest, and probabilities.

/// The logarithm of the sum of the exponentials of `scores`: a score minus this is a log-probability.
pub(crate) fn log_sum_exp(scores: &[f32]) -> f64 {
    let highest = f64::from(scores.iter().fold(f32::NEG_INFINITY, |a, &b| a.max(b)));
    highest + scores.iter().map(|&score| (f64::from(score) - highest).exp()).sum::<f64>().ln()
}

/// The log-probability of a token in nats, by the softmax over `scores`.
pub(crate) fn log_probability(scores: &[f32], token: u32) -> f64 {
    f64::from(scores[token as usize]) - log_sum_exp(scores)
}

/// The probabilities of all tokens: exp(score) over its sum.
pub(crate) fn softmax(scores: &[f32]) -> Vec<f64> {
    let highest = scores.iter().fold(f32::NEG_INFINITY, |a, &b| a.max(b));
    let exponentials: Vec<f64> = scores.iter().map(|&score| f64::from(score - highest).exp()).collect();
    let total: f64 = exponentials.iter().sum();
    exponentials.iter().map(|e| e / total).collect()
}

/// The index of the highest score, the first of equal ones. NaN is no score; `None` if no score is above minus
/// infinity.
pub(crate) fn first_highest<T: Copy + Into<f64>>(scores: &[T]) -> Option<usize> {
    let mut best = (None, f64::NEG_INFINITY);
    for (index, &score) in scores.iter().enumerate() {
        if score.into() > best.1 {
            best = (Some(index), score.into());
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_of_equal_scores_is_the_highest_and_nan_is_none() {
        assert_eq!(first_highest(&[1f32, 3., 3., 2.]), Some(1));
        assert_eq!(first_highest(&[f64::NAN, f64::NEG_INFINITY, -1.]), Some(2));
        assert_eq!(first_highest(&[f64::NAN, f64::NEG_INFINITY]), None);
        assert_eq!(first_highest::<f64>(&[]), None);
    }
}
