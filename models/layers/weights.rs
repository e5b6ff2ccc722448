//! The parameters of one layer in one direction: PyTorch's names and shapes, initial values, and the products that
//! every cell computes with them.

use candle_core::{D, DType, Result, Tensor, Var, bail};
use candle_nn::VarBuilder;
use rand::{Rng, RngExt};

use crate::layers::config::{GateBias, Init};
use crate::layers::dropout;
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
            weight: vb.get(size, &format!("{name}_weight_{suffix}"))?,
            bias: vb.get(size, &format!("{name}_bias_{suffix}"))?,
        })
    }

    /// Normalise the last dimension of `xs`, (.., features).
    ///
    /// # Errors
    /// If the last dimension is not `features`.
    pub fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        reference::layer_norm(xs, &self.weight, &self.bias)
    }

    fn reset(&self) -> Result<()> {
        fill(&self.weight, |_| 1.)?;
        fill(&self.bias, |_| 0.)
    }
}

/// The normalisations of a layer: of the input's product, of the recurrent product, and of an LSTM's cell state.
#[derive(Clone, Debug)]
pub(crate) struct Norms {
    ih: Norm,
    hh: Norm,
    pub(crate) c: Option<Norm>,
}

/// Sizes and options that the parameters of one layer in one direction depend on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
    hidden: usize,
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
    /// Take `weight_ih_SUFFIX` (gates * hidden, input), `weight_hh_SUFFIX` (gates * hidden, output), the biases
    /// (gates * hidden), the projection and the normalisations from `vb`.
    ///
    /// # Errors
    /// If a parameter is missing or has another shape.
    pub fn new(config: &WeightsConfig, suffix: &str, vb: &VarBuilder<'_>) -> Result<Self> {
        let WeightsConfig { gates, input, hidden, projection, .. } = *config;
        let rows = gates * hidden;
        let output = projection.unwrap_or(hidden);
        let ih = vb.get((rows, input), &format!("weight_ih_{suffix}"))?;
        let hh = vb.get((rows, output), &format!("weight_hh_{suffix}"))?;
        let bias =
            |name: &str| config.bias.then(|| vb.get(rows, &format!("bias_{name}_{suffix}"))).transpose();
        let norms = if config.layer_norm {
            let c = config.cell_state.then(|| Norm::new(hidden, "norm_c", suffix, vb)).transpose()?;
            let ih = Norm::new(rows, "norm_ih", suffix, vb)?;
            Some(Norms { ih, hh: Norm::new(rows, "norm_hh", suffix, vb)?, c })
        } else {
            None
        };
        Ok(Self {
            hidden,
            ih_t: ih.t()?,
            hh_t: hh.t()?,
            ih,
            hh,
            b_ih: bias("ih")?,
            b_hh: bias("hh")?,
            hr: projection.map(|p| vb.get((p, hidden), &format!("weight_hr_{suffix}"))).transpose()?,
            norms,
            packed: PackedCache::default(),
        })
    }

    /// Compute the input's part of all gates for all steps: `x W_ih^T + b_ih`, plus `b_hh` with
    /// `fold_hidden_bias`. (batch, time, input) to (batch, time, gates * hidden).
    ///
    /// # Errors
    /// If `xs` does not have `input` features.
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
        let gates = flat.dim(1)?; // explicit: it cannot be inferred if there are no elements
        flat.reshape((batch, time, gates))
    }

    /// Compute the recurrent product `h W_hh^T` of all gates, normalised if so configured. (batch, output) to
    /// (batch, gates * hidden).
    ///
    /// # Errors
    /// If `h` does not have `output` features.
    pub fn project_hidden(&self, h: &Tensor) -> Result<Tensor> {
        let gates = h.matmul(&self.hh_t)?;
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
        h.matmul(&self.hh_t.narrow(1, first * self.hidden, count * self.hidden)?)
    }

    /// Drop recurrent weights with probability `p`. The transposed weights stay a view: CUDA's matrix product
    /// takes a gate's columns from nothing else.
    pub(crate) fn drop_hidden(&mut self, p: f64, rng: &mut dyn Rng) -> Result<()> {
        self.hh = masked(&self.hh, dropout::factors(self.hh.elem_count(), p, rng))?;
        self.hh_t = self.hh.t()?;
        self.packed = PackedCache::default(); // that of the complete weights stays with the clones of `self`
        Ok(())
    }

    /// The recurrent bias `bias_hh`, (gates * hidden), if the layer has biases.
    pub fn hidden_bias(&self) -> Option<&Tensor> {
        self.b_hh.as_ref()
    }

    /// Hidden units.
    pub fn hidden_size(&self) -> usize {
        self.hidden
    }

    /// Features of the output: those of the projection, or the hidden size.
    pub fn output_size(&self) -> usize {
        self.hr.as_ref().map_or(self.hidden, |hr| hr.dims()[0])
    }

    /// Project the output, `h W_hr^T`, if there is a projection. (batch, hidden) to (batch, output).
    ///
    /// # Errors
    /// If `h` does not have `hidden` features.
    pub fn project_output(&self, h: Tensor) -> Result<Tensor> {
        match &self.hr {
            Some(hr) => h.matmul(&hr.t()?),
            None => Ok(h),
        }
    }

    /// Pack the weights anew at the next call, after a change in place of weights that are no variables. Streams
    /// that exist keep the weights that they were made with.
    pub fn repack(&self) {
        self.packed.clear();
    }

    /// The weights as the fused kernels take them; `None` with layer normalisation, for which there are none.
    pub(crate) fn fused(&self) -> Option<LayerWeights<'_>> {
        self.norms.is_none().then_some(LayerWeights {
            hidden: self.hidden,
            ih: &self.ih,
            hh: &self.hh,
            b_ih: self.b_ih.as_ref(),
            b_hh: self.b_hh.as_ref(),
            hr: self.hr.as_ref(),
            packed: &self.packed,
        })
    }

    /// A parameter, for the device and type of all.
    pub(crate) fn like(&self) -> &Tensor {
        &self.ih
    }

    /// Draw all parameters anew; see [`Init`].
    pub(crate) fn reset(
        &self,
        init: Init,
        gate_biases: &[GateBias],
        chrono: Option<usize>,
        rng: &mut dyn Rng,
    ) -> Result<()> {
        let bound = 1. / (self.hidden as f64).sqrt();
        match init {
            Init::Pytorch => {
                for weight in [Some(&self.ih), Some(&self.hh), self.hr.as_ref()].into_iter().flatten() {
                    uniform(weight, bound, rng)?;
                }
                for bias in [&self.b_ih, &self.b_hh].into_iter().flatten() {
                    uniform(bias, bound, rng)?;
                }
            }
            Init::Keras => {
                for weight in [Some(&self.ih), self.hr.as_ref()].into_iter().flatten() {
                    let (rows, columns) = weight.dims2()?;
                    uniform(weight, (6. / (rows + columns) as f64).sqrt(), rng)?;
                }
                orthogonal(&self.hh, rng)?;
                for bias in [&self.b_ih, &self.b_hh].into_iter().flatten() {
                    fill(bias, |_| 0.)?;
                }
            }
        }
        if let (Some(b_ih), Some(b_hh)) = (&self.b_ih, &self.b_hh) {
            self.set_gates(b_ih, b_hh, gate_biases, chrono, rng)?;
        }
        if let Some(norms) = &self.norms {
            for norm in [Some(&norms.ih), Some(&norms.hh), norms.c.as_ref()].into_iter().flatten() {
                norm.reset()?;
            }
        }
        Ok(())
    }
}

