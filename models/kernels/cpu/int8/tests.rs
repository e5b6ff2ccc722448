//! Products of int8 on every instruction set, against sums of integers in i64.

use pulp::{Simd, WithSimd};

use super::super::memory::Buffer;
use super::super::product::{LeftRows, Operand, PanelShape, Panels, add_product};
use super::super::simd::Isa;
use super::super::workers::{Kernel, Worker, run_kernel};
use super::{Int8, scale_of};

/// `sums += left * right^T`, of `left` (rows, depth) and `right` (columns, depth).
struct Product<'a> {
    sizes: [usize; 3],
    left: &'a [f32],
    right: &'a [f32],
    limit: f32,
    panels: &'a Panels<Int8>,
    sums: &'a Buffer<f32>,
}

impl Kernel for Product<'_> {
    fn run_as<W: WithSimd<Output = ()>>(isa: Isa, part: W) {
        Int8::run_as(isa, part);
    }

    /// # Safety
    /// The slices must have the sizes, and the sums the padded columns.
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, worker: Worker<'_>) {
        let [rows, depth, columns] = self.sizes;
        let stride = Int8::row_len(depth);
        let operands = Buffer::<Int8>::new(rows * stride);
        // SAFETY: the caller's promise.
        unsafe {
            for row in 0..rows {
                let from = self.left.as_ptr().add(row * depth);
                Int8::round_row(simd, from, operands.at(row * stride), depth, self.limit);
            }
            let mut first = 0;
            for panel in self.panels.share(worker) {
                let width = self.panels.width(panel);
                let column =
                    |column: usize| (column < columns).then(|| self.right.as_ptr().add(column * depth));
                self.panels.pack_transposed(simd, panel, column);
                let left = LeftRows { is_padded: true, ..LeftRows::new(operands.at(0).cast_const(), stride) };
                add_product(simd, rows, left, (self.panels, panel), self.sums.at(first));
                first += rows * width;
            }
        }
    }
}

/// Compute a product that starts from 0.5; return the panels' tiles one after another, without the padding.
fn product(isa: Isa, sizes: [usize; 3], left: &[f32], right: &[f32], limit: f32) -> Vec<f32> {
    let [rows, depth, columns] = sizes;
    let lanes = isa.lanes::<f32>();
    let shape = PanelShape { depth, groups: columns.div_ceil(lanes), group_vectors: 1, lanes };
    let panels = Panels::<Int8>::new(shape, 1);
    let sums = Buffer::zeros(rows * columns.next_multiple_of(lanes));
    for index in 0..sums.len() {
        // SAFETY: within the buffer.
        unsafe { *sums.at(index) = 0.5 };
    }
    // SAFETY: all sizes are those of the product; a single worker uses them.
    unsafe { run_kernel(isa, 1, &Product { sizes, left, right, limit, panels: &panels, sums: &sums }) };
    let mut result = vec![0.; rows * columns];
    let mut first = 0;
    for panel in panels.all() {
        let width = panels.width(*panel);
        for row in 0..rows {
            for column in panels.first_column(*panel)..columns.min(panels.first_column(*panel) + width) {
                // SAFETY: within the buffer, which is written.
                let sum = unsafe { *sums.at(first + row * width + column - panels.first_column(*panel)) };
                result[row * columns + column] = sum;
            }
        }
        first += rows * width;
    }
    result
}

/// Round a row by the rule; return the integers and the scale.
fn rounded(row: &[f32], limit: f32) -> (Vec<i64>, f32) {
    let is_finite = row.iter().all(|x| x.is_finite());
    let largest = row.iter().fold(limit, |largest, x| largest.max(x.abs()));
    let scale = scale_of(if is_finite { largest } else { f32::NAN });
    let integer = |&x: &f32| if scale > 0. { (x * (1. / scale)).round_ties_even() as i64 } else { 0 };
    (row.iter().map(integer).collect(), scale)
}

