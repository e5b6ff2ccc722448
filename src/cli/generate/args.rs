//! The arguments of `rnn generate`.

use std::path::PathBuf;

use rnn_zoo::data::Encoding;

use crate::cli::compute::Compute;
use crate::cli::precision::PrecisionArg;
use crate::cli::{flags, number};

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
  rnn generate my-model --prompt 'Once upon' --temperature 0.7 --top-p 0.9
  rnn generate my-model --prompt i --count 5 --seed 7
  rnn generate my-model --prompt 'The king' --beams 8 --count 3 --stop .
  rnn generate my-model --prompts questions.txt --json > answers.jsonl
  rnn generate my-model --save-state story.state
  rnn generate my-model --state story.state --count 3
  cat chapter.txt | rnn generate my-model --prompt - --greedy

The rules of sampling apply in Hugging Face's order: repetition penalty, temperature, top-k, top-p, min-p, \
typical-p; each applies to the distribution that the rules before it leave."
)]
pub struct Args {
    /// A bundle, or hf://OWNER/NAME
    #[arg(value_name = "BUNDLE")]
    pub(super) bundle: String,

    /// Text to continue, of any length; - reads standard input, without the end of its last line
    #[arg(long, value_name = "TEXT", aliases = ["primetext", "prime"], default_value = "", allow_hyphen_values = true)]
    pub(super) prompt: String,

    /// Continue each line of a file, side by side; - reads standard input. Each text is the one that --prompt would
    /// give; an empty line separates the texts of different prompts
    #[arg(long, value_name = "FILE", conflicts_with_all = ["prompt", "state", "save_state"])]
    pub(super) prompts: Option<PathBuf>,

    /// Character encoding of the file of --prompts, such as cp949 [default: UTF-8, or else detected]
    #[arg(long, value_name = "NAME", value_parser = flags::parsed::<Encoding>, requires = "prompts")]
    pub(super) encoding: Option<Encoding>,

    /// Greatest number of tokens to write
    #[arg(long, value_name = "N", value_parser = number::whole, aliases = ["words", "max-new-tokens", "max_new_tokens"], default_value_t = 200)]
    pub(super) length: usize,

    /// End a text before this string; may be given several times
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(super) stop: Vec<String>,

    /// Number of texts for a prompt; with --beams, of the best texts
    #[arg(long, value_name = "N", value_parser = number::count, default_value_t = 1)]
    pub(super) count: usize,

    /// Continue after an `<eos>`
    #[arg(long)]
    pub(super) ignore_eos: bool,

    /// Print one JSON object for each text: prompt, text, tokens, token_ids, logprob, finish_reason
    #[arg(long)]
    pub(super) json: bool,

    /// Save the state of the text to FILE, to be continued with --state. Text that may begin a --stop string, and
    /// incomplete characters, are saved there instead of printed
    #[arg(long, value_name = "FILE")]
    pub(super) save_state: Option<PathBuf>,

    /// Continue a text that --save-state has saved with this model; --prompt, if given, is appended to it first
    #[arg(long, value_name = "FILE")]
    pub(super) state: Option<PathBuf>,

    #[command(flatten)]
    pub(super) sampling: SamplingArgs,

    #[command(flatten)]
    pub(super) beams: BeamArgs,

    #[command(flatten)]
    pub(super) compute: Compute,

    #[command(flatten)]
    pub(in crate::cli) precision: PrecisionArg,
}

/// Options of sampling.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Sampling")]
pub(super) struct SamplingArgs {
    /// Divide scores by X: below 1 for less varied text, above 1 for more; 0 always picks the most probable token
    #[arg(long, value_name = "X", value_parser = number::finite, default_value_t = 1.0)]
    pub(super) temperature: f64,

    /// Always pick the most probable token
    #[arg(long, conflicts_with_all = ["temperature", "top_k", "top_p", "min_p", "typical_p", "seed"])]
    pub(super) greedy: bool,

    /// Pick among the N most probable tokens
    #[arg(long, value_name = "N", value_parser = number::whole)]
    pub(super) top_k: Option<usize>,

    /// Pick among the most probable tokens whose probabilities sum to X
    #[arg(long, value_name = "X", value_parser = number::finite)]
    pub(super) top_p: Option<f64>,

    /// Pick among tokens whose probability is at least X times the highest
    #[arg(long, value_name = "X", value_parser = number::finite)]
    pub(super) min_p: Option<f64>,

    /// Pick among the tokens of most typical surprisal whose probabilities sum to X
    #[arg(long, value_name = "X", value_parser = number::finite)]
    pub(super) typical_p: Option<f64>,

    /// Divide positive scores of tokens that occur in prompt and text by X, and multiply negative ones
    #[arg(long, value_name = "X", value_parser = number::finite)]
    pub(super) repetition_penalty: Option<f64>,

    /// Penalise only the last N tokens [default: all]
    #[arg(long, value_name = "N", value_parser = number::whole, requires = "repetition_penalty")]
    pub(super) repetition_window: Option<usize>,

    /// Seed of the random numbers [default: 1; with --state, those of the saved text]
    #[arg(long, value_name = "N", value_parser = number::seed)]
    pub(super) seed: Option<u64>,
}

/// Options of beam search.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Beam search")]
pub(super) struct BeamArgs {
    /// Search for the most probable text in a beam of N texts, instead of sampling
    #[arg(long, value_name = "N", value_parser = number::whole, conflicts_with_all = SAMPLING)]
    #[arg(conflicts_with_all = ["greedy", "seed", "save_state"], aliases = ["num-beams", "num_beams"])]
    pub(super) beams: Option<usize>,

    /// Rank texts by log-probability over length to the power of X: 0 favours short ones, above 1 long ones [default:
    /// 1]
    #[arg(long, value_name = "X", value_parser = number::finite, requires = "beams")]
    pub(super) length_penalty: Option<f64>,
}
