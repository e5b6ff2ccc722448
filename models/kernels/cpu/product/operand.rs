//! The types that the factors of products are stored in.

use std::ops::Range;

use pulp::bytemuck::Pod;
use pulp::{Simd, WithSimd};

use super::super::simd::{AllDigits, Digits, Float, Isa, MAX_LANES, Vector};
use super::super::tuning::{DEPTH_BLOCK, OUTER_TILE_VECTORS, TRANSPOSE_DEPTH};
use super::left::LeftRows;
use super::micro_kernel::TileProduct;
use super::tile::{max_rows, multiply_floats, split_evenly};

/// A vector of the sum type of `O`.
pub(crate) type SumVector<S, O> = Vector<S, <O as Operand>::Sum>;

/// The stored type of the factors of a product: packed panels and left rows. Sums, and all pointwise work, have
/// the type [`Operand::Sum`]; everything that enters a product is rounded from it when it is packed or stored.
///
/// `f32` and `f64` are their own sum type, so rounding is the identity. The operands of `bf16/` and `int8/` are
/// narrower; what a processor's instructions for them demand of the layout is stated by the constants, and
/// [`Operand::multiply`] is their micro-kernel. Those of training are a [`GradientOperand`] too.
///
/// Int8 is scaled ([`Operand::IS_SCALED`]): an integer has a meaning only with the scale of its row. Left rows are
/// rounded by [`Operand::round_row`] and columns of panels by [`Operand::transpose`], both as a whole;
/// [`Operand::round`] and [`Operand::store_rounded`], which round single numbers, are never called.
pub(crate) trait Operand: Pod + Send + Sync {
    /// The type of sums. It has at least the size of the operand type.
    type Sum: Float;

    /// The digits of the pointwise functions.
    type Digits: Digits;

    /// Whether the operands are the sums themselves.
    const IS_SUM: bool;

    /// Whether a row of left operands has a scale of its own, so that it can only be rounded as a whole. The scale then
    /// follows the row, and those of the columns follow the last row of a panel.
    const IS_SCALED: bool = false;

    /// Rows of the depth that a panel interleaves element by element: 1, 2 or 4.
    const INTERLEAVED: usize = 1;

    /// The multiple to which panels and padded left rows are filled up with zeros along the depth.
    const DEPTH_MULTIPLE: usize = 1;

    /// Depth that a product sums at a time.
    const DEPTH_BLOCK: usize = DEPTH_BLOCK;

    /// Elements that follow each column of a panel: its scale, and what else the products of int8 need of it.
    const COLUMN_TAIL: usize = 0;

    /// Run `part`, one worker's part of a kernel, as compiled for `isa`.
    fn run_as<W: WithSimd<Output = ()>>(isa: Isa, part: W) {
        isa.run(part);
    }

    /// Return the most rows of a tile that is `vectors` wide.
    fn max_rows<S: Simd>(vectors: usize) -> usize;

    /// Split `rows` into tiles of at most `max` rows.
    fn split_rows(rows: Range<usize>, max: usize) -> impl Iterator<Item = Range<usize>>;

    /// Round `sum` to the operand type.
    ///
    /// # Panics
    /// If operands are scaled.
    fn round(sum: Self::Sum) -> Self;

    /// Round a vector of sums and store it.
    ///
    /// # Panics
    /// If operands are scaled.
    ///
    /// # Safety
    /// A vector of operands must be writable at `to`.
    unsafe fn store_rounded<S: Simd>(sums: Vector<S, Self::Sum>, to: *mut Self);

    /// Return the number of elements of a row of `count` left operands, filled up and with its scale.
    fn row_len(count: usize) -> usize {
        count.next_multiple_of(Self::DEPTH_MULTIPLE)
    }

    /// Round a row of `count` sums into a row of operands. The scale of scaled operands is that of the largest
    /// magnitude, but at least that of `limit`.
    ///
    /// # Safety
    /// `count` sums must be readable at `from` and [`Operand::row_len`] operands writable at `to`, without overlap.
    unsafe fn round_row<S: Simd>(
        simd: S,
        from: *const Self::Sum,
        to: *mut Self,
        count: usize,
        limit: Self::Sum,
    );

