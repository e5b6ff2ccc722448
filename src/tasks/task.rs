//! The trait of tasks: everything that differs between language models, classifiers, taggers, forecasters and
//! translators.

use std::fmt;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use rnn_zoo_models::{ModelConfig, Network, Noise, RecurrentConfig};
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::answer::Answer;
use super::criterion::Criterion;
use super::data_spec::{DataSpec, Origin, Prepared};
use super::defaults::{Defaults, STORY};
use super::figures::{Figures, figure_text};
use super::first_use::FirstUse;
use super::meter::Meter;
use super::names::Names;
use super::network::NetworkOptions;
use super::shape::NetworkShape;
use crate::data::batch::Batch;
use crate::data::dataset::Dataset;
use crate::data::source::Split;
use crate::distributed::Communicator;
use crate::error::overflow;
use crate::inference::carry::Carried;
use crate::inference::evaluate::EvaluationResult;
use crate::tokenizer::{Kind, Tokenizer};
use crate::training::{LossUnit, Options, Sampler, loss};
use crate::{Error, Result};

/// A task: the data that a model reads, its network, loss and metrics, and its answers.
///
/// Each task is one file, and [`registry`](super::registry) lists them. The default methods are those of a task on
/// independent sequences (not running text) with classes as targets.
pub trait Task: Send + Sync {
    /// The name on the command line and in `config.json`.
    fn name(&self) -> &'static str;

    /// The model in words, such as `a classifier`.
    fn model(&self) -> &'static str;

    /// A description in one line, for help texts.
    fn summary(&self) -> &'static str;

    /// Whether the model predicts the next token of running text, so that it can write and score text.
    fn is_language_model(&self) -> bool {
        false
    }

    /// The name of the task on the Hugging Face hub, if it has one there, for a model that reads text or not.
    fn pipeline_tag(&self, reads_text: bool) -> Option<&'static str>;

    // Data.

    /// Whether this is the task for `data` if the user names none; true for at most one task of the registry.
    ///
    /// # Errors
    /// If the source of the data does not exist.
    fn suits(&self, data: &DataSpec) -> Result<bool>;

    /// The data as this task reads it, if the form of its files is not clear from their names.
    fn claimed(&self, data: DataSpec) -> DataSpec {
        data
    }

    /// The data of questions, without answers, as a model with that schema reads it.
    ///
    /// # Errors
    /// If the data cannot be read.
    fn question_data(&self, data: DataSpec, _schema: &Value) -> Result<DataSpec> {
        Ok(data)
    }

