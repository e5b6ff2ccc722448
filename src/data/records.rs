//! Files of records: one record a piece.
//!
//! A record without text, or without a label where a label column was named, is skipped, unless the division says
//! otherwise.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::class_names;
use super::compose::composed;
use super::data_file::DataFile;
use super::division::{Division, SplitRule};
use super::draw::{Draw, Quotas};
use super::fractions::{Fractions, records_in};
use super::piece::{Piece, Pieces};
use super::source::Split;
use super::until_error::until_error;
use crate::listing::{has, thousands};
use crate::tokenizer::End;
use crate::{Error, Result};

/// A format of records.
pub(super) trait RecordFormat: Debug + Send + Sync {
    /// The path of the file.
    fn path(&self) -> &Path;

    /// The name of the column that the text is read from.
    fn text_column(&self) -> &str;

    /// The name of the column that the label is read from, if there is one.
    fn label_column(&self) -> Option<&str>;

    /// Notes for the user about the file.
    fn notes(&self) -> Vec<String>;

    /// A reader at the first record.
    fn records(&self) -> Result<Box<dyn Records>>;
}

/// A reader of records.
pub(super) trait Records: Send {
    /// The place where the next record begins.
    fn place(&self) -> RecordStart;

    /// Continue at a record that begins at `place`.
    fn seek(&mut self, place: RecordStart) -> Result<()>;

    /// Read the next record; `None` after the last. A text that is missing is empty.
    fn read(&mut self) -> Result<Option<Piece>>;
}

/// The place where a record begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RecordStart {
    /// Bytes before it.
    pub byte: u64,
    /// Number of its first line, counted from 1.
    pub line: u64,
}

/// A file of records, which are counted when a split is first asked for.
#[derive(Debug)]
pub(super) struct RecordFile<F> {
    format: F,
    counts: OnceLock<RecordCounts>,
    /// The quotas for the fractions that were asked for last. Every read of a split needs them.
    quotas: Mutex<Option<(Fractions, Arc<Quotas>)>>,
}

/// The numbers of records.
#[derive(Debug, Default)]
struct RecordCounts {
    /// All records.
    all: u64,
    /// Records without text.
    no_text: u64,
    /// Records with text, but without a label.
    no_label: u64,
    /// Complete records of each class; of the class `""` if there are no labels.
    classes: BTreeMap<String, u64>,
    /// The place of every [`STRIDE`]th record.
    places: Vec<RecordStart>,
}

/// Records between two places of a [`RecordCounts`]: few enough to skip, many enough to keep it small.
const STRIDE: u64 = 1024;

/// The largest record in bytes. An unclosed quote must not read a large file into memory.
pub(super) const LONGEST_RECORD: usize = 256 << 20;

/// The parts of a record that can be missing.
enum Gap {
    Text,
    Label,
}

impl<F: RecordFormat> RecordFile<F> {
    /// A file in the given format.
    ///
    /// # Errors
    /// If there is no record, or the first cannot be read.
    pub fn new(format: F) -> Result<Self> {
        match format.records()?.read()? {
            Some(_) => Ok(Self { format, counts: OnceLock::new(), quotas: Mutex::new(None) }),
            None => Err(Error::file(format.path(), "has no records below its header; expected text")),
        }
    }

    /// The numbers of records, counted at the first call by reading the whole file.
    fn counts(&self) -> Result<&RecordCounts> {
        if let Some(counts) = self.counts.get() {
            return Ok(counts);
        }
        let mut records = self.format.records()?;
        let mut counts = RecordCounts::default();
        loop {
            let place = records.place();
            let Some(piece) = records.read()? else {
                return Ok(self.counts.get_or_init(|| counts));
            };
            if counts.all.is_multiple_of(STRIDE) {
                counts.places.push(place);
            }
            counts.all += 1;
            match gap(&piece, self.format.label_column().is_some()) {
                Some(Gap::Text) => counts.no_text += 1,
                Some(Gap::Label) => counts.no_label += 1,
                None => counts.count(piece.label.as_deref().unwrap_or_default()),
            }
        }
    }

