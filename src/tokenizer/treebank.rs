//! The scheme `treebank`: words, with punctuation and contractions as words of their own, much as in the Penn Treebank.
//!
//! Text is cut at white space. Each piece is then cut around these parts:
//!
//! | part | example |
//! |---|---|
//! | `n't` after a letter; `'s`, `'m`, `'d`, `'ll`, `'re`, `'ve` at the end of a word | `do n't`, `we 'll` |
//! | `can` of `cannot` | `can not` |
//! | two or more periods or hyphens | `wait ...`, `yes -- no` |
//! | a period at the end of the piece, but of initials and abbreviations such as `J.` and `U.S.` | `it .` |
//! | a comma or colon, but between two digits | `1,000 , 12:30 :` |
//! | a quote `'` at either end of the piece | `' hello '` |
//! | every other character of punctuation, and `$ + < = > ^ | ~` and the signs of currencies | `( $ 5 )` |
//!
//! A hyphen, a slash and an underscore inside a word stay in it. A curly apostrophe is like `'`. The rules are saved in
//! `tokenizer.json` as a pre-tokenizer, so that other tools cut alike.

use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::pre_tokenizers::whitespace::WhitespaceSplit;
use tokenizers::{
    OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer, PreTokenizerWrapper,
    SplitDelimiterBehavior,
};

/// The parts that are words of their own, as a regular expression for a piece without white space.
const PATTERN: &str = concat!(
    r"(?<=\p{L})(?i:n['’]t)(?!\p{L})|['’](?i:s|m|d|ll|re|ve)(?!\p{L})",
    r"|^(?i:can)(?=(?i:not)$)",
    r"|\.{2,}|-{2,}",
    r"|(?<!\.\p{L})(?<!^\p{Lu})\.(?=\p{P}*$)",
    r"|(?<!\d)[,:]|[,:](?!\d)",
    r"|^['‘’]|['’](?=\p{P}*$)",
    r"|[\p{P}\p{Sc}+<=>^`|~&&[^.,:'‘’\-‐‑/_]]",
);

/// Make the pre-tokenizer.
pub(super) fn pre_tokenizer() -> PreTokenizerWrapper {
    let pattern = SplitPattern::Regex(PATTERN.into());
    let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false)
        .expect("invariant: the pattern is a valid regular expression");
    Sequence::new(vec![WhitespaceSplit.into(), split.into()]).into()
}

/// Cut a text into words and call `add` with each.
pub(super) fn for_each_word(pre_tokenizer: &PreTokenizerWrapper, text: &str, mut add: impl FnMut(&str)) {
    let mut text = PreTokenizedString::from(text);
    pre_tokenizer.pre_tokenize(&mut text).expect("invariant: a split at a pattern does not fail");
    for (word, ..) in text.get_splits(OffsetReferential::Normalized, OffsetType::None) {
        add(word);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::character::tests::tricky_text;
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let mut found = vec![];
        for_each_word(&pre_tokenizer(), text, |word| found.push(word.to_string()));
        found
    }

    #[test]
    fn punctuation_and_contractions_are_words() {
        for (text, expected) in [
            ("Don't stop, it's John's.", "Do n't stop , it 's John 's ."),
            ("We’ll see—they’ve won!", "We ’ll see — they ’ve won !"),
            ("I'm sure you'd say we're in", "I 'm sure you 'd say we 're in"),
            ("He cannot pay $1,000.50 (at 12:30)?", "He can not pay $ 1,000.50 ( at 12:30 ) ?"),
            ("J. Smith of the U.S. left.", "J. Smith of the U.S. left ."),
            ("\"Wait...\" -- 'well-known and/or my_name'", "\" Wait ... \" -- ' well-known and/or my_name '"),
            ("rock 'n' roll, the dogs' bones: O'Neill", "rock ' n ' roll , the dogs ' bones : O'Neill"),
            (
                "안녕하세요, 세계! 「네」 50% x=1 e\u{301}t",
                "안녕하세요 , 세계 ! 「 네 」 50 % x = 1 e\u{301}t",
            ),
            ("tokenized text : 's n't .", "tokenized text : 's n't ."),
        ] {
            assert_eq!(words(text).join(" "), expected);
        }
    }

    proptest! {
        #[test]
        fn only_white_space_is_lost(text in tricky_text()) {
            let kept: String = words(&text).concat();
            let expected: String = text.split_whitespace().collect();
            prop_assert_eq!(kept, expected);
        }
    }
}
