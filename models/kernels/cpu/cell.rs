//! The pointwise part of every cell, forward and backward: the new state of a unit from its recurrent product. The
//! equations are those at the head of `lstm.rs`, `gru.rs` and `simple_rnn.rs`. `D` sets the number of digits of the
//! functions.
//!
//! To add a cell, implement [`Pointwise`] here. Tiling, threads, lengths, noise and all products of both passes
//! come from `recurrence/`.

use pulp::Simd;

use super::simd::{Digits, Float, Vector};
use crate::kernels::cell_kind::{CellKind, Nonlinearity};

/// Return the bound of the hidden state as operand of a product, see [`Operand::round_row`], or zero without one.
///
/// [`Operand::round_row`]: super::product::Operand::round_row
pub(crate) fn state_limit<E: Float>(kind: CellKind, projects: bool) -> E {
    if kind.is_bounded() && !projects { E::ONE } else { E::ZERO }
}

/// The pointwise part of a cell with `G` gates that saves `K` numbers per unit for the backward pass.
pub(crate) trait Pointwise<const G: usize, const K: usize>: Copy + Send + Sync + 'static {
    /// Whether there is a cell state beside the hidden state.
    const CELL_STATE: bool = false;

    /// Whether [`Pointwise::start`] returns the input's part of the gates, and [`Pointwise::forward`] does not read it:
    /// the sums may then take its place in memory.
    const STARTS_FROM_INPUT: bool = false;

    /// Whether the gradient of the recurrent part of the gates differs from that of the input's part.
    const SEPARATE_PRODUCT_GRADIENT: bool = false;

    /// Whether a step has a second recurrent product, that of the last gate. Its operand is the vector that
    /// [`Pointwise::forward`] returns in place of the hidden state. The first product is then that of the other gates,
    /// and [`Pointwise::finish`] computes the new hidden state. Such a cell saves as many numbers as it has gates.
    const SECOND_PRODUCT: bool = false;

    /// Compute the new hidden state and the value of the last gate. `product` is the second product plus the input's
    /// part of that gate. `saved` comes from [`Pointwise::forward`], with the input's part as its last element.
    fn finish<D: Digits, S: Simd, E: Float>(
        self,
        saved: [Vector<S, E>; K],
        product: Vector<S, E>,
        _h: Vector<S, E>,
    ) -> [Vector<S, E>; 2] {
        [product, saved[K - 1]]
    }

    /// Compute the gradients of the arguments of [`Pointwise::finish`]: of the gates, zero for those that the operand
    /// of the second product depends on, and of the old hidden state.
    fn finish_backward<S: Simd, E: Float>(
        self,
        saved: [Vector<S, E>; K],
        _h: Vector<S, E>,
        dh: Vector<S, E>,
    ) -> ([Vector<S, E>; G], Vector<S, E>) {
        ([saved[0].zeroed(); G], dh)
    }

    /// Return the initial value of the sums of the recurrent product: the input's part of the gates, or the recurrent
    /// bias for a gate that needs the two parts separately. The bias is zero unless
    /// [`Pointwise::SEPARATE_PRODUCT_GRADIENT`].
    fn start<S: Simd, E: Float>(self, x: [Vector<S, E>; G], _bias: [Vector<S, E>; G]) -> [Vector<S, E>; G] {
        x
    }

    /// Compute the new state of a unit, from the input's part `x` of the gates (without meaning if
    /// [`Pointwise::STARTS_FROM_INPUT`]), the `product` that started from
    /// [`Pointwise::start`], and the old state.
    fn forward<D: Digits, S: Simd, E: Float>(
        self,
        x: [Vector<S, E>; G],
        product: [Vector<S, E>; G],
        h: Vector<S, E>,
        c: Vector<S, E>,
    ) -> CellOutput<S, E, K>;

    /// Compute the gradients of the arguments of [`Pointwise::forward`], from what it saved, the old state, and the
    /// gradients of the new state.
    fn backward<D: Digits, S: Simd, E: Float>(
        self,
        saved: [Vector<S, E>; K],
        h: Vector<S, E>,
        c: Vector<S, E>,
        dh: Vector<S, E>,
        dc: Vector<S, E>,
    ) -> CellGradient<S, E, G>;
}

