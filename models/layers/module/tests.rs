use candle_core::{DType, Device};
use candle_nn::{AdamW, Optimizer, VarBuilder, VarMap, linear, loss, seq};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::*;
use crate::{Gru, Init, Lstm, Nonlinearity, SimpleRnn, SimpleRnnOptions, StackOptions};

const SEQUENCES: usize = 64;
const TIME: usize = 6;
const HIDDEN: usize = 16;

/// Draw sequences of random numbers that start with 1 or -1, (batch, time, 1), and their first steps, (batch, 1).
fn signs() -> (Tensor, Tensor) {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut step = |at: usize| match at % TIME {
        0 => [-1., 1.][at / TIME % 2],
        _ => rng.random::<f32>() - 0.5,
    };
    let xs = (0..SEQUENCES * TIME).map(&mut step).collect();
    let xs = Tensor::from_vec(xs, (SEQUENCES, TIME, 1), &Device::Cpu).unwrap();
    let first = xs.narrow(1, 0, 1).unwrap().squeeze(1).unwrap();
    (xs, first)
}

/// Compute the last loss of 200 steps of AdamW with candle's own backward pass. The parameters start as the builder
/// draws them. The model predicts the first step of a sequence from the output of its last one.
fn trained_loss<M: Module + 'static>(layer: impl FnOnce(VarBuilder<'static>) -> Result<M>) -> Result<f32> {
    let parameters = VarMap::new();
    let vb = VarBuilder::from_varmap(&parameters, DType::F32, &Device::Cpu);
    let model = seq()
        .add(layer(vb.pp("rnn"))?)
        .add_fn(|ys| ys.narrow(1, TIME - 1, 1)?.squeeze(1)) // (batch, hidden)
        .add(linear(HIDDEN, 1, vb.pp("head"))?);
    let mut optimizer = AdamW::new_lr(parameters.all_vars(), 0.02)?;
    let (xs, first) = signs();
    let mut last = f32::INFINITY;
    for _ in 0..200 {
        let loss = loss::mse(&model.forward(&xs)?, &first)?;
        optimizer.backward_step(&loss)?;
        last = loss.to_scalar()?;
    }
    Ok(last)
}

#[test]
fn layers_from_a_var_map_learn_with_candles_optimizer() {
    let (_, first) = signs();
    // The loss of the best prediction that does not depend on the first step: the variance of the targets.
    let mean = first.mean_all().unwrap();
    let variance = first.broadcast_sub(&mean).unwrap().sqr().unwrap().mean_all().unwrap();
    let bound = variance.to_scalar::<f32>().unwrap() / 10.;
    for init in [Init::Pytorch, Init::Keras] {
        let stack = || StackOptions { init, ..StackOptions::new(1, HIDDEN) };
        for (cell, loss) in [
            ("SimpleRnn", trained_loss(|vb| SimpleRnn::new(&stack().into(), vb))),
            ("Lstm", trained_loss(|vb| Lstm::new(&stack().into(), vb))),
            ("Gru", trained_loss(|vb| Gru::new(&stack().into(), vb))),
        ] {
            let loss = loss.unwrap();
            assert!(loss < bound, "{cell} with {init:?}: a loss of {loss}; expected below {bound}");
        }
    }
}

#[test]
fn layers_are_modules_of_a_sequential() {
    let parameters = VarMap::new();
    let vb = VarBuilder::from_varmap(&parameters, DType::F32, &Device::Cpu);
    let rnn = SimpleRnn::new(&StackOptions::new(1, 5).into(), vb.pp("rnn")).unwrap();
    let lstm = Lstm::new(&StackOptions::new(5, 4).into(), vb.pp("lstm")).unwrap();
    let gru = Gru::new(&StackOptions::new(4, 3).into(), vb.pp("gru")).unwrap();
    let decoder = Linear::new(Tensor::ones((2, 3), DType::F32, &Device::Cpu).unwrap(), None);
    let (xs, _) = signs();
    let ys = Recurrent::run(&rnn, &xs, None, None).unwrap().ys;
    let ys = Recurrent::run(&lstm, &ys, None, None).unwrap().ys;
    let ys = Recurrent::run(&gru, &ys, None, None).unwrap().ys;
    let expected = Linear::forward(&decoder, &ys).unwrap();
    let found = seq().add(rnn).add(lstm).add(gru).add(decoder).forward(&xs).unwrap();
    assert_eq!(found.dims(), [SEQUENCES, TIME, 2]);
    assert_eq!(found.to_vec3::<f32>().unwrap(), expected.to_vec3::<f32>().unwrap());
}

/// Make two relu layers with dropout of one half between them. Without dropout all outputs are 1.
fn ones() -> SimpleRnn {
    let parameters = VarMap::new();
    let vb = VarBuilder::from_varmap(&parameters, DType::F32, &Device::Cpu);
    let stack = StackOptions { num_layers: 2, dropout: 0.5, ..StackOptions::new(1, HIDDEN) };
    let rnn =
        SimpleRnn::new(&stack.with_cell(SimpleRnnOptions { nonlinearity: Nonlinearity::Relu }), vb).unwrap();
    for (name, var) in parameters.data().lock().unwrap().iter() {
        let value = match name.as_str() {
            "bias_ih_l0" => Tensor::ones(HIDDEN, DType::F32, &Device::Cpu),
            "weight_ih_l1" => Tensor::eye(HIDDEN, DType::F32, &Device::Cpu),
            _ => var.zeros_like(),
        };
        var.set(&value.unwrap()).unwrap();
    }
    rnn
}

#[test]
fn dropout_acts_only_in_training() {
    let values = |tensor: Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let (xs, _) = signs();
    let rnn = ones();
    let with_dropout = |seed| WithDropout::new(rnn.clone(), ChaCha8Rng::seed_from_u64(seed));
    let first = with_dropout(1);
    let evaluated = values(first.forward_t(&xs, false).unwrap());
    assert_eq!(evaluated, values(Module::forward(first.module(), &xs).unwrap()));
    assert!(evaluated.iter().all(|&y| y == 1.));

    let trained = values(first.forward_t(&xs, true).unwrap());
    assert!(trained.iter().all(|&y| y == 0. || y == 2.));
    let dropped = trained.iter().filter(|&&y| y == 0.).count() as f64 / trained.len() as f64;
    assert!((0.45..0.55).contains(&dropped), "{dropped} of the outputs are dropped; expected one half");
    assert_eq!(trained, values(with_dropout(1).forward_t(&xs, true).unwrap()), "one seed, one mask");
    assert_ne!(trained, values(first.forward_t(&xs, true).unwrap()), "each call draws a new mask");
}

#[test]
fn embeddings_are_modules_of_a_sequential() {
    let embedding = Embedding::new(Tensor::new(&[[1f32, 2.], [3., 4.]], &Device::Cpu).unwrap());
    let decoder = Linear::new(Tensor::new(&[[1f32, 10.]], &Device::Cpu).unwrap(), None);
    let tokens = Tensor::new(&[[1u32, 0, 1]], &Device::Cpu).unwrap();
    let ys = seq().add(embedding).add(decoder).forward(&tokens).unwrap();
    assert_eq!(ys.to_vec3::<f32>().unwrap(), [[[43.], [21.], [43.]]]);
}
