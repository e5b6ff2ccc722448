//! `rnn score`: the log-probability of each line.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;

use rnn_zoo::Error;
use rnn_zoo::data::{Pieces, Split, has_columns, open_utf8};
use rnn_zoo::inference::Model;
use rnn_zoo::inference::score::{LineScore, score_lines};
use rnn_zoo::tasks::DataSpec;
use rnn_zoo::tokenizer::Tokenizer;
use serde_json::{Value, json};

use super::bundle_argument::load_model;
use super::compute::Compute;
use super::flags::{translated, usage};
use super::outcome::Outcome;
use super::read_args::{ReadArgs, announce};

/// The largest number of lines in a batch.
const LINES: usize = 64;

/// The size of the input buffer, in bytes.
const BUFFER: usize = 1 << 16;

/// Print the log-probability of each line, in nats
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each line is scored on its own, and its end counts as a token. One line is printed for each line read, in the
same order.

Examples:
  rnn score my-model hypotheses.txt                          one line each: logprob, tokens, text, between tabs
  nbest | rnn score my-model | sort -rg | head -1            the most likely line
  rnn score my-model hypotheses.txt --json --tokens          one JSON object a line, with every token
  rnn score my-model reviews.csv --text-column review        one line a record")]
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

    /// Print the log-probability of each token too, below its line, after a tab
    #[arg(long)]
    tokens: bool,

    /// Print one JSON object a line
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    compute: Compute,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let device = args.compute.open()?;
    let lines = if has_columns(Path::new(&args.file)) { None } else { Some(Lines::open(args)?) };
    let model = load_model(&args.bundle, &device)?;
    let mut input = match lines {
        Some(lines) => Input::Lines(lines),
        None => Input::Records(records(args, &model)?),
    };
    let mut out = std::io::stdout().lock();
    let mut seen = Seen::default();
    loop {
        let (texts, end) = input.available();
        let scores = score_lines(&model, &texts)?;
        let tokenizer = model.tokenizer()?;
        for (text, score) in texts.iter().zip(&scores) {
            seen.add(score);
            match args.json {
                true => writeln!(out, "{}", as_json(tokenizer, text, score, args.tokens))?,
                false => write_text(&mut out, tokenizer, text, score, args.tokens)?,
            }
        }
        out.flush()?;
        match end {
            Ok(true) => continue,
            Ok(false) => break,
            Err(error) => return Err(error.into()),
        }
    }
    if seen.unknown > 0 {
        eprintln!(
            "{} of {} {}s are unknown to the model, in {} of {} lines; each is scored as <unk>",
            seen.unknown,
            seen.tokens,
            model.tokenizer()?.unit(),
            seen.unknown_lines,
            seen.lines
        );
    }
    Ok(Outcome::Done)
}

/// Counts of lines and tokens so far.
#[derive(Default)]
struct Seen {
    lines: usize,
    unknown_lines: usize,
    tokens: usize,
    unknown: usize,
}

impl Seen {
    fn add(&mut self, score: &LineScore) {
        self.lines += 1;
        self.unknown_lines += usize::from(score.unknown > 0);
        self.tokens += score.tokens.len();
        self.unknown += score.unknown;
    }
}

fn as_json(tokenizer: &Tokenizer, text: &str, score: &LineScore, tokens: bool) -> Value {
    let mut line = json!({
        "logprob": score.logprob(),
        "tokens": score.tokens.len(),
        "unknown": score.unknown,
        "text": text,
    });
    if tokens {
        let spelt: Vec<&str> =
            score.tokens.iter().map(|&id| tokenizer.token(id).unwrap_or_default()).collect();
        line["token_texts"] = json!(spelt);
        line["token_logprobs"] = json!(score.logprobs);
    }
    line
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
            let spelt = tokenizer.token(id).unwrap_or_default();
            // A line end among the tokens must not break the table.
            let spelt: String = spelt
                .chars()
                .flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] })
                .collect();
            writeln!(out, "\t{logprob:.6}\t{spelt}")?;
        }
    }
    Ok(())
}

