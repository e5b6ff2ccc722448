//! The parameters of one layer in one direction: PyTorch's names and shapes, initial values, and the products that
//! every cell computes with them.

use candle_core::{D, DType, Result, Tensor, bail};
use candle_nn::VarBuilder;
use rand::Rng;

use crate::layers::config::{GateBias, Init};
use crate::layers::dropout;
use crate::layers::gate_bias::GateBiases;
use crate::layers::init::{Distribution, parameter};
use crate::ops::layer_weights::LayerWeights;
use crate::ops::masked::masked;
use crate::ops::packed_cache::PackedCache;
use crate::ops::reference;

/// Scale and shift of a layer normalisation, each (features).
#[derive(Clone, Debug)]
pub struct Norm {
    weight: Tensor,
    bias: Tensor,
}

impl Norm {
    fn new(size: usize, name: &str, suffix: &str, vb: &VarBuilder<'_>) -> Result<Self> {
        Ok(Self {
            weight: parameter(vb, size, &format!("{name}_weight_{suffix}"), Distribution::Constant(1.))?,
            bias: parameter(vb, size, &format!("{name}_bias_{suffix}"), Distribution::Constant(0.))?,
        })
    }

    /// Normalise the last dimension of `xs`, (.., features).
    ///
    /// # Errors
    /// If the last dimension is not `features`.
    pub fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        reference::layer_norm(xs, &self.weight, &self.bias)
    }

    fn reset(&self, rng: &mut dyn Rng) -> Result<()> {
        Distribution::Constant(1.).draw(&self.weight, rng)?;
        Distribution::Constant(0.).draw(&self.bias, rng)
    }
}

/// The normalisations of a layer: of the input's product, of the recurrent product, and of an LSTM's cell state.
#[derive(Clone, Debug)]
pub(crate) struct Norms {
    ih: Norm,
    hh: Norm,
    pub(crate) c: Option<Norm>,
}

/// Sizes, options and initial values of the parameters of one layer in one direction.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WeightsConfig {
    /// Gates of the cell: blocks of `hidden` rows in the matrices.
    pub gates: usize,
    /// Features of each input step.
    pub input: usize,
    /// Hidden units.
    pub hidden: usize,
    /// Features of the projected output, if there is a projection.
    pub projection: Option<usize>,
    /// Whether the layer adds biases.
    pub bias: bool,
    /// Whether both products are normalised.
    pub layer_norm: bool,
    /// Whether the cell has a cell state, which layer normalisation then applies to.
    pub cell_state: bool,
    /// Whether every element of the hidden state lies in [-1, 1].
    pub bounded_state: bool,
    /// Scheme of the initial values.
    pub init: Init,
    /// The initial sum of each gate's two biases. Gates without an entry keep what `init` draws.
    pub gate_biases: Vec<GateBias>,
}

impl WeightsConfig {
    /// Return the distribution of the input weights, (gates * hidden, input), and of the projection, by their shape.
    fn input_distribution(&self, (rows, columns): (usize, usize)) -> Distribution {
        match self.init {
            Init::Pytorch => self.uniform(),
            Init::Keras => Distribution::glorot(rows, columns),
        }
    }

    /// Return the distribution of the recurrent weights.
    fn recurrent_distribution(&self) -> Distribution {
        match self.init {
            Init::Pytorch => self.uniform(),
            Init::Keras => Distribution::Orthogonal,
        }
    }

    /// Return the distribution of both biases, before [`WeightsConfig::gate_biases`].
    fn bias_distribution(&self) -> Distribution {
        match self.init {
            Init::Pytorch => self.uniform(),
            Init::Keras => Distribution::Constant(0.),
        }
    }

    /// Return PyTorch's distribution of every parameter of a recurrent layer.
    fn uniform(&self) -> Distribution {
        Distribution::Uniform(1. / (self.hidden as f64).sqrt())
    }
}

/// The parameters of one layer in one direction.
///
/// Each gate has a block of `hidden` rows, in PyTorch's order.
///
/// Weights that are variables may change between calls. Weights that are not are packed for the fused kernels at
/// the first call. If such a tensor is changed in place (`slice_set`) after that, later calls still use the packed
/// values until [`Weights::repack`].
#[derive(Clone, Debug)]
pub struct Weights {
    config: WeightsConfig,
    pub(crate) ih: Tensor,
    pub(crate) hh: Tensor,
    /// Transposed views of the two above, made once: their gradients are then summed over steps and transposed
    /// once, not at every step.
    ih_t: Tensor,
    hh_t: Tensor,
    pub(crate) b_ih: Option<Tensor>,
    pub(crate) b_hh: Option<Tensor>,
    pub(crate) hr: Option<Tensor>,
    pub(crate) norms: Option<Norms>,
    /// The weights packed for the fused kernels, if none is trained.
    packed: PackedCache,
}

