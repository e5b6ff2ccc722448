//! Reports on a run: a progress bar on a terminal or plain lines elsewhere, `metrics.jsonl`, and TensorBoard.
//!
//! Everything is written to standard error; standard output is for answers.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{FormattedDuration, ProgressBar, ProgressStyle};

use super::loss_unit::LossUnit;
use super::metric::Metric;
use super::observer::{Evaluation, Observer, StepTaken};
use super::tensorboard::EventWriter;

/// Reports the progress of a run to the terminal, `metrics.jsonl` and TensorBoard.
pub struct Reporter {
    bar: ProgressBar,
    unit: LossUnit,
    /// Whether the training loss is computed against smoothed labels.
    smoothed: bool,
    /// Lines of `metrics.jsonl` that have not been written yet, oldest first.
    pub metrics: Vec<Metric>,
    /// The event file for TensorBoard.
    pub events: Option<EventWriter>,
}

impl Reporter {
    /// A reporter of losses in `unit`. `smoothed` tells whether the training loss is computed against smoothed
    /// labels, and so has no perplexity.
    pub fn new(unit: LossUnit, smoothed: bool) -> Self {
        Self { bar: ProgressBar::hidden(), unit, smoothed, metrics: vec![], events: None }
    }

    /// The unit of the loss.
    pub fn unit(&self) -> &LossUnit {
        &self.unit
    }

    /// Removes the progress bar.
    pub fn end(&self) {
        self.bar.finish_and_clear();
    }

    /// Adds a line to `metrics.jsonl` and to TensorBoard.
    fn record(&mut self, metric: Metric) {
        // A full disk must not end a run that only failed to be watched.
        if let Some(Err(error)) = self.events.as_mut().map(|events| events.report(&metric)) {
            self.print(&format!("no more events for TensorBoard: {error}"));
            self.events = None;
        }
        self.metrics.push(metric);
    }

    /// A cross-entropy against smoothed labels is not a negative log-probability and has no perplexity.
    fn has_perplexity(&self, split: &str) -> bool {
        self.unit.nats && !(self.smoothed && split == "train")
    }

    /// Fills in the metrics that follow from the loss.
    fn with_perplexity(&self, metric: Metric) -> Metric {
        let has = self.has_perplexity(&metric.split);
        Metric {
            perplexity: has.then(|| metric.loss.exp()),
            bits_per_token: has.then_some(metric.loss / std::f64::consts::LN_2),
            ..metric
        }
    }

    /// Prints a line of `metrics.jsonl` in words.
    fn print_metric(&self, metric: &Metric, note: &str) {
        let accuracy = metric.accuracy.filter(|_| metric.split == "valid");
        let accuracy =
            accuracy.map_or(String::new(), |accuracy| format!("  accuracy {:.2} %", 100. * accuracy));
        self.print(&format!(
            "step {:>6}  epoch {}  {}  {}{}{}  lr {:.2e}  {:.0} {}s/s  {}{note}",
            metric.step,
            metric.epoch,
            metric.split,
            self.loss(metric.loss),
            self.perplexity(&metric.split, metric.loss),
            accuracy,
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

impl Observer for Reporter {
    fn started(&mut self, step: usize, total_steps: usize) {
        if std::io::stderr().is_terminal() {
            let style = ProgressStyle::with_template("{bar:24} {pos}/{len} {msg} [{elapsed} < {eta}]");
            self.bar = ProgressBar::new(total_steps as u64)
                .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
                .with_position(step as u64);
            self.bar.enable_steady_tick(Duration::from_millis(250));
        }
    }

    fn stepped(&mut self, taken: &StepTaken) {
        let StepTaken { step, epoch, loss, lr, tokens_per_second, seconds, report } = *taken;
        self.bar.set_position(step as u64);
        if !report {
            let (loss, perplexity) = (self.loss(loss), self.perplexity("train", loss));
            self.bar
                .set_message(format!("{loss} {perplexity} {tokens_per_second:.0} {}s/s", self.unit.target));
            return;
        }
        let metric = self.with_perplexity(Metric {
            step,
            epoch,
            split: "train".into(),
            loss,
            perplexity: None,
            bits_per_token: None,
            accuracy: None,
            lr,
            tokens_per_second,
            seconds,
        });
        self.print_metric(&metric, "");
        self.record(metric);
    }

    fn evaluated(&mut self, evaluation: &Evaluation) {
        let Evaluation { step, epoch, scores, best, lr, seconds } = *evaluation;
        let metric = self.with_perplexity(Metric {
            step,
            epoch,
            split: "valid".into(),
            loss: scores.loss,
            perplexity: None,
            bits_per_token: None,
            accuracy: scores.accuracy,
            lr,
            tokens_per_second: scores.tokens_per_second,
            seconds,
        });
        let floor = self.unit.floor.map_or(String::new(), |floor| format!(" (floor {floor:.4})"));
        let best = if best { " *best" } else { "" };
        self.print_metric(&metric, &format!("{floor}{best}"));
        self.record(metric);
    }

    fn sampled(&mut self, text: &str) {
        self.print(&format!("      | {}", text.trim_end().replace('\n', "\n      | ")));
    }
}
