//! A file of PyTorch as a network.

use std::path::Path;

use rnn_zoo_models::{ModelConfig, Nonlinearity, PredictorConfig, Readout, RnnlmConfig, TaggerConfig};

use super::assign::{Assigned, assign};
use super::tensors::{Found, read};
use crate::formats::format::{ImportOptions, Imported};
use crate::formats::vocabulary;
use crate::listing::listed;
use crate::parameters::NamedTensors;
use crate::tasks::{Classify, Lm, Tag, Task};
use crate::{Error, Result};

/// Prefixes that wrappers of modules add to every name.
const WRAPPERS: [&str; 2] = ["module.", "_orig_mod."];

/// Read the network of a file.
///
/// # Errors
/// If the file is damaged, its tensors are not those of an embedding, a recurrent stack and an output layer, or an
/// option is missing.
pub(super) fn import(path: &Path, head: &[u8], options: &ImportOptions) -> Result<Imported> {
    let Found { tensors, mut others } = read(path, head)?;
    let tensors = unwrap_all(path, tensors)?;
    let is_left_out = |name: &str| {
        let given =
            |(theirs, ours): &(String, String)| ours.is_empty() && unwrapped(theirs) == unwrapped(name);
        options.names.iter().any(given)
    };
    others.retain(|name, _| !is_left_out(name));
    if let Some((name, kind)) = others.first_key_value() {
        return Err(Error::file(
            path,
            format!(
                "tensor {name} is of {kind}; expected floats; leave it out with option `names = {name}=`"
            ),
        ));
    }
    let names: Vec<(String, String)> =
        options.names.iter().map(|(theirs, ours)| (unwrapped(theirs).to_string(), ours.clone())).collect();
    let Assigned { parameters, sizes, tied, crf, mut notes } = assign(tensors, &names)?;
    let vocabulary = parameters["encoder.weight"].dims().first().copied().unwrap_or_default();
    let outputs = parameters["decoder.bias"].dims().first().copied().unwrap_or_default();
    if options.nonlinearity != Nonlinearity::Tanh && !sizes.is_simple() {
        return Err(Error::invalid(
            "nonlinearity",
            "only a simple recurrent network has one to choose; leave it out",
        ));
    }
    let rnn = sizes.config(options.nonlinearity);
    if sizes.is_simple() && options.nonlinearity == Nonlinearity::Tanh {
        notes.push(
            "the nonlinearity of the RNN is taken to be tanh; set option `nonlinearity` if it is not"
                .to_string(),
        );
    }
    let task = task(options, (vocabulary, outputs), sizes.bidirectional, crf)?;
    if tied && task.name() != Lm.name() {
        return Err(Error::invalid(
            "task",
            "an output layer that is the embedding belongs to a language model",
        ));
    }
    let (network, labels) = match task.name() {
        name if name == Lm.name() => {
            (ModelConfig::Rnnlm(RnnlmConfig { tied, ..RnnlmConfig::new(vocabulary, rnn) }), vec![])
        }
        name if name == Classify.name() => {
            let (vocabulary_size, readout) = (Some(vocabulary), options.readout);
            notes.push(format!("the classifier reads the {} outputs", readout_name(readout)));
            let config = PredictorConfig { vocabulary_size, outputs, readout, dropout: 0., rnn };
            (ModelConfig::Predictor(config), vocabulary::labels(options, outputs)?)
        }
        _ => {
            let config = TaggerConfig {
                vocabulary_size: vocabulary,
                embedding_size: sizes.input,
                characters: None,
                columns: vec![],
                outputs,
                crf,
                dropout: 0.,
                rnn,
            };
            (ModelConfig::Tagger(config), vocabulary::labels(options, outputs)?)
        }
    };
    let tokenizer = Some(vocabulary::tokenizer(options, vocabulary)?);
    let schema = task.schema_of_texts(&labels);
    Ok(Imported { task, network, parameters, tokenizer, labels, schema, text_column: None, notes })
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
fn task(
    options: &ImportOptions,
    (vocabulary, outputs): (usize, usize),
    bidirectional: bool,
    crf: bool,
) -> Result<&'static dyn Task> {
    let known: [&'static dyn Task; 3] = [&Lm, &Classify, &Tag];
    let task = match options.task {
        Some(task) => known.into_iter().find(|known| known.name() == task.name()).ok_or_else(|| {
            let names = listed(known.iter().map(|task| task.name()), ", ");
            Error::invalid("task", format!("{task} networks are not converted; expected one of {names}"))
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
    let problem = match task.name() {
        name if name == Lm.name() && outputs != vocabulary => {
            format!(
                "a language model has as many outputs as tokens; this network has {outputs} for {vocabulary}"
            )
        }
        name if name == Lm.name() && bidirectional => {
            "a language model reads from left to right; this network reads in both directions".to_string()
        }
        name if name != Tag.name() && crf => "a conditional random field belongs to a tagger".to_string(),
        _ => return Ok(task),
    };
    Err(Error::invalid("task", problem))
}

fn readout_name(readout: Readout) -> &'static str {
    match readout {
        Readout::Every => "every step's",
        Readout::Last => "last",
        Readout::Mean => "mean of all",
        Readout::Max => "largest of all",
        Readout::Attention => "weighted mean of all",
    }
}
