//! A file of PyTorch as a network.

use std::collections::BTreeMap;
use std::path::Path;

use rnn_zoo_models::{
    ModelConfig, Nonlinearity, PredictorConfig, Readout, RecurrentConfig, RnnlmConfig, TaggerConfig,
};

use super::assign::{Assigned, assign};
use super::sizes::Sizes;
use super::tensors::{Found, read};
use crate::formats::format::{ImportOptions, Imported};
use crate::formats::vocabulary;
use crate::listing::listed;
use crate::parameters::NamedTensors;
use crate::tasks::{Classify, Lm, Tag, Task};
use crate::{Error, Result};

/// Prefixes that wrappers of modules add to every name.
const WRAPPERS: [&str; 2] = ["module.", "_orig_mod."];

/// The ends of a network, which the task tells apart.
struct Ends {
    /// Rows of the embedding.
    vocabulary: usize,
    /// Rows of the output layer.
    outputs: usize,
    /// Whether the output layer uses the embedding.
    tied: bool,
    /// Whether there is a conditional random field.
    crf: bool,
}

/// Read the network of a file.
///
/// # Errors
/// If the file is damaged, its tensors are not those of an embedding, a recurrent stack and an output layer, or an
/// option is missing.
pub(super) fn import(path: &Path, head: &[u8], options: &ImportOptions) -> Result<Imported> {
    let Found { tensors, others } = read(path, head)?;
    check_others(path, &others, options)?;
    // Tensors without floats have been left out.
    let is_float = |theirs: &str| !others.keys().any(|other| unwrapped(other) == theirs);
    let names = options.names.iter().map(|(theirs, ours)| (unwrapped(theirs).to_string(), ours.clone()));
    let names: Vec<(String, String)> = names.filter(|(theirs, _)| is_float(theirs)).collect();
    let Assigned { parameters, sizes, tied, crf, mut notes } = assign(unwrap_all(path, tensors)?, &names)?;
    let rows = |name: &str| parameters[name].dims().first().copied().unwrap_or_default();
    let ends = Ends { vocabulary: rows("encoder.weight"), outputs: rows("decoder.bias"), tied, crf };
    let task = task(options, &ends, sizes.bidirectional)?;
    let rnn = recurrent(&sizes, options, &mut notes)?;
    let labels = match task.name() == Lm.name() {
        true => vec![],
        false => vocabulary::labels(options, ends.outputs)?,
    };
    let tokenizer = Some(vocabulary::tokenizer(path, options, ends.vocabulary, &mut notes)?);
    let network = network(task, &ends, rnn, options.readout, &mut notes);
    let schema = task.schema_of_texts(&labels);
    Ok(Imported { task, network, parameters, tokenizer, labels, schema, text_column: None, notes })
}

/// Refuse tensors that hold no floats, unless the user leaves them out.
fn check_others(path: &Path, others: &BTreeMap<String, String>, options: &ImportOptions) -> Result<()> {
    let is_left_out = |name: &str| {
        let mut given = options.names.iter();
        given.any(|(theirs, ours)| ours.is_empty() && unwrapped(theirs) == unwrapped(name))
    };
    match others.iter().find(|(name, _)| !is_left_out(name)) {
        None => Ok(()),
        Some((name, kind)) => Err(Error::file(
            path,
            format!(
                "tensor {name} is of {kind}; expected floats; leave it out with option `names = {name}=`"
            ),
        )),
    }
}

/// Return the configuration of the stack.
fn recurrent(sizes: &Sizes, options: &ImportOptions, notes: &mut Vec<String>) -> Result<RecurrentConfig> {
    match (sizes.is_simple(), options.nonlinearity) {
        (false, Nonlinearity::Relu) => {
            return Err(Error::invalid(
                "nonlinearity",
                "only a simple recurrent network has one to choose; leave it out",
            ));
        }
        (true, Nonlinearity::Tanh) => notes.push(
            "the nonlinearity of the RNN is taken to be tanh; set option `nonlinearity` if it is not"
                .to_string(),
        ),
        _ => {}
    }
    Ok(sizes.config(options.nonlinearity))
}

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

/// Return tensors under their names without the prefixes of wrappers.
fn unwrap_all(path: &Path, tensors: NamedTensors) -> Result<NamedTensors> {
    let mut found = NamedTensors::new();
    for (name, tensor) in tensors {
        let inner = unwrapped(&name).to_string();
        if found.insert(inner.clone(), tensor).is_some() {
            let problem = format!("has two tensors of the name {inner}, one as {name}; expected one");
            return Err(Error::file(path, problem));
        }
    }
    Ok(found)
}

/// Return a name without the prefixes of wrappers.
fn unwrapped(name: &str) -> &str {
    WRAPPERS.iter().find_map(|wrapper| name.strip_prefix(wrapper)).map_or(name, unwrapped)
}

/// Return the task: the user's, or the one that the shapes leave no doubt about.
fn task(options: &ImportOptions, ends: &Ends, bidirectional: bool) -> Result<&'static dyn Task> {
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
            let problem = format!(
                "the network has {outputs} outputs for {vocabulary} tokens; say whether they are classes of a text \
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
