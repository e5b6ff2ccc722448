//! `rnn eval`: a model's scores on data.

use std::io::Write;
use std::path::Path;

use candle_core::Device;
use rnn_zoo::Error;
use rnn_zoo::bundle::Config;
use rnn_zoo::data::batch::Dataset;
use rnn_zoo::data::source::{Builtin, Source, Split};
use rnn_zoo::data::{Columns, Fractions};
use rnn_zoo::inference::evaluate::{Cache, Dynamic, Scores, Statistics, evaluate};
use rnn_zoo::inference::grammar;
use rnn_zoo::inference::model::Model;
use rnn_zoo::tasks::{DataSpec, Task};
use rnn_zoo::tokenizer::Scheme;
use serde_json::{Value, json};

use super::bundle_argument::bundle_path;
use super::compute::Compute;
use super::flags::{self, usage};
use super::number;
use super::outcome::Outcome;

/// Score a model on data: loss, perplexity, bits a token
#[derive(Debug, clap::Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "\
Examples:
  rnn eval my-model --data my.txt                   all of a file
  rnn eval my-model --data ptb/ --split valid       one split of a folder
  rnn eval lstm-story --data builtin:story --json   the built-in test split, as JSON
  rnn eval my-model --data ptb/ --cache 500         also with a memory of the last 500 words
  rnn eval my-model --data ptb/ --dynamic           also with a model that goes on learning"
)]
pub struct Args {
    /// A bundle, or hf://OWNER/NAME
    #[arg(value_name = "BUNDLE")]
    bundle: String,

    #[command(flatten)]
    data: DataArgs,

    /// Lanes to read a text in: 1 gives every token all that comes before it, more are faster
    #[arg(long, value_name = "N", value_parser = number::count)]
    batch_size: Option<usize>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    adaptive: AdaptiveArgs,

    #[command(flatten)]
    compute: Compute,
}

/// Two ways for a language model to adapt to the text at hand. Each has its own figure beside the plain one,
/// and the bundle stays as it is.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Adapting to the text (language models; own figures beside the plain ones)")]
struct AdaptiveArgs {
    /// Dynamic evaluation: take a gradient step on each segment after it was scored
    #[arg(long, conflicts_with_all = ["cache", "batch_size"])]
    dynamic: bool,

    /// Learning rate of those steps [default: 0.1; with --dynamic-stats 1e-5 a token of a segment]
    #[arg(long, value_name = "X", value_parser = number::not_negative, requires = "dynamic")]
    dynamic_lr: Option<f64>,

    /// Share of the way back to the trained parameters that is taken after each step [default: 0.002;
    /// with --dynamic-stats 4e-4 a token of a segment]
    #[arg(long, value_name = "X", value_parser = number::share, requires = "dynamic")]
    dynamic_decay: Option<f64>,

    /// Tokens of a segment [default: 20 characters, or 5 of other tokens]
    #[arg(long, value_name = "N", value_parser = number::count, requires = "dynamic")]
    dynamic_segment: Option<usize>,

    /// Data that the model was trained on: divide each step by how large gradients were on its training
    /// split; takes about as long as an epoch of training
    #[arg(long, value_name = "DATA", requires = "dynamic")]
    dynamic_stats: Option<String>,

    /// Neural cache: remember the last N hidden states, and what followed each
    #[arg(long, value_name = "N", value_parser = number::memory, conflicts_with = "batch_size")]
    cache: Option<usize>,

    /// How much more a state counts that is like the present one
    #[arg(long, value_name = "X", value_parser = number::not_negative, requires = "cache",
        default_value_t = Cache::DEFAULT.theta)]
    cache_theta: f64,

    /// The cache's share of the probability
    #[arg(long, value_name = "X", value_parser = number::share, requires = "cache",
        default_value_t = Cache::DEFAULT.lambda)]
    cache_lambda: f64,
}

/// What adapting to the text has brought.
struct Adapted {
    /// `dynamic` or `cache`: its key in JSON.
    name: &'static str,
    scores: Scores,
    /// How it was done.
    settings: Value,
}

