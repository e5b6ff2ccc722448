//! The arrays of a recurrent layer in Keras's layout and in ours.
//!
//! | | Keras | here |
//! |---|---|---|
//! | input weights | `kernel` (input, gates * units) | `weight_ih` (gates * hidden, input) |
//! | recurrent weights | `recurrent_kernel` (units, gates * units) | `weight_hh` (gates * hidden, hidden) |
//! | biases | `bias` (gates * units), (2, gates * units) with `reset_after` | `bias_ih`, `bias_hh` |
//! | gates of an LSTM | i, f, c, o | i, f, g, o |
//! | gates of a GRU | z, r, h | r, z, n |
//!
//! A single bias goes to `bias_ih`, and `bias_hh` is zero.

use candle_core::{Device, Result, Tensor};
use rnn_zoo_models::Reset;

use super::layer::Cell;
use super::store::Array;

/// Return the place of each of our gates in Keras's order. The order of a GRU is its own inverse.
fn order(cell: Cell) -> &'static [usize] {
    match cell {
        Cell::Simple(_) => &[0],
        Cell::Lstm => &[0, 1, 2, 3],
        Cell::Gru(_) => &[1, 0, 2],
    }
}

/// Exchange the gates along the first dimension, (gates * units, ..).
fn exchanged(tensor: &Tensor, cell: Cell) -> Result<Tensor> {
    let gates = tensor.chunk(cell.gates(), 0)?;
    let gates: Vec<&Tensor> = order(cell).iter().map(|&gate| &gates[gate]).collect();
    Tensor::cat(&gates, 0)?.contiguous()
}

/// Return an array as a tensor.
pub(super) fn tensor(array: Array) -> Result<Tensor> {
    Tensor::from_vec(array.elements, array.shape, &Device::Cpu)
}

/// Convert a kernel, (rows, gates * units), to our weights, (gates * hidden, rows).
pub(super) fn weight(kernel: Array, cell: Cell) -> Result<Tensor> {
    exchanged(&tensor(kernel)?.t()?.contiguous()?, cell)
}

/// Convert a bias to ours, of the input and of the hidden state, each (gates * hidden).
pub(super) fn biases(bias: Array, cell: Cell) -> Result<[Tensor; 2]> {
    let bias = tensor(bias)?;
    match bias.rank() {
        2 => Ok([exchanged(&bias.get(0)?, cell)?, exchanged(&bias.get(1)?, cell)?]),
        _ => Ok([exchanged(&bias, cell)?, bias.zeros_like()?]),
    }
}

/// Convert our weights, (gates * hidden, rows), to a kernel, (rows, gates * units).
pub(super) fn kernel(weight: &Tensor, cell: Cell) -> Result<Tensor> {
    exchanged(weight, cell)?.t()?.contiguous()
}

/// Convert our biases to Keras's: both, or their sum where Keras has one. A bias that is added to zeros keeps its bits.
pub(super) fn bias(of_input: &Tensor, of_hidden: &Tensor, cell: Cell) -> Result<Tensor> {
    match cell {
        Cell::Gru(Reset::After) => {
            Tensor::stack(&[exchanged(of_input, cell)?, exchanged(of_hidden, cell)?], 0)
        }
        _ => {
            let sum = (of_input + of_hidden)?;
            exchanged(&of_hidden.eq(0.)?.where_cond(of_input, &sum)?, cell)
        }
    }
}
