//! `rnn train`: a named model on the user's data, or a run continued.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::Device;
use rnn_zoo::bundle::{BundleWriter, Config, Contents, FORMAT, Training, TrainingState};
use rnn_zoo::data::corpus::{Columns, Fractions};
use rnn_zoo::models::{MODELS, State};
use rnn_zoo::optim::{Optimizer, OptimizerConfig};
use rnn_zoo::parameters::NamedTensors;
use rnn_zoo::report::{Metric, Report};
use rnn_zoo::schedule::Schedule;
use rnn_zoo::task::{self, DataSpec, Prepared, Task, TokenizerSpec};
use rnn_zoo::tokenizer::{Kind, Tokenizer};
use rnn_zoo::train::{Ending, Options, Progress, Splits, Trainer};
use rnn_zoo::{Error, Result, card, model};
use serde::{Deserialize, Serialize};

use super::architecture::{self, DTYPE, Sizes};
use super::{Compute, Outcome, number};

/// Train a model on text (by default on built-in stories) and keep it as a bundle
#[derive(Debug, clap::Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "\
Examples:
  rnn train lstm                                                   a character LSTM on the built-in stories
  rnn train gru --data my.txt --out my-gru                         on a text file
  rnn train rnnlm --data ptb/ --tied --dropout 0.4                 on a folder of train, valid and test
  rnn train lstm --data q.csv --text-column text --label-column label --task classify
  rnn train --resume my-gru --epochs 20                            continue a run"
)]
pub struct Args {
    /// simple-rnn, lstm, gru or rnnlm
    #[arg(value_name = "MODEL", required_unless_present = "resume")]
    model: Option<String>,

    /// Continue the run that is kept in this bundle, to the byte as if it had not been interrupted
    #[arg(long, value_name = "BUNDLE", conflicts_with_all = FIXED)]
    resume: Option<PathBuf>,

    /// Where the bundle goes [default: MODEL-DATA]
    #[arg(long, value_name = "BUNDLE", aliases = ["save", "checkpoint-dir", "checkpoint_dir"])]
    out: Option<PathBuf>,

    /// Replace a bundle that is there already
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    data: DataArgs,

    #[command(flatten)]
    network: architecture::Args,

    #[command(flatten)]
    length: LengthArgs,

    #[command(flatten)]
    training: TrainingArgs,

    #[command(flatten)]
    compute: Compute,
}

/// What a resumed run keeps as it was started with; its length, device and threads may change.
const FIXED: [&str; 6] = ["model", "out", "force", "data-flags", "network-flags", "training-flags"];

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Data")]
#[group(id = "data-flags")]
struct DataArgs {
    /// A text, .csv or .jsonl file, a folder of train, valid and test, builtin:story|reber|adding|copy, or
    /// hf://datasets/OWNER/NAME/FILE [default: builtin:story]
    #[arg(long, value_name = "DATA", alias = "input")]
    data: Option<String>,

    /// What to learn: the next token, a class, tags or numbers [default: what the data suits]
    #[arg(long)]
    task: Option<Task>,

    /// Column or field that holds the text
    #[arg(long, value_name = "NAME")]
    text_column: Option<String>,

    /// Column or field that holds the class
    #[arg(long, value_name = "NAME")]
    label_column: Option<String>,

    /// Share of a single file held out for validation
    #[arg(long, value_name = "X", alias = "val_frac", default_value_t = 0.05)]
    valid_fraction: f64,

    /// Share of a single file held out for testing
    #[arg(long, value_name = "X", default_value_t = 0.05)]
    test_fraction: f64,

    /// char, word, bpe:N or the path of a tokenizer.json [default: char; word for rnnlm and classify]
    #[arg(long, value_name = "TOKENIZER")]
    tokenizer: Option<Kind>,

    /// Keep only the N most frequent tokens; the rest become <unk>
    #[arg(long, value_name = "N")]
    max_vocab: Option<usize>,

