//! The arguments of `rnn train`.

use std::path::PathBuf;

use rnn_zoo::tasks::{ClassWeights, DataSpec, STORY, Task, TokenizerSpec};
use rnn_zoo::tokenizer::{Kind, Limits};

use crate::cli::compute::Compute;
use crate::cli::forecast_args::ForecastArgs;
use crate::cli::fractions::GivenFractions;
use crate::cli::read_args::ReadArgs;
use crate::cli::recipe::Settings;
use crate::cli::training::{LengthArgs, TrainingArgs};
use crate::cli::{architecture, flags, number};

/// Train a model on text or records, and save it as a bundle
#[derive(Debug, clap::Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "\
Examples:
  rnn train lstm                                    built-in stories
  rnn train gru --data my.txt --out my-gru          a text file
  rnn train rnnlm --data ptb/ --tied --dropout 0.4  a folder of splits
  rnn train lstm --task classify --data q.csv --label-column label
  rnn train gru --task translate --data pairs/ --source-lang en --target-lang de
  rnn train gru --task forecast --data sales.csv --target sales --horizon 12
  rnn train --recipe my-gru/recipe.toml --lr 0.001  again, slower
  rnn train --from my-gru --data other.txt          fine-tune a model
  rnn train --resume my-gru --epochs 20             continue a run"
)]
pub struct Args {
    /// simple-rnn, lstm, gru or rnnlm (`rnn list` describes them)
    #[arg(value_name = "MODEL")]
    pub model: Option<String>,

    /// Fine-tune: start from the parameters, the network and the tokenizer of a bundle; regularisation may differ
    #[arg(long, value_name = "BUNDLE", conflicts_with_all = ["task", "tokenizer", "target_tokenizer", "max_vocab", "min_count", "lowercase"],
          conflicts_with_all = architecture::SHAPE)]
    pub from: Option<String>,

    /// SHA-256 that the parameters of --from must have; recipes hold it
    #[arg(long, value_name = "HEX", requires = "from", value_parser = sha256)]
    pub from_sha256: Option<String>,

    /// Read settings from a TOML file; flags override it, even --tied=false; its keys are the long flags of settings
    #[arg(long, value_name = "FILE")]
    pub recipe: Option<PathBuf>,

    /// Continue the run of this bundle; the result has the same bytes as without the interruption
    #[arg(long, value_name = "BUNDLE", conflicts_with_all = ["recipe", "out", "force"])]
    pub resume: Option<PathBuf>,

    /// Folder of the bundle [default: MODEL-DATA; BUNDLE-on-DATA with --from]
    #[arg(long, value_name = "BUNDLE", aliases = ["save", "checkpoint-dir", "checkpoint_dir"])]
    pub out: Option<PathBuf>,

    /// Replace an existing bundle
    #[arg(long)]
    pub force: bool,

    /// Write the metrics as TensorBoard event files too, for `tensorboard --logdir FOLDER`
    #[arg(long, value_name = "FOLDER")]
    pub tensorboard: Option<PathBuf>,

    #[command(flatten)]
    pub data: TrainDataArgs,

    #[command(flatten)]
    pub network: architecture::ArchitectureArgs,

    #[command(flatten)]
    pub length: LengthArgs,

    #[command(flatten)]
    pub training: TrainingArgs,

    #[command(flatten)]
    pub compute: Compute,

    /// The settings that the user gave, in flags and recipe.
    #[arg(skip)]
    pub settings: Settings,
}

/// Parse a SHA-256 checksum in hexadecimal.
fn sha256(text: &str) -> Result<String, String> {
    let valid = text.len() == 64 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    valid.then(|| text.to_ascii_lowercase()).ok_or_else(|| "expected 64 hexadecimal digits".to_string())
}

/// The flags that name the data, the task and the tokenizer.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Data")]
#[group(id = "data-flags")]
pub struct TrainDataArgs {
    /// A text, .csv, .tsv or .jsonl file, a folder of train, valid and test, builtin:story|reber|adding|copy|dates,
    /// or hf://datasets/OWNER/NAME/FILE [default: builtin:story; builtin:dates for translate]
    #[arg(long, value_name = "DATA", alias = "input")]
    pub data: Option<String>,

