//! Continuous batching: texts that are written side by side, and that join and leave at any step.
//!
//! Each step reads at most one window of prompts, and then adds a token to every text whose prompt has been read.
//! So a long prompt delays the other texts by one window a step, not by its length. On the CPU every text is to
//! the bit what it would be alone, whatever the others are and whenever they join or leave.

use std::collections::{BTreeMap, VecDeque};

use candle_core::Device;
use rnn_zoo_models::{Network, State};

use super::context::Context;
use super::event::{Event, TextId};
use super::finish::Finish;
use super::reader::Reader;
use super::text::{Text, TextOptions};
use crate::Result;
use crate::inference::evaluate::WINDOW;
use crate::logits::log_probability;
use crate::rng::Rng;

/// Texts that are generated in one batch.
///
/// ```no_run
/// use candle_core::Device;
/// use rnn_zoo::inference::generate::{Session, Text, TextOptions, text_rng};
/// use rnn_zoo::inference::model::Model;
///
/// let model = Model::load("weights/lstm-story".as_ref(), &Device::Cpu)?;
/// let tokenizer = model.tokenizer()?;
/// let mut session = Session::new(model.network.as_ref(), &model.device)?;
/// for prompt in ["the cat", "a dog"] {
///     let rng = text_rng(1, prompt, 0);
///     let mut text = Text::new(model.network.as_ref(), tokenizer, model.start_token()?, &[], rng)?;
///     text.prompt(prompt, &tokenizer.encode_prompt(prompt)?);
///     session.join(text, TextOptions { length: 20, ..TextOptions::default() });
/// }
/// while !session.is_empty() {
///     for event in session.step()? {
///         println!("{:?}: {}", event.id, event.shown);
///     }
/// }
/// # Ok::<(), rnn_zoo::Error>(())
/// ```
pub struct Session<'m> {
    network: &'m dyn Network,
    device: Device,
    reader: Reader<'m>,
    /// Texts that have joined since the last step or whose prompt has not been read, in the order of joining.
    waiting: VecDeque<Waiting<'m>>,
    /// The texts that the reader's rows belong to.
    rows: Vec<Row<'m>>,
    /// Texts that have ended and can be continued.
    ended: BTreeMap<TextId, Text<'m>>,
    next_id: u64,
}

/// Texts with a common beginning, which is read once.
struct Waiting<'m> {
    text: Text<'m>,
    options: TextOptions,
    samples: Vec<(TextId, Rng)>,
}

/// A text that is being written.
struct Row<'m> {
    id: TextId,
    text: Text<'m>,
    options: TextOptions,
    /// Tokens written.
    length: usize,
    /// Whether the text has ended or left. Its row goes at the next step.
    gone: bool,
}

impl<'m> Session<'m> {
    /// A session without texts. `device` is that of the network's parameters.
    ///
    /// # Errors
    /// Errors from candle.
    pub fn new(network: &'m dyn Network, device: &Device) -> Result<Self> {
        Ok(Self {
            network,
            device: device.clone(),
            reader: Reader::new(network, device)?,
            waiting: VecDeque::new(),
            rows: vec![],
            ended: BTreeMap::new(),
            next_id: 0,
        })
    }

    /// Add a text. The next steps read what is unread of its prompt, then write it.
    pub fn join(&mut self, text: Text<'m>, options: TextOptions) -> TextId {
        let rng = text.rng.clone();
        self.join_all(text, options, [rng])[0]
    }

    /// Add several texts that have a beginning in common, one for each of `rngs`. Their prompt is read once.
    pub fn join_all(
        &mut self,
        text: Text<'m>,
        options: TextOptions,
        rngs: impl IntoIterator<Item = Rng>,
    ) -> Vec<TextId> {
        let first = self.next_id;
        let samples: Vec<(TextId, Rng)> = (first..).map(TextId).zip(rngs).collect();
        self.next_id += samples.len() as u64;
        let ids = samples.iter().map(|(id, _)| *id).collect();
        self.waiting.push_back(Waiting { text, options, samples });
        ids
    }

