//! Training a recurrent layer with candle's own optimizer.
//!
//! The network reads a series of random numbers and classifies it: was the first number positive?
//!
//! ```text
//! cargo run --release --example train_with_candle
//! ```

use candle_core::{D, DType, Device, Result, Tensor};
use candle_nn::{AdamW, Optimizer, ParamsAdamW, VarBuilder, VarMap, linear, loss};
use rnn_zoo::models::{Lstm, LstmConfig, Recurrent};

const BATCH: usize = 64;
const TIME: usize = 8;
const STEPS: usize = 400;

fn main() -> Result<()> {
    let parameters = VarMap::new();
    let vb = VarBuilder::from_varmap(&parameters, DType::F32, &Device::Cpu);
    // The builder draws the initial values, as it does for candle's layers.
    let lstm = Lstm::new(&LstmConfig::new(1, 32), vb.pp("lstm"))?;
    let decoder = linear(32, 2, vb.pp("decoder"))?;

    let options = ParamsAdamW { lr: 1e-2, ..ParamsAdamW::default() };
    let mut optimizer = AdamW::new(parameters.all_vars(), options)?;
    for step in 1..=STEPS {
        let xs = Tensor::randn(0f32, 1., (BATCH, TIME, 1), &Device::Cpu)?;
        let targets = xs.narrow(1, 0, 1)?.flatten_all()?.gt(0.)?.to_dtype(DType::U32)?; // (batch)
        let last = lstm.run(&xs, None, None)?.ys.narrow(1, TIME - 1, 1)?.squeeze(1)?; // (batch, hidden)
        let scores = candle_core::Module::forward(&decoder, &last)?; // (batch, classes)
        let loss = loss::cross_entropy(&scores, &targets)?;
        optimizer.backward_step(&loss)?;
        if step % 100 == 0 {
            let correct = scores.argmax(D::Minus1)?.eq(&targets)?.to_dtype(DType::F32)?.mean_all()?;
            let (loss, correct) = (loss.to_scalar::<f32>()?, 100. * correct.to_scalar::<f32>()?);
            println!("step {step}: loss {loss:.4}, {correct:.0} % correct");
        }
    }
    Ok(())
}
