//! The embedding and the output layer of a network of another framework, from which its task follows.

use std::path::Path;

use candle_core::Tensor;
use rnn_zoo_models::{ModelConfig, PredictorConfig, Readout, RecurrentConfig, RnnlmConfig, TaggerConfig};

use super::format::{ImportOptions, Imported};
use super::vocabulary;
use crate::listing::listed;
use crate::parameters::NamedTensors;
use crate::tasks::{Classify, Lm, Tag, Task};
use crate::{Error, Result};

/// The ends of a network, which the task tells apart.
pub(super) struct Ends {
    /// Rows of the embedding.
    pub(super) vocabulary: usize,
    /// Rows of the output layer.
    pub(super) outputs: usize,
    /// Whether the output layer uses the embedding.
    pub(super) tied: bool,
    /// Whether there is a conditional random field.
    pub(super) crf: bool,
}

/// Return the task: the user's, or the one that the shapes leave no doubt about.
///
/// # Errors
/// If the shapes leave a doubt, or the network is of another task.
pub(super) fn task(options: &ImportOptions, ends: &Ends, bidirectional: bool) -> Result<&'static dyn Task> {
    let Ends { vocabulary, outputs, tied, crf } = *ends;
    let known: [&'static dyn Task; 3] = [&Lm, &Classify, &Tag];
    let task = match options.task {
        Some(task) => known.into_iter().find(|known| known.name() == task.name()).ok_or_else(|| {
            let names = listed(known.iter().map(|task| task.name()), ", ");
            let name = task.name();
            Error::invalid("task", format!("{name} networks are not converted; expected one of {names}"))
        })?,
        None if crf => &Tag,
        None if outputs == vocabulary && !bidirectional => &Lm,
        None => {
            let both = if bidirectional { " and reads in both directions" } else { "" };
            let problem = format!(
                "the network has {outputs} outputs for {vocabulary} tokens{both}; say whether they are classes of a text \
                 (classify) or of each word (tag)"
            );
            return Err(Error::invalid("task", problem));
        }
    };
    let is_lm = task.name() == Lm.name();
    let problem = if is_lm && outputs != vocabulary {
        format!("a language model has as many outputs as tokens; this network has {outputs} for {vocabulary}")
    } else if is_lm && bidirectional {
        "a language model reads from left to right; this network reads in both directions".to_string()
    } else if tied && !is_lm {
        "an output layer that is the embedding belongs to a language model".to_string()
    } else if crf && task.name() != Tag.name() {
        "a conditional random field belongs to a tagger".to_string()
    } else {
        return Ok(task);
    };
    Err(Error::invalid("task", problem))
}

/// Refuse options that have no effect on a network of the task.
///
/// # Errors
/// If the options name labels for a language model, or what is read for another task than a classifier.
pub(super) fn check_effect(options: &ImportOptions, task: &dyn Task) -> Result<()> {
    let (is_lm, is_classifier) = (task.name() == Lm.name(), task.name() == Classify.name());
    let name = task.name();
    if is_lm && options.labels.is_some() {
        let problem = "the network has as many outputs as tokens, so it is taken for a language model, which has no \
                       labels; set option `task` to classify or tag if they are classes";
        return Err(Error::invalid("labels", problem));
    }
    if !is_classifier && options.readout != Readout::Last {
        let problem = format!(
            "only classifiers have one, and the task is {name}; leave it out, or set option `task` to classify"
        );
        return Err(Error::invalid("readout", problem));
    }
    Ok(())
}

/// Return a parameter of an output layer of two classes whose softmax is the sigmoid of one output: zeros for the first
/// class, then the rows of the output.
///
/// # Errors
/// If the tensor cannot be read.
pub(super) fn with_first_class(tensor: &Tensor) -> candle_core::Result<Tensor> {
    Tensor::cat(&[&tensor.zeros_like()?, tensor], 0)
}

/// The remark about an output layer that [`with_first_class`] extended, whose file has no sigmoid.
pub(super) const TWO_CLASSES: &str = "the one output is taken for a score before a sigmoid, and made two classes; the \
                                      first is that of scores below 0";

/// Return the configuration of the network of a task.
fn network(
    task: &dyn Task,
    ends: &Ends,
    rnn: RecurrentConfig,
    readout: Readout,
    notes: &mut Vec<String>,
) -> ModelConfig {
    let Ends { vocabulary, outputs, tied, crf } = *ends;
    match task.name() {
        name if name == Lm.name() => {
            ModelConfig::Rnnlm(RnnlmConfig { tied, ..RnnlmConfig::new(vocabulary, rnn) })
        }
        name if name == Classify.name() => {
            notes.push(format!("the classifier reads {}", read_by(readout)));
            let vocabulary_size = Some(vocabulary);
            ModelConfig::Predictor(PredictorConfig {
                vocabulary_size,
                ..PredictorConfig::new(outputs, readout, rnn)
            })
        }
        _ => ModelConfig::Tagger(TaggerConfig {
            vocabulary_size: vocabulary,
            embedding_size: rnn.stack().input_size,
            characters: None,
            columns: vec![],
            outputs,
            crf,
            dropout: 0.,
            rnn,
        }),
    }
}

/// A network over tokens as a file of another framework describes it, without its tokens and labels.
pub(super) struct TextNetwork {
    pub(super) task: &'static dyn Task,
    pub(super) ends: Ends,
    pub(super) rnn: RecurrentConfig,
    pub(super) readout: Readout,
    pub(super) parameters: NamedTensors,
    pub(super) notes: Vec<String>,
}

impl TextNetwork {
    /// Add the tokens and the labels that the options name. `path` is that of the file.
    ///
    /// # Errors
    /// If an option is missing, or its file cannot be read.
    pub(super) fn imported(self, path: &Path, options: &ImportOptions) -> Result<Imported> {
        let Self { task, ends, rnn, readout, parameters, mut notes } = self;
        let labels = match task.name() == Lm.name() {
            true => vec![],
            false => vocabulary::labels(options, ends.outputs)?,
        };
        let tokenizer = Some(vocabulary::tokenizer(path, options, ends.vocabulary, &mut notes)?);
        let network = network(task, &ends, rnn, readout, &mut notes);
        let schema = task.schema_of_texts(&labels);
        let (text_column, stored) = (None, None);
        Ok(Imported { task, network, parameters, tokenizer, labels, schema, text_column, stored, notes })
    }
}

/// Return what a classifier reads, for a note.
fn read_by(readout: Readout) -> &'static str {
    match readout {
        Readout::Every => "every output",
        Readout::Last => "the last output of each direction",
        Readout::Mean => "the mean of all outputs",
        Readout::Max => "the largest of all outputs",
        Readout::Attention => "a weighted mean of all outputs",
    }
}
