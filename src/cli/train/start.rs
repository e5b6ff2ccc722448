//! A new run, with random parameters or those of another bundle.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use candle_core::Device;
use rnn_zoo::Error;
use rnn_zoo::bundle::{self, BundleWriter, Config, Loaded};
use rnn_zoo::data::vectors::Vectors;
use rnn_zoo::distributed::{Communicator, Ranks};
use rnn_zoo::listing::{listed, nearest, thousands};
use rnn_zoo::models::{MODELS, ModelConfig, ModelEntry};
use rnn_zoo::tasks::{self, DataSpec, Defaults, ForecastSpec, Origin, Prepared, Task};
use rnn_zoo::tokenizer::Tokenizer;
use rnn_zoo::training::optim::Average;
use rnn_zoo::training::schedule::Schedule;
use rnn_zoo::training::{self, Filled, Options, Run};

use super::args::Args;
use super::classes;
use super::effect;
use super::introduce::introduce;
use crate::cli::bundle_argument::Bundle;
use crate::cli::flags::usage;
use crate::cli::next_commands::for_card;
use crate::cli::note::note;
use crate::cli::quote::command_line;
use crate::cli::read_args::announce;
use crate::cli::refusal::in_backticks;

/// Return a run before its first step.
pub fn start(args: &Args, device: &Device, ranks: &Ranks) -> anyhow::Result<Run> {
    let given = args.data.spec(args.training.seed);
    let learner = NewModel::new(args, &given)?;
    learner.check_flags(args, &given)?;
    let data = learner.with_columns(given.clone())?;
    learner.check_all_targets(args, &data)?;
    let writer = learner.writer(args, &data, ranks.is_first())?;
    note!("reading {} ...", data.data);
    if data.is_text()? {
        let corpus = data.corpus().map_err(|error| blame(error, given.columns.label.is_none()))?;
        args.data.fractions().check(&corpus)?;
    }
    if let Some(files) = data.split_data()? {
        announce(files.as_ref(), None)?;
    }
    let prepared = learner.prepare(args, &data, ranks.as_ref())?;
    announce_text(&data, &prepared);
    classes::announce(&data, &prepared);
    let defaults = learner.defaults(&data, &prepared);
    let network = learner.network(args, &prepared, &defaults)?;
    effect::check_locked_dropout(args, &network)?;
    let defaults = args.training.fitted(defaults, &prepared.splits.train);
    let options = args.training.options(&args.length, &defaults)?;
    learner.task.check_options(&options, Some(&network))?;
    check_validation(args, &options, &prepared)?;
    let config = learner.config(network, &prepared);
    let mut run = Run::start(writer, config, data, prepared, options, device, ranks.clone())?;
    run.show_commands(for_card(&run));
    introduce(&run, device);
    if let Some(vectors) = &args.data.vectors {
        fill(&mut run, vectors)?;
    }
    if let Some(FineTuneSource { bundle, .. }) = &learner.basis {
        run.start_from(bundle)?;
    }
    Ok(run)
}

/// The model of a new run.
struct NewModel {
    entry: &'static ModelEntry,
    task: &'static dyn Task,
    /// The bundle of `--from`.
    basis: Option<FineTuneSource>,
}

/// The bundle of `--from`.
struct FineTuneSource {
    bundle: Loaded,
    /// SHA-256 of its parameters, in hexadecimal.
    sha256: String,
}

