//! Settings of the text samples that are drawn during training.

use std::sync::Arc;

use candle_core::Device;
use rnn_zoo_models::Network;

use crate::inference::generate::sample;
use crate::rng::{self, Purpose};
use crate::tokenizer::Tokenizer;

/// Settings of the text samples that are generated during training.
pub struct Sampler {
    /// The run's tokenizer.
    pub tokenizer: Arc<Tokenizer>,
    /// Whether the training data are records, not running text.
    pub records: bool,
    /// Number of tokens in a sample.
    pub length: usize,
    /// Seed of the run.
    pub seed: u64,
    /// The device of the model.
    pub device: Device,
}

impl Sampler {
    /// Write the sample of step `step`. Return `None` on errors from candle, which the next step reports.
    pub(super) fn write(&self, network: &dyn Network, step: usize) -> Option<String> {
        let rng = rng::stream(self.seed, Purpose::Sampling, step as u64);
        sample(network, &self.tokenizer, self.records, self.length, rng, &self.device).ok()
    }
}
