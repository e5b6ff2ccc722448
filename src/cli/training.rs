//! The flags of training: length, batches, optimizer, learning rate, evaluation.

use std::fmt;
use std::str::FromStr;

use rnn_zoo::Error;
use rnn_zoo::data::dataset::Dataset;
use rnn_zoo::listing::counted;
use rnn_zoo::models::Precision;
use rnn_zoo::tasks::Defaults;
use rnn_zoo::training::optim::{Average, OptimizerConfig};
use rnn_zoo::training::schedule::Schedule;
use rnn_zoo::training::{Options, Progress};

use super::flags::{self, usage};
use super::{number, precision};
use crate::cli::note::note;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Training")]
#[group(id = "length-flags")]
pub struct LengthArgs {
    /// Passes over the training data [default: chosen by the task; none with --max-steps]
    #[arg(long, value_name = "N", value_parser = number::count, aliases = ["max-epochs", "max_epochs"])]
    epochs: Option<usize>,

    /// Stop after N optimizer steps
    #[arg(long, value_name = "N", value_parser = number::count, alias = "steps")]
    max_steps: Option<usize>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Training")]
#[group(id = "training-flags")]
pub struct TrainingArgs {
    /// Sequences in a batch [default: chosen by the task]
    #[arg(long, value_name = "N", value_parser = number::count, aliases = ["batch_size", "bs"])]
    batch_size: Option<usize>,

    /// Time steps of truncated backpropagation through time [default: 64; 16 or 35 for words]
    #[arg(long, value_name = "N", value_parser = number::count, aliases = ["seq-length", "seq_length", "seq-len"])]
    pub bptt: Option<usize>,

    /// Draw the length of each window around --bptt, and scale its learning rate by it
    #[arg(long)]
    pub vary_bptt: bool,

    /// Probability that a sequence of the batch starts a window from a zero state
    #[arg(long, value_name = "P", value_parser = number::share, default_value_t = 0., hide_default_value = true)]
    state_reset: f64,

    /// Batches per optimizer step (gradient accumulation)
    #[arg(long, value_name = "N", value_parser = number::count, default_value_t = 1, aliases = ["gradient-accumulation-steps"], hide_default_value = true)]
    accumulate: usize,

    /// Label smoothing: fraction of the target's probability that is spread over all classes
    #[arg(long, value_name = "P", value_parser = number::share, default_value_t = 0., hide_default_value = true)]
    label_smoothing: f64,

    /// sgd, adam, adamw or rmsprop [default: sgd for a language model over 200,000 words or more, else adam]
    #[arg(long, value_name = "NAME", value_parser = flags::parsed::<OptimizerConfig>)]
    optimizer: Option<OptimizerConfig>,

    /// Learning rate [default: that of the optimizer; a tenth of it with --from]
    #[arg(long, value_name = "X", value_parser = number::not_negative, aliases = ["learning-rate", "learning_rate"])]
    lr: Option<f64>,

    /// Momentum of sgd
    #[arg(long, value_name = "X", value_parser = number::share)]
    momentum: Option<f64>,

    /// Decay rates of the two moments of adam and adamw [default: 0.9,0.999]
    #[arg(long, value_name = "X,Y", value_parser = number::pair)]
    betas: Option<[f64; 2]>,

    /// Weight decay of all matrices but embeddings
    #[arg(long, value_name = "X", value_parser = number::not_negative, aliases = ["wdecay", "weight_decay"])]
    weight_decay: Option<f64>,

    /// Average of the parameters to evaluate and save: ema:DECAY, swa:START (a share of the run) or
    /// nt-asgd:EVALUATIONS (without improvement), or none [default: ema:0.99 of a classifier of texts, otherwise none]
    #[arg(long, value_name = "NAME", value_parser = flags::parsed::<AverageChoice>)]
    average: Option<AverageChoice>,

    /// Schedule of the learning rate: constant, step, plateau, cosine or one-cycle [default: cosine]
    #[arg(long, value_name = "NAME", value_parser = flags::parsed::<Schedule>)]
    schedule: Option<Schedule>,

    /// Steps of linear warm-up (cosine)
    #[arg(long, value_name = "N", value_parser = number::whole)]
    warmup: Option<usize>,

