//! Loading a trained bundle: text, scores of lines, and a plain forward pass.
//!
//! ```text
//! cargo run --release --example load_bundle -- weights/lstm-story
//! ```

use std::path::PathBuf;

use candle_core::{Device, Tensor};
use rnn_zoo::inference::Model;
use rnn_zoo::inference::generate::{
    Batch, BatchEvent, Opening, Sampling, Specials, TextOptions, TypedPrompt,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args_os().nth(1).map_or_else(|| "weights/lstm-story".into(), PathBuf::from);
    let model = Model::load(&path, &Device::Cpu)?;
    println!("{}: model {}, task {}", path.display(), model.config.model, model.config.task);

    // Text, as `rnn generate` writes it.
    let prompt = TypedPrompt::new(&model, "Once".into())?;
    let Specials { end, banned } = Specials::of(&model)?;
    let sampling = Sampling { temperature: 0.7, ..Sampling::default() };
    let options = TextOptions { sampling, banned, length: 120, end, logprobs: false, resumable: false };
    let opening = Opening { saved: None, stops: vec![], seed: Some(1) };
    let mut batch = Batch::new(&model, opening, vec![prompt], 1, options)?;
    while let Some(events) = batch.step()? {
        for event in events {
            match event {
                BatchEvent::Begun { shown, .. } => print!("{shown}"),
                BatchEvent::Written(event) => print!("{}", event.shown),
            }
        }
    }
    println!();

    // A forward pass of the network itself: tokens to scores of the next token.
    let tokens = model.tokenizer()?.encode("Once upon a time")?;
    let tokens = Tensor::from_vec(tokens.clone(), (1, tokens.len()), &Device::Cpu)?; // (batch, time)
    let (hidden, _state) = model.network.encode(&tokens, None, None)?;
    let scores = model.network.decode(&hidden)?; // (batch, time, vocabulary)
    println!("scores: {:?}", scores.dims());
    Ok(())
}
