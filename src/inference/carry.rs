//! A recurrent state carried from batch to batch.

use candle_core::Tensor;
use rand::RngExt;
use rnn_zoo_models::{Encoded, Network, Noise, State};

use crate::Result;
use crate::data::batch::Batch;
use crate::rng::Rng;

/// A recurrent state carried from one window of a stream to the next. The state is detached from the graph of the
/// window that it comes from: gradients end at the beginning of a window (truncated backpropagation through time).
#[derive(Clone, Debug, Default)]
pub struct Carried {
    /// (layers, batch, hidden); `None` for zero.
    state: Option<State>,
}

impl Carried {
    /// The state that the next window starts from; `None` for zero.
    pub fn state(&self) -> Option<&State> {
        self.state.as_ref()
    }

    /// Run the network on a batch, from the carried state or from zero if the batch is fresh. Returns the hidden
    /// states that the decoder reads: (batch, time, hidden), or (batch, hidden) where it reads only the last.
    ///
    /// # Errors
    /// If the batch does not fit the network or the carried state, and errors from candle.
    pub fn encode(&mut self, network: &dyn Network, batch: &Batch) -> Result<Tensor> {
        self.encode_t(network, batch, None).map(|(hidden, _)| hidden)
    }

    /// As [`Carried::encode`], in training if there is `noise`. Returns the hidden states and what is added to the
    /// mean loss.
    ///
    /// # Errors
    /// As [`Carried::encode`].
    pub fn encode_t(
        &mut self,
        network: &dyn Network,
        batch: &Batch,
        noise: Noise<'_>,
    ) -> Result<(Tensor, Option<Tensor>)> {
        let before = self.state.take().filter(|_| !batch.fresh);
        let lengths = batch.lengths.as_deref();
        let Encoded { hidden, state, penalty } =
            network.encode_t(&batch.inputs, before.as_ref(), lengths, noise)?;
        self.state = Some(state.detach());
        Ok((hidden, penalty))
    }

    /// Run the network on `inputs`, (batch, time) or (batch, time, features), from the carried state. Returns the
    /// hidden states that the decoder reads.
    ///
    /// # Errors
    /// If the inputs do not fit the network or the carried state, and errors from candle.
    pub fn read(&mut self, network: &dyn Network, inputs: &Tensor) -> Result<Tensor> {
        let (hidden, state) = network.encode(&inputs.into(), self.state.as_ref(), None)?;
        self.state = Some(state.detach());
        Ok(hidden)
    }

    /// Set the state of each sequence of the batch to zero with probability `p`.
    ///
    /// # Errors
    /// Errors from candle.
    pub fn reset_rows(&mut self, p: f64, rng: &mut Rng) -> Result<()> {
        let Some(State { h, c }) = &self.state else { return Ok(()) };
        let (_, batch, _) = h.dims3()?;
        let keep: Vec<f32> = (0..batch).map(|_| if rng.random::<f64>() < p { 0. } else { 1. }).collect();
        let keep = Tensor::from_vec(keep, (1, batch, 1), h.device())?.to_dtype(h.dtype())?;
        let c = c.as_ref().map(|c| c.broadcast_mul(&keep)).transpose()?;
        self.state = Some(State { h: h.broadcast_mul(&keep)?, c });
        Ok(())
    }
}

impl From<State> for Carried {
    fn from(state: State) -> Self {
        Self { state: Some(state.detach()) }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};
    use rnn_zoo_models::{LstmConfig, ModelConfig, RecurrentConfig, RnnlmConfig};

    use super::*;
    use crate::data::batch::Targets;
    use crate::parameters;
    use crate::rng::{Purpose, stream};

    fn network() -> Box<dyn Network> {
        let config = RnnlmConfig::new(5, RecurrentConfig::Lstm(LstmConfig::new(3, 4)));
        let config = ModelConfig::Rnnlm(config);
        let (network, _) = parameters::build(&config, DType::F64, &Device::Cpu).unwrap();
        network.reset_parameters(&mut stream(1, Purpose::Parameters, 0)).unwrap();
        network
    }

    fn batch(tokens: &[[u32; 2]; 2], fresh: bool) -> Batch {
        let inputs = Tensor::new(tokens, &Device::Cpu).unwrap(); // (batch, time)
        Batch { targets: Targets::Classes(inputs.clone()), inputs: inputs.into(), lengths: None, fresh }
    }

    fn numbers(tensor: &Tensor) -> Vec<f64> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn windows_continue_unless_fresh() {
        let (network, mut carried) = (network(), Carried::default());
        let first = batch(&[[0, 1], [2, 3]], true);
        let second = [[4, 0], [1, 2]];
        carried.encode(network.as_ref(), &first).unwrap();
        let state = carried.state().unwrap().clone();
        assert!(!state.h.track_op(), "the state is detached");
        for (fresh, before) in [(false, Some(&state)), (true, None)] {
            let mut carried = carried.clone();
            let found = carried.encode(network.as_ref(), &batch(&second, fresh)).unwrap();
            let inputs = Tensor::new(&second, &Device::Cpu).unwrap();
            let (expected, after) = network.encode(&inputs.into(), before, None).unwrap();
            assert_eq!(numbers(&found), numbers(&expected));
            assert_eq!(numbers(&carried.state().unwrap().h), numbers(&after.h));
        }
    }

    #[test]
    fn rows_are_reset_whole() {
        let ones = || Tensor::ones((1, 64, 2), DType::F64, &Device::Cpu).unwrap();
        let mut carried = Carried::from(State { h: ones(), c: Some(ones()) });
        carried.reset_rows(0.5, &mut stream(1, Purpose::Noise, 0)).unwrap();
        let State { h, c } = carried.state().unwrap();
        assert_eq!(numbers(h), numbers(c.as_ref().unwrap()));
        let rows: Vec<f64> = numbers(h).chunks(2).map(|row| row[0] + row[1]).collect();
        assert!(rows.iter().all(|&sum| sum == 0. || sum == 2.));
        let zeros = rows.iter().filter(|&&sum| sum == 0.).count();
        assert!((20..44).contains(&zeros), "{zeros} of 64 rows are zero");
    }
}