    /// Fold upper case away
    #[arg(long)]
    lowercase: bool,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Training")]
#[group(id = "length-flags")]
struct LengthArgs {
    /// Passes over the training data
    #[arg(long, value_name = "N", value_parser = number::count, aliases = ["max-epochs", "max_epochs"])]
    epochs: Option<usize>,

    /// Stop after N optimizer steps
    #[arg(long, value_name = "N", value_parser = number::count, alias = "steps")]
    max_steps: Option<usize>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Training")]
#[group(id = "training-flags")]
struct TrainingArgs {
    /// Sequences side by side
    #[arg(long, value_name = "N", value_parser = number::count, aliases = ["batch_size", "bs"])]
    batch_size: Option<usize>,

    /// Steps that a gradient goes back through a text
    #[arg(long, value_name = "N", value_parser = number::count, aliases = ["seq-length", "seq_length", "seq-len"])]
    bptt: Option<usize>,

    /// sgd, adam, adamw or rmsprop [default: adam; sgd for words]
    #[arg(long, value_name = "NAME")]
    optimizer: Option<OptimizerConfig>,

    /// Learning rate
    #[arg(long, value_name = "X", value_parser = number::not_negative, aliases = ["learning-rate", "learning_rate"])]
    lr: Option<f64>,

    /// Momentum of sgd
    #[arg(long, value_name = "X", value_parser = number::share)]
    momentum: Option<f64>,

    /// Weight decay
    #[arg(long, value_name = "X", value_parser = number::not_negative, aliases = ["wdecay", "weight_decay"])]
    weight_decay: Option<f64>,

    /// How the learning rate changes: constant, step, plateau, cosine or one-cycle [default: cosine]
    #[arg(long, value_name = "NAME")]
    schedule: Option<Schedule>,

    /// Steps of linear warm-up (cosine)
    #[arg(long, value_name = "N")]
    warmup: Option<usize>,

    /// What step and plateau multiply the rate by
    #[arg(long, value_name = "X", aliases = ["lr-decay", "decay"])]
    gamma: Option<f64>,

    /// Scale gradients down to this norm; 0 never does
    #[arg(long, value_name = "X", value_parser = number::not_negative, aliases = ["grad-clip", "grad_clip"])]
    clip: Option<f64>,

    /// Evaluate and checkpoint every N steps [default: every epoch]
    #[arg(long, value_name = "N", value_parser = number::count)]
    eval_every: Option<usize>,

    /// Stop after N evaluations without a better one
    #[arg(long, value_name = "N", value_parser = number::count, alias = "patience")]
    early_stop: Option<usize>,

    /// Report every N steps
    #[arg(long, value_name = "N", value_parser = number::count, aliases = ["log-interval", "print-every", "print_every"])]
    log_every: Option<usize>,

