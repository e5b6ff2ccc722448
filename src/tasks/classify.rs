//! `classify`: one class for a whole text.

use std::collections::{BTreeSet, HashMap};

use candle_core::D;
use candle_nn::ops::softmax;
use rnn_zoo_models::{ModelConfig, Network, Readout, RecurrentConfig};
use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::classify_series::{self, SeriesSchema};
use super::confusion::Confusion;
use super::criterion::Criterion;
use super::data_spec::{DataSpec, Origin, Prepared, TokenizerSpec};
use super::defaults::{Defaults, Sizes};
use super::figures::{ACCURACY, Figures, MACRO_F1};
use super::first_use::FirstUse;
use super::meter::{ClassMeter, Meter};
use super::names::Names;
use super::network::{NetworkKind, NetworkOptions, predictor};
use super::shape::NetworkShape;
use super::task::{Answerer, Questions, Task, TextReader, figures_line, finite_outputs};
use super::text;
use crate::data::corpus::Corpus;
use crate::data::dataset::Dataset;
use crate::data::example::{Example, Input, Target};
use crate::data::source::Split;
use crate::data::weighted::Weighted;
use crate::inference::evaluate::EvaluationResult;
use crate::listing::listed;
use crate::logits::first_highest;
use crate::tokenizer::{Kind, Limits, Tokenizer};
use crate::training::LossUnit;
use crate::training::optim::Average;
use crate::{Error, Result};

/// Training records from which on the default vocabulary leaves out words that occur once.
const MANY_RECORDS: usize = 1000;

/// One class for a whole text.
pub struct Classify;