/// A unit after a step.
pub(crate) struct CellOutput<S: Simd, E: Float, const K: usize> {
    pub(crate) h: Vector<S, E>,
    /// Unused for a cell without a cell state.
    pub(crate) c: Vector<S, E>,
    /// The numbers that the backward pass needs.
    pub(crate) saved: [Vector<S, E>; K],
}

/// Gradients of a unit before a step.
pub(crate) struct CellGradient<S: Simd, E: Float, const G: usize> {
    /// The gradient of the input's part of the gates.
    pub(crate) x: [Vector<S, E>; G],
    /// The gradient of the recurrent product; equal to `x` unless [`Pointwise::SEPARATE_PRODUCT_GRADIENT`].
    pub(crate) product: [Vector<S, E>; G],
    /// The gradient of the old hidden state without the path through the product; `None` if there is no other path.
    pub(crate) h: Option<Vector<S, E>>,
    /// The gradient of the old cell state.
    pub(crate) c: Vector<S, E>,
}

/// Compute `s (1 - s)`, the derivative of the sigmoid in terms of its value.
#[inline(always)]
fn sigmoid_slope<S: Simd, E: Float>(s: Vector<S, E>) -> Vector<S, E> {
    s * s.complement()
}

/// LSTM. Saves i, f, g and o.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LstmUnit;

impl Pointwise<4, 4> for LstmUnit {
    const CELL_STATE: bool = true;
    const STARTS_FROM_INPUT: bool = true;

    #[inline(always)]
    fn forward<D: Digits, S: Simd, E: Float>(
        self,
        _x: [Vector<S, E>; 4],
        [i, f, g, o]: [Vector<S, E>; 4],
        _h: Vector<S, E>,
        c: Vector<S, E>,
    ) -> CellOutput<S, E, 4> {
        let (i, f, g, o) = (D::sigmoid(i), D::sigmoid(f), D::tanh(g), D::sigmoid(o));
        let c = f.mul_add(c, i * g);
        CellOutput { h: o * D::tanh(c), c, saved: [i, f, g, o] }
    }

    #[inline(always)]
    fn backward<D: Digits, S: Simd, E: Float>(
        self,
        [i, f, g, o]: [Vector<S, E>; 4],
        _h: Vector<S, E>,
        c: Vector<S, E>,
        dh: Vector<S, E>,
        dc: Vector<S, E>,
    ) -> CellGradient<S, E, 4> {
        let tanh_c = D::tanh(f.mul_add(c, i * g));
        let dc = (dh * o).mul_add(tanh_c.one_minus_square(), dc);
        let di = dc * g * sigmoid_slope(i);
        let df = dc * c * sigmoid_slope(f);
        let dg = dc * i * g.one_minus_square();
        let d_o = dh * tanh_c * sigmoid_slope(o);
        CellGradient { x: [di, df, dg, d_o], product: [di, df, dg, d_o], h: None, c: dc * f }
    }
}

/// GRU with the reset gate after the product. Saves r, z, n and the recurrent product of n.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GruUnit;

impl Pointwise<3, 4> for GruUnit {
    const SEPARATE_PRODUCT_GRADIENT: bool = true;

    #[inline(always)]
    fn start<S: Simd, E: Float>(
        self,
        [r, z, _]: [Vector<S, E>; 3],
        [b_r, b_z, b_n]: [Vector<S, E>; 3],
    ) -> [Vector<S, E>; 3] {
        [r + b_r, z + b_z, b_n]
    }

    #[inline(always)]
    fn forward<D: Digits, S: Simd, E: Float>(
        self,
        [_, _, n_x]: [Vector<S, E>; 3],
        [r, z, n_h]: [Vector<S, E>; 3],
        h: Vector<S, E>,
        c: Vector<S, E>,
    ) -> CellOutput<S, E, 4> {
        let (r, z) = (D::sigmoid(r), D::sigmoid(z));
        let n = D::tanh(r.mul_add(n_h, n_x));
        CellOutput { h: z.mul_add(h - n, n), c, saved: [r, z, n, n_h] }
    }

