//! A register with operators.

use std::ops::{Add, Mul, Neg, Sub};

use pulp::Simd;

use super::float::Float;

/// The most lanes of any vector.
pub(crate) const MAX_LANES: usize = 16;

/// A register of elements, together with the zero-sized token that proves the instruction set, so that
/// `a * b + c` needs no further argument.
#[derive(Clone, Copy)]
pub(crate) struct Vector<S: Simd, E: Float> {
    lanes: E::Lanes<S>,
    simd: S,
}

/// Memory.
impl<S: Simd, E: Float> Vector<S, E> {
    /// Return the number of elements in a vector.
    #[inline(always)]
    pub(crate) fn len() -> usize {
        E::lanes::<S>()
    }

    /// Set every lane to `x`.
    #[inline(always)]
    pub(crate) fn splat(simd: S, x: E) -> Self {
        Self { lanes: E::splat(simd, x), simd }
    }

    /// Zero in every lane.
    #[inline(always)]
    pub(crate) fn zero(simd: S) -> Self {
        Self::splat(simd, E::ZERO)
    }

    /// Zero in every lane, for the same instruction set.
    #[inline(always)]
    pub(crate) fn zeroed(self) -> Self {
        Self::zero(self.simd)
    }

    /// Load a vector. `from` needs no alignment.
    ///
    /// # Safety
    /// [`Vector::len`] elements must be readable at `from`.
    #[inline(always)]
    pub(crate) unsafe fn load(simd: S, from: *const E) -> Self {
        // SAFETY: the caller's promise; a register is plain elements side by side.
        Self { lanes: unsafe { from.cast::<E::Lanes<S>>().read_unaligned() }, simd }
    }

    /// Load `N` consecutive vectors.
    ///
    /// # Safety
    /// `N` times [`Vector::len`] elements must be readable at `from`.
    #[inline(always)]
    pub(crate) unsafe fn load_all<const N: usize>(simd: S, from: *const E) -> [Self; N] {
        let mut vectors = [Self::zero(simd); N];
        // A loop, not a closure: closures are compiled without the instruction set.
        for (index, vector) in vectors.iter_mut().enumerate() {
            // SAFETY: the caller's promise.
            *vector = unsafe { Self::load(simd, from.add(index * Self::len())) };
        }
        vectors
    }

    /// Load the first `count` elements, or a whole vector if `count` is larger; the rest is zero.
    ///
    /// # Safety
    /// As many elements must be readable at `from`.
    #[inline(always)]
    pub(crate) unsafe fn load_first(simd: S, from: *const E, count: usize) -> Self {
        // SAFETY: the caller's promise; the destination is a local with room for more elements.
        unsafe {
            if count >= Self::len() {
                return Self::load(simd, from);
            }
            let mut vector = Self::zero(simd);
            std::ptr::copy_nonoverlapping(from, (&raw mut vector.lanes).cast::<E>(), count);
            vector
        }
    }

    /// Store the vector. `to` needs no alignment.
    ///
    /// # Safety
    /// [`Vector::len`] elements must be writable at `to`.
    #[inline(always)]
    pub(crate) unsafe fn store(self, to: *mut E) {
        // SAFETY: the caller's promise; a register is plain elements side by side.
        unsafe { to.cast::<E::Lanes<S>>().write_unaligned(self.lanes) }
    }

    /// Store `N` vectors consecutively.
    ///
    /// # Safety
    /// `N` times [`Vector::len`] elements must be writable at `to`.
    #[inline(always)]
    pub(crate) unsafe fn store_all<const N: usize>(vectors: [Self; N], to: *mut E) {
        for (index, vector) in vectors.into_iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { vector.store(to.add(index * Self::len())) };
        }
    }

    /// Store the first `count` elements, or the whole vector if `count` is larger.
    ///
    /// # Safety
    /// As many elements must be writable at `to`.
    #[inline(always)]
    pub(crate) unsafe fn store_first(self, to: *mut E, count: usize) {
        // SAFETY: the caller's promise; the source is a local with at least `count` elements.
        unsafe {
            if count >= Self::len() {
                self.store(to);
            } else {
                std::ptr::copy_nonoverlapping((&raw const self.lanes).cast::<E>(), to, count);
            }
        }
    }

    /// Set `count` elements to zero, rounded up to whole vectors.
    ///
    /// # Safety
    /// As many elements, rounded up to whole vectors, must be writable at `to`.
    #[inline(always)]
    pub(crate) unsafe fn clear(simd: S, to: *mut E, count: usize) {
        for offset in (0..count).step_by(Self::len()) {
            // SAFETY: the caller's promise.
            unsafe { Self::zero(simd).store(to.add(offset)) };
        }
    }

    /// Copy `count` elements. For the short rows of a tile this is faster than a call of `memcpy`.
    ///
    /// # Safety
    /// As many elements must be readable at `from` and writable at `to`, without overlap.
    #[inline(always)]
    pub(crate) unsafe fn copy(simd: S, from: *const E, to: *mut E, count: usize) {
        let whole = count - count % Self::len();
        // SAFETY: the caller's promise.
        unsafe {
            for offset in (0..whole).step_by(Self::len()) {
                Self::load(simd, from.add(offset)).store(to.add(offset));
            }
            if whole < count {
                to.add(whole).copy_from_nonoverlapping(from.add(whole), count - whole);
            }
        }
    }
}