impl Weights {
    /// Take the parameters from `vb`: `weight_ih_SUFFIX` (gates * hidden, input), `weight_hh_SUFFIX` (gates * hidden,
    /// output), `bias_ih_SUFFIX` and `bias_hh_SUFFIX` (gates * hidden), `weight_hr_SUFFIX` (output, hidden) for a
    /// projection, and those of the normalisations. Parameters that `vb` creates have the initial values of `config`.
    ///
    /// # Errors
    /// If a parameter is missing or has another shape.
    #[allow(clippy::needless_pass_by_value)] // as candle's own constructors take it
    pub fn new(config: &WeightsConfig, suffix: &str, vb: VarBuilder<'_>) -> Result<Self> {
        let WeightsConfig { gates, input, hidden, projection, .. } = *config;
        let rows = gates * hidden;
        let output = projection.unwrap_or(hidden);
        let matrix = |name: &str, shape: (usize, usize), initial: Distribution| {
            parameter(&vb, shape, &format!("weight_{name}_{suffix}"), initial)
        };
        let ih = matrix("ih", (rows, input), config.input_distribution((rows, input)))?;
        let hh = matrix("hh", (rows, output), config.recurrent_distribution())?;
        let projected = |output| matrix("hr", (output, hidden), config.input_distribution((output, hidden)));
        let hr = projection.map(projected).transpose()?;
        let (b_ih, b_hh) = match config.bias {
            true => Some(biases(config, suffix, &vb)?).unzip(),
            false => (None, None),
        };
        let norm = |name: &str, size: usize| Norm::new(size, name, suffix, &vb);
        let norms = match config.layer_norm {
            true => Some(Norms {
                ih: norm("norm_ih", rows)?,
                hh: norm("norm_hh", rows)?,
                c: config.cell_state.then(|| norm("norm_c", hidden)).transpose()?,
            }),
            false => None,
        };
        let (ih_t, hh_t) = (ih.t()?, hh.t()?);
        let packed = PackedCache::default();
        Ok(Self { config: config.clone(), ih, hh, ih_t, hh_t, b_ih, b_hh, hr, norms, packed })
    }

    /// Compute the input's part of all gates for all steps: `x W_ih^T + b_ih`, plus `b_hh` with
    /// `fold_hidden_bias`. (batch, time, input) to (batch, time, gates * hidden).
    ///
    /// # Errors
    /// If `xs` does not have `input` features.
    pub fn project_input(&self, xs: &Tensor, fold_hidden_bias: bool) -> Result<Tensor> {
        let (batch, time, input) = xs.dims3()?;
        let flat = reference::product(&xs.reshape((batch * time, input))?, &self.ih_t)?;
        let flat = match &self.norms {
            Some(norms) => norms.ih.forward(&flat)?,
            None => flat,
        };
        let bias = match (&self.b_ih, &self.b_hh) {
            (Some(ih), Some(hh)) if fold_hidden_bias => Some((ih + hh)?),
            (ih, _) => ih.clone(),
        };
        let flat = match bias {
            Some(bias) => flat.broadcast_add(&bias)?,
            None => flat,
        };
        let gates = flat.dim(1)?; // explicit: it cannot be inferred if there are no elements
        flat.reshape((batch, time, gates))
    }

    /// Compute the recurrent product `h W_hh^T` of all gates, normalised if so configured. (batch, output) to
    /// (batch, gates * hidden).
    ///
    /// # Errors
    /// If `h` does not have `output` features.
    pub fn project_hidden(&self, h: &Tensor) -> Result<Tensor> {
        let gates = reference::product_within(h, &self.hh_t, self.state_limit())?;
        match &self.norms {
            Some(norms) => norms.hh.forward(&gates),
            None => Ok(gates),
        }
    }

    /// Compute the recurrent product of `count` gates from `first` on, without normalisation. (batch, output) to
    /// (batch, count * hidden).
    ///
    /// # Errors
    /// If there are fewer gates, or `h` does not have `output` features.
    pub fn project_hidden_gates(&self, h: &Tensor, first: usize, count: usize) -> Result<Tensor> {
        let columns = self.hh_t.narrow(1, first * self.hidden_size(), count * self.hidden_size())?;
        reference::product_within(h, &columns, self.state_limit())
    }

    /// Return the bound of the hidden state, or zero without one.
    fn state_limit(&self) -> f32 {
        if self.config.bounded_state { 1. } else { 0. }
    }

    /// Drop recurrent weights with probability `p`. The transposed weights stay a view: CUDA's matrix product
    /// takes a gate's columns from nothing else.
    pub(crate) fn drop_hidden(&mut self, p: f64, rng: &mut dyn Rng) -> Result<()> {
        self.hh = masked(&self.hh, dropout::factors(self.hh.elem_count(), p, rng))?;
        self.hh_t = self.hh.t()?;
        self.packed = PackedCache::default(); // that of the complete weights stays with the clones of `self`
        Ok(())
    }

    /// Return the recurrent bias `bias_hh`, (gates * hidden), if the layer has biases.
    pub fn hidden_bias(&self) -> Option<&Tensor> {
        self.b_hh.as_ref()
    }

