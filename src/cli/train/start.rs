//! A new run, with random parameters or those of another bundle.

use std::path::{Path, PathBuf};

use candle_core::Device;
use rnn_zoo::bundle::{self, BundleWriter, Config, Loaded};
use rnn_zoo::models::{self, MODELS, ModelConfig};
use rnn_zoo::tasks::{self, DataSpec, Defaults, Prepared, Task, TokenizerSource};
use rnn_zoo::tokenizer::Tokenizer;
use rnn_zoo::training::optim::Average;
use rnn_zoo::training::{Options, Run};

use super::args::Args;
use super::introduce::{command_line, introduce};
use crate::cli::bundle_argument::bundle_path;
use crate::cli::flags::{self, usage};
use crate::cli::read_args::announce;

/// A run before its first step.
pub fn start(args: &Args, device: &Device) -> anyhow::Result<Run> {
    let data = args.data.spec(args.training.seed);
    let learner = Learner::new(args, &data)?;
    let writer = learner.writer(args, &data)?;
    eprintln!("reading {} ...", data.data);
    if data.is_text()? {
        announce(&data.corpus()?, None)?;
    }
    let prepared = learner.prepare(args, &data)?;
    announce_text(&data, &prepared);
    let defaults = learner.defaults(&data, &prepared);
    let network = learner.network(args, &prepared, &defaults)?;
    let defaults = args.training.fitted(defaults, &prepared.splits.train);
    let options = args.training.options(&args.length, &defaults)?;
    learner.task.check_options(&options)?;
    check_validation(args, &options, &prepared)?;
    let config = learner.config(network, &prepared);
    let mut run = Run::start(writer, config, data, prepared, options, device)?;
    introduce(&run, device);
    if let Some(basis) = &learner.basis {
        run.start_from(basis)?;
    }
    Ok(run)
}

/// The model of a new run.
struct Learner {
    name: &'static str,
    task: &'static dyn Task,
    /// The bundle of `--from`.
    basis: Option<Loaded>,
}

impl Learner {
    /// The model that the arguments name. Refuses flags that have no effect on it.
    fn new(args: &Args, data: &DataSpec) -> anyhow::Result<Self> {
        let basis = args.from.as_deref().map(|bundle| load_basis(bundle, args)).transpose()?;
        let name = args.model.as_deref().map(known_model).transpose()?;
        let (name, task) = match &basis {
            Some(basis) => (own_name(name, &basis.config)?, basis.config.task),
            None => {
                let name = name.expect("invariant: clap asks for MODEL where nothing else names one");
                (name, args.data.task.map_or_else(|| tasks::suited(data), Ok)?)
            }
        };
        task.check_network(&args.network.options(0.))?;
        if let Some(metric) = &args.training.metric {
            task.criterion(metric)?;
        }
        if basis.is_some() && task.is_language_model() && data.columns.label.is_some() {
            let problem = "the bundle of --from is a language model, which learns no classes; leave this out, or train \
                           a classifier from nothing";
            return Err(usage("--label-column", problem));
        }
        Ok(Self { name, task, basis })
    }

    /// The writer of the run's bundle.
    fn writer(&self, args: &Args, data: &DataSpec) -> anyhow::Result<BundleWriter> {
        let out = args.out.clone().unwrap_or_else(|| default_bundle(self.name, &data.data));
        if let Some(basis) = &self.basis {
            keep_apart(&out, &basis.path)?;
        }
        Ok(BundleWriter::create(&out, args.force)?.with_recipe(args.settings.to_toml()))
    }

    /// Reads the data, with the tokenizer and the labels of `--from` if there are any.
    fn prepare(&self, args: &Args, data: &DataSpec) -> anyhow::Result<Prepared> {
        let (tokenizer, labels) = match &self.basis {
            Some(basis) => {
                let tokenizer = basis.tokenizer()?.map(Tokenizer::with_known_line_ends).map(Box::new);
                (TokenizerSource::Loaded(tokenizer), basis.config.labels.clone())
            }
            None => (TokenizerSource::Trained(args.data.tokenizer(self.name, self.task)), vec![]),
        };
        Ok(self.task.prepare(data, tokenizer, labels)?)
    }

