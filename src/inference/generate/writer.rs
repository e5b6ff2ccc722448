//! Texts side by side, each with its own random numbers.

use rnn_zoo_models::State;

use super::context::Context;
use super::reader::Reader;
use super::sampling::Sampling;
use super::transcript::Transcript;
use super::{Finish, log_probability, nothing_to_write};
use crate::Result;
use crate::rng::Rng;

/// A text in the making.
#[derive(Clone, Debug)]
pub struct Text<'t> {
    /// What the model has read of it.
    pub context: Context,
    /// Where its random numbers come from.
    pub rng: Rng,
    /// How it is shown.
    pub transcript: Transcript<'t>,
}

/// What a text gains at a turn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gain<'a> {
    /// The number of the text.
    pub text: usize,
    /// The token, if it is that: an `<eos>` that ends the text is none of its tokens.
    pub token: Option<u32>,
    /// The logarithm of the token's probability by the model, whatever the sampling; of an ending `<eos>` too, and
    /// 0 where it was not asked for.
    pub logprob: f64,
    /// What can be shown.
    pub shown: &'a str,
    /// How the text ends, where it does.
    pub finish: Option<Finish>,
}

impl<'a> Gain<'a> {
    fn without_token(text: usize, shown: &'a str, finish: Option<Finish>) -> Self {
        Self { text, token: None, logprob: 0., shown, finish }
    }
}

/// How texts are written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Writer {
    /// How tokens are picked.
    pub sampling: Sampling,
    /// Tokens that are never picked.
    pub banned: Vec<u32>,
    /// Tokens to write at most.
    pub length: usize,
    /// The token that ends a text.
    pub end: Option<u32>,
    /// Whether log-probabilities are asked for.
    pub logprobs: bool,
    /// Whether the texts will be gone on with: what a transcript holds back stays there, and contexts are those
    /// behind the text.
    pub to_be_continued: bool,
}

impl Writer {
    /// Writes all texts to their ends, side by side, each as it would be alone. `gains` is told of every turn of
    /// each; its errors end the writing.
    ///
    /// # Errors
    /// Those of the device and of `gains`, and scores that leave nothing to pick.
    pub fn write(
        &self,
        reader: &mut Reader<'_>,
        texts: &mut [Text<'_>],
        gains: &mut dyn FnMut(Gain<'_>) -> Result<()>,
    ) -> Result<()> {
        // The numbers of the texts that go on, and where the reader has them.
        let mut live = vec![];
        for (number, text) in texts.iter_mut().enumerate() {
            let shown = text.transcript.begin();
            let finish = text.transcript.stopped().then_some(Finish::Stop);
            gains(Gain::without_token(number, &shown, finish))?;
            if finish.is_none() {
                live.push(number);
            }
        }
        let mut rows: Vec<usize> = (0..live.len()).collect();
        if live.is_empty() {
            return Ok(());
        }
        let states: Vec<State> = live.iter().map(|&number| texts[number].context.state.clone()).collect();
        reader.begin(&State::join(&states)?)?;
        for _ in 0..self.length {
            let tokens: Vec<u32> = live.iter().map(|&number| texts[number].context.last).collect();
            reader.read(&rows, &tokens)?;
            let (mut going, mut places) = (vec![], vec![]);
            for (row, &number) in live.iter().enumerate() {
                let (text, scores) = (&mut texts[number], reader.scores(row));
                let Text { context, rng, transcript } = text;
                let Some(token) = self.sampling.pick(scores, &context.recent, &self.banned, rng) else {
                    return Err(nothing_to_write());
                };
                let logprob = if self.logprobs { log_probability(scores, token) } else { 0. };
                context.recent.push(token);
                context.last = token;
                let ends = Some(token) == self.end;
                let shown = if ends { transcript.finish() } else { transcript.push(token) };
                let finish = match (ends, transcript.stopped()) {
                    (true, _) => Some(Finish::Eos),
                    (false, true) => Some(Finish::Stop),
                    (false, false) => None,
                };
                let gain =
                    Gain { text: number, token: (!ends).then_some(token), logprob, shown: &shown, finish };
                gains(gain)?;
                match finish {
                    None => {
                        going.push(number);
                        places.push(row);
                    }
                    Some(_) if self.to_be_continued => context.state = reader.state(row)?,
                    Some(_) => {}
                }
            }
            (live, rows) = (going, places);
            if live.is_empty() {
                return Ok(());
            }
        }
        for (number, row) in live.into_iter().zip(rows) {
            if self.to_be_continued && self.length > 0 {
                texts[number].context.state = reader.state(row)?;
            }
            let held = if self.to_be_continued { String::new() } else { texts[number].transcript.finish() };
            gains(Gain::without_token(number, &held, Some(Finish::Length)))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
