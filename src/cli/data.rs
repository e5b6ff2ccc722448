//! `rnn data`: the texts of a data source, as models read them.

use std::io::Write;

use rnn_zoo::data::source::Split;
use rnn_zoo::tasks::DataSpec;

use super::flags;
use super::outcome::Outcome;
use super::read_args::{ReadArgs, announce_corpus};

/// Print the texts of a data source: as a model reads them
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The column of --label-column is not printed: the text is the other. Records of each class are split alike, so name it
to see the splits of a classifier.

Examples:
  rnn data builtin:story | head -3                             what the built-in stories look like
  rnn data builtin:story --split train > train.txt             for other programs
  rnn data reviews.csv --text-column review --split valid      what `rnn train` would hold out")]
pub struct Args {
    /// A text, .csv, .tsv or .jsonl file, a folder, builtin:story|reber or hf://datasets/OWNER/NAME/FILE
    #[arg(value_name = "DATA")]
    data: String,

    /// train, valid, test or all [default: all of a file; test of a folder or a built-in]
    #[arg(long, value_name = "NAME", value_parser = flags::split())]
    split: Option<Split>,

    #[command(flatten)]
    read: ReadArgs,

    /// Fraction that training would hold out for validation [default: 0.05 of a file; 0.1 of the train file of a folder
    /// without valid]
    #[arg(long, value_name = "X")]
    valid_fraction: Option<f64>,

    /// Fraction of a single file that training would hold out for testing [default: 0.05]
    #[arg(long, value_name = "X")]
    test_fraction: Option<f64>,

    /// Seed of built-in data
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

/// Run the command.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let mut spec = args.read.apply(DataSpec::new(&args.data));
    spec.fractions.valid = args.valid_fraction.unwrap_or(spec.fractions.valid);
    spec.fractions.test = args.test_fraction.unwrap_or(spec.fractions.test);
    spec.seed = args.seed;
    let corpus = spec.corpus()?;
    let split = args.split.unwrap_or(corpus.default_split());
    announce_corpus(&corpus, Some(split))?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for piece in corpus.pieces(split)? {
        let text = piece?.text;
        out.write_all(text.as_bytes())?;
        if corpus.is_records() {
            out.write_all(b"\n")?;
        }
    }
    out.flush()?;
    Ok(Outcome::Done)
}