impl AdaptiveArgs {
    /// The flag that asks for it, if one does.
    fn flag(&self) -> Option<&'static str> {
        match self {
            Self { dynamic: true, .. } => Some("--dynamic"),
            Self { cache: Some(_), .. } => Some("--cache"),
            _ => None,
        }
    }

    /// Scores the split again, as it was asked for.
    fn run(
        &self,
        model: &Model,
        path: &Path,
        spec: &DataSpec,
        dataset: &Dataset,
        device: &Device,
    ) -> anyhow::Result<Option<Adapted>> {
        if let Some(window) = self.cache {
            let cache = Cache { window, theta: self.cache_theta, lambda: self.cache_lambda };
            let scores = cache.evaluate(model.network.as_ref(), dataset, device)?;
            let settings = json!({ "window": window, "theta": cache.theta, "lambda": cache.lambda });
            return Ok(Some(Adapted { name: "cache", scores, settings }));
        }
        if !self.dynamic {
            return Ok(None);
        }
        let tokenizer = model.tokenizer()?;
        let segment = self.dynamic_segment.unwrap_or(match tokenizer.scheme() {
            Scheme::Char => 20,
            _ => 5,
        });
        let suited = Dynamic::suited(segment, self.dynamic_stats.is_some());
        let dynamic = Dynamic {
            lr: self.dynamic_lr.unwrap_or(suited.lr),
            decay: self.dynamic_decay.unwrap_or(suited.decay),
            segment,
        };
        let training = self.dynamic_stats.as_ref().map(|data| {
            let spec = DataSpec { data: data.clone(), ..spec.clone() };
            let read = spec.read_split(Task::Lm, Some(Split::Train), Some(tokenizer), &[]);
            read.map_err(|error| match error {
                Error::Invalid { field: "data", problem } => usage("--dynamic-stats", problem),
                other => other.into(),
            })
        });
        let (learner, parameters) = Model::load_trainable(path, device)?;
        let network = learner.network.as_ref();
        let statistics = match training.transpose()? {
            Some((training, _)) => {
                eprintln!("gradients on the training split: {} {}s", training.len(), tokenizer.unit());
                Some(Statistics::collect(network, &parameters, &training, segment, device)?)
            }
            None => None,
        };
        eprintln!("dynamic evaluation: {} gradient steps", dataset.len().div_ceil(segment).saturating_sub(1));
        let scores = dynamic.evaluate(network, &parameters, statistics.as_ref(), dataset, device)?;
        let settings = json!({
            "lr": dynamic.lr, "decay": dynamic.decay, "segment": segment, "stats": self.dynamic_stats,
        });
        Ok(Some(Adapted { name: "dynamic", scores, settings }))
    }
}

impl Adapted {
    fn as_json(&self) -> anyhow::Result<Value> {
        let mut line = serde_json::to_value(self.scores)?;
        if let (Some(line), Some(settings)) = (line.as_object_mut(), self.settings.as_object()) {
            line.extend(settings.clone());
        }
        Ok(line)
    }

    fn as_text(&self, unit: &str) -> String {
        let Scores { loss, perplexity, bits_per_token, seconds, .. } = self.scores;
        let (perplexity, bits) = (perplexity.unwrap_or(f64::NAN), bits_per_token.unwrap_or(f64::NAN));
        let settings = self.settings.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
        let settings: Vec<String> = settings.map(|(name, value)| format!("{name} {value}")).collect();
        format!(
            "{}: loss {loss:.4} nats a {unit}, perplexity {perplexity:.2}, {bits:.4} bits a {unit} ({}; \
             {seconds:.1} s)",
            self.name,
            settings.join(", ")
        )
    }
}

/// Data for a model that is there already.
#[derive(Debug, clap::Args)]
pub struct DataArgs {
    /// A text, .csv or .jsonl file, a folder, builtin:NAME or hf://datasets/OWNER/NAME/FILE
    #[arg(long, value_name = "DATA")]
    pub data: Option<String>,

    /// train, valid, test or all [default: all of a file; test of a folder or a built-in]
    #[arg(long, value_name = "NAME", value_parser = flags::split())]
    pub split: Option<Split>,

    /// Column or field that holds the text
    #[arg(long, value_name = "NAME")]
    text_column: Option<String>,

    /// Column or field that holds the class
    #[arg(long, value_name = "NAME")]
    label_column: Option<String>,

    /// Share of a single file that training held out for validation
    #[arg(long, value_name = "X", default_value_t = 0.05, hide_short_help = true)]
    valid_fraction: f64,

    /// Share of a single file that training held out for testing
    #[arg(long, value_name = "X", default_value_t = 0.05, hide_short_help = true)]
    test_fraction: f64,

    /// Seed of built-in data
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

impl DataArgs {
    /// What the model is to read; a classifier's classes are by default in the column `label`.
    pub fn spec(&self, data: &str, config: &Config) -> DataSpec {
        let label = match config.task {
            Task::Classify => Some(self.label_column.clone().unwrap_or_else(|| "label".into())),
            _ => self.label_column.clone(),
        };
        DataSpec { columns: Columns { label, ..self.columns(data, config) }, ..self.unlabelled(data, config) }
    }

    /// What it is to read where no class is wanted.
    pub fn unlabelled(&self, data: &str, config: &Config) -> DataSpec {
        DataSpec {
            data: data.to_string(),
            columns: self.columns(data, config),
            fractions: Fractions { valid: self.valid_fraction, test: self.test_fraction },
            seed: self.seed,
        }
    }

