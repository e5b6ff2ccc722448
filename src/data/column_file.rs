//! Column files: a word a line with its columns, an empty line after each sentence, as in the CoNLL shared tasks.
//!
//! Columns are separated by tabs if the first row holds a tab, otherwise by blanks. Each row has as many columns as the
//! first. A line that begins with `-DOCSTART-` or `#begin document`, `#end document` or, as the first line of a
//! sentence, with `# id `, is no row. Other lines that begin with `#` are rows, because `#` is also a word.
//!
//! A file is read as CoNLL-U if its extension is `.conllu`, or if its first row has ten columns with tabs and the first
//! is a number. Then every line that begins with `#` is a comment, and the rows of multiword tokens (`1-2`) and empty
//! nodes (`1.1`) are skipped.

use std::path::Path;
use std::sync::OnceLock;

use super::column::{CONLLU_COLUMNS, Column};
use super::divided::{Items, ItemsOf};
use super::encoding::Encoding;
use super::numbered_lines::{NumberedLine, NumberedLines};
use super::utf8_file::Utf8File;
use crate::listing::thousands;
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
    /// The character encoding; by default it is UTF-8, or else detected.
    pub encoding: Option<Encoding>,
}

/// A sentence with its tags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sentence {
    /// The words.
    pub words: Vec<String>,
    /// A tag for each word.
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
    tag: usize,
    features: Vec<usize>,
}

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

    /// The sentences in order, read as they are asked for. After an error there are no more.
    pub fn sentences(&self) -> Sentences {
        Sentences { lines: NumberedLines::new(&self.file), layout: self.layout.clone(), done: false }
    }
}

impl Items for ColumnFile {
    type Item = Sentence;

    fn path(&self) -> &Path {
        self.file.path()
    }

