//! The adding problem: the sum of two marked numbers of a sequence.

use candle_core::{DType, Tensor};
use rnn_zoo_models::Network;
use serde_json::json;

use crate::data::batch::Batch;
use crate::data::builtin::adding::{self, AddingExample};
use crate::data::example::{Example, Input, Target};
use crate::data::source::Builtin;
use crate::inference::carry::Carried;
use crate::rng::Rng;
use crate::tasks::answer::Answer;
use crate::tasks::figures::{Figures, MAE, MSE, RMSE, SMAPE};
use crate::tasks::meter::{Measured, Meter};
use crate::tasks::sequences::Sequences;
use crate::tasks::series_scores::SeriesScores;
use crate::tasks::sums;
use crate::tasks::task::{Questions, finite_outputs};
use crate::training::loss::{self, LossSum};
use crate::{Error, Result};

/// Time steps of a sequence of `builtin:adding`.
const STEPS: usize = 100;

/// The adding problem.
pub(super) const ADDING: Sequences = Sequences { task: "forecast", builtin: Builtin::Adding, examples };

/// Errors of numbers. The loss is the mean squared error over sequences.
#[derive(Default)]
pub(super) struct ErrorMeter {
    /// Summed over sequences, each the mean over its values.
    loss: f64,
    sequences: usize,
    errors: SeriesScores,
}

impl Meter for ErrorMeter {
    fn add(&mut self, network: &dyn Network, batch: &Batch, carried: &mut Carried) -> Result<()> {
        let hidden = carried.encode(network, batch)?;
        let sum = loss::squared_error_sum(network, &hidden, batch)?;
        self.loss += sum.loss;
        self.sequences += sum.count;
        let numbers =
            |tensor: &Tensor| Ok::<_, Error>(tensor.flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>()?);
        let forecasts = numbers(&network.outputs(&hidden.detach())?)?;
        self.errors.add(&numbers(loss::values(batch)?)?, &forecasts, None);
        Ok(())
    }

    fn sums(&self) -> Result<Vec<u8>> {
        sums::encode(&(LossSum { loss: self.loss, count: self.sequences, correct: 0 }, &self.errors))
    }

    fn combine(&mut self, parts: &[Vec<u8>]) -> Result<()> {
        *self = Self::default();
        for part in parts {
            let (sum, errors) = sums::decode::<(LossSum, SeriesScores)>(part)?;
            self.loss += sum.loss;
            self.sequences += sum.count;
            self.errors += errors;
        }
        Ok(())
    }

    fn measured(&self) -> Measured {
        let errors = &self.errors;
        Measured {
            targets: self.sequences,
            loss: self.loss / self.sequences.max(1) as f64,
            figures: Figures::present([
                (MAE, errors.mae()),
                (RMSE, errors.rmse()),
                (MSE, errors.mse()),
                (SMAPE, errors.smape()),
            ]),
            classes: None,
            baselines: None,
        }
    }
}

fn examples(rng: Rng, count: usize) -> Result<Vec<Example>> {
    let examples = adding::examples(rng, count, STEPS)?;
    let example = |example: AddingExample| Example {
        input: Input::Features { values: example.features.concat(), width: 2 },
        target: Target::Values(vec![example.target]),
    };
    Ok(examples.map(example).collect())
}

/// Forecast the sums of sequences.
pub(super) fn answer(network: &dyn Network, questions: &Questions) -> Result<Vec<Answer>> {
    let Questions { batch, before, .. } = questions;
    let values = finite_outputs(network, batch)?.to_vec2::<f64>()?; // (batch, values)
    let longest = batch.inputs.steps()?;
    let rows = values.iter().enumerate();
    let answers = rows.map(|(row, values)| {
        let start = batch.lengths.as_ref().map_or(longest, |lengths| lengths[row]);
        described(before + row + 1, start, values)
    });
    Ok(answers.collect())
}

/// The answer for the series of that number, counted from 1. `start` is the time step of the first value, counted from
/// 0. The network has no quantiles.
fn described(series: usize, start: usize, values: &[f64]) -> Answer {
    let words: Vec<String> = values.iter().map(|value| format!("{value:.6}")).collect();
    let json = json!({ "series": series.to_string(), "start": start, "mean": values, "quantiles": {} });
    Answer { text: words.join(" "), json }
}
