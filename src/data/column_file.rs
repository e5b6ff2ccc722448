//! Column files: a word a line with its columns, an empty line after each sentence, as in the CoNLL shared tasks.
//!
//! Columns are separated by tabs if the first row holds a tab, otherwise by blanks. Each row has as many columns as the
//! first. A line that begins with `-DOCSTART-` or `#begin document`, `#end document` or, as the first line of a
//! sentence, with `# id `, is not a row. Other lines that begin with `#` are rows, because `#` is also a word.
//!
//! A file is read as CoNLL-U if its extension is `.conllu`, or if its first row has ten columns with tabs and the first
//! is a number. Then every line that begins with `#` is a comment, and the rows of multiword tokens (`1-2`) and empty
//! nodes (`1.1`) are skipped.

use std::path::Path;
use std::sync::OnceLock;

use super::column::{CONLLU_COLUMNS, Column};
use super::compose::composed;
use super::divided::{Items, ItemsOf};
use super::encoding::Encoding;
use super::extension::has_extension;
use super::numbered_lines::{NumberedLine, NumberedLines};
use super::until_error::until_error;
use super::utf8_file::Utf8File;
use crate::listing::{counted, thousands};
use crate::{Error, Result};

/// The most words of a sentence. A file without empty lines must not become one sentence.
const LONGEST_SENTENCE: usize = 100_000;

/// Options for reading column files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnOptions {
    /// The column of the words; by default the first, or `form` in CoNLL-U.
    pub word: Option<Column>,
    /// The column of the tags; by default the last, or `upos` in CoNLL-U.
    pub tag: Option<Column>,
    /// Further columns that describe the words.
    pub features: Vec<Column>,
    /// Whether the tags are left out: the file may have no column for them.
    pub untagged: bool,
    /// The character encoding; by default it is UTF-8, or else detected.
    pub encoding: Option<Encoding>,
}

/// A sentence with its tags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sentence {
    /// The words.
    pub words: Vec<String>,
    /// A tag for each word; none if [`ColumnOptions::untagged`].
    pub tags: Vec<String>,
    /// For each feature column, its value for each word.
    pub features: Vec<Vec<String>>,
    /// The line of the first word, counted from 1.
    pub line: u64,
}

/// A column file.
#[derive(Debug)]
pub struct ColumnFile {
    file: Utf8File,
    layout: Layout,
    sentences: OnceLock<u64>,
}

/// The columns of a file, as its first row has them.
#[derive(Clone, Debug)]
struct Layout {
    is_conllu: bool,
    has_tabs: bool,
    columns: usize,
    first_line: u64,
    word: usize,
    /// `None` if the tags are left out.
    tag: Option<usize>,
    features: Vec<usize>,
}

/// The lines at the beginning of a file that tell whether it has columns.
const FIRST_LINES: usize = 1000;

/// The meaning of a line.
enum LineKind {
    Row,
    Comment,
    End,
}

impl ColumnFile {
    /// Open a file and read its first row.
    ///
    /// # Errors
    /// If the file cannot be read, has no rows, or has no such columns.
    pub fn open(path: &Path, options: &ColumnOptions) -> Result<Self> {
        let file = Utf8File::open(path, options.encoding)?;
        let is_conllu = has_extension(path, "conllu") || looks_like_conllu(&file)?;
        let mut rows = NumberedLines::new(&file);
        let first = loop {
            let line = rows
                .next()
                .transpose()?
                .ok_or_else(|| Error::file(path, "has no rows; expected a word and its tag on each line"))?;
            if matches!(kind(&line.text, is_conllu, true), LineKind::Row) {
                break line;
            }
        };
        let layout = Layout::new(path, &first, is_conllu, options)?;
        Ok(Self { file, layout, sentences: OnceLock::new() })
    }

    /// The sentences in order, read lazily. After an error there are no more.
    pub fn sentences(&self) -> ItemsOf<Sentence> {
        let mut rows = Rows { lines: NumberedLines::new(&self.file), layout: self.layout.clone() };
        Box::new(until_error(move || rows.sentence()))
    }
}

impl Items for ColumnFile {
    type Item = Sentence;

    fn path(&self) -> &Path {
        self.file.path()
    }

