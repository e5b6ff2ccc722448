//! Flags of `rnn train` that would have no effect.

use rnn_zoo::models::ModelConfig;
use rnn_zoo::tasks::{DataSpec, Task};
use rnn_zoo::tokenizer::Kind;

use super::args::Args;
use crate::cli::flags::usage;

/// Refuse flags that have no effect on the task or on the data.
///
/// # Errors
/// For such a flag.
pub fn check(args: &Args, task: &dyn Task, data: &DataSpec) -> anyhow::Result<()> {
    let name = task.name();
    if args.training.bptt.is_some() && !task.is_language_model() {
        let problem = format!("only a language model reads a text window by window, not --task {name}");
        return Err(usage("--bptt", problem));
    }
    if task.is_language_model() && args.network.merge.is_some() {
        let problem = "a language model reads in one direction; leave it out";
        return Err(usage("--merge", problem));
    }
    if task.is_language_model() && data.columns.label.is_some() {
        let problem = "a language model learns no classes; leave it out, or choose --task classify";
        return Err(usage("--label-column", problem));
    }
    let of_pairs = [
        ("--shared-vocabulary", data.shared_vocabulary),
        ("--target-tokenizer", args.data.target_tokenizer.is_some()),
    ];
    if let Some((flag, _)) = of_pairs.iter().find(|(_, given)| *given)
        && !data.is_pairs()?
    {
        return Err(usage(
            *flag,
            format!("only a translator reads two texts, not --task {name}; leave it out"),
        ));
    }
    if let Some(flag) = args.data.forecasting().filter(|_| !task.reads_time_series()) {
        return Err(usage(flag, format!("only a forecaster has it, not --task {name}; leave it out")));
    }
    args.data.read.check_columns(data, Some(task))?;
    args.data.fractions().check_sequences(data)?;
    check_tokenizer(args, data)
}

/// Refuse flags of the tokenizer that have no effect.
fn check_tokenizer(args: &Args, data: &DataSpec) -> anyhow::Result<()> {
    let given = [
        ("--tokenizer", args.data.tokenizer.is_some()),
        ("--max-vocab", args.data.max_vocab.is_some()),
        ("--lowercase", args.data.lowercase),
    ];
    if let Some((flag, _)) = given.iter().find(|(_, given)| *given)
        && !data.is_text()?
        && !data.is_columns()?
        && !data.is_pairs()?
    {
        return Err(usage(*flag, format!("{} is not text; leave it out", data.data)));
    }
    if args.data.tokenizer == Some(Kind::Word) && data.is_columns()? {
        let problem = "a tagger of column files reads words anyway; leave it out";
        return Err(usage("--tokenizer", problem));
    }
    let kinds = [("--tokenizer", &args.data.tokenizer), ("--target-tokenizer", &args.data.target_tokenizer)];
    for (flag, kind) in kinds.into_iter().filter(|_| args.data.max_vocab.is_some()) {
        let problem = match kind {
            Some(Kind::Bpe(size)) => format!("{flag} bpe:{size} has {size} tokens; leave one of the two out"),
            Some(Kind::File(path)) => {
                format!("{} has its own vocabulary; leave one of the two out", path.display())
            }
            _ => continue,
        };
        return Err(usage("--max-vocab", problem));
    }
    Ok(())
}

/// Refuse `--locked-dropout` for a network without dropout.
///
/// # Errors
/// If the flag is given and the dropout is 0.
pub fn check_locked_dropout(args: &Args, network: &ModelConfig) -> anyhow::Result<()> {
    let (rnn, dropout) = match network {
        ModelConfig::Rnnlm(config) => (&config.rnn, config.dropout),
        ModelConfig::Predictor(config) => (&config.rnn, config.dropout),
        ModelConfig::Tagger(config) => (&config.rnn, config.dropout),
        ModelConfig::Translator(config) => (&config.rnn, config.dropout),
        ModelConfig::Forecaster(config) => (&config.rnn, config.dropout),
    };
    if args.network.locked_dropout == Some(true) && dropout == 0. && rnn.stack().dropout == 0. {
        return Err(usage(
            "--locked-dropout",
            "has no effect without dropout; add --dropout P, or leave it out",
        ));
    }
    Ok(())
}
