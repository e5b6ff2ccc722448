//! `rnn generate`: text from a language model.

mod args;
mod check;
mod print;
mod prompts;

use std::io::Write;

pub use args::Args;
use check::Checked;
use print::Printer;
use rnn_zoo::inference::Model;
use rnn_zoo::inference::generate::{
    BatchEvent, BeamSearch, Finish, Opening, PromptBatch, Reader, SavedText, Specials, TextOptions,
    TypedPrompt, no_candidate,
};
use rnn_zoo::tokenizer::Note;

use super::bundle_argument::load_model;
use super::flags::usage;
use super::outcome::Outcome;
use crate::cli::note::note;

/// Run the command.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let Checked { sampling, search } = args.checked()?;
    let device = args.compute.open()?;
    let model = load_model(&args.bundle, &device)?;
    if !model.config.task.is_language_model() {
        let problem =
            format!("its task is {}; only a language model writes, use `rnn predict`", model.config.task);
        return Err(usage(&args.bundle, problem));
    }
    if let Some(path) = &args.save_state {
        SavedText::check_place(path, &model)?;
    }
    let prompts = args.prompts()?.into_iter().map(|typed| TypedPrompt::new(&model, typed));
    let prompts = prompts.collect::<rnn_zoo::Result<Vec<_>>>()?;
    for note in Note::summary(prompts.iter().flat_map(TypedPrompt::notes)) {
        note!("{note}");
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
        let batch = PromptBatch::new(&model, opening, prompts, args.count, options)?;
        write_samples(&model, batch, args)?;
    }
    Ok(Outcome::Done)
}

/// Sample `--count` texts for each prompt.
fn write_samples(model: &Model, mut batch: PromptBatch<'_>, args: &Args) -> anyhow::Result<()> {
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

/// Print the `--count` best texts that a beam search finds for each prompt.
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