    fn items(&self) -> Result<ItemsOf<Sentence>> {
        Ok(self.sentences())
    }

    fn count(&self) -> Result<u64> {
        if let Some(count) = self.sentences.get() {
            return Ok(*count);
        }
        let mut count = 0;
        for sentence in self.sentences() {
            sentence?;
            count += 1;
        }
        Ok(*self.sentences.get_or_init(|| count))
    }

    fn notes(&self) -> Result<Vec<String>> {
        let note = self.file.note().map(|note| format!("{}: {note}", self.path().display()));
        Ok(note.into_iter().collect())
    }
}

/// Whether the first row has the columns of CoNLL-U.
fn looks_like_conllu(file: &Utf8File) -> Result<bool> {
    for line in NumberedLines::new(file) {
        let text = line?.text;
        if matches!(kind(&text, true, true), LineKind::Row) {
            let fields: Vec<&str> = text.split('\t').collect();
            let number = fields[0].split(['-', '.']).all(|part| part.parse::<u64>().is_ok());
            return Ok(fields.len() == CONLLU_COLUMNS && number);
        }
    }
    Ok(false)
}

/// Whether the lines of a file have columns: the rows at its beginning have equally many, at least two, with tabs
/// between them or an empty line after some of them.
///
/// # Errors
/// If the file cannot be read.
pub(super) fn looks_like_columns(path: &Path) -> Result<bool> {
    let file = Utf8File::open(path, None)?;
    let (mut columns, mut has_tabs, mut has_ends) = (None, false, false);
    for line in NumberedLines::new(&file).take(FIRST_LINES) {
        let text = line?.text;
        if text.trim().is_empty() {
            has_ends = true;
            continue;
        }
        has_tabs |= text.contains('\t');
        let found = if has_tabs { text.split('\t').count() } else { text.split_ascii_whitespace().count() };
        if found < 2 || *columns.get_or_insert(found) != found {
            return Ok(false);
        }
    }
    Ok(columns.is_some() && (has_tabs || has_ends))
}

/// The meaning of a line; `is_first` tells whether it can be the first of a sentence.
fn kind(line: &str, is_conllu: bool, is_first: bool) -> LineKind {
    let begins = |start: &str| line.starts_with(start);
    // A document ends a sentence, too.
    let document = begins("-DOCSTART-") || begins("#begin document") || begins("#end document");
    match line.bytes().all(|byte| byte.is_ascii_whitespace()) {
        _ if document => LineKind::End,
        true => LineKind::End,
        false if is_conllu && begins("#") => LineKind::Comment,
        false if !is_conllu && is_first && begins("# id ") => LineKind::Comment,
        false => LineKind::Row,
    }
}

impl Layout {
    /// Find the columns in the `first` row.
    fn new(path: &Path, first: &NumberedLine, is_conllu: bool, options: &ColumnOptions) -> Result<Self> {
        let has_tabs = first.text.contains('\t');
        let mut layout = Self {
            is_conllu,
            has_tabs,
            columns: 0,
            first_line: first.number,
            word: 0,
            tag: None,
            features: vec![],
        };
        let columns = layout.fields(&first.text).len();
        let (line, counted) = (first.number, counted(columns as u64, "column"));
        if is_conllu && columns != CONLLU_COLUMNS {
            let problem =
                format!("line {line}: {counted}; expected the {CONLLU_COLUMNS} of CoNLL-U, with tabs");
            return Err(Error::file(path, problem));
        }
        let place = |column: Column, purpose: &str| {
            column.place(columns).ok_or_else(|| {
                let advice = match column {
                    Column::Conllu(_) => "expected a number, because the file is not CoNLL-U".to_string(),
                    _ => format!("expected a number from 0 to {}, or from -{columns} to -1", columns - 1),
                };
                let problem =
                    format!("line {line}: {counted}, so there is no {purpose} column `{column}`; {advice}");
                Error::file(path, problem)
            })
        };
        let [word, tag] =
            if is_conllu { [Column::FORM, Column::UPOS] } else { [Column::FromStart(0), Column::FromEnd(1)] };
        layout.columns = columns;
        layout.word = place(options.word.unwrap_or(word), "word")?;
        if !options.untagged {
            layout.tag = Some(place(options.tag.unwrap_or(tag), "tag")?);
        }
        let features = options.features.iter().map(|&column| place(column, "feature"));
        layout.features = features.collect::<Result<_>>()?;
        match layout.clash() {
            Some(problem) => Err(Error::file(path, format!("line {line}: {counted}; {problem}"))),
            None => Ok(layout),
        }
    }

