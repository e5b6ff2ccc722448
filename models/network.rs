//! The trait of whole networks, from tokens or features to scores, as training, evaluation and generation use them.

use candle_core::{Result, Tensor};
use rand::Rng;

use crate::head::Head;
use crate::inputs::Inputs;
use crate::layers::crf::Crf;
use crate::layers::dropout::Noise;
use crate::layers::embedding::Embedding;
use crate::layers::linear::Linear;
use crate::layers::module::ForwardT;
use crate::layers::state::State;
use crate::layers::stream::Stream;
use crate::sequence_to_sequence::SequenceToSequence;

/// A network of two parts: [`encode`](Network::encode) runs the recurrence, and [`outputs`](Network::outputs) computes
/// scores of its hidden states. So a loss over a large vocabulary need not hold all scores at a time.
pub trait Network: Send + Sync {
    /// Run `inputs` from `state`, or zero if it is `None`, to the hidden states that the decoder reads. With a
    /// generator in `noise`, as in training, dropout acts. `lengths` holds the steps of each sequence.
    ///
    /// # Errors
    /// If the inputs are of another kind than the network's, a shape or length disagrees with the configuration, or a
    /// token is not in the vocabulary.
    fn encode_t(
        &self,
        inputs: &Inputs,
        state: Option<&State>,
        lengths: Option<&[usize]>,
        noise: Noise<'_>,
    ) -> Result<Encoded>;

    /// Encode outside training. Return the hidden states and the state after the last step.
    ///
    /// # Errors
    /// As [`Network::encode_t`].
    fn encode(
        &self,
        inputs: &Inputs,
        state: Option<&State>,
        lengths: Option<&[usize]>,
    ) -> Result<(Tensor, State)> {
        let Encoded { hidden, state, .. } = self.encode_t(inputs, state, lengths, None)?;
        Ok((hidden, state))
    }

    /// Return the layer that computes scores of hidden states.
    fn output_layer(&self) -> &Linear;

    /// Compute scores (logits) of hidden states: (.., hidden) to (.., outputs).
    ///
    /// # Errors
    /// If the last dimension is not the decoder's input size.
    fn outputs(&self, hidden: &Tensor) -> Result<Tensor> {
        self.output_layer().forward(hidden)
    }

    /// Return the conditional random field over the scores of all steps; `None` if each step's scores stand alone.
    fn crf(&self) -> Option<&Crf> {
        None
    }

    /// Return the part of a network that writes a translation token by token; `None` for other networks.
    fn sequence_to_sequence(&self) -> Option<&dyn SequenceToSequence> {
        None
    }

    /// Return the numbers that a forecaster outputs for a step; `None` for other networks.
    fn head(&self) -> Option<&Head> {
        None
    }

    /// Compute the gates of the last recurrent layer at every step; see [`Recurrent::gates`](crate::Recurrent::gates).
    /// Return nothing for a network that is not a language model.
    ///
    /// # Errors
    /// As [`Network::encode_t`].
    fn gates(&self, _inputs: &Inputs) -> Result<Vec<(&'static str, Tensor)>> {
        Ok(vec![])
    }

    /// Make a stream that reads one token after another, with the present parameters. Return `None` if there are no
    /// kernels for it, and for a network that reads features or has an output only at the end.
    ///
    /// # Errors
    /// Errors from candle.
    fn stream(&self) -> Result<Option<TokenStream>> {
        Ok(None)
    }

    /// Make a state of zeros for `batch` sequences.
    ///
    /// # Errors
    /// Errors from candle.
    fn zero_state(&self, batch: usize) -> Result<State>;

    /// Pack the recurrent weights anew at the next call; see [`Recurrent::repack`](crate::Recurrent::repack).
    fn repack(&self);

    /// Draw all parameters anew.
    ///
    /// # Errors
    /// If a parameter is not a variable.
    fn reset_parameters(&self, rng: &mut dyn Rng) -> Result<()>;
}

/// The scores, from a zero state: [`Network::encode_t`], then [`Network::outputs`].
impl<N: Network + ?Sized> ForwardT for N {
    fn forward_with(&self, inputs: &Tensor, noise: Noise<'_>) -> Result<Tensor> {
        self.outputs(&self.encode_t(&Inputs::from(inputs), None, None, noise)?.hidden)
    }
}

/// The results of [`Network::encode_t`].
#[derive(Clone, Debug)]
pub struct Encoded {
    /// (batch, time, hidden), or (batch, hidden) if the decoder reads only the last step.
    pub hidden: Tensor,
    /// The state after each sequence's last step.
    pub state: State,
    /// A scalar that training adds to the mean loss; `None` outside training.
    pub penalty: Option<Tensor>,
}

/// A network that reads one token after another of a batch of texts, and predicts the next token of each; see
/// [`Stream`].
pub struct TokenStream {
    embedding: Embedding,
    /// The embeddings of the present tokens, (batch, features).
    rows: Vec<f32>,
    stream: Stream,
}

impl TokenStream {
    /// Make a stream with a decoder that reads the rows of `embedding` as they are now.
    pub(crate) fn new(embedding: &Embedding, stream: Stream) -> Result<Self> {
        Ok(Self { embedding: embedding.snapshot()?, rows: vec![], stream })
    }

    /// Read a token of a single text. Return the scores (logits) of the next token, one for each of the vocabulary.
    ///
    /// # Errors
    /// If the token is not in the vocabulary, or the batch is not one text.
    pub fn read(&mut self, token: u32) -> Result<&[f32]> {
        self.read_all(&[token])?;
        self.scores(0)
    }

    /// Read a token of each text. [`TokenStream::scores`] returns the scores of the next tokens.
    ///
    /// # Errors
    /// If a token is not in the vocabulary, or there are more or fewer tokens than texts.
    pub fn read_all(&mut self, tokens: &[u32]) -> Result<()> {
        let Self { embedding, rows, stream } = self;
        let features = embedding.weight().dim(1)?;
        rows.resize(tokens.len() * features, 0.);
        for (row, &token) in rows.chunks_exact_mut(features).zip(tokens) {
            embedding.copy_row(token, row)?;
        }
        stream.step(rows).map(drop)
    }

    /// Return the scores (logits) of the next token of text `row`, one for each of the vocabulary.
    ///
    /// # Errors
    /// If `row` is not below the batch.
    pub fn scores(&self, row: usize) -> Result<&[f32]> {
        self.stream.output(row)
    }

    /// Replace the batch by these of its texts; see [`Stream::select`].
    ///
    /// # Errors
    /// If one of `rows` is not below the batch.
    pub fn select(&mut self, rows: &[usize]) -> Result<()> {
        self.stream.select(rows)
    }

    /// Append the texts of a state to those that are read; see [`Stream::append`].
    ///
    /// # Errors
    /// If the state is another network's.
    pub fn append(&mut self, state: &State) -> Result<()> {
        self.stream.append(state)
    }

    /// Return the state after the last token; see [`Stream::state`].
    ///
    /// # Errors
    /// If the batch is empty.
    pub fn state(&mut self) -> Result<State> {
        self.stream.state()
    }

    /// Replace the batch by the texts of a state; see [`Stream::set_state`].
    ///
    /// # Errors
    /// If the state is another network's.
    pub fn set_state(&mut self, state: &State) -> Result<()> {
        self.stream.set_state(state)
    }
}
