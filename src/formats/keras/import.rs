//! A file of Keras as a network.

use std::path::Path;

use rnn_zoo_models::{ModelConfig, Nonlinearity, PredictorConfig, Readout, RnnlmConfig, TaggerConfig};
use serde_json::Value;

use super::architecture::Architecture;
use super::assemble::{Assembled, assemble};
use super::file::{KerasFile, Ours, beside};
use super::layer::{Cell, Kind, Layer};
use super::plan::Plan;
use super::shapes;
use super::tokens;
use super::weights::Weights;
use crate::formats::ends::check_effect;
use crate::formats::format::{ImportOptions, Imported};
use crate::formats::vocabulary;
use crate::listing::listed;
use crate::tasks::{Classify, Lm, Tag, Task};
use crate::{Error, Result};

/// Read the network of a file.
///
/// # Errors
/// If the file is damaged, a layer has no counterpart in this program, or an option is missing.
pub(super) fn import(path: &Path, options: &ImportOptions) -> Result<Imported> {
    if !options.names.is_empty() {
        let problem = "a Keras file names the parameters of each layer; leave the option out";
        return Err(Error::invalid("names", problem));
    }
    let failed = |problem: String| Error::file(path, problem);
    let KerasFile { architecture, store, vocabulary: lines, ours } = KerasFile::open(path)?;
    let mut notes = vec![];
    let weights = Weights::of(&store).map_err(failed)?;
    let is_told = architecture.is_some();
    let architecture = match (&architecture, weights.container()) {
        (Some(json), _) => Architecture::read(json),
        (None, Some(container)) => {
            let json = beside(path);
            let json = json.file_name().unwrap_or_default().to_string_lossy();
            shapes::architecture(&store, container, options.nonlinearity, &json, &mut notes)
        }
        (None, None) => {
            let json = beside(path);
            Err(format!(
                "has weights without the model's configuration; save the model as .keras, or put model.to_json() \
                 beside the file as {}",
                json.display()
            ))
        }
    };
    let architecture = architecture.map_err(failed)?;
    let plan = Plan::of(&architecture.layers).map_err(failed)?;
    let is_relu = matches!(plan.stack[0].1.cell, Cell::Simple(Nonlinearity::Relu));
    if options.nonlinearity == Nonlinearity::Relu && !is_relu {
        return Err(Error::invalid(
            "nonlinearity",
            "no recurrent layer of the file uses relu; leave the option out",
        ));
    }
    let Assembled { mut parameters, input, outputs, tied, notes: further } =
        assemble(&plan, &weights, &architecture.groups).map_err(failed)?;
    if is_told {
        weights.check_used(&architecture.groups).map_err(failed)?;
    }
    notes.extend(further);
    note_masks(&architecture, &plan, &mut notes);

    let vocabulary = plan.embedding.map(|(_, embedding)| embedding.rows);
    let rnn = plan.recurrent(input);
    let both = rnn.stack().bidirectional.is_some();
    let facts = Facts { vocabulary, outputs, both, readout: plan.readout, tied: plan.projection.is_some() };
    let task = facts.task(options, ours.as_ref(), &mut notes)?;
    let is = |other: &dyn Task| task.name() == other.name();
    let ours = ours.filter(|ours| {
        is(ours.task) && options.labels.is_none() && ours.labels.len() == labelled(task, outputs)
    });
    let labels = match &ours {
        _ if is(&Lm) => vec![],
        Some(ours) => ours.labels.clone(),
        None => vocabulary::labels(options, outputs)?,
    };
    let text = plan.text.map(|options| (options, lines.as_deref()));
    let tokenizer =
        vocabulary.map(|rows| tokens::tokenizer(path, options, rows, text, &mut notes)).transpose()?;
    let network = match vocabulary {
        Some(rows) if is(&Lm) => {
            if tied {
                parameters.remove("decoder.weight");
            }
            ModelConfig::Rnnlm(RnnlmConfig { tied, ..RnnlmConfig::new(rows, rnn) })
        }
        Some(rows) if is(&Tag) => ModelConfig::Tagger(TaggerConfig {
            vocabulary_size: rows,
            embedding_size: input,
            characters: None,
            columns: vec![],
            outputs,
            crf: false,
            dropout: 0.,
            rnn,
        }),
        _ => {
            let readout = plan.readout.unwrap_or(options.readout);
            ModelConfig::Predictor(PredictorConfig {
                vocabulary_size: vocabulary,
                ..PredictorConfig::new(outputs, readout, rnn)
            })
        }
    };
    let schema = match (&ours, vocabulary) {
        (Some(ours), _) => ours.schema.clone(),
        (None, Some(_)) => task.schema_of_texts(&labels),
        (None, None) => {
            notes.push("numbers are read as they are; scale them as for Keras".to_string());
            task.schema_of_features(input).unwrap_or(Value::Null)
        }
    };
    let text_column = ours.and_then(|ours| ours.text_column);
    Ok(Imported { task, network, parameters, tokenizer, labels, schema, text_column, stored: None, notes })
}

