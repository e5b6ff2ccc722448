//! `rnn predict`: classes, tags or numbers for sequences.

use std::io::Write;

use rnn_zoo::data::source::Split;
use rnn_zoo::inference::predict::{answer, answer_texts, check};

use super::bundle_argument::load_model;
use super::compute::Compute;
use super::data_args::DataArgs;
use super::flags::usage;
use super::outcome::Outcome;

/// Classify text, tag sequences, forecast numbers
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rnn predict my-classifier --text 'Who wrote Hamlet ?'
  rnn predict my-classifier --data questions.csv --text-column text --json
  rnn predict lstm-adding --data builtin:adding --split test")]
pub struct Args {
    /// A bundle, or hf://OWNER/NAME
    #[arg(value_name = "BUNDLE")]
    bundle: String,

    /// One text
    #[arg(long, value_name = "TEXT", conflicts_with = "data", required_unless_present = "data")]
    text: Option<String>,

    #[command(flatten)]
    data: DataArgs,

    /// Print one JSON object a sequence
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    compute: Compute,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let device = args.compute.open()?;
    let model = load_model(&args.bundle, &device)?;
    let task = model.config.task;
    match (&args.text, args.data.read.given()) {
        (Some(_), Some(flag)) => {
            return Err(usage(flag, "is about the files of --data, but --text is given"));
        }
        (Some(_), None) => {}
        (None, _) => check(&model)?, // before its data is read
    }
    let answers = match (&args.text, &args.data.data) {
        (Some(text), _) => answer_texts(&model, std::slice::from_ref(text))?,
        (None, Some(data)) if task.text_reader().is_some() => {
            let corpus = args.data.texts(data, &model.config)?;
            let split = args.data.split.unwrap_or_else(|| corpus.default_split());
            // A line's end is no part of its text; a record is taken as it is.
            let texts =
                corpus.pieces(split)?.map(|piece| Ok(piece?.text.trim_end_matches(['\r', '\n']).to_string()));
            answer_texts(&model, &texts.collect::<rnn_zoo::Result<Vec<_>>>()?)?
        }
        (None, data) => {
            let spec = args.data.spec(data.as_deref().unwrap_or_default(), &model.config);
            let split = args.data.split.or(Some(Split::Test));
            answer(&model, &task.read_split(&spec, split, model.names())?.0)?
        }
    };
    let mut out = std::io::stdout().lock();
    for answer in &answers {
        match args.json {
            true => writeln!(out, "{}", answer.json)?,
            false => writeln!(out, "{}", answer.text)?,
        }
    }
    Ok(Outcome::Done)
}
