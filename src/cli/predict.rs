//! `rnn predict`: classes, tags or numbers of sequences.

use std::io::Write;

use rnn_zoo::data::dataset::Dataset;
use rnn_zoo::inference::Model;
use rnn_zoo::inference::predict::{answer, check, read_texts};
use rnn_zoo::tokenizer::fold_line_ends;

use super::bundle_argument::load_model;
use super::compute::Compute;
use super::data_args::DataArgs;
use super::flags::usage;
use super::outcome::Outcome;
use super::precision::PrecisionArg;
use super::unknown;
use crate::cli::note::note;

/// Classify text, tag sequences, forecast numbers
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rnn predict my-classifier --text 'Who wrote Hamlet ?'
  rnn predict my-classifier --data questions.csv --text-column text --json
  rnn predict lstm-adding --data builtin:adding --split test

With --json, a classifier prints label, probability, and probabilities by label; a tagger tokens and tags; a forecaster
series, start, mean and quantiles, where start is the time step of the first value, counted from 0.")]
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

    #[command(flatten)]
    compute: Compute,
    #[command(flatten)]
    precision: PrecisionArg,
}

/// Run the command.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    args.precision.scope(|| run_in_scope(args))
}

/// Run the command in its precision.
fn run_in_scope(args: &Args) -> anyhow::Result<Outcome> {
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
    let data = args.read(&model)?;
    let answers = answer(&model, &data)?;
    let mut out = std::io::stdout().lock();
    for answer in &answers {
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
