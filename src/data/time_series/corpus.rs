//! Files and folders of time series, and their splits.
//!
//! | source | splits |
//! |---|---|
//! | a long table | along time, by fractions of the rows of each series |
//! | a wide table | the last forecast of each series is its validation |
//! | a folder with `train`, and `valid` or `test` or both | each file follows the one before |
//! | `NAME-train.csv` beside `NAME-valid.csv` and `NAME-test.csv`, any of them or their folder | likewise |
//!
//! Without a `valid` file validation is the end of `train`: a fraction of a long table, the last forecast of a wide
//! one.

use std::path::{Path, PathBuf};

use super::append::append;
use super::bounds::Bounds;
use super::columns::TimeColumns;
use super::grid::Frequency;
use super::series::{TimeSeries, TimeTable};
use super::{long_table, wide_table};
use crate::data::divided::VALID_NAMES;
use crate::data::extension::has_extension;
use crate::data::fingerprint::fingerprint;
use crate::data::fractions::Fractions;
use crate::data::json_rows::is_jsonl;
use crate::data::source::{Source, Split};
use crate::hub::{self, Endpoint};
use crate::listing::{counted, listed};
use crate::{Error, Result};

/// Extensions of tables.
const EXTENSIONS: [&str; 4] = ["csv", "tsv", "jsonl", "json"];

/// The most rows that [`TimeSeriesCorpus::fewest_rows`] adds.
const MOST_ADDED: usize = 100;

/// The word for the training file in the names of files.
const TRAIN: &str = "train";

/// The word for the test file.
const TEST: &str = "test";

/// Time series with their splits.
#[derive(Debug)]
pub struct TimeSeriesCorpus {
    /// The series, those of all files.
    pub table: TimeTable,
    /// The frequency that the timestamps or the name of the file tell.
    pub frequency: Frequency,
    files: Files,
    wide: bool,
    /// The steps of each series up to the end of the training file and of the validation file; the same without one.
    ends: Vec<[usize; 2]>,
    /// The fractions of a long table that are held out.
    fractions: Fractions,
}

/// The files of a source, in the order of their steps.
#[derive(Debug)]
struct Files {
    train: PathBuf,
    valid: Option<PathBuf>,
    test: Option<PathBuf>,
    /// The split of the file that was named; `All` for a folder.
    named: Split,
}

impl TimeSeriesCorpus {
    /// Read a source. `fractions` of a long table are held out.
    ///
    /// # Errors
    /// If a fraction is invalid, a file cannot be fetched or read or is invalid or does not follow the one before, or a
    /// folder has no training file.
    pub fn open(source: &Source, columns: &TimeColumns, fractions: Fractions) -> Result<Self> {
        fractions.validate()?;
        let files = Files::of(source)?;
        let mut table = read(&files.train, columns)?;
        let lengths = |table: &TimeTable| table.series.iter().map(|one| one.values.len()).collect::<Vec<_>>();
        let train = lengths(&table);
        if let Some(valid) = &files.valid {
            append(&mut table, read(valid, columns)?, valid)?;
        }
        let valid = lengths(&table);
        if let Some(test) = &files.test {
            append(&mut table, read(test, columns)?, test)?;
        }
        let ends = train.into_iter().zip(valid).map(|(train, valid)| [train, valid]).collect();
        let name = files.train.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let named = Frequency::of_name(&name).unwrap_or(Frequency::UNKNOWN);
        let frequency = table.grid.as_ref().map_or(named, |grid| grid.frequency());
        Ok(Self { table, frequency, files, wide: columns.wide, ends, fractions })
    }

    /// The training file.
    pub fn path(&self) -> &Path {
        &self.files.train
    }

    /// The validation file, if there is one.
    pub fn valid_file(&self) -> Option<&Path> {
        self.files.valid.as_deref()
    }

    /// Whether a row is a series.
    pub fn is_wide(&self) -> bool {
        self.wide
    }

    /// The splits of each series, for forecasts of `horizon` steps. `rows` limits the steps of each series of a single
    /// file that are divided.
    pub fn bounds(&self, horizon: usize, rows: Option<usize>) -> Vec<Bounds> {
        let Files { valid, test, .. } = &self.files;
        let fractions = match test {
            Some(_) => Fractions { test: 0., ..self.fractions },
            None => self.fractions,
        };
        let of_series = |(at, series): (usize, &TimeSeries)| {
            let steps = series.values.len();
            let [train, end] = self.ends[at];
            match (valid, self.wide) {
                (Some(_), _) => Bounds { train, valid: end, test: steps },
                (None, true) => Bounds::of_last(train, horizon, steps - train),
                (None, false) => {
                    let rows = rows.filter(|_| test.is_none());
                    let divided = rows.map_or(train, |rows| rows.min(train));
                    let bounds = Bounds::of_fractions(divided, fractions, horizon);
                    let test = if test.is_some() { steps } else { bounds.test };
                    Bounds { test, ..bounds }
                }
            }
        };
        self.table.series.iter().enumerate().map(of_series).collect()
    }

