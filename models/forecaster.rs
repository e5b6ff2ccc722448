//! A forecaster: the next steps of a time series, from a window of the steps before.
//!
//! ```text
//! direct      h_t = rnn(x_t, h_{t-1})  over the steps of the window
//!             y = W dropout([h_T, f_1 .. f_H]) + b            all H steps of the forecast at once
//!
//! segments    e_i = relu(U [x of segment i] + c)              the window cut into segments of equal length
//!             h_i = rnn(e_i, h_{i-1})
//!             g_j = rnn([p_j, s] + V [f of segment j], h_n)   one step for each segment j of the forecast, in parallel
//!             y_j = W dropout(g_j) + b                        all steps of segment j
//!
//! linear      y_k += A x + a                                  added to the locations of either, with `linear`
//! ```
//!
//! `x` holds the value of a step and its features, `f` the features that are known for the steps of the forecast, `p_j`
//! is a learned position, and `s` a learned vector of the series. Segments are those of Lin et al. 2023 ("SegRNN:
//! Segment Recurrent Neural Network for Long-Term Time Series Forecasting"); the linear layer is that of Zeng et al.
//! 2023 ("Are Transformers Effective for Time Series Forecasting?"), over the values alone. Values are scaled outside
//! the network.
//!
//! | parameter | shape |
//! |---|---|
//! | `embedding.weight`, `embedding.bias` | `U` (input, segment * channels), `c` (input), only for segments |
//! | `rnn.*` | those of the stack |
//! | `position.weight` | `p` (segments of the forecast, input, or half of it with `series`), only for segments |
//! | `series.weight` | `s` (series, the other half of input), only for segments of several series |
//! | `known.weight` | `V` (input, segment * known), only for segments with known features |
//! | `decoder.weight`, `decoder.bias` | `W` (steps * outputs, output size), `b`; steps are a segment's or all |
//! | `linear.weight`, `linear.bias` | `A` (horizon, window), `a` (horizon), only with `linear` |

use candle_core::{D, Result, Tensor, bail};
use candle_nn::VarBuilder;
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::head::Head;
use crate::inputs::{Inputs, Series};
use crate::layers::config::{LARGEST_SIZE, check_probability, check_size};
use crate::layers::dropout::{DropoutMask, Noise, dropout};
use crate::layers::embedding::{EMBEDDING_DISTRIBUTION, Embedding, embedding};
use crate::layers::init::{Distribution, parameter};
use crate::layers::linear::{Linear, linear, linear_no_bias};
use crate::layers::recurrent::Recurrent;
use crate::layers::state::State;
use crate::network::{Encoded, Network};
use crate::recurrent_config::RecurrentConfig;

/// The configuration of a [`Forecaster`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ForecasterConfig {
    /// Steps before the forecast that the network reads.
    pub window: usize,
    /// Steps of the forecast.
    pub horizon: usize,
    /// Steps of a segment, which divide the window; `None` reads step by step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<usize>,
    /// Channels of a step of the window: its value, then features.
    pub channels: usize,
    /// Features that are known for the steps of the forecast.
    #[serde(default)]
    pub known: usize,
    /// Number of series that have a vector each, only with segments; 0 for none.
    #[serde(default)]
    pub series: usize,
    /// The numbers of a step, and their loss.
    pub head: Head,
    /// Whether a linear layer from the window is added.
    #[serde(default)]
    pub linear: bool,
    /// Dropout before the decoder.
    pub dropout: f64,
    /// The recurrent stack. Its input size is `channels` without segments.
    pub rnn: RecurrentConfig,
}

impl ForecasterConfig {
    /// Return the number of steps that one vector of the decoder's input describes, and the number of such vectors.
    fn spans(&self) -> (usize, usize) {
        let steps = self.segment.unwrap_or(self.horizon);
        (steps, self.horizon.div_ceil(steps))
    }

