//! The models of the zoo by name, and the configuration of a whole network of any kind.

use candle_core::Result;
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};

use crate::forecaster::{Forecaster, ForecasterConfig};
use crate::layers::config::StackOptions;
use crate::network::Network;
use crate::predictor::{Predictor, PredictorConfig};
use crate::recurrent_config::RecurrentConfig;
use crate::rnnlm::{Rnnlm, RnnlmConfig};
use crate::tagger::{Tagger, TaggerConfig};
use crate::translator::{Translator, TranslatorConfig};

/// A model of the zoo.
#[derive(Clone, Copy, Debug)]
pub struct ModelEntry {
    /// The name of its cell or network in configurations.
    pub name: &'static str,
    /// A description in one line.
    pub summary: &'static str,
    /// The source of its equations.
    pub paper: &'static str,
    /// The source file with its equations.
    pub file: &'static str,
    /// A stack of this kind of cell with the cell's default options; `None` for a network.
    pub stack: Option<fn(StackOptions) -> RecurrentConfig>,
}

impl PartialEq for ModelEntry {
    /// Names are unique.
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// All models, simplest first.
pub const MODELS: [ModelEntry; 4] = [
    ModelEntry {
        name: "simple-rnn",
        summary: "one layer with feedback: h' = tanh(W x + U h + b)",
        paper: "Elman 1990",
        file: "models/simple_rnn.rs",
        stack: Some(|options| RecurrentConfig::SimpleRnn(options.into())),
    },
    ModelEntry {
        name: "lstm",
        summary: "a cell state behind three gates keeps information over many steps",
        paper: "Hochreiter and Schmidhuber 1997",
        file: "models/lstm.rs",
        stack: Some(|options| RecurrentConfig::Lstm(options.into())),
    },
    ModelEntry {
        name: "gru",
        summary: "two gates and one state, with three quarters of an LSTM's operations",
        paper: "Cho et al. 2014",
        file: "models/gru.rs",
        stack: Some(|options| RecurrentConfig::Gru(options.into())),
    },
    ModelEntry {
        name: "rnnlm",
        summary: "a language model with any of these cells",
        paper: "Mikolov et al. 2010",
        file: "models/rnnlm.rs",
        stack: None,
    },
];

/// The configuration of a whole network of any kind, as a bundle stores it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "network", rename_all = "kebab-case")]
pub enum ModelConfig {
    /// An [`Rnnlm`].
    Rnnlm(RnnlmConfig),
    /// A [`Predictor`].
    Predictor(PredictorConfig),
    /// A [`Tagger`].
    Tagger(TaggerConfig),
    /// A [`Translator`].
    Translator(TranslatorConfig),
    /// A [`Forecaster`].
    Forecaster(ForecasterConfig),
}

impl ModelConfig {
    /// Build the network with parameters from `vb`.
    ///
    /// # Errors
    /// If the configuration is invalid, or a parameter is missing or has another shape.
    pub fn build(&self, vb: VarBuilder<'_>) -> Result<Box<dyn Network>> {
        Ok(match self {
            Self::Rnnlm(config) => Box::new(Rnnlm::new(config, vb)?),
            Self::Predictor(config) => Box::new(Predictor::new(config, vb)?),
            Self::Tagger(config) => Box::new(Tagger::new(config, vb)?),
            Self::Translator(config) => Box::new(Translator::new(config, vb)?),
            Self::Forecaster(config) => Box::new(Forecaster::new(config, vb)?),
        })
    }

    /// Return the number of tokens that the network reads, those of the source for a translator; `None` if it reads
    /// features.
    pub fn vocabulary_size(&self) -> Option<usize> {
        match self {
            Self::Rnnlm(config) => Some(config.vocabulary_size),
            Self::Predictor(config) => config.vocabulary_size,
            Self::Tagger(config) => Some(config.vocabulary_size),
            Self::Translator(config) => Some(config.source_vocabulary),
            Self::Forecaster(_) => None,
        }
    }

    /// Return the names of the parameters that are embeddings: matrices with one row per token, symbol or series.
    pub fn embeddings(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.vocabulary_size().map(|_| "encoder.weight".into()).into_iter().collect();
        match self {
            Self::Rnnlm(_) | Self::Predictor(_) => {}
            Self::Tagger(config) => {
                names.extend(config.characters.as_ref().map(|_| "characters.encoder.weight".into()));
                names.extend((0..config.columns.len()).map(|column| format!("columns.{column}.weight")));
            }
            Self::Translator(config) if config.shared => {}
            Self::Translator(_) => names.push("target.encoder.weight".into()),
            Self::Forecaster(_) => names.extend(["position.weight", "series.weight"].map(String::from)),
        }
        names
    }

