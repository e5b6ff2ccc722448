//! One optimizer step, with gradients accumulated over several batches.

use super::divergence;
use super::gradients::{Gradients, clip_by_norm};
use super::loss;
use super::trainer::Trainer;
use crate::data::batch::Batch;
use crate::rng::Position;
use crate::tasks::BatchLoss;
use crate::{Error, Result};

/// The training loss of one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepLoss {
    /// The mean loss over the targets, before the step and without penalties.
    pub mean: f64,
    /// The number of targets.
    pub targets: usize,
}

/// Gradients and loss of the batches of one step.
#[derive(Default)]
struct Accumulated {
    /// Summed over targets.
    gradients: Gradients,
    /// Summed over targets.
    loss: f64,
    targets: usize,
    batches: usize,
    /// Time steps, summed over batches.
    time: usize,
}

impl Trainer {
    /// Take one optimizer step along the gradient of the mean loss over all targets of `batches`, at learning rate
    /// `lr`. A batch that is not fresh continues from the state that the batch before it left.
    ///
    /// # Errors
    /// If a batch cannot be read, the loss or the norm of the gradient is NaN or infinite, or the loss has diverged,
    /// and errors from candle.
    pub fn step(&mut self, batches: impl IntoIterator<Item = Result<Batch>>, lr: f64) -> Result<StepLoss> {
        self.options.precision.scope(|| self.step_in_scope(batches, lr))
    }

    /// Take a step as [`Trainer::step`], in the precision of the scope.
    fn step_in_scope(
        &mut self,
        batches: impl IntoIterator<Item = Result<Batch>>,
        lr: f64,
    ) -> Result<StepLoss> {
        let step = self.progress.step + 1;
        let Accumulated { mut gradients, loss, targets, batches, time } =
            self.accumulate(batches, step, lr)?;
        gradients.divide(targets.max(1) as f64);
        let norm = match self.options.clip {
            clip if clip > 0. => clip_by_norm(&mut gradients, clip)?,
            _ => gradients.norm()?,
        };
        if !norm.is_finite() {
            let what = "norm of the gradient";
            return Err(Error::Diverged { step, what, value: norm, learning_rate: lr });
        }
        // Windows of varied length get a learning rate in proportion to their length.
        let scale = match self.options.vary_bptt {
            true => time as f64 / (batches * self.options.bptt) as f64,
            false => 1.,
        };
        self.optimizer.step(&self.parameters, &gradients, lr * scale)?;
        if let Some(rule) = self.options.average {
            let Self { progress, average, parameters, .. } = self;
            let total = progress.scheduler.total_steps();
            progress.average.update(rule, average, parameters, (step, total))?;
        }
        self.progress.noise = Position::from(&self.noise);
        self.progress.step = step;
        Ok(StepLoss { mean: loss / targets.max(1) as f64, targets })
    }

    /// Sum gradients and losses over the targets of all batches, so that every target has the same weight.
    fn accumulate(
        &mut self,
        batches: impl IntoIterator<Item = Result<Batch>>,
        step: usize,
        lr: f64,
    ) -> Result<Accumulated> {
        let mut sum = Accumulated::default();
        for batch in batches {
            let batch = batch?;
            let (mut gradients, loss, targets) = self.gradients(&batch)?;
            divergence::check(&mut self.progress.first_loss, "loss", step, loss, lr)?;
            gradients.multiply(targets as f64);
            sum.gradients.add(gradients)?;
            sum.loss += loss * targets as f64;
            sum.targets += targets;
            sum.batches += 1;
            sum.time += batch.inputs.steps()?;
            self.progress.batch += 1;
        }
        Ok(sum)
    }

    /// Compute the gradients of the mean loss of a batch, that loss without penalties, and the number of targets.
    fn gradients(&mut self, batch: &Batch) -> Result<(Gradients, f64, usize)> {
        let Self { network, objective, options, carried, noise, .. } = self;
        let network = network.as_ref();
        if options.state_reset > 0. && !batch.fresh {
            carried.reset_rows(options.state_reset, noise)?;
        }
        let BatchLoss { mean, targets, penalty } =
            objective.task.loss(network, batch, carried, Some(noise), options.label_smoothing)?;
        let value = loss::scalar(&mean)?;
        let loss = match penalty {
            Some(penalty) => (mean + penalty)?,
            None => mean,
        };
        Ok((Gradients::of(&loss, &self.parameters)?, value, targets))
    }
}
