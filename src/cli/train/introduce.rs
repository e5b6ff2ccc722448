//! The description of a run, printed at its start.

use crate::cli::note::note;
use candle_core::Device;
use rnn_zoo::data::dataset::Dataset;
use rnn_zoo::listing::{counted, has};
use rnn_zoo::training::Run;

/// Print a description of the model and its data.
pub fn introduce(run: &Run, device: &Device) {
    let splits = run.splits();
    let (train, valid) = (splits.train.len(), splits.valid.as_ref().map_or(0, |valid| valid.len()));
    let rows = match &splits.valid {
        Some(Dataset::Stream { .. }) => {
            format!(" in {} batch row{}", run.trainer.valid_rows, plural(run.trainer.valid_rows))
        }
        _ => String::new(),
    };
    let vocabulary = run.tokenizer().map_or(String::new(), |tokenizer| {
        format!(", a vocabulary of {} {}s", tokenizer.vocabulary_size(), tokenizer.unit())
    });
    note!(
        "{} ({}): {} parameters on {}; {train} training target{}, {valid} validation target{}{rows}{vocabulary}",
        run.config().model,
        run.config().task,
        run.trainer.parameters.count(),
        rnn_zoo::device::name(device),
        plural(train),
        plural(valid),
    );
    let valid_notes =
        splits.valid.iter().flat_map(|valid| valid.notes()).map(|note| format!("validation: {note}"));
    splits.train.notes().iter().cloned().chain(valid_notes).for_each(|note| note!("{note}"));
    if let Some((tokenizer, unknown)) = run.tokenizer().and_then(|known| Some((known, known.unknown()?))) {
        let count = splits.train.unknown(Some(unknown)).tokens;
        if count > 0 {
            let percent = 100. * count as f64 / splits.train.token_count().max(1) as f64;
            let token = tokenizer.token(unknown).unwrap_or_default();
            note!("{percent:.1} % of the training text is unknown to the tokenizer: `{token}`");
        }
    }
    if let Some(tokenizer) = run.tokenizer().filter(|tokenizer| tokenizer.drops_text()) {
        let (unit, reason) = (tokenizer.unit(), "the tokenizer has no unknown token");
        match &splits.train {
            Dataset::Stream { tokens, .. } => match tokens.unknown().dropped {
                0 => {}
                count => {
                    note!(
                        "{} of the training text {} no {unit}, so left out: {reason}",
                        counted(count, "character"),
                        has(count)
                    );
                }
            },
            Dataset::Examples(_) => note!("characters that have no {unit} are left out: {reason}"),
        }
    }
    if valid == 0 {
        note!("no validation data: the last parameters will be kept, not the best");
    }
}

/// The ending of a noun in the plural.
fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}
