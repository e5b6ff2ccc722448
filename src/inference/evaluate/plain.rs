//! Evaluation with the parameters as trained.

use std::time::Instant;

use candle_core::Device;
use rnn_zoo_models::Network;

use super::scores::EvaluationResult;
use crate::Result;
use crate::data::cut::Cut;
use crate::data::dataset::Dataset;
use crate::distributed::{Communicator, SingleProcess, gather};
use crate::inference::carry::Carried;
use crate::tasks::Meter;

/// The number of steps in a window, which bounds the memory of evaluation. It changes no score.
pub(crate) const WINDOW: usize = 256;

/// Score every target of `data` once. `meter` is a new one of the model's task.
///
/// A stream is split into `batch_size` rows that form a batch. Each row starts from a state of zero and the
/// token before it. With one row every token is predicted from all tokens before it; more rows are faster, but
/// lose the context at the beginning of each row.
///
/// # Errors
/// If the data cannot be read or the loss is NaN or infinite, and errors from candle.
pub fn evaluate(
    network: &dyn Network,
    data: &Dataset,
    batch_size: usize,
    meter: Box<dyn Meter>,
    device: &Device,
) -> Result<EvaluationResult> {
    measure(network, data, batch_size, meter, device, &SingleProcess)?.finite()
}

/// Score as [`evaluate`] does, with a loss that may be NaN: training reports that as divergence. Each process reads its
/// shard of every batch, and all return the same scores.
///
/// # Errors
/// If the data cannot be read, and errors from candle.
pub(crate) fn measure(
    network: &dyn Network,
    data: &Dataset,
    batch_size: usize,
    mut meter: Box<dyn Meter>,
    device: &Device,
    ranks: &dyn Communicator,
) -> Result<EvaluationResult> {
    let began = Instant::now();
    meter.expect_foreign(data.foreign_labels());
    let epoch = data.epoch(cut(data, batch_size), None)?;
    let mut carried = Carried::default();
    let shard = ranks.shard();
    for index in 0..epoch.len() {
        let Some(batch) = epoch.shard(index, shard, device)? else { continue };
        meter.add_with_parts(network, &batch, &mut carried, &|| epoch.parts(index, shard))?;
    }
    if ranks.size() > 1 {
        let sums = gather(ranks, &meter.sums()?);
        meter.combine(&sums)?;
    }
    Ok(EvaluationResult::new(meter.measured(), began))
}

/// The cut of an evaluation into at most `batch_size` rows.
pub(crate) fn cut(data: &Dataset, batch_size: usize) -> Cut {
    Cut { batch_size: batch_size.clamp(1, data.len().max(1)), window: WINDOW, trim: false, vary: false }
}

#[cfg(test)]
mod tests {
    use candle_core::Tensor;
    use rand::RngExt;
    use rnn_zoo_models::{Merge, ModelConfig, PredictorConfig, Readout, RecurrentConfig, StackOptions};

    use super::super::fixture::{
        START, VOCABULARY, assert_close, language_model, network, rnn, text, tokens,
    };
    use super::*;
    use crate::data::example::{Example, Input, Target};
    use crate::rng::{Purpose, Rng, stream};
    use crate::tasks::figures::{ACCURACY, BITS, PERPLEXITY};
    use crate::tasks::figures::{MAE, MSE, RMSE, SMAPE};
    use crate::tasks::{Classify, Forecast, Lm, Names, Tag, Task};

    fn predictor(readout: Readout, vocabulary_size: Option<usize>, outputs: usize) -> Box<dyn Network> {
        let rnn = StackOptions { bidirectional: Some(Merge::Concat), dropout: 0.5, ..rnn().stack };
        let rnn = RecurrentConfig::Lstm(rnn.into());
        network(&ModelConfig::Predictor(PredictorConfig {
            vocabulary_size,
            dropout: 0.5,
            ..PredictorConfig::new(outputs, readout, rnn)
        }))
        .0
    }

    fn meter(task: &dyn Task) -> Box<dyn Meter> {
        task.meter(Names::default())
    }

    /// Targets and accuracy.
    fn accuracy(scores: &EvaluationResult) -> (usize, Option<f64>) {
        (scores.tokens, scores.figures.get(ACCURACY))
    }

    /// The sum of -log p over `ids`, and the number of times that the most likely token was right: one token at a
    /// time from a state of zero, with the softmax written out.
    fn by_hand(network: &dyn Network, mut before: u32, ids: &[u32]) -> (f64, usize) {
        let (mut state, mut loss, mut right) = (None, 0., 0);
        for &id in ids {
            let input = Tensor::new(&[[before]], &Device::Cpu).unwrap();
            let (hidden, next) = network.encode(&input.into(), state.as_ref(), None).unwrap();
            let scores = network.outputs(&hidden).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
            let own = scores[id as usize];
            loss -= (own.exp() / scores.iter().map(|score| score.exp()).sum::<f64>()).ln();
            right += usize::from(scores.iter().all(|&score| score <= own));
            (state, before) = (Some(next), id);
        }
        (loss, right)
    }