    /// The fewest rows of a single series, more than `rows`, of which some are left to train forecasts of one step on.
    pub fn fewest_rows(&self, rows: usize) -> usize {
        let trained = |steps: usize| match (self.files.valid.is_some(), self.wide) {
            (true, _) => steps,
            (false, true) => Bounds::of_last(steps, 1, 0).train,
            (false, false) => Bounds::of_fractions(steps, self.fractions, 1).train,
        };
        (rows + 1..=rows + MOST_ADDED).find(|&steps| trained(steps) > 1).unwrap_or(rows + MOST_ADDED)
    }

    /// The step after the last known one of each series, from which forecasts begin: the end of the file that was
    /// named; of a folder that of the validation file, because the steps of the test file are not known.
    pub fn ends(&self) -> Vec<usize> {
        let steps = self.table.series.iter().map(|series| series.values.len());
        let end = |(steps, [train, valid]): (usize, &[usize; 2])| match self.files.named {
            Split::Train => *train,
            Split::Valid | Split::All => *valid,
            Split::Test => steps,
        };
        steps.zip(&self.ends).map(end).collect()
    }

    /// Whether there is a validation or a test file.
    pub fn has_several_files(&self) -> bool {
        self.files.valid.is_some() || self.files.test.is_some()
    }

    /// The split that is evaluated if none is named.
    pub fn default_split(&self) -> Split {
        if self.has_several_files() { self.held_out() } else { Split::All }
    }

    /// The best split for a final evaluation.
    pub fn held_out(&self) -> Split {
        let Files { valid, test, .. } = &self.files;
        match (valid, test) {
            (_, Some(_)) => Split::Test,
            (Some(_), None) => Split::Valid,
            (None, None) if self.wide => Split::Valid,
            (None, None) if self.fractions.test > 0. => Split::Test,
            (None, None) if self.fractions.valid > 0. => Split::Valid,
            (None, None) => Split::All,
        }
    }

    /// A hash of a single file; `None` if there are several.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn fingerprint(&self) -> Result<Option<String>> {
        if self.has_several_files() {
            return Ok(None);
        }
        fingerprint(self.path()).map(Some).map_err(|error| Error::file(self.path(), error))
    }

    /// The rows of a training file beside a test file that are validation; `None` if there are none.
    fn own_validation(&self) -> Option<String> {
        if self.files.test.is_none() || self.files.valid.is_some() {
            return None;
        }
        // Without the digits that binary fractions add.
        let percent = (1e6 * self.fractions.valid).round() / 1e4;
        match self.wide {
            true => Some("the last forecast".into()),
            false => (percent > 0.).then(|| format!("the last {percent} %")),
        }
    }

    /// Notes for the user, each as one line.
    pub fn notes(&self) -> Vec<String> {
        let path = self.path().display();
        let table = &self.table;
        let mut notes: Vec<String> = table.notes.iter().map(|note| format!("{path}: {note}")).collect();
        let missing: u64 = table.series.iter().map(|series| series.missing() as u64).sum();
        if missing > 0 {
            let count = counted(missing, "value");
            notes.push(format!(
                "{path}: {count} missing; a window has the value before, and none is a target"
            ));
        }
        let constant = table.series.iter().filter(|series| series.is_constant());
        let constant: Vec<&str> = constant.map(|series| series.name.as_str()).collect();
        if !constant.is_empty() {
            let count = constant.len();
            notes.push(format!("{path}: {count} constant series ({})", listed(constant, ", ")));
        }
        let grid = table.grid.as_ref().zip(table.time.as_ref());
        let step = match grid {
            Some((_, time)) if !table.tells_step() => format!(", a single time in `{time}`"),
            Some((grid, time)) => format!(", a step of {} in `{time}`", grid.words()),
            None if self.wide => String::new(),
            None => ", without a column of times: steps are rows".into(),
        };
        let targets = match self.wide {
            true => String::new(),
            false => format!(" of {}", listed(&table.targets, ", ")),
        };
        notes.push(format!("{path}: {} series{targets}{step}", table.series.len()));
        let Files { valid, test, .. } = &self.files;
        let names = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let others: Vec<String> = [valid, test].into_iter().flatten().map(names).collect();
        if !others.is_empty() {
            notes.push(format!("{path}: continued by {}", others.join(" and ")));
        }
        notes.extend(self.own_validation().map(|rows| {
            format!("{path}: has no valid file; {rows} of each series is held out for validation")
        }));
        notes
    }
}

