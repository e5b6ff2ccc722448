//! `rnn generate`: text from a language model.

mod check;
mod print;
mod prompts;

use std::io::Write;
use std::path::PathBuf;

use check::Checked;
use print::Printer;
use rnn_zoo::inference::Model;
use rnn_zoo::inference::generate::{
    Batch, BatchEvent, BeamSearch, Finish, Opening, Reader, SavedText, Specials, TextOptions, TypedPrompt,
    no_candidate,
};
use rnn_zoo::tokenizer::Note;

use super::flags::usage;
use super::{Compute, Outcome, load_model, number};

/// The options of sampling, which a beam search does not have.
const SAMPLING: [&str; 7] =
    ["temperature", "top_k", "top_p", "min_p", "typical_p", "repetition_penalty", "repetition_window"];

/// Write text with a language model
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
typical-p; each applies to the distribution that the rules before it leave."
)]
pub struct Args {
    /// A bundle, or hf://OWNER/NAME
    #[arg(value_name = "BUNDLE")]
    bundle: String,

    /// Text to continue, of any length; - reads standard input
    #[arg(long, value_name = "TEXT", aliases = ["primetext", "prime"], default_value = "", allow_hyphen_values = true)]
    prompt: String,

    /// Continue each line of a file, side by side; - reads standard input. Each text is the one that --prompt would
    /// give; an empty line separates the texts of different prompts
    #[arg(long, value_name = "FILE", conflicts_with_all = ["prompt", "state", "save_state"])]
    prompts: Option<PathBuf>,

    /// Greatest number of tokens to write
    #[arg(long, value_name = "N", alias = "words", default_value_t = 200)]
    length: usize,

    /// End a text before this string; may be given several times
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    stop: Vec<String>,

    /// Number of texts for a prompt; with --beams, of the best texts
    #[arg(long, value_name = "N", value_parser = number::count, default_value_t = 1)]
    count: usize,

    /// Continue after an `<eos>`
    #[arg(long)]
    ignore_eos: bool,

    /// Print one JSON object for each text: prompt, text, tokens, token_ids, logprob, finish_reason
    #[arg(long)]
    json: bool,

    /// Save the state of the text to FILE, to be continued with --state. Text that may begin a --stop string, and
    /// incomplete characters, are saved there instead of printed
    #[arg(long, value_name = "FILE")]
    save_state: Option<PathBuf>,

    /// Continue a text that --save-state has saved with this model; --prompt, if given, is appended to it first
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,

    #[command(flatten)]
    sampling: SamplingArgs,

    #[command(flatten)]
    beams: BeamArgs,

    #[command(flatten)]
    compute: Compute,
}

/// Options of sampling.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Sampling")]
struct SamplingArgs {
    /// Divide scores by X: below 1 for less varied text, above 1 for more; 0 always picks the most probable token
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    temperature: f64,

    /// Always pick the most probable token
    #[arg(long, conflicts_with_all = ["temperature", "top_k", "top_p", "min_p", "typical_p"])]
    greedy: bool,

    /// Pick among the N most probable tokens
    #[arg(long, value_name = "N")]
    top_k: Option<usize>,

    /// Pick among the most probable tokens whose probabilities sum to X
    #[arg(long, value_name = "X")]
    top_p: Option<f64>,

    /// Pick among tokens whose probability is at least X times the highest
    #[arg(long, value_name = "X")]
    min_p: Option<f64>,

    /// Pick among the tokens of most typical surprisal whose probabilities sum to X
    #[arg(long, value_name = "X")]
    typical_p: Option<f64>,

    /// Divide positive scores of tokens that occur in prompt and text by X, and multiply negative ones
    #[arg(long, value_name = "X")]
    repetition_penalty: Option<f64>,

    /// Penalise only the last N tokens [default: all]
    #[arg(long, value_name = "N", requires = "repetition_penalty")]
    repetition_window: Option<usize>,

    /// Seed of the random numbers [default: 1; with --state, those of the saved text]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

/// Options of beam search.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Beam search")]
struct BeamArgs {
    /// Search for the most probable text in a beam of N texts, instead of sampling
    #[arg(long, value_name = "N", conflicts_with_all = SAMPLING)]
    #[arg(conflicts_with_all = ["greedy", "seed", "save_state"])]
    beams: Option<usize>,

