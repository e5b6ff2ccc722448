//! Initial biases of gates: a fixed value, or the chrono initialisation of Tallec and Ollivier (2018).

use candle_core::{DType, Result, Tensor};
use rand::{Rng, RngExt};

use crate::layers::config::GateBias;
use crate::layers::init::fill;

/// The initial biases of all gates of a layer.
#[derive(Clone, Debug)]
pub(crate) struct GateBiases {
    /// One entry a gate.
    pub gates: Vec<GateBias>,
    /// The longest dependency in steps that [`GateBias::Keep`] and [`GateBias::Write`] are for.
    pub chrono: Option<usize>,
}

impl GateBiases {
    /// Sets both biases, (gates * hidden), with uniform numbers of a seeded generator.
    pub(crate) fn draw(&self, b_ih: &Tensor, b_hh: &Tensor, rng: &mut dyn Rng) -> Result<()> {
        self.set(b_ih, b_hh, |count| Ok((0..count).map(|_| rng.random::<f64>()).collect()))
    }

    /// Sets both biases with uniform numbers of candle's own generator.
    pub(crate) fn draw_with_candle(&self, b_ih: &Tensor, b_hh: &Tensor) -> Result<()> {
        self.set(b_ih, b_hh, |count| {
            Tensor::rand(0f32, 1., count, b_ih.device())?.to_dtype(DType::F64)?.to_vec1()
        })
    }

    /// Sets the two biases of every gate to its sum and zero, where the gate does not keep what was drawn.
    /// `uniform` returns numbers in [0, 1), one a unit, shared by all gates.
    fn set(
        &self,
        b_ih: &Tensor,
        b_hh: &Tensor,
        uniform: impl FnOnce(usize) -> Result<Vec<f64>>,
    ) -> Result<()> {
        let hidden = b_ih.elem_count() / self.gates.len();
        let log_span = |longest: usize, u: f64| (1. + (longest as f64 - 2.) * u).ln();
        let spans: Option<Vec<f64>> = match self.chrono {
            Some(longest) => Some(uniform(hidden)?.into_iter().map(|u| log_span(longest, u)).collect()),
            None => None,
        };
        let span = |row: usize| spans.as_ref().map(|spans| spans[row % hidden]);
        let sum = |row: usize| match self.gates[row / hidden] {
            GateBias::Scheme => None,
            GateBias::Value(value) => Some(value),
            GateBias::Keep => span(row),
            GateBias::Write => span(row).map(|span| -span),
        };
        let drawn = |bias: &Tensor| bias.to_dtype(DType::F64)?.to_vec1::<f64>();
        let (input, hidden) = (drawn(b_ih)?, drawn(b_hh)?);
        fill(b_ih, |row| sum(row).unwrap_or(input[row]))?;
        fill(b_hh, |row| sum(row).map_or(hidden[row], |_| 0.))
    }

    /// Whether every gate keeps what the scheme draws.
    pub(crate) fn keep_scheme(&self) -> bool {
        self.gates.iter().all(|gate| *gate == GateBias::Scheme)
    }
}
