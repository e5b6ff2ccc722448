//! `rnn convert`: files of other frameworks as bundles.

use std::path::PathBuf;

use rnn_zoo::formats::{self, Converted, ImportOptions};
use rnn_zoo::listing::{counted, thousands};
use rnn_zoo::models::{Nonlinearity, Readout};
use rnn_zoo::tasks::Task;

use super::flags;
use super::note::note;
use super::outcome::Outcome;
use super::quote::command_line;

/// Convert a model of PyTorch, Keras or ONNX to a bundle
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rnn convert model.pt --out my-lstm --vocab words.txt
  rnn convert model.safetensors --out my-gru --vocab tokenizer.json
  rnn convert model.pt --out topics --vocab words.json --labels topics.txt
  rnn convert model.keras --out reviews --vocab word_index.json
  rnn convert model.onnx --out my-lstm --vocab words.txt
  rnn convert model.pt --out my-lstm --vocab words.txt --map x.bias=decoder.bias

The format is known by the content: a state dict, a checkpoint with one, or a whole module of PyTorch (.pt, .pth, .bin, \
.safetensors), a model or the weights of Keras 2 or 3 (.keras, .h5, .weights.h5), or an ONNX graph, of `rnn export \
--format onnx` or of another program. Nothing in the file is executed. --map is for PyTorch; --readout and \
--nonlinearity are for files that do not show them.")]
pub struct Args {
    /// The file to convert
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// The new bundle
    #[arg(long, value_name = "BUNDLE")]
    out: PathBuf,

    /// Vocabulary: one token a line, JSON (a list, or a map from tokens to numbers or back), or a tokenizer.json
    #[arg(long, value_name = "FILE")]
    vocab: Option<PathBuf>,

    /// The token for text outside the vocabulary, if it is not spelt like `<unk>`
    #[arg(long, value_name = "TOKEN", requires = "vocab")]
    unknown: Option<String>,

    /// Names of classes or tags, one a line, in the order of the outputs
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,

    /// Rename a tensor of the file (THEIRS) to a parameter (OURS), as encoder.weight; an empty OURS skips it
    #[arg(long, value_name = "THEIRS=OURS", value_parser = pair)]
    map: Vec<(String, String)>,

    /// The task [default: lm where the network has as many outputs as tokens]
    #[arg(long, value_name = "TASK", value_parser = flags::task())]
    task: Option<&'static dyn Task>,

    /// The outputs that a classifier reads: last, mean or max
    #[arg(
        long,
        value_name = "READOUT",
        default_value = "last",
        hide_possible_values = true,
        value_parser = flags::named::<Readout>(&["last", "mean", "max"])
    )]
    readout: Readout,

    /// The nonlinearity of a simple RNN: tanh or relu
    #[arg(
        long,
        value_name = "FUNCTION",
        default_value = "tanh",
        hide_possible_values = true,
        value_parser = flags::named::<Nonlinearity>(&["tanh", "relu"])
    )]
    nonlinearity: Nonlinearity,

    /// Replace an existing bundle
    #[arg(long)]
    force: bool,
}

/// Parse `THEIRS=OURS`. Names have no `=` of their own.
fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((theirs, ours)) if !theirs.is_empty() => Ok((theirs.to_string(), ours.to_string())),
        _ => Err("expected THEIRS=OURS, as in fc2.weight=decoder.weight".to_string()),
    }
}

/// Run the command.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let options = ImportOptions {
        vocabulary: args.vocab.clone(),
        unknown: args.unknown.clone(),
        labels: args.labels.clone(),
        names: args.map.clone(),
        task: args.task,
        readout: args.readout,
        nonlinearity: args.nonlinearity,
    };
    let converted = formats::convert(&args.file, &args.out, &options, &command_line(), args.force)?;
    let Converted { format, config, parameters, notes } = converted;
    for line in notes {
        note!("{}", flags::translated(&line));
    }
    let stack = config.network.rnn().stack();
    let directions = if stack.bidirectional.is_some() { ", both directions" } else { "" };
    note!(
        "converted {} ({}) to {}: {} for {}, {} of {} units{directions}, {} parameters",
        args.file.display(),
        format.name(),
        args.out.display(),
        config.model,
        config.task,
        counted(stack.num_layers as u64, "layer"),
        stack.hidden_size,
        thousands(parameters)
    );
    Ok(Outcome::Done)
}