    fn check(&self) -> Result<()> {
        for (name, size) in [("window", self.window), ("horizon", self.horizon), ("channels", self.channels)]
        {
            check_size(name, size)?;
        }
        if self.known > LARGEST_SIZE || self.series > LARGEST_SIZE {
            bail!("known and series are {} and {}; expected at most {LARGEST_SIZE}", self.known, self.series);
        }
        check_probability("dropout", self.dropout)?;
        self.head.check()?;
        if self.series > 0 && self.segment.is_none() {
            bail!("series is {}; expected 0 without segments, whose queries have the vectors", self.series);
        }
        if self.series > 0 && self.rnn.stack().input_size < 2 {
            bail!(
                "input_size is {}; expected at least 2 with vectors of series",
                self.rnn.stack().input_size
            );
        }
        match self.segment {
            Some(0) => bail!("segment is 0; expected at least 1"),
            Some(segment) if !self.window.is_multiple_of(segment) => {
                bail!("window is {}; expected a multiple of segment, {segment}", self.window)
            }
            Some(_) if self.rnn.stack().bidirectional.is_some() => {
                bail!("segments are read forward; expected a stack of one direction")
            }
            None if self.rnn.stack().input_size != self.channels => {
                bail!("input_size is {}; a step has {} channels", self.rnn.stack().input_size, self.channels)
            }
            _ => Ok(()),
        }
    }
}

/// A network that forecasts the next steps of a time series.
pub struct Forecaster {
    config: ForecasterConfig,
    rnn: Box<dyn Recurrent>,
    segments: Option<Segments>,
    decoder: Linear,
    /// The linear layer from the window to the forecast.
    direct: Option<Linear>,
}

/// The layers around the stack that reads segments.
struct Segments {
    /// Steps of a segment.
    steps: usize,
    embedding: Linear,
    /// (segments of the forecast, features).
    position: Tensor,
    series: Option<Embedding>,
    known: Option<Linear>,
}

impl Segments {
    #[allow(clippy::needless_pass_by_value)] // as candle's own constructors take it
    fn new(config: &ForecasterConfig, steps: usize, input: usize, vb: VarBuilder<'_>) -> Result<Self> {
        let (_, count) = config.spans();
        let of_series = if config.series > 0 { input / 2 } else { 0 };
        let position = parameter(&vb, (count, input - of_series), "position.weight", EMBEDDING_DISTRIBUTION)?;
        let series =
            (of_series > 0).then(|| embedding(config.series, of_series, vb.pp("series"))).transpose()?;
        let known = (config.known > 0)
            .then(|| linear_no_bias(steps * config.known, input, vb.pp("known")))
            .transpose()?;
        let embedding = linear(steps * config.channels, input, vb.pp("embedding"))?;
        Ok(Self { steps, embedding, position, series, known })
    }

    /// Compute the input of the stack for the window, (batch, segments, input).
    fn read(&self, past: &Tensor) -> Result<Tensor> {
        let (batch, window, channels) = past.dims3()?;
        let cut = past.reshape((batch, window / self.steps, self.steps * channels))?;
        self.embedding.forward(&cut)?.relu()
    }

    /// Compute the input of the stack for each segment of the forecast, (batch, segments, input).
    fn queries(&self, inputs: &Series) -> Result<Tensor> {
        let batch = inputs.past.dim(0)?;
        let (count, features) = self.position.dims2()?;
        let position = self.position.unsqueeze(0)?.broadcast_as((batch, count, features))?;
        let queries = match &self.series {
            Some(series) => {
                let own = series.forward(&inputs.ids.unsqueeze(1)?)?; // (batch, 1, features)
                let own = own.broadcast_as((batch, count, own.dim(2)?))?;
                Tensor::cat(&[position, own], D::Minus1)?
            }
            None => position,
        };
        match (&self.known, &inputs.future) {
            (Some(known), Some(future)) => {
                let future = future.to_dtype(queries.dtype())?;
                let (batch, horizon, features) = future.dims3()?;
                let future = future.pad_with_zeros(1, 0, count * self.steps - horizon)?;
                let future = future.reshape((batch, count, self.steps * features))?;
                queries + known.forward(&future)?
            }
            _ => Ok(queries),
        }
    }
}

