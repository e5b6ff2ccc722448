//! One optimizer step, with gradients accumulated over several batches.

use super::gradients::{Gradients, clip_by_norm};
use super::loss;
use super::rank_sum::sum_over_ranks;
use super::share_pass::{SharePass, Total};
use super::trainer::Trainer;
use crate::data::batch::Batch;
use crate::inference::carry::Carried;
use crate::rng::Position;
use crate::tasks::BatchLoss;
use crate::{Error, Result};

/// The training loss of one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepLoss {
    /// The mean loss over the values, before the step and without penalties.
    pub mean: f64,
    /// The number of targets.
    pub targets: usize,
}

/// Gradients and loss of the batches of one step.
#[derive(Default)]
struct Accumulated {
    /// Summed over values, of this process.
    gradients: Gradients,
    /// Summed over values, of all processes.
    loss: f64,
    targets: usize,
    values: usize,
    batches: usize,
    /// Time steps, summed over batches.
    time: usize,
}

impl Trainer {
    /// Take one optimizer step along the gradient of the mean loss over all values of `batches`, at learning rate
    /// `lr`. A batch that is not fresh continues from the state that the batch before it left. Of several processes,
    /// each gives its share of every batch, or `None` if it has none.
    ///
    /// # Errors
    /// If a batch cannot be read, the loss or the norm of the gradient is NaN or infinite, or the loss has diverged,
    /// and errors from candle.
    pub fn step(
        &mut self,
        batches: impl IntoIterator<Item = Result<Option<Batch>>>,
        lr: f64,
    ) -> Result<StepLoss> {
        self.options.precision.scope(|| self.step_in_scope(batches, lr))
    }

    /// Take a step as [`Trainer::step`], in the precision of the scope.
    fn step_in_scope(
        &mut self,
        batches: impl IntoIterator<Item = Result<Option<Batch>>>,
        lr: f64,
    ) -> Result<StepLoss> {
        let step = self.progress.step + 1;
        let Accumulated { gradients, loss, targets, values, batches, time } =
            self.accumulate(batches, step, lr)?;
        let mut gradients =
            sum_over_ranks(self.ranks.as_ref(), gradients, &self.parameters, self.options.reduce)?;
        gradients.divide(values.max(1) as f64);
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
        Ok(StepLoss { mean: loss / values.max(1) as f64, targets })
    }

    /// Sum gradients and losses over the values of all batches, so that every value has the same weight.
    fn accumulate(
        &mut self,
        batches: impl IntoIterator<Item = Result<Option<Batch>>>,
        step: usize,
        lr: f64,
    ) -> Result<Accumulated> {
        let mut sum = Accumulated::default();
        for batch in batches {
            let mut pass = match batch? {
                Some(batch) => self.pass(&batch)?,
                None => self.without_share(),
            };
            let Total { loss, targets, values } = pass.total(self.ranks.as_ref());
            self.check_loss("loss", step, loss, lr)?;
            if pass.values > 0 {
                pass.gradients.multiply(pass.values as f64);
                sum.gradients.add(pass.gradients)?;
            }
            sum.loss += loss * values as f64;
            sum.targets += targets;
            sum.values += values;
            sum.batches += 1;
            sum.time += pass.time;
            self.progress.batch += 1;
        }
        Ok(sum)
    }

    /// The pass of a batch that has no rows for this process.
    fn without_share(&mut self) -> SharePass {
        // No state of an earlier batch may stay, which a resumed run would not have.
        self.carried = Carried::default();
        SharePass::default()
    }

    /// Compute the gradients of the mean loss of a batch, or of this process's share of it.
    fn pass(&mut self, batch: &Batch) -> Result<SharePass> {
        let Self { network, objective, options, carried, noise, .. } = self;
        let network = network.as_ref();
        if options.state_reset > 0. && !batch.fresh {
            carried.reset_rows(options.state_reset, noise)?;
        }
        let BatchLoss { mean, targets, values, penalty } =
            objective.task.loss(network, batch, carried, Some(noise), options.label_smoothing)?;
        let value = loss::scalar(&mean)?;
        let loss = match penalty {
            Some(penalty) => (mean + penalty)?,
            None => mean,
        };
        let gradients = Gradients::of(&loss, &self.parameters)?;
        Ok(SharePass { gradients, loss: value, targets, values, time: batch.inputs.steps()? })
    }
}
