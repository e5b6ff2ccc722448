//! A bundle that is served: its model, and for a language model the thread that writes its texts.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use rnn_zoo_models::Precision;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::crowd::Crowd;
use super::job::Job;
use super::metrics::BundleMetrics;
use super::problem::Problem;
use super::report::report;
use crate::inference::Model;
use crate::{Error, Result};

/// A model that is served. Its thread ends after the last request that holds the engine.
pub(super) struct Engine {
    /// The model.
    pub model: Arc<Model>,
    precision: Precision,
    jobs: Option<Sender<Job>>,
    /// Places of texts that are written or wait.
    places: Arc<Semaphore>,
    /// The place of the one request at a time that is no text to write.
    work: Arc<Semaphore>,
}

impl Engine {
    /// Serve `model`: write at most `streams` texts at a time, and let `queue` more wait.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub(super) fn start(
        model: Model,
        precision: Precision,
        (streams, queue): (usize, usize),
        metrics: BundleMetrics,
    ) -> Result<Self> {
        let model = Arc::new(model);
        let jobs = match model.config.task.is_language_model() {
            false => None,
            true => {
                let (sender, receiver) = channel();
                let model = Arc::clone(&model);
                std::thread::Builder::new()
                    .name("rnn-texts".into())
                    .spawn(move || precision.scope(|| write_texts(&model, streams, &receiver, &metrics)))
                    .map_err(|error| Error::Message(format!("cannot start a thread: {error}")))?;
                Some(sender)
            }
        };
        let places = Arc::new(Semaphore::new(streams + queue));
        Ok(Self { model, precision, jobs, places, work: Arc::new(Semaphore::new(1)) })
    }

    /// Take places for `count` texts.
    pub(super) fn places(&self, count: usize) -> Result<OwnedSemaphorePermit, Problem> {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        Arc::clone(&self.places).try_acquire_many_owned(count).map_err(|_| Problem::busy())
    }

    /// Refuse a model that is no language model.
    pub(super) fn check_writes(&self) -> Result<(), Problem> {
        self.jobs()?;
        Ok(())
    }

    fn jobs(&self) -> Result<&Sender<Job>, Problem> {
        let task = self.model.config.task;
        let problem = || Problem::field("model", format!("its task is {task}; only a language model writes"));
        self.jobs.as_ref().ok_or_else(problem)
    }

    /// Hand texts to the thread.
    pub(super) fn write(&self, job: Job) -> Result<(), Problem> {
        self.jobs()?
            .send(job)
            .map_err(|_| Problem::failure("the thread of the bundle has ended; start the server again"))
    }

    /// Compute an answer beside the texts, one request at a time.
    pub(super) async fn compute<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Model) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let place = self.places(1)?;
        let turn = Arc::clone(&self.work).acquire_owned().await;
        let turn = turn.map_err(|_| Problem::failure("the server ends"))?;
        let engine = Arc::clone(self);
        let computed = tokio::task::spawn_blocking(move || {
            // Held until the end of the work, also if the client is gone.
            let _held = (place, turn);
            engine.precision.scope(|| work(&engine.model))
        });
        computed.await.map_err(|_| Problem::failure("the server failed at this request"))?
    }
}

/// Write texts until no one can ask for more.
fn write_texts(model: &Model, streams: usize, jobs: &Receiver<Job>, metrics: &BundleMetrics) {
    // After an error all texts are dropped, which their requests notice, and the next ones begin anew.
    while let Err(error) = write_until_error(model, streams, jobs, metrics) {
        report(&format!("{}: {error}", model.path().display()));
    }
}

fn write_until_error(
    model: &Model,
    streams: usize,
    jobs: &Receiver<Job>,
    metrics: &BundleMetrics,
) -> Result<()> {
    // The weights are packed at the first request, so a bundle that no one asks for takes less memory.
    let Ok(first) = jobs.recv() else { return Ok(()) };
    let mut crowd = Crowd::new(model, streams, metrics)?;
    crowd.add(first);
    loop {
        if crowd.is_idle() {
            let Ok(job) = jobs.recv() else { return Ok(()) };
            crowd.add(job);
        }
        jobs.try_iter().for_each(|job| crowd.add(job));
        crowd.step()?;
    }
}
