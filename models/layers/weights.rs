//! The parameters of one layer in one direction: PyTorch's names and shapes, their initial values, and the two
//! products that every cell takes with them.

use candle_core::{D, DType, Result, Tensor, bail};
use candle_nn::VarBuilder;
use rand::Rng;

use crate::layers::config::Init;
use crate::layers::dropout;
use crate::layers::gate_bias::GateBiases;
use crate::layers::init::{Initial, parameter};
use crate::ops::fused::Constant;
use crate::ops::masked::masked;
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
            weight: parameter(vb, size, &format!("{name}_weight_{suffix}"), Initial::Constant(1.))?,
            bias: parameter(vb, size, &format!("{name}_bias_{suffix}"), Initial::Constant(0.))?,
        })
    }

    /// Normalises the last dimension of `xs`.
    ///
    /// # Errors
    /// Only those of the tensor library.
    pub fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        reference::layer_norm(xs, &self.weight, &self.bias)
    }

    fn reset(&self, rng: &mut dyn Rng) -> Result<()> {
        Initial::Constant(1.).draw(&self.weight, rng)?;
        Initial::Constant(0.).draw(&self.bias, rng)
    }
}

/// The three normalisations of a layer.
#[derive(Clone, Debug)]
pub(crate) struct Norms {
    ih: Norm,
    hh: Norm,
    pub(crate) c: Option<Norm>,
}

/// Sizes and initial values of the [`Weights`] of one layer in one direction.
#[derive(Clone, Debug)]
pub(crate) struct WeightsConfig {
    /// Features of an input step.
    pub input_size: usize,
    /// Hidden units.
    pub hidden_size: usize,
    /// Gates of a unit: blocks of `hidden_size` rows.
    pub gates: usize,
    /// Features of the projected output; `None` without a projection.
    pub projection: Option<usize>,
    /// Whether the layer adds biases.
    pub bias: bool,
    /// Whether both gate products are normalised, and the cell state if `cell_state` is set.
    pub layer_norm: bool,
    /// Whether the cell has a cell state.
    pub cell_state: bool,
    /// The scheme of the initial values.
    pub init: Init,
    /// Initial biases that differ from the scheme's.
    pub gate_biases: GateBiases,
}

impl WeightsConfig {
    /// The distribution of the input weights, (gates * hidden, input), and of the projection, by their shape.
    fn input_initial(&self, (rows, columns): (usize, usize)) -> Initial {
        match self.init {
            Init::Pytorch => self.uniform(),
            Init::Keras => Initial::glorot(rows, columns),
        }
    }

    /// The distribution of the recurrent weights.
    fn recurrent_initial(&self) -> Initial {
        match self.init {
            Init::Pytorch => self.uniform(),
            Init::Keras => Initial::Orthogonal,
        }
    }

    /// The distribution of both biases, before [`GateBiases`] act.
    fn bias_initial(&self) -> Initial {
        match self.init {
            Init::Pytorch => self.uniform(),
            Init::Keras => Initial::Constant(0.),
        }
    }

    /// PyTorch's distribution of every parameter of a recurrent layer.
    fn uniform(&self) -> Initial {
        Initial::Uniform(1. / (self.hidden_size as f64).sqrt())
    }
}

/// The parameters of one layer in one direction.
///
/// Rows come in blocks of `hidden`, one a gate, in PyTorch's order.
#[derive(Clone, Debug)]
pub struct Weights {
    config: WeightsConfig,
    pub(crate) ih: Tensor,
    pub(crate) hh: Tensor,
    /// Views of the two above, made once: the transposed gradient is then summed over steps and turned
    /// round once, not at every step.
    ih_t: Tensor,
    hh_t: Tensor,
    pub(crate) b_ih: Option<Tensor>,
    pub(crate) b_hh: Option<Tensor>,
    pub(crate) hr: Option<Tensor>,
    pub(crate) norms: Option<Norms>,
    /// For the fused kernels, where none of the weights is in training.
    pub(crate) constant: Constant,
}

