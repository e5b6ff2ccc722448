//! The work of `rnn generate`: from prompts to printed texts.

use std::io::Write;

use rnn_zoo::Error;
use rnn_zoo::inference::generate::{
    Context, Reader, Sampling, SavedText, Text, Transcript, Writer, random_numbers,
};
use rnn_zoo::inference::model::Model;
use rnn_zoo::tokenizer::Prompt;

use super::Args;
use super::print::{self, Printer};

/// Texts that are written side by side: more would take memory, and go hardly faster.
const SIDE_BY_SIDE: usize = 64;

/// What all texts of a command have in common.
pub(super) struct Job<'a> {
    pub(super) args: &'a Args,
    pub(super) model: &'a Model,
    pub(super) sampling: Sampling,
    pub(super) banned: Vec<u32>,
    pub(super) end: Option<u32>,
}

impl<'a> Job<'a> {
    /// Where the text stands behind a prompt, and how the prompt is shown.
    fn begin(&self, (text, prompt): &(String, Prompt)) -> rnn_zoo::Result<(Text<'a>, String)> {
        let (args, model) = (self.args, self.model);
        let (tokenizer, network) = (model.tokenizer()?, model.network.as_ref());
        let seeded = random_numbers(args.sampling.seed.unwrap_or(1), text, 0);
        let mut begun = match &args.state {
            Some(path) => {
                let saved = SavedText::load(path, model)?;
                let transcript = saved.transcript(path, model, &args.stop)?;
                let rng = if args.sampling.seed.is_some() { seeded } else { saved.rng };
                Text { context: saved.context, rng, transcript }
            }
            None => Text {
                context: Context::new(network, model.start_token()?)?,
                rng: seeded,
                transcript: Transcript::new(tokenizer, &args.stop),
            },
        };
        begun.context.read(network, &prompt.ids, &model.device)?;
        let shown = begun.transcript.prompt(text, prompt);
        Ok((begun, shown))
    }

    /// What stands between the texts of one prompt and those of the next: they may have several lines.
    fn gap(&self, prompt: usize, sample: usize) -> &'static str {
        if prompt > 0 && sample == 0 { "\n" } else { "" }
    }

    /// Writes `--count` texts for each prompt, side by side.
    pub(super) fn sample(&self, prompts: &[(String, Prompt)]) -> anyhow::Result<()> {
        let Self { args, model, .. } = self;
        let writer = Writer {
            sampling: self.sampling,
            banned: self.banned.clone(),
            length: args.length,
            end: self.end,
            logprobs: args.json,
            to_be_continued: args.save_state.is_some(),
        };
        let mut reader = Reader::new(model.network.as_ref(), &model.device)?;
        let mut all =
            (0..prompts.len()).flat_map(|prompt| (0..args.count).map(move |sample| (prompt, sample)));
        // The prompt that was read last, and what came of it: each is read once, whatever the count.
        let mut begun: Option<(usize, (Text<'_>, String))> = None;
        loop {
            let some: Vec<(usize, usize)> = all.by_ref().take(SIDE_BY_SIDE).collect();
            if some.is_empty() {
                return Ok(());
            }
            let (mut texts, mut shown): (Vec<Text<'_>>, Vec<String>) = (vec![], vec![]);
            for &(prompt, sample) in &some {
                let (mut text, head) = match &begun {
                    Some((number, begun)) if *number == prompt => begun.clone(),
                    _ => begun.insert((prompt, self.begin(&prompts[prompt])?)).1.clone(),
                };
                if args.state.is_none() || args.sampling.seed.is_some() {
                    text.rng = random_numbers(args.sampling.seed.unwrap_or(1), &prompts[prompt].0, sample);
                }
                texts.push(text);
                shown.push(self.gap(prompt, sample).to_string() + &head);
            }
            let typed = some.iter().map(|&(prompt, _)| prompts[prompt].0.as_str());
            let mut printer = Printer::new(typed.zip(shown), args.json)?;
            let mut failed = None;
            let written = writer.write(&mut reader, &mut texts, &mut |gain| {
                printer.gain(&gain).map_err(|error| {
                    let problem = Error::Message(format!("cannot print: {error}"));
                    failed = Some(error);
                    problem
                })
            });
            if let Some(error) = failed {
                // As it came: a closed pipe is no failure.
                return Err(error.into());
            }
            written?;
            if let (Some(path), Some(text)) = (&args.save_state, texts.first()) {
                SavedText::save(path, text, model)?;
            }
        }
    }

    /// Searches for the best texts of each prompt, one prompt after another.
    pub(super) fn search(&self, beams: usize, prompts: &[(String, Prompt)]) -> anyhow::Result<()> {
        let search = self.args.search(beams, self.end, self.banned.clone());
        let mut reader = Reader::new(self.model.network.as_ref(), &self.model.device)?;
        let mut out = std::io::stdout().lock();
        for (number, prompt) in prompts.iter().enumerate() {
            let (Text { context, transcript, .. }, shown) = self.begin(prompt)?;
            let found = search.search(&mut reader, &context, transcript)?;
            for (sample, hypothesis) in found.iter().take(self.args.count).enumerate() {
                match self.args.json {
                    true => writeln!(out, "{}", print::hypothesis(&prompt.0, hypothesis))?,
                    false => writeln!(out, "{}{shown}{}", self.gap(number, sample), hypothesis.text)?,
                }
            }
            out.flush()?;
        }
        Ok(())
    }
}
