//! A recurrent layer inside a model of candle's own layers.
//!
//! ```text
//! cargo run --release --example layer_in_candle_model
//! ```

use candle_core::{DType, Device, Module, Result, Tensor};
use candle_nn::{VarBuilder, VarMap, embedding, linear, seq};
use rnn_zoo::models::{Gru, Merge, Recurrent, StackOptions};

fn main() -> Result<()> {
    let (vocabulary, features, hidden, tags) = (100, 16, 32, 5);
    let parameters = VarMap::new();
    let vb = VarBuilder::from_varmap(&parameters, DType::F32, &Device::Cpu);

    // Two layers in both directions. Every layer here is a `candle_nn::Module`.
    let options = StackOptions {
        num_layers: 2,
        bidirectional: Some(Merge::Concat),
        ..StackOptions::new(features, hidden)
    };
    let gru = Gru::new(&options.into(), vb.pp("gru"))?;
    let width = gru.output_size();
    let tagger = seq().add(embedding(vocabulary, features, vb.pp("embedding"))?).add(gru).add(linear(
        width,
        tags,
        vb.pp("linear"),
    )?);

    let tokens = Tensor::arange(0u32, 24, &Device::Cpu)?.reshape((2, 12))?; // (batch, time)
    let scores = tagger.forward(&tokens)?; // (batch, time, tags)
    println!("scores of {:?} tokens: {:?}", tokens.dims(), scores.dims());
    println!("tags: {:?}", scores.argmax(2)?.to_vec2::<u32>()?);
    Ok(())
}
