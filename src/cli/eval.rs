//! `rnn eval`: a model's scores on data.

mod adaptive;
mod report;

use std::io::Write;

use adaptive::{AdaptiveArgs, Subject};
use report::Report;
use rnn_zoo::data::dataset::Dataset;
use rnn_zoo::data::source::{Builtin, Source};
use rnn_zoo::inference::evaluate::evaluate;
use rnn_zoo::inference::{BATCH, Model, grammar};
use rnn_zoo::models::Precision;
use rnn_zoo::tasks;

use super::bundle_argument::load_model;
use super::compute::Compute;
use super::data_args::DataArgs;
use super::flags::usage;
use super::forecast_args::ForecastEvalArgs;
use super::number;
use super::outcome::Outcome;
use super::precision::PrecisionArg;
use super::search_args::SearchArgs;
use super::unknown;
use crate::cli::note::note;

/// Strings of the grammar that a model of `builtin:reber` is tested on.
const GRAMMAR_STRINGS: usize = 1000;

/// Evaluate a model on data: the loss and the metrics of its task
#[derive(Debug, clap::Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "\
Examples:
  rnn eval my-model --data my.txt                  what was held out
  rnn eval my-model --data ptb/ --split valid      one split of a folder
  rnn eval lstm-story --data builtin:story --json  built-in data, as JSON
  rnn eval my-classifier --data test.csv           accuracy and more, by class
  rnn eval my-model --data ptb/ --cache 500        with a neural cache
  rnn eval my-model --data ptb/ --dynamic          with dynamic evaluation

Figures of a classifier: accuracy; macro_f1, the mean F1 of the classes that occur in the data or among the answers; \
per_class with precision, recall, f1 and support (0 / 0 is 0); confusion with a row for each true class, in the order \
of labels. Of a tagger: accuracy over words; precision, recall and f1 over spans where the tags are BIO or BIOES, \
otherwise as means over the tags. Of a forecaster: mae, rmse, mse, smape in percent, mase, and the same of two naive \
forecasts. Of several columns that are standardised, mae, rmse and mse are those of standardised values. A forecaster is \
evaluated at every step of the split, or with --stride at every so many. Of a translator: perplexity with the true \
tokens before each; bleu and chrf as sacrebleu computes them, and exact, the share of translations that are right word \
for word, all with --beams."
)]
pub struct Args {
    /// A bundle, or hf://OWNER/NAME
    #[arg(value_name = "BUNDLE")]
    bundle: String,

    #[command(flatten)]
    data: DataArgs,

    /// Sequences in a batch. A text is cut into as many rows: with 1, the default, every token has all tokens before it
    /// as context, more are faster
    #[arg(long, value_name = "N", value_parser = number::count)]
    batch_size: Option<usize>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    walk: ForecastEvalArgs,

    #[command(flatten)]
    adaptive: AdaptiveArgs,

    #[command(flatten)]
    search: SearchArgs,

    #[command(flatten)]
    compute: Compute,
    #[command(flatten)]
    pub(super) precision: PrecisionArg,
}

/// Run the command.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let device = args.compute.open()?;
    let model = load_model(&args.bundle, &device)?;
    let task = model.config.task;
    let data = args.checked_data(&model)?;
    let spec = args.walk.apply(args.data.spec(data, &model.config));
    let split = args.data.announced_split(&spec, &model.config)?;
    let (dataset, split) = task.read_split(&spec, split, model.names())?;
    let rows = args.batch_size.unwrap_or(match dataset {
        Dataset::Stream { .. } => 1,
        Dataset::Examples(_) => BATCH,
    });
    let meter = match args.search.options(&args.bundle, &model)? {
        Some(options) => tasks::translate::meter(model.names(), options),
        None => task.meter(model.names()),
    };
    dataset.notes().iter().for_each(|note| note!("{note}"));
    let scores = evaluate(model.network.as_ref(), &dataset, rows, meter, &device)?;
    let floor = match &model.tokenizer {
        Some(tokenizer) => tasks::floor(&spec, tokenizer, &dataset)?,
        None => None,
    };
    // The grammar gives the legal symbols of every step, so that the model can be tested on all of them.
    let legality = match spec.source()? {
        Source::Builtin(Builtin::Reber) if task.is_language_model() => {
            grammar::check_reber(&model, spec.seed, GRAMMAR_STRINGS)?
        }
        _ => None,
    };
    let unknown = unknown::count(&dataset, model.tokenizer.as_ref());
    let subject = Subject { path: model.path(), model: &model, spec: &spec, dataset: &dataset };
    let adapted = args.adaptive.run(&subject)?;
    let unit = task.unit(model.tokenizer.as_ref()).target;
    let report = Report { task, split, unit, scores, unknown, floor, legality, adapted };
    let mut out = std::io::stdout().lock();
    match args.json {
        true => writeln!(out, "{}", report.as_json()?)?,
        false => report.lines().iter().try_for_each(|line| writeln!(out, "{line}"))?,
    }
    out.flush()?;
    // The unknown tokens of running text are targets, so that the report itself has a line about them.
    if let Dataset::Examples(_) = &dataset {
        unknown::line(&dataset, model.tokenizer.as_ref()).iter().for_each(|line| note!("{line}"));
    }
    Ok(Outcome::Done)
}

impl Args {
    /// The data to score the model on. Refuse adaptation of a model that is not a language model.
    fn checked_data(&self, model: &Model) -> anyhow::Result<&str> {
        let Some(data) = self.data.data.as_deref() else {
            return Err(usage("--data", "name the data to score the model on, such as --data my.txt"));
        };
        let task = model.config.task;
        if let Some(flag) = self.walk.given().filter(|_| !task.reads_time_series()) {
            let problem = format!("{} is {}; only a forecaster has it", self.bundle, task.model());
            return Err(usage(flag, problem));
        }
        match self.adaptive.flag() {
            Some("--dynamic") if !Precision::current().has_gradients() => {
                let flags = format!("--dynamic with --precision {}", Precision::current());
                Err(usage(&flags, "it trains, and that precision has no gradients; use f32 or bf16"))
            }
            Some(flag) if !task.is_language_model() => {
                let problem = format!(
                    "{} is {}; only a language model adapts to the text at hand",
                    self.bundle,
                    task.model()
                );
                Err(usage(flag, problem))
            }
            _ => Ok(data),
        }
    }
}
