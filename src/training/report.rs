//! What a run tells while it goes on: a progress bar on a terminal, plain lines elsewhere, and the lines
//! of `metrics.jsonl`. All of it goes to standard error; standard output carries answers alone.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::{Duration, Instant};

use candle_core::Device;
use indicatif::{FormattedDuration, ProgressBar, ProgressStyle};
use rnn_zoo_models::Network;

use super::loss_unit::LossUnit;
use super::metric::Metric;
use super::progress::Progress;
use super::tensorboard::EventWriter;
use crate::inference::evaluate::Scores;
use crate::inference::generate::{Generator, Sampling};
use crate::rng::{self, Purpose};
use crate::tokenizer::Tokenizer;

/// Writes a sample of text at every evaluation.
pub struct Sampler {
    /// The run's tokenizer.
    pub tokenizer: Arc<Tokenizer>,
    /// What the model reads first.
    pub start: u32,
    /// Tokens of a sample.
    pub length: usize,
    /// Seed of the run.
    pub seed: u64,
    /// Where the model runs.
    pub device: Device,
}

/// How fast a run goes.
#[derive(Clone, Copy)]
struct Pace {
    lr: f64,
    /// Targets a second.
    rate: f64,
    /// Seconds of the run so far.
    seconds: f64,
}

/// A run's voice.
pub struct Report {
    bar: ProgressBar,
    unit: LossUnit,
    sampler: Option<Sampler>,
    log_every: usize,
    /// Whether training's loss is against smoothed labels.
    smoothed: bool,
    /// Seconds of this run before it was resumed.
    before: f64,
    began: Instant,
    /// Loss, targets, steps and time since the last line.
    since: (f64, usize, usize, Instant),
    /// Lines of `metrics.jsonl`, oldest first.
    pub metrics: Vec<Metric>,
    /// Where TensorBoard reads them, too.
    pub events: Option<EventWriter>,
}

impl Report {
    /// A voice that says nothing until [`Report::begin`].
    pub fn new(unit: LossUnit, sampler: Option<Sampler>, log_every: usize, smoothed: bool) -> Self {
        let now = Instant::now();
        let bar = ProgressBar::hidden();
        Self {
            bar,
            unit,
            sampler,
            log_every,
            smoothed,
            before: 0.,
            began: now,
            since: (0., 0, 0, now),
            metrics: vec![],
            events: None,
        }
    }

    /// The loop starts, or goes on after `step` of `total` steps and `seconds`.
    pub fn begin(&mut self, step: usize, total: usize, seconds: f64) {
        if std::io::stderr().is_terminal() {
            let style = ProgressStyle::with_template("{bar:24} {pos}/{len} {msg} [{elapsed} < {eta}]");
            self.bar = ProgressBar::new(total as u64)
                .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
                .with_position(step as u64);
            self.bar.enable_steady_tick(Duration::from_millis(250));
        }
        self.before = seconds;
        self.began = Instant::now();
        self.since = (0., 0, 0, self.began);
    }

    /// A step is done; returns the run's seconds so far.
    pub fn step(&mut self, progress: &Progress, loss: f64, count: usize, lr: f64) -> f64 {
        let (total, targets, steps, since) = &mut self.since;
        *total += loss * count as f64;
        *targets += count;
        *steps += 1;
        let mean = *total / (*targets).max(1) as f64;
        let rate = *targets as f64 / since.elapsed().as_secs_f64().max(1e-9);
        let seconds = self.before + self.began.elapsed().as_secs_f64();
        self.bar.set_position(progress.step as u64);
        if *steps >= self.log_every {
            let metric = self.metric(progress, "train", mean, Pace { lr, rate, seconds });
            self.say(&metric, "");
            self.keep(metric);
            self.since = (0., 0, 0, Instant::now());
        } else {
            let message = format!(
                "{} {} {rate:.0} {}s/s",
                self.loss(mean),
                self.perplexity("train", mean),
                self.unit.target
            );
            self.bar.set_message(message);
        }
        seconds
    }