impl Weights {
    /// Takes `weight_ih_SUFFIX` (gates * hidden, input), `weight_hh_SUFFIX` (gates * hidden, output),
    /// `bias_ih_SUFFIX` and `bias_hh_SUFFIX` (gates * hidden), `weight_hr_SUFFIX` (output, hidden) for a projection,
    /// and the scales and shifts of a layer normalisation out of `vb`. Parameters that the builder has to create
    /// start as `config` says.
    ///
    /// # Errors
    /// If a parameter is missing or has another shape.
    pub(crate) fn new(config: WeightsConfig, suffix: &str, vb: &VarBuilder<'_>) -> Result<Self> {
        let hidden = config.hidden_size;
        let rows = config.gates * hidden;
        let output = config.projection.unwrap_or(hidden);
        let has_new_biases = !vb.contains_tensor(&format!("bias_ih_{suffix}"));
        let matrix = |name: &str, shape: (usize, usize), initial: Initial| {
            parameter(vb, shape, &format!("weight_{name}_{suffix}"), initial)
        };
        let input_shape = (rows, config.input_size);
        let ih = matrix("ih", input_shape, config.input_initial(input_shape))?;
        let hh = matrix("hh", (rows, output), config.recurrent_initial())?;
        let hr = match config.projection {
            Some(output) => Some(matrix("hr", (output, hidden), config.input_initial((output, hidden)))?),
            None => None,
        };
        let bias = |name: &str| {
            let name = format!("bias_{name}_{suffix}");
            config.bias.then(|| parameter(vb, rows, &name, config.bias_initial())).transpose()
        };
        let (b_ih, b_hh) = (bias("ih")?, bias("hh")?);
        if let (Some(b_ih), Some(b_hh)) = (&b_ih, &b_hh)
            && has_new_biases
            && b_ih.is_variable()
            && !config.gate_biases.keep_scheme()
        {
            config.gate_biases.draw_with_candle(b_ih, b_hh)?;
        }
        let norms = match config.layer_norm {
            true => Some(Norms {
                ih: Norm::new(rows, "norm_ih", suffix, vb)?,
                hh: Norm::new(rows, "norm_hh", suffix, vb)?,
                c: config.cell_state.then(|| Norm::new(hidden, "norm_c", suffix, vb)).transpose()?,
            }),
            false => None,
        };
        let (ih_t, hh_t) = (ih.t()?, hh.t()?);
        Ok(Self { config, ih, hh, ih_t, hh_t, b_ih, b_hh, hr, norms, constant: Constant::default() })
    }

    /// The input's part of all gates, for every step at once: `x W_ih^T + b_ih`, and `b_hh` with it
    /// where `fold_hidden_bias` says so. (batch, time, input) to (batch, time, gates * hidden).
    ///
    /// # Errors
    /// Only those of the tensor library.
    pub fn project_input(&self, xs: &Tensor, fold_hidden_bias: bool) -> Result<Tensor> {
        let (batch, time, input) = xs.dims3()?;
        let flat = xs.reshape((batch * time, input))?.matmul(&self.ih_t)?;
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
        let gates = flat.dim(1)?; // named, for a sequence of no steps has no elements to count them by
        flat.reshape((batch, time, gates))
    }

    /// The recurrent product `h W_hh^T` of all gates, (batch, gates * hidden), normalised if so
    /// configured.
    ///
    /// # Errors
    /// Only those of the tensor library.
    pub fn project_hidden(&self, h: &Tensor) -> Result<Tensor> {
        let gates = h.matmul(&self.hh_t)?;
        match &self.norms {
            Some(norms) => norms.hh.forward(&gates),
            None => Ok(gates),
        }
    }

    /// The recurrent product of the gates from `first` on, `count` of them, without normalisation.
    ///
    /// # Errors
    /// Only those of the tensor library.
    pub fn project_hidden_gates(&self, h: &Tensor, first: usize, count: usize) -> Result<Tensor> {
        h.matmul(&self.hh_t.narrow(1, first * self.hidden_size(), count * self.hidden_size())?)
    }