    /// Pack one vector of columns of a panel whose rows are `width` elements wide: column `c` is the row of `depth`
    /// sums at `columns[c]`, or zero for null. Scaled operands write the scales too.
    ///
    /// # Safety
    /// Every row must have the depth. `to` must have room for as many rows, rounded up to [`Operand::INTERLEAVED`]; for
    /// scaled operands it must be in a panel with zeros up to [`Operand::DEPTH_MULTIPLE`] and room for
    /// [`Operand::COLUMN_TAIL`] after that.
    #[inline(always)]
    unsafe fn transpose<S: Simd>(
        simd: S,
        columns: &[*const Self::Sum],
        depth: usize,
        to: *mut Self,
        width: usize,
    ) {
        let whole = depth - depth % TRANSPOSE_DEPTH;
        // SAFETY: the caller's promise; no vector has more than `MAX_LANES` elements.
        unsafe {
            for from in (0..whole).step_by(TRANSPOSE_DEPTH) {
                let mut block = [[Self::Sum::ZERO; MAX_LANES]; TRANSPOSE_DEPTH];
                for (lane, row) in columns.iter().enumerate().filter(|(_, row)| !row.is_null()) {
                    let row = row.add(from);
                    (0..TRANSPOSE_DEPTH).for_each(|k| block[k][lane] = *row.add(k));
                }
                for (k, elements) in block.iter().enumerate() {
                    Self::store_rounded(Vector::load(simd, elements.as_ptr()), to.add((from + k) * width));
                }
            }
            for k in whole..depth {
                for (lane, row) in columns.iter().enumerate() {
                    let element = if row.is_null() { Self::Sum::ZERO } else { *row.add(k) };
                    *to.add(k * width + lane) = Self::round(element);
                }
            }
        }
    }

    /// Compute a [`TileProduct`] of `rows` by `vectors`.
    ///
    /// # Safety
    /// `left` must have `rows` rows of `depth` elements, `panel` `depth * vectors` vectors, filled up to
    /// [`Operand::DEPTH_MULTIPLE`], both with the scales of scaled operands, and `tile` `rows * vectors` vectors.
    /// `rows` is at most [`Operand::max_rows`] and `vectors` at most
    /// [`TILE_VECTORS`](super::super::tuning::TILE_VECTORS).
    unsafe fn multiply<S: Simd>(simd: S, size: (usize, usize), product: TileProduct<Self, Self::Sum>);
}

/// Operands that have a backward pass, which is what training needs; none of them is scaled.
pub(crate) trait GradientOperand: Operand {
    /// Whether sequences of operands are stored row by row; see `SequenceLayout`.
    const BY_ROW: bool = false;

    /// Vectors in a row of a tile of `outer`.
    const OUTER_VECTORS: usize = OUTER_TILE_VECTORS;

    /// Return the rows of a tile of `outer`.
    fn outer_rows<S: Simd>() -> usize;

    /// Round one vector of [`Operand::INTERLEAVED`] consecutive rows of a panel and store them; `row(i)` is the vector
    /// of the `i`-th of these rows.
    ///
    /// # Safety
    /// As many vectors of operands must be writable at `to`.
    unsafe fn store_interleaved<S: Simd>(row: impl Fn(usize) -> Vector<S, Self::Sum>, to: *mut Self);

    /// Load a vector of operands as sums.
    ///
    /// # Safety
    /// A vector of operands must be readable at `from`.
    unsafe fn load_widened<S: Simd>(simd: S, from: *const Self) -> Vector<S, Self::Sum>;

    /// Round `count` sums into operands.
    ///
    /// # Safety
    /// `count` elements must be readable at `from` and writable at `to`, without overlap.
    unsafe fn copy_rounded<S: Simd>(simd: S, from: *const Self::Sum, to: *mut Self, count: usize);