    /// An evaluation is done; `best` says whether it beats all before it.
    pub fn evaluation(
        &mut self,
        progress: &Progress,
        scores: &Scores,
        lr: f64,
        best: bool,
        network: &dyn Network,
    ) {
        let seconds = self.before + self.began.elapsed().as_secs_f64();
        let (loss, rate) = (scores.loss, scores.tokens_per_second);
        let pace = Pace { lr, rate, seconds };
        let metric = Metric { accuracy: scores.accuracy, ..self.metric(progress, "valid", loss, pace) };
        let mut note = match self.unit.floor {
            Some(floor) => format!(" (floor {floor:.4})"),
            None => String::new(),
        };
        if best {
            note.push_str(" *best");
        }
        self.say(&metric, &note);
        self.keep(metric);
        if let Some(sample) = self.sampler.as_ref().and_then(|sampler| sampler.write(network, progress.step))
        {
            self.print(&format!("      | {}", sample.trim_end().replace('\n', "\n      | ")));
        }
        // The time that an evaluation took is not the training's.
        self.since = (0., 0, 0, Instant::now());
    }

    /// What the figures mean.
    pub fn unit(&self) -> &LossUnit {
        &self.unit
    }

    /// The bar is taken away.
    pub fn end(&self) {
        self.bar.finish_and_clear();
    }

    fn metric(&self, progress: &Progress, split: &str, loss: f64, pace: Pace) -> Metric {
        Metric {
            step: progress.step,
            epoch: progress.epoch,
            split: split.to_string(),
            loss,
            perplexity: self.has_perplexity(split).then(|| loss.exp()),
            bits_per_token: self.has_perplexity(split).then_some(loss / std::f64::consts::LN_2),
            accuracy: None,
            lr: pace.lr,
            tokens_per_second: pace.rate,
            seconds: pace.seconds,
        }
    }

    /// Against smoothed labels a loss is no negative log-probability, and has none.
    fn has_perplexity(&self, split: &str) -> bool {
        self.unit.nats && !(self.smoothed && split == "train")
    }

    fn keep(&mut self, metric: Metric) {
        // A run is worth more than being watched.
        if let Some(Err(error)) = self.events.as_mut().map(|events| events.report(&metric)) {
            self.print(&format!("no more events for TensorBoard: {error}"));
            self.events = None;
        }
        self.metrics.push(metric);
    }

    fn say(&self, metric: &Metric, note: &str) {
        let accuracy =
            metric.accuracy.map_or(String::new(), |share| format!("  accuracy {:.2} %", 100. * share));
        self.print(&format!(
            "step {:>6}  epoch {}  {}  {}{}{}  lr {:.2e}  {:.0} {}s/s  {}{note}",
            metric.step,
            metric.epoch,
            metric.split,
            self.loss(metric.loss),
            self.perplexity(&metric.split, metric.loss),
            if metric.split == "valid" { accuracy } else { String::new() },
            metric.lr,
            metric.tokens_per_second,
            self.unit.target,
            FormattedDuration(Duration::from_secs_f64(metric.seconds)),
        ));
    }

    fn loss(&self, loss: f64) -> String {
        if self.unit.nats { format!("loss {loss:.4}") } else { format!("squared error {loss:.5}") }
    }

    fn perplexity(&self, split: &str, loss: f64) -> String {
        if self.has_perplexity(split) { format!("  perplexity {:.2}", loss.exp()) } else { String::new() }
    }

    fn print(&self, line: &str) {
        if self.bar.is_hidden() {
            eprintln!("{line}");
        } else {
            self.bar.println(line);
        }
    }
}

impl Sampler {
    /// A sample; `None` where the device fails, which the next step will say better.
    fn write(&self, network: &dyn Network, step: usize) -> Option<String> {
        let mut rng = rng::stream(self.seed, Purpose::Sampling, step as u64);
        let banned = self.tokenizer.unknown().into_iter().collect();
        let mut generator = Generator::new(network, self.start, &[], banned, &self.device).ok()?;
        let sampling = Sampling { temperature: 0.8, ..Sampling::default() };
        let tokens: Vec<u32> =
            (0..self.length).map_while(|_| generator.next(&sampling, &mut rng).ok().flatten()).collect();
        Some(self.tokenizer.decode(&tokens))
    }
}
