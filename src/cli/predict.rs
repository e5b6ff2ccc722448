//! `rnn predict`: classes, tags or numbers of sequences.

use std::io::Write;

use rnn_zoo::data::dataset::Dataset;
use rnn_zoo::inference::Model;
use rnn_zoo::inference::predict::{answer, check, read_texts};
use rnn_zoo::tasks::ForecastStart;
use rnn_zoo::tokenizer::fold_line_ends;

use super::bundle_argument::load_model;
use super::compute::Compute;
use super::data_args::DataArgs;
use super::flags::usage;
use super::forecast_args::starting;
use super::forecast_table::forecast_table;
use super::outcome::Outcome;
use super::unknown;
use crate::cli::note::note;

/// Classify text, tag sequences, forecast numbers
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rnn predict my-classifier --text 'Who wrote Hamlet ?'
  rnn predict my-classifier --data questions.csv --text-column text --json
  rnn predict lstm-adding --data builtin:adding --split test
  rnn predict my-forecaster --data sales.csv --csv            the steps after the last known one
  rnn predict my-forecaster --data sales.csv --at 2024-01-01  from that time on

With --json, a classifier prints label, probability, and probabilities by label; a tagger tokens and tags; a forecaster
series, start, mean and quantiles, where start is the time of the first value, or its step, counted from 0.")]
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
    compute: Compute,
}

/// Run the command.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    if args.text.is_none() && args.data.data.is_none() {
        return Err(usage(
            "--text or --data",
            "is missing: one text, or a file of texts; expected one of the two",
        ));
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
    args.check_forecast(&model)?;
    let data = args.read(&model)?;
    let answers = answer(&model, &data)?;
    let mut out = std::io::stdout().lock();
    if args.csv {
        forecast_table(&mut out, &answers)?;
    }
    for answer in answers.iter().filter(|_| !args.csv) {
        match args.json {
            true => writeln!(out, "{}", answer.json)?,
            false => writeln!(out, "{}", answer.text)?,
        }
    }
    out.flush()?;
    unknown::line(&data, model.tokenizer.as_ref()).iter().for_each(|line| note!("{line}"));
    Ok(Outcome::Done)
}

impl Args {
    /// Refuse flags that only a forecaster has.
    fn check_forecast(&self, model: &Model) -> anyhow::Result<()> {
        let given = [("--csv", self.csv), ("--at", self.at.is_some())];
        let task = model.config.task;
        match given.iter().find(|(_, given)| *given) {
            Some((flag, _)) if !task.reads_time_series() || model.config.schema.is_null() => {
                let problem =
                    format!("{} is a {task} model; only a forecaster of tables has it", self.bundle);
                Err(usage(*flag, problem))
            }
            _ => Ok(()),
        }
    }

    /// The sequences to answer.
    fn read(&self, model: &Model) -> anyhow::Result<Dataset> {
        let task = model.config.task;
        if let Some(text) = &self.text {
            return Ok(read_texts(model, std::slice::from_ref(text))?);
        }
        let data = self.data.data.as_deref().unwrap_or_default();
        if task.text_reader().is_none() {
            let spec = self.data.spec(data, &model.config);
            self.data.check_sequences(&spec)?;
            let start = self.at.clone().map_or(ForecastStart::End, ForecastStart::At);
            let spec = starting(spec, start);
            return Ok(task.read_questions(&spec, self.data.split, model.names())?);
        }
        let spec = self.data.unlabelled(data, &model.config);
        if !spec.is_text()? {
            return Ok(task.read_questions(&spec, self.data.split, model.names())?);
        }
        let corpus = self.data.texts(data, &model.config)?;
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
