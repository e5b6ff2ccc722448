//! The flags of the network, and the configuration that they make.

use candle_core::DType;
use rnn_zoo::memory::Estimate;
use rnn_zoo::models::{
    AttentionScore, ForecasterConfig, GruOptions, Init, LstmOptions, MODELS, Merge, ModelConfig, ModelEntry,
    Nonlinearity, PredictorConfig, Readout, RecurrentConfig, Reset, RnnlmConfig, SHORTEST_CHRONO,
    StackOptions, TaggerConfig, TranslatorConfig,
};
use rnn_zoo::tasks::{NetworkOptions, Prepared, Sizes, Task};
use rnn_zoo::training::optim::OptimizerConfig;

use super::flags::{self, usage};
use super::number;

/// The precision that models are trained in.
pub const DTYPE: DType = DType::F32;

/// A kind of recurrent cell: an entry of [`MODELS`] with a stack.
pub type StackEntry = &'static ModelEntry;

/// Invariant: a [`StackEntry`] has a stack.
pub const HAS_STACK: &str = "invariant: clap accepts only cells, which have stacks";

/// The network.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Network")]
#[group(id = "network-flags")]
pub struct ArchitectureArgs {
    /// Width of the token embeddings [default: chosen by the task]
    #[arg(long, value_name = "N", value_parser = number::size, aliases = ["emsize", "embedding-size", "input-encoding-size"])]
    pub embedding: Option<usize>,

    /// Units of each recurrent layer [default: chosen by the task]
    #[arg(long, value_name = "N", value_parser = number::size, aliases = ["nhid", "rnn_size", "rnn-size", "hidden-size", "hidden_size"])]
    pub hidden: Option<usize>,

    /// Number of recurrent layers [default: 1; 2 for a language model over 200,000 words or more]
    #[arg(long, value_name = "N", value_parser = number::layers, aliases = ["nlayers", "num_layers", "num-layers"])]
    pub layers: Option<usize>,

    /// Cell of an rnnlm [default: lstm]
    #[arg(long, value_name = "CELL", value_parser = flags::cell())]
    cell: Option<StackEntry>,

