//! The trait of formats, what an import needs beside the file, and what it finds.

use std::fmt;
use std::path::{Path, PathBuf};

use rnn_zoo_models::{ModelConfig, Nonlinearity, Readout};
use serde_json::Value;

use crate::Result;
use crate::bundle::{Config, Quantisation};
use crate::parameters::NamedTensors;
use crate::tasks::Task;
use crate::tokenizer::Tokenizer;

/// A file format of another framework.
///
/// Each format is one file or folder, and [`FORMATS`](super::FORMATS) lists them.
pub trait Format: Send + Sync {
    /// The name on the command line and in `config.json`.
    fn name(&self) -> &'static str;

    /// A description in one line, for help texts.
    fn summary(&self) -> &'static str;

    /// A description in one line of the files that [`Format::export`] writes, for help texts.
    fn export_summary(&self) -> &'static str;

    /// Whether a file is of this format, by its content. `head` holds its first `HEAD` bytes, or all if it is
    /// shorter.
    fn recognises(&self, path: &Path, head: &[u8]) -> bool;

    /// Read a file of this format.
    ///
    /// # Errors
    /// If the file is damaged, describes no network of this program, or needs an option that is not set.
    fn import(&self, path: &Path, options: &ImportOptions) -> Result<Imported>;

    /// Encode a network as the contents of the file `out`, and of further files beside it. `parameters` are in the
    /// dtype of the configuration.
    ///
    /// # Errors
    /// If the format has no such network, or the name of `out` does not suit it.
    fn export(&self, config: &Config, parameters: &NamedTensors, out: &Path) -> Result<Vec<NewFile>>;
}

impl fmt::Debug for dyn Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The number of bytes that [`Format::recognises`] is given.
pub const HEAD: usize = 512;

/// A file to be written.
#[derive(Clone, Debug)]
pub struct NewFile {
    /// Its path.
    pub path: PathBuf,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// The facts that an import needs and the file does not hold.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// A file with the tokens: one a line, JSON in either direction, or a `tokenizer.json`.
    pub vocabulary: Option<PathBuf>,
    /// The token that stands for text outside the vocabulary, if it has an unusual name.
    pub unknown: Option<String>,
    /// A file with the names of classes or tags, one a line, in the order of the outputs.
    pub labels: Option<PathBuf>,
    /// Names of tensors in the file, each with the parameter that it is; an empty one leaves the tensor out.
    pub names: Vec<(String, String)>,
    /// The task, if the shapes leave it open.
    pub task: Option<&'static dyn Task>,
    /// The vectors that a classifier reads.
    pub readout: Readout,
    /// The nonlinearity of a simple recurrent network.
    pub nonlinearity: Nonlinearity,
}

impl Default for ImportOptions {
    /// No files and names, the last output, and tanh.
    fn default() -> Self {
        Self {
            vocabulary: None,
            unknown: None,
            labels: None,
            names: vec![],
            task: None,
            readout: Readout::Last,
            nonlinearity: Nonlinearity::Tanh,
        }
    }
}

/// A model of another framework, in the terms of a bundle.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The task.
    pub task: &'static dyn Task,
    /// The network.
    pub network: ModelConfig,
    /// The parameters under our names, in the dtypes of the file.
    pub parameters: NamedTensors,
    /// The tokenizer; `None` for a model that reads no text.
    pub tokenizer: Option<Tokenizer>,
    /// The names of classes or tags, in the order of the outputs.
    pub labels: Vec<String>,
    /// The task's own description of inputs and outputs.
    pub schema: Value,
    /// The column of records that a language model was trained on; `None` for running text.
    pub text_column: Option<String>,
    /// The format of matrices, if the file does not hold them as floats.
    pub stored: Option<Quantisation>,
    /// Remarks for the user, one line each: what was assumed, and what was left out.
    pub notes: Vec<String>,
}
