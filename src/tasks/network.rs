//! Options of a network besides its recurrent stack.

use rnn_zoo_models::{AttentionScore, ModelConfig, PredictorConfig, Readout, RecurrentConfig};

use super::shape::NetworkShape;
use crate::{Error, Result};

/// Options of a network besides its recurrent stack. A task refuses those that its network does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct NetworkOptions {
    /// Dropout on the embeddings and before the scores.
    pub dropout: f64,
    /// Whether the output layer shares the weights of the embedding.
    pub tied: bool,
    /// Dropout of whole tokens in the embedding.
    pub embedding_dropout: Option<f64>,
    /// The readout of a classifier; `None` is the task's own.
    pub readout: Option<Readout>,
    /// Weight of the mean squared output in the loss (activation regularisation).
    pub ar: Option<f64>,
    /// Whether a tagger has a conditional random field; by default it has one if the tags mark spans.
    pub crf: Option<bool>,
    /// Units of each direction of a tagger's stack over the characters of words; 0 leaves the characters out.
    pub characters: Option<usize>,
    /// The score of a translator's attention.
    pub attention_score: Option<AttentionScore>,
    /// Weight of the mean squared change of the output in the loss (temporal activation regularisation).
    pub tar: Option<f64>,
}

/// A kind of network with options that not all others have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NetworkKind {
    /// A language model's.
    LanguageModel,
    /// A classifier's.
    Classifier,
    /// A tagger's of words.
    Tagger,
    /// A translator's.
    Translator,
}

impl NetworkKind {
    /// The model that has such a network, for errors.
    fn name(self) -> &'static str {
        match self {
            Self::LanguageModel => "a language model",
            Self::Classifier => "a classifier",
            Self::Tagger => "a tagger",
            Self::Translator => "a translator",
        }
    }
}

impl NetworkOptions {
    /// Refuse the options that a network of the given kind does not have; `None` is a network without options of its
    /// own. `task` is named in the error.
    ///
    /// # Errors
    /// If such an option is set.
    pub(super) fn check(&self, kind: Option<NetworkKind>, task: &str) -> Result<()> {
        let has = |owners: &[NetworkKind]| kind.is_some_and(|kind| owners.contains(&kind));
        let foreign = self.of_some_kinds().into_iter().find(|&(owners, set, _)| set && !has(owners));
        match foreign {
            Some((owners, _, error)) => {
                let owners: Vec<&str> = owners.iter().map(|owner| owner.name()).collect();
                Err(error(format!("only {} has it, not option `task = {task}`", owners.join(" or "))))
            }
            None => Ok(()),
        }
    }

    /// Every option that not all kinds of network have: those that have it, whether the option is set, and an error
    /// about it.
    fn of_some_kinds(&self) -> [(&'static [NetworkKind], bool, OptionError); 8] {
        use NetworkKind::{Classifier, LanguageModel, Tagger, Translator};
        [
            (&[LanguageModel, Translator], self.tied, |problem| Error::invalid("tied", problem)),
            (&[LanguageModel, Classifier], self.embedding_dropout.is_some(), |problem| {
                Error::invalid("embedding_dropout", problem)
            }),
            (&[LanguageModel], self.ar.is_some(), |problem| Error::invalid("ar", problem)),
            (&[LanguageModel], self.tar.is_some(), |problem| Error::invalid("tar", problem)),
            (&[Classifier], self.readout.is_some(), |problem| Error::invalid("readout", problem)),
            (&[Tagger], self.crf.is_some(), |problem| Error::invalid("crf", problem)),
            (&[Tagger], self.characters.is_some(), |problem| Error::invalid("characters", problem)),
            (&[Translator], self.attention_score.is_some(), |problem| {
                Error::invalid("attention_score", problem)
            }),
        ]
    }
}

/// An error about one option, with the given problem.
pub(super) type OptionError = fn(String) -> Error;

/// A recurrent stack with a linear layer on the outputs that `readout` selects.
pub(super) fn predictor(
    readout: Readout,
    rnn: RecurrentConfig,
    shape: NetworkShape,
    options: &NetworkOptions,
) -> ModelConfig {
    ModelConfig::Predictor(PredictorConfig {
        vocabulary_size: shape.vocabulary,
        dropout: options.dropout,
        embedding_dropout: options.embedding_dropout.unwrap_or_default(),
        ..PredictorConfig::new(shape.outputs, readout, rnn)
    })
}
