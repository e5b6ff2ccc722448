//! The start of generation: a saved state or none, then a prompt.

use super::saved::SavedText;
use super::text::{Text, text_rng};
use crate::Result;
use crate::inference::model::Model;
use crate::rng::Rng;
use crate::tokenizer::{Note, Prompt, Scheme, Tokenizer};

/// The seed of texts for which none is given.
const SEED: u64 = 1;

/// A prompt, as typed and as the model reads it.
#[derive(Clone, Debug)]
pub struct TypedPrompt {
    /// The prompt as typed.
    pub typed: String,
    /// The prompt in the Unicode form that the model knows.
    text: String,
    tokens: Prompt,
}

impl TypedPrompt {
    /// Encode a prompt for `model`.
    ///
    /// # Errors
    /// If the model reads no text, or a foreign tokenizer has no token for the prompt.
    pub fn new(model: &Model, typed: String) -> Result<Self> {
        let (text, tokens) = model.tokenizer()?.encode_prompt_in_known_form(&typed)?;
        Ok(Self { text: text.into_owned(), tokens, typed })
    }

    /// Its tokens.
    pub fn ids(&self) -> &[u32] {
        &self.tokens.ids
    }

    /// The number of its tokens.
    pub fn token_count(&self) -> usize {
        self.ids().len()
    }

    /// The part of the prompt, as it is shown, that each token stands for. The parts join to the prompt, unless it has
    /// no token.
    pub fn parts(&self, tokenizer: &Tokenizer) -> Vec<String> {
        if tokenizer.scheme() == Scheme::Word {
            let mut decoder = tokenizer.decoder();
            return self.ids().iter().map(|&id| decoder.push(id)).collect();
        }
        tokenizer.divided(&self.text, self.token_count()).into_iter().map(String::from).collect()
    }

    /// Warnings for the user.
    pub fn notes(&self) -> &[Note] {
        &self.tokens.notes
    }
}

/// The common beginning of the texts for all prompts.
#[derive(Default)]
pub struct Opening {
    /// The text that is continued.
    pub saved: Option<SavedText>,
    /// The strings that end a text.
    pub stops: Vec<String>,
    /// The seed of the random numbers. By default a saved text continues with its own, and others have seed 1.
    pub seed: Option<u64>,
}

impl Opening {
    /// Begin the first text of a prompt, and read the prompt. Returns the text to show for the prompt too.
    ///
    /// # Errors
    /// If the saved text is from another kind of tokenizer, and errors from candle.
    pub fn begin<'m>(&self, model: &'m Model, prompt: &TypedPrompt) -> Result<(Text<'m>, String)> {
        let (mut text, shown) = self.unread(model, prompt)?;
        text.context.read(model.network.as_ref(), &model.device)?;
        Ok((text, shown))
    }

    /// Begin the first text of a prompt as [`Opening::begin`] does, but leave the prompt to be read by the
    /// [`Session`](super::Session) that the text joins, window by window.
    ///
    /// # Errors
    /// As [`Opening::begin`].
    pub fn unread<'m>(&self, model: &'m Model, prompt: &TypedPrompt) -> Result<(Text<'m>, String)> {
        let network = model.network.as_ref();
        let rng = self.seeded(prompt, 0);
        let mut text = match &self.saved {
            Some(saved) => saved.text(model, &self.stops)?,
            None => Text::new(network, model.tokenizer()?, model.start_token()?, &self.stops, rng)?,
        };
        let shown = text.prompt(&prompt.text, &prompt.tokens);
        Ok((text, shown))
    }

    /// The random numbers of text number `sample` of a prompt, which begins like `text`.
    pub fn rng(&self, text: &Text<'_>, prompt: &TypedPrompt, sample: usize) -> Rng {
        match self.saved.is_some() && self.seed.is_none() {
            true => text.rng.clone(),
            false => self.seeded(prompt, sample),
        }
    }

    fn seeded(&self, prompt: &TypedPrompt, sample: usize) -> Rng {
        text_rng(self.seed.unwrap_or(SEED), &prompt.text, sample)
    }
}