    /// Rank texts by log-probability over length to the power of X: 0 favours short ones, above 1 long ones [default: 1]
    #[arg(long, value_name = "X", requires = "beams")]
    length_penalty: Option<f64>,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let Checked { sampling, search } = args.checked()?;
    let device = args.compute.open()?;
    let model = load_model(&args.bundle, &device)?;
    if !model.config.task.is_language_model() {
        let problem = format!("its task is {}; only a language model writes", model.config.task);
        return Err(usage(&args.bundle, problem));
    }
    if let Some(path) = &args.save_state {
        SavedText::check_place(path, &model)?;
    }
    let prompts = args.prompts()?.into_iter().map(|typed| TypedPrompt::new(&model, typed));
    let prompts = prompts.collect::<rnn_zoo::Result<Vec<_>>>()?;
    for note in Note::summary(prompts.iter().flat_map(TypedPrompt::notes)) {
        eprintln!("{note}");
    }
    let saved = args.state.as_ref().map(|path| SavedText::load(path, &model)).transpose()?;
    let opening = Opening { saved, stops: args.stop.clone(), seed: args.sampling.seed };
    let Specials { end, banned } = Specials::of(&model)?;
    let end = end.filter(|_| !args.ignore_eos);
    if let Some(search) = search {
        let search = BeamSearch { end, banned, ..search };
        write_best(&model, &opening, &prompts, &search, args)?;
    } else {
        let (length, logprobs, resumable) = (args.length, args.json, args.save_state.is_some());
        let options = TextOptions { sampling, banned, length, end, logprobs, resumable };
        let batch = Batch::new(&model, opening, prompts, args.count, options)?;
        write_samples(&model, batch, args)?;
    }
    Ok(Outcome::Done)
}

/// Samples `--count` texts for each prompt.
fn write_samples(model: &Model, mut batch: Batch<'_>, args: &Args) -> anyhow::Result<()> {
    let mut printer = Printer::new(args.json);
    let (mut failed, mut newest) = (false, None);
    while let Some(events) = batch.step()? {
        for event in events {
            match event {
                BatchEvent::Begun { id, prompt, sample, shown } => {
                    newest = Some(id);
                    let typed = &batch.prompts()[prompt].typed;
                    printer.begin(id, typed, gap(prompt, sample).to_string() + &shown);
                }
                BatchEvent::Written(event) => {
                    failed |= event.finish == Some(Finish::Failed);
                    printer.add(&event);
                }
            }
        }
        printer.print()?;
        if failed {
            return Err(no_candidate().into());
        }
    }
    if let (Some(path), Some(id)) = (&args.save_state, newest)
        && let Some(text) = batch.leave(id)?
    {
        SavedText::save(path, &text, model)?;
    }
    Ok(())
}

/// Prints the `--count` best texts that a beam search finds for each prompt.
fn write_best(
    model: &Model,
    opening: &Opening,
    prompts: &[TypedPrompt],
    search: &BeamSearch,
    args: &Args,
) -> anyhow::Result<()> {
    let mut reader = Reader::new(model.network.as_ref(), &model.device)?;
    let mut out = std::io::stdout().lock();
    for (number, prompt) in prompts.iter().enumerate() {
        let (text, shown) = opening.begin(model, prompt)?;
        let found = search.search(&mut reader, &text.context, text.transcript)?;
        for (sample, hypothesis) in found.iter().take(args.count).enumerate() {
            match args.json {
                true => writeln!(out, "{}", print::hypothesis(&prompt.typed, hypothesis))?,
                false => writeln!(out, "{}{shown}{}", gap(number, sample), hypothesis.text)?,
            }
        }
        out.flush()?;
    }
    Ok(())
}

/// The separator before a text: an empty line between prompts, because texts may have several lines.
fn gap(prompt: usize, sample: usize) -> &'static str {
    if prompt > 0 && sample == 0 { "\n" } else { "" }
}
