//! `rnn eval`: a model's scores on data.

use std::io::Write;

use rnn_zoo::data::corpus::{Columns, Fractions};
use rnn_zoo::data::source::{Builtin, Source, Split};
use rnn_zoo::evaluate::evaluate;
use rnn_zoo::model::Model;
use rnn_zoo::task::{DataSpec, Task};
use rnn_zoo::{Error, grammar};
use serde_json::json;

use super::{Compute, Outcome, bundle_path, number};

/// Score a model on data: loss, perplexity, bits a token
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rnn eval my-model --data my.txt                   all of a file
  rnn eval my-model --data ptb/ --split valid       one split of a folder
  rnn eval lstm-story --data builtin:story --json   the built-in test split, as JSON")]
pub struct Args {
    /// A bundle, or hf://OWNER/NAME
    #[arg(value_name = "BUNDLE")]
    bundle: String,

    #[command(flatten)]
    data: DataArgs,

    /// Lanes to read a text in: 1 gives every token all that comes before it, more are faster
    #[arg(long, value_name = "N", value_parser = number::count)]
    batch_size: Option<usize>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    compute: Compute,
}

/// Data for a model that is there already.
#[derive(Debug, clap::Args)]
pub struct DataArgs {
    /// A text, .csv or .jsonl file, a folder, builtin:NAME or hf://datasets/OWNER/NAME/FILE
    #[arg(long, value_name = "DATA")]
    pub data: Option<String>,

    /// train, valid, test or all [default: all of a file; test of a folder or a built-in]
    #[arg(long, value_name = "NAME")]
    pub split: Option<Split>,

    /// Column or field that holds the text
    #[arg(long, value_name = "NAME")]
    text_column: Option<String>,

    /// Column or field that holds the class
    #[arg(long, value_name = "NAME")]
    label_column: Option<String>,

    /// Share of a single file that training held out for validation
    #[arg(long, value_name = "X", default_value_t = 0.05, hide_short_help = true)]
    valid_fraction: f64,

    /// Share of a single file that training held out for testing
    #[arg(long, value_name = "X", default_value_t = 0.05, hide_short_help = true)]
    test_fraction: f64,

    /// Seed of built-in data
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

impl DataArgs {
    /// What to read; a classifier's classes are by default in the column `label`.
    pub fn spec(&self, data: &str, task: Task) -> DataSpec {
        let label = match task {
            Task::Classify => Some(self.label_column.clone().unwrap_or_else(|| "label".into())),
            _ => self.label_column.clone(),
        };
        DataSpec {
            data: data.to_string(),
            columns: Columns { text: self.text_column.clone(), label },
            fractions: Fractions { valid: self.valid_fraction, test: self.test_fraction },
            seed: self.seed,
        }
    }

    /// What to read where no class is wanted.
    pub fn unlabelled(&self, data: &str) -> DataSpec {
        self.spec(data, Task::Lm)
    }
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let device = args.compute.open()?;
    let model = Model::load(&bundle_path(&args.bundle)?, &device)?;
    let task = model.config.task;
    let Some(data) = args.data.data.as_deref() else {
        return Err(
            Error::usage("--data", "name the data to score the model on, such as --data my.txt").into()
        );
    };
    let spec = args.data.spec(data, task);
    let (dataset, split) =
        spec.read_split(task, args.data.split, model.tokenizer.as_ref(), &model.config.labels)?;
    let lanes = match (args.batch_size, task) {
        (Some(lanes), _) => lanes,
        (None, Task::Lm) => 1,
        (None, _) => 64,
    };
    let scores = evaluate(model.network.as_ref(), &dataset, lanes, &device)?;
    let floor = match (&model.tokenizer, task) {
        (Some(tokenizer), Task::Lm) => spec.floor(tokenizer, &dataset)?,
        _ => None,
    };
    // The grammar knows every right answer, so a model can be held to all of them.
    let legal = match spec.source()? {
        Source::Builtin(Builtin::Reber) if task == Task::Lm => {
            Some(grammar::check_reber(&model, spec.seed, 1000)?)
        }
        _ => None,
    };
    let mut out = std::io::stdout().lock();
    if args.json {
        let mut line = json!({ "task": task.name(), "split": split.name() });
        let scores = serde_json::to_value(scores)?;
        if let (Some(line), Some(scores)) = (line.as_object_mut(), scores.as_object()) {
            line.extend(scores.clone());
            line.extend(floor.map(|floor| ("floor".to_string(), json!(floor))));
            line.extend(legal.map(|legal| ("grammar".to_string(), json!(legal))));
        }
        writeln!(out, "{line}")?;
        return Ok(Outcome::Done);
    }
    let unit = model.tokenizer.as_ref().filter(|_| task == Task::Lm).map_or(task.unit().target, |t| t.unit());
    writeln!(out, "{split}: {} {unit}s", scores.tokens)?;
    match scores.perplexity {
        Some(perplexity) => {
            writeln!(out, "loss {:.4} nats a {unit}, perplexity {perplexity:.2}", scores.loss)
        }
        None => writeln!(out, "squared error {:.6}", scores.loss),
    }?;
    if let Some(bits) = scores.bits_per_token {
        writeln!(out, "{bits:.4} bits a {unit}")?;
    }
    if let Some(floor) = floor {
        writeln!(
            out,
            "the least possible loss is {floor:.4} nats, this is {:.1} % above",
            100. * (scores.loss / floor - 1.)
        )?;
    }
    if let Some(accuracy) = scores.accuracy.filter(|_| task != Task::Lm) {
        writeln!(out, "accuracy {:.2} %", 100. * accuracy)?;
    }
    if let Some(legal) = legal {
        writeln!(
            out,
            "grammar: {} of {} unseen strings right at every step, {} of {} steps, {} embedded symbols",
            legal.strings_right, legal.strings, legal.steps_right, legal.steps, legal.embedded_right
        )?;
    }
    writeln!(out, "{:.1} s, {:.0} {unit}s/s", scores.seconds, scores.tokens_per_second)?;
    Ok(Outcome::Done)
}
