//! Splitting text into user-perceived characters.
//!
//! A user-perceived character may be several code points: a letter with combining marks, a Korean
//! syllable spelt in conjoining jamo, a flag, a family of emoji joined by zero-width joiners, or the
//! two code points that end a line on Windows. The rules are close to the extended grapheme clusters
//! of Unicode Standard Annex 29 (`\X`), written out because the two regular-expression engines that
//! read a `tokenizer.json` (fancy-regex and Oniguruma) have only plain classes in common.

use std::sync::LazyLock;

use tokenizers::utils::SysRegex;

/// Matches one user-perceived character; every code point belongs to exactly one match.
///
/// In order: a Windows line end; a control character or separator, which never takes a mark; or a base
/// (a flag, a syllable of conjoining jamo, joined pictographs, any other code point) with its extending code points.
pub const PATTERN: &str = concat!(
    r"\r\n|[\p{Cc}\p{Zl}\p{Zp}]|(?:",
    r"[\x{1F1E6}-\x{1F1FF}]{2}",
    r"|[\x{1100}-\x{115F}\x{A960}-\x{A97C}]*[\x{AC00}-\x{D7A3}\x{1160}-\x{11A7}\x{D7B0}-\x{D7C6}]",
    r"[\x{1160}-\x{11A7}\x{D7B0}-\x{D7C6}]*[\x{11A8}-\x{11FF}\x{D7CB}-\x{D7FB}]*",
    r"|[\x{1100}-\x{115F}\x{A960}-\x{A97C}]+",
    r"|[\x{11A8}-\x{11FF}\x{D7CB}-\x{D7FB}]+",
    r"|\p{Extended_Pictographic}",
    r"(?:[\p{M}\x{200C}\x{200D}\x{1F3FB}-\x{1F3FF}\x{E0020}-\x{E007F}]*\x{200D}\p{Extended_Pictographic})*",
    r"|[\s\S])",
    r"[\p{M}\x{200C}\x{200D}\x{1F3FB}-\x{1F3FF}\x{E0020}-\x{E007F}]*",
);

static REGEX: LazyLock<SysRegex> =
    LazyLock::new(|| SysRegex::new(PATTERN).expect("invariant: the pattern is a valid regular expression"));

/// The length in bytes of the first character of `text`; 0 for empty text.
pub fn first_len(text: &str) -> usize {
    if let [first, rest @ ..] = text.as_bytes()
        && first.is_ascii()
        && *first != b'\r'
        && rest.first().is_none_or(u8::is_ascii)
    {
        return 1;
    }
    let mut points = text.chars();
    match points.next() {
        Some(first) if stands_alone(first) && points.next().is_none_or(stands_alone) => first.len_utf8(),
        _ => REGEX.find_iter(text).next().map_or(0, |(_, end)| end),
    }
}

/// The characters of `text`, in order. Their concatenation is the text.
pub fn split(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (first, after) = rest.split_at(first_len(rest));
        rest = after;
        (!first.is_empty()).then_some(first)
    })
}

/// Whether a code point is a character of its own next to other such code points. Only common scripts are listed:
/// a false negative costs a call of the regular expression, a false positive would split a character.
fn stands_alone(c: char) -> bool {
    matches!(c,
        '\n' | ' '..='~'
        | '\u{AC00}'..='\u{D7A3}' // Korean syllables
        | '\u{C0}'..='\u{24F}' // Latin letters with accents
        | '\u{370}'..='\u{482}' | '\u{48A}'..='\u{52F}' // Greek, Cyrillic
        | '\u{2010}'..='\u{2027}' // dashes and quotation marks
        | '\u{3001}'..='\u{3029}' | '\u{3041}'..='\u{3096}' | '\u{30A1}'..='\u{30FA}' // Japanese
        | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' // Chinese
        | '\u{FF01}'..='\u{FF5E}') // full-width forms
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;
    use tokenizers::NormalizedString;
    use unicode_normalization::UnicodeNormalization;

    use super::*;

    fn characters(text: &str) -> Vec<&str> {
        split(text).collect()
    }

    /// Whether the tokenizers library decomposes a code point as this program does.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "proptest passes a reference")]
    fn agree(c: &char) -> bool {
        let text = c.to_string();
        NormalizedString::from(text.as_str()).nfd().get().chars().eq(text.nfd())
    }

    /// Text in which joining code points are frequent.
    pub fn tricky_text() -> impl Strategy<Value = String> {
        let part = prop_oneof![
            any::<char>()
                .prop_filter("the libraries know different versions of Unicode", agree)
                .prop_map(String::from),
            "[a-zA-Z ,.]{1,4}",
            "[가-힣]{1,3}",
            "[\u{1100}-\u{1112}][\u{1161}-\u{1175}][\u{11A8}-\u{11C2}]?",
            prop::sample::select(vec![
                "\r\n",
                "\r",
                "\n",
                "\u{301}",
                "\u{FE0F}",
                "\u{200D}",
                "👩",
                "🏽",
                "🇰",
                "🇷",
                "❤",
                "\u{20E3}",
                "é",
                "ß",
                "İ",
                "Σ",
                "क",
                "\u{94D}",
                "\u{E0067}",
                "🏴",
                "\u{1160}",
                "\u{11A8}",
                "\u{2028}",
                "\0",
            ])
            .prop_map(String::from),
        ];
        prop::collection::vec(part, 0..24).prop_map(|parts| parts.concat())
    }

    #[test]
    fn ordinary_characters_are_single_code_points() {
        let text = "Hello, Wörld! 안녕하세요 こんにちは 你好 Привет\n\ttab\r";
        assert!(characters(text).iter().all(|c| c.chars().count() == 1));
        assert_eq!(characters(text).len(), text.chars().count());
    }

    #[test]
    fn user_perceived_characters_are_not_split() {
        for one in [
            "\r\n",
            "e\u{301}",
            "e\u{301}\u{323}",
            "\u{1112}\u{1161}\u{11AB}",
            "가\u{11A8}",
            "👍🏽",
            "👩‍👩‍👧‍👦",
            "🧑🏽‍🚀",
            "❤️",
            "🏳️‍🌈",
            "🇰🇷",
            "1️⃣",
            "🏴\u{E0067}\u{E0062}\u{E0065}\u{E006E}\u{E0067}\u{E007F}",
        ] {
            assert_eq!(characters(one), [one], "{one:?}");
            assert_eq!(characters(&format!("a{one}b")), ["a", one, "b"], "{one:?}");
        }
        assert_eq!(characters("🇰🇷🇯🇵🇰"), ["🇰🇷", "🇯🇵", "🇰"]);
        assert_eq!(characters("\n\u{301}a"), ["\n", "\u{301}", "a"]);
    }

    proptest! {
        #[test]
        fn fast_path_equals_the_pattern(text in tricky_text()) {
            let matched: Vec<&str> = REGEX.find_iter(&text).map(|(start, end)| &text[start..end]).collect();
            prop_assert_eq!(characters(&text), matched.clone());
            prop_assert_eq!(matched.concat(), text);
        }
    }

    #[test]
    fn no_code_point_that_stands_alone_extends_another() {
        for c in (0..=0x10FFFF).filter_map(char::from_u32).filter(|&c| stands_alone(c)) {
            for pair in [format!("a{c}"), format!("{c}a"), format!("{c}가")] {
                assert_eq!(REGEX.find_iter(&pair).count(), 2, "{pair:?}");
            }
        }
    }
}