/// The texts of a file of records, those without any too.
fn records(args: &Args, model: &Model) -> anyhow::Result<Pieces> {
    let mut spec = args.read.apply(DataSpec::new(&args.file));
    spec.columns.text = spec.columns.text.or_else(|| model.config.text_column.clone());
    let corpus = spec.corpus()?.with_incomplete();
    announce(&corpus, Some(Split::All))?;
    Ok(corpus.pieces(Split::All)?)
}

/// The texts to score.
enum Input {
    Lines(Lines),
    Records(Pieces),
}

impl Input {
    /// Read at least one text, if there is one, and return whether more may follow.
    fn available(&mut self) -> (Vec<String>, Result<bool, Error>) {
        match self {
            Self::Lines(lines) => lines.available(),
            Self::Records(pieces) => {
                let mut texts = vec![];
                for piece in pieces.by_ref().take(LINES) {
                    match piece {
                        Ok(piece) => texts.push(piece.text),
                        Err(error) => return (texts, Err(error)),
                    }
                }
                let more = texts.len() == LINES;
                (texts, Ok(more))
            }
        }
    }
}

/// The lines of a file or of standard input.
struct Lines {
    reader: BufReader<Box<dyn Read>>,
    /// The file, for errors.
    name: String,
    /// The number of lines read.
    count: usize,
}

impl Lines {
    fn open(args: &Args) -> anyhow::Result<Self> {
        let (file, encoding) = (args.file.as_str(), args.read.encoding);
        if let Some(flag) = args.read.given().filter(|flag| *flag != "--encoding") {
            return Err(usage(flag, format!("{file} has no columns; expected a .csv, .tsv or .jsonl file")));
        }
        let about = std::fs::metadata(file);
        let (name, reader): (_, Box<dyn Read>) = match (file, about) {
            ("-", _) if encoding.is_some() => {
                return Err(usage("--encoding", "standard input is UTF-8; expected a file"));
            }
            ("-", _) => ("standard input", Box::new(std::io::stdin())),
            (path, Ok(about)) if about.is_dir() => {
                let problem = "is a folder; expected a file of lines, or - for standard input";
                return Err(Error::file(path, problem).into());
            }
            // Pipes are read as they are written.
            (path, Ok(about)) if about.is_file() && about.len() > 0 => {
                let (reader, note) = open_utf8(Path::new(path), encoding)?;
                note.into_iter().for_each(|note| eprintln!("{}", translated(&note)));
                (path, reader)
            }
            (path, _) => (path, Box::new(File::open(path).map_err(|error| Error::file(path, error))?)),
        };
        Ok(Self { reader: BufReader::with_capacity(BUFFER, reader), name: name.into(), count: 0 })
    }

    /// Reads at least one line, and as many as are available without waiting, so that a program that writes a
    /// line and waits for the score gets it. Returns whether more lines may follow.
    fn available(&mut self) -> (Vec<String>, Result<bool, Error>) {
        let mut lines = vec![];
        while lines.is_empty() || (lines.len() < LINES && self.reader.buffer().contains(&b'\n')) {
            match self.next() {
                Ok(Some(line)) => lines.push(line),
                Ok(None) => return (lines, Ok(false)),
                Err(error) => return (lines, Err(error)),
            }
        }
        (lines, Ok(true))
    }

    /// Reads the next line, without its end.
    fn next(&mut self) -> Result<Option<String>, Error> {
        let mut bytes = vec![];
        self.reader.read_until(b'\n', &mut bytes).map_err(|error| Error::file(&self.name, error))?;
        if bytes.is_empty() {
            return Ok(None);
        }
        self.count += 1;
        let mut line = bytes.as_slice();
        line = line.strip_suffix(b"\n").unwrap_or(line);
        line = line.strip_suffix(b"\r").unwrap_or(line);
        if self.count == 1 {
            line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line); // a byte-order mark
        }
        match std::str::from_utf8(line) {
            Ok(text) => Ok(Some(text.to_string())),
            Err(_) => {
                let problem = format!("line {} is not UTF-8; expected text", self.count);
                Err(Error::file(&self.name, problem))
            }
        }
    }
}
