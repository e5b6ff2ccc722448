//! A translator: an encoder reads the source, and a decoder with attention writes the target.
//!
//! ```text
//! m_1..m_S = dropout(encoder(dropout(E[source])))    usually in both directions
//! h_0 = tanh(B [last forward state, last backward state] + b)
//! a_t, h_t = decoder(dropout(F[w_{t-1}]), a_{t-1}, h_{t-1}, m)    attention and input feeding
//! p(w_t | w_1..w_{t-1}, source) = softmax(W P dropout(a_t) + b)   P only if W is tied and a has other features
//! ```
//!
//! | parameter | shape |
//! |---|---|
//! | `encoder.weight` | E (source vocabulary, embedding) |
//! | `rnn.*` | those of the encoder's stack |
//! | `bridge.h.*`, `bridge.c.*` | B (hidden, directions * hidden) and b (hidden), of the hidden state and of an LSTM's cell state |
//! | `target.encoder.weight` | F (target vocabulary, embedding), absent if it is shared with `encoder.weight` |
//! | `target.rnn.*` | those of [`AttentionDecoder`](crate::AttentionDecoder) |
//! | `projection.weight` | P (embedding, hidden), only if the weights are tied and these sizes differ |
//! | `decoder.weight` | W (target vocabulary, hidden), absent if it is tied to F |
//! | `decoder.bias` | (target vocabulary) |
//!
//! Luong et al. 2015 describe attention and input feeding; Bahdanau et al. 2015 the encoder and the initial state. An
//! LSTM's cell state starts from B' c + b', without tanh. The decoder has one layer of the encoder's kind of cell.

use candle_core::{D, Result, Tensor, bail};
use candle_nn::VarBuilder;
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::gru::GruCell;
use crate::inputs::Inputs;
use crate::layers::attention::{
    AttendedStep, AttentionDecoder, AttentionMemory, AttentionScore, AttentionState, DecodeWithAttention,
};
use crate::layers::cell::Cell;
use crate::layers::config::{StackConfig, StackOptions, check_probability};
use crate::layers::dropout::{DropoutMask, Noise, dropout};
use crate::layers::embedding::{EMBEDDING_DISTRIBUTION, Embedding, check_vocabulary, embedding};
use crate::layers::init::{Distribution, parameter};
use crate::layers::linear::{Linear, linear, linear_no_bias};
use crate::layers::recurrent::Recurrent;
use crate::layers::state::State;
use crate::lstm::LstmCell;
use crate::network::{Encoded, Network};
use crate::recurrent_config::RecurrentConfig;
use crate::sequence_to_sequence::{SequenceToSequence, WrittenStep};
use crate::simple_rnn::SimpleRnnCell;

/// The configuration of a [`Translator`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TranslatorConfig {
    /// Number of tokens of the source.
    pub source_vocabulary: usize,
    /// Number of tokens of the target.
    pub target_vocabulary: usize,
    /// The attention's score of a step of the source.
    pub score: AttentionScore,
    /// Whether the output layer uses the target's embedding matrix, after a projection if the decoder has other
    /// features.
    pub tied: bool,
    /// Whether source and target have one vocabulary and one embedding.
    pub shared: bool,
    /// Dropout on the embeddings, the encoder's outputs and the decoder's outputs; locked if the stack's dropout is.
    pub dropout: f64,
    /// The encoder's stack. Its input size is the width of both embeddings, its hidden size that of the decoder too.
    pub rnn: RecurrentConfig,
}

/// A network that translates: source tokens to target tokens.
pub struct Translator {
    source: Embedding,
    rnn: Box<dyn Recurrent>,
    bridge: Bridge,
    target: Embedding,
    target_rnn: Box<dyn DecodeWithAttention>,
    projection: Option<Linear>,
    decoder: Linear,
    dropout: f64,
    mask: DropoutMask,
}

/// The layers from the encoder's last state to the decoder's first.
struct Bridge {
    h: Linear,
    c: Option<Linear>,
    directions: usize,
}