    /// Seed of everything that is random
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

/// What a checkpoint remembers of the run, beside tensors.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Saved {
    options: Options,
    progress: Progress,
    data: DataSpec,
    /// Of the training split, to notice data that has changed.
    fingerprint: u64,
}

/// Everything of a run that does not change while it goes on.
struct Run {
    config: Config,
    data: DataSpec,
    tokenizer: Option<Arc<Tokenizer>>,
    splits: Splits,
    fingerprint: u64,
}

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<Outcome> {
    let stop = stop_on_interrupt()?;
    let outcome = match &args.resume {
        Some(bundle) => resume(bundle, &args, &stop)?,
        None => start(&args, &stop)?,
    };
    Ok(outcome)
}

fn start(args: &Args, stop: &AtomicBool) -> Result<Outcome> {
    let name = known_model(args.model.as_deref().unwrap_or_default())?;
    let data = args.data.spec(args.training.seed);
    let task = match args.data.task {
        Some(task) => task,
        None => data.natural_task()?,
    };
    let out = args.out.clone().unwrap_or_else(|| default_bundle(name, &data.data));
    let device = args.compute.open()?;
    let cell = args.network.cell(name)?;
    let mut writer = BundleWriter::create(&out, args.force)?;
    let kind = args.data.tokenizer.clone().unwrap_or(match (name, task) {
        ("rnnlm", _) | (_, Task::Classify) => Kind::Word,
        _ => Kind::Char,
    });
    let spec = TokenizerSpec { kind, max_vocab: args.data.max_vocab, lowercase: args.data.lowercase };
    eprintln!("reading {} ...", data.data);
    let prepared = data.prepare(task, None, &spec, vec![])?;
    let defaults = Defaults::of(task, prepared.tokenizer.as_ref(), &data.data);
    let config = Config {
        format: FORMAT,
        model: name.to_string(),
        task,
        network: args.network.config(cell, task, prepared.shape, defaults.sizes)?,
        tokenizer: prepared.tokenizer.as_ref().map(|tokenizer| tokenizer.scheme_name().to_string()),
        labels: prepared.labels.clone(),
        dtype: DTYPE,
        zoo_version: env!("CARGO_PKG_VERSION").to_string(),
        created_with: command_line(),
    };
    let options = args.training.options(&args.length, &defaults)?;
    let (network, parameters) = model::build(&config, &device)?;
    let (run, mut report) = assemble(config, data, prepared, &options, vec![], &device)?;
    let mut trainer = Trainer::new(network, parameters, options, &run.splits, &device)?;
    introduce(&run, &trainer, &device)?;
    drive(&run, &mut trainer, &mut report, &mut writer, stop)
}

fn resume(bundle: &Path, args: &Args, stop: &AtomicBool) -> Result<Outcome> {
    let (mut writer, loaded, training) = BundleWriter::resume(bundle)?;
    let device = args.compute.open()?;
    let TrainingState { last, best, optimizer, carry, state } = training;
    let state_file = bundle.join("training/state.json");
    let saved: Saved = serde_json::from_value(state)
        .map_err(|error| Error::file(&state_file, format!("is not a run's state: {error}")))?;
    let mut options = saved.options;
    args.length.extend(&mut options, &saved.progress)?;
    let tokenizer = loaded.tokenizer()?;
    let config = loaded.config;
    let spec = TokenizerSpec { kind: Kind::Char, max_vocab: None, lowercase: false }; // it is built already
    let prepared = saved.data.prepare(config.task, tokenizer, &spec, config.labels.clone())?;
    if prepared.splits.train.fingerprint()? != saved.fingerprint {
        let problem = "has changed since the run was started with it; put it back as it was, or train anew";
        return Err(Error::file(&saved.data.data, problem));
    }
    let (network, parameters) = model::build(&config, &device)?;
    let in_file = |name: &str, error: Error| Error::file(bundle.join(name), error);
    parameters.set_all(&last).map_err(|error| in_file("training/last.safetensors", error))?;
    let mut moments = Optimizer::new(options.optimizer.clone())?;
    moments
        .load_state(&parameters, &optimizer)
        .map_err(|error| in_file("training/optimizer.safetensors", error))?;
    let (run, mut report) = assemble(config, saved.data, prepared, &options, vec![], &device)?;
    let carried = carried(&carry, &device)?;
    let mut trainer = Trainer::resume(
        network,
        parameters,
        moments,
        options,
        saved.progress,
        carried,
        best,
        &run.splits,
        &device,
    )?;
    introduce(&run, &trainer, &device)?;
    drive(&run, &mut trainer, &mut report, &mut writer, stop)
}

/// What the loop needs beside the trainer.
fn assemble(
    config: Config,
    data: DataSpec,
    prepared: Prepared,
    options: &Options,
    metrics: Vec<Metric>,
    device: &Device,
) -> Result<(Run, Report)> {
    let tokenizer = prepared.tokenizer.map(Arc::new);
    let sampler = tokenizer
        .as_ref()
        .filter(|_| config.task == Task::Lm)
        .map(|tokenizer| task::sampler(tokenizer.clone(), options.seed, device));
    let report = Report::new(prepared.unit, sampler, options.log_every, metrics);
    let fingerprint = prepared.splits.train.fingerprint()?;
    Ok((Run { config, data, tokenizer, splits: prepared.splits, fingerprint }, report))
}

/// Trains, saves, and says what to type next.
fn drive(
    run: &Run,
    trainer: &mut Trainer,
    report: &mut Report,
    writer: &mut BundleWriter,
    stop: &AtomicBool,
) -> Result<Outcome> {
    let mut save = |trainer: &mut Trainer, report: &mut Report| run.save(trainer, report, writer);
    let ending = trainer.run(&run.splits, report, stop, &mut save);
    report.end();
    let path = writer.path().display().to_string();
    match ending {
        Ok(Ending::Interrupted) => {
            eprintln!(
                "stopped after step {}; continue with: rnn train --resume {path}",
                trainer.progress.step
            );
            Ok(Outcome::Interrupted)
        }
        Ok(ending) => {
            if ending == Ending::EarlyStopped {
                eprintln!("stopped early: validation no longer improves");
            }
            eprintln!("saved {path}; next:\n{}", card::next_commands(&run.config, &run.data.data, &path));
            Ok(Outcome::Done)
        }
        Err(error @ Error::Diverged { .. }) if writer.has_saved() => {
            eprintln!("the checkpoint from before is in {path}");
            Err(error)
        }
        Err(error) => Err(error),
    }
}

impl Run {
    fn save(&self, trainer: &Trainer, report: &mut Report, writer: &mut BundleWriter) -> Result<()> {
        for metric in report.metrics.drain(..) {
            writer.append_metrics(&metric)?;
        }
        let last = trainer.parameters.to_tensors()?;
        let saved = Saved {
            options: trainer.options.clone(),
            progress: trainer.progress.clone(),
            data: self.data.clone(),
            fingerprint: self.fingerprint,
        };
        let state = serde_json::to_value(&saved).map_err(|error| Error::Message(error.to_string()))?;
        let mut carry = NamedTensors::new();
        if let Some(State { h, c }) = &trainer.carried {
            carry.insert("h".into(), h.clone());
            carry.extend(c.iter().map(|c| ("c".to_string(), c.clone())));
        }
        let tokenizer = self.tokenizer.as_ref().map(|tokenizer| tokenizer.to_json()).transpose()?;
        writer.save(&Contents {
            config: &self.config,
            weights: trainer.shipped.as_ref().unwrap_or(&last),
            tokenizer: tokenizer.as_deref(),
            readme: &card::write(&self.config, &self.data.data, trainer, report),
            training: Some(Training {
                last: &last,
                best: trainer.best.as_ref(),
                optimizer: &trainer.optimizer.state()?,
                carry: &carry,
                state: &state,
            }),
        })
    }
}

/// The hidden state that a checkpoint carries.
fn carried(carry: &NamedTensors, device: &Device) -> Result<Option<State>> {
    let tensor = |name| carry.get(name).map(|tensor| tensor.to_device(device)).transpose();
    Ok(tensor("h")?.map(|h| Ok::<_, Error>(State { h, c: tensor("c")? })).transpose()?)
}

impl DataArgs {
    fn spec(&self, seed: u64) -> DataSpec {
        DataSpec {
            data: self.data.clone().unwrap_or_else(|| STORY.into()),
            columns: Columns { text: self.text_column.clone(), label: self.label_column.clone() },
            fractions: Fractions { valid: self.valid_fraction, test: self.test_fraction },
            seed,
        }
    }
}

/// What there is to learn from where the user names nothing.
const STORY: &str = "builtin:story";

/// What suits a task where the user gives nothing.
struct Defaults {
    sizes: Sizes,
    epochs: usize,
    batch_size: usize,
    bptt: usize,
    optimizer: &'static str,
    lr: f64,
    clip: f64,
    eval_every: Option<usize>,
}

impl Defaults {
    fn of(task: Task, tokenizer: Option<&Tokenizer>, data: &str) -> Self {
        let words = tokenizer.is_some_and(|tokenizer| tokenizer.scheme_name() != "char");
        let sizes = |embedding, hidden, layers, dropout| Sizes { embedding, hidden, layers, dropout };
        let adam = Self {
            sizes: sizes(32, 128, 1, 0.),
            epochs: 10,
            batch_size: 32,
            bptt: 64,
            optimizer: "adam",
            lr: 3e-3,
            clip: 1.,
            eval_every: None,
        };
        match (task, words) {
            (Task::Lm, false) if data == STORY => Self { epochs: 1, eval_every: Some(400), ..adam },
            (Task::Lm, false) => Self { epochs: 5, ..adam },
            // Plain gradient descent learns a language model over words faster than Adam: the recipe of
            // PyTorch's word-level example.
            (Task::Lm, true) => Self {
                sizes: sizes(200, 200, 2, 0.2),
                epochs: 4,
                batch_size: 20,
                bptt: 35,
                optimizer: "sgd",
                lr: 20.,
                clip: 0.25,
                ..adam
            },
            (Task::Classify, _) => Self { sizes: sizes(100, 128, 1, 0.4), lr: 2e-3, ..adam },
            _ => Self { sizes: sizes(32, 64, 1, 0.), lr: 2e-3, ..adam },
        }
    }
}

impl TrainingArgs {
    fn optimizer(&self, defaults: &Defaults) -> Result<OptimizerConfig> {
        let mut config = match &self.optimizer {
            Some(config) => config.clone(),
            None => defaults.optimizer.parse()?,
        };
        if let Some(momentum) = self.momentum {
            config = config.with_momentum(momentum)?;
        }
        Ok(match self.weight_decay {
            Some(decay) => config.with_weight_decay(decay),
            None => config,
        })
    }

