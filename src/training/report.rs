//! Reports on a run: a progress bar on a terminal or plain lines elsewhere, `metrics.jsonl`, and TensorBoard.
//!
//! Terminal output goes to standard error; standard output is for results.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{FormattedDuration, ProgressBar, ProgressStyle};

use super::loss_unit::LossUnit;
use super::metric::MetricsLine;
use super::observer::{Evaluation, Observer, StepTaken};
use super::tensorboard::EventWriter;
use crate::tasks::Figures;
use crate::tasks::figures::{PERPLEXITY, figure_text};

/// Reports the progress of a run to the terminal, `metrics.jsonl` and TensorBoard.
pub struct Reporter {
    bar: ProgressBar,
    unit: LossUnit,
    /// Whether the training loss is computed against smoothed labels.
    smoothed: bool,
    /// Lines of `metrics.jsonl` that have not been written yet, oldest first.
    pub metrics: Vec<MetricsLine>,
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

    /// Remove the progress bar.
    pub fn end(&self) {
        self.bar.finish_and_clear();
    }

    /// Add a line to `metrics.jsonl` and to TensorBoard.
    fn record(&mut self, metric: MetricsLine) {
        // A failed write for TensorBoard must not end the run.
        if let Some(Err(error)) = self.events.as_mut().map(|events| events.report(&metric)) {
            self.print(&format!("no more events for TensorBoard: {error}"));
            self.events = None;
        }
        self.metrics.push(metric);
    }

    /// The figures that follow from the training loss of a language model. A cross-entropy against smoothed labels is
    /// not a negative log-probability and has no perplexity.
    fn training_figures(&self, loss: f64) -> Figures {
        if self.unit.perplexity && !self.smoothed { Figures::of_nats(loss) } else { Figures::default() }
    }

    /// Print a line of `metrics.jsonl` in words.
    fn print_metric(&self, metric: &MetricsLine, note: &str) {
        let figures: String = metric.figures.iter().map(|(name, value)| after_blanks(name, value)).collect();
        self.print(&format!(
            "step {:>6}  epoch {}  {}  {}{figures}  lr {:.2e}  {:.0} {}s/s  {}{note}",
            metric.step,
            metric.epoch,
            metric.split,
            self.loss(metric.loss),
            metric.lr,
            metric.tokens_per_second,
            self.unit.target,
            FormattedDuration(Duration::from_secs_f64(metric.seconds)),
        ));
    }

    fn loss(&self, loss: f64) -> String {
        let (name, digits) = (self.unit.name, if self.unit.nats { 4 } else { 5 });
        format!("{name} {loss:.digits$}")
    }

    fn print(&self, line: &str) {
        if self.bar.is_hidden() {
            // A run goes on without its terminal, or the reader of a pipe.
            let _ = writeln!(std::io::stderr(), "{line}");
        } else {
            self.bar.println(line);
        }
    }
}

/// A figure in words, after two blanks; nothing for figures that repeat another.
fn after_blanks(name: &str, value: f64) -> String {
    figure_text(name, value).map_or(String::new(), |words| format!("  {words}"))
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
            let perplexity = self.training_figures(loss).get(PERPLEXITY);
            let perplexity = perplexity.map_or(String::new(), |value| after_blanks(PERPLEXITY, value));
            let (loss, target) = (self.loss(loss), self.unit.target);
            self.bar.set_message(format!("{loss}{perplexity}  {tokens_per_second:.0} {target}s/s"));
            return;
        }
        let (split, figures) = ("train".into(), self.training_figures(loss));
        let metric =
            MetricsLine { step, epoch, split, loss, best: false, figures, lr, tokens_per_second, seconds };
        self.print_metric(&metric, "");
        self.record(metric);
    }

    fn evaluated(&mut self, evaluation: &Evaluation) {
        let Evaluation { step, epoch, ref scores, best, lr, seconds } = *evaluation;
        let metric = MetricsLine {
            step,
            epoch,
            split: "valid".into(),
            loss: scores.loss,
            best,
            figures: scores.figures.clone(),
            lr,
            tokens_per_second: scores.tokens_per_second,
            seconds,
        };
        let floor = self.unit.floor.map_or(String::new(), |floor| format!(" (floor {floor:.4})"));
        let best = if best { " *best" } else { "" };
        self.print_metric(&metric, &format!("{floor}{best}"));
        self.record(metric);
    }

    fn sampled(&mut self, text: &str) {
        self.print(&format!("      | {}", text.trim_end().replace('\n', "\n      | ")));
    }
}