    /// Read the sequence in both directions (not for language models) [default: true for tags of words, for
    /// classes and for translators]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
          hide_possible_values = true)]
    bidirectional: Option<bool>,

    /// Merge of the two directions: concat, sum, mul or ave [default: concat]
    #[arg(long, value_name = "MODE", value_parser = flags::named::<Merge>(&["concat", "sum", "mul", "ave"]), hide_possible_values = true)]
    pub merge: Option<Merge>,

    /// Vector of a sequence that a classifier reads: last (the last step of each direction), mean, max or attention
    /// [default: max for texts, last for series]
    #[arg(long, value_name = "NAME", value_parser = flags::named::<Readout>(&["last", "mean", "max", "attention"]), hide_possible_values = true)]
    readout: Option<Readout>,

    /// Dropout on the embeddings, between layers and before the output layer [default: chosen by the task]
    #[arg(long, value_name = "P", value_parser = number::share)]
    dropout: Option<f64>,

    /// Draw one dropout mask per sequence instead of one per time step
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
          hide_possible_values = true)]
    pub locked_dropout: Option<bool>,

    /// Dropout of whole rows of the embedding, of a language model or a classifier
    #[arg(long, value_name = "P", value_parser = number::share, aliases = ["dropoute"])]
    embedding_dropout: Option<f64>,

    /// Dropout on the hidden state in the recurrent product
    #[arg(long, value_name = "P", value_parser = number::share)]
    recurrent_dropout: Option<f64>,

    /// Dropout on the recurrent weights (DropConnect)
    #[arg(long, value_name = "P", value_parser = number::share, aliases = ["wdrop"])]
    weight_drop: Option<f64>,

    /// Probability that a unit keeps its state for a time step
    #[arg(long, value_name = "P", value_parser = number::share)]
    zoneout: Option<f64>,

    /// Score whole sequences of tags with a conditional random field [default: true if the tags mark spans, as BIO
    /// does]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
          hide_possible_values = true)]
    crf: Option<bool>,

    /// Hidden units per direction of a tagger's cell over the characters of words; 0 for none [default: 25]
    #[arg(long, value_name = "N", value_parser = number::size_or_none)]
    characters: Option<usize>,

    /// Score of a translator's attention: general (h W m) or concat (v tanh(Q h + K m)) [default: general]
    #[arg(long, value_name = "NAME", value_parser = flags::named::<AttentionScore>(&["general", "concat"]), hide_possible_values = true)]
    attention_score: Option<AttentionScore>,

    /// Layer normalisation inside the cells
    #[arg(long)]
    layer_norm: bool,

    /// Activation regularisation: weight of the mean squared output in the loss
    #[arg(long, value_name = "X", value_parser = number::not_negative, aliases = ["alpha"])]
    ar: Option<f64>,

    /// Temporal activation regularisation: weight of the mean squared difference of successive outputs in the loss
    #[arg(long, value_name = "X", value_parser = number::not_negative, aliases = ["beta"])]
    tar: Option<f64>,

    /// Share the weights of the embedding and the output layer; a projection between them if --embedding differs
    /// from the width of the last layer [default: the same width]
    #[arg(long)]
    tied: bool,

    /// Project the output of an LSTM to N features
    #[arg(long, value_name = "N", value_parser = number::size, aliases = ["proj-size"])]
    projection: Option<usize>,

    /// Initial bias of an LSTM's forget gate
    #[arg(long, value_name = "X", value_parser = number::finite)]
    forget_bias: Option<f64>,

    /// Chrono initialisation: the gates of an LSTM or GRU start with memories of up to N steps, for long
    /// dependencies
    #[arg(long, value_name = "N", value_parser = number::size, conflicts_with = "forget_bias")]
    chrono: Option<usize>,

    /// Activation of a simple-rnn: tanh or relu [default: tanh]
    #[arg(long, value_name = "NAME", value_parser = flags::named::<Nonlinearity>(&["tanh", "relu"]), hide_possible_values = true)]
    nonlinearity: Option<Nonlinearity>,

    /// Reset gate of a GRU after or before the recurrent product [default: after]
    #[arg(long, value_name = "NAME", value_parser = flags::named::<Reset>(&["after", "before"]), hide_possible_values = true)]
    reset: Option<Reset>,

    /// Initial parameters as in pytorch or as in keras [default: pytorch]
    #[arg(long, value_name = "NAME", value_parser = flags::named::<Init>(&["pytorch", "keras"]), hide_possible_values = true)]
    init: Option<Init>,
}

/// The flags that determine the names, shapes or initial values of parameters: all but the regularisers. They have no
/// effect on existing parameters.
pub const SHAPE: [&str; 18] = [
    "embedding",
    "hidden",
    "layers",
    "cell",
    "bidirectional",
    "merge",
    "readout",
    "crf",
    "characters",
    "attention_score",
    "layer_norm",
    "tied",
    "projection",
    "forget_bias",
    "chrono",
    "nonlinearity",
    "reset",
    "init",
];

impl ArchitectureArgs {
    /// Return the configuration of the network for `task`.
    pub fn config(
        &self,
        cell: StackEntry,
        task: &dyn Task,
        prepared: &Prepared,
        sizes: Sizes,
    ) -> anyhow::Result<ModelConfig> {
        let hidden = self.hidden.unwrap_or(sizes.hidden);
        let output = self.projection.unwrap_or(hidden);
        check_projection(output, hidden)?;
        let embedding = match self.embedding {
            Some(embedding) => embedding,
            None if self.tied => output,
            None => sizes.embedding,
        };
        let Prepared { shape, schema, .. } = prepared;
        let input = if shape.vocabulary.is_some() { embedding } else { shape.features };
        let bidirectional = self.bidirectional.unwrap_or(sizes.bidirectional);
        if self.merge.is_some() && !bidirectional {
            return Err(usage(
                "--merge",
                "joins two directions, but the network reads in one; leave it out, or add --bidirectional",
            ));
        }
        let stack = StackOptions {
            num_layers: self.layers.unwrap_or(sizes.layers),
            bidirectional: bidirectional.then(|| self.merge.unwrap_or(Merge::Concat)),
            dropout: sizes.dropout,
            layer_norm: self.layer_norm,
            init: self.init.unwrap_or_default(),
            ..StackOptions::new(input, hidden)
        };
        let rnn = self.regularized_stack(self.stack(cell, stack));
        Ok(task.network(rnn, *shape, schema, &self.options(sizes.dropout))?)
    }