impl Weights {
    /// Sets both biases of those gates that do not start as the scheme has drawn them.
    fn set_gates(
        &self,
        b_ih: &Tensor,
        b_hh: &Tensor,
        gates: &[GateBias],
        chrono: Option<usize>,
        rng: &mut dyn Rng,
    ) -> Result<()> {
        // One draw a unit for all gates.
        let spans: Option<Vec<f64>> = chrono.map(|longest| {
            let span = |_| (1. + (longest as f64 - 2.) * rng.random::<f64>()).ln();
            (0..self.hidden).map(span).collect()
        });
        let span = |row: usize| spans.as_ref().map(|spans| spans[row % self.hidden]);
        let sum = |row: usize| match gates.get(row / self.hidden)? {
            GateBias::Scheme => None,
            GateBias::Value(value) => Some(*value),
            GateBias::Keep => span(row),
            GateBias::Write => span(row).map(|span| -span),
        };
        let drawn = |bias: &Tensor| bias.to_dtype(DType::F64)?.to_vec1::<f64>();
        let (input, hidden) = (drawn(b_ih)?, drawn(b_hh)?);
        fill(b_ih, |row| sum(row).unwrap_or(input[row]))?;
        fill(b_hh, |row| sum(row).map_or(hidden[row], |_| 0.))
    }
}

