//! A bundle that is served: its model, and for a language model the thread that writes its texts.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Weak};

use rnn_zoo_models::Precision;
use tokio::sync::Semaphore;

use super::job::{Job, Places};
use super::metrics::BundleMetrics;
use super::problem::Problem;
use super::report::report;
use super::state_token::StateKey;
use super::text_batch::TextBatch;
use crate::inference::Model;
use crate::{Error, Result};

/// A model that is served. Its thread ends after the last request that holds the engine.
pub(super) struct Engine {
    /// The model.
    pub model: Arc<Model>,
    /// When the bundle was written, in seconds since 1970.
    pub created: u64,
    precision: Precision,
    /// The thread that writes the texts of a language model.
    writer: Option<Writer>,
    /// Places of texts that are written or wait.
    places: Arc<Semaphore>,
    /// The place of the one request at a time that is not a text to write.
    work: Arc<Semaphore>,
}

/// Cancellation of long work: a request that has no time left or whose client has disconnected is dropped, but its
/// computation continues until it checks this token.
pub(super) struct CancellationToken(Weak<()>);

/// The sender of jobs to the thread of a language model.
struct Writer {
    jobs: Sender<Job>,
    key: Arc<StateKey>,
}

impl CancellationToken {
    /// Fail if no request waits for the work.
    ///
    /// # Errors
    /// If the request has been dropped. Nobody reads the error.
    pub(super) fn check(&self) -> Result<(), Problem> {
        if self.0.strong_count() > 0 { Ok(()) } else { Err(Problem::timeout()) }
    }
}

impl Engine {
    /// Serve `model`, which was written at `created`: write at most `streams` texts at a time, and let `queue` more
    /// wait.
    ///
    /// # Errors
    /// If the parameters cannot be read again, or the thread cannot be started.
    pub(super) fn start(
        model: Model,
        created: u64,
        precision: Precision,
        (streams, queue): (usize, usize),
        metrics: BundleMetrics,
    ) -> Result<Self> {
        let model = Arc::new(model);
        let writer = match model.config.task.is_language_model() {
            false => None,
            true => {
                let (jobs, receiver) = channel();
                let key = Arc::new(StateKey::of(&model)?);
                let (model, own) = (Arc::clone(&model), Arc::clone(&key));
                std::thread::Builder::new()
                    .name("rnn-texts".into())
                    .spawn(move || {
                        precision.scope(|| write_texts(&model, &own, streams, &receiver, &metrics));
                    })
                    .map_err(|error| Error::Message(format!("cannot start a thread: {error}")))?;
                Some(Writer { jobs, key })
            }
        };
        let places = Arc::new(Semaphore::new(place_count(streams, queue)));
        Ok(Self { model, created, precision, writer, places, work: Arc::new(Semaphore::new(1)) })
    }

    /// Take places for `count` texts.
    pub(super) fn places(&self, count: usize) -> Result<Places, Problem> {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let places = Arc::clone(&self.places).try_acquire_many_owned(count);
        places.map(Arc::new).map_err(|_| Problem::busy())
    }

    /// Return the key of the states of texts. Refuse a model that is not a language model.
    pub(super) fn state_key(&self) -> Result<Arc<StateKey>, Problem> {
        Ok(Arc::clone(&self.writer()?.key))
    }

    fn writer(&self) -> Result<&Writer, Problem> {
        let task = self.model.config.task;
        let problem = || Problem::field("model", format!("its task is {task}; only a language model writes"));
        self.writer.as_ref().ok_or_else(problem)
    }

    /// Send texts to the thread.
    pub(super) fn write(&self, job: Job) -> Result<(), Problem> {
        self.writer()?
            .jobs
            .send(job)
            .map_err(|_| Problem::failure("the thread of the bundle has ended; start the server again"))
    }

    /// Compute an answer beside the texts, one request at a time. Work with several parts checks between them whether
    /// the request still waits.
    pub(super) async fn compute<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Model, &CancellationToken) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        self.compute_within(self.places(1)?, work).await
    }

    /// As [`Engine::compute`], for a request that has places.
    pub(super) async fn compute_within<T: Send + 'static>(
        self: &Arc<Self>,
        places: Places,
        work: impl FnOnce(&Model, &CancellationToken) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let turn = Arc::clone(&self.work).acquire_owned().await;
        let turn = turn.map_err(|_| Problem::failure("the server is shutting down; try again later"))?;
        let engine = Arc::clone(self);
        // Dropped together with the request.
        let request = Arc::new(());
        let cancellation = CancellationToken(Arc::downgrade(&request));
        let computed = tokio::task::spawn_blocking(move || {
            // Held until the end of the work, also if the client is gone.
            let _held = (places, turn);
            engine.precision.scope(|| work(&engine.model, &cancellation))
        });
        computed
            .await
            .map_err(|_| Problem::failure("internal error; the server's standard error has the cause"))?
    }
}

/// The places of `streams` texts that are written and `queue` texts that wait, at most as many as can be counted.
fn place_count(streams: usize, queue: usize) -> usize {
    streams.saturating_add(queue).min(Semaphore::MAX_PERMITS)
}

/// Write texts until all senders of jobs are dropped.
fn write_texts(model: &Model, key: &StateKey, streams: usize, jobs: &Receiver<Job>, metrics: &BundleMetrics) {
    // After an error all texts are dropped, which their requests notice, and the next ones begin anew.
    while let Err(error) = write_until_error(model, key, streams, jobs, metrics) {
        report(&format!("{}: {error}", model.path().display()));
    }
}

fn write_until_error(
    model: &Model,
    key: &StateKey,
    streams: usize,
    jobs: &Receiver<Job>,
    metrics: &BundleMetrics,
) -> Result<()> {
    // The weights are packed at the first request, so a bundle without requests takes less memory.
    let Ok(first) = jobs.recv() else { return Ok(()) };
    let mut batch = TextBatch::new(model, key, streams, metrics)?;
    batch.add(first);
    loop {
        if batch.is_idle() {
            let Ok(job) = jobs.recv() else { return Ok(()) };
            batch.add(job);
        }
        jobs.try_iter().for_each(|job| batch.add(job));
        batch.step()?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_told_that_its_request_was_dropped() {
        let request = Arc::new(());
        let cancellation = CancellationToken(Arc::downgrade(&request));
        assert!(cancellation.check().is_ok());
        drop(request);
        assert!(cancellation.check().is_err());
    }

    #[test]
    fn places_are_as_many_as_can_be_counted() {
        assert_eq!(place_count(64, 0), 64);
        for queue in [usize::MAX / 2, usize::MAX] {
            assert_eq!(Semaphore::new(place_count(64, queue)).available_permits(), Semaphore::MAX_PERMITS);
        }
    }
}
