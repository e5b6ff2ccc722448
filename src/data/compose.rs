//! Composed text: NFC, so that a name or label is the same however its accents and syllables are encoded.

use unicode_normalization::{UnicodeNormalization, is_nfc};

/// Return a text with composed characters (NFC).
pub fn composed(text: String) -> String {
    if is_nfc(&text) { text } else { text.nfc().collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decomposed_text_is_composed() {
        assert_eq!(composed("u\u{308}ber".into()), "über");
        assert_eq!(composed("\u{1100}\u{1161}\u{11a8}".into()), "각");
        assert_eq!(composed("각 A".into()), "각 A");
    }
}