/// Parts, for the other files of this directory.
impl<S: Simd, E: Float> Vector<S, E> {
    #[inline(always)]
    pub(super) fn simd(self) -> S {
        self.simd
    }

    #[inline(always)]
    pub(super) fn lanes(self) -> E::Lanes<S> {
        self.lanes
    }

    #[inline(always)]
    pub(super) fn from_lanes(simd: S, lanes: E::Lanes<S>) -> Self {
        Self { lanes, simd }
    }
}

/// Arithmetic.
impl<S: Simd, E: Float> Vector<S, E> {
    /// Compute `self * by + plus`, rounded once if the processor can.
    #[inline(always)]
    pub(crate) fn mul_add(self, by: Self, plus: Self) -> Self {
        Self { lanes: E::lanes_mul_add(self.simd, self.lanes, by.lanes, plus.lanes), simd: self.simd }
    }

    /// Compute `1 - self`.
    #[inline(always)]
    pub(crate) fn complement(self) -> Self {
        Self::splat(self.simd, E::ONE) - self
    }

    /// Compute the weighted mean `self * a + (1 - self) * b`.
    #[inline(always)]
    pub(crate) fn mix(self, a: Self, b: Self) -> Self {
        self.mul_add(a, self.complement() * b)
    }

    /// Compute `1 - self^2`, the derivative of tanh in terms of its value.
    #[inline(always)]
    pub(crate) fn one_minus_square(self) -> Self {
        (-self).mul_add(self, Self::splat(self.simd, E::ONE))
    }

    /// Select `yes` in lanes with `self > than`, else `no`; `no` also if either is NaN.
    #[inline(always)]
    pub(crate) fn if_greater(self, than: Self, yes: Self, no: Self) -> Self {
        let lanes = E::lanes_if_greater(self.simd, [self.lanes, than.lanes], yes.lanes, no.lanes);
        Self { lanes, simd: self.simd }
    }

    /// Return the first `count` lanes, and zero in the others, also where they are NaN.
    #[inline(always)]
    pub(crate) fn first(self, count: usize) -> Self {
        Self { lanes: E::lanes_first(self.simd, self.lanes, count), simd: self.simd }
    }

    /// Compute the exponential; `math.rs` states its error.
    #[inline(always)]
    pub(crate) fn exp(self) -> Self {
        Self { lanes: E::lanes_exp(self.simd, self.lanes), simd: self.simd }
    }

    /// Compute the hyperbolic tangent; `math.rs` states its error.
    #[inline(always)]
    pub(crate) fn tanh(self) -> Self {
        Self { lanes: E::lanes_tanh(self.simd, self.lanes), simd: self.simd }
    }

    /// Compute `1 / (1 + exp(-self))`; `math.rs` states its error.
    #[inline(always)]
    pub(crate) fn sigmoid(self) -> Self {
        Self { lanes: E::lanes_sigmoid(self.simd, self.lanes), simd: self.simd }
    }

    /// Compute the hyperbolic tangent with the digits of a bf16; `math.rs` states its error.
    #[inline(always)]
    pub(crate) fn short_tanh(self) -> Self {
        Self { lanes: E::lanes_short_tanh(self.simd, self.lanes), simd: self.simd }
    }

    /// Compute `1 / (1 + exp(-self))` with the digits of a bf16; `math.rs` states its error.
    #[inline(always)]
    pub(crate) fn short_sigmoid(self) -> Self {
        Self { lanes: E::lanes_short_sigmoid(self.simd, self.lanes), simd: self.simd }
    }
}

impl<S: Simd, E: Float> Add for Vector<S, E> {
    type Output = Self;
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self { lanes: E::lanes_add(self.simd, self.lanes, other.lanes), simd: self.simd }
    }
}

impl<S: Simd, E: Float> Sub for Vector<S, E> {
    type Output = Self;
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self { lanes: E::lanes_sub(self.simd, self.lanes, other.lanes), simd: self.simd }
    }
}

impl<S: Simd, E: Float> Mul for Vector<S, E> {
    type Output = Self;
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self { lanes: E::lanes_mul(self.simd, self.lanes, other.lanes), simd: self.simd }
    }
}

impl<S: Simd, E: Float> Neg for Vector<S, E> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        Self::zero(self.simd) - self
    }
}

#[cfg(test)]
mod tests {
    use pulp::{Simd, WithSimd};

    use super::super::{Float, Isa, Vector};

    /// Checks the lanes that are kept of a vector of NaN.
    struct First;

    impl WithSimd for First {
        type Output = ();

        fn with_simd<S: Simd>(self, simd: S) {
            fn check<S: Simd, E: Float>(simd: S) {
                let nan = Vector::splat(simd, E::nearest(f64::NAN));
                for count in 0..=E::lanes::<S>() {
                    let mut stored = [E::ONE; super::MAX_LANES];
                    // SAFETY: no vector has more than `MAX_LANES` elements.
                    unsafe { nan.first(count).store(stored.as_mut_ptr()) };
                    for (lane, &x) in stored[..E::lanes::<S>()].iter().enumerate() {
                        let x: f64 = x.into();
                        assert!(
                            if lane < count { x.is_nan() } else { x == 0. },
                            "lane {lane} of {count}: {x}"
                        );
                    }
                }
            }
            check::<S, f32>(simd);
            check::<S, f64>(simd);
        }
    }

    #[test]
    fn the_first_lanes_are_kept_and_the_others_are_zero() {
        for isa in Isa::available() {
            isa.run(First);
        }
    }
}
