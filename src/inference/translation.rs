//! Translations of texts by a trained model.

use super::model::Model;
use super::search::{SearchOptions, SearchResult};
use crate::tasks::translate::{Translations, as_answer, translate};
use crate::tasks::{Answer, Vocabularies};
use crate::tokenizer::End;
use crate::{Error, Result};

/// A trained model that translates.
pub struct Translation<'m> {
    model: &'m Model,
    vocabularies: Vocabularies,
    options: SearchOptions,
}

/// The translation of a text with the attention behind it.
#[derive(Clone, Debug)]
pub struct Alignment {
    /// The tokens of the source, for people to read.
    pub source: Vec<String>,
    /// The tokens of the translation.
    pub target: Vec<String>,
    /// The attention weights, a row for each token of the translation.
    pub weights: Vec<Vec<f32>>,
}

impl<'m> Translation<'m> {
    /// # Errors
    /// If the model does not translate, or an option is invalid.
    pub fn new(model: &'m Model, options: SearchOptions) -> Result<Self> {
        options.validate()?;
        if model.network.sequence_to_sequence().is_none() {
            let problem = format!("its task is {}: it does not translate", model.config.task);
            return Err(model.refuse(problem));
        }
        Ok(Self { model, vocabularies: Vocabularies::of(model.names())?, options })
    }

    /// Answer texts, in their order: a text that is empty or blank by an empty one. Also return the number of texts
    /// that were cut, because they have more than [`MOST_TOKENS`](crate::tasks::MOST_TOKENS) tokens.
    ///
    /// # Errors
    /// If an output is NaN or infinite, and errors from candle.
    pub fn answer(&self, texts: &[String]) -> Result<(Vec<Answer>, usize)> {
        let Translations { found, cut } = self.search(texts, false)?;
        let answers = found.iter().zip(texts).map(|(found, text)| as_answer(&self.vocabularies, found, text));
        Ok((answers.collect(), cut))
    }

    /// The number of tokens of a text, the end token included, before it is cut.
    ///
    /// # Errors
    /// If a foreign tokenizer cannot encode the text.
    pub fn token_count(&self, text: &str) -> Result<usize> {
        let mut tokens = vec![];
        self.vocabularies.source().append_ended(text, End::Record, &mut tokens)?;
        Ok(tokens.len())
    }

    /// Translate a text and return what each token of the translation attends to.
    ///
    /// # Errors
    /// If the text is blank, and as [`Translation::answer`].
    pub fn align(&self, text: &str) -> Result<Alignment> {
        if text.trim().is_empty() {
            return Err(Error::Message("the text to translate is empty".into()));
        }
        let SearchResult { tokens, weights, .. } =
            self.search(&[text.to_string()], true)?.found.into_iter().next().unwrap_or_default();
        let shown = |tokenizer: &crate::tokenizer::Tokenizer, token: u32| {
            tokenizer.token_text(token).unwrap_or_default().into_owned()
        };
        let (source, target) = (self.vocabularies.source(), self.vocabularies.target());
        let read = source.encode(text)?;
        let ends = |count: usize, end: Option<u32>| end.filter(|_| count > 0);
        let columns = weights.first().map_or(0, Vec::len);
        let extra = columns.saturating_sub(read.len());
        let of_source = read.into_iter().chain(ends(extra, source.end())).take(columns);
        let extra = weights.len().saturating_sub(tokens.len());
        let of_target = tokens.into_iter().chain(ends(extra, target.end()));
        Ok(Alignment {
            source: of_source.map(|token| shown(source, token)).collect(),
            target: of_target.map(|token| shown(target, token)).collect(),
            weights,
        })
    }

    fn search(&self, texts: &[String], keeps_weights: bool) -> Result<Translations> {
        let network = self.model.network.as_ref();
        translate(network, &self.vocabularies, texts, self.options, keeps_weights).map_err(
            |error| match error {
                Error::Message(problem) => self.model.failed(problem),
                error => error,
            },
        )
    }
}