    /// Return the options of the network besides its stack; `dropout` applies if the user gives none.
    pub fn options(&self, dropout: f64) -> NetworkOptions {
        NetworkOptions {
            dropout: self.dropout.unwrap_or(dropout),
            tied: self.tied,
            embedding_dropout: self.embedding_dropout,
            readout: self.readout,
            ar: self.ar,
            tar: self.tar,
            crf: self.crf,
            characters: self.characters,
            attention_score: self.attention_score,
        }
    }

    /// `network` with the regularisation that the user gives.
    pub fn regularized(&self, network: &ModelConfig) -> ModelConfig {
        match network.clone() {
            ModelConfig::Rnnlm(config) => ModelConfig::Rnnlm(RnnlmConfig {
                dropout: self.dropout.unwrap_or(config.dropout),
                embedding_dropout: self.embedding_dropout.unwrap_or(config.embedding_dropout),
                ar: self.ar.unwrap_or(config.ar),
                tar: self.tar.unwrap_or(config.tar),
                rnn: self.regularized_stack(config.rnn),
                ..config
            }),
            ModelConfig::Predictor(config) => ModelConfig::Predictor(PredictorConfig {
                dropout: self.dropout.unwrap_or(config.dropout),
                embedding_dropout: self.embedding_dropout.unwrap_or(config.embedding_dropout),
                rnn: self.regularized_stack(config.rnn),
                ..config
            }),
            ModelConfig::Forecaster(config) => ModelConfig::Forecaster(ForecasterConfig {
                dropout: self.dropout.unwrap_or(config.dropout),
                rnn: self.regularized_stack(config.rnn),
                ..config
            }),
            ModelConfig::Tagger(config) => ModelConfig::Tagger(TaggerConfig {
                dropout: self.dropout.unwrap_or(config.dropout),
                rnn: self.regularized_stack(config.rnn),
                ..config
            }),
            ModelConfig::Translator(config) => ModelConfig::Translator(TranslatorConfig {
                dropout: self.dropout.unwrap_or(config.dropout),
                rnn: self.regularized_stack(config.rnn),
                ..config
            }),
        }
    }

    fn regularized_stack(&self, mut rnn: RecurrentConfig) -> RecurrentConfig {
        let stack = rnn.stack_mut();
        *stack = StackOptions {
            dropout: self.dropout.unwrap_or(stack.dropout),
            locked_dropout: self.locked_dropout.unwrap_or(stack.locked_dropout),
            recurrent_dropout: self.recurrent_dropout.unwrap_or(stack.recurrent_dropout),
            weight_drop: self.weight_drop.unwrap_or(stack.weight_drop),
            zoneout: self.zoneout.unwrap_or(stack.zoneout),
            ..stack.clone()
        };
        rnn
    }

    /// Refuse flags that the cell does not have, and a stack that is too large for this machine to train, before any
    /// data is read.
    pub fn check(&self, cell: StackEntry, optimizer: &OptimizerConfig) -> anyhow::Result<()> {
        self.check_cell(cell)?;
        // Sizes that the user does not give depend on the data; 1 is the least of them.
        let stack = StackOptions {
            num_layers: self.layers.unwrap_or(1),
            ..StackOptions::new(self.embedding.unwrap_or(1), self.hidden.unwrap_or(1))
        };
        let of_cell = cell.stack.expect(HAS_STACK);
        let network = ModelConfig::Predictor(PredictorConfig::new(1, Readout::Last, of_cell(stack)));
        let estimate = Estimate::of_training(&network, optimizer, 1);
        let estimate = estimate.map_err(|error| usage("--hidden", error.to_string()))?;
        Ok(estimate.check(1)?)
    }