    /// Task: the next token, a class, tags, numbers or a translation [default: what the data suits]
    #[arg(long, value_parser = flags::task())]
    pub task: Option<&'static dyn Task>,

    #[command(flatten)]
    pub read: ReadArgs,

    /// Fraction held out for validation; 0 holds out nothing [default: 0.05 of a file; 0.1 of the train file of a
    /// folder without valid]
    #[arg(long, value_name = "X", value_parser = number::share, alias = "val_frac")]
    valid_fraction: Option<f64>,

    /// Fraction of a single file held out for testing [default: 0.05]
    #[arg(long, value_name = "X", value_parser = number::share)]
    test_fraction: Option<f64>,

    /// char, word (cut at blanks alone), treebank (punctuation and contractions cut off, too), bpe:N or the path of a
    /// tokenizer.json [default: char; word for rnnlm and classify]
    #[arg(long, value_name = "TOKENIZER", value_parser = flags::parsed::<Kind>)]
    pub tokenizer: Option<Kind>,

    /// Tokenizer of the targets of a translator [default: that of --tokenizer]
    #[arg(long, value_name = "TOKENIZER", value_parser = flags::parsed::<Kind>, conflicts_with = "shared_vocabulary")]
    pub target_tokenizer: Option<Kind>,

    /// Keep only the N most frequent tokens; the rest become `<unk>`
    #[arg(long, value_name = "N", value_parser = number::whole)]
    pub max_vocab: Option<usize>,

    /// Keep only tokens that occur at least N times in the training split; the rest become `<unk>` [default: 2 for tags
    /// of words, and for classes of 1,000 texts or more, each without --vectors; otherwise 1]
    #[arg(long, value_name = "N", value_parser = number::occurrences)]
    min_count: Option<u64>,

    /// Start the embeddings from word vectors, in the text format of GloVe or word2vec; --embedding is their width
    #[arg(long, value_name = "FILE", conflicts_with = "from")]
    pub vectors: Option<PathBuf>,

    /// Weights of classes in the training loss of a classifier: balanced, none or LABEL=WEIGHT,... [default: none]
    #[arg(long, value_name = "WEIGHTS", value_parser = flags::parsed::<ClassWeights>)]
    class_weights: Option<ClassWeights>,

    /// Convert text to lower case
    #[arg(long)]
    pub lowercase: bool,

    /// One vocabulary and one embedding for both sides of a translator, instead of one for each
    #[arg(long, conflicts_with = "from")]
    shared_vocabulary: bool,

    // Last, because its heading is that of all flags behind it.
    #[command(flatten)]
    pub forecast: ForecastArgs,
}

impl TrainDataArgs {
    /// Return the tokenizer to build for a model of that name and task.
    pub fn tokenizer(&self, model: &str, task: &dyn Task) -> TokenizerSpec {
        let kind = self.tokenizer.clone().unwrap_or_else(|| match model {
            "rnnlm" => Kind::Word,
            _ => task.tokenizer(),
        });
        // A word vector is worth having for a rare word, too.
        let min_count = self.min_count.or(self.vectors.as_ref().map(|_| 1).filter(|_| kind.is_of_words()));
        TokenizerSpec {
            kind,
            target: self.target_tokenizer.clone(),
            limits: Limits { max: self.max_vocab, min_count },
            lowercase: self.lowercase,
        }
    }

    /// The first flag about a forecaster that the user gave.
    pub fn forecasting(&self) -> Option<&'static str> {
        self.forecast.given().or_else(|| self.read.time.given())
    }

    /// Return the fractions that the user gave.
    pub fn fractions(&self) -> GivenFractions {
        GivenFractions { valid: self.valid_fraction, test: self.test_fraction }
    }

    /// Return the source of the data, with the seed of built-in data.
    pub fn spec(&self, seed: u64) -> DataSpec {
        let usual = self.task.map_or(STORY, |task| task.default_data());
        let data = self.data.as_deref().unwrap_or(usual);
        let mut spec = self.forecast.apply(self.read.apply(DataSpec::new(data)));
        self.fractions().apply(&mut spec);
        let class_weights = self.class_weights.clone().unwrap_or_default();
        let spec = DataSpec { seed, class_weights, shared_vocabulary: self.shared_vocabulary, ..spec };
        self.task.map_or_else(|| spec.clone(), |task| task.claimed(spec.clone()))
    }
}