    /// Drops recurrent weights with chance `p`. What is left stays a transposed view: CUDA's matrix
    /// product takes a gate's columns out of nothing else.
    pub(crate) fn drop_hidden(&mut self, p: f64, rng: &mut dyn Rng) -> Result<()> {
        self.hh = masked(&self.hh, dropout::factors(self.hh.elem_count(), p, rng))?;
        self.hh_t = self.hh.t()?;
        self.constant = Constant::default();
        Ok(())
    }

    /// `bias_hh`, (gates * hidden), if the layer has biases.
    pub fn hidden_bias(&self) -> Option<&Tensor> {
        self.b_hh.as_ref()
    }

    /// Hidden units.
    pub fn hidden_size(&self) -> usize {
        self.config.hidden_size
    }

    /// The width of the output: the projection's, or the hidden size.
    pub fn output_size(&self) -> usize {
        self.hr.as_ref().map_or(self.hidden_size(), |hr| hr.dims()[0])
    }

    /// Projects the output, `h W_hr^T`, where there is a projection. (batch, hidden) to (batch, output).
    ///
    /// # Errors
    /// Only those of the tensor library.
    pub fn project_output(&self, h: Tensor) -> Result<Tensor> {
        match &self.hr {
            Some(hr) => h.matmul(&hr.t()?),
            None => Ok(h),
        }
    }

    /// Whether any of the weights may change between two calls.
    pub(crate) fn are_trained(&self) -> bool {
        [Some(&self.ih), Some(&self.hh), self.hr.as_ref()].into_iter().flatten().any(Tensor::track_op)
    }

    /// Where the parameters live and what they are made of.
    pub(crate) fn like(&self) -> &Tensor {
        &self.ih
    }

    /// Draws all parameters anew, in a fixed order, by the configured [`Init`].
    ///
    /// # Errors
    /// If a parameter is not a variable.
    pub(crate) fn reset(&self, rng: &mut dyn Rng) -> Result<()> {
        let matrices =
            |weight: &Tensor, rng: &mut dyn Rng| self.config.input_initial(weight.dims2()?).draw(weight, rng);
        // One seed gives one model in every version: the order of the draws is part of the format of recipes.
        match self.config.init {
            Init::Pytorch => {
                matrices(&self.ih, rng)?;
                self.config.recurrent_initial().draw(&self.hh, rng)?;
                self.hr.iter().try_for_each(|hr| matrices(hr, rng))?;
            }
            Init::Keras => {
                matrices(&self.ih, rng)?;
                self.hr.iter().try_for_each(|hr| matrices(hr, rng))?;
                self.config.recurrent_initial().draw(&self.hh, rng)?;
            }
        }
        if let (Some(b_ih), Some(b_hh)) = (&self.b_ih, &self.b_hh) {
            self.config.bias_initial().draw(b_ih, rng)?;
            self.config.bias_initial().draw(b_hh, rng)?;
            self.config.gate_biases.draw(b_ih, b_hh, rng)?;
        }
        if let Some(norms) = &self.norms {
            for norm in [Some(&norms.ih), Some(&norms.hh), norms.c.as_ref()].into_iter().flatten() {
                norm.reset(rng)?;
            }
        }
        Ok(())
    }
}

/// Splits (.., G * hidden) into its G gates, each (.., hidden).
///
/// # Errors
/// Where the last dimension is no multiple of `G`.
pub fn split_gates<const G: usize>(gates: &Tensor) -> Result<[Tensor; G]> {
    match gates.chunk(G, D::Minus1)?.try_into() {
        Ok(split) => Ok(split),
        Err(_) => bail!("{:?} does not split into {G} gates", gates.shape()),
    }
}

/// Zeros of `shape` where `like` lives.
pub(crate) fn zeros(shape: impl Into<candle_core::Shape>, like: &Tensor) -> Result<Tensor> {
    let dtype: DType = like.dtype();
    Tensor::zeros(shape, dtype, like.device())
}

#[cfg(test)]
mod tests;
