//! Tokens of a foreign vocabulary that stand for no text of their own.

use super::character;

/// Tokens that stand for text outside a vocabulary, as other programs spell them.
pub(super) const UNKNOWN: [&str; 8] = ["<unk>", "<UNK>", "[UNK]", "<|unk|>", "<oov>", "<OOV>", "UNK", "unk"];

/// Whether a token is spelt like one that stands for no text of its own: `<eos>`, `[PAD]`, or nothing at all.
fn is_special(token: &str) -> bool {
    let enclosed = |open: char, close: char| token.starts_with(open) && token.ends_with(close);
    token.is_empty()
        || UNKNOWN.contains(&token)
        || (token.len() > 2 && (enclosed('<', '>') || enclosed('[', ']')))
}

/// Whether tokens are characters: every token but the special ones, such as `<unk>` and `[PAD]`, is one.
pub(super) fn are_characters<'t>(mut tokens: impl Iterator<Item = &'t str>) -> bool {
    tokens.all(|token| is_special(token) || character::split(token).count() == 1)
}

/// Return a token that is a piece of a word, as of BERT (`##s`), SentencePiece (`▁the`) and GPT-2 (`Ġthe`), if there
/// are more than a vocabulary of words has by chance.
pub(super) fn piece<'t>(tokens: impl ExactSizeIterator<Item = &'t str>) -> Option<&'t str> {
    const FEW: usize = 100;
    let most = tokens.len() / FEW;
    let is_piece = |token: &&str| {
        let rest = ["##", "\u{2581}", "\u{120}"].iter().find_map(|begin| token.strip_prefix(begin));
        rest.is_some_and(|rest| rest.starts_with(char::is_alphanumeric))
    };
    tokens.filter(is_piece).nth(most)
}
