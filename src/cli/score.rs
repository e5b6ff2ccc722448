//! `rnn score`: the log-probability of each line.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;

use rnn_zoo::Error;
use rnn_zoo::inference::score::{LineScore, score_lines};
use rnn_zoo::tokenizer::Tokenizer;
use serde_json::{Value, json};

use super::bundle_argument::load_model;
use super::compute::Compute;
use super::outcome::Outcome;

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
  rnn score my-model hypotheses.txt --json --tokens          one JSON object a line, with every token")]
pub struct Args {
    /// A bundle, or hf://OWNER/NAME
    #[arg(value_name = "BUNDLE")]
    bundle: String,

    /// A file of lines; - is standard input
    #[arg(value_name = "FILE", default_value = "-")]
    file: String,

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
    let mut lines = Lines::open(&args.file)?;
    let model = load_model(&args.bundle, &device)?;
    let mut out = std::io::stdout().lock();
    let mut seen = Seen::default();
    loop {
        let (texts, end) = lines.available();
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

/// The lines of a file or of standard input.
struct Lines {
    reader: BufReader<Box<dyn Read>>,
    /// The file, for errors.
    name: String,
    /// The number of lines read.
    count: usize,
}

impl Lines {
    fn open(file: &str) -> Result<Self, Error> {
        let (name, reader): (_, Box<dyn Read>) = match file {
            "-" => ("standard input", Box::new(std::io::stdin())),
            path if Path::new(path).is_dir() => {
                return Err(Error::file(
                    path,
                    "is a folder; expected a file of lines, or - for standard input",
                ));
            }
            path => (path, Box::new(File::open(path).map_err(|error| Error::file(path, error))?)),
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