impl Task for Classify {
    fn name(&self) -> &'static str {
        "classify"
    }

    fn model(&self) -> &'static str {
        "a classifier"
    }

    fn summary(&self) -> &'static str {
        "One class for a whole text or series"
    }

    fn pipeline_tag(&self, reads_text: bool) -> Option<&'static str> {
        // The hub has no name for classes of series.
        reads_text.then_some("text-classification")
    }

    fn suits(&self, data: &DataSpec) -> Result<bool> {
        Ok(data.is_series()? || data.is_text()? && data.columns.label.is_some())
    }

    fn prepare(&self, data: &DataSpec, origin: Origin) -> Result<Prepared> {
        if data.is_series()? {
            check_series(data)?;
            return classify_series::prepare(data, origin, |examples, labels| {
                weighted(examples, labels, data)
            });
        }
        check(data)?;
        let corpus = data.corpus()?;
        let (labels, origin) = match origin {
            Origin::Trained(spec) => {
                let (labels, records) = labels_of(&corpus)?;
                (labels, Origin::Trained(without_single_words(spec, records)))
            }
            loaded => (loaded.labels().to_vec(), loaded),
        };
        let tokenizer = text::tokenizer(&corpus, origin)?;
        let splits = text::splits(&corpus, |split| match split {
            Split::Train => weighted(read(&corpus, split, &tokenizer, &labels)?, &labels, data),
            _ => Ok(read(&corpus, split, &tokenizer, &labels)?.into()),
        })?;
        Ok(Prepared {
            splits,
            text_column: corpus.text_column().map(String::from),
            shape: NetworkShape {
                vocabulary: Some(tokenizer.vocabulary_size()),
                features: 0,
                outputs: labels.len(),
            },
            unit: self.unit(Some(&tokenizer)),
            tokenizer: Some(tokenizer),
            labels,
            schema: Value::Null,
        })
    }

    fn read_split(
        &self,
        data: &DataSpec,
        split: Option<Split>,
        names: Names<'_>,
    ) -> Result<(Dataset, Split)> {
        if let Some(schema) = SeriesSchema::read(names.schema)? {
            check_series(data)?;
            return classify_series::read_split(data, split, names, &schema, true);
        }
        check(data)?;
        let tokenizer = text::require(names.tokenizer)?;
        text::split(data, split, |corpus, split| Ok(read(corpus, split, tokenizer, names.labels)?.into()))
    }

    fn read_questions(&self, data: &DataSpec, split: Option<Split>, names: Names<'_>) -> Result<Dataset> {
        match SeriesSchema::read(names.schema)? {
            Some(schema) => Ok(classify_series::read_split(data, split, names, &schema, false)?.0),
            None => {
                data.corpus()?; // the error of data that is not text at all
                Err(text::unread("numeric series"))
            }
        }
    }

    fn schema_of_features(&self, features: usize) -> Option<Value> {
        serde_json::to_value(SeriesSchema::unscaled(features)).ok()
    }

    fn label_column(&self) -> Option<&'static str> {
        Some("label")
    }

    fn weighs_classes(&self) -> bool {
        true
    }

    fn tokenizer(&self) -> Kind {
        Kind::Word
    }

    fn check_network(&self, options: &NetworkOptions) -> Result<()> {
        if options.readout == Some(Readout::Every) {
            let problem = "a classifier needs one vector of the whole sequence: last, mean, max or attention";
            return Err(Error::invalid("readout", problem));
        }
        options.check(Some(NetworkKind::Classifier), self.name())
    }

    fn network(
        &self,
        rnn: RecurrentConfig,
        shape: NetworkShape,
        _schema: &Value,
        options: &NetworkOptions,
    ) -> Result<ModelConfig> {
        if shape.vocabulary.is_none() && options.embedding_dropout.is_some() {
            let problem = "numeric series have no embedding; leave it out";
            return Err(Error::invalid("embedding_dropout", problem));
        }
        // The state at the end of a series sums it up; a text has its telling words anywhere.
        let usual = if shape.vocabulary.is_some() { Readout::Max } else { Readout::Last };
        Ok(predictor(options.readout.unwrap_or(usual), rnn, shape, options))
    }

    fn defaults(&self, _data: &DataSpec, prepared: &Prepared) -> Defaults {
        if prepared.tokenizer.is_none() {
            return defaults_of_series();
        }
        let sizes = Sizes { embedding: 300, hidden: 200, layers: 1, dropout: 0.4, bidirectional: true };
        Defaults {
            sizes,
            epochs: 6,
            batch_size: 16,
            average: Some(Average::Ema { decay: 0.99 }),
            metric: "accuracy",
            ..Defaults::default()
        }
    }

    fn unit(&self, tokenizer: Option<&Tokenizer>) -> LossUnit {
        LossUnit::of_classes(if tokenizer.is_some() { "text" } else { "sequence" })
    }

    fn meter(&self, names: Names<'_>) -> Box<dyn Meter> {
        Box::new(ClassMeter::new(names.labels, figures))
    }

    fn criteria(&self) -> &'static [Criterion] {
        const CRITERIA: [Criterion; 3] = [
            Criterion::LOSS,
            Criterion::higher("accuracy", ACCURACY),
            Criterion::higher("macro-f1", MACRO_F1),
        ];
        &CRITERIA
    }

    fn report(&self, scores: &EvaluationResult, unit: &str) -> Vec<String> {
        let mut lines = vec![format!("loss {:.4} nats a {unit}", scores.loss), figures_line(&scores.figures)];
        if let Some(classes) = &scores.classes {
            lines.push(String::new());
            lines.extend(classes.lines());
            lines.push(String::new());
        }
        lines
    }

    fn answerer(&self) -> Option<Answerer> {
        Some(answer)
    }

    fn text_reader(&self) -> Option<TextReader> {
        Some(|texts, names| {
            if !names.schema.is_null() {
                return Err(text::unread("text"));
            }
            let tokenizer = text::require(names.tokenizer)?;
            let example = |text: &String| {
                Ok(Example { input: Input::Tokens(tokenizer.encode(text)?), target: Target::Class(0) })
            };
            Ok(texts.iter().map(example).collect::<Result<Vec<_>>>()?.into())
        })
    }

    fn first_use(&self, _schema: &Value) -> FirstUse {
        FirstUse::AnswerText
    }
}

/// Refuse data that is not series, and tables without the column of the classes.
fn check_series(data: &DataSpec) -> Result<()> {
    if !data.is_series()? {
        return Err(Error::invalid("data", format!("{} is text; the model reads numeric series", data.data)));
    }
    if data.series_column.is_some() && data.columns.label.is_none() {
        let problem =
            "series need the column that holds their classes, such as option `columns.label = label`";
        return Err(Error::invalid("columns.label", problem));
    }
    Ok(())
}

fn check(data: &DataSpec) -> Result<()> {
    data.require_text(Classify.name())?;
    if data.columns.label.is_none() {
        let problem = "the task classify needs the column that holds the classes, such as option `columns.label = label`";
        return Err(Error::invalid("columns.label", problem));
    }
    Ok(())
}

