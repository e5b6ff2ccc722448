//! A network that records a run's steps or injects a fault.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rand::Rng;
use rnn_zoo::Result;
use rnn_zoo::models::{Encoded, Inputs, Linear, Network, Noise, State};
use rnn_zoo::training::{Ending, Run};

use super::train;

/// A network that counts its training steps and acts in one of them.
pub(super) struct Saboteur {
    pub(super) inner: Box<dyn Network>,
    pub(super) steps: AtomicUsize,
    pub(super) at: usize,
    pub(super) action: Action,
}

/// The inputs and states of one training step.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Seen {
    pub(super) rows: Vec<Vec<u32>>,
    /// The initial hidden state; `None` for zero.
    pub(super) before: Option<Vec<f32>>,
    pub(super) after: Vec<f32>,
}

pub(super) enum Action {
    /// Press Ctrl-C.
    Stop(Arc<AtomicBool>),
    /// Record every step's inputs, and the state before and after it.
    Record(Arc<Mutex<Vec<Seen>>>),
    /// Make the step's hidden states NaN.
    PoisonStep,
    /// Make the hidden states of every evaluation from that step on NaN.
    PoisonEvaluation,
}

impl Network for Saboteur {
    fn encode_t(
        &self,
        inputs: &Inputs,
        initial: Option<&State>,
        lengths: Option<&[usize]>,
        noise: Noise<'_>,
    ) -> candle_core::Result<Encoded> {
        let training = noise.is_some();
        let steps = self.steps.fetch_add(usize::from(training), Ordering::Relaxed) + usize::from(training);
        let mut encoded = self.inner.encode_t(inputs, initial, lengths, noise)?;
        let poisoned = match &self.action {
            Action::Stop(stop) => {
                stop.fetch_or(training && steps == self.at, Ordering::Relaxed);
                false
            }
            Action::Record(seen) => {
                if let (true, Ok(mut seen)) = (training, seen.lock()) {
                    let values = |state: &State| state.h.flatten_all()?.to_vec1();
                    let (before, after) = (initial.map(values).transpose()?, values(&encoded.state)?);
                    let mut rows = inputs.as_steps()?.to_vec2()?;
                    for (row, &length) in rows.iter_mut().zip(lengths.unwrap_or_default()) {
                        row.truncate(length); // without padding
                    }
                    seen.push(Seen { rows, before, after });
                }
                false
            }
            Action::PoisonStep => training && steps == self.at,
            Action::PoisonEvaluation => !training && steps >= self.at,
        };
        if poisoned {
            encoded.hidden = (encoded.hidden * f64::NAN)?;
        }
        Ok(encoded)
    }

    fn output_layer(&self) -> &Linear {
        self.inner.output_layer()
    }

    fn zero_state(&self, batch: usize) -> candle_core::Result<State> {
        self.inner.zero_state(batch)
    }

    fn repack(&self) {
        self.inner.repack();
    }

    fn reset_parameters(&self, rng: &mut dyn Rng) -> candle_core::Result<()> {
        self.inner.reset_parameters(rng)
    }
}

/// Wrap the run's network in a saboteur.
pub(super) fn sabotage(mut run: Run, at: usize, action: Action) -> Run {
    let inner = run.trainer.network;
    run.trainer.network = Box::new(Saboteur { inner, steps: AtomicUsize::new(0), at, action });
    run
}

/// Train for `steps` more steps, then stops as on Ctrl-C.
pub(super) fn train_and_stop(run: Run, steps: usize) -> Result<Ending> {
    let stop = Arc::new(AtomicBool::new(false));
    sabotage(run, steps, Action::Stop(stop.clone())).train(&stop)
}

/// Train to the end and return every step.
pub(super) fn watch(run: Run) -> Result<Vec<Seen>> {
    let seen = Arc::new(Mutex::new(vec![]));
    train(sabotage(run, 0, Action::Record(seen.clone())))?;
    Ok(seen.lock().map(|seen| seen.clone()).unwrap_or_default())
}