    /// Refuse flags that the cell does not have.
    fn check_cell(&self, cell: StackEntry) -> anyhow::Result<()> {
        for (flag, given, owners) in [
            ("--projection", self.projection.is_some(), &["lstm"][..]),
            ("--forget-bias", self.forget_bias.is_some(), &["lstm"]),
            ("--nonlinearity", self.nonlinearity.is_some(), &["simple-rnn"]),
            ("--reset", self.reset.is_some(), &["gru"]),
            ("--chrono", self.chrono.is_some(), &["lstm", "gru"]),
        ] {
            if given && !owners.contains(&cell.name) {
                let problem =
                    format!("belongs to {}; leave it out, or choose that cell", owners.join(" and "));
                return Err(usage(flag, problem));
            }
        }
        if self.layer_norm && self.reset == Some(Reset::Before) {
            let problem = "cannot be used together: layer normalisation acts on the recurrent product, which the reset \
                           gate then follows; leave one of them out";
            return Err(usage("--layer-norm and --reset before", problem));
        }
        if self.chrono.is_some_and(|steps| steps < SHORTEST_CHRONO) {
            return Err(usage("--chrono", format!("expected at least {SHORTEST_CHRONO} steps")));
        }
        match (self.projection, self.hidden) {
            (Some(projection), Some(hidden)) => check_projection(projection, hidden),
            _ => Ok(()),
        }
    }

    /// Return the configuration of the stack for a cell that [`check`](ArchitectureArgs::check) has accepted.
    fn stack(&self, cell: StackEntry, options: StackOptions) -> RecurrentConfig {
        let stack = cell.stack.expect(HAS_STACK);
        let mut rnn = stack(options);
        match &mut rnn {
            RecurrentConfig::SimpleRnn(config) => {
                config.cell.nonlinearity = self.nonlinearity.unwrap_or_default();
            }
            RecurrentConfig::Lstm(config) => {
                config.cell = LstmOptions {
                    projection: self.projection,
                    forget_bias: self.forget_bias,
                    chrono: self.chrono,
                };
            }
            RecurrentConfig::Gru(config) => {
                config.cell = GruOptions { reset: self.reset.unwrap_or_default(), chrono: self.chrono };
            }
        }
        rnn
    }

    /// Return the cell of `rnn train MODEL`: the model itself, or `--cell` of a network.
    pub fn cell(&self, model: StackEntry) -> anyhow::Result<StackEntry> {
        match (model.stack, self.cell) {
            (Some(_), Some(cell)) if cell != model => {
                let problem = format!("{} is a cell itself; --cell is for rnnlm", model.name);
                Err(usage("--cell", problem))
            }
            (Some(_), _) => Ok(model),
            (None, Some(cell)) => Ok(cell),
            (None, None) => {
                let lstm = MODELS.iter().find(|entry| entry.name == "lstm");
                Ok(lstm.expect("invariant: the registry has the lstm"))
            }
        }
    }
}

/// Refuse a projection to more features than the layer has.
fn check_projection(projection: usize, hidden: usize) -> anyhow::Result<()> {
    if projection <= hidden {
        return Ok(());
    }
    let problem = format!("{projection} is more than the hidden size; expected 1 to {hidden}");
    Err(usage("--projection", problem))
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, Command, FromArgMatches};
    use rnn_zoo::models::LstmConfig;

    use super::*;

    #[test]
    fn every_flag_of_the_network_shapes_or_regularises_it() {
        let rnn = RecurrentConfig::Lstm(LstmConfig::new(2, 2));
        let network = ModelConfig::Rnnlm(RnnlmConfig::new(3, rnn));
        let command = ArchitectureArgs::augment_args(Command::new("network"));
        let mut regularising = 0;
        for arg in command.get_arguments().filter(|arg| !SHAPE.contains(&arg.get_id().as_str())) {
            let flag = format!("--{}", arg.get_long().unwrap());
            let value = if arg.get_id() == "locked_dropout" { flag } else { format!("{flag}=0.5") };
            let matches = command.clone().get_matches_from(["network", &value]);
            let args = ArchitectureArgs::from_arg_matches(&matches).unwrap();
            assert_ne!(args.regularized(&network), network, "{value} would do nothing with --from");
            regularising += 1;
        }
        assert_eq!(regularising + SHAPE.len(), command.get_arguments().count());
    }
}