    #[inline(always)]
    fn backward<D: Digits, S: Simd, E: Float>(
        self,
        [r, z, n, n_h]: [Vector<S, E>; 4],
        h: Vector<S, E>,
        _c: Vector<S, E>,
        dh: Vector<S, E>,
        dc: Vector<S, E>,
    ) -> CellGradient<S, E, 3> {
        let dn = dh * z.complement() * n.one_minus_square();
        let dr = dn * n_h * sigmoid_slope(r);
        let dz = dh * (h - n) * sigmoid_slope(z);
        CellGradient { x: [dr, dz, dn], product: [dr, dz, dn * r], h: Some(dh * z), c: dc }
    }
}

/// GRU with the reset gate before the product. Saves r, z and n.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GruBeforeUnit;

impl Pointwise<3, 3> for GruBeforeUnit {
    const SECOND_PRODUCT: bool = true;

    /// Return `r * h`, the operand of the second product, in place of the hidden state.
    #[inline(always)]
    fn forward<D: Digits, S: Simd, E: Float>(
        self,
        [_, _, n_x]: [Vector<S, E>; 3],
        [r, z, _]: [Vector<S, E>; 3],
        h: Vector<S, E>,
        c: Vector<S, E>,
    ) -> CellOutput<S, E, 3> {
        let (r, z) = (D::sigmoid(r), D::sigmoid(z));
        CellOutput { h: r * h, c, saved: [r, z, n_x] }
    }

    #[inline(always)]
    fn finish<D: Digits, S: Simd, E: Float>(
        self,
        [_, z, _]: [Vector<S, E>; 3],
        n: Vector<S, E>,
        h: Vector<S, E>,
    ) -> [Vector<S, E>; 2] {
        let n = D::tanh(n);
        [z.mul_add(h - n, n), n]
    }

    #[inline(always)]
    fn finish_backward<S: Simd, E: Float>(
        self,
        [_, z, n]: [Vector<S, E>; 3],
        h: Vector<S, E>,
        dh: Vector<S, E>,
    ) -> ([Vector<S, E>; 3], Vector<S, E>) {
        let dn = dh * z.complement() * n.one_minus_square();
        let dz = dh * (h - n) * sigmoid_slope(z);
        ([z.zeroed(), dz, dn], dh * z)
    }

    /// Compute the gradients from `dh`, that of the operand of the second product.
    #[inline(always)]
    fn backward<D: Digits, S: Simd, E: Float>(
        self,
        [r, ..]: [Vector<S, E>; 3],
        h: Vector<S, E>,
        _c: Vector<S, E>,
        dh: Vector<S, E>,
        dc: Vector<S, E>,
    ) -> CellGradient<S, E, 3> {
        let dr = dh * h * sigmoid_slope(r);
        let gates = [dr, dr.zeroed(), dr.zeroed()];
        CellGradient { x: gates, product: gates, h: Some(dh * r), c: dc }
    }
}

/// Simple recurrent cell. Saves the new hidden state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SimpleUnit(pub(crate) Nonlinearity);

impl Pointwise<1, 1> for SimpleUnit {
    const STARTS_FROM_INPUT: bool = true;

    #[inline(always)]
    fn forward<D: Digits, S: Simd, E: Float>(
        self,
        _x: [Vector<S, E>; 1],
        [sum]: [Vector<S, E>; 1],
        _h: Vector<S, E>,
        c: Vector<S, E>,
    ) -> CellOutput<S, E, 1> {
        let zero = sum.zeroed();
        let h = match self.0 {
            Nonlinearity::Tanh => D::tanh(sum),
            Nonlinearity::Relu => zero.if_greater(sum, zero, sum), // NaN propagates
        };
        CellOutput { h, c, saved: [h] }
    }

    #[inline(always)]
    fn backward<D: Digits, S: Simd, E: Float>(
        self,
        [h]: [Vector<S, E>; 1],
        _h: Vector<S, E>,
        _c: Vector<S, E>,
        dh: Vector<S, E>,
        dc: Vector<S, E>,
    ) -> CellGradient<S, E, 1> {
        let zero = h.zeroed();
        let sum = match self.0 {
            Nonlinearity::Tanh => dh * h.one_minus_square(),
            Nonlinearity::Relu => h.if_greater(zero, dh, zero),
        };
        CellGradient { x: [sum], product: [sum], h: None, c: dc }
    }
}
