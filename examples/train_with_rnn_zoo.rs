//! Training with the loop of this library: validation, checkpoints that resume to the byte, and a bundle at the end.
//!
//! A GRU learns the embedded Reber grammar, a generator of strings with a long dependency.
//!
//! ```text
//! cargo run --release --example train_with_rnn_zoo
//! ```

use std::sync::atomic::AtomicBool;

use candle_core::Device;
use rnn_zoo::bundle::{BundleWriter, Config};
use rnn_zoo::distributed::SingleProcess;
use rnn_zoo::inference::Model;
use rnn_zoo::models::{RecurrentConfig, StackOptions};
use rnn_zoo::tasks::{self, DataSpec, NetworkOptions};
use rnn_zoo::tokenizer::Kind;
use rnn_zoo::training::{Options, Run};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::Cpu;
    let folder = tempfile::tempdir()?;
    let bundle = folder.path().join("gru-reber");

    // The data, and the task that it is for: here a language model of characters.
    let data = DataSpec::new("builtin:reber");
    let task = tasks::suited(&data)?;
    let prepared = task.prepare(&data, Kind::Char.into())?;

    // The network: an embedding of 16 features, 32 units, and scores of all tokens.
    let rnn = RecurrentConfig::Gru(StackOptions::new(16, 32).into());
    let network = task.network(rnn, prepared.shape, &prepared.schema, &NetworkOptions::default())?;
    let config = Config::new("gru", task, network, &prepared);

    let defaults = task.defaults(&data, &prepared);
    let options = Options { epochs: None, max_steps: Some(300), ..defaults.options()? };
    let writer = BundleWriter::create(&bundle, false)?;
    let mut run = Run::start(writer, config, data, prepared, options, &device, SingleProcess::ranks())?;
    let ending = run.train(&AtomicBool::new(false))?; // `true` from another thread stops and saves
    println!("{ending:?} after {} steps", run.trainer.progress.step);

    // The bundle is what `rnn` loads, too.
    let model = Model::load(&bundle, &device)?;
    println!("loaded {}", model.path().display());
    Ok(())
}
