//! The loss, the predictions and the metrics of a tagger.

use candle_core::Tensor;
use rnn_zoo_models::{Network, Reduction};

use super::confusion::ClassScore;
use super::figures::{ACCURACY, F1, Figures, PRECISION, RECALL};
use super::meter::{Measured, Meter};
use super::spans::SpanScores;
use super::task::finite;
use crate::data::batch::{Batch, Targets};
use crate::inference::carry::Carried;
use crate::training::loss;
use crate::{Error, Result};

/// The network's hidden states for a batch of sentences.
pub(super) struct TagScores<'a> {
    /// The network.
    pub network: &'a dyn Network,
    /// (batch, time, hidden).
    pub hidden: &'a Tensor,
    /// The batch.
    pub batch: &'a Batch,
}

impl TagScores<'_> {
    /// The mean loss over the words, a scalar with a gradient, and the number of words.
    pub(super) fn loss(&self, smoothing: f64) -> Result<(Tensor, usize)> {
        let Self { network, hidden, batch } = self;
        let Some(crf) = network.crf() else { return loss::cross_entropy(*network, hidden, batch, smoothing) };
        if smoothing > 0. {
            let problem =
                "a conditional random field has no smoothed loss; leave it out, or use option `crf = false`";
            return Err(Error::invalid("label_smoothing", problem));
        }
        let (tags, lengths) = (self.tags()?, batch.lengths.as_deref());
        let mean = crf.loss(&network.decode(hidden)?, tags, lengths, Reduction::TokenMean)?;
        Ok((mean, self.words()?))
    }

    /// The loss summed over the words, without a gradient.
    fn loss_sum(&self) -> Result<f64> {
        let Self { network, hidden, batch } = self;
        match network.crf() {
            Some(crf) => {
                let losses = crf.losses(&self.emissions()?, self.tags()?, batch.lengths.as_deref())?;
                Ok(losses.iter().sum())
            }
            None => Ok(loss::cross_entropy_sum(*network, hidden, batch)?.loss),
        }
    }

    /// The most probable tags of each sentence, without padding: of the whole sentence if there is a conditional random
    /// field, otherwise of each word.
    pub(super) fn predicted(&self) -> Result<Vec<Vec<u32>>> {
        let lengths = self.batch.lengths.as_deref();
        let emissions = finite(&self.emissions()?)?; // (batch, time, tags)
        if let Some(crf) = self.network.crf() {
            return Ok(crf.decode(&emissions, lengths)?);
        }
        let rows = emissions.to_vec3::<f64>()?; // (batch, time, tags)
        let tags = rows.iter().enumerate().map(|(row, steps)| {
            let length = lengths.map_or(steps.len(), |lengths| lengths[row]);
            steps[..length].iter().map(|scores| loss::highest(scores) as u32).collect()
        });
        Ok(tags.collect())
    }

    /// The scores of the tags, (batch, time, tags), without a gradient.
    fn emissions(&self) -> Result<Tensor> {
        Ok(self.network.decode(&self.hidden.detach())?)
    }

    /// The true tags, (batch, time).
    fn tags(&self) -> Result<&Tensor> {
        match &self.batch.targets {
            Targets::Classes(tags) => Ok(tags),
            Targets::Weighted { .. } | Targets::Values(_) => {
                Err(Error::Message("the targets are no tags".into()))
            }
        }
    }

    /// The number of words, without padding.
    fn words(&self) -> Result<usize> {
        match &self.batch.lengths {
            Some(lengths) => Ok(lengths.iter().sum()),
            None => Ok(self.tags()?.elem_count()),
        }
    }
}

/// Loss, accuracy over words, and precision, recall and F1 of spans.
pub(super) struct SpanMeter {
    loss: f64,
    words: usize,
    right: usize,
    spans: SpanScores,
    labels: Vec<String>,
}

impl SpanMeter {
    /// A meter of tags called `labels`.
    pub(super) fn new(labels: &[String]) -> Self {
        Self { loss: 0., words: 0, right: 0, spans: SpanScores::default(), labels: labels.to_vec() }
    }

    /// Add the true and the predicted tags of a sentence.
    fn add_sentence(&mut self, truth: &[u32], predicted: &[u32]) {
        self.words += truth.len();
        self.right += truth.iter().zip(predicted).filter(|(truth, predicted)| truth == predicted).count();
        let name = |&tag: &u32| self.labels.get(tag as usize).map_or("O", String::as_str);
        let names = |tags: &[u32]| tags.iter().map(name).collect::<Vec<_>>();
        self.spans.add(&names(truth), &names(predicted));
    }
}

impl Meter for SpanMeter {
    fn add(&mut self, network: &dyn Network, batch: &Batch, carried: &mut Carried) -> Result<()> {
        let hidden = carried.encode(network, batch)?;
        let scores = TagScores { network, hidden: &hidden, batch };
        self.loss += scores.loss_sum()?;
        let truth = scores.tags()?.to_vec2::<u32>()?; // (batch, time)
        for (truth, predicted) in truth.iter().zip(scores.predicted()?) {
            self.add_sentence(&truth[..predicted.len()], &predicted);
        }
        Ok(())
    }

    fn measured(&self) -> Measured {
        let words = self.words.max(1) as f64;
        let ClassScore { precision, recall, f1, .. } = self.spans.total().score();
        let figures = Figures::default().with(ACCURACY, self.right as f64 / words);
        Measured {
            targets: self.words,
            loss: self.loss / words,
            figures: figures.with(PRECISION, precision).with(RECALL, recall).with(F1, f1),
            classes: None,
        }
    }
}