/// Return the number of labels of a network.
fn labelled(task: &dyn Task, outputs: usize) -> usize {
    if task.name() == Lm.name() { 0 } else { outputs }
}

/// Say what becomes of masks. Here sequences have lengths: what follows their end is never read.
fn note_masks(architecture: &Architecture, plan: &Plan<'_>, notes: &mut Vec<String>) {
    match plan.embedding {
        Some((_, embedding)) if embedding.mask_zero => notes.push(
            "the model skips token 0 (mask_zero); here texts end at their last token, and a token 0 inside one is read"
                .to_string(),
        ),
        Some(_) if plan.readout != Some(Readout::Every) => notes.push(
            "the model has no mask, so in Keras it reads padding too; here texts end at their last token".to_string(),
        ),
        _ => {}
    }
    let masking = |layer: &&Layer| layer.kind == Kind::Passed && layer.class == "Masking";
    if let Some(layer) = architecture.layers.iter().find(masking) {
        notes.push(format!("passed over the layer {}; here sequences end at their last step", layer.title()));
    }
}

/// What decides the task.
struct Facts {
    vocabulary: Option<usize>,
    outputs: usize,
    both: bool,
    readout: Option<Readout>,
    /// Whether there is a layer that only language models have.
    tied: bool,
}

impl Facts {
    /// Return the task: the user's, or the one that the layers leave no doubt about.
    fn task(
        &self,
        options: &ImportOptions,
        ours: Option<&Ours>,
        notes: &mut Vec<String>,
    ) -> Result<&'static dyn Task> {
        let known: [&'static dyn Task; 3] = [&Lm, &Classify, &Tag];
        let wanted = options.task.or(ours.map(|ours| ours.task));
        let wanted = wanted.map(|task| {
            known.into_iter().find(|known| known.name() == task.name()).ok_or_else(|| {
                let names = listed(known.iter().map(|task| task.name()), ", ");
                let name = task.name();
                Error::invalid("task", format!("{name} networks are not converted; expected one of {names}"))
            })
        });
        let task = match wanted {
            Some(task) => task?,
            None => self.likely(options, notes)?,
        };
        if let Some(problem) = self.problem(task, options) {
            return Err(Error::invalid("task", problem));
        }
        if let Some(readout) = self.readout
            && options.readout != Readout::Last
            && options.readout != readout
        {
            return Err(Error::invalid(
                "readout",
                "the layers of the file define another readout; leave the option out",
            ));
        }
        check_effect(options, task)?;
        Ok(task)
    }

    /// Whether the network may predict the next token.
    fn may_be_lm(&self) -> bool {
        self.vocabulary == Some(self.outputs) && !self.both
    }

    fn likely(&self, options: &ImportOptions, notes: &mut Vec<String>) -> Result<&'static dyn Task> {
        Ok(match self.readout {
            Some(Readout::Every) if self.may_be_lm() => &Lm,
            Some(Readout::Every) => &Tag,
            Some(Readout::Last) if self.may_be_lm() && options.labels.is_none() => {
                notes.push(
                    "the model predicts a token after a whole text, and becomes a language model that does so after \
                     each token; set option `task` to classify if the outputs are classes"
                        .to_string(),
                );
                &Lm
            }
            Some(_) => &Classify,
            None if self.may_be_lm() => &Lm,
            None => {
                let problem = format!(
                    "the file does not tell whether its {} outputs are classes of a sequence (classify) or of each \
                     word (tag); say which",
                    self.outputs
                );
                return Err(Error::invalid("task", problem));
            }
        })
    }

    /// Return why the network is none of the task.
    fn problem(&self, task: &dyn Task, options: &ImportOptions) -> Option<String> {
        let Self { outputs, readout, .. } = *self;
        let (is_lm, is_tag) = (task.name() == Lm.name(), task.name() == Tag.name());
        let every = readout == Some(Readout::Every);
        Some(match self.vocabulary {
            None if is_lm || is_tag || every => {
                "networks of numbers are converted where they classify whole sequences: return_sequences of the last \
                 recurrent layer is false"
                    .to_string()
            }
            Some(rows) if is_lm && rows != outputs => format!(
                "a language model has as many outputs as tokens; this network has {outputs} for {rows}"
            ),
            _ if is_lm && self.both => {
                "a language model reads from left to right; this network reads in both directions".to_string()
            }
            _ if is_lm && matches!(readout, Some(Readout::Mean | Readout::Max)) => {
                "a language model reads each output; this network reads all at once".to_string()
            }
            _ if is_tag && readout.is_some() && !every => {
                "a tagger reads each output; the last recurrent layer returns one alone".to_string()
            }
            _ if !is_lm && !is_tag && (every || (readout.is_none() && options.readout == Readout::Every)) => {
                "a classifier reads one vector of a sequence; the last recurrent layer returns all outputs".to_string()
            }
            _ if !is_lm && self.tied => {
                "an output layer that is the embedding belongs to a language model".to_string()
            }
            _ => return None,
        })
    }
}
