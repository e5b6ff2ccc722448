//! Columns of a column file, by number or by the name that CoNLL-U gives them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Error, Result};

/// The columns of CoNLL-U, in order.
const CONLLU: [&str; 10] = ["id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc"];

/// The number of columns of CoNLL-U.
pub(super) const CONLLU_COLUMNS: usize = CONLLU.len();

/// A column of a column file. Its text is a number from 0, a negative number from the end (-1 for the last column), or
/// a name of CoNLL-U.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// The number of columns before it.
    FromStart(usize),
    /// The number of columns from it to the end, 1 for the last.
    FromEnd(usize),
    /// The place among the columns of CoNLL-U.
    Conllu(usize),
}

impl Column {
    /// The column `form` of CoNLL-U: the word as it is written.
    pub const FORM: Self = Self::Conllu(1);

    /// The column `upos` of CoNLL-U: the universal part of speech.
    pub const UPOS: Self = Self::Conllu(3);

    /// The place in rows of `columns` columns; `None` if they have no such column.
    pub(super) fn place(self, columns: usize) -> Option<usize> {
        match self {
            Self::FromStart(place) => Some(place).filter(|place| *place < columns),
            Self::FromEnd(back) => columns.checked_sub(back),
            Self::Conllu(place) => (columns == CONLLU_COLUMNS).then_some(place),
        }
    }
}

impl Serialize for Column {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Column {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl FromStr for Column {
    type Err = Error;

    /// # Errors
    /// If the text is neither an integer nor a name of CoNLL-U.
    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        let name = text.to_ascii_lowercase();
        if let Some(place) = CONLLU.iter().position(|known| *known == name) {
            return Ok(Self::Conllu(place));
        }
        let back = text.strip_prefix('-').and_then(|back| back.parse().ok()).filter(|back| *back > 0);
        let column = text.parse().ok().map(Self::FromStart).or(back.map(Self::FromEnd));
        column.ok_or_else(|| {
            let names = CONLLU.join(", ");
            Error::Message(format!(
                "`{text}` is not a column; expected a number from 0, a negative number from the end, or a name of CoNLL-U \
                 ({names})"
            ))
        })
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FromStart(place) => write!(f, "{place}"),
            Self::FromEnd(back) => write!(f, "-{back}"),
            Self::Conllu(place) => f.write_str(CONLLU[*place]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_goes_both_ways() {
        let parse = |text: &str| text.parse::<Column>().unwrap();
        assert_eq!(parse("0"), Column::FromStart(0));
        assert_eq!(parse("-1"), Column::FromEnd(1));
        assert_eq!([parse("form"), parse(" UPOS ")], [Column::FORM, Column::UPOS]);
        for text in ["0", "12", "-3", "lemma", "deprel"] {
            assert_eq!(parse(text).to_string(), text);
        }
        for text in ["", "-0", "-", "1.5", "word", "--1"] {
            let message = text.parse::<Column>().unwrap_err().to_string();
            assert!(message.contains("is not a column") && message.contains("upos"), "{message}");
        }
    }

    #[test]
    fn places_lie_inside_the_row() {
        let place = |text: &str, columns| text.parse::<Column>().unwrap().place(columns);
        assert_eq!((place("0", 3), place("2", 3), place("3", 3)), (Some(0), Some(2), None));
        assert_eq!((place("-1", 3), place("-3", 3), place("-4", 3)), (Some(2), Some(0), None));
        assert_eq!((place("upos", 10), place("upos", 4)), (Some(3), None));
    }
}
