//! The texts that a bundle writes side by side: requests join and leave at any step.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Instant;

use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::UnboundedSender;

use super::job::{Job, Piece, Token};
use super::metrics::BundleMetrics;
use super::state_token;
use crate::Result;
use crate::inference::Model;
use crate::inference::generate::{Event, Session, TextId};
use crate::logits::log_sum_exp;

/// The jobs of a bundle.
pub(super) struct Crowd<'m> {
    model: &'m Model,
    session: Session<'m>,
    /// Jobs without places, in the order of arrival.
    waiting: VecDeque<Job>,
    writing: BTreeMap<TextId, Writing>,
    /// The most texts at a time.
    streams: usize,
    metrics: &'m BundleMetrics,
}

/// A text that is being written.
struct Writing {
    /// Its number in the job.
    text: usize,
    /// Whether it has a token.
    begun: bool,
    /// Whether tokens are returned.
    logprobs: bool,
    job: Rc<Begun>,
}

/// A job that has begun.
struct Begun {
    alternatives: usize,
    pieces: UnboundedSender<Piece>,
    deadline: Instant,
    arrived: Instant,
    /// Held until the last text has ended.
    _places: OwnedSemaphorePermit,
}

impl<'m> Crowd<'m> {
    /// No texts yet, and room for `streams` of them.
    pub(super) fn new(model: &'m Model, streams: usize, metrics: &'m BundleMetrics) -> Result<Self> {
        let session = Session::new(model.network.as_ref(), &model.device)?;
        let (waiting, writing) = (VecDeque::new(), BTreeMap::new());
        Ok(Self { model, session, waiting, writing, streams, metrics })
    }

    /// Whether there is nothing to do.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.writing.is_empty()
    }

    /// Add a job.
    pub(super) fn add(&mut self, job: Job) {
        self.waiting.push_back(job);
    }

    /// Drop the texts of clients that are gone or out of time, let waiting jobs in, and add a token to each text.
    pub(super) fn step(&mut self) -> Result<()> {
        self.drop_ended()?;
        self.admit()?;
        if !self.writing.is_empty() {
            self.metrics.batch.observe(self.writing.len() as f64);
            for event in self.session.step()? {
                self.deliver(event)?;
            }
        }
        self.metrics.queue.set(self.waiting.iter().map(Job::texts).sum::<usize>() as i64);
        self.metrics.streams.set(self.writing.len() as i64);
        Ok(())
    }

    fn drop_ended(&mut self) -> Result<()> {
        let now = Instant::now();
        self.waiting.retain(|job| !job.pieces.is_closed() && job.deadline > now);
        let ended = |writing: &Writing| writing.job.pieces.is_closed() || writing.job.deadline <= now;
        let ended: Vec<TextId> =
            self.writing.iter().filter(|(_, writing)| ended(writing)).map(|(id, _)| *id).collect();
        for id in ended {
            self.session.leave(id)?;
            self.writing.remove(&id);
        }
        Ok(())
    }

    /// Let jobs in, in the order of arrival, while there is room for all texts of the next one.
    fn admit(&mut self) -> Result<()> {
        while let Some(job) = self.waiting.front() {
            if !self.writing.is_empty() && self.writing.len() + job.texts() > self.streams {
                break;
            }
            let Some(job) = self.waiting.pop_front() else { break };
            self.begin(job)?;
        }
        Ok(())
    }

    fn begin(&mut self, job: Job) -> Result<()> {
        let Job { prompts, opening, count, options, alternatives, pieces, deadline, arrived, places } = job;
        let begun = Rc::new(Begun { alternatives, pieces, deadline, arrived, _places: places });
        for (number, prompt) in prompts.iter().enumerate() {
            let (text, shown) = opening.unread(self.model, prompt)?;
            self.metrics.prompt_tokens.inc_by(prompt.token_count() as u64);
            let rngs: Vec<_> = (0..count).map(|sample| opening.rng(&text, prompt, sample)).collect();
            let ids = self.session.join_all(text, options.clone(), rngs);
            for (sample, id) in ids.into_iter().enumerate() {
                let text = number * count + sample;
                let shown = shown.clone();
                // A client that is gone is noticed at the next step.
                let _ = begun.pieces.send(Piece {
                    text,
                    shown,
                    is_prompt: true,
                    token: None,
                    finish: None,
                    state: None,
                });
                let (logprobs, job) = (options.logprobs, Rc::clone(&begun));
                self.writing.insert(id, Writing { text, begun: false, logprobs, job });
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
        let (text, job, logprobs) = (writing.text, Rc::clone(&writing.job), writing.logprobs);
        let token = match (event.token, event.logprob) {
            (Some(token), Some(logprob)) if logprobs => Some(Token {
                text: self.model.tokenizer()?.token_text(token).unwrap_or_default().into_owned(),
                logprob,
                alternatives: self.alternatives(event.id, job.alternatives)?,
            }),
            _ => None,
        };
        let mut state = None;
        if event.finish.is_some() {
            self.writing.remove(&event.id);
            // `leave` returns a text only if its state was asked for.
            if let Some(text) = self.session.leave(event.id)? {
                state = Some(state_token::encode(&text, self.model)?);
            }
        }
        let piece = Piece { text, shown: event.shown, is_prompt: false, token, finish: event.finish, state };
        let _ = job.pieces.send(piece);
        Ok(())
    }

    /// The `count` most probable tokens in the place of a text's newest.
    fn alternatives(&self, id: TextId, count: usize) -> Result<Vec<(String, f64)>> {
        let Some(scores) = self.session.scores(id).filter(|_| count > 0) else { return Ok(vec![]) };
        let total = log_sum_exp(scores);
        let mut order: Vec<usize> = (0..scores.len()).collect();
        let by_score = |a: &usize, b: &usize| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b));
        if count < order.len() {
            order.select_nth_unstable_by(count, by_score);
            order.truncate(count);
        }
        order.sort_unstable_by(by_score);
        let tokenizer = self.model.tokenizer()?;
        let shown = |token: usize| tokenizer.token_text(token as u32).unwrap_or_default().into_owned();
        Ok(order.into_iter().map(|token| (shown(token), f64::from(scores[token]) - total)).collect())
    }
}