impl Forecaster {
    /// Take the parameters from `vb`.
    ///
    /// # Errors
    /// If the configuration is invalid, or a parameter is missing or has another shape.
    #[allow(clippy::needless_pass_by_value)] // as candle's own constructors take it
    pub fn new(config: &ForecasterConfig, vb: VarBuilder<'_>) -> Result<Self> {
        config.check()?;
        let rnn = config.rnn.build(vb.pp("rnn"))?;
        let segments = config
            .segment
            .map(|steps| Segments::new(config, steps, rnn.input_size(), vb.clone()))
            .transpose()?;
        let (steps, _) = config.spans();
        let beside = if segments.is_some() { 0 } else { config.horizon * config.known };
        let decoder = linear(rnn.output_size() + beside, steps * config.head.outputs(), vb.pp("decoder"))?;
        let zero = Distribution::Constant(0.);
        let direct = match config.linear {
            true => Some(Linear::new(
                parameter(&vb, (config.horizon, config.window), "linear.weight", zero)?,
                Some(parameter(&vb, config.horizon, "linear.bias", zero)?),
            )),
            false => None,
        };
        Ok(Self { config: config.clone(), rnn, segments, decoder, direct })
    }

    /// Refuse windows of another shape than the configuration's.
    fn check(&self, inputs: &Series) -> Result<()> {
        let ForecasterConfig { window, horizon, channels, known, .. } = self.config;
        let (batch, steps, found) = inputs.past.dims3()?;
        if (steps, found) != (window, channels) {
            bail!("the window has {steps} steps of {found} channels; expected {window} of {channels}");
        }
        let future = inputs.future.as_ref().map(Tensor::dims3).transpose()?;
        match (known, future) {
            (0, None) => Ok(()),
            (_, Some(found)) if found == (batch, horizon, known) => Ok(()),
            _ => bail!("the known features are {future:?}; expected {:?}", (batch, horizon, known)),
        }
    }

    /// Compute the vectors that the decoder reads, (batch, spans, features), and the state after the window.
    fn vectors(&self, inputs: &Series, past: &Tensor, mut noise: Noise<'_>) -> Result<(Tensor, State)> {
        let Some(segments) = &self.segments else {
            let output = self.rnn.run_t(past, None, None, noise)?;
            let last = output.last()?; // (batch, output)
            let last = match &inputs.future {
                Some(future) => Tensor::cat(&[last, future.to_dtype(past.dtype())?.flatten_from(1)?], 1)?,
                None => last,
            };
            return Ok((last.unsqueeze(1)?, output.state));
        };
        let read = self.rnn.run_t(&segments.read(past)?, None, None, noise.as_deref_mut())?;
        let queries = segments.queries(inputs)?; // (batch, segments, input)
        let (batch, count, input) = queries.dims3()?;
        let queries = queries.reshape((batch * count, 1, input))?;
        let state = repeated(&read.state, count)?;
        let found = self.rnn.run_t(&queries, Some(&state), None, noise)?.ys; // (batch * segments, 1, output)
        Ok((found.reshape((batch, count, self.rnn.output_size()))?, read.state))
    }
}

/// Repeat the state of each sequence `count` times: (layers, batch, hidden) to (layers, batch * count, hidden).
fn repeated(state: &State, count: usize) -> Result<State> {
    let repeat = |tensor: &Tensor| {
        let (layers, batch, hidden) = tensor.dims3()?;
        let wide = tensor.unsqueeze(2)?.broadcast_as((layers, batch, count, hidden))?;
        wide.contiguous()?.reshape((layers, batch * count, hidden))
    };
    Ok(State { h: repeat(&state.h)?, c: state.c.as_ref().map(repeat).transpose()? })
}

