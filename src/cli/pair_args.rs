//! The flags that name the two sides of pairs of texts.

use rnn_zoo::tasks::PairSides;

use super::flags;

/// The sides of pairs of texts.
#[derive(Debug, clap::Args)]
pub struct PairArgs {
    /// Language to translate from: the extension of parallel files, as in train.en and train.de
    #[arg(long, value_name = "EXT")]
    source_lang: Option<String>,

    /// Language to translate into
    #[arg(long, value_name = "EXT")]
    target_lang: Option<String>,

    /// Column or field that holds the texts to translate, or the questions
    #[arg(long, value_name = "NAME", value_parser = flags::column)]
    source_column: Option<String>,

    /// Column or field that holds their translations, or the answers
    #[arg(long, value_name = "NAME", value_parser = flags::column)]
    target_column: Option<String>,
}

impl PairArgs {
    /// The sides that the user named, if any.
    pub fn sides(&self) -> Option<PairSides> {
        let Self { source_lang, target_lang, source_column, target_column } = self;
        let named = PairSides {
            source_lang: source_lang.clone(),
            target_lang: target_lang.clone(),
            source_column: source_column.clone(),
            target_column: target_column.clone(),
        };
        (named != PairSides::default()).then_some(named)
    }

    /// The first flag that the user gave.
    pub fn given(&self) -> Option<&'static str> {
        let flags = [
            ("--source-lang", &self.source_lang),
            ("--target-lang", &self.target_lang),
            ("--source-column", &self.source_column),
            ("--target-column", &self.target_column),
        ];
        flags.into_iter().find(|(_, given)| given.is_some()).map(|(flag, _)| flag)
    }
}