    /// The data of a run where the user names none.
    fn default_data(&self) -> &'static str {
        STORY
    }

    /// The data as a trained model with that schema reads it: columns that the user does not name are those of the
    /// model.
    ///
    /// # Errors
    /// If the schema is not one of the task.
    fn completed(&self, data: DataSpec, _schema: &Value) -> Result<DataSpec> {
        Ok(data)
    }

    /// Whether the task reads time series, so that [`DataSpec::forecasting`] has an effect.
    fn reads_time_series(&self) -> bool {
        false
    }

    /// Read training and validation data, with the tokenizer, classes and schema of `origin`.
    ///
    /// # Errors
    /// If the data cannot be read or does not suit the task.
    fn prepare(&self, data: &DataSpec, origin: Origin) -> Result<Prepared>;

    /// Read training and validation data as one of several processes. By default each reads all of it.
    ///
    /// # Errors
    /// As [`Task::prepare`].
    fn prepare_share(&self, data: &DataSpec, origin: Origin, _ranks: &dyn Communicator) -> Result<Prepared> {
        self.prepare(data, origin)
    }

    /// Read one split for a trained model. Return the split that was read, too: `split`, or the default of the
    /// data if it is `None`.
    ///
    /// # Errors
    /// If the data cannot be read or does not suit the task, or the split is empty.
    fn read_split(&self, data: &DataSpec, split: Option<Split>, names: Names<'_>)
    -> Result<(Dataset, Split)>;

    /// The column of records that holds the labels in evaluation, if the user names none.
    fn label_column(&self) -> Option<&'static str> {
        None
    }

    /// Whether [`DataSpec::class_weights`] has an effect on the task.
    fn weighs_classes(&self) -> bool {
        false
    }

    /// The tokenizer of a new model, if the user names none.
    fn tokenizer(&self) -> Kind {
        Kind::Char
    }

    // Network and training.

    /// Refuse options that the task's network does not have, before any data is read.
    ///
    /// # Errors
    /// For such an option.
    fn check_network(&self, options: &NetworkOptions) -> Result<()> {
        options.check(None, self.name())
    }

    /// The network around the recurrent stack `rnn`, for data of the given shape and schema.
    ///
    /// # Errors
    /// If the stack does not suit the task.
    fn network(
        &self,
        rnn: RecurrentConfig,
        shape: NetworkShape,
        schema: &Value,
        options: &NetworkOptions,
    ) -> Result<ModelConfig>;

    /// The schema of a model that another program trained on texts alone; `labels` are its classes or tags.
    fn schema_of_texts(&self, _labels: &[String]) -> Value {
        Value::Null
    }

    /// The schema of a model that another program trained on sequences of `features` numbers; `None` if the task reads
    /// no numbers, or needs to know more of them.
    fn schema_of_features(&self, _features: usize) -> Option<Value> {
        None
    }

    /// Settings of a run where the user gives none.
    fn defaults(&self, _data: &DataSpec, _prepared: &Prepared) -> Defaults {
        Defaults::default()
    }

    /// Refuse options that have no effect on the task, or on its network, once that is known.
    ///
    /// # Errors
    /// For such an option.
    fn check_options(&self, options: &Options, _network: Option<&ModelConfig>) -> Result<()> {
        check_windows(self.name(), options)
    }

    /// Write samples during training; `None` if the model writes no text. `records` tells whether the text comes
    /// from records.
    fn sampler(
        &self,
        _tokenizer: &Arc<Tokenizer>,
        _records: bool,
        _seed: u64,
        _device: &Device,
    ) -> Option<Sampler> {
        None
    }

    // Loss and metrics.

    /// The unit of the loss; `tokenizer` is that of the model, if it has one.
    fn unit(&self, tokenizer: Option<&Tokenizer>) -> LossUnit;

    /// Run the network on a batch in training and compute the loss. `carried` is the state at the end of the batch
    /// before. `smoothing` is the share of each target's probability that is spread over all classes.
    ///
    /// # Errors
    /// If the batch does not fit the network, and errors from candle.
    fn loss(
        &self,
        network: &dyn Network,
        batch: &Batch,
        carried: &mut Carried,
        noise: Noise<'_>,
        smoothing: f64,
    ) -> Result<BatchLoss> {
        let (hidden, penalty) = carried.encode_t(network, batch, noise)?;
        let (mean, targets) = loss::cross_entropy(network, &hidden, batch, smoothing)?;
        Ok(BatchLoss { mean, targets, values: targets, penalty })
    }

    /// A meter of the task's metrics, for one evaluation.
    fn meter(&self, names: Names<'_>) -> Box<dyn Meter>;

    /// The metrics that can choose the best checkpoint, in the order in which they are listed.
    fn criteria(&self) -> &'static [Criterion] {
        &[Criterion::LOSS]
    }

    /// The metric called `name`.
    ///
    /// # Errors
    /// If the task does not have it; the message lists those that it has.
    fn criterion(&self, name: &str) -> Result<Criterion> {
        let found = self.criteria().iter().find(|criterion| criterion.name == name);
        found.copied().ok_or_else(|| {
            let names: Vec<&str> = self.criteria().iter().map(|criterion| criterion.name).collect();
            let (task, names) = (self.name(), names.join(", "));
            Error::invalid(
                "metric",
                format!("option `task = {task}` has no {name:?}; expected one of {names}"),
            )
        })
    }

    /// The report of an evaluation about `scores`, as lines of text. `unit` is the name of a target.
    fn report(&self, scores: &EvaluationResult, unit: &str) -> Vec<String>;

    // Answers.

    /// The function that answers sequences; `None` for a language model, which only predicts the next token.
    fn answerer(&self) -> Option<Answerer>;

    /// Read a split to be answered; its targets are not used, and may be absent from the data.
    ///
    /// # Errors
    /// As [`Task::read_split`].
    fn read_questions(&self, data: &DataSpec, split: Option<Split>, names: Names<'_>) -> Result<Dataset> {
        let split = split.unwrap_or(Split::Test);
        self.read_split(data, Some(split), names).map(|(dataset, _)| dataset)
    }

    /// The conversion of texts without labels to examples; `None` if the task does not read single texts.
    fn text_reader(&self) -> Option<TextReader> {
        None
    }

    /// The first use of a trained model.
    fn first_use(&self, _schema: &Value) -> FirstUse {
        FirstUse::AnswerData
    }
}

