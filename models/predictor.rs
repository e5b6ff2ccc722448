//! A recurrent stack with a linear layer on top: a class or value for a whole sequence, or a tag or value for every
//! step.
//!
//! ```text
//! x_t = E[w_t], or the features themselves
//! h_t = rnn(x_t, h_{t-1})
//! y = W dropout(r) + b                           r is h_t at every step, or one vector of all; see `readout.rs`
//! ```
//!
//! | parameter | shape |
//! |---|---|
//! | `encoder.weight` | (vocabulary, embedding), only for tokens |
//! | `rnn.*` | those of the stack |
//! | `attention.*` | those of the readout, only for attention |
//! | `decoder.weight`, `decoder.bias` | (outputs, output size), (outputs) |

use candle_core::{Module, Result, Tensor};
use candle_nn::VarBuilder;
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::inputs::Inputs;
use crate::layers::config::{check_probability, check_size};
use crate::layers::dropout::{DropoutMask, Noise, dropout};
use crate::layers::embedding::{EMBEDDING_DISTRIBUTION, Embedding, check_vocabulary, embedding};
use crate::layers::linear::{Linear, linear_zero_bias};
use crate::layers::module::ForwardT;
use crate::layers::recurrent::Recurrent;
use crate::layers::state::State;
use crate::network::{Encoded, Network};
use crate::readout::{Readout, ReadoutLayer};
use crate::recurrent_config::RecurrentConfig;

/// The configuration of a [`Predictor`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PredictorConfig {
    /// Number of tokens that can be read, each embedded with the features of the stack's input; `None` if the
    /// inputs are features.
    pub vocabulary_size: Option<usize>,
    /// Number of classes, tags or values.
    pub outputs: usize,
    /// The vectors of the stack's outputs that the linear layer reads.
    pub readout: Readout,
    /// Dropout on the embeddings and on the stack's output; locked if the stack's dropout is.
    pub dropout: f64,
    /// Probability that a token's embedding is dropped throughout a batch (Gal and Ghahramani 2016).
    #[serde(default)]
    pub embedding_dropout: f64,
    /// The recurrent stack.
    pub rnn: RecurrentConfig,
}

impl PredictorConfig {
    /// Configure a predictor of features, without dropout.
    pub fn new(outputs: usize, readout: Readout, rnn: RecurrentConfig) -> Self {
        Self { vocabulary_size: None, outputs, readout, dropout: 0., embedding_dropout: 0., rnn }
    }
}

/// A recurrent stack with a linear layer on top.
pub struct Predictor {
    encoder: Option<Embedding>,
    rnn: Box<dyn Recurrent>,
    reader: ReadoutLayer,
    decoder: Linear,
    dropout: f64,
    mask: DropoutMask,
    embedding_dropout: f64,
}

impl Predictor {
    /// Take the parameters from `vb`.
    ///
    /// # Errors
    /// If the configuration is invalid, or a parameter is missing or has another shape.
    #[allow(clippy::needless_pass_by_value)] // as candle's own constructors take it
    pub fn new(config: &PredictorConfig, vb: VarBuilder<'_>) -> Result<Self> {
        check_size("outputs", config.outputs)?;
        check_probability("dropout", config.dropout)?;
        check_probability("embedding_dropout", config.embedding_dropout)?;
        config.vocabulary_size.map_or(Ok(()), check_vocabulary)?; // before the stack is allocated
        let rnn = config.rnn.build(vb.pp("rnn"))?;
        let encoder = config
            .vocabulary_size
            .map(|size| embedding(size, rnn.input_size(), vb.pp("encoder")))
            .transpose()?;
        let width = rnn.output_size();
        let decoder = linear_zero_bias(width, config.outputs, vb.pp("decoder"))?;
        Ok(Self {
            encoder,
            reader: ReadoutLayer::new(config.readout, width, &vb)?,
            decoder,
            rnn,
            dropout: config.dropout,
            mask: config.rnn.stack().dropout_mask(),
            embedding_dropout: config.embedding_dropout,
        })
    }
}

impl Network for Predictor {
    fn encode_t(
        &self,
        inputs: &Inputs,
        state: Option<&State>,
        lengths: Option<&[usize]>,
        mut noise: Noise<'_>,
    ) -> Result<Encoded> {
        let inputs = inputs.as_steps()?; // (batch, time) or (batch, time, features)
        let xs = match &self.encoder {
            Some(encoder) => {
                // (batch, time, embedding)
                let xs = encoder.forward_t(inputs, self.embedding_dropout, noise.as_deref_mut())?;
                dropout(&xs, self.dropout, self.mask, noise.as_deref_mut())?
            }
            None => inputs.to_dtype(self.decoder.weight().dtype())?, // features come in f32
        };
        let output = self.rnn.run_t(&xs, state, lengths, noise.as_deref_mut())?;
        let hidden = self.reader.read(&output, lengths)?; // (batch, time, output) or (batch, output)
        // A single vector cannot share its mask.
        let share = if self.reader.is_every() { self.mask } else { DropoutMask::PerElement };
        let hidden = dropout(&hidden, self.dropout, share, noise)?;
        Ok(Encoded { hidden, state: output.state, penalty: None })
    }

    fn output_layer(&self) -> &Linear {
        &self.decoder
    }

    fn zero_state(&self, batch: usize) -> Result<State> {
        self.rnn.zero_state(batch)
    }

    fn repack(&self) {
        self.rnn.repack();
    }

    fn reset_parameters(&self, rng: &mut dyn Rng) -> Result<()> {
        if let Some(encoder) = &self.encoder {
            EMBEDDING_DISTRIBUTION.draw(encoder.weight(), rng)?;
        }
        self.rnn.reset_parameters(rng)?;
        self.decoder.reset_zero_bias(rng)?;
        self.reader.reset_parameters(rng)
    }
}

/// The outputs from a zero state and without dropout, of tokens (batch, time) or features (batch, time, features):
/// (batch, outputs), or (batch, time, outputs) with [`Readout::Every`].
impl Module for Predictor {
    fn forward(&self, inputs: &Tensor) -> Result<Tensor> {
        self.forward_with(inputs, None)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};
    use candle_nn::VarMap;

    use super::*;
    use crate::GruConfig;

    #[test]
    fn a_module_has_the_outputs_of_its_readout() {
        let pooled = Readout::POOLED.map(|readout| (readout, vec![2, 3]));
        for (readout, dims) in pooled.into_iter().chain([(Readout::Every, vec![2, 5, 3])]) {
            let config = PredictorConfig::new(3, readout, RecurrentConfig::Gru(GruConfig::new(4, 6)));
            let map = VarMap::new();
            let vb = VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu);
            let model = Predictor::new(&config, vb).unwrap();
            let xs = Tensor::rand(-1f32, 1., (2, 5, 4), &Device::Cpu).unwrap();
            let found = Module::forward(&model, &xs).unwrap();
            let (hidden, _) = model.encode(&(&xs).into(), None, None).unwrap();
            let expected = model.outputs(&hidden).unwrap();
            assert_eq!(found.dims(), dims);
            let values = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert_eq!(values(&found), values(&expected));
        }
    }
}