/// Sets a variable's elements in row-major order.
pub(crate) fn fill(variable: &Tensor, value: impl FnMut(usize) -> f64) -> Result<()> {
    if !variable.is_variable() {
        bail!(
            "parameters of shape {:?} were loaded for inference and cannot be drawn anew",
            variable.shape()
        );
    }
    let values: Vec<f64> = (0..variable.elem_count()).map(value).collect();
    let values = Tensor::from_vec(values, variable.shape(), variable.device())?;
    Var::from_tensor(variable)?.set(&values.to_dtype(variable.dtype())?)
}

/// Sets a variable to values uniform in ±`bound`.
pub(crate) fn uniform(variable: &Tensor, bound: f64, rng: &mut dyn Rng) -> Result<()> {
    fill(variable, |_| bound * (2. * rng.random::<f64>() - 1.))
}

/// Sets a matrix to a random one with orthonormal rows or columns, whichever are fewer, as Keras's
/// `Orthogonal` does (Saxe et al. 2013): Gram and Schmidt's process over normal vectors, modified for
/// stability and run twice, which leaves them orthogonal to the last bits of f64.
fn orthogonal(variable: &Tensor, rng: &mut dyn Rng) -> Result<()> {
    let (rows, columns) = variable.dims2()?;
    let (count, width) = (rows.min(columns), rows.max(columns));
    let mut vectors: Vec<Vec<f64>> = (0..count).map(|_| (0..width).map(|_| normal(rng)).collect()).collect();
    for k in 0..count {
        let (done, rest) = vectors.split_at_mut(k);
        let vector = &mut rest[0];
        for _ in 0..2 {
            for other in done.iter() {
                let along: f64 = vector.iter().zip(other).map(|(a, b)| a * b).sum();
                vector.iter_mut().zip(other).for_each(|(a, b)| *a -= along * b);
            }
        }
        let norm = vector.iter().map(|a| a * a).sum::<f64>().sqrt();
        vector.iter_mut().for_each(|a| *a /= norm);
    }
    fill(variable, |at| {
        let (row, column) = (at / columns, at % columns);
        if rows < columns { vectors[row][column] } else { vectors[column][row] }
    })
}

/// A standard normal number, by Box and Muller's transform.
pub fn normal(rng: &mut dyn Rng) -> f64 {
    let radius = (-2. * (1. - rng.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
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

/// Zeros of `shape`, of the type and on the device of `like`.
pub(crate) fn zeros(shape: impl Into<candle_core::Shape>, like: &Tensor) -> Result<Tensor> {
    let dtype: DType = like.dtype();
    Tensor::zeros(shape, dtype, like.device())
}

#[cfg(test)]
mod tests;
