//! The pointwise part of every cell: what happens to a unit between the recurrent product and the new
//! state, and backwards. The equations are those at the head of `lstm.rs`, `gru.rs` and `simple_rnn.rs`.
//!
//! To add a cell, implement [`Pointwise`] here: tiling, threads, lengths, noise and all products of both
//! passes come from `sequence.rs`.

use pulp::Simd;

use super::simd::{Real, Vector};
use crate::kernels::cell_kind::Nonlinearity;

/// The pointwise part of a cell with `G` gates that keeps `K` numbers a unit for the backward pass.
pub(crate) trait Pointwise<const G: usize, const K: usize>: Copy + Send + Sync + 'static {
    /// Whether there is a cell state beside the hidden state.
    const CELL_STATE: bool = false;

    /// Whether the gradients of the input's and of the recurrent part of the gates differ.
    const SEPARATE_PRODUCT_GRADIENT: bool = false;

    /// Whether there is a second recurrent product at every step, of what [`Pointwise::forward`] makes of the
    /// hidden state rather than of the state. It is the last gate's, which keeps as much as the gates are:
    /// `K` is `G`. The first product is then that of the other gates, and [`Pointwise::finish`] ends the step.
    const SECOND_PRODUCT: bool = false;

    /// The new hidden state, and the last gate, from what was kept (the last gate's part of the input in its
    /// place), the second product added to that part, and the old hidden state.
    fn finish<S: Simd, E: Real>(
        self,
        kept: [Vector<S, E>; K],
        product: Vector<S, E>,
        _h: Vector<S, E>,
    ) -> [Vector<S, E>; 2] {
        [product, kept[K - 1]]
    }

    /// The gradients of what [`Pointwise::finish`] was given: of all gates but those that the second product
    /// depends on, which are zero still, and of the old hidden state.
    fn finish_backward<S: Simd, E: Real>(
        self,
        kept: [Vector<S, E>; K],
        _h: Vector<S, E>,
        dh: Vector<S, E>,
    ) -> ([Vector<S, E>; G], Vector<S, E>) {
        ([kept[0].zeroed(); G], dh)
    }

    /// What the recurrent product of the gates is added to: the input's part, or the recurrent bias where
    /// that part must stay alone. The bias is zero but for cells that are [`Pointwise::SEPARATE_PRODUCT_GRADIENT`].
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
    ) -> CellOutput<S, E, K>;

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
pub(crate) struct CellOutput<S: Simd, E: Real, const K: usize> {
    pub h: Vector<S, E>,
    /// Without meaning where the cell has no cell state.
    pub c: Vector<S, E>,
    pub kept: [Vector<S, E>; K],
}

/// Gradients of a unit before a step.
pub(crate) struct Gradient<S: Simd, E: Real, const G: usize> {
    /// Of the input's part of the gates.
    pub x: [Vector<S, E>; G],
    /// Of the recurrent product; the same unless the cell is [`Pointwise::SEPARATE_PRODUCT_GRADIENT`].
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
pub(crate) struct LstmUnit;

impl Pointwise<4, 4> for LstmUnit {
    const CELL_STATE: bool = true;

    #[inline(always)]
    fn forward<S: Simd, E: Real>(
        self,
        _x: [Vector<S, E>; 4],
        [i, f, g, o]: [Vector<S, E>; 4],
        _h: Vector<S, E>,
        c: Vector<S, E>,
    ) -> CellOutput<S, E, 4> {
        let (i, f, g, o) = (i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid());
        let c = f.mul_add(c, i * g);
        CellOutput { h: o * c.tanh(), c, kept: [i, f, g, o] }
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
pub(crate) struct GruUnit;

impl Pointwise<3, 4> for GruUnit {
    const SEPARATE_PRODUCT_GRADIENT: bool = true;

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
    ) -> CellOutput<S, E, 4> {
        let (r, z) = (r.sigmoid(), z.sigmoid());
        let n = r.mul_add(n_h, n_x).tanh();
        CellOutput { h: z.mul_add(h - n, n), c, kept: [r, z, n, n_h] }
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

/// With the reset gate before the product. Keeps r, z and n.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GruBeforeUnit;

impl Pointwise<3, 3> for GruBeforeUnit {
    const SECOND_PRODUCT: bool = true;

    /// What enters the second product takes the place of the hidden state.
    #[inline(always)]
    fn forward<S: Simd, E: Real>(
        self,
        [_, _, n_x]: [Vector<S, E>; 3],
        [r, z, _]: [Vector<S, E>; 3],
        h: Vector<S, E>,
        c: Vector<S, E>,
    ) -> CellOutput<S, E, 3> {
        let (r, z) = (r.sigmoid(), z.sigmoid());
        CellOutput { h: r * h, c, kept: [r, z, n_x] }
    }

    #[inline(always)]
    fn finish<S: Simd, E: Real>(
        self,
        [_, z, _]: [Vector<S, E>; 3],
        n: Vector<S, E>,
        h: Vector<S, E>,
    ) -> [Vector<S, E>; 2] {
        let n = n.tanh();
        [z.mul_add(h - n, n), n]
    }

    #[inline(always)]
    fn finish_backward<S: Simd, E: Real>(
        self,
        [_, z, n]: [Vector<S, E>; 3],
        h: Vector<S, E>,
        dh: Vector<S, E>,
    ) -> ([Vector<S, E>; 3], Vector<S, E>) {
        let dn = dh * z.complement() * n.one_minus_square();
        let dz = dh * (h - n) * slope(z);
        ([z.zeroed(), dz, dn], dh * z)
    }

    /// `dh` is the gradient of what entered the second product.
    #[inline(always)]
    fn backward<S: Simd, E: Real>(
        self,
        [r, ..]: [Vector<S, E>; 3],
        h: Vector<S, E>,
        _c: Vector<S, E>,
        dh: Vector<S, E>,
        dc: Vector<S, E>,
    ) -> Gradient<S, E, 3> {
        let dr = dh * h * slope(r);
        let gates = [dr, dr.zeroed(), dr.zeroed()];
        Gradient { x: gates, product: gates, h: Some(dh * r), c: dc }
    }
}

/// Keeps the new hidden state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SimpleUnit(pub Nonlinearity);

impl Pointwise<1, 1> for SimpleUnit {
    #[inline(always)]
    fn forward<S: Simd, E: Real>(
        self,
        _x: [Vector<S, E>; 1],
        [sum]: [Vector<S, E>; 1],
        _h: Vector<S, E>,
        c: Vector<S, E>,
    ) -> CellOutput<S, E, 1> {
        let zero = sum.zeroed();
        let h = match self.0 {
            Nonlinearity::Tanh => sum.tanh(),
            Nonlinearity::Relu => zero.if_greater(sum, zero, sum), // NaN stays NaN
        };
        CellOutput { h, c, kept: [h] }
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