    /// The problem with columns that are used twice.
    fn clash(&self) -> Option<String> {
        let Self { word, features, .. } = self;
        let tag = self.tag.as_ref()?;
        if word == tag {
            return Some(format!(
                "column {word} cannot be the word and the tag at once; expected two columns between blanks or tabs"
            ));
        }
        if features.contains(tag) {
            return Some(format!("column {tag} is the tag; expected other columns as features"));
        }
        None
    }

    /// The columns of a row.
    fn fields<'a>(&self, row: &'a str) -> Vec<&'a str> {
        match self.has_tabs {
            true => row.split('\t').map(|field| field.trim_matches(' ')).collect(),
            false => row.split_ascii_whitespace().collect(),
        }
    }

    /// Add a row to a sentence, unless it is that of a multiword token or an empty node. Tags and features are
    /// composed.
    fn add(&self, sentence: &mut Sentence, row: &NumberedLine) -> Result<(), String> {
        let fields = self.fields(&row.text);
        if fields.len() != self.columns {
            let (found, expected, first) =
                (counted(fields.len() as u64, "column"), self.columns, self.first_line);
            let separator = if self.has_tabs { "tabs" } else { "blanks" };
            return Err(format!(
                "{found} where line {first} has {expected}; expected {separator} between the columns and an empty line \
                 after each sentence"
            ));
        }
        if self.is_conllu && !is_word(fields[0])? {
            return Ok(());
        }
        let named = [(Some(self.word), "word"), (self.tag, "tag")];
        for (place, purpose) in named.into_iter().filter_map(|(place, purpose)| Some((place?, purpose))) {
            if fields[place].is_empty() {
                return Err(format!("column {place} is empty; expected a {purpose}"));
            }
        }
        if sentence.words.len() == LONGEST_SENTENCE {
            let most = thousands(LONGEST_SENTENCE as u64);
            let line = sentence.line;
            return Err(format!(
                "the sentence from line {line} on has more than {most} words; expected an empty line after each sentence"
            ));
        }
        if sentence.words.is_empty() {
            sentence.line = row.number;
            sentence.features.resize(self.features.len(), vec![]);
        }
        sentence.words.push(fields[self.word].to_string());
        sentence.tags.extend(self.tag.map(|place| composed(fields[place].to_string())));
        for (values, &place) in sentence.features.iter_mut().zip(&self.features) {
            values.push(composed(fields[place].to_string()));
        }
        Ok(())
    }
}

/// Whether a row of CoNLL-U is that of a word.
fn is_word(id: &str) -> Result<bool, String> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match id.split_once(['-', '.']) {
        None if is_number(id) => Ok(true),
        Some((first, last)) if is_number(first) && is_number(last) => Ok(false),
        _ => {
            Err(format!("`{id}` is not the number of a word; expected one such as 1, 1-2 or 1.1 in CoNLL-U"))
        }
    }
}

/// The rows of a file.
struct Rows {
    lines: NumberedLines,
    layout: Layout,
}

impl Rows {
    /// Read the rows of the next sentence; `None` after the last.
    fn sentence(&mut self) -> Result<Option<Sentence>> {
        let mut sentence = Sentence::default();
        while let Some(line) = self.lines.next().transpose()? {
            let is_first = sentence.words.is_empty();
            match kind(&line.text, self.layout.is_conllu, is_first) {
                LineKind::Comment => {}
                LineKind::End if is_first => {}
                LineKind::End => return Ok(Some(sentence)),
                LineKind::Row => self.layout.add(&mut sentence, &line).map_err(|problem| {
                    Error::file(self.lines.path(), format!("line {}: {problem}", line.number))
                })?,
            }
        }
        Ok((!sentence.words.is_empty()).then_some(sentence))
    }
}

#[cfg(test)]
mod tests;
