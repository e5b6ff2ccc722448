//! Initial biases of gates: a fixed value, or the chrono initialisation of Tallec and Ollivier (2018).

use candle_core::{DType, Result, Tensor};
use rand::{Rng, RngExt};

use crate::layers::config::GateBias;
use crate::layers::init::fill;

/// Initial biases of a layer's gates that differ from the layer's scheme.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GateBiases {
    /// One entry per gate. Gates without an entry keep the biases of the scheme.
    pub gates: Vec<GateBias>,
    /// The longest dependency in steps that [`GateBias::Keep`] and [`GateBias::Write`] are for.
    pub chrono: Option<usize>,
}

impl GateBiases {
    /// Set both biases, (gates * hidden), with uniform numbers of a seeded generator.
    pub(crate) fn draw(&self, hidden: usize, b_ih: &Tensor, b_hh: &Tensor, rng: &mut dyn Rng) -> Result<()> {
        self.set(hidden, b_ih, b_hh, |count| Ok((0..count).map(|_| rng.random::<f64>()).collect()))
    }

    /// Set both biases, (gates * hidden), with uniform numbers of candle's own generator.
    pub(crate) fn draw_with_candle(&self, hidden: usize, b_ih: &Tensor, b_hh: &Tensor) -> Result<()> {
        self.set(hidden, b_ih, b_hh, |count| {
            Tensor::rand(0f32, 1., count, b_ih.device())?.to_dtype(DType::F64)?.to_vec1()
        })
    }

    /// Set the two biases of each gate that differs from the scheme: `b_ih` to the gate's bias, `b_hh` to zero.
    /// `uniform` returns as many numbers in [0, 1) as it is asked for: one per unit, shared by all gates.
    fn set(
        &self,
        hidden: usize,
        b_ih: &Tensor,
        b_hh: &Tensor,
        uniform: impl FnOnce(usize) -> Result<Vec<f64>>,
    ) -> Result<()> {
        let log_span = |longest: usize, u: f64| (1. + (longest as f64 - 2.) * u).ln();
        let spans: Option<Vec<f64>> = match self.chrono {
            Some(longest) => Some(uniform(hidden)?.into_iter().map(|u| log_span(longest, u)).collect()),
            None => None,
        };
        let span = |row: usize| spans.as_ref().map(|spans| spans[row % hidden]);
        let sum = |row: usize| match self.gates.get(row / hidden)? {
            GateBias::Scheme => None,
            GateBias::Value(value) => Some(*value),
            GateBias::Keep => span(row),
            GateBias::Write => span(row).map(|span| -span),
        };
        let drawn = |bias: &Tensor| bias.to_dtype(DType::F64)?.to_vec1::<f64>();
        let (drawn_ih, drawn_hh) = (drawn(b_ih)?, drawn(b_hh)?);
        fill(b_ih, |row| sum(row).unwrap_or(drawn_ih[row]))?;
        fill(b_hh, |row| sum(row).map_or(drawn_hh[row], |_| 0.))
    }

    /// Whether every gate keeps what the scheme draws.
    pub(crate) fn keep_scheme(&self) -> bool {
        self.gates.iter().all(|gate| *gate == GateBias::Scheme)
    }
}
