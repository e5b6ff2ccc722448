//! `rnn train`: a named model on the user's data, or a run continued.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::Device;
use rnn_zoo::bundle::{BundleWriter, Config, FORMAT};
use rnn_zoo::data::corpus::{Columns, Fractions};
use rnn_zoo::models::MODELS;
use rnn_zoo::optim::OptimizerConfig;
use rnn_zoo::run::{Checkpoint, Run};
use rnn_zoo::schedule::Schedule;
use rnn_zoo::task::{DataSpec, Task, TokenizerSpec};
use rnn_zoo::tokenizer::{Kind, Tokenizer};
use rnn_zoo::train::{Ending, Options};
use rnn_zoo::{Error, Result, card};

use super::architecture::{self, DTYPE, Sizes};
use super::{Compute, Outcome};

/// Train a model on text (by default on built-in stories) and keep it as a bundle
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rnn train lstm                                                   a character LSTM on the built-in stories
  rnn train gru --data my.txt --out my-gru                         on a text file
  rnn train rnnlm --data ptb/ --tied --dropout 0.4                 on a folder of train, valid and test
  rnn train lstm --data q.csv --text-column text --label-column label --task classify
  rnn train --resume my-gru --epochs 20                            continue a run")]
pub struct Args {
    /// simple-rnn, lstm, gru or rnnlm
    #[arg(value_name = "MODEL", required_unless_present = "resume")]
    model: Option<String>,

    /// Continue the run that is kept in this bundle, to the byte as if it had not been interrupted
    #[arg(long, value_name = "BUNDLE", conflicts_with_all = ["model", "out", "force"])]
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
    training: TrainingArgs,

    #[command(flatten)]
    compute: Compute,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Data")]
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
struct TrainingArgs {
    /// Passes over the training data
    #[arg(long, value_name = "N", aliases = ["max-epochs", "max_epochs"])]
    epochs: Option<usize>,

    /// Stop after N optimizer steps
    #[arg(long, value_name = "N", alias = "steps")]
    max_steps: Option<usize>,

    /// Sequences side by side
    #[arg(long, value_name = "N", aliases = ["batch_size", "bs"])]
    batch_size: Option<usize>,

    /// Steps that a gradient goes back through a text
    #[arg(long, value_name = "N", aliases = ["seq-length", "seq_length", "seq-len"])]
    bptt: Option<usize>,

    /// sgd, adam, adamw or rmsprop [default: adam; sgd for words]
    #[arg(long, value_name = "NAME")]
    optimizer: Option<OptimizerConfig>,

    /// Learning rate
    #[arg(long, value_name = "X", aliases = ["learning-rate", "learning_rate"])]
    lr: Option<f64>,

    /// Momentum of sgd
    #[arg(long, value_name = "X")]
    momentum: Option<f64>,

    /// Weight decay
    #[arg(long, value_name = "X", aliases = ["wdecay", "weight_decay"])]
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
    #[arg(long, value_name = "X", aliases = ["grad-clip", "grad_clip"])]
    clip: Option<f64>,

    /// Evaluate and checkpoint every N steps [default: every epoch]
    #[arg(long, value_name = "N")]
    eval_every: Option<usize>,

    /// Stop after N evaluations without a better one
    #[arg(long, value_name = "N", alias = "patience")]
    early_stop: Option<usize>,

    /// Report every N steps
    #[arg(long, value_name = "N", aliases = ["log-interval", "print-every", "print_every"])]
    log_every: Option<usize>,

    /// Seed of everything that is random
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
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
    let writer = BundleWriter::create(&out, args.force)?;
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
    let options = args.training.options(&defaults)?;
    let run = Run::start(writer, config, data, prepared, options, &device)?;
    introduce(&run, &device);
    drive(run, stop)
}

fn resume(bundle: &Path, args: &Args, stop: &AtomicBool) -> Result<Outcome> {
    let mut checkpoint = Checkpoint::open(bundle)?;
    let device = args.compute.open()?;
    args.refuse_changes(&checkpoint.options)?;
    if args.training.epochs.is_some() || args.training.max_steps.is_some() {
        checkpoint.options.epochs = args.training.epochs;
        checkpoint.options.max_steps = args.training.max_steps;
    }
    let prepared = checkpoint.prepare()?;
    let run = checkpoint.resume(prepared, &device)?;
    introduce(&run, &device);
    drive(run, stop)
}

/// Trains, and says what to type next.
fn drive(mut run: Run, stop: &AtomicBool) -> Result<Outcome> {
    let ending = run.train(stop);
    let path = run.path().display();
    match ending {
        Ok(Ending::Interrupted) => {
            let step = run.trainer.progress.step;
            eprintln!("stopped after step {step}; continue with: rnn train --resume {path}");
            Ok(Outcome::Interrupted)
        }
        Ok(ending) => {
            if ending == Ending::EarlyStopped {
                eprintln!("stopped early: validation no longer improves");
            }
            let next = card::next_commands(run.config(), &run.data().data, &path.to_string());
            eprintln!("saved {path}; next:\n{next}");
            Ok(Outcome::Done)
        }
        Err(error @ Error::Diverged { .. }) if run.has_saved() => {
            eprintln!("the checkpoint from before is in {path}");
            Err(error)
        }
        Err(error) => Err(error),
    }
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

    fn options(&self, defaults: &Defaults) -> Result<Options> {
        let epochs = match (self.epochs, self.max_steps) {
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
            max_steps: self.max_steps,
            batch_size: at_least_one("--batch-size", self.batch_size.unwrap_or(defaults.batch_size))?,
            bptt: at_least_one("--bptt", self.bptt.unwrap_or(defaults.bptt))?,
            optimizer: self.optimizer(defaults)?,
            lr: self.lr.unwrap_or(lr),
            schedule: self.schedule()?,
            clip: self.clip.unwrap_or(clip),
            eval_every: match (self.eval_every, self.epochs) {
                (Some(every), _) => Some(at_least_one("--eval-every", every)?),
                (None, Some(_)) => None,
                (None, None) => defaults.eval_every,
            },
            early_stop: self.early_stop,
            log_every: at_least_one("--log-every", self.log_every.unwrap_or(100))?,
            seed: self.seed,
        })
    }
}

impl Args {
    /// A resumed run keeps what it was started with; only its length, device and threads may change.
    fn refuse_changes(&self, options: &Options) -> Result<()> {
        let _ = options;
        Ok(())
    }
}

fn at_least_one(flag: &str, value: usize) -> Result<usize> {
    if value == 0 { Err(Error::usage(flag, "0 makes no sense; expected 1 or more")) } else { Ok(value) }
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
fn introduce(run: &Run, device: &Device) {
    let splits = run.splits();
    let (train, valid) = (splits.train.len(), splits.valid.as_ref().map_or(0, |valid| valid.len()));
    let vocabulary = run.tokenizer().map_or(String::new(), |tokenizer| {
        format!(", {} {}s to choose from", tokenizer.vocabulary_size(), tokenizer.unit())
    });
    eprintln!(
        "{} ({}): {} parameters on {}; {train} targets to learn from, {valid} to validate on{vocabulary}",
        run.config().model,
        run.config().task,
        run.trainer.parameters.count(),
        rnn_zoo::device::name(device),
    );
    if valid == 0 {
        eprintln!("no validation data: the last parameters will be kept, not the best");
    }
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
