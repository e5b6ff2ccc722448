//! One layer of a Keras model: its class and options, as far as they matter outside training.

use rnn_zoo_models::{Merge, Nonlinearity, Readout, Reset};
use serde_json::Value;

/// Layers that change nothing outside training, and masking, for which this program has lengths.
const PASSED: [&str; 9] = [
    "InputLayer",
    "Masking",
    "Dropout",
    "SpatialDropout1D",
    "AlphaDropout",
    "GaussianDropout",
    "GaussianNoise",
    "ActivityRegularization",
    "Identity",
];

/// The largest size of a layer, so that products of sizes do not overflow.
const LARGEST: u64 = 1 << 31;

/// A layer of a model.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Layer {
    /// The name that the model gives it.
    pub(super) name: String,
    /// The class, as Keras spells it.
    pub(super) class: String,
    pub(super) kind: Kind,
}

/// The part of a network that a layer is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// A layer without effect outside training.
    Passed,
    /// Text to tokens; the options are kept for the tokenizer.
    Text(Value),
    Embedding(Embedding),
    Recurrent(Recurrent),
    /// The mean or the maximum over time.
    Pool(Readout),
    Dense(Dense),
    /// Softmax as a layer of its own, over this axis; -1 is the last.
    Softmax(i64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Embedding {
    pub(super) rows: usize,
    pub(super) width: usize,
    /// Whether token 0 is padding.
    pub(super) mask_zero: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Recurrent {
    pub(super) cell: Cell,
    pub(super) units: usize,
    pub(super) bias: bool,
    /// Whether the layer returns all outputs; `None` if the file does not tell.
    pub(super) sequences: Option<bool>,
    /// The merge of both directions; `None` for one direction.
    pub(super) merge: Option<Merge>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Cell {
    Simple(Nonlinearity),
    Lstm,
    Gru(Reset),
}

impl Cell {
    /// The number of gates.
    pub(super) fn gates(self) -> usize {
        match self {
            Self::Simple(_) => 1,
            Self::Gru(_) => 3,
            Self::Lstm => 4,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Dense {
    pub(super) units: usize,
    pub(super) bias: bool,
    pub(super) activation: Activation,
    /// Whether the layer is wrapped in `TimeDistributed`.
    pub(super) wrapped: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activation {
    Linear,
    Softmax,
    Sigmoid,
}

impl Layer {
    /// Read a layer of a configuration, `{"class_name": .., "config": {..}}`. The error is the problem alone.
    ///
    /// # Errors
    /// If the layer, or one of its options, has no counterpart in this program.
    pub(super) fn read(layer: &Value) -> Result<Self, String> {
        let class = layer["class_name"].as_str().ok_or("has a layer without a class in its configuration")?;
        let config = &layer["config"];
        let name = config["name"].as_str().or(layer["name"].as_str()).unwrap_or(class).to_string();
        let options = Options { name: &name, class, config };
        let kind = options.kind()?;
        Ok(Self { kind, class: class.to_string(), name })
    }

    /// The layer in messages: `lstm_1 (LSTM)`.
    pub(super) fn title(&self) -> String {
        format!("{} ({})", shortened(&self.name), shortened(&self.class))
    }
}

/// The options of a layer.
struct Options<'v> {
    name: &'v str,
    class: &'v str,
    config: &'v Value,
}

impl Options<'_> {
    fn kind(&self) -> Result<Kind, String> {
        Ok(match self.class {
            class if PASSED.contains(&class) => Kind::Passed,
            "TextVectorization" => Kind::Text(self.config.clone()),
            "Embedding" => Kind::Embedding(Embedding {
                rows: self.size("input_dim")?,
                width: self.size("output_dim")?,
                mask_zero: self.flag("mask_zero", false),
            }),
            "SimpleRNN" | "LSTM" | "GRU" => {
                self.forward()?;
                Kind::Recurrent(self.recurrent()?)
            }
            "Bidirectional" => Kind::Recurrent(self.bidirectional()?),
            "Dense" => Kind::Dense(self.dense(false)?),
            "TimeDistributed" => Kind::Dense(self.inner("layer")?.dense_inside()?),
            "GlobalMaxPooling1D" | "GlobalMaxPool1D" => Kind::Pool(self.pool(Readout::Max)?),
            "GlobalAveragePooling1D" | "GlobalAvgPool1D" => Kind::Pool(self.pool(Readout::Mean)?),
            "Softmax" => Kind::Softmax(self.axis()?),
            "Activation" => match self.activation("activation", "linear")? {
                "linear" => Kind::Passed,
                "softmax" => Kind::Softmax(-1),
                other => return Err(self.refused("activation", other, "linear or softmax")),
            },
            _ => {
                return Err(self.problem(
                    "which is not supported; expected TextVectorization, Embedding, SimpleRNN, LSTM, GRU, Bidirectional, \
                     Dense, TimeDistributed, GlobalMaxPooling1D, GlobalAveragePooling1D, Softmax or Activation",
                ));
            }
        })
    }

    /// Refuse a layer of one direction that runs backward.
    fn forward(&self) -> Result<(), String> {
        match self.flag("go_backwards", false) {
            true => Err(self.refused(
                "go_backwards",
                "true",
                "false; Bidirectional layers run in both directions",
            )),
            false => Ok(()),
        }
    }

    fn recurrent(&self) -> Result<Recurrent, String> {
        if self.flag("time_major", false) {
            return Err(self.refused("time_major", "true", "false"));
        }
        let activation = self.activation("activation", "tanh")?;
        let cell = match (self.class, activation) {
            ("SimpleRNN", "tanh") => Cell::Simple(Nonlinearity::Tanh),
            ("SimpleRNN", "relu") => Cell::Simple(Nonlinearity::Relu),
            ("SimpleRNN", other) => return Err(self.refused("activation", other, "tanh or relu")),
            ("LSTM", "tanh") => Cell::Lstm,
            // Keras had no such option before version 2.1, and reset before the product.
            ("GRU", "tanh") if self.flag("reset_after", false) => Cell::Gru(Reset::After),
            ("GRU", "tanh") => Cell::Gru(Reset::Before),
            (_, other) => return Err(self.refused("activation", other, "tanh")),
        };
        if self.class != "SimpleRNN" {
            match self.activation("recurrent_activation", "sigmoid")? {
                "sigmoid" => {}
                other => return Err(self.refused("recurrent_activation", other, "sigmoid")),
            }
        }
        Ok(Recurrent {
            cell,
            units: self.size("units")?,
            bias: self.flag("use_bias", true),
            sequences: Some(self.flag("return_sequences", false)),
            merge: None,
        })
    }

    fn bidirectional(&self) -> Result<Recurrent, String> {
        let inner = self.inner("layer")?;
        if !["SimpleRNN", "LSTM", "GRU"].contains(&inner.class) {
            return Err(inner.problem("in both directions; expected SimpleRNN, LSTM or GRU"));
        }
        inner.forward()?;
        let forward = inner.recurrent()?;
        if !self.config["backward_layer"].is_null() {
            let inner = self.inner("backward_layer")?;
            let backward = inner.recurrent()?;
            if backward != forward || !inner.flag("go_backwards", false) {
                return Err(self.problem("with layers that differ; expected the same one in both directions"));
            }
        }
        let merge = match self.config["merge_mode"].as_str() {
            Some("concat") => Merge::Concat,
            Some("sum") => Merge::Sum,
            Some("mul") => Merge::Mul,
            Some("ave") => Merge::Ave,
            other => {
                return Err(self.refused("merge_mode", other.unwrap_or("None"), "concat, sum, mul or ave"));
            }
        };
        Ok(Recurrent { merge: Some(merge), ..forward })
    }

    fn dense_inside(&self) -> Result<Dense, String> {
        match self.class {
            "Dense" => self.dense(true),
            _ => Err(self.problem("inside TimeDistributed; expected Dense")),
        }
    }

    fn dense(&self, wrapped: bool) -> Result<Dense, String> {
        let activation = match self.activation("activation", "linear")? {
            "linear" => Activation::Linear,
            "softmax" => Activation::Softmax,
            "sigmoid" => Activation::Sigmoid,
            other => return Err(self.refused("activation", other, "linear, softmax or sigmoid")),
        };
        if activation == Activation::Softmax && self.size("units")? == 1 {
            return Err(self.refused(
                "activation",
                "softmax",
                "sigmoid, as the softmax of one output is always 1",
            ));
        }
        Ok(Dense { units: self.size("units")?, bias: self.flag("use_bias", true), activation, wrapped })
    }

    fn pool(&self, readout: Readout) -> Result<Readout, String> {
        match self.config["data_format"].as_str() {
            Some("channels_first") => Err(self.refused("data_format", "channels_first", "channels_last")),
            _ => Ok(readout),
        }
    }

    /// Return the axis of a softmax: a number, or a list of one.
    fn axis(&self) -> Result<i64, String> {
        let axis = &self.config["axis"];
        let found = match axis {
            Value::Null => Some(-1),
            Value::Array(axes) if axes.len() == 1 => axes[0].as_i64(),
            other => other.as_i64(),
        };
        found.ok_or_else(|| self.refused("axis", &axis.to_string(), "-1, the last"))
    }

    /// Return the options of a layer inside this one.
    fn inner<'s>(&'s self, key: &str) -> Result<Options<'s>, String> {
        let layer = &self.config[key];
        let class = layer["class_name"].as_str();
        let class = class.ok_or_else(|| self.problem("without a layer inside"))?;
        Ok(Options { name: self.name, class, config: &layer["config"] })
    }

    /// Return an option that is true or false.
    fn flag(&self, key: &str, default: bool) -> bool {
        self.config[key].as_bool().unwrap_or(default)
    }

    /// Return an option that is a size.
    fn size(&self, key: &str) -> Result<usize, String> {
        match self.config[key].as_u64() {
            Some(size) if (1..LARGEST).contains(&size) => Ok(size as usize),
            _ => Err(self.refused(key, &self.config[key].to_string(), "a positive number")),
        }
    }

    /// Return the name of a function, which newer versions wrap in an object.
    fn activation<'s>(&'s self, key: &str, default: &'s str) -> Result<&'s str, String> {
        match &self.config[key] {
            Value::Null => Ok(default),
            Value::String(name) => Ok(name),
            wrapped => {
                let name = wrapped["config"].as_str().or(wrapped["class_name"].as_str());
                name.ok_or_else(|| self.refused(key, "of an unknown form", "the name of a function"))
            }
        }
    }

    fn problem(&self, what: &str) -> String {
        format!("has a layer {} ({}) {what}", shortened(self.name), shortened(self.class))
    }

    fn refused(&self, key: &str, value: &str, expected: &str) -> String {
        self.problem(&format!("with {key} {}; expected {expected}", shortened(value)))
    }
}

/// A name of a file, or its beginning if it is long.
fn shortened(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(60).collect()
}
