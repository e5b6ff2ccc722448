//! `rnn predict`: classes, tags, numbers or translations of sequences.

use std::io::Write;

use rnn_zoo::data::dataset::Dataset;
use rnn_zoo::inference::Model;
use rnn_zoo::inference::predict::{answer, check, read_texts};
use rnn_zoo::tasks::{Answer, ForecastStart};
use rnn_zoo::tokenizer::fold_line_ends;

use super::bundle_argument::load_model;
use super::compute::Compute;
use super::data_args::DataArgs;
use super::flags::usage;
use super::forecast_args::starting;
use super::forecast_table::forecast_table;
use super::outcome::Outcome;
use super::precision::PrecisionArg;
use super::search_args::SearchArgs;
use super::texts::open_lines;
use super::translate::{self, Request};
use super::unknown;
use super::up_to_error::{at_text, up_to_error};
use crate::cli::note::note;

/// Classify text, tag sequences, forecast numbers, translate
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rnn predict my-classifier --text 'Who wrote Hamlet ?'
  rnn predict my-classifier --data questions.csv --text-column text --json
  rnn predict my-classifier --data - <questions.txt           as lines arrive
  rnn predict lstm-adding --data builtin:adding --split test
  rnn predict my-translator --data sources.txt --beams 5      each line
  rnn predict my-forecaster --data sales.csv --csv            from the end on
  rnn predict my-forecaster --data sales.csv --at 2024-01-01  from that time on

With --json, a classifier prints label, probability, and probabilities by label; a tagger tokens and tags; a forecaster \
series, start, mean and quantiles, where start is the time of the first value, or its step, counted from 0; a translator \
source, text and score, the log-probability divided by the number of tokens.")]
pub struct Args {
    /// A bundle, or hf://OWNER/NAME
    #[arg(value_name = "BUNDLE")]
    bundle: String,

    /// One text
    #[arg(long, value_name = "TEXT", conflicts_with = "data")]
    text: Option<String>,

    #[command(flatten)]
    data: DataArgs,

    /// Print one JSON object a sequence
    #[arg(long)]
    json: bool,

    /// Print a table of the steps of forecasts: series, time, mean and quantiles
    #[arg(long, conflicts_with = "json")]
    csv: bool,

    /// First step of forecasts: a time as the data has it, or the number of a step [default: after the last known one]
    #[arg(long, value_name = "TIME", requires = "data", allow_hyphen_values = true)]
    at: Option<String>,

    #[command(flatten)]
    search: SearchArgs,

    #[command(flatten)]
    compute: Compute,
    #[command(flatten)]
    pub(super) precision: PrecisionArg,
}

/// Print a note if the first line of standard input is the header of a table like that of the training: its lines are
/// answered as they stand.
fn note_of_header(line: &str, model: &Model) {
    let Some(column) = model.config.text_column.as_deref() else { return };
    let has_column = |delimiter: char| {
        let mut names = line.split(delimiter).map(|name| name.trim().trim_matches('"'));
        line.contains(delimiter) && names.any(|name| name == column)
    };
    if [',', '\t', ';'].into_iter().any(has_column) {
        note!(
            "standard input begins with {line:?}, the header of a table; each whole line is one text (--data FILE.csv \
             reads the column `{column}`)"
        );
    }
}

/// Run the command.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    if args.text.is_none() && args.data.data.is_none() {
        return Err(usage(
            "--text or --data",
            "is missing: one text, or a file of texts; expected one of the two",
        ));
    }
    if args.text.as_deref() == Some("-") {
        return Err(usage("--text", "is one text; use --data - for the lines of standard input"));
    }
    let device = args.compute.open()?;
    let model = load_model(&args.bundle, &device)?;
    match (&args.text, args.data.given()) {
        (Some(_), Some(flag)) => {
            return Err(usage(flag, "is about --data, but --text is given; leave it out"));
        }
        (Some(_), None) => {}
        (None, _) => check(&model)?, // before its data is read
    }
    if let Some(options) = args.search.options(&args.bundle, &model)? {
        let request = Request { text: args.text.as_deref(), data: &args.data, json: args.json };
        translate::run(&model, &request, options)?;
        return Ok(Outcome::Done);
    }
    args.check_forecast(&model)?;
    if args.data.data.as_deref() == Some("-") && model.config.task.text_reader().is_some() {
        args.answer_lines(&model)?;
        return Ok(Outcome::Done);
    }
    let data = args.read(&model)?;
    args.print(&answer(&model, &data)?)?;
    unknown::line(&data, model.tokenizer.as_ref()).iter().for_each(|line| note!("{line}"));
    Ok(Outcome::Done)
}