    /// The counts of a file whose incomplete records are skipped.
    ///
    /// # Errors
    /// If more than half of the records are incomplete.
    fn complete(&self) -> Result<&RecordCounts> {
        let counts = self.counts()?;
        match 2 * counts.incomplete() > counts.all {
            true => Err(Error::file(self.format.path(), format!("{}; at most half may", self.gaps(counts)))),
            false => Ok(counts),
        }
    }

    /// The numbers of complete records of each class in valid and test.
    ///
    /// # Errors
    /// If more than half of the records are incomplete.
    fn quotas(&self, fractions: Fractions) -> Result<Arc<Quotas>> {
        let counts = self.complete()?;
        let mut last = self.quotas.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, quotas)) = last.as_ref().filter(|(known, _)| *known == fractions) {
            return Ok(quotas.clone());
        }
        let quotas = Arc::new(Quotas::new(&counts.classes, fractions));
        *last = Some((fractions, quotas.clone()));
        Ok(quotas)
    }

    /// The numbers of records that lack something.
    fn gaps(&self, counts: &RecordCounts) -> String {
        let no_text = (counts.no_text > 0).then(|| {
            format!(
                "{} {} no text in `{}`",
                thousands(counts.no_text),
                has(counts.no_text),
                self.format.text_column()
            )
        });
        let no_label = (counts.no_label > 0).then(|| {
            let column = self.format.label_column().unwrap_or_default();
            format!("{} {} no label in `{column}`", thousands(counts.no_label), has(counts.no_label))
        });
        let gaps: Vec<String> = [no_text, no_label].into_iter().flatten().collect();
        format!("of {} records {}", thousands(counts.all), gaps.join(" and "))
    }

    /// All records, or those that `keep` selects.
    fn selected(&self, mut keep: impl FnMut(&Piece) -> bool + Send + 'static) -> Result<Pieces> {
        Ok(Box::new(
            pieces(self.format.records()?).filter(move |piece| piece.as_ref().map_or(true, &mut keep)),
        ))
    }

    /// The records with these numbers, counted from 0.
    fn numbered(&self, range: Range<u64>) -> Result<Pieces> {
        let mut records = self.format.records()?;
        let place = self.counts()?.places.get((range.start / STRIDE) as usize);
        let mut skip = range.start;
        if let Some(&place) = place {
            records.seek(place)?;
            skip %= STRIDE;
        }
        let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        Ok(Box::new(pieces(records).skip(skip as usize).take(length)))
    }

    /// The numbers of the records of a split by [`SplitRule::Tail`].
    fn tail(&self, split: Split, fractions: Fractions) -> Result<Range<u64>> {
        let count = self.counts()?.all;
        let test = count - records_in(fractions.test, count).min(count);
        let valid = test - records_in(fractions.valid, count).min(test);
        Ok(match split {
            Split::Train => 0..valid,
            Split::Valid => valid..test,
            Split::Test => test..count,
            Split::All => 0..count,
        })
    }
}

impl RecordCounts {
    fn count(&mut self, class: &str) {
        match self.classes.get_mut(class) {
            Some(count) => *count += 1,
            None => drop(self.classes.insert(class.to_string(), 1)),
        }
    }

    fn incomplete(&self) -> u64 {
        self.no_text + self.no_label
    }
}

impl<F: RecordFormat> DataFile for RecordFile<F> {
    fn path(&self) -> &Path {
        self.format.path()
    }

    fn text_column(&self) -> Option<&str> {
        Some(self.format.text_column())
    }

    fn notes(&self, division: Division) -> Result<Vec<String>> {
        let mut notes = self.format.notes();
        if division.rule == SplitRule::Drawn && !division.incomplete {
            let counts = self.complete()?;
            if counts.incomplete() > 0 {
                notes.push(format!("{}; these are skipped", self.gaps(counts)));
            }
            let column = self.format.label_column().unwrap_or_default();
            notes.extend(class_names::notes(&counts.classes, column));
        }
        Ok(notes)
    }

