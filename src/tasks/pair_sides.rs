//! The names of the two sides of pairs of texts.

use serde::{Deserialize, Serialize};

use crate::data::Columns;
use crate::data::parallel_text::Languages;
use crate::{Error, Result};

/// The sides of pairs of texts, as the user names them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairSides {
    /// The language to translate from: the extension of parallel files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_lang: Option<String>,
    /// The language to translate into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_lang: Option<String>,
    /// The column of a table that holds the sources.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_column: Option<String>,
    /// The column of a table that holds the targets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_column: Option<String>,
}

impl PairSides {
    /// These sides, with those of `others` where these have none.
    #[must_use]
    pub fn or(self, others: &Self) -> Self {
        Self {
            source_lang: self.source_lang.or_else(|| others.source_lang.clone()),
            target_lang: self.target_lang.or_else(|| others.target_lang.clone()),
            source_column: self.source_column.or_else(|| others.source_column.clone()),
            target_column: self.target_column.or_else(|| others.target_column.clone()),
        }
    }

    /// The languages, if one is named.
    ///
    /// # Errors
    /// If only one is named.
    pub(super) fn languages(&self) -> Result<Option<Languages>> {
        match (&self.source_lang, &self.target_lang) {
            (Some(source), Some(target)) => {
                Ok(Some(Languages { source: source.clone(), target: target.clone() }))
            }
            (None, None) => Ok(None),
            (Some(_), None) => Err(Error::invalid("target_lang", "is missing; name both languages")),
            (None, Some(_)) => Err(Error::invalid("source_lang", "is missing; name both languages")),
        }
    }

    /// The columns, if one is named.
    ///
    /// # Errors
    /// If only one is named.
    pub(super) fn columns(&self) -> Result<Option<Columns>> {
        match (&self.source_column, &self.target_column) {
            (Some(source), Some(target)) => {
                Ok(Some(Columns { text: Some(source.clone()), label: Some(target.clone()) }))
            }
            (None, None) => Ok(None),
            (Some(_), None) => Err(Error::invalid("target_column", "is missing; name both columns")),
            (None, Some(_)) => Err(Error::invalid("source_column", "is missing; name both columns")),
        }
    }
}
