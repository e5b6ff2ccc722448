//! A tagger: one tag for every word, from the word, its characters and further columns of the data.
//!
//! ```text
//! s_w = [last forward state, last backward state] of a stack over the characters of w
//! x_t = dropout([E[w_t], s_{w_t}, columns of w_t])
//! h_t = rnn(x_t, h_{t-1})                        usually in both directions
//! e_t = W dropout(h_t) + b                       the emissions, one for each tag
//! p(tags) = softmax(e_t) at every step, or a conditional random field over all steps
//! ```
//!
//! | parameter | shape |
//! |---|---|
//! | `encoder.weight` | (words, embedding) |
//! | `characters.encoder.weight` | (characters, features), with `characters` |
//! | `characters.rnn.*` | those of the stack over characters |
//! | `columns.N.weight` | (values, features) of further column N |
//! | `rnn.*` | those of the stack |
//! | `decoder.weight`, `decoder.bias` | (tags, output size), (tags) |
//! | `crf.*` | those of [`Crf`], with `crf` |
//!
//! Huang et al. 2015 and Lample et al. 2016 describe the network. The stack over characters reads each distinct word of
//! a batch once.

use candle_core::{D, Result, Tensor, bail};
use candle_nn::VarBuilder;
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::inputs::{Inputs, Words};
use crate::layers::config::{check_probability, check_size};
use crate::layers::crf::Crf;
use crate::layers::dropout::{DropoutMask, Noise, dropout};
use crate::layers::embedding::{EMBEDDING_DISTRIBUTION, Embedding, embedding};
use crate::layers::linear::{Linear, linear_zero_bias};
use crate::layers::recurrent::Recurrent;
use crate::layers::state::State;
use crate::network::{Encoded, Network};
use crate::recurrent_config::RecurrentConfig;

/// The configuration of a [`Tagger`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaggerConfig {
    /// Number of words that can be read.
    pub vocabulary_size: usize,
    /// Features of a word's embedding.
    pub embedding_size: usize,
    /// The network over the characters of a word; `None` if it reads words alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub characters: Option<CharactersConfig>,
    /// Further columns of the data.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<ColumnConfig>,
    /// Number of tags.
    pub outputs: usize,
    /// Whether a conditional random field scores whole sequences of tags.
    pub crf: bool,
    /// Dropout on the features of words and on the stack's output; locked if the stack's dropout is.
    pub dropout: f64,
    /// The recurrent stack. Its input size is the sum of the features of a word's embedding, its characters and its
    /// columns.
    pub rnn: RecurrentConfig,
}

/// The network over the characters of a word.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CharactersConfig {
    /// Number of characters that can be read.
    pub vocabulary_size: usize,
    /// The stack, whose input size is the features of a character.
    pub rnn: RecurrentConfig,
}

/// A further column of the data, such as part-of-speech tags.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ColumnConfig {
    /// Number of different values.
    pub vocabulary_size: usize,
    /// Features of a value's embedding.
    pub embedding_size: usize,
}

/// A network that gives each word of a sentence a tag.
pub struct Tagger {
    encoder: Embedding,
    characters: Option<Characters>,
    columns: Vec<Embedding>,
    rnn: Box<dyn Recurrent>,
    decoder: Linear,
    crf: Option<Crf>,
    dropout: f64,
    mask: DropoutMask,
}

/// An embedding of characters with a stack over the characters of a word.
struct Characters {
    encoder: Embedding,
    rnn: Box<dyn Recurrent>,
}

impl Characters {
    #[allow(clippy::needless_pass_by_value)] // as candle's own constructors take it
    fn new(config: &CharactersConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let rnn = config.rnn.build(vb.pp("rnn"))?;
        let encoder = embedding(config.vocabulary_size, rnn.input_size(), vb.pp("encoder"))?;
        Ok(Self { encoder, rnn })
    }

    /// Compute the features of each word, (batch, time, output size).
    fn forward(&self, words: &Words, noise: Noise<'_>) -> Result<Tensor> {
        let xs = self.encoder.forward(&words.characters)?; // (spellings, characters, features)
        let output = self.rnn.run_t(&xs, None, Some(&words.character_counts), noise)?;
        let spellings = output.last()?; // (spellings, output size)
        let (batch, time) = words.spellings.dims2()?;
        let features = spellings.index_select(&words.spellings.flatten_all()?, 0)?;
        features.reshape((batch, time, self.rnn.output_size()))
    }
}