    fn has(&self, split: Split, Division { fractions, rule, .. }: Division) -> Result<bool> {
        match rule {
            SplitRule::Tail => Ok(!self.tail(split, fractions)?.is_empty()),
            SplitRule::Drawn => Ok(self.quotas(fractions)?.total(split) > 0),
        }
    }

    /// All records are streamed at once; for a split they are counted before.
    fn pieces(&self, split: Split, Division { fractions, rule, incomplete }: Division) -> Result<Pieces> {
        let labelled = self.format.label_column().is_some();
        match (split, rule) {
            (Split::All, SplitRule::Tail) => self.selected(|_| true),
            (Split::All, SplitRule::Drawn) if incomplete => self.selected(|_| true),
            (Split::All, SplitRule::Drawn) => self.selected(move |piece| gap(piece, labelled).is_none()),
            (_, SplitRule::Tail) => self.numbered(self.tail(split, fractions)?),
            (_, SplitRule::Drawn) => {
                let mut draw = Draw::new(self.quotas(fractions)?.as_ref());
                self.selected(move |piece| {
                    gap(piece, labelled).is_none()
                        && draw.next(piece.label.as_deref().unwrap_or_default()) == split
                })
            }
        }
    }
}

/// The part of a record that is missing, the text first. `labelled` tells whether it should have a label.
fn gap(piece: &Piece, labelled: bool) -> Option<Gap> {
    let blank = |text: &str| text.chars().all(char::is_whitespace);
    if blank(&piece.text) {
        return Some(Gap::Text);
    }
    (labelled && piece.label.as_deref().is_none_or(blank)).then_some(Gap::Label)
}

/// The records from here on, up to the first error.
fn pieces(mut records: Box<dyn Records>) -> impl Iterator<Item = Result<Piece>> + Send {
    until_error(move || records.read())
}

/// The piece of a record of the file at `path`. Its label is composed.
///
/// # Errors
/// If the text holds a NUL byte; `line` is the record's line.
pub(super) fn piece(path: &Path, line: u64, text: String, label: Option<String>) -> Result<Piece> {
    match text.contains('\0') {
        true => Err(Error::file(path, format!("line {line} holds a NUL byte; expected text"))),
        false => Ok(Piece { text, label: label.map(composed), end: End::Record }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten records of one class.
    #[derive(Debug)]
    struct Ten;

    struct TenRecords(u64);

    impl RecordFormat for Ten {
        fn path(&self) -> &Path {
            Path::new("ten.csv")
        }

        fn text_column(&self) -> &str {
            "text"
        }

        fn label_column(&self) -> Option<&str> {
            None
        }

        fn notes(&self) -> Vec<String> {
            vec![]
        }

        fn records(&self) -> Result<Box<dyn Records>> {
            Ok(Box::new(TenRecords(0)))
        }
    }

    impl Records for TenRecords {
        fn place(&self) -> RecordStart {
            RecordStart { byte: self.0, line: self.0 + 1 }
        }

        fn seek(&mut self, place: RecordStart) -> Result<()> {
            self.0 = place.byte;
            Ok(())
        }

        fn read(&mut self) -> Result<Option<Piece>> {
            self.0 += 1;
            (self.0 <= 10)
                .then(|| piece(Path::new("ten.csv"), self.0, format!("text {}", self.0), None))
                .transpose()
        }
    }

    #[test]
    fn quotas_are_computed_once_for_the_same_fractions() {
        let file = RecordFile::new(Ten).unwrap();
        let [usual, other] = [0.2, 0.4].map(|valid| Fractions { valid, test: 0.1 });
        let first = file.quotas(usual).unwrap();
        assert!(Arc::ptr_eq(&first, &file.quotas(usual).unwrap()));
        for (fractions, valid) in [(other, 4), (usual, 2)] {
            let quotas = file.quotas(fractions).unwrap();
            assert_eq!([Split::Valid, Split::Test].map(|split| quotas.total(split)), [valid, 1]);
            let division = Division { fractions, rule: SplitRule::Drawn, incomplete: false };
            assert_eq!(file.pieces(Split::Valid, division).unwrap().count() as u64, valid);
        }
    }
}
