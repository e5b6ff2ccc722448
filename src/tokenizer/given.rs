//! A tokenizer of a vocabulary that another program made: words or characters by number.

use std::collections::BTreeMap;

use tokenizers::SplitDelimiterBehavior;
use tokenizers::models::wordlevel::WordLevel;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::pre_tokenizers::whitespace::WhitespaceSplit;

use super::character;
use super::encode::Tokenizer;
use super::special::{UNKNOWN, are_characters, piece};

impl Tokenizer {
    /// Make a tokenizer of tokens by number: of characters if every token but the special ones, such as `<unk>` and
    /// `[PAD]`, is one character, otherwise of words. `unknown` is the token for text outside the vocabulary, if it
    /// has an unusual name. A vocabulary of characters may have none: other text is then an error.
    ///
    /// # Errors
    /// If there are no tokens, numbers are far larger than the number of tokens, a word contains white space, or there
    /// is no token for unknown words. The error is the problem, without a file name.
    pub fn of_tokens(tokens: &BTreeMap<u32, String>, unknown: Option<&str>) -> Result<Self, String> {
        if tokens.is_empty() {
            return Err("has no tokens".to_string());
        }
        let has = |token: &str| tokens.values().any(|other| other == token);
        let unknown = match unknown {
            Some(token) if !has(token) => {
                return Err(format!("has no token {token:?}, the one of option `unknown`"));
            }
            Some(token) => Some(token),
            None => UNKNOWN.into_iter().find(|token| has(token)),
        };
        let of_characters = are_characters(tokens.values().map(String::as_str));
        if !of_characters {
            if let Some(token) = tokens.values().find(|token| token.contains(char::is_whitespace)) {
                return Err(format!(
                    "token {token:?} contains white space, so these are not words; give the tokenizer.json"
                ));
            }
            if let Some(token) = piece(tokens.values().map(String::as_str)) {
                return Err(format!(
                    "has {token:?} and other pieces of words, which a list does not join; give the tokenizer.json"
                ));
            }
            if unknown.is_none() {
                return Err(format!(
                    "has no token for unknown words, such as {}; name it with option `unknown`, or, if there is none, \
                     the token that other words become, such as that of padding",
                    UNKNOWN[..3].join(", ")
                ));
            }
        }
        let vocabulary = tokens.iter().map(|(&number, token)| (token.clone(), number)).collect();
        let mut model = WordLevel::builder().vocab(vocabulary);
        if let Some(unknown) = unknown {
            model = model.unk_token(unknown.to_string());
        }
        let mut inner = tokenizers::Tokenizer::new(model.build().map_err(|error| error.to_string())?);
        if of_characters {
            let pattern = SplitPattern::Regex(character::PATTERN.into());
            let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false)
                .expect("invariant: the pattern is a valid regular expression");
            inner.with_pre_tokenizer(Some(split));
            inner.with_decoder(Some(tokenizers::decoders::fuse::Fuse::new()));
        } else {
            inner.with_pre_tokenizer(Some(WhitespaceSplit));
        }
        Self::new(inner)
    }

    /// Whether [`Tokenizer::of_tokens`] needs to be given the token for unknown words: these are not characters, and
    /// none is spelt like one.
    pub(crate) fn lacks_unknown(tokens: &BTreeMap<u32, String>) -> bool {
        let mut spelt = tokens.values().map(String::as_str);
        !spelt.any(|token| UNKNOWN.contains(&token)) && !are_characters(tokens.values().map(String::as_str))
    }
}
