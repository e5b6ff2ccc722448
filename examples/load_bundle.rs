//! Loading a trained bundle: text, the score of a line, and a forward pass of the network.
//!
//! ```text
//! cargo run --release --example load_bundle -- weights/lstm-story
//! ```

use std::path::PathBuf;

use candle_core::{Device, Tensor};
use rnn_zoo::inference::Model;
use rnn_zoo::inference::generate::{Sampling, write};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args_os().nth(1).map_or_else(|| "weights/lstm-story".into(), PathBuf::from);
    let model = Model::load(&path, &Device::Cpu)?;
    println!("{}: model {}, task {}", path.display(), model.config.model, model.config.task);

    // Text, as `rnn generate` writes it.
    let sampling = Sampling { temperature: 0.7, ..Sampling::default() };
    println!("{}", write(&model, "Emma", sampling, 60, 1)?);

    // A forward pass of the network itself: tokens to scores of the next token.
    let tokens = model.tokenizer()?.encode("Emma had lost her green bell .")?;
    let tokens = Tensor::from_vec(tokens.clone(), (1, tokens.len()), &Device::Cpu)?; // (batch, time)
    let (hidden, _state) = model.network.encode(&tokens.into(), None, None)?;
    let scores = model.network.outputs(&hidden)?; // (batch, time, vocabulary)
    println!("scores: {:?}", scores.dims());
    Ok(())
}