    /// Factor of the learning rate in the step and plateau schedules
    #[arg(long, value_name = "X", value_parser = number::finite, aliases = ["lr-decay", "decay"])]
    gamma: Option<f64>,

    /// Largest norm of the gradient; 0 turns clipping off [default: chosen by the task]
    #[arg(long, value_name = "X", value_parser = number::not_negative, aliases = ["grad-clip", "grad_clip"])]
    clip: Option<f64>,

    /// Evaluate and save every N steps, or at the end of every epoch [default: epoch; for a language model without
    /// --epochs every 250 steps where an epoch is shorter, and every 400 of builtin:story]
    #[arg(long, value_name = "N|epoch")]
    eval_every: Option<Period>,

    /// Metric that chooses the best checkpoint and that --early-stop follows: loss; accuracy too but for a forecaster;
    /// macro-f1 of a classifier, f1 of a tagger; mae, rmse, mse, smape and mase of a forecaster; bleu, chrf and exact
    /// of a translator [default: f1 or accuracy of a tagger of words, accuracy of a classifier of texts; bleu, chrf or
    /// exact of a translator, as its data suits; otherwise loss]
    #[arg(long, value_name = "NAME")]
    pub metric: Option<String>,

    /// Stop after N evaluations without improvement
    #[arg(long, value_name = "N", value_parser = number::count, alias = "patience")]
    early_stop: Option<usize>,

    /// Report every N steps; there is also a report before each evaluation and after the last step [default: 100]
    #[arg(long, value_name = "N", value_parser = number::count, aliases = ["log-interval", "print-every", "print_every"])]
    log_every: Option<usize>,

    /// Seed of all random numbers
    #[arg(long, value_name = "N", value_parser = number::seed, default_value_t = 1)]
    pub seed: u64,

    /// Precision of the operands of matrix products: f32 or bf16, which is several times faster on processors with AMX
    /// or AVX512-BF16; parameters and sums are in f32 either way
    #[arg(long, value_name = "NAME", value_parser = precision::parse_of_training, default_value_t = Precision::F32, hide_default_value = true)]
    pub precision: Precision,

    /// Precision of the gradients that the processes of mpirun exchange: f32, or bf16 for half the bytes
    #[arg(long, value_name = "NAME", value_parser = precision::parse_of_training, default_value_t = Precision::F32, hide_default_value = true)]
    reduce: Precision,
}

/// An average of the parameters, or none.
#[derive(Clone, Copy, Debug)]
struct AverageChoice(Option<Average>);

impl FromStr for AverageChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "none" => Ok(Self(None)),
            _ => text.parse().map(|average| Self(Some(average))),
        }
    }
}

/// The period of evaluations: a number of steps, or `None` for an epoch.
#[derive(Clone, Copy, Debug)]
pub struct Period(pub Option<usize>);

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(steps) => steps.fmt(f),
            None => f.write_str("epoch"),
        }
    }
}

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "epoch" => Ok(Self(None)),
            _ => number::count(text)
                .map(|steps| Self(Some(steps)))
                .map_err(|problem| format!("{problem}, or epoch")),
        }
    }
}

impl TrainingArgs {
    fn optimizer(&self, defaults: &Defaults) -> anyhow::Result<OptimizerConfig> {
        let mut config = match &self.optimizer {
            Some(config) => config.clone(),
            None => defaults.optimizer.parse()?,
        };
        if let Some(momentum) = self.momentum {
            config = config.with_momentum(momentum)?;
        }
        if let Some(betas) = self.betas {
            config = config.with_betas(betas)?;
        }
        Ok(match self.weight_decay {
            Some(decay) => config.with_weight_decay(decay),
            None => config,
        })
    }