impl Bridge {
    /// Compute the decoder's first state, (1, batch, hidden), from the states after the last step of each source.
    fn forward(&self, last: &State) -> Result<State> {
        let top = |states: &Tensor| {
            let (layers, batch, hidden) = states.dims3()?;
            let states = states.narrow(0, layers - self.directions, self.directions)?;
            states.transpose(0, 1)?.contiguous()?.reshape((batch, self.directions * hidden))
        };
        let h = self.h.forward(&top(&last.h)?)?.tanh()?.unsqueeze(0)?;
        let c = match (&self.c, &last.c) {
            (Some(layer), Some(c)) => Some(layer.forward(&top(c)?)?.unsqueeze(0)?),
            _ => None,
        };
        Ok(State { h, c })
    }

    fn layers(&self) -> impl Iterator<Item = &Linear> {
        [Some(&self.h), self.c.as_ref()].into_iter().flatten()
    }
}

impl Translator {
    /// Take the parameters from `vb`.
    ///
    /// # Errors
    /// If the configuration is invalid, an LSTM has a projection, or a parameter is missing or has another shape.
    #[allow(clippy::needless_pass_by_value)] // as candle's own constructors take it
    pub fn new(config: &TranslatorConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let TranslatorConfig { source_vocabulary, target_vocabulary, tied, shared, .. } = *config;
        check_probability("dropout", config.dropout)?;
        check_vocabulary(target_vocabulary)?;
        if shared && source_vocabulary != target_vocabulary {
            bail!(
                "a shared embedding has one vocabulary; found {source_vocabulary} source and {target_vocabulary} \
                 target tokens"
            );
        }
        let rnn = config.rnn.build(vb.pp("rnn"))?;
        let stack = config.rnn.stack();
        let (features, hidden, directions) = (stack.input_size, stack.hidden_size, stack.directions());
        let source = embedding(source_vocabulary, features, vb.pp("encoder"))?;
        let in_target = vb.pp("target");
        let target = match shared {
            true => source.clone(),
            false => embedding(target_vocabulary, features, in_target.pp("encoder"))?,
        };
        let target_rnn = decoder_of(config, rnn.output_size(), in_target.pp("rnn"))?;
        let bridge = vb.pp("bridge");
        let has_c = matches!(config.rnn, RecurrentConfig::Lstm(_));
        let projection = (tied && features != hidden)
            .then(|| linear_no_bias(hidden, features, vb.pp("projection")))
            .transpose()?;
        let weight = match tied {
            true => target.weight().clone(),
            false => parameter(&vb, (target_vocabulary, hidden), "decoder.weight", EMBEDDING_DISTRIBUTION)?,
        };
        let bias = parameter(&vb, target_vocabulary, "decoder.bias", Distribution::Constant(0.))?;
        Ok(Self {
            source,
            rnn,
            bridge: Bridge {
                h: linear(directions * hidden, hidden, bridge.pp("h"))?,
                c: has_c.then(|| linear(directions * hidden, hidden, bridge.pp("c"))).transpose()?,
                directions,
            },
            target,
            target_rnn,
            projection,
            decoder: Linear::new(weight, Some(bias)),
            dropout: config.dropout,
            mask: stack.dropout_mask(),
        })
    }

    /// Run the encoder over source tokens, (batch, source).
    fn read(
        &self,
        source: &Tensor,
        lengths: Option<&[usize]>,
        mut noise: Noise<'_>,
    ) -> Result<(AttentionMemory, AttentionState)> {
        let xs = self.source.forward(source)?; // (batch, source, embedding)
        let xs = dropout(&xs, self.dropout, self.mask, noise.as_deref_mut())?;
        let output = self.rnn.run_t(&xs, None, lengths, noise.as_deref_mut())?;
        let outputs = dropout(&output.ys, self.dropout, self.mask, noise)?; // (batch, source, memory)
        let state = self.target_rnn.start(self.bridge.forward(&output.state)?)?;
        Ok((self.target_rnn.memory(&outputs, lengths)?, state))
    }

    /// Compute what the output layer reads: (.., hidden) to (.., embedding or hidden).
    fn project(&self, attentional: &Tensor) -> Result<Tensor> {
        self.projection.as_ref().map_or_else(|| Ok(attentional.clone()), |layer| layer.forward(attentional))
    }
}