    /// Return the configuration of the recurrent stack.
    pub fn rnn(&self) -> &RecurrentConfig {
        match self {
            Self::Rnnlm(config) => &config.rnn,
            Self::Predictor(config) => &config.rnn,
            Self::Tagger(config) => &config.rnn,
            Self::Translator(config) => &config.rnn,
            Self::Forecaster(config) => &config.rnn,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Init, LstmConfig, LstmOptions, Merge, Readout};

    /// The `network` of config.json files as version 0.1.0 wrote them, before [`StackOptions`] was a struct of its own.
    const FILES: [&str; 4] = [
        r#"{
  "network": "rnnlm",
  "vocabulary_size": 67,
  "dropout": 0.4,
  "embedding_dropout": 0.0,
  "tied": false,
  "ar": 0.0,
  "tar": 0.0,
  "rnn": {
    "cell": "gru",
    "input_size": 64,
    "hidden_size": 400,
    "num_layers": 2,
    "bias": true,
    "bidirectional": null,
    "dropout": 0.4,
    "locked_dropout": true,
    "recurrent_dropout": 0.0,
    "weight_drop": 0.2,
    "zoneout": 0.0,
    "layer_norm": false,
    "init": "pytorch",
    "reset": "after"
  }
}"#,
        r#"{
  "network": "rnnlm",
  "vocabulary_size": 392,
  "dropout": 0.0,
  "embedding_dropout": 0.0,
  "tied": false,
  "ar": 0.0,
  "tar": 0.0,
  "rnn": {
    "cell": "lstm",
    "input_size": 256,
    "hidden_size": 256,
    "num_layers": 1,
    "bias": true,
    "bidirectional": null,
    "dropout": 0.0,
    "locked_dropout": false,
    "recurrent_dropout": 0.0,
    "weight_drop": 0.0,
    "zoneout": 0.0,
    "layer_norm": false,
    "init": "keras",
    "chrono": 64
  }
}"#,
        r#"{
  "network": "rnnlm",
  "vocabulary_size": 52,
  "dropout": 0.0,
  "embedding_dropout": 0.0,
  "tied": false,
  "ar": 0.0,
  "tar": 0.0,
  "rnn": {
    "cell": "simple-rnn",
    "input_size": 32,
    "hidden_size": 128,
    "num_layers": 1,
    "bias": true,
    "bidirectional": null,
    "dropout": 0.0,
    "locked_dropout": false,
    "recurrent_dropout": 0.0,
    "weight_drop": 0.0,
    "zoneout": 0.0,
    "layer_norm": false,
    "init": "pytorch",
    "nonlinearity": "tanh"
  }
}"#,
        r#"{
  "network": "predictor",
  "vocabulary_size": null,
  "outputs": 3,
  "readout": "last",
  "dropout": 0.1,
  "embedding_dropout": 0.0,
  "rnn": {
    "cell": "lstm",
    "input_size": 4,
    "hidden_size": 8,
    "num_layers": 1,
    "bias": false,
    "bidirectional": "concat",
    "dropout": 0.0,
    "locked_dropout": false,
    "recurrent_dropout": 0.25,
    "weight_drop": 0.0,
    "zoneout": 0.05,
    "layer_norm": true,
    "init": "keras",
    "projection": 6,
    "forget_bias": 1.5
  }
}"#,
    ];

    #[test]
    fn names_of_cells_are_those_of_the_configuration() {
        let mut cells = 0;
        for ModelEntry { name, stack, .. } in MODELS {
            let Some(stack) = stack else { continue };
            let config = serde_json::to_value(stack(StackOptions::new(2, 3))).unwrap();
            assert_eq!(config["cell"], name);
            cells += 1;
        }
        assert_eq!(cells, 3);
    }

    #[test]
    fn options_are_fields_of_one_json_object() {
        for file in FILES {
            let config: ModelConfig = serde_json::from_str(file).unwrap();
            assert_eq!(serde_json::to_string_pretty(&config).unwrap(), file);
        }
    }

    #[test]
    fn every_option_is_read_from_json() {
        let config: ModelConfig = serde_json::from_str(FILES[3]).unwrap();
        let stack = StackOptions {
            bias: false,
            bidirectional: Some(Merge::Concat),
            recurrent_dropout: 0.25,
            zoneout: 0.05,
            layer_norm: true,
            init: Init::Keras,
            ..StackOptions::new(4, 8)
        };
        let cell = LstmOptions { projection: Some(6), forget_bias: Some(1.5), chrono: None };
        let expected = ModelConfig::Predictor(PredictorConfig {
            dropout: 0.1,
            ..PredictorConfig::new(3, Readout::Last, RecurrentConfig::Lstm(LstmConfig { stack, cell }))
        });
        assert_eq!(config, expected);
    }
}
