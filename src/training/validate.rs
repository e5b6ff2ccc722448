//! Validation, and the choice of the parameters that a run keeps.

use super::observer::{Evaluation, Observer};
use super::progress::Best;
use super::splits::Splits;
use super::trainer::Trainer;
use crate::Result;
use crate::data::dataset::Dataset;
use crate::inference::evaluate::{EvaluationResult, measure};
use crate::parameters::NamedTensors;

impl Trainer {
    /// Evaluate the parameters that a run starts from, as the first candidate for the best.
    ///
    /// # Errors
    /// If the loss is NaN or infinite or the data cannot be read, and errors from candle.
    pub fn evaluate_start(&mut self, splits: &Splits, observer: &mut dyn Observer) -> Result<()> {
        let lr = self.progress.scheduler.learning_rate(0, 0);
        if let Some(found) = self.validate(splits, lr, observer)? {
            self.progress.scheduler.observe_validation(found.loss);
            self.progress.best = Some(found);
            self.best = Some(self.current()?);
        }
        Ok(())
    }

    /// Make a scheduled evaluation. The learning rate and the average follow its loss; early stopping and the choice of
    /// the best parameters follow the metric of the run.
    pub(super) fn scheduled_evaluation(
        &mut self,
        splits: &Splits,
        lr: f64,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        if let Some(found) = self.validate(splits, lr, observer)? {
            self.progress.scheduler.observe_validation(found.loss);
            if let Some(rule) = self.options.average {
                self.progress.average.observe_validation(rule, found.loss);
            }
            if self.is_best(&found) {
                self.progress.best = Some(found);
                self.progress.without_improvement = 0;
                self.best = Some(self.current()?);
            } else {
                self.progress.without_improvement += 1;
            }
        }
        self.select_best();
        Ok(())
    }

    /// Make the last evaluation, unless the last step had a scheduled one. It decides which parameters are kept for
    /// inference but does not change [`Progress`](super::progress::Progress): a run that is resumed beyond this end
    /// must not depend on it.
    pub(super) fn final_evaluation(&mut self, splits: &Splits, observer: &mut dyn Observer) -> Result<()> {
        self.select_best();
        let epoch_ended = self.progress.batch == 0;
        if self.options.evaluates_after(self.progress.step, epoch_ended) && self.best.is_some() {
            return Ok(());
        }
        let lr = self.learning_rate();
        if let Some(found) = self.validate(splits, lr, observer)?
            && self.is_best(&found)
        {
            self.selected = self.average.clone();
            self.selected_score = Some(found);
        }
        Ok(())
    }

    /// The classes that occur in the validation split and that the parameters for inference never predict, with their
    /// numbers of targets. Evaluates these parameters; there are none for a task without classes.
    ///
    /// # Errors
    /// If the data cannot be read, and errors from candle.
    pub fn never_predicted(&self, splits: &Splits) -> Result<Vec<(String, u64)>> {
        let (Some(valid @ Dataset::Examples(_)), true) = (&splits.valid, self.objective.has_classes()) else {
            return Ok(vec![]);
        };
        let last = self.selected.as_ref().map(|selected| self.replace_parameters(selected)).transpose()?;
        let scores = self.measure(valid);
        last.map_or(Ok(()), |last| self.parameters.set_all(&last))?;
        let missed = scores?.classes.map(|classes| {
            let named = |(label, support): (&str, u64)| (label.to_string(), support);
            classes.never_predicted().into_iter().map(named).collect()
        });
        Ok(missed.unwrap_or_default())
    }

    /// Select the best parameters for inference, or the average if nothing was evaluated.
    pub(super) fn select_best(&mut self) {
        self.selected = self.best.clone().or_else(|| self.average.clone());
        self.selected_score.clone_from(&self.progress.best);
    }

    /// Whether early stopping ends the run.
    pub(super) fn has_stalled(&self) -> bool {
        self.options.early_stop.is_some_and(|patience| self.progress.without_improvement >= patience)
    }

    fn is_best(&self, found: &Best) -> bool {
        self.progress.best.as_ref().is_none_or(|best| found.is_better(best, self.criterion))
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

    /// Set the parameters to `others`. Return copies of those before.
    fn replace_parameters(&self, others: &NamedTensors) -> Result<NamedTensors> {
        let before = self.parameters.to_tensors()?;
        self.parameters.set_all(others)?;
        Ok(before)
    }

    /// Evaluate the average, or the parameters if there is no average. Return `None` if there is no validation split.
    fn validate(&mut self, splits: &Splits, lr: f64, observer: &mut dyn Observer) -> Result<Option<Best>> {
        let Some(valid) = &splits.valid else { return Ok(None) };
        let Some(average) = &self.average else { return self.score(valid, lr, observer).map(Some) };
        let last = self.replace_parameters(average)?;
        let found = self.score(valid, lr, observer);
        self.parameters.set_all(&last)?;
        found.map(Some)
    }

    /// Evaluate the network as it is and write a sample of text. Parameters that have diverged are refused here, before
    /// they could replace a good checkpoint.
    fn score(&mut self, valid: &Dataset, lr: f64, observer: &mut dyn Observer) -> Result<Best> {
        let scores = self.measure(valid)?;
        let (loss, step, epoch) = (scores.loss, self.progress.step, self.progress.last_epoch());
        self.check_loss("validation loss", step, loss, lr)?;
        let found = Best { step, loss, figures: scores.figures.clone() };
        let (best, seconds) = (self.is_best(&found), self.clock.seconds());
        observer.evaluated(&Evaluation { step, epoch, scores, best, lr, seconds });
        let sample = self.sampler.as_ref().and_then(|sampler| sampler.write(self.network.as_ref(), step));
        if let Some(text) = sample {
            observer.sampled(&text);
        }
        // The time of an evaluation does not count as training time.
        self.clock.lap();
        Ok(found)
    }

    /// The scores of the network as it is.
    fn measure(&self, valid: &Dataset) -> Result<EvaluationResult> {
        let rows = match valid {
            Dataset::Stream { .. } => self.valid_rows,
            Dataset::Examples(_) => self.options.batch_size,
        };
        let (network, meter) = (self.network.as_ref(), self.objective.meter());
        measure(network, valid, rows, meter, &self.device, self.ranks.as_ref())
    }
}