impl Tagger {
    /// Take the parameters from `vb`.
    ///
    /// # Errors
    /// If the configuration is invalid, or a parameter is missing or has another shape.
    #[allow(clippy::needless_pass_by_value)] // as candle's own constructors take it
    pub fn new(config: &TaggerConfig, vb: VarBuilder<'_>) -> Result<Self> {
        check_size("outputs", config.outputs)?;
        check_probability("dropout", config.dropout)?;
        let characters = config.characters.as_ref();
        let characters = characters.map(|config| Characters::new(config, vb.pp("characters"))).transpose()?;
        let spelled = characters.as_ref().map_or(0, |characters| characters.rnn.output_size());
        let described: usize = config.columns.iter().map(|column| column.embedding_size).sum();
        let rnn = config.rnn.build(vb.pp("rnn"))?;
        let features = config.embedding_size + spelled + described;
        if rnn.input_size() != features {
            bail!("input_size is {}; the features of a word are {features}", rnn.input_size());
        }
        let columns = config.columns.iter().enumerate().map(|(column, config)| {
            embedding(config.vocabulary_size, config.embedding_size, vb.pp(format!("columns.{column}")))
        });
        let width = rnn.output_size();
        let decoder = linear_zero_bias(width, config.outputs, vb.pp("decoder"))?;
        Ok(Self {
            encoder: embedding(config.vocabulary_size, config.embedding_size, vb.pp("encoder"))?,
            characters,
            columns: columns.collect::<Result<_>>()?,
            decoder,
            crf: config.crf.then(|| Crf::new(config.outputs, vb.pp("crf"))).transpose()?,
            rnn,
            dropout: config.dropout,
            mask: config.rnn.stack().dropout_mask(),
        })
    }

    /// Compute the features of each word, (batch, time, features).
    fn features(&self, words: &Words, noise: Noise<'_>) -> Result<Tensor> {
        if words.columns.len() != self.columns.len() {
            bail!("{} further columns; expected {}", words.columns.len(), self.columns.len());
        }
        let mut features = vec![self.encoder.forward(&words.tokens)?];
        if let Some(characters) = &self.characters {
            features.push(characters.forward(words, noise)?);
        }
        for (embedding, values) in self.columns.iter().zip(&words.columns) {
            features.push(embedding.forward(values)?);
        }
        Tensor::cat(&features, D::Minus1)
    }
}

impl Network for Tagger {
    fn encode_t(
        &self,
        inputs: &Inputs,
        state: Option<&State>,
        lengths: Option<&[usize]>,
        mut noise: Noise<'_>,
    ) -> Result<Encoded> {
        let xs = self.features(inputs.as_words()?, noise.as_deref_mut())?; // (batch, time, features)
        let xs = dropout(&xs, self.dropout, self.mask, noise.as_deref_mut())?;
        let output = self.rnn.run_t(&xs, state, lengths, noise.as_deref_mut())?;
        let hidden = dropout(&output.ys, self.dropout, self.mask, noise)?; // (batch, time, output)
        Ok(Encoded { hidden, state: output.state, penalty: None })
    }

    fn output_layer(&self) -> &Linear {
        &self.decoder
    }

    fn crf(&self) -> Option<&Crf> {
        self.crf.as_ref()
    }

    fn zero_state(&self, batch: usize) -> Result<State> {
        self.rnn.zero_state(batch)
    }

    fn repack(&self) {
        self.rnn.repack();
        if let Some(characters) = &self.characters {
            characters.rnn.repack();
        }
    }

    fn reset_parameters(&self, rng: &mut dyn Rng) -> Result<()> {
        EMBEDDING_DISTRIBUTION.draw(self.encoder.weight(), rng)?;
        if let Some(Characters { encoder, rnn }) = &self.characters {
            EMBEDDING_DISTRIBUTION.draw(encoder.weight(), rng)?;
            rnn.reset_parameters(rng)?;
        }
        for column in &self.columns {
            EMBEDDING_DISTRIBUTION.draw(column.weight(), rng)?;
        }
        self.rnn.reset_parameters(rng)?;
        self.decoder.reset_zero_bias(rng)?;
        self.crf.as_ref().map_or(Ok(()), |crf| crf.reset_parameters(rng))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};
    use candle_nn::VarMap;

    use super::*;
    use crate::{GruConfig, LstmConfig, Merge, StackOptions};

    fn both(input: usize, hidden: usize) -> StackOptions {
        StackOptions { bidirectional: Some(Merge::Concat), ..StackOptions::new(input, hidden) }
    }

    fn config() -> TaggerConfig {
        TaggerConfig {
            vocabulary_size: 20,
            embedding_size: 5,
            characters: Some(CharactersConfig {
                vocabulary_size: 9,
                rnn: RecurrentConfig::Gru(GruConfig::from(both(3, 4))),
            }),
            columns: vec![ColumnConfig { vocabulary_size: 6, embedding_size: 2 }],
            outputs: 7,
            crf: true,
            dropout: 0.,
            rnn: RecurrentConfig::Lstm(LstmConfig::from(both(5 + 8 + 2, 6))),
        }
    }