/// Make the decoder, of the same kind of cell as the encoder.
fn decoder_of(
    config: &TranslatorConfig,
    memory: usize,
    vb: VarBuilder<'_>,
) -> Result<Box<dyn DecodeWithAttention>> {
    fn decoder<C: Cell + 'static>(
        rnn: &StackConfig<C::Options>,
        memory: usize,
        score: AttentionScore,
        vb: VarBuilder<'_>,
    ) -> Result<Box<dyn DecodeWithAttention>> {
        let StackOptions { input_size, hidden_size, bias, layer_norm, init, .. } = rnn.stack;
        let one_layer = StackOptions { bias, layer_norm, init, ..StackOptions::new(input_size, hidden_size) };
        let config = one_layer.with_cell(rnn.cell.clone());
        Ok(Box::new(AttentionDecoder::<C>::new(&config, memory, score, vb)?))
    }
    let score = config.score;
    match &config.rnn {
        RecurrentConfig::SimpleRnn(rnn) => decoder::<SimpleRnnCell>(rnn, memory, score, vb),
        RecurrentConfig::Lstm(rnn) => decoder::<LstmCell>(rnn, memory, score, vb),
        RecurrentConfig::Gru(rnn) => decoder::<GruCell>(rnn, memory, score, vb),
    }
}

/// With teacher forcing: each step reads the true token before it. `lengths` is that of the targets; steps beyond it do
/// not change those before.
impl Network for Translator {
    fn encode_t(
        &self,
        inputs: &Inputs,
        _state: Option<&State>,
        _lengths: Option<&[usize]>,
        mut noise: Noise<'_>,
    ) -> Result<Encoded> {
        let pair = inputs.as_pair()?;
        let (memory, state) =
            self.read(&pair.source, pair.source_lengths.as_deref(), noise.as_deref_mut())?;
        let xs = self.target.forward(&pair.target)?; // (batch, target, embedding)
        let xs = dropout(&xs, self.dropout, self.mask, noise.as_deref_mut())?;
        let attended = self.target_rnn.run(&xs, &memory, &state)?;
        let ys = dropout(&attended.ys, self.dropout, self.mask, noise)?; // (batch, target, hidden)
        Ok(Encoded { hidden: self.project(&ys)?, state: attended.state.cell, penalty: None })
    }

    fn output_layer(&self) -> &Linear {
        &self.decoder
    }

    fn sequence_to_sequence(&self) -> Option<&dyn SequenceToSequence> {
        Some(self)
    }

    fn zero_state(&self, batch: usize) -> Result<State> {
        Ok(self.target_rnn.zero_state(batch)?.cell)
    }

    fn repack(&self) {
        self.rnn.repack();
    }

    fn reset_parameters(&self, rng: &mut dyn Rng) -> Result<()> {
        let mut drawn = vec![];
        for (matrix, distribution) in [
            (self.source.weight(), EMBEDDING_DISTRIBUTION),
            (self.target.weight(), EMBEDDING_DISTRIBUTION),
            (self.decoder.weight(), EMBEDDING_DISTRIBUTION),
        ] {
            // Shared and tied matrices are drawn once.
            if !drawn.contains(&matrix.id()) {
                distribution.draw(matrix, rng)?;
                drawn.push(matrix.id());
            }
        }
        self.rnn.reset_parameters(rng)?;
        self.target_rnn.reset_parameters(rng)?;
        self.bridge.layers().chain(&self.projection).try_for_each(|layer| layer.reset(rng))?;
        self.decoder.bias().map_or(Ok(()), |bias| Distribution::Constant(0.).draw(bias, rng))
    }
}

impl SequenceToSequence for Translator {
    fn read_source(
        &self,
        source: &Tensor,
        lengths: Option<&[usize]>,
    ) -> Result<(AttentionMemory, AttentionState)> {
        self.read(source, lengths, None)
    }

    fn write_step(
        &self,
        tokens: &[u32],
        memory: &AttentionMemory,
        state: &AttentionState,
    ) -> Result<WrittenStep> {
        let tokens = Tensor::new(tokens, state.attentional.device())?.unsqueeze(D::Minus1)?; // (batch, 1)
        let x = self.target.forward(&tokens)?.squeeze(1)?; // (batch, embedding)
        let AttendedStep { y, weights, state } = self.target_rnn.step(&x, memory, state)?;
        Ok(WrittenStep { scores: self.outputs(&self.project(&y)?)?, weights, state })
    }
}

#[cfg(test)]
mod tests;
