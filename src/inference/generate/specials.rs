//! Special tokens: which one ends a text, and which are never written.

use crate::Result;
use crate::inference::model::Model;
use crate::tokenizer::{Scheme, Tokenizer};

/// The special tokens of a language model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Specials {
    /// The token that ends a text; `None` if no text of the training data ended with one.
    pub end: Option<u32>,
    /// Tokens that were not targets in training, so that their scores mean nothing: the unknown token, and the end
    /// token of a model of running text.
    pub banned: Vec<u32>,
}

impl Specials {
    /// The special tokens of `model`.
    ///
    /// # Errors
    /// If the model reads no text.
    pub fn of(model: &Model) -> Result<Self> {
        Ok(Self::of_tokenizer(model.tokenizer()?, model.config.text_column.is_some()))
    }

    /// The special tokens of a model that was trained on records, or on running text.
    pub(super) fn of_tokenizer(tokenizer: &Tokenizer, records: bool) -> Self {
        let mut banned: Vec<u32> = tokenizer.unknown().into_iter().collect();
        let (target, other): (Vec<u32>, Vec<u32>) =
            tokenizer.end().into_iter().partition(|&end| records || occurs_in_running_text(tokenizer, end));
        banned.extend(other.into_iter().filter(|end| Some(*end) != tokenizer.unknown()));
        Self { end: target.first().copied(), banned }
    }
}

/// Whether running text can contain the end token: at the end of each line, as with words, or because the
/// tokenizer reads its spelling as the token, as some of other programs do.
fn occurs_in_running_text(tokenizer: &Tokenizer, end: u32) -> bool {
    let encoded = tokenizer.token(end).and_then(|token| tokenizer.encode(token).ok());
    tokenizer.scheme() == Scheme::Word || encoded.is_some_and(|encoded| encoded.contains(&end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::Kind;

    fn trained(kind: &Kind) -> Tokenizer {
        Tokenizer::train(kind, [Ok("to be or not to be\n".into())].into_iter(), None, false).unwrap()
    }

    #[test]
    fn end_token_is_banned_unless_it_was_a_target() {
        let (unknown, end) = (0, 1);
        for kind in [Kind::Char, Kind::Bpe(260)] {
            let tokenizer = trained(&kind);
            let banned = Specials { end: None, banned: vec![unknown, end] };
            assert_eq!(Specials::of_tokenizer(&tokenizer, false), banned, "{kind}");
            let ends = Specials { end: Some(end), banned: vec![unknown] };
            assert_eq!(Specials::of_tokenizer(&tokenizer, true), ends, "{kind}");
        }
        let ends = Specials { end: Some(end), banned: vec![unknown] };
        assert_eq!(Specials::of_tokenizer(&trained(&Kind::Word), false), ends);
    }
}
