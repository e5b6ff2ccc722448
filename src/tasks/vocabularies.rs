//! The tokenizers of a model that translates, and text from the tokens that it writes.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::names::Names;
use super::text;
use crate::inference::search::SearchResult;
use crate::tokenizer::{End, Scheme, Tokenizer};
use crate::{Error, Result};

/// The most tokens of a text. Longer pairs are left out of training; longer sources are cut.
pub const MOST_TOKENS: usize = 1000;

/// A translation has at most `2 * source tokens + SLACK` tokens; see [`Vocabularies::limit`].
const SLACK: usize = 10;

/// The description of a translator's inputs and outputs besides its source tokenizer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct TranslateSchema {
    /// The `tokenizer.json` of the targets; `None` if it is that of the sources.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_tokenizer: Option<String>,
    /// Tokens of the longest target of the training split.
    pub longest_target: usize,
}

impl TranslateSchema {
    /// # Errors
    /// If the schema is not that of a translator.
    pub(super) fn read(schema: &Value) -> Result<Self> {
        Self::deserialize(schema)
            .map_err(|error| Error::schema(format!("is not one of a translator: {error}")))
    }
}

/// The tokenizers of sources and targets.
#[derive(Clone, Debug)]
pub struct Vocabularies {
    source: Tokenizer,
    /// `None` if it is the source's.
    target: Option<Tokenizer>,
    longest_target: usize,
}

/// A text as tokens.
pub(super) struct EncodedText {
    /// The tokens, at most [`MOST_TOKENS`], with the end token.
    pub tokens: Vec<u32>,
    /// Whether tokens were cut off.
    pub cut: bool,
}

impl Vocabularies {
    /// `target` is `None` if sources and targets have one tokenizer.
    pub(super) fn new(source: Tokenizer, target: Option<Tokenizer>) -> Self {
        Self { source, target, longest_target: 0 }
    }

    /// The vocabularies of a model.
    ///
    /// # Errors
    /// If it has no tokenizer, or its schema is not a translator's.
    pub fn of(names: Names<'_>) -> Result<Self> {
        let TranslateSchema { target_tokenizer, longest_target } = TranslateSchema::read(names.schema)?;
        let parse = |json: String| {
            Tokenizer::from_json(json.as_bytes()).map_err(|problem| {
                Error::Message(format!("`schema.target_tokenizer` in config.json {problem}"))
            })
        };
        let target = target_tokenizer.map(parse).transpose()?;
        Ok(Self { source: text::require(names.tokenizer)?.clone(), target, longest_target })
    }

    /// The schema of a model with these vocabularies.
    pub(super) fn schema(&self, longest_target: usize) -> Result<Value> {
        let target_tokenizer = self.target.as_ref().map(Tokenizer::to_json).transpose()?;
        serde_json::to_value(TranslateSchema { target_tokenizer, longest_target })
            .map_err(|error| Error::Message(error.to_string()))
    }

    /// The tokenizer of the sources.
    pub fn source(&self) -> &Tokenizer {
        &self.source
    }

    /// The tokenizer of the targets.
    pub fn target(&self) -> &Tokenizer {
        self.target.as_ref().unwrap_or(&self.source)
    }

    /// The token that ends a target, and that the decoder reads first.
    ///
    /// # Errors
    /// If a foreign tokenizer has none.
    pub fn end(&self) -> Result<u32> {
        self.target().end().ok_or_else(|| {
            let problem =
                "has no token that ends a text (<eos>, </s>, <|endoftext|> or [SEP]), which translation needs";
            Error::invalid("tokenizer", problem)
        })
    }

    /// The greatest number of tokens of the translation of a source with so many tokens: at least that of the longest
    /// target in training.
    pub fn limit(&self, source: usize) -> usize {
        (2 * source + SLACK).max(self.longest_target).min(MOST_TOKENS)
    }

    pub(super) fn encode_source(&self, text: &str) -> Result<EncodedText> {
        encode(&self.source, text)
    }

    pub(super) fn encode_target(&self, text: &str) -> Result<EncodedText> {
        encode(self.target(), text)
    }

