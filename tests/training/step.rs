//! One step of training: its gradients, its rate and the state that it starts from.

use std::sync::atomic::AtomicBool;

use candle_core::Device;
use rnn_zoo::data::cut::{Cut, Shuffle};
use rnn_zoo::rng::{Purpose, stream};
use rnn_zoo::tasks::{Classify, Forecast, Lm, Tag, Task};
use rnn_zoo::training::Options;
use rnn_zoo::training::gradients::Gradients;
use rnn_zoo::training::loss;
use rnn_zoo::training::optim::OptimizerConfig;
use rnn_zoo::{Error, Result};

use super::problem::*;
use super::saboteur::*;

/// Check every option that changes a step against the definition: parameters less the rate times the gradient.
#[test]
fn the_first_step_follows_the_gradient_of_loss_and_penalties() -> Result<()> {
    let problem = Problem::new(&Lm, true)?;
    let penalised = Model { tied: true, ..PLAIN };
    let plain = Options {
        optimizer: OptimizerConfig::Sgd { momentum: 0., nesterov: false, weight_decay: 0. },
        clip: 0.,
        lr: 0.5,
        ..options(1)
    };
    let cases = [
        ("plain", &PLAIN, plain.clone()),
        ("penalised", &penalised, plain.clone()),
        ("smoothed", &PLAIN, Options { label_smoothing: 0.3, ..plain.clone() }),
        ("varied", &PLAIN, Options { vary_bptt: true, bptt: 20, seed: 4, ..plain.clone() }),
        ("decayed", &PLAIN, Options { optimizer: plain.optimizer.clone().with_weight_decay(0.7), ..plain }),
    ];
    for (name, model, options) in cases {
        let mut run = problem.start(name, model, &options)?;
        let before = run.trainer.parameters.to_tensors()?;
        let splits = run.splits();
        let (batch_size, window, vary) = (options.batch_size, options.bptt, options.vary_bptt);
        let cut = Cut { batch_size, window, trim: true, vary };
        let batch = splits
            .train
            .epoch(cut, Some(Shuffle { seed: options.seed, epoch: 0, similar_sizes: true }))?
            .batch(0, &Device::Cpu)?;
        let network = run.trainer.network.as_ref();
        let mut noise = stream(0, Purpose::Noise, 0);
        let encoded = network.encode_t(&batch.inputs, None, None, Some(&mut noise))?;
        let (loss, _) = loss::cross_entropy(network, &encoded.hidden, &batch, options.label_smoothing)?;
        assert_eq!(encoded.penalty.is_some(), model.tied);
        let loss = encoded.penalty.map_or(Ok(loss.clone()), |penalty| loss + penalty)?;
        let gradients = Gradients::of(&loss, &run.trainer.parameters)?;
        let time = batch.inputs.steps()?;
        assert_eq!(time != window, vary, "{name}: a window of another length");
        let rate = options.lr * time as f64 / window as f64;
        run.train(&AtomicBool::new(false))?;
        for (parameter, after) in run.trainer.parameters.to_tensors()? {
            let mut gradient = gradients.get(&parameter).expect("all take part").clone();
            if name == "decayed" && after.rank() == 2 && parameter != "encoder.weight" {
                gradient = (gradient + (&before[&parameter] * 0.7)?)?;
            }
            let expected = (&before[&parameter] - (gradient * rate)?)?;
            let far = (after - expected)?.abs()?.max_all()?.to_scalar::<f32>()?;
            assert!(far < 1e-6, "{name}: {parameter} is {far} from the step by hand");
        }
    }
    Ok(())
}

#[test]
fn state_reset_zeroes_single_rows_at_its_rate() -> Result<()> {
    let problem = Problem::new(&Lm, false)?;
    let share = |name, state_reset| {
        let seen = watch(problem.start(name, &PLAIN, &Options { state_reset, ..options(60) })?)?;
        let rows: Vec<bool> = seen
            .iter()
            .filter_map(|seen| seen.before.as_ref())
            .flat_map(|h| h.chunks(8).map(|row| row.iter().all(|&x| x == 0.)).collect::<Vec<_>>())
            .collect();
        let zero = rows.iter().filter(|&&zero| zero).count();
        Ok::<_, Error>(zero as f64 / rows.len() as f64)
    };
    assert_eq!(share("never", 0.)?, 0.);
    let half = share("half", 0.5)?;
    assert!((0.35..0.65).contains(&half), "{half} of the rows start from zero; expected half");
    Ok(())
}

#[test]
fn gradients_of_several_batches_make_the_step_of_one_large_batch() -> Result<()> {
    // Windows of the forecaster have different numbers of values.
    for task in [&Tag as &dyn Task, &Classify, &Forecast] {
        let problem = Problem::new(task, true)?;
        let parameters = |name, batch_size, accumulate| {
            // In the order of the draw, so that the parts of a batch are those of the large one.
            let own = Options { similar_sizes: false, max_steps: None, ..options(0) };
            let options = Options { batch_size, accumulate, epochs: Some(2), ..own };
            let mut run = problem.start(name, &PLAIN, &options)?;
            run.train(&AtomicBool::new(false))?;
            Ok::<_, Error>((run.trainer.progress.step, run.trainer.parameters.to_tensors()?))
        };
        let ((steps, found), (expected_steps, expected)) =
            (parameters("parts", 3, 4)?, parameters("whole", 12, 1)?);
        assert_eq!(steps, expected_steps);
        for (name, found) in found {
            let difference = (&found - &expected[&name])?.abs()?.max_all()?.to_scalar::<f32>()?;
            assert!(difference < 1e-4, "{task}: {name} differs by {difference}");
        }
    }
    Ok(())
}