    #[test]
    fn one_row_predicts_each_token_from_all_before_it() {
        let count = 2 * WINDOW + 10;
        let ids = tokens(&mut stream(1, Purpose::Train, 0), count);
        let data = text(&ids);
        let (network, _) = language_model();
        let (loss, right) = by_hand(network.as_ref(), START, &ids);
        let scores = evaluate(network.as_ref(), &data, 1, meter(&Lm), &Device::Cpu).unwrap();
        assert_close(scores.loss, loss / count as f64);
        assert_close(scores.figures.get(PERPLEXITY).unwrap(), scores.loss.exp());
        assert_close(scores.figures.get(BITS).unwrap(), scores.loss / 2f64.ln());
        assert_eq!(accuracy(&scores), (count, Some(right as f64 / count as f64)));
    }

    #[test]
    fn rows_start_from_zero_and_cover_every_token() {
        let ids = tokens(&mut stream(2, Purpose::Train, 0), 101);
        let data = text(&ids);
        let (network, _) = language_model();
        for rows in [3, 16, 60, 500] {
            let length = ids.len().div_ceil(rows);
            let mut before = START;
            let mut loss = 0.;
            for row in ids.chunks(length) {
                loss += by_hand(network.as_ref(), before, row).0;
                before = row[row.len() - 1];
            }
            let scores = evaluate(network.as_ref(), &data, rows, meter(&Lm), &Device::Cpu).unwrap();
            assert_eq!(scores.tokens, ids.len());
            assert_close(scores.loss, loss / ids.len() as f64);
        }
    }

    #[test]
    fn batch_size_of_examples_changes_no_score() {
        let mut rng = stream(3, Purpose::Train, 0);
        let mut examples = |target: fn(&mut Rng, usize) -> Target, features: bool| {
            let example = |_| {
                let length = rng.random_range(0..6);
                let input = match features {
                    true => Input::Features {
                        values: (0..3 * length).map(|_| rng.random::<f32>()).collect(),
                        width: 3,
                    },
                    false => Input::Tokens(tokens(&mut rng, length)),
                };
                Example { input, target: target(&mut rng, length) }
            };
            Dataset::from((0..23).map(example).collect::<Vec<_>>())
        };
        let classes = examples(|rng, _| Target::Class(rng.random_range(0..3)), false);
        let tags = examples(|rng, length| Target::Tags(tokens(rng, length)), false);
        let values = examples(|rng, _| Target::Values(vec![rng.random(), rng.random()]), true);
        let cases: [(&dyn Task, _, _); 3] = [
            (&Classify, predictor(Readout::Last, Some(VOCABULARY), 3), classes),
            (&Tag, predictor(Readout::Every, Some(VOCABULARY), VOCABULARY), tags),
            (&Forecast, predictor(Readout::Last, None, 2), values),
        ];
        for (task, network, data) in cases {
            let alone = evaluate(network.as_ref(), &data, 1, meter(task), &Device::Cpu).unwrap();
            assert!(alone.loss > 0.01, "{alone:?}");
            for batch_size in [2, 7, 23, 64] {
                let scores =
                    evaluate(network.as_ref(), &data, batch_size, meter(task), &Device::Cpu).unwrap();
                assert_close(scores.loss, alone.loss);
                assert_eq!(accuracy(&scores), accuracy(&alone));
                assert_eq!(scores.classes, alone.classes);
            }
        }
    }

    #[test]
    fn numbers_have_a_squared_error_and_no_perplexity() {
        let network = predictor(Readout::Last, None, 2);
        let input = Input::Features { values: vec![0.5; 6], width: 3 };
        let xs = Tensor::full(0.5, (1, 2, 3), &Device::Cpu).unwrap();
        let (hidden, _) = network.encode(&xs.into(), None, None).unwrap();
        let outputs = network.outputs(&hidden).unwrap().to_vec2::<f64>().unwrap();
        let data = Dataset::from(vec![Example { input, target: Target::Values(vec![1., -1.]) }]);
        let scores = evaluate(network.as_ref(), &data, 4, meter(&Forecast), &Device::Cpu).unwrap();
        let [first, second] = [(outputs[0][0] - 1.).abs(), (outputs[0][1] + 1.).abs()];
        let mse = (first.powi(2) + second.powi(2)) / 2.;
        assert_close(scores.loss, mse);
        let symmetric = [first / (outputs[0][0].abs() + 1.), second / (outputs[0][1].abs() + 1.)];
        for (name, expected) in [
            (MSE, mse),
            (RMSE, mse.sqrt()),
            (MAE, (first + second) / 2.),
            (SMAPE, 100. * (symmetric[0] + symmetric[1])),
        ] {
            assert_close(scores.figures.get(name).unwrap(), expected);
        }
        assert_eq!(scores.figures.get(PERPLEXITY), None);
        assert_eq!(scores.classes, None);
    }
}
