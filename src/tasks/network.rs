//! Options of a network besides its recurrent stack.

use rnn_zoo_models::{AttentionScore, ModelConfig, PredictorConfig, Readout, RecurrentConfig};

use super::shape::Shape;

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

/// A recurrent stack with a linear layer on the outputs that `readout` selects.
pub(super) fn predictor(
    readout: Readout,
    rnn: RecurrentConfig,
    shape: Shape,
    options: &NetworkOptions,
) -> ModelConfig {
    ModelConfig::Predictor(PredictorConfig {
        vocabulary_size: shape.vocabulary,
        outputs: shape.outputs,
        readout,
        dropout: options.dropout,
        rnn,
    })
}