/// Read a table.
fn read(path: &Path, columns: &TimeColumns) -> Result<TimeTable> {
    if !EXTENSIONS.iter().any(|extension| has_extension(path, extension)) {
        let problem = "is not a table; expected a .csv, .tsv or .jsonl file of time series";
        return Err(Error::file(path, problem));
    }
    match columns.wide {
        true if is_jsonl(path) => {
            let problem = format!(
                "{} has an object a time step, not a row a series; leave it out, or write a .csv file",
                path.display()
            );
            Err(Error::invalid("forecasting.wide", problem))
        }
        true => wide_table::read(path, columns),
        false => long_table::read(path, columns),
    }
}

impl Files {
    fn of(source: &Source) -> Result<Self> {
        match source {
            Source::Builtin(builtin) => {
                let problem = format!("builtin:{} holds no time series in a table", builtin.name());
                Err(Error::invalid("data", problem))
            }
            Source::Hub(address) => {
                let train = hub::data_file(&Endpoint::from_env()?, address)?;
                Ok(Self { train, valid: None, test: None, named: Split::All })
            }
            Source::File(path) => Self::around(path),
            Source::Directory(folder) => Self::in_folder(folder),
        }
    }

    /// The file at `path`, and those beside it that continue it or that it continues.
    fn around(path: &Path) -> Result<Self> {
        let own = Self::of_train(path.to_path_buf(), Split::Train)?;
        if own.valid.is_some() || own.test.is_some() {
            return Ok(own);
        }
        let words = VALID_NAMES.map(|name| (name, Split::Valid)).into_iter().chain([(TEST, Split::Test)]);
        for (word, split) in words {
            if let Some(train) = sibling(path, word, &[TRAIN])? {
                return Self::of_train(train, split);
            }
        }
        Ok(own)
    }

    /// A training file with those beside it.
    fn of_train(train: PathBuf, named: Split) -> Result<Self> {
        let valid = sibling(&train, TRAIN, &VALID_NAMES)?;
        let test = sibling(&train, TRAIN, &[TEST])?;
        Ok(Self { train, valid, test, named })
    }

    /// The files of a folder.
    fn in_folder(folder: &Path) -> Result<Self> {
        let entries = std::fs::read_dir(folder).map_err(|error| Error::file(folder, error))?;
        let is_training = |path: &PathBuf| {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
            name.contains(TRAIN) && EXTENSIONS.iter().any(|extension| has_extension(path, extension))
        };
        let mut found: Vec<PathBuf> =
            entries.flatten().map(|entry| entry.path()).filter(is_training).collect();
        found.sort();
        match found.as_slice() {
            [train] => Self::of_train(train.clone(), Split::All),
            [] => {
                let problem = "has no training file; expected train.csv, or NAME-train.csv and NAME-test.csv";
                Err(Error::file(folder, problem))
            }
            several => {
                let names = listed(several.iter().map(|path| path.display()), ", ");
                Err(Error::file(folder, format!("has several training files ({names}); name one of them")))
            }
        }
    }
}

/// The file beside `path` with one of the words `to` in place of `from` in its name, whatever kind of table it is.
///
/// # Errors
/// If there are two.
fn sibling(path: &Path, from: &str, to: &[&str]) -> Result<Option<PathBuf>> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let Some(at) = stem.to_lowercase().rfind(from) else { return Ok(None) };
    let (Some(before), Some(after)) = (stem.get(..at), stem.get(at + from.len()..)) else { return Ok(None) };
    let own = path.extension().unwrap_or_default().to_string_lossy();
    let others = EXTENSIONS.iter().filter(|extension| !own.eq_ignore_ascii_case(extension));
    let extensions: Vec<&str> = [&*own].into_iter().chain(others.copied()).collect();
    let names =
        to.iter().flat_map(|word| extensions.iter().map(move |kind| format!("{before}{word}{after}.{kind}")));
    let mut found = names.map(|name| path.with_file_name(name)).filter(|path| path.exists());
    match (found.next(), found.next()) {
        (Some(first), Some(second)) => {
            Err(Error::file(first, format!("exists beside {}; keep one of them", second.display())))
        }
        (first, _) => Ok(first),
    }
}
