//! The part of a text that each token stands for.

use super::character;
use super::encode::Tokenizer;
use super::encoder::Encoder;
use crate::contain::contain;

impl Tokenizer {
    /// For each token of a text, in order, the part of the text that it stands for. Return `None` if a foreign
    /// tokenizer cannot encode the text. After a change of the Unicode form there may be more or fewer parts than
    /// tokens.
    pub fn parts<'t>(&self, text: &'t str) -> Option<Vec<&'t str>> {
        match &self.encoder {
            Encoder::Characters(_) => Some(character::split(text).collect()),
            Encoder::Words(_) => Some(text.split_whitespace().collect()),
            Encoder::General { .. } => {
                let encoding = contain(|| self.inner.encode(text, false)).ok()?.ok()?;
                let part = |&(from, to): &(usize, usize)| text.get(from..to).unwrap_or_default();
                Some(encoding.get_offsets().iter().map(part).collect())
            }
        }
    }

    /// A text that is cut after the part of each of its `count` tokens; the pieces join to the text. Text between parts
    /// belongs to the token after it, and what follows the last part to the last token.
    pub fn divided<'t>(&self, text: &'t str, count: usize) -> Vec<&'t str> {
        let ends = self.parts(text).unwrap_or_default().into_iter().map(|part| match part {
            "" => 0, // perhaps no part of the text
            part => part.as_ptr() as usize - text.as_ptr() as usize + part.len(),
        });
        let (mut pieces, mut start) = (Vec::with_capacity(count), 0);
        for end in ends.chain(std::iter::repeat(0)).take(count.saturating_sub(1)) {
            let end = end.max(start);
            pieces.push(&text[start..end]);
            start = end;
        }
        pieces.extend((count > 0).then(|| &text[start..]));
        pieces
    }

    /// As [`Tokenizer::parts`], but the whole word between blanks instead of a part of it, unless tokens are
    /// characters. Punctuation that a tokenizer of words cuts off stays cut off.
    pub fn whole_parts<'t>(&self, text: &'t str) -> Option<Vec<&'t str>> {
        let parts = self.parts(text)?;
        let Encoder::General { byte_level: true } = &self.encoder else { return Some(parts) };
        let whole = |part: &'t str| {
            let part = part.trim();
            let from = part.as_ptr() as usize - text.as_ptr() as usize;
            let start = text[..from].rfind(char::is_whitespace).map_or(0, |blank| next_char(text, blank));
            let end = text[from..].find(char::is_whitespace).map_or(text.len(), |blank| from + blank);
            &text[start..end.max(start)]
        };
        Some(parts.into_iter().map(|part| if part.trim().is_empty() { part } else { whole(part) }).collect())
    }
}

/// The place after the character at `place`.
fn next_char(text: &str, place: usize) -> usize {
    place + text[place..].chars().next().map_or(0, char::len_utf8)
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::*;

    #[test]
    fn parts_stand_for_tokens() {
        let text = "die Straßenbahn  hält, nicht wahr";
        let texts = || [Ok(text.to_string())].into_iter();
        for (kind, whole) in [
            (Kind::Char, "d i e"),
            (Kind::Word, "die Straßenbahn hält, nicht wahr"),
            (Kind::Treebank, "die Straßenbahn hält , nicht wahr"),
            (Kind::Bpe(262), "die die die"),
        ] {
            let tokenizer = Tokenizer::train(&kind, texts(), None, false).unwrap();
            let parts = tokenizer.whole_parts(text).unwrap();
            assert_eq!(parts.len(), tokenizer.encode(text).unwrap().len(), "{kind}");
            assert!(parts.join(" ").starts_with(whole), "{kind}: {parts:?}");
        }
    }

    #[test]
    fn divided_text_joins_to_itself() {
        let text = "die Straßenbahn  hält: 각 ";
        let texts = || [Ok("die Straßenbahn hält".to_string())].into_iter();
        for kind in [Kind::Char, Kind::Bpe(262)] {
            let tokenizer = Tokenizer::train(&kind, texts(), None, false).unwrap();
            let count = tokenizer.encode(text).unwrap().len();
            let pieces = tokenizer.divided(text, count);
            assert_eq!((pieces.len(), pieces.concat().as_str()), (count, text), "{kind}");
            assert!(!pieces[0].is_empty() && text.starts_with(pieces[0]), "{kind}");
            // Of another number of tokens, as after a change of the Unicode form.
            assert_eq!(tokenizer.divided(text, count + 2).concat(), text, "{kind}");
            assert_eq!(tokenizer.divided(text, 1), [text], "{kind}");
            assert!(tokenizer.divided(text, 0).is_empty(), "{kind}");
        }
    }
}
