//! `rnn generate`: text from a language model.

mod job;
mod print;

use std::path::PathBuf;

use job::Job;
use rnn_zoo::Error;
use rnn_zoo::inference::generate::{BeamSearch, Sampling, SavedText};
use rnn_zoo::tasks::Task;

use super::{Compute, Outcome, load_model, number};

/// What draws, and has no place in a search for the likeliest.
const DRAWING: [&str; 7] =
    ["temperature", "top_k", "top_p", "min_p", "typical_p", "repetition_penalty", "repetition_window"];

/// Let a language model write, token by token
#[derive(Debug, clap::Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "\
Examples:
  rnn generate lstm-story --length 500
  rnn generate my-model --prompt 'Once upon a time' --temperature 0.7 --top-p 0.9
  rnn generate my-model --prompt i --count 5 --seed 7
  rnn generate my-model --prompt 'The king' --beams 8 --count 3 --stop .
  rnn generate my-model --prompts questions.txt --json > answers.jsonl
  rnn generate my-model --save-state story.state && rnn generate my-model --state story.state
  cat chapter.txt | rnn generate my-model --prompt - --greedy

The rules of sampling apply in Hugging Face's order: repetition penalty, temperature, top-k, top-p, min-p,
typical-p; each looks at what those before it have left."
)]
pub struct Args {
    /// A bundle, or hf://OWNER/NAME
    #[arg(value_name = "BUNDLE")]
    bundle: String,

    /// Text to go on from, of any length; - reads standard input
    #[arg(long, value_name = "TEXT", aliases = ["primetext", "prime"], default_value = "", allow_hyphen_values = true)]
    prompt: String,

    /// Go on from each line of a file, side by side; - reads standard input. Each text is the one that its prompt
    /// has alone, with random numbers by the seed and its words; an empty line parts prompts
    #[arg(long, value_name = "FILE", conflicts_with_all = ["prompt", "state", "save_state"])]
    prompts: Option<PathBuf>,

    /// Tokens to write at most
    #[arg(long, value_name = "N", alias = "words", default_value_t = 200)]
    length: usize,

    /// End before this text, if it comes; may be given several times
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    stop: Vec<String>,

    /// Texts to write for a prompt; with --beams the best so many
    #[arg(long, value_name = "N", value_parser = number::count, default_value_t = 1)]
    count: usize,

    /// Write on past an `<eos>`
    #[arg(long)]
    ignore_eos: bool,

    /// Print one JSON object a text: prompt, text, tokens, token_ids, logprob, finish_reason
    #[arg(long)]
    json: bool,

    /// Keep where the text stands in FILE, to go on from with --state. What may be the beginning of a --stop text,
    /// or is part of a character, is not printed but kept there too
    #[arg(long, value_name = "FILE")]
    save_state: Option<PathBuf>,

    /// Go on with the text of such a file, which this model wrote; --prompt, if any, comes in between
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,

    #[command(flatten)]
    sampling: SamplingArgs,

    #[command(flatten)]
    beams: BeamArgs,

    #[command(flatten)]
    compute: Compute,
}

/// How the next token is picked.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Sampling")]
struct SamplingArgs {
    /// Below 1 the likely becomes likelier, above 1 less so; 0 always takes the likeliest
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    temperature: f64,

    /// Always take the likeliest token
    #[arg(long, conflicts_with_all = ["temperature", "top_k", "top_p", "min_p", "typical_p"])]
    greedy: bool,

    /// Pick among the N likeliest tokens
    #[arg(long, value_name = "N")]
    top_k: Option<usize>,

    /// Pick among the likeliest tokens that together hold X of the probability
    #[arg(long, value_name = "X")]
    top_p: Option<f64>,

    /// Pick among tokens at least X times as likely as the likeliest
    #[arg(long, value_name = "X")]
    min_p: Option<f64>,

    /// Pick among the tokens of most typical surprise that together hold X of the probability
    #[arg(long, value_name = "X")]
    typical_p: Option<f64>,

    /// Divide the scores of tokens that prompt and text have had by X, or multiply them where negative
    #[arg(long, value_name = "X")]
    repetition_penalty: Option<f64>,

    /// Penalise only tokens among the newest N [default: all]
    #[arg(long, value_name = "N", requires = "repetition_penalty")]
    repetition_window: Option<usize>,