    /// The text of a translation. The text of an unknown token is the word of the source that it attends to most,
    /// unless one of the two sides has characters and the other has words.
    pub fn text(&self, found: &SearchResult, source: &str) -> String {
        let tokenizer = self.target();
        let unknown = tokenizer.unknown();
        let of_characters = |tokenizer: &Tokenizer| tokenizer.scheme() == Scheme::Char;
        let is_known = found.tokens.iter().all(|token| Some(*token) != unknown);
        if is_known || of_characters(tokenizer) != of_characters(&self.source) {
            return tokenizer.decode(&found.tokens).trim_end_matches('\n').to_string();
        }
        let words = self.source.whole_parts(source).unwrap_or_default();
        let between = if of_characters(tokenizer) { "" } else { " " };
        let mut pieces: Vec<String> = vec![];
        let mut known = vec![];
        let flush = |known: &mut Vec<u32>, pieces: &mut Vec<String>| {
            let text = tokenizer.decode(&std::mem::take(known));
            let text = if between.is_empty() { text.as_str() } else { text.trim() };
            pieces.extend((!text.is_empty()).then(|| text.to_string()));
        };
        for (&token, &place) in found.tokens.iter().zip(&found.attended) {
            match words.get(place).filter(|_| Some(token) == unknown) {
                Some(word) => {
                    flush(&mut known, &mut pieces);
                    pieces.push((*word).to_string());
                }
                None => known.push(token),
            }
        }
        flush(&mut known, &mut pieces);
        pieces.join(between)
    }
}

fn encode(tokenizer: &Tokenizer, text: &str) -> Result<EncodedText> {
    let mut tokens = vec![];
    tokenizer.append_ended(text, End::Record, &mut tokens)?;
    let cut = tokens.len() > MOST_TOKENS;
    if cut {
        tokens.truncate(MOST_TOKENS);
        if let (Some(last), Some(end)) = (tokens.last_mut(), tokenizer.end()) {
            *last = end;
        }
    }
    if tokens.is_empty() {
        tokens.push(tokenizer.unknown().unwrap_or(0)); // a foreign tokenizer without an end
    }
    Ok(EncodedText { tokens, cut })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::Kind;

    fn tokenizer(kind: &Kind, text: &str) -> Tokenizer {
        Tokenizer::train(kind, [Ok(text.to_string())].into_iter(), None, false).unwrap()
    }

    fn found(tokens: &[u32], attended: &[usize]) -> SearchResult {
        SearchResult { tokens: tokens.to_vec(), attended: attended.to_vec(), ..SearchResult::default() }
    }

    #[test]
    fn unknown_words_are_those_of_the_source() {
        let source = tokenizer(&Kind::Word, "a man visits the city");
        let target = tokenizer(&Kind::Word, "ein Mann besucht die Stadt");
        let vocabularies = Vocabularies::new(source, Some(target));
        let ids = vocabularies.target().encode("ein Mann besucht").unwrap();
        let text = |tokens: &[u32], attended: &[usize]| {
            vocabularies.text(&found(tokens, attended), "a man  visits Nürnberg, Busan")
        };
        assert_eq!(
            text(&[ids[0], ids[1], ids[2], 0, 0], &[0, 1, 2, 3, 4]),
            "ein Mann besucht Nürnberg, Busan"
        );
        assert_eq!(text(&[0, ids[0]], &[4, 0]), "Busan ein");
        // The <eos> of the source stands for no word.
        assert_eq!(text(&[ids[0], 0], &[0, 5]), "ein <unk>");
    }

    #[test]
    fn unknown_characters_are_those_of_the_source() {
        let vocabularies = Vocabularies::new(tokenizer(&Kind::Char, "abc "), None);
        let [a, b] = vocabularies.source().encode("ab").unwrap()[..] else { panic!("two characters") };
        assert_eq!(vocabularies.text(&found(&[a, 0, b], &[0, 2, 1]), "a xb"), "axb");
    }

    #[test]
    fn unknown_characters_of_a_target_are_no_words_of_the_source() {
        let target = Some(tokenizer(&Kind::Char, "abc "));
        let vocabularies = Vocabularies::new(tokenizer(&Kind::Word, "x y"), target);
        let a = vocabularies.target().encode("a").unwrap()[0];
        assert_eq!(vocabularies.text(&found(&[a, 0, a], &[0, 1, 1]), "x y"), "a\u{FFFD}a");
    }

    #[test]
    fn long_texts_are_cut_and_end() {
        let tokenizer = tokenizer(&Kind::Char, "ab");
        let EncodedText { tokens, cut } = encode(&tokenizer, &"ab".repeat(5000)).unwrap();
        assert_eq!((tokens.len(), cut, tokens.last().copied()), (MOST_TOKENS, true, tokenizer.end()));
        let EncodedText { tokens, cut } = encode(&tokenizer, "").unwrap();
        assert_eq!((tokens, cut), (vec![tokenizer.end().unwrap()], false));
    }
}