    /// Return the number of hidden units.
    pub fn hidden_size(&self) -> usize {
        self.config.hidden
    }

    /// Return the number of features of the output: those of the projection, or the hidden size.
    pub fn output_size(&self) -> usize {
        self.hr.as_ref().map_or(self.hidden_size(), |hr| hr.dims()[0])
    }

    /// Project the output, `h W_hr^T`, if there is a projection. (batch, hidden) to (batch, output).
    ///
    /// # Errors
    /// If `h` does not have `hidden` features.
    pub fn project_output(&self, h: Tensor) -> Result<Tensor> {
        match &self.hr {
            Some(hr) => reference::product_within(&h, &hr.t()?, 1.), // only an LSTM has a projection, and its hidden state lies in [-1, 1]
            None => Ok(h),
        }
    }

    /// Pack the weights anew at the next call, after a change in place of weights that are not variables. Streams
    /// that exist keep the weights that they were made with.
    pub fn repack(&self) {
        self.packed.clear();
    }

    /// Return the weights as the fused kernels take them; `None` with layer normalisation, for which there are none.
    pub(crate) fn fused(&self) -> Option<LayerWeights<'_>> {
        self.norms.is_none().then_some(LayerWeights {
            hidden: self.config.hidden,
            ih: &self.ih,
            hh: &self.hh,
            b_ih: self.b_ih.as_ref(),
            b_hh: self.b_hh.as_ref(),
            hr: self.hr.as_ref(),
            packed: &self.packed,
        })
    }

    /// Return a parameter, which has the device and type of all.
    pub(crate) fn like(&self) -> &Tensor {
        &self.ih
    }

    /// Draw all parameters anew, in a fixed order; see [`Init`].
    ///
    /// # Errors
    /// If a parameter is not a variable.
    pub(crate) fn reset(&self, rng: &mut dyn Rng) -> Result<()> {
        let matrices = |weight: &Tensor, rng: &mut dyn Rng| {
            self.config.input_distribution(weight.dims2()?).draw(weight, rng)
        };
        // A seed must give the same model in every version, so the order of the draws must never change.
        match self.config.init {
            Init::Pytorch => {
                matrices(&self.ih, rng)?;
                self.config.recurrent_distribution().draw(&self.hh, rng)?;
                self.hr.iter().try_for_each(|hr| matrices(hr, rng))?;
            }
            Init::Keras => {
                matrices(&self.ih, rng)?;
                self.hr.iter().try_for_each(|hr| matrices(hr, rng))?;
                self.config.recurrent_distribution().draw(&self.hh, rng)?;
            }
        }
        if let (Some(b_ih), Some(b_hh)) = (&self.b_ih, &self.b_hh) {
            self.config.bias_distribution().draw(b_ih, rng)?;
            self.config.bias_distribution().draw(b_hh, rng)?;
            GateBiases { gates: &self.config.gate_biases, hidden: self.config.hidden }
                .draw(b_ih, b_hh, rng)?;
        }
        if let Some(norms) = &self.norms {
            for norm in [Some(&norms.ih), Some(&norms.hh), norms.c.as_ref()].into_iter().flatten() {
                norm.reset(rng)?;
            }
        }
        Ok(())
    }
}

/// Take the biases `bias_ih_SUFFIX` and `bias_hh_SUFFIX`, each (gates * hidden).
fn biases(config: &WeightsConfig, suffix: &str, vb: &VarBuilder<'_>) -> Result<(Tensor, Tensor)> {
    let names = ["ih", "hh"].map(|name| format!("bias_{name}_{suffix}"));
    let are_new = !vb.contains_tensor(&names[0]);
    let [b_ih, b_hh] =
        names.map(|name| parameter(vb, config.gates * config.hidden, &name, config.bias_distribution()));
    let (b_ih, b_hh) = (b_ih?, b_hh?);
    let gate_biases = GateBiases { gates: &config.gate_biases, hidden: config.hidden };
    if are_new && b_ih.is_variable() && gate_biases.differ_from_scheme() {
        gate_biases.draw_with_candle(&b_ih, &b_hh)?;
    }
    Ok((b_ih, b_hh))
}

/// Split (.., G * hidden) into its G gates, each (.., hidden).
///
/// # Errors
/// If the last dimension is not a multiple of `G`.
pub fn split_gates<const G: usize>(gates: &Tensor) -> Result<[Tensor; G]> {
    match gates.chunk(G, D::Minus1)?.try_into() {
        Ok(split) => Ok(split),
        Err(_) => bail!("{:?} does not split into {G} gates", gates.shape()),
    }
}

/// Make zeros of `shape`, of the type and on the device of `like`.
pub(crate) fn zeros(shape: impl Into<candle_core::Shape>, like: &Tensor) -> Result<Tensor> {
    let dtype: DType = like.dtype();
    Tensor::zeros(shape, dtype, like.device())
}

#[cfg(test)]
mod tests;
