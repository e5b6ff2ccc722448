//! Checks of the arguments, before anything is read.

use anyhow::Result;
use rnn_zoo::inference::generate::{BeamSearch, Sampling};

use super::args::Args;
use crate::cli::flags::usage;
use crate::cli::texts::encoding_of_standard_input;

/// Options that have been checked.
pub(super) struct Checked {
    pub(super) sampling: Sampling,
    /// The options of a beam search, if there is to be one; its special tokens depend on the model.
    pub(super) search: Option<BeamSearch>,
}

impl Args {
    /// Check the options, each and together.
    pub(super) fn checked(&self) -> Result<Checked> {
        let args = &self.sampling;
        let sampling = Sampling {
            temperature: if args.greedy { 0. } else { args.temperature },
            top_k: args.top_k,
            top_p: args.top_p,
            min_p: args.min_p,
            typical_p: args.typical_p,
            repetition_penalty: args.repetition_penalty.unwrap_or(1.),
            repetition_window: args.repetition_window,
        };
        sampling.validate()?;
        let search = self.search();
        if let Some(search) = &search {
            search.validate()?;
        }
        // Not left to the parser, which asks for no `--beams` beside a flag that excludes it.
        if self.beams.length_penalty.is_some() && self.beams.beams.is_none() {
            return Err(usage("--length-penalty", "belongs to --beams; add that, or leave this out"));
        }
        if self.encoding.is_some() && self.prompts.as_ref().is_some_and(|path| path.as_os_str() == "-") {
            return Err(encoding_of_standard_input());
        }
        self.check_counts()?;
        Ok(Checked { sampling, search })
    }

    fn search(&self) -> Option<BeamSearch> {
        let length_penalty = self.beams.length_penalty.unwrap_or(1.);
        let (length, end, banned) = (self.length, None, vec![]);
        self.beams.beams.map(|beams| BeamSearch { beams, length_penalty, length, end, banned })
    }

    fn check_counts(&self) -> Result<()> {
        if let Some(beams) = self.beams.beams.filter(|&beams| self.count > beams) {
            let problem = format!("{} texts of a beam of {beams}; expected at most --beams", self.count);
            return Err(usage("--count", problem));
        }
        if self.stop.iter().any(String::is_empty) {
            let problem = "is an empty string; expected strings of at least one character";
            return Err(usage("--stop", problem));
        }
        if self.save_state.is_some() && self.count > 1 {
            return Err(usage("--save-state", "keeps one text; leave out --count"));
        }
        if self.sampling.greedy && self.count > 1 {
            return Err(usage(
                "--count",
                "greedy search gives the same text each time; leave it out, or leave out --greedy",
            ));
        }
        let own_numbers = self.state.is_some() && self.beams.beams.is_none() && self.sampling.seed.is_none();
        if own_numbers && self.count > 1 {
            let problem = "a saved text has one sequence of random numbers, so that all texts would be equal; give a \
                           --seed";
            return Err(usage("--count", problem));
        }
        Ok(())
    }
}