    /// Round `count` sums, in whole vectors, into operands that begin at the same address.
    ///
    /// # Safety
    /// `count` sums, rounded up to whole vectors, must be writable at `sums`.
    unsafe fn round_in_place<S: Simd>(simd: S, sums: *mut Self::Sum, count: usize);

    /// Pack the left side of a tile of `outer`: `count` columns, at most [`GradientOperand::outer_rows`], of a matrix
    /// whose row `k` starts at `row(k)`. Return it as the rows of a left side. Its depth is that of `depth`, rounded up
    /// to [`Operand::DEPTH_MULTIPLE`] with zeros.
    ///
    /// # Safety
    /// The rows must have the columns, and `to` room for [`GradientOperand::outer_rows`] times the rounded depth.
    #[inline(always)]
    unsafe fn pack_outer<S: Simd>(
        row: impl Fn(usize) -> *const Self,
        depth: Range<usize>,
        count: usize,
        to: *mut Self,
    ) -> LeftRows<Self> {
        let height = Self::outer_rows::<S>();
        for (index, k) in depth.enumerate() {
            // SAFETY: the caller's promise.
            unsafe {
                let to = to.add(index * height);
                match count == height {
                    true => to.copy_from_nonoverlapping(row(k), height), // a constant size: one move
                    false => to.copy_from_nonoverlapping(row(k), count),
                }
            }
        }
        LeftRows::transposed(to.cast_const(), height)
    }
}

macro_rules! own_sum {
    ($float:ident) => {
        impl Operand for $float {
            type Sum = Self;
            type Digits = AllDigits;
            const IS_SUM: bool = true;

            #[inline(always)]
            fn max_rows<S: Simd>(vectors: usize) -> usize {
                max_rows::<S>(vectors)
            }

            #[inline(always)]
            fn split_rows(rows: Range<usize>, max: usize) -> impl Iterator<Item = Range<usize>> {
                split_evenly(rows, max)
            }

            #[inline(always)]
            fn round(sum: Self) -> Self {
                sum
            }

            #[inline(always)]
            unsafe fn store_rounded<S: Simd>(sums: Vector<S, Self>, to: *mut Self) {
                // SAFETY: the caller's promise.
                unsafe { sums.store(to) }
            }

            #[inline(always)]
            unsafe fn round_row<S: Simd>(
                _simd: S,
                from: *const Self,
                to: *mut Self,
                count: usize,
                _limit: Self,
            ) {
                // SAFETY: the caller's promise.
                unsafe { to.copy_from_nonoverlapping(from, count) }
            }

            #[inline(always)]
            unsafe fn multiply<S: Simd>(simd: S, size: (usize, usize), product: TileProduct<Self, Self>) {
                // SAFETY: the caller's promise.
                unsafe { multiply_floats::<S, Self>(simd, size, product) }
            }
        }

        impl GradientOperand for $float {
            #[inline(always)]
            fn outer_rows<S: Simd>() -> usize {
                const { max_rows::<S>(OUTER_TILE_VECTORS) }
            }

            #[inline(always)]
            unsafe fn store_interleaved<S: Simd>(row: impl Fn(usize) -> Vector<S, Self>, to: *mut Self) {
                // SAFETY: the caller's promise.
                unsafe { row(0).store(to) }
            }

            #[inline(always)]
            unsafe fn load_widened<S: Simd>(simd: S, from: *const Self) -> Vector<S, Self> {
                // SAFETY: the caller's promise.
                unsafe { Vector::load(simd, from) }
            }

            #[inline(always)]
            unsafe fn copy_rounded<S: Simd>(_simd: S, from: *const Self, to: *mut Self, count: usize) {
                // SAFETY: the caller's promise.
                unsafe { to.copy_from_nonoverlapping(from, count) }
            }

            #[inline(always)]
            unsafe fn round_in_place<S: Simd>(_simd: S, _sums: *mut Self, _count: usize) {}
        }
    };
}

own_sum!(f32);
own_sum!(f64);
