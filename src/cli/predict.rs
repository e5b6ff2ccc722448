//! `rnn predict`: classes, tags or numbers for sequences.

use std::io::Write;

use rnn_zoo::data::source::Split;
use rnn_zoo::inference::predict::{Answer, answer, check, classify};
use rnn_zoo::tasks::Task;
use serde_json::json;

use super::bundle_argument::load_model;
use super::compute::Compute;
use super::eval;
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
    data: eval::DataArgs,

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
    if args.text.is_none() {
        check(&model)?; // before its data is read
    }
    let answers = match (&args.text, &args.data.data) {
        (Some(text), _) => classify(&model, vec![text.clone()])?,
        (None, Some(data)) if task == Task::Classify => {
            let corpus = args.data.unlabelled(data, &model.config).corpus()?;
            let split = args.data.split.unwrap_or_else(|| corpus.default_split());
            // A line's end is no part of its text; a record is taken as it is.
            let texts =
                corpus.pieces(split)?.map(|piece| Ok(piece?.text.trim_end_matches(['\r', '\n']).to_string()));
            classify(&model, texts.collect::<rnn_zoo::Result<_>>()?)?
        }
        (None, data) => {
            let spec = args.data.spec(data.as_deref().unwrap_or_default(), &model.config);
            let split = args.data.split.or(Some(Split::Test));
            answer(&model, &spec.read_split(task, split, model.tokenizer.as_ref(), &[])?.0)?
        }
    };
    let mut out = std::io::stdout().lock();
    for answer in &answers {
        writeln!(out, "{}", if args.json { as_json(answer).to_string() } else { as_text(answer) })?;
    }
    Ok(Outcome::Done)
}

fn as_json(answer: &Answer) -> serde_json::Value {
    match answer {
        Answer::Class { label, probability } => json!({ "label": label, "probability": probability }),
        Answer::Tags(tags) => json!({ "tags": tags }),
        Answer::Values(values) => json!({ "values": values }),
    }
}

fn as_text(answer: &Answer) -> String {
    let joined = |words: Vec<String>| words.join(" ");
    match answer {
        Answer::Class { label, probability } => format!("{label}\t{probability:.4}"),
        Answer::Tags(tags) => joined(tags.iter().map(u32::to_string).collect()),
        Answer::Values(values) => joined(values.iter().map(|value| format!("{value:.6}")).collect()),
    }
}
