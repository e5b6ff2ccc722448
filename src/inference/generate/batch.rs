//! Texts for a list of prompts, several for each, written side by side in one [`Session`].

use std::collections::BTreeSet;

use super::event::{Event, TextId};
use super::opening::{Opening, TypedPrompt};
use super::session::Session;
use super::text::{Text, TextOptions};
use crate::Result;
use crate::inference::model::Model;

/// The number of texts side by side. More take memory and are hardly faster.
const SIDE_BY_SIDE: u64 = 64;

/// Writes a number of texts for each prompt, in order.
///
/// A text begins when at most 63 texts before it, from the first that has not ended, have begun. So the memory does
/// not grow with the number of texts, even if a caller keeps later texts until the first has ended.
pub struct PromptBatch<'m> {
    model: &'m Model,
    session: Session<'m>,
    opening: Opening,
    prompts: Vec<TypedPrompt>,
    count: usize,
    options: TextOptions,
    /// The prompt of the next text, and its number among the prompt's texts.
    next: (usize, usize),
    /// The beginning of the texts of the prompt `next.0`, once it has been read.
    begun: Option<(Text<'m>, String)>,
    /// Texts that have begun and not ended.
    open: BTreeSet<TextId>,
    /// The number of texts that have begun: also the id of the next.
    joined: u64,
}

/// A step of a batch.
#[derive(Clone, Debug, PartialEq)]
pub enum BatchEvent {
    /// A text has begun. Texts begin in order.
    Begun {
        /// The text, in its later events.
        id: TextId,
        /// The number of its prompt.
        prompt: usize,
        /// Its number among the prompt's texts.
        sample: usize,
        /// The text to show for the prompt.
        shown: String,
    },
    /// A text has grown or ended.
    Written(Event),
}

impl<'m> PromptBatch<'m> {
    /// A batch of `count` texts for each of `prompts`.
    ///
    /// # Errors
    /// Errors from candle.
    pub fn new(
        model: &'m Model,
        opening: Opening,
        prompts: Vec<TypedPrompt>,
        count: usize,
        options: TextOptions,
    ) -> Result<Self> {
        let session = Session::new(model.network.as_ref(), &model.device)?;
        let open = BTreeSet::new();
        Ok(Self {
            model,
            session,
            opening,
            prompts,
            count,
            options,
            next: (0, 0),
            begun: None,
            open,
            joined: 0,
        })
    }

    /// The prompts.
    pub fn prompts(&self) -> &[TypedPrompt] {
        &self.prompts
    }

    /// Begin texts as others end, and add a token to each. Returns `None` if all texts have ended.
    ///
    /// # Errors
    /// If a saved text is from another kind of tokenizer, and errors from candle.
    pub fn step(&mut self) -> Result<Option<Vec<BatchEvent>>> {
        let mut events = vec![];
        while let Some(begun) = self.begin_next()? {
            events.push(begun);
        }
        if self.open.is_empty() {
            return Ok(None);
        }
        for event in self.session.step()? {
            if event.finish.is_some() {
                self.open.remove(&event.id);
            }
            events.push(BatchEvent::Written(event));
        }
        Ok(Some(events))
    }

    /// Return a text that has ended; `None` if the texts are not [resumable](TextOptions::resumable).
    ///
    /// # Errors
    /// Errors from candle.
    pub fn leave(&mut self, id: TextId) -> Result<Option<Text<'m>>> {
        self.open.remove(&id);
        self.session.leave(id)
    }

    /// Begin the next text, if there is one and a place for it.
    fn begin_next(&mut self) -> Result<Option<BatchEvent>> {
        let (prompt, sample) = self.next;
        let full = self.open.first().is_some_and(|first| self.joined - first.0 >= SIDE_BY_SIDE);
        let Some(typed) = self.prompts.get(prompt).filter(|_| !full && self.count > 0) else {
            return Ok(None);
        };
        // A prompt is read once, whatever the number of its texts.
        let (mut text, shown) = match self.begun.take() {
            Some(begun) => begun,
            None => self.opening.begin(self.model, typed)?,
        };
        text.rng = self.opening.rng(&text, typed, sample);
        self.next = if sample + 1 < self.count { (prompt, sample + 1) } else { (prompt + 1, 0) };
        if self.next.0 == prompt {
            self.begun = Some((text.clone(), shown.clone()));
        }
        let id = self.session.join(text, self.options.clone());
        self.joined += 1;
        self.open.insert(id);
        Ok(Some(BatchEvent::Begun { id, prompt, sample, shown }))
    }
}
