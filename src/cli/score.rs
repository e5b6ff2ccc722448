//! `rnn score`: the log-probability of each line.

use std::io::Write;
use std::path::Path;

use rnn_zoo::data::{Pieces, Split, has_columns};
use rnn_zoo::inference::Model;
use rnn_zoo::inference::score::{LineScore, score_lines};
use rnn_zoo::listing::{counted, has};
use rnn_zoo::tasks::DataSpec;
use rnn_zoo::tokenizer::{Tokenizer, Unknown};

use super::bundle_argument::load_model;
use super::compute::Compute;
use super::outcome::Outcome;
use super::precision::PrecisionArg;
use super::read_args::{ReadArgs, announce};
use super::texts::{Texts, open_lines};
use super::up_to_error::{at_text, up_to_error};
use crate::cli::note::note;

/// Print the log-probability of each line, in nats
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each line is scored on its own. Its end counts as a token, unless the model was trained on text without line \
ends. One line is printed for each line read, in the same order.

Examples:
  rnn score my-model hypotheses.txt                    logprob, tokens, text
  nbest | rnn score my-model | sort -rg | head -1      the most likely line
  rnn score my-model hypotheses.txt --json --tokens    every token
  rnn score my-model reviews.csv --text-column review  one line a record")]
pub struct Args {
    /// A bundle, or hf://OWNER/NAME
    #[arg(value_name = "BUNDLE")]
    bundle: String,

    /// A file of lines, or a .csv, .tsv or .jsonl file, of which the text of each record is scored; - is standard
    /// input
    #[arg(value_name = "FILE", default_value = "-")]
    file: String,

    #[command(flatten)]
    read: ReadArgs,

    /// Print the log-probability and the text of each token too, below its line, after a tab. Bytes that are no whole
    /// character are printed as \xNN
    #[arg(long)]
    tokens: bool,

    /// Print one JSON object a line
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    compute: Compute,
    #[command(flatten)]
    pub(super) precision: PrecisionArg,
}

/// Run the command.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let device = args.compute.open()?;
    let lines =
        if has_columns(Path::new(&args.file)) { None } else { Some(open_lines(&args.file, &args.read)?) };
    let model = load_model(&args.bundle, &device)?;
    let mut input = match lines {
        Some(lines) => Texts::Lines(lines),
        None => Texts::Records(records(args, &model)?),
    };
    let mut out = std::io::stdout().lock();
    let mut seen = Seen::default();
    loop {
        let (texts, end) = input.available();
        let (scores, failed) = up_to_error(&texts, |texts| score_lines(&model, texts));
        for (text, score) in texts.iter().zip(&scores) {
            let tokenizer = model.tokenizer()?;
            seen.add(score);
            match args.json {
                true => writeln!(out, "{}", score.json(tokenizer, text, args.tokens))?,
                false => write_text(&mut out, tokenizer, text, score, args.tokens)?,
            }
        }
        out.flush()?;
        if let Some(error) = failed {
            return Err(at_text(&args.file, input.unit(), seen.lines + 1, error).into());
        }
        match end {
            Ok(true) => continue,
            Ok(false) => break,
            Err(error) => return Err(error.into()),
        }
    }
    seen.report(model.tokenizer()?.unit());
    Ok(Outcome::Done)
}

/// Counts of lines and tokens so far.
#[derive(Default)]
struct Seen {
    lines: usize,
    /// Lines with something unknown.
    unknown_lines: usize,
    tokens: usize,
    unknown: Unknown,
}

impl Seen {
    fn add(&mut self, score: &LineScore) {
        self.lines += 1;
        self.unknown_lines += usize::from(score.unknown.total() > 0);
        self.tokens += score.tokens.len();
        self.unknown += score.unknown;
    }

    /// Print what is unknown in all lines. `unit` is the noun for a token.
    fn report(&self, unit: &str) {
        let Self { lines, unknown_lines, tokens, unknown: Unknown { tokens: unknown, dropped } } = self;
        if *unknown > 0 {
            note!(
                "{unknown} of {} unknown to the model, in {unknown_lines} of {}; scored as <unk>",
                counted(*tokens as u64, unit),
                counted(*lines as u64, "line")
            );
        }
        if *dropped > 0 {
            note!(
                "{} {} no token, in {unknown_lines} of {}; left out and not scored",
                counted(*dropped, "character"),
                has(*dropped),
                counted(*lines as u64, "line")
            );
        }
    }
}

fn write_text(
    out: &mut impl Write,
    tokenizer: &Tokenizer,
    text: &str,
    score: &LineScore,
    tokens: bool,
) -> std::io::Result<()> {
    // A record may hold several lines.
    let text = text.replace('\n', "\\n");
    writeln!(out, "{:.6}\t{}\t{text}", score.logprob(), score.tokens.len())?;
    if tokens {
        for (&id, logprob) in score.tokens.iter().zip(&score.logprobs) {
            let token = tokenizer.token_text(id).unwrap_or_default();
            // A line end among the tokens must not break the table.
            let token: String = token
                .chars()
                .flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] })
                .collect();
            writeln!(out, "\t{logprob:.6}\t{token}")?;
        }
    }
    Ok(())
}

/// The texts of a file of records, those without any too.
fn records(args: &Args, model: &Model) -> anyhow::Result<Pieces> {
    let mut spec = args.read.apply(DataSpec::new(&args.file));
    args.read.check_columns(&spec, Some(model.config.task))?;
    spec.columns.text = spec.columns.text.or_else(|| model.config.text_column.clone());
    let corpus = spec.corpus()?.with_incomplete();
    announce(&corpus, Some(Split::All))?;
    Ok(corpus.pieces(Split::All)?)
}
