//! `rnn generate`: text from a language model.

use std::io::Write;

use rnn_zoo::Error;
use rnn_zoo::generate::{Generator, Sampling};
use rnn_zoo::model::Model;
use rnn_zoo::rng::{self, Purpose};
use rnn_zoo::task::{Task, start_token};

use super::{Compute, Outcome, bundle_path, number};

/// Let a language model write, token by token
#[derive(Debug, clap::Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "\
Examples:
  rnn generate lstm-story --length 500
  rnn generate my-model --prompt 'Once upon a time' --temperature 0.7 --top-p 0.9
  rnn generate my-model --prompt i --count 5 --seed 7
  cat chapter.txt | rnn generate my-model --prompt - --greedy"
)]
pub struct Args {
    /// A bundle, or hf://OWNER/NAME
    #[arg(value_name = "BUNDLE")]
    bundle: String,

    /// Text to go on from, of any length; - reads standard input
    #[arg(long, value_name = "TEXT", aliases = ["primetext", "prime"], default_value = "", allow_hyphen_values = true)]
    prompt: String,

    /// Tokens to write at most
    #[arg(long, value_name = "N", alias = "words", default_value_t = 200)]
    length: usize,

    /// Below 1 the likely becomes likelier, above 1 less so; 0 always takes the likeliest
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    temperature: f64,

    /// Always take the likeliest token
    #[arg(long, conflicts_with_all = ["temperature", "top_k", "top_p"])]
    greedy: bool,

    /// Pick among the N likeliest tokens
    #[arg(long, value_name = "N")]
    top_k: Option<usize>,

    /// Pick among the likeliest tokens that together hold X of the probability
    #[arg(long, value_name = "X")]
    top_p: Option<f64>,

    /// Texts to write
    #[arg(long, value_name = "N", value_parser = number::count, default_value_t = 1)]
    count: usize,

    /// Write on past an `<eos>`
    #[arg(long)]
    ignore_eos: bool,

    /// Seed of the sampling: the same seed gives the same text
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    #[command(flatten)]
    compute: Compute,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let sampling = Sampling {
        temperature: if args.greedy { 0. } else { args.temperature },
        top_k: args.top_k,
        top_p: args.top_p,
    };
    sampling.validate()?;
    let device = args.compute.open()?;
    let model = Model::load(&bundle_path(&args.bundle)?, &device)?;
    if model.config.task != Task::Lm {
        let problem =
            format!("{} is a {} model; only a language model writes", args.bundle, model.config.task);
        return Err(Error::usage("BUNDLE", problem).into());
    }
    let tokenizer = model.tokenizer()?;
    let text = match args.prompt.as_str() {
        "-" => std::io::read_to_string(std::io::stdin()).map_err(|error| {
            Error::usage("--prompt -", format!("standard input cannot be read as text: {error}"))
        })?,
        text => text.to_string(),
    };
    let prompt = tokenizer.encode_prompt(&text)?;
    for note in &prompt.notes {
        eprintln!("{note}");
    }
    let banned: Vec<u32> = tokenizer.unknown().into_iter().collect();
    let mut out = std::io::stdout().lock();
    for sample in 0..args.count {
        let mut rng = rng::stream(args.seed, Purpose::Sampling, sample as u64);
        let network = model.network.as_ref();
        let mut generator =
            Generator::new(network, start_token(tokenizer), &prompt.ids, banned.clone(), &device)?;
        let mut decoder = tokenizer.decoder();
        let read: String = prompt.ids.iter().map(|&id| decoder.push(id)).collect();
        // Words may have been replaced by others of the vocabulary; anything else is shown as it was typed.
        write!(out, "{}", if tokenizer.scheme_name() == "word" { &read } else { &text })?;
        for _ in 0..args.length {
            let Some(token) = generator.next(&sampling, &mut rng)? else { break };
            if Some(token) == tokenizer.end() && !args.ignore_eos {
                break;
            }
            write!(out, "{}", decoder.push(token))?;
            out.flush()?;
        }
        writeln!(out, "{}", decoder.finish())?;
    }
    Ok(Outcome::Done)
}
