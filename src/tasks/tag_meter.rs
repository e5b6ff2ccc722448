//! The loss, the predictions and the metrics of a tagger.

use candle_core::{DType, Tensor};
use rnn_zoo_models::{Network, Reduction};

use super::class_report::ClassReport;
use super::confusion::{ClassScore, Confusion, MacroAverage};
use super::figures::{ACCURACY, F1, Figures, PRECISION, RECALL};
use super::meter::{Measured, Meter};
use super::spans::SpanScores;
use super::sums;
use crate::data::batch::{Batch, Targets};
use crate::inference::carry::Carried;
use crate::logits::first_highest;
use crate::training::loss::{self, LossSum};
use crate::{Error, Result};

/// Refuse label smoothing for a network with a conditional random field.
///
/// # Errors
/// If `smoothing` is above 0.
pub(super) fn refuse_smoothing(smoothing: f64) -> Result<()> {
    if smoothing > 0. {
        let problem =
            "a conditional random field has no smoothed loss; leave it out, or use option `crf = false`";
        return Err(Error::invalid("label_smoothing", problem));
    }
    Ok(())
}

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
        refuse_smoothing(smoothing)?;
        let (tags, lengths) = (self.tags()?, batch.lengths.as_deref());
        let mean = crf.loss(&network.outputs(hidden)?, tags, lengths, Reduction::TokenMean)?;
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
    /// field, otherwise of each word. `None` if a score is NaN or infinite.
    pub(super) fn predicted(&self) -> Result<Option<Vec<Vec<u32>>>> {
        let emissions = self.emissions()?.to_dtype(DType::F64)?; // (batch, time, tags)
        if !loss::scalar(&emissions.sum_all()?)?.is_finite() {
            return Ok(None);
        }
        let lengths = self.batch.lengths.as_deref();
        if let Some(crf) = self.network.crf() {
            return Ok(Some(crf.decode(&emissions, lengths)?));
        }
        let rows = emissions.to_vec3::<f64>()?;
        let tags = rows.iter().enumerate().map(|(row, steps)| {
            let length = lengths.map_or(steps.len(), |lengths| lengths[row]);
            steps[..length].iter().map(|scores| first_highest(scores).unwrap_or_default() as u32).collect()
        });
        Ok(Some(tags.collect()))
    }

    /// The scores of the tags, (batch, time, tags), without a gradient.
    fn emissions(&self) -> Result<Tensor> {
        Ok(self.network.outputs(&self.hidden.detach())?)
    }

    /// The hidden states and the batch of some of the sentences.
    fn of_rows(&self, rows: &[u32]) -> Result<(Tensor, Batch)> {
        let Self { hidden, batch, .. } = self;
        let index = Tensor::new(rows, hidden.device())?;
        let lengths = batch.lengths.as_ref();
        let batch = Batch {
            inputs: batch.inputs.clone(),
            targets: Targets::Classes(self.tags()?.index_select(&index, 0)?),
            lengths: lengths.map(|lengths| rows.iter().map(|&row| lengths[row as usize]).collect()),
            fresh: batch.fresh,
        };
        Ok((hidden.index_select(&index, 0)?, batch))
    }

    /// The true tags, (batch, time).
    fn tags(&self) -> Result<&Tensor> {
        match &self.batch.targets {
            Targets::Classes(tags) => Ok(tags),
            Targets::Weighted { .. } | Targets::Values(_) | Targets::Windows(_) => {
                Err(Error::Message("the targets are not tags".into()))
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

/// Loss, accuracy over words, and precision, recall and F1: of spans, or as means over the tags.
pub(super) struct TagMeter {
    loss: f64,
    /// The words whose loss is in the sum.
    loss_words: usize,
    confusion: Confusion,
    /// The spans, if the tags mark spans.
    spans: Option<SpanScores>,
    labels: Vec<String>,
    /// The number of the model's tags; this number and larger ones are tags that it does not have. `None` if there are
    /// none.
    known: Option<u32>,
}

impl TagMeter {
    /// A meter of tags called `labels`. `spans` tells whether they mark spans.
    pub(super) fn new(labels: &[String], spans: bool) -> Self {
        let spans = spans.then(SpanScores::default);
        let confusion = Confusion::default();
        Self { loss: 0., loss_words: 0, confusion, spans, labels: labels.to_vec(), known: None }
    }

    /// Add the losses of the sentences, but of those with a tag that the model does not have: their loss is infinite.
    fn add_loss(&mut self, scores: &TagScores<'_>, truth: &[Vec<u32>]) -> Result<()> {
        let known = self.known.unwrap_or(u32::MAX);
        let is_known = |tags: &[u32]| tags.iter().all(|&tag| tag < known);
        let rows: Vec<u32> =
            (0..).zip(truth).filter(|(_, tags)| is_known(tags)).map(|(row, _)| row).collect();
        if rows.len() == truth.len() {
            self.loss += scores.loss_sum()?;
            self.loss_words += scores.words()?;
        } else if !rows.is_empty() {
            let (hidden, batch) = scores.of_rows(&rows)?;
            let scores = TagScores { network: scores.network, hidden: &hidden, batch: &batch };
            self.loss += scores.loss_sum()?;
            self.loss_words += scores.words()?;
        }
        Ok(())
    }

    /// Add the true and the predicted tags of a sentence.
    fn add_sentence(&mut self, truth: &[u32], predicted: &[u32]) {
        truth.iter().zip(predicted).for_each(|(&truth, &predicted)| self.confusion.add(truth, predicted));
        if let Some(spans) = &mut self.spans {
            let name = |&tag: &u32| self.labels.get(tag as usize).map_or("O", String::as_str);
            let names = |tags: &[u32]| tags.iter().map(name).collect::<Vec<_>>();
            spans.add(&names(truth), &names(predicted));
        }
    }
}

impl Meter for TagMeter {
    fn expect_foreign(&mut self, labels: &[String]) {
        if !labels.is_empty() {
            self.known = Some(self.labels.len() as u32);
            self.labels.extend_from_slice(labels);
        }
    }

    fn add(&mut self, network: &dyn Network, batch: &Batch, carried: &mut Carried) -> Result<()> {
        let hidden = carried.encode(network, batch)?;
        let scores = TagScores { network, hidden: &hidden, batch };
        // The loss of infinite scores may be finite, but means nothing.
        let Some(predicted) = scores.predicted()? else {
            self.loss = f64::NAN;
            return Ok(());
        };
        let truth = scores.tags()?.to_vec2::<u32>()?; // (batch, time)
        self.add_loss(&scores, &truth)?;
        for (truth, predicted) in truth.iter().zip(predicted) {
            self.add_sentence(&truth[..predicted.len()], &predicted);
        }
        Ok(())
    }

    fn sums(&self) -> Result<Vec<u8>> {
        let Self { loss, loss_words, confusion, spans, .. } = self;
        sums::encode(&(LossSum { loss: *loss, count: *loss_words, correct: 0 }, confusion, spans))
    }

    fn combine(&mut self, parts: &[Vec<u8>]) -> Result<()> {
        (self.loss, self.loss_words, self.confusion) = Default::default();
        self.spans = self.spans.as_ref().map(|_| SpanScores::default());
        for part in parts {
            let (sum, confusion, spans) = sums::decode::<(LossSum, Confusion, Option<SpanScores>)>(part)?;
            self.loss += sum.loss;
            self.loss_words += sum.count;
            self.confusion += confusion;
            if let (Some(sum), Some(spans)) = (&mut self.spans, spans) {
                sum.merge(&spans);
            }
        }
        Ok(())
    }

    fn measured(&self) -> Measured {
        let words = self.confusion.total() as usize;
        let [precision, recall, f1] = match &self.spans {
            Some(spans) => {
                let ClassScore { precision, recall, f1, .. } = spans.total().score();
                [precision, recall, f1]
            }
            None => {
                let MacroAverage { precision, recall, f1 } = self.confusion.macro_average();
                [precision, recall, f1]
            }
        };
        let figures = Figures::default().with(ACCURACY, self.confusion.accuracy());
        let classes = || ClassReport::new(self.confusion.clone(), &self.labels);
        Measured {
            baselines: None,
            targets: words,
            loss: self.loss / self.loss_words.max(1) as f64,
            figures: figures.with(PRECISION, precision).with(RECALL, recall).with(F1, f1),
            classes: self.spans.is_none().then(classes),
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use rnn_zoo_models::{GruConfig, ModelConfig, RecurrentConfig, TaggerConfig};

    use super::*;
    use crate::data::batch::Examples;
    use crate::data::tagged::{TaggedSentence, TaggedSentences};
    use crate::parameters;
    use crate::rng::{Purpose, stream};

    #[test]
    fn evaluation_uses_the_conditional_random_field() {
        let config = ModelConfig::Tagger(TaggerConfig {
            vocabulary_size: 9,
            embedding_size: 4,
            characters: None,
            columns: vec![],
            outputs: 3,
            crf: true,
            dropout: 0.,
            rnn: RecurrentConfig::Gru(GruConfig::new(4, 5)),
        });
        let (network, variables) = parameters::build(&config, DType::F64, &Device::Cpu).unwrap();
        network.reset_parameters(&mut stream(1, Purpose::Parameters, 0)).unwrap();
        // Transitions that decide: each tag is followed by itself alone.
        let transitions = (0..9).map(|at| if at % 4 == 0 { 50. } else { -50. }).collect::<Vec<f64>>();
        let transitions = Tensor::from_vec(transitions, (3, 3), &Device::Cpu).unwrap();
        variables.get("crf.transitions").unwrap().set(&transitions).unwrap();
        let mut data = TaggedSentences::default();
        let spelling = data.spelling("a", Vec::new);
        for tags in [vec![0, 1, 2, 1], vec![2, 2]] {
            let (tokens, spellings) = (vec![3; tags.len()], vec![spelling; tags.len()]);
            data.push(TaggedSentence { tokens, spellings, columns: vec![], tags });
        }
        let batch = data.batch(&[0, 1], &Device::Cpu).unwrap();
        let (hidden, _) = network.encode(&batch.inputs, None, batch.lengths.as_deref()).unwrap();
        let scores = TagScores { network: network.as_ref(), hidden: &hidden, batch: &batch };
        for tags in scores.predicted().unwrap().unwrap() {
            assert!(tags.iter().all(|tag| *tag == tags[0]), "{tags:?}");
        }
        let (mean, words) = scores.loss(0.).unwrap();
        for spans in [false, true] {
            let mut meter = TagMeter::new(&[], spans);
            meter.add(network.as_ref(), &batch, &mut Carried::default()).unwrap();
            let measured = meter.measured();
            assert_eq!((measured.targets, words), (6, 6));
            assert!((measured.loss - loss::scalar(&mean).unwrap()).abs() < 1e-9, "{measured:?}");
            assert!(measured.loss > 40., "three forbidden transitions: {measured:?}");
        }
    }
}