    /// Settings where the user gives none.
    fn defaults(&self, data: &DataSpec, prepared: &Prepared) -> Defaults {
        let defaults = self.task.defaults(data, prepared);
        if self.basis.is_some() { defaults.for_fine_tuning() } else { defaults }
    }

    fn network(&self, args: &Args, prepared: &Prepared, defaults: &Defaults) -> anyhow::Result<ModelConfig> {
        match &self.basis {
            Some(basis) => Ok(args.network.regularized(&basis.config.network)),
            None => {
                let cell = args.network.cell(self.name)?;
                args.network.config(cell, self.task, prepared.shape, defaults.sizes)
            }
        }
    }

    fn config(&self, network: ModelConfig, prepared: &Prepared) -> Config {
        Config { created_with: command_line(), ..Config::new(self.name, self.task, network, prepared) }
    }
}

/// Loads the bundle of `--from`.
fn load_basis(bundle: &str, args: &Args) -> anyhow::Result<Loaded> {
    if args.data.data.is_none() {
        return Err(usage("--from", "needs --data: what is the model to learn now?"));
    }
    let loaded = bundle_path(bundle).and_then(|path| bundle::load(&path));
    loaded.map_err(|error| usage("--from", flags::in_flags(error.into()).to_string()))
}

/// The name of the model of `--from`. Refuses another name that the user gave.
fn own_name(given: Option<&'static str>, config: &Config) -> anyhow::Result<&'static str> {
    let own = known_model(&config.model)?;
    match given {
        Some(given) if given != own => {
            let problem = format!("the model of --from is {own}, not {given}; leave {given} out");
            Err(usage("MODEL", problem))
        }
        _ => Ok(own),
    }
}

/// Refuses to save a run in place of the bundle that it starts from: its recipe would then start from its own result.
fn keep_apart(out: &Path, from: &Path) -> anyhow::Result<()> {
    match (out.canonicalize(), from.canonicalize()) {
        (Ok(out), Ok(from)) if out == from => {
            Err(usage("--out", "is where the bundle of --from lies; choose another folder"))
        }
        _ => Ok(()),
    }
}

/// Refuses options that act on evaluations if there is no validation data.
fn check_validation(args: &Args, options: &Options, prepared: &Prepared) -> anyhow::Result<()> {
    if prepared.splits.valid.is_some() {
        return Ok(());
    }
    if args.training.metric.is_some() {
        return Err(usage("--metric", "there is no validation data to compute it on; leave it out"));
    }
    if options.early_stop.is_some() {
        return Err(usage(
            "--early-stop",
            "there is no validation data that could stop improving; leave it out",
        ));
    }
    if matches!(options.average, Some(Average::NtAsgd { .. })) {
        let problem =
            "nt-asgd begins where validation stalls, and there is no validation data; use ema or swa";
        return Err(usage("--average", problem));
    }
    Ok(())
}

/// Prints the column of records that the text is read from.
fn announce_text(data: &DataSpec, prepared: &Prepared) {
    if let Some(column) = &prepared.text_column {
        let class =
            if data.columns.label.is_none() { "; a classifier needs --label-column, too" } else { "" };
        eprintln!("the text is `{column}`{class}");
    }
}

/// The model of that name, or an error with the nearest one.
fn known_model(name: &str) -> anyhow::Result<&'static str> {
    let wanted = name.to_lowercase().replace('_', "-");
    if let Some(entry) = MODELS.iter().find(|entry| entry.name == wanted) {
        return Ok(entry.name);
    }
    let distance = |entry: &&models::ModelEntry| strsim::damerau_levenshtein(entry.name, &wanted);
    let nearest = MODELS.iter().min_by_key(distance).map_or("lstm", |entry| entry.name);
    let names = MODELS.map(|entry| entry.name).join(", ");
    Err(usage("MODEL", format!("there is no model {name:?}; did you mean {nearest}? (all: {names})")))
}

/// `lstm-story` for an lstm on `builtin:story`, `gru-my` for a gru on `texts/my.txt`.
fn default_bundle(model: &str, data: &str) -> PathBuf {
    let last = data.trim_end_matches('/').rsplit(['/', ':', '\\']).next().unwrap_or("data");
    let stem = last.split('.').next().filter(|stem| !stem.is_empty()).unwrap_or("data");
    PathBuf::from(format!("{model}-{stem}"))
}