fn expected([rows, depth, columns]: [usize; 3], left: &[f32], right: &[f32], limit: f32) -> Vec<f32> {
    let rounded_rows = |matrix: &[f32], count: usize, limit: f32| -> Vec<(Vec<i64>, f32)> {
        (0..count).map(|row| rounded(&matrix[row * depth..][..depth], limit)).collect()
    };
    let (left, right) = (rounded_rows(left, rows, limit), rounded_rows(right, columns, 0.));
    let element = |(a, a_scale): &(Vec<i64>, f32), (b, b_scale): &(Vec<i64>, f32)| {
        let sum: i64 = a.iter().zip(b).map(|(a, b)| a * b).sum();
        0.5 + sum as i32 as f32 * b_scale * a_scale
    };
    left.iter().flat_map(|a| right.iter().map(move |b| element(a, b))).collect()
}

/// Return a fixed sequence of numbers of the given magnitude.
fn numbers(count: usize, magnitude: f32, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 8_388_608. - 1.
    };
    (0..count).map(|_| next() * magnitude).collect()
}

fn check(sizes: [usize; 3], left: &[f32], right: &[f32], limit: f32) {
    let bits = |x: f32| if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() };
    let expected = expected(sizes, left, right, limit);
    for isa in Isa::available_for_int8() {
        let found = product(isa, sizes, left, right, limit);
        for (index, (&found, &expected)) in found.iter().zip(&expected).enumerate() {
            let place = (index / sizes[2], index % sizes[2]);
            assert_eq!(
                bits(found),
                bits(expected),
                "{found} {expected} at {place:?} of {sizes:?}, {}",
                isa.name()
            );
        }
    }
}

#[test]
fn every_instruction_set_has_the_exact_sums() {
    for rows in [1, 2, 3, 4, 5, 7, 12, 15, 16, 17, 31, 32, 33, 70] {
        for (depth, columns) in [(1, 1), (3, 16), (4, 7), (63, 64), (64, 33), (65, 20), (200, 130), (777, 17)]
        {
            let seed = (rows * 1000 + depth) as u32;
            let (left, right) = (numbers(rows * depth, 1.5, seed), numbers(columns * depth, 0.2, seed + 1));
            check([rows, depth, columns], &left, &right, if rows % 2 == 0 { 1. } else { 0. });
        }
    }
}

#[test]
fn the_largest_sums_neither_saturate_nor_overflow() {
    let depth = 1000;
    for sign in [-1., 1.] {
        let left = vec![3e38f32; 17 * depth];
        let right = vec![sign * 1e-20; 20 * depth];
        check([17, depth, 20], &left, &right, 0.);
    }
}

#[test]
fn the_deepest_sums_do_not_overflow() {
    let depth = super::MAX_DEPTH;
    for sign in [-1., 1.] {
        check([5, depth, 3], &vec![1.; 5 * depth], &vec![sign; 3 * depth], 0.);
    }
}

#[test]
fn rows_of_zeros_have_products_of_zero_and_no_number_vanishes() {
    let sizes = [20, 70, 40];
    let (mut left, mut right) = (numbers(20 * 70, 1., 3), numbers(40 * 70, 1., 4));
    left[70..140].fill(0.);
    left[140..210].fill(1e-40);
    right[..70].fill(0.);
    right[70] = f32::NAN;
    right[3 * 70 + 69] = f32::NEG_INFINITY;
    left[5 * 70 + 33] = f32::NAN;
    left[19 * 70] = f32::INFINITY;
    for limit in [0., 1.] {
        check(sizes, &left, &right, limit);
    }
    for isa in Isa::available_for_int8() {
        let found = product(isa, sizes, &left, &right, 0.);
        for (index, found) in found.into_iter().enumerate() {
            let is_nan = [5, 19].contains(&(index / 40)) || [1, 3].contains(&(index % 40));
            assert_eq!(found.is_nan(), is_nan, "{index} with {}", isa.name());
        }
    }
}

#[test]
fn empty_depth_leaves_the_sums() {
    check([3, 0, 5], &[], &[], 0.);
}
