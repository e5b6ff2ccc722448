//! Continuous batching: the texts of a bundle are written in one batch, which requests join and leave at any step.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Instant;

use tokio::sync::mpsc::UnboundedSender;

use super::job::{Job, Places, TextDelta};
use super::metrics::BundleMetrics;
use super::report::report;
use super::state_token::StateKey;
use super::token::Token;
use crate::Result;
use crate::inference::Model;
use crate::inference::generate::{Event, Finish, Session, TextId};
use crate::tokenizer::Decoder;

/// The jobs of a bundle.
pub(super) struct TextBatch<'m> {
    model: &'m Model,
    /// The key of the states of texts.
    key: &'m StateKey,
    session: Session<'m>,
    /// Jobs that wait for room, in the order of arrival.
    waiting: VecDeque<Job>,
    writing: BTreeMap<TextId, BatchRow<'m>>,
    /// The most texts at a time.
    streams: usize,
    metrics: &'m BundleMetrics,
    /// The texts that wait and that are written, as counted in the metrics.
    counted: (i64, i64),
}

/// A text that is being written.
struct BatchRow<'m> {
    /// Its number in the job.
    text: usize,
    /// The decoder of its tokens, for the texts of the alternatives to the next one.
    decoder: Decoder<'m>,
    /// Whether it has a token.
    begun: bool,
    job: Rc<Begun>,
}

/// A job that has begun.
struct Begun {
    alternatives: usize,
    pieces: UnboundedSender<TextDelta>,
    deadline: Instant,
    arrived: Instant,
    /// Held until the last text has ended.
    _places: Places,
}

impl<'m> TextBatch<'m> {
    /// No texts yet, and room for `streams` of them.
    pub(super) fn new(
        model: &'m Model,
        key: &'m StateKey,
        streams: usize,
        metrics: &'m BundleMetrics,
    ) -> Result<Self> {
        let session = Session::new(model.network.as_ref(), &model.device)?;
        let (waiting, writing) = (VecDeque::new(), BTreeMap::new());
        Ok(Self { model, key, session, waiting, writing, streams, metrics, counted: (0, 0) })
    }

    /// Whether there is nothing to do.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.writing.is_empty()
    }

    /// Add a job.
    pub(super) fn add(&mut self, job: Job) {
        self.waiting.push_back(job);
    }

    /// Drop the texts of clients that have disconnected or whose time is over, admit waiting jobs, and add a token to
    /// each text.
    pub(super) fn step(&mut self) -> Result<()> {
        self.drop_ended()?;
        self.admit();
        if !self.writing.is_empty() {
            self.metrics.batch.observe(self.writing.len() as f64);
            for event in self.session.step()? {
                self.deliver(event)?;
            }
        }
        let queue: usize = self.waiting.iter().map(Job::texts).sum();
        self.count(queue as i64, self.writing.len() as i64);
        Ok(())
    }

    /// Count texts that wait and that are written. The figures are sums, because a bundle that has been replaced still
    /// ends its texts.
    fn count(&mut self, queue: i64, streams: i64) {
        let (old_queue, old_streams) = std::mem::replace(&mut self.counted, (queue, streams));
        self.metrics.queue.add(queue - old_queue);
        self.metrics.streams.add(streams - old_streams);
    }

    fn drop_ended(&mut self) -> Result<()> {
        let now = Instant::now();
        self.waiting.retain(|job| !job.pieces.is_closed() && job.deadline > now);
        let ended = |writing: &BatchRow| writing.job.pieces.is_closed() || writing.job.deadline <= now;
        let ended: Vec<TextId> =
            self.writing.iter().filter(|(_, writing)| ended(writing)).map(|(id, _)| *id).collect();
        for id in ended {
            self.session.leave(id)?;
            self.writing.remove(&id);
        }
        Ok(())
    }

    /// Admit jobs in the order of arrival, while there is room for all texts of the next one.
    fn admit(&mut self) {
        while let Some(job) = self.waiting.front() {
            if !self.writing.is_empty() && self.writing.len() + job.texts() > self.streams {
                break;
            }
            let Some(job) = self.waiting.pop_front() else { break };
            if let Err(error) = self.begin(job) {
                // The job is dropped, which its request notices.
                report(&format!("{}: {error}", self.model.path().display()));
            }
        }
    }

    fn begin(&mut self, job: Job) -> Result<()> {
        let Job { prompts, opening, count, options, alternatives, pieces, deadline, arrived, places } = job;
        let begun = Rc::new(Begun { alternatives, pieces, deadline, arrived, _places: places });
        // All of them before the first joins, so that an error concerns this job alone.
        let texts = prompts.iter().map(|prompt| opening.unread(self.model, prompt));
        let texts = texts.collect::<Result<Vec<_>>>()?;
        for (number, (prompt, (text, shown))) in prompts.iter().zip(texts).enumerate() {
            self.metrics.prompt_tokens.inc_by(prompt.token_count() as u64);
            let decoder = text.transcript.decoder().clone();
            let rngs: Vec<_> = (0..count).map(|sample| opening.rng(&text, prompt, sample)).collect();
            let ids = self.session.join_all(text, options.clone(), rngs);
            for (sample, id) in ids.into_iter().enumerate() {
                let text = number * count + sample;
                let shown = shown.clone();
                // A client that has disconnected is noticed at the next step.
                let _ = begun.pieces.send(TextDelta {
                    text,
                    shown,
                    is_prompt: true,
                    written: false,
                    token: None,
                    finish: None,
                    state: None,
                });
                let (decoder, job) = (decoder.clone(), Rc::clone(&begun));
                self.writing.insert(id, BatchRow { text, decoder, begun: false, job });
            }
        }
        Ok(())
    }

    /// Send what a step has added to a text.
    fn deliver(&mut self, event: Event) -> Result<()> {
        let Some(writing) = self.writing.get_mut(&event.id) else { return Ok(()) };
        if event.token.is_some() {
            self.metrics.tokens.inc();
            if !std::mem::replace(&mut writing.begun, true) {
                self.metrics.first_token.observe(writing.job.arrived.elapsed().as_secs_f64());
            }
        }
        let (text, job) = (writing.text, Rc::clone(&writing.job));
        // The end token is a token of the answer only if text that was held back comes with it.
        let is_shown = event.finish != Some(Finish::Eos) || !event.shown.is_empty();
        let token = match event.logprob.filter(|_| is_shown) {
            Some(logprob) => {
                let scores = self.session.scores(event.id).unwrap_or_default();
                let tokenizer = self.model.tokenizer()?;
                Some(Token::new(tokenizer, &writing.decoder, logprob, scores, job.alternatives))
            }
            None => None,
        };
        if let Some(token) = event.token.filter(|_| job.alternatives > 0) {
            writing.decoder.push(token);
        }
        let mut state = None;
        if event.finish.is_some() {
            self.writing.remove(&event.id);
            // `leave` returns a text only if its state was asked for.
            if let Some(text) = self.session.leave(event.id)? {
                state = Some(self.key.encode(&text, self.model)?);
            }
        }
        let (written, shown, finish) = (event.token.is_some(), event.shown, event.finish);
        let _ = job.pieces.send(TextDelta { text, shown, is_prompt: false, written, token, finish, state });
        Ok(())
    }
}

impl Drop for TextBatch<'_> {
    fn drop(&mut self) {
        self.count(0, 0);
    }
}
