//! The description of a run that begins or continues.

use candle_core::Device;
use rnn_zoo::training::{Run, card};

/// Return the command line of this process, quoted for a shell.
pub fn command_line() -> String {
    let arguments = std::env::args().skip(1).map(|argument| card::quoted(&argument));
    std::iter::once("rnn".to_string()).chain(arguments).collect::<Vec<_>>().join(" ")
}

/// Print a description of the model and its data.
pub fn introduce(run: &Run, device: &Device) {
    let splits = run.splits();
    let (train, valid) = (splits.train.len(), splits.valid.as_ref().map_or(0, |valid| valid.len()));
    let vocabulary = run.tokenizer().map_or(String::new(), |tokenizer| {
        format!(", a vocabulary of {} {}s", tokenizer.vocabulary_size(), tokenizer.unit())
    });
    eprintln!(
        "{} ({}): {} parameters on {}; {train} training targets, {valid} validation targets{vocabulary}",
        run.config().model,
        run.config().task,
        run.trainer.parameters.count(),
        rnn_zoo::device::name(device),
    );
    if let Some((tokenizer, unknown)) = run.tokenizer().and_then(|known| Some((known, known.unknown()?))) {
        let share = splits.train.unknown_share(unknown);
        if share > 0. {
            let (percent, token) = (100. * share, tokenizer.token(unknown).unwrap_or_default());
            eprintln!("{percent:.1} % of the training text is unknown to the tokenizer: `{token}`");
        }
    }
    if valid == 0 {
        eprintln!("no validation data: the last parameters will be kept, not the best");
    }
}
