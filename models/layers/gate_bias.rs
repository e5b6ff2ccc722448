//! Initial biases of gates: a fixed value, or the chrono initialisation of Tallec and Ollivier (2018).

use candle_core::{DType, Result, Tensor, bail};
use rand::{Rng, RngExt};

use crate::layers::config::{GateBias, SHORTEST_CHRONO};
use crate::layers::init::fill;

/// Refuse gate biases that a layer cannot have.
///
/// # Errors
/// If a chrono initialisation is for fewer than [`SHORTEST_CHRONO`] steps, or a layer without biases has gates that
/// differ from the scheme.
pub(crate) fn check_gate_biases(gates: &[GateBias], has_bias: bool) -> Result<()> {
    if let Some(steps) = gates.iter().filter_map(|gate| gate.chrono()).find(|&steps| steps < SHORTEST_CHRONO)
    {
        bail!("chrono is {steps} steps; expected at least {SHORTEST_CHRONO}");
    }
    if !has_bias && gates.iter().any(|gate| *gate != GateBias::Scheme) {
        bail!("initial biases of gates are configured, but the layer is without biases");
    }
    Ok(())
}

/// The initial biases of a layer's gates.
#[derive(Clone, Copy)]
pub(crate) struct GateBiases<'a> {
    /// One entry per gate. Gates without an entry keep the biases of the scheme.
    pub gates: &'a [GateBias],
    /// Units of the layer.
    pub hidden: usize,
}

impl GateBiases<'_> {
    /// Set both biases, (gates * hidden), with uniform numbers of a seeded generator.
    pub(crate) fn draw(self, b_ih: &Tensor, b_hh: &Tensor, rng: &mut dyn Rng) -> Result<()> {
        self.set(b_ih, b_hh, |count| Ok((0..count).map(|_| rng.random::<f64>()).collect()))
    }

    /// Set both biases, (gates * hidden), with uniform numbers of candle's own generator.
    pub(crate) fn draw_with_candle(self, b_ih: &Tensor, b_hh: &Tensor) -> Result<()> {
        self.set(b_ih, b_hh, |count| {
            Tensor::rand(0f32, 1., count, b_ih.device())?.to_dtype(DType::F64)?.to_vec1()
        })
    }

    /// Set the two biases of each gate that differs from the scheme: `b_ih` to the gate's bias, `b_hh` to zero.
    /// `uniform` returns as many numbers in [0, 1) as it is asked for. It is called once if a gate has a chrono bias,
    /// for one number per unit.
    fn set(
        self,
        b_ih: &Tensor,
        b_hh: &Tensor,
        uniform: impl FnOnce(usize) -> Result<Vec<f64>>,
    ) -> Result<()> {
        let has_chrono = self.gates.iter().any(|gate| gate.chrono().is_some());
        let uniform = if has_chrono { uniform(self.hidden)? } else { vec![] };
        let log_t =
            |longest: usize, row: usize| (1. + (longest as f64 - 2.) * uniform[row % self.hidden]).ln();
        let sum = |row: usize| match *self.gates.get(row / self.hidden)? {
            GateBias::Scheme => None,
            GateBias::Value(value) => Some(value),
            GateBias::ChronoKeep(longest) => Some(log_t(longest, row)),
            GateBias::ChronoWrite(longest) => Some(-log_t(longest, row)),
        };
        let drawn = |bias: &Tensor| bias.to_dtype(DType::F64)?.to_vec1::<f64>();
        let (drawn_ih, drawn_hh) = (drawn(b_ih)?, drawn(b_hh)?);
        fill(b_ih, |row| sum(row).unwrap_or(drawn_ih[row]))?;
        fill(b_hh, |row| sum(row).map_or(drawn_hh[row], |_| 0.))
    }

    /// Return whether a gate differs from what the scheme draws.
    pub(crate) fn differ_from_scheme(self) -> bool {
        self.gates.iter().any(|gate| *gate != GateBias::Scheme)
    }
}