    fn items(&self) -> Result<ItemsOf<Sentence>> {
        Ok(Box::new(self.sentences()))
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

/// Whether the extension of a path is `extension`, in any case.
pub(super) fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found.eq_ignore_ascii_case(extension))
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
            tag: 0,
            features: vec![],
        };
        let columns = layout.fields(&first.text).len();
        let (line, counted) = (first.number, counted(columns));
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
        layout.tag = place(options.tag.unwrap_or(tag), "tag")?;
        let features = options.features.iter().map(|&column| place(column, "feature"));
        layout.features = features.collect::<Result<_>>()?;
        match layout.clash() {
            Some(problem) => Err(Error::file(path, format!("line {line}: {counted}; {problem}"))),
            None => Ok(layout),
        }
    }

    /// The problem with columns that are used twice.
    fn clash(&self) -> Option<String> {
        let Self { word, tag, features, .. } = self;
        if word == tag {
            return Some(format!(
                "column {word} cannot be the word and the tag at once; expected two columns"
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

    /// Add a row to a sentence, unless it is that of a multiword token or an empty node.
    fn add(&self, sentence: &mut Sentence, row: &NumberedLine) -> Result<(), String> {
        let fields = self.fields(&row.text);
        if fields.len() != self.columns {
            let (found, expected, first) = (counted(fields.len()), self.columns, self.first_line);
            let separator = if self.has_tabs { "tabs" } else { "blanks" };
            return Err(format!(
                "{found} where line {first} has {expected}; expected {separator} between the columns and an empty line \
                 after each sentence"
            ));
        }
        if self.is_conllu && !is_word(fields[0])? {
            return Ok(());
        }
        for (place, purpose) in [(self.word, "word"), (self.tag, "tag")] {
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
        sentence.tags.push(fields[self.tag].to_string());
        for (values, &place) in sentence.features.iter_mut().zip(&self.features) {
            values.push(fields[place].to_string());
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
        _ => Err(format!("`{id}` is no number of a word; expected one such as 1, 1-2 or 1.1 in CoNLL-U")),
    }
}

/// `1 column` or `3 columns`.
fn counted(columns: usize) -> String {
    format!("{columns} column{}", if columns == 1 { "" } else { "s" })
}

/// The sentences of a file.
#[derive(Debug)]
pub struct Sentences {
    lines: NumberedLines,
    layout: Layout,
    done: bool,
}

impl Sentences {
    fn read(&mut self) -> Result<Option<Sentence>> {
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

impl Iterator for Sentences {
    type Item = Result<Sentence>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let sentence = self.read().transpose();
        self.done = !matches!(sentence, Some(Ok(_)));
        sentence
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Read a file of that name and content.
    fn read(name: &str, content: &str, options: &ColumnOptions) -> Result<Vec<Sentence>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        ColumnFile::open(&path, options)?.sentences().collect()
    }

    fn options(word: &str, tag: &str, features: &[&str]) -> ColumnOptions {
        let column = |text: &str| text.parse().unwrap();
        let features = features.iter().map(|text| column(text)).collect();
        ColumnOptions { word: Some(column(word)), tag: Some(column(tag)), features, encoding: None }
    }

    fn shown(sentences: &[Sentence]) -> Vec<String> {
        let pairs = |sentence: &Sentence| {
            let pairs = sentence.words.iter().zip(&sentence.tags);
            let pairs: Vec<String> = pairs.map(|(word, tag)| format!("{word}|{tag}")).collect();
            format!("{} {}", sentence.line, pairs.join(" "))
        };
        sentences.iter().map(pairs).collect()
    }

    const CONLLU: &str = "\
# sent_id = 1
# text = vámonos al mar
1-2\tvámonos\t_\t_\t_\t_\t_\t_\t_\t_
1\tvamos\tir\tVERB\tv\t_\t0\troot\t_\t_
2\tnos\tnosotros\tPRON\tp\t_\t1\tobj\t_\t_
2.1\tfue\tir\tVERB\t_\t_\t_\t_\t_\t_

# sent_id = 2
1\t#\t#\tSYM\t_\t_\t0\troot\t_\t_
2\tNew York\tNew York\tPROPN\t_\t_\t1\tflat\t_\t_
";

    #[test]
    fn first_and_last_columns_are_words_and_tags() {
        let text =
            "-DOCSTART- -X- O\n\nThe DT B-NP\n# # I-NP\r\n \t\n\n한국 NNP  B-NP \n-DOCSTART-\n.\u{a0} . O";
        let found = read("a.txt", text, &ColumnOptions::default()).unwrap();
        assert_eq!(shown(&found), ["3 The|B-NP #|I-NP", "7 한국|B-NP", "9 .\u{a0}|O"]);
        assert!(found.iter().all(|sentence| sentence.features.is_empty()));
    }

    #[test]
    fn columns_are_chosen_by_number() {
        let found = read("a.txt", "a b c d\n", &options("-2", "1", &["0", "3"])).unwrap();
        assert_eq!(shown(&found), ["1 c|b"]);
        assert_eq!(found[0].features, [["a"], ["d"]]);
    }

    #[test]
    fn comments_multiword_tokens_and_empty_nodes_are_skipped_in_conllu() {
        for name in ["a.conllu", "a.CoNLLU", "a.txt", "a.conll"] {
            let found = read(name, CONLLU, &ColumnOptions::default()).unwrap();
            assert_eq!(shown(&found), ["4 vamos|VERB nos|PRON", "9 #|SYM New York|PROPN"], "{name}");
        }
        let found = read("a.conllu", CONLLU, &options("lemma", "deprel", &["upos"])).unwrap();
        assert_eq!(shown(&found), ["4 ir|root nosotros|obj", "9 #|root New York|flat"]);
        assert_eq!(found[0].features, [["VERB", "PRON"]]);
    }

    #[test]
    fn comments_between_documents_and_sentences_are_no_rows() {
        let text = "#begin document (a);\n# id 1 domain=train\n# _ O\nx _ B\n#end document\n# id 2 domain=train\ny _ O\n";
        let found = read("a.conll", text, &ColumnOptions::default()).unwrap();
        assert_eq!(shown(&found), ["3 #|O x|B", "7 y|O"]);
    }

    #[test]
    fn other_encodings_are_decoded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.col");
        std::fs::write(&path, b"caf\xe9 N\n").unwrap();
        let encoding = Some("latin-1".parse().unwrap());
        let file = ColumnFile::open(&path, &ColumnOptions { encoding, ..ColumnOptions::default() }).unwrap();
        assert_eq!(file.sentences().next().unwrap().unwrap().words, ["café"]);
    }

    #[test]
    fn bad_rows_are_errors_with_their_line() {
        let default = ColumnOptions::default();
        let long = "a b\n".repeat(LONGEST_SENTENCE + 1);
        for (name, text, options, words) in [
            ("a.txt", "\n\n \n", &default, "has no rows; expected a word and its tag"),
            ("a.txt", "-DOCSTART- -X- O\n", &default, "has no rows"),
            (
                "a.txt",
                "word\n",
                &default,
                "line 1: 1 column; column 0 cannot be the word and the tag at once",
            ),
            ("a.txt", "a b c\n\nd e\n", &default, "line 3: 2 columns where line 1 has 3; expected blanks"),
            ("a.txt", "a\tb\nc d\n", &default, "line 2: 1 column where line 1 has 2; expected tabs"),
            ("a.txt", "a\tb\nc\t\n", &default, "line 2: column 1 is empty; expected a tag"),
            ("a.txt", "\n\tb\n", &default, "line 2: column 0 is empty; expected a word"),
            (
                "a.txt",
                "a b\n",
                &options("0", "2", &[]),
                "no tag column `2`; expected a number from 0 to 1, or from -2 to -1",
            ),
            (
                "a.txt",
                "a b\n",
                &options("form", "1", &[]),
                "no word column `form`; expected a number, because",
            ),
            ("a.txt", "a b\n", &options("0", "1", &["-3"]), "no feature column `-3`"),
            ("a.txt", "a b\n", &options("0", "1", &["-1"]), "column 1 is the tag; expected other columns"),
            ("a.txt", "a b\n", &options("-2", "0", &[]), "column 0 cannot be the word and the tag at once"),
            ("a.conllu", "a b\n", &default, "line 1: 2 columns; expected the 10 of CoNLL-U"),
            ("a.conllu", &CONLLU.replace("\n2\t", "\nx\t"), &default, "line 5: `x` is no number of a word"),
            (
                "a.txt",
                &long,
                &default,
                "line 100001: the sentence from line 1 on has more than 100,000 words",
            ),
        ] {
            let message = read(name, text, options).unwrap_err().to_string();
            assert!(message.contains(name) && message.contains(words), "{message}");
        }
    }
}