    fn schedule(&self) -> Result<Schedule> {
        let mut schedule = match &self.schedule {
            Some(schedule) => schedule.clone(),
            None => "cosine".parse()?,
        };
        if let Some(steps) = self.warmup {
            match &mut schedule {
                Schedule::Cosine { warmup_steps, .. } => *warmup_steps = steps,
                _ => return Err(Error::usage("--warmup", "only --schedule cosine warms up")),
            }
        }
        if let Some(value) = self.gamma {
            match &mut schedule {
                Schedule::Step { gamma: factor, .. } | Schedule::Plateau { factor, .. } => *factor = value,
                _ => {
                    return Err(Error::usage(
                        "--gamma",
                        "only --schedule step and plateau multiply the rate",
                    ));
                }
            }
        }
        Ok(schedule)
    }

    fn options(&self, length: &LengthArgs, defaults: &Defaults) -> Result<Options> {
        let epochs = match (length.epochs, length.max_steps) {
            (None, None) => Some(defaults.epochs),
            (epochs, _) => epochs,
        };
        // A learning rate is right for one optimizer: another one starts from its own.
        let (lr, clip) = match self.optimizer.as_ref().map(OptimizerConfig::name) {
            Some("sgd") => (20., 0.25),
            Some(_) => (2e-3, 1.),
            None => (defaults.lr, defaults.clip),
        };
        Ok(Options {
            epochs,
            max_steps: length.max_steps,
            batch_size: self.batch_size.unwrap_or(defaults.batch_size),
            bptt: self.bptt.unwrap_or(defaults.bptt),
            optimizer: self.optimizer(defaults)?,
            lr: self.lr.unwrap_or(lr),
            schedule: self.schedule()?,
            clip: self.clip.unwrap_or(clip),
            eval_every: match length.epochs {
                Some(_) => self.eval_every,
                None => self.eval_every.or(defaults.eval_every),
            },
            early_stop: self.early_stop,
            log_every: self.log_every.unwrap_or(100),
            seed: self.seed,
        })
    }
}

impl LengthArgs {
    /// Gives a resumed run another length, which cannot be less than it has behind it.
    fn extend(&self, options: &mut Options, progress: &Progress) -> Result<()> {
        let done = [
            ("--epochs", "epochs", self.epochs, progress.epoch),
            ("--max-steps", "steps", self.max_steps, progress.step),
        ];
        for (flag, what, wanted, done) in done {
            if let Some(wanted) = wanted.filter(|&wanted| wanted < done) {
                let problem = format!("the run has {done} {what} behind it; {wanted} are fewer");
                return Err(Error::usage(flag, problem));
            }
        }
        if self.epochs.is_some() || self.max_steps.is_some() {
            (options.epochs, options.max_steps) = (self.epochs, self.max_steps);
        }
        Ok(())
    }
}

/// The model of that name, or an error with the nearest one.
fn known_model(name: &str) -> Result<&'static str> {
    let wanted = name.to_lowercase().replace('_', "-");
    if let Some(entry) = MODELS.iter().find(|entry| entry.name == wanted) {
        return Ok(entry.name);
    }
    let distance = |entry: &&rnn_zoo::models::Entry| strsim::damerau_levenshtein(entry.name, &wanted);
    let nearest = MODELS.iter().min_by_key(distance).map_or("lstm", |entry| entry.name);
    let names = MODELS.map(|entry| entry.name).join(", ");
    Err(Error::usage("MODEL", format!("there is no model {name:?}; did you mean {nearest}? (all: {names})")))
}

/// `lstm-story` for an lstm on `builtin:story`, `gru-my` for a gru on `texts/my.txt`.
fn default_bundle(model: &str, data: &str) -> PathBuf {
    let last = data.trim_end_matches('/').rsplit(['/', ':', '\\']).next().unwrap_or("data");
    let stem = last.split('.').next().filter(|stem| !stem.is_empty()).unwrap_or("data");
    PathBuf::from(format!("{model}-{stem}"))
}

/// The command as the user typed it.
fn command_line() -> String {
    let quoted = |arg: String| {
        let plain = |c: char| c.is_alphanumeric() || "-_./:=,@+".contains(c);
        if !arg.is_empty() && arg.chars().all(plain) {
            arg
        } else {
            format!("'{}'", arg.replace('\'', r"'\''"))
        }
    };
    let arguments = std::env::args().skip(1).map(quoted);
    std::iter::once("rnn".to_string()).chain(arguments).collect::<Vec<_>>().join(" ")
}

/// One line on what is about to happen.
fn introduce(run: &Run, trainer: &Trainer, device: &Device) -> Result<()> {
    let (train, valid) = (run.splits.train.len(), run.splits.valid.as_ref().map_or(0, |valid| valid.len()));
    let vocabulary = run.tokenizer.as_ref().map_or(String::new(), |tokenizer| {
        format!(", {} {}s to choose from", tokenizer.vocabulary_size(), tokenizer.unit())
    });
    eprintln!(
        "{} ({}): {} parameters on {}; {train} targets to learn from, {valid} to validate on{vocabulary}",
        run.config.model,
        run.config.task,
        trainer.parameters.count(),
        rnn_zoo::device::name(device),
    );
    if valid == 0 {
        eprintln!("no validation data: the last parameters will be kept, not the best");
    }
    Ok(())
}

/// A flag that the first Ctrl-C sets; the second ends the program at once.
fn stop_on_interrupt() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let seen = stop.clone();
    ctrlc::set_handler(move || {
        if seen.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
        eprintln!("stopping after this step, then saving; Ctrl-C again stops at once");
    })?;
    Ok(stop)
}
