//! Flags for language models that adapt to the text, and their scores.

use std::path::Path;

use rnn_zoo::Error;
use rnn_zoo::data::Split;
use rnn_zoo::data::dataset::Dataset;
use rnn_zoo::inference::Model;
use rnn_zoo::inference::evaluate::{Cache, Dynamic, EvaluationResult, Statistics};
use rnn_zoo::tasks::DataSpec;
use rnn_zoo::tasks::figures::{BITS, PERPLEXITY};
use rnn_zoo::tokenizer::Scheme;
use serde_json::{Value, json};

use crate::cli::flags::usage;
use crate::cli::note::note;
use crate::cli::number;

/// Two methods that adapt a language model to the text. Each has its own scores beside the plain ones; the bundle does
/// not change.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Adaptation to the text (language models; reported beside the plain scores)")]
pub struct AdaptiveArgs {
    /// Dynamic evaluation: take a gradient step on each segment after it is scored
    #[arg(long, conflicts_with_all = ["cache", "batch_size"])]
    dynamic: bool,

    /// Learning rate of those steps [default: 0.1; with --dynamic-stats 1e-5 a token of a segment]
    #[arg(long, value_name = "X", value_parser = number::not_negative, requires = "dynamic")]
    dynamic_lr: Option<f64>,

    /// Decay towards the trained parameters after each step [default: 0.002; with --dynamic-stats 4e-4 a token of
    /// a segment]
    #[arg(long, value_name = "X", value_parser = number::share, requires = "dynamic")]
    dynamic_decay: Option<f64>,

    /// Tokens of a segment [default: 20 characters, or 5 of other tokens]
    #[arg(long, value_name = "N", value_parser = number::count, requires = "dynamic")]
    dynamic_segment: Option<usize>,

    /// The data that the model was trained on: divide each step by the root mean square of the gradients on its
    /// training split; takes about as long as an epoch of training
    #[arg(long, value_name = "DATA", requires = "dynamic")]
    dynamic_stats: Option<String>,

    /// Neural cache: keep the last N hidden states and the token that followed each
    #[arg(long, value_name = "N", value_parser = number::memory, conflicts_with = "batch_size")]
    cache: Option<usize>,

    /// Weight of the similarity to the current state; 0 gives all states the same weight
    #[arg(long, value_name = "X", value_parser = number::not_negative, requires = "cache",
        default_value_t = Cache::DEFAULT.theta)]
    cache_theta: f64,

    /// Weight of the cache in the probability
    #[arg(long, value_name = "X", value_parser = number::share, requires = "cache",
        default_value_t = Cache::DEFAULT.lambda)]
    cache_lambda: f64,
}

/// A model on disk and in memory, and the split that it is scored on.
pub struct Subject<'a> {
    /// The bundle.
    pub path: &'a Path,
    /// The model of the bundle.
    pub model: &'a Model,
    /// The source of the split.
    pub spec: &'a DataSpec,
    /// The split.
    pub dataset: &'a Dataset,
}

/// The scores of a model that adapted to the text.
pub struct Adapted {
    /// `dynamic` or `cache`, the key in JSON.
    pub name: &'static str,
    scores: EvaluationResult,
    /// A JSON object of the settings.
    settings: Value,
}