fn read(corpus: &Corpus, split: Split, tokenizer: &Tokenizer, labels: &[String]) -> Result<Vec<Example>> {
    let numbers: HashMap<&str, u32> = labels.iter().map(String::as_str).zip(0..).collect();
    let examples = corpus.pieces(split)?.map(|piece| {
        let piece = piece?;
        let label = piece.label.unwrap_or_default();
        let Some(&class) = numbers.get(label.as_str()) else {
            let problem = format!(
                "{} the class {label:?}, but the model knows only {}; leave such records out, or \
                 train a new model on all classes",
                if split == Split::All { "has".into() } else { format!("its {split} split has") },
                listed(labels, ", ")
            );
            return Err(Error::file(corpus.name(), problem));
        };
        let input = Input::Tokens(tokenizer.encode(&piece.text)?);
        Ok(Example { input, target: Target::Class(class) })
    });
    examples.collect()
}

/// The training split, with the class weights of `data`.
fn weighted(examples: Vec<Example>, labels: &[String], data: &DataSpec) -> Result<Dataset> {
    let mut counts = vec![0; labels.len()];
    for example in &examples {
        if let Target::Class(class) = example.target {
            counts[class as usize] += 1;
        }
    }
    Ok(match data.class_weights.of(labels, &counts)? {
        Some(weights) => Dataset::Examples(Box::new(Weighted { examples, weights })),
        None => examples.into(),
    })
}

/// The tokenizer to build from so many records. Of many, words that occur once are unknown, unless the user says
/// otherwise, so that the embedding of unknown words is trained and no single record is learned by its rare words.
fn without_single_words(spec: TokenizerSpec, records: usize) -> TokenizerSpec {
    let min_count = (spec.kind.is_of_words() && records >= MANY_RECORDS).then_some(2);
    let limits = Limits { min_count: spec.limits.min_count.or(min_count), ..spec.limits };
    TokenizerSpec { limits, ..spec }
}

/// The classes of the training split, sorted, and the number of its records.
fn labels_of(corpus: &Corpus) -> Result<(Vec<String>, usize)> {
    let (mut labels, mut records) = (BTreeSet::new(), 0);
    for piece in corpus.pieces(Split::Train)? {
        labels.extend(piece?.label);
        records += 1;
    }
    if labels.len() < 2 {
        let found = listed(&labels, ", ");
        let problem = format!("the training split has one class ({found}); expected at least two");
        return Err(Error::file(corpus.name(), problem));
    }
    Ok((labels.into_iter().collect(), records))
}

/// Series are few and long, so that training passes over them more often.
fn defaults_of_series() -> Defaults {
    let sizes = Sizes { embedding: 0, hidden: 64, layers: 1, dropout: 0.3, bidirectional: true };
    Defaults { sizes, epochs: 40, batch_size: 16, lr: 3e-3, ..Defaults::default() }
}

fn figures(confusion: &Confusion) -> Figures {
    let macro_f1 = confusion.macro_average().f1;
    Figures::default().with(ACCURACY, confusion.accuracy()).with(MACRO_F1, macro_f1)
}

fn answer(network: &dyn Network, questions: &Questions, names: Names<'_>) -> Result<Vec<Answer>> {
    let outputs = finite_outputs(network, &questions.batch)?; // (batch, classes)
    let probabilities = softmax(&outputs, D::Minus1)?.to_vec2::<f64>()?;
    let answers = probabilities.iter().zip(&questions.parts).map(|(row, parts)| {
        let answer = most_probable(row, names.labels);
        // A series of a table has a name; texts have none.
        match parts.first() {
            Some(name) => named(name, answer),
            None => answer,
        }
    });
    Ok(answers.collect())
}

/// The answer with the name of its series.
fn named(name: &str, Answer { text, mut json }: Answer) -> Answer {
    json["series"] = name.into();
    Answer { text: format!("{}\t{text}", name.replace(['\n', '\t'], " ")), json }
}

/// The most probable class, and the probability of each.
fn most_probable(probabilities: &[f64], labels: &[String]) -> Answer {
    let class = first_highest(probabilities).unwrap_or_default();
    let probability = probabilities.get(class).copied().unwrap_or_default();
    let label = labels.get(class).map_or("", String::as_str);
    let each: Map<String, Value> =
        labels.iter().zip(probabilities).map(|(label, &p)| (label.clone(), p.into())).collect();
    Answer {
        // A label may hold several lines.
        text: format!("{}\t{probability:.4}", label.replace('\n', "\\n")),
        json: json!({ "label": label, "probability": probability, "probabilities": each }),
    }
}
