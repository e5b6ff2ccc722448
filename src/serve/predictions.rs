//! `/v1/predict`: classes, tags, forecasts and translations, each the object that `rnn predict --json` prints. A
//! forecast also has the values before it.

use std::io::Write;
use std::sync::Arc;

use serde_json::{Value, json};

use super::engine::{CancellationToken, Engine};
use super::fields::Fields;
use super::options::Limits;
use super::problem::{Problem, field_of, in_fields};
use crate::inference::predict::{answer, read_texts};
use crate::inference::search::SearchOptions;
use crate::inference::translation::Translation;
use crate::inference::{BATCH, Model};
use crate::listing::listed;
use crate::tasks::forecast::histories;
use crate::tasks::{Answer, DataSpec, ForecastSpec, ForecastStart, MOST_TOKENS};
use crate::{Error, Result};

/// The most inputs of a request.
const MOST_INPUTS: usize = 256;

/// The most beams of a request: each has a state, which takes memory.
const MOST_BEAMS: u64 = 64;

/// The most texts of a search that are extended side by side: the attention of each has a copy of its source.
const MOST_ROWS: usize = 64;

/// The most values before a forecast, as a multiple of its steps.
const HISTORY: usize = 3;

/// The formats of a table in a request, or of words with their columns: extensions of their files.
const FORMATS: [&str; 5] = ["csv", "tsv", "jsonl", SERIES, COLUMNS];

/// The format of series without columns.
const SERIES: &str = "ts";

/// The format of words with their columns, one word a line.
const COLUMNS: &str = "conll";

/// Inputs to answer.
struct Request {
    inputs: Vec<String>,
    /// The search for translations, if the request names it.
    search: Option<SearchOptions>,
    /// The format of an input that is a table, or words with their columns, if the request names it.
    format: Option<String>,
    /// Whether translations come with their attention.
    alignment: bool,
    /// The first step of forecasts; `None` for the one after the last that is known.
    at: Option<String>,
    /// The column of a table that names the series of a row; `None` for that of the training data.
    series_column: Option<String>,
}

/// Answer a request.
pub(super) async fn predict(
    engine: Arc<Engine>,
    model: &str,
    fields: Fields,
    limits: &Limits,
) -> Result<Value, Problem> {
    let request = Request::read(fields)?;
    let most = limits.prompt;
    let results =
        engine.compute(move |model, cancellation| request.answer(model, most, cancellation)).await?;
    Ok(json!({ "object": "list", "model": model, "data": results }))
}

impl Request {
    fn read(mut fields: Fields) -> Result<Self, Problem> {
        let inputs = fields.texts("input", 1, MOST_INPUTS)?;
        let inputs =
            inputs.ok_or_else(|| Problem::field("input", "is missing; expected a text to answer"))?;
        let usual = SearchOptions::default();
        let beams = fields.whole("beams", 1, MOST_BEAMS)?;
        let penalty = fields.number("length_penalty")?;
        let search = (beams.is_some() || penalty.is_some()).then(|| SearchOptions {
            beams: beams.unwrap_or(usual.beams),
            length_penalty: penalty.unwrap_or(usual.length_penalty),
        });
        let format = fields.text("format")?;
        if format.as_ref().is_some_and(|format| !FORMATS.contains(&format.as_str())) {
            return Err(Problem::field("format", format!("expected one of {}", FORMATS.join(", "))));
        }
        let alignment = fields.flag("alignment")?;
        let at = fields.text("at")?;
        let series_column = fields.text("series_column")?;
        fields.end()?;
        Ok(Self { inputs, search, format, alignment, at, series_column })
    }

    fn format(&self) -> &str {
        self.format.as_deref().unwrap_or(FORMATS[0])
    }

    fn answer(
        &self,
        model: &Model,
        most: usize,
        cancellation: &CancellationToken,
    ) -> Result<Vec<Value>, Problem> {
        self.check(model)?;
        let translates = model.network.sequence_to_sequence().is_some();
        let tables = model.tokenizer.is_none() || self.format() == COLUMNS;
        // A byte is at least as much as a token; a table is bounded by the size of the body.
        if let Some(long) = self.inputs.iter().find(|input| !tables && input.len() > most) {
            let problem = format!("has {} bytes; expected at most {most}", long.len());
            return Err(Problem::field("input", problem));
        }
        if translates {
            return self.translate(model, cancellation);
        }
        let mut found = vec![];
        if tables {
            for input in &self.inputs {
                cancellation.check()?;
                found.extend(self.answer_table(model, input)?);
            }
            return Ok(found);
        }
        let data = self.inputs.chunks(BATCH).map(|texts| read_texts(model, texts));
        let data = data.collect::<Result<Vec<_>>>().map_err(|error| about_input(error, None))?;
        for data in data {
            cancellation.check()?;
            found.extend(objects(answer(model, &data)?));
        }
        Ok(found)
    }

