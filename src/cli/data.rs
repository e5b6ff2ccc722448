//! `rnn data`: the texts of a data source, as models read them.

use std::io::Write;

use rnn_zoo::Error;
use rnn_zoo::data::column_file::Sentence;
use rnn_zoo::data::source::Split;
use rnn_zoo::tasks::DataSpec;
use rnn_zoo::tasks::translate::pairs;
use rnn_zoo::tokenizer::fold_line_ends;

use super::flags::{self, usage};
use super::fractions::GivenFractions;
use super::number;
use super::outcome::Outcome;
use super::read_args::{ReadArgs, announce};

/// Print the texts of a data source as a model reads them
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The column of --label-column is not printed: the text is the other. Records of each class are split alike, so name it \
to see the splits of a classifier. Pairs of texts are printed with a tab between them, the sentences of a column file \
as word, features and tag. A line end within a record is printed as \\n.

Examples:
  rnn data builtin:story | head -3                         the built-in stories
  rnn data builtin:story --split train > train.txt         for other programs
  rnn data reviews.csv --text-column review --split valid  the part held out")]
pub struct Args {
    /// A text, .csv, .tsv or .jsonl file, a folder, builtin:story|reber|dates or hf://datasets/OWNER/NAME/FILE
    #[arg(value_name = "DATA")]
    data: String,

    /// train, valid, test or all [default: all of a file; test of a folder or a built-in]
    #[arg(long, value_name = "NAME", value_parser = flags::split())]
    split: Option<Split>,

    #[command(flatten)]
    read: ReadArgs,

    /// Fraction that training would hold out for validation [default: 0.05 of a file; 0.1 of the train file of a folder
    /// without valid]
    #[arg(long, value_name = "X", value_parser = number::share)]
    valid_fraction: Option<f64>,

    /// Fraction of a single file that training would hold out for testing [default: 0.05]
    #[arg(long, value_name = "X", value_parser = number::share)]
    test_fraction: Option<f64>,

    /// Seed of built-in data
    #[arg(long, value_name = "N", value_parser = number::seed, default_value_t = 1)]
    seed: u64,
}

/// Run the command. Errors about the data name the argument: this command has no `--data`.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    print(args).map_err(|error| match error.downcast::<Error>() {
        Ok(Error::Invalid { field: "data", problem }) => usage("DATA", flags::translated(&problem)),
        Ok(error) => error.into(),
        Err(error) => error,
    })
}

/// Print the texts of a split.
fn print(args: &Args) -> anyhow::Result<Outcome> {
    let mut spec = args.read.apply(DataSpec::new(&args.data));
    let fractions = GivenFractions { valid: args.valid_fraction, test: args.test_fraction };
    fractions.apply(&mut spec);
    spec.seed = args.seed;
    args.read.check_columns(&spec, None)?;
    if spec.is_pairs()? {
        return print_pairs(&spec, args.split);
    }
    if spec.is_columns()? {
        return print_columns(&spec, args.split);
    }
    if spec.is_series()? {
        let problem = format!("{} holds numeric series with classes, no texts to print", spec.data);
        return Err(Error::invalid("data", problem).into());
    }
    let corpus = spec.corpus()?;
    fractions.check(&corpus)?;
    let split = args.split.unwrap_or(corpus.default_split());
    announce(&corpus, Some(split))?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut after_return = false;
    for piece in corpus.pieces(split)? {
        let text = piece?.text;
        // The piece before may end within a `\r\n`, of which the line end is printed.
        let rest = text.strip_prefix('\n').filter(|_| after_return).unwrap_or(&text);
        after_return = text.ends_with('\r') && !corpus.is_records();
        let text = fold_line_ends(rest);
        match corpus.is_records() {
            // A record may hold several lines, and is one for programs that read lines.
            true => writeln!(out, "{}", text.replace('\n', "\\n"))?,
            false => out.write_all(text.as_bytes())?,
        }
    }
    out.flush()?;
    Ok(Outcome::Done)
}

/// Print sentences as a column file: a word, its features and its tag a line, with tabs between them.
fn print_columns(spec: &DataSpec, split: Option<Split>) -> anyhow::Result<Outcome> {
    let corpus = spec.column_corpus(None)?;
    let split = split.unwrap_or(corpus.default_split());
    announce(&corpus, Some(split))?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for sentence in corpus.items(split)? {
        let Sentence { words, tags, features, .. } = sentence?;
        for (at, word) in words.iter().enumerate() {
            let fields = features.iter().map(|values| &values[at]).chain(&tags[at..=at]);
            writeln!(out, "{word}{}", fields.map(|field| format!("\t{field}")).collect::<String>())?;
        }
        writeln!(out)?;
    }
    out.flush()?;
    Ok(Outcome::Done)
}

/// Print pairs of texts, a source and a target a line with a tab between them.
fn print_pairs(spec: &DataSpec, split: Option<Split>) -> anyhow::Result<Outcome> {
    let (pairs, split) = pairs(spec, split)?;
    if let Some(data) = spec.split_data()? {
        announce(data.as_ref(), Some(split))?;
    }
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for pair in pairs {
        let [source, target] = pair?.map(|text| fold_line_ends(&text).replace(['\t', '\n'], " "));
        writeln!(out, "{source}\t{target}")?;
    }
    out.flush()?;
    Ok(Outcome::Done)
}
