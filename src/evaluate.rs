//! A model's scores on a split.

use std::time::Instant;

use candle_core::Device;
use rnn_zoo_models::{Network, State};
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::data::batch::{Cut, Dataset, Targets};
use crate::loss::{self, Sum};

/// Steps of a window: bounds the memory of evaluation, and changes no figure.
const WINDOW: usize = 256;

/// What an evaluation found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Targets that were scored: every one of the split.
    pub tokens: usize,
    /// Mean loss: nats a target, or squared error.
    pub loss: f64,
    /// `exp(loss)`; absent where the targets are numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub perplexity: Option<f64>,
    /// `loss / ln 2`; absent where the targets are numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bits_per_token: Option<f64>,
    /// Share of targets whose own output was the highest; absent where the targets are numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// Wall-clock seconds.
    pub seconds: f64,
    /// Targets a second.
    pub tokens_per_second: f64,
}

/// Scores every target of `data` once.
///
/// A stream is read in `batch_size` lanes side by side, each from a state of zero after the lane's own
/// preceding token. With one lane every token is predicted from all before it; more lanes are faster,
/// and lose the context at each lane's beginning.
///
/// # Errors
/// Where the data cannot be read back, and those of the device.
pub fn evaluate(network: &dyn Network, data: &Dataset, batch_size: usize, device: &Device) -> Result<Scores> {
    let began = Instant::now();
    let lanes = batch_size.clamp(1, data.len().max(1));
    let epoch = data.epoch(Cut { batch_size: lanes, window: WINDOW, trim: false }, None)?;
    let mut total = Sum::default();
    let mut classes = true;
    let mut carried: Option<State> = None;
    for index in 0..epoch.len() {
        let batch = epoch.batch(index, device)?;
        let state = carried.take().filter(|_| !batch.fresh);
        let (hidden, state) =
            network.encode(&batch.inputs, state.as_ref(), batch.lengths.as_deref(), None)?;
        let sum = loss::sum(network, &hidden, &batch)?;
        total.loss += sum.loss;
        total.count += sum.count;
        total.correct += sum.correct;
        classes = matches!(batch.targets, Targets::Classes(_));
        carried = Some(state.detach());
    }
    let count = total.count.max(1) as f64;
    let loss = total.loss / count;
    let seconds = began.elapsed().as_secs_f64();
    Ok(Scores {
        tokens: total.count,
        loss,
        perplexity: classes.then(|| loss.exp()),
        bits_per_token: classes.then_some(loss / std::f64::consts::LN_2),
        accuracy: classes.then_some(total.correct as f64 / count),
        seconds,
        tokens_per_second: total.count as f64 / seconds.max(1e-9),
    })
}
