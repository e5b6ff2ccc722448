//! `classify`: one class for a whole text.

use std::collections::BTreeSet;

use candle_core::{D, DType};
use candle_nn::ops::softmax;
use rnn_zoo_models::{ModelConfig, Network, Readout, RecurrentConfig};
use serde_json::json;

use super::answer::Answer;
use super::data_spec::{DataSpec, Prepared, TokenizerSource};
use super::defaults::{Defaults, Sizes};
use super::names::Names;
use super::network::{NetworkOptions, predictor};
use super::shape::Shape;
use super::task::{Task, TextReader};
use super::text;
use crate::data::batch::{Batch, Dataset, Example, Input, Target};
use crate::data::corpus::Corpus;
use crate::data::source::Split;
use crate::listing::listed;
use crate::tokenizer::{Kind, Tokenizer};
use crate::training::LossUnit;
use crate::{Error, Result};

/// One class for a whole text.
pub struct Classify;

impl Task for Classify {
    fn name(&self) -> &'static str {
        "classify"
    }

    fn summary(&self) -> &'static str {
        "One class for a whole text"
    }

    fn suits(&self, data: &DataSpec) -> Result<bool> {
        Ok(data.is_text()? && data.columns.label.is_some())
    }

    fn prepare(&self, data: &DataSpec, tokenizer: TokenizerSource, labels: Vec<String>) -> Result<Prepared> {
        check(data)?;
        let corpus = data.corpus()?;
        let tokenizer = text::tokenizer(&corpus, tokenizer)?;
        let labels = if labels.is_empty() { labels_of(&corpus)? } else { labels };
        let splits = text::splits(&corpus, |split| read(&corpus, split, &tokenizer, &labels))?;
        Ok(Prepared {
            splits,
            text_column: corpus.text_column().map(String::from),
            shape: Shape {
                vocabulary: Some(tokenizer.vocabulary_size()),
                features: 0,
                outputs: labels.len(),
            },
            unit: self.unit(Some(&tokenizer)),
            tokenizer: Some(tokenizer),
            labels,
        })
    }

    fn read_split(
        &self,
        data: &DataSpec,
        split: Option<Split>,
        names: Names<'_>,
    ) -> Result<(Dataset, Split)> {
        check(data)?;
        let tokenizer = text::require(names.tokenizer)?;
        text::split(data, split, |corpus, split| read(corpus, split, tokenizer, names.labels))
    }

    fn label_column(&self) -> Option<&'static str> {
        Some("label")
    }

    fn tokenizer(&self) -> Kind {
        Kind::Word
    }

    fn network(&self, rnn: RecurrentConfig, shape: Shape, options: &NetworkOptions) -> Result<ModelConfig> {
        Ok(predictor(Readout::Last, rnn, shape, options))
    }

    fn defaults(&self, _data: &DataSpec, _prepared: &Prepared) -> Defaults {
        let sizes = Sizes { embedding: 100, hidden: 128, layers: 1, dropout: 0.4 };
        Defaults { sizes, ..Defaults::default() }
    }

    fn unit(&self, _tokenizer: Option<&Tokenizer>) -> LossUnit {
        LossUnit::nats("text")
    }

    fn answer(&self, network: &dyn Network, batch: &Batch, names: Names<'_>) -> Result<Vec<Answer>> {
        let (hidden, _) = network.encode(&batch.inputs, None, batch.lengths.as_deref())?;
        let scores = network.decode(&hidden)?.to_dtype(DType::F64)?; // (batch, classes)
        let probabilities = softmax(&scores, D::Minus1)?.to_vec2::<f64>()?;
        Ok(probabilities.iter().map(|row| most_probable(row, names.labels)).collect())
    }

    fn text_reader(&self) -> Option<TextReader> {
        Some(|text, tokenizer| {
            Ok(Example { input: Input::Tokens(tokenizer.encode(text)?), target: Target::Class(0) })
        })
    }

    fn command(&self, bundle: &str, _data: &str) -> String {
        format!("rnn predict {bundle} --text 'some text'")
    }
}

fn check(data: &DataSpec) -> Result<()> {
    data.require_text(Classify.name())?;
    if data.columns.label.is_none() {
        let problem = "option `task = classify` needs the column that holds the classes, such as option `columns.label = label`";
        return Err(Error::invalid("columns.label", problem));
    }
    Ok(())
}

fn read(corpus: &Corpus, split: Split, tokenizer: &Tokenizer, labels: &[String]) -> Result<Dataset> {
    let examples = corpus.pieces(split)?.map(|piece| {
        let piece = piece?;
        let label = piece.label.unwrap_or_default();
        let Ok(class) = labels.binary_search(&label) else {
            let problem = format!(
                "its {split} split has the class {label:?}, but the model knows only {}; leave such records out, or \
                 train anew on all classes",
                listed(labels, ", ")
            );
            return Err(Error::file(corpus.name(), problem));
        };
        let input = Input::Tokens(tokenizer.encode(&piece.text)?);
        Ok(Example { input, target: Target::Class(class as u32) })
    });
    Ok(Dataset::Examples(examples.collect::<Result<_>>()?))
}

/// The classes of the training split, sorted.
fn labels_of(corpus: &Corpus) -> Result<Vec<String>> {
    let mut labels = BTreeSet::new();
    for piece in corpus.pieces(Split::Train)? {
        labels.extend(piece?.label);
    }
    if labels.len() < 2 {
        let problem = format!("{} has {} class; expected at least two", corpus.name(), labels.len());
        return Err(Error::invalid("columns.label", problem));
    }
    Ok(labels.into_iter().collect())
}

fn most_probable(probabilities: &[f64], labels: &[String]) -> Answer {
    let best = probabilities.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    let (class, probability) = best.unwrap_or((0, &0.));
    let label = labels.get(class).map_or("", String::as_str);
    Answer {
        text: format!("{label}\t{probability:.4}"),
        json: json!({ "label": label, "probability": probability }),
    }
}
