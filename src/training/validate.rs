//! Validation, and the choice of the parameters that a run keeps.

use super::divergence;
use super::observer::{Evaluation, Observer};
use super::progress::Best;
use super::splits::Splits;
use super::trainer::Trainer;
use crate::Result;
use crate::data::batch::Dataset;
use crate::inference::evaluate::measure;
use crate::parameters::NamedTensors;

impl Trainer {
    /// Evaluates the parameters that a run starts from, as the first candidate for the best.
    ///
    /// # Errors
    /// If the loss is NaN or infinite or the data cannot be read, and errors from candle.
    pub fn judge_start(&mut self, splits: &Splits, observer: &mut dyn Observer) -> Result<()> {
        let lr = self.progress.scheduler.learning_rate(0, 0);
        if let Some(loss) = self.validate(splits, lr, observer)? {
            self.progress.scheduler.observe_validation(loss);
            self.progress.best = Some(Best { step: 0, loss });
            self.best = Some(self.current()?);
        }
        Ok(())
    }

    /// Makes a scheduled evaluation, which the learning rate, early stopping and the choice of the best parameters
    /// depend on.
    pub(super) fn scheduled_evaluation(
        &mut self,
        splits: &Splits,
        lr: f64,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        if let Some(loss) = self.validate(splits, lr, observer)? {
            self.progress.running = Default::default();
            self.progress.scheduler.observe_validation(loss);
            if let Some(rule) = self.options.average {
                self.progress.average.observe_validation(rule, loss);
            }
            if self.is_best(loss) {
                self.progress.best = Some(Best { step: self.progress.step, loss });
                self.progress.without_improvement = 0;
                self.best = Some(self.current()?);
            } else {
                self.progress.without_improvement += 1;
            }
        }
        self.ship_best();
        Ok(())
    }

    /// Makes the last evaluation, unless the last step had a scheduled one. It decides which parameters are kept for
    /// inference but does not change [`Progress`](super::progress::Progress): a run that is resumed beyond this end
    /// must not depend on it.
    pub(super) fn final_evaluation(&mut self, splits: &Splits, observer: &mut dyn Observer) -> Result<()> {
        self.ship_best();
        let epoch_ended = self.progress.batch == 0;
        if self.options.evaluates_after(self.progress.step, epoch_ended) && self.best.is_some() {
            return Ok(());
        }
        let lr = self.learning_rate();
        if let Some(loss) = self.validate(splits, lr, observer)?
            && self.is_best(loss)
        {
            self.shipped = self.average.clone();
            self.shipped_score = Some(Best { step: self.progress.step, loss });
        }
        Ok(())
    }

    /// Selects the best parameters for inference, or the average if nothing was evaluated.
    pub(super) fn ship_best(&mut self) {
        self.shipped = self.best.clone().or_else(|| self.average.clone());
        self.shipped_score = self.progress.best;
    }

    /// Whether early stopping ends the run.
    pub(super) fn has_stalled(&self) -> bool {
        self.options.early_stop.is_some_and(|patience| self.progress.without_improvement >= patience)
    }

    fn is_best(&self, loss: f64) -> bool {
        self.progress.best.is_none_or(|best| loss < best.loss)
    }

    /// A copy of the average, or of the parameters if there is no average.
    fn current(&self) -> Result<NamedTensors> {
        match &self.average {
            // Copied, because later steps change the average in place.
            Some(average) => {
                average.iter().map(|(name, tensor)| Ok((name.clone(), tensor.copy()?))).collect()
            }
            None => self.parameters.to_tensors(),
        }
    }

    /// Evaluates the average, or the parameters if there is no average. Returns the validation loss, or `None` if
    /// there is no validation split.
    fn validate(&mut self, splits: &Splits, lr: f64, observer: &mut dyn Observer) -> Result<Option<f64>> {
        let Some(valid) = &splits.valid else { return Ok(None) };
        let Some(average) = &self.average else { return self.score(valid, lr, observer).map(Some) };
        let own = self.parameters.to_tensors()?;
        self.parameters.set_all(average)?;
        let loss = self.score(valid, lr, observer);
        self.parameters.set_all(&own)?;
        loss.map(Some)
    }

    /// Evaluates the network as it is and writes a sample of text. Returns the loss. Parameters that have diverged
    /// are refused here, before they could replace a good checkpoint.
    fn score(&mut self, valid: &Dataset, lr: f64, observer: &mut dyn Observer) -> Result<f64> {
        let lanes = match valid {
            Dataset::Stream { .. } => self.lanes,
            Dataset::Examples(_) => self.options.batch_size,
        };
        let scores = measure(self.network.as_ref(), valid, lanes, self.objective.meter(), &self.device)?;
        let (loss, step, epoch) = (scores.loss, self.progress.step, self.progress.epoch);
        divergence::check(&mut self.progress.first_loss, "validation loss", step, loss, lr)?;
        let (best, seconds) = (self.is_best(loss), self.clock.seconds());
        observer.evaluated(&Evaluation { step, epoch, scores, best, lr, seconds });
        let sample = self.sampler.as_ref().and_then(|sampler| sampler.write(self.network.as_ref(), step));
        if let Some(text) = sample {
            observer.sampled(&text);
        }
        // The time of an evaluation does not count as training time.
        self.clock.lap();
        Ok(loss)
    }
}
