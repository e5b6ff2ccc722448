//! `rnn export`: copies of a bundle for shipping, and files for other frameworks.

use std::path::PathBuf;

use candle_core::DType;
use rnn_zoo::bundle::{self, Export, StoredType};
use rnn_zoo::formats::{self, Format};

use super::bundle_argument::Bundle;
use super::flags;
use super::outcome::Outcome;
use crate::cli::note::note;

/// Copy a bundle to ship it, or write it for another framework
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rnn export my-gru --out my-gru-small
  rnn export my-gru --out my-gru-f16 --dtype f16               half the size
  rnn export my-gru --out my-gru-int8 --dtype int8             a quarter
  rnn export my-gru --out my-gru-whole --with-training         for --resume
  rnn export my-gru --out my-gru.onnx --format onnx            for ONNX Runtime
  rnn export my-gru --out my-gru.keras --format keras          for Keras
  rnn export my-gru --out my-gru.safetensors --format pytorch  for PyTorch")]
pub struct Args {
    /// A bundle, or hf://OWNER/NAME
    #[arg(value_name = "BUNDLE")]
    bundle: String,

    /// The new bundle, or the file with --format
    #[arg(long, value_name = "BUNDLE|FILE")]
    out: PathBuf,

    /// Write a file for another framework instead of a bundle
    #[arg(
        long,
        value_name = "FORMAT",
        value_parser = flags::format(),
        conflicts_with_all = ["dtype", "with_training"]
    )]
    format: Option<&'static dyn Format>,

    /// Type of the stored parameters; loading converts them back [default: unchanged]
    #[arg(long, value_name = "DTYPE")]
    dtype: Option<StoredDtype>,

    /// Keep the training state, which --resume needs
    #[arg(long)]
    with_training: bool,

    /// Replace an existing bundle or file
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum StoredDtype {
    /// 32 bits.
    F32,
    /// 16 bits: 11 bits of precision, up to 65504.
    F16,
    /// 16 bits: 8 bits of precision, the range of f32.
    Bf16,
    /// 8 bits: integers with one scale for each row of a matrix; vectors in f32.
    Int8,
}

/// Run the command.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let dtype = args.dtype.map(|precision| match precision {
        StoredDtype::F32 => StoredType::Float(DType::F32),
        StoredDtype::F16 => StoredType::Float(DType::F16),
        StoredDtype::Bf16 => StoredType::Float(DType::BF16),
        StoredDtype::Int8 => StoredType::Int8,
    });
    let options = Export { dtype, with_training: args.with_training, force: args.force };
    let found = Bundle::find(&args.bundle)?;
    if let Some(format) = args.format {
        let files = formats::ship(found.path(), format, &args.out, args.force);
        let files = files.map_err(|error| found.named(error))?;
        files.iter().for_each(|file| note!("exported {}", file.display()));
        return Ok(Outcome::Done);
    }
    bundle::export(found.path(), &args.out, &options).map_err(|error| found.named(error))?;
    note!("exported {}", args.out.display());
    Ok(Outcome::Done)
}