    /// The text of a file of records is where it was in training, unless the user says otherwise.
    fn columns(&self, data: &str, config: &Config) -> Columns {
        let records =
            [".csv", ".jsonl"].iter().any(|extension| data.to_ascii_lowercase().ends_with(extension));
        let text = self.text_column.clone().or_else(|| config.text_column.clone().filter(|_| records));
        Columns { text, label: None }
    }
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let device = args.compute.open()?;
    let path = bundle_path(&args.bundle)?;
    let model = Model::load(&path, &device)?.named(&args.bundle);
    let task = model.config.task;
    let Some(data) = args.data.data.as_deref() else {
        return Err(usage("--data", "name the data to score the model on, such as --data my.txt"));
    };
    if let Some(flag) = args.adaptive.flag().filter(|_| task != Task::Lm) {
        let problem =
            format!("{} is a {task} model; only a language model adapts to the text at hand", args.bundle);
        return Err(usage(flag, problem));
    }
    let spec = args.data.spec(data, &model.config);
    let (dataset, split) =
        spec.read_split(task, args.data.split, model.tokenizer.as_ref(), &model.config.labels)?;
    let lanes = match (args.batch_size, task) {
        (Some(lanes), _) => lanes,
        (None, Task::Lm) => 1,
        (None, _) => 64,
    };
    let scores = evaluate(model.network.as_ref(), &dataset, lanes, &device)?;
    let floor = match (&model.tokenizer, task) {
        (Some(tokenizer), Task::Lm) => spec.floor(tokenizer, &dataset)?,
        _ => None,
    };
    // The grammar knows every right answer, so a model can be held to all of them.
    let legal = match spec.source()? {
        Source::Builtin(Builtin::Reber) if task == Task::Lm => grammar::check_reber(&model, spec.seed, 1000)?,
        _ => None,
    };
    let unknown = match &dataset {
        Dataset::Stream { tokens, .. } => Some(tokens.unknown_count()),
        Dataset::Examples(_) => None,
    };
    let adapted = args.adaptive.run(&model, &path, &spec, &dataset, &device)?;
    let mut out = std::io::stdout().lock();
    if args.json {
        let mut line = json!({ "task": task.name(), "split": split.name() });
        let scores = serde_json::to_value(scores)?;
        if let (Some(line), Some(scores)) = (line.as_object_mut(), scores.as_object()) {
            line.extend(scores.clone());
            line.extend(unknown.map(|unknown| ("unknown".to_string(), json!(unknown))));
            line.extend(floor.map(|floor| ("floor".to_string(), json!(floor))));
            line.extend(legal.map(|legal| ("grammar".to_string(), json!(legal))));
            if let Some(adapted) = adapted {
                line.insert(adapted.name.to_string(), adapted.as_json()?);
            }
        }
        writeln!(out, "{line}")?;
        return Ok(Outcome::Done);
    }
    let unit = model.tokenizer.as_ref().filter(|_| task == Task::Lm).map_or(task.unit().target, |t| t.unit());
    writeln!(out, "{split}: {} {unit}s", scores.tokens)?;
    match scores.perplexity {
        Some(perplexity) => {
            writeln!(out, "loss {:.4} nats a {unit}, perplexity {perplexity:.2}", scores.loss)
        }
        None => writeln!(out, "squared error {:.6}", scores.loss),
    }?;
    if let Some(bits) = scores.bits_per_token {
        writeln!(out, "{bits:.4} bits a {unit}")?;
    }
    if let Some(unknown) = unknown.filter(|&unknown| unknown > 0) {
        let share = 100. * unknown as f64 / scores.tokens.max(1) as f64;
        writeln!(
            out,
            "{unknown} {unit}s ({share:.2} %) are unknown to the model and scored as <unk>, which is easier than \
             what they stand for"
        )?;
    }
    if let Some(floor) = floor {
        writeln!(
            out,
            "the least possible loss is {floor:.4} nats, this is {:.1} % above",
            100. * (scores.loss / floor - 1.)
        )?;
    }
    if let Some(accuracy) = scores.accuracy.filter(|_| task != Task::Lm) {
        writeln!(out, "accuracy {:.2} %", 100. * accuracy)?;
    }
    if let Some(legal) = legal {
        writeln!(
            out,
            "grammar: {} of {} unseen strings right at every step, {} of {} steps, {} embedded symbols",
            legal.strings_right, legal.strings, legal.steps_right, legal.steps, legal.embedded_right
        )?;
    }
    writeln!(out, "{:.1} s, {:.0} {unit}s/s", scores.seconds, scores.tokens_per_second)?;
    if let Some(adapted) = adapted {
        writeln!(out, "{}", adapted.as_text(unit))?;
    }
    Ok(Outcome::Done)
}