impl AdaptiveArgs {
    /// The flag that asks for adaptation; `None` if there is none.
    pub fn flag(&self) -> Option<&'static str> {
        match self {
            Self { dynamic: true, .. } => Some("--dynamic"),
            Self { cache: Some(_), .. } => Some("--cache"),
            _ => None,
        }
    }

    /// Score the split with the method that the flags ask for; `None` if they ask for none.
    pub fn run(&self, subject: &Subject<'_>) -> anyhow::Result<Option<Adapted>> {
        match self {
            Self { cache: Some(window), .. } => self.with_cache(*window, subject).map(Some),
            Self { dynamic: true, .. } => self.with_training(subject).map(Some),
            _ => Ok(None),
        }
    }

    fn with_cache(&self, window: usize, subject: &Subject<'_>) -> anyhow::Result<Adapted> {
        let Subject { model, dataset, .. } = *subject;
        let cache = Cache { window, theta: self.cache_theta, lambda: self.cache_lambda };
        let scores = cache.evaluate(model.network.as_ref(), dataset, &model.device)?;
        let settings = json!({ "window": window, "theta": cache.theta, "lambda": cache.lambda });
        Ok(Adapted { name: "cache", scores, settings })
    }

    fn with_training(&self, subject: &Subject<'_>) -> anyhow::Result<Adapted> {
        let Subject { path, model, dataset, .. } = *subject;
        let (tokenizer, device) = (model.tokenizer()?, &model.device);
        let dynamic = self.settings(tokenizer.scheme());
        let training = self.training_split(subject)?;
        let (learner, parameters) = Model::load_trainable(path, device)?;
        let network = learner.network.as_ref();
        let statistics = match training {
            Some(training) => {
                note!("gradients on the training split: {} {}s", training.len(), tokenizer.unit());
                Some(Statistics::collect(network, &parameters, &training, dynamic.segment, device)?)
            }
            None => None,
        };
        let steps = dataset.len().div_ceil(dynamic.segment).saturating_sub(1);
        note!("dynamic evaluation: {steps} gradient steps");
        let scores = dynamic.evaluate(network, &parameters, statistics.as_ref(), dataset, device)?;
        let Dynamic { lr, decay, segment } = dynamic;
        let settings = json!({ "lr": lr, "decay": decay, "segment": segment, "stats": self.dynamic_stats });
        Ok(Adapted { name: "dynamic", scores, settings })
    }

    /// The settings of dynamic evaluation for a model with that kind of tokens.
    fn settings(&self, scheme: Scheme) -> Dynamic {
        let segment = self.dynamic_segment.unwrap_or(match scheme {
            Scheme::Char => 20,
            _ => 5,
        });
        let suited = Dynamic::suited(segment, self.dynamic_stats.is_some());
        Dynamic {
            lr: self.dynamic_lr.unwrap_or(suited.lr),
            decay: self.dynamic_decay.unwrap_or(suited.decay),
            segment,
        }
    }

    /// The training split of `--dynamic-stats`.
    fn training_split(&self, subject: &Subject<'_>) -> anyhow::Result<Option<Dataset>> {
        let Some(data) = self.dynamic_stats.clone() else { return Ok(None) };
        let Subject { model, spec, .. } = *subject;
        let spec = DataSpec { data, ..spec.clone() };
        match model.config.task.read_split(&spec, Some(Split::Train), model.names()) {
            Ok((training, _)) => Ok(Some(training)),
            Err(Error::Invalid { field: "data", problem }) => Err(usage("--dynamic-stats", problem)),
            Err(error) => Err(error.into()),
        }
    }
}

impl Adapted {
    /// The scores and settings as a JSON object.
    pub fn as_json(&self) -> anyhow::Result<Value> {
        let mut line = serde_json::to_value(&self.scores)?;
        if let (Some(line), Some(settings)) = (line.as_object_mut(), self.settings.as_object()) {
            line.extend(settings.clone());
        }
        Ok(line)
    }

    /// The scores and settings as a line of text. `unit` is the name of a token.
    pub fn as_text(&self, unit: &str) -> String {
        let EvaluationResult { loss, ref figures, seconds, .. } = self.scores;
        let perplexity = figures.get(PERPLEXITY).map(|value| format!(", perplexity {value:.2}"));
        let bits = figures.get(BITS).map(|value| format!(", {value:.4} bits a {unit}"));
        let settings = self.settings.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
        let settings: Vec<String> = settings.map(|(name, value)| format!("{name} {value}")).collect();
        format!(
            "{}: loss {loss:.4} nats a {unit}{}{} ({}; {seconds:.1} s)",
            self.name,
            perplexity.unwrap_or_default(),
            bits.unwrap_or_default(),
            settings.join(", ")
        )
    }
}
