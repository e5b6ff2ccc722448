//! The recurrent neural network language model (Mikolov et al. 2010): read a token, update the state, predict the
//! next token.
//!
//! ```text
//! e_t = dropout(E[w_t])                          an embedding for every token
//! h_t = rnn(e_t, h_{t-1})                        any recurrent stack
//! d_t = P dropout(h_t)                           P only if W is tied and h has other features
//! p(w_{t+1} | w_1..w_t) = softmax(W d_t + b)
//! loss = -mean log p(w_{t+1} | w_1..w_t)         perplexity = exp(loss)
//! ```
//!
//! | parameter | shape |
//! |---|---|
//! | `encoder.weight` | (vocabulary, embedding) |
//! | `rnn.*` | those of the stack |
//! | `projection.weight` | (embedding, output), only if the weights are tied and these sizes differ |
//! | `decoder.weight` | (vocabulary, output), absent if it is tied to `encoder.weight` |
//! | `decoder.bias` | (vocabulary) |
//!
//! Tying the decoder to the encoder (Press and Wolf 2016; Inan et al. 2016) saves most of a word model's parameters
//! and lowers its perplexity. Training may also penalise large and quickly changing outputs (Merity et al. 2017); see
//! [`RnnlmConfig::ar`] and [`RnnlmConfig::tar`].
//!
//! # Example
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use candle_nn::{VarBuilder, VarMap};
//! use rnn_zoo_models::{LstmConfig, Network, RecurrentConfig, Rnnlm, RnnlmConfig};
//!
//! let parameters = VarMap::new();
//! let vb = VarBuilder::from_varmap(&parameters, DType::F32, &Device::Cpu);
//! let config = RnnlmConfig::new(100, RecurrentConfig::Lstm(LstmConfig::new(16, 32)));
//! let model = Rnnlm::new(&config, vb)?;
//! let tokens = Tensor::zeros((2, 5), DType::U32, &Device::Cpu)?;
//! let (hidden, state) = model.encode(&(&tokens).into(), None, None)?;
//! assert_eq!(model.outputs(&hidden)?.dims(), [2, 5, 100]); // one score for every word
//! # let _ = state;
//! # Ok::<(), candle_core::Error>(())
//! ```

use candle_core::{Module, Result, Tensor, bail};
use candle_nn::VarBuilder;
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::inputs::Inputs;
use crate::layers::config::check_probability;
use crate::layers::dropout::{DropoutMask, Noise, dropout};
use crate::layers::embedding::{EMBEDDING_DISTRIBUTION, Embedding, check_vocabulary};
use crate::layers::init::{Distribution, parameter};
use crate::layers::linear::{Linear, linear_distribution};
use crate::layers::module::ForwardT;
use crate::layers::recurrent::Recurrent;
use crate::layers::state::State;
use crate::network::{Encoded, Network, TokenStream};
use crate::ops::activity::{Penalties, penalty};
use crate::recurrent_config::RecurrentConfig;

/// The configuration of an [`Rnnlm`]. Its embedding has the features of the stack's input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RnnlmConfig {
    /// Number of tokens that can be read and predicted.
    pub vocabulary_size: usize,
    /// Dropout on the embeddings and on the stack's output; locked if the stack's dropout is.
    pub dropout: f64,
    /// Probability that a token's embedding is dropped throughout a batch (Gal and Ghahramani 2016).
    pub embedding_dropout: f64,
    /// Whether the decoder uses the embedding matrix, after a projection if the stack's output has other features.
    pub tied: bool,
    /// Weight of the mean squared output after dropout in the loss: activation regularization (Merity et al.
    /// 2017).
    #[serde(default)]
    pub ar: f64,
    /// Weight of the mean squared difference of successive outputs in the loss: temporal activation
    /// regularization.
    #[serde(default)]
    pub tar: f64,
    /// The recurrent stack.
    pub rnn: RecurrentConfig,
}

impl RnnlmConfig {
    /// Configure a model that is not tied, without dropout and penalties.
    pub fn new(vocabulary_size: usize, rnn: RecurrentConfig) -> Self {
        Self { vocabulary_size, dropout: 0., embedding_dropout: 0., tied: false, ar: 0., tar: 0., rnn }
    }
}

/// A recurrent language model.
pub struct Rnnlm {
    encoder: Embedding,
    rnn: Box<dyn Recurrent>,
    /// (embedding, output).
    projection: Option<Tensor>,
    decoder: Linear,
    dropout: f64,
    mask: DropoutMask,
    embedding_dropout: f64,
    penalties: Penalties,
}

