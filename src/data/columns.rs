//! The columns, or fields, of records that hold text and label.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::compose::composed;
use crate::listing::listed;
use crate::{Error, Result};

/// The names of the columns of a table, or of the fields of a JSONL file, that hold text and label.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Columns {
    /// The column of the text; by default the one called `text`, or the only one beside the label.
    pub text: Option<String>,
    /// The column of the label; by default there are no labels.
    pub label: Option<String>,
}

/// The places of text and label among the columns of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// The place of the text.
    pub text: usize,
    /// The place of the label, if a label column was named.
    pub label: Option<usize>,
}

impl Columns {
    /// Find text and label among the column `names` of the file at `path`. `noun` names the columns in errors.
    ///
    /// # Errors
    /// If a column that was asked for is missing or there are two of its name, if text and label are the same, or if no
    /// column was asked for and it is not clear which holds the text. The error lists the names.
    pub(super) fn find(&self, path: &Path, names: &[&str], noun: &str) -> Result<Places> {
        if names.is_empty() {
            let problem = format!("has no text ({noun}: none); expected a field that holds some");
            return Err(Error::file(path, problem));
        }
        let all = format!("({noun}: {})", listed(names.iter().map(|name| visible(name)), ", "));
        let find = |wanted: &str, advice: &str| {
            let place = names.iter().position(|name| alike(name, wanted)).ok_or_else(|| {
                let near = names.iter().find(|name| name.trim() == wanted.trim());
                let hint =
                    near.map_or(String::new(), |near| format!("; did you mean {near:?}? Blanks count"));
                let problem = format!("has no `{wanted}` {all}; {advice}{hint}");
                Error::file(path, problem)
            })?;
            unique(path, names, place)
        };
        let label = self
            .label
            .as_ref()
            .map(|label| find(label, "choose one with option `columns.label`"))
            .transpose()?;
        let Some(text) = &self.text else {
            let text = usual_text(names, label).ok_or_else(|| {
                let problem = format!(
                    "it is not clear which field is the text {all}; say option `columns.text = NAME`"
                );
                Error::file(path, problem)
            })?;
            return Ok(Places { text: unique(path, names, text)?, label });
        };
        let place = find(text, "choose one with option `columns.text`")?;
        if Some(place) == label {
            let problem = format!("`{text}` cannot be the text and the class at once {all}");
            return Err(Error::file(path, problem));
        }
        Ok(Places { text: place, label })
    }
}

/// `place`, if no other column has its name.
pub(super) fn unique(path: &Path, names: &[&str], place: usize) -> Result<usize> {
    let name = names[place];
    match names.iter().enumerate().find(|&(other, same)| other != place && alike(same, name)) {
        Some((other, _)) => {
            let (place, other) = (place + 1, other + 1);
            let problem = format!("columns {place} and {other} are both called `{name}`; rename one of them");
            Err(Error::file(path, problem))
        }
        None => Ok(place),
    }
}

/// Whether two names are equal when they are composed.
fn alike(name: &str, other: &str) -> bool {
    name == other || composed(name.to_string()) == composed(other.to_string())
}

/// A name as messages show it: in quotes if it is empty or has blanks at its ends.
pub(super) fn visible(name: &str) -> String {
    match name.is_empty() || name.trim() != name {
        true => format!("{name:?}"),
        false => name.to_string(),
    }
}

/// The place of the column called `text`, or of the only column beside the label.
fn usual_text(names: &[&str], label: Option<usize>) -> Option<usize> {
    let mut others = (0..names.len()).filter(|&place| Some(place) != label);
    let text = others.clone().find(|&place| names[place] == "text");
    match (text, others.next(), others.next()) {
        (Some(text), ..) | (None, Some(text), None) => Some(text),
        _ => None,
    }
}
