//! A tokenizer of a vocabulary that another program made: words or characters by number.

use std::collections::BTreeMap;

use tokenizers::SplitDelimiterBehavior;
use tokenizers::models::wordlevel::WordLevel;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::pre_tokenizers::whitespace::WhitespaceSplit;

use super::character;
use super::encode::Tokenizer;

/// Tokens that stand for text outside a vocabulary, as other programs spell them.
const UNKNOWN: [&str; 8] = ["<unk>", "<UNK>", "[UNK]", "<|unk|>", "<oov>", "<OOV>", "UNK", "unk"];

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
        let of_characters =
            tokens.values().all(|token| is_special(token) || character::split(token).count() == 1);
        if !of_characters {
            if let Some(token) = tokens.values().find(|token| token.contains(char::is_whitespace)) {
                return Err(format!(
                    "token {token:?} contains white space, so these are no words; give the tokenizer.json"
                ));
            }
            if unknown.is_none() {
                return Err(format!(
                    "has no token for unknown words, such as {}; name it with option `unknown`",
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
}

/// Whether a token is spelt like one that stands for no text of its own: `<eos>`, `[PAD]`, or nothing at all.
fn is_special(token: &str) -> bool {
    let enclosed = |open: char, close: char| token.starts_with(open) && token.ends_with(close);
    token.is_empty()
        || UNKNOWN.contains(&token)
        || (token.len() > 2 && (enclosed('<', '>') || enclosed('[', ']')))
}
