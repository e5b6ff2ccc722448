//! Whole networks, from tokens or features to scores: what training, evaluation and generation see.

use candle_core::{Result, Tensor};
use rand::Rng;

use crate::layers::dropout::Noise;
use crate::layers::linear::Linear;
use crate::layers::state::State;
use crate::ops::Stream;
use crate::ops::embedding::copy_row;

/// A network in two halves: [`encode`](Network::encode) runs the recurrence, [`decode`](Network::decode)
/// scores what came out. They are apart because a loss over a large vocabulary wants to score a part
/// at a time.
pub trait Network: Send + Sync {
    /// Runs `inputs`, tokens (batch, time) or features (batch, time, features), from `state` or zero, to
    /// the hidden states that the decoder reads. In training with a source of noise.
    ///
    /// # Errors
    /// Where a shape, a length or a token is outside what the network was built for.
    fn encode_t(
        &self,
        inputs: &Tensor,
        state: Option<&State>,
        lengths: Option<&[usize]>,
        noise: Noise<'_>,
    ) -> Result<Encoded>;

    /// The same outside training: hidden states and the state after the last step.
    ///
    /// # Errors
    /// As [`Network::encode_t`].
    fn encode(
        &self,
        inputs: &Tensor,
        state: Option<&State>,
        lengths: Option<&[usize]>,
    ) -> Result<(Tensor, State)> {
        let Encoded { hidden, state, .. } = self.encode_t(inputs, state, lengths, None)?;
        Ok((hidden, state))
    }

    /// The layer that scores hidden states.
    fn decoder(&self) -> &Linear;

    /// Scores of hidden states: (.., hidden) to (.., outputs).
    ///
    /// # Errors
    /// Where the last dimension is not the stack's output size.
    fn decode(&self, hidden: &Tensor) -> Result<Tensor> {
        self.decoder().forward(hidden)
    }

    /// The network as it is now, ready to read one token after another of one text; none where there are no
    /// kernels for that, and for networks that read no tokens or answer only at the end.
    ///
    /// # Errors
    /// Only those of the tensor library.
    fn stream(&self) -> Result<Option<TokenStream>> {
        Ok(None)
    }

    /// A state of zeros for `batch` sequences.
    ///
    /// # Errors
    /// Only those of the tensor library.
    fn zero_state(&self, batch: usize) -> Result<State>;

    /// Draws all parameters anew.
    ///
    /// # Errors
    /// Where a parameter is not a variable.
    fn reset_parameters(&self, rng: &mut dyn Rng) -> Result<()>;
}

/// What the first half of a network makes of its input.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// (batch, time, hidden), or (batch, hidden) where the decoder reads only the last.
    pub hidden: Tensor,
    /// The state after each sequence's last step.
    pub state: State,
    /// What training adds to the mean loss, a scalar; none outside training.
    pub penalty: Option<Tensor>,
}

/// A network that reads one token after another and says what may come next, of one text or of several side
/// by side; see [`Stream`].
pub struct TokenStream {
    /// (vocabulary, features).
    encoder: Tensor,
    /// The present tokens' rows of it, (batch, features).
    rows: Vec<f32>,
    stream: Stream,
}

impl TokenStream {
    /// Reads rows of `encoder`, (vocabulary, features), with a stream that has a decoder.
    pub(crate) fn new(encoder: &Tensor, stream: Stream) -> Result<Self> {
        // A variable's numbers may change; the stream's may not.
        let own = if encoder.is_variable() { encoder.copy()? } else { encoder.clone() };
        Ok(Self { encoder: own.detach().contiguous()?, rows: vec![], stream })
    }

    /// Reads a token of a single text. Returns the scores (logits) of what comes next, one for each of the
    /// vocabulary.
    ///
    /// # Errors
    /// Where the token is beyond the vocabulary, or there are several texts.
    pub fn read(&mut self, token: u32) -> Result<&[f32]> {
        self.read_all(&[token])?;
        self.scores(0)
    }

    /// Reads a token of each text; [`TokenStream::scores`] has what may come next.
    ///
    /// # Errors
    /// Where a token is beyond the vocabulary, or there are more or fewer texts.
    pub fn read_all(&mut self, tokens: &[u32]) -> Result<()> {
        let Self { encoder, rows, stream } = self;
        let features = encoder.dim(1)?;
        rows.resize(tokens.len() * features, 0.);
        for (row, &token) in rows.chunks_exact_mut(features).zip(tokens) {
            copy_row(encoder, token as usize, row)?;
        }
        stream.step(rows).map(drop)
    }

    /// Scores (logits) of what comes next in text `row`, one for each of the vocabulary.
    ///
    /// # Errors
    /// Where there is no such text.
    pub fn scores(&self, row: usize) -> Result<&[f32]> {
        self.stream.output(row)
    }

    /// Goes on with the texts of these numbers; see [`Stream::select`].
    ///
    /// # Errors
    /// Where there is no such text.
    pub fn select(&mut self, rows: &[usize]) -> Result<()> {
        self.stream.select(rows)
    }

    /// Appends the texts of a state to those that are read; see [`Stream::append`].
    ///
    /// # Errors
    /// If the state is another network's.
    pub fn append(&mut self, state: &State) -> Result<()> {
        self.stream.append(state)
    }

    /// The state after the last token; see [`Stream::state`].
    ///
    /// # Errors
    /// None on a device that works.
    pub fn state(&mut self) -> Result<State> {
        self.stream.state()
    }

    /// Goes on from a state; see [`Stream::set_state`].
    ///
    /// # Errors
    /// Where the state is another network's.
    pub fn set_state(&mut self, state: &State) -> Result<()> {
        self.stream.set_state(state)
    }
}