impl Args {
    /// Refuse flags that only a forecaster has, and those that it does not.
    fn check_forecast(&self, model: &Model) -> anyhow::Result<()> {
        let is_forecaster = model.config.task.reads_time_series() && !model.config.schema.is_null();
        if let Some(flag) = self.data.given_of_splits().filter(|_| is_forecaster) {
            return Err(usage(flag, "a forecast starts at the end of the data; leave it out, or use --at"));
        }
        let given = [("--csv", self.csv), ("--at", self.at.is_some())];
        let task = model.config.task;
        match given.iter().find(|(_, given)| *given) {
            Some((flag, _)) if !is_forecaster => {
                let problem =
                    format!("{} is {}; only a forecaster of tables has it", self.bundle, task.model());
                Err(usage(*flag, problem))
            }
            _ => Ok(()),
        }
    }

    /// Answer the lines of standard input as they arrive.
    fn answer_lines(&self, model: &Model) -> anyhow::Result<()> {
        if let Some(flag) = self.data.given_of_splits() {
            return Err(usage(
                flag,
                "has no effect on standard input, whose lines are all predicted; leave it out",
            ));
        }
        let mut lines = open_lines("-", &self.data.read)?;
        let tokenizer = model.tokenizer.as_ref();
        let (mut unknown, mut tokens, mut answered) = (0, 0, 0);
        let mut is_first = true;
        loop {
            let (texts, more) = lines.available();
            if let Some(first) = texts.first().filter(|_| std::mem::take(&mut is_first)) {
                note_of_header(first, model);
            }
            if !texts.is_empty() {
                let (answers, failed) = up_to_error(&texts, |texts| {
                    let data = read_texts(model, texts)?;
                    let answers = answer(model, &data)?;
                    unknown += unknown::count(&data, tokenizer).map_or(0, |unknown| unknown.tokens);
                    tokens += data.token_count();
                    Ok(answers)
                });
                self.print(&answers)?;
                answered += answers.len();
                if let Some(error) = failed {
                    return Err(at_text("-", "line", answered + 1, error).into());
                }
            }
            if !more? {
                unknown::share(unknown, tokens, tokenizer).iter().for_each(|line| note!("{line}"));
                return Ok(());
            }
        }
    }

    /// Print answers.
    fn print(&self, answers: &[Answer]) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        if self.csv {
            forecast_table(&mut out, answers)?;
        }
        for answer in answers.iter().filter(|_| !self.csv) {
            match self.json {
                true => writeln!(out, "{}", answer.json)?,
                false => writeln!(out, "{}", answer.text)?,
            }
        }
        Ok(out.flush()?)
    }

    /// The sequences to answer.
    fn read(&self, model: &Model) -> anyhow::Result<Dataset> {
        let task = model.config.task;
        if let Some(text) = &self.text {
            if model.tokenizer.is_none() && task.text_reader().is_some() {
                let problem = format!("{} reads no text, but sequences; give them with --data", self.bundle);
                return Err(usage("--text", problem));
            }
            return Ok(read_texts(model, std::slice::from_ref(text))?);
        }
        let data = self.data.data.as_deref().unwrap_or_default();
        if task.text_reader().is_none() {
            let spec = self.data.spec(data, &model.config);
            self.data.check_effect(&spec, &model.config)?;
            self.data.check_sequences(&spec)?;
            if model.config.schema.is_null() {
                self.data.announce_default(&spec)?;
            }
            self.data.announce_answered(&spec)?;
            let start = self.at.clone().map_or(ForecastStart::End, ForecastStart::At);
            let spec = starting(spec, start);
            return Ok(task.read_questions(&spec, self.data.split, model.names())?);
        }
        let spec = task.question_data(self.data.unlabelled(data, &model.config), &model.config.schema)?;
        self.data.check_effect(&spec, &model.config)?;
        if !spec.is_text()? {
            self.data.announce_answered(&spec)?;
            self.data.announce_default(&spec)?;
            return Ok(task.read_questions(&spec, self.data.split, model.names())?);
        }
        let corpus = self.data.texts(data, &model.config)?;
        self.data.announce_default(&spec)?;
        let split = self.data.split.unwrap_or_else(|| corpus.default_split());
        let texts = corpus.pieces(split)?.map(|piece| Ok(piece?.text));
        let mut texts = texts.collect::<rnn_zoo::Result<Vec<_>>>()?;
        if !corpus.is_records() {
            // Each line is a text. Long lines come in several pieces.
            texts = fold_line_ends(&texts.concat()).lines().map(String::from).collect();
        }
        Ok(read_texts(model, &texts)?)
    }
}