/// Function that answers each sequence of a batch, in order.
///
/// Return an error if the batch does not fit the network or an output is NaN or infinite, and errors from candle.
pub type Answerer = fn(&dyn Network, &Questions, Names<'_>) -> Result<Vec<Answer>>;

/// Function that converts texts without labels to examples, in order.
pub type TextReader = fn(&[String], Names<'_>) -> Result<Dataset>;

/// Sequences to answer.
#[derive(Debug)]
pub struct Questions {
    /// The sequences.
    pub batch: Batch,
    /// Number of the sequences in the batches before.
    pub before: usize,
    /// The parts of each sequence as the user wrote them; see [`Examples::parts`](crate::data::batch::Examples::parts).
    pub parts: Vec<Vec<String>>,
}

/// The loss of a batch in training.
pub struct BatchLoss {
    /// The mean over the values of the targets, a scalar.
    pub mean: Tensor,
    /// Number of targets, by which batches are weighted.
    pub targets: usize,
    /// Number of values in the mean: that of the targets, or the values of windows that are not missing. The parts of a
    /// batch are weighted by it.
    pub values: usize,
    /// A scalar that is added to the mean and not reported.
    pub penalty: Option<Tensor>,
}

/// Refuse options about the windows of running text. `task` is named in the error.
pub(super) fn check_windows(task: &str, options: &Options) -> Result<()> {
    let problem =
        || format!("only a language model reads a text window by window, not option `task = {task}`");
    match options {
        Options { vary_bptt: true, .. } => Err(Error::invalid("vary_bptt", problem())),
        Options { state_reset, .. } if *state_reset > 0. => Err(Error::invalid("state_reset", problem())),
        _ => Ok(()),
    }
}

/// The outputs of the network for a batch, (batch, outputs) or (batch, time, outputs), in f64 and with lengths applied
/// to the recurrent state.
///
/// # Errors
/// If the batch does not fit the network or an output is NaN or infinite, and errors from candle.
pub(super) fn finite_outputs(network: &dyn Network, batch: &Batch) -> Result<Tensor> {
    let (hidden, _) = network.encode(&batch.inputs, None, batch.lengths.as_deref())?;
    let outputs = network.outputs(&hidden)?.to_dtype(DType::F64)?;
    let sum = loss::scalar(&outputs.sum_all()?)?;
    match sum.is_finite() {
        true => Ok(outputs),
        false => Err(overflowing()),
    }
}

/// An error about an output that is NaN or infinite.
pub(super) fn overflowing() -> Error {
    Error::Message(overflow("an output of the network is NaN or infinite"))
}

/// The figures of `scores` as a line of text: percentages for fractions.
pub(super) fn figures_line(figures: &Figures) -> String {
    let words: Vec<String> = figures.iter().filter_map(|(name, value)| figure_text(name, value)).collect();
    words.join(", ")
}

impl PartialEq for dyn Task {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl fmt::Debug for dyn Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for dyn Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for dyn Task {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