impl Rnnlm {
    /// Take the parameters from `vb`.
    ///
    /// # Errors
    /// If the configuration is invalid, or a parameter is missing or has another shape.
    #[allow(clippy::needless_pass_by_value)] // as candle's own constructors take it
    pub fn new(config: &RnnlmConfig, vb: VarBuilder<'_>) -> Result<Self> {
        check_probability("dropout", config.dropout)?;
        check_probability("embedding_dropout", config.embedding_dropout)?;
        check_vocabulary(config.vocabulary_size)?;
        let rnn = config.rnn.build(vb.pp("rnn"))?;
        let (vocabulary, embedding, output) = (config.vocabulary_size, rnn.input_size(), rnn.output_size());
        if config.rnn.stack().bidirectional.is_some() {
            bail!("a language model reads from left to right: a bidirectional stack would see the answer");
        }
        for (name, weight) in [("ar", config.ar), ("tar", config.tar)] {
            if !(weight >= 0. && weight.is_finite()) {
                bail!("{name} is {weight}; expected a weight of at least 0");
            }
        }
        let projection = (config.tied && embedding != output)
            .then(|| parameter(&vb, (embedding, output), "projection.weight", linear_distribution(output)))
            .transpose()?;
        let encoder = parameter(&vb, (vocabulary, embedding), "encoder.weight", EMBEDDING_DISTRIBUTION)?;
        let weight = match config.tied {
            true => encoder.clone(),
            false => parameter(&vb, (vocabulary, output), "decoder.weight", EMBEDDING_DISTRIBUTION)?,
        };
        let bias = parameter(&vb, vocabulary, "decoder.bias", Distribution::Constant(0.))?;
        Ok(Self {
            encoder: Embedding::new(encoder),
            rnn,
            projection,
            decoder: Linear::new(weight, Some(bias)),
            dropout: config.dropout,
            mask: config.rnn.stack().dropout_mask(),
            embedding_dropout: config.embedding_dropout,
            penalties: Penalties { ar: config.ar, tar: config.tar },
        })
    }
}

impl Network for Rnnlm {
    fn encode_t(
        &self,
        inputs: &Inputs,
        state: Option<&State>,
        lengths: Option<&[usize]>,
        mut noise: Noise<'_>,
    ) -> Result<Encoded> {
        let trains = noise.is_some();
        let inputs = inputs.as_steps()?; // (batch, time)
        // (batch, time, embedding)
        let xs = self.encoder.forward_t(inputs, self.embedding_dropout, noise.as_deref_mut())?;
        let xs = dropout(&xs, self.dropout, self.mask, noise.as_deref_mut())?;
        let output = self.rnn.run_t(&xs, state, lengths, noise.as_deref_mut())?;
        let dropped = dropout(&output.ys, self.dropout, self.mask, noise)?; // (batch, time, output)
        let Penalties { ar, tar } = self.penalties;
        let penalty = (trains && (ar > 0. || tar > 0.))
            .then(|| penalty(self.penalties, &output.ys, &dropped, lengths))
            .transpose()?;
        let hidden = match &self.projection {
            Some(projection) => Linear::new(projection.clone(), None).forward(&dropped)?,
            None => dropped,
        };
        Ok(Encoded { hidden, state: output.state, penalty })
    }

    fn output_layer(&self) -> &Linear {
        &self.decoder
    }

    fn gates(&self, inputs: &Inputs) -> Result<Vec<(&'static str, Tensor)>> {
        self.rnn.gates(&self.encoder.forward(inputs.as_steps()?)?)
    }

    fn stream(&self) -> Result<Option<TokenStream>> {
        let projection = self.projection.clone().map(|weight| Linear::new(weight, None));
        let decoder: Vec<Linear> = projection.into_iter().chain([self.decoder.clone()]).collect();
        match self.rnn.stream(&decoder)? {
            Some(stream) => TokenStream::new(&self.encoder, stream).map(Some),
            None => Ok(None),
        }
    }

    fn zero_state(&self, batch: usize) -> Result<State> {
        self.rnn.zero_state(batch)
    }

    fn repack(&self) {
        self.rnn.repack();
    }

