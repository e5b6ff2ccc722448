//! Files and folders of time series, and their splits.
//!
//! | source | splits |
//! |---|---|
//! | a long table | along time, by fractions of the rows of each series |
//! | a wide table | the last forecast of each series is its validation |
//! | `NAME-train.csv` beside `NAME-test.csv`, either of them or their folder | as of `train`; the test follows it |
//! | a folder with `train` and `test` | likewise |

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::bounds::Bounds;
use super::columns::TimeColumns;
use super::grid::{Frequency, TimeGrid};
use super::series::{Covariates, TimeSeries, TimeTable};
use super::{long_table, wide_table};
use crate::data::fingerprint::fingerprint;
use crate::data::fractions::Fractions;
use crate::data::hub::{self, Endpoint};
use crate::data::source::{Source, Split};
use crate::listing::{counted, listed};
use crate::{Error, Result};

/// Extensions of tables.
const EXTENSIONS: [&str; 2] = ["csv", "tsv"];

/// Time series with their splits.
#[derive(Debug)]
pub struct TimeSeriesCorpus {
    /// The series, those of the test file included.
    pub table: TimeTable,
    /// The frequency that the timestamps or the name of the file tell.
    pub frequency: Frequency,
    train: PathBuf,
    wide: bool,
    /// Steps of each series before those of the test file; `None` without a test file.
    before_test: Option<Vec<usize>>,
    /// Whether the test file is the one that was named.
    is_test: bool,
    /// The fractions of a long table that are held out.
    fractions: Fractions,
}

impl TimeSeriesCorpus {
    /// Read a source. `fractions` of a long table are held out.
    ///
    /// # Errors
    /// If a fraction is invalid, a file cannot be fetched or read or is invalid, or a folder has no training file.
    pub fn open(source: &Source, columns: &TimeColumns, fractions: Fractions) -> Result<Self> {
        fractions.validate()?;
        let (train, test, is_test) = files(source)?;
        let read = |path: &Path| {
            let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
            if !EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known)) {
                return Err(Error::file(path, "is not a table; expected a .csv or .tsv file of time series"));
            }
            if columns.wide { wide_table::read(path, columns) } else { long_table::read(path, columns) }
        };
        let mut table = read(&train)?;
        let before_test = match &test {
            Some(test) => {
                let before = table.series.iter().map(|series| series.values.len()).collect();
                append(&mut table, read(test)?, test)?;
                Some(before)
            }
            None => None,
        };
        let name = train.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let named = Frequency::of_name(&name).unwrap_or(Frequency::UNKNOWN);
        let frequency = table.grid.as_ref().map_or(named, |grid| grid.frequency());
        Ok(Self { table, frequency, train, wide: columns.wide, before_test, is_test, fractions })
    }

    /// The training file.
    pub fn path(&self) -> &Path {
        &self.train
    }

    /// Whether a row is a series.
    pub fn is_wide(&self) -> bool {
        self.wide
    }

    /// The splits of each series, for forecasts of `horizon` steps. `rows` limits the steps of each series that are
    /// divided.
    pub fn bounds(&self, horizon: usize, rows: Option<usize>) -> Vec<Bounds> {
        let of_series = |(at, series): (usize, &TimeSeries)| {
            let steps = series.values.len();
            match &self.before_test {
                Some(before) => Bounds::of_last(before[at], horizon, steps - before[at]),
                None if self.wide => Bounds::of_last(steps, horizon, 0),
                None => {
                    Bounds::of_fractions(rows.map_or(steps, |rows| rows.min(steps)), self.fractions, horizon)
                }
            }
        };
        self.table.series.iter().enumerate().map(of_series).collect()
    }

    /// The step after the last known one of each series, from which forecasts begin. Those of a test file that was not
    /// named itself are not known.
    pub fn ends(&self) -> Vec<usize> {
        match &self.before_test {
            Some(before) if !self.is_test => before.clone(),
            _ => self.table.series.iter().map(|series| series.values.len()).collect(),
        }
    }

    /// The split that is evaluated if none is named.
    pub fn default_split(&self) -> Split {
        if self.before_test.is_some() { Split::Test } else { Split::All }
    }

    /// The best split for a final evaluation.
    pub fn held_out(&self) -> Split {
        match self.before_test {
            Some(_) => Split::Test,
            None if self.wide => Split::Valid,
            None if self.fractions.test > 0. => Split::Test,
            None if self.fractions.valid > 0. => Split::Valid,
            None => Split::All,
        }
    }

    /// A hash of a single file; `None` if there is a test file.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn fingerprint(&self) -> Result<Option<String>> {
        if self.before_test.is_some() {
            return Ok(None);
        }
        fingerprint(&self.train).map(Some).map_err(|error| Error::file(&self.train, error))
    }

    /// Facts that a user should know, each as one line.
    pub fn notes(&self) -> Vec<String> {
        let path = self.train.display();
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
            Some((grid, time)) => format!(", a step of {} in `{time}`", grid.words()),
            None if self.wide => String::new(),
            None => ", without a column of times: steps are rows".into(),
        };
        let targets = match self.wide {
            true => String::new(),
            false => format!(" of {}", listed(&table.targets, ", ")),
        };
        notes.push(format!("{path}: {} series{targets}{step}", table.series.len()));
        notes
    }
}