    /// Remove a text and return it, ready to be continued by this or another session. Returns `None` if there
    /// is no such text, or if it has ended and was not [resumable](TextOptions::resumable).
    ///
    /// # Errors
    /// Errors from candle.
    pub fn leave(&mut self, id: TextId) -> Result<Option<Text<'m>>> {
        if let Some(text) = self.ended.remove(&id) {
            return Ok(Some(text));
        }
        for waiting in &mut self.waiting {
            if let Some(at) = waiting.samples.iter().position(|(sample, _)| *sample == id) {
                let (_, rng) = waiting.samples.remove(at);
                return Ok(Some(Text { rng, ..waiting.text.clone() }));
            }
        }
        let Some(at) = self.rows.iter().position(|row| row.id == id && !row.gone) else { return Ok(None) };
        let state = self.reader.state(at)?;
        Ok(Some(self.rows[at].end(state)))
    }

    /// Whether no text is waiting or being written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of texts that are waiting or being written.
    pub fn len(&self) -> usize {
        let waiting: usize = self.waiting.iter().map(|waiting| waiting.samples.len()).sum();
        waiting + self.rows.iter().filter(|row| !row.gone).count()
    }

    /// The scores (logits) that the newest token of a text was picked from, before the rules of sampling. They
    /// are kept until the next step, also of a text that has just ended.
    pub fn scores(&self, id: TextId) -> Option<&[f32]> {
        let row = self.rows.iter().position(|row| row.id == id)?;
        Some(self.reader.scores(row))
    }

    /// Read a window of the prompts that are waiting, and add a token to each text that is being written.
    ///
    /// # Errors
    /// Errors from candle. Texts whose scores are NaN are not errors here, but [`Finish::Failed`].
    pub fn step(&mut self) -> Result<Vec<Event>> {
        self.drop_rows()?;
        let mut events = self.admit()?;
        if self.rows.is_empty() {
            return Ok(events);
        }
        let tokens: Vec<u32> = self.rows.iter().map(|row| row.text.context.last).collect();
        self.reader.read(&tokens)?;
        for (at, row) in self.rows.iter_mut().enumerate() {
            let event = row.step(self.reader.scores(at));
            row.gone = event.finish.is_some();
            if row.gone && row.options.resumable && event.finish != Some(Finish::Failed) {
                let state = self.reader.state(at)?;
                self.ended.insert(row.id, row.end(state));
            }
            events.push(event);
        }
        Ok(events)
    }

    /// Free the rows of texts that have ended or left.
    fn drop_rows(&mut self) -> Result<()> {
        let kept: Vec<usize> = (0..self.rows.len()).filter(|&at| !self.rows[at].gone).collect();
        self.rows.retain(|row| !row.gone);
        self.reader.select(&kept)
    }

    /// Read windows of prompts, side by side if that changes no bit; at most [`WINDOW`] tokens together.
    fn read_prompts(&mut self) -> Result<()> {
        let (mut budget, mut contexts) = (WINDOW, vec![]);
        for waiting in &mut self.waiting {
            // The first that does not fit is the last, so that no prompt overtakes another.
            let Some(rest) = budget.checked_sub(waiting.window()) else { break };
            budget = rest;
            if !waiting.is_read() {
                contexts.push(&mut waiting.text.context);
            }
        }
        let together = if self.reader.is_fused() { contexts.len().max(1) } else { 1 };
        contexts.chunks_mut(together).try_for_each(|contexts| {
            Context::read_windows(
                contexts.iter_mut().map(|context| &mut **context),
                self.network,
                &self.device,
            )
        })
    }

    /// Read prompts, and give the texts whose prompt has been read their rows.
    fn admit(&mut self) -> Result<Vec<Event>> {
        self.read_prompts()?;
        let (mut events, mut states) = (vec![], vec![]);
        while self.waiting.front().is_some_and(Waiting::is_read) {
            let Some(waiting) = self.waiting.pop_front() else { break };
            for (id, rng) in waiting.samples {
                let text = Text { rng, ..waiting.text.clone() };
                let (event, row) = self.begin(id, text, &waiting.options);
                events.push(event);
                if let Some(row) = row {
                    states.push(row.text.context.state.clone());
                    self.rows.push(row);
                }
            }
        }
        if !states.is_empty() {
            self.reader.append(&State::join(&states)?)?;
        }
        Ok(events)
    }

    /// The first event of a text, and its row unless it ends at once.
    fn begin(&mut self, id: TextId, mut text: Text<'m>, options: &TextOptions) -> (Event, Option<Row<'m>>) {
        let mut shown = text.transcript.begin();
        let finish = match (text.transcript.stopped(), options.length) {
            (true, _) => Some(Finish::Stop),
            (false, 0) => Some(Finish::Length),
            (false, _) => None,
        };
        if finish.is_none() {
            let row = Row { id, text, options: options.clone(), length: 0, gone: false };
            return (Event::without_token(id, shown, None), Some(row));
        }
        match options.resumable {
            true => drop(self.ended.insert(id, text)),
            false => shown.push_str(&text.transcript.finish()),
        }
        (Event::without_token(id, shown, finish), None)
    }
}

impl Waiting<'_> {
    /// The number of tokens of the prompt that are read next: 0 once it has been read, and if all its texts have left.
    fn window(&self) -> usize {
        if self.samples.is_empty() { 0 } else { self.text.context.window() }
    }

    fn is_read(&self) -> bool {
        self.window() == 0
    }
}

impl<'m> Row<'m> {
    /// Pick a token from its scores.
    fn step(&mut self, scores: &[f32]) -> Event {
        let Self { id, text: Text { context, rng, transcript }, options, length, .. } = self;
        let Some(token) = options.sampling.pick(scores, &context.recent, &options.banned, rng) else {
            return Event::without_token(*id, transcript.finish(), Some(Finish::Failed));
        };
        context.recent.push(token);
        context.last = token;
        *length += 1;
        let logprob = options.logprobs.then(|| log_probability(scores, token));
        if Some(token) == options.end {
            let (shown, finish) = (transcript.finish(), Some(Finish::Eos));
            return Event { id: *id, token: None, logprob, shown, finish };
        }
        let mut shown = transcript.push(token);
        let finish = match (transcript.stopped(), *length == options.length) {
            (true, _) => Some(Finish::Stop),
            (false, true) => Some(Finish::Length),
            (false, false) => None,
        };
        if finish == Some(Finish::Length) && !options.resumable {
            shown.push_str(&transcript.finish());
        }
        Event { id: *id, token: Some(token), logprob, shown, finish }
    }

    /// End the text; `state` is that after the tokens read.
    fn end(&mut self, state: State) -> Text<'m> {
        self.gone = true;
        self.text.context.state = state;
        self.text.clone()
    }
}

#[cfg(test)]
mod tests;