    fn reset_parameters(&self, rng: &mut dyn Rng) -> Result<()> {
        EMBEDDING_DISTRIBUTION.draw(self.encoder.weight(), rng)?;
        self.rnn.reset_parameters(rng)?;
        if self.decoder.weight().id() != self.encoder.weight().id() {
            EMBEDDING_DISTRIBUTION.draw(self.decoder.weight(), rng)?;
        }
        if let Some(projection) = &self.projection {
            linear_distribution(projection.dim(1)?).draw(projection, rng)?;
        }
        self.decoder.bias().map_or(Ok(()), |bias| Distribution::Constant(0.).draw(bias, rng))
    }
}

/// Scores of the next token at every step, from a zero state and without dropout: (batch, time) to
/// (batch, time, vocabulary).
impl Module for Rnnlm {
    fn forward(&self, tokens: &Tensor) -> Result<Tensor> {
        self.forward_with(tokens, None)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, ModuleT};
    use candle_nn::VarMap;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;
    use crate::{GruConfig, Merge, StackOptions, WithDropout};

    fn model(tied: bool) -> (Rnnlm, VarMap) {
        let map = VarMap::new();
        let vb = VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu);
        let config = RnnlmConfig { tied, ..RnnlmConfig::new(11, RecurrentConfig::Gru(GruConfig::new(4, 4))) };
        (Rnnlm::new(&config, vb).unwrap(), map)
    }

    #[test]
    fn dropout_of_a_module_acts_only_in_training() {
        let map = VarMap::new();
        let vb = VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu);
        let rnn = RecurrentConfig::Gru(GruConfig::new(4, 4));
        let model = Rnnlm::new(&RnnlmConfig { dropout: 0.5, ..RnnlmConfig::new(11, rnn) }, vb).unwrap();
        let tokens = Tensor::new(&[[1u32, 2, 3], [4, 5, 6]], &Device::Cpu).unwrap();
        let scores = |tensor: Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let (hidden, _) = model.encode(&(&tokens).into(), None, None).unwrap();
        let expected = model.outputs(&hidden).unwrap(); // (batch, time, vocabulary)
        assert_eq!(expected.dims(), [2, 3, 11]);
        let expected = scores(expected);
        assert_eq!(scores(Module::forward(&model, &tokens).unwrap()), expected);
        let model = WithDropout::new(model, ChaCha8Rng::seed_from_u64(1));
        assert_eq!(scores(model.forward_t(&tokens, false).unwrap()), expected);
        assert_ne!(scores(model.forward_t(&tokens, true).unwrap()), expected);
    }

    #[test]
    fn a_tied_decoder_shares_the_embedding_and_is_drawn_once() {
        let [(tied, tied_map), (untied, untied_map)] = [true, false].map(model);
        assert!(
            tied.decoder.weight().id() == tied.encoder.weight().id()
                && untied.decoder.weight().id() != untied.encoder.weight().id()
        );
        let [mut tied_rng, mut untied_rng] = [0, 0].map(ChaCha8Rng::seed_from_u64);
        tied.reset_parameters(&mut tied_rng).unwrap();
        untied.reset_parameters(&mut untied_rng).unwrap();
        // The untied model draws one more matrix, after all others.
        assert_eq!(untied_rng.get_word_pos() - tied_rng.get_word_pos(), 2 * 11 * 4);
        let [tied, untied] = [tied_map, untied_map].map(|map| map.data().lock().unwrap().clone());
        assert_eq!((tied.len(), tied.contains_key("decoder.weight")), (untied.len() - 1, false));
        for (name, var) in tied {
            let values = |var: &Tensor| var.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert_eq!(values(&var), values(&untied[&name]), "{name}");
        }
    }

    #[test]
    fn invalid_configurations_are_refused() {
        let problem = |config: RnnlmConfig| {
            let vb = VarBuilder::zeros(DType::F32, &Device::Cpu);
            Rnnlm::new(&config, vb).map(drop).unwrap_err().to_string()
        };
        let both = StackOptions { bidirectional: Some(Merge::Sum), ..StackOptions::new(4, 4) };
        let both = problem(RnnlmConfig::new(11, RecurrentConfig::Gru(both.into())));
        assert!(both.contains("reads from left to right"), "{both}");
        let rnn = || RecurrentConfig::Gru(GruConfig::new(4, 5));
        let negative = problem(RnnlmConfig { tar: -1., ..RnnlmConfig::new(11, rnn()) });
        assert!(negative.contains("tar is -1; expected a weight of at least 0"), "{negative}");
    }
}