    /// The same seed gives the same text [default: 1]; with --state, draw anew from it
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

/// How the likeliest text is searched for.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Beam search")]
struct BeamArgs {
    /// Search for the likeliest text, keeping the N likeliest beginnings, instead of sampling
    #[arg(long, value_name = "N", conflicts_with_all = DRAWING)]
    #[arg(conflicts_with_all = ["greedy", "seed", "save_state"])]
    beams: Option<usize>,

    /// Rank texts by log-probability over length to the power of X: 0 favours short ones, above 1 long ones [default: 1]
    #[arg(long, value_name = "X", requires = "beams")]
    length_penalty: Option<f64>,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let sampling = args.validated()?;
    let device = args.compute.open()?;
    let model = load_model(&args.bundle, &device)?;
    if model.config.task != Task::Lm {
        let problem = format!("its task is {}; only a language model writes", model.config.task);
        return Err(Error::usage(&args.bundle, problem).into());
    }
    if let Some(path) = &args.save_state {
        SavedText::check_place(path)?;
    }
    let tokenizer = model.tokenizer()?;
    let banned: Vec<u32> = tokenizer.unknown().into_iter().collect();
    let end = tokenizer.end().filter(|_| !args.ignore_eos);
    let job = Job { args, model: &model, sampling, banned, end };
    let mut notes = vec![];
    let mut prompts = vec![];
    for text in args.prompt_texts()? {
        let prompt = tokenizer.encode_prompt(&text)?;
        for note in prompt.notes.iter().filter(|note| !notes.contains(*note)).cloned().collect::<Vec<_>>() {
            eprintln!("{note}");
            notes.push(note);
        }
        prompts.push((text, prompt));
    }
    match args.beams.beams {
        Some(beams) => job.search(beams, &prompts)?,
        None => job.sample(&prompts)?,
    }
    Ok(Outcome::Done)
}

impl Args {
    /// The rules of sampling, where all options make sense together.
    fn validated(&self) -> rnn_zoo::Result<Sampling> {
        let of = &self.sampling;
        let sampling = Sampling {
            temperature: if of.greedy { 0. } else { of.temperature },
            top_k: of.top_k,
            top_p: of.top_p,
            min_p: of.min_p,
            typical_p: of.typical_p,
            repetition_penalty: of.repetition_penalty.unwrap_or(1.),
            repetition_window: of.repetition_window,
        };
        sampling.validate()?;
        if let Some(beams) = self.beams.beams {
            self.search(beams, None, vec![]).validate()?;
            if self.count > beams {
                let problem = format!("{} texts of a beam of {beams}; expected at most --beams", self.count);
                return Err(Error::usage("--count", problem));
            }
        }
        if self.stop.iter().any(String::is_empty) {
            return Err(Error::usage(
                "--stop",
                "the empty text is everywhere; expected a text to end before",
            ));
        }
        if self.save_state.is_some() && self.count > 1 {
            return Err(Error::usage("--save-state", "keeps one text; leave out --count"));
        }
        if self.state.is_some() && self.count > 1 && self.beams.beams.is_none() && of.seed.is_none() {
            let problem =
                "the text goes on in one way with its own random numbers; give a --seed for several";
            return Err(Error::usage("--count", problem));
        }
        Ok(sampling)
    }

    fn search(&self, beams: usize, end: Option<u32>, banned: Vec<u32>) -> BeamSearch {
        let length_penalty = self.beams.length_penalty.unwrap_or(1.);
        BeamSearch { beams, length_penalty, length: self.length, end, banned }
    }

    /// The prompts as they were typed.
    fn prompt_texts(&self) -> rnn_zoo::Result<Vec<String>> {
        let standard_input = |flag: &str| {
            std::io::read_to_string(std::io::stdin()).map_err(|error| {
                Error::usage(flag, format!("standard input cannot be read as text: {error}"))
            })
        };
        let Some(path) = &self.prompts else {
            return Ok(vec![match self.prompt.as_str() {
                "-" => standard_input("--prompt -")?,
                text => text.to_string(),
            }]);
        };
        let text = match path.as_os_str() == "-" {
            true => standard_input("--prompts -")?,
            false => std::fs::read_to_string(path)
                .map_err(|error| Error::file(path, format!("cannot be read as text: {error}")))?,
        };
        if text.is_empty() {
            let problem = format!("{} is empty; expected a prompt a line", path.display());
            return Err(Error::usage("--prompts", problem));
        }
        // Some editors begin a file with a mark of its byte order.
        Ok(text.trim_start_matches('\u{feff}').lines().map(str::to_string).collect())
    }
}
