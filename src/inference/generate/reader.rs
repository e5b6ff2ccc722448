//! Batched decoding: a step reads one token of each text and returns scores of the next ones.

use candle_core::{DType, Device, Tensor};
use rnn_zoo_models::{Network, State, TokenStream};

use crate::Result;

/// A network that reads one token of each of several texts, its rows, and scores the tokens that may come next.
///
/// The weights are packed once, by [`Reader::new`]. On the CPU the scores of a row are the same to the bit
/// whatever the other rows are. On a GPU the rounding of a product depends on its number of rows.
pub struct Reader<'a> {
    network: &'a dyn Network,
    device: Device,
    state: ReaderState,
    /// Logits, (rows, vocabulary), after [`Reader::read`]; empty before.
    scores: Vec<f32>,
    rows: usize,
}

enum ReaderState {
    /// The fused kernels.
    Stream(TokenStream),
    /// Plain tensors, for networks and devices without fused kernels; the state is `None` without rows.
    Tensors(Option<State>),
}

impl<'a> Reader<'a> {
    /// A reader without rows. `device` is that of the network's parameters.
    ///
    /// # Errors
    /// Errors from candle.
    pub fn new(network: &'a dyn Network, device: &Device) -> Result<Self> {
        let state = match network.stream()? {
            Some(mut stream) => {
                stream.select(&[])?;
                ReaderState::Stream(stream)
            }
            None => ReaderState::Tensors(None),
        };
        Ok(Self { network, device: device.clone(), state, scores: vec![], rows: 0 })
    }

    /// Whether the fused kernels read, whose results for a row do not depend on the other rows.
    pub(super) fn is_fused(&self) -> bool {
        matches!(self.state, ReaderState::Stream(_))
    }

    /// The number of tokens that are scored.
    pub(super) fn vocabulary(&self) -> usize {
        self.network.output_layer().weight().dims()[0]
    }

    /// Keep the rows `rows`, in that order; a row may come several times.
    pub(super) fn select(&mut self, rows: &[usize]) -> Result<()> {
        if rows.iter().copied().eq(0..self.rows) {
            return Ok(());
        }
        self.rows = rows.len();
        self.scores.clear();
        match &mut self.state {
            ReaderState::Stream(stream) => stream.select(rows)?,
            ReaderState::Tensors(state) => {
                let kept = state.as_ref().filter(|_| !rows.is_empty());
                *state = kept.map(|state| state.select(rows)).transpose()?;
            }
        }
        Ok(())
    }

    /// Append rows that go on from `state`, (layers, rows, hidden).
    pub(super) fn append(&mut self, state: &State) -> Result<()> {
        match &mut self.state {
            ReaderState::Stream(stream) => stream.append(state)?,
            ReaderState::Tensors(before) => {
                let states: Vec<State> = before.take().into_iter().chain([state.clone()]).collect();
                *before = Some(State::join(&states)?);
            }
        }
        self.rows += state.h.dim(1)?;
        self.scores.clear();
        Ok(())
    }

    /// Read the next token of each row.
    pub(super) fn read(&mut self, tokens: &[u32]) -> Result<()> {
        self.scores.clear();
        match &mut self.state {
            ReaderState::Stream(stream) => {
                stream.read_all(tokens)?;
                for row in 0..tokens.len() {
                    self.scores.extend_from_slice(stream.scores(row)?);
                }
            }
            ReaderState::Tensors(None) => {}
            ReaderState::Tensors(Some(state)) => {
                // On the CPU a product of several rows is rounded differently from one of a single row.
                let together = if self.device.is_cpu() { 1 } else { tokens.len() };
                let rows: Vec<usize> = (0..tokens.len()).collect();
                let mut states = vec![];
                for (rows, tokens) in rows.chunks(together).zip(tokens.chunks(together)) {
                    let inputs = Tensor::new(tokens, &self.device)?.unsqueeze(1)?; // (rows, 1)
                    let (hidden, after) =
                        self.network.encode(&inputs.into(), Some(&state.select(rows)?), None)?;
                    // Parameters in training keep a graph, which would grow with every token.
                    states.push(after.detach());
                    let scores = self.network.outputs(&hidden.detach().squeeze(1)?)?.to_dtype(DType::F32)?;
                    self.scores.extend(scores.flatten_all()?.to_vec1::<f32>()?);
                }
                *state = State::join(&states)?;
            }
        }
        Ok(())
    }

    /// Logits of the next token of a row, (vocabulary).
    pub(super) fn scores(&self, row: usize) -> &[f32] {
        let vocabulary = self.scores.len() / self.rows.max(1);
        &self.scores[row * vocabulary..][..vocabulary]
    }

    /// The state of a row after the token that it read last, (layers, 1, hidden).
    pub(super) fn state(&mut self, row: usize) -> Result<State> {
        Ok(match &mut self.state {
            ReaderState::Stream(stream) => stream.state()?.select(&[row])?,
            ReaderState::Tensors(Some(state)) => state.select(&[row])?,
            ReaderState::Tensors(None) => self.network.zero_state(1)?,
        })
    }
}
