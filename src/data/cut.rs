//! The division of a split into batches: a stream as the rows of a batch, and windows of their steps.

use std::ops::Range;

use rand::RngExt;
use rnn_zoo_models::normal;

use super::shard::Shard;
use crate::rng::{self, Purpose, Rng};
use crate::{Error, Result};

/// The division of a split into batches.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// Sequences of a batch.
    pub batch_size: usize,
    /// Steps of a window of a stream.
    pub window: usize,
    /// Whether to drop the tokens beyond the last step that all rows have. Training needs rows of one length;
    /// evaluation reads every token.
    pub trim: bool,
    /// Whether to draw the length of every window of a shuffled epoch anew, around `window`, so that the windows of
    /// two epochs differ (Merity, Keskar and Socher 2017).
    pub vary: bool,
}

/// The draw of the order of examples, and of the windows of a stream, for one epoch.
#[derive(Clone, Copy, Debug)]
pub struct Shuffle {
    /// Seed of the run.
    pub seed: u64,
    /// Number of the epoch.
    pub epoch: usize,
    /// Whether examples that have a size share a batch with others of similar size; see
    /// [`Examples::size`](super::batch::Examples::size).
    pub similar_sizes: bool,
}

impl Cut {
    /// The number of steps of the longest row.
    ///
    /// # Errors
    /// If the training data is too short for one window of every row; the message names options that fit.
    pub(super) fn row_length(self, tokens: usize) -> Result<usize> {
        let Self { batch_size, window, trim, .. } = self;
        if !trim {
            return Ok(tokens.div_ceil(batch_size));
        }
        if tokens < batch_size.saturating_mul(window) {
            let hint = match tokens {
                0..4 => "use more text".to_string(),
                _ => {
                    let side = (tokens as f64).sqrt() as usize;
                    format!(
                        "use more text, or option `batch_size = {}` option `bptt = {side}`",
                        (tokens / side).clamp(1, batch_size)
                    )
                }
            };
            let problem = format!(
                "the training split has {tokens} tokens, fewer than one window of \
                 option `batch_size = {batch_size}` times option `bptt = {window}`; {hint}"
            );
            return Err(Error::Message(problem));
        }
        Ok(tokens / batch_size)
    }

    /// The positions of the tokens that a share of the rows reads: those of the rows, and the one before them.
    ///
    /// # Errors
    /// As [`Cut::row_length`].
    pub(super) fn span(self, tokens: usize, shard: Shard) -> Result<Range<u64>> {
        let length = self.row_length(tokens)?;
        let rows = shard.rows(self.batch_size);
        if rows.is_empty() {
            return Ok(0..0);
        }
        let end = (rows.end * length).min(tokens);
        let start = (rows.start * length).saturating_sub(1).min(end);
        Ok(start as u64..end as u64)
    }

    /// The steps at which the windows of a row of `steps` steps begin, and the end of the last.
    pub(super) fn bounds(self, steps: usize, shuffle: Option<Shuffle>) -> Vec<usize> {
        let Self { window, vary, .. } = self;
        let Some(Shuffle { seed, epoch, .. }) = shuffle.filter(|_| vary) else {
            return (0..steps).step_by(window).chain([steps]).collect();
        };
        let mut rng = rng::stream(seed, Purpose::Windows, epoch as u64);
        let mut bounds = vec![0];
        let mut at = 0;
        while at < steps {
            at = (at + drawn_window(window, &mut rng)).min(steps);
            bounds.push(at);
        }
        bounds
    }
}

/// Draw the length of a window as AWD-LSTM does: normally distributed around `window`, or in one case of twenty around
/// half of it, with a standard deviation of 5; at least 5, at most 10 above `window`.
fn drawn_window(window: usize, rng: &mut Rng) -> usize {
    let mean = if rng.random::<f64>() < 0.95 { window as f64 } else { window as f64 / 2. };
    let least = window.min(5);
    ((mean + 5. * normal(rng)) as usize).clamp(least, window + 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_window_of_twenty_is_short() {
        let drawn: Vec<usize> = {
            let mut rng = rng::stream(1, Purpose::Windows, 0);
            (0..2000).map(|_| drawn_window(35, &mut rng)).collect()
        };
        let short = drawn.iter().filter(|&&width| width < 25).count() as f64 / 2000.;
        assert!((0.03..0.10).contains(&short), "{short} of the windows are short");
    }
}
