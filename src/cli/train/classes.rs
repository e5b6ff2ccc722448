//! Notes on the classes of the data, printed before training.

use std::collections::BTreeSet;

use rnn_zoo::Result;
use rnn_zoo::data::Split;
use rnn_zoo::listing::{counted, listed};
use rnn_zoo::tasks::{DataSpec, Prepared};

use crate::cli::note::note;

/// Print the classes of the test split that the training split lacks, and whether the classes are as many as the
/// records. Training does not need the test split, so that problems with it are left to `rnn eval`.
pub fn announce(data: &DataSpec, prepared: &Prepared) {
    if prepared.labels.is_empty() {
        return;
    }
    let (classes, records) = (prepared.labels.len(), prepared.splits.train.len());
    if let Some(column) = data.columns.label.as_ref().filter(|_| 2 * classes > records) {
        note!(
            "warning: `{column}` has {classes} classes in {}; a classifier needs several records of each (--label-column \
             names the column of the classes)",
            counted(records as u64, "record")
        );
    }
    let Ok(mut foreign) = test_classes(data) else { return };
    foreign.retain(|class| !prepared.labels.contains(class));
    if !foreign.is_empty() {
        let effect = if data.is_columns().unwrap_or(false) { "counts them as errors" } else { "refuses it" };
        let names = listed(foreign.iter().map(|class| format!("{class:?}")), ", ");
        note!(
            "warning: the test split of {} has classes that the training split lacks ({names}); `rnn eval` {effect}",
            data.data
        );
    }
}

/// The classes or tags of the test split; none if there is no such split.
fn test_classes(data: &DataSpec) -> Result<BTreeSet<String>> {
    let mut classes = BTreeSet::new();
    if data.is_columns()? {
        let corpus = data.column_corpus(None)?;
        if corpus.has(Split::Test)? {
            for sentence in corpus.items(Split::Test)? {
                classes.extend(sentence?.tags);
            }
        }
    } else if data.is_series()? {
        let corpus = data.series_corpus(None)?;
        if corpus.has(Split::Test)? {
            for series in corpus.items(Split::Test)? {
                classes.extend(series?.label);
            }
        }
    } else if data.is_text()? && data.columns.label.is_some() {
        let corpus = data.corpus()?;
        if corpus.has(Split::Test)? {
            for piece in corpus.pieces(Split::Test)? {
                classes.extend(piece?.label);
            }
        }
    }
    Ok(classes)
}
