//! Warnings about a prompt.

use std::collections::BTreeSet;
use std::fmt;

/// The most names in a warning.
const MOST_NAMES: usize = 8;

/// A warning about a prompt.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Note {
    /// A character or word that is the unknown token.
    Unknown(String),
    /// A word outside the vocabulary, and the word that is read instead.
    Replaced(String, String),
    /// The number of unknown tokens, if the tokenizer does not say which text they stand for.
    UnknownTokens(usize),
    /// A character that is left out, because the tokenizer has neither a token for it nor an unknown token.
    Dropped(String),
    /// The prompt is read in another Unicode normal form, by its name.
    Form(&'static str),
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(text) => write!(f, "`{text}` is not in the vocabulary; it is <unk> here"),
            Self::Replaced(word, by) => write!(f, "`{word}` is not in the vocabulary; `{by}` stands for it"),
            Self::UnknownTokens(count) => {
                write!(f, "{count} tokens of the prompt are not in the vocabulary")
            }
            Self::Dropped(text) => write!(f, "`{text}` has no token and is left out"),
            Self::Form(name) => write!(f, "the prompt is read in Unicode form {name}, which the model knows"),
        }
    }
}

impl Note {
    /// Summarize the notes on one or several prompts: one line for each kind.
    pub fn summary<'n>(notes: impl IntoIterator<Item = &'n Self>) -> Vec<String> {
        let (mut unknown, mut replaced, mut dropped, mut forms, mut tokens) =
            (vec![], vec![], vec![], vec![], 0);
        let mut seen = BTreeSet::new();
        for note in notes {
            match note {
                Self::UnknownTokens(count) => tokens += count,
                note if !seen.insert(note) => {}
                Self::Unknown(_) => unknown.push(note),
                Self::Replaced(..) => replaced.push(note),
                Self::Dropped(_) => dropped.push(note),
                Self::Form(_) => forms.push(note),
            }
        }
        let mut lines: Vec<String> = forms.iter().map(ToString::to_string).collect();
        lines.extend(one_line(&replaced, |names, by| {
            format!("{names} are not in the vocabulary; {by} stand for them")
        }));
        lines.extend(one_line(&unknown, |names, _| {
            format!("{names} are not in the vocabulary; they are <unk> here")
        }));
        lines.extend(one_line(&dropped, |names, _| format!("{names} have no tokens and are left out")));
        lines.extend((tokens > 0).then(|| Self::UnknownTokens(tokens).to_string()));
        lines
    }

    /// The text that the note is about, and the word that is read instead.
    fn names(&self) -> (&str, Option<&str>) {
        match self {
            Self::Unknown(text) | Self::Dropped(text) => (text, None),
            Self::Replaced(word, by) => (word, Some(by)),
            Self::UnknownTokens(_) | Self::Form(_) => ("", None),
        }
    }
}

/// One line for notes of a kind that name texts: `sentence` of the first names and of the words read instead. Returns
/// `None` if there are no notes.
fn one_line(notes: &[&Note], sentence: impl Fn(&str, &str) -> String) -> Option<String> {
    let [first, rest @ ..] = notes else { return None };
    if rest.is_empty() {
        return Some(first.to_string());
    }
    let shown = &notes[..notes.len().min(MOST_NAMES)];
    let quoted = |name: &str| format!("`{name}`");
    let mut names = shown.iter().map(|note| quoted(note.names().0)).collect::<Vec<_>>().join(", ");
    if notes.len() > shown.len() {
        names.push_str(&format!(" and {} more", notes.len() - shown.len()));
    }
    let by: Vec<String> = shown.iter().filter_map(|note| note.names().1.map(quoted)).collect();
    Some(sentence(&names, &by.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summary_has_one_line_a_kind() {
        let unknown = |text: &str| Note::Unknown(text.into());
        let replaced = |word: &str, by: &str| Note::Replaced(word.into(), by.into());
        assert_eq!(Note::summary(&[]), Vec::<String>::new());
        assert_eq!(
            Note::summary(&[unknown("Q"), unknown("Q")]),
            ["`Q` is not in the vocabulary; it is <unk> here"]
        );
        let notes =
            [unknown("Q"), replaced("A", "a"), unknown("Z"), Note::UnknownTokens(2), Note::Form("NFC")];
        let more = [replaced("B", "b"), unknown("Q"), Note::UnknownTokens(3), Note::Form("NFC")];
        assert_eq!(
            Note::summary(notes.iter().chain(&more)),
            [
                "the prompt is read in Unicode form NFC, which the model knows",
                "`A`, `B` are not in the vocabulary; `a`, `b` stand for them",
                "`Q`, `Z` are not in the vocabulary; they are <unk> here",
                "5 tokens of the prompt are not in the vocabulary",
            ]
        );
        let many: Vec<Note> = ('a'..='z').map(|letter| unknown(&letter.to_string())).collect();
        assert!(
            Note::summary(&many)[0].starts_with("`a`, `b`, `c`, `d`, `e`, `f`, `g`, `h` and 18 more are")
        );
    }
}