/// The hidden vectors of [`Network::encode_t`] are those of the decoder, followed by the linear layer's share of their
/// steps: (batch, spans, features + steps).
impl Network for Forecaster {
    fn encode_t(
        &self,
        inputs: &Inputs,
        _state: Option<&State>,
        _lengths: Option<&[usize]>,
        mut noise: Noise<'_>,
    ) -> Result<Encoded> {
        let inputs = inputs.as_series()?;
        self.check(inputs)?;
        let past = inputs.past.to_dtype(self.decoder.weight().dtype())?; // values come in f32
        let (vectors, state) = self.vectors(inputs, &past, noise.as_deref_mut())?;
        let vectors = dropout(&vectors, self.config.dropout, DropoutMask::PerElement, noise)?;
        let Some(layer) = &self.direct else { return Ok(Encoded { hidden: vectors, state, penalty: None }) };
        let (steps, count) = self.config.spans();
        let direct = layer.forward(&past.narrow(2, 0, 1)?.squeeze(2)?)?; // (batch, horizon)
        let direct = direct.pad_with_zeros(1, 0, steps * count - self.config.horizon)?;
        let direct = direct.reshape((direct.dim(0)?, count, steps))?;
        Ok(Encoded { hidden: Tensor::cat(&[vectors, direct], 2)?, state, penalty: None })
    }

    fn output_layer(&self) -> &Linear {
        &self.decoder
    }

    /// Compute the outputs of all steps: (batch, spans, features) to (batch, horizon, outputs).
    fn outputs(&self, hidden: &Tensor) -> Result<Tensor> {
        let (batch, count, _) = hidden.dims3()?;
        let (steps, _) = self.config.spans();
        let (outputs, locations) = (self.config.head.outputs(), self.config.head.locations());
        let features = self.decoder.weight().dim(1)?;
        let decoded = self.decoder.forward(&hidden.narrow(2, 0, features)?.contiguous()?)?;
        let decoded = decoded.reshape((batch, count * steps, outputs))?;
        let decoded = decoded.narrow(1, 0, self.config.horizon)?;
        if self.direct.is_none() {
            return Ok(decoded);
        }
        let direct = hidden.narrow(2, features, steps)?.contiguous()?.reshape((batch, count * steps, 1))?;
        let direct = direct.narrow(1, 0, self.config.horizon)?;
        let located = decoded.narrow(2, 0, locations)?.broadcast_add(&direct)?;
        match outputs - locations {
            0 => Ok(located),
            others => Tensor::cat(&[located, decoded.narrow(2, locations, others)?], 2),
        }
    }

    fn head(&self) -> Option<&Head> {
        Some(&self.config.head)
    }

    fn zero_state(&self, batch: usize) -> Result<State> {
        self.rnn.zero_state(batch)
    }

    fn repack(&self) {
        self.rnn.repack();
    }

    fn reset_parameters(&self, rng: &mut dyn Rng) -> Result<()> {
        self.rnn.reset_parameters(rng)?;
        self.decoder.reset(rng)?;
        if let Some(Segments { embedding, position, series, known, .. }) = &self.segments {
            embedding.reset(rng)?;
            EMBEDDING_DISTRIBUTION.draw(position, rng)?;
            series.as_ref().map_or(Ok(()), |series| EMBEDDING_DISTRIBUTION.draw(series.weight(), rng))?;
            known.as_ref().map_or(Ok(()), |known| known.reset(rng))?;
        }
        let Some(direct) = &self.direct else { return Ok(()) };
        direct.draw([Distribution::Constant(0.); 2], rng)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};
    use candle_nn::VarMap;

    use super::*;
    use crate::{GruConfig, PointLoss, StackOptions};

    #[test]
    fn a_batch_may_be_empty() -> Result<()> {
        for segment in [None, Some(2)] {
            let input = if segment.is_some() { 4 } else { 1 };
            let config = ForecasterConfig {
                window: 6,
                horizon: 5,
                segment,
                channels: 1,
                known: 0,
                series: 0,
                head: Head::Mean { loss: PointLoss::Mse },
                linear: true,
                dropout: 0.,
                rnn: RecurrentConfig::Gru(GruConfig::from(StackOptions::new(input, 4))),
            };
            let map = VarMap::new();
            let network = Forecaster::new(&config, VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu))?;
            let past = Tensor::zeros((0, 6, 1), DType::F32, &Device::Cpu)?;
            let ids = Tensor::zeros(0, DType::U32, &Device::Cpu)?;
            let inputs = Inputs::Series(Series { past, future: None, ids });
            let (hidden, _) = network.encode(&inputs, None, None)?;
            assert_eq!(network.outputs(&hidden)?.dims(), [0, 5, 1]);
        }
        Ok(())
    }
}
