//! Text of messages: lists of names, counted nouns, grouped digits, spelling suggestions.

use std::fmt::Display;

/// The largest number of names in a message.
const MOST: usize = 8;

/// The largest number of characters of a name in a list.
pub(crate) const LONGEST: usize = 60;

/// The names with `separator` between them; after eight, the number of the others: `a, b, c, ..., and 19,992 more`.
/// Long names are cut.
pub fn listed<T: Display>(names: impl IntoIterator<Item = T>, separator: &str) -> String {
    let mut names = names.into_iter();
    let shown: Vec<String> = names.by_ref().take(MOST).map(|name| shortened(&name.to_string())).collect();
    match names.count() {
        0 => shown.join(separator),
        more => format!("{}{separator}..., and {} more", shown.join(separator), thousands(more as u64)),
    }
}

/// A name, or its first 60 characters if it is longer.
pub(crate) fn shortened(name: &str) -> String {
    match name.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &name[..end]),
        None => name.to_string(),
    }
}

/// A number and its noun: `1 token`, `1,200 tokens`.
pub fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", thousands(number), if number == 1 { "" } else { "s" })
}

/// The verb for so many: `has` or `have`.
pub fn has(number: u64) -> &'static str {
    if number == 1 { "has" } else { "have" }
}

/// A number with a comma between groups of three digits.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// The name among `names` that `wanted` is probably a misspelling of: at most half of the longer one differs.
pub fn nearest<'n>(wanted: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let near = |name: &'n str| {
        let distance = strsim::damerau_levenshtein(name, wanted);
        let length = name.chars().count().max(wanted.chars().count());
        (2 * distance <= length).then_some((distance, name))
    };
    names.filter_map(near).min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_cut_after_eight() {
        assert_eq!(listed(["a", "b"], ", "), "a, b");
        assert_eq!(listed(0..8, "/"), "0/1/2/3/4/5/6/7");
        assert_eq!(listed(0..20_000, ", "), "0, 1, 2, 3, 4, 5, 6, 7, ..., and 19,992 more");
        assert_eq!(listed::<u8>([], ", "), "");
        assert_eq!(
            listed(["한".repeat(60), "b".repeat(61)], ","),
            format!("{},{}...", "한".repeat(60), "b".repeat(60))
        );
    }

    #[test]
    fn digits_are_grouped_by_three() {
        let grouped = [0, 12, 999, 1000, 123_456, 1_234_567].map(thousands);
        assert_eq!(grouped, ["0", "12", "999", "1,000", "123,456", "1,234,567"]);
    }

    #[test]
    fn nearest_name_is_a_misspelling() {
        let near = |wanted| nearest(wanted, ["simple-rnn", "lstm", "gru", "rnnlm"].into_iter());
        for (wanted, expected) in
            [("ltsm", "lstm"), ("grru", "gru"), ("simplernn", "simple-rnn"), ("rnn", "rnnlm")]
        {
            assert_eq!(near(wanted), Some(expected), "{wanted}");
        }
        for wanted in ["foo", "gpt", "transformer", ""] {
            assert_eq!(near(wanted), None, "{wanted}");
        }
    }
}