impl NewModel {
    /// Return the model that the arguments name. Refuses flags that have no effect on it.
    fn new(args: &Args, data: &DataSpec) -> anyhow::Result<Self> {
        let basis = args.from.as_deref().map(|bundle| load_basis(bundle, args)).transpose()?;
        let entry = args.model.as_deref().map(known_model).transpose()?;
        let (entry, task) = match (&basis, entry) {
            (Some(FineTuneSource { bundle, .. }), entry) => {
                (own_model(entry, &bundle.config)?, bundle.config.task)
            }
            (None, Some(entry)) => (entry, args.data.task.map_or_else(|| tasks::suited(data), Ok)?),
            (None, None) => {
                let problem = format!("is missing; expected {}, as in `rnn train lstm`", model_names());
                return Err(usage("MODEL", problem));
            }
        };
        task.check_network(&args.network.options(0.))?;
        if let Some(metric) = &args.training.metric {
            task.criterion(metric)?;
        }
        if !data.class_weights.is_none() && !task.weighs_classes() {
            let problem = format!("only a classifier has it, not --task {task}; leave it out");
            return Err(usage("--class-weights", problem));
        }
        if basis.is_some() && task.is_language_model() && data.columns.label.is_some() {
            let problem = "the bundle of --from is a language model, which learns no classes; leave this out, or train \
                           a classifier anew";
            return Err(usage("--label-column", problem));
        }
        Ok(Self { entry, task, basis })
    }

    /// Check the flags of the network and of training that need no data.
    fn check_flags(&self, args: &Args, data: &DataSpec) -> anyhow::Result<()> {
        effect::check(args, self.task, data)?;
        let options = args.training.options(&args.length, &Defaults::default())?;
        options.validate()?;
        if let Some(vectors) = &args.data.vectors {
            embedding_of(vectors, args.network.embedding)?;
        }
        if self.basis.is_none() {
            args.network.check(args.network.cell(self.entry)?, &options.optimizer)?;
        }
        Ok(self.task.check_options(&options, None)?)
    }

    /// Return the data with the columns that the bundle of --from was trained on, unless the user names others.
    fn with_columns(&self, mut data: DataSpec) -> anyhow::Result<DataSpec> {
        let trained = self.basis.as_ref().and_then(|basis| basis.bundle.config.data.as_ref());
        if data.series_column.is_none() {
            data.series_column = trained.and_then(|trained| trained.series_column.clone());
        }
        if let Some(trained) = trained.and_then(|trained| trained.sides.as_ref()) {
            data.sides = Some(data.sides.unwrap_or_default().or(trained));
        }
        if !self.task.is_language_model() && data.columns.label.is_none() {
            data.columns.label = trained.and_then(|trained| trained.label_column.clone());
        }
        match &self.basis {
            Some(FineTuneSource { bundle, .. }) => Ok(self.task.completed(data, &bundle.config.schema)?),
            None => Ok(data),
        }
    }

    /// Refuse `--target all` if the model of --from forecasts only some columns of the data.
    fn check_all_targets(&self, args: &Args, data: &DataSpec) -> anyhow::Result<()> {
        let Some(spec) = data.forecasting.as_ref().filter(|spec| !spec.wide) else { return Ok(()) };
        if self.basis.is_none() || !args.data.forecast.names_all_targets() {
            return Ok(());
        }
        let forecasting = Some(ForecastSpec { targets: vec![], ..spec.clone() });
        let all = DataSpec { forecasting, ..data.clone() }.time_series()?.table.targets;
        // The model keeps its order of the columns.
        let sorted = |names: &[String]| BTreeSet::from_iter(names.to_vec());
        if sorted(&all) == sorted(&spec.targets) {
            return Ok(());
        }
        let [own, all] = [&spec.targets, &all].map(|names| listed(names, ", "));
        let problem = format!(
            "the model of --from forecasts {own}, but all columns of numbers of {} are {all}; leave it out",
            data.data
        );
        Err(usage("--target", problem))
    }

    /// Return the writer of the run's bundle. `saves` tells whether this process is the one that writes it.
    fn writer(&self, args: &Args, data: &DataSpec, saves: bool) -> anyhow::Result<BundleWriter> {
        let name = match &args.from {
            Some(bundle) => format!("{}-on", stem(bundle)),
            None => self.entry.name.to_string(),
        };
        let default = || PathBuf::from(format!("{name}-{}", stem(&data.data)));
        let out = args.out.clone().unwrap_or_else(default);
        let mut settings = args.settings.clone();
        if let Some(FineTuneSource { bundle, sha256 }) = &self.basis {
            keep_apart(&out, &bundle.path)?;
            settings.set("from-sha256", sha256);
        }
        let writer = match saves {
            true => BundleWriter::create(&out, args.force)?,
            false => BundleWriter::beside(&out)?,
        };
        Ok(writer.with_recipe(settings.to_toml()))
    }

