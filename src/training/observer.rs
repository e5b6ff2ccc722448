//! Events of a training run.

use crate::inference::evaluate::EvaluationResult;

/// Receives the events of a training run. Each method does nothing by default; `()` ignores all events.
pub trait Observer {
    /// The loop begins, or resumes, after `step` of `total_steps` steps.
    fn started(&mut self, _step: usize, _total_steps: usize) {}

    /// An optimizer step has been taken.
    fn stepped(&mut self, _step: &StepTaken) {}

    /// The validation split has been evaluated.
    fn evaluated(&mut self, _evaluation: &Evaluation) {}

    /// The model has written a sample of text, after an evaluation.
    fn sampled(&mut self, _text: &str) {}

    /// The run has been saved.
    fn saved(&mut self) {}
}

impl Observer for () {}

/// An optimizer step, and the training loss since the last report.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepTaken {
    /// Optimizer steps taken.
    pub step: usize,
    /// Epochs completed.
    pub epoch: usize,
    /// Mean loss over the targets since the last report.
    pub loss: f64,
    /// Learning rate of the step.
    pub lr: f64,
    /// Targets per second since the last report.
    pub tokens_per_second: f64,
    /// Seconds since the start of the run.
    pub seconds: f64,
    /// Whether a report is due. The next step starts a new mean.
    pub report: bool,
}

/// An evaluation of the validation split.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Optimizer steps taken.
    pub step: usize,
    /// Epochs completed.
    pub epoch: usize,
    /// Loss and metrics.
    pub scores: EvaluationResult,
    /// Whether it is the best so far, by the metric that the run chooses its checkpoint by.
    pub best: bool,
    /// Learning rate of the last step.
    pub lr: f64,
    /// Seconds since the start of the run.
    pub seconds: f64,
}
