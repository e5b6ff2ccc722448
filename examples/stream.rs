//! Inference step by step, for inputs that arrive one at a time.
//!
//! ```text
//! cargo run --release --example stream
//! ```

use candle_core::{DType, Device, IndexOp, Result, Tensor};
use candle_nn::{VarBuilder, VarMap};
use rnn_zoo::models::{Lstm, LstmConfig, Recurrent};

fn main() -> Result<()> {
    let (features, time) = (3, 8);
    let parameters = VarMap::new();
    let vb = VarBuilder::from_varmap(&parameters, DType::F32, &Device::Cpu);
    let lstm = Lstm::new(&LstmConfig::new(features, 16), vb)?;
    let xs = Tensor::randn(0f32, 1., (1, time, features), &Device::Cpu)?;
    let ys = lstm.run(&xs, None, None)?.ys; // (1, time, hidden)

    // A stream packs the weights once, keeps the state, and allocates nothing for a step.
    let Some(mut stream) = lstm.stream(&[])? else {
        // `Recurrent::step`, which takes and returns a state, runs layers without such kernels, and on GPUs.
        println!("there is no stream for this layer");
        return Ok(());
    };
    for t in 0..time {
        let x: Vec<f32> = xs.i((0, t))?.to_vec1()?;
        let y = stream.step(&x)?;
        let expected: Vec<f32> = ys.i((0, t))?.to_vec1()?;
        let difference = y.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0., f32::max);
        println!("step {t}: y[0] = {:.4}, {difference:.0e} from the whole sequence at once", y[0]);
    }

    // A second sequence joins with a state of its own, and the first one leaves.
    stream.append(&lstm.zero_state(1)?)?;
    stream.step(&[0.5; 6])?; // (batch, features)
    println!("two sequences: {:.4} and {:.4}", stream.output(0)?[0], stream.output(1)?[0]);
    stream.select(&[1])?;
    println!("the state of the one that is left: {:?}", stream.state()?.h.dims());
    Ok(())
}