    /// Read the data, with the tokenizer and the labels of `--from` if there are any.
    fn prepare(&self, args: &Args, data: &DataSpec, ranks: &dyn Communicator) -> anyhow::Result<Prepared> {
        let origin = match &self.basis {
            Some(FineTuneSource { bundle, .. }) => {
                let tokenizer = bundle.tokenizer()?.map(Tokenizer::with_known_line_ends);
                Origin::Loaded(bundle.config.known(tokenizer))
            }
            None => Origin::Trained(args.data.tokenizer(self.entry.name, self.task)),
        };
        Ok(training::prepare(self.task, data, origin, ranks)?)
    }

    /// Settings where the user gives none.
    fn defaults(&self, data: &DataSpec, prepared: &Prepared) -> Defaults {
        let defaults = self.task.defaults(data, prepared);
        if self.basis.is_some() { defaults.for_fine_tuning() } else { defaults }
    }

    fn network(&self, args: &Args, prepared: &Prepared, defaults: &Defaults) -> anyhow::Result<ModelConfig> {
        match &self.basis {
            Some(FineTuneSource { bundle, .. }) => Ok(args.network.regularized(&bundle.config.network)),
            None => {
                let cell = args.network.cell(self.entry)?;
                let mut network = args.network.clone();
                if let Some(vectors) = &args.data.vectors {
                    network.embedding = Some(embedding_of(vectors, args.network.embedding)?);
                }
                network.config(cell, self.task, prepared, defaults.sizes)
            }
        }
    }

    fn config(&self, network: ModelConfig, prepared: &Prepared) -> Config {
        Config { created_with: command_line(), ..Config::new(self.entry.name, self.task, network, prepared) }
    }
}

/// The same error, about the data instead of a label column that is the bundle's and not the user's.
fn blame(error: Error, of_bundle: bool) -> anyhow::Error {
    match error {
        Error::Invalid { field: "columns.label", problem } if of_bundle => usage(
            "--data",
            format!("the labels of the model of --from are in a column of records: {problem}"),
        ),
        error => error.into(),
    }
}

/// Load the bundle of `--from`, and compare its parameters with `--from-sha256`.
fn load_basis(argument: &str, args: &Args) -> anyhow::Result<FineTuneSource> {
    if args.data.data.is_none() {
        return Err(usage("--from", "needs --data, the data to fine-tune on"));
    }
    let found = Bundle::find(argument)?;
    let bundle = bundle::load(found.path()).map_err(|error| found.named(error))?;
    let sha256 = bundle.parameters_sha256().map_err(|error| found.named(error))?;
    match &args.from_sha256 {
        Some(expected) if *expected != sha256 => {
            let problem = format!(
                "{argument} has other parameters than the bundle that the recipe started from: their SHA-256 is \
                 {}..., expected {}...; restore that bundle, or leave --from-sha256 out",
                &sha256[..12],
                &expected[..12]
            );
            Err(usage("--from", problem))
        }
        _ => Ok(FineTuneSource { bundle, sha256 }),
    }
}

/// Return the width of the embedding that starts from a file of vectors. Refuses another width that the user gives.
fn embedding_of(vectors: &Path, given: Option<usize>) -> anyhow::Result<usize> {
    let width = Vectors::width(vectors)?;
    match given.filter(|&given| given != width) {
        Some(given) => {
            let file = vectors.display();
            let problem = format!("{given} is not the width of {file}, {width}; leave it out");
            Err(usage("--embedding", problem))
        }
        None => Ok(width),
    }
}