/// The training file, the test file, and whether the test file was named.
fn files(source: &Source) -> Result<(PathBuf, Option<PathBuf>, bool)> {
    match source {
        Source::Builtin(builtin) => {
            Err(Error::invalid("data", format!("builtin:{} holds no time series in a table", builtin.name())))
        }
        Source::Hub { owner, name, file } => {
            Ok((hub::dataset_file(&Endpoint::from_env()?, owner, name, file)?, None, false))
        }
        Source::File(path) => {
            let test = sibling(path, "train", "test");
            let train = sibling(path, "test", "train").filter(|_| test.is_none());
            match train {
                Some(train) => Ok((train, Some(path.clone()), true)),
                None => Ok((path.clone(), test, false)),
            }
        }
        Source::Directory(folder) => in_folder(folder),
    }
}

/// The file beside `path` with the word `to` in place of `from` in its name.
fn sibling(path: &Path, from: &str, to: &str) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let at = name.to_lowercase().rfind(from)?;
    let other = format!("{}{to}{}", name.get(..at)?, name.get(at + from.len()..)?);
    Some(path.with_file_name(other)).filter(|other| other.exists())
}

fn in_folder(folder: &Path) -> Result<(PathBuf, Option<PathBuf>, bool)> {
    let entries = std::fs::read_dir(folder).map_err(|error| Error::file(folder, error))?;
    let is_training = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        name.contains("train") && EXTENSIONS.iter().any(|kind| name.ends_with(&format!(".{kind}")))
    };
    let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(is_training).collect();
    found.sort();
    match found.as_slice() {
        [train] => Ok((train.clone(), sibling(train, "train", "test"), false)),
        [] => Err(Error::file(
            folder,
            "has no training file; expected train.csv, or NAME-train.csv and NAME-test.csv",
        )),
        several => {
            let names = listed(several.iter().map(|path| path.display()), ", ");
            Err(Error::file(folder, format!("has several training files ({names}); name one of them")))
        }
    }
}

/// Append the steps of a test file to the series of the same names.
fn append(table: &mut TimeTable, test: TimeTable, path: &Path) -> Result<()> {
    let mut places: HashMap<(String, usize), usize> = HashMap::new();
    for (at, series) in table.series.iter().enumerate() {
        places.insert((series.name.clone(), series.column), at);
    }
    if let (Some(own), Some(found)) = (&table.grid, &test.grid)
        && !own.same_step(found)
        && test.tells_step()
    {
        let [own, found] = [own, found].map(TimeGrid::words);
        let problem = format!("its steps are {found}, but those of the training file are {own}");
        return Err(Error::file(path, problem));
    }
    let mut unknown = 0;
    for later in test.series {
        let Some(&at) = places.get(&(later.name.clone(), later.column)) else {
            unknown += 1;
            continue;
        };
        let series = &mut table.series[at];
        let end = series.values.len();
        let step = match &table.grid {
            Some(grid) => grid.steps(series.start, later.start),
            None => Some(end as i64),
        };
        let Some(step) = step.and_then(|step| usize::try_from(step).ok()).filter(|step| *step >= end) else {
            let problem =
                format!("series {:?} does not begin after its steps in the training file", later.name);
            return Err(Error::file(path, problem));
        };
        series.values.resize(step, f64::NAN);
        series.values.extend(&later.values);
        if series.covariates.width > 0 {
            let width = series.covariates.width;
            let mut values = series.covariates.values.clone();
            values.resize(step * width, f64::NAN);
            values.extend(&later.covariates.values);
            series.covariates = Covariates { width, values }.into();
        }
    }
    table.notes.extend(test.notes);
    if unknown > 0 {
        table.notes.push(format!("{unknown} series of the test file alone left out"));
    }
    Ok(())
}
