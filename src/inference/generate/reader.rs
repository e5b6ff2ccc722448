//! How the model reads: several texts side by side, one token of each at a time.

use candle_core::{DType, Device, Tensor};
use rnn_zoo_models::{Network, State, TokenStream};

use crate::Result;

/// A model as it is now, that reads texts side by side and scores what comes next in each. Making one packs all
/// weights; it serves for any number of texts, one batch of them after another.
///
/// On the CPU each text comes out to the bit as it would alone. A GPU rounds a product by its size.
pub struct Reader<'a> {
    network: &'a dyn Network,
    device: Device,
    by: By,
    /// Logits, (texts, vocabulary).
    scores: Vec<f32>,
    texts: usize,
}

enum By {
    /// With all that can be prepared.
    Stream(TokenStream),
    /// Through tensors, where there is no stream.
    Tensors(State),
}

impl<'a> Reader<'a> {
    /// A reader with a model that lies on `device`.
    ///
    /// # Errors
    /// Those of the device.
    pub fn new(network: &'a dyn Network, device: &Device) -> Result<Self> {
        let by = match network.stream()? {
            Some(stream) => By::Stream(stream),
            None => By::Tensors(network.zero_state(1)?),
        };
        Ok(Self { network, device: device.clone(), by, scores: vec![], texts: 1 })
    }

    /// Tokens that it knows.
    pub(super) fn vocabulary(&self) -> usize {
        self.network.decoder().weight().dims()[0]
    }

    /// Lets go of all texts and begins with others, from `state`, (layers, texts, hidden).
    pub(super) fn begin(&mut self, state: &State) -> Result<()> {
        match &mut self.by {
            By::Stream(stream) => stream.set_state(state)?,
            By::Tensors(own) => *own = state.clone(),
        }
        self.texts = state.h.dim(1)?;
        self.scores.clear();
        Ok(())
    }

    /// Goes on with the texts of the numbers `texts`, in that order, perhaps some of them twice; each reads its
    /// token.
    pub(super) fn read(&mut self, texts: &[usize], tokens: &[u32]) -> Result<()> {
        let same = texts.len() == self.texts && texts.iter().enumerate().all(|(at, &text)| at == text);
        self.texts = texts.len();
        self.scores.clear();
        match &mut self.by {
            By::Stream(stream) => {
                if !same {
                    stream.select(texts)?;
                }
                stream.read_all(tokens)?;
                for text in 0..tokens.len() {
                    self.scores.extend_from_slice(stream.scores(text)?);
                }
            }
            By::Tensors(state) => {
                let Self { network, device, .. } = self;
                // The processor rounds a product of several rows otherwise than one of a single row, and a text
                // must not depend on what stands beside it.
                let together = if device.is_cpu() { 1 } else { tokens.len() };
                let mut states = vec![];
                for (texts, tokens) in texts.chunks(together).zip(tokens.chunks(together)) {
                    let inputs = Tensor::new(tokens, device)?.unsqueeze(1)?; // (texts, 1)
                    let (hidden, after) = network.encode(&inputs, Some(&state.select(texts)?), None)?;
                    // Detached: with parameters in training the graph would grow with every token.
                    states.push(after.detach());
                    let scores = network.decode(&hidden.detach().squeeze(1)?)?.to_dtype(DType::F32)?;
                    self.scores.extend(scores.flatten_all()?.to_vec1::<f32>()?);
                }
                *state = State::join(&states)?;
            }
        }
        Ok(())
    }

    /// Logits of the next token of a text, one for each of the vocabulary.
    pub(super) fn scores(&self, text: usize) -> &[f32] {
        let vocabulary = self.scores.len() / self.texts.max(1);
        &self.scores[text * vocabulary..][..vocabulary]
    }

    /// The state of a text, (layers, 1, hidden), after the token that it read last.
    pub(super) fn state(&mut self, text: usize) -> Result<State> {
        Ok(match &mut self.by {
            By::Stream(stream) => stream.state()?.select(&[text])?,
            By::Tensors(state) => state.select(&[text])?,
        })
    }
}