    fn schedule(&self) -> anyhow::Result<Schedule> {
        let mut schedule = match &self.schedule {
            Some(schedule) => schedule.clone(),
            None => "cosine".parse()?,
        };
        if let Some(steps) = self.warmup {
            match &mut schedule {
                Schedule::Cosine { warmup_steps, .. } => *warmup_steps = steps,
                _ => {
                    return Err(usage(
                        "--warmup",
                        "belongs to --schedule cosine; leave it out, or choose that schedule",
                    ));
                }
            }
        }
        if let Some(value) = self.gamma {
            match &mut schedule {
                Schedule::Step { gamma: factor, .. } | Schedule::Plateau { factor, .. } => *factor = value,
                _ => {
                    return Err(usage(
                        "--gamma",
                        "belongs to --schedule step and plateau; leave it out, or choose one of them",
                    ));
                }
            }
        }
        Ok(schedule)
    }

    /// Shrink the default batch and window until a short text fills a batch, and report it. What the user sets stays.
    pub fn fitted(&self, defaults: Defaults, train: &Dataset) -> Defaults {
        let Dataset::Stream { tokens, .. } = train else { return defaults };
        let tokens = tokens.len() as usize;
        let fitted = defaults.fitted(tokens, self.batch_size, self.bptt);
        let settings = [
            ("--batch-size", self.batch_size, defaults.batch_size, fitted.batch_size),
            ("--bptt", self.bptt, defaults.bptt, fitted.bptt),
        ];
        let shrunk = settings.iter().filter(|(_, given, usual, fitted)| given.is_none() && usual != fitted);
        let shrunk: Vec<String> =
            shrunk.map(|(flag, _, usual, fitted)| format!("{flag} is {fitted} instead of {usual}")).collect();
        if !shrunk.is_empty() {
            note!("the training text is short ({}): {}", counted(tokens as u64, "token"), shrunk.join(", "));
        }
        fitted
    }

    /// Return the options of a run. `defaults` apply where the user gives none.
    pub fn options(&self, length: &LengthArgs, defaults: &Defaults) -> anyhow::Result<Options> {
        let epochs = match (length.epochs, length.max_steps) {
            (None, None) => Some(defaults.epochs),
            (epochs, _) => epochs,
        };
        // The default learning rate belongs to the default optimizer; another optimizer has its own.
        let (lr, clip) = match self.optimizer.as_ref().map(OptimizerConfig::name) {
            Some(name) if name != defaults.optimizer => match name {
                "sgd" => (1., 0.25),
                _ => (2e-3, 1.),
            },
            _ => (defaults.lr, defaults.clip),
        };
        Ok(Options {
            epochs,
            max_steps: length.max_steps,
            batch_size: self.batch_size.unwrap_or(defaults.batch_size),
            bptt: self.bptt.unwrap_or(defaults.bptt),
            vary_bptt: self.vary_bptt,
            state_reset: self.state_reset,
            similar_sizes: true,
            accumulate: self.accumulate,
            label_smoothing: self.label_smoothing,
            average: self.average.map_or(defaults.average, |AverageChoice(average)| average),
            optimizer: self.optimizer(defaults)?,
            lr: self.lr.unwrap_or(lr * defaults.lr_scale),
            schedule: self.schedule()?,
            clip: self.clip.unwrap_or(clip),
            eval_every: match (self.eval_every, length.epochs) {
                (Some(Period(every)), _) => every,
                (None, Some(_)) => None,
                (None, None) => defaults.eval_every,
            },
            metric: self.metric.clone().unwrap_or_else(|| defaults.metric.into()),
            early_stop: self.early_stop,
            log_every: self.log_every.unwrap_or(100),
            seed: self.seed,
            precision: self.precision,
            reduce: self.reduce,
        })
    }
}

impl LengthArgs {
    /// Set another length for a resumed run. Refuses one that is shorter than the progress of the run.
    pub fn extend(&self, options: &mut Options, progress: &Progress) -> anyhow::Result<()> {
        let done = [
            ("--epochs", "epochs", self.epochs, progress.epoch),
            ("--max-steps", "steps", self.max_steps, progress.step),
        ];
        for (flag, what, wanted, done) in done {
            if let Some(wanted) = wanted.filter(|&wanted| wanted < done) {
                let problem = format!(
                    "the run has done {done} {what} already; expected at least as many, not {wanted}"
                );
                return Err(usage(flag, problem));
            }
        }
        if self.epochs.is_some() || self.max_steps.is_some() {
            (options.epochs, options.max_steps) = (self.epochs, self.max_steps);
        }
        Ok(())
    }
}
