//! The columns, or fields, of records that hold text and label.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The names of the columns of a CSV file, or of the fields of a JSONL file, that hold text and label.
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
    /// Return an error if a column was named, for `what` that has no columns.
    pub(super) fn refuse(&self, what: &str) -> Result<()> {
        let problem = || format!("{what} has no columns; it needs a .csv or .jsonl file");
        match self {
            Self { text: Some(_), .. } => Err(Error::invalid("columns.text", problem())),
            Self { label: Some(_), .. } => Err(Error::invalid("columns.label", problem())),
            Self { text: None, label: None } => Ok(()),
        }
    }

    /// Find text and label among the column `names` of the file at `path`. `noun` names the columns in errors.
    ///
    /// # Errors
    /// If a column that was asked for is missing, text and label are the same, or no column was asked for and it is
    /// not clear which holds the text. The error lists all names.
    pub(super) fn find(&self, path: &Path, names: &[&str], noun: &str) -> Result<Places> {
        if names.is_empty() {
            let problem = format!("has no text ({noun}: none); expected a field that holds some");
            return Err(Error::file(path, problem));
        }
        let all = format!("({noun}: {})", names.join(", "));
        let find = |wanted: &String, field: &str| {
            let missing =
                || Error::file(path, format!("has no `{wanted}` {all}; choose one with option `{field}`"));
            names.iter().position(|name| name == wanted).ok_or_else(missing)
        };
        let label = self.label.as_ref().map(|label| find(label, "columns.label")).transpose()?;
        let Some(text) = &self.text else {
            let text = usual_text(names, label).ok_or_else(|| {
                let problem = format!(
                    "it is not clear which field is the text {all}; say option `columns.text = NAME`"
                );
                Error::file(path, problem)
            })?;
            return Ok(Places { text, label });
        };
        let place = find(text, "columns.text")?;
        if Some(place) == label {
            let problem = format!("`{text}` cannot be the text and the class at once {all}");
            return Err(Error::file(path, problem));
        }
        Ok(Places { text: place, label })
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
