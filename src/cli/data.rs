//! `rnn data`: the texts of a data source, as models read them.

use std::io::Write;

use rnn_zoo::data::source::Split;
use rnn_zoo::data::{Columns, Corpus, Fractions};

use super::flags;
use super::outcome::Outcome;

/// Print the texts of a data source: what a model would read
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rnn data builtin:story | head -3                             what the built-in stories look like
  rnn data builtin:story --split train > train.txt             for other programs
  rnn data reviews.csv --text-column review --split valid      what `rnn train` would hold out")]
pub struct Args {
    /// A text, .csv or .jsonl file, a folder, builtin:story|reber or hf://datasets/OWNER/NAME/FILE
    #[arg(value_name = "DATA")]
    data: String,

    /// train, valid, test or all [default: all of a file; test of a folder or a built-in]
    #[arg(long, value_name = "NAME", value_parser = flags::split())]
    split: Option<Split>,

    /// Column or field that holds the text
    #[arg(long, value_name = "NAME")]
    text_column: Option<String>,

    /// Column or field that holds the class, which is not printed: the text is the other
    #[arg(long, value_name = "NAME")]
    label_column: Option<String>,

    /// Share of a single file that training would hold out for validation
    #[arg(long, value_name = "X", default_value_t = Fractions::default().valid)]
    valid_fraction: f64,

    /// Share of a single file that training would hold out for testing
    #[arg(long, value_name = "X", default_value_t = Fractions::default().test)]
    test_fraction: f64,

    /// Seed of built-in data
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let columns = Columns { text: args.text_column.clone(), label: args.label_column.clone() };
    let fractions = Fractions { valid: args.valid_fraction, test: args.test_fraction };
    let corpus = Corpus::open(&args.data.parse()?, &columns, args.seed)?.with_fractions(fractions)?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for piece in corpus.pieces(args.split.unwrap_or(corpus.default_split()))? {
        let text = piece?.text;
        out.write_all(text.as_bytes())?;
        if corpus.is_records() {
            out.write_all(b"\n")?;
        }
    }
    out.flush()?;
    Ok(Outcome::Done)
}