    fn tagger(config: &TaggerConfig) -> Result<Tagger> {
        let map = VarMap::new();
        Tagger::new(config, VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu))
    }

    fn rows(rows: &[Vec<u32>]) -> Tensor {
        Tensor::new(rows.to_vec(), &Device::Cpu).unwrap()
    }

    /// Two sentences of three words and one, padded to `time` steps, whose spellings are padded to `longest`.
    fn words(time: usize, longest: usize) -> Inputs {
        let padded = |row: &[u32], length: usize| {
            let mut row = row.to_vec();
            row.resize(length, 0);
            row
        };
        let batch = |sentences: [&[u32]; 2]| rows(&sentences.map(|row| padded(row, time)));
        let characters: [&[u32]; 3] = [&[1, 2], &[3], &[4, 5, 6]];
        Inputs::Words(Words {
            tokens: batch([&[1, 2, 3], &[2]]),
            columns: vec![batch([&[5, 4, 3], &[1]])],
            spellings: batch([&[0, 1, 2], &[1]]),
            characters: rows(&characters.map(|row| padded(row, longest))),
            character_counts: vec![2, 1, 3],
        })
    }

    #[test]
    fn padding_of_words_and_characters_changes_nothing() {
        let model = tagger(&config()).unwrap();
        let emissions = |inputs: &Inputs| -> Vec<Vec<Vec<f32>>> {
            let (hidden, _) = model.encode(inputs, None, Some(&[3, 1])).unwrap();
            model.outputs(&hidden).unwrap().to_vec3().unwrap() // (batch, time, tags)
        };
        let (short, long) = (emissions(&words(3, 3)), emissions(&words(5, 8)));
        assert_eq!(short[0], long[0][..3]);
        assert_eq!(short[1][0], long[1][0]);
    }

    #[test]
    fn a_batch_may_be_empty() {
        let model = tagger(&config()).unwrap();
        let none = Tensor::zeros((0, 3), DType::U32, &Device::Cpu).unwrap();
        let inputs = Inputs::Words(Words {
            tokens: none.clone(),
            columns: vec![none.clone()],
            spellings: none,
            characters: rows(&[vec![1, 2]]),
            character_counts: vec![2],
        });
        let (hidden, _) = model.encode(&inputs, None, Some(&[])).unwrap();
        assert_eq!(model.outputs(&hidden).unwrap().dims(), [0, 3, 7]);
    }

    /// The features of a word: its embedding, the last state of each direction over its characters, its column's.
    fn features_of(model: &Tagger, (word, spelling, value): (u32, &[u32], u32)) -> Vec<f32> {
        let row = |embedding: &Embedding, index: u32| -> Vec<f32> {
            embedding.weight().get(index as usize).unwrap().to_vec1().unwrap()
        };
        let Characters { encoder, rnn } = model.characters.as_ref().unwrap();
        let characters: Vec<Vec<f32>> = spelling.iter().map(|&character| row(encoder, character)).collect();
        let states = states(rnn.as_ref(), characters);
        let (forward, backward) = (&states[states.len() - 1][..4], &states[0][4..]);
        [&row(&model.encoder, word), forward, backward, &row(&model.columns[0], value)].concat()
    }

    /// The states of a stack over one sequence.
    fn states(rnn: &dyn Recurrent, xs: Vec<Vec<f32>>) -> Vec<Vec<f32>> {
        let xs = Tensor::new(xs, &Device::Cpu).unwrap().unsqueeze(0).unwrap(); // (1, time, features)
        rnn.run(&xs, None, None).unwrap().ys.squeeze(0).unwrap().to_vec2().unwrap()
    }

    #[test]
    fn emissions_are_those_of_words_spelled_and_sentences_read_one_by_one() {
        let model = tagger(&config()).unwrap();
        let (hidden, _) = model.encode(&words(3, 3), None, Some(&[3, 1])).unwrap();
        let found: Vec<Vec<Vec<f32>>> = model.outputs(&hidden).unwrap().to_vec3().unwrap(); // (batch, time, tags)
        // As `words` has them.
        let sentences: [&[(u32, &[u32], u32)]; 2] =
            [&[(1, &[1, 2], 5), (2, &[3], 4), (3, &[4, 5, 6], 3)], &[(2, &[3], 1)]];
        let weight: Vec<Vec<f32>> = model.decoder.weight().to_vec2().unwrap(); // (tags, output)
        let bias: Vec<f32> = model.decoder.bias().unwrap().to_vec1().unwrap();
        for (sentence, found) in sentences.iter().zip(&found) {
            let xs = sentence.iter().map(|&word| features_of(&model, word)).collect();
            for (state, found) in states(model.rnn.as_ref(), xs).iter().zip(found) {
                for ((row, bias), found) in weight.iter().zip(&bias).zip(found) {
                    let expected = row.iter().zip(state).map(|(w, h)| w * h).sum::<f32>() + bias;
                    assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
                }
            }
        }
    }

    #[test]
    fn other_inputs_and_other_sizes_are_refused() {
        let model = tagger(&config()).unwrap();
        let tokens = Inputs::from(rows(&[vec![1, 2]]));
        let problem = model.encode(&tokens, None, None).map(drop).unwrap_err().to_string();
        assert!(problem.contains("expected words with characters; found tokens or features"), "{problem}");
        let narrow = TaggerConfig { embedding_size: 4, ..config() };
        let problem = tagger(&narrow).map(drop).unwrap_err().to_string();
        assert!(problem.contains("input_size is 15; the features of a word are 14"), "{problem}");
    }
}
