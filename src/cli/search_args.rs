//! The flags of the search for translations.

use rnn_zoo::inference::Model;
use rnn_zoo::inference::search::SearchOptions;

use super::flags::usage;
use super::number;

/// The search for translations.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct SearchArgs {
    /// Translate with beam search over N texts; 1 is greedy search [default: 1]
    #[arg(long, value_name = "N", value_parser = number::count, aliases = ["beam", "num-beams", "num_beams"])]
    beams: Option<usize>,

    /// Exponent of the length in the ranking of a beam search: 0 favours short texts, 1 ranks by the mean per token
    /// [default: 1]
    #[arg(long, value_name = "A", value_parser = number::finite, allow_hyphen_values = true, requires = "beams")]
    length_penalty: Option<f64>,
}

impl SearchArgs {
    /// Return the options for a model that translates. Refuse flags that the user gave for another model.
    ///
    /// # Errors
    /// For such a flag, and for an invalid value.
    pub fn options(self, bundle: &str, model: &Model) -> anyhow::Result<Option<SearchOptions>> {
        let flag = self.beams.map(|_| "--beams").or(self.length_penalty.map(|_| "--length-penalty"));
        match (model.network.sequence_to_sequence(), flag) {
            (None, Some(flag)) => {
                let task = model.config.task;
                Err(usage(
                    flag,
                    format!("{bundle} is {}, which does not translate; leave it out", task.model()),
                ))
            }
            (None, None) => Ok(None),
            (Some(_), _) => {
                let usual = SearchOptions::default();
                let options = SearchOptions {
                    beams: self.beams.unwrap_or(usual.beams),
                    length_penalty: self.length_penalty.unwrap_or(usual.length_penalty),
                };
                options.validate()?;
                Ok(Some(options))
            }
        }
    }
}
