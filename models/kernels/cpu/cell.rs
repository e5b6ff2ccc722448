//! The pointwise part of every cell: what happens to a unit between the recurrent product and the new
//! state, and backwards. The equations are those at the head of `lstm.rs`, `gru.rs` and `simple_rnn.rs`.
//!
//! To add a cell, implement [`Pointwise`] here: tiling, threads, lengths, noise and all products of both
//! passes come from `sequence.rs`.

use pulp::Simd;

use super::simd::{Real, Vector};
use crate::simple_rnn::Nonlinearity;

/// The pointwise part of a cell with `G` gates that keeps `K` numbers a unit for the backward pass.
pub(in crate::kernels) trait Pointwise<const G: usize, const K: usize>:
    Copy + Send + Sync + 'static
{
    /// Whether there is a cell state beside the hidden state.
    const CELL_STATE: bool = false;

    /// Whether the gradients of the input's and of the recurrent part of the gates differ.
    const APART: bool = false;

    /// What the recurrent product of the gates is added to: the input's part, or the recurrent bias where
    /// that part must stay alone. The bias is zero but for cells that are [`Pointwise::APART`].
    fn start<S: Simd, E: Real>(self, x: [Vector<S, E>; G], _bias: [Vector<S, E>; G]) -> [Vector<S, E>; G] {
        x
    }

    /// The new state of a unit, from the input's part `x` of the gates, the `product` that started from
    /// [`Pointwise::start`], and the old state.
    fn forward<S: Simd, E: Real>(
        self,
        x: [Vector<S, E>; G],
        product: [Vector<S, E>; G],
        h: Vector<S, E>,
        c: Vector<S, E>,
    ) -> Unit<S, E, K>;

    /// The gradients of what [`Pointwise::forward`] was given, from what it kept, the old state, and the
    /// gradients of the new one.
    fn backward<S: Simd, E: Real>(
        self,
        kept: [Vector<S, E>; K],
        h: Vector<S, E>,
        c: Vector<S, E>,
        dh: Vector<S, E>,
        dc: Vector<S, E>,
    ) -> Gradient<S, E, G>;
}

/// A unit after a step.
pub(in crate::kernels) struct Unit<S: Simd, E: Real, const K: usize> {
    pub h: Vector<S, E>,
    /// Without meaning where the cell has no cell state.
    pub c: Vector<S, E>,
    pub kept: [Vector<S, E>; K],
}

/// Gradients of a unit before a step.
pub(in crate::kernels) struct Gradient<S: Simd, E: Real, const G: usize> {
    /// Of the input's part of the gates.
    pub x: [Vector<S, E>; G],
    /// Of the recurrent product; the same unless the cell is [`Pointwise::APART`].
    pub product: [Vector<S, E>; G],
    /// Of the old hidden state, beside what goes through the product; none where the cell does not look.
    pub h: Option<Vector<S, E>>,
    /// Of the old cell state.
    pub c: Vector<S, E>,
}

/// `s (1 - s)`, which is the derivative of a sigmoid that is `s`.
#[inline(always)]
fn slope<S: Simd, E: Real>(s: Vector<S, E>) -> Vector<S, E> {
    s * s.complement()
}

/// Keeps i, f, g and o.
#[derive(Clone, Copy, Debug)]
pub(in crate::kernels) struct LstmUnit;

impl Pointwise<4, 4> for LstmUnit {
    const CELL_STATE: bool = true;

    #[inline(always)]
    fn forward<S: Simd, E: Real>(
        self,
        _x: [Vector<S, E>; 4],
        [i, f, g, o]: [Vector<S, E>; 4],
        _h: Vector<S, E>,
        c: Vector<S, E>,
    ) -> Unit<S, E, 4> {
        let (i, f, g, o) = (i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid());
        let c = f.mul_add(c, i * g);
        Unit { h: o * c.tanh(), c, kept: [i, f, g, o] }
    }

    #[inline(always)]
    fn backward<S: Simd, E: Real>(
        self,
        [i, f, g, o]: [Vector<S, E>; 4],
        _h: Vector<S, E>,
        c: Vector<S, E>,
        dh: Vector<S, E>,
        dc: Vector<S, E>,
    ) -> Gradient<S, E, 4> {
        let shown = f.mul_add(c, i * g).tanh();
        let dc = (dh * o).mul_add(shown.one_minus_square(), dc);
        let gates =
            [dc * g * slope(i), dc * c * slope(f), dc * i * g.one_minus_square(), dh * shown * slope(o)];
        Gradient { x: gates, product: gates, h: None, c: dc * f }
    }
}

/// With the reset gate after the product. Keeps r, z, n and the product of n.
#[derive(Clone, Copy, Debug)]
pub(in crate::kernels) struct GruUnit;

impl Pointwise<3, 4> for GruUnit {
    const APART: bool = true;

    #[inline(always)]
    fn start<S: Simd, E: Real>(
        self,
        [r, z, _]: [Vector<S, E>; 3],
        [b_r, b_z, b_n]: [Vector<S, E>; 3],
    ) -> [Vector<S, E>; 3] {
        [r + b_r, z + b_z, b_n]
    }

    #[inline(always)]
    fn forward<S: Simd, E: Real>(
        self,
        [_, _, n_x]: [Vector<S, E>; 3],
        [r, z, n_h]: [Vector<S, E>; 3],
        h: Vector<S, E>,
        c: Vector<S, E>,
    ) -> Unit<S, E, 4> {
        let (r, z) = (r.sigmoid(), z.sigmoid());
        let n = r.mul_add(n_h, n_x).tanh();
        Unit { h: z.mul_add(h - n, n), c, kept: [r, z, n, n_h] }
    }

    #[inline(always)]
    fn backward<S: Simd, E: Real>(
        self,
        [r, z, n, n_h]: [Vector<S, E>; 4],
        h: Vector<S, E>,
        _c: Vector<S, E>,
        dh: Vector<S, E>,
        dc: Vector<S, E>,
    ) -> Gradient<S, E, 3> {
        let dn = dh * z.complement() * n.one_minus_square();
        let dr = dn * n_h * slope(r);
        let dz = dh * (h - n) * slope(z);
        Gradient { x: [dr, dz, dn], product: [dr, dz, dn * r], h: Some(dh * z), c: dc }
    }
}

/// Keeps the new hidden state.
#[derive(Clone, Copy, Debug)]
pub(in crate::kernels) struct SimpleUnit(pub Nonlinearity);

impl Pointwise<1, 1> for SimpleUnit {
    #[inline(always)]
    fn forward<S: Simd, E: Real>(
        self,
        _x: [Vector<S, E>; 1],
        [sum]: [Vector<S, E>; 1],
        _h: Vector<S, E>,
        c: Vector<S, E>,
    ) -> Unit<S, E, 1> {
        let zero = sum.zeroed();
        let h = match self.0 {
            Nonlinearity::Tanh => sum.tanh(),
            Nonlinearity::Relu => sum.if_greater(zero, sum, zero),
        };
        Unit { h, c, kept: [h] }
    }

    #[inline(always)]
    fn backward<S: Simd, E: Real>(
        self,
        [h]: [Vector<S, E>; 1],
        _h: Vector<S, E>,
        _c: Vector<S, E>,
        dh: Vector<S, E>,
        dc: Vector<S, E>,
    ) -> Gradient<S, E, 1> {
        let zero = h.zeroed();
        let sum = match self.0 {
            Nonlinearity::Tanh => dh * h.one_minus_square(),
            Nonlinearity::Relu => h.if_greater(zero, dh, zero),
        };
        Gradient { x: [sum], product: [sum], h: None, c: dc }
    }
}