/// Start the embeddings from a file of vectors, and print how many tokens have one.
fn fill(run: &mut Run, vectors: &Path) -> anyhow::Result<()> {
    let Filled { tokens, in_lower_case, of } = run.fill_embedding(vectors)?;
    let lower = match in_lower_case {
        0 => String::new(),
        count => format!(", {} of them by their lower-case form", thousands(count as u64)),
    };
    let [tokens, of] = [tokens, of].map(|count| thousands(count as u64));
    note!("{}: vectors for {tokens} of {of} tokens{lower}", vectors.display());
    Ok(())
}

/// Return the model of the bundle of `--from`. Refuses another one that the user names.
fn own_model(given: Option<&'static ModelEntry>, config: &Config) -> anyhow::Result<&'static ModelEntry> {
    let own = known_model(&config.model)?;
    match given {
        Some(given) if given != own => {
            let problem =
                format!("the model of --from is {}, not {}; leave {} out", own.name, given.name, given.name);
            Err(usage("MODEL", problem))
        }
        _ => Ok(own),
    }
}

/// Refuse to save a run in place of the bundle that it starts from: its recipe would then start from its own result.
fn keep_apart(out: &Path, from: &Path) -> anyhow::Result<()> {
    match (out.canonicalize(), from.canonicalize()) {
        (Ok(out), Ok(from)) if out == from => {
            Err(usage("--out", "is the folder of the bundle of --from; choose another one"))
        }
        _ => Ok(()),
    }
}

/// Refuse options that act on evaluations if there is no validation data.
fn check_validation(args: &Args, options: &Options, prepared: &Prepared) -> anyhow::Result<()> {
    if prepared.splits.valid.is_some() {
        return Ok(());
    }
    if args.training.metric.is_some() {
        return Err(usage("--metric", "there is no validation data to compute it on; leave it out"));
    }
    if options.early_stop.is_some() {
        return Err(usage("--early-stop", "has no effect: there is no validation data; leave it out"));
    }
    if matches!(options.schedule, Schedule::Plateau { .. }) {
        let problem = "plateau follows the validation loss, but there is no validation data; choose another";
        return Err(usage("--schedule", problem));
    }
    if matches!(options.average, Some(Average::NtAsgd { .. })) {
        let problem =
            "nt-asgd starts when validation stalls, but there is no validation data; use ema or swa";
        return Err(usage("--average", problem));
    }
    Ok(())
}

/// Print the column of records that the text is read from.
fn announce_text(data: &DataSpec, prepared: &Prepared) {
    if let Some(column) = &prepared.text_column {
        let class =
            if data.columns.label.is_none() { "; a classifier needs --label-column, too" } else { "" };
        note!("the text is `{column}`{class}");
    }
}

/// Return the model of that name, or an error with the nearest one.
fn known_model(name: &str) -> anyhow::Result<&'static ModelEntry> {
    let wanted = name.to_lowercase().replace('_', "-");
    if let Some(entry) = MODELS.iter().find(|entry| entry.name == wanted) {
        return Ok(entry);
    }
    let hint = nearest(&wanted, MODELS.iter().map(|entry| entry.name))
        .map_or(String::new(), |nearest| format!("; did you mean {nearest}?"));
    let problem = format!("there is no model {}{hint} (all: {})", in_backticks(name), model_names());
    Err(usage("MODEL", problem))
}

/// Return the names of all models.
fn model_names() -> String {
    MODELS.map(|entry| entry.name).join(", ")
}

/// Return the name of data or of a bundle in the name of a new bundle: `my` of `texts/my.txt`, `story` of
/// `builtin:story`.
fn stem(path: &str) -> &str {
    let last = path.trim_end_matches('/').rsplit(['/', ':', '\\']).next().unwrap_or("data");
    last.split('.').next().filter(|stem| !stem.is_empty()).unwrap_or("data")
}