    /// Refuse what the model's task does not have.
    fn check(&self, model: &Model) -> Result<(), Problem> {
        let translates = model.network.sequence_to_sequence().is_some();
        if !translates && (self.search.is_some() || self.alignment) {
            let name = if self.alignment { "alignment" } else { "beams" };
            let problem = format!("the model's task is {}; only translators have it", model.config.task);
            return Err(Problem::field(name, problem));
        }
        if self.format() == COLUMNS && model.config.task.name() != "tag" {
            let problem = format!("the model's task is {}; only taggers read {COLUMNS}", model.config.task);
            return Err(Problem::field("format", problem));
        }
        if self.format.is_some() && self.format() != COLUMNS && model.tokenizer.is_some() {
            let problem = "the model reads texts; only forecasters and classifiers of series read a table";
            return Err(Problem::field("format", problem));
        }
        if self.format() == SERIES && model.config.task.reads_time_series() {
            let problem = format!("the model's task is {}; expected csv, tsv or jsonl", model.config.task);
            return Err(Problem::field("format", problem));
        }
        if self.at.is_some() && !model.config.task.reads_time_series() {
            let problem = format!("the model's task is {}; only forecasters have it", model.config.task);
            return Err(Problem::field("at", problem));
        }
        if self.series_column.is_some() && (model.tokenizer.is_some() || self.format() == SERIES) {
            let problem = "names a column of a table; only forecasters and classifiers of series read one (csv, tsv, \
                           jsonl)";
            return Err(Problem::field("series_column", problem));
        }
        if let Some(columns) = further_columns(model).filter(|_| self.format() != COLUMNS) {
            let problem = format!(
                "the model also reads column {columns} of each word; set \"format\" to \"{COLUMNS}\", and give a word \
                 and its columns on each line of input"
            );
            return Err(Problem::field("format", problem));
        }
        if model.config.task.is_language_model() {
            let problem = "is a language model; ask /v1/completions or /v1/score";
            return Err(Problem::field("model", problem));
        }
        Ok(())
    }

    fn translate(&self, model: &Model, cancellation: &CancellationToken) -> Result<Vec<Value>, Problem> {
        let search = self.search.unwrap_or_default();
        let translation = Translation::new(model, search)?;
        let is_blank = |input: &String| input.trim().is_empty();
        for input in self.inputs.iter().filter(|input| !is_blank(input)) {
            let count = translation.token_count(input)?;
            if count > MOST_TOKENS {
                let problem = format!("has {count} tokens; expected at most {MOST_TOKENS}");
                return Err(Problem::field("input", problem));
            }
        }
        let mut found = vec![];
        for inputs in self.inputs.chunks((MOST_ROWS / search.beams).max(1)) {
            cancellation.check()?;
            let (answers, _) = translation.answer(inputs)?; // none is cut
            found.extend(objects(answers));
        }
        if self.alignment {
            let texts = self.inputs.iter().zip(&mut found).filter(|(input, _)| !is_blank(input));
            for (input, object) in texts {
                cancellation.check()?;
                let alignment = translation.align(input)?;
                object["alignment"] = json!({
                    "source": alignment.source, "target": alignment.target, "weights": alignment.weights,
                });
            }
        }
        Ok(found)
    }

    /// Answer a table of series, or words with their columns. It is written to a temporary file, because tables
    /// are read from files only.
    fn answer_table(&self, model: &Model, table: &str) -> Result<Vec<Value>, Problem> {
        let failed = |error: std::io::Error| Problem::failure(format!("a temporary file: {error}"));
        let suffix = format!(".{}", self.format());
        let mut file = tempfile::Builder::new().suffix(&suffix).tempfile().map_err(failed)?;
        file.write_all(table.as_bytes()).map_err(failed)?;
        let path = file.path().to_string_lossy().into_owned();
        let task = model.config.task;
        let trained = model.config.data.as_ref().and_then(|data| data.series_column.clone());
        let series_column = self.series_column.clone().or(trained);
        let start = self.at.clone().map(ForecastStart::At);
        let forecasting = start.map(|start| ForecastSpec { start, ..ForecastSpec::default() });
        let spec = DataSpec { series_column, forecasting, ..DataSpec::new(&path) };
        let data = task
            .question_data(spec, &model.config.schema)
            .and_then(|spec| task.read_questions(&spec, Some(crate::data::Split::All), model.names()))
            .map_err(|error| about_input(error, Some(&path)))?;
        let mut found = objects(answer(model, &data)?);
        if task.reads_time_series() {
            for (object, history) in found.iter_mut().zip(histories(&data, HISTORY)?) {
                object["history"] = json!(history);
            }
        }
        Ok(found)
    }
}

/// The objects of answers.
fn objects(answers: Vec<Answer>) -> Vec<Value> {
    answers.into_iter().map(|answer| answer.json).collect()
}

/// The further columns that a tagger reads beside each word; `None` if there are none.
fn further_columns(model: &Model) -> Option<String> {
    let columns = model.config.schema.pointer("/data/features")?.as_array()?;
    let names = columns.iter().map(|column| column.as_str().map_or_else(|| column.to_string(), String::from));
    Some(listed(names, ", ")).filter(|names| !names.is_empty())
}

/// An error of reading the inputs. A client does not know the temporary file at `path` that they were read from.
fn about_input(error: Error, path: Option<&str>) -> Problem {
    let shown = |problem: &str| {
        let problem = in_fields(problem);
        path.map_or(problem.clone(), |path| problem.replace(path, "the request's data"))
    };
    match error {
        Error::Invalid { field, problem } => {
            Problem::field(field_of(field).unwrap_or("input"), shown(&problem))
        }
        Error::File { problem, .. } | Error::Unsuited { problem, .. } | Error::Message(problem) => {
            Problem::field("input", shown(&problem))
        }
        error => Problem::failure(shown(&error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_of_the_server_are_no_errors_of_the_input() {
        let kind =
            |problem: Problem| problem.json()["error"]["type"].as_str().unwrap_or_default().to_string();
        let tensor = || Error::Tensor(candle_core::Error::Msg("no memory".into()));
        assert_eq!(kind(about_input(tensor(), None)), "server_error");
        assert_eq!(kind(about_input(Error::file("a.csv", "line 1: x"), None)), "invalid_request_error");
        // Answering reads no input any more.
        assert_eq!(kind(Problem::from(tensor())), "server_error");
        assert_eq!(kind(Problem::from(Error::file("m", "overflows"))), "server_error");
    }
}
