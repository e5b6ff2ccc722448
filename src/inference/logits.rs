//! Log-probabilities of tokens from their scores (logits).

/// The logarithm of the sum of the exponentials of `scores`: a score minus this is a log-probability.
pub(crate) fn log_sum_exp(scores: &[f32]) -> f64 {
    let highest = f64::from(scores.iter().fold(f32::NEG_INFINITY, |a, &b| a.max(b)));
    highest + scores.iter().map(|&score| (f64::from(score) - highest).exp()).sum::<f64>().ln()
}

/// The log-probability of a token in nats, by the softmax over `scores`.
pub(crate) fn log_probability(scores: &[f32], token: u32) -> f64 {
    f64::from(scores[token as usize]) - log_sum_exp(scores)
}
